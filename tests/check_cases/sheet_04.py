"""Right and wrong answers for the checks of sheet 04 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case, as_arrays
from icrl_teach.checks.sheet_04 import (
    check_halving_ratios,
    check_operators,
    check_scores,
    check_softmax_weights,
    check_td_iteration,
)


def scores(queries, sources, beta):
    return beta * queries @ sources.T


def scores_by_loops(queries, sources, beta):
    return [[beta * float(np.dot(q, k)) for k in sources] for q in queries]


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


def iteration(v, x, r, gamma, alpha, beta):
    delta = r + gamma * v[1:] - v[:-1]
    return v + alpha * weights(x, x[:-1], beta) @ delta


def iteration_by_loops(v, x, r, gamma, alpha, beta):
    new = v.copy()
    for j in range(len(v)):
        K = weights(x[j : j + 1], x[:-1], beta)[0]
        new[j] += alpha * sum(K[k] * (r[k] + gamma * v[k + 1] - v[k]) for k in range(len(r)))
    return new


def iteration_in_place(v, x, r, gamma, alpha, beta):
    v += alpha * weights(x, x[:-1], beta) @ (r + gamma * v[1:] - v[:-1])
    return v


def operators(states, rewards, x, beta):
    K, eye = weights(x, x[states[:-1]], beta), np.eye(len(x))
    return K @ eye[states[:-1]], K @ eye[states[1:]], K @ rewards


def operators_by_loop(states, rewards, x, beta):
    K = weights(x, x[states[:-1]], beta)
    M, Q, rho = np.zeros((len(x), len(x))), np.zeros((len(x), len(x))), np.zeros(len(x))
    for k in range(len(rewards)):
        M[:, states[k]] += K[:, k]
        Q[:, states[k + 1]] += K[:, k]
        rho += K[:, k] * rewards[k]
    return [M, Q, rho]


def halving_ratios(features, rewards, gamma, n_iterations, betas):
    def gap(beta):
        soft, line = np.zeros(len(features)), np.zeros(len(features))
        K = centred(features, len(rewards), beta)
        for _ in range(n_iterations):
            soft = iteration(soft, features, rewards, gamma, 1.0, beta)
            line = line + K @ (rewards + gamma * line[1:] - line[:-1])
        return np.abs(soft - line).max()

    return np.array([gap(beta) / gap(beta / 2) for beta in betas])


def centred(x, n, beta):
    return (1 + beta * x @ (x[:-1] - x[:-1].mean(axis=0)).T) / n


def ratios_with_weight_vector(features, rewards, gamma, n_iterations, betas):
    def gap(beta):
        n, sources = len(rewards), np.sqrt(beta) * (features[:-1] - features[:-1].mean(axis=0))
        b, w, soft = 0.0, np.zeros(features.shape[1]), np.zeros(len(features))
        for _ in range(n_iterations):
            v = b + np.sqrt(beta) * features @ w
            delta = rewards + gamma * v[1:] - v[:-1]
            b, w = b + delta.mean(), w + delta @ sources / n
            soft = iteration(soft, features, rewards, gamma, 1.0, beta)
        return np.abs(soft - b - np.sqrt(beta) * features @ w).max()

    return [gap(beta) / gap(beta / 2) for beta in betas]


CASES = [
    Case(
        check_scores,
        right=[scores, as_arrays(scores_by_loops)],
        wrong=[
            (lambda q, k, beta: (q @ k.T) ** beta, "NaN"),
            (lambda q, k, beta: beta + q @ k.T, "beta multiplies"),
        ],
    ),
    Case(
        check_softmax_weights,
        right=[weights, weights_by_log_sum],
        wrong=[
            (weights_that_overflow, "exp overflowed"),
            (lambda q, k, beta: weights(q, k, beta) ** 2, "divided by the sum of that row"),
            (lambda q, k, beta: weights(q, k, -beta), "divided by the sum of that row"),
        ],
    ),
    Case(
        check_td_iteration,
        right=[iteration, iteration_by_loops],
        wrong=[
            (iteration_in_place, "changed an array it was given"),
            (lambda v, x, r, g, a, b: iteration(np.zeros_like(v), x, r, g, a, b), "two formulas"),
            (lambda v, x, r, g, a, b: iteration(v, x, r, g, a, b)[None], "expected shape"),
        ],
    ),
    Case(
        check_operators,
        right=[operators, as_arrays(operators_by_loop)],
        wrong=[
            (lambda *inputs: operators(*inputs)[0], "3 results"),
            (lambda *inputs: operators(*inputs)[::-1], "expected shape"),
            (lambda *inputs: (*operators(*inputs)[:2], inputs[1]), "expected shape"),
        ],
    ),
    Case(
        check_halving_ratios,
        right=[halving_ratios, as_arrays(ratios_with_weight_vector)],
        wrong=[
            (lambda *inputs: np.full(2, 4.0), "start both methods at zero"),
            (lambda *inputs: halving_ratios(*inputs)[::-1], "start both methods at zero"),
        ],
    ),
]
