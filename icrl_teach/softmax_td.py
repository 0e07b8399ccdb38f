"""Weighted softmax TD: TD in which similarity decides who learns from whom (mathematics, section 2).

Two forms of one algorithm. The trajectory form keeps a value at every position (n x n weights); the operator
form groups positions by state (S x S). They agree to rounding. Source: Xie et al., arXiv 2605.07333, eqs. 8, 9, 20.
Walks that end, and their two flags a position, are those of `td.py` (section 3, episodes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from jaxtyping import Float

from icrl_teach._door import door
from icrl_teach._validate import ArrayLike, Discount, Natural, check_gamma, column_flags, flag_array, shown
from icrl_teach.features import feature_table
from icrl_teach.mrp import Trajectory
from icrl_teach.td import errors, flags_and_gamma, initial_values

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@door
def inner_product(queries: Float[np.ndarray, "q d"], sources: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "q n"]:
    """The score the Transformer realises: g(s, s') = <x(s), x(s')>. (q, d), (n, d) -> (q, n)."""
    return queries @ sources.T


@door
def log_inner_product(queries: Float[np.ndarray, "q d"], sources: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "q n"]:
    """g = log <x, x'>, whose softmax is the linear kernel divided by its sum (section 2, case 2).

    Raises ValueError unless all inner products are positive.
    """
    products = queries @ sources.T
    if not (products > 0).all():
        raise ValueError(
            f"the smallest inner product is {products.min():.3g}; log_inner_product needs positive ones: "
            "queries and sources must not point apart"
        )
    return np.log(products)


def scored(score: Score, queries: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The scores that a function of the user's gives. Raises ValueError unless they are (q, n) numbers."""
    scores = np.asarray(score(queries, sources))
    if scores.shape != (len(queries), len(sources)) or scores.dtype.kind not in "iuf" or np.isnan(scores).any():
        wanted = f"numbers of shape {(len(queries), len(sources))}"
        raise ValueError(f"score returned {shown(scores)}; it must return {wanted}, without NaN")
    return scores


def _softmax_rows(scores: np.ndarray) -> np.ndarray:
    """Softmax along the last axis. Subtracting the maximum changes nothing and prevents overflow."""
    exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


@door
def softmax_weights(
    queries: Annotated[ArrayLike, "q d"],
    sources: Annotated[ArrayLike, "n d"],
    beta: float = 1.0,
    score: Score = inner_product,
    source: ArrayLike | None = None,
) -> Float[np.ndarray, "q n"]:
    """K(S_j, S_{k-1}): the weight that query j gives to source k, query first (eq. 9). Rows sum to 1.

    queries: (q, d); sources: (n, d); beta: inverse temperature, any finite number; score: (q, d), (n, d) -> (q, n);
    source: which of the n teach, flags (n,), all if not given; the others get weight 0.
    Raises ValueError for shapes that don't fit, NaN or infinity, or no source.

    >>> softmax_weights([[1.0]], [[0.0], [0.0]]).tolist()
    [[0.5, 0.5]]
    """
    q, x = np.asarray(queries), np.asarray(sources)
    scores = beta * scored(score, q, x)
    if source is not None:
        teaches = flag_array("source", source, (len(x),))
        if not teaches.any():
            raise ValueError("source is set nowhere; a context needs at least one transition")
        scores = np.where(teaches, scores, -np.inf)
    return _softmax_rows(scores)


def _step_sizes(alpha: ArrayLike, n_iterations: Natural, n_positions: int) -> np.ndarray:
    steps = np.asarray(alpha)
    try:
        return np.broadcast_to(steps, (n_iterations, n_positions))
    except ValueError:
        raise ValueError(
            f"alpha has shape {steps.shape}; it must be a number, ({n_positions},) for one step size a position, or "
            f"({n_iterations}, 1) for one an iteration"
        ) from None


@door
def kernel_td(
    weights: Annotated[ArrayLike, "m+1 m"],
    rewards: Annotated[ArrayLike, "m"],
    gamma: Discount,
    n_iterations: Natural,
    alpha: Annotated[ArrayLike, "..."] = 1.0,
    v0: ArrayLike | None = None,
    source: ArrayLike | None = None,
    continues: ArrayLike | None = None,
) -> Float[np.ndarray, "{n_iterations}+1 m_plus_1"]:
    """v_{l+1}(S_j) = v_l(S_j) + alpha sum_k K(S_j, S_{k-1}) delta_k for any weights K, synchronously.

    weights: (m+1, m), row j = query position, column k-1 = source; rewards: (m,); alpha: a number, (m+1,) for one
    step size a position, or (n_iterations, 1) for one a layer; v0: (m+1,) or zeros; source, continues: flags of the
    positions, (m+1,): delta is 0 where nothing teaches, so weights there do not matter.
    Raises ValueError for shapes that don't fit, NaN or infinity, or gamma outside [0, 1).
    """
    K, r = np.asarray(weights), np.asarray(rewards)
    *flags, gamma = flags_and_gamma(source, continues, gamma, len(r) + 1)
    steps = _step_sizes(alpha, n_iterations, len(r) + 1)
    values = [initial_values("v0", v0, len(r) + 1)]
    for step in steps:
        delta = errors(values[-1], r, gamma, *flags)  # every residual uses the same old values
        values.append(values[-1] + step * (K @ delta))
    return np.stack(values)


