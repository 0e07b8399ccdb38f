"""The algorithms as they stood before walks could end: without flags the library must give the same bits.

A copy of the code of that time, checks left out. Nothing here imports icrl_teach.
"""

from __future__ import annotations

import numpy as np


def td_errors(values, rewards, gamma):
    return rewards + gamma * values[1:] - values[:-1]


def tabular_td(states, rewards, gamma, alpha, n_states):
    v = np.zeros(n_states)
    history = [v.copy()]
    for s, reward, s_next in zip(states[:-1], rewards, states[1:], strict=True):
        v[s] += alpha * (reward + gamma * v[s_next] - v[s])
        history.append(v.copy())
    return np.stack(history)


def batch_tabular_td(states, rewards, gamma, n_iterations, alpha, n_states):
    v = np.zeros(n_states)
    visits = np.maximum(np.bincount(states[:-1], minlength=n_states), 1)
    history = [v]
    for _ in range(n_iterations):
        delta = td_errors(v[states], rewards, gamma)
        v = v + alpha * np.bincount(states[:-1], weights=delta, minlength=len(v)) / visits
        history.append(v)
    return np.stack(history)


def linear_td(x, r, gamma, alpha):
    w = np.zeros(x.shape[1])
    history = [w]
    for k in range(len(r)):
        delta = r[k] + gamma * x[k + 1] @ w - x[k] @ w
        w = w + alpha * delta * x[k]
        history.append(w)
    return np.stack(history)


def batch_linear_td(x, r, gamma, n_iterations, alpha):
    w = np.zeros(x.shape[1])
    history = [w]
    for _ in range(n_iterations):
        w = w + alpha / len(r) * td_errors(x @ w, r, gamma) @ x[:-1]
        history.append(w)
    return np.stack(history)


def lstd(x, r, gamma, ridge):
    A = x[:-1].T @ (x[:-1] - gamma * x[1:]) + ridge * np.eye(x.shape[1])
    return np.linalg.solve(A, r @ x[:-1])


def certainty_equivalence_value(states, rewards, gamma, n_states):
    counts = np.zeros((n_states, n_states))
    np.add.at(counts, (states[:-1], states[1:]), 1.0)
    visits = np.maximum(np.bincount(states[:-1], minlength=n_states), 1)
    reward = np.bincount(states[:-1], weights=rewards, minlength=n_states) / visits
    return np.linalg.solve(np.eye(n_states) - gamma * counts / visits[:, None], reward)


def softmax_weights(queries, sources, beta):
    scores = beta * (queries @ sources.T)
    exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def weighted_softmax_td(x, r, gamma, n_iterations, alpha, beta, v0):
    K = softmax_weights(x, x[:-1], beta)
    values = [v0]
    for _ in range(n_iterations):
        values.append(values[-1] + alpha * (K @ td_errors(values[-1], r, gamma)))
    return np.stack(values)


def empirical_operators(states, r, table, beta):
    n_states, source = len(table), states[:-1]
    visits = np.bincount(source, minlength=n_states)
    rewards = np.bincount(source, weights=r, minlength=n_states)
    pairs = np.bincount(source * n_states + states[1:], minlength=n_states**2)
    seen = visits > 0
    scores = beta * (table @ table[seen].T)
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    per_visit = np.zeros((n_states, n_states))
    per_visit[:, seen] = exp / (exp @ visits[seen])[:, None]
    return per_visit * visits, per_visit @ pairs.reshape(n_states, n_states), per_visit @ rewards
