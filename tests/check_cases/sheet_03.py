"""Right and wrong answers for sheet 03."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_03 as sheet


def step_loop(w, features, rewards, gamma, alpha):
    change = np.zeros(len(w))
    for k, reward in enumerate(rewards):
        delta = reward + gamma * features[k + 1] @ w - features[k] @ w
        change += delta * features[k]
    return w + alpha * change / len(rewards)


def step_variant(target=lambda r, nxt, gamma: r + gamma * nxt, direction=None, divide=len, sign=1.0):
    def step(w, features, rewards, gamma, alpha):
        delta = target(rewards, features[1:] @ w, gamma) - features[:-1] @ w
        x = features[:-1] if direction is None else direction(features, gamma)
        return w + sign * alpha / divide(rewards) * x.T @ delta

    return step


def step_online(w, features, rewards, gamma, alpha):
    for k, reward in enumerate(rewards):
        w = w + alpha * (reward + gamma * features[k + 1] @ w - features[k] @ w) * features[k]
    return w


def step_online_mean(w, features, rewards, gamma, alpha):
    for k, reward in enumerate(rewards):
        delta = reward + gamma * features[k + 1] @ w - features[k] @ w
        w = w + alpha / len(rewards) * delta * features[k]
    return w


def step_without_alpha(w, features, rewards, gamma, alpha):
    return step_variant()(w, features, rewards, gamma, 1.0)


def step_change_only(w, features, rewards, gamma, alpha):
    return step_variant()(w, features, rewards, gamma, alpha) - w


def step_in_place(w, features, rewards, gamma, alpha):
    w += alpha / len(rewards) * features[:-1].T @ (rewards + gamma * features[1:] @ w - features[:-1] @ w)
    return w


def lstd_loop(features, rewards, gamma):
    d = features.shape[1]
    A, b = np.zeros((d, d)), np.zeros(d)
    for k, reward in enumerate(rewards):
        A += np.outer(features[k], features[k] - gamma * features[k + 1])
        b += reward * features[k]
    return np.linalg.inv(A) @ b


def lstd_variant(matrix=lambda x, y, g: x.T @ (x - g * y), right=lambda x, y, r: x.T @ r):
    def solve(features, rewards, gamma):
        x, y = features[:-1], features[1:]
        return np.linalg.solve(matrix(x, y, gamma), right(x, y, rewards))

    return solve


def lstd_least_squares(features, rewards, gamma):
    return np.linalg.lstsq(features[:-1] - gamma * features[1:], rewards)[0]


def lstd_last_outer(features, rewards, gamma):
    x, y = features[:-1], features[1:]
    for k in range(len(rewards)):
        A = np.outer(x[k], x[k] - gamma * y[k])
    return np.linalg.solve(A, x.T @ rewards)


def lstd_unsummed(features, rewards, gamma):
    return np.linalg.solve(features[:-1] - gamma * features[1:], rewards)


def mean_matrix(features, gamma):
    return features[:-1].T @ (features[:-1] - gamma * features[1:]) / (len(features) - 1)


def threshold(rule, matrix=mean_matrix):
    return lambda features, gamma: rule(np.linalg.eigvals(matrix(features, gamma)))


def threshold_by_search(features, gamma, high=1e3):
    z, low = np.linalg.eigvals(mean_matrix(features, gamma)), 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.abs(1 - middle * z).max() < 1 else (low, middle)
    return low


def exact_limit(z):
    return np.min(2 * z.real / np.abs(z) ** 2)


CASES = [
    Case(
        sheet.check_values,
        right=[lambda x, w: x @ w, lambda x, w: np.array([np.dot(row, w) for row in x])],
        wrong=[
            (lambda x, w: x[:-1] @ w, "one value is missing"),
            (lambda x, w: x * w, "still need adding up"),
            (lambda x, w: (x * w).mean(axis=1), "mean of the products"),
            (lambda x, w: (x * w).sum(axis=0), "summed over the positions"),
            (lambda x, w: x.sum(axis=1), "inner product of row j"),
        ],
    ),
    Case(
        sheet.check_linear_td_step,
        right=[step_loop, step_variant()],
        wrong=[
            (step_variant(divide=lambda r: 1), "without dividing by n"),
            (step_variant(target=lambda r, nxt, gamma: r + nxt), "gamma is missing"),
            (step_variant(target=lambda r, nxt, gamma: r), "next value is missing"),
            (step_variant(sign=-1.0), "wrong way"),
            (step_variant(direction=lambda x, g: x[1:]), "features of the state reached"),
            (step_variant(direction=lambda x, g: x[:-1] - g * x[1:]), "a target, held fixed"),
            (step_online, "new and old weights are mixed"),
            (step_variant(divide=lambda r: len(r) + 1), "number of positions"),
            (step_change_only, "the change of w"),
            (step_online_mean, "inside the loop"),
            (step_without_alpha, "alpha is missing"),
            (step_in_place, "changed an array it was given"),
        ],
    ),
    Case(
        sheet.check_lstd_weights,
        right=[lstd_loop, lstd_variant(), lambda x, r, g: np.linalg.lstsq(mean_matrix(x, g), x[:-1].T @ r / len(r))[0]],
        wrong=[
            (lstd_variant(matrix=lambda x, y, g: (x - g * y).T @ x), "A is transposed"),
            (lstd_variant(matrix=lambda x, y, g: x.T @ (x - y)), "gamma is missing from A"),
            (lstd_variant(matrix=lambda x, y, g: x.T @ x), "fits the rewards alone"),
            (lstd_variant(matrix=lambda x, y, g: x.T @ (x + g * y)), "sign inside A"),
            (lstd_variant(right=lambda x, y, r: y.T @ r), "b uses the features of the state reached"),
            (lstd_variant(lambda x, y, g: y.T @ (x - g * y), lambda x, y, r: y.T @ r), "A and b both multiply"),
            (lstd_variant(right=lambda x, y, r: x.T @ r / len(r)), "divide both or neither"),
            (lstd_variant(matrix=lambda x, y, g: x.T @ (x - g * y) / len(x)), "leave both as sums"),
            (lstd_least_squares, "minimises the squared TD errors"),
            (lstd_last_outer, "depend on one another"),
            (lstd_unsummed, "print the shape of the matrix"),
        ],
    ),
    Case(
        sheet.check_weighted_error,
        right=[
            lambda u, v, mu: mu @ (u - v) ** 2,
            lambda u, v, mu: sum(m * (a - b) ** 2 for a, b, m in zip(u, v, mu, strict=True)),
        ],
        wrong=[
            (lambda u, v, mu: np.mean((u - v) ** 2), "counts the same"),
            (lambda u, v, mu: np.sqrt(mu @ (u - v) ** 2), "that is the root"),
            (lambda u, v, mu: np.mean(mu * (u - v) ** 2), "already sums to 1"),
            (lambda u, v, mu: np.sum((mu * (u - v)) ** 2), "mu was squared as well"),
            (lambda u, v, mu: (mu @ (u - v)) ** 2, "opposite sign cancel"),
            (lambda u, v, mu: mu @ np.abs(u - v), "absolute errors"),
            (lambda u, v, mu: mu @ (u - v), "no difference was squared"),
            (lambda u, v, mu: mu * (u - v) ** 2, "weighted squares of the single states"),
            (lambda u, v, mu: sum((u - v) ** 2), "mu is missing"),
            (lambda u, v, mu: np.abs(u - v).max(), "three steps"),
        ],
    ),
    Case(
        sheet.check_largest_stable_step,
        right=[threshold(exact_limit), threshold_by_search],
        wrong=[
            (threshold(exact_limit, lambda x, g: mean_matrix(x, g) * (len(x) - 1)), "not divided by n"),
            (threshold(lambda z: exact_limit(z) / 2), "half too small"),
            (threshold(lambda z: np.max(2 * z.real / np.abs(z) ** 2)), "most patient eigenvalue"),
            (threshold(lambda z: np.min(2 / np.abs(z))), "holds for real eigenvalues only"),
            (threshold(lambda z: np.min(2 / z.real)), "imaginary part is ignored"),
            (threshold(exact_limit, lambda x, g: mean_matrix(x, 0.0)), "next state is missing from A"),
            (lambda x, g: threshold_by_search(x, g, high=8.0), "ended at its upper end"),
            (threshold(lambda z: 2 / z[np.argmax(np.abs(z))] + 0.01j), "got a complex number"),
        ],
    ),
]
