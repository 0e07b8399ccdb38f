"""Checks of sheet 08: spread over draws, fresh tasks, a network on a batch, errors, depth against context."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case
from icrl_teach.checks.report import CheckFailed, answer, equal, message, numbers
from icrl_teach.mrp import MarkovRewardProcess

Tables = tuple[np.ndarray, np.ndarray, np.ndarray]


def _quartile(column: list[float], part: float) -> float:
    """Between the two neighbours in the sorted list, in plain arithmetic."""
    ordered, place = sorted(column), part * (len(column) - 1)
    low = math.floor(place)
    high = min(low + 1, len(column) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _spread(errors: np.ndarray, parts: tuple[float, ...] = (0.25, 0.5, 0.75)) -> np.ndarray:
    return np.array([[_quartile(list(column), part) for column in errors.T] for part in parts])


def _spread_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"errors of {tasks} tasks at layers 0 to {layers}", rng.exponential(size=(tasks, layers + 1)) ** 2)
        for tasks, layers in ((5, 2), (12, 7))
    ]


def _mean_and_deviation(errors: np.ndarray) -> np.ndarray:
    mean, std = errors.mean(axis=0), errors.std(axis=0)
    return np.array([mean - std, mean, mean + std])


check_spread = Check(
    name="spread",
    cases=_spread_cases,
    right=_spread,
    mistakes=[
        ("you went along the layers. The spread is over tasks: axis=0.", lambda errors: _spread(errors.T)),
        (
            "mean and standard deviation: one bad draw moves them far. Take np.quantile at 0.25, 0.5, 0.75.",
            _mean_and_deviation,
        ),
        (
            "these are the smallest and largest errors, not the quartiles.",
            partial(_spread, parts=(0.0, 0.5, 1.0)),
        ),
        ("these are deciles; the middle half lies from 0.25 to 0.75.", partial(_spread, parts=(0.1, 0.5, 0.9))),
        ("the order is turned: lower quartile first, upper quartile last.", lambda errors: _spread(errors)[::-1]),
        ("rows and columns are exchanged: three rows, one column a layer.", lambda errors: _spread(errors).T),
    ],
    hint="np.quantile takes several parts and an axis.",
    says="median and quartiles over the draws, layer by layer",
)


class _Maker:
    """The `make` that a learner's fresh_tasks gets; it keeps what it drew, and how it was called."""

    def __init__(self, rng: np.random.Generator, n_states: int, gamma: float) -> None:
        self.rng, self.n_states, self.gamma = rng, n_states, gamma
        self.made: list[MarkovRewardProcess] = []
        self.own: list[bool] = []

    def __call__(self, generator: np.random.Generator) -> MarkovRewardProcess:
        P = generator.dirichlet(np.ones(self.n_states), size=self.n_states) * (1.0 - np.eye(self.n_states))
        reward = generator.uniform(-1, 1, self.n_states)
        self.own.append(generator is self.rng)
        self.made.append(MarkovRewardProcess(P / P.sum(axis=1, keepdims=True), reward, self.gamma))
        self.after = self.rng.bit_generator.state
        return self.made[-1]


# The hints of fresh_tasks. There is no one right answer to compare with, so each has a condition of its own below.
ONE_CHAIN = "one chain walked many times is one task. Call make(rng) once for each task."
SAME_CHAIN = "a generator begun anew gives the same chain again and again. Hand on rng itself."
OTHER_RNG = "make did not get the rng you were given, but another generator. Hand on rng itself."
WHOLE = "states are whole numbers: an empty table for them is np.zeros(..., dtype=int)."
N_PLUS_1 = "a walk of n steps visits n + 1 states; np.stack puts the tasks first."
SAME_START = "the walks use the same random numbers, or a fixed start. Use the rng you were given, and no start."
CUT_OFF = "whole numbers: was the table made with dtype=int, or like states? Use np.zeros((n_tasks, n_steps))."
LATE = "rewards[k] is what leaving states[k] pays; yours belong to the state landed in."
FIRST_CHAIN = "all walks run on the first chain."
NOT_A_STEP = "the next state depends on the chain: walk with chain.sample(n_steps, rng)."
WALK_RNG = "the walks were drawn with another generator than the rng you were given: chain.sample(n_steps, rng)."
OBSERVED = "this is the certainty-equivalence value of the walk. Mark with the exact value."
REWARDS = "these are rewards; the value is chain.value()."


