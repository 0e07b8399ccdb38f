"""Checks of sheet 05: one layer's matrix, a layer as a closed box, its wrong cell, the worst error, tau for a deadline,
the largest step.

The oracles are plain loops, differences, bisections and a try of every sign; nothing of the library's theory is used.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from icrl_teach.checks.check import Case, Check, case, from_size, graded_hints

Layer = Callable[[np.ndarray], np.ndarray]

hint = graded_hints(
    "Take one eigenvalue of M - gamma Q, lambda. Errors in its direction are multiplied by 1 - alpha lambda a layer.",
    "Eigenvalues may be complex: |1 - alpha lambda|^2 = 1 - 2 alpha Re(lambda) + alpha^2 |lambda|^2. For which "
    "alpha > 0 is this 1 again?",
    "That is alpha = 2 Re(lambda) / |lambda|^2. The first direction to grow decides, so take the smallest over all "
    "eigenvalues. If one has Re(lambda) <= 0, no step makes it shrink: then return 0.",
)


def _operators(rng: np.random.Generator, n_states: int, own: float) -> tuple[np.ndarray, np.ndarray]:
    """A random row-stochastic M with extra weight `own` on its diagonal, and Q = M P for a random chain P."""
    M = (1.0 - own) * rng.dirichlet(np.ones(n_states), n_states) + own * np.eye(n_states)
    return M, M @ rng.dirichlet(np.full(n_states, 0.5), n_states)


def _layer_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{n} states, gamma = {gamma}, alpha = {alpha}", *_operators(rng, n, 0.4), gamma, alpha)
        for n, gamma, alpha in ((2, 0.5, 1.0), (from_size(rng, 4), 0.9, 0.7), (3, 0.6, 1.5))
    ]


def _layer(M: np.ndarray, Q: np.ndarray, gamma: float, alpha: float) -> np.ndarray:
    entry = [[float(s == t) - alpha * M[s, t] + alpha * gamma * Q[s, t] for t in range(len(M))] for s in range(len(M))]
    return np.array(entry)


check_one_layer = Check(
    name="one_layer",
    cases=_layer_cases,
    right=_layer,
    forbid=("theory:iteration_matrix",),
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


def _box(M: np.ndarray, Q: np.ndarray, rho: np.ndarray, gamma: float) -> Layer:
    """One layer as a function of the values, and nothing else to be seen."""
    return lambda v: v - M @ v + gamma * Q @ v + rho


def _box_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"a layer of {n} states", _box(*_operators(rng, n, 0.5), rng.normal(size=n), gamma), n)
        for n, gamma in ((2, 0.5), (from_size(rng, 4), 0.9))
    ]


def _opened(layer: Layer, n_states: int) -> tuple[np.ndarray, np.ndarray]:
    """B and c by central differences about a point that is not 0."""
    middle, step = np.linspace(1.0, 2.0, n_states), np.eye(n_states)
    columns = [(layer(middle + e) - layer(middle - e)) / 2.0 for e in step]
    B = np.array([[column[s] for column in columns] for s in range(n_states)])
    return B, layer(middle) - B @ middle


def _otherwise(B: Callable[..., np.ndarray], c: Callable[..., np.ndarray]) -> Callable[..., tuple]:
    """Another answer, made of the right B and c and the layer."""

    def answer(layer: Layer, n_states: int) -> tuple[np.ndarray, np.ndarray]:
        right = (*_opened(layer, n_states), layer)
        return B(*right), c(*right)

    return answer


def _own(B: np.ndarray, c: np.ndarray, layer: Layer) -> np.ndarray:
    return B


check_open_layer = Check(
    name="open_layer",
    cases=_box_cases,
    right=_opened,
    results=("B", "c"),
    mistakes=[
        (
            "the layer of a unit vector is a column of B *plus c*. Subtract what it makes of zeros.",
            _otherwise(lambda B, c, layer: B + c[:, None], lambda B, c, layer: c),
            _otherwise(lambda B, c, layer: B + c, lambda B, c, layer: c),
        ),
        (
            "this is B transposed. What the layer makes of unit vector t is COLUMN t of B.",
            _otherwise(lambda B, c, layer: B.T, lambda B, c, layer: c),
        ),
        (
            "B also holds what the layer adds to a value: the old value itself stays in it.",
            _otherwise(lambda B, c, layer: B - np.eye(len(B)), lambda B, c, layer: c),
        ),
        (
            "c is what the layer makes of zeros, not of ones.",
            _otherwise(_own, lambda B, c, layer: layer(np.ones(len(c)))),
        ),
        (
            "c is what one layer adds. This is where all layers end.",
            _otherwise(_own, lambda B, c, layer: np.linalg.solve(np.eye(len(c)) - B, c)),
        ),
        ("nothing stands in c: it is what the layer makes of zeros.", _otherwise(_own, lambda B, c, layer: 0.0 * c)),
    ],
    hint="ask the layer about zeros first, then about each row of np.eye(n_states).",
    says="with n_states + 1 questions a layer is an open book.",
)


def _wrong_cases(rng: np.random.Generator) -> list[Case]:
    """Layers of which one cell of M is wrong: on the diagonal, beside it, too large and too small."""
    cases = []
    for n, gamma, row, column, wrong in (
        (3, 0.5, 0, 2, 0.9),
        (from_size(rng, 4), 0.8, 3, 1, -0.25),
        (3, 0.9, 1, 1, 0.05),
    ):
        M, Q = _operators(rng, n, 0.5)
        typed = M.copy()
        typed[row, column] = wrong
        layer = _box(typed, Q, rng.normal(size=n), gamma)
        cases.append(case(f"a layer of {n} states, gamma = {gamma}", layer, M, Q, gamma))
    return cases


def _wrong_cell(layer: Layer, M: np.ndarray, Q: np.ndarray, gamma: float) -> tuple[int, int, float]:
    """Ask for each state's share in each state's next value, and compare with what should be."""
    n, nothing = len(M), layer(np.zeros(len(M)))
    found = (0, 0, 0.0)
    for s, t in product(range(n), range(n)):
        share = (layer(2.0 * np.eye(n)[t])[s] - nothing[s]) / 2.0
        stands = float(s == t) + gamma * Q[s, t] - share
        if abs(stands - M[s, t]) > 1e-6:
            found = (s, t, stands)
    return found


def _of_cell(change: Callable[[int, int, float, np.ndarray, np.ndarray, float], tuple]) -> Callable[..., tuple]:
    """Another answer, made of row, column, what stands there, and M, Q, gamma."""
    return lambda layer, M, Q, gamma: change(*_wrong_cell(layer, M, Q, gamma), M, Q, gamma)


check_wrong_cell = Check(
    name="wrong_cell",
    cases=_wrong_cases,
    right=_wrong_cell,
    results=("row", "column", "value"),
    mistakes=[
        (
            "row and column are exchanged: row s hears, column s' is heard.",
            _of_cell(lambda s, t, v, M, Q, g: (t, s, v)),
        ),
        (
            "rows and columns are counted from 0, as Python does.",
            _of_cell(lambda s, t, v, M, Q, g: (s + 1, t + 1, v)),
        ),
        (
            "this is what should stand there. Return what does stand there.",
            _of_cell(lambda s, t, v, M, Q, g: (s, t, M[s, t])),
        ),
        (
            "this is the difference, not the number that stands there.",
            _of_cell(lambda s, t, v, M, Q, g: (s, t, v - M[s, t])),
        ),
        (
            "this cell belongs to the layer's matrix. Solve B = I - M + gamma Q for M.",
            _of_cell(lambda s, t, v, M, Q, g: (s, t, float(s == t) - v + g * Q[s, t])),
        ),
        (
            "the sign is turned: M enters a layer with a minus.",
            _of_cell(lambda s, t, v, M, Q, g: (s, t, 2.0 * M[s, t] - v)),
        ),
    ],
    hint="open the layer, subtract `one_layer(M, Q, gamma)`: one cell differs, and M enters with a minus.",
    says="one cell of B differs, and M enters it with a minus.",
    needs=[check_one_layer, check_open_layer],
)


def _worst_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([[0.2, 0.1, 0.1], [0.3, -0.5, 0.0], [-0.4, 0.2, 0.1]])
    two = np.array([[-0.3, 0.1], [-0.2, -0.3]])
    random = [_layer(*_operators(rng, n, 0.4), 0.9, alpha) for n, alpha in ((4, 1.0), (5, 1.6), (3, 1.0))]
    random[0][0] *= 0.1  # so that the first row is not the one
    return [case(f"a layer of {len(B)} states", B) for B in (by_hand, two, *random)]


def _worst_error(layer: np.ndarray) -> np.ndarray:
    """Of all sign vectors, +1 tried first, the one with the largest next error."""
    best, most = np.ones(len(layer)), -np.inf
    for signs in product((1.0, -1.0), repeat=len(layer)):
        reached = max(sum(row[t] * signs[t] for t in range(len(row))) for row in layer)
        if reached > most + 1e-12:
            best, most = np.array(signs), reached
    return best


def _signs(row: np.ndarray) -> np.ndarray:
    return np.where(row < 0, -1.0, 1.0)


check_worst_error = Check(
    name="worst_error",
    cases=_worst_cases,
    right=_worst_error,
    mistakes=[
        ("the sign is turned: the stretched error is to come out positive.", lambda B: -_worst_error(B)),
        (
            "the row was chosen by its plain sum. Its absolute values decide: each entry can be made to help.",
            lambda B: _signs(B[B.sum(axis=1).argmax()]),
        ),
        (
            "one row can be served best, not all at once. Choose the row with the largest absolute sum.",
            lambda B: _signs(B.sum(axis=0)),
        ),
        (
            "you looked down a column. A row says what a state's next error is made of.",
            lambda B: _signs(B[:, np.abs(B).sum(axis=0).argmax()]),
            lambda B: _signs(B[:, np.abs(B).sum(axis=1).argmax()]),
        ),
        (
            "this is the row itself. Errors of size 1 are allowed: only its signs count.",
            lambda B: B[np.abs(B).sum(axis=1).argmax()],
        ),
        (
            "an error alike everywhere helps where a row has no minus. Match the signs of the row.",
            lambda B: np.ones(len(B)),
        ),
        ("this serves the first row. The worst row has the largest absolute sum.", lambda B: _signs(B[0])),
        (
            "where an entry is 0 the answer is +1; np.sign gives 0 there.",
            lambda B: np.sign(B[np.abs(B).sum(axis=1).argmax()]),
        ),
    ],
    hint="find the row with the largest absolute sum; +1 where its entry is 0 or more, -1 elsewhere.",
    says="this error is stretched by the largest row sum, so no smaller bound holds.",
)


def _deadline_cases(rng: np.random.Generator) -> list[Case]:
    visits = rng.integers(20, 60, 4)
    some = np.array([40, 30, 20, 10]), 0.5, 12, 0.01
    others = (visits, 0.9, 100, 0.01), (np.array([5, 300, 100]), 0.6, 3, 0.4), (np.array([10, 10]), 0.9, 20, 0.1)
    return [case(f"visits {v.tolist()}, gamma = {g}, {n} layers, to {e}", v, g, n, e) for v, g, n, e in (some, *others)]


def _deadline(
    visits: np.ndarray, gamma: float, n_layers: int, shrink: float, per_margin: float = 2.0, rarest: float | None = None
) -> float:
    """The tau at which the promised factor, to the power of n_layers, meets the deadline: by halving an interval."""
    fewest = min(visits.tolist()) if rarest is None else rarest

    def promised(tau: float) -> float:
        own = fewest / (fewest + (visits.sum() - fewest) * np.exp(-tau))
        return max(1.0 - per_margin * (own - (1.0 + gamma) / 2.0), 0.0) ** n_layers

    if promised(200.0) >= shrink * (1.0 - 1e-12):
        return np.inf
    low, high = -50.0, 200.0
    for _ in range(100):
        tau = (low + high) / 2.0
        low, high = (low, tau) if promised(tau) <= shrink else (tau, high)
    return high


def _without_a_way_out(visits: np.ndarray, gamma: float, n_layers: int, shrink: float) -> float:
    tau = _deadline(visits, gamma, n_layers, shrink)
    return np.nan if np.isinf(tau) else tau


check_tau_for_deadline = Check(
    name="tau_for_deadline",
    cases=_deadline_cases,
    right=_deadline,
    mistakes=[
        (
            "that deadline cannot be promised: even the sharpest scores leave a factor gamma a layer. Return np.inf.",
            _without_a_way_out,
        ),
        (
            "this asks for 1 - C a layer. The row sums promise 1 - 2C.",
            lambda v, g, n, e: _deadline(v, g, n, e, per_margin=1.0),
        ),
        (
            "each layer is asked for too much. n_layers factors multiply: a layer may keep shrink ** (1 / n_layers).",
            lambda v, g, n, e: _deadline(v, g, 1, e),
            lambda v, g, n, e: _deadline(v, g, 1, e / n),
            lambda v, g, n, e: _deadline(v, g, 1, e**n),
        ),
        (
            "the work was divided by the layers. Factors multiply: shrink ** (1 / n_layers).",
            lambda v, g, n, e: _deadline(v, g, 1, 1.0 - (1.0 - e) / n),
        ),
        (
            "the promise is that of the state visited most. The rarest decides.",
            lambda v, g, n, e: _deadline(v, g, n, e, rarest=v.max()),
        ),
        (
            "the promise is that of an average state. The rarest decides.",
            lambda v, g, n, e: _deadline(v, g, n, e, rarest=v.mean()),
        ),
        ("the logarithm is missing: this is e^tau, not tau.", lambda v, g, n, e: np.exp(_deadline(v, g, n, e))),
        ("gamma is missing: a row adds up to 2 (1 - m) + gamma.", lambda v, g, n, e: _deadline(v, 0.0, n, e)),
        (
            "the margin was left at 0. Such a tau promises no deadline at all.",
            lambda v, g, n, e: _deadline(v, g, 1, 1.0),
        ),
    ],
    hint="a layer may keep shrink ** (1 / n_layers). Set 2 (1 - m) + gamma to that; m is M(s, s) of the rarest state.",
    says="this tau is the bluntest that can promise the deadline.",
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


def _from_spectrum(rule: Callable[[np.ndarray], float]) -> tuple[Callable, Callable]:
    """A mistaken rule for the eigenvalues of M - gamma Q: 0 where one has no positive part, and without that look."""

    def bare(M: np.ndarray, Q: np.ndarray, gamma: float) -> float:
        return float(rule(np.linalg.eigvals(M - gamma * Q)))

    def guarded(M: np.ndarray, Q: np.ndarray, gamma: float) -> float:
        return bare(M, Q, gamma) if np.linalg.eigvals(M - gamma * Q).real.min() > 0 else 0.0

    return guarded, bare


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
            *_from_spectrum(lambda lam: (2.0 * lam.real / np.abs(lam)).min()),
        ),
        (
            "only the eigenvalue of largest modulus was asked. A smaller one can be complex and stop shrinking first.",
            *_from_spectrum(lambda lam: 2.0 * (1.0 / lam[np.abs(lam).argmax()]).real),
        ),
        (
            "2 / |lambda| is right for real eigenvalues only. Take 2 Re(lambda) / |lambda|^2.",
            *_from_spectrum(lambda lam: 2.0 / np.abs(lam).max()),
        ),
        (
            "the imaginary parts were dropped. They turn the error round and need smaller steps.",
            *_from_spectrum(lambda lam: 2.0 / lam.real.max()),
            lambda M, Q, g: (2.0 / np.linalg.eigvals(M - g * Q).real).min(),
        ),
        (
            "this is the most patient direction. The first one to grow decides: take the smallest.",
            *_from_spectrum(lambda lam: (2.0 * lam.real / np.abs(lam) ** 2).max()),
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
