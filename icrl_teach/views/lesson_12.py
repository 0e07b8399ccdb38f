"""Lesson 12: two recorded walks in one prompt, and what becomes of the first one's last step: end, cut or restart."""

from __future__ import annotations

from functools import lru_cache

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from icrl_teach.features import one_hot
from icrl_teach.figures import INK, PALETTE, STYLE, View, new_figure
from icrl_teach.mrp import Trajectory
from icrl_teach.prompt import reward_row, target_row, trajectory_prompt, value_row
from icrl_teach.td import certainty_equivalence_value
from icrl_teach.transformer import SoftmaxTransformer

NAMES, GAMMA, N_LAYERS, TAU = "ABCD", 0.9, 12, 16.0
ENDINGS = ("it ends", "it is cut", "it restarts")
STEP = 2  # C's step in the first walk, the one that is switched


def recorded(ending: str) -> Trajectory:
    """A, B, C with reward 1 on leaving C; then A, B, C, D with reward 2 on leaving D, where that walk ends.

    After the first C the walk ends, is cut in D (the recording stopped there), or is read as leading back to A.
    """
    return Trajectory.of_transitions(
        [0, 1, 2, 0, 1, 2, 3],
        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0],
        [1, 2, {"it is cut": 3}.get(ending, 0), 1, 2, 3, 0],
        terminated=[False, False, ending == "it ends", False, False, False, True],
        truncated=[False, False, ending == "it is cut", False, False, False, False],
        labels=list(NAMES),
        query=0,
    )


@lru_cache(maxsize=3)
def traced(ending: str) -> tuple[Trajectory, np.ndarray, np.ndarray]:
    """The walks, the network's Z_0 ... Z_L, (L+1, 7, columns), and the value of the chain as seen, (4,)."""
    walks = recorded(ending)
    network = SoftmaxTransformer.constructed(4, N_LAYERS, GAMMA)
    trace = network.trace(trajectory_prompt(walks, one_hot(4, TAU)))
    return walks, trace.numpy(), certainty_equivalence_value(walks, GAMMA)


def ending_view(ending: str, layer: int) -> View:
    """Above, the columns with their flags and memories after a layer; below, the value of C by layer, in all readings.

    ending: one of ENDINGS; layer: 0 to 12.
    """
    walks, trace, value = traced(ending)
    figure, (above, below) = new_figure(2, 1, size=(9.6, 6.2), fitted=False)
    above.set_position((0.135, 0.47, 0.85, 0.47))
    below.set_position((0.135, 0.09, 0.85, 0.27))
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        _draw_columns(above, walks, trace[layer], layer)
    with matplotlib.rc_context(STYLE):
        _draw_values(below, ending, layer)
    return View(figure, _alt(ending, layer, walks, trace[layer], value), _numbers(ending, layer, walks, trace, value))


def _draw_columns(ax: Axes, walks: Trajectory, Z: np.ndarray, layer: int) -> None:
    ax.axis("off")
    rows = [(name, row(4)) for name, row in (("reward", reward_row), ("target", target_row), ("value", value_row))]
    for j, state in enumerate(walks.states):
        source, goes_on = walks.source[j], walks.continues[j]
        fill = "#E8F1F8" if source else "#F3F3F3"
        ax.add_patch(Rectangle((j - 0.45, 0), 0.9, 4, facecolor=fill, edgecolor="0.8", hatch="" if source else "//"))
        ax.add_patch(Rectangle((j - 0.45, 0), 0.9, 4, fill=False, edgecolor="0.3"))
        ax.text(j, 0.5, NAMES[state], ha="center", va="center", fontsize=14, fontweight="bold")
        for i, (_, row) in enumerate(rows):
            ax.text(j, 1.5 + i, f"{Z[row, j]:.2f}", ha="center", va="center", fontsize=11)
        if goes_on:
            ax.annotate("", (j + 0.85, -0.45), (j + 0.1, -0.45), arrowprops={"arrowstyle": "->", "lw": 1.8})
        elif source:
            ax.vlines(j + 0.5, -0.8, 4.1, color=PALETTE[1], linewidth=3)
            ax.text(j + 0.5, -1.0, "end", ha="center", va="bottom", fontsize=11, color=INK[1])
        else:
            role = "query" if j == len(walks.states) - 1 else "landing"
            ax.text(j, 4.35, role, ha="center", va="center", fontsize=11)
    for i, name in enumerate(["state", *(name for name, _ in rows)]):
        ax.text(-0.6, 0.5 + i, name, ha="right", va="center", fontsize=11)
    ax.set_xlim(-0.55, len(walks.states) - 0.45)
    ax.set_ylim(4.7, -1.6)
    when = f"after layer {layer}" if layer else "at first"
    ax.set_title(f"What each column holds {when}", fontsize=12)