def _refuse(tried: str, found: str, hint: str) -> None:
    raise CheckFailed(f"{tried}: {found}\nHint: {hint}")


def _draws(make: _Maker, n_tasks: int, tried: str) -> None:
    if len(make.made) != n_tasks:
        _refuse(tried, f"make was called {len(make.made)} times, expected {n_tasks}.", ONE_CHAIN)
    if not all(make.own):
        alike = all(np.array_equal(process.reward, make.made[0].reward) for process in make.made[1:])
        _refuse(tried, "not all chains were drawn from rng.", SAME_CHAIN if alike else OTHER_RNG)


def _paths(states: Any, make: _Maker, n_steps: int, tried: str) -> np.ndarray:
    if isinstance(states, np.ndarray) and states.dtype.kind not in "iu":
        _refuse(tried, f"states has dtype {states.dtype}.", WHOLE)
    path = numbers(states, tried).astype(np.int64)
    if path.shape != (len(make.made), n_steps + 1):
        _refuse(tried, f"states has shape {path.shape}, expected {(len(make.made), n_steps + 1)}.", N_PLUS_1)
    if path.min() < 0 or path.max() >= make.n_states:
        raise CheckFailed(f"{tried}: states run from {path.min()} to {path.max()}, expected 0 to {make.n_states - 1}.")
    if len(set(path[:, 0].tolist())) == 1:
        _refuse(tried, f"all {len(make.made)} walks start in state {path[0, 0]}.", SAME_START)
    return path


def _same(got: Any, right: Any, mistakes: Sequence[tuple[str, Any]], tried: str) -> np.ndarray:
    """The learner's table, if it is right; else what `message` says, with the hint of the mistake that it equals."""
    value, wanted = numbers(got, tried), np.asarray(right)
    if not equal(value, wanted, 1e-6):
        hints = [hint for hint, wrong in mistakes if equal(value, np.asarray(wrong, dtype=np.float64), 1e-6)]
        raise CheckFailed(message(tried, value, wanted, hints[0] if hints else "each row belongs to one chain."))
    return value


def _walks(path: np.ndarray, rewards: Any, make: _Maker, tried: str) -> np.ndarray:
    if np.asarray(rewards).dtype.kind in "iu":
        _refuse(tried, "rewards lost their decimals.", CUT_OFF)
    rows = list(zip(make.made, path, strict=True))
    late, first = [chain.reward[row[1:]] for chain, row in rows], [make.made[0].reward[row[:-1]] for _, row in rows]
    paid = [chain.reward[row[:-1]] for chain, row in rows]
    value = _same(rewards, paid, [(LATE, late), (FIRST_CHAIN, first)], f"{tried}: rewards")
    if any((chain.transition[row[:-1], row[1:]] == 0.0).any() for chain, row in rows):
        _refuse(tried, "states has a step that its chain never takes.", NOT_A_STEP)
    if make.rng.bit_generator.state == make.after:
        _refuse(tried, "no walk drew from rng.", WALK_RNG)
    return value


def _certainty_equivalence(states: np.ndarray, rewards: np.ndarray, gamma: float, n_states: int) -> np.ndarray:
    counts, paid = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s, reward, s_next in zip(states[:-1], rewards, states[1:], strict=True):
        counts[s, s_next] += 1
        paid[s] += reward
    left = np.maximum(counts.sum(axis=1), 1)
    return np.linalg.solve(np.eye(n_states) - gamma * counts / left[:, None], paid / left)


