"""Checks of sheet 04: softmax weights, longer features, a mended layer, a picky beta, a stranger's value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, from_size, graded_hints
from icrl_teach.checks.report import CheckFailed

hint = graded_hints(
    "All values start at 0, and each is only ever added to. Write the stranger's final value as one sum over all "
    "layers. Do the same for a state that was left.",
    "In both sums the weights are the same in every layer, so pull them out. What remains is one number a state, "
    "D(s'): all its mean TD errors added up over all layers. Nobody told you D. But what else is made of it?",
    "The states that were left: limits = M D, with the weights M(s, s') that they give one another. Solve for D. "
    "The stranger ends at m D, with its own row of weights m. No rewards, no gamma, no layers.",
)


def _scores(queries: np.ndarray, sources: np.ndarray, beta: float) -> np.ndarray:
    """Entry by entry, in plain loops. (q, n)."""
    return np.array([[beta * sum(a * b for a, b in zip(q, k, strict=True)) for k in sources] for q in queries])


def _weight_cases(rng: np.random.Generator) -> list[Case]:
    large = np.array([[40.0], [0.5], [-40.0]]), np.array([[30.0], [-1.0], [29.5]])
    return [
        *(
            case(f"{q} queries, {n} sources, beta = {b}", rng.standard_normal((q, d)), rng.standard_normal((n, d)), b)
            for q, n, d, b in ((3, from_size(rng, 4), 2, 1.6), (4, 4, 3, 0.7))
        ),
        case("3 queries, 3 sources, beta = 1, scores up to 1200", *large, 1.0),
    ]


def _weights(queries: np.ndarray, sources: np.ndarray, beta: float) -> np.ndarray:
    """Row by row, in plain loops, with the largest score subtracted. (q, n)."""
    rows = []
    for scores in _scores(queries, sources, beta):
        exp = [math.exp(g - max(scores)) for g in scores]
        rows.append([e / sum(exp) for e in exp])
    return np.array(rows)


def _exp_over(total: Callable[[np.ndarray], np.ndarray | float], shift: Callable = np.zeros_like) -> Callable:
    """exp(scores - shift) divided by some total, overflowing as NumPy does."""

    def weights(queries: np.ndarray, sources: np.ndarray, beta: float) -> np.ndarray:
        g = _scores(queries, sources, beta)
        exp = np.exp(g - shift(g))
        return exp / total(exp)

    return weights


def _sum_of_rows(exp: np.ndarray) -> np.ndarray:
    return exp.sum(axis=1, keepdims=True)


def _without_exp(queries: np.ndarray, sources: np.ndarray, beta: float) -> np.ndarray:
    g = _scores(queries, sources, beta)
    return g / g.sum(axis=1, keepdims=True)


check_softmax_weights = Check(
    name="softmax_weights",
    cases=_weight_cases,
    right=_weights,
    forbid=("softmax_td:softmax_weights",),
    mistakes=[
        (
            "your columns sum to 1. Each query shares out its attention: sum over axis=1.",
            _exp_over(lambda exp: exp.sum(axis=0)),
            _exp_over(lambda exp: exp.sum(axis=0), lambda g: g.max(axis=0)),
            _exp_over(lambda exp: exp.sum(axis=0), lambda g: g.max(axis=1, keepdims=True)),
        ),
        (
            "the exponentials are right, but not yet divided by the sum of their row.",
            _exp_over(lambda exp: 1.0),
            _exp_over(lambda exp: 1.0, lambda g: g.max(axis=1, keepdims=True)),
        ),
        (
            "you divided by the sum of the whole table; each row needs a sum of its own.",
            _exp_over(np.sum),
            _exp_over(np.sum, np.max),
        ),
        ("the exponential is missing: scores can be negative, weights can't.", _without_exp),
        ("beta has no effect: it multiplies the scores.", lambda q, k, beta: _weights(q, k, 1.0)),
        ("exp overflowed: inf / inf. Subtract each row's largest score first.", _exp_over(_sum_of_rows)),
        (
            "you subtracted the largest score of the whole table: small rows became 0 / 0; use each row's own.",
            _exp_over(_sum_of_rows, np.max),
        ),
    ],
    hint="each row must be exp(scores) divided by the sum of that row.",
    says="each row is positive, sums to 1, and survives large scores",
)


def _longer_cases(rng: np.random.Generator) -> list[Case]:
    """States of which the short ones listen to longer neighbours, at every beta."""
    return [
        case(f"{len(x)} states with {x.shape[1]} features", x)
        for x in (
            np.array([[1.0], [2.0], [-0.5]]),
            rng.normal(size=(6, 2)),
            rng.normal(size=(8, 3)) * [0.1, 1.0, 3.0],
        )
    ]


def _longer(x: np.ndarray) -> np.ndarray:
    """One number more for each state, so that all reach the length of the longest. (S, d+1)."""
    squares = [sum(float(number) ** 2 for number in row) for row in x]
    return np.array([[*row, math.sqrt(max(squares) - square)] for row, square in zip(x, squares, strict=True)])


def _listens_to_itself(longer: np.ndarray, x: np.ndarray) -> list[float]:
    """For each state 1 if it scores higher with itself than with any other, else 0. (S,)."""
    longer, (n_states, d) = np.asarray(longer, dtype=np.float64), x.shape
    tried = f"lengthen on {n_states} states with {d} features"
    if longer.shape != (n_states, d + 1):
        raise CheckFailed(f"{tried}: got shape {longer.shape}, expected {(n_states, d + 1)}: one number more a state")
    if not np.allclose(longer[:, :d], x):
        raise CheckFailed(f"{tried}: the first {d} numbers of each state must stay as they are; add one at the end")
    scores = _scores(longer, longer, 1.0)
    others = scores - np.where(np.eye(n_states) > 0, np.inf, 0.0)
    return [float(row[s] > max(others[s])) for s, row in enumerate(scores)]


def _appended(rule: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A mistaken rule for the number to add, from the lengths."""
    return lambda x: np.column_stack([x, rule(np.linalg.norm(x, axis=1))])


