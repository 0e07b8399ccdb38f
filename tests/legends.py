"""Where legends stand: never where matplotlib's guess puts them, never off the picture, never on a line or a bar."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import Bbox

BEST = 0  # matplotlib's number of the place that turns on the data


def legend_faults(figure: Figure) -> list[str]:
    """What is wrong with the legends of a figure, a sentence each."""
    figure.draw_without_rendering()
    legends = [(ax, legend) for ax in figure.axes if (legend := ax.get_legend()) is not None and legend.get_visible()]
    return [fault for ax, legend in legends for fault in _faults(figure, ax, legend)]


def _faults(figure: Figure, ax: Axes, legend: Legend) -> list[str]:
    box, page = legend.get_window_extent(), figure.bbox
    found = []
    if legend._get_loc() == BEST:
        found.append("its place turns on the data")
    if box.x0 < page.x0 - 1 or box.y0 < page.y0 - 1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
        found.append(f"it leaves the picture: {box.extents.round()} of {page.extents.round()}")
    inside = Bbox.intersection(box, ax.bbox)  # what is drawn ends where its axes do
    if inside is not None and not legend.get_frame_on():
        covered = sum(_covered(inside, ax.transData.transform(line.get_xydata())) for line in ax.lines)
        covered += sum(inside.overlaps(patch.get_window_extent()) for patch in ax.patches)
        found += [f"it lies on {covered} lines or bars"] if covered else []
    return [f"{ax.get_title(loc='left') or ax.get_title()}: {fault}" for fault in found]


def _covered(box: Bbox, points: np.ndarray) -> bool:
    """Whether a line through these points, in pixels, crosses the box: tried at a hundred places between each two."""
    steps = np.linspace(0, 1, 101)[:, None, None]
    between = points[:-1] + steps * (points[1:] - points[:-1])
    x, y = between[..., 0], between[..., 1]
    return bool(((box.x0 < x) & (x < box.x1) & (box.y0 < y) & (y < box.y1)).any())
