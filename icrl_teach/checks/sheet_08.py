"""Checks of sheet 08: errors, a plan, a paired test, a gain on fresh tasks, a newcomer, a step for each layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, graded_hints


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


def _plan_cases(rng: np.random.Generator) -> list[Case]:
    shares = [round(rng.uniform(low, high), 5) for low, high in ((0.1, 0.3), (0.7, 1.3), (0.5, 0.9))]
    drawn = (0.061, int(rng.integers(20, 90)), *shares)
    numbers = ((0.1, 40, 0.25, 1.0, 0.8), (0.03, 100, 0.11, 0.7, 0.9), (0.2, 25, 0.31, 1.3, 0.5), drawn)
    return [
        case(f"target {target}, at n = {n0} floor {floor0}, layer 0 at {error0}, gamma = {gamma}", *row)
        for row in numbers
        for target, n0, floor0, error0, gamma in [row]
    ]


def _plan(
    target: float, n0: int, floor0: float, error0: float, gamma: float, share: float = 0.5, power: float = 0.5
) -> tuple[int, int]:
    """By trying: one more transition, one more layer, until both parts are small enough."""
    n = n_layers = 1
    while floor0 * (n0 / n) ** power > share * target:
        n += 1
    while error0 * gamma**n_layers > share * target:
        n_layers += 1
    return n, n_layers


check_plan = Check(
    name="plan",
    cases=_plan_cases,
    right=_plan,
    results=("n", "n_layers"),
    mistakes=[
        ("both parts add up, so each may take half of the target.", partial(_plan, share=1.0)),
        (
            "the floor falls like one over the *root* of n: half the floor costs four times n.",
            partial(_plan, power=1.0),
        ),
        (
            "depth starts at the error of layer 0, not at the floor.",
            lambda target, n0, floor0, error0, gamma: _plan(target, n0, floor0, floor0, gamma),
        ),
        (
            "round up, not down: with less the target is missed.",
            lambda *a: tuple(number - 1 for number in _plan(*a)),
        ),
        ("these are not whole numbers: math.ceil.", lambda *a: tuple(number - 0.5 for number in _plan(*a))),
        ("the order is n, then layers.", lambda *a: _plan(*a)[::-1]),
    ],
    hint="solve floor0 * sqrt(n0 / n) = target / 2 for n, error0 * gamma**L = target / 2 for L, then round up.",
    says="a plan before the run: so many transitions, so many layers",
)


def _pairs(rng: np.random.Generator) -> list[Case]:
    cases = []
    for B, ties, lead in ((12, 0, 0.3), (9, 2, 0.0), (40, 5, 0.2)):
        a, b = rng.exponential(size=(2, B)) + 0.1
        b += lead
        b[:ties] = a[:ties]
        cases.append(case(f"{B} tasks, {ties} of them equal", a, b))
    return cases


def _coins(m: int) -> list[float]:
    """The chance of 0, 1, ..., m heads in m fair tosses, toss by toss."""
    chance = [1.0]
    for _ in range(m):
        chance = [(a + b) / 2 for a, b in zip([0.0, *chance], [*chance, 0.0], strict=True)]
    return chance


def _sign_test(a: np.ndarray, b: np.ndarray, kind: str = "right") -> float:
    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    wins, losses = sum(x < y for x, y in pairs), sum(x > y for x, y in pairs)
    if kind == "ties lose":
        losses = len(a) - wins
    chance, fewer = _coins(wins + losses), min(wins, losses)
    tail = sum(chance[: fewer + 1])
    if kind == "exactly":
        tail = chance[fewer]
    if kind == "fewer":
        tail = sum(chance[:fewer])
    if kind == "wins":
        tail = sum(chance[: wins + 1])
    return min(1.0, tail if kind in ("one-sided", "wins") else 2 * tail)


check_sign_test = Check(
    name="sign_test",
    cases=_pairs,
    right=_sign_test,
    mistakes=[
        ("this is one side only: b could have won as clearly. Twice that.", partial(_sign_test, kind="one-sided")),
        ("count the smaller of wins and losses; whoever wins, the test is the same.", partial(_sign_test, kind="wins")),
        ("equal tasks say nothing about who is better: leave them out.", partial(_sign_test, kind="ties lose")),
        ("this is the chance of exactly so few; add all that are rarer.", partial(_sign_test, kind="exactly")),
        ("so few counts too: the sum runs from 0 to k, k included.", partial(_sign_test, kind="fewer")),
        (
            "this compares the two groups, not the pairs. On how many tasks is a nearer?",
            lambda a, b: float(np.median(a) - np.median(b)),
            lambda a, b: float((a < b).mean()),
        ),
    ],
    hint="k = min(wins, losses), m = wins + losses; min(1, 2 * sum of math.comb(m, i) / 2**m for i up to k).",
    says="a test that asks each task, and needs no bell curve",
)


def _gain_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"errors of {T} temperatures on {B} tasks", rng.exponential(size=(T, B)) + 0.2 + rng.random((T, 1)))
        for T, B in ((4, 12), (6, 20))
    ]


def _gain(
    errors: np.ndarray,
    choose: Callable[[int], range] = lambda B: range(B // 2),
    report: Callable[[int], range] = lambda B: range(B // 2, B),
    middle: Callable[[list[float]], Any] = np.median,
    from_best: bool = False,
    least: bool = True,
) -> tuple[int, float, float]:
    """Choose on some tasks, report on both parts, in plain loops."""
    B = errors.shape[1]

    def level(row: np.ndarray, tasks: range) -> float:
        return float(middle([row[b] for b in tasks]))

    levels = [level(row, choose(B)) for row in errors]
    best = levels.index(min(levels) if least else max(levels))

    def gain(tasks: range) -> float:
        ours, sharp = level(errors[best], tasks), level(errors[-1], tasks)
        return sharp / ours - 1 if from_best else 1 - ours / sharp

    return best, gain(range(B // 2)), gain(report(B))


check_honest_gain = Check(
    name="honest_gain",
    cases=_gain_cases,
    right=_gain,
    results=("chosen", "gain where it was chosen", "gain on fresh tasks"),
    mistakes=[
        ("you chose on all tasks, so none is fresh.", partial(_gain, choose=lambda B: range(B))),
        ("you chose on the second half; that half is to report.", partial(_gain, choose=lambda B: range(B // 2, B))),
        ("the fresh gain was measured on all tasks; take the second half.", partial(_gain, report=lambda B: range(B))),
        (
            "the fresh gain was measured where the choice was made; take the second half.",
            partial(_gain, report=lambda B: range(B // 2)),
        ),
        ("these are means; one bad task moves them far. Take medians.", partial(_gain, middle=np.mean)),
        ("the gain is a share of the sharp error: 1 - chosen / last.", partial(_gain, from_best=True)),
        ("you chose the largest error.", partial(_gain, least=False)),
    ],
    hint="argmin of the medians over the first half; then 1 - median / median of the last row, for each half.",
    says="chosen here, reported there",
)


def _newcomer_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"value memory of {L} layers over {n} transitions, gamma = {gamma}",
            *(np.vstack([np.zeros(n + 1), rng.standard_normal((L, n + 1))]), rng.standard_normal(n), gamma),
        )
        for L, n, gamma in ((3, 5, 0.8), (5, 8, 0.6))
    ]


def _newcomer(memory: np.ndarray, rewards: np.ndarray, gamma: float, kind: str = "right") -> np.ndarray:
    """Layer by layer: plus the mean of all TD errors before it."""
    n, value, out = len(rewards), 0.0, [0.0]
    for layer in range(1, len(memory)):
        v = memory[layer if kind == "new values" else layer - 1]
        delta = [rewards[k] + gamma * v[k + 1] - v[k] for k in range(n)]
        if kind == "query too":
            delta.append(-v[n])
        step = sum(delta) / (1 if kind == "sum" else n + 1 if kind == "n + 1" else len(delta))
        value = step if kind == "alone" else value + step
        out.append(value)
    return np.array(out)


check_newcomer = Check(
    name="newcomer",
    cases=_newcomer_cases,
    right=_newcomer,
    mistakes=[
        ("each layer adds to the value before it: sum up over the layers.", partial(_newcomer, kind="alone")),
        (
            "a layer steps by errors of the values *before* it: memory[l], not memory[l + 1].",
            partial(_newcomer, kind="new values"),
        ),
        ("weights sum to 1, so this is the mean of the errors, not their sum.", partial(_newcomer, kind="sum")),
        ("there are n sources: the mean divides by n.", partial(_newcomer, kind="n + 1")),
        ("the query teaches nobody: n errors, not n + 1.", partial(_newcomer, kind="query too")),
        ("gamma is forgotten in the TD errors.", lambda memory, rewards, gamma: _newcomer(memory, rewards, 1.0)),
        (
            "this is the mean of the values, the approximation. The exact value adds up mean errors.",
            lambda memory, rewards, gamma: memory[:, :-1].mean(axis=1),
        ),
    ],
    hint="delta = rewards + gamma * memory[l, 1:] - memory[l, :-1]; its mean is the step from layer l to l + 1.",
    says="you know what it will say to a state that nobody left",
)


def _step_cases(rng: np.random.Generator) -> list[Case]:
    drawn = round(rng.uniform(0.1, 0.4), 2), round(rng.uniform(1.2, 1.9), 2), int(rng.integers(2, 7))
    rows = ((0.2, 1.8, 4), (0.1, 1.5, 7), (0.5, 1.0, 1), (0.05, 1.95, 12), drawn)
    return [case(f"eigenvalues from {low} to {high}, {L} layers", low, high, L) for low, high, L in rows]


def _steps(low: float, high: float, n_layers: int) -> np.ndarray:
    """One over the roots of the Chebyshev polynomial, which numpy finds as eigenvalues. Ascending."""
    roots = np.polynomial.chebyshev.chebroots([0.0] * n_layers + [1.0])
    return np.sort(1 / ((high + low) / 2 + (high - low) / 2 * roots.real))


def _at(nodes: Callable[[int], np.ndarray]) -> Callable[[float, float, int], np.ndarray]:
    """Steps from other nodes in [-1, 1]."""
    return lambda low, high, L: np.sort(1 / ((high + low) / 2 + (high - low) / 2 * nodes(L)))


check_layer_steps = Check(
    name="layer_steps",
    cases=_step_cases,
    right=_steps,
    like=np.zeros(1),
    mistakes=[
        (
            "this is one step for all layers. One for each can do better.",
            lambda low, high, L: np.full(L, 2 / (low + high)),
        ),
        ("these are the roots; the step is one over each.", lambda low, high, L: np.sort(1 / _steps(low, high, L))),
        ("the order is turned: the smallest step first.", lambda low, high, L: _steps(low, high, L)[::-1]),
        (
            "roots equally far apart: the polynomial is then large near the ends.",
            _at(lambda L: np.linspace(-1, 1, L + 2)[1:-1]),
            _at(lambda L: np.linspace(-1, 1, L) if L > 1 else np.zeros(1)),
        ),
        (
            "these are the points where a Chebyshev polynomial is largest; its roots lie between them.",
            _at(lambda L: np.cos(np.pi * np.arange(L) / max(L - 1, 1))),
        ),
        (
            "the roots are moved to the middle of [low, high], but not stretched to its width.",
            lambda low, high, L: np.sort(1 / ((high + low) / 2 + 1 / _steps(-1.0, 1.0, L))),
        ),
    ],
    hint="roots cos(pi (2k + 1) / (2L)), moved to [low, high]; one over each; sorted.",
    says="a step for each layer, and their polynomial is the smallest there is",
)

hint = graded_hints(
    "After layers with steps a_1 ... a_L an error in the direction of the eigenvalue lambda is multiplied by the "
    "product of (1 - a_l lambda): a polynomial of degree L that is 1 at lambda = 0. Where are its roots?",
    "You may choose the roots. It should be small everywhere on [low, high] at once. Which polynomial of degree L "
    "swings between -1 and 1 on an interval, and is as large as can be outside?",
    "Chebyshev's: cos(L arccos t), with roots t_k = cos(pi (2k + 1) / (2L)). Move t from [-1, 1] to [low, high]; the "
    "step is one over the root.",
)
