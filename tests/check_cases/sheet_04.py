"""Right and wrong answers for the checks of sheet 04 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks.sheet_04 import (
    check_lengthen,
    check_mend_layer,
    check_picky_beta,
    check_softmax_weights,
    check_stranger_limit,
)


def scores(queries, sources, beta):
    return beta * queries @ sources.T


def weights(queries, sources, beta):
    exp = np.exp(scores(queries, sources, beta) - scores(queries, sources, beta).max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def weights_by_log_sum(queries, sources, beta):
    rows = []
    for q in queries:
        g = beta * sources @ q
        rows.append(np.exp(g - np.logaddexp.reduce(g)))
    return np.array(rows)


def weights_that_overflow(queries, sources, beta):
    exp = np.exp(scores(queries, sources, beta))
    return exp / exp.sum(axis=1, keepdims=True)


def lengthen(features):
    squares = (features**2).sum(axis=1)
    return np.column_stack([features, np.sqrt(squares.max() - squares)])


def lengthen_far(features):
    """All much longer than any was, in the other direction."""
    squares = (features**2).sum(axis=1)
    return np.column_stack([features, -np.sqrt(100 + squares.max() - squares)])


def mend_in_one_line(v, wrong, features, beta):
    q = weights(features, features, beta)[:, -1]
    return v + (wrong - v + q * v[-1]) / (1 - q)


def mend_by_loops(v, wrong, features, beta):
    fixed = np.zeros(len(v))
    for j in range(len(v)):
        q = weights_by_log_sum(features, features, beta)[j, -1]
        fixed[j] = v[j] + (wrong[j] - (1 - q) * v[j] - q * (v[j] - v[-1])) / (1 - q)
    return fixed


def own_share(features, visits, beta):
    K = weights(features, features[visits > 0], beta) * 0 + np.exp(beta * features @ features[visits > 0].T)
    M = K * visits[visits > 0]
    return (np.diag(M[visits > 0]) / M[visits > 0].sum(axis=1)).min()


def picky_by_halving(features, visits, share):
    low, high = 0.0, 1.0
    while own_share(features, visits, high) < share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if own_share(features, visits, middle) < share else (low, middle)
    return high


def picky_by_small_steps(features, visits, share):
    beta = 0.0
    for step in (1.0, 0.1, 0.01, 0.001):
        while own_share(features, visits, beta + step) < share:
            beta += step
    return beta


def stranger_by_solving(features, visits, limits, x_new, beta):
    M = visits * np.exp(beta * features @ features.T)
    m = visits * np.exp(beta * features @ x_new)
    return m / m.sum() @ np.linalg.solve(M / M.sum(axis=1, keepdims=True), limits)


def stranger_with_a_position_each(features, visits, limits, x_new, beta):
    sources = np.repeat(features, visits, axis=0)
    K, k = weights(features, sources, beta), weights(x_new[None], sources, beta)[0]
    return k @ np.linalg.lstsq(K, limits)[0]


CASES = [
    Case(
        check_softmax_weights,
        right=[weights, weights_by_log_sum],
        wrong=[
            (weights_that_overflow, "exp overflowed"),
            (lambda q, k, beta: weights(q, k, beta) ** 2, "divided by the sum of that row"),
            (lambda q, k, beta: weights(q, k, -beta), "divided by the sum of that row"),
            (lambda q, k, beta: weights(k, q, beta), "expected shape"),
        ],
    ),
    Case(
        check_lengthen,
        right=[lengthen, lengthen_far],
        wrong=[
            (lambda x: x / np.linalg.norm(x, axis=1, keepdims=True), "one number more"),
            (lambda x: lengthen(x) / np.linalg.norm(lengthen(x), axis=1, keepdims=True), "must stay as they are"),
            (lambda x: np.column_stack([x, np.zeros(len(x))]), "same number for all"),
            (lambda x: np.column_stack([x, np.arange(len(x))]), "1 = the state scores highest"),
        ],
    ),
    Case(
        check_mend_layer,
        right=[mend_in_one_line, mend_by_loops],
        wrong=[
            (lambda v, wrong, x, beta: wrong, "write the suspect's change"),
            (lambda v, wrong, x, beta: mend_in_one_line(v, wrong, x, beta)[:-1], "expected shape"),
        ],
    ),
    Case(
        check_picky_beta,
        right=[picky_by_halving, picky_by_small_steps],
        wrong=[
            (lambda x, n, share: picky_by_halving(x, n, share) / 2, "it grows with beta"),
            (lambda x, n, share: np.exp(picky_by_halving(x, n, share)), "it grows with beta"),
        ],
    ),
    Case(
        check_stranger_limit,
        right=[stranger_by_solving, stranger_with_a_position_each],
        wrong=[
            (lambda x, n, v, x_new, beta: v.mean(), "no loop are needed"),
            (lambda x, n, v, x_new, beta: 0.0, "no loop are needed"),
        ],
    ),
]
