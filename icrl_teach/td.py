"""TD learning with a table and with linear features, and what it converges to (mathematics, section 2).

The TD error is delta_k = R_k + gamma v(S_k) - v(S_{k-1}), k = 1..n (Sutton and Barto, eq. 6.5).
Every function returns all its iterates, first axis = iteration, so that a lesson can plot them.

Walks that end: a `Trajectory` knows its own; functions of bare features and rewards take two flags a position,
(m+1,) each, those of `trajectory.source` and `trajectory.continues`. A position that is no source (a landing, the
query) has no TD error; one that is and does not continue, because it terminated, has R_k - v(S_{k-1}). Without flags
there is one endless walk. gamma = 1 is legal only where walks terminate.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Float

from icrl_teach._door import door
from icrl_teach._validate import ArrayLike, Discount, Natural, check_gamma, column_flags, finite_array
from icrl_teach.mrp import Trajectory, check_trajectory_gamma


def initial_values(name: str, value: ArrayLike | None, length: int) -> np.ndarray:
    """v_0 or w_0: what was given, of this length, or zeros."""
    start = np.zeros(length) if value is None else finite_array(name, value, 1)
    if len(start) != length:
        raise ValueError(f"{name} has {len(start)} entries; it needs {length}")
    return start


@door
def td_errors(
    values: Annotated[ArrayLike, "m+1"],
    rewards: Annotated[ArrayLike, "m"],
    gamma: Discount,
    source: ArrayLike | None = None,
    continues: ArrayLike | None = None,
) -> Float[np.ndarray, " m"]:
    """delta_k = R_k + gamma v(S_k) - v(S_{k-1}) from the values at the positions of a trajectory.

    source, continues: flags of the positions, (m+1,), see above; 0 stands where a position is no source.

    >>> td_errors(np.array([0.0, 1.0, 0.0]), np.array([1.0, 1.0]), gamma=0.5).tolist()
    [1.5, 0.0]
    """
    v, r = np.asarray(values), np.asarray(rewards)
    *flags, gamma = flags_and_gamma(source, continues, gamma, len(v))
    return errors(v, r, gamma, *flags)


def errors(
    values: np.ndarray, rewards: np.ndarray, gamma: float, source: np.ndarray, continues: np.ndarray
) -> np.ndarray:
    """`td_errors` for the inside of loops: nothing is checked."""
    following = np.where(continues[:-1], values[1:], 0.0)
    return np.where(source[:-1], rewards + gamma * following - values[:-1], 0.0)


def flags_and_gamma(
    source: ArrayLike | None, continues: ArrayLike | None, gamma: float, n_columns: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Checked flags and discount. gamma = 1 needs a step that terminated."""
    s, c = column_flags(source, continues, n_columns)
    return s, c, check_gamma(gamma, ends=bool((s & ~c).any()))


@door
def tabular_td(
    trajectory: Trajectory, gamma: Discount, alpha: float, v0: ArrayLike | None = None
) -> Float[np.ndarray, "n_plus_1 n_states"]:
    """Online tabular TD(0): v(S_{k-1}) += alpha delta_k, one step after the other (Sutton and Barto, eq. 6.2).

    Row k holds the table after the first k positions. Raises ValueError for gamma outside [0, 1) (or 1 where some state
    cannot reach a termination), an alpha that is not finite, or a v0 of wrong length.
    """
    gamma, v = check_trajectory_gamma(trajectory, gamma), initial_values("v0", v0, trajectory.n_states)
    history = [v.copy()]
    states, rewards = trajectory.states, trajectory.rewards
    source, continues = trajectory.source, trajectory.continues
    for k in range(len(rewards)):
        s, following = states[k], v[states[k + 1]] if continues[k] else 0.0
        if source[k]:
            v[s] += alpha * (rewards[k] + gamma * following - v[s])
        history.append(v.copy())
    return np.stack(history)


@door
def batch_tabular_td(
    trajectory: Trajectory, gamma: Discount, n_iterations: Natural, alpha: float = 1.0, v0: ArrayLike | None = None
) -> Float[np.ndarray, "{n_iterations}+1 n_states"]:
    """Batch tabular TD(0): v(s) += (alpha / n_s) sum over k with S_{k-1} = s of delta_k.

    All errors of one iteration use the same old table. States that were never left keep their value.
    Raises ValueError for gamma outside [0, 1) (or 1 where some state cannot reach a termination), a negative
    n_iterations, an alpha that is not finite, or a v0 of wrong length.
    """
    gamma, v = check_trajectory_gamma(trajectory, gamma), initial_values("v0", v0, trajectory.n_states)
    visits, flags = np.maximum(trajectory.visits(), 1), (trajectory.source, trajectory.continues)
    history = [v]
    for _ in range(n_iterations):
        delta = errors(v[trajectory.states], trajectory.rewards, gamma, *flags)
        v = v + alpha * np.bincount(trajectory.states[:-1], weights=delta, minlength=len(v)) / visits
        history.append(v)
    return np.stack(history)


