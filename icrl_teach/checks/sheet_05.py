"""Checks of sheet 05: the matrix of one layer, the margin, the sharpness rule, measured rates, the largest step.

The oracles are plain loops and bisections over NumPy; nothing of the library's theory is used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icrl_teach.checks.report import Mistake, answer, compare, passed


def _operators(seed: int, n_states: int, own: float) -> tuple[np.ndarray, np.ndarray]:
    """A random row-stochastic M with extra weight `own` on its diagonal, and Q = M P for a random chain P."""
    rng = np.random.default_rng(seed)
    M = rng.dirichlet(np.ones(n_states), n_states)
    M = (1.0 - own) * M + own * np.eye(n_states)
    return M, M @ rng.dirichlet(np.full(n_states, 0.5), n_states)


def check_one_layer(one_layer: Callable) -> None:
    """one_layer(M, Q, gamma, alpha) against entry-by-entry loops, at two random pairs of matrices."""
    for seed, n_states, gamma, alpha in ((1, 2, 0.5, 1.0), (2, 4, 0.9, 0.7), (3, 3, 0.6, 1.5)):
        M, Q = _operators(seed, n_states, 0.4)
        expected = np.zeros((n_states, n_states))
        for s in range(n_states):
            for t in range(n_states):
                expected[s, t] = (1.0 if s == t else 0.0) - alpha * M[s, t] + alpha * gamma * Q[s, t]
        eye = np.eye(n_states)
        mistakes = [
            Mistake(expected - eye, "the identity is missing. A layer adds to the old value; it does not replace it."),
            Mistake(eye - alpha * M + alpha * Q, "gamma is missing. The next state's value counts gamma times."),
            Mistake(
                eye - alpha * M - alpha * gamma * Q, "the next state's value enters with a plus: check the sign of Q."
            ),
            Mistake(eye - alpha * M + gamma * Q, "alpha multiplies the whole TD error, so Q needs it as well as M."),
            Mistake(1.0 - alpha * M + alpha * gamma * Q, "a 1 was added to every entry. Use np.eye(len(M))."),
            Mistake(expected.T, "this is the transpose. Row s must say what the new error of state s is made of."),
        ]
        tried = f"one_layer on {n_states} states, gamma = {gamma}, alpha = {alpha}"
        got = answer(one_layer, M, Q, gamma, alpha, tried=tried)
        compare(got, expected, tried=tried, mistakes=mistakes, hint="write out I - alpha M + alpha gamma Q.")
    passed("one_layer is I - alpha M + alpha gamma Q.")


def check_margin(margin: Callable) -> None:
    """margin(M, gamma) against a loop over states, at a worked example, two random matrices and an unvisited state."""
    unvisited = np.array([[0.0, 0.6, 0.4], [0.0, 0.9, 0.1], [0.0, 0.2, 0.8]])
    cases = [
        (np.array([[0.9, 0.1], [0.28, 0.72]]), 0.3),
        (_operators(4, 4, 0.8)[0], 0.5),
        (_operators(5, 3, 0.95)[0], 0.7),
    ]
    for M, gamma in [*cases, (unvisited, 0.5)]:
        line, smallest = (1.0 + gamma) / 2.0, min(M[s, s] for s in range(len(M)))
        diagonal = np.array([M[s, s] for s in range(len(M))])
        mistakes = [
            Mistake(
                diagonal.mean() - line, "this is the average of the diagonal. One bad state is enough: take the worst."
            ),
            Mistake(diagonal.max() - line, "this is the best state. The promise must hold for the worst one."),
            Mistake(M.min() - line, "this is the smallest entry of all of M. Only the diagonal counts."),
            Mistake(np.linalg.eigvals(M).real.min() - line, "these are eigenvalues. The margin looks at the diagonal."),
            Mistake(diagonal - line, "there is one number per state here. The margin is the smallest of them."),
            Mistake(smallest - (1.0 - gamma) / 2.0, "the line is (1 + gamma) / 2; here it has a minus."),
            Mistake(smallest - (1.0 + gamma), "the line was not halved: it is (1 + gamma) / 2."),
            Mistake(line - smallest, "the sign is turned round: a diagonal above the line has a positive margin."),
            Mistake(
                max(smallest - line, 0.0),
                "a negative margin was cut to 0. Keep it: it says by how much the condition fails.",
            ),
        ]
        tried = f"margin of a {len(M)} x {len(M)} matrix with diagonal {diagonal.round(2).tolist()}, gamma = {gamma}"
        got = answer(margin, M, gamma, tried=tried)
        compare(
            got, smallest - line, tried=tried, mistakes=mistakes, hint="smallest diagonal entry minus (1 + gamma) / 2."
        )
    passed("margin is the worst diagonal minus (1 + gamma) / 2.")


def _sharpness_by_bisection(mu_min: float, wanted: float) -> float:
    """The tau at which mu e^tau / (mu e^tau + 1 - mu) equals the wanted diagonal, by halving an interval."""
    low, high = -50.0, 50.0
    for _ in range(100):
        tau = (low + high) / 2.0
        own = mu_min * np.exp(tau)
        low, high = (tau, high) if own / (own + 1.0 - mu_min) < wanted else (low, tau)
    return low


def check_sharpness(sharpness: Callable) -> None:
    """sharpness(mu_min, gamma, C) against bisection on the diagonal itself, at three settings."""
    for mu_min, gamma, C in ((0.25, 0.5, 0.1), (0.1, 0.9, 0.01), (0.03, 0.8, 0.02)):
        m = (1.0 + gamma) / 2.0 + C
        odds = m * (1.0 - mu_min) / ((1.0 - m) * mu_min)
        wrong_line = (1.0 - gamma) / 2.0 + C
        mistakes = [
            Mistake(odds, "the logarithm is missing: this is e^tau, not tau."),
            Mistake(np.log10(odds), "this is the logarithm to base 10; softmax uses e, so np.log."),
            Mistake(
                -np.log(odds), "the fraction is upside down: a larger wanted diagonal must ask for more sharpness."
            ),
            Mistake(
                np.log(m / (1.0 - m)),
                "mu_min does not appear. A rare state has to be heard above 1 - mu_min of others.",
            ),
            Mistake(np.log(m * mu_min / ((1.0 - m) * (1.0 - mu_min))), "mu_min and 1 - mu_min are exchanged."),
            Mistake(_sharpness_by_bisection(mu_min, m - C), "the wanted margin C is missing from the diagonal m."),
            Mistake(_sharpness_by_bisection(mu_min, wrong_line), "the line is (1 + gamma) / 2; here it has a minus."),
        ]
        tried = f"sharpness(mu_min={mu_min}, gamma={gamma}, C={C})"
        got = answer(sharpness, mu_min, gamma, C, tried=tried)
        hint = "first m = (1 + gamma) / 2 + C, then solve mu e^tau / (mu e^tau + 1 - mu) = m for tau."
        compare(got, _sharpness_by_bisection(mu_min, m), tried=tried, mistakes=mistakes, hint=hint)
    passed("at that tau the rarest state's diagonal reaches (1 + gamma) / 2 + C.")


def check_measured_rates(measured_rates: Callable) -> None:
    """measured_rates(values, limit) against a double loop, on iterates with a known limit."""
    for seed, n_layers, n_states in ((6, 4, 3), (7, 6, 5)):
        rng = np.random.default_rng(seed)
        limit = rng.normal(size=n_states) + 2.0
        shrink = rng.uniform(0.2, 0.9, (n_layers, 1)).cumprod(axis=0)
        errors = np.vstack([np.ones((1, n_states)), shrink * rng.uniform(0.5, 1.0, (n_layers, n_states))])
        values = limit + errors * rng.choice([-1.0, 1.0], errors.shape) * rng.uniform(0.5, 1.0, n_states)
        worst = [max(abs(values[layer, s] - limit[s]) for s in range(n_states)) for layer in range(n_layers + 1)]
        expected = [worst[layer + 1] / worst[layer] for layer in range(n_layers)]
        mistakes = _rate_mistakes(values, limit, worst)
        tried = f"measured_rates of values with shape {values.shape}"
        got = answer(measured_rates, values, limit, tried=tried)
        hint = "largest absolute error over states (axis 1) a layer, each divided by the one before: (L,) numbers."
        compare(got, expected, tried=tried, mistakes=mistakes, hint=hint)
    passed("measured_rates gives the factor of the largest error, layer by layer.")


def _rate_mistakes(values: np.ndarray, limit: np.ndarray, worst: list[float]) -> list[Mistake]:
    gap, moves, sizes = (
        np.abs(values - limit),
        np.abs(np.diff(values, axis=0)).max(axis=1),
        np.abs(values).max(axis=1),
    )
    signed, to_last = (values - limit).max(axis=1), np.abs(values - values[-1]).max(axis=1)
    return [
        Mistake(np.array(worst[:-1]) / worst[1:], "the ratio is upside down: new error divided by the error before."),
        Mistake(
            gap.mean(axis=1)[1:] / gap.mean(axis=1)[:-1],
            "this averages over states. The bound is about the largest error.",
        ),
        Mistake(signed[1:] / signed[:-1], "the absolute value is missing: errors below the limit count too."),
        Mistake(moves[1:] / moves[:-1], "this compares moves between layers. Subtract the limit instead."),
        Mistake(sizes[1:] / sizes[:-1], "the limit was not subtracted: this is the ratio of values, not of errors."),
        Mistake(
            np.array(worst[1:]) / worst[0], "every layer is divided by the first error. Divide by the layer before."
        ),
        Mistake(worst, "these are the errors themselves. Divide each by the one before."),
        Mistake((gap[1:] / gap[:-1]).max(axis=1), "take the largest error of each layer first, then divide."),
        Mistake(to_last[1:] / to_last[:-1], "this measures to the last layer. Measure to the limit that was given."),
    ]


def _largest_step_by_bisection(A: np.ndarray) -> float:
    """The step at which some |1 - alpha lambda| reaches 1; 0 if a tiny step already grows an error."""

    def grows(alpha: float) -> bool:
        return bool(np.abs(np.linalg.eigvals(np.eye(len(A)) - alpha * A)).max() > 1.0)

    if grows(1e-6):
        return 0.0
    low, high = 1e-6, 100.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (low, middle) if grows(middle) else (middle, high)
    return low


def check_largest_step(largest_step: Callable) -> None:
    """largest_step(M, Q, gamma) against bisection on the spectral radius: real, complex and hopeless cases."""
    ring = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    sharp = 0.85 * np.eye(3) + 0.05
    uneven = np.exp(np.array([[13.0, 15.0, 6.0], [15.0, 18.0, 6.0], [6.0, 6.0, 4.0]]))
    uneven /= uneven.sum(axis=1, keepdims=True)
    hopeless = uneven @ np.array([[0.0, 0.0, 1.0], [0.2, 0.8, 0.0], [0.8, 0.2, 0.0]])
    two = np.array([[0.9, 0.1], [0.2, 0.8]])
    # A ring beside a pair that changes places: the eigenvalue of largest modulus is not the one that decides.
    beside = np.zeros((5, 5))
    beside[:3, :3], beside[3:, 3:] = ring, [[0.11, 0.89], [0.89, 0.11]]
    nearly = 0.9 * np.eye(5) + 0.02
    # A ring comes first: its eigenvalues are complex, so that most mistakes differ there.
    around = ("a ring of three states", sharp, sharp @ ring)
    cases = [(*around, 0.3), ("two states", two, two @ two[::-1], 0.6), (*around, 0.9),
             ("uneven features", uneven, hopeless, 0.9),
             ("a ring and a pair", nearly, nearly @ beside, 0.9)]  # fmt: skip
    for name, M, Q, gamma in cases:
        tried = f"largest_step on {name}, gamma = {gamma}"
        got = answer(largest_step, M, Q, gamma, tried=tried)
        mistakes = _step_mistakes(M, Q, gamma)
        hint = "for each eigenvalue of M - gamma Q solve |1 - alpha lambda| = 1 for alpha; the smallest alpha decides."
        compare(got, _largest_step_by_bisection(M - gamma * Q), tried=tried, mistakes=mistakes, hint=hint)
    passed("largest_step is where the first direction stops shrinking.")


def _step_mistakes(M: np.ndarray, Q: np.ndarray, gamma: float) -> list[Mistake]:
    def limits(A: np.ndarray) -> np.ndarray:
        lam = np.linalg.eigvals(A)
        return 2.0 * lam.real / np.abs(lam) ** 2

    lam, own = np.linalg.eigvals(M - gamma * Q), limits(M - gamma * Q)
    kept = own[own > 0] if own.min() <= 0 else own + np.nan  # what is left when the others are skipped
    unsquared = 2.0 * lam.real / np.abs(lam)
    wrong: list[tuple[float, str]] = [
        (float(own.min()), "an eigenvalue has a negative real part: then no positive step helps. Return 0."),
        (float(kept.min()), "an eigenvalue with negative real part was skipped. It counts: no positive step helps."),
        (max(0.0, float(unsquared.min())), "the square is missing: the step is 2 Re(lambda) / |lambda|^2."),
        (float(own[np.abs(lam).argmax()]), "only the eigenvalue of largest modulus was asked. A smaller one can be "
         "complex and stop shrinking first."),
        (2.0 / np.abs(lam).max(), "2 / |lambda| is right for real eigenvalues only. Take 2 Re(lambda) / |lambda|^2."),
        (2.0 / lam.real.max(), "the imaginary parts were dropped. They turn the error round and need smaller steps."),
        (float(own.max()), "this is the most patient direction. The first one to grow decides: take the smallest."),
        (float(limits(M).min()), "these are eigenvalues of M alone. A layer subtracts alpha (M - gamma Q)."),
        (float(limits(np.eye(len(M)) - M + gamma * Q).min()), "eigenvalues of the whole layer: use M - gamma Q."),
        (float(own.min()) / 2.0, "the factor 2 is missing: |1 - alpha lambda| comes back to 1 at twice that step."),
    ]  # fmt: skip
    return [Mistake(output, hint) for output, hint in wrong if np.isfinite(output)]