def _judge_tasks(fresh_tasks: Callable[..., Any]) -> None:
    """Two families with a `make` that keeps its chains: what came back must belong to them."""
    for n_tasks, n_steps, n_states, gamma in ((12, 9, 5, 0.7), (20, 30, 4, 0.9)):
        make = _Maker(np.random.default_rng(802), n_states, gamma)
        tried = f"fresh_tasks of {n_tasks} tasks of {n_states} states, {n_steps} steps each"
        got = answer(fresh_tasks, make, n_tasks, n_steps, make.rng, tried=tried)
        if not isinstance(got, tuple | list) or len(got) != 3:
            raise CheckFailed(f"{tried}: expected 3 results, `return states, rewards, exact`.")
        _draws(make, n_tasks, tried)
        path = _paths(got[0], make, n_steps, tried)
        paid = _walks(path, got[1], make, tried)
        exact = [np.linalg.solve(np.eye(n_states) - gamma * chain.transition, chain.reward) for chain in make.made]
        observed = [_certainty_equivalence(row, pay, gamma, n_states) for row, pay in zip(path, paid, strict=True)]
        known = [(OBSERVED, observed), (REWARDS, [chain.reward for chain in make.made])]
        _same(got[2], exact, known, f"{tried}: exact")


def _tasks(
    make: Callable,
    n_tasks: int,
    n_steps: int,
    rng: np.random.Generator,
    *,
    draw: Callable[[Any], Any] = lambda rng: rng,
    chain_of: Callable[[list, int], MarkovRewardProcess] = lambda chains, b: chains[b],
    walk_rng: Callable[[Any, int], Any] = lambda rng, b: rng,
    change: Callable[..., Any] = lambda states, rewards, exact, chains: (states, rewards, exact),
) -> Tables:
    """fresh_tasks, with the usual mistakes as options."""
    chains = [make(draw(rng)) for _ in range(n_tasks)]
    walks = [chain_of(chains, b).sample(n_steps, walk_rng(rng, b)) for b in range(n_tasks)]
    states, rewards = np.stack([walk.states for walk in walks]), np.stack([walk.rewards for walk in walks])
    return change(states, rewards, np.stack([chain.value() for chain in chains]), chains)


def _changed(change: Callable[..., Any]) -> Callable[..., Tables]:
    return partial(_tasks, change=change)


def _one_chain(make: Callable, n_tasks: int, n_steps: int, rng: np.random.Generator) -> Tables:
    chain = make(rng)
    return _tasks(lambda _: chain, n_tasks, n_steps, rng)


def _anywhere(states: np.ndarray, rewards: np.ndarray, exact: np.ndarray, chains: list) -> Tables:
    path = np.random.default_rng(1).integers(exact.shape[1], size=states.shape)
    return path, np.stack([chain.reward[row[:-1]] for chain, row in zip(chains, path, strict=True)]), exact


def _observed(states: np.ndarray, rewards: np.ndarray, exact: np.ndarray, chains: list) -> Tables:
    rows = zip(states, rewards, strict=True)
    values = [_certainty_equivalence(path, paid, chains[0].gamma, exact.shape[1]) for path, paid in rows]
    return states, rewards, np.stack(values)


