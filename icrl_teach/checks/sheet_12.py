"""Checks of sheet 12: targets, columns of a log, which reading made a table, steps to the end, completed returns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, graded_hints

Log = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _flags(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """terminated, truncated: some steps end, some are cut, most go on; the last one is cut."""
    fate = rng.choice(3, size=n, p=[0.5, 0.25, 0.25])
    fate[:4], fate[-1] = [0, 1, 0, 2], 2
    return fate == 1, fate == 2


def _target_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{n} steps, gamma = {gamma}", rng.normal(size=n), rng.normal(size=n) + 2.0, *_flags(rng, n), gamma)
        for n, gamma in ((6, 0.5), (12, 0.9), (8, 1.0))
    ]


def _targets(rewards: np.ndarray, following: np.ndarray, ended: Any, cut: Any, gamma: float) -> np.ndarray:
    return np.array([r + (0.0 if e else gamma * v) for r, v, e in zip(rewards, following, ended, strict=True)])


check_targets = Check(
    name="targets",
    cases=_target_cases,
    right=_targets,
    mistakes=[
        (
            "a step that terminated bootstraps here: nothing follows it, so its target is the reward alone.",
            lambda r, v, ended, cut, gamma: r + gamma * v,
        ),
        (
            "a cut is read as an end. Its next state is real, and what it is worth counts: only terminated drops it.",
            lambda r, v, ended, cut, gamma: _targets(r, v, ended | cut, cut, gamma),
        ),
        (
            "the two flags are exchanged: terminated drops the future, truncated keeps it.",
            lambda r, v, ended, cut, gamma: _targets(r, v, cut, ended, gamma),
        ),
        ("gamma is missing in front of the next value.", lambda r, v, e, cut, gamma: _targets(r, v, e, cut, 1.0)),
        (
            "the reward of a step that terminated is lost: it was paid. Only the future is 0.",
            lambda r, v, ended, cut, gamma: np.where(ended, 0.0, r + gamma * v),
        ),
        (
            "only steps that were cut bootstrap here; a step that goes on does, too.",
            lambda r, v, ended, cut, gamma: np.where(cut, r + gamma * v, r),
        ),
        (
            "gamma multiplies the reward as well: it belongs to the next value alone.",
            lambda r, v, ended, cut, gamma: gamma * _targets(r, v, ended, cut, 1.0),
        ),
    ],
    hint="the target is R, plus gamma times the next value unless the step terminated.",
    says="an end has no future, a cut has one that was not seen",
)


def _log(rng: np.random.Generator, n: int, n_states: int) -> Log:
    """n steps that connect, every state left: states, rewards, next_states, terminated, truncated."""
    states, following = rng.integers(n_states, size=(2, n))
    states[:n_states] = rng.permutation(n_states)
    ended, cut = _flags(rng, n)
    following[:-1] = np.where((ended | cut)[:-1], following[:-1], states[1:])
    return states, rng.normal(size=n) + 1.0, following, ended, cut


def _column_cases(rng: np.random.Generator) -> list[Case]:
    logs = [_log(rng, n, n_states) for n, n_states in ((7, 4), (16, 6))]
    by_hand = np.array([0, 1, 0]), np.array([1, 2, 3]), np.array([False, False, True]), np.array([False, True, False])
    return [
        case("the rows 0 -> 1, 1 -> 2 (cut), 0 -> 3 (terminated)", *by_hand),
        *(case(f"a log of {len(s)} rows", s, to, ended, cut) for s, _, to, ended, cut in logs),
    ]


def _columns(
    states: Any, following: Any, ended: Any, cut: Any, landing: str = "in place", carry: str = "right"
) -> tuple[list, list, list]:
    """Row by row. landing: in place, missing, one after every end, or teaching; carry: usual mistakes of continues."""
    columns, last = [], len(states) - 1
    for k, (s, to, e, c) in enumerate(zip(states, following, ended, cut, strict=True)):
        goes_on = not e if carry == "right" else {"all": True, "not cut": not (e or c), "exchanged": not c}[carry]
        columns.append((s, True, goes_on and not (landing == "missing" and k == last)))
        if (c or (landing == "every end" and e)) and landing != "missing":
            columns.append((to, landing == "teaching", False))
    positions, source, continues = zip(*columns, strict=True)
    return list(positions), list(source), list(continues)


def _landing_goes_on(*log: Any) -> tuple[list, list, list]:
    positions, source, continues = _columns(*log)
    return positions, source, [c or not s for c, s in zip(continues, source, strict=True)]


def _silent(which: str) -> Callable[..., tuple[list, list, list]]:
    """Steps that should teach do not: those that terminated, or those that were cut."""

    def columns(states: Any, following: Any, ended: Any, cut: Any) -> tuple[list, list, list]:
        positions, source, continues = _columns(states, following, ended, cut)
        teaches = iter(~(ended if which == "ended" else cut))
        return positions, [s and bool(next(teaches)) for s in source], continues

    return columns


def _landing_repeats(states: Any, following: Any, ended: Any, cut: Any) -> tuple[list, list, list]:
    return _columns(states, states, ended, cut)


def _with_query(states: Any, following: Any, ended: Any, cut: Any) -> tuple[list, list, list]:
    positions, source, continues = _columns(states, following, ended, cut)
    return [*positions, following[-1]], [*source, False], [*continues, False]


check_columns = Check(
    name="columns",
    cases=_column_cases,
    right=_columns,
    results=("positions", "source", "continues"),
    mistakes=[
        (
            "the landings are missing: a step that was cut needs a column behind it, for its real next state.",
            partial(_columns, landing="missing"),
        ),
        (
            "a step that terminated got a landing: nothing follows it, so it needs no column more.",
            partial(_columns, landing="every end"),
        ),
        ("a landing teaches: it has no reward, so it is no source.", partial(_columns, landing="teaching")),
        ("a step that terminated is carried on into the next walk.", partial(_columns, carry="all")),
        (
            "a step that was cut continues: its landing is the next column, and its value is carried over.",
            partial(_columns, carry="not cut"),
        ),
        (
            "the two flags are exchanged in continues: terminated breaks the chain, truncated does not.",
            partial(_columns, carry="exchanged"),
        ),
        ("a landing continues into the next walk: what follows it was not seen.", _landing_goes_on),
        ("a step that terminated teaches as well: its reward was paid. Only landings are silent.", _silent("ended")),
        ("a step that was cut teaches as well: it has a reward. It is its landing that is silent.", _silent("cut")),
        ("the landing repeats the state that was left: it holds the next state, where the step led.", _landing_repeats),
        ("there is a column too many at the end: the log's columns were asked for, without a query.", _with_query),
    ],
    hint="go row by row: one column for the step, and one more behind it if it was cut.",
    says="every step has its column, every cut its landing",
)


def _reading_cases(rng: np.random.Generator) -> list[Case]:
    """Each of the three readings of two logs."""
    cases = []
    for n, n_states, gamma in ((30, 4, 0.9), (60, 6, 0.7)):
        log = _log(rng, n, n_states)
        for index in rng.permutation(3):
            tried = f"a log of {n} rows over {n_states} states, gamma = {gamma}, table {index + 1} of 3"
            cases.append(case(tried, _solved(int(index), *log, gamma), *log, gamma))
    mirrored, gamma = _mirrored(rng), 0.8
    for index in rng.permutation(3):
        tried = f"a log and its mirror image, rewards turned around, gamma = {gamma}, table {index + 1} of 3"
        cases.append(case(tried, _solved(int(index), *mirrored, gamma), *mirrored, gamma))
    return cases


def _mirrored(rng: np.random.Generator) -> Log:
    """Three states, and three more with the same walks and the opposite rewards: values cancel in any sum over all.

    State 0 is never left for an end or a cut, so that its Bellman equation holds under every reading.
    """
    states, rewards, following, ended, cut = _log(rng, 24, 3)
    states[:4], states[-1] = [0, 1, 2, 2], 1
    ended, cut = ended & (states > 0), cut & (states > 0)
    following[:-1] = np.where((ended | cut)[:-1], following[:-1], states[1:])
    return (
        np.append(states, states + 3),
        np.append(rewards, -rewards),
        np.append(following, following + 3),
        np.append(ended, ended),
        np.append(cut, cut),
    )


def _solved(reading: int, s: Any, r: Any, following: Any, ended: Any, cut: Any, gamma: float) -> np.ndarray:
    """The value of the log's chain under a reading: count, divide, solve."""
    A, b, visits = np.zeros((max(s) + 1, max(s) + 1)), np.zeros(max(s) + 1), np.bincount(s)
    no_future = [ended, ended | cut, ended & False][reading]
    for k in range(len(s)):
        b[s[k]] += r[k] / visits[s[k]]
        if not no_future[k]:
            A[s[k], following[k]] += 1.0 / visits[s[k]]
    return np.linalg.solve(np.eye(len(b)) - gamma * A, b)


