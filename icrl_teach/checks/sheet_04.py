"""Checks of sheet 04: scores, softmax weights, one iteration, the operator form, the order in beta."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case

Operators = tuple[np.ndarray, np.ndarray, np.ndarray]


def _score_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{q} queries and {n} sources with {d} features, beta = {beta}",
            *(rng.standard_normal((q, d)), rng.standard_normal((n, d)), beta),
        )
        for q, n, d, beta in ((2, 3, 2, 1.0), (4, 5, 3, 1.7), (3, 3, 2, 0.4))
    ]


def _scores(queries: np.ndarray, sources: np.ndarray, beta: float) -> np.ndarray:
    """Entry by entry, in plain loops. (q, n)."""
    return np.array([[beta * sum(a * b for a, b in zip(q, k, strict=True)) for k in sources] for q in queries])


check_scores = Check(
    name="scores",
    cases=_score_cases,
    right=_scores,
    mistakes=[
        (
            "rows and columns are exchanged: row = query (it learns), column = source (it teaches).",
            lambda q, k, beta: _scores(k, q, beta),
        ),
        ("beta is missing: the score is beta times the inner product.", lambda q, k, beta: _scores(q, k, 1.0)),
        (
            "you divide by beta. beta is the inverse temperature, so it multiplies.",
            lambda q, k, beta: _scores(q, k, 1.0 / beta),
        ),
        (
            "a Transformer's habit, 1/sqrt(d), crept in; here beta alone sets the scale.",
            lambda q, k, beta: _scores(q, k, beta / math.sqrt(q.shape[1])),
        ),
        (
            "these are negative squared distances; the score is the inner product.",
            lambda q, k, beta: -beta * ((q[:, None] - k[None]) ** 2).sum(axis=-1),
        ),
        (
            "these are cosines: the features were divided by their lengths. The score keeps the lengths.",
            lambda q, k, beta: _scores(_unit(q), _unit(k), beta),
        ),
    ],
    hint="one inner product for each pair: mind the shape (q, n), and that beta multiplies.",
    says="every query is scored against every source, and beta sets the scale",
)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _weight_cases(rng: np.random.Generator) -> list[Case]:
    large = np.array([[40.0], [0.5], [-40.0]]), np.array([[30.0], [-1.0], [29.5]])
    return [
        *(
            case(f"{q} queries, {n} sources, beta = {b}", rng.standard_normal((q, d)), rng.standard_normal((n, d)), b)
            for q, n, d, b in ((3, 4, 2, 1.6), (4, 4, 3, 0.7))
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
        ("beta has no effect: hand it on to your scores.", lambda q, k, beta: _weights(q, k, 1.0)),
        ("exp overflowed: inf / inf. Subtract each row's largest score first.", _exp_over(_sum_of_rows)),
        (
            "you subtracted the largest score of the whole table: small rows became 0 / 0; use each row's own.",
            _exp_over(_sum_of_rows, np.max),
        ),
    ],
    hint="each row must be exp(scores) divided by the sum of that row.",
    says="each row is positive, sums to 1, and survives large scores",
    needs=[check_scores],
)


def _iteration_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{n} transitions, gamma = {gamma}, alpha = {alpha}, beta = {beta}",
            *(rng.standard_normal(n + 1), rng.standard_normal((n + 1, d)), rng.standard_normal(n), gamma, alpha, beta),
        )
        for n, d, gamma, alpha, beta in ((3, 2, 0.5, 0.6, 2.0), (7, 3, 0.9, 0.8, 1.3))
    ]


def _iterate(K: np.ndarray, v: np.ndarray, rewards: np.ndarray, gamma: float, alpha: float = 1.0) -> np.ndarray:
    """One synchronous iteration with any kernel K, in plain loops. (n+1,)."""
    new = [float(value) for value in v]
    for j in range(len(v)):
        for k in range(len(rewards)):
            new[j] += alpha * K[j][k] * (rewards[k] + gamma * v[k + 1] - v[k])
    return np.array(new)


def _iteration(
    v: np.ndarray,
    x: np.ndarray,
    r: np.ndarray,
    gamma: float,
    alpha: float,
    beta: float,
    sources: slice = slice(None, -1),
) -> np.ndarray:
    """One iteration from the features; sources other than x[:-1] are a mistake."""
    return _iterate(_weights(x, x[sources], beta)[:, : len(r)], v, r, gamma, alpha)


def _rolling(v: np.ndarray, *rest: Any) -> np.ndarray:
    new = v.copy()
    for j in range(len(v)):
        new[j] = _iteration(new, *rest)[j]
    return new


def _exchanged(v: np.ndarray, x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, beta: float) -> np.ndarray:
    return v + alpha * _weights(x, x[:-1], beta) @ (r + gamma * v[:-1] - v[1:])


check_td_iteration = Check(
    name="td_iteration",
    cases=_iteration_cases,
    right=_iteration,
    mistakes=[
        ("later positions saw new values of earlier ones. Compute all errors from the old v, then update.", _rolling),
        ("gamma is missing in front of v(S_k).", lambda v, x, r, g, a, b: _iteration(v, x, r, 1.0, a, b)),
        (
            "the two values are exchanged: gamma goes with the state landed in, v[1:], minus the state left, v[:-1].",
            _exchanged,
        ),
        (
            "the sign is turned: add alpha times the weighted errors, don't subtract them.",
            lambda v, x, r, g, a, b: _iteration(v, x, r, g, -a, b),
        ),
        (
            "this is the change alone; the new value is the old value plus the change.",
            lambda v, *rest: _iteration(v, *rest) - v,
        ),
        (
            "divided by n once too often: the weights already sum to 1, so they are a mean.",
            lambda v, x, r, g, a, b: _iteration(v, x, r, g, a / len(r), b),
        ),
        (
            "alpha has no effect: it multiplies the weighted sum of errors.",
            lambda v, x, r, g, a, b: _iteration(v, x, r, g, 1.0, b),
        ),
        ("beta has no effect: hand it on to the weights.", lambda v, x, r, g, a, b: _iteration(v, x, r, g, a, 1.0)),
        ("off by one: sources are states that were left, x[:-1].", partial(_iteration, sources=slice(1, None))),
        (
            "the query shares in the attention and takes weight from the n sources: softmax over x[:-1] alone.",
            partial(_iteration, sources=slice(None)),
        ),
        (
            "the query's value is missing: all n+1 positions learn, and only n of them are sources.",
            lambda *a: _iteration(*a)[:-1],
        ),
    ],
    hint="go back to the two formulas: first all n errors, then for each position their weighted sum.",
    says="all positions learn at once, from the same old values",
    needs=[check_softmax_weights],
)


def _operator_cases(rng: np.random.Generator) -> list[Case]:
    """Some states are never left, and the last is never met."""
    return [
        case(
            f"states {states}, beta = {beta}",
            *(np.array(states), rng.standard_normal(len(states) - 1), rng.standard_normal((max(states) + 2, d)), beta),
        )
        for states, d, beta in (([0, 1, 1, 2, 0, 1, 3], 2, 1.5), ([2, 0, 2, 2, 1, 0, 0, 4, 2, 1], 3, 0.6))
    ]


def _grouped(K: np.ndarray, states: np.ndarray, rewards: np.ndarray) -> Operators:
    """M, Q, rho from the weights (S, n) that states give to transitions, one transition after the other."""
    M, Q, rho = np.zeros((len(K), len(K))), np.zeros((len(K), len(K))), np.zeros(len(K))
    for k in range(len(rewards)):
        for s in range(len(K)):
            M[s, states[k]] += K[s, k]
            Q[s, states[k + 1]] += K[s, k]
            rho[s] += K[s, k] * rewards[k]
    return M, Q, rho


def _operators(states: np.ndarray, rewards: np.ndarray, x: np.ndarray, beta: float) -> Operators:
    return _grouped(_weights(x, x[states[:-1]], beta), states, rewards)


def _with_query(states: np.ndarray, rewards: np.ndarray, x: np.ndarray, beta: float) -> Operators:
    return _grouped(_weights(x, x[states], beta), states, rewards)


def _only_met(states: np.ndarray, rewards: np.ndarray, x: np.ndarray, beta: float) -> Operators:
    return _operators(states, rewards, x[: max(states) + 1], beta)


def _counted_once(states: np.ndarray, rewards: np.ndarray, x: np.ndarray, beta: float) -> Operators:
    M, Q, rho = _operators(states, rewards, x, beta)
    M[:, states[:-1]] = _weights(x, x[states[:-1]], beta)
    return M, Q, rho


def _changed(change: Callable[[np.ndarray, np.ndarray, np.ndarray], Operators]) -> Callable[..., Operators]:
    """The right M, Q and rho, and what a mistake makes of them."""
    return lambda *a: change(*_operators(*a))


check_operators = Check(
    name="operators",
    cases=_operator_cases,
    right=_operators,
    results=("M", "Q", "rho"),
    mistakes=[
        (
            "M is transposed: the row is the query s, the column the source s'.",
            _changed(lambda M, Q, rho: (M.T, Q, rho)),
        ),
        (
            "a state left several times counts once: add the weights of all its visits (`+=`, or a matrix product).",
            _counted_once,
        ),
        (
            "this is a softmax over states; it must run over the n transitions, so that frequent states weigh more.",
            lambda states, rewards, x, beta: (_weights(x, x, beta), *_operators(states, rewards, x, beta)[1:]),
        ),
        (
            "the query takes a share in the softmax: the sources are the states that were left, states[:-1].",
            _with_query,
        ),
        (
            "S is len(state_features), not states.max() + 1: a state never visited keeps its row and column.",
            _only_met,
            lambda states, rewards, x, beta: (
                _operators(states, rewards, x, beta)[0][:, : max(states) + 1],
                *_operators(states, rewards, x, beta)[1:],
            ),
        ),
        (
            "you grouped M by the state landed in; M looks at states[:-1], Q at states[1:].",
            _changed(lambda M, Q, rho: (Q, Q, rho)),
        ),
        (
            "Q is transposed: the row is the query, the column the state landed in.",
            _changed(lambda M, Q, rho: (M, Q.T, rho)),
        ),
        ("Q equals M here: group Q by the state landed in, states[1:].", _changed(lambda M, Q, rho: (M, M, rho))),
        (
            "Q holds no gamma; the iteration multiplies by it later.",
            _changed(lambda M, Q, rho: (M, 0.9 * Q, rho)),
            _changed(lambda M, Q, rho: (M, 0.5 * Q, rho)),
        ),
        (
            "rho is divided by n: the weights already sum to 1.",
            lambda states, rewards, *rest: _operators(states, rewards / len(rewards), *rest),
        ),
        (
            "rho pairs a source with the next reward: rewards[k] belongs to states[k].",
            lambda states, rewards, *rest: _operators(states, np.append(rewards[1:], 0.0), *rest),
        ),
        (
            "rho sums the rewards without the weights K.",
            lambda states, rewards, x, beta: (
                *_operators(states, rewards, x, beta)[:2],
                np.bincount(states[:-1], rewards, len(x)),
            ),
        ),
    ],
    hint="each of the three sums K over the transitions, with K = softmax_weights of all states and the n sources.",
    says="M, Q and rho hold all that the context says, state by state",
    needs=[check_softmax_weights],
)


def _ratio_cases(rng: np.random.Generator) -> list[Case]:
    """The query's feature is large, so that the largest gap is there."""
    betas = np.array([0.2, 0.05])
    return [
        case(
            f"{n} transitions, gamma = {gamma}, {count} iterations, betas {betas.tolist()}",
            np.vstack([rng.standard_normal((n, d)), rng.choice([-3.0, 3.0], size=(1, d))]),
            *(rng.standard_normal(n), gamma, count, betas),
        )
        for n, d, gamma, count in ((5, 2, 0.5, 3), (9, 3, 0.8, 5))
    ]


