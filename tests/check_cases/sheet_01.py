"""Sheet 01: right answers written differently, and wrong ones with the hint each must get."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_01 as checks


def _return(rewards, gamma):
    total = 0.0
    for reward in reversed(list(rewards)):
        total = reward + gamma * total
    return total


def _backups(P, r, gamma):
    v = np.zeros(len(r))
    for _ in range(2000):
        v = r + gamma * P @ v
    return v


def _solved(P):
    n = len(P)
    equations = np.vstack([P.T - np.eye(n), np.ones(n)])
    return np.linalg.lstsq(equations, np.eye(n + 1)[n], rcond=None)[0]


def _eigenvector(P, transposed=True, normalised=True):
    values, vectors = np.linalg.eig(P.T if transposed else P)
    vector = vectors[:, np.argmin(np.abs(values - 1))].real
    return vector / vector.sum() if normalised else vector


def _replaced(P):
    equations = P.T - np.eye(len(P))
    equations[-1] = 1.0
    return np.linalg.solve(equations, np.eye(len(P))[-1])


def _loop(transitions, rewards, policy):
    n_actions, n_states = rewards.shape
    P = sum(policy[:, [a]] * transitions[a] for a in range(n_actions))
    return P, np.array([policy[s] @ rewards[:, s] for s in range(n_states)])


def _einsum(transitions, rewards, policy):
    return np.einsum("sa,ast->st", policy, transitions), np.einsum("sa,as->s", policy, rewards)


def _greedy(transitions, rewards, policy):
    best, states = policy.argmax(axis=1), np.arange(len(policy))
    return transitions[best, states], rewards[best, states]


def _turned(transitions, rewards, policy):
    n_actions, n_states = rewards.shape
    P = [sum(policy[a, s] * transitions[a, s] for a in range(n_actions)) for s in range(n_states)]
    return np.array(P), np.einsum("as,as->s", policy, rewards)


def _first_column(P):
    vector = np.linalg.eig(P.T)[1][:, 0].real
    with np.errstate(divide="ignore", invalid="ignore"):
        return vector / vector.sum()


def _mean_return(mrp, start, n_returns, n_steps, rng, gamma=None):
    gamma = mrp.gamma if gamma is None else gamma
    return sum(_return(mrp.sample(n_steps, rng, start).rewards, gamma) for _ in range(n_returns)) / n_returns


def _vectorised(mrp, start, n_returns, n_steps, rng):
    state, total = np.full(n_returns, start), np.zeros(n_returns)
    for k in range(n_steps):
        total += mrp.gamma**k * mrp.reward[state]
        state = (rng.random(n_returns)[:, None] >= mrp.transition[state].cumsum(axis=1)).sum(axis=1)
    return total.mean()


def _late(mrp, start, n_returns, n_steps, rng):
    walks = [mrp.sample(n_steps, rng, start).states for _ in range(n_returns)]
    return np.mean([_return(mrp.reward[states[1:]], mrp.gamma) for states in walks])


def _one_walk_repeated(mrp, start, n_returns, n_steps, rng):
    return _return(mrp.sample(n_steps, rng, start).rewards, mrp.gamma)


CASES = [
    Case(
        checks.check_discounted_return,
        right=[_return, lambda rewards, gamma: rewards @ gamma ** np.arange(len(rewards))],
        wrong=[
            (lambda rewards, gamma: sum(rewards), "plain sum"),
            (lambda rewards, gamma: gamma * _return(rewards, gamma), "one power too many"),
            (lambda rewards, gamma: _return(rewards[::-1], gamma), "last reward got the largest"),
            (lambda rewards, gamma: (1 - gamma) * _return(rewards, gamma), "not normalised"),
            (
                lambda rewards, gamma: sum(gamma * k * x for k, x in enumerate(rewards)),
                "a power, gamma**k, not a product",
            ),
            (lambda rewards, gamma: rewards * gamma ** np.arange(len(rewards)), "missing is their sum"),
        ],
    ),
    Case(
        checks.check_exact_value,
        right=[lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - gamma * P, r), _backups],
        wrong=[
            (lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - gamma * P.T, r), "used transposed"),
            (lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) + gamma * P, r), "sign of gamma P"),
            (lambda P, r, gamma: r + gamma * P @ r, "one backup only"),
            (lambda P, r, gamma: P @ _backups(P, r, gamma), "values of the next states"),
            (lambda P, r, gamma: (1 - gamma) * _backups(P, r, gamma), "a reward per step"),
            (lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - P, r), "Is gamma in your matrix"),
            (lambda P, r, gamma: np.linalg.solve(1 - gamma * P, r), "ones on the diagonal only"),
            (lambda P, r, gamma: np.linalg.solve(gamma * P - np.eye(len(r)), r), "this is -v"),
        ],
    ),
    Case(
        checks.check_stationary_distribution,
        right=[_solved, _eigenvector, _replaced],
        wrong=[
            (lambda P: _eigenvector(P, transposed=False), "right eigenvector"),
            (lambda P: _eigenvector(P, normalised=False), "any length and sign"),
            (lambda P: P.mean(axis=0), "one step from the uniform"),
            (lambda P: np.linalg.matrix_power(P, 1000)[0], "never settles"),
            (_first_column, "eig sorts nothing"),
        ],
    ),
    Case(
        checks.check_induced_process,
        right=[_loop, _einsum],
        wrong=[
            (lambda p, r, policy: (p.mean(axis=0), r.mean(axis=0)), "equal weights"),
            (lambda p, r, policy: (p.sum(axis=0), r.sum(axis=0)), "without weights"),
            (_greedy, "most probable action"),
            (
                lambda p, r, policy: (np.einsum("ta,ast->st", policy, p), _loop(p, r, policy)[1]),
                "policy of the next state",
            ),
            (_turned, "read as (A, S)"),
            (lambda p, r, policy: _loop(p, r, policy)[0], "return two arrays"),
        ],
    ),
    Case(
        checks.check_monte_carlo_value,
        right=[_mean_return, _vectorised],
        wrong=[
            (lambda mrp, start, n, steps, rng: n * _mean_return(mrp, start, n, steps, rng), "returns were added"),
            (lambda mrp, start, n, steps, rng: _mean_return(mrp, start, n, steps, rng, gamma=1.0), "not discounted"),
            (lambda mrp, start, n, steps, rng: _mean_return(mrp, None, n, steps, rng), "drawn from mrp.start"),
            (_late, "first reward is missing"),
            (lambda mrp, start, n, steps, rng: _mean_return(mrp, start, n, steps - 1, rng), "one step short"),
            (lambda mrp, start, n, steps, rng: _mean_return(mrp, start, steps, n, rng), "are exchanged"),
            (lambda mrp, start, n, steps, rng: mrp.value()[start], "not an estimate"),
            (lambda mrp, start, n, steps, rng: _mean_return(mrp, start, n, steps, rng) / steps, "over steps"),
            (
                lambda mrp, start, n, steps, rng: _mean_return(mrp, start, n, steps, np.random.default_rng(0)),
                "generator made inside",
            ),
            (_one_walk_repeated, "Is each walk a new one"),
            (
                lambda mrp, start, n, steps, rng: _mean_return(mrp, start, n, steps, np.random.default_rng()),
                "one rng, two answers",
            ),
            (lambda mrp, start, n, steps, rng: _mean_return(mrp, start, n + 1, steps, rng), "exactly n_returns walks"),
        ],
    ),
]
