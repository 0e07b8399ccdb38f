"""Checks of sheet 02: one batch TD iteration, a log read from its tables, a forecast, m-step targets, their limit.

Every oracle is a plain loop over the steps; the limit of the m-step learner is iterated there, not solved for.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, from_size, graded_hints

Walk = tuple[np.ndarray, np.ndarray]


def _walk(rng: np.random.Generator, n: int, n_states: int) -> Walk:
    """A random walk in which states repeat, with random rewards and rare last states."""
    states = np.minimum(rng.integers(n_states, size=n + 1), rng.integers(n_states, size=n + 1))
    states[:2] = 0, 1  # so that some state is left twice and another is the first to follow
    return states, rng.normal(1.0, 1.0, n)


def _batch_cases(rng: np.random.Generator) -> list[Case]:
    n = from_size(rng, 15)
    states, rewards = _walk(rng, n, 4)
    states[-1] = states[0]  # the query state was left before, so that counting it shows
    hand = np.array([0, 1, 2, 1, 0, 1]), np.array([0.0, -1.0, 3.0, -1.0, 2.0])
    unseen = f"a random walk of {n} steps, v with one state that was never left, gamma = 0.6, alpha = 0.5"
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
    forbid=("td:batch_tabular_td",),
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
    says="each state moves by its own mean TD error, all from one old table.",
)


def _history(states: np.ndarray, rewards: np.ndarray, gamma: float, alpha: float, n_states: int) -> np.ndarray:
    """The tables of online TD(0) from zeros, (n+1, S)."""
    table = np.zeros((len(rewards) + 1, n_states))
    for k, (s, t) in enumerate(pairwise(states)):
        table[k + 1] = table[k]
        table[k + 1, s] += alpha * (rewards[k] + gamma * table[k, t] - table[k, s])
    return table


def _log_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = _history(np.array([0, 1, 2, 1]), np.array([2.0, -1.0, 3.0]), 0.8, 0.5, 3)
    n = from_size(rng, 12)
    states, rewards = _walk(rng, n, 4)
    states[4] = states[5]  # a step that stays: the state left is the next one, too
    return [
        case("the tables of the walk 0, 1, 2, 1 with rewards 2, -1, 3, gamma = 0.8, alpha = 0.5", by_hand, 0.8, 0.5),
        case(
            f"the tables of {n} steps on 4 states, gamma = 0.7, alpha = 0.3",
            *(_history(states, rewards, 0.7, 0.3, 4), 0.7, 0.3),
        ),
    ]


def _log(
    history: np.ndarray, gamma: float, alpha: float, *, row: int = 0, keep: float = 1.0
) -> tuple[list[int], list[float]]:
    """Which entry changed, and what reward explains it. row: whose table the errors use; keep: of v(s) in the error."""
    left = [next(s for s, (a, b) in enumerate(zip(*pair, strict=True)) if a != b) for pair in pairwise(history)]
    rewards = []
    for k, (s, t) in enumerate(pairwise(left)):
        delta = (history[k + 1][s] - history[k][s]) / alpha
        rewards.append(delta - gamma * history[k + row][t] + keep * history[k + row][s])
    return left, rewards


def _log_of_largest(history: np.ndarray, gamma: float, alpha: float) -> tuple[list[int], list[float]]:
    return [int(row.argmax()) for row in history[1:]], _log(history, gamma, alpha)[1]


check_read_the_log = Check(
    name="read_the_log",
    cases=_log_cases,
    right=_log,
    results=("states", "rewards"),
    mistakes=[
        (
            "the change of a table is alpha times the TD error: divide by alpha first.",
            lambda history, gamma, alpha: _log(history, gamma, 1.0),
        ),
        ("gamma is missing: the next guess was discounted.", lambda history, gamma, alpha: _log(history, 1.0, alpha)),
        (
            "v(s) is missing: delta = R + gamma v(s') - v(s), so R = delta - gamma v(s') + v(s).",
            partial(_log, keep=0.0),
        ),
        (
            "v(s) has the wrong sign: delta = R + gamma v(s') - v(s), so R = delta - gamma v(s') + v(s).",
            partial(_log, keep=-1.0),
        ),
        ("the errors came from the table *before* the step, row k, not from the one after it.", partial(_log, row=1)),
        (
            "the state left is the one whose entry changed, up or down, not the largest entry of the table.",
            _log_of_largest,
        ),
        (
            "the last state is missing: the last change tells it. Only its reward stays unknown.",
            lambda history, gamma, alpha: (_log(history, gamma, alpha)[0][:-1], _log(history, gamma, alpha)[1]),
        ),
    ],
    hint="np.diff(history, axis=0) has one entry that is not 0 in each row.",
    says="states and rewards of two walks, read from nothing but the learner's tables.",
)


def _forecast_cases(rng: np.random.Generator) -> list[Case]:
    drawn = (round(rng.uniform(0.6, 0.9), 2), round(rng.uniform(0.6, 0.95), 2), round(rng.uniform(1.0, 5.0), 1), 0.004)
    return [
        case(f"gamma = {gamma}, alpha = {alpha}, from {error} to {wanted}", gamma, alpha, error, wanted)
        for gamma, alpha, error, wanted in (
            (0.8, 1.0, 4.0, 0.001),
            (0.8, 0.5, 4.0, 0.001),
            (0.9, 1.05, 2.0, 0.5),
            (0.9, 1.2, 2.0, 0.5),
            (0.5, 1.0, 0.1, 0.3),
            drawn,
        )
    ]


def _forecast(gamma: float, alpha: float, error: float, wanted: float) -> float:
    """Multiply until it is enough."""
    rate, count = abs(1.0 - alpha) + alpha * gamma, 0
    while error > wanted:
        if rate >= 1.0:
            return np.inf
        error, count = error * rate, count + 1
    return float(count)


def _formula(gamma: float, alpha: float, error: float, wanted: float, rate: Any, to_whole: Any = np.ceil) -> float:
    """The formula with logarithms, for a learner's rate and rounding."""
    r = rate(gamma, alpha)
    if error <= wanted:
        return 0.0
    return float(to_whole(np.log(wanted / error) / np.log(r))) if r < 1.0 else np.inf


