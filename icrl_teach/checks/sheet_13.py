"""Checks of sheet 13: ties, tempting unknowns, whose policy it is, values of what was seen, and an honest value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, graded_hints

Steps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

hint = graded_hints(
    "Two logs of one game share its rules and not its luck. Which of the two errors of your value is luck?",
    "A choice made on a log is best for that log's luck as well. So the log that chose may not be the judge.",
    "Ask seen_values on the first log, take the best actions, ask again until no choice changes; then seen_values on "
    "the second log, for that choice, and read q(s, choice(s)).",
)


def _policy_cases(rng: np.random.Generator) -> list[Case]:
    tied = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0], [3.0, 1.0, 2.0]])
    return [
        case("three states with ties, epsilon = 0.3", tied, 0.3),
        case("four states, epsilon = 0", rng.normal(size=(4, 3)), 0.0),
        case("two states, epsilon = 1", rng.normal(size=(2, 4)), 1.0),
    ]


def _epsilon_greedy(q: np.ndarray, epsilon: float) -> np.ndarray:
    """State by state: count the best, share among them."""
    rows = []
    for values in q:
        best = [a for a, v in enumerate(values) if v == max(values)]
        rows.append([epsilon / len(values) + (1 - epsilon) / len(best) * (a in best) for a in range(len(values))])
    return np.array(rows)


def _first_best(q: np.ndarray, epsilon: float) -> np.ndarray:
    return epsilon / q.shape[1] + (1 - epsilon) * np.eye(q.shape[1])[q.argmax(axis=1)]


def _others_only(q: np.ndarray, epsilon: float) -> np.ndarray:
    best = _epsilon_greedy(q, 0.0)
    rest = (best == 0) / np.maximum((best == 0).sum(axis=1, keepdims=True), 1)
    return (1 - epsilon) * best + epsilon * rest


check_epsilon_greedy = Check(
    name="epsilon_greedy",
    cases=_policy_cases,
    right=_epsilon_greedy,
    forbid=("control:epsilon_greedy_policy",),
    mistakes=[
        ("of actions that tie only the first gets its share: before the first reward that means left.", _first_best),
        ("the random action may be the best one as well: epsilon is shared by all actions.", _others_only),
        ("each of the actions that tie got the whole greedy share: rows must sum to 1.", lambda q, e: _whole(q, e)),
        ("epsilon and 1 - epsilon are exchanged.", lambda q, e: _epsilon_greedy(q, 1 - e)),
        ("epsilon is given to every action whole: divide it by the number of actions.", lambda q, e: _undivided(q, e)),
    ],
    hint="with 1 - epsilon one of the best, all ties alike; with epsilon any action.",
    says="where nothing is known, nothing is preferred",
)


def _whole(q: np.ndarray, epsilon: float) -> np.ndarray:
    return epsilon / q.shape[1] + (1 - epsilon) * (q == q.max(axis=1, keepdims=True))


def _undivided(q: np.ndarray, epsilon: float) -> np.ndarray:
    return epsilon + (1 - epsilon) * _epsilon_greedy(q, 0.0)


def _tempting_cases(rng: np.random.Generator) -> list[Case]:
    cases = [
        case(
            "a poor state and a rich one, both with an untried action, and one never seen",
            np.array([[0.0, np.nan], [10.0, np.nan], [np.nan, np.nan], [8.0, 9.0]]),
            np.array([[30, 0], [1, 0], [0, 0], [1, 1]]),
        )
    ]
    for shift in (0.0, -5.0, 0.0, 3.0, -1.0):
        visits = rng.integers(1, 30, size=(9, 3)) ** 2 * (rng.random((9, 3)) < 0.6)
        visits[0], visits[1], visits[2] = [25, 0, 0], [0, 3, 0], [0, 0, 0]
        q = np.where(visits > 0, rng.normal(size=(9, 3)) + shift, np.nan)
        q[0, 0], q[1, 1] = shift - 2.0, shift + 2.0
        cases.append(case(f"nine states, values around {shift:g}", q, visits))
    return cases


def _tempting(q: np.ndarray, visits: np.ndarray, mean: str = "visits", against: str = "best") -> np.ndarray:
    tried = visits > 0
    total = {"visits": (np.nan_to_num(q) * visits).sum() / visits.sum(), "pairs": q[tried].mean(), "zero": 0.0}
    total["largest"] = q[tried].max()
    out = np.zeros(q.shape, dtype=bool)
    for s in range(len(q)):
        known = q[s, tried[s]]
        if len(known):
            level = {"best": known.max(), "mean": known.mean(), "least": known.min()}[against]
            out[s] = ~tried[s] & (total[mean] > level)
    return out


check_tempting = Check(
    name="tempting",
    cases=_tempting_cases,
    right=_tempting,
    mistakes=[
        (
            "the mean counts every tried pair once; an untried pair hears steps, so weigh each pair by its visits.",
            partial(_tempting, mean="pairs"),
        ),
        ("untried pairs are not worth 0: they hear the mean of all steps.", partial(_tempting, mean="zero")),
        ("untried pairs hear the mean, not the largest of all values.", partial(_tempting, mean="largest")),
        (
            "greedy looks at the best tried action of the state, not at their mean or the worst.",
            partial(_tempting, against="mean"),
            partial(_tempting, against="least"),
        ),
        ("every untried pair is marked: ask whether greedy would take it.", lambda q, visits: visits == 0),
        (
            "these are the untried pairs that are not tempting.",
            lambda q, v: (v == 0) & (v.sum(axis=1, keepdims=True) > 0) & ~_tempting(q, v),
        ),
    ],
    hint="heard = sum of visits * q / sum of visits over tried pairs; tempting where it beats the state's best.",
    says="optimism by accident, foretold",
)


def _steps(rng: np.random.Generator, n: int, n_states: int, n_actions: int) -> Steps:
    """states, actions, rewards, next states, terminated: every pair was tried."""
    s, a = rng.integers(n_states, size=n), rng.integers(n_actions, size=n)
    every = n_states * n_actions
    s[:every], a[:every] = np.divmod(rng.permutation(every), n_actions)
    following, ended = rng.integers(n_states, size=n), rng.random(n) < 0.25
    return s, a, rng.normal(size=n) + 0.5 * s - a, following, ended


def _solved(
    steps: Steps, choice: Any, n_actions: int, gamma: float, then: str = "choice", ends: bool = True
) -> np.ndarray:
    """q of a choice on the process as seen: an equation for each pair, added up step by step; then one solution."""
    s, a, r, following, ended = steps
    size = len(choice) * n_actions
    left, right, visits = np.zeros((size, size)), np.zeros(size), np.zeros(size)
    for k in range(len(s)):
        pair = s[k] * n_actions + a[k]
        visits[pair] += 1
        right[pair] += r[k]
        if ends and ended[k]:
            continue
        first = following[k] * n_actions
        if then == "mean":
            left[pair, first : first + n_actions] += gamma / n_actions
        else:
            left[pair, first + (choice[following[k]] if then == "choice" else a[(k + 1) % len(s)])] += gamma
    visits = np.maximum(visits, 1.0)
    return np.linalg.solve(np.eye(size) - left / visits[:, None], right / visits).reshape(-1, n_actions)


def _best_later(steps: Steps, choice: Any, n_actions: int, gamma: float) -> np.ndarray:
    """Q-learning's question: the best next action, whatever the policy would do."""
    for _ in range(100):
        q = _solved(steps, choice, n_actions, gamma)
        choice = q.argmax(axis=1)
    return q


