"""The one picture of a layer: two roads from the tokens of Z_l to those of Z_{l+1}. It returns with other parts lit.

The cells are those of a real layer, on the walk of lesson 07: dock, hall, room, hall and the query, a room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from icrl_teach.figures.output import Picture, picture
from icrl_teach.figures.style import PALETTE, STYLE, View, new_figure

CELL, PANEL = 2.0, 15.0
DARK, PALE, TINT = "#222222", "#707070", "#FFF0CC"


@dataclass(frozen=True)
class Part:
    """A part of the layer: its panel's left and lower edge and height, the line below its cells, and a sentence."""

    x: float
    y: float
    height: float
    line: str
    says: str


# In the order in which a layer uses them.
PARTS = {
    "features": Part(
        6, 27, 20, "who I am: $x(S_j)$", "the rows that say which state a column is; no layer writes them"
    ),
    "scores": Part(
        26,
        27,
        20,
        r"$\beta$ times $\langle x_i,\, x_j\rangle$",
        "how alike the features of two columns are, for all pairs",
    ),
    "mask": Part(
        45, 27, 20, r"query's row: $-\infty$", "minus infinity in the query's row of the scores: it teaches nobody"
    ),
    "weights": Part(
        64, 27, 20, "softmax down: $E$", "softmax down each column: the share of each source in what a column hears"
    ),
    "memories": Part(6, 5, 18, "what I know", "the rows reward, target memory and value memory"),
    "errors": Part(
        26, 5, 18, "rew + tgt $-$ val", "the TD error of every column, reward plus target memory minus value memory"
    ),
    "writes": Part(64, 5, 18, "errors times $E$", "the errors averaged with the weights, added to value memory"),
    "shift": Part(
        83,
        5,
        18,
        r"tgt = $\gamma$ $\times$ next val",
        "target memory refilled with gamma times the next column's new value",
    ),
}


def layer_cells() -> dict[str, np.ndarray]:
    """The arrays in the panels: one layer at beta = log 4, alpha 1, gamma 0.8, from the values 1, 2, 5.

    NaN where there is nothing: the query's row of mask and weights, its error, and what no column writes.
    """
    states, gamma = np.array([0, 1, 2, 1, 2]), 0.8
    x, value = np.eye(3)[states], np.array([1.0, 2.0, 5.0])[states]
    memories = np.zeros((3, 5))
    memories[0, :-1], memories[1, :-1], memories[2] = [0.0, -1.0, 3.0, -1.0], gamma * value[1:], value
    scores = np.log(4) * x @ x.T
    masked = scores.copy()
    masked[-1] = np.nan
    weights = np.exp(masked) / np.nansum(np.exp(masked), axis=0)
    errors = memories[0] + memories[1] - memories[2]
    errors[-1] = np.nan
    writes = errors[:-1] @ weights[:-1]
    after = memories.copy()
    after[2] += writes
    after[1, :-1] = gamma * after[2, 1:]
    one_row = {"errors": errors[None], "writes": writes[None]}
    return {
        "features": x.T,
        "scores": scores,
        "mask": masked,
        "weights": weights,
        "memories": memories,
        "shift": after,
    } | one_row


def layer_flow(lit: Sequence[str] = ()) -> Picture:
    """The data flow of one layer as a notebook's output, the parts named in `lit` lit, with alternative text.

    lit: names out of PARTS, in any order; none: the whole layer in one tone. Raises ValueError for another name.
    """
    view = layer_flow_view(lit)
    return picture(view.figure, view.alt)


def layer_flow_view(lit: Sequence[str] = ()) -> View:
    """The same as figure, alternative text and the names that are lit. A lit part has a tint, a thick frame, bold type.

    Raises ValueError for a name that is not a part's.
    """
    names = (lit,) if isinstance(lit, str) else tuple(lit)
    for name in names:
        if name not in PARTS:
            raise ValueError(f"lit holds {name!r}, which is no part of a layer; choose from {', '.join(PARTS)}")
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure, (ax,) = new_figure(size=(9.9, 4.8), fitted=False)
        ax.set_position((0, 0, 1, 1))
        ax.set(xlim=(0, 99), ylim=(0, 48), aspect="equal")
        ax.axis("off")
        _roads(ax)
        cells = layer_cells()
        for name, part in PARTS.items():
            _panel(ax, name, part, cells[name], (name in names) if names else None)
    shown = [name for name in PARTS if name in names]
    return View(figure, _alt(shown), f"lit: {', '.join(shown) or 'nothing'}")


