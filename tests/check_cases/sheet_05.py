"""Right and wrong answers for the checks of sheet 05 that were not derived from the checks."""

from __future__ import annotations

from itertools import pairwise

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


def margin_by_loop(M, gamma):
    worst = 2.0
    for s in range(len(M)):
        worst = min(worst, M[s][s])
    return worst - 0.5 - gamma / 2


def m_of(gamma, C):
    return (1 + gamma) / 2 + C


def sharpness_by_odds(mu_min, gamma, C):
    m = m_of(gamma, C)
    return np.log(m) - np.log1p(-m) + np.log(1 / mu_min - 1)


def rates_by_loop(values, limit):
    worst = [max(abs(v - w) for v, w in zip(row, limit, strict=True)) for row in values]
    return [b / a for a, b in pairwise(worst)]


def rates_vectorised(values, limit):
    worst = np.abs(values - limit).max(axis=1)
    return worst[1:] / worst[:-1]


def rates_over_layers(values, limit):
    worst = np.abs(values - limit).max(axis=0)
    return worst[1:] / worst[:-1]


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
        checks.check_margin,
        right=[lambda M, g: np.diag(M).min() - (1 + g) / 2, margin_by_loop],
        wrong=[
            (lambda M, g: np.diag(M)[-1] + np.diag(M)[0] - g, "smallest diagonal entry"),
            (lambda M, g: bool(np.diag(M).min() > (1 + g) / 2), "smallest diagonal entry"),
        ],
    ),
    Case(
        checks.check_sharpness,
        right=[
            lambda mu, g, C: np.log(m_of(g, C) * (1 - mu) / ((1 - m_of(g, C)) * mu)),
            sharpness_by_odds,
        ],
        wrong=[(lambda mu, g, C: np.log2(m_of(g, C) * (1 - mu) / ((1 - m_of(g, C)) * mu)), "then solve")],
    ),
    Case(
        checks.check_measured_rates,
        right=[as_arrays(rates_by_loop), rates_vectorised],
        wrong=[
            (rates_over_layers, "expected shape"),
            (lambda v, w: rates_vectorised(v, w)[:-1], "expected shape"),
            (lambda v, w: np.append(np.nan, rates_vectorised(v, w)), "expected shape"),
        ],
    ),
    Case(
        checks.check_largest_step,
        right=[step_by_formula, step_by_loop],
        wrong=[(step_complex, "Take the real part in time"), (step_by_coarse_search, "for each eigenvalue")],
    ),
]
