"""Acting in context: a frozen network reads a log of state-action pairs, and a policy improves between prompts.

A pair (s, a) is a state of the chain of pairs, so the network of `transformer.py` gives q(s, a) where it gave v(s);
query columns ask about all actions of a state. Nothing else is new inside the network. Outside of it the loop does
three things: it plays, it writes the prompt, and it takes the actions that the answers favour (mathematics, section 6,
derived for this course). Two forms of the answers agree to rounding: the network for short prompts, its operator form
for long ones.

What the prompt says about the next action decides which policy is evaluated. follow="taken": the action that was
taken next, so the answers are about the mixture of all policies that played (SARSA's question). follow="choice": the
action that the policy *would* take now, written into a landing column; the log's steps are still the real ones, since
what (s, a) leads to does not depend on the policy (the question of least-squares policy iteration, Lagoudakis and Parr
2003).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from icrl_teach._door import door
from icrl_teach._progress import no_tick
from icrl_teach._validate import (
    ArrayLike,
    Count,
    Discount,
    Natural,
    Probability,
    Seed,
    check_gamma,
    shown,
    whole_numbers,
)
from icrl_teach.control import epsilon_greedy_policy, improved
from icrl_teach.environments import Game, rollout
from icrl_teach.features import one_hot
from icrl_teach.mrp import Trajectory
from icrl_teach.prompt import reward_row, trajectory_prompt, value_row
from icrl_teach.transformer import SoftmaxTransformer, td_error_row

Follow = Literal["choice", "taken"]
Memory = Literal["all", "last"]
NETWORK_LIMIT = 1_000  # columns: attention between more of them takes the operator form
TAU = 12.0  # sharpness of the one-hot features that stand in where none are given


# Pairs


@door
def pair_features(
    state_features: Annotated[ArrayLike, "n_states d"], action_features: Annotated[ArrayLike, "n_actions k"]
) -> Float[np.ndarray, "pairs d_times_k"]:
    """Features of pairs: all products of a feature of s and one of a. Row s * A + a belongs to (s, a); (S*A, d*k).

    Inner products multiply, <x(s, a), x(s', a')> = <x(s), x(s')> <y(a), y(a')>: two pairs are alike where both their
    states and their actions are. One-hot states and actions give one-hot pairs.

    >>> pair_features([[1.0], [2.0]], [[1.0, 0.0], [0.0, 1.0]]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 2.0]]
    """
    return np.kron(np.asarray(state_features), np.asarray(action_features))


@door
def pair_trajectory(
    log: Trajectory,
    n_actions: Count,
    choice: Int[np.ndarray, " n_states"],
    follow: Follow = "choice",
    imagined: float | None = None,
    trials: Count = 1,
) -> Trajectory:
    """A log as a trajectory of pairs s * A + a, ready for `trajectory_prompt`.

    log: with actions; choice: (S,), the action that the policy takes in each state. follow: what stands behind a step
    that did not terminate, see the module ("taken" falls back on choice where the recording stops).
    imagined: if given, a pair that was tried fewer than `trials` times is represented by one imagined step that pays
    this and terminates, instead of its own steps: optimism that leaves the prompt when enough real steps are in.
    Columns are saved where the next one happens to be the pair that follows; answers do not depend on it.

    Raises ValueError for a log without actions, or with more actions than n_actions or more states than choice.

    >>> log = Trajectory([0, 1, 0], [0.0, 1.0], terminated=[False, True], actions=[1, 0])
    >>> pair_trajectory(log, 2, np.array([0, 1])).states.tolist()  # (0, 1), its landing (1, 1), (1, 0), the query
    [1, 3, 2, 2]
    """
    _check_log(log, n_actions, choice)
    states, rewards, following, ended, _, actions = log.transitions
    assert actions is not None
    pairs, n_pairs = states * n_actions + actions, len(choice) * n_actions
    chosen = choice[np.maximum(following, 0)]
    if follow == "taken":
        goes_on = np.append(log.source[1:-1], False)[log.source[:-1]]  # the next position is a step of its own
        chosen = np.where(goes_on, np.roll(actions, -1), chosen)
    onward = np.where(ended, -1, following * n_actions + chosen)
    if imagined is not None:
        doubtful = np.flatnonzero(np.bincount(pairs, minlength=n_pairs) < trials)
        kept = ~np.isin(pairs, doubtful)
        pairs, onward = np.append(pairs[kept], doubtful), np.append(onward[kept], np.full(len(doubtful), -1))
        rewards = np.append(rewards[kept], np.full(len(doubtful), imagined))
        ended = np.append(ended[kept], np.ones(len(doubtful), dtype=bool))
    apart = ~ended & np.append(onward[:-1] != pairs[1:], True)  # a landing holds the pair that follows
    names = [f"{state}, {a}" for state in log.labels or range(len(choice)) for a in range(n_actions)]
    return Trajectory.of_transitions(pairs, rewards, onward, ended, apart, labels=names[:n_pairs])


def _check_log(log: Trajectory, n_actions: int, choice: np.ndarray) -> None:
    if log.actions is None:
        raise ValueError("log has no actions; acting needs to know what was done: rollout records it")
    if (most := int(log.actions.max())) >= n_actions:
        raise ValueError(f"log holds the action {most}, and n_actions is {n_actions}; give at least {most + 1}")
    if (most := int(log.states.max())) >= len(choice):
        raise ValueError(f"log holds the state {most}, and choice has {len(choice)} entries; give one for each state")
    if (wrong := choice[(choice < 0) | (choice >= n_actions)]).size:
        raise ValueError(f"choice holds {wrong[0]}; the actions are 0 to {n_actions - 1}")


def joined(logs: Sequence[Trajectory]) -> Trajectory:
    """Several logs as one; what a log breaks off in the middle of is cut there."""
    parts = [log.transitions for log in logs]
    cut = [np.append(part.truncated[:-1], ~part.terminated[-1]) for part in parts]
    s, r, following, ended, _, actions = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    labels = logs[0].labels
    return Trajectory.of_transitions(s, r, following, ended, np.concatenate(cut), labels=labels, actions=actions)


# Answers: two forms


def _checked_table(pairs: Trajectory, features: ArrayLike) -> np.ndarray:
    table = np.asarray(features)
    if len(table) <= (most := int(pairs.states.max())):
        raise ValueError(f"features has {len(table)} rows, and pairs holds the pair {most}: give a row for each pair")
    return table


@door
def action_values(
    network: SoftmaxTransformer,
    pairs: Trajectory,
    features: Annotated[ArrayLike, "pairs d"],
    n_actions: Count,
    states: ArrayLike | None = None,
) -> Float[np.ndarray, "asked n_actions"]:
    """q(s, .) of the states asked about, (len(states), A), read from the network's query columns; all if not given.

    pairs: a log as `pair_trajectory` gives it; features: (S*A, d), a row for each pair. One column for each pair asked
    about stands at the end of the prompt: it listens and teaches nobody.
    Raises ValueError for features that don't fit the network or n_actions, or a state without a row.
    """
    table = _checked_table(pairs, features)
    if len(table) % n_actions:
        raise ValueError(f"features has {len(table)} rows, no multiple of n_actions = {n_actions}: give S*A rows")
    if table.shape[1] != network.d:
        raise ValueError(f"features has {table.shape[1]} columns; this network reads {network.d}: build it with this d")
    n_states = len(table) // n_actions
    asked = np.arange(n_states) if states is None else whole_numbers("states", states)
    if not asked.size or asked.max() >= n_states:
        raise ValueError(f"states is {shown(asked.tolist())}; ask about at least one of the states 0 to {n_states - 1}")
    queries = (asked[:, None] * n_actions + np.arange(n_actions)).ravel()
    with torch.no_grad():
        answers = network.values(trajectory_prompt(pairs, table, queries=queries))
    return answers[-len(queries) :].numpy().reshape(-1, n_actions)


@door
def pair_values(
    pairs: Trajectory,
    features: Annotated[ArrayLike, "pairs d"],
    gamma: Discount,
    n_layers: Natural,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Float[np.ndarray, " pairs"]:
    """The operator form of the network's answers, for every pair: v_{l+1} = v_l + alpha K e_l, (S*A,).

    e_l(p): the sum of the TD errors of p's steps; K(p, p'): the weight that p gives to one step of p'. Equal steps
    are counted once, so a layer costs as much as there are different steps, however long the log is. With one-hot
    features no matrix is needed: a pair hears its own steps exp(beta |x|^2) times as loud as each other step.
    Raises ValueError for a pair without a row, gamma outside [0, 1) (or 1 where nothing terminates).
    """
    table = _checked_table(pairs, features)
    s, rewards, following, ended, _, _ = pairs.transitions
    gamma, n = check_gamma(gamma, ends=bool(ended.any())), len(table)
    visits, paid = np.bincount(s, minlength=n).astype(float), np.bincount(s, rewards, n)
    steps, times = np.unique(s[~ended] * n + following[~ended], return_counts=True)
    source, onward = np.divmod(steps, n)
    hear = _listening(table, visits, beta)
    v = np.zeros(n)
    for _ in range(n_layers):
        errors = paid + gamma * np.bincount(source, times * v[onward], n) - visits * v
        v = v + alpha * hear(errors)
    return v


def _listening(features: np.ndarray, visits: np.ndarray, beta: float) -> Callable[[np.ndarray], np.ndarray]:
    """errors summed by pair, (S*A,) -> their weighted mean as each pair hears it, (S*A,)."""
    n, seen = visits.sum(), visits > 0
    if features.shape[0] == features.shape[1] and np.count_nonzero(features) == np.count_nonzero(features.diagonal()):
        own = np.where(seen, beta * features.diagonal() ** 2, 0.0)  # the score of its own steps; all others have 0
        top = np.where(visits == n, own, np.maximum(own, 0.0))
        loud, soft = np.exp(own - top), np.exp(-np.where(visits == n, np.inf, top))  # alone, it hears itself alone
        total = soft * (n - visits) + loud * visits
        return lambda errors: (soft * (errors.sum() - errors) + loud * errors) / total
    scores = beta * features @ features[seen].T
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    K = exp / (exp @ visits[seen])[:, None]
    return lambda errors: K @ errors[seen]


def theorem_1_scales(network: SoftmaxTransformer) -> tuple[float, float] | None:
    """(alpha, beta) of a network that holds Theorem 1's weights, in every layer the same; None of any other."""
    if not network.scores_are_fixed() or network.block != "shift":
        return None
    d, A, V = network.d, network.A[0], network.V
    row, unit = V[:, value_row(d)], td_error_row(d, V.dtype)
    alpha, beta = row[0, reward_row(d)], A[0, 0]
    plain = torch.equal(A[:d, :d], beta * torch.eye(d, dtype=A.dtype)) and torch.equal(
        row, (alpha * unit).expand_as(row)
    )
    return (float(alpha), float(beta)) if plain else None


