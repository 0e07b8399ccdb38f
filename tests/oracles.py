"""The other road: every algorithm again, in plain loops, from the mathematics document.

Nothing here imports icrl_teach, and nothing is clever: an oracle earns trust by being readable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True)
class Context:
    """A random context: states, one feature row a state, rewards, discount, initial values at the positions."""

    states: np.ndarray  # (n+1,)
    table: np.ndarray  # (S, d)
    rewards: np.ndarray  # (n,)
    gamma: float
    v0: np.ndarray  # (n+1,), any numbers: positions of one state need not start equal

    @property
    def features(self) -> np.ndarray:
        return self.table[self.states]

    @property
    def n(self) -> int:
        return len(self.rewards)


gammas = st.floats(0.0, 0.99)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def contexts(draw: st.DrawFn, max_n: int = 12, max_states: int = 5, max_d: int = 4, positive: bool = False) -> Context:
    n, n_states, d = draw(st.integers(1, max_n)), draw(st.integers(1, max_states)), draw(st.integers(1, max_d))
    rng = np.random.default_rng(draw(seeds))
    table = rng.uniform(0.1, 1.0, (n_states, d)) if positive else rng.standard_normal((n_states, d))
    return Context(
        rng.integers(n_states, size=n + 1),
        table,
        rng.standard_normal(n),
        draw(gammas),
        rng.standard_normal(n + 1) * draw(st.sampled_from([0.0, 1.0])),
    )


def assert_close(actual, expected, rel: float = 1e-10) -> None:
    """The largest difference is at most `rel` times the largest expected entry."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    gap, scale = np.abs(actual - expected).max(), np.abs(expected).max()
    assert gap <= rel * scale, f"largest difference {gap:.3g}, largest entry {scale:.3g}"


def softmax_td_loops(features, rewards, gamma, alphas, betas, v0) -> np.ndarray:
    """Section 2, eqs. 8-9, one loop a layer, a query j and a source k. (L+1, n+1)."""
    n = len(rewards)
    values = [[float(v) for v in v0]]
    for alpha, beta in zip(alphas, betas, strict=True):
        old, new = values[-1], []
        for j in range(n + 1):
            scores = [beta * sum(a * b for a, b in zip(features[j], features[k], strict=True)) for k in range(n)]
            top = max(scores)
            total, update = 0.0, 0.0
            for k in range(n):
                weight = math.exp(scores[k] - top)
                total += weight
                update += weight * (rewards[k] + gamma * old[k + 1] - old[k])
            new.append(old[j] + alpha * update / total)
        values.append(new)
    return np.array(values)


def expected_trace(features, rewards, gamma, values) -> np.ndarray:
    """What Theorem 1 says stands in every cell of every layer's Z, given v_l at the positions. (L+1, d+3, n+1)."""
    trace = []
    for v in values:
        rows = [list(column) for column in np.transpose(features)]
        rows.append([*rewards, 0.0])
        rows.append([*(gamma * v[j + 1] for j in range(len(rewards))), 0.0])
        rows.append(list(v))
        trace.append(rows)
    return np.array(trace)


def block_by_the_formula(Z, V, A, gamma, V2=None) -> np.ndarray:
    """One layer, section 3, every matrix written out: mask M, shift Pi, and U, W for the single head."""
    D, columns = Z.shape
    n = columns - 1
    scores = Z.T @ A @ Z
    E = np.zeros((columns, columns))
    for j in range(columns):
        weights = np.exp(scores[:n, j] - scores[:n, j].max())
        E[:n, j] = weights / weights.sum()
    Pi = np.zeros((columns, columns))
    for j in range(n):
        Pi[j + 1, j] = 1.0
    if V2 is not None:
        return Z + V @ Z @ E + V2 @ Z @ E @ Pi
    target, value = D - 2, D - 1
    U, W = np.eye(D), np.zeros((D, D))
    U[target, target] = 0.0
    W[target, value] = gamma
    H = Z + V @ Z @ E
    return U @ H + W @ H @ Pi