def _which(value: np.ndarray, *log: Any) -> int:
    return int(np.argmin([np.abs(_solved(reading, *log) - value).max() for reading in range(3)]))


def _renamed(order: tuple[int, int, int]) -> Callable[..., int]:
    return lambda *a: order[_which(*a)]


def _by_errors(gap: Callable[[np.ndarray, np.ndarray], Any], cut_alone: bool = False) -> Callable[..., int]:
    """The reading whose TD errors have the smallest gap(errors, states)."""

    def which(value: Any, s: Any, r: Any, following: Any, ended: Any, cut: Any, gamma: float) -> int:
        readings = (ended, cut if cut_alone else ended | cut, ended & False)
        return int(
            np.argmin([gap(r + gamma * np.where(none, 0.0, value[following]) - value[s], s) for none in readings])
        )

    return which


def _state_means(errors: np.ndarray, states: np.ndarray) -> np.ndarray:
    return np.array([errors[states == state].mean() for state in range(states.max() + 1)])


def _largest_mean(errors: np.ndarray, states: np.ndarray) -> float:
    return float(np.abs(_state_means(errors, states)).max())


check_which_reading = Check(
    name="which_reading",
    cases=_reading_cases,
    right=_which,
    mistakes=[
        ("always the same answer: test the table against all three readings.", *(_renamed((i,) * 3) for i in range(3))),
        ("readings 1 and 2 are exchanged: 1 reads cuts as ends, 2 carries ends on.", _renamed((0, 2, 1))),
        ("the numbers run from 0: as recorded is 0.", _renamed((1, 2, 3))),
        (
            "single TD errors are never all 0: steps differ. Average them state by state, and look at the means.",
            _by_errors(lambda errors, states: np.abs(errors).max()),
            _by_errors(lambda errors, states: (errors**2).sum()),
        ),
        (
            "look at the mean of each state: one state alone may fit all readings, and a sum over states may cancel.",
            _by_errors(lambda errors, states: round(abs(errors.mean()), 9)),
            _by_errors(lambda errors, states: round(abs(_state_means(errors, states).mean()), 9)),
            _by_errors(lambda errors, states: round(abs(_state_means(errors, states)[0]), 9)),
        ),
        (
            "the gaps kept their sign: a large negative one is as bad. Take absolute values.",
            _by_errors(lambda errors, states: _state_means(errors, states).max()),
        ),
        (
            "in reading 1 the true ends are ends as well: terminated or truncated, not truncated alone.",
            _by_errors(_largest_mean, cut_alone=True),
        ),
        ("gamma is missing.", lambda *a: _by_errors(_largest_mean)(*a[:-1], 1.0)),
        ("the worst fit was taken: the right reading leaves the smallest gap.", lambda *a: _worst(*a)),
    ],
    hint="under the right reading the mean TD error of every state is 0.",
    says="the table confesses how its log was read",
)


