"""Lesson 03: a walk of 60 places, its value approximated with d features, and where the error comes from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from icrl_teach import figures
from icrl_teach.features import aggregation
from icrl_teach.figures import View
from icrl_teach.mrp import MarkovRewardProcess, Trajectory

N_STATES, GAMMA = 60, 0.9
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}  # behind words that cross a line


@lru_cache(maxsize=1)
def round_walk() -> MarkovRewardProcess:
    """60 places on a ring: one on with probability 0.7, one back with 0.3; places 40 to 49 are mud.

    In the mud the walker stays put with probability 0.8 and pays 1 a step; places 10 to 19 give reward 1.
    """
    s = np.arange(N_STATES)
    stay = np.where((s >= 40) & (s < 50), 0.8, 0.0)
    P = np.diag(stay)
    P[s, (s + 1) % N_STATES] += 0.7 * (1 - stay)
    P[s, (s - 1) % N_STATES] += 0.3 * (1 - stay)
    return MarkovRewardProcess(P, 1.0 * ((s >= 10) & (s < 20)) - 1.0 * ((s >= 40) & (s < 50)), GAMMA)


@lru_cache(maxsize=256)
def walk_features(kind: str, d: int) -> np.ndarray:
    """Features of the 60 places, (60, d): "groups" of neighbours, "waves" (1, cosines and sines) or "random" numbers.

    Raises ValueError for another kind.
    """
    if kind == "groups":
        return aggregation(N_STATES, d)
    if kind == "random":
        return np.random.default_rng(0).standard_normal((N_STATES, N_STATES))[:, :d]
    if kind != "waves":
        raise ValueError(f"kind is {kind!r}; choose groups, waves or random")
    angle = 2 * np.pi * np.arange(N_STATES)[:, None] / N_STATES
    frequency = np.arange(1, N_STATES)
    pairs = np.stack([np.cos(angle * frequency), np.sin(angle * frequency)], axis=2).reshape(N_STATES, -1)
    return np.hstack([np.ones((N_STATES, 1)), np.sqrt(2) * pairs])[:, :d]


@lru_cache(maxsize=1)
def _walked() -> tuple[Trajectory, np.ndarray, np.ndarray]:
    """A long context, the exact value and the stationary distribution."""
    walk = round_walk()
    return walk.sample(30_000, np.random.default_rng(0)), walk.value(), walk.stationary_distribution()


@lru_cache(maxsize=1024)
def best_fit(kind: str, d: int) -> np.ndarray:
    """(60,) the approximation with the least squared error, weighted by mu."""
    _, v, mu = _walked()
    X, root = walk_features(kind, d), np.sqrt(mu)
    return X @ np.linalg.lstsq(root[:, None] * X, root * v, rcond=None)[0]


@lru_cache(maxsize=8)
def _counts(n: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each transition occurs in the first n steps, (S, S), and the sum of rewards collected in each state."""
    context = _walked()[0]
    counts = np.zeros((N_STATES, N_STATES))
    np.add.at(counts, (context.states[:n], context.states[1 : n + 1]), 1.0)
    return counts, np.bincount(context.states[:n], weights=context.rewards[:n], minlength=N_STATES)


@lru_cache(maxsize=1024)
def learned(kind: str, d: int, n: int) -> np.ndarray:
    """(60,) LSTD from the first n steps, by transition counts; a ridge of 1e-6 for features that were never met."""
    X, (counts, rewards) = walk_features(kind, d), _counts(n)
    A = X.T @ (np.diag(counts.sum(axis=1)) - GAMMA * counts) @ X + 1e-6 * np.eye(d)
    return X @ np.linalg.solve(A, X.T @ rewards)


