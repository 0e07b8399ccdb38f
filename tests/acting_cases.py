"""What the tests of control and of acting share: small decision processes, played as environments, and their oracles.

Nothing here imports icrl_teach: the oracles go through every policy, or through every path, in plain loops.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import product

import gymnasium as gym
import numpy as np


def random_tables(rng, n_states, n_actions, ends=0.2):
    """p(s' | s, a), whose rows sum to 1 minus the chance to end, r(s, a) and p0."""
    P = rng.dirichlet(np.ones(n_states), size=(n_states, n_actions)) * (1 - ends)
    return P, rng.normal(size=(n_states, n_actions)), rng.dirichlet(np.ones(n_states))


class Tabled(gym.Env):
    """An environment that plays given tables; rewards are r(s, a) themselves."""

    def __init__(self, P, r, start, limit=None):
        self.tables, self.limit = (P, r, start), limit
        self.onward, self.begin = np.cumsum(P, axis=2).tolist(), np.cumsum(start).tolist()
        self.observation_space, self.action_space = gym.spaces.Discrete(len(r)), gym.spaces.Discrete(r.shape[1])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = min(bisect_right(self.begin, self.np_random.random()), len(self.begin) - 1)
        self.clock = 0
        return self.state, {}

    def step(self, action):
        reward = float(self.tables[1][self.state, action])
        outcome = bisect_right(self.onward[self.state][action], self.np_random.random())
        over, self.clock = outcome == len(self.begin), self.clock + 1
        self.state = self.state if over else outcome
        return self.state, reward, over, not over and self.clock == self.limit, {}


class CutIsEnd(gym.Wrapper):
    """The classical bug: a time limit is reported as a termination."""

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or truncated, False, info


def policies(n_states, n_actions):
    """Every deterministic policy, as an array of actions."""
    return [np.array(choice) for choice in product(range(n_actions), repeat=n_states)]


def value_by_sweeps(P, r, choice, gamma, sweeps=4000):
    v = [0.0] * len(r)
    for _ in range(sweeps):
        v = [
            r[s, choice[s]] + gamma * sum(p * x for p, x in zip(P[s, choice[s]], v, strict=True)) for s in range(len(r))
        ]
    return np.array(v)


def best_by_trying_all(P, r, gamma):
    """The largest value of each state over all deterministic policies: policy by policy, a linear system each."""
    at = np.arange(len(r))
    return np.max([np.linalg.solve(np.eye(len(r)) - gamma * P[at, c], r[at, c]) for c in policies(*r.shape)], axis=0)


def return_by_paths(P, r, policy, state, steps):
    """The expected sum of rewards from a state, path by path."""
    if steps == 0:
        return 0.0
    total = 0.0
    for a, chance in enumerate(policy[state]):
        later = sum(p * return_by_paths(P, r, policy, s, steps - 1) for s, p in enumerate(P[state, a]))
        total += chance * (r[state, a] + later)
    return total


def best_by_paths(P, r, state, steps):
    if steps == 0:
        return 0.0
    return max(
        r[state, a] + sum(p * best_by_paths(P, r, s, steps - 1) for s, p in enumerate(P[state, a]))
        for a in range(r.shape[1])
    )


def pair_steps(log_steps, actions, n_actions, choice, follow, imagined=None, trials=1):
    """Steps of a log -> steps of pairs, one by one: (pair, reward, next pair, terminated)."""
    states, rewards, following, ended, cut = log_steps
    out, tried = [], {}
    for s, a in zip(states, actions, strict=True):
        tried[s * n_actions + a] = tried.get(s * n_actions + a, 0) + 1
    for k, s in enumerate(states):
        pair = s * n_actions + actions[k]
        if imagined is not None and tried[pair] < trials:
            continue
        if ended[k]:
            out.append((pair, rewards[k], 0, True))
            continue
        taken = follow == "taken" and not cut[k] and k + 1 < len(states)
        then = actions[k + 1] if taken else choice[following[k]]
        out.append((pair, rewards[k], following[k] * n_actions + then, False))
    if imagined is not None:
        for pair in range(len(choice) * n_actions):
            if tried.get(pair, 0) < trials:
                out.append((pair, imagined, 0, True))
    return out


def answers_by_loops(steps, features, gamma, n_layers, alpha=1.0, beta=1.0):
    """Weighted softmax TD over steps of pairs, a loop a layer, a pair and a step."""
    v = np.zeros(len(features))
    for _ in range(n_layers):
        new = v.copy()
        for p, own in enumerate(features):
            scores = np.array([beta * float(own @ features[q]) for q, _, _, _ in steps])
            weights = np.exp(scores - scores.max())
            errors = [R + (0.0 if over else gamma * v[then]) - v[q] for q, R, then, over in steps]
            new[p] += alpha * float(weights @ np.array(errors)) / weights.sum()
        v = new
    return v
