"""Gershgorin's rows: what each row of a matching matrix says about its eigenvalues, and where the margin stands."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icrl_teach._validate import ArrayLike
from icrl_teach.figures.style import INK, PALETTE, STYLE, greek, new_figure

ROW, LINE = PALETTE[0], PALETTE[1]


def gershgorin_rows(
    M: ArrayLike, gamma: float, names: Sequence[str] | None = None, *, title: str, ax: Axes | None = None
) -> Figure:
    """A bar for each row of M: the disc about its diagonal, on the real axis, from 2 M(s, s) - 1 to 1.

    M: (S, S), entries of at least 0, rows that sum to 1; gamma: the line that all bars must clear. The distance from
    the line to the worst bar is 2 C, twice the margin. Crosses: M's eigenvalues, which Gershgorin's theorem puts
    into the union of the discs. names: (S,) of the rows.
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        ax = ax if ax is not None else new_figure()[1][0]
        matrix = np.asarray(M, dtype=np.float64)
        diagonal, n = np.diag(matrix), len(matrix)
        worst = int(diagonal.argmin())
        ax.axvspan(-1.2, gamma, facecolor="#eeeeee", hatch="//", edgecolor="#cccccc", linewidth=0, zorder=0)
        ax.axvline(gamma, color=LINE, linestyle="--", linewidth=1.8, zorder=1)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        ax.text(gamma, -0.45, rf"$\gamma$ = {gamma:.2f}", ha="center", va="center", color=INK[1], bbox=box)
        ax.hlines(np.arange(n), 2 * diagonal - 1, 1, color=ROW, linewidth=9, alpha=0.7, gid="rows", zorder=2)
        ax.plot(diagonal, np.arange(n), "o", color="black", markersize=7, label="M(s, s)", zorder=3)
        spectrum = np.linalg.eigvals(matrix).real
        ax.plot(spectrum, np.full(n, float(n)), "x", color="black", markersize=8, mew=2, label="eigenvalues", zorder=3)
        _margin(ax, gamma, 2 * diagonal[worst] - 1, worst)
        ax.set_xlim(min(-0.1, 2 * diagonal[worst] - 1.1, spectrum.min() - 0.1), 1.06)
        ax.set_ylim(n + 0.6, -0.75)
        ax.set_yticks(range(n + 1), [*(names or map(str, range(n))), "eigen-\nvalues"])
        ax.grid(visible=False)
        ax.set_title(greek(title), wrap=True, y=1.0)
        ax.set_xlabel("real axis")
        ax.set_ylabel("row of M, dot: M(s, s)")
        return ax.figure  # type: ignore[return-value]


def _margin(ax: Axes, gamma: float, edge: float, row: int) -> None:
    """The arrow from the line to the worst bar's end, and its length with its sign."""
    which = 2 if edge > gamma else 1
    look = {"arrowstyle": "<->", "color": PALETTE[which], "linewidth": 2.0, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (edge, row + 0.32), (gamma, row + 0.32), arrowprops=look, zorder=4)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    middle, text = (edge + gamma) / 2, f"2C = {edge - gamma:+.2f}"
    ax.text(middle, row + 0.4, text, ha="center", va="top", color=INK[which], fontsize=10, bbox=box, zorder=5)
