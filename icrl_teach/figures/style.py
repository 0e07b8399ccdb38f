"""One style, one palette, one way to write Greek letters. Nothing here touches pyplot, so nothing is global."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

# Okabe and Ito's palette, but for olive and violet in the place of amber and sky, which are too pale on white: told
# apart with every common form of colour blindness, and 3:1 against white, and against a dark page once inverted.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6B5200", "#9467F5", "#000000")
INK = ("#0072B2", "#B84F00", "#007F5C", "#B0508A", "#6B5200", "#8450E8", "#000000")  # the same for words: 4.5:1
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
    "legend.loc": "upper right",  # "best" turns on a last digit that differs between processors
    "lines.linewidth": 2.0,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.6,
}


def _part(name: str, low: float, high: float) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list(
        f"{name} to read on", matplotlib.colormaps[name](np.linspace(low, high, 256))
    )


# Cells of a matrix, from 0 and on both sides of 0; only as dark as black numbers stay readable, also once inverted.
CELLS, SIGNED_CELLS = _part("Blues", 0.0, 0.58), _part("PuOr_r", 0.24, 0.78)
LETTERS = re.compile(r"\b(alpha|beta|gamma|delta|lambda|mu|rho|tau)\b((?:\^\w+)?)")


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


def greek(text: str) -> str:
    """Words for a picture with the names of Greek letters as letters; mathematics between dollars stays as it is.

    >>> greek("beta 4, gamma^k"), greek("$M$ and tau")
    ('$\\\\beta$ 4, $\\\\gamma^k$', '$M$ and $\\\\tau$')
    """
    parts = text.split("$")
    parts[::2] = [LETTERS.sub(r"$\\\1\2$", part) for part in parts[::2]]
    return "$".join(parts)


def colors(count: int) -> list[str]:
    """The first `count` colours of the palette, for figures that a cell draws itself."""
    return list(islice(cycle(PALETTE), count))
