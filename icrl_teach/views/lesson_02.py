"""The picture behind lesson 02's widget: online TD(0), one step at a time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from icrl_teach import figures
from icrl_teach.figures import View
from icrl_teach.mrp import MarkovRewardProcess, Trajectory
from icrl_teach.td import tabular_td

GAMMA = 0.8
NAMES = ("dock", "hall", "room")


@lru_cache(maxsize=1)
def robot_walk() -> tuple[MarkovRewardProcess, Trajectory]:
    """The lesson's delivery robot and the walk of 60 steps that the stepper replays."""
    robot = MarkovRewardProcess(
        [[0.2, 0.8, 0.0], [0.4, 0.0, 0.6], [0.5, 0.5, 0.0]], [0.0, -1.0, 3.0], GAMMA, [1.0, 0.0, 0.0], NAMES
    )
    return robot, robot.sample(60, np.random.default_rng(38))


def stepper_view(k: int = 4, alpha: float = 0.5) -> View:
    """Step k of online TD(0) with step size alpha: the transition, its TD error, the table before and after.

    k: 1 to 60. The walk is the same for every k and alpha.
    """
    robot, walk = robot_walk()
    table = tabular_td(walk, GAMMA, alpha)  # (61, 3)
    before, after = table[k - 1], table[k]
    s, s_next, reward = int(walk.states[k - 1]), int(walk.states[k]), walk.rewards[k - 1]
    delta = reward + GAMMA * before[s_next] - before[s]

    figure, (left, right) = figures.new_figure(1, 2, size=(9.0, 3.7), fitted=False)
    left.set_position((0.02, 0.02, 0.40, 0.86))
    right.set_position((0.50, 0.15, 0.48, 0.74))
    taken = np.zeros((3, 3))
    taken[s, s_next] = robot.transition[s, s_next]
    change = f"only {NAMES[s]} changes" if delta else "nothing changes"
    notes = [f"{r:+.0f}" for r in robot.reward]
    moves = f"{NAMES[s]} to {NAMES[s_next]}"
    figures.chain_diagram(taken, names=NAMES, notes=notes, shade=np.eye(3)[s], title=f"Step {k}: from {moves}", ax=left)
    figures.bars(
        NAMES,
        {"before": before, "after": after, "exact": robot.value()},
        title=f"TD error {delta:+.2f}: {change}",
        xlabel="state",
        ylabel="value v(s)",
        legend=None,
        ax=right,
    )
    right.set_ylim(-3.0, 7.5)
    right.axhline(0.0, color="black", linewidth=0.8)
    right.legend(loc="upper left", ncols=3, frameon=False)
    alt = (
        f"Left: the three states of the robot, with one arrow from {moves}. "
        f"Right: bars of the table before and after step {k}, with the exact values; {change}."
    )
    return View(figure, alt, _numbers(k, moves, reward, delta, alpha, s, s_next, before, after))


def _numbers(
    k: int,
    moves: str,
    reward: float,
    delta: float,
    alpha: float,
    s: int,
    s_next: int,
    before: np.ndarray,
    after: np.ndarray,
) -> str:
    return "\n".join(
        [
            f"step {k}: {moves}, reward {reward:+.0f}, step size {alpha:.2f}",
            f"delta   = {reward:+.0f} + {GAMMA} * ({before[s_next]:+.3f}) - ({before[s]:+.3f}) = {delta:+.3f}",
            f"v({NAMES[s]}) = {before[s]:+.3f} + {alpha:.2f} * ({delta:+.3f}) = {after[s]:+.3f}",
            "before  " + "  ".join(f"{name} {value:+.3f}" for name, value in zip(NAMES, before, strict=True)),
            "after   " + "  ".join(f"{name} {value:+.3f}" for name, value in zip(NAMES, after, strict=True)),
        ]
    )
