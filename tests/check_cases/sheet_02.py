"""Right and wrong answers for the checks of sheet 02."""

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


def online_next_state(states, rewards, gamma, alpha, n_states):
    v, history = np.zeros(n_states), [np.zeros(n_states)]
    for k in range(len(rewards)):
        v[states[k + 1]] += alpha * td_error(v, states[k], rewards[k], states[k + 1], gamma)
        history.append(v.copy())
    return np.stack(history)


def online_frozen(states, rewards, gamma, alpha, n_states):
    v, zero, history = np.zeros(n_states), np.zeros(n_states), [np.zeros(n_states)]
    for k in range(len(rewards)):
        v[states[k]] += alpha * td_error(zero, states[k], rewards[k], states[k + 1], gamma)
        history.append(v.copy())
    return np.stack(history)


def online_shared(states, rewards, gamma, alpha, n_states):
    v = np.zeros(n_states)
    history = [v]
    for k in range(len(rewards)):
        v[states[k]] += alpha * td_error(v, states[k], rewards[k], states[k + 1], gamma)
        history.append(v)
    return np.stack(history)


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


def batch_last_visit(v, states, rewards, gamma, alpha):
    new, s = v.copy(), states[:-1]
    new[s] += alpha * (rewards + gamma * v[states[1:]] - v[s])
    return new


def batch_by_state(v, states, rewards, gamma, alpha):
    new = v.copy()
    for state in range(len(v)):
        ks = [k for k in range(len(rewards)) if states[k] == state]
        if ks:
            new[state] += alpha * np.mean([td_error(v, state, rewards[k], states[k + 1], gamma) for k in ks])
    return new


def batch_one_after_the_other(v, states, rewards, gamma, alpha):
    new = v.copy()
    for state in range(len(v)):
        new[state] = batch(new, states, rewards, gamma, alpha)[state]
    return new


def batch_from_zeros(v, states, rewards, gamma, alpha):
    new = np.zeros(len(v))
    for state in np.unique(states[:-1]):
        new[state] = batch(v, states, rewards, gamma, alpha)[state]
    return new


def _batch_wrong(learner=0, count="visits", fresh=False, buffered=False):
    def batch_wrong(v, states, rewards, gamma, alpha):
        s, n = states[learner : learner + len(rewards)], len(rewards)
        visits = np.maximum(np.bincount(states if count == "query" else s, minlength=len(v)), 1)
        visits = {"n": np.full(len(v), n), "sum": np.ones(len(v))}.get(count, visits)
        new = v.copy()
        if buffered:
            new[s] += alpha * (rewards + gamma * v[states[1:]] - v[states[:-1]]) / visits[s]
            return new
        for k in range(n):
            look = new if fresh else v
            new[s[k]] += alpha / visits[s[k]] * (rewards[k] + gamma * look[states[k + 1]] - look[states[k]])
        return new

    return batch_wrong


def batch_nan(v, states, rewards, gamma, alpha):
    s = states[:-1]
    delta = rewards + gamma * v[states[1:]] - v[s]
    with np.errstate(invalid="ignore"):
        return v + alpha * np.bincount(s, weights=delta, minlength=len(v)) / np.bincount(s, minlength=len(v))


def batch_on_the_input(v, states, rewards, gamma, alpha):
    v += batch(v, states, rewards, gamma, alpha) - v
    return v


def monte_carlo(states, rewards, gamma, n_states, first=1.0, divide="visits", every=True):
    G, total, visits = 0.0, np.zeros(n_states), np.zeros(n_states)
    for k in reversed(range(len(rewards))):
        G = first * rewards[k] + gamma * G
        total[states[k]] = (total[states[k]] if every else 0.0) + G
        visits[states[k]] = (visits[states[k]] if every else 0.0) + 1
    if divide == "query":
        visits[states[-1]] += 1
    return total if divide == "sum" else total / np.maximum(visits, 1)


def monte_carlo_by_matrix(states, rewards, gamma, n_states):
    n = len(rewards)
    powers = np.triu(float(gamma) ** np.abs(np.arange(n)[None, :] - np.arange(n)[:, None]))
    here = np.eye(n_states)[states[:-1]]
    return here.T @ (powers @ rewards) / np.maximum(here.sum(axis=0), 1)


def monte_carlo_backwards_in_time(states, rewards, gamma, n_states):
    G, total, visits = 0.0, np.zeros(n_states), np.zeros(n_states)
    for k in range(len(rewards)):
        G = rewards[k] + gamma * G
        total[states[k]] += G
        visits[states[k]] += 1
    return total / np.maximum(visits, 1)


def monte_carlo_one_off(states, rewards, gamma, n_states):
    G, total, visits = 0.0, np.zeros(n_states), np.zeros(n_states)
    for k in reversed(range(len(rewards))):
        G = rewards[k] + gamma * G
        total[states[k + 1]] += G
        visits[states[k + 1]] += 1
    return total / np.maximum(visits, 1)


def monte_carlo_last_visit(states, rewards, gamma, n_states):
    values = np.zeros(n_states)
    for k in range(len(rewards)):
        values[states[k]] = rewards[k:] @ gamma ** np.arange(len(rewards) - k)
    return values


def monte_carlo_powers_from_the_start(states, rewards, gamma, n_states):
    total, visits = np.zeros(n_states), np.zeros(n_states)
    for k in range(len(rewards)):
        total[states[k]] += (gamma ** np.arange(len(rewards)) * rewards)[k:].sum()
        visits[states[k]] += 1
    return total / np.maximum(visits, 1)


