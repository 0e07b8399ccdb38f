"""When weighted softmax TD converges, how fast, and how sharp the scores must be (mathematics, section 4)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Float

from icrl_teach._door import door
from icrl_teach._validate import ArrayLike, Discount, Gamma, Natural
from icrl_teach.mrp import MarkovRewardProcess
from icrl_teach.softmax_td import Score, inner_product, scored


@door
def matching_matrix(
    mrp: MarkovRewardProcess,
    state_features: Annotated[ArrayLike, "n_states d"],
    beta: float = 1.0,
    score: Score = inner_product,
) -> Float[np.ndarray, "n_states n_states"]:
    """M_pi(s, s') = mu(s') exp g(s, s') / sum_u mu(u) exp g(s, u): the matching matrix of an endless context.

    state_features: (S, d), a row for each state; mu is the stationary distribution (Xie et al., section 5).
    The same matrix of an observed context is the first of `empirical_operators`.
    Raises ValueError if a state has no row, beta is not finite, or mu is not unique.
    """
    table = np.asarray(state_features)
    if len(table) != mrp.n_states:
        raise ValueError(f"state_features has {len(table)} rows; the process has {mrp.n_states} states")
    mu = mrp.stationary_distribution()
    scores = beta * scored(score, table, table)
    above = scores - scores[:, mu > 0].max(axis=1, keepdims=True)  # positive only where mu is 0: nothing to overflow
    weights = mu * np.exp(np.minimum(above, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


@door
def population_operators(
    mrp: MarkovRewardProcess,
    state_features: Annotated[ArrayLike, "n_states d"],
    beta: float = 1.0,
    score: Score = inner_product,
) -> tuple[
    Float[np.ndarray, "n_states n_states"], Float[np.ndarray, "n_states n_states"], Float[np.ndarray, " n_states"]
]:
    """M_pi, Q_pi = M_pi P and rho_pi = M_pi r: what `empirical_operators` tends to as the context grows.

    Their fixed point is the exact value: (M_pi - gamma M_pi P) v = M_pi r. Derived for this course (section 4).
    """
    M = matching_matrix(mrp, state_features, beta, score)
    return M, M @ mrp.transition, M @ mrp.reward


@door
def contraction_margin(M: Float[np.ndarray, "n_states n_states"], gamma: Discount) -> float:
    """C = min_s M(s, s) - (1 + gamma) / 2, of an endless context (`matching_matrix`) or an observed one.

    Assumption 5.1 of Xie et al. speaks of the endless context alone: for M_pi, a positive C is that assumption with
    every smaller margin. For either matrix (derived for this course, section 4) a positive C makes each layer shrink
    the largest error if 0 < alpha < 2 / (1 + gamma): to at most 1 - 2 alpha C of itself for alpha <= 1, and to at
    most the larger of 1 - 2 alpha C and alpha (1 + gamma) - 1 beyond.
    """
    return float(np.diag(M).min() - (1.0 + gamma) / 2.0)


@door
def required_sharpness(mu_min: float, gamma: Gamma, margin: float) -> float:
    """The tau from which one-hot features sqrt(tau) e_s reach the margin (derived for this course, section 4).

    tau = log( m (1 - mu_min) / ((1 - m) mu_min) ), m = (1 + gamma) / 2 + margin; mu_min in (0, 1) is the smallest
    stationary probability; margin in (0, (1 - gamma) / 2). Raises ValueError outside these ranges.

    >>> round(required_sharpness(mu_min=0.1, gamma=0.9, margin=0.01), 2)
    5.38
    """
    if not 0.0 < mu_min < 1.0:
        raise ValueError(f"mu_min is {mu_min}; the smallest stationary probability must lie between 0 and 1")
    if not 0.0 < margin < (1.0 - gamma) / 2.0:
        raise ValueError(f"margin is {margin}; with gamma = {gamma} it must lie between 0 and {(1 - gamma) / 2:.6g}")
    m = (1.0 + gamma) / 2.0 + margin
    return float(np.log(m * (1.0 - mu_min) / ((1.0 - m) * mu_min)))


@door
def iteration_matrix(
    M: Float[np.ndarray, "n_states n_states"],
    Q: Float[np.ndarray, "n_states n_states"],
    gamma: Discount,
    alpha: float = 1.0,
) -> Float[np.ndarray, "n_states n_states"]:
    """I - alpha M + alpha gamma Q: what one layer does to the error v_l - v_infinity.

    Eq. 20 of Xie et al. is the case alpha = 1; other steps are derived for this course.
    """
    return np.eye(len(M)) - alpha * M + alpha * gamma * Q


@door
def sup_norm(matrix: Float[np.ndarray, "m n"]) -> float:
    """The largest absolute row sum: the most that one step can stretch the largest error."""
    return float(np.abs(matrix).sum(axis=1).max())


@door
def spectral_radius(matrix: Float[np.ndarray, "n n"]) -> float:
    """The largest modulus of an eigenvalue: below 1 means convergence from every start, at this rate in the long run.

    The rate is an average over layers: a complex pair makes single layers swing around it. A start that has no part in
    the slowest direction does better.
    """
    return float(np.abs(np.linalg.eigvals(matrix)).max())


@door
def geometric_bound(margin: float, n_layers: Natural, initial_error: float = 1.0) -> Float[np.ndarray, " {n_layers}+1"]:
    """The part of Theorem 2 that falls with depth: (1 - C)^l times the initial error, l = 0..n_layers.

    margin: the C of Assumption 5.1, which needs 0 < C < (1 - gamma) / 2. This function knows no gamma, so its own door
    is the widest one, (0, 1/2): ValueError outside it. The floor, of order sqrt(1/n), is not included.
    """
    if not 0.0 < margin < 0.5:
        raise ValueError(f"margin is {margin}; Theorem 2 needs 0 < C < (1 - gamma) / 2")
    return initial_error * (1.0 - margin) ** np.arange(n_layers + 1)
