"""The value of every state in a user's own log, and how far it can be trusted: `icrl-teach evaluate`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from icrl_teach._progress import Tick, no_tick
from icrl_teach._validate import check_count
from icrl_teach.comparison import read_layers
from icrl_teach.mrp import Trajectory, Transitions, check_trajectory_gamma
from icrl_teach.softmax_td import empirical_operators, fixed_point, operator_td
from icrl_teach.theory import contraction_margin, iteration_matrix, spectral_radius, sup_norm

TRANSFORMER_LIMIT = 2_000  # transitions; a longer log takes the operator form
STATE_LIMIT = 4_000  # distinct states in a log: the operators are dense (S, S) matrices
EIGENVALUE_LIMIT = 1_000  # states up to which all eigenvalues take about a second
INTERVAL_LIMIT = 500  # states up to which the operators of RESAMPLES draws take about a minute
RESAMPLES = 200
DEEP = 2_000  # layers that are computed one after the other


@dataclass(frozen=True, eq=False)
class LogEvaluation:
    """The value of every state of a log after L layers, and how far it can be trusted.

    labels, visits (times left), values: one entry for each state; n_steps: n; method: 'transformer' or 'operator';
    margin: C of the empirical matching matrix, positive where the contraction condition holds; spectral_radius of one
    layer, on the values that layers can reach, None above EIGENVALUE_LIMIT states; sup_norm: an upper bound of it;
    remaining: how far values still are from their limit, where layers converge and the radius is known; else an
    estimate from the next two layers' changes, for slow or diverging layers too small. returns: the mean return of
    every visit in walks that terminated, a road of its own (Monte Carlo), NaN where there is none; n_returns: how many
    visits; both None where no walk terminated.
    """

    labels: tuple[str, ...]
    visits: Int[np.ndarray, " n_states"]
    values: Float[np.ndarray, " n_states"]
    n_steps: int
    method: str
    margin: float
    spectral_radius: float | None
    sup_norm: float
    remaining: float
    returns: Float[np.ndarray, " n_states"] | None = None
    n_returns: Int[np.ndarray, " n_states"] | None = None


def check_state_count(n_states: int, source: str = "the log") -> None:
    """Raise ValueError above STATE_LIMIT states."""
    if n_states > STATE_LIMIT:
        raise ValueError(
            f"{source} has {n_states:,} distinct states and the limit is {STATE_LIMIT:,}; aggregate states first: "
            "round measurements, or write a group's name instead of its members"
        )


def _seen_only(trajectory: Trajectory, features: np.ndarray) -> tuple[Trajectory, np.ndarray]:
    """Without the states that labels announce and the trajectory never enters."""
    names = trajectory.labels or tuple(str(s) for s in range(trajectory.n_states))
    if len(features) < trajectory.n_states:
        raise ValueError(f"features has {len(features)} rows; the trajectory has {trajectory.n_states} states")
    seen, states = np.unique(trajectory.states, return_inverse=True)
    kept = replace(trajectory, states=states, labels=tuple(names[s] for s in seen))
    return kept, np.asarray(features, dtype=float)[seen]


def evaluate_trajectory(
    trajectory: Trajectory,
    features: Float[np.ndarray, "n_states d"],
    gamma: float = 0.9,
    n_layers: int = 64,
    beta: float = 1.0,
    tick: Tick = no_tick,
) -> LogEvaluation:
    """The value of every state that the trajectory enters, after n_layers.

    features: a row for each state. Up to TRANSFORMER_LIMIT transitions (and features) and DEEP layers the network
    itself reads the log; otherwise the operator form does, equal by Theorem 1 and linear in n. Beyond DEEP layers that
    form is squared, or solved where every change has died out, so depth costs next to nothing. `tick(stage)` is called
    min(n_layers, DEEP) + 2 times at most.
    Raises ValueError for too many states, n_layers < 1, more than DEEP layers with more than EIGENVALUE_LIMIT states,
    gamma outside [0, 1) (1 is allowed where a termination can be reached from every state that was left), or values
    that overflow.
    """
    gamma, n_layers = check_trajectory_gamma(trajectory, gamma), check_count("n_layers", n_layers)
    n_states = len(np.unique(trajectory.states))
    check_state_count(n_states)
    if n_layers > DEEP and n_states > EIGENVALUE_LIMIT:
        raise ValueError(
            f"n_layers is {n_layers:,}; with {n_states:,} states at most {DEEP:,} layers are computed: use fewer, or "
            f"aggregate states to at most {EIGENVALUE_LIMIT:,}"
        )
    trajectory, features = _seen_only(trajectory, features)
    tick("operators")
    with np.errstate(all="ignore"):  # overflow is reported below, as an error
        M, Q, rho = empirical_operators(trajectory, features, beta)
        _check_overflow(n_layers, M)
        short = trajectory.n_steps <= TRANSFORMER_LIMIT and features.shape[1] <= TRANSFORMER_LIMIT + 1
        if n_layers > DEEP:
            short, values = False, _deep_values(M, Q, rho, gamma, n_layers)
        elif short:
            values = _values_by_transformer(trajectory, features, gamma, n_layers, beta, tick)
        else:
            values = _values_by_operators(M, Q, rho, gamma, n_layers, tick)
        changes = _next_changes(M, Q, rho, gamma, values) if _finite(values) else [np.inf]
    _check_overflow(n_layers, values, changes)
    tick("spectral radius")
    step = iteration_matrix(M, Q, gamma)
    radius = _reachable_radius(M, step) if len(M) <= EIGENVALUE_LIMIT else None
    margin, bound = contraction_margin(M, gamma), sup_norm(step)
    if radius is not None and radius < 1.0:
        remaining = float(np.abs(fixed_point(M, Q, rho, gamma) - values).max())
    else:
        slowest = min(max(gamma, changes[1] / changes[0]) if changes[0] > 0 else gamma, 0.9999)
        remaining = float(changes[0] / (1.0 - slowest))
    method = "transformer" if short else "operator"
    labels, visits = trajectory.labels or (), trajectory.visits()
    measures = (trajectory.n_steps, method, margin, radius, bound, remaining)
    return LogEvaluation(labels, visits, values, *measures, *monte_carlo(trajectory, gamma))


def _check_overflow(n_layers: int, *arrays: Any) -> None:
    if not _finite(*arrays):
        raise ValueError(
            f"the values overflow within {n_layers} layers; use fewer --layers, a --beta nearer 0, smaller features "
            "or smaller rewards"
        )


def _next_changes(M: np.ndarray, Q: np.ndarray, rho: np.ndarray, gamma: float, values: np.ndarray) -> np.ndarray:
    """The largest change that each of the next two layers would make."""
    return np.abs(np.diff(operator_td(M, Q, rho, gamma, 2, v0=values), axis=0)).max(axis=1)


def _reachable_radius(M: np.ndarray, step: np.ndarray) -> float:
    """Spectral radius of one layer among the values that layers can reach, from 0: the range of M.

    Equal features, or a state never left, leave M singular. What M cannot produce stays 0, though `step` has the
    eigenvalue 1 there.
    """
    U, sigma, _ = np.linalg.svd(M)
    basis = U[:, sigma > sigma[0] * len(M) * np.finfo(float).eps]
    return spectral_radius(basis.T @ step @ basis)


def _finite(*arrays: Any) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def _values_by_transformer(
    trajectory: Trajectory, features: np.ndarray, gamma: float, n_layers: int, beta: float, tick: Tick
) -> np.ndarray:
    context, ended = features[trajectory.states], trajectory.terminated.any() or trajectory.truncated.any()
    flags = (trajectory.source, trajectory.continues) if ended else ()
    layers = read_layers(context, trajectory.rewards, gamma, n_layers, beta, *flags)
    next(layers)  # layer 0: no values yet
    for _ in range(n_layers):
        tick("layers")
        value = next(layers)[1]
    position = np.unique(trajectory.states, return_index=True)[1]  # equal states hold equal values: any will do
    return value[position]


def _values_by_operators(
    M: np.ndarray, Q: np.ndarray, rho: np.ndarray, gamma: float, n_layers: int, tick: Tick
) -> np.ndarray:
    v = np.zeros(len(rho))
    for _ in range(n_layers):
        tick("layers")
        v = operator_td(M, Q, rho, gamma, 1, v0=v)[-1] if _finite(v) else v
    return v


def _deep_values(M: np.ndarray, Q: np.ndarray, rho: np.ndarray, gamma: float, n_layers: int) -> np.ndarray:
    """v_L of the operator form without L steps: the limit where less than e^-60 of any change is left, else squares."""
    step = iteration_matrix(M, Q, gamma)
    if n_layers * np.log(_reachable_radius(M, step)) < -60.0:  # log 0 is minus infinity
        return fixed_point(M, Q, rho, gamma)
    return _squared_values(step, rho, n_layers)


def _squared_values(step: np.ndarray, rho: np.ndarray, n_layers: int) -> np.ndarray:
    """v_L by the square, the square of the square, ... of v -> step v + rho, from v_0 = 0."""
    one_layer = np.block([[step, rho[:, None]], [np.zeros((1, len(rho))), np.ones((1, 1))]])
    return np.linalg.matrix_power(one_layer, n_layers)[:-1, -1]


def monte_carlo(
    trajectory: Trajectory, gamma: float
) -> tuple[Float[np.ndarray, " n_states"] | None, Int[np.ndarray, " n_states"] | None]:
    """Mean return of every visit of a state in walks that terminated, and the number of these visits.

    Sums rewards, bootstraps nothing, and shares no code with the layers. A walk that was cut has no return: leaving it
    out favours short walks where the cut is a time limit. (None, None) where no walk terminated.
    """
    steps = trajectory.transitions
    if not steps.terminated.any():
        return None, None
    total, counts = np.zeros(trajectory.n_states), np.zeros(trajectory.n_states, dtype=np.int64)
    walk, finished, value = steps.states.tolist(), False, 0.0
    ends, cuts, rewards = steps.terminated.tolist(), steps.truncated.tolist(), steps.rewards.tolist()
    for k in range(len(walk) - 1, -1, -1):
        if ends[k] or cuts[k]:
            finished, value = ends[k], 0.0
        value = rewards[k] + gamma * value
        if finished:
            total[walk[k]] += value
            counts[walk[k]] += 1
    with np.errstate(invalid="ignore"):
        return total / counts, counts


def bootstrap_interval(
    trajectory: Trajectory,
    features: Float[np.ndarray, "n_states d"],
    gamma: float,
    n_layers: int,
    beta: float,
    rng: np.random.Generator,
    join: Callable[[Trajectory], Trajectory] = lambda walks: walks,
    tick: Tick = no_tick,
) -> tuple[Float[np.ndarray, " n_states"], Float[np.ndarray, " n_states"]]:
    """A 95 % bootstrap interval of each value after n_layers: the 2.5th and 97.5th percentile over RESAMPLES draws.

    Each draw takes as many walks as the trajectory has, with replacement, so what depends within a walk stays
    together. join: what makes the evaluated trajectory of walks (restart, for instance). A draw in which a state is
    never left does not count for it; NaN where none counts. The interval speaks of chance in which walks were seen,
    not of a bias. `tick(stage)` is called RESAMPLES times. Raises ValueError for fewer than two walks, or too many
    states.
    """
    steps = trajectory.transitions
    last = steps.terminated | steps.truncated
    last[-1] = True
    bounds = np.r_[0, np.flatnonzero(last) + 1]
    if len(bounds) < 3:
        raise ValueError("an interval needs at least two episodes to draw from; the data has one walk")
    check_interval_states(trajectory.n_states)
    values = np.full((RESAMPLES, trajectory.n_states), np.nan)
    for draw in values:
        tick("bootstrap")
        chosen = rng.integers(len(bounds) - 1, size=len(bounds) - 1)
        drawn = join(_take_walks(steps, bounds, chosen, trajectory.labels))
        M, Q, rho = empirical_operators(drawn, features, beta)
        left = drawn.visits(trajectory.n_states) > 0
        if n_layers > DEEP:
            draw[left] = _squared_values(iteration_matrix(M, Q, gamma), rho, n_layers)[left]
        else:
            draw[left] = operator_td(M, Q, rho, gamma, n_layers)[-1][left]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a state that was never left is NaN in every draw
        low, high = np.nanpercentile(values, [2.5, 97.5], axis=0)
    return low, high


def _take_walks(
    steps: Transitions, bounds: np.ndarray, chosen: np.ndarray, labels: tuple[str, ...] | None
) -> Trajectory:
    """The chosen walks one after the other; walk w is the steps bounds[w] to bounds[w + 1]."""
    lengths = np.diff(bounds)[chosen]
    ends = lengths.cumsum()
    rows = np.arange(ends[-1]) + np.repeat(bounds[chosen] - (ends - lengths), lengths)
    ended, cut = steps.terminated[rows], np.zeros(len(rows), dtype=bool)
    cut[ends - 1] = ~ended[ends - 1]
    states, rewards, next_states = steps.states[rows], steps.rewards[rows], steps.next_states[rows]
    return Trajectory.of_transitions(states, rewards, next_states, ended, cut, labels=labels)


def check_interval_states(n_states: int) -> None:
    """Raise ValueError above INTERVAL_LIMIT states."""
    if n_states > INTERVAL_LIMIT:
        raise ValueError(
            f"the log has {n_states:,} distinct states, and intervals are drawn for at most {INTERVAL_LIMIT:,}; leave "
            "--figure and --csv out, or aggregate states first"
        )
