"""Right and wrong answers for the checks of sheet 01 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_01 as checks


def _solve(P, r, gamma):
    return np.linalg.solve(np.eye(len(r)) - gamma * P, r)


def _backups(P, r, gamma, count):
    v = np.zeros(len(r))
    for _ in range(count):
        v = r + gamma * P @ v
    return v


def _patient(P, r, gamma):
    return _backups(P, r, gamma, 40_000)


def _residual(P, r, gamma, v):
    return v - gamma * P @ v - r


def _by_columns(P, r, gamma, v):
    resolvent = np.linalg.inv(np.eye(len(r)) - gamma * P)
    moved = v - resolvent @ r
    s = np.abs(moved).argmax()  # a change in s moves the value of s most: nobody visits s more often than s itself
    return np.eye(len(r))[s] * moved[s] / resolvent[s, s]


def _bisect(P, r, Q, q, state, rounds=50):
    low, high = 0.0, 0.999
    sign = np.sign(_solve(P, r, low)[state] - _solve(Q, q, low)[state])
    for _ in range(rounds):
        middle = (low + high) / 2
        if np.sign(_solve(P, r, middle)[state] - _solve(Q, q, middle)[state]) == sign:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _secant(P, r, Q, q, state):
    """The Illinois form of regula falsi: an end that stays counts half."""
    low, high = 0.0, 0.999
    gaps = [_solve(P, r, g)[state] - _solve(Q, q, g)[state] for g in (low, high)]
    for _ in range(200):
        middle = (low * gaps[1] - high * gaps[0]) / (gaps[1] - gaps[0])
        gap = _solve(P, r, middle)[state] - _solve(Q, q, middle)[state]
        if abs(gap) < 1e-13:
            break
        if gap * gaps[1] < 0:
            low, gaps[0] = high, gaps[1]
        else:
            gaps[0] /= 2
        high, gaps[1] = middle, gap
    return middle


def _std(P, r, gamma):
    v = _solve(P, r, gamma)
    return np.sqrt(_solve(P, gamma**2 * (P @ v**2 - (P @ v) ** 2), gamma**2))


def _std_by_pairs(P, r, gamma):
    """Half the mean square difference of two independent next values, in a loop of backups."""
    v, variance = _solve(P, r, gamma), np.zeros(len(r))
    half = np.array([np.sum(np.outer(row, row) * np.subtract.outer(v, v) ** 2) / 2 for row in P])
    for _ in range(2000):
        variance = gamma**2 * (half + P @ variance)
    return variance**0.5


def _induced(p, rewards, policy):
    return np.einsum("sa,ast->st", policy, p), np.einsum("sa,as->s", policy, rewards)


def _average(p, rewards, policy):
    P, r = _induced(p, rewards, policy)
    values, vectors = np.linalg.eig(P.T)
    mu = vectors[:, np.argmax(values.real)].real
    return mu / mu.sum() @ r


def _average_by_gamma(p, rewards, policy):
    """(1 - gamma) v as gamma goes to 1."""
    return (1e-9 * _solve(*_induced(p, rewards, policy), 1 - 1e-9)).mean()


def _ends(table, policy):
    P, r = np.zeros((len(table), len(table))), np.zeros(len(table))
    for s, actions in table.items():
        for a, outcomes in actions.items():
            for probability, t, reward, terminated in outcomes:
                r[s] += policy[s, a] * probability * reward
                P[s, t] += policy[s, a] * probability * (not terminated)
    return P, r


def _chance(table, policy):
    P, r = _ends(table, policy)
    return np.linalg.solve(np.eye(len(r)) - P, r)


def _chance_by_backups(table, policy, count=5000):
    P, r = _ends(table, policy)
    return _backups(P, r, 1.0, count)


CASES = [
    Case(
        checks.check_exact_value,
        right=[_solve, _patient],
        wrong=[
            (lambda P, r, gamma: np.linalg.inv(np.eye(len(r)) - gamma * P) @ r, "np.linalg.solve(A, b)"),
            (lambda P, r, gamma: _backups(P, r, gamma, 300), "not enough where gamma is near 1"),
            (lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - P, r), "Is gamma in your matrix"),
            (lambda P, r, gamma: P @ r, "solves (I - gamma P) v = r"),
        ],
    ),
    Case(
        checks.check_reward_change,
        right=[_residual, _by_columns],
        wrong=[
            (lambda P, r, gamma, v: _residual(P, r, gamma, v).argmax(), "expected shape"),
            (lambda P, r, gamma, v: v - r, "from right to left"),
            (lambda P, r, gamma, v: v - _solve(P, r, gamma), "how much each *value*"),
        ],
    ),
    Case(
        checks.check_even_discount,
        right=[_bisect, _secant],
        wrong=[
            (lambda *deal: _bisect(*deal, rounds=8), "changes its sign once"),
            (lambda *deal: 1 / (1 - _bisect(*deal)), "Asked is gamma itself"),
            (lambda P, r, Q, q, state: 0.9, "changes its sign once"),
        ],
    ),
    Case(
        checks.check_return_std,
        right=[_std, _std_by_pairs],
        wrong=[
            (lambda P, r, gamma: _std(P, r, gamma) ** 2, "this is the variance"),
            (lambda P, r, gamma: np.sqrt(P @ r**2 - (P @ r) ** 2), "Bellman equation of its own"),
        ],
    ),
    Case(
        checks.check_average_reward,
        right=[_average, _average_by_gamma],
        wrong=[
            (lambda p, rewards, policy: 0.1 * _solve(*_induced(p, rewards, policy), 0.9)[0], "mu sums to 1"),
            (
                lambda p, rewards, policy: _average(p, np.full_like(rewards, 1.0) * rewards.mean(axis=0), policy),
                "not with equal weights",
            ),
        ],
    ),
    Case(
        checks.check_success_chance,
        right=[_chance, _chance_by_backups],
        wrong=[
            (lambda table, policy: _chance(table, np.full_like(policy, 1 / policy.shape[1])), "policy was not used"),
            (lambda table, policy: _chance_by_backups(table, policy, 1), "very next step"),
            (lambda table, policy: _chance_by_backups(table, policy, 3), "hint(1)"),
        ],
    ),
]
