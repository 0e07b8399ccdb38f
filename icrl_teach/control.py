"""Control with a table: policies from action values, the optimum of a known process, SARSA and Q-learning.

What acting in context (`acting.py`) is measured against. q(s, a) is the value of taking a in s and following the policy
after that; arrays are (S, A), state first. Source: Sutton and Barto, chapters 3, 4 and 6 (mathematics, section 6).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float

from icrl_teach._door import door
from icrl_teach._validate import ArrayLike, Count, Gamma, Positive, Probability, Seed, probability_rows
from icrl_teach.environments import Game, mrp_from_env
from icrl_teach.mrp import cumulative_rows

TIE = 1e-9  # relative to the largest value: what two roads to one number may differ by counts as a tie
MOST_IMPROVEMENTS = 1_000  # policy iteration takes a handful


@dataclass(frozen=True, eq=False)
class MarkovDecisionProcess:
    """A finite Markov decision process with episodes.

    transition: p(s' | s, a), (S, A, S), rows sum to at most 1: what is missing is the chance to terminate;
    reward: r(s, a), (S, A), the mean reward; start: p0, (S,).
    Raises ValueError for shapes that don't fit, negative probabilities, or rows that sum to more than 1.
    """

    transition: Float[np.ndarray, "n_states n_actions n_states"]
    reward: Float[np.ndarray, "n_states n_actions"]
    start: Float[np.ndarray, " n_states"]

    @door
    def __init__(
        self,
        transition: Annotated[ArrayLike, "n_states n_actions n_states"],
        reward: Annotated[ArrayLike, "n_states n_actions"],
        start: Annotated[ArrayLike, "n_states"],
    ) -> None:
        P = np.array(transition)
        if (P < 0).any() or (sums := P.sum(axis=2)).max() > 1 + 1e-8:
            wrong = P.min() if (P < 0).any() else sums.max()
            raise ValueError(
                f"transition has {'the entry' if (P < 0).any() else 'a row that sums to'} {wrong:.6g}; probabilities "
                "are not negative and sum to at most 1 for each state and action"
            )
        p0 = probability_rows("start", start, (len(P),))
        for name, value in (("transition", P), ("reward", np.array(reward)), ("start", p0)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return self.reward.shape[0]

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return self.reward.shape[1]


@door
def mdp_from_env(env: Any) -> MarkovDecisionProcess:
    """The exact decision process behind an environment, from its transition table, with episodes that end.

    env: a Gymnasium environment or its name. Time limits are no part of the process.
    Raises ValueError for an environment without a table or with a broken one (see `mrp_from_env`).
    """
    game = Game(env)
    always = np.eye(game.n_actions)[:, None, :].repeat(game.n_states, axis=1)  # (A, S, A): one action everywhere
    chains = [mrp_from_env(game.env, policy, 0.0, episodes="terminal") for policy in always]
    P, r = (np.stack([getattr(c, name) for c in chains], axis=1) for name in ("transition", "reward"))
    return MarkovDecisionProcess(P, r, chains[0].start)


# Policies, (S, A) arrays whose rows are distributions over actions


def best_actions(q: Float[np.ndarray, "n_states n_actions"]) -> Bool[np.ndarray, "n_states n_actions"]:
    """Which actions have the largest value in their state; values within rounding of it count as ties."""
    return q >= q.max(axis=1, keepdims=True) - TIE * max(1.0, float(np.abs(q).max()))


@door
def greedy_policy(q: Annotated[ArrayLike, "n_states n_actions"]) -> Float[np.ndarray, "n_states n_actions"]:
    """The action of largest value in each state; actions that tie share equally.

    >>> greedy_policy([[1.0, 2.0], [3.0, 3.0]]).tolist()
    [[0.0, 1.0], [0.5, 0.5]]
    """
    best = best_actions(np.asarray(q))
    return best / best.sum(axis=1, keepdims=True)


@door
def epsilon_greedy_policy(
    q: Annotated[ArrayLike, "n_states n_actions"], epsilon: Probability
) -> Float[np.ndarray, "n_states n_actions"]:
    """With probability epsilon any action, else a greedy one. Raises ValueError for epsilon outside [0, 1].

    >>> epsilon_greedy_policy([[1.0, 2.0]], epsilon=0.5).tolist()
    [[0.25, 0.75]]
    """
    greedy = greedy_policy(q)
    return (1.0 - epsilon) * greedy + epsilon / greedy.shape[1]


@door
def softmax_policy(
    q: Annotated[ArrayLike, "n_states n_actions"], temperature: Positive
) -> Float[np.ndarray, "n_states n_actions"]:
    """Proportional to exp(q / temperature). Raises ValueError unless temperature > 0.

    >>> softmax_policy([[0.0, 0.0]], temperature=2.0).tolist()
    [[0.5, 0.5]]
    """
    values = np.asarray(q)
    exp = np.exp((values - values.max(axis=1, keepdims=True)) / temperature)
    return exp / exp.sum(axis=1, keepdims=True)


# A known process: what could be reached


def _chain_of(mdp: MarkovDecisionProcess, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P_pi, (S, S), and r_pi, (S,): the chain of states that a policy walks."""
    return np.einsum("sa,sat->st", policy, mdp.transition), (policy * mdp.reward).sum(axis=1)


def policy_action_values(
    mdp: MarkovDecisionProcess, policy: Float[np.ndarray, "n_states n_actions"], gamma: float
) -> Float[np.ndarray, "n_states n_actions"]:
    """q of a policy: q(s, a) = r(s, a) + gamma sum p(s' | s, a) v(s'), v = r_pi + gamma P_pi v solved."""
    P, r = _chain_of(mdp, policy)
    v = np.linalg.solve(np.eye(len(r)) - gamma * P, r)
    return mdp.reward + gamma * mdp.transition @ v


@door
def optimal_action_values(mdp: MarkovDecisionProcess, gamma: Gamma) -> Float[np.ndarray, "n_states n_actions"]:
    """q* = r + gamma P max q*, by policy iteration: solve, take the best actions, until none is better.

    What value iteration tends to, reached in finitely many steps (Sutton and Barto, section 4.3).
    Raises ValueError for gamma outside [0, 1).
    """
    choice = np.zeros(mdp.n_states, dtype=np.int64)
    for _ in range(MOST_IMPROVEMENTS):
        q = policy_action_values(mdp, np.eye(mdp.n_actions)[choice], gamma)
        better = improved(q, choice)
        if (better == choice).all():
            break
        choice = better
    return q


def improved(
    q: Float[np.ndarray, "n_states n_actions"], choice: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """The best action of each state, (S,). One that ties with the best and was chosen before is kept.

    Else the first of the best, or any of them where a generator is given.
    """
    best = best_actions(q)
    order = np.zeros(q.shape) if rng is None else rng.random(q.shape)
    new = (best + order).argmax(axis=1)
    return np.where(best[np.arange(len(q)), choice], choice, new)


@door
def best_return(mdp: MarkovDecisionProcess, n_steps: Count) -> float:
    """The largest expected sum of rewards, without discount, that any policy reaches within n_steps from the start.

    By backward induction, so the policy may look at the clock: v_0 = 0, v_{t+1} = max_a (r + P v_t).
    """
    v = np.zeros(mdp.n_states)
    for _ in range(n_steps):
        v = (mdp.reward + mdp.transition @ v).max(axis=1)
    return float(mdp.start @ v)


@door
def policy_return(
    mdp: MarkovDecisionProcess, policy: Annotated[ArrayLike, "n_states n_actions"], n_steps: Count
) -> float:
    """The expected sum of rewards, without discount, of a policy within n_steps from the start: exact, no play.

    policy: (S, A). Raises ValueError for rows that are no distributions.
    """
    rows = probability_rows("policy", policy, mdp.reward.shape)
    P, r = _chain_of(mdp, rows)
    v = np.zeros(mdp.n_states)
    for _ in range(n_steps):
        v = r + P @ v
    return float(mdp.start @ v)


@door
def played_return(env: Any, policy: ArrayLike | None, n_episodes: Count, seed: Seed, n_steps: Count = 1_000) -> float:
    """The mean sum of rewards of real episodes, each played to its end or for n_steps, a thousand if not given.

    policy: (S, A), or None for the uniformly random one. For environments without a table.
    """
    game = Game(env)
    shape = (game.n_states, game.n_actions)
    rows = np.full(shape, 1.0 / shape[1]) if policy is None else probability_rows("policy", policy, shape)
    cumulative, rng, total = cumulative_rows(rows), np.random.default_rng([seed, 3]), 0.0
    for episode in range(n_episodes):
        for step in game.walk(lambda s: bisect_right(cumulative[s], rng.random()), n_steps, seed + episode):
            total += step.reward
            if step.terminated or step.truncated:
                break
    return total / n_episodes


# One step at a time


def _online(
    env: Any, n_steps: int, gamma: float, alpha: float, epsilon: float, seed: int, follow: Callable[..., float]
) -> np.ndarray:
    """Both online methods: after each step q(s, a) += alpha (target - q(s, a)).

    follow(q[s'], a') says what the next state is worth; a' is drawn epsilon-greedily, and taken next.
    """
    game = Game(env)
    q, rng = [[0.0] * game.n_actions for _ in range(game.n_states)], np.random.default_rng([seed, 2])
    drawn: list[int] = []

    def draw(state: int) -> int:
        if rng.random() < epsilon:
            return int(rng.integers(game.n_actions))
        best = [a for a, value in enumerate(q[state]) if value == max(q[state])]
        return best[int(rng.random() * len(best))]

    def act(state: int) -> int:
        return drawn.pop() if drawn else draw(state)

    for step in game.walk(act, n_steps, seed):
        target = step.reward
        if not step.terminated:
            action = draw(step.following)
            target += gamma * follow(q[step.following], action)
            if not step.truncated:
                drawn.append(action)
        q[step.state][step.action] += alpha * (target - q[step.state][step.action])
    return np.array(q)


@door
def sarsa(
    env: Any,
    n_steps: Count,
    gamma: Gamma,
    alpha: Probability = 0.1,
    epsilon: Probability = 0.1,
    seed: Seed = 0,
) -> Float[np.ndarray, "n_states n_actions"]:
    """Tabular SARSA, online (Sutton and Barto, section 6.4): the target is R + gamma q(S', A').

    A' is the action taken next. Epsilon-greedy, ties broken at random, q starts at 0; alpha and epsilon are a tenth if
    not given. A step that terminated has the target R, one that was cut bootstraps.
    Raises ValueError for an environment whose observations cannot be numbered, or values out of range.
    """
    return _online(env, n_steps, gamma, alpha, epsilon, seed, lambda values, action: values[action])


@door
def q_learning(
    env: Any,
    n_steps: Count,
    gamma: Gamma,
    alpha: Probability = 0.1,
    epsilon: Probability = 0.1,
    seed: Seed = 0,
) -> Float[np.ndarray, "n_states n_actions"]:
    """Tabular Q-learning, online (Sutton and Barto, section 6.5): the target is R + gamma max q(S', .).

    Epsilon-greedy, ties broken at random, q starts at 0; defaults, ends and cuts as in `sarsa`.
    """
    return _online(env, n_steps, gamma, alpha, epsilon, seed, lambda values, _: max(values))
