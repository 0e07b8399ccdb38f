"""Lesson 13: the lake, round by round: what the network answers, what the policy chooses, and a walker who tries it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import gymnasium as gym
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from icrl_teach.acting import improve_in_context
from icrl_teach.control import MarkovDecisionProcess, best_return, mdp_from_env, policy_return
from icrl_teach.figures import CELLS, PALETTE, STYLE, View, curves, new_figure
from icrl_teach.transformer import SoftmaxTransformer

LAKE, LIMIT, GAMMA, N_LAYERS = "FrozenLake-v1", 100, 0.99, 200
MAP = "SFFFFHFHFFFHHFFG"
ROUNDS, STEPS = 20, 1000
LOOPS: dict[str, dict[str, Any]] = {
    "the plain loop": {"memory": "last", "follow": "taken"},
    "with all means": {"imagined": "best", "trials": 20},
}
ARROWS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # left, down, right, up, as the lake numbers them


class Run(NamedTuple):
    """A loop's rounds: q, (rounds, 16, 4), choice, (rounds, 16), greedy return, pairs never tried; a walk of each."""

    q: np.ndarray
    choice: np.ndarray
    greedy: np.ndarray
    untried: np.ndarray
    walks: list[list[int]]


@lru_cache(maxsize=1)
def lake() -> MarkovDecisionProcess:
    """The slippery lake as an exact process."""
    return mdp_from_env(LAKE)


@lru_cache(maxsize=2)
def run(loop: str) -> Run:
    """Twenty rounds of one of LOOPS, seed 0."""
    network = SoftmaxTransformer.constructed(64, N_LAYERS, GAMMA)
    rounds = improve_in_context(LAKE, network, ROUNDS, STEPS, 0.1, seed=0, **LOOPS[loop]).rounds
    return Run(
        np.array([r.q for r in rounds]),
        np.array([r.choice for r in rounds]),
        np.array([policy_return(lake(), r.policy, LIMIT) for r in rounds]),
        np.array([(r.visits == 0).sum() for r in rounds]),
        [walk_of(r.choice) for r in rounds],
    )


def walk_of(choice: np.ndarray) -> list[int]:
    """The states of one greedy episode, always with the same luck."""
    env = gym.make(LAKE)
    states, over = [int(env.reset(seed=3)[0])], False
    while not over:
        state, _, terminated, truncated, _ = env.step(int(choice[states[-1]]))
        states.append(int(state))
        over = terminated or truncated
    return states


def lake_view(loop: str, round: int, step: int) -> View:
    """Left, the lake after a round, with the walker after some steps; right, the greedy return of every round.

    loop: one of LOOPS; round: 1 to 20; step: 0 to 100.
    """
    found, k = run(loop), round - 1
    walk = found.walks[k]
    at = walk[min(step, len(walk) - 1)]
    figure, (left, right) = new_figure(1, 2, size=(9.8, 4.6), fitted=False)
    left.set_position((0.02, 0.04, 0.42, 0.84))
    right.set_position((0.54, 0.14, 0.44, 0.74))
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        _draw_lake(left, found.q[k], found.choice[k], walk[: step + 1], at)
        left.set_title(f"What it would do after round {round}", fontsize=12)
    with matplotlib.rc_context(STYLE):
        _draw_returns(right, loop, round)
    return View(figure, _alt(loop, round, found, at), _numbers(loop, round, step, found, at))