def _gap(x: np.ndarray, r: np.ndarray, gamma: float, n_iterations: int, beta: float, kind: str = "right") -> float:
    """Largest difference between softmax TD and the reference of this kind, after n_iterations from zero."""
    soft, line = np.zeros(len(x)), np.zeros(len(x))
    centre = (
        0.0 if kind == "sources not centred" else x.mean(axis=0) if kind == "query counted" else x[:-1].mean(axis=0)
    )
    scale = {"features not scaled": 1.0, "beta squared": beta**2}.get(kind, beta)
    K = (1 + scale * x @ (x[:-1] - centre).T) / {"not divided": 1, "n plus 1": len(x)}.get(kind, len(r))
    K = K - 1 / len(r) if kind == "no constant" else K
    for _ in range(n_iterations):
        soft = _iterate(_weights(x, x[:-1], beta), soft, r, gamma)
        line = _iterate(K, line, r, gamma)
    return float(np.abs(soft - line)[: -1 if kind == "without query" else None].max())


def _ratios(
    x: np.ndarray,
    r: np.ndarray,
    gamma: float,
    n_iterations: int,
    betas: np.ndarray,
    kind: str = "right",
    part: float = 2.0,
) -> np.ndarray:
    """gap(beta) / gap(beta / part), for the reference of this kind."""
    gaps = [[_gap(x, r, gamma, n_iterations, b, kind) for b in (beta, beta / part)] for beta in betas]
    return np.array([whole / half for whole, half in gaps])


