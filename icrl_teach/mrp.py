"""Markov reward processes and the trajectories they produce (mathematics, section 1)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from icrl_teach._door import door
from icrl_teach._validate import (
    ArrayLike,
    Count,
    Discount,
    Natural,
    check_gamma,
    check_one_more,
    finite_array,
    flag_array,
    probability_rows,
    shown,
    whole_numbers,
)


def _check_labels(labels: Sequence[str] | None, least: int, exact: bool) -> tuple[str, ...] | None:
    if labels is None:
        return None
    names = tuple(str(label) for label in labels)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"labels holds {shown(twice)} twice; every state needs a name of its own")
    if len(names) < least or (exact and len(names) != least):
        raise ValueError(f"labels has {len(names)} names; the data has {least} states: give one name for each")
    return names


def _check_length(name: str, array: np.ndarray, n: int) -> None:
    if len(array) != n:
        raise ValueError(f"{name} has shape {array.shape}; it must have shape {(n,)}")


def _flags(name: str, value: ArrayLike | None, n: int) -> np.ndarray:
    return np.zeros(n, dtype=bool) if value is None else flag_array(name, value, (n,))


def _check_ends(rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> None:
    """Raise ValueError where flags contradict each other, or a landing has a reward or an ending."""
    if (both := np.flatnonzero(terminated & truncated)).size:
        raise ValueError(
            f"terminated and truncated are both set at {both[0]}; a step that terminated has no landing state: "
            "unset truncated there (of_transitions does so by itself)"
        )
    landing = np.flatnonzero(truncated[:-1]) + 1
    if (wrong := landing[(rewards[landing] != 0) | terminated[landing] | truncated[landing]]).size:
        raise ValueError(
            f"position {wrong[0]} is the landing state of the walk truncated before it, but has a reward or an ending; "
            "a landing has reward 0 and no flag: insert it between the walks (of_transitions does so by itself)"
        )


def _check_joined(states: np.ndarray, next_states: np.ndarray, ended: np.ndarray) -> None:
    if (next_states[~ended] < 0).any():
        raise ValueError("next_states holds -1 for a step that did not terminate; give its next state, from 0 upwards")
    apart = np.flatnonzero(~ended[:-1] & (next_states[:-1] != states[1:]))
    if apart.size:
        k = int(apart[0])
        raise ValueError(
            f"step {k} leads to state {next_states[k]} but step {k + 1} leaves state {states[k + 1]}; steps of one "
            f"walk must connect: flag step {k} as terminated or truncated if a new walk begins there"
        )


class Transitions(NamedTuple):
    """The transitions of a trajectory without its layout, each array (n,).

    next_states is -1 where the transition terminated: nothing follows. actions is None if none were recorded.
    """

    states: Int[np.ndarray, " n"]
    rewards: Float[np.ndarray, " n"]
    next_states: Int[np.ndarray, " n"]
    terminated: Bool[np.ndarray, " n"]
    truncated: Bool[np.ndarray, " n"]
    actions: Int[np.ndarray, " n"] | None


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a learner sees: S_0, R_1, S_1, R_2, ..., R_m, S_m, in one walk or in several, one after the other.

    states: (m+1,) whole numbers from 0; rewards: (m,) finite, `rewards[j]` is received on leaving `states[j]`;
    labels: one name for each state, optional. The last state is the query: it has no reward yet.

    Walks that end carry flags, (m,) each, about the transition that leaves position j. terminated: nothing follows,
    the target is the reward alone; the next walk begins at j+1. truncated: the recording stopped; `states[j+1]` is
    the real state it stopped in, a *landing* position that is no source (its reward must be 0), and the next walk
    begins at j+2. Without flags there is one endless walk. actions: (m,) whole numbers from 0 (-1 on landings),
    optional.

    Positions, not transitions, are stored, because position j is column j of the prompt: `source` and `continues`
    are that column's flags, and features, rewards and values line up without an index map. `of_transitions` takes
    the form in which other libraries keep their steps, and `transitions` gives it back.

    Raises ValueError for fewer than one transition, lengths that don't fit, a negative state, a reward
    that is NaN or infinite, flags that contradict each other, or too few labels.

    >>> t = Trajectory([0, 1, 0], [1.0, -1.0])
    >>> t.n_steps, t.n_states
    (2, 2)
    >>> Trajectory([0, 1, 0], [0.0, 1.0], terminated=[False, True]).continues.tolist()
    [True, False, False]
    """

    states: Int[np.ndarray, " m_plus_1"]
    rewards: Float[np.ndarray, " m"]
    labels: tuple[str, ...] | None
    terminated: Bool[np.ndarray, " m"]
    truncated: Bool[np.ndarray, " m"]
    actions: Int[np.ndarray, " m"] | None

    @door
    def __init__(
        self,
        states: ArrayLike,
        rewards: ArrayLike,
        labels: Sequence[Any] | None = None,
        *,
        terminated: ArrayLike | None = None,
        truncated: ArrayLike | None = None,
        actions: ArrayLike | None = None,
    ) -> None:
        rewards = finite_array("rewards", rewards, 1)
        indices = whole_numbers("states", states)
        check_one_more("states", indices.shape, rewards.shape)
        ends = {
            name: _flags(name, f, len(rewards)) for name, f in (("terminated", terminated), ("truncated", truncated))
        }
        _check_ends(rewards, **ends)
        arrays = {"states": indices, "rewards": rewards, **ends}
        if actions is not None:
            arrays["actions"] = whole_numbers("actions", actions, least=-1)
            _check_length("actions", arrays["actions"], len(rewards))
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if actions is None:
            object.__setattr__(self, "actions", None)
        object.__setattr__(self, "labels", _check_labels(labels, int(indices.max()) + 1, exact=False))

    @classmethod
    @door
    def of_transitions(
        cls,
        states: ArrayLike,
        rewards: ArrayLike,
        next_states: ArrayLike,
        terminated: ArrayLike | None = None,
        truncated: ArrayLike | None = None,
        *,
        labels: Sequence[Any] | None = None,
        actions: ArrayLike | None = None,
        query: Natural | None = None,
    ) -> Trajectory:
        """The trajectory of steps (state, reward, next state, terminated, truncated), (n,) each, in order.

        Where a step is both terminated and truncated it terminated. The next state of a terminated step is not read.
        query: the last state; by default the state the last walk stopped in, or, if that walk terminated, the state
        it began in. Raises ValueError as the constructor does, and where a step that has not ended leads to another
        state than the one the next step leaves.

        >>> t = Trajectory.of_transitions([0, 1, 0], [0.0, 1.0, 0.0], [1, 2, 1], [False, True, False])
        >>> t.states.tolist(), t.source.tolist()
        ([0, 1, 0, 1], [True, True, True, False])
        """
        s, r = whole_numbers("states", states), finite_array("rewards", rewards, 1)
        n = len(s)
        if n < 1:
            raise ValueError("states is empty; a context needs at least one transition")
        following = whole_numbers("next_states", next_states, least=-1)
        for name, array in (("rewards", r), ("next_states", following)):
            _check_length(name, array, n)
        ended = _flags("terminated", terminated, n)
        cut = _flags("truncated", truncated, n) & ~ended
        _check_joined(s, following, ended | cut)
        if not ended[-1] and query is not None:
            cut[-1] = True  # the state it stopped in gets a landing of its own, and the query stands behind it
        elif not ended[-1]:
            query, cut[-1] = int(following[-1]), False
        begins = np.flatnonzero(np.r_[True, (ended | cut)[:-1]])
        last = int(s[begins[-1]]) if query is None else query
        at = np.flatnonzero(cut) + 1  # a landing stands before the step that follows it

        def with_landings(array: np.ndarray, filler: ArrayLike) -> np.ndarray:
            return np.insert(array, at, filler)

        return cls(
            np.append(with_landings(s, following[cut]), last),
            with_landings(r, 0.0),
            labels,
            terminated=with_landings(ended, False),
            truncated=with_landings(cut, False),
            actions=None if actions is None else with_landings(whole_numbers("actions", actions), -1),
        )

    @property
    def source(self) -> Bool[np.ndarray, " m_plus_1"]:
        """Whether position j has a reward and teaches: not the landings, not the query."""
        return np.r_[True, ~self.truncated[:-1], False]

    @property
    def continues(self) -> Bool[np.ndarray, " m_plus_1"]:
        """Whether the value of position j+1 is carried over to position j: a source that did not terminate."""
        return self.source & np.r_[~self.terminated, False]

    @property
    def transitions(self) -> Transitions:
        """Its transitions, one entry each, in order: what `of_transitions` takes."""
        source = self.source[:-1]
        following = np.where(self.continues[:-1], self.states[1:], -1)
        arrays = (self.states[:-1], self.rewards, following, self.terminated, self.truncated)
        s, r, s_next, terminated, truncated = (array[source] for array in arrays)
        return Transitions(s, r, s_next, terminated, truncated, None if self.actions is None else self.actions[source])

    @property
    def n_steps(self) -> int:
        """Number of transitions n: the m positions before the query without the landings."""
        return int(self.source.sum())

    @property
    def n_states(self) -> int:
        """Number of states: that of the labels, or the largest index seen plus one."""
        return len(self.labels) if self.labels is not None else int(self.states.max()) + 1

    @door
    def visits(self, n_states: Count | None = None) -> Int[np.ndarray, " n_states"]:
        """How often each state was left: n_s = #{k : S_{k-1} = s}. Landings and the query are not counted."""
        left = self.states[self.source]
        return np.bincount(left, minlength=self.n_states if n_states is None else n_states)

    @door
    def index(self, label: str) -> int:
        """Index of the state with this name. Raises ValueError, listing the names, if there is none."""
        names = self.labels if self.labels is not None else tuple(str(s) for s in range(self.n_states))
        if label not in names:
            known = ", ".join(name[:40] for name in names[:10]) + (", ..." if len(names) > 10 else "")
            raise ValueError(f"state {shown(label)} does not occur in the data; the states are: {known}")
        return names.index(label)


