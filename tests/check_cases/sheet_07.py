"""Right and wrong answers for the checks of sheet 07 that were not derived from the checks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from check_cases import Case
from icrl_teach import MarkovRewardProcess, softmax_attention, time_shift
from icrl_teach.checks.sheet_07 import (
    check_backwards_value,
    check_layer,
    check_next_column,
    check_passes,
    check_read_row,
    check_where_it_ends,
)

double = {"dtype": torch.float64}


def layer(Z, V, A, gamma):
    scores = Z.T @ A @ Z
    scores[-1] = -torch.inf
    H = Z + V @ Z @ torch.softmax(scores, dim=0)
    new = H.clone()
    new[-2] = 0.0
    new[-2, :-1] = gamma * H[-1, 1:]
    return new


def layer_of_the_library(Z, V, A, gamma):
    return time_shift(Z + V @ Z @ softmax_attention(Z, A), gamma)


def layer_in_place(Z, V, A, gamma):
    Z += V @ Z @ softmax_attention(Z, A)
    return time_shift(Z, gamma)


def layer_masked_with_zero(Z, V, A, gamma):
    scores = Z.T @ A @ Z
    scores[-1] = 0.0
    return time_shift(Z + V @ Z @ torch.softmax(scores, dim=0), gamma)


def where_it_ends(a, b, c, P, r, gamma):
    return np.linalg.solve(c * np.eye(len(r)) - b * gamma * P, a * r)


def where_it_ends_as_another_task(a, b, c, P, r, gamma):
    return MarkovRewardProcess(P, a / c * r, gamma * b / c).value()


def read_row(trace, A):
    offered = torch.cat([Z @ softmax_attention(Z, A) for Z in trace[:-1]], dim=1)
    gained = torch.cat([after[-1] - Z[-1] for Z, after in pairwise(trace)])
    # torch's default driver starts its pivoting from uninitialised memory: without full rank its answer is a lottery
    return torch.linalg.lstsq(offered.T, gained[:, None], driver="gelsd").solution[:, 0]


def read_row_by_least_squares_in_numpy(trace, A):
    offered = [(Z @ softmax_attention(Z, A)).numpy() for Z in trace[:-1]]
    gained = [(trace[i + 1, -1] - trace[i, -1]).numpy() for i in range(len(offered))]
    return torch.tensor(np.linalg.lstsq(np.hstack(offered).T, np.hstack(gained), rcond=None)[0])


def passes(suspect):
    rng = np.random.default_rng(0)
    Z, V, A = (torch.tensor(rng.standard_normal(shape)) for shape in ((6, 5), (6, 6), (6, 6)))
    return torch.allclose(suspect(Z, V, A, 0.7), layer(Z, V, A, 0.7))


def passes_over_three_layers(suspect):
    rng = np.random.default_rng(1)
    Z, V, A = (torch.tensor(0.4 * rng.standard_normal(shape)) for shape in ((5, 7), (5, 5), (5, 5)))
    one, two = Z, Z
    for _ in range(3):
        one, two = suspect(one, V, A, 0.5), layer_of_the_library(two, V, A, 0.5)
    return float((one - two).abs().max()) < 1e-9


def passes_to_the_last_digit(suspect):
    rng = np.random.default_rng(0)
    Z, V, A = (torch.tensor(rng.standard_normal(shape)) for shape in ((6, 5), (6, 6), (6, 6)))
    return torch.equal(suspect(Z, V, A, 0.7), layer(Z, V, A, 0.7))


def passes_from_empty_memories(suspect):
    rng = np.random.default_rng(0)
    Z, V, A = (torch.tensor(rng.standard_normal(shape)) for shape in ((6, 5), (6, 6), (6, 6)))
    Z[-2:] = 0.0
    return torch.allclose(suspect(Z, V, A, 0.7), layer(Z, V, A, 0.7))


def passes_by_the_first_column(suspect):
    rng = np.random.default_rng(0)
    Z, V, A = (torch.tensor(rng.standard_normal(shape)) for shape in ((6, 5), (6, 6), (6, 6)))
    return torch.allclose(suspect(Z, V, A, 0.7)[:, 0], layer(Z, V, A, 0.7)[:, 0])


def backwards_value(states, rewards, gamma):
    n, S = len(rewards), states.max() + 1
    came, paid, visits = np.zeros((S, S)), np.zeros(S), np.bincount(states[:-1], minlength=S)
    for j in range(n):
        paid[states[j]] += rewards[j]
        if j:
            came[states[j], states[j - 1]] += 1
    return np.linalg.solve(np.eye(S) - gamma * came / visits[:, None], paid / visits)


def backwards_value_by_positions(states, rewards, gamma):
    same = states[:-1, None] == states[None, :-1]
    mean = same / same.sum(axis=1, keepdims=True)
    back = np.linalg.solve(np.eye(len(rewards)) - gamma * mean @ np.eye(len(rewards), k=-1), mean @ rewards)
    return np.array([back[np.flatnonzero(states[:-1] == s)[0]] for s in range(states.max() + 1)])


def next_column(n, kappa):
    theta = torch.tensor(2 * np.pi / (n + 1), **double)
    c, s = torch.cos(theta), torch.sin(theta)
    return kappa * torch.stack([torch.stack([c, -s]), torch.stack([s, c])])


def next_column_by_a_power(n, kappa):
    turn = torch.matrix_exp(torch.tensor([[0.0, -1.0], [1.0, 0.0]], **double) * 2 * torch.pi / (n + 1))
    return kappa * turn


CASES = [
    Case(
        check_layer,
        right=[layer, layer_of_the_library],
        wrong=[
            (layer_in_place, "changed an array it was given"),
            (layer_masked_with_zero, "the last row -inf"),
            (lambda Z, V, A, gamma: layer(Z, V, A, gamma)[:-2], "expected shape"),
            (lambda Z, V, A, gamma: layer(layer(Z, V, A, gamma), V, A, gamma), "then row -2 anew"),
            (lambda Z, V, A, gamma: layer(Z, V, A, gamma).float(), "returned torch.float32"),
        ],
    ),
    Case(
        check_where_it_ends,
        right=[where_it_ends, where_it_ends_as_another_task],
        wrong=[
            (lambda a, b, c, P, r, g: np.linalg.solve(c * np.eye(len(r)) + b * g * P, a * r), "nothing moves"),
            (lambda a, b, c, P, r, g: a * r, "nothing moves"),
        ],
    ),
    Case(
        check_read_row,
        right=[read_row, read_row_by_least_squares_in_numpy],
        wrong=[
            (lambda trace, A: read_row(trace[:2], A), "the first layer shows too little"),
            (lambda trace, A: read_row(trace, 0 * A), "Put all layers side by side"),
        ],
    ),
    Case(
        check_passes,
        right=[passes, passes_over_three_layers],
        wrong=[
            (passes_to_the_last_digit, "may differ in the last digit"),
            (passes_from_empty_memories, "empty memories hide what is not cleared away"),
            (passes_by_the_first_column, "a layer whose shift wraps around"),
            (lambda suspect: None, "returned None"),
        ],
    ),
    Case(
        check_backwards_value,
        right=[backwards_value, backwards_value_by_positions],
        wrong=[
            (lambda s, r, gamma: backwards_value(s[::-1], r[::-1], gamma), "share of the visits"),
            (lambda s, r, gamma: backwards_value(s, r, gamma)[:-1], "expected shape"),
        ],
    ),
    Case(
        check_next_column,
        right=[next_column, next_column_by_a_power],
        wrong=[
            (lambda n, kappa: next_column(n, kappa).T.contiguous(), "turns the wrong way"),
            (lambda n, kappa: next_column(n, kappa).numpy(), "NumPy array where a tensor is needed"),
            (lambda n, kappa: next_column(n, kappa) + 1, "p_{j+1} = R p_j"),
        ],
    ),
]