def _rate(gamma: float, alpha: float) -> float:
    return abs(1.0 - alpha) + alpha * gamma


def _as_it_comes(x: float) -> float:
    return x


check_iterations_needed = Check(
    name="iterations_needed",
    cases=_forecast_cases,
    right=_forecast,
    mistakes=[
        ("alpha does not enter: gamma is the rate for alpha = 1 alone.", partial(_formula, rate=lambda g, a: g)),
        (
            "the rate is |1 - alpha| + alpha gamma: beyond alpha = 1 without the bars the first part turns negative.",
            partial(_formula, rate=lambda g, a: 1 - a + a * g),
        ),
        ("rounded down, the error is still too large: round up.", partial(_formula, rate=_rate, to_whole=np.floor)),
        ("rounded to the nearest: round up, with np.ceil.", partial(_formula, rate=_rate, to_whole=np.round)),
        ("iterations are whole numbers: round up, with np.ceil.", partial(_formula, rate=_rate, to_whole=_as_it_comes)),
        (
            "none is needed where the error is small enough already; and at a rate of 1 or more the bound promises "
            "nothing: np.inf.",
            lambda g, a, error, wanted: np.ceil(np.log(wanted / error) / np.log(_rate(g, a))),
            lambda g, a, error, wanted: max(0.0, np.ceil(np.log(wanted / error) / np.log(_rate(g, a)))),
            lambda g, a, error, wanted: (
                np.ceil(np.log(wanted / error) / np.log(_rate(g, a))) if _rate(g, a) < 1 else np.inf
            ),
        ),
    ],
    hint="each iteration multiplies the bound by |1 - alpha| + alpha gamma. How often, until it is at most `wanted`?",
    says="the iterations that the bound promises; np.inf where it promises nothing.",
)


def _targets_cases(rng: np.random.Generator) -> list[Case]:
    n = from_size(rng, 9)
    states, rewards = _walk(rng, n, 4)
    short = np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2, 1]), np.array([0.0, -1.0, 3.0])
    v = rng.normal(size=4)
    return [
        case("v = [1, 2, 3], the walk 0, 1, 2, 1 with rewards 0, -1, 3, gamma = 0.5, m = 2", *short, 0.5, 2),
        case(f"a random walk of {n} steps, gamma = 0.7, m = 3", v, states, rewards, 0.7, 3),
        case("the same walk, m = 1", v, states, rewards, 0.7, 1),
        case("the same walk, m = 20, longer than the walk", v, states, rewards, 0.7, 20),
    ]


def _targets(
    v: Any,
    states: Any,
    rewards: Any,
    gamma: float,
    m: int,
    *,
    late: int = 0,
    discounted: bool = True,
    power: str = "steps taken",
    at_the_end: float = 1.0,
) -> np.ndarray:
    """Rewards of up to m steps, then the guess of the state reached, by a plain loop; the options are mistakes."""
    targets, n = [], len(rewards)
    for k in range(n):
        steps = min(m, n - k)
        total = sum(gamma ** (i + late) * rewards[k + i] for i in range(steps))
        weight = gamma ** (m if power == "m" else steps) if discounted else 1.0
        targets.append(total + (weight if steps == m else at_the_end * weight) * v[states[k + steps]])
    return np.array(targets)


def _off_the_end(
    v: Any, states: Any, rewards: Any, gamma: float, m: int, *, late: int = 0, discounted: bool = True
) -> np.ndarray:
    """As the sheet's broken version, which runs off the end, with its two other faults or without."""
    weight = gamma**m if discounted else 1.0
    return np.array(
        [
            sum(gamma ** (i + late) * rewards[k + i] for i in range(m)) + weight * v[states[k + m]]
            for k in range(len(rewards))
        ]
    )