def never_ending(states: np.ndarray, next_states: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The states among `states` from which no state of `ends`, (S,) flags, can be reached by the given steps."""
    reaches, size = ends.copy(), -1
    while size != (size := int(reaches.sum())):
        reaches[states[reaches[next_states]]] = True
    return np.unique(states[~reaches[states]])


def check_trajectory_gamma(trajectory: Trajectory, gamma: float) -> float:
    """The discount as a float; 1 passes where a termination can be reached from every state that was left."""
    if gamma != 1.0:
        return check_gamma(gamma)
    s, _, s_next, terminated, _, _ = trajectory.transitions
    ends = np.zeros(trajectory.n_states, dtype=bool)
    ends[s[terminated]] = True
    lost = never_ending(s[~terminated], s_next[~terminated], ends)
    if lost.size:
        name = lost[0] if trajectory.labels is None else repr(trajectory.labels[lost[0]])
        raise ValueError(
            f"gamma is {gamma}; the discount must satisfy 0 <= gamma < 1 where walks go on for ever, and no "
            f"termination can be reached from state {name} in this data; take 0.99, or flag the steps that terminated"
        )
    return check_gamma(gamma, ends=True)


@dataclass(frozen=True, eq=False)
class MarkovRewardProcess:
    """A finite Markov reward process (P, r, gamma, p0), endless or with walks that terminate.

    transition: P, (S, S); reward: r, (S,), the mean reward on leaving a state; gamma in [0, 1); start: p0, (S,),
    uniform if not given; labels: one name for each state, optional; terminal: (S,), the probability that the walk
    terminates on leaving a state, 0 if not given. A row of P and its entry of `terminal` sum to 1 together: so that a
    slip in a row is still found. gamma = 1 is accepted where every state reaches a termination.

    Raises ValueError, naming the argument, for a row that does not sum to 1, a negative probability, NaN or
    infinity, gamma outside [0, 1) (or 1 where walks may go on for ever), or shapes that don't fit.

    >>> mrp = MarkovRewardProcess([[0.0, 1.0], [1.0, 0.0]], [1.0, 0.0], gamma=0.5)
    >>> mrp.value().round(3).tolist()
    [1.333, 0.667]
    >>> MarkovRewardProcess([[0.0, 1.0], [0.0, 0.0]], [0.0, 1.0], gamma=0.9, terminal=[0.0, 1.0]).value().tolist()
    [0.9, 1.0]
    """

    transition: Float[np.ndarray, "n_states n_states"]
    reward: Float[np.ndarray, " n_states"]
    gamma: float
    start: Float[np.ndarray, " n_states"]
    labels: tuple[str, ...] | None
    terminal: Float[np.ndarray, " n_states"]
    _cumulative: list[list[float]] = field(repr=False)

    @door
    def __init__(
        self,
        transition: ArrayLike,
        reward: ArrayLike,
        gamma: Discount,
        start: ArrayLike | None = None,
        labels: Sequence[Any] | None = None,
        terminal: ArrayLike | None = None,
    ) -> None:
        reward = finite_array("reward", reward, 1)
        n = len(reward)
        if n < 1:
            raise ValueError("reward is empty; a process needs at least one state")
        if terminal is None:
            transition, terminal = probability_rows("transition", transition, (n, n)), np.zeros(n)
        else:
            transition, terminal = _split_rows(transition, terminal, n)
        start = np.full(n, 1.0 / n) if start is None else probability_rows("start", start, (n,))
        for name, value in (
            ("transition", transition),
            ("reward", reward),
            ("start", start),
            ("terminal", terminal),
        ):
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "labels", _check_labels(labels, n, exact=True))
        object.__setattr__(self, "gamma", self._check_gamma(gamma))
        object.__setattr__(self, "_cumulative", [])

    def _check_gamma(self, gamma: float) -> float:
        if gamma != 1.0 or not self.terminal.any():
            return check_gamma(gamma)
        states, following = np.nonzero(self.transition)
        lost = never_ending(states, following, self.terminal > 0)
        if lost.size:
            raise ValueError(
                f"gamma is {gamma}; the discount must satisfy 0 <= gamma < 1 where walks go on for ever, and no "
                f"termination can be reached from state {lost[0]}; take 0.99, or let it reach one"
            )
        return check_gamma(gamma, ends=True)

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return len(self.reward)

    def value(self) -> Float[np.ndarray, " n_states"]:
        """The exact value: the solution of the Bellman equation v = r + gamma P v (section 1).

        Where walks terminate P has less than the full weight, and this is the episodic value.
        """
        return np.linalg.solve(np.eye(self.n_states) - self.gamma * self.transition, self.reward)

    def stationary_distribution(self) -> Float[np.ndarray, " n_states"]:
        """The distribution mu with mu P = mu; zero on states that are left for ever.

        Where walks terminate it is that of the process with restart: how often walk after walk visits each state.
        Raises ValueError if the chain falls apart into several closed parts, so that mu is not unique.
        """
        transition = self._with_restart()
        closed = _closed_class(transition)
        inside = transition[np.ix_(closed, closed)]
        # mu (P - I) = 0 has rank S - 1 on a closed class; one equation is replaced by sum(mu) = 1.
        equations = inside.T - np.eye(len(closed))
        equations[-1] = 1.0
        right = np.zeros(len(closed))
        right[-1] = 1.0
        mu = np.zeros(self.n_states)
        mu[closed] = np.clip(np.linalg.solve(equations, right), 0.0, None)
        return mu / mu.sum()

    def restarted(self) -> MarkovRewardProcess:
        """The endless process in which a termination leads to the start distribution, P + terminal p0^T.

        Its value is another one (section 1, episodes). Raises ValueError for gamma = 1.
        """
        return MarkovRewardProcess(self._with_restart(), self.reward, self.gamma, self.start, self.labels)

    def _with_restart(self) -> np.ndarray:
        return self.transition + np.outer(self.terminal, self.start)

    @door
    def sample(self, n_steps: Count, rng: np.random.Generator, start: Natural | None = None) -> Trajectory:
        """Walk `n_steps` transitions, from `start` or from a state drawn from p0. R_{t+1} = r(S_t).

        After a termination, which the trajectory flags, the next walk begins in a state drawn from p0.
        Raises ValueError if n_steps < 1 or if `start` is not a state.
        """
        if start is not None and start >= self.n_states:
            raise ValueError(f"start is {start}; the states are 0 to {self.n_states - 1}")
        if not self._cumulative:  # an outcome more than there are states: the walk terminates
            self._cumulative.extend(cumulative_rows(np.column_stack([self.transition, self.terminal])))
        begin, over = cumulative_rows(self.start[None])[0], self.n_states
        uniforms = rng.random(n_steps + 1).tolist()
        states = [bisect_right(begin, uniforms[0]) if start is None else start]
        terminated = []
        for u in uniforms[1:]:
            following = bisect_right(self._cumulative[states[-1]], u)
            terminated.append(following == over)
            states.append(bisect_right(begin, rng.random()) if following == over else following)
        visited = np.array(states)
        return Trajectory(visited, self.reward[visited[:-1]], self.labels, terminated=terminated)


def _split_rows(transition: ArrayLike, terminal: ArrayLike, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Checked P, (n, n), and terminal, (n,), whose rows sum to 1 together."""
    P, ends = finite_array("transition", transition, 2), finite_array("terminal", terminal, 1)
    if P.shape != (n, n) or ends.shape != (n,):
        raise ValueError(
            f"transition has shape {P.shape} and terminal {ends.shape}; {n} rewards need {(n, n)} and {(n,)}"
        )
    rows = probability_rows("transition with terminal as a last column", np.column_stack([P, ends]), (n, n + 1))
    return rows[:, :-1].copy(), rows[:, -1].copy()


def cumulative_rows(probabilities: np.ndarray) -> list[list[float]]:
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
