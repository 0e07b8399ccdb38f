"""Gymnasium as a source of tasks: the exact process behind an environment and a policy, and real rollouts.

An episode that ends can be read in two ways (mathematics, section 1), and both functions take `episodes`. "terminal":
nothing follows, the value is that of one episode. "restart": the step that ends it leads to the start distribution,
the value is that of the endless chain. "restart" is the default, because all that the course says of chains
(stationary distributions, Theorem 2) is about endless ones; a log of one's own is read as "terminal" by default.
A time limit is neither: a truncated walk keeps its last state, from which its last step bootstraps.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from icrl_teach._door import door
from icrl_teach._validate import ArrayLike, Count, Discount, Seed, check_finite, probability_rows, shown
from icrl_teach.mrp import MarkovRewardProcess, Trajectory, cumulative_rows
from icrl_teach.spaces import number_observations

Episodes = Literal["restart", "terminal"]
RESET, STEP = "observation, info", "observation, reward, terminated, truncated, info"


def _make(env: Any) -> gym.Env[Any, Any]:
    if isinstance(env, str):
        try:
            return gym.make(env)
        except Exception as error:  # whatever another's environment raises while it is made
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ValueError(f"env is {shown(env)}; Gymnasium cannot make it: {reason}") from error
    if isinstance(env, gym.vector.VectorEnv):
        raise ValueError(f"env is {shown(env)}, a vector of environments; give a single one: gymnasium.make(name)")
    if not isinstance(env, gym.Env):
        raise ValueError(f"env is {shown(env)}; it must be a gymnasium.Env or the name of one, such as 'FrozenLake-v1'")
    return env


def _complete(env: Any) -> Any:
    """The environment, made if it is a name. Raises ValueError if it lacks a space."""
    made = _make(env)
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(made, name, None), gym.Space):
            raise ValueError(f"env {shown(made)} has no {name}; give it one, such as gymnasium.spaces.Discrete(4)")
    return made


def _answer(call: str, answer: Any, parts: str) -> Any:
    """What an environment gave, in as many parts as Gymnasium's interface has."""
    if not isinstance(answer, tuple | list) or len(answer) != len(parts.split(", ")):
        raise ValueError(f"env.{call} gave {shown(answer)}; it must give ({parts}): correct the environment")
    return answer


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_ | int):  # NaN would count as True
        raise ValueError(f"env.step gave {name} {shown(value)}; it must be True or False: correct the environment")
    return bool(value)


def _actions(env: Any) -> tuple[int, int]:
    """How many actions there are, and the number of the first."""
    space = env.action_space
    if not isinstance(space, gym.spaces.Discrete):
        raise ValueError(
            f"env has action_space {space}; it must be Discrete(n): wrap the environment (gymnasium.ActionWrapper)"
        )
    return int(space.n), int(space.start)


def _policy(policy: ArrayLike | None, n_states: int, n_actions: int) -> Float[np.ndarray, "n_states n_actions"]:
    if policy is None:
        return np.full((n_states, n_actions), 1.0 / n_actions)
    return probability_rows("policy", policy, (n_states, n_actions))


def _outcomes(table: Any, s: int, a: int, n_states: int) -> list[tuple[float, int, float, bool]]:
    """What a transition table lists for one state and action. A next state behind an end is not looked at."""
    try:
        listed = [
            (float(p), 0 if done else operator.index(s_next), float(reward), bool(done))
            for p, s_next, reward, done in table[s][a]
        ]
        sound = all(0.0 <= p <= 1.0 and to in range(n_states) and math.isfinite(r) for p, to, r, _ in listed)
    except (LookupError, TypeError, ValueError):
        sound = False
    if not sound:
        raise ValueError(
            f"env has a transition table whose P[{s}][{a}] is no list of (probability, next_state, reward, done) with "
            f"next states 0 to {n_states - 1} and finite rewards: correct the table"
        )
    return listed


@door
def mrp_from_env(
    env: Any, policy: ArrayLike | None, gamma: Discount, episodes: Episodes = "restart"
) -> MarkovRewardProcess:
    """The exact process of (env, policy), from the environment's transition table.

    env: a Gymnasium environment or its name, such as FrozenLake-v1, CliffWalking-v1 or Taxi-v4; policy: (S, A), rows
    are distributions over actions, or None for the uniformly random policy; gamma in [0, 1), or 1 for episodes that
    every state can end. An entry flagged done terminates (episodes="terminal") or leads to the start distribution
    ("restart"), whatever next state it lists; entries that list the same next state twice add up. r(s) is the mean
    reward over actions and next states. Time limits are no part of the process.
    Raises ValueError for an environment without a table or with a broken one, spaces that are not Discrete from 0, or a
    bad policy.
    """
    made = _complete(env)
    for name, space in (("observation_space", made.observation_space), ("action_space", made.action_space)):
        if not isinstance(space, gym.spaces.Discrete) or int(space.start) != 0:
            raise ValueError(
                f"env has {name} {space}; for a table it must be Discrete(n) counting from 0: wrap the environment "
                "(gymnasium.ObservationWrapper), or use rollout, which numbers other observations, too"
            )
    n_states, n_actions = int(made.observation_space.n), int(made.action_space.n)
    table, start = (getattr(made.unwrapped, name, None) for name in ("P", "initial_state_distrib"))
    if table is None or start is None:
        raise ValueError(
            f"env {made} has no transition table (attributes P and initial_state_distrib); "
            "use rollout(env, policy, n_steps, seed) and learn from the steps instead"
        )
    probabilities = _policy(policy, n_states, n_actions)
    P, r, terminal = np.zeros((n_states, n_states)), np.zeros(n_states), np.zeros(n_states)
    start = probability_rows("initial_state_distrib of env", start, (n_states,))
    for s, a in product(range(n_states), range(n_actions)):
        for p, s_next, reward, done in _outcomes(table, s, a, n_states):
            weight = probabilities[s, a] * p
            r[s] += weight * reward
            if not done:
                P[s, s_next] += weight
            elif episodes == "restart":
                P[s] += weight * start
            else:
                terminal[s] += weight
    if gamma == 1.0 and not terminal.any():
        why = "with episodes='restart' walks go on for ever; take episodes='terminal'"
        if episodes == "terminal":
            why = "under this policy no episode ever ends; take another policy"
        raise ValueError(f"gamma is 1, and {why}, or gamma=0.99")
    return MarkovRewardProcess(P, r, gamma, start, terminal=terminal)


