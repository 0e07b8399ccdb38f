"""Right and wrong answers for sheet 04."""

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


def scores(queries, keys, beta):
    return beta * queries @ keys.T


def scores_by_loops(queries, keys, beta):
    return [[beta * float(np.dot(q, k)) for k in keys] for q in queries]


def squared_distances(queries, keys, beta):
    return -beta * ((queries[:, None, :] - keys[None, :, :]) ** 2).sum(axis=2)


def weights(queries, keys, beta):
    exp = np.exp(scores(queries, keys, beta) - scores(queries, keys, beta).max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def weights_by_log_sum(queries, keys, beta):
    rows = []
    for q in queries:
        g = beta * keys @ q
        rows.append(np.exp(g - np.logaddexp.reduce(g)))
    return np.array(rows)


def weights_over_columns(queries, keys, beta):
    exp = np.exp(scores(queries, keys, beta))
    return exp / exp.sum(axis=0)


def weights_over_everything(queries, keys, beta):
    exp = np.exp(scores(queries, keys, beta))
    return exp / exp.sum()


def weights_that_overflow(queries, keys, beta):
    exp = np.exp(scores(queries, keys, beta))
    return exp / exp.sum(axis=1, keepdims=True)


def weights_from_one_top(queries, keys, beta):
    g = scores(queries, keys, beta)
    exp = np.exp(g - g.max())
    return exp / exp.sum(axis=1, keepdims=True)


def weights_without_exp(queries, keys, beta):
    g = scores(queries, keys, beta)
    return g / g.sum(axis=1, keepdims=True)


def iteration(v, x, r, gamma, alpha, beta):
    delta = r + gamma * v[1:] - v[:-1]
    return v + alpha * weights(x, x[:-1], beta) @ delta


def iteration_by_loops(v, x, r, gamma, alpha, beta):
    new = v.copy()
    for j in range(len(v)):
        K = weights(x[j : j + 1], x[:-1], beta)[0]
        new[j] += alpha * sum(K[k] * (r[k] + gamma * v[k + 1] - v[k]) for k in range(len(r)))
    return new


def iteration_asynchronous(v, x, r, gamma, alpha, beta):
    v, K = v.copy(), weights(x, x[:-1], beta)
    for j in range(len(v)):
        v[j] += alpha * K[j] @ (r + gamma * v[1:] - v[:-1])
    return v


def iteration_in_place(v, x, r, gamma, alpha, beta):
    v += alpha * weights(x, x[:-1], beta) @ (r + gamma * v[1:] - v[:-1])
    return v


def iteration_swapped(v, x, r, gamma, alpha, beta):
    return v + alpha * weights(x, x[:-1], beta) @ (r + gamma * v[:-1] - v[1:])


def iteration_with_the_query(v, x, r, gamma, alpha, beta):
    return v + alpha * weights(x, x, beta)[:, :-1] @ (r + gamma * v[1:] - v[:-1])


def iteration_from_successors(v, x, r, gamma, alpha, beta):
    return v + alpha * weights(x, x[1:], beta) @ (r + gamma * v[1:] - v[:-1])


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


def operators_counting_once(states, rewards, x, beta):
    K = weights(x, x[states[:-1]], beta)
    M = np.zeros((len(x), len(x)))
    M[:, states[:-1]] = K
    return M, *operators(states, rewards, x, beta)[1:]


def operators_of_seen_states(states, rewards, x, beta):
    K, eye = weights(x, x[states[:-1]], beta), np.eye(states.max() + 1)
    return K @ eye[states[:-1]], K @ eye[states[1:]], K @ rewards


def operators_with_the_query(states, rewards, x, beta):
    K, eye = weights(x, x[states], beta)[:, :-1], np.eye(len(x))
    return K @ eye[states[:-1]], K @ eye[states[1:]], K @ rewards


def changed(position, change):
    """The right operators with one of the three changed."""

    def wrong(states, rewards, x, beta):
        results = list(operators(states, rewards, x, beta))
        results[position] = change(results, states, rewards, x, beta)
        return tuple(results)

    return wrong


def late_rewards(results, states, rewards, x, beta):
    return weights(x, x[states[:-1]], beta) @ np.append(rewards[1:], 0.0)


def make_ratios(kernel, up=2.0, iterations=None, positions=None, finish=lambda gaps, halves: gaps / halves):
    """halving_ratios with the given linear kernel."""

    def gap(x, r, gamma, count, beta):
        soft, line = np.zeros(len(x)), np.zeros(len(x))
        for _ in range(count):
            soft = iteration(soft, x, r, gamma, 1.0, beta)
            line = line + kernel(x, len(r), beta) @ (r + gamma * line[1:] - line[:-1])
        return np.abs(soft - line)[:positions].max()

    def halving_ratios(features, rewards, gamma, n_iterations, betas):
        count = iterations or n_iterations
        gaps = np.array([gap(features, rewards, gamma, count, beta) for beta in betas])
        halves = np.array([gap(features, rewards, gamma, count, beta / up) for beta in betas])
        return finish(gaps, halves)

    return halving_ratios


def centred(x, n, beta):
    return (1 + beta * x @ (x[:-1] - x[:-1].mean(axis=0)).T) / n


def ratios_with_weight_vector(features, rewards, gamma, n_iterations, betas):
    def gap(beta):
        n, keys = len(rewards), np.sqrt(beta) * (features[:-1] - features[:-1].mean(axis=0))
        b, w, soft = 0.0, np.zeros(features.shape[1]), np.zeros(len(features))
        for _ in range(n_iterations):
            v = b + np.sqrt(beta) * features @ w
            delta = rewards + gamma * v[1:] - v[:-1]
            b, w = b + delta.mean(), w + delta @ keys / n
            soft = iteration(soft, features, rewards, gamma, 1.0, beta)
        return np.abs(soft - b - np.sqrt(beta) * features @ w).max()

    return [gap(beta) / gap(beta / 2) for beta in betas]


CASES = [
    Case(
        check_scores,
        right=[scores, as_arrays(scores_by_loops)],
        wrong=[
            (lambda q, k, beta: beta * k @ q.T, "rows and columns are exchanged"),
            (lambda q, k, beta: q @ k.T, "beta is missing"),
            (lambda q, k, beta: q @ k.T / beta, "you divide by beta"),
            (lambda q, k, beta: beta * q @ k.T / np.sqrt(q.shape[1]), "1/sqrt(d)"),
            (squared_distances, "negative squared distances"),
        ],
    ),
    Case(
        check_softmax_weights,
        right=[weights, weights_by_log_sum],
        wrong=[
            (weights_over_columns, "your columns sum to 1"),
            (lambda q, k, beta: np.exp(scores(q, k, beta)), "not yet divided"),
            (weights_over_everything, "sum of the whole table"),
            (weights_without_exp, "the exponential is missing"),
            (lambda q, k, beta: weights(q, k, 1.0), "beta has no effect"),
            (weights_that_overflow, "exp overflowed"),
            (weights_from_one_top, "largest score of the whole table"),
        ],
    ),
    Case(
        check_td_iteration,
        right=[iteration, iteration_by_loops],
        wrong=[
            (iteration_asynchronous, "later positions saw new values"),
            (iteration_in_place, "changed an array it was given"),
            (lambda v, x, r, gamma, alpha, beta: iteration(v, x, r, 1.0, alpha, beta), "gamma is missing"),
            (iteration_swapped, "the two values are exchanged"),
            (lambda v, x, r, gamma, alpha, beta: iteration(v, x, r, gamma, -alpha, beta), "the sign is turned"),
            (lambda v, *rest: iteration(v, *rest) - v, "this is the change alone"),
            (lambda v, x, r, gamma, alpha, beta: iteration(v, x, r, gamma, alpha / len(r), beta), "once too often"),
            (lambda v, x, r, gamma, alpha, beta: iteration(v, x, r, gamma, 1.0, beta), "alpha has no effect"),
            (lambda v, x, r, gamma, alpha, beta: iteration(v, x, r, gamma, alpha, 1.0), "beta has no effect"),
            (iteration_from_successors, "off by one"),
            (iteration_with_the_query, "the query shares in the attention"),
            (lambda v, x, *rest: iteration(v, x, *rest)[:-1], "the query's value is missing"),
        ],
    ),
    Case(
        check_operators,
        right=[operators, as_arrays(operators_by_loop)],
        wrong=[
            (changed(0, lambda results, *_: results[0].T), "M is transposed"),
            (operators_of_seen_states, "not states.max() + 1"),
            (operators_with_the_query, "takes a share in the softmax"),
            (operators_counting_once, "counts once"),
            (changed(0, lambda results, states, rewards, x, beta: weights(x, x, beta)), "softmax over states"),
            (changed(0, lambda results, *_: results[1]), "grouped M by the state landed in"),
            (changed(1, lambda results, *_: results[1].T), "Q is transposed"),
            (changed(1, lambda results, *_: results[0]), "Q equals M here"),
            (changed(1, lambda results, *_: 0.9 * results[1]), "Q holds no gamma"),
            (changed(2, lambda results, states, rewards, *_: results[2] / len(rewards)), "rho is divided by n"),
            (changed(2, late_rewards), "with the next reward"),
            (
                changed(2, lambda results, states, rewards, x, beta: np.bincount(states[:-1], rewards, len(x))),
                "without the weights",
            ),
            (lambda *inputs: operators(*inputs)[0], "expected three results"),
        ],
    ),
    Case(
        check_halving_ratios,
        right=[make_ratios(centred), as_arrays(ratios_with_weight_vector)],
        wrong=[
            (make_ratios(centred, finish=lambda gaps, halves: halves / gaps), "upside down"),
            (make_ratios(centred, finish=lambda gaps, halves: np.log2(gaps / halves)), "this is the order"),
            (make_ratios(centred, finish=lambda gaps, halves: gaps), "these are the gaps"),
            (make_ratios(lambda x, n, beta: (1 + beta * x @ x[:-1].T) / n), "keys are not centred"),
            (make_ratios(lambda x, n, beta: (1 + beta * x @ (x[:-1] - x.mean(axis=0)).T) / n), "counted the query's"),
            (make_ratios(lambda x, n, beta: centred(x, n, 1.0)), "linear TD stands still"),
            (make_ratios(lambda x, n, beta: centred(x, n, beta) - 1 / n), "lacks its constant feature"),
            (make_ratios(centred, positions=-1), "the query was left out"),
            (make_ratios(centred, iterations=1), "only one iteration"),
            (make_ratios(centred, up=4.0), "beta was divided by 4"),
        ],
    ),
]
