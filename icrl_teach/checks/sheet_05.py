"""Checks of sheet 05: the matrix of one layer, the margin, the sharpness rule, measured rates, the largest step.

The oracles are plain loops and bisections over NumPy; nothing of the library's theory is used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icrl_teach.checks.check import Case, Check, case


def _operators(rng: np.random.Generator, n_states: int, own: float) -> tuple[np.ndarray, np.ndarray]:
    """A random row-stochastic M with extra weight `own` on its diagonal, and Q = M P for a random chain P."""
    M = (1.0 - own) * rng.dirichlet(np.ones(n_states), n_states) + own * np.eye(n_states)
    return M, M @ rng.dirichlet(np.full(n_states, 0.5), n_states)


def _layer_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{n} states, gamma = {gamma}, alpha = {alpha}", *_operators(rng, n, 0.4), gamma, alpha)
        for n, gamma, alpha in ((2, 0.5, 1.0), (4, 0.9, 0.7), (3, 0.6, 1.5))
    ]


def _layer(M: np.ndarray, Q: np.ndarray, gamma: float, alpha: float) -> np.ndarray:
    entry = [[float(s == t) - alpha * M[s, t] + alpha * gamma * Q[s, t] for t in range(len(M))] for s in range(len(M))]
    return np.array(entry)


check_one_layer = Check(
    name="one_layer",
    cases=_layer_cases,
    right=_layer,
    mistakes=[
        (
            "the identity is missing. A layer adds to the old value; it does not replace it.",
            lambda M, Q, g, a: -a * M + a * g * Q,
        ),
        ("gamma is missing. The next state's value counts gamma times.", lambda M, Q, g, a: _layer(M, Q, 1.0, a)),
        ("the next state's value enters with a plus: check the sign of Q.", lambda M, Q, g, a: _layer(M, -Q, g, a)),
        ("alpha multiplies the whole TD error, so Q needs it as well as M.", lambda M, Q, g, a: _layer(M, Q / a, g, a)),
        ("a 1 was added to every entry. Use np.eye(len(M)).", lambda M, Q, g, a: 1.0 - a * M + a * g * Q),
        (
            "this is the transpose. Row s must say what the new error of state s is made of.",
            lambda M, Q, g, a: _layer(M, Q, g, a).T,
        ),
    ],
    hint="write out I - alpha M + alpha gamma Q.",
    says="one_layer is I - alpha M + alpha gamma Q.",
)


def _margin_cases(rng: np.random.Generator) -> list[Case]:
    unvisited = np.array([[0.0, 0.6, 0.4], [0.0, 0.9, 0.1], [0.0, 0.2, 0.8]])
    by_hand = np.array([[0.9, 0.1], [0.28, 0.72]])
    random = (_operators(rng, 4, 0.8)[0], 0.5), (_operators(rng, 3, 0.95)[0], 0.7)
    return [
        case(f"a matrix with diagonal {M.diagonal().round(2).tolist()}, gamma = {gamma}", M, gamma)
        for M, gamma in [(by_hand, 0.3), *random, (unvisited, 0.5)]
    ]


def _margin(M: np.ndarray, gamma: float) -> float:
    return min(M[s, s] for s in range(len(M))) - (1.0 + gamma) / 2.0


def _above_the_line(number_of: Callable[[np.ndarray], np.ndarray | float]) -> Callable:
    """The margin of another number than the smallest diagonal entry."""
    return lambda M, gamma: number_of(M) - (1.0 + gamma) / 2.0


check_margin = Check(
    name="margin",
    cases=_margin_cases,
    right=_margin,
    mistakes=[
        (
            "this is the average of the diagonal. One bad state is enough: take the worst.",
            _above_the_line(lambda M: M.diagonal().mean()),
        ),
        (
            "this is the best state. The promise must hold for the worst one.",
            _above_the_line(lambda M: M.diagonal().max()),
        ),
        ("this is the smallest entry of all of M. Only the diagonal counts.", _above_the_line(np.min)),
        (
            "these are eigenvalues. The margin looks at the diagonal.",
            _above_the_line(lambda M: np.linalg.eigvals(M).real.min()),
        ),
        ("there is one number per state here. The margin is the smallest of them.", _above_the_line(np.diagonal)),
        ("the line is (1 + gamma) / 2; here it has a minus.", lambda M, gamma: _margin(M, -gamma)),
        ("the line was not halved: it is (1 + gamma) / 2.", lambda M, gamma: _margin(M, 1.0 + 2.0 * gamma)),
        (
            "the sign is turned round: a diagonal above the line has a positive margin.",
            lambda M, gamma: -_margin(M, gamma),
        ),
        (
            "a negative margin was cut to 0. Keep it: it says by how much the condition fails.",
            lambda M, gamma: max(_margin(M, gamma), 0.0),
        ),
    ],
    hint="smallest diagonal entry minus (1 + gamma) / 2.",
    says="margin is the worst diagonal minus (1 + gamma) / 2.",
)


def _sharpness_cases(rng: np.random.Generator) -> list[Case]:
    low = rng.uniform(0.02, 0.05)
    return [
        case(f"mu_min = {mu_min:.3g}, gamma = {gamma}, C = {C}", mu_min, gamma, C)
        for mu_min, gamma, C in ((0.25, 0.5, 0.1), (0.1, 0.9, 0.01), (low, 0.8, 0.02))
    ]


def _reaching(mu_min: float, m: float) -> float:
    """The tau at which mu e^tau / (mu e^tau + 1 - mu) equals the diagonal m, by halving an interval."""
    low, high = -50.0, 50.0
    for _ in range(100):
        tau = (low + high) / 2.0
        own = mu_min * np.exp(tau)
        low, high = (tau, high) if own / (own + 1.0 - mu_min) < m else (low, tau)
    return low


def _sharpness(mu_min: float, gamma: float, C: float) -> float:
    return _reaching(mu_min, (1.0 + gamma) / 2.0 + C)


check_sharpness = Check(
    name="sharpness",
    cases=_sharpness_cases,
    right=_sharpness,
    mistakes=[
        ("the logarithm is missing: this is e^tau, not tau.", lambda mu, g, C: np.exp(_sharpness(mu, g, C))),
        (
            "this is the logarithm to base 10; softmax uses e, so np.log.",
            lambda mu, g, C: _sharpness(mu, g, C) / np.log(10.0),
        ),
        (
            "the fraction is upside down: a larger wanted diagonal must ask for more sharpness.",
            lambda mu, g, C: -_sharpness(mu, g, C),
        ),
        (
            "mu_min does not appear. A rare state has to be heard above 1 - mu_min of others.",
            lambda mu, g, C: _sharpness(0.5, g, C),
        ),
        ("mu_min and 1 - mu_min are exchanged.", lambda mu, g, C: _sharpness(1.0 - mu, g, C)),
        ("the wanted margin C is missing from the diagonal m.", lambda mu, g, C: _sharpness(mu, g, 0.0)),
        ("the line is (1 + gamma) / 2; here it has a minus.", lambda mu, g, C: _sharpness(mu, -g, C)),
    ],
    hint="first m = (1 + gamma) / 2 + C, then solve mu e^tau / (mu e^tau + 1 - mu) = m for tau.",
    says="at that tau the rarest state's diagonal reaches (1 + gamma) / 2 + C.",
)


def _rate_cases(rng: np.random.Generator) -> list[Case]:
    """Iterates with a known limit, errors of both signs."""
    cases = []
    for n_layers, n_states in ((4, 3), (6, 5)):
        limit = rng.normal(size=n_states) + 2.0
        shrink = rng.uniform(0.2, 0.9, (n_layers, 1)).cumprod(axis=0)
        errors = np.vstack([np.ones((1, n_states)), shrink * rng.uniform(0.5, 1.0, (n_layers, n_states))])
        values = limit + errors * rng.choice([-1.0, 1.0], errors.shape) * rng.uniform(0.5, 1.0, n_states)
        cases.append(case(f"values with shape {values.shape}", values, limit))
    return cases


def _ratios(sizes: np.ndarray) -> np.ndarray:
    return np.array([sizes[layer + 1] / sizes[layer] for layer in range(len(sizes) - 1)])


def _worst(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    return np.array([max(abs(row[s] - limit[s]) for s in range(len(limit))) for row in values])


check_measured_rates = Check(
    name="measured_rates",
    cases=_rate_cases,
    right=lambda values, limit: _ratios(_worst(values, limit)),
    mistakes=[
        ("the ratio is upside down: new error divided by the error before.", lambda v, w: 1.0 / _ratios(_worst(v, w))),
        (
            "this averages over states. The bound is about the largest error.",
            lambda v, w: _ratios(np.abs(v - w).mean(axis=1)),
        ),
        ("the absolute value is missing: errors below the limit count too.", lambda v, w: _ratios((v - w).max(axis=1))),
        (
            "this compares moves between layers. Subtract the limit instead.",
            lambda v, w: _ratios(_worst(np.diff(v, axis=0), 0.0 * w)),
        ),
        (
            "the limit was not subtracted: this is the ratio of values, not of errors.",
            lambda v, w: _ratios(_worst(v, 0.0 * w)),
        ),
        (
            "every layer is divided by the first error. Divide by the layer before.",
            lambda v, w: _worst(v, w)[1:] / _worst(v, w)[0],
        ),
        ("these are the errors themselves. Divide each by the one before.", _worst),
        (
            "take the largest error of each layer first, then divide.",
            lambda v, w: np.abs((v - w)[1:] / (v - w)[:-1]).max(axis=1),
        ),
        (
            "this measures to the last layer. Measure to the limit that was given.",
            lambda v, w: _ratios(_worst(v, v[-1])),
        ),
    ],
    hint="largest absolute error over states (axis 1) a layer, each divided by the one before: (L,) numbers.",
    says="measured_rates gives the factor of the largest error, layer by layer.",
)


def _step_cases(rng: np.random.Generator) -> list[Case]:
    """Real, complex and hopeless spectra. In the last case the largest eigenvalue is not the one that decides."""
    ring = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    sharp, two = 0.85 * np.eye(3) + 0.05, np.array([[0.9, 0.1], [0.2, 0.8]])
    uneven = np.exp(np.array([[13.0, 15.0, 6.0], [15.0, 18.0, 6.0], [6.0, 6.0, 4.0]]))
    uneven /= uneven.sum(axis=1, keepdims=True)
    hopeless = uneven @ np.array([[0.0, 0.0, 1.0], [0.2, 0.8, 0.0], [0.8, 0.2, 0.0]])
    beside = np.zeros((5, 5))
    beside[:3, :3], beside[3:, 3:] = ring, [[0.11, 0.89], [0.89, 0.11]]
    nearly, slow = 0.9 * np.eye(5) + 0.02, round(rng.uniform(0.3, 0.6), 3)
    return [
        case(f"{name}, gamma = {gamma}", M, M @ P if P is not None else hopeless, gamma)
        for name, M, P, gamma in (
            ("a ring of three states", sharp, ring, slow),
            ("two states", two, two[::-1], 0.6),
            ("a ring of three states", sharp, ring, 0.9),
            ("uneven features", uneven, None, 0.9),
            ("a ring and a pair", nearly, beside, 0.9),
        )
    ]


def _largest_step(A: np.ndarray) -> float:
    """The step at which some |1 - alpha lambda| reaches 1, by bisection; 0 if a tiny step already grows an error."""

    def grows(alpha: float) -> bool:
        return bool(np.abs(np.linalg.eigvals(np.eye(len(A)) - alpha * A)).max() > 1.0)

    if grows(1e-6):
        return 0.0
    low, high = 1e-6, 100.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (low, middle) if grows(middle) else (middle, high)
    return low


def _limits(A: np.ndarray) -> np.ndarray:
    """The step at which each eigenvalue's direction stops shrinking."""
    lam = np.linalg.eigvals(A)
    return 2.0 * lam.real / np.abs(lam) ** 2