check_m_step_targets = Check(
    name="m_step_targets",
    cases=_targets_cases,
    right=_targets,
    mistakes=[
        (
            "it still runs off the end of the walk. Near the end fewer than m steps are left: take those.",
            _off_the_end,
            partial(_off_the_end, late=1),
            partial(_off_the_end, discounted=False),
            partial(_off_the_end, late=1, discounted=False),
        ),
        (
            "one fault is left: the last guess is m steps away, so it counts gamma^m.",
            partial(_targets, discounted=False),
        ),
        ("one fault is left: the first reward counts in full, gamma^0.", partial(_targets, late=1)),
        (
            "two faults are left. Work one target out by hand: R_1 + gamma R_2 + gamma^2 v for m = 2.",
            partial(_targets, late=1, discounted=False),
        ),
        (
            "near the end the guess is fewer than m steps away: its power of gamma is the number of steps taken.",
            partial(_targets, power="m"),
        ),
        (
            "near the end the guess of the last state is missing: the walk was cut there, it did not end.",
            partial(_targets, at_the_end=0.0),
        ),
        (
            "the targets near the end were left out: every step has one, with as many rewards as are left.",
            lambda v, states, rewards, gamma, m: _targets(v, states, rewards, gamma, m)[: max(0, len(rewards) - m + 1)],
        ),
    ],
    hint="follow one target by hand: m = 2 on the first walk.",
    says="the m-step targets of every step, with as many steps as are left near the end.",
)


def _limit_cases(rng: np.random.Generator) -> list[Case]:
    n = from_size(rng, 15)
    states, rewards = _walk(rng, n, 4)
    return [
        case(f"a random walk of {n} steps, gamma = 0.7, m = {m}, five states", states, rewards, 0.7, m, 5)
        for m in (3, 1, 30)
    ]


def _limit(
    states: Any,
    rewards: Any,
    gamma: float,
    m: int,
    n_states: int,
    *,
    rounds: int = 120,
    divide: str = "visits",
    **how: Any,
) -> np.ndarray:
    """Move every state to the mean of its targets, again and again."""
    left, v = [np.flatnonzero(states[:-1] == s) for s in range(n_states)], np.zeros(n_states)
    for _ in range(rounds):
        targets = _targets(v, states, rewards, gamma, m, **how)
        v = np.array([targets[ks].sum() / (len(ks) if divide == "visits" else 1) if len(ks) else 0.0 for ks in left])
    return v


def _never_left_line(states: Any, rewards: Any, gamma: float, m: int, n_states: int) -> np.ndarray:
    """The equations without a line for states that were never left."""
    A = np.diag(np.bincount(states[:-1], minlength=n_states).astype(float))
    return np.linalg.solve(A, A @ _limit(states, rewards, gamma, m, n_states))


def _moved_query(states: Any, rewards: Any, gamma: float, m: int, n_states: int) -> np.ndarray:
    v = _limit(states, rewards, gamma, m, n_states)
    v[~np.isin(np.arange(n_states), states[:-1])] = np.nan
    return v


check_m_step_limit = Check(
    name="m_step_limit",
    cases=_limit_cases,
    right=_limit,
    mistakes=[
        ("m has no effect: this is the limit for m = 1.", lambda s, r, g, m, S: _limit(s, r, g, 1, S)),
        ("m has no effect: this is Monte Carlo, all steps to the end.", lambda s, r, g, m, S: _limit(s, r, g, 99, S)),
        ("this is one iteration from zeros: find where nothing moves any more.", partial(_limit, rounds=1)),
        (
            "near the end the guess is fewer than m steps away: its power of gamma is the number of steps taken.",
            partial(_limit, power="m"),
        ),
        ("near the end the guess of the last state is missing.", partial(_limit, at_the_end=0.0)),
        ("a state that was never left became NaN: give it 0.", _moved_query),
        (
            "a state that was never left has a line of zeros in A, and A is singular: put 1 on the diagonal there.",
            _never_left_line,
        ),
    ],
    hint="ask the first hint: hint(1).",
    says="the table at which the m-step learner stands still, for m = 1, 3 and 30.",
    needs=[check_m_step_targets],
)

hint = graded_hints(
    "Where the learner stands still, the mean of each state's targets *is* its value. That is one equation a state.",
    "A target is a known number plus gamma^h times the unknown v of one state, the one h steps on. So each equation is "
    "linear in v. The known part is what m_step_targets returns for a table of zeros.",
    "Fill A and b step by step: for step k from s, with h = min(m, n - k), A[s, s] += 1, A[s, states[k + h]] -= "
    "gamma**h, and b[s] += the known part. A state never left has an empty line: put A[s, s] = 1. Then solve A v = b.",
)