check_fresh_tasks = Check(
    name="fresh_tasks",
    cases=lambda rng: [],
    right=_tasks,
    results=("states", "rewards", "exact"),
    mistakes=[
        (ONE_CHAIN, _one_chain),
        (SAME_CHAIN, partial(_tasks, draw=lambda rng: np.random.default_rng(0))),
        (OTHER_RNG, partial(_tasks, draw=lambda rng: np.random.default_rng())),
        (WHOLE, _changed(lambda states, rewards, exact, chains: (states.astype(float), rewards, exact))),
        (N_PLUS_1, _changed(lambda states, rewards, exact, chains: (states[:, :-1], rewards, exact))),
        (SAME_START, partial(_tasks, walk_rng=lambda rng, b: np.random.default_rng(0))),
        (CUT_OFF, _changed(lambda states, rewards, exact, chains: (states, rewards.astype(int), exact))),
        (
            LATE,
            _changed(
                lambda states, rewards, exact, chains: (
                    states,
                    np.stack([chain.reward[row[1:]] for chain, row in zip(chains, states, strict=True)]),
                    exact,
                )
            ),
        ),
        (FIRST_CHAIN, partial(_tasks, chain_of=lambda chains, b: chains[0])),
        (NOT_A_STEP, _changed(_anywhere)),
        (WALK_RNG, partial(_tasks, walk_rng=lambda rng, b: np.random.default_rng(b))),
        (OBSERVED, _changed(_observed)),
        (
            REWARDS,
            _changed(
                lambda states, rewards, exact, chains: (states, rewards, np.stack([chain.reward for chain in chains]))
            ),
        ),
    ],
    says="every task is a fresh chain, with a walk and an exact value of its own",
    also=[_judge_tasks],
)


def _memory_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{B} prompts of {n} transitions, {L} layers, gamma = {gamma}, beta = {beta}",
            *(rng.standard_normal((B, n + 1, d)), rng.standard_normal((B, n)), gamma, L, beta),
        )
        for B, n, d, gamma, L, beta in ((3, 4, 2, 0.6, 3, 1.5), (2, 6, 3, 0.9, 5, 0.7))
    ]


def _memory(x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, beta: float, kind: str = "right") -> np.ndarray:
    """Value memory of one prompt at all layers, position by position, in plain loops. (L+1, n+1)."""
    n = len(r)
    values = [[0.0] * (n + 1)]
    sources = range(n + 1) if kind == "query not hidden" else range(n)
    for _ in range(n_layers):
        v = values[-1]
        delta = [r[k] + gamma * v[k + 1] - v[k] for k in range(n)] + [-v[n]]
        weight = [[math.exp(beta * float(x[i] @ x[j])) for j in range(n + 1)] for i in sources]
        total = [[sum(row[j] for row in weight)] * len(weight) for j in range(n + 1)]
        if kind == "softmax over queries":
            total = [[sum(row) for row in weight]] * (n + 1)
        values.append(
            [v[j] + sum(weight[i][j] / total[j][i] * delta[i] for i in range(len(weight))) for j in range(n + 1)]
        )
    return np.array(values)


def _memories(
    x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, beta: float, kind: str = "right"
) -> np.ndarray:
    """One prompt after the other. (B, n+1, d), (B, n) -> (L+1, B, n+1)."""
    return np.stack([_memory(a, b, gamma, n_layers, beta, kind) for a, b in zip(x, r, strict=True)], axis=1)


def _target(x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, beta: float) -> np.ndarray:
    memory = _memories(x, r, gamma, n_layers, beta)
    return np.concatenate([gamma * memory[..., 1:], np.zeros((*memory.shape[:2], 1))], axis=-1)


def _paid(x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, beta: float) -> np.ndarray:
    return np.broadcast_to(np.pad(r, ((0, 0), (0, 1))), (n_layers + 1, *x.shape[:2]))