def monte_carlo_nan(states, rewards, gamma, n_states):
    with np.errstate(invalid="ignore"):
        values = monte_carlo(states, rewards, gamma, n_states)
        return values + 0.0 / np.isin(np.arange(n_states), states[:-1])


def errors(walks, gamma, exact, n_iterations=200, reduce=lambda e: np.sqrt(np.mean(e**2))):
    rows = []
    for states, rewards in walks:
        v = np.zeros(len(exact))
        for _ in range(n_iterations):
            v = batch(v, states, rewards, gamma, 1.0)
        mc = monte_carlo(states, rewards, gamma, len(exact))
        rows.append([reduce(v - exact), reduce(mc - exact)])
    return np.array(rows)


def errors_carried_over(walks, gamma, exact):
    table, v = errors(walks, gamma, exact), np.zeros(len(exact))
    for row, (states, rewards) in zip(table, walks, strict=True):
        for _ in range(200):
            v = batch(v, states, rewards, gamma, 1.0)
        row[0] = np.sqrt(np.mean((v - exact) ** 2))
    return table


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
            (lambda v, s, r, t, g: r + v[t] - v[s], "gamma is missing"),
            (lambda v, s, r, t, g: v[s] - (r + g * v[t]), "sign is turned round"),
            (lambda v, s, r, t, g: g * v[t] - v[s], "the reward is missing"),
            (lambda v, s, r, t, g: r + g * v[s] - v[t], "s and s_next are swapped"),
            (lambda v, s, r, t, g: g * (r + v[t]) - v[s], "multiplies the reward too"),
            (lambda v, s, r, t, g: r + g * (v[t] - v[s]), "multiplies both values"),
            (lambda v, s, r, t, g: r + g * v[t], "the target alone"),
        ],
    ),
    Case(
        check_online_td,
        right=[online, online_in_one_array],
        wrong=[
            (lambda s, r, g, a, m: online(s, r, 1.0, a, m), "gamma is missing"),
            (lambda s, r, g, a, m: online(s, r, g, 1.0, m), "alpha is missing"),
            (lambda s, r, g, a, m: online(s, r, g, -a, m), "moves away"),
            (online_next_state, "wrong state learns"),
            (online_frozen, "starting table"),
            (online_shared, "same array"),
            (lambda s, r, g, a, m: online(s, r, g, a, m)[1:], "row 0 is missing"),
            (online_stored_early, "after the last step is missing"),
            (lambda s, r, g, a, m: online(s, r, g, a, m)[-1], "only the last table"),
        ],
    ),
    Case(
        check_batch_td_step,
        right=[batch, batch_by_state],
        wrong=[
            (lambda v, s, r, g, a: batch(v, s, r, 1.0, a), "gamma is missing"),
            (lambda v, s, r, g, a: batch(v, s, r, g, 1.0), "alpha is missing"),
            (lambda v, s, r, g, a: batch(v, s, r, g, -a), "moves away"),
            (_batch_wrong(learner=1), "wrong states learn"),
            (_batch_wrong(count="n"), "you divide by n"),
            (_batch_wrong(count="sum"), "sum of the errors"),
            (_batch_wrong(count="query"), "counts the query"),
            (_batch_wrong(fresh=True), "old and new values are mixed"),
            (_batch_wrong(buffered=True), "repeated states lost"),
            (batch_last_visit, "only the last visit"),
            (batch_one_after_the_other, "one after the other"),
            (batch_from_zeros, "became 0:"),
            (batch_nan, "became NaN (0/0)"),
            (lambda v, s, r, g, a: batch(v, s, r, g, a) - v, "the change alone"),
            (batch_on_the_input, "Work on a copy"),
        ],
    ),
    Case(
        check_monte_carlo,
        right=[monte_carlo, monte_carlo_by_matrix],
        wrong=[
            (lambda s, r, g, m: monte_carlo(s, r, 1.0, m), "gamma is missing"),
            (lambda s, r, g, m: monte_carlo(s, r, g, m, first=g), "one gamma too many"),
            (monte_carlo_backwards_in_time, "past rewards"),
            (lambda s, r, g, m: monte_carlo(s, r, 0.0, m), "the mean reward"),
            (lambda s, r, g, m: monte_carlo(s, r, g, m, every=False), "only one visit"),
            (monte_carlo_last_visit, "last visit overwrote"),
            (monte_carlo_powers_from_the_start, "counted from the walk's start"),
            (monte_carlo_one_off, "one position off"),
            (lambda s, r, g, m: monte_carlo(s, r, g, m, divide="sum"), "sum of returns"),
            (lambda s, r, g, m: monte_carlo(s, r, g, m, divide="query"), "query at the end was counted"),
            (monte_carlo_nan, "became NaN (0/0)"),
        ],
    ),
    Case(
        check_td_and_mc_errors,
        right=[errors, errors_by_norm],
        wrong=[
            (lambda w, g, v: errors(w, g, v)[:, ::-1], "columns are swapped"),
            (lambda w, g, v: errors(w, g, v).T, "axes are swapped"),
            (lambda w, g, v: errors(w, g, v, reduce=lambda e: np.mean(e**2)), "square root is missing"),
            (lambda w, g, v: errors(w, g, v, reduce=lambda e: np.mean(np.abs(e))), "mean absolute error"),
            (lambda w, g, v: errors(w, g, v, reduce=np.linalg.norm), "root of the sum"),
            (lambda w, g, v: errors(w, g, v, n_iterations=1), "one iteration only"),
            (errors_carried_over, "carried over"),
            (lambda w, g, v: errors(w, g, v).mean(axis=0), "averaged away"),
        ],
    ),
]
