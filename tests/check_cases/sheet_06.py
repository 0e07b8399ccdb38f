"""Right and wrong answers for sheet 06."""

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


def weights_over_queries(X, beta):
    g = scores(X, beta)
    g[-1] = -INF
    return torch.softmax(g, dim=1)


def weights_masked_late(X, beta):
    E = torch.softmax(scores(X, beta), dim=0)
    E[-1] = 0.0
    return E


def weights_masked_late_and_divided_again(X, beta):
    E = weights_masked_late(X, beta)
    return E / E.sum(dim=0)


def weights_with_zero_score(X, beta):
    g = scores(X, beta)
    g[-1] = 0.0
    return torch.softmax(g, dim=0)


def weights_with_low_score(X, beta):
    g = scores(X, beta)
    g[-1] = -1000.0
    return torch.softmax(g, dim=0)


def weights_with_masked_column(X, beta):
    g = scores(X, beta)
    g[:, -1] = -INF
    return torch.softmax(g, dim=0)


def weights_with_own_cell_hidden(X, beta):
    g = scores(X, beta)
    g[-1, -1] = -INF
    return torch.softmax(g, dim=0)


def weights_deaf_query(X, beta):
    g = scores(X, beta)
    g[-1], g[:, -1] = -INF, -INF
    return torch.softmax(g, dim=0)


def weights_with_causal_mask(X, beta):
    g = scores(X, beta)
    g = g.masked_fill(torch.ones_like(g).tril(-1) > 0, -INF)
    g[-1] = -INF
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


def layer_with(change):
    """The layer with P, Q, M or the divisor changed by `change(P, Q, M, n)`."""

    def wrong(Z, alpha):
        P, Q, M, n = change(*parameters(Z), Z.shape[1] - 1)
        return Z + alpha / n * P @ Z @ M @ (Z.T @ Q @ Z)

    return wrong


def layer_masked_right(Z, alpha):
    P, Q, M = parameters(Z)
    return Z + alpha / (Z.shape[1] - 1) * P @ Z @ (Z.T @ Q @ Z) @ M


def layer_turned(Z, alpha):
    _, Q, M = parameters(Z)
    new = Z.clone()
    new[-1] += alpha / (Z.shape[1] - 1) * (M @ Z.T @ Q @ Z) @ Z[-1]
    return new


def full_blocks(P, Q, M, n):
    d, Q = len(Q) // 2, Q.clone()
    Q[:d, :d], Q[:d, d : 2 * d] = -1.0, 1.0
    return P, Q, M, n