def _values_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for n, n_states, n_actions, gamma in ((24, 3, 2, 0.5), (60, 4, 3, 0.8)):
        steps = _steps(rng, n, n_states, n_actions)
        choice = rng.integers(n_actions, size=n_states)
        cases.append(case(f"{n} steps, {n_states} states, gamma = {gamma}", steps, choice, n_actions, gamma))
    s, a, r, following, ended = _steps(rng, 20, 3, 2)
    kept = (s != 2) | (a != 1)
    some = tuple(column[kept] for column in (s, a, r, following, ended))
    cases.append(case("a log in which one pair was never tried", some, np.array([1, 0, 1]), 2, 0.7))
    return cases


def _sums(steps: Steps, choice: Any, n_actions: int, gamma: float) -> np.ndarray:
    """Rewards and next pairs are summed, not averaged."""
    s, a, r, following, ended = steps
    pair, onward, size = s * n_actions + a, following * n_actions + choice[following], len(choice) * n_actions
    counts, paid = np.zeros((size, size)), np.bincount(pair, r, size)
    np.add.at(counts, (pair[~ended], onward[~ended]), 1.0)
    return np.linalg.solve(np.eye(size) - gamma * counts, paid).reshape(-1, n_actions)


check_seen_values = Check(
    name="seen_values",
    cases=_values_cases,
    right=_solved,
    mistakes=[
        (
            "this values the players: behind each step stands choice, not the action taken next.",
            partial(_solved, then="taken"),
        ),
        (
            "this takes the best next action, as Q-learning does; value the policy that was given.",
            _best_later,
        ),
        ("all next actions count alike here; the policy takes one, choice.", partial(_solved, then="mean")),
        ("a step that terminated has no future: its target is the reward alone.", partial(_solved, ends=False)),
        ("gamma is missing.", lambda steps, choice, A, gamma: _solved(steps, choice, A, 0.999)),
        (
            "only the next reward is counted: what follows is worth gamma q(s', choice(s')).",
            lambda st, c, A, g: _solved(st, c, A, 0.0),
        ),
        ("divide by how often the pair was tried.", _sums),
    ],
    hint="for each pair: the mean of r + gamma q(s', choice(s')) over its steps, 0 behind an end; solve.",
    says="anybody's steps, your policy's values",
)