@lru_cache(maxsize=16)
def error_split(kind: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For a range of d: d, the squared error no weights can avoid, and the part that learning from n steps adds.

    Both are weighted by mu. They add up to the squared error of LSTD, because the best fit is a projection.
    """
    _, _, mu = _walked()
    dimensions = np.array([1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 36, 42, 48, 54, 60])
    parts = [_split(kind, int(d), n, mu) for d in dimensions]
    fixed, added = np.array(parts).T
    return dimensions, fixed, added


def _split(kind: str, d: int, n: int, mu: np.ndarray) -> tuple[float, float]:
    fit, v = best_fit(kind, d), _walked()[1]
    return float(mu @ (fit - v) ** 2), float(mu @ (learned(kind, d, n) - fit) ** 2)


def features_view(d: int = 12, kind: str = "groups", n: int = 3000) -> View:
    """Exact value, best fit and LSTD with d features; beside it the two parts of the squared error against d."""
    _, v, mu = _walked()
    fixed, added = _split(kind, d, n, mu)
    figure, (left, right) = figures.new_figure(1, 2, size=(10.5, 3.9), fitted=False)
    lines = {"exact value": v, "best fit": best_fit(kind, d), f"LSTD, {n} steps": learned(kind, d, n)}
    title = f"{kind}, d = {d}: error {fixed:.2f} + {added:.2f} = {fixed + added:.2f}"
    figures.curves(
        np.arange(N_STATES), lines, title=title, xlabel="place", ylabel="value", legend="upper right", ax=left
    )
    dimensions, fixed_curve, added_curve = error_split(kind, n)
    parts = {"best fit leaves": fixed_curve, "learning adds": added_curve}
    figures.curves(
        dimensions,
        parts,
        title="Two parts of the squared error",
        xlabel="features d",
        ylabel="squared error, weighted by mu",
        yscale="log",
        legend=None,
        ax=right,
    )
    right.legend(loc="lower left", frameon=True, facecolor="white", edgecolor="none", framealpha=1.0)
    right.set_ylim(1e-3, 200)
    right.axvline(d, color="black", linewidth=1.2, linestyle=":")
    right.yaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_formatter("{x:g}")
    left.set_ylim(-13, 13)
    left.set_position((0.07, 0.15, 0.41, 0.75))
    right.set_position((0.57, 0.15, 0.41, 0.75))
    numbers = (
        f"d = {d} ({kind}), n = {n}: best fit leaves {fixed:.3f}, learning adds {added:.3f}, "
        f"together {fixed + added:.3f}\nvariance of the exact value: {mu @ (v - mu @ v) ** 2:.3f}"
    )
    alt = (
        f"Left: over 60 places, the exact value, its best fit with d = {d} ({kind}) and LSTD from {n} steps. "
        "Right: against the number of features, the squared error that the best fit leaves and the part that learning "
        f"adds; a line marks d = {d}."
    )
    return View(figure, alt, numbers)


def semi_gradient(
    features: Mapping[str, np.ndarray], w: np.ndarray, step: tuple[str, float, str], gamma: float, alpha: float
) -> Figure:
    """One online step in the plane of two weights, and what it does to every value.

    features: name of a state -> (2,); w: (2,) before the step; step: state left, reward, state reached. Left: the
    lines of equal value of the state left are at right angles to its features, so the shortest way to the target's
    line goes along them. The target's own move is dotted: nobody aimed at it. Right: all values, before and after.
    """
    left, reward, reached = step
    x = features[left]
    target = reward + gamma * float(features[reached] @ w)
    moved = w + alpha * (target - float(x @ w)) * x
    _, (plane, values) = figures.new_figure(1, 2, size=(10.5, 4.5))
    lines = {
        f"value of {left} before: {x @ w:.2f}": (float(x @ w), "-"),
        f"its target, held fixed: {target:.2f}": (target, "--"),
        f"where the target went meanwhile: {reward + gamma * features[reached] @ moved:.2f}": (
            reward + gamma * float(features[reached] @ moved),
            ":",
        ),
    }
    for (label, (level, style)), color in zip(lines.items(), figures.colors(3), strict=True):
        _level_line(plane, x, level, label, style, color)
    _arrow_of_w(plane, w, moved, rf"$\alpha\,\delta\,x(${left}$)$")
    with matplotlib.rc_context(figures.STYLE):
        plane.set_title(f"The short way to the target is along x({left})")
        plane.set_xlabel("first weight")
        plane.set_ylabel("second weight")
        plane.legend(loc="upper left", fontsize=9, frameon=True, edgecolor="none", framealpha=1.0)
    both = {"before": [y @ w for y in features.values()], "after": [y @ moved for y in features.values()]}
    title = "Who shares a feature moves along"
    return figures.bars(list(features), both, title=title, xlabel="state", ylabel="value", ax=values)


def _level_line(ax: Axes, x: np.ndarray, level: float, label: str, style: str, color: str) -> None:
    """All weights at which the state with features x has this value: a line at right angles to x."""
    foot, along = level * x / (x @ x), 4 * np.array([-x[1], x[0]]) / np.linalg.norm(x)
    ends = np.stack([foot - along, foot + along])
    ax.plot(ends[:, 0], ends[:, 1], linestyle=style, color=color, label=label, linewidth=1.8)


def _arrow_of_w(ax: Axes, w: np.ndarray, moved: np.ndarray, label: str) -> None:
    arrow = {"arrowstyle": "-|>", "linewidth": 2.5, "color": "black", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 18}
    ax.annotate("", xy=tuple(moved), xytext=tuple(w), arrowprops=arrow)
    ax.plot(*w, "o", color="black")
    middle = (w + moved) / 2
    for (a, b), text, side in ((w, "w before", "left"), (moved, "w after", "right"), (middle, label, "right")):
        ax.annotate(
            text, (a, b), xytext=(9 if side == "left" else -9, 4), textcoords="offset points", ha=side, bbox=PAPER
        )
    ax.set_xlim(middle[0] - 1.35, middle[0] + 1.35)
    ax.set_ylim(middle[1] - 0.95, middle[1] + 1.55)
    ax.set_aspect("equal")


def right_angle(
    v: np.ndarray, best: np.ndarray, td: np.ndarray, updated: np.ndarray, mu: np.ndarray, ax: Axes | None = None
) -> Figure:
    """The exact value, its best fit, TD's fixed point and r + gamma P times it, all (S,), at their true distances.

    Across: along the line from best fit to fixed point, among what the features can express. Up: distance from that.
    """

    def length(u: np.ndarray) -> float:
        return float(np.sqrt(mu @ u**2))

    ax = ax if ax is not None else figures.new_figure(size=(6.0, 4.0))[1][0]
    across, up, over = length(td - best), length(v - best), length(updated - td)
    blue, red, green = figures.colors(3)
    ax.axhline(0.0, color="black", linewidth=1.0)
    ax.plot([0, 0], [0, up], "-", color=blue)
    ax.plot([0, across], [0, 0], "-", color=red, linewidth=3.5)
    ax.plot([0, across], [up, 0], "--", color=green)
    ax.annotate("", (across, 0.03), (across, over), arrowprops={"arrowstyle": "-|>", "linestyle": ":"})
    corner = 0.06 * up
    ax.plot([0, corner, corner], [corner, corner, 0], color="black", linewidth=1.0)
    for (a, b), mark, text, place in (
        ((0, up), "o", "exact value", (8, 4)),
        ((0, 0), "s", "best fit", (-4, -16)),
        ((across, 0), "^", "TD's fixed point", (-4, -16)),
        ((across, over), "D", r"$r + \gamma P$ (fixed point)", (8, -2)),
    ):
        ax.plot(a, b, mark, color="black")
        ax.annotate(text, (a, b), xytext=place, textcoords="offset points", fontsize=10)
    slope = float(np.degrees(np.arctan2(-up, across)))
    for x, y, text, turn, color in (
        (-0.06 * up, up / 2, f"features: {up:.2f}", 90.0, figures.INK[0]),
        (across / 2, 0.07 * up, f"learning: {across:.2f}", 0.0, figures.INK[1]),
        (across / 2 + 0.05 * up, up / 2 + 0.04 * up, f"TD's error: {np.hypot(up, across):.2f}", slope, figures.INK[2]),
    ):
        ax.text(x, y, text, rotation=turn, rotation_mode="anchor", ha="center", va="center", color=color, bbox=PAPER)
    ax.set_xlim(-0.25 * up, across + 1.1 * up)
    ax.set_ylim(-0.22 * up, 1.12 * max(up, over))
    ax.set_aspect("equal")
    with matplotlib.rc_context(figures.STYLE):
        ax.set_title("Two errors at a right angle")
    ax.set_xlabel(r"along the staircases (length weighted by $\mu$)")
    ax.set_ylabel("distance from all staircases")
    return ax.figure  # type: ignore[return-value]
