"""Lesson 07: the microscope, one layer cell by cell on a corridor with one reward; what five faults do, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from icrl_teach.attention import softmax_attention
from icrl_teach.figures import SIGNED_CELLS, STYLE, Picture, View, colors, curves, new_figure, picture
from icrl_teach.mrp import MarkovRewardProcess
from icrl_teach.prompt import build_prompt, row_names, target_row, value_row
from icrl_teach.softmax_td import weighted_softmax_td
from icrl_teach.transformer import SoftmaxTransformer, td_error_row, td_parameters

STATES = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0])  # A, B, C, D, A, B, C, D and the query A
REWARDS = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])  # paid on leaving D, three steps from A
NAMES, GAMMA, N_LAYERS, D = "ABCD", 0.8, 12, 4
NETWORK, TD, EXACT = colors(3)
TOP = 1.7  # the corridor's values stay below it, so that all layers share one colour scale


@lru_cache(maxsize=1)
def exact_values() -> np.ndarray:
    """The corridor's values, from the Bellman equation. (4,)."""
    return MarkovRewardProcess(np.roll(np.eye(4), 1, axis=1), [0.0, 0.0, 0.0, 1.0], GAMMA).value()


@lru_cache(maxsize=8)
def traced(beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Z_0 ... Z_L, (L+1, 7, 9), its attention, (9, 9), and weighted softmax TD's values, (L+1, 9)."""
    x = np.eye(D)[STATES]
    prompt = build_prompt(x, REWARDS)
    trace = SoftmaxTransformer.constructed(D, N_LAYERS, GAMMA, beta=beta).trace(prompt)
    E = softmax_attention(prompt, td_parameters(D, beta=beta)[1])
    return trace.numpy(), E.numpy(), weighted_softmax_td(x, REWARDS, GAMMA, N_LAYERS, beta=beta)


def largest_difference(trace: np.ndarray, values: np.ndarray) -> float:
    """Both memories against weighted softmax TD, in every column of every layer given."""
    value = np.abs(trace[:, value_row(D)] - values).max()
    target = np.abs(trace[:, target_row(D), :-1] - GAMMA * values[:, 1:]).max()
    return float(max(value, target))


def microscope_view(layer: int, query: int, beta: float) -> View:
    """Z_l with named rows; below it the errors, the query's attention and their product; the query's value by layer.

    layer: 0 to 12; query: the position that is looked at, 0 to 8; beta: inverse temperature. Empty cells hold 0.00.
    """
    trace, E, values = traced(beta)
    Z, name = trace[layer], NAMES[STATES[query]]
    delta = td_error_row(D).numpy() @ Z  # its last entry is minus a value, no error: that column teaches nobody
    weight = E[:, query]
    step = float(weight @ delta)
    figure, (left, right) = new_figure(1, 2, size=(10.6, 5.2), fitted=False)
    left.set_position((0.115, 0.02, 0.535, 0.96))
    right.set_position((0.715, 0.12, 0.275, 0.805))
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        heard = np.stack([delta, weight, weight * delta])
        heard[:, -1] = np.nan
        _draw_cells(left, Z, heard)
        heading = {"ha": "left", "va": "center", "fontsize": 11.5, "fontweight": "bold"}
        when = f"after layer {layer}" if layer else "at first"
        left.text(-0.5, -0.9, f"Z_{layer}: what each column holds {when}", heading)
        left.text(-0.5, D + 4.55, f"Position {query} ({name}) hears, and moves by {step:+.3f}", heading)
        for first, rows in ((0, D + 3), (D + 5.5, 3)):
            left.add_patch(Rectangle((query - 0.5, first - 0.5), 1, rows, fill=False, edgecolor="black", linewidth=2.4))
        _draw_value(right, layer, query, trace[:, value_row(D), query], values[:, query])
    return View(figure, _alt(layer, query, beta, trace, weight, step), _numbers(layer, query, trace, E, values, step))


def _draw_cells(ax: Axes, Z: np.ndarray, heard: np.ndarray) -> None:
    """Z above, what the query hears below, column under column. Hand-made labels draw faster than ticks."""
    ax.axis("off")
    columns = len(STATES)
    names = [*row_names(D), "TD error", "attention", "product"]
    for cells, first in ((Z, 0.0), (heard, D + 5.5)):
        box = (-0.5, columns - 0.5, first + len(cells) - 0.5, first - 0.5)
        ax.imshow(cells, cmap=SIGNED_CELLS, vmin=-TOP, vmax=TOP, aspect="auto", extent=box, interpolation="nearest")
        for (i, j), value in np.ndenumerate(cells):
            if abs(value) >= 0.005:  # false for the NaN of the masked column
                ax.text(j, first + i, f"{value:.2f}", ha="center", va="center", fontsize=10)
        for i, name in enumerate(names[: len(cells)] if first == 0 else names[len(Z) :]):
            ax.text(-0.6, first + i, name, ha="right", va="center", fontsize=10.5)
    for j, state in enumerate(STATES):
        ax.text(j, D + 3.05, f"{j}: {NAMES[state]}", ha="center", va="center", fontsize=10.5)
    ax.hlines([D - 0.5], -0.5, columns - 0.5, color="0.4", linewidth=1.0)
    ax.text(columns - 1, D + 6.5, "masked", ha="center", va="center", fontsize=10.5, rotation=90)
    ax.set_xlim(-0.55, columns - 0.45)
    ax.set_ylim(D + 8.1, -1.3)


def _draw_value(ax: Axes, layer: int, query: int, network: np.ndarray, td: np.ndarray) -> None:
    layers, name, exact = np.arange(N_LAYERS + 1), NAMES[STATES[query]], exact_values()[STATES[query]]
    ax.plot(layers, network, "-", color=NETWORK, label="network, value memory")
    ax.plot(layers, td, "x", color=TD, markersize=8, markeredgewidth=2, linestyle="none", label="weighted softmax TD")
    ax.axhline(exact, color=EXACT, linestyle="-.", label="exact value")
    ax.vlines([layer], -0.08, 1.8, color="black", linewidth=1.2, linestyle=":")
    ax.plot([layer], [network[layer]], "o", color=NETWORK, markersize=10)
    ax.set_ylim(-0.08, 2.3)
    ax.set_xticks(range(0, N_LAYERS + 1, 4))
    ax.set_yticks([0.0, 0.5, 1.0, 1.5, 2.0])
    ax.set_xlabel("layer")
    ax.legend(loc="upper left", fontsize=9.5)
    ax.set_title(f"Value of {name}: {network[layer]:.3f} at layer {layer}", fontsize=11.5)


def _numbers(layer: int, query: int, trace: np.ndarray, E: np.ndarray, values: np.ndarray, step: float) -> str:
    state = STATES[query]
    share = {NAMES[s]: E[:-1][STATES[:-1] == s, query].sum() for s in range(4)}
    teachers = "   ".join(f"{name} {weight:.3f}" for name, weight in share.items())
    same = largest_difference(trace[: layer + 1], values[: layer + 1]) < 1e-12
    return (
        f"layer {layer}, position {query} ({NAMES[state]}): value {trace[layer, value_row(D), query]:.3f}, "
        f"exact {exact_values()[state]:.3f}\n"
        f"its attention by state:  {teachers};  its next step {step:+.3f}\n"
        f"both memories, layers 0 to {layer}: weighted softmax TD's to 1e-12: {same}"
    )


def _alt(layer: int, query: int, beta: float, trace: np.ndarray, weight: np.ndarray, step: float) -> str:
    name, loudest = NAMES[STATES[query]], NAMES[STATES[int(weight[:-1].argmax())]]
    return (
        f"Left: the matrix Z_{layer} with named rows, and below it the TD errors, the attention of "
        f"position {query} (state {name}) at beta {beta:.3g}, largest on state {loudest}, and their products, with "
        f"sum {step:+.3f}. Right: the value of {name} by layer, {trace[layer, value_row(D), query]:.3f} at this one; "
        "the network's line passes through the crosses of weighted softmax TD, beside a line at the exact value."
    )


def _words(error: float) -> str:
    return "below 1e-9" if error < 1e-9 else "over 1e6" if error > 1e6 else f"{error:.3f}"


def fault_table(error: Mapping[str, np.ndarray], others: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """A row a fault: its error after five depths, its growth from layer 39 to 40, its range at layer 300 elsewhere."""
    rows = {}
    for name, e in error.items():
        last = [other[name][300] for other in others]
        rows[name] = {f"layer {depth}": _words(e[depth]) for depth in (1, 2, 5, 40, 300)}
        rows[name] |= {"40 over 39": f"{e[40] / e[39]:.1f}"}
        ends = (("least", min), ("most", max))
        rows[name] |= {f"300: {which} of {len(others)}": _words(end(last)) for which, end in ends}
    return pd.DataFrame(rows).T


def fault_picture(error: Mapping[str, np.ndarray]) -> Picture:
    """Errors by layer, each line while it is between 1e-9 and 1e3."""
    shown = {name: np.where((e > 1e-9) & (e < 1e3), e, np.nan)[:41] for name, e in error.items()}
    figure = curves(
        np.arange(41),
        shown,
        title="Two faults explode, two stay wrong, one heals",
        xlabel="layer",
        ylabel="largest error of value memory",
        yscale="log",
    )
    return picture(
        figure,
        alt="Errors over forty layers, log axis: flipped sign and uncleared target leave at the top, unmasked query "
        "and backward shift level off, wrong axis falls.",
    )
