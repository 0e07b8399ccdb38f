"""Right and wrong answers for the checks of sheet 03 that were not derived from the checks."""

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


def step_vectorised(w, features, rewards, gamma, alpha):
    delta = rewards + gamma * features[1:] @ w - features[:-1] @ w
    return w + alpha / len(rewards) * features[:-1].T @ delta


def step_online(w, features, rewards, gamma, alpha):
    for k, reward in enumerate(rewards):
        w = w + alpha * (reward + gamma * features[k + 1] @ w - features[k] @ w) * features[k]
    return w


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


def lstd_vectorised(features, rewards, gamma):
    x, y = features[:-1], features[1:]
    return np.linalg.solve(x.T @ (x - gamma * y), x.T @ rewards)


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
            (lambda x, w: x.sum(axis=1), "inner product of row j"),
            (lambda x, w: (x @ w)[:, None], "expected shape"),
        ],
    ),
    Case(
        sheet.check_linear_td_step,
        right=[step_loop, step_vectorised],
        wrong=[
            (step_online, "new and old weights are mixed"),
            (step_in_place, "changed an array it was given"),
            (lambda w, x, r, g, a: step_loop(w, x, r, g, a / 2), "first v, then delta"),
        ],
    ),
    Case(
        sheet.check_lstd_weights,
        right=[lstd_loop, lstd_vectorised],
        wrong=[
            (lstd_least_squares, "minimises the squared TD errors"),
            (lstd_last_outer, "depend on one another"),
            (lstd_unsummed, "print the shape of the matrix"),
            (lambda x, r, g: np.zeros(x.shape[1]), "at the answer"),
        ],
    ),
    Case(
        sheet.check_weighted_error,
        right=[
            lambda u, v, mu: mu @ (u - v) ** 2,
            lambda u, v, mu: sum(m * (a - b) ** 2 for a, b, m in zip(u, v, mu, strict=True)),
        ],
        wrong=[
            (lambda u, v, mu: np.abs(u - v).max(), "three steps"),
            (lambda u, v, mu: mu @ u**2 - mu @ v**2, "three steps"),
        ],
    ),
    Case(
        sheet.check_largest_stable_step,
        right=[threshold(exact_limit), threshold_by_search],
        wrong=[
            (lambda x, g: threshold_by_search(x, g, high=8.0), "ended at its upper end"),
            (threshold(lambda z: 2 / z[np.argmax(np.abs(z))] + 0.01j), "got complex"),
            (lambda x, g: 1 / (x**2).sum(axis=1).max(), "find where"),
        ],
    ),
]