@door
def linear_td(
    features: Annotated[ArrayLike, "m+1 d"],
    rewards: Annotated[ArrayLike, "m"],
    gamma: Discount,
    alpha: float,
    w0: ArrayLike | None = None,
    source: ArrayLike | None = None,
    continues: ArrayLike | None = None,
) -> Float[np.ndarray, "m_plus_1 d"]:
    """Online linear TD(0), v(s) = x(s)^T w: w += alpha delta_k x(S_{k-1}) (Sutton and Barto, section 9.3).

    features: (m+1, d), the row of each position; rewards: (m,); source, continues: flags of the positions, (m+1,).
    Row k holds w after the first k positions.
    Raises ValueError for shapes that don't fit, NaN or infinity, or gamma outside [0, 1).
    """
    x, r = np.asarray(features), np.asarray(rewards)
    teaches, goes_on, gamma = flags_and_gamma(source, continues, gamma, len(x))
    w = initial_values("w0", w0, x.shape[1])
    history = [w]
    for k in range(len(r)):
        if teaches[k]:
            delta = r[k] + (gamma * x[k + 1] @ w if goes_on[k] else 0.0) - x[k] @ w
            w = w + alpha * delta * x[k]
        history.append(w)
    return np.stack(history)


@door
def batch_linear_td(
    features: Annotated[ArrayLike, "m+1 d"],
    rewards: Annotated[ArrayLike, "m"],
    gamma: Discount,
    n_iterations: Natural,
    alpha: float = 1.0,
    w0: ArrayLike | None = None,
    source: ArrayLike | None = None,
    continues: ArrayLike | None = None,
) -> Float[np.ndarray, "{n_iterations}+1 d"]:
    """Batch linear TD(0): w += (alpha / n) sum_k delta_k x(S_{k-1}), n the number of sources.

    features: (m+1, d), the row of each position; rewards: (m,); source, continues: flags of the positions, (m+1,).
    Raises ValueError for shapes that don't fit, NaN or infinity, or gamma outside [0, 1).
    """
    x, r = np.asarray(features), np.asarray(rewards)
    *flags, gamma = flags_and_gamma(source, continues, gamma, len(x))
    n, w = int(flags[0].sum()), initial_values("w0", w0, x.shape[1])
    history = [w]
    for _ in range(n_iterations):
        w = w + alpha / n * errors(x @ w, r, gamma, *flags) @ x[:-1]
        history.append(w)
    return np.stack(history)


@door
def lstd(
    features: Annotated[ArrayLike, "m+1 d"],
    rewards: Annotated[ArrayLike, "m"],
    gamma: Discount,
    ridge: float = 0.0,
    source: ArrayLike | None = None,
    continues: ArrayLike | None = None,
) -> Float[np.ndarray, " d"]:
    """The fixed point of batch linear TD: A w = b with A = sum x_{k-1} (x_{k-1} - gamma x_k)^T, b = sum R_k x_{k-1}.

    features: (m+1, d); rewards: (m,); `ridge` >= 0 is added to A's diagonal, for contexts that leave A singular;
    source, continues: flags of the positions, (m+1,): sums run over sources, and x_k is 0 where nothing continues.
    Least-squares TD (Bradtke and Barto, 1996). Raises ValueError if A is singular and ridge is 0, or ridge is negative.
    """
    x, r = np.asarray(features), np.asarray(rewards)
    teaches, goes_on, gamma = flags_and_gamma(source, continues, gamma, len(x))
    if ridge < 0:
        raise ValueError(f"ridge is {ridge}; it must be 0 or a small positive number such as 1e-6")
    own, following = np.where(teaches[:-1, None], x[:-1], 0.0), np.where(goes_on[:-1, None], x[1:], 0.0)
    A = own.T @ (own - gamma * following) + ridge * np.eye(x.shape[1])
    length = np.linalg.norm(own, axis=0)  # of each feature's column: its unit must not decide what is singular
    length[length == 0.0] = 1.0
    if ridge == 0.0 and np.linalg.matrix_rank(A / np.outer(length, length)) < len(A):
        raise ValueError(
            "LSTD's matrix is singular: some feature never occurs in the context, or features are dependent; "
            "give a longer context, fewer features, or a small ridge such as 1e-6"
        )
    return np.linalg.solve(A, r @ own)


@door
def certainty_equivalence_value(trajectory: Trajectory, gamma: Discount) -> Float[np.ndarray, " n_states"]:
    """The value of the chain that was observed: transition frequencies and mean rewards, then solve.

    It is what batch tabular TD converges to (Sutton and Barto, section 6.3), from v_0 = 0 (a state that was never left
    has value 0) and for every step 0 < alpha < 2 / (1 + gamma). On some contexts a larger step converges too; on two
    states that swap none does. A step that terminated counts as a visit and leads nowhere: rows of the observed chain
    may sum to less than 1.
    Raises ValueError for gamma outside [0, 1), or 1 where some state cannot reach a termination.
    """
    gamma = check_trajectory_gamma(trajectory, gamma)
    n_states, source, follows = trajectory.n_states, trajectory.source, trajectory.continues[:-1]
    counts = np.zeros((n_states, n_states))
    np.add.at(counts, (trajectory.states[:-1][follows], trajectory.states[1:][follows]), 1.0)
    visits = np.maximum(trajectory.visits(), 1)
    left = source[:-1]
    reward = np.bincount(trajectory.states[:-1][left], weights=trajectory.rewards[left], minlength=n_states) / visits
    return np.linalg.solve(np.eye(n_states) - gamma * counts / visits[:, None], reward)
