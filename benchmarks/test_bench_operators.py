"""Operator form of weighted softmax TD: the cost grows linearly with the length of the context."""

from __future__ import annotations

import statistics

import numpy as np

from icrl_teach import Trajectory, empirical_operators, operator_td, random_features
from measure import milliseconds, peak_mebibytes, ratio, take_turns, target, threads

S, L = 500, 100
LENGTHS = (10_000, 100_000, 1_000_000)


def trajectory_of(n: int) -> Trajectory:
    """Every state once, then random states: the part that does not depend on n is the same for every length."""
    rng = np.random.default_rng(n)
    return Trajectory(np.concatenate([np.arange(S), rng.integers(S, size=n + 1 - S)]), rng.uniform(-1, 1, n))


def test_cost_is_linear_in_n(benchmark, row):
    features = random_features(S, 16, np.random.default_rng(0))

    def both(n: int):
        return operator_td(*empirical_operators(trajectories[n], features), gamma=0.9, n_iterations=L)

    trajectories = {n: trajectory_of(n) for n in (S, *LENGTHS)}
    with threads(1):
        seconds = take_turns({str(n): lambda n=n: both(n) for n in trajectories}, 15)
        benchmark.pedantic(both, args=(LENGTHS[-1],), rounds=3)
    fixed = seconds[str(S)]  # S x S work, the same for every n
    extra = {
        n: statistics.median(a - b for a, b in zip(seconds[str(n)], fixed, strict=True)) / (n - S) for n in LENGTHS
    }
    for n in LENGTHS:
        growth = extra[n] / extra[100_000]
        verdict = target(growth <= 1.5, "no more per transition than at 100,000 (times 1.5)")
        row(
            "operator form",
            f"operators and L = {L} iterations, {S} states, n = {n:,}; peak memory "
            f"{peak_mebibytes(lambda n=n: both(n)):.0f} MiB (trajectory itself {16 * n / 2**20:.1f} MiB)",
            milliseconds(seconds, str(n)),
            f"the same at n = {S}, the part independent of n",
            milliseconds(seconds, str(S)),
            f"{ratio(seconds, str(n), str(S)):.2f}",
            f"{1e9 * extra[n]:.1f} ns a transition above that part; {verdict if n > 100_000 else 'reported'}",
        )
