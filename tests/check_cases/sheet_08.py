"""Right and wrong answers for sheet 08."""

from __future__ import annotations

import numpy as np
import torch

from check_cases import Case, as_arrays
from icrl_teach import SoftmaxTransformer, build_prompt, certainty_equivalence_value, weighted_softmax_td
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


def mean_and_deviation(errors):
    mean, std = errors.mean(axis=0), errors.std(axis=0)
    return np.stack([mean - std, mean, mean + std])


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


def walks_with_rngs(another):
    """Each chain from rng; walk b with another(b)."""

    def wrong(make, n_tasks, n_steps, rng):
        chains = [make(rng) for _ in range(n_tasks)]
        walks = [chain.sample(n_steps, another(b)) for b, chain in enumerate(chains)]
        states, rewards = np.stack([walk.states for walk in walks]), np.stack([walk.rewards for walk in walks])
        return states, rewards, np.stack([chain.value() for chain in chains])

    return wrong


def walks_without_the_chain(make, n_tasks, n_steps, rng):
    chains = [make(rng) for _ in range(n_tasks)]
    states = rng.integers(chains[0].n_states, size=(n_tasks, n_steps + 1))
    rewards = np.stack([chain.reward[row[:-1]] for chain, row in zip(chains, states, strict=True)])
    return states, rewards, np.stack([chain.value() for chain in chains])


def as_dtype(part, dtype):
    """The right answer with one part in a table of another dtype."""

    def wrong(*inputs):
        got = list(fresh_tasks(*inputs))
        got[part] = got[part].astype(dtype)
        return tuple(got)

    return wrong


def one_chain_many_walks(make, n_tasks, n_steps, rng):
    chain = make(rng)
    walks = [chain.sample(n_steps, rng) for _ in range(n_tasks)]
    states, rewards = np.stack([walk.states for walk in walks]), np.stack([walk.rewards for walk in walks])
    return states, rewards, np.tile(chain.value(), (n_tasks, 1))


def same_draw_again(make, n_tasks, n_steps, rng):
    return fresh_tasks(lambda _: make(np.random.default_rng(0)), n_tasks, n_steps, rng)


def walks_on_the_first_chain(make, n_tasks, n_steps, rng):
    chains = [make(rng) for _ in range(n_tasks)]
    walks = [chains[0].sample(n_steps, rng) for _ in chains]
    states, rewards = np.stack([walk.states for walk in walks]), np.stack([walk.rewards for walk in walks])
    return states, rewards, np.stack([chain.value() for chain in chains])


def marked_by_the_walk(make, n_tasks, n_steps, rng):
    chains = [make(rng) for _ in range(n_tasks)]
    walks = [chain.sample(n_steps, rng) for chain in chains]
    states, rewards = np.stack([walk.states for walk in walks]), np.stack([walk.rewards for walk in walks])
    values = np.zeros((n_tasks, chains[0].n_states))
    for row, chain, walk in zip(values, chains, walks, strict=True):
        observed = certainty_equivalence_value(walk, chain.gamma)
        row[: len(observed)] = observed
    return states, rewards, values


def without_the_query(make, n_tasks, n_steps, rng):
    states, rewards, exact = fresh_tasks(make, n_tasks, n_steps, rng)
    return states[:, :-1], rewards, exact


def late_rewards(make, n_tasks, n_steps, rng):
    chains = [make(rng) for _ in range(n_tasks)]
    walks = [chain.sample(n_steps, rng) for chain in chains]
    rewards = np.stack([chain.reward[walk.states[1:]] for chain, walk in zip(chains, walks, strict=True)])
    return np.stack([walk.states for walk in walks]), rewards, np.stack([chain.value() for chain in chains])


def rewards_for_values(make, n_tasks, n_steps, rng):
    chains = []
    states, rewards, _ = fresh_tasks(lambda g: chains.append(make(g)) or chains[-1], n_tasks, n_steps, rng)
    return states, rewards, np.stack([chain.reward for chain in chains])


