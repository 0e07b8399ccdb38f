"""Pictures for lessons, README and command line, in one style: charts of arrays, and the picture of one layer."""

from icrl_teach.figures.charts import NOTHING_POSITIVE, bars, chain_diagram, curves, heat_map, value_intervals
from icrl_teach.figures.layer import PARTS, layer_flow, layer_flow_view
from icrl_teach.figures.rows import gershgorin_rows
from icrl_teach.figures.style import (
    HATCHES,
    LINES,
    MARKERS,
    PALETTE,
    STYLE,
    View,
    colors,
    new_figure,
    picture,
    png_bytes,
    use_style,
)

__all__ = [
    "HATCHES",
    "LINES",
    "MARKERS",
    "NOTHING_POSITIVE",
    "PALETTE",
    "PARTS",
    "STYLE",
    "View",
    "bars",
    "chain_diagram",
    "colors",
    "curves",
    "gershgorin_rows",
    "heat_map",
    "layer_flow",
    "layer_flow_view",
    "new_figure",
    "picture",
    "png_bytes",
    "use_style",
    "value_intervals",
]
