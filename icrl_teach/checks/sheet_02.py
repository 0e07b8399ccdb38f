"""Checks of sheet 02: the TD error, online TD(0), one batch TD iteration, Monte Carlo, and TD against Monte Carlo.

Every oracle is a plain loop over the steps; the certainty-equivalence value is solved for, not iterated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach.checks.report import Mistake, answer, compare, passed

HAND = ("the walk 0, 1, 2, 1 with rewards 0, -1, 3", np.array([0, 1, 2, 1]), np.array([0.0, -1.0, 3.0]), 0.8, 0.5, 3)


def _walk(seed: int, n: int, n_states: int) -> tuple[np.ndarray, np.ndarray]:
    """A random walk in which states repeat, with random rewards and rare last states."""
    rng = np.random.default_rng(seed)
    return np.minimum(rng.integers(n_states, size=n + 1), rng.integers(n_states, size=n + 1)), rng.normal(1.0, 1.0, n)


def check_td_error(td_error: Callable[..., float]) -> None:
    """td_error(v, s, reward, s_next, gamma) is reward + gamma v(s_next) - v(s), on three transitions."""
    cases = [
        (np.array([0.0, -0.5, 1.3]), 1, -1.0, 2, 0.8),
        (np.array([2.0, 5.0]), 1, 0.3, 0, 0.5),
        (np.array([1.5, -2.0, 0.7, 4.0]), 3, 1.0, 3, 0.9),
    ]
    for v, s, reward, s_next, gamma in cases:
        tried = f"v = {v.tolist()}, from state {s} to state {s_next}, reward {reward:g}, gamma = {gamma:g}"
        here, there = float(v[s]), float(v[s_next])
        mistakes = [
            Mistake(
                reward + there - here, "gamma is missing: what comes later is discounted, so use gamma * v[s_next]."
            ),
            Mistake(
                here - reward - gamma * there,
                "the sign is turned round: a good surprise is positive, target minus v[s].",
            ),
            Mistake(gamma * there - here, "the reward is missing: the target is reward + gamma * v[s_next]."),
            Mistake(reward + gamma * here - there, "s and s_next are swapped: the state that was left is subtracted."),
            Mistake(
                gamma * (reward + there) - here, "gamma multiplies the reward too: only the next value is discounted."
            ),
            Mistake(
                reward + gamma * (there - here),
                "gamma multiplies both values: v[s] is not discounted. Mind the brackets.",
            ),
            Mistake(
                reward + gamma * there, "this is the target alone: the TD error subtracts the old guess v[s] from it."
            ),
        ]
        got = answer(td_error, v, s, reward, s_next, gamma, tried=tried)
        compare(
            got, reward + gamma * there - here, tried=tried, mistakes=mistakes, hint="write R + gamma v(S') - v(S)."
        )
    passed("the TD error compares one guess with the next reward and the next guess.")


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


def check_online_td(online_td: Callable[..., np.ndarray]) -> None:
    """online_td(states, rewards, gamma, alpha, n_states) gives the table after every step, (n+1, n_states)."""
    cases = [HAND, ("a random walk of 12 steps on 4 states", *_walk(3, 12, 4), 0.7, 0.3, 4)]
    for name, states, rewards, gamma, alpha, n_states in cases:
        tried = f"{name}, gamma = {gamma:g}, alpha = {alpha:g}"
        right = _online(states, rewards, gamma, alpha, n_states)
        last = "the table after the last step is missing: store v.copy() after each update, not before it."
        shared = "every row shows the last table: all rows are the same array. Store v.copy(), not v."
        mistakes = [
            Mistake(_online(states, rewards, 1.0, alpha, n_states), "gamma is missing in the TD error."),
            Mistake(
                _online(states, rewards, gamma, 1.0, n_states), "alpha is missing: move only the part alpha of delta."
            ),
            Mistake(
                _online(states, rewards, gamma, -alpha, n_states),
                "the table moves away: add alpha * delta, with a plus.",
            ),
            Mistake(
                _online(states, rewards, gamma, alpha, n_states, learner=1),
                "the wrong state learns: update the one left.",
            ),
            Mistake(
                _online(states, rewards, gamma, alpha, n_states, frozen=True),
                "all errors come from the starting table: online TD uses the newest table in the very next step.",
            ),
            Mistake(np.tile(right[-1], (len(right), 1)), shared),
            Mistake(np.tile(right[-1], (len(rewards), 1)), shared),
            Mistake(right[1:], "row 0 is missing: begin the history with the table before any step, all zeros."),
            Mistake(right[:-1], last),
            Mistake(np.vstack([right[:1], right[:-1]]), last),
            Mistake(right[-1], "only the last table came back: return all n+1 of them, stacked."),
        ]
        got = answer(online_td, states, rewards, gamma, alpha, n_states, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="follow the first two steps by hand and print v.")
    passed("online TD(0) moves one entry a step, and later steps use what earlier ones learned.")


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
) -> np.ndarray:
    """One batch TD iteration by a plain loop; the options are the usual mistakes."""
    n, new = len(rewards), v.copy()
    counted = states if divide == "with query" else states[learner : learner + n]
    for k in range(n):
        look, s = (new if fresh else v), int(states[k + learner])
        count = {"n": n, "nothing": 1}.get(divide, int(np.sum(counted == s)))
        delta = rewards[k] + gamma * look[states[k + 1]] - look[states[k]]
        new[s] = (v[s] if overwrite else new[s]) + alpha / count * delta
    return new


def _batch_mistakes(v: np.ndarray, s: np.ndarray, r: np.ndarray, gamma: float, alpha: float) -> list[Mistake]:
    def wrong(gamma: float = gamma, alpha: float = alpha, **options: Any) -> np.ndarray:
        return _batch(v, s, r, gamma, alpha, **options)

    right, left = wrong(), np.isin(np.arange(len(v)), s[:-1])
    in_turn = v.copy()
    for state in range(len(v)):
        in_turn[state] = _batch(in_turn, s, r, gamma, alpha)[state]
    return [
        Mistake(wrong(gamma=1.0), "gamma is missing in the TD errors."),
        Mistake(wrong(alpha=1.0), "alpha is missing: scale the mean error by alpha."),
        Mistake(wrong(alpha=-alpha), "the table moves away: add the mean error, with a plus."),
        Mistake(wrong(learner=1), "the wrong states learn: sort errors by the state left, states[:-1]."),
        Mistake(wrong(divide="n"), "you divide by n: each state needs its own count n_s of visits."),
        Mistake(wrong(divide="nothing"), "this is the sum of the errors: divide by n_s for a mean."),
        Mistake(wrong(divide="with query"), "n_s counts the query at the end: it was not left yet."),
        Mistake(wrong(fresh=True), "old and new values are mixed: all errors use the same old v."),
        Mistake(wrong(overwrite=True), "repeated states lost errors: v[s] += x adds once; use bincount."),
        Mistake(
            wrong(overwrite=True, divide="nothing"),
            "only the last visit of a state arrived: v[s] += x keeps one of several. Sum with bincount, then divide.",
        ),
        Mistake(np.where(left, right, np.nan), "a state that was never left became NaN (0/0): it keeps its old value."),
        Mistake(np.where(left, right, 0.0), "a state that was never left became 0: start from v, not from zeros."),
        Mistake(
            in_turn,
            "the states moved one after the other, so later ones used new neighbours. Compute all errors first.",
        ),
        Mistake(right - v, "this is the change alone: add it to the old v."),
    ]


def check_batch_td_step(batch_td_step: Callable[..., np.ndarray]) -> None:
    """batch_td_step(v, states, rewards, gamma, alpha): each state moves by alpha times its mean TD error."""
    states, rewards = _walk(8, 15, 4)
    states[-1] = states[0]  # the query state was left before, so that counting it shows
    hand = np.array([0, 1, 2, 1, 0, 1]), np.array([0.0, -1.0, 3.0, -1.0, 2.0])
    unseen = "a random walk of 15 steps, v with one state that was never left"
    cases = [
        ("v = [1, 2, 3], the walk 0, 1, 2, 1, 0, 1", np.array([1.0, 2.0, 3.0]), *hand, 0.8, 1.0),
        (unseen, np.array([0.5, -1.0, 2.0, 0.3, 7.0]), states, rewards, 0.6, 0.5),
    ]
    for name, v, s, r, gamma, alpha in cases:
        tried = f"{name}, gamma = {gamma:g}, alpha = {alpha:g}"
        right, mistakes = _batch(v, s, r, gamma, alpha), _batch_mistakes(v, s, r, gamma, alpha)
        got = answer(batch_td_step, v, s, r, gamma, alpha, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="work out one state's mean TD error by hand.")
    passed("one batch iteration moves every state by its own mean TD error, all from the same old table.")


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
    if how == "with query":
        return np.array([sum(group) / max(1, int(np.sum(states == s))) for s, group in enumerate(groups)])
    return np.array([sum(group) / len(group) if group else 0.0 for group in groups])


def _monte_carlo_mistakes(s: np.ndarray, r: np.ndarray, gamma: float, n_states: int) -> list[Mistake]:
    past = [sum(gamma ** (k - i) * r[i] for i in range(k + 1)) for k in range(len(r))]
    returns, left = _returns(r, gamma), np.isin(np.arange(n_states), s[:-1])
    right = _means(s, returns, n_states)
    return [
        Mistake(_means(s, _returns(r, 1.0), n_states), "gamma is missing: later rewards count less."),
        Mistake(
            _means(s, _returns(r, gamma, 1), n_states),
            "one gamma too many: the first reward R_{k+1} counts in full.",
        ),
        Mistake(_means(s, past, n_states), "this adds up past rewards: a return looks forward, so walk from the end."),
        Mistake(_means(s, r, n_states), "this is the mean reward: the return goes on to the end of the walk."),
        Mistake(_means(s, returns, n_states, "first"), "only one visit was used: take the mean over all visits."),
        Mistake(
            _means(s, returns, n_states, "last"),
            "the last visit overwrote the earlier ones: add up the returns of a state, then divide by its visits.",
        ),
        Mistake(
            _means(s, [gamma**k * g for k, g in enumerate(returns)], n_states),
            "the powers of gamma are counted from the walk's start: count them from the visit, G_k begins in full.",
        ),
        Mistake(
            _means(s[::-1], returns[::-1], n_states),
            "returns are one position off: rewards[k] belongs to states[k].",
        ),
        Mistake(_means(s, returns, n_states, "sum"), "this is the sum of returns: divide by the number of visits."),
        Mistake(_means(s, returns, n_states, "with query"), "the query at the end was counted: no return follows it."),
        Mistake(np.where(left, right, np.nan), "a state that was never left became NaN (0/0): give it 0."),
    ]


def check_monte_carlo(monte_carlo: Callable[..., np.ndarray]) -> None:
    """monte_carlo(states, rewards, gamma, n_states): the mean return that followed each state, 0 if never left."""
    states, rewards = _walk(21, 14, 4)
    states[-1] = states[0]
    cases = [("the walk 0, 1, 0, 1 with rewards 1, 2, 4", np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 4.0]), 0.5, 3)]
    for name, s, r, gamma, n_states in [*cases, ("a random walk of 14 steps", states, rewards, 0.7, 5)]:
        tried = f"{name}, gamma = {gamma:g}"
        right = _means(s, _returns(r, gamma), n_states)
        mistakes = _monte_carlo_mistakes(s, r, gamma, n_states)
        got = answer(monte_carlo, s, r, gamma, n_states, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="compute the last return first, then go backwards.")
    passed("Monte Carlo is the mean of the returns that followed each visit.")


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


def check_td_and_mc_errors(td_and_mc_errors: Callable[..., np.ndarray]) -> None:
    """td_and_mc_errors(walks, gamma, exact): per walk the RMS errors [batch TD's answer, Monte Carlo], (n_walks, 2)."""
    gamma, exact = 0.7, np.array([1.0, -0.5, 2.0])
    walks = [_walk(30 + i, n, 3) for i, n in ((1, 20), (0, 8), (2, 40), (3, 15))]
    tried = "4 walks of 20, 8, 40 and 15 steps on 3 states, gamma = 0.7"

    def table(values: Callable[..., np.ndarray], reduce: Callable[..., Any]) -> np.ndarray:
        return np.array([reduce(values(s, r) - exact) for s, r in walks])

    def pair(reduce: Callable[..., Any]) -> np.ndarray:
        mc = table(lambda s, r: _means(s, _returns(r, gamma), 3), reduce)
        return np.stack([table(lambda s, r: _observed_value(s, r, gamma, np.zeros(3)), reduce), mc], axis=1)

    def rms(e: np.ndarray) -> float:
        return float(np.sqrt(np.mean(e**2)))

    right = pair(rms)
    hint = "check batch_td_step and monte_carlo first; start TD from zeros for every walk, and repeat it 200 times."
    carried = [np.zeros(3)]
    for s, r in walks:
        carried.append(_observed_value(s, r, gamma, carried[-1]))
    one = table(lambda s, r: _batch(np.zeros(3), s, r, gamma, 1.0), rms)
    mistakes = [
        Mistake(right[:, ::-1], "the columns are swapped: column 0 is TD, column 1 Monte Carlo."),
        Mistake(right.T, "the axes are swapped: one row a walk, two columns."),
        Mistake(pair(lambda e: np.mean(e**2)), "the square root is missing: the error asked for is root mean square."),
        Mistake(pair(lambda e: np.mean(np.abs(e))), "this is the mean absolute error: square, average, then root."),
        Mistake(pair(lambda e: np.sqrt(np.sum(e**2))), "this is the root of the sum: take the mean over the states."),
        Mistake(
            np.stack([one, right[:, 1]], axis=1), "TD made one iteration only: repeat batch_td_step until v rests."
        ),
        Mistake(
            np.stack([[rms(v - exact) for v in carried[1:]], right[:, 1]], axis=1),
            "TD's table was carried over from one walk to the next: make new zeros inside the loop over walks.",
        ),
        Mistake(right.mean(axis=0), "the walks are averaged away: return one row for each, to see the spread."),
    ]
    got = answer(td_and_mc_errors, walks, gamma, exact, tried=tried)
    compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("both answers are measured on the same walks, with the same error.")