def _draw_lake(ax: Axes, q: np.ndarray, choice: np.ndarray, walked: list[int], at: int) -> None:
    ax.axis("off")
    best = q.max(axis=1)
    for s, kind in enumerate(MAP):
        x, y = s % 4, s // 4
        light = min(1.0, max(0.0, float(best[s])))
        fill = {"H": "0.75", "G": "#8FD4BC"}.get(kind, CELLS(light))
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=fill, edgecolor="0.3", hatch="//" * (kind == "H")))
        ax.text(x - 0.44, y - 0.42, kind, fontsize=10, va="top")
        if kind in "HG":
            continue
        ax.text(x + 0.44, y + 0.42, f"{best[s]:.2f}", fontsize=10, ha="right", va="bottom")
        dx, dy = ARROWS[choice[s]]
        arrow = {"arrowstyle": "-|>", "lw": 2.2, "color": "black", "mutation_scale": 18}
        ax.annotate("", (x + 0.3 * dx, y + 0.3 * dy), (x - 0.3 * dx, y - 0.3 * dy), arrowprops=arrow)
    ax.plot([s % 4 for s in walked], [s // 4 for s in walked], ":", color="black", linewidth=1.4)
    ax.add_patch(Circle((at % 4, at // 4), 0.16, facecolor="black", edgecolor="white", linewidth=2, zorder=5))
    ax.set_xlim(-0.55, 3.55)
    ax.set_ylim(3.55, -0.55)
    ax.set_aspect("equal")


def _draw_returns(ax: Axes, chosen: str, round: int) -> None:
    for i, loop in enumerate(LOOPS):
        strong, y = loop == chosen, run(loop).greedy
        ax.plot(range(1, ROUNDS + 1), y, ("--", "-")[i], color=PALETTE[i], linewidth=2.8 if strong else 1.3, label=loop)
        if strong:
            ax.plot([round], [y[round - 1]], "o", color="black", markersize=9)
    ax.axhline(best_return(lake(), LIMIT), color="black", linewidth=1.0, linestyle=":", label="optimum")
    ax.set_xticks([1, 5, 10, 15, 20])
    ax.set_ylim(-0.03, 0.95)
    ax.set_xlabel("round of 1,000 steps")
    ax.set_ylabel("chance to arrive (greedy)")
    ax.legend(loc="upper left", ncols=3, fontsize=9, columnspacing=1.0)
    ax.set_title("How good that is", fontsize=12)


def _place(at: int) -> str:
    return {"H": "in a hole", "G": "at the goal"}.get(MAP[at], f"in row {at // 4}, column {at % 4}")


def _numbers(loop: str, round: int, step: int, found: Run, at: int) -> str:
    walk, untried = found.walks[round - 1], found.untried[round - 1] - 20  # 20 pairs are of holes and the goal
    done, best = min(step, len(walk) - 1), best_return(lake(), LIMIT)
    return (
        f"{loop}, round {round}: {round * STEPS:,} real steps, {untried} of 44 pairs never tried\n"
        f"chance to arrive within {LIMIT} steps: {found.greedy[round - 1]:.3f}, optimum {best:.3f}\n"
        f"after {done} steps the walker stands {_place(at)}"
    )


def _alt(loop: str, round: int, found: Run, at: int) -> str:
    words = ("left", "down", "right", "up")
    rows = [
        "".join(words[found.choice[round - 1][s]][0] if MAP[s] in "SF" else "-" for s in range(y, y + 4))
        for y in (0, 4, 8, 12)
    ]
    return (
        f"The lake, four by four squares, after round {round} of {loop}; the choices row by row, l, d, r, u for "
        f"left, down, right, up: {' '.join(rows)}. The walker stands {_place(at)}. Right: the chance to arrive by "
        f"round; here it is {found.greedy[round - 1]:.2f}."
    )


def rounds_figure(runs: Mapping[str, np.ndarray], references: Mapping[str, float]) -> Figure:
    """Greedy returns of several loops on the lake against real steps: median over seeds, and a band over all of them.

    runs: name -> (seeds, rounds); references: name -> level.
    """
    figure = curves(
        STEPS * np.arange(1, ROUNDS + 1),
        {name: np.median(rows, axis=0) for name, rows in runs.items()},
        bands={name: (rows.min(axis=0), rows.max(axis=0)) for name, rows in runs.items()},
        references=references,
        title="The same frozen weights, two ways to ask",
        xlabel="real steps",
        ylabel="greedy chance to arrive",
    )
    figure.axes[0].set_ylim(-0.02, 1.3)
    return figure