check_lengthen = Check(
    name="lengthen",
    cases=_longer_cases,
    right=_longer,
    read=_listens_to_itself,
    mistakes=[
        ("the same number for all lengthens all scores alike: nothing changes.", _appended(np.ones_like)),
        (
            "lengths add up in squares (Pythagoras): the gap of the squares, and its root.",
            _appended(lambda a: a.max() - a),
        ),
        ("this makes the long ones longer still; it is the short ones that need length.", _appended(lambda a: a)),
        (
            "minus half the square would work if only sources had it; here queries carry the same numbers.",
            _appended(lambda a: -(a**2) / 2),
        ),
        ("the root is missing: the number's square must fill the gap.", _appended(lambda a: (a**2).max() - a**2)),
    ],
    hint="1 = the state scores highest with itself, 0 = it does not. Of equally long arrows the nearest is oneself.",
    says="all arrows are equally long now, each nearest to itself, and nothing is lost.",
)


def _mend_cases(rng: np.random.Generator) -> list[Case]:
    """Old values, and what a layer made of them in which the query taught, too."""
    cases = []
    for n, d, gamma, beta in ((3, 2, 0.5, 1.5), (from_size(rng, 6), 3, 0.9, 0.8)):
        v, x, r = rng.standard_normal(n + 1), rng.standard_normal((n + 1, d)), rng.standard_normal(n)
        while _weights(x, x, beta)[:, -1].max() > 0.95:  # hardly anything of the others would be left to mend from
            x = rng.standard_normal((n + 1, d))
        errors = [*(r[k] + gamma * v[k + 1] - v[k] for k in range(n)), -v[n]]
        wrong = v + _weights(x, x, beta) @ errors
        cases.append(case(f"{n} transitions, beta = {beta}", v, wrong, x, beta))
    return cases


def _mended(v: np.ndarray, wrong: np.ndarray, x: np.ndarray, beta: float) -> np.ndarray:
    """Recover the mean of the sources' errors from exponentials, without weights of anybody. (n+1,)."""
    exp = np.array([[math.exp(beta * float(a @ b)) for b in x] for a in x])
    return np.array([v[j] + _own_mean(exp[j], wrong[j] - v[j], v[-1]) for j in range(len(v))])


def _own_mean(exp: np.ndarray, change: float, query: float) -> float:
    """The change times the sum it was divided by is the sum of all products; take off the query's and divide anew."""
    return (change * sum(exp) + exp[-1] * query) / sum(exp[:-1])