def batch_tabular_loops(states, rewards, gamma, n_iterations, alpha, v0) -> np.ndarray:
    values = [np.array(v0, dtype=float)]
    for _ in range(n_iterations):
        old, new = values[-1], values[-1].copy()
        for s in range(len(old)):
            errors = [rewards[k] + gamma * old[states[k + 1]] - old[s] for k in range(len(rewards)) if states[k] == s]
            if errors:
                new[s] = old[s] + alpha * sum(errors) / len(errors)
        values.append(new)
    return np.array(values)


def batch_linear_loops(features, rewards, gamma, n_iterations, alpha, w0) -> np.ndarray:
    n, d = len(rewards), features.shape[1]
    weights = [[float(w) for w in w0]]
    for _ in range(n_iterations):
        w, step = weights[-1], [0.0] * d
        for k in range(n):
            own = sum(w[i] * features[k][i] for i in range(d))
            following = sum(w[i] * features[k + 1][i] for i in range(d))
            delta = rewards[k] + gamma * following - own
            for i in range(d):
                step[i] += alpha / n * delta * features[k][i]
        weights.append([w[i] + step[i] for i in range(d)])
    return np.array(weights)


def random_chain(rng: np.random.Generator, n_states: int) -> tuple[np.ndarray, np.ndarray]:
    """A transition matrix without zeros, and rewards."""
    weights = rng.random((n_states, n_states)) + 0.05
    return weights / weights.sum(axis=1, keepdims=True), rng.uniform(-1, 1, n_states)


def random_walks(rng: np.random.Generator, n_states: int, n_walks: int, max_length: int = 5) -> tuple[np.ndarray, ...]:
    """Steps of several walks, each terminated or truncated: states, rewards, next states and the two flags."""
    steps: list[tuple[int, float, int, bool, bool]] = []
    for _ in range(n_walks):
        path = rng.integers(n_states, size=rng.integers(1, max_length + 1) + 1)
        ends = rng.random() < 0.5
        for k in range(len(path) - 1):
            last = k == len(path) - 2
            steps.append((path[k], rng.standard_normal(), path[k + 1], last and ends, last and not ends))
    return tuple(np.array(column) for column in zip(*steps, strict=True))


@dataclass(frozen=True)
class Walks:
    """Random walks as a list of steps, with a feature row and an initial value for each state."""

    steps: tuple[np.ndarray, ...]  # as `random_walks` gives them
    table: np.ndarray  # (S, d)
    gamma: float
    v0: np.ndarray  # (S,)


@st.composite
def walks(draw: st.DrawFn, max_walks: int = 5, max_states: int = 5, max_d: int = 4) -> Walks:
    n_states, d = draw(st.integers(1, max_states)), draw(st.integers(1, max_d))
    rng = np.random.default_rng(draw(seeds))
    steps = random_walks(rng, n_states, draw(st.integers(1, max_walks)))
    gamma = draw(st.one_of(gammas, st.just(1.0))) if steps[3].any() else draw(gammas)
    return Walks(steps, rng.standard_normal((n_states, d)), gamma, rng.standard_normal(n_states))


def softmax_td_steps(w: Walks, n_iterations: int, alpha: float, beta: float) -> np.ndarray:
    """Weighted softmax TD from a list of steps: no positions, no landings, one value a state. (L+1, S)."""
    values = [list(w.v0)]
    for _ in range(n_iterations):
        old, new = values[-1], []
        for s, own in enumerate(w.table):
            total, update = 0.0, 0.0
            for state, reward, following, terminated, _ in zip(*w.steps, strict=True):
                weight = math.exp(beta * sum(a * b for a, b in zip(own, w.table[state], strict=True)))
                target = reward if terminated else reward + w.gamma * old[following]
                total += weight
                update += weight * (target - old[state])
            new.append(old[s] + alpha * update / total)
        values.append(new)
    return np.array(values)


def observed_chain(w: Walks, n_states: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of the steps that went on, and mean rewards: P_c, whose rows sum to at most 1, and r."""
    P, r, visits = np.zeros((n_states, n_states)), np.zeros(n_states), np.zeros(n_states)
    for state, reward, following, terminated, _ in zip(*w.steps, strict=True):
        visits[state] += 1
        r[state] += reward
        if not terminated:
            P[state, following] += 1
    visits = np.maximum(visits, 1)
    return P / visits[:, None], r / visits
