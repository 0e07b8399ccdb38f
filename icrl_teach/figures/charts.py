"""Pictures for lessons, README and command line: arrays in, one matplotlib Figure out. One style, one palette.

Every function takes `ax` to draw into one panel of `new_figure(rows, columns)`; without it, it makes its own figure.
A title states what the picture shows ("the takeaway"); colours are always joined by a second cue (line style, marker,
hatching or a printed number). A legend stands below its axes, where no line can be, whatever the data; `legend` names a
corner in its place, as matplotlib does, or is None for no legend. matplotlib's own choice, the place with the fewest
points under it, turns on a last digit that differs between processors. Nothing here touches pyplot, so no figure stays
open and nothing is global.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox, ScaledTranslation

from icrl_teach._validate import ArrayLike
from icrl_teach.figures.style import (
    CELLS,
    HATCHES,
    LINES,
    MARKERS,
    PALETTE,
    SIGNED_CELLS,
    STYLE,
    greek,
    new_figure,
)

NOTHING_POSITIVE = "no value above 0: nothing for a log axis"
ROUNDING = 1e-12  # of a line's largest value: what a log axis would show below it is another processor's other noise


def _panel(ax: Axes | None) -> Axes:
    return ax if ax is not None else new_figure()[1][0]


def _finish(ax: Axes, title: str, xlabel: str, ylabel: str, legend: str | None = None) -> Figure:
    # y given: the title need not measure the tick labels, a tenth of a redraw
    ax.set_title(greek(title), wrap=True, y=1.0)
    ax.set_xlabel(greek(xlabel))
    ax.set_ylabel(greek(ylabel))
    if legend == "below":
        _legend_below(ax)
    elif legend is not None:
        ax.legend(loc=cast(Any, legend))
    return ax.figure  # type: ignore[return-value]


def _legend_below(ax: Axes) -> None:
    """A legend under the axis label, in as many columns as the panel's share of the figure holds."""
    figure, around = cast("Figure", ax.figure), cast("Bbox", ax.get_tightbbox())
    under = (ax.bbox.y0 - around.y0) / figure.dpi + 0.06  # inches that ticks and label take
    place = ax.transAxes + ScaledTranslation(0, -under, figure.dpi_scale_trans)
    look: Any = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": place, "borderaxespad": 0}
    spec = ax.get_subplotspec()
    room = figure.bbox.width / (spec.get_gridspec().ncols if spec else 1) - 0.8 * figure.dpi
    for columns in range(len(ax.get_legend_handles_labels()[1]), 0, -1):
        legend = ax.legend(ncols=columns, columnspacing=1.4, borderpad=0, **look)
        if legend.get_window_extent().width <= room:
            break


