"""Checks of sheet 03: values from features, a batch linear TD step, LSTD, weighted error, the largest stable step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from icrl_teach.checks.check import Case, Check, case

SMALL = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 2.0]]), np.array([2.0, -1.0, 3.0])


def _random(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Random features (n+1, d) and rewards (n,)."""
    return rng.normal(size=(n + 1, d)), rng.normal(size=n)


def _value_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{len(x)} positions, {x.shape[1]} features", x, np.linspace(-1.0, 2.0, x.shape[1]))
        for x in (SMALL[0], _random(rng, 6, 3)[0], _random(rng, 4, 5)[0])
    ]


def _values(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.array([sum(x[j, i] * w[i] for i in range(len(w))) for j in range(len(x))])


check_values = Check(
    name="values",
    cases=_value_cases,
    right=_values,
    mistakes=[
        ("one value is missing: the last position, the query state, has features too", lambda x, w: _values(x, w)[:-1]),
        ("you have the products x_i w_i; they still need adding up along the features (axis 1)", lambda x, w: x * w),
        ("this is the mean of the products; v(s) is their sum", lambda x, w: _values(x, w) / len(w)),
        (
            "you summed over the positions (axis 0); v needs one number for each position",
            lambda x, w: (x * w).sum(axis=0),
        ),
    ],
    hint="v(S_j) is the inner product of row j with w",
    says="each position has the weighted sum of its own features.",
)


def _step_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{len(x)} positions, {x.shape[1]} features, gamma = {gamma}, alpha = {alpha}",
            *(np.linspace(0.5, -1.0, x.shape[1]), x, r, gamma, alpha),
        )
        for (x, r), gamma, alpha in ((SMALL, 0.5, 0.5), (_random(rng, 7, 3), 0.8, 0.3), (_random(rng, 5, 4), 0.6, 0.7))
    ]


def _step(w: np.ndarray, x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, kind: str = "right") -> np.ndarray:
    """One batch step by a loop over transitions; `kind` picks the right one or a usual mistake."""
    total, n = np.zeros_like(w), len(r)
    for k in range(n):
        now, following = float(x[k] @ w), float(x[k + 1] @ w)
        if kind in ("online", "online mean"):
            now, following = float(x[k] @ (w + total)), float(x[k + 1] @ (w + total))
        delta = r[k] + (1.0 if kind == "no gamma" else gamma) * following - now
        if kind == "no bootstrap":
            delta = r[k] - now
        direction = {"next": x[k + 1], "residual": x[k] - gamma * x[k + 1]}.get(kind, x[k])
        scale = {"sum": 1.0, "online": 1.0, "n plus 1": 1.0 / (n + 1), "no alpha": 1.0 / (n * alpha)}.get(kind, 1.0 / n)
        total = total + (-1.0 if kind == "sign" else 1.0) * alpha * scale * delta * direction
    return total if kind == "change only" else w + total


STEP_HINTS = {
    "sum": "you added the n updates up without dividing by n; the batch rule takes their mean, alpha / n",
    "no gamma": "gamma is missing: the next value enters the TD error as gamma v(S_k)",
    "no bootstrap": "the next value is missing from the TD error: delta_k = R_k + gamma v(S_k) - v(S_{k-1})",
    "sign": "the step goes the wrong way: delta_k is target minus value, and w moves by plus alpha delta_k x",
    "next": "you moved along the features of the state reached, x(S_k); the state that was left learns: x(S_{k-1})",
    "residual": "gamma v(S_k) is a target, held fixed: move along x(S_{k-1}) alone, not x(S_{k-1}) - gamma x(S_k)",
    "online": "new and old weights are mixed: compute every delta_k with the same old w, then change w once",
    "online mean": "w changes inside the loop, so later TD errors see newer weights; find the sum first",
    "no alpha": "alpha is missing: the mean of delta_k x(S_{k-1}) is multiplied by it",
    "n plus 1": "you divided by the number of positions; there are n transitions, one fewer than positions",
    "change only": "this is the change of w; return the new weights, w plus the change",
}

check_linear_td_step = Check(
    name="linear_td_step",
    cases=_step_cases,
    right=_step,
    mistakes=[(hint, partial(_step, kind=kind)) for kind, hint in STEP_HINTS.items()],
    hint="first v, then delta, then w",
    says="one batch step of linear TD, with the same old weights in every TD error.",
    needs=[check_values],
)


