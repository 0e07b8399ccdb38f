"""Right and wrong answers for the checks of sheet 07 that were not derived from the checks."""

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


def score_matrix(d, beta):
    A = torch.zeros(d + 3, d + 3, **double)
    A[:d, :d] = beta * torch.eye(d)
    return A


def value_matrix(d, alpha):
    V = torch.zeros(d + 3, d + 3, **double)
    V[-1, d:] = alpha * torch.tensor([1.0, 1.0, -1.0], **double)
    return V


def value_matrix_as_outer_product(d, alpha):
    eye = torch.eye(d + 3, **double)
    return alpha * torch.outer(eye[d + 2], eye[d] + eye[d + 1] - eye[d + 2])


def attention(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = -torch.inf
    return torch.softmax(scores, dim=0)


def attention_by_loops(Z, A):
    n = Z.shape[1] - 1
    E = torch.zeros(n + 1, n + 1, **double)
    for j in range(n + 1):
        scores = torch.stack([Z[:, i] @ A @ Z[:, j] for i in range(n)])
        E[:n, j] = torch.exp(scores - torch.logsumexp(scores, dim=0))
    return E


def masked_with_a_low_score(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = -1e4
    return torch.softmax(scores, dim=0)


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


def shift_in_place(H, gamma):
    H[-2, :-1] = gamma * H[-1, 1:]
    H[-2, -1] = 0
    return H


def layer(Z, V, A, gamma):
    return time_shift(Z + V @ Z @ attention(Z, A), gamma)


def layer_by_columns(Z, V, A, gamma):
    E, H = attention(Z, A), Z.clone()
    for j in range(Z.shape[1]):
        for i in range(Z.shape[1]):
            H[:, j] += E[i, j] * (V @ Z[:, i])
    return time_shift_by_matrices(H, gamma)


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


def overflowing(Z, A):
    exp = torch.exp(Z.T @ A @ Z)
    exp[-1] = 0.0
    return exp / exp.sum(dim=0)


def dual_layer(Z, alpha, beta, gamma):
    d, n = Z.shape[0] - 3, Z.shape[1] - 1
    E, V2 = attention(Z, score_matrix(d, beta)), torch.zeros(d + 3, d + 3, **double)
    V2[-2, d:] = gamma * alpha * torch.tensor([1.0, 1.0, -1.0], **double)
    Pi = torch.diag(torch.ones(n, **double), -1)
    return Z + value_matrix(d, alpha) @ Z @ E + V2 @ Z @ E @ Pi


def dual_layer_by_rows(Z, alpha, beta, gamma):
    step = alpha * (Z[-3] + Z[-2] - Z[-1]) @ attention(Z, score_matrix(len(Z) - 3, beta))
    new = Z.clone()
    new[-1] += step
    new[-2, :-1] += gamma * step[1:]
    return new


CASES = [
    Case(
        check_prompt,
        right=[prompt, prompt_by_columns],
        wrong=[
            (lambda x, r: prompt(x, r) + 1, "start from zeros"),
            (lambda x, r: prompt(x.reshape(x.shape[1], -1).T, r), "features were reshaped"),
        ],
    ),
    Case(
        check_score_matrix,
        right=[score_matrix, lambda d, beta: beta * torch.diag(torch.tensor([1.0] * d + [0.0] * 3, **double))],
        wrong=[
            (lambda d, beta: score_matrix(d, beta).numpy(), "NumPy array where a tensor is needed"),
            (lambda d, beta: score_matrix(d, beta).tolist(), "make it `torch.tensor(...)`"),
            (lambda d, beta: score_matrix(d, beta).float(), "returned torch.float32"),
            (lambda d, beta: score_matrix(d, beta) ** 2, "beta times the identity"),
        ],
    ),
    Case(
        check_value_matrix,
        right=[value_matrix, value_matrix_as_outer_product],
        wrong=[
            (lambda d, alpha: value_matrix(d, alpha).float(), "returned torch.float32"),
            (lambda d, alpha: value_matrix(d, alpha) + torch.eye(d + 3, **double), "then one row"),
        ],
    ),
    Case(
        check_attention,
        right=[attention, attention_by_loops],
        wrong=[
            (masked_with_a_low_score, "lower still"),
            (overflowing, "exp overflowed"),
            (lambda Z, A: Z.T @ A @ Z, "the last row set to -inf"),
        ],
    ),
    Case(
        check_time_shift,
        right=[time_shift, time_shift_by_matrices],
        wrong=[
            (shift_in_place, "changed an array it was given"),
            (lambda H, gamma: torch.roll(H, -1, dims=1), "copy H, then overwrite"),
        ],
    ),
    Case(
        check_layer,
        right=[layer, layer_by_columns],
        wrong=[
            (lambda Z, V, A, gamma: layer(Z, V, A, gamma)[:-2], "expected shape"),
            (lambda Z, V, A, gamma: layer(layer(Z, V, A, gamma), V, A, gamma), "three steps"),
        ],
    ),
    Case(
        check_network,
        right=[network, as_tensors(network_as_td)],
        wrong=[
            (network_that_keeps_no_layer, "as in the prompt"),
            (lambda *inputs: traced(*inputs)[-1, 0], "build the prompt, V and A once"),
        ],
    ),
    Case(
        check_dual_layer,
        right=[dual_layer, dual_layer_by_rows],
        wrong=[
            (lambda Z, *rest: dual_layer(Z, *rest)[:-1], "expected shape"),
            (lambda Z, *rest: 2 * dual_layer(Z, *rest) - Z, "E from the old Z"),
        ],
    ),
]
