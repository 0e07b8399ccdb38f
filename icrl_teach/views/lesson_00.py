"""The picture behind lesson 00's widget: what one frozen network says about two tasks, layer by layer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes

from icrl_teach import figures
from icrl_teach.environments import mrp_from_env, rollout
from icrl_teach.features import one_hot
from icrl_teach.figures import View
from icrl_teach.prompt import build_prompt, value_row
from icrl_teach.tasks import boyan_chain
from icrl_teach.transformer import SoftmaxTransformer

GAMMA, D, LAYERS = 0.9, 16, 64
ARROWS = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]
CHAIN, LAKE = "Boyan chain", "FrozenLake-v1"


@lru_cache(maxsize=2)
def what_it_says(task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lesson's task, read by the lesson's network: states seen (V,), values (L+1, V), exact values (V,)."""
    if task == CHAIN:
        mrp = boyan_chain(8, GAMMA, np.random.default_rng(23))
        walk = mrp.sample(1000, np.random.default_rng(7))
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


def name_squares(ax: Axes) -> None:
    """Letters on the 4 x 4 lake: S for the start, above its number; H for holes and G for the goal, which have none."""
    for square, name in {0: "S", 5: "H", 7: "H", 11: "H", 12: "H", 15: "G"}.items():
        height = square // 4 - (0.3 if name == "S" else 0.0)
        ax.text(square % 4, height, name, ha="center", va="center", fontsize=10, fontweight="bold")


def _numbers(layers: int, seen: np.ndarray, values: np.ndarray, exact: np.ndarray, error: float) -> str:
    lines = [
        f"after {layers} layers the largest error is {error:.3f}",
        "state        " + " ".join(f"{s:>6}" for s in seen),
        "Transformer  " + " ".join(f"{v:6.2f}" for v in values + 0.0),
        "exact        " + " ".join(f"{v:6.2f}" for v in exact),
    ]
    return "\n".join(lines)
