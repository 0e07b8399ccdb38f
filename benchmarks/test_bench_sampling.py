"""4,096 Boyan chains of 10 states, 100 steps each: all together against one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icrl_teach import MarkovRewardProcess, boyan_chain, sample_tasks
from measure import milliseconds, ratio, take_turns, target, thread_counts, threads

N_TASKS, S, N_STEPS, GAMMA = 4096, 10, 100, 0.9
FEW = 128  # chains of the slowest loop; its time is scaled up


def by_choice(mrp: MarkovRewardProcess, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What one writes first: one call of rng.choice a step."""
    states = [rng.choice(S, p=mrp.start)]
    for _ in range(N_STEPS):
        states.append(rng.choice(S, p=mrp.transition[states[-1]]))
    return np.array(states), mrp.reward[states[:-1]]


@pytest.mark.parametrize("n_threads", thread_counts())
def test_batched_against_a_loop_over_chains(benchmark, row, n_threads):
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    chains = [boyan_chain(S, GAMMA, rng) for _ in range(N_TASKS)]
    batch = sample_tasks("boyan", N_TASKS, S, GAMMA, generator)
    pairs = {
        "generating and sampling": (
            lambda: sample_tasks("boyan", N_TASKS, S, GAMMA, generator).sample(N_STEPS, generator),
            lambda: [boyan_chain(S, GAMMA, rng).sample(N_STEPS, rng) for _ in range(N_TASKS)],
        ),
        "generating": (
            lambda: sample_tasks("boyan", N_TASKS, S, GAMMA, generator),
            lambda: [boyan_chain(S, GAMMA, rng) for _ in range(N_TASKS)],
        ),
        "sampling": (
            lambda: batch.sample(N_STEPS, generator),
            lambda: [chain.sample(N_STEPS, rng) for chain in chains],
        ),
    }
    with threads(n_threads):
        functions = {}
        for what, (batched, loop) in pairs.items():
            functions |= {f"{what}, batched": batched, f"{what}, loop": loop}
        functions["choice"] = lambda: [by_choice(boyan_chain(S, GAMMA, rng), rng) for _ in range(FEW)]
        seconds = take_turns(functions, 9)
        benchmark.pedantic(pairs["generating and sampling"][0], rounds=10, warmup_rounds=1)
    seconds["choice"] = [s * N_TASKS / FEW for s in seconds["choice"]]
    whole = "generating and sampling"
    lines = [(what, f"{what}, loop", "loop over chains, boyan_chain and .sample") for what in pairs]
    lines.append((whole, "choice", f"loop with rng.choice a step (timed on {FEW} chains, scaled)"))
    for what, name, other in lines:
        quotient = ratio(seconds, name, f"{what}, batched")
        row(
            "batched sampling",
            f"{what} {N_TASKS:,} chains x {N_STEPS} steps, {S} states, {n_threads} thread(s)",
            milliseconds(seconds, f"{what}, batched"),
            other,
            milliseconds(seconds, name),
            f"{quotient:.0f}",
            target(quotient >= 50, "at least 50") if what == whole else "reported",
        )
