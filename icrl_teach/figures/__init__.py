"""Pictures for lessons, README and command line, in one style: charts of arrays, and the picture of one layer."""

from icrl_teach.figures.charts import NOTHING_POSITIVE, bars, chain_diagram, curves, heat_map, value_intervals
from icrl_teach.figures.layer import PARTS, layer_flow, layer_flow_view
from icrl_teach.figures.output import PICTURE_CSS, Picture, as_picture, cuts, picture, png_bytes
from icrl_teach.figures.rows import gershgorin_rows
from icrl_teach.figures.style import (
    CELLS,
    HATCHES,
    INK,
    LINES,
    MARKERS,
    PALETTE,
    SIGNED_CELLS,
    STYLE,
    View,
    colors,
    greek,
    new_figure,
    use_style,
)

__all__ = [
    "CELLS",
    "HATCHES",
    "INK",
    "LINES",
    "MARKERS",
    "NOTHING_POSITIVE",
    "PALETTE",
    "PARTS",
    "PICTURE_CSS",
    "SIGNED_CELLS",
    "STYLE",
    "Picture",
    "View",
    "as_picture",
    "bars",
    "chain_diagram",
    "colors",
    "curves",
    "cuts",
    "gershgorin_rows",
    "greek",
    "heat_map",
    "layer_flow",
    "layer_flow_view",
    "new_figure",
    "picture",
    "png_bytes",
    "use_style",
    "value_intervals",
]