def _mistaken(
    rule: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Callable[..., np.ndarray]:
    """A rule of v, the change, the weights that the query got, and all weights."""

    def wrong(v: np.ndarray, given: np.ndarray, x: np.ndarray, beta: float) -> np.ndarray:
        K = _weights(x, x, beta)
        return rule(v, given - v, K[:, -1], K)

    return wrong


check_mend_layer = Check(
    name="mend_layer",
    cases=_mend_cases,
    right=_mended,
    mistakes=[
        (
            "what the query said is still in it: add back its weight times v of the query.",
            _mistaken(lambda v, c, q, K: v + c / (1 - q)),
        ),
        (
            "the other weights still sum to less than 1: divide by 1 minus the query's weight.",
            _mistaken(lambda v, c, q, K: v + c + q * v[-1]),
        ),
        (
            "the query's error is minus its value, so taking it off means adding weight times value.",
            _mistaken(lambda v, c, q, K: v + (c - q * v[-1]) / (1 - q)),
        ),
        (
            "each position gives the query another weight: the last column, not the last row.",
            _mistaken(lambda v, c, q, K: v + (c + K[-1] * v[-1]) / (1 - K[-1])),
        ),
        (
            "you used the weight that the query gives to itself for everybody.",
            _mistaken(lambda v, c, q, K: v + (c + q[-1] * v[-1]) / (1 - q[-1])),
        ),
        ("this is the mended change; add the old value.", _mistaken(lambda v, c, q, K: (c + q * v[-1]) / (1 - q))),
        (
            "mend the change, wrong - v, and not the value itself.",
            _mistaken(lambda v, c, q, K: (v + c + q * v[-1]) / (1 - q)),
        ),
        (
            "multiplied where you should divide: the sources' weights were too small, not too large.",
            _mistaken(lambda v, c, q, K: v + (c + q * v[-1]) * (1 - q)),
        ),
        (
            "each position loses by its own value; it is the query's value that was subtracted.",
            _mistaken(lambda v, c, q, K: v + (c + q * v) / (1 - q)),
        ),
    ],
    hint="write the suspect's change as (1 - q) times the right change, plus q times the query's error; q: its weight.",
    says="two faults of one missing mask: a foreign voice, too little for the others.",
    needs=[check_softmax_weights],
)


def _picky_cases(rng: np.random.Generator) -> list[Case]:
    """Unit features, no two alike; rare states, and one that was never left, between two that were."""
    angle = np.radians([0.0, 50.0, 110.0, 170.0, 250.0]) + rng.uniform(0, np.pi)
    random = rng.standard_normal((4, 3))
    told = (
        (np.eye(2), [1, 1], 0.9),
        (random / np.linalg.norm(random, axis=1, keepdims=True), [5, 1, 20, 3], 0.8),
        (np.stack([np.cos(angle), np.sin(angle)], axis=1), [7, 0, 9, 8, 30], 0.6),
    )
    return [case(f"{len(x)} states, visits {n}, share {share}", x, np.array(n), share) for x, n, share in told]


def _needed(x: np.ndarray, visits: np.ndarray, share: float) -> list[float]:
    """For each state that was left, the beta it needs: Newton's method on a convex, falling function of beta."""
    needed = []
    for s in np.flatnonzero(visits):
        others = [u for u in np.flatnonzero(visits) if u != s]
        gaps = np.array([float(x[s] @ x[s] - x[s] @ x[u]) for u in others])
        odds, beta = visits[others] / visits[s] * share / (1 - share), 0.0
        for _ in range(200):
            terms = odds * np.exp(-beta * gaps)
            beta += math.log(terms.sum()) * terms.sum() / float(terms @ gaps)
            if beta < 0:
                break
        needed.append(max(beta, 0.0))
    return needed


def _picky(x: np.ndarray, visits: np.ndarray, share: float) -> float:
    return max(_needed(x, visits, share))


check_picky_beta = Check(
    name="picky_beta",
    cases=_picky_cases,
    right=_picky,
    mistakes=[
        (
            "the rarest or least distinct state needs the most; this beta serves only the easiest.",
            lambda *a: min(_needed(*a)),
        ),
        (
            "the visits are missing: a state visited often holds its weight many times over.",
            lambda x, visits, share: _picky(x, np.minimum(visits, 1), share),
        ),
        (
            "a state that was never left can't listen to itself: leave it out of the count.",
            lambda x, visits, share: _picky(x, np.maximum(visits, 1), share),
        ),
        (
            "this is the formula for one-hot features; others have inner products between states, too.",
            lambda x, n, share: math.log(share / (1 - share) * (n.sum() - n[n > 0].min()) / n[n > 0].min()),
        ),
        ("the share left to others is not the share a state keeps.", lambda x, n, share: _picky(x, n, 1 - share)),
        (
            "this is the mean of what the states need; all of them must reach the share.",
            lambda *a: float(np.mean(_needed(*a))),
        ),
        (
            "the search ended at its upper end; double it until the share is reached, then halve.",
            *(lambda *a, cap=cap: min(cap, _picky(*a)) for cap in (1.0, 2.0, 3.0)),
        ),
    ],
    hint="M(s, s) = n_s exp(beta) / sum_u n_u exp(beta <x_s, x_u>) for the states that were left; it grows with beta.",
    says="at this beta even the worst placed state listens mostly to itself.",
    tolerance=0.005,
)


def _stranger_cases(rng: np.random.Generator) -> list[Case]:
    """Unit features, none nearly alike, so that M is far from singular and the iteration arrives."""
    cases = []
    for visits, d, beta in (([1, 1], 2, 1.0), ([3, 1, 2], 3, 2.0), ([4, 2, 7, 1], 3, 5.0)):
        x, alike = np.ones((len(visits) + 1, d)), 1.0
        while alike > 0.9:
            x = rng.standard_normal(x.shape)
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            alike = (x[:-1] @ x[:-1].T - 2.0 * np.eye(len(visits))).max()
        told = f"{len(visits)} states, visits {visits}, beta = {beta}"
        cases.append(case(told, x[:-1], np.array(visits), rng.normal(size=len(visits)), x[-1], beta))
    return cases


def _grouped(queries: np.ndarray, x: np.ndarray, visits: np.ndarray, beta: float) -> np.ndarray:
    """The weight that each query gives to all visits of each state. (q, S)."""
    exp = np.array(
        [[float(n) * math.exp(beta * float(q @ k)) for n, k in zip(visits, x, strict=True)] for q in queries]
    )
    return exp / exp.sum(axis=1, keepdims=True)


def _stranger(x: np.ndarray, visits: np.ndarray, limits: np.ndarray, x_new: np.ndarray, beta: float) -> float:
    """Run the layers: at gamma 0, with rewards that are the limits, the states end there; the stranger listens in."""
    M = _grouped(x, x, visits, beta)
    (m,) = _grouped(x_new[None], x, visits, beta)
    v, stranger = np.zeros(len(x)), 0.0
    for _ in range(200_000):
        delta = limits - v
        v, stranger = v + M @ delta, stranger + float(m @ delta)
        if np.abs(delta).max() < 1e-12:
            break
    return stranger


Solver = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Any]