def _lstd_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{len(x)} positions, {x.shape[1]} features, gamma = {gamma}", x, r, gamma)
        for (x, r), gamma in ((SMALL, 0.5), (_random(rng, 12, 3), 0.7), (_random(rng, 15, 4), 0.5))
    ]


def _solve(x: np.ndarray, r: np.ndarray, gamma: float, kind: str = "right") -> np.ndarray:
    """A w = b summed up transition by transition; `kind` picks the right system or a usual mistake."""
    d = x.shape[1]
    A, b = np.zeros((d, d)), np.zeros(d)
    for k in range(len(r)):
        left, reached = x[k], x[k + 1]
        factor = {"no gamma": 1.0, "no bootstrap": 0.0, "plus": -gamma}.get(kind, gamma)
        rows = {"next": reached, "residual": left - factor * reached}.get(kind, left)
        A += np.outer(rows, left - factor * reached)
        b += r[k] * (reached if kind == "next b" else rows)
    A = A / len(r) if kind == "mean A" else A
    b = b / len(r) if kind == "mean b" else b
    return np.linalg.solve(A.T if kind == "transposed" else A, b)


LSTD_HINTS = {
    "transposed": "A is transposed: row index from x(S_{k-1}), column index from x(S_{k-1}) - gamma x(S_k)",
    "no gamma": "gamma is missing from A: the difference is x(S_{k-1}) - gamma x(S_k)",
    "no bootstrap": "this fits the rewards alone, as if gamma were 0; the next state's features belong in A",
    "plus": "the sign inside A is wrong: the next state's features are subtracted, not added",
    "next b": "b uses the features of the state reached; R_k belongs to the state that was left, x(S_{k-1})",
    "next": "A and b both multiply by x(S_k); the state that was left learns, so multiply by x(S_{k-1})",
    "mean A": "A was divided by n and b was not, so w is n times too large; leave both as sums",
    "residual": "this minimises the squared TD errors; in LSTD their products with x(S_{k-1}) sum to 0",
    "mean b": "b was divided by n but A was not: divide both or neither",
}

check_lstd_weights = Check(
    name="lstd_weights",
    cases=_lstd_cases,
    right=_solve,
    mistakes=[(hint, partial(_solve, kind=kind)) for kind, hint in LSTD_HINTS.items()],
    hint="at the answer, sum_k delta_k x(S_{k-1}) is 0",
    says="these weights bring batch linear TD to rest.",
)


def _weighted_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([1.0, 2.0, 1.0]), np.array([1.0, 0.0, 3.0]), np.array([0.5, 0.3, 0.2])
    return [
        case("3 states", *by_hand),
        case("6 states", rng.normal(size=6), rng.normal(size=6), rng.dirichlet(np.ones(6))),
    ]


def _weighted(v_hat: np.ndarray, v: np.ndarray, mu: np.ndarray) -> float:
    return sum(float(m) * (float(a) - float(b)) ** 2 for a, b, m in zip(v_hat, v, mu, strict=True))


check_weighted_error = Check(
    name="weighted_error",
    cases=_weighted_cases,
    right=_weighted,
    mistakes=[
        (
            "every state counts the same here; weigh each square with mu(s)",
            lambda u, v, mu: _weighted(u, v, np.full_like(mu, 1 / len(mu))),
        ),
        (
            "that is the root; the squared error itself adds up in the lesson's split",
            lambda u, v, mu: np.sqrt(_weighted(u, v, mu)),
        ),
        (
            "mu already sums to 1: add up, and don't divide by the number of states",
            lambda u, v, mu: _weighted(u, v, mu) / len(mu),
        ),
        (
            "mu was squared as well; square the difference first, then weigh it",
            lambda u, v, mu: _weighted(u, v, mu**2),
        ),
        (
            "errors of opposite sign cancel: square each difference before adding up",
            lambda u, v, mu: (mu @ (u - v)) ** 2,
        ),
        (
            "no difference was squared, so positive and negative ones offset each other",
            lambda u, v, mu: mu @ (u - v),
        ),
        (
            "these are the weighted squares of the single states; add them up to one number",
            lambda u, v, mu: mu * (u - v) ** 2,
        ),
        (
            "mu is missing: multiply each square by mu(s) before you add up",
            lambda u, v, mu: _weighted(u, v, np.ones_like(mu)),
        ),
        ("these are absolute errors; square the differences", lambda u, v, mu: mu @ np.abs(u - v)),
    ],
    hint="three steps: the difference of each state, its square times mu(s), then the sum of all",
    says="squared first, weighted by mu second, added up third.",
)


