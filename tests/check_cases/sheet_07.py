"""Right and wrong answers for sheet 07."""

from __future__ import annotations

import torch

from check_cases import Case, as_tensors
from icrl_teach.checks.sheet_07 import (
    check_attention,
    check_dual_layer,
    check_layer,
    check_network,
    check_prompt,
    check_score_matrix,
    check_time_shift,
    check_value_matrix,
)

double = {"dtype": torch.float64}


def prompt(features, rewards):
    Z = torch.zeros(features.shape[1] + 3, len(features), **double)
    Z[:-3] = features.T
    Z[-3, :-1] = rewards
    return Z


def prompt_by_columns(features, rewards):
    rest = [[float(reward), 0.0, 0.0] for reward in rewards] + [[0.0, 0.0, 0.0]]
    return torch.tensor([[*x.tolist(), *more] for x, more in zip(features, rest, strict=True)], **double).T


def late_rewards(features, rewards):
    Z = prompt(features, 0 * rewards)
    Z[-3, 1:] = rewards
    return Z


def full_query(features, rewards):
    Z = prompt(features, rewards)
    Z[-3, -1] = rewards[-1]
    return Z


def featureless_query(features, rewards):
    Z = prompt(features, rewards)
    Z[:-3, -1] = 0
    return Z


def score_matrix(d, beta):
    A = torch.zeros(d + 3, d + 3, **double)
    A[:d, :d] = beta * torch.eye(d)
    return A


def low_block(d, beta):
    A = torch.zeros(d + 3, d + 3, **double)
    A[3:, 3:] = beta * torch.eye(d)
    return A


def full_block(d, beta):
    A = torch.zeros(d + 3, d + 3, **double)
    A[:d, :d] = beta
    return A


def value_matrix(d, alpha):
    V = torch.zeros(d + 3, d + 3, **double)
    V[-1, d:] = alpha * torch.tensor([1.0, 1.0, -1.0], **double)
    return V


def value_matrix_as_outer_product(d, alpha):
    eye = torch.eye(d + 3, **double)
    return alpha * torch.outer(eye[d + 2], eye[d] + eye[d + 1] - eye[d + 2])


def in_row(row, u=(1.0, 1.0, -1.0)):
    """V with another row or another u."""

    def wrong(d, alpha):
        V = torch.zeros(d + 3, d + 3, **double)
        V[row, d:] = alpha * torch.tensor(u, **double)
        return V

    return wrong


def minus_one(d, alpha):
    V = value_matrix(d, alpha)
    V[-1, -1] = -1.0
    return V


def every_row(d, alpha):
    return value_matrix(d, alpha)[-1:].expand(d + 3, d + 3)