check_value_memory = Check(
    name="value_memory",
    cases=_memory_cases,
    right=_memories,
    mistakes=[
        ("this is target memory, row d+1. Value memory is the last row, d+2.", _target),
        ("this is the reward row, d.", _paid),
        (
            "the sign is turned: value memory is read with a plus (linear attention needed a minus).",
            lambda *a: -_memories(*a),
        ),
        (
            "tasks and layers are exchanged: layers come first, then tasks.",
            lambda *a: _memories(*a).swapaxes(0, 1),
        ),
        ("only the last layer came out; all layers are wanted, layer 0 included.", lambda *a: _memories(*a)[-1]),
        ("layer 0 is missing: value memory before the first layer belongs to it.", lambda *a: _memories(*a)[1:]),
        ("only the query's value came out; all n + 1 positions are wanted.", lambda *a: _memories(*a)[..., -1]),
        (
            "beta has no effect: it goes into the network's scores.",
            lambda x, r, gamma, L, beta: _memories(x, r, gamma, L, 1.0),
        ),
        (
            "gamma has no effect: it goes into the network's time shift.",
            lambda x, r, gamma, L, beta: _memories(x, r, 1.0, L, beta),
        ),
        (
            "the query column acts as a source. It has no reward yet: hide it with -inf before the softmax.",
            partial(_memories, kind="query not hidden"),
        ),
        (
            "softmax ran over the queries: the weights of each query must sum to 1.",
            partial(_memories, kind="softmax over queries"),
        ),
    ],
    hint="build_prompt, SoftmaxTransformer.constructed(d, n_layers, gamma, beta=beta), trace, row d + 2.",
    says="one frozen network read every prompt; value memory of each layer is weighted softmax TD",
)


def _error_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    paths = ([[0, 1, 0, 0, 3], [2, 2, 1, 2, 0], [3, 1, 1, 3, 1]], [[4, 2, 2, 0, 4, 2, 1], [1, 0, 1, 1, 3, 1, 0]])
    for path, n_states, n_layers in zip(paths, (4, 6), (2, 3), strict=True):
        states, B = np.array(path), len(path)
        by_state, exact = rng.standard_normal((n_layers + 1, B, n_states)), rng.standard_normal((B, n_states))
        memory = np.stack([by_state[:, b, states[b]] for b in range(B)], axis=1)
        cases.append(case(f"walks {path}, {n_states} states", memory, states, exact))
    return cases


def _squares(memory: np.ndarray, states: np.ndarray, exact: np.ndarray, task: int, layer: int) -> dict[int, float]:
    """Squared error of every state that the walk enters, in a plain loop."""
    found = {}
    for j, s in enumerate(states[task].tolist()):
        found[s] = (memory[layer, task, j] - exact[task, s]) ** 2
    return found


def _rms(memory: np.ndarray, states: np.ndarray, exact: np.ndarray, kind: str = "right") -> np.ndarray:
    out = np.zeros(memory.shape[:2])
    for layer, task in np.ndindex(*out.shape):
        square = _squares(memory, states, exact, task, layer)
        left = sorted(set(states[task, :-1].tolist()))
        chosen = [square[s] for s in (sorted(square) if kind == "query counted" else left)]
        if kind == "by visit":
            chosen = [square[s] for s in states[task, :-1].tolist()]
        if kind == "by position":
            chosen = [square[s] for s in states[task].tolist()]
        if kind == "state as position":
            chosen = [(memory[layer, task, s] - exact[task, s]) ** 2 for s in left]
        if kind == "all states":
            chosen = [square.get(s, exact[task, s] ** 2) for s in range(exact.shape[1])]
        if kind == "absolute":
            out[layer, task] = sum(math.sqrt(c) for c in chosen) / len(chosen)
        else:
            out[layer, task] = math.sqrt(sum(chosen) / (1 if kind == "sum" else len(chosen)))
    return out