def _whose_cases(rng: np.random.Generator) -> list[Case]:
    """Every one of four candidates on four logs, in random order."""
    cases = []
    for n, n_states, n_actions, gamma in ((40, 3, 2, 0.8), (90, 4, 3, 0.6), (30, 3, 3, 0.9), (24, 4, 2, 0.8)):
        steps = _steps(rng, n, n_states, n_actions)
        every = np.array(list(product(range(n_actions), repeat=n_states)))
        candidates = every[rng.permutation(len(every))[:4]]
        for index in rng.permutation(4):
            q = _solved(steps, candidates[index], n_actions, gamma)
            cases.append(case(f"{n} steps, policy {index} of 0 to 3, gamma = {gamma}", q, steps, candidates, gamma))
    return cases


def _gaps(q: np.ndarray, steps: Steps, choice: Any, gamma: float, ends: bool = True) -> np.ndarray:
    s, a, r, following, ended = steps
    later = q[following, choice[following]]
    return r + gamma * (later * ~ended if ends else later) - q[s, a]


def _pair_means(errors: np.ndarray, steps: Steps) -> np.ndarray:
    s, a = steps[:2]
    return np.array(
        [errors[(s == i) & (a == j)].mean() for i, j in sorted(set(zip(s.tolist(), a.tolist(), strict=True)))]
    )


def _by(measure: Callable[[np.ndarray, Steps], Any], pick: Any = np.argmin, ends: bool = True) -> Callable[..., int]:
    def whose(q: Any, steps: Steps, candidates: Any, gamma: float) -> int:
        return int(pick([measure(_gaps(q, steps, c, gamma, ends), steps) for c in candidates]))

    return whose


_right_whose = _by(lambda errors, steps: np.abs(_pair_means(errors, steps)).max())


def _nearest_greedy(q: np.ndarray, steps: Steps, candidates: Any, gamma: float) -> int:
    return int(np.argmax([(q.argmax(axis=1) == c).mean() for c in candidates]))