check_halving_ratios = Check(
    name="halving_ratios",
    cases=_ratio_cases,
    right=_ratios,
    mistakes=[
        ("upside down: the gap at beta divided by the gap at beta / 2, so about 4.", lambda *a: 1 / _ratios(*a)),
        ("this is the order, log2 of the ratio; return the ratio itself.", lambda *a: np.log2(_ratios(*a))),
        (
            "these are the gaps; return the gap at beta divided by the gap at beta / 2.",
            lambda x, r, gamma, n, betas: [_gap(x, r, gamma, n, beta) for beta in betas],
        ),
        (
            "a ratio near 2 is order 1: the sources are not centred, subtract the mean source feature.",
            partial(_ratios, kind="sources not centred"),
        ),
        (
            "the mean runs over the n sources; you counted the query's feature in it as well.",
            partial(_ratios, kind="query counted"),
        ),
        (
            "linear TD stands still: it must use the same beta, features (1, sqrt(beta) x).",
            partial(_ratios, kind="features not scaled"),
        ),
        (
            "linear TD lacks its constant feature, the 1 in (1, sqrt(beta) x).",
            partial(_ratios, kind="no constant"),
        ),
        (
            "the query was left out: compare all n+1 positions, not only the n sources.",
            partial(_ratios, kind="without query"),
        ),
        (
            "only one iteration was made; both methods need n_iterations.",
            lambda x, r, gamma, n, betas: _ratios(x, r, gamma, 1, betas),
        ),
        ("beta was divided by 4: sqrt and halving got mixed up; compare with beta / 2.", partial(_ratios, part=4.0)),
        (
            "linear TD's features carry beta, not sqrt(beta): so the kernel holds beta^2. One beta is right.",
            partial(_ratios, kind="beta squared"),
        ),
        (
            "n enters wrongly: the kernel of linear TD is divided by n, the number of sources, once.",
            partial(_ratios, kind="not divided"),
            partial(_ratios, kind="n plus 1"),
        ),
    ],
    hint="start both methods at zero, with alpha = 1, and take the largest difference over all n+1 positions.",
    says="the gap has order beta^2: halving beta divides it by about 4",
    needs=[check_td_iteration],
)