def _from_weights(rule: Solver, blind: bool = False) -> Callable[..., float]:
    """A rule of M (S, S), the stranger's row m (S,), the limits and the visits; blind: visits left out of both."""

    def wrong(x: np.ndarray, visits: np.ndarray, limits: np.ndarray, x_new: np.ndarray, beta: float) -> float:
        seen = np.ones_like(visits) if blind else visits
        M, m = _grouped(x, x, seen, beta), _grouped(x_new[None], x, seen, beta)[0]
        return float(rule(M, m, limits, visits))

    return wrong


def _solved(M: np.ndarray, m: np.ndarray, limits: np.ndarray, _visits: np.ndarray) -> float:
    return float(m @ np.linalg.solve(M, limits))


def _unnormalised(x: np.ndarray, visits: np.ndarray, limits: np.ndarray, x_new: np.ndarray, beta: float) -> float:
    return float(np.exp(beta * x @ x_new) @ np.linalg.solve(np.exp(beta * x @ x.T), limits))


check_stranger_limit = Check(
    name="stranger_limit",
    cases=_stranger_cases,
    right=_stranger,
    mistakes=[
        (
            "this is the weighted mean of the others' values. But the stranger averages their errors, layer by layer.",
            _from_weights(lambda M, m, limits, n: m @ limits),
        ),
        ("the visits are missing from the weights.", _from_weights(_solved, blind=True)),
        (
            "M is transposed: row = who listens.",
            _from_weights(lambda M, m, limits, n: m @ np.linalg.solve(M.T, limits)),
        ),
        ("the weights of softmax are divided by the sum of their row; these are bare exponentials.", _unnormalised),
        (
            "the nearest state's value is what the stranger would get at endless beta only.",
            _from_weights(lambda M, m, limits, n: limits[m.argmax()]),
            _from_weights(lambda M, m, limits, n: limits[(m / n).argmax()]),
        ),
        (
            "M multiplies where it should be undone: limits = M D, so solve for D.",
            _from_weights(lambda M, m, v, n: m @ M @ v),
        ),
    ],
    hint="hint(1) starts you off; no rewards, no gamma and no loop are needed.",
    says="at the end of the road attention no longer smooths: it interpolates.",
)