class Step(NamedTuple):
    """One step of play. following: the state it led to, -1 behind an end; begins: the state the next one leaves."""

    state: int
    action: int
    reward: float
    following: int
    terminated: bool
    truncated: bool
    begins: int


class Game:
    """An environment whose observations and actions are numbered from 0, and one way to play it.

    labels: what each state means. Raises ValueError for spaces that cannot be numbered.
    """

    def __init__(self, env: Any, bins: Sequence[ArrayLike] | None = None) -> None:
        self.env = _complete(env)
        self.n_actions, self._first_action = _actions(self.env)
        self._numbering = number_observations(self.env.observation_space, bins)
        self.labels = self._numbering.labels

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return len(self.labels)

    @property
    def limit(self) -> int | None:
        """The steps after which Gymnasium cuts an episode, None if it never does."""
        return self.env.spec.max_episode_steps if self.env.spec is not None else None

    def walk(self, act: Callable[[int], int], n_steps: int, seed: int) -> Iterator[Step]:
        """`n_steps` real steps, each as soon as it is taken: whoever reads them may change what `act` says next."""
        env, number = self.env, self._numbering.index
        state = number(_answer("reset", env.reset(seed=seed), RESET)[0])
        for t in range(n_steps):
            action = int(act(state))
            observation, reward, ended, cut, _ = _answer("step", env.step(self._first_action + action), STEP)
            reward = check_finite(f"the reward of step {t}", reward)
            ended, cut = _flag("terminated", ended), _flag("truncated", cut)
            following = -1 if ended else number(observation)
            # An environment is never stepped after its end.
            begins = number(_answer("reset", env.reset(), RESET)[0]) if ended or cut else following
            yield Step(state, action, reward, following, ended, cut, begins)
            state = begins


@door
def rollout(
    env: Any,
    policy: ArrayLike | None,
    n_steps: Count,
    seed: Seed,
    episodes: Episodes = "restart",
    bins: Sequence[ArrayLike] | None = None,
) -> Trajectory:
    """`n_steps` real steps by `env.step`, for any environment whose observations can be numbered.

    env: a Gymnasium environment or its name; its observations are Discrete, MultiDiscrete, MultiBinary, a Tuple or Dict
    of such, or a Box cut into cells by `bins`: rising edges for each dimension, [] to leave one out.
    policy: (S, A), a row for each observation in the order of the labels, or None for the uniformly random policy;
    seed: of the environment and of the policy. Labels of the trajectory say what was observed, actions what was done.
    A step that terminated ends its walk (episodes="terminal") or leads to the state that `env.reset` returns next
    ("restart"). A truncated walk keeps its last state as a landing, and the next begins after a reset.
    Raises ValueError for n_steps < 1, a negative seed, spaces that cannot be numbered, an observation outside its
    space, a reward that is no finite number, an answer that is not Gymnasium's, or a bad policy. What the environment
    itself raises comes through as it is.
    """
    game = Game(env, bins)
    cumulative = cumulative_rows(_policy(policy, game.n_states, game.n_actions))
    # Not default_rng(seed): Gymnasium seeds its own generator so, and actions would follow the environment's luck.
    uniforms = iter(np.random.default_rng([seed, 1]).random(n_steps).tolist())
    states, actions, following = np.empty((3, n_steps), dtype=np.int64)
    rewards, ended, cut = np.empty(n_steps), np.zeros(n_steps, dtype=bool), np.zeros(n_steps, dtype=bool)
    for t, step in enumerate(game.walk(lambda state: bisect_right(cumulative[state], next(uniforms)), n_steps, seed)):
        states[t], actions[t], rewards[t] = step.state, step.action, step.reward
        following[t] = step.begins if step.terminated else step.following
        ended[t], cut[t] = step.terminated and episodes == "terminal", step.truncated and not step.terminated
    query = step.begins if ended[-1] else None
    return Trajectory.of_transitions(
        states, rewards, following, ended, cut, labels=game.labels, actions=actions, query=query
    )