def _draw_values(ax: Axes, chosen: str, layer: int) -> None:
    """Value memory of the first C, layer by layer; the chosen reading is drawn strong, the others thin."""
    for i, ending in enumerate(ENDINGS):
        path = traced(ending)[1][:, value_row(4), STEP]
        strong = ending == chosen
        ax.plot(range(N_LAYERS + 1), path, ("-", "--", "-.")[i], color=PALETTE[i], linewidth=2.8 if strong else 1.3)
        side = {"it is cut": "bottom", "it restarts": "top"}.get(ending, "center_baseline")
        ax.text(N_LAYERS + 0.35, path[-1], ending, va=side, fontsize=11, fontweight="bold" if strong else "normal")
    ax.plot([layer], [traced(chosen)[1][layer, value_row(4), STEP]], "o", color="black", markersize=9)
    ax.set_xlim(-0.3, N_LAYERS + 2.2)
    ax.set_xticks(range(0, N_LAYERS + 1, 2))
    ax.set_ylim(0.0, 3.0)
    ax.set_xlabel("layer")
    ax.set_ylabel("value of C")
    ax.set_title("The same rewards, three meanings of what follows", fontsize=12)


def _numbers(ending: str, layer: int, walks: Trajectory, trace: np.ndarray, value: np.ndarray) -> str:
    Z, limit = trace[layer], trace[-1, value_row(4), STEP]
    return (
        f"After the first C {ending}. Its target is 1 + {Z[target_row(4), STEP]:.2f} after layer {layer}.\n"
        f"value of C: {Z[value_row(4), STEP]:.3f} after layer {layer}, {limit:.3f} after {N_LAYERS}; "
        f"of the chain as seen: {value[2]:.3f}\n"
        f"columns: {len(walks.states)}, of which {walks.n_steps} teach"
    )


def _alt(ending: str, layer: int, walks: Trajectory, Z: np.ndarray, value: np.ndarray) -> str:
    return (
        f"Above: {len(walks.states)} columns for the states {' '.join(NAMES[s] for s in walks.states)}, with reward, "
        f"target and value memory after layer {layer}; after the first C {ending}, and its target memory is "
        f"{Z[target_row(4), STEP]:.2f}. Columns that are no source are hatched. Below: the value of C by layer in "
        f"three readings; in this one it is {Z[value_row(4), STEP]:.2f} at layer {layer} and {value[2]:.2f} in the end."
    )


def random_walks(rng: np.random.Generator, n: int = 25) -> Trajectory:
    """n random steps over five states; one in five terminates, one in five is cut. The query is A."""
    states, following = rng.integers(5, size=(2, n))
    fate = rng.choice(3, size=n, p=[0.6, 0.2, 0.2])
    fate[:2] = 1, 2  # at least one of each
    following[:-1] = np.where(fate[:-1] == 0, states[1:], following[:-1])  # a walk that goes on is joined
    return Trajectory.of_transitions(
        states, rng.normal(size=n), following, fate == 1, fate == 2, labels=list("ABCDE"), query=0
    )
