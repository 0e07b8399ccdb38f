"""Checks of sheet 02: the TD error, online TD(0), one batch TD iteration, Monte Carlo, and TD against Monte Carlo.

Every oracle is a plain loop over the steps; the certainty-equivalence value is solved for, not iterated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case

Walk = tuple[np.ndarray, np.ndarray]


def _walk(rng: np.random.Generator, n: int, n_states: int) -> Walk:
    """A random walk in which states repeat, with random rewards and rare last states."""
    states = np.minimum(rng.integers(n_states, size=n + 1), rng.integers(n_states, size=n + 1))
    states[:2] = 0, 1  # so that some state is left twice and another is the first to follow
    return states, rng.normal(1.0, 1.0, n)


def _error_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"v = {v.tolist()}, from state {s} to state {s_next}, reward {reward:g}, gamma = {gamma:g}",
            *(v, s, reward, s_next, gamma),
        )
        for v, s, reward, s_next, gamma in (
            (np.array([0.0, -0.5, 1.3]), 1, -1.0, 2, 0.8),
            (rng.normal(size=2).round(1), 1, 0.3, 0, 0.5),
            (np.array([1.5, -2.0, 0.7, 4.0]), 3, 1.0, 3, 0.9),
        )
    ]


def _error(v: np.ndarray, s: int, reward: float, s_next: int, gamma: float) -> float:
    guess, target = float(v[s]), float(reward)
    target += gamma * float(v[s_next])
    return target - guess


check_td_error = Check(
    name="td_error",
    cases=_error_cases,
    right=_error,
    mistakes=[
        (
            "gamma is missing: what comes later is discounted, so use gamma * v[s_next].",
            lambda v, s, r, t, g: _error(v, s, r, t, 1.0),
        ),
        (
            "the sign is turned round: a good surprise is positive, target minus v[s].",
            lambda v, s, r, t, g: -_error(v, s, r, t, g),
        ),
        (
            "the reward is missing: the target is reward + gamma * v[s_next].",
            lambda v, s, r, t, g: _error(v, s, 0.0, t, g),
        ),
        (
            "s and s_next are swapped: the state that was left is subtracted.",
            lambda v, s, r, t, g: _error(v, t, r, s, g),
        ),
        (
            "gamma multiplies the reward too: only the next value is discounted.",
            lambda v, s, r, t, g: _error(v, s, g * r, t, g),
        ),
        (
            "gamma multiplies both values: v[s] is not discounted. Mind the brackets.",
            lambda v, s, r, t, g: r + g * (v[t] - v[s]),
        ),
        (
            "this is the target alone: the TD error subtracts the old guess v[s] from it.",
            lambda v, s, r, t, g: r + g * v[t],
        ),
        (
            "the state index entered where its value belongs: v[s], not s.",
            lambda v, s, r, t, g: r + g * t - s,
        ),
    ],
    hint="write R + gamma v(S') - v(S).",
    says="the TD error compares one guess with the next reward and the next guess.",
)


def _online_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([0, 1, 2, 1]), np.array([0.0, -1.0, 3.0])
    return [
        case(
            "the walk 0, 1, 2, 1 with rewards 0, -1, 3, gamma = 0.8, alpha = 0.5, three states",
            *(*by_hand, 0.8, 0.5, 3),
        ),
        case("a random walk of 12 steps on 4 states, gamma = 0.7, alpha = 0.3", *_walk(rng, 12, 4), 0.7, 0.3, 4),
    ]


def _online(
    states: Any, rewards: Any, gamma: float, alpha: float, n_states: int, *, learner: int = 0, frozen: bool = False
) -> np.ndarray:
    """Online TD(0) by a plain loop. learner 1: the next state learns instead; frozen: errors from the first table."""
    v = [0.0] * n_states
    history = [list(v)]
    for k in range(len(rewards)):
        s, s_next = int(states[k]), int(states[k + 1])
        look = history[0] if frozen else v
        v[int(states[k + learner])] += alpha * (rewards[k] + gamma * look[s_next] - look[s])
        history.append(list(v))
    return np.array(history)


def _shared(states: Any, rewards: Any, gamma: float, alpha: float, n_states: int, rows: int = 1) -> np.ndarray:
    """Every row shows the last table."""
    return np.tile(_online(states, rewards, gamma, alpha, n_states)[-1], (len(rewards) + rows, 1))


check_online_td = Check(
    name="online_td",
    cases=_online_cases,
    right=_online,
    mistakes=[
        ("gamma is missing in the TD error.", lambda s, r, g, a, m: _online(s, r, 1.0, a, m)),
        ("alpha is missing: move only the part alpha of delta.", lambda s, r, g, a, m: _online(s, r, g, 1.0, m)),
        ("the table moves away: add alpha * delta, with a plus.", lambda s, r, g, a, m: _online(s, r, g, -a, m)),
        ("the wrong state learns: update the one left.", partial(_online, learner=1)),
        (
            "all errors come from the starting table: online TD uses the newest table in the very next step.",
            partial(_online, frozen=True),
        ),
        (
            "every row shows the last table: all rows are the same array. Store v.copy(), not v.",
            *(partial(_shared, rows=rows) for rows in (1, 0)),
        ),
        (
            "row 0 is missing: begin the history with the table before any step, all zeros.",
            lambda s, r, g, a, m: _online(s, r, g, a, m)[1:],
        ),
        (
            "the table after the last step is missing: store v.copy() after each update, not before it.",
            lambda s, r, g, a, m: _online(s, r, g, a, m)[:-1],
            lambda s, r, g, a, m: _online(s, r, g, a, m)[[0, *range(len(r))]],
        ),
        (
            "the rewards are one step late: rewards[k] is paid on leaving states[k].",
            lambda s, r, g, a, m: _online(s, np.append(r[1:], 0.0), g, a, m),
            lambda s, r, g, a, m: _online(s, np.append(0.0, r[:-1]), g, a, m),
        ),
        (
            "each position learned for itself: the table has one entry a state, v[states[k]], not v[k].",
            lambda s, r, g, a, m: _online(np.arange(len(s)) % m, r, g, a, m),
        ),
        (
            "only the last table came back: return all n+1 of them, stacked.",
            lambda s, r, g, a, m: _online(s, r, g, a, m)[-1],
        ),
    ],
    hint="follow the first two steps by hand and print v.",
    says="online TD(0) moves one entry a step, and later steps use what earlier ones learned.",
    needs=[check_td_error],
)


def _batch_cases(rng: np.random.Generator) -> list[Case]:
    states, rewards = _walk(rng, 15, 4)
    states[-1] = states[0]  # the query state was left before, so that counting it shows
    hand = np.array([0, 1, 2, 1, 0, 1]), np.array([0.0, -1.0, 3.0, -1.0, 2.0])
    unseen = "a random walk of 15 steps, v with one state that was never left, gamma = 0.6, alpha = 0.5"
    return [
        case(
            "v = [1, 2, 3], the walk 0, 1, 2, 1, 0, 1, gamma = 0.8, alpha = 1",
            np.array([1.0, 2.0, 3.0]),
            *hand,
            0.8,
            1.0,
        ),
        case(unseen, np.array([0.5, -1.0, 2.0, 0.3, 7.0]), states, rewards, 0.6, 0.5),
    ]


def _batch(
    v: np.ndarray,
    states: np.ndarray,
    rewards: np.ndarray,
    gamma: float,
    alpha: float,
    *,
    learner: int = 0,
    divide: str = "visits",
    fresh: bool = False,
    overwrite: bool = False,
    never_left: float | None = None,
) -> np.ndarray:
    """One batch TD iteration by a plain loop; the options are the usual mistakes."""
    n, new = len(rewards), v.copy()
    counted = states if divide == "with query" else states[learner : learner + n]
    for k in range(n):
        look, s = (new if fresh else v), int(states[k + learner])
        count = {"n": n, "nothing": 1}.get(divide, int(np.sum(counted == s)))
        delta = rewards[k] + gamma * look[states[k + 1]] - look[states[k]]
        new[s] = (v[s] if overwrite else new[s]) + alpha / count * delta
    if never_left is not None:
        new[~np.isin(np.arange(len(v)), states[:-1])] = never_left
    return new


def _in_turn(v: np.ndarray, states: np.ndarray, rewards: np.ndarray, gamma: float, alpha: float) -> np.ndarray:
    new = v.copy()
    for state in range(len(v)):
        new[state] = _batch(new, states, rewards, gamma, alpha)[state]
    return new


check_batch_td_step = Check(
    name="batch_td_step",
    cases=_batch_cases,
    right=_batch,
    mistakes=[
        ("gamma is missing in the TD errors.", lambda v, s, r, g, a: _batch(v, s, r, 1.0, a)),
        ("alpha is missing: scale the mean error by alpha.", lambda v, s, r, g, a: _batch(v, s, r, g, 1.0)),
        ("the table moves away: add the mean error, with a plus.", lambda v, s, r, g, a: _batch(v, s, r, g, -a)),
        ("the wrong states learn: sort errors by the state left, states[:-1].", partial(_batch, learner=1)),
        ("you divide by n: each state needs its own count n_s of visits.", partial(_batch, divide="n")),
        ("this is the sum of the errors: divide by n_s for a mean.", partial(_batch, divide="nothing")),
        ("n_s counts the query at the end: it was not left yet.", partial(_batch, divide="with query")),
        ("old and new values are mixed: all errors use the same old v.", partial(_batch, fresh=True)),
        ("repeated states lost errors: v[s] += x adds once; use bincount.", partial(_batch, overwrite=True)),
        (
            "only the last visit of a state arrived: v[s] += x keeps one of several. Sum with bincount, then divide.",
            partial(_batch, overwrite=True, divide="nothing"),
        ),
        ("a state that was never left became NaN (0/0): it keeps its old value.", partial(_batch, never_left=np.nan)),
        ("a state that was never left became 0: start from v, not from zeros.", partial(_batch, never_left=0.0)),
        (
            "the states moved one after the other, so later ones used new neighbours. Compute all errors first.",
            _in_turn,
        ),
        ("this is the change alone: add it to the old v.", lambda v, s, r, g, a: _batch(v, s, r, g, a) - v),
    ],
    hint="work out one state's mean TD error by hand.",
    says="one batch iteration moves every state by its own mean TD error, all from the same old table.",
    needs=[check_td_error],
)


def _monte_carlo_cases(rng: np.random.Generator) -> list[Case]:
    states, rewards = _walk(rng, 14, 4)
    states[-1] = states[0]
    short = np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 4.0])
    return [
        case("the walk 0, 1, 0, 1 with rewards 1, 2, 4, gamma = 0.5, three states", *short, 0.5, 3),
        case("a random walk of 14 steps, gamma = 0.7", states, rewards, 0.7, 5),
    ]


def _returns(rewards: Any, gamma: float, shift: int = 0) -> list[float]:
    """G_k = sum over i >= k of gamma^(i-k+shift) R_{i+1}, to the end of the walk, as a double loop."""
    n = len(rewards)
    return [sum(gamma ** (i - k + shift) * rewards[i] for i in range(k, n)) for k in range(n)]


def _means(states: Any, returns: Any, n_states: int, how: str = "mean") -> np.ndarray:
    """Per state: the mean, the sum, the first or the last of the returns; 0 where there is none."""
    groups = [[g for s, g in zip(states, returns, strict=False) if s == state] for state in range(n_states)]
    if how == "first":
        return np.array([group[0] if group else 0.0 for group in groups])
    if how == "last":
        return np.array([group[-1] if group else 0.0 for group in groups])
    if how == "sum":
        return np.array([sum(group) for group in groups])
    if how == "or NaN":
        return np.array([np.mean(group) if group else np.nan for group in groups])
    if how == "with query":
        return np.array([sum(group) / max(1, int(np.sum(states == s))) for s, group in enumerate(groups)])
    return np.array([sum(group) / len(group) if group else 0.0 for group in groups])


def _monte_carlo(
    states: Any, rewards: Any, gamma: float, n_states: int, how: str = "mean", shift: int = 0
) -> np.ndarray:
    return _means(states, _returns(rewards, gamma, shift), n_states, how)


def _of(returns: Callable[[Any, float], list[float]]) -> Callable[..., np.ndarray]:
    """Means of something else than the returns."""
    return lambda s, r, g, m: _means(s, returns(r, g), m)


def _past(rewards: Any, gamma: float) -> list[float]:
    return [sum(gamma ** (k - i) * rewards[i] for i in range(k + 1)) for k in range(len(rewards))]


check_monte_carlo = Check(
    name="monte_carlo",
    cases=_monte_carlo_cases,
    right=_monte_carlo,
    mistakes=[
        ("gamma is missing: later rewards count less.", lambda s, r, g, m: _monte_carlo(s, r, 1.0, m)),
        ("one gamma too many: the first reward R_{k+1} counts in full.", partial(_monte_carlo, shift=1)),
        ("this adds up past rewards: a return looks forward, so walk from the end.", _of(_past)),
        ("this is the mean reward: the return goes on to the end of the walk.", lambda s, r, g, m: _means(s, r, m)),
        ("only one visit was used: take the mean over all visits.", partial(_monte_carlo, how="first")),
        (
            "the last visit overwrote the earlier ones: add up the returns of a state, then divide by its visits.",
            partial(_monte_carlo, how="last"),
        ),
        (
            "the powers of gamma are counted from the walk's start: count them from the visit, G_k begins in full.",
            _of(lambda r, g: [g**k * G for k, G in enumerate(_returns(r, g))]),
        ),
        (
            "returns are one position off: rewards[k] belongs to states[k].",
            lambda s, r, g, m: _means(s[1:], _returns(r, g), m),
        ),
        (
            "G was stored before it was updated: each state got the return that begins one step later.",
            _of(lambda r, g: [*_returns(r, g)[1:], 0.0]),
        ),
        ("this is the sum of returns: divide by the number of visits.", partial(_monte_carlo, how="sum")),
        ("the query at the end was counted: no return follows it.", partial(_monte_carlo, how="with query")),
        ("a state that was never left became NaN (0/0): give it 0.", partial(_monte_carlo, how="or NaN")),
    ],
    hint="compute the last return first, then go backwards.",
    says="Monte Carlo is the mean of the returns that followed each visit.",
)


def _observed_value(states: Any, rewards: Any, gamma: float, start: np.ndarray) -> np.ndarray:
    """The value of the observed chain: count, divide, solve. A state never left keeps its value in `start`."""
    A, b = np.eye(len(start)), start.copy()
    for state in range(len(start)):
        steps = [k for k in range(len(rewards)) if states[k] == state]
        b[state] = 0.0 if steps else start[state]
        for k in steps:
            A[state, states[k + 1]] -= gamma / len(steps)
            b[state] += rewards[k] / len(steps)
    return np.linalg.solve(A, b)


def _walks_cases(rng: np.random.Generator) -> list[Case]:
    walks = [_walk(rng, n, n_states) for n, n_states in ((20, 3), (8, 2), (40, 3), (15, 3))]  # one misses state 2
    return [case("4 walks of 20, 8, 40 and 15 steps on 3 states, gamma = 0.7", walks, 0.7, np.array([1.0, -0.5, 2.0]))]


def _rms(e: np.ndarray) -> float:
    return float(np.sqrt(np.mean(e**2)))


def _limit(states: Any, rewards: Any, gamma: float, n_states: int) -> np.ndarray:
    return _observed_value(states, rewards, gamma, np.zeros(n_states))


def _once(states: Any, rewards: Any, gamma: float, n_states: int) -> np.ndarray:
    return _batch(np.zeros(n_states), states, rewards, gamma, 1.0)


def _errors(
    walks: list[Walk], gamma: float, exact: np.ndarray, reduce: Callable = _rms, td: Callable = _limit
) -> np.ndarray:
    """One row a walk: the error of TD, and that of Monte Carlo."""
    return np.array(
        [[reduce(method(s, r, gamma, len(exact)) - exact) for method in (td, _monte_carlo)] for s, r in walks]
    )


def _carried_over(walks: list[Walk], gamma: float, exact: np.ndarray) -> np.ndarray:
    table, v = _errors(walks, gamma, exact), np.zeros(len(exact))
    for row, (states, rewards) in zip(table, walks, strict=True):
        v = _observed_value(states, rewards, gamma, v)
        row[0] = _rms(v - exact)
    return table


check_td_and_mc_errors = Check(
    name="td_and_mc_errors",
    cases=_walks_cases,
    right=_errors,
    mistakes=[
        ("the columns are swapped: column 0 is TD, column 1 Monte Carlo.", lambda *a: _errors(*a)[:, ::-1]),
        ("the axes are swapped: one row a walk, two columns.", lambda *a: _errors(*a).T),
        (
            "the square root is missing: the error asked for is root mean square.",
            partial(_errors, reduce=lambda e: np.mean(e**2)),
        ),
        (
            "this is the mean absolute error: square, average, then root.",
            partial(_errors, reduce=lambda e: np.mean(np.abs(e))),
        ),
        ("this is the root of the sum: take the mean over the states.", partial(_errors, reduce=np.linalg.norm)),
        ("TD made one iteration only: repeat batch_td_step until v rests.", partial(_errors, td=_once)),
        (
            "TD's table was carried over from one walk to the next: make new zeros inside the loop over walks.",
            _carried_over,
        ),
        (
            "both columns hold the same method: TD's error first, Monte Carlo's second.",
            lambda *a: _errors(*a)[:, [0, 0]],
            lambda *a: _errors(*a)[:, [1, 1]],
        ),
        (
            "the errors are relative to the size of the exact values; the plain RMS error was asked for.",
            lambda walks, gamma, exact: _errors(walks, gamma, exact) / _rms(exact),
        ),
        (
            "the walks are averaged away: return one row for each, to see the spread.",
            lambda *a: _errors(*a).mean(axis=0),
        ),
    ],
    hint="start TD from zeros for every walk, and repeat batch_td_step 200 times.",
    says="both answers are measured on the same walks, with the same error.",
    needs=[check_batch_td_step, check_monte_carlo],
)