def attention(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = -torch.inf
    return torch.softmax(scores, dim=0)


def attention_by_loops(Z, A):
    n = Z.shape[1] - 1
    E = torch.zeros(n + 1, n + 1, **double)
    for j in range(n + 1):
        exp = torch.tensor([float(torch.exp(Z[:, i] @ A @ Z[:, j])) for i in range(n)], **double)
        E[:n, j] = exp / exp.sum()
    return E


def over_queries(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = -torch.inf
    return torch.softmax(scores, dim=1)


def over_queries_masked_later(Z, A):
    E = torch.softmax(Z.T @ A @ Z, dim=1)
    E[-1] = 0
    return E


def unmasked(Z, A):
    return torch.softmax(Z.T @ A @ Z, dim=0)


def deaf_query(Z, A):
    scores = Z.T @ A @ Z
    scores[:, -1] = -torch.inf
    return torch.softmax(scores, dim=0)


def masked_after(Z, A):
    E = unmasked(Z, A)
    E[-1] = 0
    return E


def masked_with_zero(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = 0
    return torch.softmax(scores, dim=0)


def masked_with_a_low_score(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = -100.0
    return torch.softmax(scores, dim=0)


def over_everything(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = -torch.inf
    return scores.exp() / scores.exp().sum()


def time_shift(H, gamma):
    Z = H.clone()
    Z[-2, :-1] = gamma * H[-1, 1:]
    Z[-2, -1] = 0
    return Z


def time_shift_by_matrices(H, gamma):
    rows, columns = H.shape
    U, W = torch.eye(rows, **double), torch.zeros(rows, rows, **double)
    U[-2, -2], W[-2, -1] = 0, gamma
    return U @ H + W @ H @ torch.diag(torch.ones(columns - 1, **double), -1)


def time_shift_with_w_turned(H, gamma):
    rows, columns = H.shape
    U, W = torch.eye(rows, **double), torch.zeros(rows, rows, **double)
    U[-2, -2], W[-1, -2] = 0, gamma
    return U @ H + W @ H @ torch.diag(torch.ones(columns - 1, **double), -1)


def refill(content):
    """The time shift with another row of target memory."""

    def wrong(H, gamma):
        Z = H.clone()
        Z[-2] = content(H, gamma)
        return Z

    return wrong


def padded(row):
    return torch.nn.functional.pad(row, (0, 1))


def shift_in_place(H, gamma):
    H[-2, :-1] = gamma * H[-1, 1:]
    H[-2, -1] = 0
    return H


def shift_and_empty(H, gamma):
    Z = time_shift(H, gamma)
    Z[-1] = 0
    return Z


def shift_all_rows(H, gamma):
    Z = padded(H[:, 1:])
    Z[-2] = time_shift(H, gamma)[-2]
    return Z


def layer(Z, V, A, gamma):
    return time_shift(Z + V @ Z @ attention(Z, A), gamma)


def layer_by_columns(Z, V, A, gamma):
    E, H = attention(Z, A), Z.clone()
    for j in range(Z.shape[1]):
        for i in range(Z.shape[1]):
            H[:, j] += E[i, j] * (V @ Z[:, i])
    return time_shift_by_matrices(H, gamma)


def shift_first(Z, V, A, gamma):
    Z = time_shift(Z, gamma)
    return Z + V @ Z @ attention(Z, A)


def shift_old_values(Z, V, A, gamma):
    H = Z + V @ Z @ attention(Z, A)
    H[-2] = time_shift(Z, gamma)[-2]
    return H


def traced(features, rewards, gamma, n_layers, alpha, beta):
    Z, d = prompt(features, rewards), features.shape[1]
    trace = [Z]
    for _ in range(n_layers):
        trace.append(layer(trace[-1], value_matrix(d, alpha), score_matrix(d, beta), gamma))
    return torch.stack(trace)


def network(*inputs):
    return traced(*inputs)[-1, -1]


def network_as_td(features, rewards, gamma, n_layers, alpha, beta):
    K = torch.softmax(beta * features @ features[:-1].T, dim=1)
    v = torch.zeros(len(features), **double)
    for _ in range(n_layers):
        v = v + alpha * K @ (rewards + gamma * v[1:] - v[:-1])
    return v.tolist()


def network_that_keeps_no_layer(features, rewards, gamma, n_layers, alpha, beta):
    Z, d = prompt(features, rewards), features.shape[1]
    for _ in range(n_layers):
        layer(Z, value_matrix(d, alpha), score_matrix(d, beta), gamma)
    return Z[-1]


def dual_layer(Z, alpha, beta, gamma, second=None, move=None):
    """The dual layer; `second` makes V2 from (d, alpha, gamma), `move` is Pi."""
    d, n = Z.shape[0] - 3, Z.shape[1] - 1
    E = attention(Z, score_matrix(d, beta))
    V2 = (second or in_row_scaled(-2))(d, alpha, gamma)
    Pi = torch.diag(torch.ones(n, **double), -1) if move is None else move(n)
    return Z + value_matrix(d, alpha) @ Z @ E + V2 @ Z @ E @ Pi


def dual_moved_first(Z, alpha, beta, gamma):
    d, n = Z.shape[0] - 3, Z.shape[1] - 1
    E, Pi = attention(Z, score_matrix(d, beta)), torch.diag(torch.ones(n, **double), -1)
    return Z + value_matrix(d, alpha) @ Z @ E + in_row_scaled(-2)(d, alpha, gamma) @ Z @ Pi @ E


def in_row_scaled(row, with_alpha=True, with_gamma=True):
    return lambda d, alpha, gamma: in_row(row)(d, (alpha if with_alpha else 1.0) * (gamma if with_gamma else 1.0))


def dual_layer_by_rows(Z, alpha, beta, gamma):
    step = alpha * (Z[-3] + Z[-2] - Z[-1]) @ attention(Z, score_matrix(len(Z) - 3, beta))
    new = Z.clone()
    new[-1] += step
    new[-2, :-1] += gamma * step[1:]
    return new


def dual_chained(Z, alpha, beta, gamma):
    E = attention(Z, score_matrix(len(Z) - 3, beta))
    new = Z.clone()
    new[-1] += alpha * (Z[-3] + Z[-2] - Z[-1]) @ E
    step = alpha * (new[-3] + new[-2] - new[-1]) @ E
    new[-2, :-1] += gamma * step[1:]
    return new


def wrapping(n):
    return torch.roll(torch.eye(n + 1, **double), 1, dims=0)


def single_layer(Z, alpha, beta, gamma):
    d = len(Z) - 3
    return Z + value_matrix(d, alpha) @ Z @ attention(Z, score_matrix(d, beta))


CASES = [
    Case(
        check_prompt,
        right=[prompt, prompt_by_columns],
        wrong=[
            (lambda x, r: prompt(x, r).T, "the layout is transposed"),
            (late_rewards, "misaligned by one"),
            (full_query, "the query column carries a reward"),
            (lambda x, r: prompt(x, r)[[*range(x.shape[1]), -1, -2, -3]], "stand in the last row"),
            (featureless_query, "the query has no features"),
            (lambda x, r: prompt(x, r)[:-2], "the two memory rows are missing"),
        ],
    ),
    Case(
        check_score_matrix,
        right=[score_matrix, lambda d, beta: beta * torch.diag(torch.tensor([1.0] * d + [0.0] * 3, **double))],
        wrong=[
            (lambda d, beta: beta * torch.eye(d + 3, **double), "touches the reward and memory rows"),
            (lambda d, beta: score_matrix(d, 1.0), "beta has no effect"),
            (lambda d, beta: score_matrix(d, 1 / beta), "you divide by beta"),
            (full_block, "the block is full"),
            (low_block, "at the bottom right"),
            (lambda d, beta: score_matrix(d, -beta), "the sign is turned"),
            (lambda d, beta: score_matrix(d, beta / d**0.5), "1/sqrt(d)"),
            (lambda d, beta: beta * torch.eye(d, **double), "the feature block alone"),
            (lambda d, beta: score_matrix(d, beta).numpy(), "NumPy array where a tensor is needed"),
            (lambda d, beta: score_matrix(d, beta).tolist(), "make it `torch.tensor(...)`"),
            (lambda d, beta: score_matrix(d, beta).float(), "returned torch.float32"),
        ],
    ),
    Case(
        check_value_matrix,
        right=[value_matrix, value_matrix_as_outer_product],
        wrong=[
            (lambda d, alpha: -value_matrix(d, alpha), "the whole sign is turned"),
            (in_row(-1, (1.0, 1.0, 1.0)), "must be subtracted"),
            (in_row(-1, (1.0, -1.0, 1.0)), "target and value are exchanged"),
            (in_row(-1, (1.0, 0.0, -1.0)), "target memory is not read"),
            (lambda d, alpha: value_matrix(d, alpha).T, "V is transposed"),
            (in_row(-2), "V writes into target memory"),
            (in_row(-3), "V writes into the reward row"),
            (every_row, "V writes into every row"),
            (lambda d, alpha: value_matrix(d, 1.0), "alpha has no effect"),
            (lambda d, alpha: value_matrix(d, alpha)[-1], "the vector alpha u alone"),
            (minus_one, "the last entry of the row is -alpha"),
        ],
    ),
    Case(
        check_attention,
        right=[attention, attention_by_loops],
        wrong=[
            (over_queries, "softmax runs over the queries"),
            (unmasked, "the query is unmasked"),
            (deaf_query, "the query must listen"),
            (lambda Z, A: attention(Z, A).T, "E is transposed"),
            (masked_after, "the mask came after the softmax"),
            (masked_with_zero, "a score of 0 is no mask"),
            (masked_with_a_low_score, "lower still"),
            (over_everything, "sum of the whole matrix"),
            (lambda Z, A: attention(Z, A.T), "A is used transposed"),
            (lambda Z, A: attention(Z, torch.eye(len(A), **double)), "A has no effect"),
            (over_queries_masked_later, "your rows sum to 1"),
            (
                lambda Z, A: (Z.T @ A @ Z).exp() * (torch.arange(Z.shape[1]) < Z.shape[1] - 1)[:, None],
                "exponentials; d",
            ),
            (lambda Z, A: Z.T @ A @ Z, "the last row set to -inf"),
        ],
    ),
    Case(
        check_time_shift,
        right=[time_shift, time_shift_by_matrices],
        wrong=[
            (refill(lambda H, gamma: gamma * padded(H[-1].flip(0)[1:]).flip(0)), "the shift goes the wrong way"),
            (lambda H, gamma: time_shift(H, 1.0), "gamma is forgotten"),
            (refill(lambda H, gamma: H[-2] + gamma * padded(H[-1, 1:])), "target memory is not cleared"),
            (refill(lambda H, gamma: gamma * H[-1].roll(-1)), "the row wraps around"),
            (refill(lambda H, gamma: gamma * H[-1]), "each column got its own value"),
            (refill(lambda H, gamma: gamma * padded(H[-2, 1:])), "you shifted target memory itself"),
            (shift_and_empty, "value memory is gone"),
            (refill(lambda H, gamma: torch.cat([gamma * H[-1, 1:], H[-2, -1:]])), "keeps its old content"),
            (shift_all_rows, "all rows moved to the left"),
            (lambda H, gamma: H, "nothing has changed"),
            (shift_in_place, "changed an array it was given"),
            (time_shift_with_w_turned, "W is transposed"),
        ],
    ),
    Case(
        check_layer,
        right=[layer, layer_by_columns],
        wrong=[
            (lambda Z, V, A, gamma: time_shift(V @ Z @ attention(Z, A), gamma), "the residual is missing"),
            (lambda Z, V, A, gamma: Z + V @ Z @ attention(Z, A), "the time shift is missing"),
            (shift_first, "the shift came first"),
            (shift_old_values, "filled from the old values"),
            (lambda Z, V, A, gamma: time_shift(Z + V @ Z @ attention(Z, A).T, gamma), "E is turned round"),
            (lambda Z, V, A, gamma: time_shift(Z + Z @ attention(Z, A), gamma), "V is missing"),
            (lambda Z, V, A, gamma: layer(Z, -V, A, gamma), "a minus sign crept in"),
            (lambda Z, V, A, gamma: time_shift(Z + V @ Z @ unmasked(Z, A), gamma), "the query teaches here"),
            (lambda Z, V, A, gamma: layer(Z, V, A, 1.0), "the shift got no gamma"),
        ],
    ),
    Case(
        check_network,
        right=[network, as_tensors(network_as_td)],
        wrong=[
            (network_that_keeps_no_layer, "as in the prompt"),
            (lambda *inputs: -network(*inputs), "a minus sign at the readout"),
            (lambda *inputs: network(*inputs)[-1], "the query's value alone"),
            (lambda *inputs: traced(*inputs)[-2, -1], "one layer too few"),
            (lambda x, r, gamma, layers, *rest: network(x, r, gamma, layers + 1, *rest), "one layer too many"),
            (lambda *inputs: traced(*inputs)[-1, -2], "you read target memory"),
            (lambda *inputs: traced(*inputs)[-1, -3], "you read the reward row"),
            (lambda x, r, gamma, layers, alpha, beta: network(x, r, gamma, layers, 1.0, beta), "alpha has no effect"),
            (lambda x, r, gamma, layers, alpha, beta: network(x, r, gamma, layers, alpha, 1.0), "beta has no effect"),
            (lambda x, r, gamma, layers, alpha, beta: network(x, r, gamma, layers, beta, alpha), "are exchanged"),
            (lambda *inputs: traced(*inputs)[:, -1], "the values of all layers"),
        ],
    ),
    Case(
        check_dual_layer,
        right=[dual_layer, dual_layer_by_rows],
        wrong=[
            (single_layer, "target memory has not moved"),
            (lambda Z, *rest: time_shift(single_layer(Z, *rest), rest[-1]), "this is the time shift"),
            (lambda *inputs: dual_layer(*inputs, move=lambda n: torch.eye(n + 1, **double)), "Pi is missing"),
            (
                lambda *inputs: dual_layer(*inputs, move=lambda n: torch.diag(torch.ones(n, **double), 1)),
                "Pi points the wrong way",
            ),
            (lambda *inputs: dual_layer(*inputs, move=lambda n: wrapping(n)), "landed in the query"),
            (lambda *inputs: dual_layer(*inputs, second=in_row_scaled(-2, with_gamma=False)), "gamma is forgotten"),
            (lambda *inputs: dual_layer(*inputs, second=in_row_scaled(-2, with_alpha=False)), "alpha is missing in V2"),
            (lambda *inputs: dual_layer(*inputs, second=in_row_scaled(-1)), "V2 writes into value memory"),
            (dual_chained, "what the first had written"),
            (dual_moved_first, "Pi came before E"),
        ],
    ),
]