@door
def weights_digest(network: torch.nn.Module) -> str:
    """SHA-256 of all parameters: equal before and after means that no weight moved."""
    digest = hashlib.sha256()
    for parameter in network.parameters():
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# The loop


@dataclass(frozen=True, eq=False)
class Round:
    """What one round of play and questions left behind.

    steps: real steps so far; episodes, mean_return: those that ended or were cut in this round (but not one that was
    cut at its very last step), and their mean sum of rewards while exploring (None if there were none); q: (S, A), the
    last answers; choice: (S,), the greedy policy after them; visits: (S, A), how often each pair was tried so far;
    asks: prompts that were read; columns of the last; reader: "network" or "operator".
    """

    steps: int
    episodes: int
    mean_return: float | None
    q: Float[np.ndarray, "n_states n_actions"]
    choice: Int[np.ndarray, " n_states"]
    visits: Int[np.ndarray, "n_states n_actions"]
    asks: int
    columns: int
    reader: str

    @property
    def policy(self) -> Float[np.ndarray, "n_states n_actions"]:
        """The greedy policy as an (S, A) array."""
        return np.eye(self.q.shape[1])[self.choice]


@dataclass(frozen=True, eq=False)
class Acting:
    """A run of `improve_in_context`: its rounds, the states' names, the digest of the weights, which never moved."""

    rounds: tuple[Round, ...]
    labels: tuple[str, ...]
    digest: str

    @property
    def policy(self) -> Float[np.ndarray, "n_states n_actions"]:
        """The greedy policy at the end."""
        return self.rounds[-1].policy


