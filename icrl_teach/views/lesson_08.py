"""Lesson 08's picture: forty unseen chains, and how near a frozen network comes with its depth and context."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from icrl_teach.features import one_hot
from icrl_teach.figures import STYLE, View, colors, curves, new_figure
from icrl_teach.mrp import MarkovRewardProcess, Trajectory
from icrl_teach.softmax_td import empirical_operators
from icrl_teach.tasks import sample_family

GAMMA, N_STATES, N_TASKS, N_LAYERS, LONGEST, TAU = 0.8, 8, 40, 40, 1000, 4.0
NETWORK, EXACT, FLOOR = colors(3)


@lru_cache(maxsize=3)
def _tasks(family: str) -> list[tuple[MarkovRewardProcess, Trajectory]]:
    """Forty fresh chains of a family, and a long walk on each."""
    rng = np.random.default_rng(808)
    chains = [sample_family(family, N_STATES, GAMMA, rng) for _ in range(N_TASKS)]
    return [(chain, chain.sample(LONGEST, rng)) for chain in chains]


@lru_cache(maxsize=64)
def errors_by_layer(family: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RMS error over the states left, (layers, 40); of the first task all values, (layers, S), and its visits, (S,).

    Every walk is cut after n transitions. Operator form, equal to the network by Theorem 1; layers 0..160, of which
    the last stands for the limit.
    """
    short = [Trajectory(walk.states[: n + 1], walk.rewards[:n]) for _, walk in _tasks(family)]
    operators = [empirical_operators(walk, one_hot(N_STATES, TAU)) for walk in short]
    M, Q, rho = (np.stack(table) for table in zip(*operators, strict=True))
    step, values = np.eye(N_STATES) - M + GAMMA * Q, [np.zeros_like(rho)]
    for _ in range(4 * N_LAYERS):
        values.append((step @ values[-1][..., None])[..., 0] + rho)
    v, visits = np.array(values), np.array([walk.visits(N_STATES) for walk in short])
    exact = np.array([chain.value() for chain, _ in _tasks(family)])
    error = np.sqrt(((v - exact) ** 2).mean(axis=-1, where=visits > 0))
    return error, v[:, 0], visits[0]


def evaluation_view(depth: int, context: float, family: str) -> View:
    """Left: error against depth over forty unseen chains, the chosen depth marked. Right: one of them, state by state.

    depth: layers, 0..40; context: transitions n, rounded; family: 'boyan', 'loop' or 'random'.
    """
    n, depth = max(1, round(context)), int(depth)
    error, values, visits = errors_by_layer(family, n)
    low, middle, high = np.quantile(error, [0.25, 0.5, 0.75], axis=1)
    floor, exact = middle[-1], _tasks(family)[0][0].value()
    figure, (left, right) = new_figure(1, 2, size=(9.4, 3.9), fitted=False)
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.2, top=0.9, wspace=0.18)
    with matplotlib.rc_context(STYLE):
        _draw_errors(left, depth, low, middle, high)
        left.set_title(f"n = {n}, {depth} layers: error {middle[depth]:.3f}")
        _draw_values(right, exact, values[depth], visits)
        right.set_title(f"One of the 40 {family} chains")
    never = int((visits == 0).sum())
    numbers = (
        f"40 unseen {family} chains, {n} transitions each, {depth} layers\n"
        f"RMS error: median {middle[depth]:.3f}, middle half {low[depth]:.3f} to {high[depth]:.3f}\n"
        f"with ever more layers {floor:.3f}, with none {middle[0]:.3f}\n"
        f"largest error in the chain on the right {np.abs(values[depth] - exact)[visits > 0].max():.3f} "
        f"(states never left: {never})"
    )
    alt = (
        f"Left: median error of the network on 40 unseen {family} chains against depth, with the band of the middle "
        f"half; at {depth} layers it is {middle[depth]:.3f}, its limit is {floor:.3f}. Right: values of the eight "
        f"states of one chain, from the network and exact; {never} of them were never left."
    )
    return View(figure, alt, numbers)


def temperature_picture(taus: Sequence[float], parts: np.ndarray) -> Figure:
    """Left: squared bias and variance of the differences between states at 10 layers. Right: their sum by depth.

    parts: (n_taus, 4, 3), at 3, 10, 30 layers and in the limit: squared bias, variance, level.
    """
    figure, (left, right) = new_figure(1, 2, size=(10.5, 4.2))
    look: dict[str, Any] = {"xscale": "log", "xlabel": "tau", "ylabel": "mean square, differences of states"}
    bias, variance = parts[:, 1, :2].T
    shown = {"squared bias": bias, "variance": variance, "sum": bias + variance}
    curves(taus, shown, title="10 layers: bias against variance", ax=left, **look)
    sums = parts[..., :2].sum(axis=-1).T
    shown = dict(zip(["3 layers", "10 layers", "30 layers", "limit"], sums, strict=True))
    curves(taus, shown, title="More layers: the best tau moves left", ax=right, **look)
    return figure


def _draw_errors(ax: Axes, depth: int, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> None:
    layers, shown = np.arange(N_LAYERS + 1), slice(0, N_LAYERS + 1)
    look: dict[str, Any] = {"color": NETWORK, "alpha": 0.2, "linewidth": 0}
    ax.fill_between(layers, low[shown], high[shown], label="middle half of 40 chains", **look)
    ax.plot(layers, middle[shown], color=NETWORK, label="frozen network, median")
    ax.axhline(middle[-1], color=FLOOR, linestyle="--", linewidth=1.4, label="ever more layers")
    ax.plot(depth, middle[depth], "o", color=NETWORK, markeredgecolor="black", markersize=11)
    ax.set_yscale("log")
    ax.set_ylim(0.006, 2.5)
    ax.set_yticks([0.01, 0.03, 0.1, 0.3, 1], ["0.01", "0.03", "0.1", "0.3", "1"])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xticks([0, 10, 20, 30, 40])
    ax.set_xlabel("layer")
    ax.set_ylabel("RMS error to the exact value")
    ax.legend(loc="lower left")


def _draw_values(ax: Axes, exact: np.ndarray, values: np.ndarray, visits: np.ndarray) -> None:
    states = np.arange(N_STATES)
    ax.bar(states, values, 0.62, color=NETWORK, alpha=0.55, label="frozen network")
    ax.plot(states, exact, "D", color=EXACT, markersize=9, label="exact value")
    ax.axhline(0.0, color="black", linewidth=0.8)
    lowest, highest = min(exact.min(), values.min(), 0.0), max(exact.max(), values.max(), 0.0)
    ax.set_ylim(lowest - 0.3, highest + 0.25 * (highest - lowest) + 0.2)
    ax.set_xticks(states, [f"{s}\n{count}" for s, count in enumerate(visits)])
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("state, and how often it was left")
    ax.set_ylabel("value")
    ax.legend(loc="upper right", ncols=2)