def _from_spectrum(rule: Callable[[np.ndarray], float]) -> Callable:
    """A step worked out from the eigenvalues of M - gamma Q by a mistaken rule; 0 where one has no positive part."""

    def step(M: np.ndarray, Q: np.ndarray, gamma: float) -> float:
        lam = np.linalg.eigvals(M - gamma * Q)
        return float(rule(lam)) if lam.real.min() > 0 else 0.0

    return step


def _positive_only(M: np.ndarray, Q: np.ndarray, gamma: float) -> float:
    own = _limits(M - gamma * Q)
    return float(own[own > 0].min())


check_largest_step = Check(
    name="largest_step",
    cases=_step_cases,
    right=lambda M, Q, gamma: _largest_step(M - gamma * Q),
    mistakes=[
        (
            "an eigenvalue has a negative real part: then no positive step helps. Return 0.",
            lambda M, Q, g: _limits(M - g * Q).min(),
        ),
        ("an eigenvalue with negative real part was skipped. It counts: no positive step helps.", _positive_only),
        (
            "the square is missing: the step is 2 Re(lambda) / |lambda|^2.",
            _from_spectrum(lambda lam: (2.0 * lam.real / np.abs(lam)).min()),
        ),
        (
            "only the eigenvalue of largest modulus was asked. A smaller one can be complex and stop shrinking first.",
            _from_spectrum(lambda lam: 2.0 * (1.0 / lam[np.abs(lam).argmax()]).real),
        ),
        (
            "2 / |lambda| is right for real eigenvalues only. Take 2 Re(lambda) / |lambda|^2.",
            _from_spectrum(lambda lam: 2.0 / np.abs(lam).max()),
            lambda M, Q, g: 2.0 / np.abs(np.linalg.eigvals(M - g * Q)).max(),
        ),
        (
            "the imaginary parts were dropped. They turn the error round and need smaller steps.",
            _from_spectrum(lambda lam: 2.0 / lam.real.max()),
            lambda M, Q, g: 2.0 / np.linalg.eigvals(M - g * Q).real.max(),
        ),
        (
            "this is the most patient direction. The first one to grow decides: take the smallest.",
            _from_spectrum(lambda lam: (2.0 * lam.real / np.abs(lam) ** 2).max()),
        ),
        (
            "these are eigenvalues of M alone. A layer subtracts alpha (M - gamma Q).",
            lambda M, Q, g: max(0.0, _limits(M).min()),
        ),
        (
            "eigenvalues of the whole layer: use M - gamma Q.",
            lambda M, Q, g: max(0.0, _limits(np.eye(len(M)) - M + g * Q).min()),
        ),
        (
            "the factor 2 is missing: |1 - alpha lambda| comes back to 1 at twice that step.",
            lambda M, Q, g: _largest_step(M - g * Q) / 2.0,
        ),
        (
            "M - gamma Q is not symmetric, so np.linalg.eigvalsh does not see its eigenvalues. Use np.linalg.eigvals.",
            lambda M, Q, g: max(0.0, 2.0 / np.linalg.eigvalsh(M - g * Q).max()),
        ),
    ],
    hint="for each eigenvalue of M - gamma Q solve |1 - alpha lambda| = 1 for alpha; the smallest alpha decides.",
    says="largest_step is where the first direction stops shrinking.",
)
