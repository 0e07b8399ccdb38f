"""Right and wrong answers for the checks of sheet 02 that were not derived from the checks."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from check_cases import Case
from icrl_teach.checks.sheet_02 import (
    check_batch_td_step,
    check_iterations_needed,
    check_m_step_limit,
    check_m_step_targets,
    check_read_the_log,
)


def td_error(v, s, reward, s_next, gamma):
    return reward + gamma * v[s_next] - v[s]


def batch(v, states, rewards, gamma, alpha):
    s = states[:-1]
    delta = rewards + gamma * v[states[1:]] - v[s]
    visits = np.bincount(s, minlength=len(v))
    return v + alpha * np.bincount(s, weights=delta, minlength=len(v)) / np.maximum(visits, 1)


def batch_by_state(v, states, rewards, gamma, alpha):
    new = v.copy()
    for state in range(len(v)):
        ks = [k for k in range(len(rewards)) if states[k] == state]
        if ks:
            new[state] += alpha * np.mean([td_error(v, state, rewards[k], states[k + 1], gamma) for k in ks])
    return new


def batch_last_visit(v, states, rewards, gamma, alpha):
    new, s = v.copy(), states[:-1]
    new[s] += alpha * (rewards + gamma * v[states[1:]] - v[s])
    return new


def batch_on_the_input(v, states, rewards, gamma, alpha):
    v += batch(v, states, rewards, gamma, alpha) - v
    return v


def read_the_log(history, gamma, alpha):
    change = np.diff(history, axis=0)
    states = np.abs(change).argmax(axis=1)
    k, s, t = np.arange(len(states) - 1), states[:-1], states[1:]
    return states, change[k, s] / alpha - gamma * history[k, t] + history[k, s]


def read_by_replay(history, gamma, alpha):
    """Each reward is what is missing when the step is replayed with reward 0."""
    states = [int(np.flatnonzero(a != b)[0]) for a, b in pairwise(history)]
    rewards = []
    for k in range(len(states) - 1):
        replayed = history[k, states[k]] + alpha * td_error(history[k], states[k], 0.0, states[k + 1], gamma)
        rewards.append((history[k + 1, states[k]] - replayed) / alpha)
    return states, rewards


def needed(gamma, alpha, error, wanted):
    rate = abs(1 - alpha) + alpha * gamma
    if error <= wanted:
        return 0
    return math.ceil(math.log(wanted / error, rate)) if rate < 1 else math.inf


def needed_by_table(gamma, alpha, error, wanted):
    bound = error * (abs(1 - alpha) + alpha * gamma) ** np.arange(2000)
    return np.argmax(bound <= wanted) if (bound <= wanted).any() else np.inf


def targets(v, states, rewards, gamma, m):
    n = len(rewards)
    found = np.zeros(n)
    for k in range(n):
        end = min(k + m, n)
        powers = gamma ** np.arange(end - k + 1)
        found[k] = powers @ [*rewards[k:end], v[states[end]]]
    return found


def as_given_in_the_sheet(v, states, rewards, gamma, m):
    found = np.zeros(len(rewards))
    for k in range(len(rewards)):
        for i in range(m):
            found[k] += gamma ** (i + 1) * rewards[k + i]
        found[k] += v[states[k + m]]
    return found


def targets_by_rounds(v, states, rewards, gamma, m):
    """An m-step target is a reward plus gamma times the next step's target of m - 1 steps."""
    target = v[states]
    for _ in range(m):
        target = np.append(rewards + gamma * target[1:], v[states[-1]])
    return target[:-1]


def limit(states, rewards, gamma, m, n_states):
    s, n = states[:-1], len(rewards)
    ends = np.minimum(np.arange(n) + m, n)
    A, b = np.zeros((n_states, n_states)), np.zeros(n_states)
    np.add.at(A, (s, s), 1.0)
    np.add.at(A, (s, states[ends]), -(gamma ** (ends - np.arange(n))))
    np.add.at(b, s, targets(np.zeros(n_states), states, rewards, gamma, m))
    A[np.diag(A) == 0.0] = np.eye(n_states)[np.diag(A) == 0.0]
    return np.linalg.solve(A, b)


def limit_by_iteration(states, rewards, gamma, m, n_states, rounds=200):
    v, s = np.zeros(n_states), states[:-1]
    for _ in range(rounds):
        error = targets_by_rounds(v, states, rewards, gamma, m) - v[s]
        v = v + 0.9 * np.bincount(s, error, n_states) / np.maximum(np.bincount(s, minlength=n_states), 1)
    return v


def as_pair(function):
    return lambda *args: tuple(np.array(part) for part in function(*args))


CASES = [
    Case(
        check_batch_td_step,
        right=[batch, batch_by_state],
        wrong=[
            (batch_last_visit, "only the last visit"),
            (batch_on_the_input, "Work on a copy"),
            (lambda v, s, r, g, a: batch(batch(v, s, r, g, a), s, r, g, a), "by hand"),
        ],
    ),
    Case(
        check_read_the_log,
        right=[read_the_log, as_pair(read_by_replay)],
        wrong=[
            (read_by_replay, "returned a list"),
            (lambda h, g, a: read_the_log(h, g, a)[0], "2 results"),
            (lambda h, g, a: (read_the_log(h, g, a)[0], read_the_log(h, g, a)[1] + 1), "np.diff"),
            (lambda h, g, a: read_the_log(h[::-1], g, a), "np.diff"),
        ],
    ),
    Case(
        check_iterations_needed,
        right=[needed, needed_by_table],
        wrong=[
            (lambda g, a, error, wanted: needed(g, a, error, wanted) + 1, "How often"),
            (lambda g, a, error, wanted: needed(g, a, error / 2, wanted), "How often"),
            (lambda g, a, error, wanted: needed(g, 1.0, error, wanted), "alpha does not enter"),
        ],
    ),
    Case(
        check_m_step_targets,
        right=[targets, targets_by_rounds],
        wrong=[
            (as_given_in_the_sheet, "runs off the end"),
            (lambda v, s, r, g, m: targets(v, s, r, g, m + 1), "by hand"),
            (lambda v, s, r, g, m: targets(v, s, r, g, m) - v[s[:-1]], "by hand"),
            (
                lambda v, s, r, g, m: targets(0 * v, s, r, g, m) + v[s[np.minimum(np.arange(len(r)) + m, len(r))]],
                "so it counts gamma^m",
            ),
        ],
    ),
    Case(
        check_m_step_limit,
        right=[limit, limit_by_iteration],
        wrong=[
            (lambda s, r, g, m, S: limit_by_iteration(s, r, g, m, S, rounds=3), "hint(1)"),
            (lambda s, r, g, m, S: limit(s, r, g, 1, S), "limit for m = 1"),
            (lambda s, r, g, m, S: np.linalg.solve(np.zeros((S, S)), r[:S]), "put 1 on the diagonal there"),
        ],
    ),
]