@door
def improve_in_context(
    env: Any,
    network: SoftmaxTransformer,
    rounds: Count,
    steps: Count,
    epsilon: Probability = 0.1,
    seed: Seed = 0,
    *,
    features: Annotated[ArrayLike, "pairs d"] | None = None,
    memory: Memory = "all",
    follow: Follow = "choice",
    imagined: float | Literal["best"] | None = None,
    trials: Count = 1,
    asks: Count = 20,
    tick: Callable[[str], Any] = no_tick,
) -> Acting:
    """Play, put the steps into the prompt, ask the frozen network, play what it favours: `rounds` times.

    env: a Gymnasium environment with numbered observations, or its name; network: one that reads d features of pairs,
    for example `SoftmaxTransformer.constructed(S * A, 200, 0.99)`; steps: real steps a round; the first round plays
    at random, later ones epsilon-greedily on the last answers.
    features: (S*A, d), one-hot with tau 12 if not given; memory: which rounds the prompt holds; follow, trials:
    see `pair_trajectory`; imagined: what an untried pair is said to pay, "best" for the largest reward so far, None for
    no such step; asks: with follow="choice" the network is asked again, about the new choice, until no choice
    changes, at most so often, 20 times if not given. `tick(stage)` is called once a round.

    Short prompts are read by the network, longer ones (over NETWORK_LIMIT columns) by its operator form, which needs
    Theorem 1's weights. Raises ValueError for anything that does not fit; RuntimeError if a weight has moved.
    """
    game, digest, scales = Game(env), weights_digest(network), theorem_1_scales(network)
    shape = (game.n_states, game.n_actions)
    table = one_hot(shape[0] * shape[1], TAU) if features is None else np.asarray(features)
    if len(table) != shape[0] * shape[1]:
        raise ValueError(
            f"features has {len(table)} rows; {shape[0]} states and {shape[1]} actions need {np.prod(shape)}"
        )
    rng, logs, done = np.random.default_rng([seed, 4]), [], []
    q, choice = np.zeros(shape), rng.integers(shape[1], size=shape[0])
    for k in range(rounds):
        tick(f"round {k + 1}")
        policy = epsilon_greedy_policy(q, epsilon if k else 1.0)
        logs.append(rollout(game.env, policy, steps, seed * 10_000 + k, episodes="terminal"))
        log = joined(logs if memory == "all" else logs[-1:])
        hoped = max(float(each.rewards.max()) for each in logs) if imagined == "best" else imagined
        for asked in range(1, asks + 1):  # noqa: B007 (how often is told)
            pairs = pair_trajectory(log, shape[1], choice, follow, hoped, trials)
            q, reader = _answers(network, scales, pairs, table, shape[1])
            before, choice = choice, improved(q, choice, rng)
            if follow == "taken" or (choice == before).all():
                break
        done.append(_round(logs, q, choice, asked, len(pairs.states), reader))
    if weights_digest(network) != digest:
        raise RuntimeError("a weight of the network moved while it read; nothing may change it: use a frozen network")
    return Acting(tuple(done), game.labels, digest)


