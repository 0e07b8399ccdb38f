"""The pictures of lesson 00: a walk as a prompt, news on its way, and what one frozen network says, layer by layer."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from icrl_teach import figures
from icrl_teach.environments import mrp_from_env, rollout
from icrl_teach.features import one_hot
from icrl_teach.figures import Picture, View
from icrl_teach.prompt import build_prompt, value_row
from icrl_teach.tasks import boyan_chain
from icrl_teach.transformer import SoftmaxTransformer

GAMMA, D, LAYERS = 0.9, 16, 64
ARROWS = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]
CHAIN, LAKE = "Boyan chain", "FrozenLake-v1"


SECONDS = 1.2  # that a frame of the animation stays


def prompt_figure(names: Sequence[str], rows: np.ndarray) -> Figure:
    """A walk above, the prompt below, a column for each moment. names: (n+1,) of the states; rows: (3, n+1), the
    prompt's last rows: reward, target memory, value memory."""
    labels, last = ("state", "reward", "target memory", "value memory"), len(names) - 1
    figure, (ax,) = figures.new_figure(size=(6.8, 4.2), fitted=False)
    ax.set_position((0.0, 0.0, 1.0, 0.92))
    for j, name in enumerate(names):
        ax.add_patch(Circle((j, 2.75), 0.24, facecolor="#DCE9F5", edgecolor="black"))
        ax.text(j, 2.75, name, ha="center", va="center", fontsize=14)
        ax.annotate("", (j, 2.05), (j, 2.48), arrowprops={"arrowstyle": "-|>", "linestyle": ":", "color": "#444444"})
        for i, text in enumerate([name, *(f"{x:g}" for x in rows[:, j])]):
            cell = Rectangle((j - 0.4, 1.52 - 0.5 * i), 0.8, 0.45, facecolor="white", edgecolor="#888888")
            if j == last and i in (1, 2):  # not known: nothing followed yet
                cell.set(facecolor="#EEEEEE", hatch="//")
            ax.add_patch(cell)
            ax.text(j, 1.74 - 0.5 * i, text, ha="center", va="center", fontsize=12)
    for j, reward in enumerate(rows[0, :-1]):
        ax.annotate("", (j + 0.74, 2.75), (j + 0.26, 2.75), arrowprops={"arrowstyle": "-|>", "color": "black"})
        ax.text(j + 0.5, 2.82, f"pays {reward:g}", ha="center", va="bottom")
    ax.text(last, 3.05, "query", ha="center", va="bottom", fontweight="bold")
    ax.add_patch(Rectangle((last - 0.46, -0.06), 0.92, 2.1, fill=False, linestyle="--", linewidth=1.6))
    for i, label in enumerate(labels):
        ax.text(-0.5, 1.74 - 0.5 * i, label, ha="right", va="center")
    ax.set(xlim=(-1.75, last + 0.6), ylim=(-0.15, 3.3), aspect="equal")
    ax.set_title("A walk becomes a prompt: one column a moment", loc="left", x=0.02, fontweight="bold")
    ax.axis("off")
    return figure


def news_picture(values: np.ndarray) -> Picture:
    """The values of a corridor's squares, (L+1, S), as they change from layer to layer.

    Above, a frame a layer, one after the other, three times; below, all frames as rows, which is also what paper shows.
    No script: the moving part is style inside an SVG, and stands still where a reader's system asks for less motion.
    """
    svg, last = news_svg(values), len(values) - 1
    alt = (
        f"A corridor of {values.shape[1]} squares, the bluer the larger the value, in {last + 1} frames one after the "
        f"other, and again as rows, one for each layer from 0 to {last}: with each layer one more square, to the left, "
        "gets a value that is not 0."
    )
    data = base64.b64encode(svg.encode()).decode()
    return Picture(f"data:image/svg+xml;base64,{data}", alt, *_news_size(values))


def _news_size(values: np.ndarray) -> tuple[int, int]:
    return 130 + 92 * values.shape[1], 150 + 30 * len(values)


def news_svg(values: np.ndarray) -> str:
    """The drawing behind `news_picture`: groups of class `frame`, one a layer, then one of class `row` for each."""
    count, (width, height) = len(values), _news_size(values)
    share = 100 / count
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="DejaVu Sans, sans-serif" font-size="14" text-anchor="middle">',
        "<title>News moves back through a corridor, one square a layer</title><style>.frame{opacity:0}"
        f".frame:nth-of-type({count}){{opacity:1}}@media screen and (prefers-reduced-motion:no-preference){{"
        f".frame,.frame:nth-of-type({count}){{animation:show {SECONDS * count:g}s steps(1)}}}}"
        f"@keyframes show{{0%{{opacity:1}}{share:g}%{{opacity:0}}100%{{opacity:0}}}}</style>",
    ]
    for layer, row in enumerate(values):
        # Three rounds. The last frame's animation ends where its third turn begins, so that it stays, by its style;
        # those between end where a fourth would begin.
        rounds = f"animation-iteration-count:{3 if layer in (0, count - 1) else 4}"
        when = f"animation-delay:{0.0 - SECONDS * (-layer % count):g}s;{rounds}"
        parts.append(f'<g class="frame" style="{when}">{_squares(row, f"layer {layer}", 34, 66)}</g>')
    names = "".join(f'<text x="{156 + 92 * s}" y="26">square {s}</text>' for s in range(values.shape[1]))
    rows = "".join(
        f'<g class="row">{_squares(row, f"layer {layer}", 128 + 30 * layer, 26)}</g>'
        for layer, row in enumerate(values)
    )
    return "".join([*parts, names, rows, "</svg>"])


