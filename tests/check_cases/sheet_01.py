"""Right and wrong answers for the checks of sheet 01 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_01 as checks


def _return(rewards, gamma):
    total = 0.0
    for reward in reversed(list(rewards)):
        total = reward + gamma * total
    return total


def _backups(P, r, gamma, count):
    v = np.zeros(len(r))
    for _ in range(count):
        v = r + gamma * P @ v
    return v


def _patient(P, r, gamma):
    return _backups(P, r, gamma, 40_000)


def _sixty_lazy_steps(P):
    p = np.full(len(P), 1 / len(P))
    for _ in range(60):
        p = 0.5 * p + 0.5 * p @ P
    return p


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
            (lambda rewards, gamma: np.mean(rewards * gamma ** np.arange(len(rewards))), "gamma^2 R_3"),
            (lambda rewards, gamma: sum(x / (1 + k) for k, x in enumerate(rewards)), "gamma^2 R_3"),
        ],
    ),
    Case(
        checks.check_exact_value,
        right=[lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - gamma * P, r), _patient],
        wrong=[
            (lambda P, r, gamma: np.linalg.inv(np.eye(len(r)) - gamma * P) @ r, "np.linalg.solve(A, b)"),
            (lambda P, r, gamma: _backups(P, r, gamma, 300), "not enough where gamma is near 1"),
            (lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - P, r), "Is gamma in your matrix"),
            (lambda P, r, gamma: P @ r, "solves (I - gamma P) v = r"),
        ],
    ),
    Case(
        checks.check_stationary_distribution,
        right=[_solved, _eigenvector, _replaced],
        wrong=[
            (lambda P: _eigenvector(P, transposed=False), "right eigenvector"),
            (lambda P: _eigenvector(P, normalised=False), "any length and sign"),
            (_sixty_lazy_steps, "do not reach mu where states stay long"),
            (lambda P: P[0], "check that mu @ P equals mu"),
        ],
    ),
    Case(
        checks.check_induced_process,
        right=[_loop, _einsum],
        wrong=[
            (lambda p, r, policy: _loop(p, r, policy)[0], "2 results"),
            (lambda p, r, policy: _loop(p, r, policy)[::-1], "expected shape"),
            (lambda p, r, policy: (_loop(p, r, policy)[0], r.sum(axis=0)), "added without weights"),
        ],
    ),
    Case(
        checks.check_monte_carlo_value,
        right=[_mean_return, _vectorised],
        wrong=[
            (_late, "first reward is missing"),
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
