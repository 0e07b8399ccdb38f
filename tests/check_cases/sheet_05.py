"""Right and wrong answers for the checks of sheet 05."""

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


def sharpness_by_odds(mu_min, gamma, C):
    m = (1 + gamma) / 2 + C
    return np.log(m) - np.log1p(-m) + np.log(1 / mu_min - 1)


def rates_by_loop(values, limit):
    worst = [max(abs(v - w) for v, w in zip(row, limit, strict=True)) for row in values]
    return [b / a for a, b in pairwise(worst)]


def rates_vectorised(values, limit):
    worst = np.abs(values - limit).max(axis=1)
    return worst[1:] / worst[:-1]


def rates_of(size):
    def rates(values, limit):
        worst = size(values, limit)
        return worst[1:] / worst[:-1]

    return rates


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


def step_from(matrix, pick=np.min, scale=2.0):
    def step(M, Q, gamma):
        lam = np.linalg.eigvals(matrix(M, Q, gamma))
        return max(0.0, float(pick(scale * lam.real / np.abs(lam) ** 2)))

    return step


def step_of_the_positive(M, Q, gamma):
    lam = np.linalg.eigvals(M - gamma * Q)
    limits = 2 * lam.real / np.abs(lam) ** 2
    return limits[limits > 0].min()


def step_of_the_largest(M, Q, gamma):
    lam = np.linalg.eigvals(M - gamma * Q)
    if lam.real.min() <= 0:
        return 0.0
    lam = lam[np.abs(lam).argmax()]
    return 2 * lam.real / np.abs(lam) ** 2


def step_unsquared(M, Q, gamma):
    lam = np.linalg.eigvals(M - gamma * Q)
    return max(0.0, (2 * lam.real / np.abs(lam)).min())


def step_complex(M, Q, gamma):
    lam = np.linalg.eigvals(M - gamma * Q).astype(complex)
    return (2 / lam)[np.argmin((2 / lam).real)]


def full(M, Q, gamma):
    return M - gamma * Q


def m_of(gamma, C):
    return (1 + gamma) / 2 + C


CASES = [
    Case(
        checks.check_one_layer,
        right=[lambda M, Q, g, a=1.0: np.eye(len(M)) - a * M + a * g * Q, as_arrays(layer_by_rows)],
        wrong=[
            (lambda M, Q, g, a=1.0: -a * M + a * g * Q, "identity is missing"),
            (lambda M, Q, g, a=1.0: np.eye(len(M)) - a * M + a * Q, "gamma is missing"),
            (lambda M, Q, g, a=1.0: np.eye(len(M)) - a * M - a * g * Q, "sign of Q"),
            (lambda M, Q, g, a=1.0: np.eye(len(M)) - a * M + g * Q, "whole TD error"),
            (lambda M, Q, g, a=1.0: 1 - a * M + a * g * Q, "every entry"),
            (lambda M, Q, g, a=1.0: (np.eye(len(M)) - a * M + a * g * Q).T, "transpose"),
        ],
    ),
    Case(
        checks.check_margin,
        right=[lambda M, g: np.diag(M).min() - (1 + g) / 2, margin_by_loop],
        wrong=[
            (lambda M, g: np.diag(M).mean() - (1 + g) / 2, "average"),
            (lambda M, g: np.diag(M).max() - (1 + g) / 2, "best state"),
            (lambda M, g: M.min() - (1 + g) / 2, "smallest entry of all"),
            (lambda M, g: np.diag(M) - (1 + g) / 2, "one number per state"),
            (lambda M, g: np.linalg.eigvals(M).real.min() - (1 + g) / 2, "these are eigenvalues"),
            (lambda M, g: np.diag(M).min() - (1 - g) / 2, "here it has a minus"),
            (lambda M, g: np.diag(M).min() - (1 + g), "not halved"),
            (lambda M, g: (1 + g) / 2 - np.diag(M).min(), "turned round"),
            (lambda M, g: max(0.0, np.diag(M).min() - (1 + g) / 2), "cut to 0"),
        ],
    ),
    Case(
        checks.check_sharpness,
        right=[
            lambda mu, g, C: np.log(m_of(g, C) * (1 - mu) / ((1 - m_of(g, C)) * mu)),
            sharpness_by_odds,
        ],
        wrong=[
            (lambda mu, g, C: m_of(g, C) * (1 - mu) / ((1 - m_of(g, C)) * mu), "logarithm is missing"),
            (lambda mu, g, C: np.log10(m_of(g, C) * (1 - mu) / ((1 - m_of(g, C)) * mu)), "base 10"),
            (lambda mu, g, C: np.log((1 - m_of(g, C)) * mu / (m_of(g, C) * (1 - mu))), "upside down"),
            (lambda mu, g, C: np.log(m_of(g, C) / (1 - m_of(g, C))), "does not appear"),
            (lambda mu, g, C: np.log(m_of(g, C) * mu / ((1 - m_of(g, C)) * (1 - mu))), "exchanged"),
            (lambda mu, g, C: sharpness_by_odds(mu, g, 0.0), "margin C is missing"),
            (lambda mu, g, C: sharpness_by_odds(mu, -g, C), "here it has a minus"),
        ],
    ),
    Case(
        checks.check_measured_rates,
        right=[as_arrays(rates_by_loop), rates_vectorised],
        wrong=[
            (lambda v, w: 1 / rates_vectorised(v, w), "upside down"),
            (rates_of(lambda v, w: np.abs(v - w).mean(axis=1)), "averages"),
            (rates_of(lambda v, w: (v - w).max(axis=1)), "absolute value is missing"),
            (rates_of(lambda v, _w: np.abs(np.diff(v, axis=0)).max(axis=1)), "moves between layers"),
            (rates_of(lambda v, _w: np.abs(v).max(axis=1)), "ratio of values"),
            (lambda v, w: np.abs(v - w).max(axis=1)[1:] / np.abs(v - w).max(axis=1)[0], "first error"),
            (lambda v, w: np.abs(v - w).max(axis=1), "errors themselves"),
            (lambda v, w: (np.abs(v - w)[1:] / np.abs(v - w)[:-1]).max(axis=1), "then divide"),
        ],
    ),
    Case(
        checks.check_largest_step,
        right=[step_by_formula, step_by_loop],
        wrong=[
            (lambda M, Q, g: (2 / np.linalg.eigvals(full(M, Q, g))).real.min(), "has a negative real part"),
            (step_of_the_positive, "real part was skipped"),
            (step_unsquared, "the square is missing"),
            (step_complex, "Take the real part in time"),
            (lambda M, Q, g: 2 / np.abs(np.linalg.eigvals(full(M, Q, g))).max(), "real eigenvalues only"),
            (lambda M, Q, g: 2 / np.linalg.eigvals(full(M, Q, g)).real.max(), "imaginary parts"),
            (step_of_the_largest, "largest modulus"),
            (step_from(full, np.max), "most patient"),
            (step_from(lambda M, _Q, _g: M), "M alone"),
            (step_from(lambda M, Q, g: np.eye(len(M)) - full(M, Q, g)), "whole layer"),
            (step_from(full, scale=1.0), "factor 2 is missing"),
        ],
    ),
]