check_rms_errors = Check(
    name="rms_errors",
    cases=_error_cases,
    right=_rms,
    mistakes=[
        (
            "states never left are counted, with value 0. Count only states in states[b, :-1].",
            partial(_rms, kind="all states"),
        ),
        (
            "often-visited states count more often: each state left counts once (np.unique).",
            partial(_rms, kind="by visit"),
        ),
        (
            "the query's state counts although it was never left: look at states[b, :-1].",
            partial(_rms, kind="query counted"),
        ),
        (
            "memory was read at the number of the state. Read it where that state stands.",
            partial(_rms, kind="state as position"),
        ),
        ("this is the mean absolute error; take the root of the mean of squares.", partial(_rms, kind="absolute")),
        ("this is the root of the sum; divide by the number of states left.", partial(_rms, kind="sum")),
        ("the root is missing: this is the mean of the squares.", lambda *a: _rms(*a) ** 2),
        (
            "every task was compared with the exact value of task 0: use exact[b].",
            lambda memory, states, exact: _rms(memory, states, np.broadcast_to(exact[0], exact.shape)),
        ),
        ("tasks and layers are exchanged: one row a layer.", lambda *a: _rms(*a).T),
        (
            "the tasks were averaged away; return one error for each of them.",
            lambda *a: np.sqrt((_rms(*a) ** 2).mean(axis=1)),
            lambda *a: _rms(*a).mean(axis=1),
        ),
        (
            "errors were averaged over positions, the query's too: each state that was left counts once (np.unique).",
            partial(_rms, kind="by position"),
        ),
    ],
    hint="for each task: np.unique(states[b, :-1], return_index=True) gives the states and a position of each.",
    says="each state that was left counts once, in its own task",
)


def _table_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{B} walks of 8 transitions, lengths {lengths}, {L} layers, gamma = {gamma}, beta = {beta}",
            *(rng.standard_normal((S, 2)), rng.integers(S, size=(B, 9)), rng.standard_normal((B, 8))),
            *(rng.standard_normal((B, S)), gamma, beta, lengths, L),
        )
        for B, S, gamma, beta, lengths, L in ((4, 3, 0.6, 1.4, [2, 5], 4), (3, 4, 0.8, 0.5, [3, 4, 6], 3))
    ]


def _table(
    x: np.ndarray, states: np.ndarray, rewards: np.ndarray, exact: np.ndarray, gamma: float, beta: float,
    lengths: list[int], n_layers: int, kind: str = "right",
) -> np.ndarray:  # fmt: skip
    rows = []
    for n in lengths:
        size = {"whole walk": rewards.shape[1], "one short": n - 1}.get(kind, n)
        first = rewards.shape[1] - size if kind == "last n" else 0
        path, paid = states[:, first : first + size + 1], rewards[:, first : first + size]
        errors = _rms(_memories(x[path], paid, gamma, n_layers, beta), path, exact)
        if kind == "over layers":
            rows.append(_spread(errors, (0.5,))[0])
        elif kind in ("mean", "worst"):
            rows.append(errors.mean(axis=1) if kind == "mean" else errors.max(axis=1))
        else:
            rows.append(_spread(errors.T, (0.5,))[0])
    return np.array(rows)


check_depth_against_context = Check(
    name="depth_against_context",
    cases=_table_cases,
    right=_table,
    mistakes=[
        (
            "every row reads the whole walk: cut it after n transitions, states[:, : n + 1].",
            partial(_table, kind="whole walk"),
        ),
        (
            "you kept the last n transitions; a shorter context is the beginning of the walk.",
            partial(_table, kind="last n"),
        ),
        (
            "off by one: n transitions need n + 1 states, states[:, : n + 1], and rewards[:, :n].",
            partial(_table, kind="one short"),
        ),
        ("this is the mean over tasks, which one bad draw can rule; take the median.", partial(_table, kind="mean")),
        (
            "the median ran over the layers. Your spread wants the tasks in rows: transpose first.",
            partial(_table, kind="over layers"),
        ),
        ("this is the worst task of each layer; take the median.", partial(_table, kind="worst")),
        (
            "beta has no effect: hand it on to value_memory.",
            lambda x, states, rewards, exact, gamma, beta, *rest: _table(x, states, rewards, exact, gamma, 1.0, *rest),
        ),
        ("rows and columns are exchanged: one row a length, one column a layer.", lambda *a: _table(*a).T),
        (
            "only the deepest layer came out; all layers, 0 to L, are wanted.",
            lambda *a: _table(*a)[:, -1],
        ),
    ],
    hint="for each n: value_memory of the cut walks, then rms_errors, then the median over tasks.",
    says="a table of errors: context down, depth across",
    needs=[check_spread, check_value_memory, check_rms_errors],
)
