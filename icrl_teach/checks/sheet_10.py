"""Checks of sheet 10: weights, centring, scale and cosine, where a deep network rests, errors by depth."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case

Context = tuple[np.ndarray, np.ndarray, float]
BUILT = np.array([1.0, 1.0, -1.0])


def _weight_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{n} sources and {q} queries with {d} features",
            *(rng.standard_normal((d, d)), rng.standard_normal((n, d)), rng.standard_normal((q, d))),
        )
        for n, q, d in ((3, 3, 3), (5, 3, 4), (4, 6, 2))
    ]


def _softmax_columns(scores: np.ndarray) -> np.ndarray:
    """Column by column, in plain loops. (n, q)."""
    out = np.zeros(scores.shape)
    for j in range(scores.shape[1]):
        exp = [math.exp(s - scores[:, j].max()) for s in scores[:, j]]
        out[:, j] = [e / sum(exp) for e in exp]
    return out


def _weights(A: np.ndarray, sources: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return _softmax_columns(sources @ A @ queries.T)


def _whole_table(A: np.ndarray, sources: np.ndarray, queries: np.ndarray) -> np.ndarray:
    exp = np.exp(sources @ A @ queries.T)
    return exp / exp.sum()


check_attention_weights = Check(
    name="attention_weights",
    cases=_weight_cases,
    right=_weights,
    mistakes=[
        (
            "transposed: sources stand in rows, queries in columns, as in E of lesson 07.",
            lambda A, sources, queries: _weights(A, sources, queries).T,
        ),
        (
            "your rows sum to 1: each query, a column, shares out 1.",
            lambda A, sources, queries: _softmax_columns((sources @ A @ queries.T).T).T,
        ),
        ("A is turned round: source, A, query.", lambda A, sources, queries: _weights(A.T, sources, queries)),
        (
            "A has no effect: the score is x_i^T A x_j.",
            lambda A, sources, queries: _weights(np.eye(len(A)), sources, queries),
        ),
        (
            "these are the scores; the softmax over the sources is missing.",
            lambda A, sources, queries: sources @ A @ queries.T,
        ),
        ("divided by the whole table's sum, not each column's.", _whole_table),
    ],
    hint="scores = sources @ A @ queries.T, then softmax down.",
    says="each query shares out 1 among the sources",
)


def _matrix_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([[3.0, 0.0, 1.0], [1.0, 2.0, 5.0], [2.0, 7.0, 0.0]])
    matrices = by_hand, rng.standard_normal((3, 3)), rng.standard_normal((6, 6)) + 2.0
    return [case(f"a {len(A)} x {len(A)} matrix", A) for A in matrices]


def _centred(A: np.ndarray) -> np.ndarray:
    """Each column minus its own mean, number by number."""
    d, out = len(A), np.zeros(A.shape)
    for j in range(A.shape[1]):
        mean = sum(A[i, j] for i in range(d)) / d
        for i in range(d):
            out[i, j] = A[i, j] - mean
    return out


check_centre_columns = Check(
    name="centre_columns",
    cases=_matrix_cases,
    right=_centred,
    mistakes=[
        (
            "you centred the rows. A column holds one query's scores: centre those.",
            lambda A: _centred(A.T).T,
        ),
        (
            "one mean for the whole matrix leaves the columns uneven: each column has its own.",
            lambda A: A - A.mean(),
        ),
        ("the means of the rows were taken off the columns: mind the axis.", lambda A: A - A.mean(axis=1)),
        (
            "rows and columns are both centred; only the columns' part is invisible.",
            lambda A: _centred(_centred(A).T).T,
        ),
        (
            "also divided by the standard deviation: A's size is visible, keep it.",
            lambda A: _centred(A) / A.std(axis=0),
        ),
        ("the means were added; take them away.", lambda A: A + A.mean(axis=0)),
        ("this is the median; subtract the mean.", lambda A: A - np.median(A, axis=0)),
        (
            "these are the means alone; return A without them.",
            lambda A: np.broadcast_to(A.mean(axis=0), A.shape),
        ),
        (
            "a row was subtracted: no shift is left, but then row 0 is all zero; use the mean.",
            lambda A: A - A[0],
        ),
        ("the diagonal was subtracted; use the mean of each column.", lambda A: A - A.diagonal()),
    ],
    hint="A.mean(axis=0) runs down the columns.",
    says="what is left of A is what softmax can see",
)


def _align_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"learned and target of shape {learned.shape}", learned, target)
        for learned, target in (
            (np.array([0.9, 1.1, -0.8]), BUILT),
            (rng.standard_normal((4, 4)), _centred(2.0 * np.eye(4))),
            (-1.7 * rng.uniform(0.2, 1.0, 5), rng.uniform(0.3, 2.0, 5)),  # a negative cosine
        )
    ]


def _fit(learned: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """(scale, cosine), in plain sums."""
    pairs = list(zip(learned.ravel().tolist(), target.ravel().tolist(), strict=True))
    product, ll, tt = sum(a * b for a, b in pairs), sum(a * a for a, _ in pairs), sum(b * b for _, b in pairs)
    return product / tt, product / math.sqrt(ll * tt)


def _scale(of: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[..., tuple[float, float]]:
    """A mistaken scale beside the right cosine."""
    return lambda W, T: (of(W, T), _fit(W, T)[1])


def _cosine(of: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[..., tuple[float, float]]:
    """The right scale beside a mistaken cosine."""
    return lambda W, T: (_fit(W, T)[0], of(W, T))


def _dot(W: np.ndarray, T: np.ndarray) -> float:
    return float((W * T).sum())


norm = np.linalg.norm
check_align = Check(
    name="align",
    cases=_align_cases,
    right=_fit,
    results=("scale", "cosine"),
    mistakes=[
        ("the cosine is not normalised: divide by both lengths.", _cosine(_dot)),
        (
            "divided by the learned length only: the target has one too.",
            _cosine(lambda W, T: _dot(W, T) / norm(W)),
        ),
        (
            "divided by the target's length only: the weights have one too.",
            _cosine(lambda W, T: _dot(W, T) / norm(T)),
        ),
        ("the lengths are squared: take roots.", _cosine(lambda W, T: _dot(W, T) / (norm(W) * norm(T)) ** 2)),
        (
            "a mean of ratios lets small targets rule and fails at 0: least squares.",
            _scale(lambda W, T: (W / T).mean()),
        ),
        (
            "the scale multiplies the target: divide by <T, T>, not <W, W>.",
            _scale(lambda W, T: _dot(W, T) / _dot(W, W)),
        ),
        ("for the scale divide by <T, T>, not by its root.", _scale(lambda W, T: _dot(W, T) / norm(T))),
        (
            "a ratio of lengths is never negative and counts what points elsewhere.",
            _scale(lambda W, T: norm(W) / norm(T)),
        ),
        ("the scale is still an inner product: divide it by <T, T>.", _scale(_dot)),
        (
            "the sign of the cosine is lost: a turned row must give -1.",
            _cosine(lambda W, T: abs(_fit(W, T)[1])),
        ),
        ("the two results are exchanged: `return scale, cosine`.", lambda W, T: _fit(W, T)[::-1]),
    ],
    hint="three sums of products are all you need.",
    says="scale and cosine: how much of the target, and how much else",
)


def _learned_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"a row near (1, 1, -1) and a {d} x {d} matrix near 2.5 I, its columns shifted",
            np.array([0.8, 1.0, -0.7]) + 0.1 * rng.standard_normal(3),
            2.5 * np.eye(d) + 0.5 * rng.standard_normal((d, d)) + 3.0 * rng.standard_normal(d),
        )
        for d in (3, 6)
    ]


def _same(A: np.ndarray) -> np.ndarray:
    return A


def _summary(
    V_row: np.ndarray,
    A: np.ndarray,
    target: tuple[float, ...] = (1.0, 1.0, -1.0),
    mine: Callable = _centred,
    theirs: Callable = _centred,
) -> tuple[float, ...]:
    return (*_fit(V_row, np.array(target)), *_fit(mine(A), theirs(np.eye(len(A)))))


def _picked(order: list[int]) -> Callable[..., list[float]]:
    return lambda V_row, A: [_summary(V_row, A)[i] for i in order]


check_compare_weights = Check(
    name="compare_weights",
    cases=_learned_cases,
    right=_summary,
    results=("alpha", "V_cosine", "beta", "A_cosine"),
    mistakes=[
        ("the third entry's sign is wrong: value has a minus.", partial(_summary, target=(1.0, 1.0, 1.0))),
        ("the order is reward, target, value: minus at the end.", partial(_summary, target=(1.0, -1.0, 1.0))),
        (
            "nothing is centred: the invisible part spoils the fit.",
            partial(_summary, mine=_same, theirs=_same),
        ),
        ("the identity must be centred as well, like A.", partial(_summary, theirs=_same)),
        ("only the identity is centred: centre A too.", partial(_summary, mine=_same)),
        ("A's rows are centred; its columns hold what is invisible.", lambda V_row, A: _summary(V_row, A.T)),
        ("V comes first: (alpha, cosine, beta, cosine).", _picked([2, 3, 0, 1])),
        (
            "learned and target are exchanged: align(learned, target).",
            lambda V_row, A: (*_fit(BUILT, V_row), *_fit(_centred(np.eye(len(A))), _centred(A))),
        ),
        ("the order is alpha, its cosine, beta, its cosine.", _picked([0, 2, 1, 3])),
    ],
    hint="use your align twice, and centre_columns on A and I.",
    says="alpha and beta read off, with what softmax cannot see removed",
    needs=[check_centre_columns, check_align],
)


def _row_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"the row {row}, gamma = {gamma} and {n_states} states",
            *(np.array(row), gamma, rng.dirichlet(np.ones(n_states), n_states), rng.uniform(-1.0, 1.0, n_states)),
        )
        for row, gamma, n_states in (((0.9, 1.1, -0.8), 0.6, 3), ((0.7, 0.6, -0.9), 0.8, 5))
    ]


def _rest(V_row: np.ndarray, gamma: float, P: np.ndarray, r: np.ndarray) -> tuple[float, np.ndarray]:
    """Where a r + b gamma P v - c v is 0, by many small steps."""
    a, b, minus_c = (float(x) for x in V_row)
    v = np.zeros(len(r))
    for _ in range(4000):
        v = v + 0.5 * (a * r + b * gamma * P @ v + minus_c * v)
    return -gamma * b / minus_c, v


def _at(
    discount: Callable[[float, float, float, float], float],
    scale: Callable[[float, float, float], float],
    told: Callable | None = None,
) -> Callable[..., tuple[float, np.ndarray]]:
    """The value at another discount and reward; `told` is the discount that comes back with it."""

    def wrong(V_row: np.ndarray, gamma: float, P: np.ndarray, r: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, c = V_row[0], V_row[1], -V_row[2]
        rate = discount(a, b, c, gamma)
        v = np.linalg.solve(np.eye(len(r)) - rate * P, scale(a, b, c) * r)
        return (told or discount)(a, b, c, gamma), v

    return wrong


def _discount(a: float, b: float, c: float, gamma: float) -> float:
    return gamma * b / c


def _share(a: float, b: float, c: float) -> float:
    return a / c


check_deep_limit = Check(
    name="deep_limit",
    cases=_row_cases,
    right=_rest,
    results=("discount", "v"),
    mistakes=[
        (
            "the row has no effect: this is the value at gamma itself.",
            _at(lambda a, b, c, gamma: gamma, lambda a, b, c: 1.0),
        ),
        ("the reward's factor a / c is missing.", _at(_discount, lambda a, b, c: 1.0)),
        ("the reward is multiplied by a; divide it by c as well.", _at(_discount, lambda a, b, c: a)),
        (
            "c is missing: at rest c v balances the rest, so divide by c.",
            _at(lambda a, b, c, gamma: gamma * b, lambda a, b, c: a),
        ),
        (
            "b is divided by a; at rest all is divided by c, value's own entry.",
            _at(lambda a, b, c, gamma: gamma * b / a, _share),
        ),
        ("upside down: the discount is gamma b / c.", _at(lambda a, b, c, gamma: gamma * c / b, _share)),
        (
            "a sign is turned: c is minus the row's third entry.",
            _at(lambda a, b, c, gamma: -gamma * b / c, lambda a, b, c: -a / c),
        ),
        ("gamma is missing in the discount, gamma b / c.", _at(lambda a, b, c, gamma: b / c, _share)),
        (
            "P is transposed: row s of P leads from s.",
            lambda V_row, gamma, P, r: _at(_discount, _share)(V_row, gamma, P.T, r),
        ),
        (
            "the two results are exchanged: `return discount, v`.",
            lambda *a: _rest(*a)[::-1],
        ),
        (
            "v is right, the discount not: divide it by c, gamma b / c.",
            _at(_discount, _share, told=lambda a, b, c, gamma: gamma * b),
        ),
        (
            "v is right; the discount is gamma b / c, not the gamma of the task.",
            _at(_discount, _share, told=lambda a, b, c, gamma: gamma),
        ),
    ],
    hint="return the discount, then the values from `solve`.",
    says="the row says where a deep network comes to rest",
)


def _context(rng: np.random.Generator, n_states: int, n: int, gamma: float) -> Context:
    """Features (n+1, S), rewards (n,) and the query's exact value of one random chain."""
    P, r = rng.dirichlet(np.ones(n_states), n_states), rng.uniform(-1.0, 1.0, n_states)
    states = [0]
    for _ in range(n):
        states.append(int(rng.choice(n_states, p=P[states[-1]])))
    value = np.linalg.solve(np.eye(n_states) - gamma * P, r)
    return np.eye(n_states)[states], r[states[:-1]], float(value[states[-1]])