def _limit_cases(rng: np.random.Generator) -> list[Case]:
    """A ring, one-hot, where the eigenvalues are complex; features of unequal size; small features, a large limit."""
    ring, random = np.eye(3)[np.arange(31) % 3], np.random.default_rng(7).normal(size=(41, 3))
    scale = rng.uniform(0.9, 1.1)
    return [
        case(f"{len(x)} positions, {x.shape[1]} features, gamma = 0.9", x, 0.9)
        for x in (ring, scale * random * [1.0, 2.0, 0.5], random * [0.2, 0.4, 0.1])
    ]


def _mean_matrix(x: np.ndarray, gamma: float) -> np.ndarray:
    """A / n, transition by transition."""
    return np.mean([np.outer(x[k], x[k] - gamma * x[k + 1]) for k in range(len(x) - 1)], axis=0)


def _limit(x: np.ndarray, gamma: float) -> float:
    return _threshold_by_powers(_mean_matrix(x, gamma))


def _from_eigenvalues(rule: Callable[[np.ndarray], float]) -> Callable[[np.ndarray, float], float]:
    """A limit worked out from the eigenvalues of A / n by a mistaken rule."""
    return lambda x, gamma: rule(np.linalg.eigvals(_mean_matrix(x, gamma)))


def _threshold_by_powers(A: np.ndarray) -> float:
    """Bisection on alpha: do the powers of I - alpha A grow? No eigenvalues here; 2^14 steps by repeated squaring."""
    low, high = 0.0, 1000.0
    for _ in range(40):
        middle = (low + high) / 2
        power, grows = np.eye(len(A)) - middle * A, False
        for _ in range(14):
            power = power @ power
            if np.abs(power).max() > 1e6:
                grows = True
                break
        low, high = (low, middle) if grows else (middle, high)
    return low


check_largest_stable_step = Check(
    name="largest_stable_step",
    cases=_limit_cases,
    right=_limit,
    mistakes=[
        (
            "A was not divided by n: the batch rule takes the mean over the n transitions",
            lambda x, g: _limit(x, g) / (len(x) - 1),
        ),
        (
            "A was divided by the number of positions; there are n transitions, one fewer",
            lambda x, g: _limit(x, g) * len(x) / (len(x) - 1),
        ),
        (
            "half too small: 1 - alpha lambda may go down to -1, so the limit is 2 / lambda",
            lambda x, g: _limit(x, g) / 2,
        ),
        (
            "you took the most patient eigenvalue; every one must shrink, so take the smallest limit",
            _from_eigenvalues(lambda z: (2 * z.real / np.abs(z) ** 2).max()),
        ),
        (
            "2 / |lambda| holds for real eigenvalues only; these are complex",
            _from_eigenvalues(lambda z: (2 / np.abs(z)).min()),
        ),
        (
            "the square is missing: |1 - alpha lambda| = 1 at alpha = 2 Re(lambda) / |lambda|^2",
            _from_eigenvalues(lambda z: (2 * z.real / np.abs(z)).min()),
        ),
        (
            "the imaginary part is ignored; solve |1 - alpha lambda| = 1 for complex lambda",
            _from_eigenvalues(lambda z: (2 / z.real).min()),
        ),
        (
            "A is not symmetric, so np.linalg.eigvalsh does not see its eigenvalues; use np.linalg.eigvals",
            lambda x, g: 2 / np.linalg.eigvalsh(_mean_matrix(x, g)).max(),
        ),
        ("the next state is missing from A", lambda x, g: _limit(x, 0.0)),
        (
            "the search ended at its upper end; double it until the rule diverges, then halve",
            *(lambda x, g, cap=cap: min(cap, _limit(x, g)) for cap in (1, 2, 4, 5, 8, 10, 16)),
        ),
    ],
    hint="find where |1 - alpha lambda| = 1; if you iterate instead, start from random numbers and iterate longer",
    says="below this step linear TD settles, above it blows up.",
    tolerance=0.01,
)
