"""Right and wrong answers for the checks of sheet 03 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_03 as sheet


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


def lstd_last_outer(features, rewards, gamma):
    x, y = features[:-1], features[1:]
    for k in range(len(rewards)):
        A = np.outer(x[k], x[k] - gamma * y[k])
    return np.linalg.solve(A, x.T @ rewards)


def lstd_unsummed(features, rewards, gamma):
    return np.linalg.solve(features[:-1] - gamma * features[1:], rewards)


def who_by_products(state_features, before, after, alpha):
    change, K = after - before, state_features @ state_features.T
    errors = (K @ change) / (K**2).sum(axis=1) / alpha
    missed = np.abs(change - alpha * errors[:, None] * K).max(axis=1)
    return missed.argmin(), errors[missed.argmin()]


def who_by_trying(state_features, before, after, alpha):
    best = None
    for s, x in enumerate(state_features):
        direction = state_features @ x
        delta, missed, *_ = np.linalg.lstsq(alpha * direction[:, None], after - before)
        if best is None or missed[0] < best[0]:
            best = (missed[0], s, delta[0])
    return best[1], best[2]


def settles_normal_equations(features, rewards, gamma):
    D = features[:-1] - gamma * features[1:]
    return np.linalg.solve(D.T @ D, D.T @ rewards)


def settles_least_squares(features, rewards, gamma):
    return np.linalg.lstsq(features[:-1] - gamma * features[1:], rewards)[0]


def settles_by_running(features, rewards, gamma):
    """Patient, but not patient enough where one feature is small."""
    D, w = features[:-1] - gamma * features[1:], np.zeros(features.shape[1])
    for _ in range(5000):
        w = w + 0.1 / len(rewards) * D.T @ (rewards - D @ w)
    return w


def mean_matrix(features, gamma):
    return features[:-1].T @ (features[:-1] - gamma * features[1:]) / (len(features) - 1)


def slowest(features, gamma):
    z = np.linalg.eigvals(mean_matrix(features, gamma))
    return lambda alpha: np.abs(1 - alpha * z).max(), 2 / np.abs(z).min()


def fastest_by_thirds(features, gamma):
    pace, high = slowest(features, gamma)
    low = 0.0
    for _ in range(100):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if pace(a) < pace(b) else (a, high)
    return low


def fastest_by_grid(features, gamma):
    pace, high = slowest(features, gamma)
    return min(np.linspace(0, high, 20_000), key=pace)


def reward_powers(P, r, k):
    return np.column_stack([np.linalg.matrix_power(P, t) @ r for t in range(k)])


def reward_sums(P, r, k):
    """Another basis of the same space: what is paid in the first 1, 2, ..., k steps together."""
    return np.cumsum(reward_powers(P, r, k), axis=1)


def value_features(P, r, k):
    """Values at a few discounts: no other discount is served to within gamma^k."""
    return np.column_stack([np.linalg.solve(np.eye(len(r)) - g * P, r) for g in np.linspace(0.8, 0.95, k)])


CASES = [
    Case(
        sheet.check_lstd_weights,
        right=[lstd_loop, lstd_vectorised],
        wrong=[
            (settles_least_squares, "minimises the squared TD errors"),
            (lstd_last_outer, "depend on one another"),
            (lstd_unsummed, "print the shape of the matrix"),
            (lambda x, r, g: np.zeros(x.shape[1]), "at the answer"),
        ],
    ),
    Case(
        sheet.check_who_was_left,
        right=[who_by_products, who_by_trying],
        wrong=[
            (lambda X, before, after, alpha: int(np.abs(after - before).argmax()), "expected 2 results"),
            (lambda X, before, after, alpha: (2, 0.0), "which s fits all changes"),
            (lambda *given: who_by_products(*given)[::-1], "first the state"),
        ],
    ),
    Case(
        sheet.check_where_it_settles,
        right=[settles_normal_equations, settles_least_squares],
        wrong=[
            (lstd_vectorised, "this is LSTD"),
            (lstd_unsummed, "print the shape of the matrix"),
            (lambda x, r, g: settles_normal_equations(x, r, g) / len(r), "update to zero"),
            (settles_by_running, "where a feature is small"),
        ],
    ),
    Case(
        sheet.check_fastest_step,
        right=[fastest_by_thirds, fastest_by_grid],
        wrong=[
            (lambda x, g: 1 / (x**2).sum(axis=1).max(), "slowest part sets the pace"),
            (lambda x, g: 2 / np.linalg.eigvals(mean_matrix(x, g)).max() + 0.01j, "got complex"),
        ],
    ),
    Case(
        sheet.check_reward_features,
        right=[reward_powers, reward_sums],
        wrong=[
            (lambda P, r, k: reward_powers(P, r, k).T, "expected"),
            (lambda P, r, k: reward_powers(P, r, k + 1), "k columns"),
            (lambda P, r, k: np.eye(len(r))[:, :k], "at gamma 0.3, 0.6 and 0.9"),
            (value_features, "at gamma 0.3, 0.6 and 0.9"),
        ],
    ),
]