def curves(
    x: ArrayLike,
    ys: Mapping[str, ArrayLike],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    xscale: str = "linear",
    yscale: str = "linear",
    references: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    points: bool = False,
    legend: str | None = "below",
    ax: Axes | None = None,
) -> Figure:
    """Lines over a common x. ys: label -> (len(x),); references: label -> level of a thin horizontal line.

    bands: label of a line -> (lower, upper) edge of a shaded band; points: markers without lines. Where a log axis
    would stay empty, since no y is above 0, the picture says so on a linear one; and on a log axis a line leaves the
    picture where it falls below 1e-12 of its largest value, where only rounding is left. Names of Greek letters in
    labels and titles, here and in the other charts, are written as letters.
    """
    with matplotlib.rc_context(STYLE):
        ax = _panel(ax)
        x = np.asarray(x)
        every = max(1, len(x) // 12)
        mark = 1 if points else (every // 2 % len(x), every)  # in the middle of each stretch, not on its edge
        for i, (label, y) in enumerate(ys.items()):
            look: Any = {
                "color": PALETTE[i % 7],
                "marker": MARKERS[i % 7],
                "linestyle": "none" if points else LINES[i % 7],
            }
            shown = above_rounding(y) if yscale == "log" else np.asarray(y)
            ax.plot(x, shown, label=greek(label), markevery=mark, **look)
            if bands and label in bands:
                low, high = bands[label]
                ax.fill_between(x, np.asarray(low), np.asarray(high), color=look["color"], alpha=0.2, linewidth=0)
        for i, (label, level) in enumerate((references or {}).items(), start=len(ys)):
            ax.axhline(level, color=PALETTE[i % 7], linestyle=LINES[(i + 2) % 7], linewidth=1.4, label=greek(label))
        ax.set_xscale(xscale)
        if yscale == "log" and not any((np.asarray(y) > 0).any() for y in ys.values()):
            yscale = "linear"
            ax.text(0.5, 0.6, NOTHING_POSITIVE, transform=ax.transAxes, ha="center", va="center")
        ax.set_yscale(yscale)
        if xscale == "linear" and np.issubdtype(x.dtype, np.integer):
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        for axis in (ax.xaxis, ax.yaxis):
            _plain_log_labels(axis)
        several = len(ys) + len(references or {}) > 1
        return _finish(ax, title, xlabel, ylabel, legend if several else None)


def above_rounding(y: ArrayLike) -> np.ndarray:
    """A line for a log axis: 0, which such an axis leaves out, in the place of all below 1e-12 of its largest value."""
    values = np.asarray(y, dtype=np.float64)
    largest = np.max(values, where=np.isfinite(values), initial=0.0)
    return np.where(values < ROUNDING * largest, np.minimum(values, 0.0), values)


def _plain_log_labels(axis: Axis) -> None:
    """On a log axis of less than two powers of ten write 0.02 and 0.05, not 2 x 10^-2 and only the powers."""
    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() == "log" and 1e-4 < low < high < 1e5 and high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def heat_map(
    matrix: ArrayLike,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    digits: int | None = 2,
    limit: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A matrix as coloured cells, with its numbers written in while they are readable (up to 14 columns).

    digits: of those numbers; None writes none: the last digit of what was trained is another one on another machine.

    Negative numbers give a diverging scale, symmetric about 0, where it is pale; `limit` fixes its end, to compare
    panels. The strongest colour is as strong as a black number on it stays readable.
    A cell that is NaN stays blank: no colour, no number.
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        ax = _panel(ax)
        values = np.asarray(matrix, dtype=np.float64)
        top = limit if limit is not None else float(np.nan_to_num(np.abs(values)).max()) or 1.0
        signed = bool((values < 0).any())
        cells, least = (SIGNED_CELLS, -top) if signed else (CELLS, 0.0)
        image = ax.imshow(values, cmap=cells, vmin=least, vmax=top, aspect="auto")
        ax.grid(visible=False)
        ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
        if digits is not None and values.shape[1] <= 14 and values.shape[0] <= 20:
            _write_numbers(ax, values, digits)
        _name_ticks(ax, values.shape, row_names, column_names)
        return _finish(ax, title, xlabel, ylabel)


def _write_numbers(ax: Axes, values: np.ndarray, digits: int) -> None:
    size = 9.5 if max(values.shape) <= (12 if digits == 0 else 9) else 7.5
    for (i, j), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        text = f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0 turns -0 into 0
        ax.text(j, i, text, ha="center", va="center", fontsize=size)


def _name_ticks(ax: Axes, shape: tuple[int, ...], rows: Sequence[str] | None, columns: Sequence[str] | None) -> None:
    for axis, count, names in ((ax.yaxis, shape[0], rows), (ax.xaxis, shape[1], columns)):
        if names is not None:
            axis.set_ticks(range(count), labels=[greek(name) for name in names])
        elif count <= 20:
            axis.set_ticks(range(count))


def bars(
    names: Sequence[str],
    series: Mapping[str, ArrayLike],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    yscale: str = "linear",
    references: Mapping[str, float] | None = None,
    legend: str | None = "below",
    ax: Axes | None = None,
) -> Figure:
    """Grouped bars: series label -> (len(names),). Hatching tells the series apart without colour."""
    with matplotlib.rc_context(STYLE):
        ax = _panel(ax)
        width = 0.8 / len(series)
        middle = np.arange(len(names))
        for i, (label, heights) in enumerate(series.items()):
            at = middle + (i - (len(series) - 1) / 2) * width
            ax.bar(
                at,
                np.asarray(heights),
                width,
                label=greek(label),
                color=PALETTE[i % 7],
                hatch=HATCHES[i % 7],
                edgecolor="white",
            )
        for i, (label, level) in enumerate((references or {}).items(), start=len(series)):
            ax.axhline(level, color=PALETTE[i % 7], linestyle=LINES[(i + 1) % 7], linewidth=1.4, label=greek(label))
        ax.set_xticks(middle, [greek(name) for name in names])
        ax.set_yscale(yscale)
        ax.grid(visible=False, axis="x")
        several = len(series) + len(references or {}) > 1
        return _finish(ax, title, xlabel, ylabel, legend if several else None)


def value_intervals(
    labels: Sequence[str],
    points: Mapping[str, ArrayLike],
    interval: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    title: str,
    xlabel: str,
    legend: str | None = "below",
    ax: Axes | None = None,
) -> Figure:
    """A row a label, from top to bottom. points: what they are -> (len(labels),), a marker each in every row.

    interval: lower and upper edge of the first of them, (len(labels),) each; NaN draws nothing.
    """
    with matplotlib.rc_context(STYLE):
        if ax is None:
            ax = new_figure(size=(7.0, 1.6 + 0.32 * max(len(labels), 3)))[1][0]
        y = np.arange(len(labels))
        if interval is not None:
            low, high = (np.asarray(edge, dtype=float) for edge in interval)
            ax.hlines(y, low, high, color=PALETTE[0], alpha=0.7, linewidth=5, label="95 % interval over episodes")
        for i, (name, x) in enumerate(points.items()):
            look: Any = {"marker": MARKERS[i], "color": PALETTE[i], "markeredgecolor": "black"}
            ax.plot(np.asarray(x), y, linestyle="none", label=greek(name), **look)
        ax.set_yticks(y, labels)
        ax.set_ylim(len(labels) - 0.5, -0.5)
        return _finish(ax, title, xlabel, "", legend)


def chain_diagram(
    transition: ArrayLike,
    *,
    title: str,
    names: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
    shade: ArrayLike | None = None,
    least: float = 0.02,
    ax: Axes | None = None,
) -> Figure:
    """The states of a chain on a circle, an arrow for each transition of at least `least`, its probability beside it.

    names: in the circles; notes: a line below each name (a reward, a value); shade: (S,), the bluer the larger.
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        P = np.asarray(transition, dtype=np.float64)
        n = len(P)
        angle = np.pi / 2 - 2 * np.pi * np.arange(n) / n
        centre = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        bottom = centre[:, 1].min() - 0.6
        ax = ax if ax is not None else new_figure(size=(6.0, 0.5 + 1.4 * (1.75 - bottom)))[1][0]
        radius = min(0.24, 0.55 * np.sin(np.pi / max(n, 2)))
        for i, j in np.argwhere(least <= P):
            _arrow(ax, centre[i], centre[j], P[i, j], radius)
        levels = np.zeros(n) if shade is None else _unit_range(np.asarray(shade, dtype=np.float64))
        for i in range(n):
            color = CELLS(0.2 + 0.8 * levels[i])
            ax.add_patch(Circle(tuple(centre[i]), radius, facecolor=color, edgecolor="black", zorder=3))
            text = (names[i] if names else str(i)) + (f"\n{notes[i]}" if notes else "")
            ax.text(centre[i, 0], centre[i, 1], text, ha="center", va="center", fontsize=11 if n <= 6 else 9, zorder=4)
        ax.set_xlim(-1.65, 1.65)
        ax.set_ylim(bottom, 1.75)
        ax.set_aspect("equal")
        ax.axis("off")
        ax.set_title(greek(title), wrap=True)
        return ax.figure  # type: ignore[return-value]


def _unit_range(values: np.ndarray) -> np.ndarray:
    spread = float(np.ptp(values))
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)


def _arrow(ax: Axes, start: np.ndarray, end: np.ndarray, probability: float, radius: float) -> None:
    """A bent arrow, so that both directions show; a loop outside the circle for staying put."""
    width = 0.8 + 2.2 * probability
    if np.allclose(start, end):
        out = start / np.linalg.norm(start)
        side = np.array([-out[1], out[0]])
        a, b = start + radius * (0.75 * out + 0.6 * side), start + radius * (0.75 * out - 0.6 * side)
        label, bend = start + out * (radius + 0.36), -1.6
    else:
        along = (end - start) / np.linalg.norm(end - start)
        side = np.array([along[1], -along[0]])
        a, b = start + radius * along, end - radius * along
        label, bend = (a + b) / 2 - side * (0.07 + 0.11 * np.linalg.norm(b - a)), -0.22
    style = f"arc3,rad={bend}"
    arrow = FancyArrowPatch(
        tuple(a), tuple(b), connectionstyle=style, arrowstyle="-|>", mutation_scale=13, linewidth=width
    )
    arrow.set(color="#444444", zorder=2)
    ax.add_patch(arrow)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    ax.text(label[0], label[1], f"{probability:.2f}", ha="center", va="center", fontsize=9, bbox=box, zorder=5)