def _depth_cases(rng: np.random.Generator) -> list[Case]:
    """Depths come in any order, as a list."""
    return [
        case(
            f"three contexts of {n_states} states, gamma = {gamma}, depths {depths}",
            np.array([0.9, 1.1, -0.8]),
            2.0 * np.eye(n_states) + 0.4 * rng.standard_normal((n_states, n_states)),
            [_context(rng, n_states, n, gamma) for n in (6, 9, 12)],
            *(gamma, depths),
        )
        for gamma, n_states, depths in ((0.6, 3, [4, 0, 1]), (0.8, 4, [2, 6]))
    ]


def _network(
    V_row: np.ndarray,
    A: np.ndarray,
    x: np.ndarray,
    rewards: np.ndarray,
    gamma: float,
    n_layers: int,
    mistake: str = "",
) -> float:
    """The query's value after n_layers layers, position by position; or with one of the usual mistakes."""
    n = len(rewards)
    E = _weights(A, x if mistake.startswith("unmasked") else x[:-1], x)  # (n, n+1), unmasked (n+1, n+1)
    v = [0.0] * len(x)

    def error(k: int) -> float:
        if k == n:  # the query as a source: without reward and successor
            return float(V_row[2] * v[k]) if mistake == "unmasked" else 0.0
        return float(V_row[0] * rewards[k] + V_row[1] * gamma * v[k + 1] + V_row[2] * v[k])

    for _ in range(n_layers):
        errors = [error(k) for k in range(len(E))]
        if mistake == "in order":
            for j in range(len(x)):
                v[j] += sum(E[k, j] * error(k) for k in range(n))
        else:
            v = [v[j] + sum(E[k, j] * errors[k] for k in range(len(E))) for j in range(len(x))]
    return v[-2] if mistake == "before the query" else v[-1]


