"""Right and wrong answers for the checks of sheet 08 that were not derived from the checks."""

from __future__ import annotations

import numpy as np
import torch

from check_cases import Case, as_arrays
from icrl_teach import SoftmaxTransformer, build_prompt, weighted_softmax_td
from icrl_teach.checks.sheet_08 import (
    check_depth_against_context,
    check_fresh_tasks,
    check_rms_errors,
    check_spread,
    check_value_memory,
)


def spread(errors):
    return np.quantile(errors, [0.25, 0.5, 0.75], axis=0)


def spread_by_percentiles(errors):
    return [np.percentile(errors, p, axis=0) for p in (25, 50, 75)]


def fresh_tasks(make, n_tasks, n_steps, rng):
    chains = [make(rng) for _ in range(n_tasks)]
    walks = [chain.sample(n_steps, rng) for chain in chains]
    states, rewards = np.stack([walk.states for walk in walks]), np.stack([walk.rewards for walk in walks])
    return states, rewards, np.stack([chain.value() for chain in chains])


def fresh_tasks_one_by_one(make, n_tasks, n_steps, rng):
    states, rewards, exact = [], [], []
    for _ in range(n_tasks):
        chain = make(rng)
        walk = chain.sample(n_steps, rng)
        states.append(walk.states)
        rewards.append(walk.rewards)
        exact.append(np.linalg.solve(np.eye(chain.n_states) - chain.gamma * chain.transition, chain.reward))
    return [np.array(states), np.array(rewards), np.array(exact)]


def fresh_tasks_by_choice(make, n_tasks, n_steps, rng):
    chains = [make(rng) for _ in range(n_tasks)]
    states = np.zeros((n_tasks, n_steps + 1), dtype=int)
    for row, chain in zip(states, chains, strict=True):
        row[0] = rng.choice(chain.n_states)
        for k in range(n_steps):
            row[k + 1] = rng.choice(chain.n_states, p=chain.transition[row[k]])
    rewards = np.stack([chain.reward[row[:-1]] for chain, row in zip(chains, states, strict=True)])
    return states, rewards, np.stack([chain.value() for chain in chains])


def trace(features, rewards, gamma, n_layers, beta):
    d = features.shape[-1]
    net = SoftmaxTransformer.constructed(d, n_layers, gamma, beta=beta)
    return net.trace(build_prompt(features, rewards))


def value_memory(features, rewards, gamma, n_layers, beta):
    return trace(features, rewards, gamma, n_layers, beta)[:, :, -1].numpy()


def value_memory_by_td(features, rewards, gamma, n_layers, beta):
    each = [weighted_softmax_td(x, r, gamma, n_layers, beta=beta) for x, r in zip(features, rewards, strict=True)]
    return np.stack(each, axis=1)


def value_memory_by_hand(features, rewards, gamma, n_layers, beta):
    Z = build_prompt(features, rewards)
    d = features.shape[-1]
    scores = beta * Z[:, :d].mT @ Z[:, :d]
    scores[..., -1, :] = -torch.inf
    E = torch.softmax(scores, dim=-2)
    memory = [Z[:, d + 2]]
    for _ in range(n_layers):
        delta = Z[:, d] + Z[:, d + 1] - Z[:, d + 2]
        Z = Z.clone()
        Z[:, d + 2] += (delta[:, None] @ E)[:, 0]
        Z[:, d + 1, :-1] = gamma * Z[:, d + 2, 1:]
        memory.append(Z[:, d + 2])
    return torch.stack(memory)


def rms_errors(memory, states, exact):
    errors = np.empty(memory.shape[:2])
    for b in range(len(states)):
        left, first = np.unique(states[b, :-1], return_index=True)
        errors[:, b] = np.sqrt(((memory[:, b, first] - exact[b, left]) ** 2).mean(axis=1))
    return errors


def rms_errors_by_mask(memory, states, exact):
    L1, B, _ = memory.shape
    values, left = np.zeros((L1, B, exact.shape[1])), np.zeros(exact.shape, dtype=bool)
    for b in range(B):
        values[:, b, states[b]] = memory[:, b]
        left[b, states[b, :-1]] = True
    square = np.where(left, (values - exact) ** 2, 0.0)
    return np.sqrt(square.sum(axis=2) / left.sum(axis=1))


def table(features, states, rewards, exact, gamma, beta, lengths, n_layers):
    rows = []
    for n in lengths:
        memory = value_memory(features[states[:, : n + 1]], rewards[:, :n], gamma, n_layers, beta)
        rows.append(np.median(rms_errors(memory, states[:, : n + 1], exact), axis=1))
    return np.array(rows)


def table_by_td(features, states, rewards, exact, gamma, beta, lengths, n_layers):
    table = np.zeros((len(lengths), n_layers + 1))
    for i, n in enumerate(lengths):
        memory = value_memory_by_td(features[states[:, : n + 1]], rewards[:, :n], gamma, n_layers, beta)
        table[i] = np.quantile(rms_errors_by_mask(memory, states[:, : n + 1], exact), 0.5, axis=1)
    return table


CASES = [
    Case(
        check_spread,
        right=[spread, as_arrays(spread_by_percentiles)],
        wrong=[
            (lambda errors: np.sort(errors, axis=0)[:3], "np.quantile takes several parts"),
            (lambda errors: np.median(errors, axis=0), "expected shape"),
        ],
    ),
    Case(
        check_fresh_tasks,
        right=[fresh_tasks, as_arrays(fresh_tasks_one_by_one), fresh_tasks_by_choice],
        wrong=[
            (lambda *inputs: fresh_tasks(*inputs)[0], "expected 3 results"),
            (lambda *inputs: fresh_tasks(*inputs)[::-1], "states"),
            (lambda *inputs: (*fresh_tasks(*inputs)[:2], fresh_tasks(*inputs)[2] + 1), "make was called"),
        ],
    ),
    Case(
        check_value_memory,
        right=[value_memory, value_memory_by_td, value_memory_by_hand],
        wrong=[
            (lambda x, r, gamma, L, beta: value_memory(x, r, gamma, L + 1, beta)[1:], "trace, row d + 2"),
            (lambda x, r, gamma, L, beta: value_memory(x.round(), r, gamma, L, beta), "trace, row d + 2"),
        ],
    ),
    Case(
        check_rms_errors,
        right=[rms_errors, rms_errors_by_mask],
        wrong=[
            (lambda m, s, v: np.sqrt(((m - np.take_along_axis(v, s, 1)) ** 2).mean(axis=2)), "averaged over positions"),
            (lambda *inputs: rms_errors(*inputs)[1:], "expected shape"),
        ],
    ),
    Case(
        check_depth_against_context,
        right=[table, table_by_td],
        wrong=[
            (lambda *inputs: table(*inputs)[::-1], "for each n"),
            (lambda *inputs: np.log(table(*inputs)), "for each n"),
        ],
    ),
]