check_whose = Check(
    name="whose",
    cases=_whose_cases,
    right=_right_whose,
    mistakes=[
        (
            "the policy that was valued need not be the greedy one: test the table with Bellman's equation.",
            _nearest_greedy,
        ),
        (
            "single TD errors are not 0, steps differ: average them pair by pair.",
            _by(lambda errors, steps: np.abs(errors).max()),
            _by(lambda errors, steps: (errors**2).mean()),
        ),
        (
            "the worst fit was taken: the right policy leaves no mean error.",
            _by(lambda e, s: np.abs(_pair_means(e, s)).max(), np.argmax),
        ),
        (
            "a step that terminated has no future: drop q behind it.",
            _by(lambda e, s: np.abs(_pair_means(e, s)).max(), ends=False),
        ),
        ("always the same answer: test all candidates.", *(lambda *_, i=i: i for i in range(4))),
        ("the candidates are numbered from 0.", lambda *a: _right_whose(*a) + 1),
    ],
    hint="under the right policy the mean TD error of every pair is 0.",
    says="a table of values says whose they are",
)


def _honest_cases(rng: np.random.Generator) -> list[Case]:
    """Logs on which one question is not enough, and the second log would choose otherwise."""
    cases: list[Case] = []
    for _ in range(200):
        n, gamma = ((14, 0.9), (12, 0.95))[len(cases)]
        logs, rest = [_steps(rng, n, 3, 2) for _ in range(2)], (3, 2, gamma)
        chosen = _best(logs[0], *rest)
        if (chosen != _once(logs[0], *rest)).any() and (chosen != _best(logs[1], *rest)).any():
            cases.append(case(f"two logs of {n} steps, 3 states, gamma = {gamma}", *logs, *rest))
        if len(cases) == 2:
            break
    return cases


def _once(steps: Steps, n_states: int, n_actions: int, gamma: float) -> np.ndarray:
    """The choice after a single question, about the first action everywhere."""
    return _solved(steps, np.zeros(n_states, dtype=int), n_actions, gamma).argmax(axis=1)


def _best(steps: Steps, n_states: int, n_actions: int, gamma: float) -> np.ndarray:
    """The best choice on a log, by trying every one."""
    every = [np.array(c) for c in product(range(n_actions), repeat=n_states)]
    return max(every, key=lambda c: _solved(steps, c, n_actions, gamma)[np.arange(n_states), c].sum())


def _valued(steps: Steps, choice: np.ndarray, n_actions: int, gamma: float) -> np.ndarray:
    return _solved(steps, choice, n_actions, gamma)[np.arange(len(choice)), choice]


def _honest(first: Steps, second: Steps, n_states: int, n_actions: int, gamma: float) -> np.ndarray:
    return _valued(second, _best(first, n_states, n_actions, gamma), n_actions, gamma)


def _joined(first: Steps, second: Steps) -> Steps:
    return tuple(np.concatenate(pair) for pair in zip(first, second, strict=True))  # type: ignore[return-value]


def _asked_once(first: Steps, second: Steps, n_states: int, n_actions: int, gamma: float) -> np.ndarray:
    return _valued(second, _once(first, n_states, n_actions, gamma), n_actions, gamma)


check_honest_value = Check(
    name="honest_value",
    cases=_honest_cases,
    right=_honest,
    mistakes=[
        (
            "the log that chose is the judge here: its luck counts twice. Value the choice on the second log.",
            lambda first, second, S, A, g: _honest(first, first, S, A, g),
        ),
        (
            "both logs choose and judge together: keep one of them out of the choosing.",
            lambda first, second, S, A, g: _honest(_joined(first, second), _joined(first, second), S, A, g),
        ),
        (
            "the second log chooses again: its best policy is not the one to judge.",
            lambda f, s, S, A, g: _honest(s, s, S, A, g),
        ),
        ("the logs are exchanged: the first chooses, the second judges.", lambda f, s, S, A, g: _honest(s, f, S, A, g)),
        ("asked once only: ask again about the new choice, until nothing changes.", _asked_once),
        (
            "the largest q of the second log was read: read q(s, choice(s)), whatever the second log prefers.",
            lambda f, s, S, A, g: _solved(s, _best(f, S, A, g), A, g).max(axis=1),
        ),
    ],
    hint="choose on the first log until nothing changes; value that choice on the second.",
    needs=[check_seen_values],
    says="a judge who was not at the audition",
)
