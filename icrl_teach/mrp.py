"""Markov reward processes and the trajectories they produce (mathematics, section 1)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from icrl_teach._validate import ArrayLike, check_count, check_gamma, finite_array, probability_rows


def _check_labels(labels: Sequence[str] | None, least: int, exact: bool) -> tuple[str, ...] | None:
    if labels is None:
        return None
    names = tuple(str(label) for label in labels)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"labels holds {twice!r} twice; every state needs a name of its own")
    if len(names) < least or (exact and len(names) != least):
        raise ValueError(f"labels has {len(names)} names; the data has {least} states: give one name for each")
    return names


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a learner sees: S_0, R_1, S_1, R_2, ..., R_n, S_n.

    states: (n+1,) whole numbers from 0; rewards: (n,) finite, `rewards[k]` is R_{k+1}, received on leaving
    `states[k]`; labels: one name for each state, optional. The last state is the query: it has no reward yet.

    Raises ValueError for fewer than one transition, lengths that don't fit, a negative state, a reward
    that is NaN or infinite, or too few labels.

    >>> t = Trajectory([0, 1, 0], [1.0, -1.0])
    >>> t.n_steps, t.n_states
    (2, 2)
    """

    states: Int[np.ndarray, " n_plus_1"]
    rewards: Float[np.ndarray, " n"]
    labels: tuple[str, ...] | None = None

    def __init__(self, states: ArrayLike, rewards: ArrayLike, labels: Sequence[str] | None = None) -> None:
        rewards = finite_array("rewards", rewards, 1)
        raw = finite_array("states", states, 1)
        indices = raw.astype(np.int64)
        if len(rewards) < 1:
            raise ValueError("rewards is empty; a context needs at least one transition (two states, one reward)")
        if len(indices) != len(rewards) + 1:
            raise ValueError(
                f"states has {len(indices)} entries and rewards {len(rewards)}; "
                "there must be one more state than rewards (the last state is the query)"
            )
        if (indices != raw).any() or (indices < 0).any():
            bad = raw[(indices != raw) | (indices < 0)][0]
            raise ValueError(f"states holds {bad}; states are whole numbers from 0 upwards")
        object.__setattr__(self, "states", indices)
        object.__setattr__(self, "rewards", rewards)
        object.__setattr__(self, "labels", _check_labels(labels, int(indices.max()) + 1, exact=False))
        for array in (indices, rewards):
            array.setflags(write=False)

    @property
    def n_steps(self) -> int:
        """Number of transitions n."""
        return len(self.rewards)

    @property
    def n_states(self) -> int:
        """Number of states: that of the labels, or the largest index seen plus one."""
        return len(self.labels) if self.labels is not None else int(self.states.max()) + 1

    def visits(self, n_states: int | None = None) -> Int[np.ndarray, " n_states"]:
        """How often each state was left: n_s = #{k : S_{k-1} = s}. The query state at the end is not counted."""
        return np.bincount(self.states[:-1], minlength=self.n_states if n_states is None else n_states)

    def index(self, label: str) -> int:
        """Index of the state with this name. Raises ValueError, listing the names, if there is none."""
        names = self.labels if self.labels is not None else tuple(str(s) for s in range(self.n_states))
        if label not in names:
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise ValueError(f"state {label!r} does not occur in the data; the states are: {shown}")
        return names.index(label)


