"""States out of observations: a number and a name for everything that a Gymnasium space can hold."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import gymnasium as gym
import numpy as np

from icrl_teach._validate import ArrayLike, finite_array

MOST_STATES = 100_000


@dataclass(frozen=True)
class Numbering:
    """labels: what each state means, in the order of their numbers; index: observation -> number.

    `index` raises ValueError for an observation outside its space.
    """

    labels: tuple[str, ...]
    index: Callable[[Any], int]


def number_observations(space: gym.Space[Any], bins: Sequence[ArrayLike] | None = None) -> Numbering:
    """The states of a space: Discrete, MultiDiscrete, MultiBinary, Tuple or Dict of such, or a Box cut by `bins`.

    Raises ValueError for any other space, for bins that don't fit, and for more than 100,000 states.

    >>> numbering = number_observations(gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Discrete(3, start=5)]))
    >>> numbering.labels[numbering.index((1, 6))]
    '(1, 6)'
    """
    if isinstance(space, gym.spaces.Box):
        axes = _cells(space, bins)
    elif bins is not None:
        raise ValueError(f"bins is given, but the observations are {space}; bins are for a Box: leave them out")
    else:
        axes = _axes(space, space)
    count = math.prod(len(labels) for labels, _ in axes)
    if count > MOST_STATES:
        raise ValueError(
            f"env has observation_space {space}, of {count:,} states; at most {MOST_STATES:,} can be numbered: "
            "use coarser bins, or a gymnasium.ObservationWrapper that leaves something out"
        )
    names = product(*(labels for labels, _ in axes))
    single = len(axes) == 1
    labels = tuple(name[0] if single else f"({', '.join(name)})" for name in names)

    def index(observation: Any) -> int:
        number = 0
        for (labels_of_axis, place), part in zip(axes, _parts(space, observation), strict=True):
            number = number * len(labels_of_axis) + place(part)
        return number

    return Numbering(labels, index)


Axis = tuple[tuple[str, ...], Callable[[Any], int]]  # labels, and the place of one number among them


def _axes(space: gym.Space[Any], whole: gym.Space[Any]) -> list[Axis]:
    """One axis for each number that an observation holds, in the order of `_parts`."""
    if isinstance(space, gym.spaces.Discrete):
        return [_whole_numbers(int(space.start), int(space.n), whole)]
    if isinstance(space, gym.spaces.MultiDiscrete):
        pairs = zip(np.ravel(space.start), np.ravel(space.nvec), strict=True)
        return [_whole_numbers(int(start), int(n), whole) for start, n in pairs]
    if isinstance(space, gym.spaces.MultiBinary):
        return [_whole_numbers(0, 2, whole) for _ in range(math.prod(space.shape))]
    if isinstance(space, gym.spaces.Tuple):
        return [axis for member in space.spaces for axis in _axes(member, whole)]
    if isinstance(space, gym.spaces.Dict):
        named = [(key, *axis) for key, member in space.spaces.items() for axis in _axes(member, whole)]
        return [(tuple(f"{key} {label}" for label in labels), place) for key, labels, place in named]
    raise ValueError(
        f"env has observation_space {whole}; it must be Discrete, MultiDiscrete, MultiBinary, a Tuple or Dict of such, "
        "or a Box with bins: wrap the environment (gymnasium.ObservationWrapper)"
    )


def _parts(space: gym.Space[Any], observation: Any) -> Iterable[Any]:
    """The numbers that an observation holds, one after the other."""
    try:
        if isinstance(space, gym.spaces.Dict):
            if set(observation) != set(space.spaces):
                raise KeyError
            return [part for key, member in space.spaces.items() for part in _parts(member, observation[key])]
        if isinstance(space, gym.spaces.Tuple):
            pairs = zip(space.spaces, observation, strict=True)
            return [part for member, each in pairs for part in _parts(member, each)]
        if isinstance(space, gym.spaces.Discrete):
            return [observation]
        array = np.asarray(observation)
        if array.shape != space.shape:
            raise ValueError
        return array.ravel().tolist()
    except (KeyError, TypeError, ValueError):
        raise _outside(observation, space) from None


def _outside(observation: Any, space: gym.Space[Any]) -> ValueError:
    return ValueError(
        f"env gave the observation {observation!r:.80}, which is outside its observation_space {space}: "
        "correct the environment, or its space"
    )


def _whole_numbers(start: int, n: int, space: gym.Space[Any]) -> Axis:
    def place(number: Any) -> int:
        try:
            at = int(number) - start
            inside = 0 <= at < n and number == start + at
        except (TypeError, ValueError, OverflowError):  # also NaN and infinity
            inside = False
        if not inside:
            raise _outside(number, space)
        return at

    return tuple(str(start + i) for i in range(n)), place


def _cells(space: gym.spaces.Box, bins: Sequence[ArrayLike] | None) -> list[Axis]:
    """One axis for each dimension of a Box, cut at its edges."""
    size = math.prod(space.shape)
    if bins is None or len(bins) != size:
        given = "no bins" if bins is None else f"bins for {len(bins)} dimensions"
        raise ValueError(
            f"env has observation_space {space}, and there are {given}; give the edges of {size} dimensions, for "
            f"example bins={[[0.0]] * min(size, 3)}{'...' if size > 3 else ''}, and [] for one to leave out"
        )
    axes = []
    for i, (low, high) in enumerate(zip(space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)):
        edges = finite_array(f"bins[{i}]", bins[i], 1)
        if (np.diff(edges) <= 0).any():
            raise ValueError(f"bins[{i}] is {edges.tolist()}; edges must rise")
        axes.append(_intervals(edges.tolist(), low, high, space))
    return axes


def _intervals(edges: list[float], low: float, high: float, space: gym.Space[Any]) -> Axis:
    names = [f"{edge:g}" for edge in edges]
    inner = [f"{a} to {b}" for a, b in pairwise(names)]
    labels = (f"below {names[0]}", *inner, f"from {names[-1]}") if edges else ("any",)

    def place(number: float) -> int:
        if not low <= number <= high:  # also NaN
            raise _outside(number, space)
        return bisect_right(edges, number)

    return labels, place
