"""Right and wrong answers for the checks of sheet 05 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case, as_arrays
from icrl_teach.checks import sheet_05 as checks


def layer_by_rows(M, Q, gamma, alpha=1.0):
    rows = []
    for s in range(len(M)):
        row = alpha * (gamma * Q[s] - M[s])
        row[s] += 1.0
        rows.append(row)
    return rows


def opened(layer, n_states):
    c = layer(np.zeros(n_states))
    return np.stack([layer(e) - c for e in np.eye(n_states)], axis=1), c


def opened_all_at_once(layer, n_states):
    c = layer(np.zeros(n_states))
    B = np.empty((n_states, n_states))
    for t in range(n_states):
        v = np.zeros(n_states)
        v[t] = 10.0
        B[:, t] = (layer(v) - c) / 10
    return B, c


def opened_by_least_squares(layer, n_states):
    """Right by chance only: too few questions."""
    asked = np.random.default_rng(0).normal(size=(n_states, n_states))
    return np.linalg.lstsq(asked, np.array([layer(v) for v in asked]), rcond=None)[0].T, layer(np.zeros(n_states))


def wrong_by_difference(layer, M, Q, gamma):
    B, _ = opened(layer, len(M))
    stands = np.eye(len(M)) + gamma * Q - B
    row, column = np.unravel_index(np.abs(stands - M).argmax(), M.shape)
    return row, column, stands[row, column]


def wrong_by_loop(layer, M, Q, gamma):
    B, _ = opened_all_at_once(layer, len(M))
    for s in range(len(M)):
        for t in range(len(M)):
            stands = (s == t) - B[s, t] + gamma * Q[s, t]
            if abs(stands - M[s, t]) > 1e-9:
                return s, t, stands
    raise AssertionError


def wrong_by_mean(layer, M, Q, gamma):
    row, column, value = wrong_by_difference(layer, M, Q, gamma)
    return row, column, (value + M[row, column]) / 2


def worst_by_row(B):
    row = B[np.abs(B).sum(axis=1).argmax()]
    return np.where(row >= 0, 1.0, -1.0)


def worst_by_loop(layer):
    best = max(layer.tolist(), key=lambda row: sum(abs(entry) for entry in row))
    return [-1.0 if entry < 0 else 1.0 for entry in best]


def worst_by_eigenvector(layer):
    values, vectors = np.linalg.eig(layer)
    vector = vectors[:, np.abs(values).argmax()].real
    return vector / np.abs(vector).max()


def deadline_by_formula(visits, gamma, n_layers, shrink):
    keep = shrink ** (1 / n_layers)
    if keep <= gamma:
        return np.inf
    m, mu = 1 - (keep - gamma) / 2, visits.min() / visits.sum()
    return np.log(m * (1 - mu) / ((1 - m) * mu))


def deadline_by_odds(visits, gamma, n_layers, shrink):
    C = (1 - np.exp(np.log(shrink) / n_layers)) / 2
    m = (1 + gamma) / 2 + C
    fewest = min(visits)
    return np.log(m / (1 - m)) + np.log((sum(visits) - fewest) / fewest) if m < 1 else float("inf")


def deadline_rounded(visits, gamma, n_layers, shrink):
    return np.ceil(deadline_by_formula(visits, gamma, n_layers, shrink))


def step_by_formula(M, Q, gamma):
    lam = np.linalg.eigvals(M - gamma * Q)
    return max(0.0, (2 * lam.real / np.abs(lam) ** 2).min())


def step_by_loop(M, Q, gamma):
    best = np.inf
    for lam in np.linalg.eigvals(M - gamma * Q):
        if lam.real <= 0:
            return 0.0
        best = min(best, 2 * (1 / lam).real)
    return best


def step_by_coarse_search(M, Q, gamma):
    best = 0.0
    for alpha in np.arange(0.1, 20.0, 0.1):
        if np.abs(np.linalg.eigvals(np.eye(len(M)) - alpha * (M - gamma * Q))).max() < 1:
            best = alpha
    return best


def step_complex(M, Q, gamma):
    lam = np.linalg.eigvals(M - gamma * Q).astype(complex)
    return (2 / lam)[np.argmin((2 / lam).real)]


CASES = [
    Case(
        checks.check_one_layer,
        right=[lambda M, Q, g, a=1.0: np.eye(len(M)) - a * M + a * g * Q, as_arrays(layer_by_rows)],
        wrong=[
            (lambda M, Q, g, a: np.eye(len(M)) - a * M @ (np.eye(len(M)) - g * Q), "write out"),
            (lambda M, Q, g, a: layer_by_rows(M, Q, g, a), "returned a list"),
        ],
    ),
    Case(
        checks.check_open_layer,
        right=[opened, opened_all_at_once],
        wrong=[
            (opened_by_least_squares, "ask the layer about zeros first"),
            (lambda layer, n: opened(layer, n)[:1], "expected 2 results"),
            (lambda layer, n: opened(layer, n)[::-1], "expected shape"),
        ],
    ),
    Case(
        checks.check_wrong_cell,
        right=[wrong_by_difference, wrong_by_loop],
        wrong=[
            (wrong_by_mean, "one cell differs"),
            (lambda *a: wrong_by_difference(*a)[:2], "expected 3 results"),
        ],
    ),
    Case(
        checks.check_worst_error,
        right=[worst_by_row, as_arrays(worst_by_loop)],
        wrong=[
            (worst_by_eigenvector, "largest absolute sum"),
            (lambda B: np.abs(B).sum(axis=1).max(), "expected shape"),
        ],
    ),
    Case(
        checks.check_tau_for_deadline,
        right=[deadline_by_formula, deadline_by_odds],
        wrong=[(deadline_rounded, "of the rarest state"), (lambda v, g, n, e: np.array([1.0, 2.0]), "expected shape")],
    ),
    Case(
        checks.check_largest_step,
        right=[step_by_formula, step_by_loop],
        wrong=[(step_complex, "Take the real part in time"), (step_by_coarse_search, "for each eigenvalue")],
    ),
]
