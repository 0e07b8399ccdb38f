"""A run of acting in context beside its references, as plain data: `icrl-teach act`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from icrl_teach._progress import Tick, no_tick
from icrl_teach.acting import TAU, Acting, improve_in_context
from icrl_teach.control import (
    MarkovDecisionProcess,
    best_return,
    greedy_policy,
    mdp_from_env,
    played_return,
    policy_return,
    q_learning,
    sarsa,
)
from icrl_teach.environments import Game
from icrl_teach.features import one_hot
from icrl_teach.transformer import SoftmaxTransformer

PAIR_LIMIT = 5_000  # pairs of a state and an action: their one-hot features are a square table
LIMIT = 200  # steps of an episode where the environment sets no time limit
GAMES = 1_000  # real episodes, where no table gives the exact return
ALPHA = 0.3  # step size of SARSA and Q-learning: the best of 0.05, 0.1, 0.3, 0.5 on the lake and the cliff


@dataclass(frozen=True, eq=False)
class ActingReport:
    """What acting in context reached, round by round, beside what others reach with the same number of steps.

    greedy: the return of the greedy policy after each round, undiscounted, within `limit` steps; exact: computed from
    the environment's table, else the mean of GAMES real episodes; references: the same number for SARSA, Q-learning
    (online, greedy at the end), the random policy and, where there is a table, the optimum by backward induction.
    """

    acting: Acting
    greedy: tuple[float, ...]
    exact: bool
    limit: int
    references: Mapping[str, float]


@dataclass(frozen=True)
class Settings:
    """How to act; see `improve_in_context`."""

    rounds: int
    steps: int
    gamma: float
    layers: int
    tau: float = TAU
    epsilon: float = 0.1
    seed: int = 0
    memory: Literal["all", "last"] = "all"
    follow: Literal["choice", "taken"] = "choice"
    imagined: float | Literal["best"] | None = "best"
    trials: int = 1


def numbered_game(env: Any) -> Game:
    """The environment, numbered. Raises ValueError where it cannot be made, or has more than PAIR_LIMIT pairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium announces an outdated name twice; its error says it all
        try:
            game = Game(env)
        except ImportError as error:
            raise ValueError(f"env is {env!r}; Gymnasium cannot make it: {error}") from None
    if (pairs := game.n_states * game.n_actions) > PAIR_LIMIT:
        raise ValueError(
            f"env has {game.n_states:,} states and {game.n_actions} actions, {pairs:,} pairs; the limit is "
            f"{PAIR_LIMIT:,}: aggregate states with a gymnasium.ObservationWrapper"
        )
    return game


def report_acting(game: Game, settings: Settings, tick: Tick = no_tick) -> ActingReport:
    """Act in context, and measure the greedy policy of every round and of the references.

    `tick(stage)` is called rounds + 4 times. Raises ValueError as `improve_in_context` does.
    """
    s, pairs = settings, game.n_states * game.n_actions
    known = mdp_from_env(game.env) if hasattr(game.env.unwrapped, "P") else None
    network = SoftmaxTransformer.constructed(pairs, s.layers, s.gamma)
    how = {name: getattr(s, name) for name in ("memory", "follow", "imagined", "trials")}
    acting = improve_in_context(
        game.env, network, s.rounds, s.steps, s.epsilon, s.seed, features=one_hot(pairs, s.tau), tick=tick, **how
    )
    limit = game.limit or LIMIT
    tick("greedy policies")
    judge = _judge(game, known, limit, s.seed)
    greedy = tuple(judge(each.policy) for each in acting.rounds)
    references = {}
    for name, learn in (("SARSA", sarsa), ("Q-learning", q_learning)):
        tick(name)
        q = learn(game.env, s.rounds * s.steps, min(s.gamma, 0.9999), ALPHA, s.epsilon, s.seed)
        references[name] = judge(greedy_policy(q))
    tick("references")
    references["random policy"] = judge(np.full((game.n_states, game.n_actions), 1.0 / game.n_actions))
    if known is not None:
        references["optimum"] = best_return(known, limit)
    return ActingReport(acting, greedy, known is not None, limit, references)


def _judge(game: Game, known: MarkovDecisionProcess | None, limit: int, seed: int) -> Any:
    """policy -> its return: exact where the process is known, else by real play with luck of its own."""
    if known is not None:
        return lambda policy: policy_return(known, policy, limit)
    return lambda policy: played_return(game.env, policy, GAMES, seed + 1_000_000, limit)
