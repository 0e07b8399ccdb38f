"""Lesson 04: one temperature dial, from linear TD to batch tabular TD."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from icrl_teach.features import random_features
from icrl_teach.figures import INK, STYLE, View, colors, new_figure
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
    """At one inverse temperature: who listens to whom, six values between the two references, the gaps to both."""
    soft, linear, tabular = softmax_values(beta), linear_values(beta), tabular_values()
    gap_linear, gap_tabular = np.abs(soft - linear).max(), np.abs(soft - tabular).max()
    figure, (arcs, left, right) = new_figure(1, 3, size=(12.0, 3.7), fitted=False)
    arcs.set_position((0.0, 0.02, 0.28, 0.89))
    left.set_position((0.33, 0.15, 0.3, 0.76))
    right.set_position((0.7, 0.15, 0.29, 0.76))
    if gap_linear < gap_tabular / 3:
        place = "near linear TD"
    elif gap_tabular < gap_linear / 3:
        place = "near tabular TD"
    else:
        place = "between the two"
    own = _draw_arcs(arcs, beta)
    with matplotlib.rc_context(STYLE):
        _draw_values(left, soft, linear, tabular)
        left.set_title(rf"$\beta$ = {beta:.3g}: {place}")
        _draw_gaps(right, beta, gap_linear, gap_tabular)
    shown = f"{gap_linear:.1e}" if gap_linear < 100 else "above 100 (linear TD diverges at this beta)"
    own_weights = f"{own.min():.2f} to {own.max():.2f}"
    numbers = (
        f"inverse temperature beta            {beta:.3g}\n"
        f"weight a state gives to itself      {own_weights}\n"
        f"gap to linear TD at the same beta   {shown}\n"
        f"gap to batch tabular TD             {f'{gap_tabular:.1e}' if gap_tabular > 1e-12 else 'below 1e-12'}\n"
        f"largest minus smallest value        {np.ptp(soft):.3f}"
    )
    alt = (
        f"Left: arcs between six states, as wide as the weights at beta {beta:.3g}; to itself a state gives "
        f"{own_weights}. Middle: values of the states under weighted softmax TD, with linear TD and batch tabular TD "
        f"as references; the values lie {place}. Right: both gaps against beta, logarithmic axes, with a line at this "
        f"beta; the gap to linear TD rises and the gap to tabular TD falls."
    )
    return View(figure, alt, numbers)


def _draw_arcs(ax: Axes, beta: float) -> np.ndarray:
    """Who listens to whom at this beta; returns what each state gives to itself, (S,)."""
    x, trajectory = _chain()
    M, *_ = empirical_operators(trajectory, x, beta)
    angle = np.pi / 2 - 2 * np.pi * np.arange(N_STATES) / N_STATES
    listening(ax, M, np.stack([np.cos(angle), np.sin(angle)], axis=1), list("012345"), "Who listens to whom")
    ax.set_xlim(-1.6, 1.6)
    ax.set_ylim(-1.6, 1.55)
    return np.diag(M)


def _draw_values(ax: Axes, soft: np.ndarray, linear: np.ndarray, tabular: np.ndarray) -> None:
    states = np.arange(N_STATES)
    ax.bar(states, soft, 0.62, color=SOFTMAX, alpha=0.7, label="weighted softmax TD")
    if np.abs(linear).max() < OFF_THE_PICTURE:
        ax.plot(states, linear, "s--", color=LINEAR, label=r"linear TD, same $\beta$", linewidth=1.4, markersize=7)
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
    ax.text(-1.9, -5.2, "gap to linear TD", color=INK[1])
    ax.text(-1.9, 0.3, "gap to tabular TD", color=INK[2])
    ax.plot(log(beta), log(gap_linear), "s", color=LINEAR, markersize=9)
    ax.plot(log(beta), log(max(gap_tabular, 1e-16)), "^", color=TABULAR, markersize=9)
    ax.axvline(log(beta), color="black", linewidth=1.0, linestyle=":")
    ax.set_ylim(-8.5, 2.0)
    ax.set_xticks([-2, -1, 0, 1, 2], ["0.01", "0.1", "1", "10", "100"])
    ax.set_yticks([-8, -4, 0], ["1e-8", "1e-4", "1"])
    ax.set_xlabel(r"inverse temperature $\beta$")
    ax.set_ylabel("largest difference")
    ax.set_title("Where the dial stands")


def listening(ax: Axes, weights: np.ndarray, places: np.ndarray, names: Sequence[str], title: str) -> None:
    """Who listens to whom: an arc from each source to each query, as wide as the weight that the query gives to it.

    weights: (S, S), row = query, column = source, as M; places: (S, 2), where each state stands, about the origin.
    """
    for query, source in np.argwhere(weights > 0.004):
        _arc(ax, places[source], places[query], float(weights[query, source]))
    for place, name in zip(places, names, strict=True):
        ax.add_patch(Circle(tuple(place), 0.13, facecolor="white", edgecolor="black", zorder=3))
        ax.text(place[0], place[1], name, ha="center", va="center", zorder=4)
    ax.set_aspect("equal")
    ax.axis("off")
    with matplotlib.rc_context(STYLE):
        ax.set_title(title)


def _arc(ax: Axes, source: np.ndarray, query: np.ndarray, weight: float) -> None:
    """An arc with its head at the query; listening to oneself is a loop that points outwards."""
    if np.array_equal(source, query):
        out = source / np.linalg.norm(source)
        side = 0.1 * np.array([-out[1], out[0]])
        start, end, bend = source + 0.11 * out + side, source + 0.11 * out - side, -2.4
    else:
        along = (query - source) / np.linalg.norm(query - source)
        start, end, bend = source + 0.14 * along, query - 0.15 * along, 0.22
    width = 9 * weight  # in points
    shape = f"simple,tail_width={width:.3f},head_width={width + 5:.3f},head_length={0.6 * width + 5:.3f}"
    arc = FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", arrowstyle=shape, shrinkA=0, shrinkB=0)
    arc.set(color=SOFTMAX, alpha=0.8, linewidth=0, mutation_scale=1, zorder=2)
    ax.add_patch(arc)


def listening_figure(features: np.ndarray, visits: np.ndarray, betas: Sequence[float], names: Sequence[str]) -> Figure:
    """The arcs at several inverse temperatures, states standing where their features (S, 2) point."""
    figure, panels = new_figure(1, len(betas), size=(10.5, 3.0))
    for ax, beta in zip(panels, betas, strict=True):
        M = visits * np.exp(beta * features @ features.T)
        for x in features:
            ax.plot([0, x[0]], [0, x[1]], color="0.5", linewidth=1.0, zorder=1)
        listening(ax, M / M.sum(axis=1, keepdims=True), features, names, rf"$\beta$ = {beta:g}")
        ax.set_xlim(-1.05, 1.45)
        ax.set_ylim(-0.3, 1.35)
    return figure