def _worst(value: np.ndarray, *log: Any) -> int:
    return int(np.argmax([np.abs(_solved(reading, *log) - value).max() for reading in range(3)]))


def _length_cases(rng: np.random.Generator) -> list[Case]:
    """Some states never end; one may end or get lost, and is infinite on average."""
    P = rng.dirichlet(np.ones(6), size=5)[:, :5]
    slow = 0.999 * np.eye(3) + 0.0
    slow[0, 1] = slow[1, 2] = 0.001
    lost = np.array([[0.0, 0.5, 0.25, 0.0], [0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    apart = np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    return [
        case("a random P of 5 states that all can end", P),
        case("three states that stay 1,000 steps each", slow),
        case("two states that end, and two that never do", np.block([[apart, np.zeros((3, 1))], [0.25, 0, 0, 0.25]])),
        case("four states: two go round for ever, and from the other two one may end or get lost there", lost),
    ]


def _lengths(P: np.ndarray) -> np.ndarray:
    """The sum over k of the chance to be still on the way after k steps, by doubling; inf where it does not settle."""
    total, power = np.ones(len(P)), P.copy()
    for _ in range(40):
        total, power = total + power @ total, power @ power
    return np.where(power.sum(axis=1) > 1e-6, np.inf, total)


def _solve_all(P: np.ndarray) -> np.ndarray:
    return np.linalg.solve(np.eye(len(P)) - P, np.ones(len(P)))


def _hopeless_only(P: np.ndarray) -> np.ndarray:
    """inf where the end cannot be reached; where one may get lost, the time spent among states that can reach it."""
    n = len(P)
    hope = np.linalg.matrix_power(np.eye(n) + P, n) @ (P.sum(axis=1) < 1 - 1e-9) > 0
    steps = np.full(n, np.inf)
    steps[hope] = _lengths(P[hope][:, hope])
    return steps


def _all_or_nothing(P: np.ndarray) -> np.ndarray:
    return _lengths(P) if np.isfinite(_lengths(P)).all() else np.full(len(P), np.inf)


def _finite_lengths(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda P: change(_lengths(P))


def _sum_to(steps: int) -> Callable[[np.ndarray], np.ndarray]:
    def summed(P: np.ndarray) -> np.ndarray:
        total = np.ones(len(P))
        for _ in range(steps):
            total = 1.0 + P @ total
        return np.where(total > 0.99 * steps, np.inf, total)

    return summed


check_steps_to_end = Check(
    name="steps_to_end",
    cases=_length_cases,
    right=_lengths,
    mistakes=[
        (
            "where the end cannot be reached I - P has no inverse: find those states first, and leave them out.",
            _solve_all,
        ),
        ("one step too few: the step that ends counts as well.", _finite_lengths(lambda steps: steps - 1.0)),
        (
            "states that never end are 0 here; they take for ever, np.inf.",
            _finite_lengths(lambda steps: np.where(np.isinf(steps), 0.0, steps)),
        ),
        (
            "a sum over so many steps is not enough where states stay long: solve the equation.",
            *(_sum_to(steps) for steps in (100, 200, 500, 1000, 5000)),
        ),
        (
            "this is the chance to end at the next step, turned over: right only where a state stays with itself.",
            lambda P: 1.0 / np.maximum(1.0 - P.sum(axis=1), 0.0),
        ),
        (
            "P is transposed: row s holds where s leads to.",
            lambda P: _lengths(P.T),
        ),
        (
            "a walk that may get lost takes for ever on average, even if it may also end: np.inf there, too.",
            _hopeless_only,
        ),
        (
            "where some states never end, the others still do: np.inf for those alone that can get lost.",
            _all_or_nothing,
        ),
    ],
    hint="t = 1 + P t, among the states that surely reach the end; np.inf for all others, which may get lost.",
    says="a length is a value: of reward 1, without a discount",
)


def _return_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for n, gamma in ((8, 0.5), (15, 0.9), (10, 1.0)):
        ended, cut = _flags(rng, n)
        landing = np.where(cut, rng.normal(size=n) + 2.0, np.nan)  # not to be read anywhere else
        cases.append(case(f"{n} steps, gamma = {gamma}", rng.normal(size=n), ended, cut, landing, gamma))
    return cases


def _walks(ended: np.ndarray, cut: np.ndarray) -> list[range]:
    stops = np.flatnonzero(ended | cut) + 1
    return [range(a, b) for a, b in zip([0, *stops[:-1]], stops, strict=True)]


def _completed(r: Any, ended: Any, cut: Any, landing: Any, gamma: float, kind: str = "right") -> np.ndarray:
    """Walk by walk and position by position, a double loop."""
    out = np.zeros(len(r))
    for walk in _walks(ended, cut):
        for k in walk:
            left = walk[-1] - k + 1
            out[k] = sum(gamma ** (i - k) * r[i] for i in range(k, walk[-1] + 1))
            if cut[walk[-1]] and kind != "cut is an end":
                power = {"late": left + 1, "early": left - 1, "undiscounted": 0}.get(kind, left)
                out[k] += gamma**power * landing[walk[-1]]
    return out


def _one_walk(r: Any, ended: Any, cut: Any, landing: Any, gamma: float) -> np.ndarray:
    """Ends are ignored: one return over the whole log."""
    last = np.arange(len(r)) == len(r) - 1
    return _completed(r, last & ended, last & ~ended, landing, gamma)


def _only_finished(r: Any, ended: Any, cut: Any, landing: Any, gamma: float) -> np.ndarray:
    out = _completed(r, ended, cut, landing, gamma)
    for walk in _walks(ended, cut):
        out[list(walk)] = np.nan if cut[walk[-1]] else out[list(walk)]
    return out


def _leaks(r: Any, ended: Any, cut: Any, landing: Any, gamma: float) -> np.ndarray:
    """A cut begins anew, an end does not."""
    last = np.arange(len(r)) == len(r) - 1
    return _completed(r, last & ended, cut, landing, gamma)


def _last_step_only(r: Any, ended: Any, cut: Any, landing: Any, gamma: float) -> np.ndarray:
    return _completed(r, ended, cut, landing, gamma, kind="cut is an end") + gamma * np.where(cut, landing, 0.0)


def _reward_lost(r: Any, ended: Any, cut: Any, landing: Any, gamma: float) -> np.ndarray:
    """The return of a step that was cut is the landing's value, undiscounted and without the step's reward."""
    instead = np.where(cut, (1.0 - gamma) * landing, r)
    return _completed(instead, ended, cut, landing, gamma)


def _from_the_start(r: Any, ended: Any, cut: Any, landing: Any, gamma: float) -> np.ndarray:
    """Runs forward: what came before, not what comes."""
    out, so_far = np.zeros(len(r)), 0.0
    for k in range(len(r)):
        so_far = r[k] + gamma * so_far
        out[k] = so_far
        so_far = 0.0 if ended[k] or cut[k] else so_far
    return out


check_completed_returns = Check(
    name="completed_returns",
    cases=_return_cases,
    right=_completed,
    mistakes=[
        ("cut walks are not completed: add what the landing is worth.", partial(_completed, kind="cut is an end")),
        (
            "the landing's value is discounted once too often: after m steps it counts gamma**m.",
            partial(_completed, kind="late"),
        ),
        (
            "the landing's value is discounted once too little: after m steps it counts gamma**m.",
            partial(_completed, kind="early"),
        ),
        (
            "the landing's value is not discounted: it comes after the walk's remaining steps.",
            partial(_completed, kind="undiscounted"),
        ),
        ("returns run on from one walk into the next: begin anew where a walk ended or was cut.", _one_walk),
        ("an end sets nothing anew here: the next walk leaks into the one before. After an end comes 0.", _leaks),
        ("the landing's value reaches the last step of its walk alone: carry it back to the first.", _last_step_only),
        ("the reward of the step that was cut is lost: it was paid, and then comes the landing.", _reward_lost),
        ("the rewards are not discounted.", lambda r, e, c, landing, gamma: _completed(r, e, c, landing, 1.0)),
        (
            "the two flags are exchanged: after an end comes 0, after a cut what the landing is worth.",
            lambda r, ended, cut, landing, gamma: _completed(r, cut, ended, landing, gamma),
        ),
        ("cut walks were thrown away (NaN): complete them.", _only_finished),
        ("this adds up what came before a step; a return looks forward, so go backwards.", _from_the_start),
        (
            "landing_values were read where nothing was cut; there they mean nothing (here NaN).",
            lambda r, ended, cut, landing, gamma: _completed(r, ended & False, ended | cut, landing, gamma),
        ),
    ],
    hint="what is still to come before a step: 0 after an end, the landing's value after a cut, else what you carried.",
    says="finished walks as they were, cut ones with what their landing is worth",
)
hint = graded_hints(
    "In which order do you have to go through the steps, so that each needs one multiplication and one addition?",
    "Carry one number along: what is still to come. There are three ways in which a step sets it anew, or does not.",
    "Go backwards. Before a step of reward R, what is still to come is 0 if it terminated, the landing's value if it "
    "was cut, else what you carried. Then G = R + gamma times that, and G is what you carry on.",
)
