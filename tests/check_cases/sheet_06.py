"""Right and wrong answers for the checks of sheet 06 that were not derived from the checks."""

from __future__ import annotations

import torch

from check_cases import Case
from icrl_teach.checks.sheet_06 import (
    check_attention_weights,
    check_hidden_weights,
    check_mask_afterwards,
    check_query_for_shares,
    check_short_weights,
    check_temperature_of,
)

INF = float("inf")


def scores(X, beta):
    return beta * X.T @ X


def weights(X, beta):
    g = scores(X, beta)
    g[-1] = -INF
    return torch.softmax(g, dim=0)


def weights_column_by_column(X, beta):
    E = torch.zeros(X.shape[1], X.shape[1], dtype=X.dtype)
    for j in range(X.shape[1]):
        g = beta * X[:, :-1].T @ X[:, j]
        exp = torch.exp(g - g.max())
        E[:-1, j] = exp / exp.sum()
    return E


def weights_masked_late_and_divided_again(X, beta):
    E = torch.softmax(scores(X, beta), dim=0)
    E[-1] = 0.0
    return E / E.sum(dim=0)


def weights_with_low_score(X, beta):
    g = scores(X, beta)
    g[-1] = -2000.0
    return torch.softmax(g, dim=0)


def weights_that_overflow(X, beta):
    exp = torch.exp(scores(X, beta))
    exp[-1] = 0.0
    return exp / exp.sum(dim=0)


def masked_by_dividing(E):
    left = E.clone()
    left[-1] = 0.0
    return left / left.sum(dim=0)


def masked_by_logs(E):
    scores = torch.log(E)
    scores[-1] = -INF
    return torch.softmax(scores, dim=0)


def masked_twice(E):
    return masked_by_dividing(masked_by_dividing(E.T).T)


def masked_in_place(E):
    E[-1] = 0.0
    return E / E.sum(dim=0)


def beta_by_one_ratio(E, X):
    inner = X.T @ X
    column = inner[:-1, -1]
    top, low = column.argmax(), column.argmin()
    return torch.log(E[top, -1] / E[low, -1]) / (column[top] - column[low])


def beta_by_least_squares(E, X):
    logs, inner = torch.log(E[:-1]), (X.T @ X)[:-1]
    logs, inner = logs - logs.mean(dim=0), inner - inner.mean(dim=0)
    return float((logs * inner).sum() / (inner**2).sum())


def beta_rounded(E, X):
    return round(beta_by_least_squares(E, X))


def query_by_log(shares):
    logs = torch.log(shares)
    return logs - logs.mean()


def query_by_differences(shares):
    logs = torch.log(shares)
    return (logs[:, None] - logs).mean(dim=1)


def query_from_the_first(shares):
    return torch.log(shares / shares[0])


def weights_by_least_squares(Z0, Z):
    d = len(Z0) // 2
    A = (Z0[d : 2 * d] - Z0[:d])[:, :-1].T
    return torch.linalg.lstsq(A, (Z[-1] - Z0[-1])[:-1, None]).solution[:, 0]


def weights_by_pseudo_inverse(Z0, Z):
    d = len(Z0) // 2
    return torch.linalg.pinv((Z0[d : 2 * d] - Z0[:d]).T) @ (Z[-1] - Z0[-1])


def weights_from_the_query_alone(Z0, Z):
    d = len(Z0) // 2
    return torch.linalg.pinv(-Z0[:d, -1:].T) @ Z[-1, -1:]


def short_by_log(X, copies, beta):
    g = scores(X, beta)
    g[:-1] += torch.log(copies)[:, None]
    g[-1] = -INF
    return torch.softmax(g, dim=0)


def short_by_repeating(X, copies, beta):
    which = torch.repeat_interleave(torch.arange(len(copies)), copies)
    E = weights(torch.cat([X[:, which], X[:, -1:]], dim=1), beta)
    first = torch.cat([torch.tensor([0]), copies.cumsum(0)[:-1], copies.sum()[None]])
    short = torch.zeros(X.shape[1], X.shape[1], dtype=X.dtype)
    for place, i in enumerate(which):
        short[i] += E[place][first]
    return short


def short_as_queries_too(X, copies, beta):
    g = scores(X, beta)
    g[:-1] += torch.log(copies)[:, None]
    g[:, :-1] *= torch.log(copies)
    g[-1] = -INF
    return torch.softmax(g, dim=0)


CASES = [
    Case(
        check_attention_weights,
        right=[weights, weights_column_by_column],
        wrong=[
            (weights_masked_late_and_divided_again, "in the softmax before it was hidden"),
            (weights_with_low_score, "lower still"),
            (weights_that_overflow, "exp overflowed"),
            (lambda X, beta: torch.softmax(beta + X.T @ X, dim=0), "last row to -inf"),
        ],
    ),
    Case(
        check_mask_afterwards,
        right=[masked_by_dividing, masked_by_logs],
        wrong=[
            (masked_twice, "divide each column by its sum"),
            (masked_in_place, "changed an array it was given"),
            (lambda E: E[:-1] / E[:-1].sum(dim=0), "Keep it, full of zeros"),
        ],
    ),
    Case(
        check_temperature_of,
        right=[beta_by_one_ratio, beta_by_least_squares],
        wrong=[
            (beta_rounded, "log of the ratio"),
            (lambda E, X: torch.log(E[0, 0] / E[-1, 0]), "Take two of the other rows"),
        ],
    ),
    Case(
        check_query_for_shares,
        right=[query_by_log, query_by_differences],
        wrong=[(query_from_the_first, "softmax undoes log"), (lambda p: p[:, None] * p, "expected shape")],
    ),
    Case(
        check_hidden_weights,
        right=[weights_by_least_squares, weights_by_pseudo_inverse],
        wrong=[
            (weights_from_the_query_alone, "d unknowns, n equations"),
            (lambda Z0, Z: Z[:, -1], "expected shape"),
        ],
    ),
    Case(
        check_short_weights,
        right=[short_by_log, short_by_repeating],
        wrong=[
            (short_as_queries_too, "written out as often"),
            (lambda X, copies, beta: short_by_log(X, copies, beta)[:-1], "expected shape"),
        ],
    ),
]
