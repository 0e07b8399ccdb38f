"""Right and wrong answers for the checks of sheet 02 that were not derived from the checks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from check_cases import Case
from icrl_teach.checks.sheet_02 import (
    check_batch_td_step,
    check_monte_carlo,
    check_online_td,
    check_td_and_mc_errors,
    check_td_error,
)


def td_error(v, s, reward, s_next, gamma):
    return reward + gamma * v[s_next] - v[s]


def td_error_as_product(v, s, reward, s_next, gamma):
    return float(np.dot([1.0, gamma, -1.0], [reward, v[s_next], v[s]]))


def online(states, rewards, gamma, alpha, n_states):
    v, history = np.zeros(n_states), [np.zeros(n_states)]
    for k in range(len(rewards)):
        v[states[k]] += alpha * td_error(v, states[k], rewards[k], states[k + 1], gamma)
        history.append(v.copy())
    return np.stack(history)


def online_in_one_array(states, rewards, gamma, alpha, n_states):
    table = np.zeros((len(rewards) + 1, n_states))
    for k, ((s, s_next), reward) in enumerate(zip(pairwise(states), rewards, strict=True)):
        table[k + 1] = table[k]
        table[k + 1, s] = (1 - alpha) * table[k, s] + alpha * (reward + gamma * table[k, s_next])
    return table


def online_stored_early(states, rewards, gamma, alpha, n_states):
    v, history = np.zeros(n_states), []
    for k in range(len(rewards)):
        history.append(v.copy())
        v[states[k]] += alpha * td_error(v, states[k], rewards[k], states[k + 1], gamma)
    return np.stack(history)


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


def monte_carlo(states, rewards, gamma, n_states):
    G, total, visits = 0.0, np.zeros(n_states), np.zeros(n_states)
    for k in reversed(range(len(rewards))):
        G = rewards[k] + gamma * G
        total[states[k]] = total[states[k]] + G
        visits[states[k]] = visits[states[k]] + 1
    return total / np.maximum(visits, 1)


def monte_carlo_by_matrix(states, rewards, gamma, n_states):
    n = len(rewards)
    powers = np.triu(float(gamma) ** np.abs(np.arange(n)[None, :] - np.arange(n)[:, None]))
    here = np.eye(n_states)[states[:-1]]
    return here.T @ (powers @ rewards) / np.maximum(here.sum(axis=0), 1)


def monte_carlo_one_off(states, rewards, gamma, n_states):
    G, total, visits = 0.0, np.zeros(n_states), np.zeros(n_states)
    for k in reversed(range(len(rewards))):
        G = rewards[k] + gamma * G
        total[states[k + 1]] += G
        visits[states[k + 1]] += 1
    return total / np.maximum(visits, 1)


def errors(walks, gamma, exact, n_iterations=200):
    rows = []
    for states, rewards in walks:
        v = np.zeros(len(exact))
        for _ in range(n_iterations):
            v = batch(v, states, rewards, gamma, 1.0)
        mc = monte_carlo(states, rewards, gamma, len(exact))
        rows.append([np.sqrt(np.mean((v - exact) ** 2)), np.sqrt(np.mean((mc - exact) ** 2))])
    return np.array(rows)


def errors_by_norm(walks, gamma, exact):
    table = np.zeros((len(walks), 2))
    for row, (states, rewards) in zip(table, walks, strict=True):
        v = np.zeros(len(exact))
        for _ in range(400):
            v = batch_by_state(v, states, rewards, gamma, 0.5)
        for column, value in enumerate([v, monte_carlo_by_matrix(states, rewards, gamma, len(exact))]):
            row[column] = np.linalg.norm(value - exact) / len(exact) ** 0.5
    return table


CASES = [
    Case(
        check_td_error,
        right=[td_error, td_error_as_product],
        wrong=[
            (lambda v, s, r, t, g: [td_error(v, s, r, t, g)], "returned a list"),
            (lambda v, s, r, t, g: r - g * v[t] - v[s], "write R + gamma"),
        ],
    ),
    Case(
        check_online_td,
        right=[online, online_in_one_array],
        wrong=[
            (online_stored_early, "after the last step is missing"),
            (lambda s, r, g, a, m: online(s, r, g, a, m).T, "expected shape"),
            (lambda s, r, g, a, m: online(s, r, g, a / 2, m), "by hand"),
        ],
    ),
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
        check_monte_carlo,
        right=[monte_carlo, monte_carlo_by_matrix],
        wrong=[
            (monte_carlo_one_off, "one position off"),
            (lambda s, r, g, m: (1 - g) * monte_carlo(s, r, g, m), "go backwards"),
        ],
    ),
    Case(
        check_td_and_mc_errors,
        right=[errors, errors_by_norm],
        wrong=[
            (lambda w, g, v: errors(w, g, v, n_iterations=5), "200 times"),
            (lambda w, g, v: errors(w[:1], g, v), "expected shape"),
        ],
    ),
]