@dataclass(frozen=True, eq=False)
class MarkovRewardProcess:
    """A finite Markov reward process (P, r, gamma, p0).

    transition: P, (S, S), rows sum to 1; reward: r, (S,), the mean reward on leaving a state; gamma in [0, 1);
    start: p0, (S,), uniform if not given; labels: one name for each state, optional.

    Raises ValueError, naming the argument, for a row that does not sum to 1, a negative probability, NaN or
    infinity, gamma outside [0, 1), or shapes that don't fit.

    >>> mrp = MarkovRewardProcess([[0.0, 1.0], [1.0, 0.0]], [1.0, 0.0], gamma=0.5)
    >>> mrp.value().round(3).tolist()
    [1.333, 0.667]
    """

    transition: Float[np.ndarray, "n_states n_states"]
    reward: Float[np.ndarray, " n_states"]
    gamma: float
    start: Float[np.ndarray, " n_states"]
    labels: tuple[str, ...] | None = None
    _cumulative: list[list[float]] = field(default_factory=list, repr=False)

    def __init__(
        self,
        transition: ArrayLike,
        reward: ArrayLike,
        gamma: float,
        start: ArrayLike | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        reward = finite_array("reward", reward, 1)
        n = len(reward)
        if n < 1:
            raise ValueError("reward is empty; a process needs at least one state")
        transition = probability_rows("transition", transition, (n, n))
        start = np.full(n, 1.0 / n) if start is None else probability_rows("start", start, (n,))
        for name, value in (("transition", transition), ("reward", reward), ("start", start)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "gamma", check_gamma(gamma))
        object.__setattr__(self, "labels", _check_labels(labels, n, exact=True))
        object.__setattr__(self, "_cumulative", [])

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return len(self.reward)

    def value(self) -> Float[np.ndarray, " n_states"]:
        """The exact value: the solution of the Bellman equation v = r + gamma P v (section 1)."""
        return np.linalg.solve(np.eye(self.n_states) - self.gamma * self.transition, self.reward)

    def stationary_distribution(self) -> Float[np.ndarray, " n_states"]:
        """The distribution mu with mu P = mu; zero on states that are left for ever.

        Raises ValueError if the chain falls apart into several closed parts, so that mu is not unique.
        """
        closed = _closed_class(self.transition)
        inside = self.transition[np.ix_(closed, closed)]
        # mu (P - I) = 0 has rank S - 1 on a closed class; one equation is replaced by sum(mu) = 1.
        equations = inside.T - np.eye(len(closed))
        equations[-1] = 1.0
        right = np.zeros(len(closed))
        right[-1] = 1.0
        mu = np.zeros(self.n_states)
        mu[closed] = np.clip(np.linalg.solve(equations, right), 0.0, None)
        return mu / mu.sum()

    def sample(self, n_steps: int, rng: np.random.Generator, start: int | None = None) -> Trajectory:
        """Walk `n_steps` transitions, from `start` or from a state drawn from p0. R_{t+1} = r(S_t).

        Raises ValueError if n_steps < 1 or if `start` is not a state.
        """
        n_steps = check_count("n_steps", n_steps)
        if start is not None and (start := check_count("start", start, 0)) >= self.n_states:
            raise ValueError(f"start is {start}; the states are 0 to {self.n_states - 1}")
        if not self._cumulative:
            self._cumulative.extend(_cumulative_rows(self.transition))
        uniforms = rng.random(n_steps + 1).tolist()
        first = bisect_right(_cumulative_rows(self.start[None])[0], uniforms[0]) if start is None else start
        states = [first]
        for u in uniforms[1:]:
            states.append(bisect_right(self._cumulative[states[-1]], u))
        visited = np.array(states)
        return Trajectory(visited, self.reward[visited[:-1]], self.labels)


def _cumulative_rows(probabilities: np.ndarray) -> list[list[float]]:
    """Cumulative sums as lists. Everything from a row's last possible state on is infinite, so that rounding
    in the sum can never select a state of probability 0."""
    cumulative = probabilities.cumsum(axis=1)
    n = probabilities.shape[1]
    last_possible = n - 1 - np.argmax(probabilities[:, ::-1] > 0, axis=1)
    cumulative[np.arange(n) >= last_possible[:, None]] = np.inf
    return cumulative.tolist()


def _closed_class(transition: np.ndarray) -> np.ndarray:
    """Indices of the one class of states that can reach each other and cannot be left."""
    n = len(transition)
    reach = (transition > 0) | np.eye(n, dtype=bool)
    for _ in range(int(np.ceil(np.log2(max(n, 2))))):  # squaring doubles the path length
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    recurrent = np.array([bool(reach[reach[s], s].all()) for s in range(n)])
    first = int(np.argmax(recurrent))
    closed = np.flatnonzero(reach[first])
    if len(closed) != recurrent.sum():
        other = int(next(s for s in np.flatnonzero(recurrent) if s not in closed))
        raise ValueError(
            f"transition has no unique stationary distribution: states {first} and {other} are never connected, "
            "in either direction; restrict the process to one closed part"
        )
    return closed
