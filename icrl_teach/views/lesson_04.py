"""Lesson 04: one temperature dial, from linear TD to batch tabular TD."""

from __future__ import annotations

from functools import lru_cache

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from icrl_teach.features import random_features
from icrl_teach.figures import STYLE, View, colors, new_figure
from icrl_teach.mrp import Trajectory
from icrl_teach.softmax_td import empirical_operators, operator_td
from icrl_teach.tasks import loop
from icrl_teach.td import batch_tabular_td

N_STATES, GAMMA, N_ITERATIONS = 6, 0.8, 10
SOFTMAX, LINEAR, TABULAR = colors(3)
OFF_THE_PICTURE = 3.0  # linear TD at a large beta steps too far and diverges


@lru_cache(maxsize=1)
def _chain() -> tuple[np.ndarray, Trajectory]:
    """The lesson's chain: six random unit features in three dimensions, 200 transitions."""
    rng = np.random.default_rng(23)
    process = loop(N_STATES, GAMMA, rng)
    return random_features(N_STATES, 3, rng), process.sample(200, rng)


def softmax_values(beta: float) -> np.ndarray:
    """Weighted softmax TD after ten iterations, in operator form. (S,)."""
    x, trajectory = _chain()
    return operator_td(*empirical_operators(trajectory, x, beta), GAMMA, N_ITERATIONS)[-1]


def linear_values(beta: float) -> np.ndarray:
    """Linear TD on the features (1, sqrt(beta) x) with step 1/n and centred sources, after ten iterations. (S,)."""
    x, trajectory = _chain()
    source, following = trajectory.states[:-1], trajectory.states[1:]
    centred = np.sqrt(beta) * (x[source] - x[source].mean(axis=0))
    b, w = 0.0, np.zeros(x.shape[1])
    for _ in range(N_ITERATIONS):
        v = b + np.sqrt(beta) * x @ w
        delta = trajectory.rewards + GAMMA * v[following] - v[source]
        b, w = b + delta.mean(), w + centred.T @ delta / len(delta)
    return b + np.sqrt(beta) * x @ w


@lru_cache(maxsize=1)
def tabular_values() -> np.ndarray:
    """Batch tabular TD after ten iterations. (S,)."""
    return batch_tabular_td(_chain()[1], GAMMA, N_ITERATIONS)[-1]


@lru_cache(maxsize=1)
def _gaps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gaps to linear TD and to tabular TD along the whole dial."""
    betas = np.logspace(-2, 2, 41)
    values = [softmax_values(beta) for beta in betas]
    linear = [np.abs(v - linear_values(beta)).max() for v, beta in zip(values, betas, strict=True)]
    return betas, np.array(linear), np.array([np.abs(v - tabular_values()).max() for v in values])


def temperature_view(beta: float) -> View:
    """The values of six states at one inverse temperature, between the two references; the gaps along the dial."""
    soft, linear, tabular = softmax_values(beta), linear_values(beta), tabular_values()
    gap_linear, gap_tabular = np.abs(soft - linear).max(), np.abs(soft - tabular).max()
    figure, (left, right) = new_figure(1, 2, size=(9.4, 3.7), fitted=False)
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.145, top=0.91, wspace=0.24)
    if gap_linear < gap_tabular / 3:
        place = "near linear TD"
    elif gap_tabular < gap_linear / 3:
        place = "near tabular TD"
    else:
        place = "between the two"
    with matplotlib.rc_context(STYLE):
        _draw_values(left, soft, linear, tabular)
        left.set_title(f"beta = {beta:.3g}: {place}")
        _draw_gaps(right, beta, gap_linear, gap_tabular)
    shown = f"{gap_linear:.1e}" if gap_linear < 100 else "above 100 (linear TD diverges at this beta)"
    numbers = (
        f"inverse temperature beta            {beta:.3g}\n"
        f"gap to linear TD at the same beta   {shown}\n"
        f"gap to batch tabular TD             {f'{gap_tabular:.1e}' if gap_tabular > 1e-12 else 'below 1e-12'}\n"
        f"largest minus smallest value        {np.ptp(soft):.3f}"
    )
    alt = (
        f"Left: values of six states under weighted softmax TD at beta {beta:.3g}, with linear TD and batch tabular TD "
        f"as references; the values lie {place}. Right: both gaps against beta on logarithmic axes, with a line at "
        f"this beta; the gap to linear TD rises and the gap to tabular TD falls."
    )
    return View(figure, alt, numbers)


def _draw_values(ax: Axes, soft: np.ndarray, linear: np.ndarray, tabular: np.ndarray) -> None:
    states = np.arange(N_STATES)
    ax.bar(states, soft, 0.62, color=SOFTMAX, alpha=0.55, label="weighted softmax TD")
    if np.abs(linear).max() < OFF_THE_PICTURE:
        ax.plot(states, linear, "s--", color=LINEAR, label="linear TD, same beta", linewidth=1.4, markersize=7)
    else:
        ax.plot([], [], "s--", color=LINEAR, label="linear TD: off the picture")
    ax.plot(states, tabular, "^-.", color=TABULAR, label="batch tabular TD", linewidth=1.4, markersize=7)
    ax.axhline(0.0, color="black", linewidth=0.8)
    ax.set_ylim(-0.6, 2.3)
    ax.set_xticks(states)
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("state")
    ax.set_ylabel("value after 10 iterations")
    ax.legend(loc="upper right")


def _draw_gaps(ax: Axes, beta: float, gap_linear: float, gap_tabular: float) -> None:
    betas, to_linear, to_tabular = _gaps()
    log = np.log10
    ax.plot(log(betas), log(to_linear), "--", color=LINEAR)
    ax.plot(log(betas), log(np.maximum(to_tabular, 1e-16)), "-.", color=TABULAR)
    ax.text(-1.9, -5.2, "gap to linear TD", color=LINEAR)
    ax.text(-1.9, 0.3, "gap to tabular TD", color=TABULAR)
    ax.plot(log(beta), log(gap_linear), "s", color=LINEAR, markersize=9)
    ax.plot(log(beta), log(max(gap_tabular, 1e-16)), "^", color=TABULAR, markersize=9)
    ax.axvline(log(beta), color="black", linewidth=1.0, linestyle=":")
    ax.set_ylim(-8.5, 2.0)
    ax.set_xticks([-2, -1, 0, 1, 2], ["0.01", "0.1", "1", "10", "100"])
    ax.set_yticks([-8, -4, 0], ["1e-8", "1e-4", "1"])
    ax.set_xlabel("inverse temperature beta")
    ax.set_ylabel("largest difference")
    ax.set_title("Where the dial stands")
