"""Gymnasium as a source of tasks: the exact process behind an environment and a policy, and real rollouts.

Episodes become one endless chain: a step that ends an episode leads to the start distribution. This restart is a
modelling choice (mathematics, section 1). Time limits are no part of the process and are ignored.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from icrl_teach._validate import ArrayLike, check_count, probability_rows
from icrl_teach.mrp import MarkovRewardProcess, Trajectory, _cumulative_rows


def _make(env: str | gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    if not isinstance(env, str):
        return env
    try:
        return gym.make(env)
    except gym.error.Error as error:
        raise ValueError(f"env is {env!r}; Gymnasium cannot make it: {str(error).splitlines()[0]}") from None


def _sizes(env: Any) -> tuple[int, int]:
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    for name, space in spaces.items():
        if not isinstance(space, gym.spaces.Discrete) or int(space.start) != 0:
            raise ValueError(
                f"env has {name} {space}; it must be Discrete(n) counting from 0: wrap the environment "
                "(gymnasium.ObservationWrapper) so that observations are whole numbers"
            )
    return int(env.observation_space.n), int(env.action_space.n)


def _policy(policy: ArrayLike | None, n_states: int, n_actions: int) -> Float[np.ndarray, "n_states n_actions"]:
    if policy is None:
        return np.full((n_states, n_actions), 1.0 / n_actions)
    return probability_rows("policy", policy, (n_states, n_actions))


def mrp_from_env(env: str | gym.Env[Any, Any], policy: ArrayLike | None, gamma: float) -> MarkovRewardProcess:
    """The exact process of (env, policy), from the environment's transition table, with restart.

    env: a Gymnasium environment or its name, such as FrozenLake-v1, CliffWalking-v1 or Taxi-v4; policy: (S, A), rows
    are distributions over actions, or None for the uniformly random policy; gamma in [0, 1).
    An entry flagged done leads to the start distribution, whatever next state it lists; entries that list the
    same next state twice add up. r(s) is the mean reward over actions and next states.
    Raises ValueError for an environment without a table, spaces that are not Discrete, or a bad policy.
    """
    made = _make(env)
    n_states, n_actions = _sizes(made)
    table = getattr(made.unwrapped, "P", None)
    start = getattr(made.unwrapped, "initial_state_distrib", None)
    if table is None or start is None:
        raise ValueError(
            f"env {made} has no transition table (attributes P and initial_state_distrib); "
            "use rollout(env, policy, n_steps, seed) and learn from the steps instead"
        )
    probabilities = _policy(policy, n_states, n_actions)
    start = np.asarray(start, dtype=np.float64)
    P, r = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s, actions in table.items():
        for a, outcomes in actions.items():
            for p, s_next, reward, done in outcomes:
                weight = probabilities[s, a] * p
                r[s] += weight * reward
                if done:
                    P[s] += weight * start
                else:
                    P[s, s_next] += weight
    return MarkovRewardProcess(P, r, gamma, start)


def rollout(env: str | gym.Env[Any, Any], policy: ArrayLike | None, n_steps: int, seed: int) -> Trajectory:
    """`n_steps` real steps by `env.step`, for any environment with Discrete spaces, episodes joined by restart.

    env, policy: as in `mrp_from_env`; seed: of the environment and of the policy. A terminal transition leads to the
    state that `env.reset` returns next. `truncated` is ignored: Gymnasium's time limit goes on stepping.
    Raises ValueError for n_steps < 1, a negative seed, spaces that are not Discrete, or a bad policy.
    """
    made = _make(env)
    n_steps, seed = check_count("n_steps", n_steps), check_count("seed", seed, 0)
    n_states, n_actions = _sizes(made)
    cumulative = _cumulative_rows(_policy(policy, n_states, n_actions))
    # Not default_rng(seed): Gymnasium seeds its own generator so, and actions would follow the environment's luck.
    uniforms = np.random.default_rng([seed, 1]).random(n_steps)
    states, rewards = np.empty(n_steps + 1, dtype=np.int64), np.empty(n_steps)
    states[0] = made.reset(seed=seed)[0]
    for t in range(n_steps):
        action = bisect_right(cumulative[states[t]], uniforms[t])
        observation, rewards[t], terminated, _, _ = made.step(action)
        states[t + 1] = made.reset()[0] if terminated else observation
    return Trajectory(states, rewards, labels=[str(s) for s in range(n_states)])
