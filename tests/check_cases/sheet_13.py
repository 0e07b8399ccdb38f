"""Right and wrong answers for the checks of sheet 13 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_13 as checks


def epsilon_greedy(q, epsilon):
    best = q == q.max(axis=1, keepdims=True)
    return (1 - epsilon) * best / best.sum(axis=1, keepdims=True) + epsilon / q.shape[1]


def epsilon_greedy_by_rows(q, epsilon):
    out = np.full(q.shape, epsilon / q.shape[1])
    for row, values in zip(out, q, strict=True):
        winners = np.flatnonzero(values == values.max())
        row[winners] += (1 - epsilon) / len(winners)
    return out


def tempting(q, visits):
    known = np.where(visits > 0, q, -np.inf)
    heard = (np.where(visits > 0, q, 0) * visits).sum() / visits.sum()
    best = known.max(axis=1, keepdims=True)
    return (visits == 0) & np.isfinite(best) & (heard > best)


def tempting_by_loop(q, visits):
    steps = [q[s, a] for s in range(len(q)) for a in range(q.shape[1]) for _ in range(visits[s, a])]
    heard, out = sum(steps) / len(steps), np.zeros(q.shape, dtype=bool)
    for s in range(len(q)):
        tried = [q[s, a] for a in range(q.shape[1]) if visits[s, a]]
        for a in range(q.shape[1]):
            out[s, a] = bool(tried) and not visits[s, a] and heard > max(tried)
    return out


def whose(q, steps, candidates, gamma):
    s, a, r, following, ended = steps
    pair = s * q.shape[1] + a
    gaps = []
    for choice in candidates:
        delta = r + gamma * ~ended * q[following, choice[following]] - q[s, a]
        gaps.append(np.abs(np.bincount(pair, delta) / np.maximum(np.bincount(pair), 1)).max())
    return int(np.argmin(gaps))


def whose_by_solving(q, steps, candidates, gamma):
    return int(np.argmin([np.abs(seen_values(steps, c, q.shape[1], gamma) - q).max() for c in candidates]))


def seen_values(steps, choice, n_actions, gamma):
    s, a, r, following, ended = steps
    size = len(choice) * n_actions
    pair, onward = s * n_actions + a, following * n_actions + choice[following]
    visits = np.maximum(np.bincount(pair, minlength=size), 1)
    P = np.zeros((size, size))
    for p, q, over in zip(pair, onward, ended, strict=True):
        P[p, q] += (not over) / visits[p]
    return np.linalg.solve(np.eye(size) - gamma * P, np.bincount(pair, r, size) / visits).reshape(-1, n_actions)


def seen_values_by_sweeps(steps, choice, n_actions, gamma):
    s, a, r, following, ended = steps
    q, visits = np.zeros((len(choice), n_actions)), np.zeros((len(choice), n_actions))
    np.add.at(visits, (s, a), 1)
    for _ in range(3000):
        total = np.zeros_like(q)
        np.add.at(total, (s, a), r + gamma * np.where(ended, 0, q[following, choice[following]]))
        q = total / np.maximum(visits, 1)
    return q


def chosen(steps, n_states, n_actions, gamma):
    choice = np.zeros(n_states, dtype=int)
    for _ in range(50):
        choice = seen_values(steps, choice, n_actions, gamma).argmax(axis=1)
    return choice


def honest_value(first, second, n_states, n_actions, gamma):
    choice = chosen(first, n_states, n_actions, gamma)
    return seen_values(second, choice, n_actions, gamma)[np.arange(n_states), choice]


def honest_value_by_q_iteration(first, second, n_states, n_actions, gamma):
    s, a, r, following, ended = first
    q, visits = np.zeros((n_states, n_actions)), np.zeros((n_states, n_actions))
    np.add.at(visits, (s, a), 1)
    for _ in range(500):
        total = np.zeros_like(q)
        np.add.at(total, (s, a), r + gamma * ~ended * q[following].max(axis=1))
        q = total / visits
    choice = q.argmax(axis=1)
    return np.array([seen_values(second, choice, n_actions, gamma)[s, choice[s]] for s in range(n_states)])


CASES = [
    Case(
        checks.check_epsilon_greedy,
        right=[epsilon_greedy, epsilon_greedy_by_rows],
        wrong=[
            (lambda q, e: epsilon_greedy(q, e) * 2, "with 1 - epsilon one of the best"),
            (lambda q, e: epsilon_greedy(-q, e), "with 1 - epsilon one of the best"),
            (lambda q, e: np.eye(q.shape[1])[q.argmax(axis=1)] * (1 - e) + e / q.shape[1], "only the first"),
        ],
    ),
    Case(
        checks.check_tempting,
        right=[tempting, tempting_by_loop],
        wrong=[
            (lambda q, v: tempting(-q, v), "heard = sum of visits"),
            (lambda q, v: np.zeros(q.shape, dtype=bool), "heard = sum of visits"),
            (lambda q, v: v == 0, "ask whether greedy would take it"),
        ],
    ),
    Case(
        checks.check_whose,
        right=[whose, whose_by_solving],
        wrong=[
            (lambda q, steps, c, g: 0, "test all candidates"),
            (lambda q, steps, c, g: len(c) - 1 - whose(q, steps, c, g), "mean TD error of every pair"),
            (lambda q, steps, c, g: whose(q, steps, c, g) + 1, "numbered from 0"),
        ],
    ),
    Case(
        checks.check_seen_values,
        right=[seen_values, seen_values_by_sweeps],
        wrong=[
            (lambda st, c, A, g: seen_values(st, c, A, g).T.reshape(-1, A), "for each pair"),
            (lambda st, c, A, g: seen_values((*st[:4], st[4] & False), c, A, g), "has no future"),
            (lambda st, c, A, g: seen_values(st, c, A, g) + 1, "for each pair"),
        ],
    ),
    Case(
        checks.check_honest_value,
        right=[honest_value, honest_value_by_q_iteration],
        wrong=[
            (lambda f, s, S, A, g: honest_value(f, f, S, A, g), "its luck counts twice"),
            (lambda f, s, S, A, g: -honest_value(f, s, S, A, g), "choose on the first log"),
            (lambda f, s, S, A, g: honest_value(s, f, S, A, g), "the logs are exchanged"),
        ],
    ),
]
