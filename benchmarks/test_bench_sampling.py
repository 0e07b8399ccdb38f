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


def by_search(mrp: MarkovRewardProcess, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The usual improvement: one NumPy search in the cumulative row a step."""
    cumulative = mrp.transition.cumsum(axis=1)
    cumulative[:, -1] = 1.0
    states = [rng.integers(S)]
    for u in rng.random(N_STEPS):
        states.append(np.searchsorted(cumulative[states[-1]], u, side="right"))
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
        by_hand = {"rng.choice": by_choice, "np.searchsorted": by_search}
        for name, walk in by_hand.items():
            functions[name] = lambda walk=walk: [walk(boyan_chain(S, GAMMA, rng), rng) for _ in range(FEW)]
        seconds = take_turns(functions, 9)
        benchmark.pedantic(pairs["generating and sampling"][0], rounds=10, warmup_rounds=1)
    for name in by_hand:
        seconds[name] = [s * N_TASKS / FEW for s in seconds[name]]
    whole = "generating and sampling"
    lines = [(what, f"{what}, loop", "loop over chains, .sample (bisection on lists)") for what in pairs]
    lines += [(whole, name, f"loop over chains, one {name} a step (timed on {FEW} chains, scaled)") for name in by_hand]
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