def without_successor(P, Q, M, n):
    Q = Q.clone()
    Q[:, len(Q) // 2 : -1] = 0.0
    return P, Q, M, n


def prompt(x, r, gamma, following=None):
    d, n = x.shape[1], len(r)
    Z = torch.zeros(2 * d + 1, n + 1, dtype=x.dtype)
    Z[:d] = x.T
    Z[d : 2 * d, :-1] = gamma * (x[1:] if following is None else following).T
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


def answers_after_roll(x, r, gamma, alpha, n_layers):
    Z = prompt(x, r, gamma)
    Z[x.shape[1] : -1] = gamma * torch.roll(x, -1, dims=0).T
    return -run(Z, alpha, n_layers)


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


def copies_with(change):
    """The right three answers, changed by `change(answers, x, r, copies, beta)`."""

    def wrong(x, r, copies, beta):
        return change(copies_repeated(x, r, copies, beta), x, r, copies, beta)

    return wrong


def old_n(right, x, r, copies, beta):
    return torch.stack([right[0], right[0] / len(r), right[2]])


def loud_weights(right, x, r, copies, beta):
    E = weights(x.T, beta)[:-1, -1]
    return torch.stack([right[0], right[1], (copies * E) @ r])


def softmax_with_query(right, x, r, copies, beta):
    sources, R = torch.repeat_interleave(x[:-1], copies, dim=0), torch.repeat_interleave(r, copies)
    E = torch.softmax(beta * torch.cat([sources, x[-1:]]) @ x[-1], dim=0)
    return torch.stack([right[0], right[1], E[:-1] @ R])


CASES = [
    Case(
        check_average_tokens,
        right=[lambda Z, E: Z @ E, average_by_loops],
        wrong=[
            (lambda Z, E: Z @ E.T, "the rows of E"),
            (lambda Z, E: E.T @ Z.T, "but as rows"),
            (lambda Z, E: E @ Z, "on the wrong side"),
            (lambda Z, E: Z * E, "cell by cell"),
            (lambda Z, E: Z @ E / len(E), "divided once too often"),
        ],
    ),
    Case(
        check_attention_weights,
        right=[weights, weights_column_by_column],
        wrong=[
            (weights_over_queries, "ran over the queries"),
            (lambda X, beta: weights(X, beta).T, "E transposed"),
            (lambda X, beta: torch.softmax(scores(X, beta), dim=0), "query is not masked"),
            (weights_masked_late, "mask came after the softmax"),
            (weights_masked_late_and_divided_again, "in the softmax before it was hidden"),
            (weights_with_zero_score, "a score of 0"),
            (weights_with_low_score, "lower still"),
            (weights_with_masked_column, "query's column"),
            (weights_with_own_cell_hidden, "own cell is hidden"),
            (weights_deaf_query, "hid the last column"),
            (lambda X, beta: weights(X, 1.0), "beta has no effect"),
            (lambda X, beta: weights(X, beta / len(X) ** 0.5), "1/sqrt(d)"),
            (lambda X, beta: weights(X, beta)[:-1], "row of the query is missing"),
            (weights_that_overflow, "exp overflowed"),
            (weights_with_causal_mask, "causal mask"),
            (lambda X, beta: weights(X.T, beta), "features with features"),
        ],
    ),
    Case(
        check_linear_layer,
        right=[layer, layer_through_w],
        wrong=[
            (layer_with(lambda P, Q, M, n: (P, Q, M, 1)), "1/n is missing"),
            (layer_with(lambda P, Q, M, n: (P, Q, M, n + 1)), "divided by n + 1"),
            (layer_with(lambda P, Q, M, n: (P, Q, torch.eye(n + 1).double(), n)), "query is not masked"),
            (layer_with(lambda P, Q, M, n: (P, -Q, M, n)), "sign of the update"),
            (lambda Z, alpha: layer(Z, alpha) - Z, "what the layer adds"),
            (layer_with(lambda P, Q, M, n: (torch.eye(len(P)).double(), Q, M, n)), "feature rows changed"),
            (layer_with(without_successor), "successor is left out"),
            (lambda Z, alpha: layer(Z, 1.0), "alpha has no effect"),
            (layer_with(lambda P, Q, M, n: (P, Q.T, M, n)), "Q is transposed"),
            (layer_in_place, "changed an array it was given"),
            (layer_masked_right, "hides the query as a reader"),
            (layer_with(full_blocks), "blocks of Q are full"),
            (layer_reading_new_cells, "already changed"),
            (layer_turned, "sum runs over the readers"),
        ],
    ),
    Case(
        check_linear_answers,
        right=[answers, as_tensors(answers_as_a_list)],
        wrong=[
            (lambda *inputs: -answers(*inputs), "minus sign at the readout"),
            (lambda x, r, gamma, alpha, depth: -run(prompt(x, r, 1.0), alpha, depth), "gamma is missing"),
            (lambda x, r, gamma, alpha, depth: -run(prompt(x, r, gamma, x[:-1]), alpha, depth), "off by one"),
            (answers_after_roll, "got a successor"),
            (answers_for_nobody, "query column is empty"),
            (lambda *inputs: answers(*inputs)[1:], "layer 0 is missing"),
            (lambda *inputs: answers(*inputs)[:-1], "last layer is missing"),
            (lambda *inputs: answers(*inputs)[-1], "last answer alone"),
        ],
    ),
    Case(
        check_answers_with_copies,
        right=[copies_repeated, as_tensors(copies_counted)],
        wrong=[
            (lambda x, r, copies, beta: copies_repeated(x, r, torch.ones_like(copies), beta), "copies has no effect"),
            (copies_with(old_n), "divides by the old n"),
            (copies_with(loud_weights), "copies multiplied the finished"),
            (copies_with(softmax_with_query), "query counts as a source"),
            (
                copies_with(lambda y, x, r, copies, beta: torch.stack([beta * y[0], beta * y[1], y[2]])),
                "beta belongs to the softmax",
            ),
            (copies_with(lambda y, *_: y.flip(0)), "the order is turned"),
            (
                copies_with(
                    lambda y, x, r, c, beta: torch.cat([y[:2], copies_repeated(x, r, torch.ones_like(c), beta)[2:]])
                ),
                "softmax does not see the copies",
            ),
        ],
    ),
]