def _panel(ax: Axes, name: str, part: Part, cells: np.ndarray, lit: bool | None) -> None:
    """A frame with the part's name, its cells and its line. lit: None where nothing is: then no part is pale."""
    color = PALE if lit is False else DARK
    frame = FancyBboxPatch((part.x, part.y), PANEL, part.height, boxstyle="round,pad=0,rounding_size=1.2", zorder=2)
    frame.set(facecolor="#FFF0CC" if lit else "white", edgecolor=PALETTE[1] if lit else color)
    frame.set(linewidth=3.5 if lit else 1.0, gid=name)
    ax.add_patch(frame)
    middle, top = part.x + PANEL / 2, part.y + part.height
    look: Any = {"ha": "center", "va": "center", "color": color, "zorder": 5}
    ax.text(middle, top - 2.1, name, look, fontsize=12.5, fontweight="bold" if lit else "normal")
    ax.text(middle, part.y + 2.1, part.line, look, fontsize=10.5)
    left, low = middle - CELL * cells.shape[1] / 2, part.y + part.height / 2 - CELL * len(cells) / 2
    if name in ("memories", "shift"):
        left += 1.5
        for row, label in enumerate(("val", "tgt", "rew")):
            ax.text(left - 1.9, low + CELL * (row + 0.5), label, look, fontsize=9.5)
    _cells(ax, left, low, cells, faded=lit is False)
    if name == "shift":
        for j in range(1, 5):  # from value memory to target memory, one column to the left
            start, end = (left + CELL * (j + 0.35), low + 0.7 * CELL), (left + CELL * (j - 0.4), low + 1.55 * CELL)
            _arrow(ax, start, end, zorder=4, mutation_scale=8, linewidth=1.2, color=color)


def _cells(ax: Axes, left: float, low: float, cells: np.ndarray, faded: bool) -> None:
    """The numbers as shades, from purple below 0 to brown; crossed out where nothing is. (left, low): the corner."""
    top = np.nanmax(np.abs(cells))
    for (i, j), value in np.ndenumerate(cells):
        corner = (left + CELL * j, low + CELL * (len(cells) - 1 - i))
        cell = Rectangle(corner, CELL, CELL, edgecolor="#aaaaaa", linewidth=0.6, zorder=3, alpha=0.5 if faded else 1.0)
        if np.isnan(value):
            cell.set(facecolor="white", hatch="xxxx")
        else:
            cell.set_facecolor(matplotlib.colormaps["PuOr_r"](0.5 + 0.4 * value / top))
        ax.add_patch(cell)


def _roads(ax: Axes) -> None:
    """What flows from part to part, and what passes by below: the residual stream."""
    for start, end in (
        ((21, 37), (26, 37)),
        ((41, 37), (45, 37)),
        ((60, 37), (64, 37)),
        ((21, 14), (26, 14)),
        ((41, 14), (64, 14)),
        ((71.5, 27), (71.5, 23)),
        ((79, 14), (83, 14)),
        ((90.5, 23), (90.5, 30)),
    ):
        _arrow(ax, start, end)
    ax.plot([13.5, 13.5, 90.5], [5, 2, 2], color=DARK, linewidth=1.6, linestyle="--", zorder=1)
    _arrow(ax, (90.5, 2), (90.5, 5))
    look: Any = {"ha": "center", "va": "center", "fontsize": 10.5, "color": DARK}
    ax.text(52.5, 15.8, "every source offers its error", look)
    ax.text(52.5, 3.6, "residual stream: rewards and values stay, writes are added", look)
    ax.text(90.5, 37, "next layer:\nfeatures as before,\nnew memories", look)
    ax.text(3, 25, "$Z_l$: each column is a position of the walk", look, rotation=90)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    usual: Any = {"arrowstyle": "-|>", "mutation_scale": 15, "linewidth": 1.6, "color": DARK, "zorder": 1}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **(usual | look)))


def _alt(lit: Sequence[str]) -> str:
    says = "; ".join(f"{name} ({PARTS[name].says})" for name in lit) or "nothing, all parts in one tone"
    return (
        "Data flow of one layer, left to right, in eight panels. Upper road: features, scores, mask, weights. "
        "Lower road: memories, errors, writes, shift. The weights meet the errors in the writes; the shift's panel "
        f"holds the new memories, which go to the next layer with the old features. Lit: {says}."
    )