@door
def weighted_softmax_td(
    features: Annotated[ArrayLike, "m+1 d"],
    rewards: Annotated[ArrayLike, "m"],
    gamma: Discount,
    n_iterations: Natural,
    alpha: Annotated[ArrayLike, "..."] = 1.0,
    beta: float = 1.0,
    v0: ArrayLike | None = None,
    score: Score = inner_product,
    source: ArrayLike | None = None,
    continues: ArrayLike | None = None,
) -> Float[np.ndarray, "{n_iterations}+1 m_plus_1"]:
    """Weighted softmax TD in trajectory form (Xie et al., eqs. 8 and 9); row l holds v_l at every position.

    features: (m+1, d), the row of each position, the last one being the query; rewards: (m,);
    alpha: as in `kernel_td`; beta: inverse temperature; v0: (m+1,) or zeros; score: see `softmax_weights`;
    source, continues: flags of the positions, (m+1,): only sources teach, and each query's weights sum to 1 over them.
    Raises ValueError for shapes that don't fit, NaN or infinity, or gamma outside [0, 1).

    >>> weighted_softmax_td([[1.0], [1.0]], [2.0], gamma=0.0, n_iterations=1).tolist()
    [[0.0, 0.0], [2.0, 2.0]]
    """
    x, r = np.asarray(features), np.asarray(rewards)
    teaches, goes_on = column_flags(source, continues, len(x))
    weights = softmax_weights(x, x[:-1], beta, score, teaches[:-1])
    return kernel_td(weights, r, gamma, n_iterations, alpha, v0, teaches, goes_on)


@door
def empirical_operators(
    trajectory: Trajectory,
    state_features: Annotated[ArrayLike, "n_states d"],
    beta: float = 1.0,
    score: Score = inner_product,
) -> tuple[
    Float[np.ndarray, "n_states n_states"], Float[np.ndarray, "n_states n_states"], Float[np.ndarray, " n_states"]
]:
    """The weights grouped by state (section 2, operator view): M, Q, both (S, S), and rho, (S,).

    M(s, s') sums the weight s gives to sources in s', Q(s, s') to sources followed by s', rho the rewards. A source
    that terminated is followed by nothing: it counts in M and rho, not in Q.
    state_features: (S, d), a row for each state. Cost is linear in n.
    Raises ValueError if a state of the trajectory has no row, or beta is not finite.
    """
    table = feature_table(trajectory, state_features)
    n_states, states, follows = len(table), trajectory.states[:-1], trajectory.continues[:-1]
    visits = trajectory.visits(n_states)
    rewards = np.bincount(states, weights=trajectory.rewards, minlength=n_states)  # a landing's reward is 0
    steps = (states * n_states + trajectory.states[1:])[follows]
    pairs = np.bincount(steps, minlength=n_states**2)
    seen = visits > 0
    scores = beta * scored(score, table, table[seen])
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    per_visit = np.zeros((n_states, n_states))  # K(s, s') for one visit of s'; states not visited weigh nothing
    per_visit[:, seen] = exp / (exp @ visits[seen])[:, None]
    return per_visit * visits, per_visit @ pairs.reshape(n_states, n_states), per_visit @ rewards


def _operator_gamma(M: np.ndarray, Q: np.ndarray, gamma: float) -> float:
    """The checked discount. Where walks terminate, Q has less weight than M; gamma = 1 is legal only there."""
    return check_gamma(gamma, ends=bool((M.sum(axis=1) - Q.sum(axis=1) > 1e-12).any()))


@door
def operator_td(
    M: Float[np.ndarray, "n_states n_states"],
    Q: Float[np.ndarray, "n_states n_states"],
    rho: Float[np.ndarray, " n_states"],
    gamma: Discount,
    n_iterations: Natural,
    alpha: float = 1.0,
    v0: ArrayLike | None = None,
) -> Float[np.ndarray, "{n_iterations}+1 n_states"]:
    """Weighted softmax TD in operator form: v_{l+1} = (I - alpha M + alpha gamma Q) v_l + alpha rho.

    Eq. 20 of Xie et al. is the case alpha = 1; other steps are derived for this course.
    Raises ValueError for shapes that don't fit, gamma outside [0, 1) (or 1 where no step terminated), a negative
    n_iterations, an alpha that is not finite, or a v0 of wrong length.
    """
    gamma = _operator_gamma(M, Q, gamma)
    values = [initial_values("v0", v0, len(rho))]
    for _ in range(n_iterations):
        v = values[-1]
        values.append(v - alpha * (M @ v) + alpha * gamma * (Q @ v) + alpha * rho)
    return np.stack(values)


@door
def fixed_point(
    M: Float[np.ndarray, "n_states n_states"],
    Q: Float[np.ndarray, "n_states n_states"],
    rho: Float[np.ndarray, " n_states"],
    gamma: Discount,
) -> Float[np.ndarray, " n_states"]:
    """What weighted softmax TD converges to from v_0 = 0, if it does: (M - gamma Q) v = rho (derived for this
    course, section 2).

    M, Q, rho: those of one context (`empirical_operators`) or one process (`population_operators`), so that Q = M P^
    and rho = M r^ for some P^ and r^; nothing checks this.
    Where the context leaves v free (a state never left, equal features) the iterates decide: they start at 0 and
    then only ever add columns of M, so the limit is the solution of the form v = M a.
    Raises ValueError for gamma outside [0, 1), or 1 where some state cannot reach a termination.
    """
    gamma = _operator_gamma(M, Q, gamma)
    A = M - gamma * Q
    if np.linalg.matrix_rank(A) == len(A):
        return np.linalg.solve(A, rho)
    if gamma == 1.0 and np.linalg.matrix_rank(A @ M) < np.linalg.matrix_rank(M):
        check_gamma(gamma, ends=False)  # refused: part of the chain never ends
    return M @ np.linalg.lstsq(A @ M, rho, rcond=None)[0]
