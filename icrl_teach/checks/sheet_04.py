"""Checks of sheet 04: scores, softmax weights, one iteration, the operator form, the order in beta."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach.checks.report import CheckFailed, Mistake, answer, compare, passed


def _scores(queries: np.ndarray, keys: np.ndarray, beta: float) -> np.ndarray:
    """Entry by entry, in plain loops. (q, n)."""
    return np.array([[beta * sum(a * b for a, b in zip(q, k, strict=True)) for k in keys] for q in queries])


def _weights(queries: np.ndarray, keys: np.ndarray, beta: float) -> np.ndarray:
    """Row by row, in plain loops, with the largest score subtracted. (q, n)."""
    rows = []
    for scores in _scores(queries, keys, beta):
        exp = [math.exp(g - max(scores)) for g in scores]
        rows.append([e / sum(exp) for e in exp])
    return np.array(rows)


def _iterate(K: np.ndarray, v: np.ndarray, rewards: np.ndarray, gamma: float, alpha: float = 1.0) -> np.ndarray:
    """One synchronous iteration with any kernel K, in plain loops. (n+1,)."""
    new = [float(value) for value in v]
    for j in range(len(v)):
        for k in range(len(rewards)):
            new[j] += alpha * K[j][k] * (rewards[k] + gamma * v[k + 1] - v[k])
    return np.array(new)


def check_scores(scores: Callable[..., Any]) -> None:
    """scores(queries, keys, beta) -> (q, n): beta times every inner product."""
    rng = np.random.default_rng(401)
    for q, n, d, beta in ((2, 3, 2, 1.0), (4, 5, 3, 1.7), (3, 3, 2, 0.4)):
        queries, keys = rng.standard_normal((q, d)), rng.standard_normal((n, d))
        tried = f"scores of {q} queries and {n} keys with {d} features at beta {beta}"
        right = _scores(queries, keys, beta)
        squares = ((queries[:, None] - keys[None]) ** 2).sum(axis=-1)
        mistakes = [
            Mistake(right.T, "rows and columns are exchanged: row = query (who listens), column = key (the source)."),
            Mistake(right / beta, "beta is missing: the score is beta times the inner product."),
            Mistake(right / beta**2, "you divide by beta. beta is the inverse temperature, so it multiplies."),
            Mistake(right / np.sqrt(d), "a Transformer's habit, 1/sqrt(d), crept in; here beta alone sets the scale."),
            Mistake(-beta * squares, "these are negative squared distances; the score is the inner product."),
        ]
        got = answer(scores, queries, keys, beta, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="try `queries @ keys.T`, and mind its shape (q, n).")
    passed("every query is scored against every key, and beta sets the scale")


def _weight_mistakes(queries: np.ndarray, keys: np.ndarray, beta: float) -> list[Mistake]:
    g = _scores(queries, keys, beta)
    with np.errstate(all="ignore"):
        exp, from_top = np.exp(g), np.exp(g - g.max())
        return [
            Mistake(
                exp / exp.sum(axis=0), "your columns sum to 1. Each listener shares out its attention: sum over axis=1."
            ),
            Mistake(exp, "the exponentials are right, but not yet divided by the sum of their row."),
            Mistake(exp / exp.sum(), "you divided by the sum of the whole table; each row needs a sum of its own."),
            Mistake(
                g / g.sum(axis=1, keepdims=True), "the exponential is missing: scores can be negative, weights can't."
            ),
            Mistake(_weights(queries, keys, 1.0), "beta has no effect: hand it on to your scores."),
            Mistake(
                exp / exp.sum(axis=1, keepdims=True),
                "exp overflowed: inf / inf. Subtract each row's largest score first.",
            ),
            Mistake(
                from_top / from_top.sum(axis=1, keepdims=True),
                "you subtracted the largest score of the whole table: small rows became 0 / 0; use each row's own.",
            ),
        ]


def check_softmax_weights(softmax_weights: Callable[..., Any]) -> None:
    """softmax_weights(queries, keys, beta) -> (q, n): rows positive, summing to 1, finite even for large scores."""
    rng = np.random.default_rng(402)
    cases = [
        (rng.standard_normal((q, d)), rng.standard_normal((n, d)), b) for q, n, d, b in ((3, 4, 2, 1.6), (4, 4, 3, 0.7))
    ]
    cases.append((np.array([[40.0], [0.5], [-40.0]]), np.array([[30.0], [-1.0], [29.5]]), 1.0))
    for queries, keys, beta in cases:
        large = abs(queries).max() > 10
        tried = f"{len(queries)} queries, {len(keys)} keys, beta {beta}" + (", scores up to 1200" if large else "")
        with np.errstate(all="ignore"):
            got = answer(softmax_weights, queries, keys, beta, tried=tried)
            mistakes = _weight_mistakes(queries, keys, beta)
        hint = "each row must be exp(scores) divided by the sum of that row."
        compare(got, _weights(queries, keys, beta), tried=tried, mistakes=mistakes, hint=hint)
    passed("each row is positive, sums to 1, and survives large scores")


def _iteration_mistakes(
    v: np.ndarray, x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, beta: float
) -> list[Mistake]:
    K = _weights(x, x[:-1], beta)
    right = _iterate(K, v, r, gamma, alpha)
    rolling = v.copy()
    for j in range(len(v)):
        rolling[j] = _iterate(K, rolling, r, gamma, alpha)[j]
    swapped = v + alpha * K @ (r + gamma * v[:-1] - v[1:])
    return [
        Mistake(
            rolling, "later positions saw new values of earlier ones. Compute all errors from the old v, then update."
        ),
        Mistake(_iterate(K, v, r, 1.0, alpha), "gamma is missing in front of v(S_k)."),
        Mistake(
            swapped,
            "the two values are exchanged: gamma goes with the state landed in, v[1:], minus the state left, v[:-1].",
        ),
        Mistake(2 * v - right, "the sign is turned: add alpha times the weighted errors, don't subtract them."),
        Mistake(right - v, "this is the change alone; the new value is the old value plus the change."),
        Mistake(
            v + (right - v) / len(r), "divided by n once too often: the weights already sum to 1, so they are a mean."
        ),
        Mistake(_iterate(K, v, r, gamma), "alpha has no effect: it multiplies the weighted sum of errors."),
        Mistake(
            _iterate(_weights(x, x[:-1], 1.0), v, r, gamma, alpha), "beta has no effect: hand it on to the weights."
        ),
        Mistake(
            _iterate(_weights(x, x[1:], beta), v, r, gamma, alpha),
            "off by one: sources are states that were left, x[:-1].",
        ),
        Mistake(
            _iterate(_weights(x, x, beta)[:, :-1], v, r, gamma, alpha),
            "the query shares in the attention and takes weight from the n sources: softmax over x[:-1] alone.",
        ),
        Mistake(right[:-1], "the query's value is missing: all n+1 positions listen, and only n of them are sources."),
    ]


def check_td_iteration(td_iteration: Callable[..., Any]) -> None:
    """td_iteration(v, features, rewards, gamma, alpha, beta) -> (n+1,): one synchronous iteration, any v."""
    rng = np.random.default_rng(403)
    for n, d, gamma, alpha, beta in ((3, 2, 0.5, 0.6, 2.0), (7, 3, 0.9, 0.8, 1.3)):
        x, r, v = rng.standard_normal((n + 1, d)), rng.standard_normal(n), rng.standard_normal(n + 1)
        tried = f"one iteration over {n} transitions, gamma {gamma}, alpha {alpha}, beta {beta}"
        got = answer(td_iteration, v, x, r, gamma, alpha, beta, tried=tried)
        right = _iterate(_weights(x, x[:-1], beta), v, r, gamma, alpha)
        hint = "go back to the two formulas: first all n errors, then for each position their weighted sum."
        compare(got, right, tried=tried, mistakes=_iteration_mistakes(v, x, r, gamma, alpha, beta), hint=hint)
    passed("all positions learn at once, from the same old values")


def _operators(states: np.ndarray, rewards: np.ndarray, x: np.ndarray, beta: float) -> tuple[np.ndarray, ...]:
    """M, Q, rho, one transition after the other."""
    K = _weights(x, x[states[:-1]], beta)
    M, Q, rho = np.zeros((len(x), len(x))), np.zeros((len(x), len(x))), np.zeros(len(x))
    for k in range(len(rewards)):
        for s in range(len(x)):
            M[s, states[k]] += K[s, k]
            Q[s, states[k + 1]] += K[s, k]
            rho[s] += K[s, k] * rewards[k]
    return M, Q, rho


def _operator_mistakes(states: np.ndarray, rewards: np.ndarray, x: np.ndarray, beta: float) -> list[list[Mistake]]:
    M, Q, rho = _operators(states, rewards, x, beta)
    K, n_states = _weights(x, x[states[:-1]], beta), len(x)
    one_visit = np.zeros((n_states, n_states))
    one_visit[:, states[:-1]] = K
    by_state = _weights(x, x, beta)
    with_query, n_seen = _weights(x, x[states], beta)[:, :-1], max(states) + 1
    size = "S is len(state_features), not states.max() + 1: a state may be never visited, and keeps its row and column."
    later = np.append(rewards[1:], 0.0)
    for_m = [
        Mistake(M.T, "M is transposed: the row is the listener s, the column the source s'."),
        Mistake(
            one_visit,
            "a state left several times counts once: add the weights of all its visits (`+=`, or a matrix product).",
        ),
        Mistake(
            by_state,
            "this is a softmax over states; it must run over the n transitions, so that frequent states weigh more.",
        ),
        Mistake(
            with_query @ np.eye(n_states)[states[:-1]],
            "the query takes a share in the softmax: the sources are the states that were left, states[:-1].",
        ),
        Mistake(M[:, :n_seen], size),
        Mistake(M[:n_seen, :n_seen], size),
        Mistake(Q, "you grouped M by the state landed in; M looks at states[:-1], Q at states[1:]."),
    ]
    for_q = [
        Mistake(Q.T, "Q is transposed: the row is the listener, the column the state landed in."),
        Mistake(M, "Q equals M here: group Q by the state landed in, states[1:]."),
        Mistake(0.9 * Q, "Q holds no gamma; the iteration multiplies by it later."),
    ]
    for_rho = [
        Mistake(rho / len(rewards), "rho is divided by n: the weights already sum to 1."),
        Mistake(K @ later, "rho pairs a source with the next reward: rewards[k] belongs to states[k]."),
        Mistake(np.bincount(states[:-1], rewards, n_states), "rho sums the rewards without the weights K."),
    ]
    return [for_m, for_q, for_rho]


def check_operators(operators: Callable[..., Any]) -> None:
    """operators(states, rewards, state_features, beta) -> M, Q, rho; a state may be never left."""
    rng = np.random.default_rng(404)
    for states, d, beta in (([0, 1, 1, 2, 0, 1, 3], 2, 1.5), ([2, 0, 2, 2, 1, 0, 0, 4, 2, 1], 3, 0.6)):
        path = np.array(states)
        x, rewards = rng.standard_normal((max(states) + 2, d)), rng.standard_normal(len(states) - 1)
        tried = f"states {states}, beta {beta}"
        got = answer(operators, path, rewards, x, beta, tried=tried)
        if not isinstance(got, (tuple, list)) or len(got) != 3:
            raise CheckFailed(f"{tried}: expected three results, `return M, Q, rho`, got {type(got).__name__}.")
        expected, mistakes = _operators(path, rewards, x, beta), _operator_mistakes(path, rewards, x, beta)
        for name, value, right, usual in zip(("M", "Q", "rho"), got, expected, mistakes, strict=True):
            hint = f"{name} sums K over the transitions, with K = softmax_weights of all states and the n sources."
            compare(value, right, tried=f"{tried}: {name}", mistakes=usual, hint=hint)
    passed("M, Q and rho hold all that the context says, state by state")


def _gap(x: np.ndarray, r: np.ndarray, gamma: float, n_iterations: int, beta: float, kind: str = "right") -> float:
    """Largest difference between softmax TD and the reference of this kind, after n_iterations from zero."""
    soft, line = np.zeros(len(x)), np.zeros(len(x))
    centre = 0.0 if kind == "keys not centred" else x.mean(axis=0) if kind == "query counted" else x[:-1].mean(axis=0)
    scale = 1.0 if kind == "features not scaled" else beta
    K = (1 + scale * x @ (x[:-1] - centre).T) / len(r)
    K = K - 1 / len(r) if kind == "no constant" else K
    for _ in range(n_iterations):
        soft = _iterate(_weights(x, x[:-1], beta), soft, r, gamma)
        line = _iterate(K, line, r, gamma)
    return float(np.abs(soft - line)[: -1 if kind == "without query" else None].max())


def _ratio_and_mistakes(
    x: np.ndarray, r: np.ndarray, gamma: float, n_iterations: int, betas: np.ndarray
) -> tuple[np.ndarray, list[Mistake]]:
    def gaps(at: np.ndarray, kind: str = "right", count: int = n_iterations) -> np.ndarray:
        return np.array([_gap(x, r, gamma, count, beta, kind) for beta in at])

    def ratio(kind: str = "right", count: int = n_iterations) -> np.ndarray:
        return gaps(betas, kind, count) / gaps(betas / 2, kind, count)

    right = ratio()
    return right, [
        Mistake(1 / right, "upside down: the gap at beta divided by the gap at beta / 2, so about 4."),
        Mistake(np.log2(right), "this is the order, log2 of the ratio; return the ratio itself."),
        Mistake(gaps(betas), "these are the gaps; return the gap at beta divided by the gap at beta / 2."),
        Mistake(
            ratio("keys not centred"),
            "a ratio near 2 is order 1: the keys are not centred, subtract the mean source feature.",
        ),
        Mistake(
            ratio("query counted"), "the mean runs over the n sources; you counted the query's feature in it as well."
        ),
        Mistake(
            ratio("features not scaled"),
            "linear TD stands still: it must use the same beta, features (1, sqrt(beta) x).",
        ),
        Mistake(ratio("no constant"), "linear TD lacks its constant feature, the 1 in (1, sqrt(beta) x)."),
        Mistake(ratio("without query"), "the query was left out: compare all n+1 positions, not only the n sources."),
        Mistake(ratio(count=1), "only one iteration was made; both methods need n_iterations."),
        Mistake(
            gaps(betas) / gaps(betas / 4),
            "beta was divided by 4: sqrt and halving got mixed up; compare with beta / 2.",
        ),
    ]


def check_halving_ratios(halving_ratios: Callable[..., Any]) -> None:
    """halving_ratios(features, rewards, gamma, n_iterations, betas) -> (len(betas),): gap(beta) / gap(beta / 2)."""
    rng = np.random.default_rng(407)
    for n, d, gamma, n_iterations in ((5, 2, 0.5, 3), (9, 3, 0.8, 5)):
        x, r, betas = rng.standard_normal((n + 1, d)), rng.standard_normal(n), np.array([0.2, 0.05])
        tried = f"{n} transitions, gamma {gamma}, {n_iterations} iterations, betas {betas.tolist()}"
        right, mistakes = _ratio_and_mistakes(x, r, gamma, n_iterations, betas)
        got = answer(halving_ratios, x, r, gamma, n_iterations, betas, tried=tried)
        hint = "start both methods at zero, with alpha = 1, and take the largest difference over all n+1 positions."
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("the gap has order beta^2: halving beta divides it by about 4")
