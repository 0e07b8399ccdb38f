"""Lesson 06: an attention matrix with tokens as columns, and the average that one query column takes."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from icrl_teach.figures import CELLS, SIGNED_CELLS, STYLE, View, colors, new_figure

FEATURES = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.8, 0.6]])  # (S, d) of A, B, C, D, all of length 1
REWARD = np.array([2.0, 1.0, -1.0, -2.0])  # (S,)
WALK = np.array([0, 1, 2, 3, 0, 2, 1])  # (n+1,) A, B, C, D, A, C and the query B
NAMES = ["A", "B", "C", "D", "A", "C", "query B"]
BLUE, ORANGE = colors(2)


def attention_matrix(beta: float, kind: str) -> np.ndarray:
    """E of the walk, (n+1, n+1), row = source, column = query; the last row is masked. kind: softmax or linear."""
    x = FEATURES[WALK]
    scores = beta * x @ x.T
    if kind == "linear":
        E = scores / (len(WALK) - 1)
    else:
        exp = np.exp(scores[:-1] - scores[:-1].max(axis=0))
        E = np.vstack([exp / exp.sum(axis=0), np.zeros(len(WALK))])
    E[-1] = 0.0
    return E


def attention_view(beta: float, query: int, kind: str) -> View:
    """Left: E as a heat map, its masked row hatched and one column framed. Right: that column's weights.

    beta: inverse temperature; query: the column that is looked at, 0 to 6; kind: "softmax" or "linear".
    """
    E = attention_matrix(beta, kind)
    weights, rewards = E[:-1, query], REWARD[WALK[:-1]]
    total, average = weights.sum() + 0.0, weights @ rewards + 0.0
    figure, (left, right) = new_figure(1, 2, size=(9.8, 4.3), fitted=False)
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.15, top=0.9, wspace=0.26)
    _draw_matrix(left, E, query, kind)
    _draw_weights(right, weights, rewards, kind)
    word = "average" if kind == "softmax" else "weighted sum"
    with matplotlib.rc_context(STYLE):
        right.set_title(f"Column {query}: {word} of rewards {average:+.2f}")
    row = "   ".join(f"{name} {w:+.3f}" for name, w in zip(NAMES[:-1], weights + 0.0, strict=True))
    numbers = (
        f"{kind} attention, beta {beta:.3g}, query column {query} ({NAMES[query]})\n"
        f"weights        {row}\n"
        f"sum of weights {total:+.3f}   smallest {weights.min() + 0.0:+.3f}   {word} of the rewards {average:+.3f}"
    )
    alt = (
        f"Left: {kind} attention matrix of seven tokens at beta {beta:.3g}, sources in rows, queries in columns; the "
        f"last row is masked and column {query} is framed. Right: its six weights as bars; they sum to {total:.2f} "
        f"and give {average:+.2f} as {word} of the rewards."
    )
    return View(figure, alt, numbers)


def _digits(weights: np.ndarray) -> int:
    """Two decimals; three where all weights are small, as in linear attention at low beta."""
    return 2 if np.abs(weights).max() >= 0.1 else 3


def _draw_matrix(ax: Axes, E: np.ndarray, query: int, kind: str) -> None:
    """The matrix with its numbers, without a colour bar: `figures.heat_map` takes too long for a dial."""
    short, size = [*NAMES[:-1], "q: B"], len(E)
    sums = "every column sums to 1" if kind == "softmax" else "columns sum to anything"
    top = 1.0 if kind == "softmax" else np.abs(E).max()
    cells, least = (CELLS, 0.0) if kind == "softmax" else (SIGNED_CELLS, -top)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        ax.imshow(E, cmap=cells, vmin=least, vmax=top, aspect="auto")
        ax.grid(visible=False)
        digits = _digits(E)
        for (i, j), weight in np.ndenumerate(E[:-1]):
            number = f"{round(weight, digits) + 0.0:.{digits}f}"
            ax.text(j, i, number, ha="center", va="center", fontsize=9.5)
        ax.add_patch(Rectangle((-0.5, size - 1.5), size, 1, facecolor="#dddddd", edgecolor="#777777", hatch="//"))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        ax.text((size - 1) / 2, size - 1, "masked: no reward yet", ha="center", va="center", fontsize=10, bbox=box)
        ax.add_patch(Rectangle((query - 0.47, -0.46), 0.94, size - 1.08, fill=False, edgecolor="black", linewidth=2.8))
        ax.set_xticks(range(size), short)
        ax.set_yticks(range(size), short)
        ax.set_xlabel("query (column)")
        ax.set_ylabel("source (row)")
        ax.set_title(f"{kind}: {sums}")


def _draw_weights(ax: Axes, weights: np.ndarray, rewards: np.ndarray, kind: str) -> None:
    digits = _digits(weights)
    with matplotlib.rc_context(STYLE):
        places = np.arange(len(weights))
        ax.bar(places, weights, 0.7, color=BLUE if kind == "softmax" else ORANGE,
               hatch="" if kind == "softmax" else "//", edgecolor="white")  # fmt: skip
        ax.axhline(0.0, color="black", linewidth=0.8)
        names = [f"{name}\n{reward:+.0f}" for name, reward in zip(NAMES[:-1], rewards, strict=True)]
        ax.set_xticks(places, names)
        ax.grid(visible=False, axis="x")
        low, high = min(0.0, weights.min()), max(0.0, weights.max())
        ax.set_ylim(low - 0.1 * (high - low) if low < 0 else 0.0, high + 0.14 * (high - low))
        for place, weight in zip(places, weights, strict=True):
            shift = 3 if weight >= 0 else -3
            ax.annotate(f"{round(weight, digits) + 0.0:.{digits}f}", (place, weight), (0, shift), fontsize=9.5,
                        textcoords="offset points", ha="center", va="bottom" if weight >= 0 else "top")  # fmt: skip
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel("source and its reward")
        ax.set_ylabel("weight")