def trace(features, rewards, gamma, n_layers, beta):
    d = features.shape[-1]
    net = SoftmaxTransformer.constructed(d, n_layers, gamma, beta=beta)
    return net.trace(build_prompt(features, rewards))


def row_of_the_trace(offset):
    def value_memory(features, rewards, gamma, n_layers, beta):
        return trace(features, rewards, gamma, n_layers, beta)[:, :, features.shape[-1] + offset].numpy()

    return value_memory


value_memory = row_of_the_trace(2)


def value_memory_by_td(features, rewards, gamma, n_layers, beta):
    each = [weighted_softmax_td(x, r, gamma, n_layers, beta=beta) for x, r in zip(features, rewards, strict=True)]
    return np.stack(each, axis=1)


def by_hand(hide=True, dim=-2):
    def value_memory(features, rewards, gamma, n_layers, beta):
        Z = build_prompt(features, rewards)
        d = features.shape[-1]
        scores = beta * Z[:, :d].mT @ Z[:, :d]
        if hide:
            scores[..., -1, :] = -torch.inf
        E = torch.softmax(scores, dim=dim)
        if dim == -1:
            E[..., -1, :] = 0.0
        memory = [Z[:, d + 2]]
        for _ in range(n_layers):
            delta = Z[:, d] + Z[:, d + 1] - Z[:, d + 2]
            Z = Z.clone()
            Z[:, d + 2] += (delta[:, None] @ E)[:, 0]
            Z[:, d + 1, :-1] = gamma * Z[:, d + 2, 1:]
            memory.append(Z[:, d + 2])
        return torch.stack(memory)

    return value_memory


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


def rms_at_state_numbers(memory, states, exact):
    errors = np.empty(memory.shape[:2])
    for b in range(len(states)):
        left = np.unique(states[b, :-1])
        errors[:, b] = np.sqrt(((memory[:, b, left] - exact[b, left]) ** 2).mean(axis=1))
    return errors


def rms_variant(choose=lambda s, S: np.unique(s[:-1]), finish=lambda gap: np.sqrt((gap**2).mean(axis=1)), mine=True):
    def wrong(memory, states, exact):
        errors = []
        for b, path in enumerate(states):
            values = np.zeros((len(memory), exact.shape[1]))
            values[:, path] = memory[:, b]
            chosen = choose(path, exact.shape[1])
            errors.append(finish(values[:, chosen] - exact[b if mine else 0, chosen]))
        return np.stack(errors, axis=1)

    return wrong


def make_table(cut, middle=lambda errors: np.median(errors, axis=1), finish=lambda table: table, sharp=None):
    def depth_against_context(features, states, rewards, exact, gamma, beta, lengths, n_layers):
        rows = []
        for n in lengths:
            path, paid = cut(states, rewards, n)
            memory = value_memory(features[path], paid, gamma, n_layers, sharp or beta)
            rows.append(middle(rms_errors(memory, path, exact)))
        return finish(np.array(rows))

    return depth_against_context


