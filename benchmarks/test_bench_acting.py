"""Acting in context: rounds a second, against the same loop with tabular SARSA."""

from __future__ import annotations

from icrl_teach import SoftmaxTransformer, improve_in_context, sarsa
from measure import milliseconds, ratio, take_turns, threads

ROUNDS, STEPS = 10, 1_000


def test_rounds_against_sarsa(benchmark, row):
    """The slippery lake, all means: play, prompts and answers together; SARSA plays the same number of steps."""
    network = SoftmaxTransformer.constructed(64, 200, 0.99)

    def act() -> None:
        improve_in_context("FrozenLake-v1", network, ROUNDS, STEPS, imagined="best", trials=20)

    functions = {
        "in context": act,
        "SARSA": lambda: sarsa("FrozenLake-v1", ROUNDS * STEPS, 0.99, 0.3, 0.1),
    }
    with threads(1):
        seconds = take_turns(functions, 5)
        benchmark.pedantic(act, rounds=1)
    a_round = sorted(seconds["in context"])[2] / ROUNDS
    row(
        "acting",
        f"{ROUNDS} rounds of {STEPS:,} steps on FrozenLake, 64 pairs, 200 layers: {1 / a_round:.1f} rounds/s",
        milliseconds(seconds, "in context"),
        f"tabular SARSA, online, {ROUNDS * STEPS:,} steps",
        milliseconds(seconds, "SARSA"),
        f"{ratio(seconds, 'in context', 'SARSA'):.2f}",
        "reported",
    )
