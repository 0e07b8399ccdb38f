"""Features x(s): one row for each state. Positions of a trajectory take `features[trajectory.states]`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Float

from icrl_teach._door import door
from icrl_teach._validate import ArrayLike, Count, Positive, finite_array
from icrl_teach.mrp import Trajectory


@door
def one_hot(n_states: Count, tau: Positive = 1.0) -> Float[np.ndarray, "{n_states} {n_states}"]:
    """Row s is sqrt(tau) e_s, so that <x(s), x(s)> = tau and all other inner products are 0.

    tau > 0 is the sharpness: the larger, the closer softmax attention comes to a table (section 2, case 3).
    Raises ValueError for n_states < 1 or tau <= 0.

    >>> one_hot(2, tau=4.0).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    return np.sqrt(tau) * np.eye(n_states)


@door
def random_features(n_states: Count, d: Count, rng: np.random.Generator) -> Float[np.ndarray, "{n_states} {d}"]:
    """Random unit vectors, one for each state, uniform on the sphere in d dimensions.

    Raises ValueError for n_states < 1 or d < 1.
    """
    features = rng.standard_normal((n_states, d))
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@door
def aggregation(n_states: Count, n_groups: Count, tau: Positive = 1.0) -> Float[np.ndarray, "{n_states} {n_groups}"]:
    """State aggregation (Sutton and Barto, section 9.3): neighbouring states share one one-hot feature.

    The states 0..n_states-1 are cut into n_groups runs of nearly equal length.
    Raises ValueError unless 1 <= n_groups <= n_states.

    >>> aggregation(4, 2).tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    if n_groups > n_states:
        raise ValueError(f"n_groups is {n_groups}, more than the {n_states} states; use at most one group a state")
    return one_hot(n_groups, tau)[np.arange(n_states) * n_groups // n_states]


def feature_table(trajectory: Trajectory, state_features: ArrayLike) -> Float[np.ndarray, "n_states d"]:
    """The checked table of features. Raises ValueError if the trajectory holds a state without a row."""
    table = finite_array("state_features", state_features, 2)
    largest = int(trajectory.states.max())
    if largest >= len(table):
        raise ValueError(
            f"state_features has {len(table)} rows but the trajectory visits state {largest}: "
            f"give at least {largest + 1} rows"
        )
    return table


@door
def position_features(
    trajectory: Trajectory, state_features: Annotated[ArrayLike, "n_states d"]
) -> Float[np.ndarray, "n_plus_1 d"]:
    """The features of every position of a trajectory: row j is x(S_j).

    Raises ValueError if the trajectory holds a state that has no row in `state_features`.
    """
    return feature_table(trajectory, state_features)[trajectory.states]