def cut(states, rewards, n):
    return states[:, : n + 1], rewards[:, :n]


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
            (lambda errors: np.quantile(errors, [0.25, 0.5, 0.75], axis=1), "along the layers"),
            (mean_and_deviation, "mean and standard deviation"),
            (lambda errors: np.quantile(errors, [0, 0.5, 1], axis=0), "smallest and largest"),
            (lambda errors: np.quantile(errors, [0.1, 0.5, 0.9], axis=0), "these are deciles"),
            (lambda errors: spread(errors)[::-1], "the order is turned"),
            (lambda errors: spread(errors).T, "rows and columns are exchanged"),
        ],
    ),
    Case(
        check_fresh_tasks,
        right=[fresh_tasks, as_arrays(fresh_tasks_one_by_one), fresh_tasks_by_choice],
        wrong=[
            (one_chain_many_walks, "one chain walked many times"),
            (same_draw_again, "the same chain again and again"),
            (walks_with_rngs(lambda b: np.random.default_rng(0)), "the same random numbers"),
            (walks_with_rngs(lambda b: np.random.default_rng(b)), "drawn with another generator"),
            (walks_without_the_chain, "depends on the chain"),
            (as_dtype(0, float), "dtype float64"),
            (as_dtype(1, int), "decimals were cut off"),
            (walks_on_the_first_chain, "all walks run on the first chain"),
            (marked_by_the_walk, "certainty-equivalence value of the walk"),
            (without_the_query, "n + 1 states"),
            (late_rewards, "belong to the state landed in"),
            (rewards_for_values, "these are rewards"),
            (lambda *inputs: fresh_tasks(*inputs)[0], "expected three results"),
        ],
    ),
    Case(
        check_value_memory,
        right=[value_memory, value_memory_by_td, by_hand()],
        wrong=[
            (row_of_the_trace(1), "this is target memory"),
            (row_of_the_trace(0), "this is the reward row"),
            (lambda *inputs: -value_memory(*inputs), "the sign is turned"),
            (lambda *inputs: value_memory(*inputs).swapaxes(0, 1), "tasks and layers are exchanged"),
            (lambda *inputs: value_memory(*inputs)[-1], "only the last layer"),
            (lambda *inputs: value_memory(*inputs)[1:], "layer 0 is missing"),
            (lambda *inputs: value_memory(*inputs)[..., -1], "only the query's value"),
            (lambda x, r, gamma, L, beta: value_memory(x, r, gamma, L, 1.0), "beta has no effect"),
            (lambda x, r, gamma, L, beta: by_hand()(x, r, 1.0, L, beta), "gamma has no effect"),
            (by_hand(hide=False), "query column acts as a source"),
            (by_hand(hide=False, dim=-1), "ran over the listeners"),
        ],
    ),
    Case(
        check_rms_errors,
        right=[rms_errors, rms_errors_by_mask],
        wrong=[
            (rms_variant(lambda s, S: np.arange(S)), "states never left are counted"),
            (rms_variant(lambda s, S: s[:-1]), "often-visited states count more"),
            (rms_variant(lambda s, S: np.unique(s)), "although it was never left"),
            (rms_variant(finish=lambda gap: np.abs(gap).mean(axis=1)), "mean absolute error"),
            (rms_variant(finish=lambda gap: np.sqrt((gap**2).sum(axis=1))), "root of the sum"),
            (rms_variant(finish=lambda gap: (gap**2).mean(axis=1)), "the root is missing"),
            (rms_at_state_numbers, "at the number of the state"),
            (rms_variant(mine=False), "exact value of task 0"),
            (lambda *inputs: rms_errors(*inputs).T, "tasks and layers are exchanged"),
            (lambda *inputs: np.sqrt((rms_errors(*inputs) ** 2).mean(axis=1)), "averaged away"),
        ],
    ),
    Case(
        check_depth_against_context,
        right=[make_table(cut), table_by_td],
        wrong=[
            (make_table(lambda states, rewards, n: (states, rewards)), "reads the whole walk"),
            (make_table(lambda states, rewards, n: (states[:, -n - 1 :], rewards[:, -n:])), "you kept the last n"),
            (make_table(lambda states, rewards, n: (states[:, :n], rewards[:, : n - 1])), "off by one"),
            (make_table(cut, lambda errors: errors.mean(axis=1)), "this is the mean over tasks"),
            (make_table(cut, lambda errors: spread(errors)[1]), "the median ran over the layers"),
            (make_table(cut, lambda errors: errors.max(axis=1)), "this is the worst task"),
            (make_table(cut, sharp=1.0), "beta has no effect"),
            (make_table(cut, finish=lambda table: table.T), "rows and columns are exchanged"),
            (make_table(cut, finish=lambda table: table[:, -1]), "only the deepest layer"),
        ],
    ),
]