def _squares(values: np.ndarray, label: str, top: float, height: float) -> str:
    """One row of squares with their numbers; the bluer the larger, from 0 to 1."""
    middle = top + height / 2 + 5
    drawn = [f'<text x="55" y="{middle:g}">{label}</text>']
    for s, value in enumerate(values):
        fill = to_hex(figures.CELLS(float(np.clip(value, 0.0, 1.0))))
        drawn.append(
            f'<rect x="{112 + 92 * s}" y="{top:g}" width="88" height="{height:g}" fill="{fill}" stroke="#888888"/>'
            f'<text x="{156 + 92 * s}" y="{middle:g}">{round(float(value), 2) + 0.0:.2f}</text>'
        )
    return "".join(drawn)


@lru_cache(maxsize=2)
def what_it_says(task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lesson's task, read by the lesson's network: states seen (V,), values (L+1, V), exact values (V,)."""
    if task == CHAIN:
        mrp = boyan_chain(8, GAMMA, np.random.default_rng(3))
        walk = mrp.sample(1000, np.random.default_rng(1))
    else:
        policy = 0.8 * np.eye(4)[ARROWS] + 0.05
        mrp, walk = mrp_from_env(task, policy, GAMMA), rollout(task, policy, 2000, seed=0)
    network = SoftmaxTransformer.constructed(D, LAYERS, GAMMA)
    prompt = build_prompt(one_hot(D, tau=12.0)[walk.states], walk.rewards)
    seen, where = np.unique(walk.states[:-1], return_index=True)
    values = np.stack([Z[value_row(D)].numpy()[where] for Z in network.layers(prompt)])
    return seen, values, mrp.value()[seen]


def depth_view(layers: int = 4, task: str = CHAIN) -> View:
    """Values after 0..64 layers beside the exact ones, and where that is on the error's way down."""
    seen, values, exact = what_it_says(task)
    error = np.abs(values - exact).max(axis=1)  # (L+1,)
    title = f"{task} after {layers} layer{'' if layers == 1 else 's'}"
    figure, (left, right) = figures.new_figure(1, 2, size=(10.0, 3.9), fitted=False)
    left.set_position((0.09, 0.14, 0.46, 0.76))
    right.set_position((0.64, 0.14, 0.35, 0.76))
    figures.bars(
        [str(s) for s in seen],
        {"Transformer": values[layers], "exact": exact},
        title=title,
        xlabel="state",
        ylabel="value v(s)",
        legend=None,
        ax=left,
    )
    low, high = min(values.min(), exact.min()), max(values.max(), exact.max())
    room = 0.08 * (high - low)
    left.set_ylim(low - (room if low < 0 else 0), high + 3 * room)
    left.axhline(0.0, color="black", linewidth=0.8)
    left.legend(loc="upper center", ncols=2)
    figures.curves(
        np.arange(len(error)),
        {"largest error": error},
        title=f"Largest error {error[layers]:.3f}",
        xlabel="layer",
        ylabel="largest error",
        ax=right,
    )
    right.set_ylim(0.0, 1.05 * error.max())
    right.plot(
        [layers], [error[layers]], marker="s", markersize=11, color=figures.PALETTE[1], linestyle="none", clip_on=False
    )
    alt = (
        f"Left: bars of each state's value, {title}, beside the exact value. "
        "Right: the largest error by layer, with a square at this layer."
    )
    return View(figure, alt, _numbers(layers, seen, values[layers], exact, error[layers]))


def lake_figure(squares: np.ndarray, maps: Mapping[str, np.ndarray]) -> Figure:
    """Four maps of the 4 x 4 lake. squares: (V,) those with values; maps: title -> (V,). Holes and goal, never left,
    stay blank and carry a letter, as does the start. In its corner each square has its number, 0 to 15."""
    figure, axes = figures.new_figure(2, 2, size=(9.0, 6.8))
    for ax, (title, values) in zip(axes, maps.items(), strict=True):
        grid = np.full(16, np.nan)
        grid[squares] = values
        figures.heat_map(grid.reshape(4, 4), title=title, xlabel="column", ylabel="row", limit=0.65, ax=ax)
        for square in range(16):
            ax.text(square % 4 - 0.46, square // 4 - 0.44, f"{square}", va="top", fontsize=8, color="#444444")
        for square, name in {0: "S", 5: "H", 7: "H", 11: "H", 12: "H", 15: "G"}.items():
            height = square // 4 - (0.3 if name == "S" else 0.0)  # the start has a number, too
            ax.text(square % 4, height, name, ha="center", va="center", fontsize=10, fontweight="bold")
    return figure


def _numbers(layers: int, seen: np.ndarray, values: np.ndarray, exact: np.ndarray, error: float) -> str:
    lines = [
        f"after {layers} layers the largest error is {error:.3f}",
        "state        " + " ".join(f"{s:>6}" for s in seen),
        "Transformer  " + " ".join(f"{v:6.2f}" for v in values + 0.0),
        "exact        " + " ".join(f"{v:6.2f}" for v in exact),
    ]
    return "\n".join(lines)
