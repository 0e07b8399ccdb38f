"""Checks of sheet 14: the second head, the least kappa, what a head hears, a probe, an answer blind to names."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, graded_hints

hint = graded_hints(
    "The network must not know which one-hot vector stands for which state. What could you do to a prompt that changes "
    "the names and nothing else?",
    "Renaming is a permutation of the first d rows of the prompt, the same one in all columns. There are d! of them.",
    "Ask the network about every renamed prompt, and take the mean of its answers. If you rename once more, the same "
    "d! prompts are asked in another order: the mean cannot change.",
)


# --- the second head -------------------------------------------------------------------------------------------


def _head_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{n} columns, beta = {beta}", rng.normal(size=(n, d)), rng.normal(size=(n, d)), beta)
        for n, d, beta in ((3, 2, 1.0), (5, 3, 0.5), (4, 4, 2.0))
    ]


def _second_head(own: np.ndarray, successor: np.ndarray, beta: float, asks: str = "successor") -> np.ndarray:
    E = np.zeros((len(own), len(own)))
    for j in range(len(own)):
        query = (successor if asks == "successor" else own)[j]
        scores = [beta * float(np.dot(query, source)) for source in own]
        total = sum(np.exp(s) for s in scores)
        E[:, j] = [np.exp(s) / total for s in scores]
    return E


def _down_rows(own: np.ndarray, successor: np.ndarray, beta: float) -> np.ndarray:
    exp = np.exp(beta * own @ successor.T)
    return exp / exp.sum(axis=1, keepdims=True)


check_second_head = Check(
    name="second_head",
    cases=_head_cases,
    right=_second_head,
    mistakes=[
        (
            "the query asks with its own features: that is head 1. Head 2 asks with its successor's.",
            partial(_second_head, asks="own"),
        ),
        (
            "the matrix is transposed: row = source, column = query, so each column sums to 1.",
            lambda own, successor, beta: _second_head(own, successor, beta).T,
        ),
        (
            "each source shares out 1 here, along its row. Softmax runs down each column, over the sources.",
            _down_rows,
        ),
        (
            "sources are scored by their successors. They offer what they learned about their own state.",
            lambda own, successor, beta: _second_head(successor, own, beta),
            lambda own, successor, beta: _second_head(successor, successor, beta),
        ),
        ("beta is missing in the scores.", lambda own, successor, beta: _second_head(own, successor, 1.0)),
    ],
    hint="E[i, j] is exp(beta <own_i, successor_j>), divided by the sum over i.",
    says="head 2 hears, for each column, those who were where it went",
)


# --- the least kappa -------------------------------------------------------------------------------------------


def _kappa_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case("25 sources of score 0, share 0.01", np.zeros(25), 0.01),
        case("two sources that are far away, share 0.01", np.array([-9.0, -8.0]), 0.01),
        case("one source, share 0.9", np.zeros(1), 0.9),
        *(case(f"{n} random scores, share {s}", rng.normal(size=n), s) for n, s in ((4, 1e-3), (100, 0.1), (1, 0.2))),
    ]


def _leaks(scores: np.ndarray, kappa: float) -> tuple[float, float]:
    """What the sources keep of an ended column, and what the sink takes of an ordinary one."""
    n = len(scores)
    return n / (n + np.exp(2 * kappa)), np.exp(-kappa) / (np.exp(-kappa) + np.exp(scores).sum())


def _least_kappa(scores: np.ndarray, share: float, leaks: tuple[int, ...] = (0, 1)) -> float:
    """By halving an interval."""
    low, high = 0.0, 100.0
    if max(_leaks(scores, 0.0)[k] for k in leaks) <= share:
        return 0.0
    for _ in range(200):
        middle = (low + high) / 2
        enough = max(_leaks(scores, middle)[k] for k in leaks) <= share
        low, high = (low, middle) if enough else (middle, high)
    return high


def _two_kappas(scores: np.ndarray, share: float) -> tuple[float, float]:
    odds = np.log((1 - share) / share)
    return 0.5 * (np.log(len(scores)) + odds), odds - np.log(np.exp(scores).sum())


check_least_kappa = Check(
    name="least_kappa",
    cases=_kappa_cases,
    right=_least_kappa,
    mistakes=[
        (
            "only the ended column is looked at. An ordinary one must not lose more than its share to the sink either.",
            partial(_least_kappa, leaks=(0,)),
        ),
        (
            "only the ordinary column is looked at. An ended one must not keep more than its share of the sources.",
            partial(_least_kappa, leaks=(1,)),
        ),
        (
            "that is the smaller of two kappas. Both conditions must hold: take the larger.",
            lambda scores, share: max(0.0, min(_two_kappas(scores, share))),
        ),
        (
            "kappa is negative here: a sink that pays its listeners. The least that is asked for is 0.",
            lambda scores, share: max(_two_kappas(scores, share)),
        ),
        (
            "the ended column's bonus is 2 kappa, not kappa: half of the logarithm is enough.",
            lambda scores, share: max(0.0, 2 * _two_kappas(scores, share)[0], _two_kappas(scores, share)[1]),
        ),
        (
            "the ended column hears n sources, not one: each keeps a share.",
            lambda scores, share: max(0.0, 0.5 * np.log((1 - share) / share), _two_kappas(scores, share)[1]),
        ),
    ],
    hint="write down both shares, set each equal to the allowed one, and solve for kappa.",
    says="a sink just strong enough",
    like=1.0,
)


# --- what a head hears -----------------------------------------------------------------------------------------


def _map_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for C, S in ((6, 3), (9, 4), (12, 2)):
        E = rng.random((C, C)) ** 3
        states = np.append(np.arange(S), rng.integers(S, size=C - S))
        cases.append(case(f"{C} columns, {S} states", E / E.sum(axis=0), rng.permutation(states)))
    return cases


def _hears(E: np.ndarray, states: np.ndarray, step: int = 1, even: str = "count", last: int = 1) -> tuple[float, float]:
    lifts = []
    C = len(states)
    for ahead in (0, step):
        given, fair = 0.0, 0.0
        for j in range(C - last):
            for i in range(C):
                if states[i] == states[(j + ahead) % C]:
                    given += E[i, j]
                    fair += 1 / C
        lifts.append(given / fair if even == "count" else given / (C - last) * (C if even == "uniform" else 1))
    return lifts[0], lifts[1]


check_hears = Check(
    name="hears",
    cases=_map_cases,
    right=_hears,
    results=("same", "successor"),
    mistakes=[
        ("E is read along its rows: E[i, j] is what query j takes from source i.", lambda E, s: _hears(E.T, s)),
        (
            "that is the state a column came from. Its successor is the next column's state.",
            partial(_hears, step=-1),
        ),
        (
            "shares are not divided by what an even spread gives: a state that was met often is heard often by chance.",
            partial(_hears, even="none"),
        ),
        (
            "an even spread gives 1/C to each *source*, and several sources stand in one state: count them.",
            partial(_hears, even="uniform"),
        ),
        ("the query's column is counted: it has no successor, so leave it out.", partial(_hears, last=0)),
    ],
    hint="sum E over the sources of that state, over all columns but the last; divide by the same sum for 1/C.",
    says="a score with its chance level",
)


# --- a probe ---------------------------------------------------------------------------------------------------


def _probe_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for n_tasks, rows, k, noise in ((6, 5, 2, 0.3), (8, 4, 3, 1.0), (5, 6, 2, 0.0)):
        tasks = np.repeat(rng.permutation(n_tasks), rows)
        X = rng.normal(size=(len(tasks), k)) + rng.normal(size=(n_tasks, k))[tasks]
        y = X @ rng.normal(size=k) + 2.0 + noise * (rng.normal(size=n_tasks)[tasks] + rng.normal(size=len(tasks)))
        cases.append(case(f"{n_tasks} tasks of {rows} rows", X, y, tasks))
    return cases


def _fit(X: np.ndarray, y: np.ndarray, intercept: bool = True) -> Callable[[np.ndarray], np.ndarray]:
    def more(Z: np.ndarray) -> np.ndarray:
        return np.c_[Z, np.ones(len(Z))] if intercept else Z

    w = np.linalg.solve(more(X).T @ more(X), more(X).T @ y)
    return lambda Z: more(Z) @ w


def _probe(
    X: np.ndarray, y: np.ndarray, tasks: np.ndarray, left_out: str = "task", about: float | None = None, **how: Any
) -> float:
    guess = np.zeros(len(y))
    for row in range(len(y)):
        out = {"task": tasks == tasks[row], "row": np.arange(len(y)) == row, "none": np.zeros(len(y), dtype=bool)}
        learn = ~out[left_out]
        guess[row] = _fit(X[learn], y[learn], **how)(X[row : row + 1])[0]
    middle = y.mean() if about is None else about
    return float(1 - np.sum((y - guess) ** 2) / np.sum((y - middle) ** 2))


check_probe = Check(
    name="probe",
    cases=_probe_cases,
    right=_probe,
    mistakes=[
        (
            "the probe is judged on rows that it was fitted to: leave each task out, and judge it there.",
            partial(_probe, left_out="none"),
        ),
        (
            "only the row itself is left out. Its task's other rows share its rewards and give the answer away.",
            partial(_probe, left_out="row"),
        ),
        ("there is no intercept: add a column of ones to the inputs.", partial(_probe, intercept=False)),
        (
            "the variance is taken about 0: the yardstick is a constant guess, the mean of the targets.",
            partial(_probe, about=0.0),
        ),
    ],
    hint="for each task: fit on all other tasks' rows, with an intercept, and predict its rows. Then one R^2 over all.",
    says="a probe that has not seen the task it is judged on",
    like=1.0,
)


# --- blind to names --------------------------------------------------------------------------------------------


def _network(rng: np.random.Generator, rows: int, columns: int) -> Callable[[np.ndarray], float]:
    """A small network that knows names, places and rewards: one hidden layer on the whole prompt."""
    W, w = rng.normal(size=(7, rows * columns)), rng.normal(size=7)
    return lambda Z: float(w @ np.tanh(W @ np.asarray(Z, dtype=float).ravel()))


def _blind_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for d, n in ((2, 3), (3, 4), (4, 3)):
        Z = np.zeros((d + 3, n + 1))
        Z[rng.integers(d, size=n + 1), np.arange(n + 1)] = 1.0
        Z[d, :n] = rng.normal(size=n)
        cases.append(case(f"a network and a prompt of {d} features", _network(rng, d + 3, n + 1), Z, d))
    return cases


def _name_blind(answer: Callable[[np.ndarray], float], Z: np.ndarray, d: int, rows: int = 0) -> float:
    total, many = 0.0, 0
    for order in itertools.permutations(range(d + rows)):
        total += answer(np.vstack([Z[list(order)], Z[d + rows :]]))
        many += 1
    return total / many


def _mean_prompt(answer: Callable[[np.ndarray], float], Z: np.ndarray, d: int) -> float:
    prompts = [np.vstack([Z[list(order)], Z[d:]]) for order in itertools.permutations(range(d))]
    return answer(np.mean(prompts, axis=0))


def _only_cycles(answer: Callable[[np.ndarray], float], Z: np.ndarray, d: int) -> float:
    return float(np.mean([answer(np.vstack([np.roll(Z[:d], k, axis=0), Z[d:]])) for k in range(d)]))


def _columns_moved(answer: Callable[[np.ndarray], float], Z: np.ndarray, d: int) -> float:
    n = Z.shape[1] - 1
    moved = [np.c_[Z[:, list(order)], Z[:, n:]] for order in itertools.permutations(range(n))]
    return float(np.mean([answer(each) for each in moved]))


check_name_blind = Check(
    name="name_blind",
    cases=_blind_cases,
    right=_name_blind,
    mistakes=[
        ("the answers are to be averaged, not the prompts: a mean of prompts is the prompt of no chain.", _mean_prompt),
        (
            "these are d of the d! ways to rename: moving all names on by one. A swap of two is missing, for example.",
            _only_cycles,
        ),
        ("the steps are shuffled here, not the names: columns are positions, rows are features.", _columns_moved),
        (
            "the reward's row is moved as well: only the first d rows are names.",
            partial(_name_blind, rows=1),
        ),
        ("that is the network's own answer: it knows the names.", lambda answer, Z, d: answer(Z)),
        ("the sum must be divided by the number of permutations.", lambda a, Z, d: _name_blind(a, Z, d) * _many(d)),
    ],
    hint="ask about each of the d! prompts with their first d rows permuted, and take the mean of the answers.",
    says="an answer that no renaming can change",
    like=1.0,
)


def _many(d: int) -> int:
    return len(list(itertools.permutations(range(d))))