def _gaps(
    V_row: np.ndarray,
    A: np.ndarray,
    contexts: list[Context],
    gamma: float,
    depths: list[int],
    more: int = 0,
    mistake: str = "",
) -> np.ndarray:
    """Error of each context's query, (depths, contexts)."""
    return np.array(
        [[_network(V_row, A, x, R, gamma, L + more, mistake) - value for x, R, value in contexts] for L in depths]
    )


def _errors(*args: Any, **options: Any) -> np.ndarray:
    return (_gaps(*args, **options) ** 2).mean(axis=1)


check_depth_errors = Check(
    name="depth_errors",
    cases=_depth_cases,
    right=_errors,
    mistakes=[
        ("this is the root; return the mean squared error.", lambda *a: np.sqrt(_errors(*a))),
        (
            "these are absolute errors; square each, then take the mean.",
            lambda *a: np.abs(_gaps(*a)).mean(axis=1),
        ),
        (
            "square first, then take the mean: errors of both signs cancel.",
            lambda *a: _gaps(*a).mean(axis=1) ** 2,
        ),
        ("this is the sum over contexts; return the mean.", lambda *a: (_gaps(*a) ** 2).sum(axis=1)),
        ("one layer too many: depth 0 answers 0.", partial(_errors, more=1)),
        (
            "the learned row has no effect: (1, 1, -1) was used.",
            lambda V_row, *rest: _errors(BUILT, *rest),
        ),
        (
            "A is transposed: the first index is the source.",
            lambda V_row, A, *rest: _errors(V_row, A.T, *rest),
        ),
        (
            "gamma is missing in front of the successor's value.",
            lambda V_row, A, contexts, gamma, depths: _errors(V_row, A, contexts, 1.0, depths),
        ),
        (
            "the row holds its minus already: add it.",
            lambda V_row, *rest: _errors(V_row * [1.0, 1.0, -1.0], *rest),
        ),
        (
            "the mean ran over depths; it runs over contexts.",
            lambda *a: (_gaps(*a) ** 2).mean(axis=0),
        ),
        (
            "the query is a source too: only the first n positions, x[:-1], may be.",
            partial(_errors, mistake="unmasked"),
        ),
        (
            "the query takes weight away: leave it out before softmax.",
            partial(_errors, mistake="unmasked, dropped"),
        ),
        (
            "old and new values are mixed: all positions learn from the old v.",
            partial(_errors, mistake="in order"),
        ),
        (
            "this is the position before the query; read the last, v[-1].",
            partial(_errors, mistake="before the query"),
        ),
        (
            "the reward's factor a, the row's first entry, is missing.",
            lambda V_row, *rest: _errors(V_row / [V_row[0], 1.0, 1.0], *rest),
        ),
        (
            "the errors stand in order of depth, but depths may come in any order: answer in theirs.",
            lambda V_row, A, contexts, gamma, depths: _errors(V_row, A, contexts, gamma, sorted(depths)),
        ),
        (
            "gamma enters twice: it multiplies the successor's value once, also with a learned row.",
            lambda V_row, A, contexts, gamma, depths: _errors(V_row, A, contexts, gamma**2, depths),
        ),
    ],
    hint="on 2 steps, by hand: v starts at 0; each layer adds to every position its share of the n errors.",
    says="your network runs at any depth, on any family",
    needs=[check_attention_weights],
)
