"""Checks of sheet 08: spread over draws, fresh tasks, a network on a batch, errors, depth against context."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach.checks.report import CheckFailed, Mistake, answer, compare, passed
from icrl_teach.mrp import MarkovRewardProcess


def _quartile(column: list[float], part: float) -> float:
    """Between the two neighbours in the sorted list, in plain arithmetic."""
    ordered, place = sorted(column), part * (len(column) - 1)
    low = math.floor(place)
    high = min(low + 1, len(column) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _spread(errors: np.ndarray, parts: tuple[float, ...] = (0.25, 0.5, 0.75)) -> np.ndarray:
    return np.array([[_quartile(list(column), part) for column in errors.T] for part in parts])


def check_spread(spread: Callable[..., Any]) -> None:
    """spread(errors) -> (3, L+1): lower quartile, median and upper quartile over the tasks, (B, L+1)."""
    rng = np.random.default_rng(801)
    for n_tasks, n_layers in ((5, 2), (12, 7)):
        errors = rng.exponential(size=(n_tasks, n_layers + 1)) ** 2
        tried = f"errors of {n_tasks} tasks at layers 0 to {n_layers}"
        right, mean, std = _spread(errors), errors.mean(axis=0), errors.std(axis=0)
        mistakes = [
            Mistake(_spread(errors.T), "you went along the layers. The spread is over tasks: axis=0."),
            Mistake(
                np.array([mean - std, mean, mean + std]),
                "mean and standard deviation: one bad draw moves them far. Take np.quantile at 0.25, 0.5, 0.75.",
            ),
            Mistake(_spread(errors, (0.0, 0.5, 1.0)), "these are the smallest and largest errors, not the quartiles."),
            Mistake(_spread(errors, (0.1, 0.5, 0.9)), "these are deciles; the middle half lies from 0.25 to 0.75."),
            Mistake(right[::-1], "the order is turned: lower quartile first, upper quartile last."),
            Mistake(right.T, "rows and columns are exchanged: three rows, one column a layer."),
        ]
        got = answer(spread, errors, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="np.quantile takes several parts and an axis.")
    passed("median and quartiles over the draws, layer by layer")


def _certainty_equivalence(states: np.ndarray, rewards: np.ndarray, gamma: float, n_states: int) -> np.ndarray:
    counts, paid = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s, reward, s_next in zip(states[:-1], rewards, states[1:], strict=True):
        counts[s, s_next] += 1
        paid[s] += reward
    left = np.maximum(counts.sum(axis=1), 1)
    return np.linalg.solve(np.eye(n_states) - gamma * counts / left[:, None], paid / left)


def _check_draws(made: list[MarkovRewardProcess], own: list[bool], n_tasks: int, tried: str) -> None:
    if len(made) != n_tasks:
        hint = "\nHint: one chain walked many times is one task. Call make(rng) once for each task."
        raise CheckFailed(f"{tried}: make was called {len(made)} times, expected {n_tasks}.{hint}")
    if not all(own):
        hint = "a generator begun anew gives the same chain again and again" if _alike(made) else "other draws"
        raise CheckFailed(f"{tried}: make did not get the rng you were given: {hint}.\nHint: hand on rng itself.")


def _alike(made: list[MarkovRewardProcess]) -> bool:
    return all(np.array_equal(process.reward, made[0].reward) for process in made[1:])


def _check_states(states: Any, made: list[MarkovRewardProcess], n_steps: int, tried: str) -> np.ndarray:
    try:
        path = np.asarray(states).astype(np.int64, casting="safe")
    except (TypeError, ValueError):
        found = f"dtype {states.dtype}" if isinstance(states, np.ndarray) else type(states).__name__
        hint = "\nHint: an empty table for whole numbers is np.zeros(..., dtype=int)."
        raise CheckFailed(f"{tried}: states must be a table of whole numbers, got {found}.{hint}") from None
    if path.shape != (len(made), n_steps + 1):
        hint = "\nHint: a walk of n steps visits n + 1 states; np.stack puts the tasks first."
        raise CheckFailed(f"{tried}: states has shape {path.shape}, expected {(len(made), n_steps + 1)}.{hint}")
    n_states = made[0].n_states
    if path.min() < 0 or path.max() >= n_states:
        raise CheckFailed(f"{tried}: states run from {path.min()} to {path.max()}, expected 0 to {n_states - 1}.")
    if len(set(path[:, 0].tolist())) == 1:
        hint = (
            "\nHint: the walks use the same random numbers, or a fixed start. Use the rng you were given, and no start."
        )
        raise CheckFailed(f"{tried}: all {len(made)} walks start in state {path[0, 0]}.{hint}")
    return path


def _check_walks(path: np.ndarray, rewards: Any, made: list[MarkovRewardProcess], rng_used: bool, tried: str) -> None:
    if np.asarray(rewards).dtype.kind in "iu":
        hint = "\nHint: was the table made with dtype=int, or like states? Use np.zeros((n_tasks, n_steps))."
        raise CheckFailed(f"{tried}: rewards are whole numbers, so their decimals were cut off.{hint}")
    paid = np.array([process.reward[row[:-1]] for process, row in zip(made, path, strict=True)])
    swapped = np.array([made[0].reward[row[:-1]] for row in path])
    late = np.array([process.reward[row[1:]] for process, row in zip(made, path, strict=True)])
    mistakes = [
        Mistake(late, "rewards[k] is what leaving states[k] pays; yours belong to the state landed in."),
        Mistake(swapped, "all walks run on the first chain."),
    ]
    compare(rewards, paid, tried=f"{tried}: rewards", mistakes=mistakes, hint="take them from the same walk.")
    if any((process.transition[row[:-1], row[1:]] == 0.0).any() for process, row in zip(made, path, strict=True)):
        hint = "\nHint: the next state depends on the chain: walk with chain.sample(n_steps, rng)."
        raise CheckFailed(f"{tried}: states has a step that its chain never takes.{hint}")
    if not rng_used:
        hint = "\nHint: hand it to chain.sample(n_steps, rng) too."
        raise CheckFailed(f"{tried}: the walks were drawn with another generator than the rng you were given.{hint}")


def check_fresh_tasks(fresh_tasks: Callable[..., Any]) -> None:
    """fresh_tasks(make, n_tasks, n_steps, rng) -> states (B, n+1), rewards (B, n), exact (B, S)."""
    for n_tasks, n_steps, n_states, gamma in ((12, 9, 5, 0.7), (20, 30, 4, 0.9)):
        rng = np.random.default_rng(802)
        made: list[MarkovRewardProcess] = []
        own: list[bool] = []
        after: list[Any] = []  # the state of rng when the last chain was made

        def make(generator, *, made=made, own=own, after=after, rng=rng, n_states=n_states, gamma=gamma):
            P, r = generator.dirichlet(np.ones(n_states), size=n_states), generator.uniform(-1, 1, n_states)
            P = P * (1.0 - np.eye(n_states))  # no chain stays where it is
            own.append(generator is rng)
            made.append(MarkovRewardProcess(P / P.sum(axis=1, keepdims=True), r, gamma))
            after[:] = [rng.bit_generator.state]
            return made[-1]

        tried = f"{n_tasks} tasks of {n_states} states, {n_steps} steps each"
        got = answer(fresh_tasks, make, n_tasks, n_steps, rng, tried=tried)
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise CheckFailed(f"{tried}: expected three results, `return states, rewards, exact`.")
        _check_draws(made, own, n_tasks, tried)
        path = _check_states(got[0], made, n_steps, tried)
        _check_walks(path, got[1], made, rng.bit_generator.state != after[0], tried)
        eye = np.eye(n_states)
        right = np.array([np.linalg.solve(eye - gamma * process.transition, process.reward) for process in made])
        pairs = zip(path, np.asarray(got[1]), strict=True)
        observed = np.array([_certainty_equivalence(row, paid, gamma, n_states) for row, paid in pairs])
        mistakes = [
            Mistake(observed, "this is the certainty-equivalence value of the walk. Mark with the exact value."),
            Mistake(np.array([process.reward for process in made]), "these are rewards; the value is chain.value()."),
        ]
        hint = "exact[b] is the exact value of task b's own chain, so one row for each chain."
        compare(got[2], right, tried=f"{tried}: exact", mistakes=mistakes, hint=hint)
    passed("every task is a fresh chain, with a walk and an exact value of its own")


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
        if kind == "softmax over listeners":
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


def check_value_memory(value_memory: Callable[..., Any]) -> None:
    """value_memory(features, rewards, gamma, n_layers, beta) -> (L+1, B, n+1): what each layer holds, for each task."""
    rng = np.random.default_rng(803)
    for B, n, d, gamma, L, beta in ((3, 4, 2, 0.6, 3, 1.5), (2, 6, 3, 0.9, 5, 0.7)):
        x, r = rng.standard_normal((B, n + 1, d)), rng.standard_normal((B, n))
        tried = f"{B} prompts of {n} transitions, {L} layers, gamma {gamma}, beta {beta}"
        right = _memories(x, r, gamma, L, beta)
        target = np.concatenate([gamma * right[..., 1:], np.zeros((L + 1, B, 1))], axis=-1)
        mistakes = [
            Mistake(target, "this is target memory, row d+1. Value memory is the last row, d+2."),
            Mistake(np.broadcast_to(np.pad(r, ((0, 0), (0, 1))), right.shape), "this is the reward row, d."),
            Mistake(-right, "the sign is turned: value memory is read with a plus (linear attention needed a minus)."),
            Mistake(right.swapaxes(0, 1), "tasks and layers are exchanged: layers come first, then tasks."),
            Mistake(right[-1], "only the last layer came out; all layers are wanted, layer 0 included."),
            Mistake(right[1:], "layer 0 is missing: value memory before the first layer belongs to it."),
            Mistake(right[..., -1], "only the query's value came out; all n + 1 positions are wanted."),
            Mistake(_memories(x, r, gamma, L, 1.0), "beta has no effect: it goes into the network's scores."),
            Mistake(_memories(x, r, 1.0, L, beta), "gamma has no effect: it goes into the network's time shift."),
            Mistake(
                _memories(x, r, gamma, L, beta, "query not hidden"),
                "the query column acts as a source. It has no reward yet: hide it with -inf before the softmax.",
            ),
            Mistake(
                _memories(x, r, gamma, L, beta, "softmax over listeners"),
                "softmax ran over the listeners: the weights of each listener must sum to 1.",
            ),
        ]
        got = answer(value_memory, x, r, gamma, L, beta, tried=tried)
        hint = "build_prompt, SoftmaxTransformer.constructed(d, n_layers, gamma, beta=beta), trace, row d + 2."
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("one frozen network read every prompt; value memory of each layer is weighted softmax TD")


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
        if kind == "state as position":
            chosen = [(memory[layer, task, s] - exact[task, s]) ** 2 for s in left]
        if kind == "all states":
            chosen = [square.get(s, exact[task, s] ** 2) for s in range(exact.shape[1])]
        if kind == "absolute":
            out[layer, task] = sum(math.sqrt(c) for c in chosen) / len(chosen)
        else:
            out[layer, task] = math.sqrt(sum(chosen) / (1 if kind == "sum" else len(chosen)))
    return out


def _rms_mistakes(memory: np.ndarray, states: np.ndarray, exact: np.ndarray) -> list[Mistake]:
    right = _rms(memory, states, exact)
    texts = {
        "all states": "states never left are counted, with value 0. Count only states in states[b, :-1].",
        "by visit": "often-visited states count more often: each state left counts once (np.unique).",
        "query counted": "the query's state counts although it was never left: look at states[b, :-1].",
        "state as position": "memory was read at the number of the state. Read it where that state stands.",
        "absolute": "this is the mean absolute error; take the root of the mean of squares.",
        "sum": "this is the root of the sum; divide by the number of states left.",
    }
    found = [Mistake(_rms(memory, states, exact, kind), text) for kind, text in texts.items()]
    first = np.broadcast_to(exact[0], exact.shape)
    return [
        *found,
        Mistake(right**2, "the root is missing: this is the mean of the squares."),
        Mistake(_rms(memory, states, first), "every task was compared with the exact value of task 0: use exact[b]."),
        Mistake(right.T, "tasks and layers are exchanged: one row a layer."),
        Mistake(np.sqrt((right**2).mean(axis=1)), "the tasks were averaged away; return one error for each of them."),
    ]


def check_rms_errors(rms_errors: Callable[..., Any]) -> None:
    """rms_errors(memory, states, exact) -> (L+1, B): over the states left at least once, each counting once."""
    rng = np.random.default_rng(804)
    paths = ([[0, 1, 0, 0, 3], [2, 2, 1, 2, 0], [3, 1, 1, 3, 1]], [[4, 2, 2, 0, 4, 2, 1], [1, 0, 1, 1, 3, 1, 0]])
    for path, n_states, n_layers in zip(paths, (4, 6), (2, 3), strict=True):
        states, B = np.array(path), len(path)
        by_state, exact = rng.standard_normal((n_layers + 1, B, n_states)), rng.standard_normal((B, n_states))
        memory = np.stack([by_state[:, b, states[b]] for b in range(B)], axis=1)
        tried = f"walks {path}, {n_states} states"
        got = answer(rms_errors, memory, states, exact, tried=tried)
        hint = "for each task: np.unique(states[b, :-1], return_index=True) gives the states and a position of each."
        right, mistakes = _rms(memory, states, exact), _rms_mistakes(memory, states, exact)
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("each state that was left counts once, in its own task")


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


def check_depth_against_context(depth_against_context: Callable[..., Any]) -> None:
    """depth_against_context(features, states, rewards, exact, gamma, beta, lengths, n_layers) -> (lengths, L+1)."""
    rng = np.random.default_rng(805)
    for B, S, gamma, beta, lengths, L in ((4, 3, 0.6, 1.4, [2, 5], 4), (3, 4, 0.8, 0.5, [3, 4, 6], 3)):
        features, exact = rng.standard_normal((S, 2)), rng.standard_normal((B, S))
        states, rewards = rng.integers(S, size=(B, 9)), rng.standard_normal((B, 8))
        inputs = (features, states, rewards, exact, gamma, beta, lengths, L)
        tried = f"{B} walks of 8 transitions, lengths {lengths}, {L} layers, gamma {gamma}, beta {beta}"
        right, without_beta = _table(*inputs), _table(*inputs[:5], 1.0, *inputs[6:])
        texts = {
            "whole walk": "every row reads the whole walk: cut it after n transitions, states[:, : n + 1].",
            "last n": "you kept the last n transitions; a shorter context is the beginning of the walk.",
            "one short": "off by one: n transitions need n + 1 states, states[:, : n + 1], and rewards[:, :n].",
            "mean": "this is the mean over tasks, which one bad draw can rule; take the median.",
            "over layers": "the median ran over the layers. Your spread wants the tasks in rows: transpose first.",
            "worst": "this is the worst task of each layer; take the median.",
        }
        mistakes = [
            *(Mistake(_table(*inputs, kind=kind), text) for kind, text in texts.items()),
            Mistake(without_beta, "beta has no effect: hand it on to value_memory."),
            Mistake(right.T, "rows and columns are exchanged: one row a length, one column a layer."),
            Mistake(right[:, -1], "only the deepest layer came out; all layers, 0 to L, are wanted."),
        ]
        got = answer(depth_against_context, *inputs, tried=tried)
        hint = "for each n: value_memory of the cut walks, then rms_errors, then the median over tasks."
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("a table of errors: context down, depth across")
