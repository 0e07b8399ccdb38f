"""One style, one palette, and the way a figure becomes a picture. Nothing here touches pyplot, so nothing is global."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from IPython.display import Image

# Okabe and Ito's palette: distinguishable with every common form of colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
STYLE: Any = {
    "figure.figsize": (7.0, 4.0),
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True)
class View:
    """What a draw function behind a widget returns.

    figure: the picture; alt: a sentence for those who cannot see it; numbers: its key numbers, rounded, as text.
    """

    figure: Figure
    alt: str
    numbers: str


def use_style() -> None:
    """Set the course's style for figures that a cell draws itself. The functions here set it for themselves."""
    matplotlib.rcParams.update(STYLE)


def new_figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None, fitted: bool = True
) -> tuple[Figure, np.ndarray]:
    """An empty figure with rows x columns panels; size in inches. Returns the figure and a (rows*columns,) array.

    fitted: margins follow the labels. Fitting takes half of a redraw, so a view behind a widget sets its own margins.
    """
    with matplotlib.rc_context(STYLE):
        layout: Any = "constrained" if fitted else None
        figure = Figure(figsize=size or (min(7.0 * columns, 10.5), 3.9 * rows), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes.ravel()


def png_bytes(figure: Figure, dpi: int = 100) -> bytes:
    """The figure as PNG, the same bytes for the same figure (no time, no version inside)."""
    buffer = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def picture(figure: Figure, alt: str, dpi: int = 100) -> Image:
    """The figure as a notebook's output, with alternative text for those who cannot see it.

    Raises ValueError for an alternative text of fewer than 20 characters: say what the picture shows.
    """
    from IPython.display import Image

    if len(alt.strip()) < 20:
        raise ValueError(f"alt is {alt!r}; say in a sentence what the picture shows, for those who cannot see it")
    return Image(png_bytes(figure, dpi), format="png", alt=alt)


def colors(count: int) -> list[str]:
    """The first `count` colours of the palette, for figures that a cell draws itself."""
    return list(islice(cycle(PALETTE), count))
