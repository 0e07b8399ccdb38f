"""Right and wrong answers for the checks of sheet 06 that were not derived from the checks."""

from __future__ import annotations

import torch

from check_cases import Case, as_tensors
from icrl_teach.checks.sheet_06 import (
    check_answers_with_copies,
    check_attention_weights,
    check_average_tokens,
    check_linear_answers,
    check_linear_layer,
)

INF = float("inf")


def average_by_loops(Z, E):
    columns = [sum(E[i, j] * Z[:, i] for i in range(Z.shape[1])) for j in range(E.shape[1])]
    return torch.stack(columns, dim=1)


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


def parameters(Z):
    d, size = len(Z) // 2, Z.shape[1]
    P, Q, M = (torch.zeros(k, k, dtype=Z.dtype) for k in (2 * d + 1, 2 * d + 1, size))
    P[-1, -1] = 1.0
    Q[:d, :d], Q[:d, d : 2 * d] = -torch.eye(d), torch.eye(d)
    M[:-1, :-1] = torch.eye(size - 1)
    return P, Q, M


def layer(Z, alpha):
    P, Q, M = parameters(Z)
    return Z + alpha / (Z.shape[1] - 1) * P @ Z @ M @ (Z.T @ Q @ Z)


def layer_through_w(Z, alpha):
    d, n = len(Z) // 2, Z.shape[1] - 1
    change = alpha / n * Z[:d, :n] @ Z[-1, :n]
    new = Z.clone()
    new[-1] = new[-1] + change @ (Z[d : 2 * d] - Z[:d])
    return new


def layer_in_place(Z, alpha):
    Z += layer(Z, alpha) - Z
    return Z


def layer_reading_new_cells(Z, alpha):
    d, n = len(Z) // 2, Z.shape[1] - 1
    new = Z.clone()
    for j in range(n + 1):
        for i in range(n):
            new[-1, j] += alpha / n * new[-1, i] * (Z[:d, i] @ (Z[d : 2 * d, j] - Z[:d, j]))
    return new


def layer_masked_right(Z, alpha):
    P, Q, M = parameters(Z)
    return Z + alpha / (Z.shape[1] - 1) * P @ Z @ (Z.T @ Q @ Z) @ M


def prompt(x, r, gamma):
    d, n = x.shape[1], len(r)
    Z = torch.zeros(2 * d + 1, n + 1, dtype=x.dtype)
    Z[:d] = x.T
    Z[d : 2 * d, :-1] = gamma * x[1:].T
    Z[-1, :-1] = r
    return Z


def run(Z, alpha, n_layers):
    cells = [Z[-1, -1]]
    for _ in range(n_layers):
        Z = layer(Z, alpha)
        cells.append(Z[-1, -1])
    return torch.stack(cells)


def answers(x, r, gamma, alpha, n_layers):
    return -run(prompt(x, r, gamma), alpha, n_layers)


def answers_as_a_list(x, r, gamma, alpha, n_layers):
    w, values = torch.zeros(x.shape[1], dtype=x.dtype), []
    for _ in range(n_layers + 1):
        values.append(x[-1] @ w)
        v = x @ w
        w = w + alpha / len(r) * (r + gamma * v[1:] - v[:-1]) @ x[:-1]
    return values


def answers_for_nobody(x, r, gamma, alpha, n_layers):
    Z = prompt(x, r, gamma)
    Z[:, -1] = 0.0
    return -run(Z, alpha, n_layers)


def copies_repeated(x, r, copies, beta):
    sources, R = torch.repeat_interleave(x[:-1], copies, dim=0), torch.repeat_interleave(r, copies)
    g = sources @ x[-1]
    E = weights(torch.cat([sources, x[-1:]]).T, beta)
    return torch.stack([g @ R, g @ R / len(R), E[:-1, -1] @ R])


def copies_counted(x, r, copies, beta):
    g = x[:-1] @ x[-1]
    powers = copies * torch.exp(beta * g)
    total = float((copies * g) @ r)
    return [total, total / int(copies.sum()), float(powers @ r / powers.sum())]


CASES = [
    Case(
        check_average_tokens,
        right=[lambda Z, E: Z @ E, average_by_loops],
        wrong=[
            (lambda Z, E: E.T @ Z.T, "but as rows"),
            (lambda Z, E: (Z @ E).float(), "torch.float64 is needed"),
            (lambda Z, E: (Z @ E).mean(dim=1), "expected shape"),
        ],
    ),
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
        check_linear_layer,
        right=[layer, layer_through_w],
        wrong=[
            (layer_in_place, "changed an array it was given"),
            (layer_masked_right, "keeps the query from hearing"),
            (layer_reading_new_cells, "already changed"),
            (lambda Z, alpha: torch.softmax(Z, dim=0), "follow the shapes"),
        ],
    ),
    Case(
        check_linear_answers,
        right=[answers, as_tensors(answers_as_a_list)],
        wrong=[
            (answers_for_nobody, "query column is empty"),
            (lambda x, r, gamma, alpha, depth: answers(x, r, gamma, alpha / 2, depth), "apply your linear_layer"),
        ],
    ),
    Case(
        check_answers_with_copies,
        right=[copies_repeated, as_tensors(copies_counted)],
        wrong=[
            (lambda x, r, copies, beta: copies_repeated(x, r, copies + 1, beta), "repeat sources and rewards first"),
            (lambda x, r, copies, beta: copies_repeated(x, r, copies, beta)[0], "expected shape"),
        ],
    ),
]