def _answers(
    network: SoftmaxTransformer,
    scales: tuple[float, float] | None,
    pairs: Trajectory,
    features: np.ndarray,
    n_actions: int,
) -> tuple[np.ndarray, str]:
    """q for all pairs, (S, A), and who read the prompt. scales: the network's, as `theorem_1_scales` gives them."""
    columns = len(pairs.states) + len(features)
    if columns <= NETWORK_LIMIT:
        return action_values(network, pairs, features, n_actions), "network"
    if scales is None:
        raise ValueError(
            f"network has other weights than Theorem 1's, and the prompt {columns:,} columns; only that network has an "
            f"operator form: use fewer steps or rounds, for at most {NETWORK_LIMIT:,} columns"
        )
    values = pair_values(pairs, features, network.gamma, network.n_layers, *scales)
    return values.reshape(-1, n_actions), "operator"


def _round(
    logs: Sequence[Trajectory], q: np.ndarray, choice: np.ndarray, asks: int, columns: int, reader: str
) -> Round:
    steps = [log.transitions for log in logs]
    stops = steps[-1].terminated | steps[-1].truncated
    ends = np.flatnonzero(stops)
    finished = float(steps[-1].rewards[: ends[-1] + 1].sum()) / len(ends) if len(ends) else None
    pairs = np.concatenate([s * q.shape[1] + a for s, _, _, _, _, a in steps if a is not None])
    visits = np.bincount(pairs, minlength=q.size).reshape(q.shape)
    return Round(len(pairs), len(ends), finished, q, choice, visits, asks, columns, reader)
