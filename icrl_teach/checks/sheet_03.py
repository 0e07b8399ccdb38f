"""Checks for sheet 03: values from features, a batch linear TD step, LSTD, weighted error, the largest stable step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach.checks.report import CheckFailed, Mistake, answer, compare, passed

Case = tuple[str, np.ndarray, np.ndarray, float]


def _small() -> Case:
    features = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 2.0]])
    return "4 positions, 2 features", features, np.array([2.0, -1.0, 3.0]), 0.5


def _random(seed: int, n: int, d: int, gamma: float) -> Case:
    rng = np.random.default_rng(seed)
    return f"{n + 1} random positions, {d} features", rng.normal(size=(n + 1, d)), rng.normal(size=n), gamma


def check_values(values: Callable[..., Any]) -> None:
    """values(features, w): features (n+1, d), w (d,) -> (n+1,); one weighted sum for each position, by a plain loop."""
    for tried, x, _, _ in (_small(), _random(0, 6, 3, 0.9), _random(1, 4, 5, 0.9)):
        w = np.linspace(-1.0, 2.0, x.shape[1])
        expected = np.array([sum(x[j, i] * w[i] for i in range(len(w))) for j in range(len(x))])
        mistakes = [
            Mistake(expected[:-1], "one value is missing: the last position, the query state, has features too"),
            Mistake(x * w, "you have the products x_i w_i; they still need adding up along the features (axis 1)"),
            Mistake(expected / len(w), "this is the mean of the products; v(s) is their sum"),
            Mistake(
                (x * w).sum(axis=0), "you summed over the positions (axis 0); v needs one number for each position"
            ),
        ]
        got = answer(values, x, w, tried=tried)
        compare(got, expected, tried=tried, mistakes=mistakes, hint="v(S_j) is the inner product of row j with w")
    passed("each position has the weighted sum of its own features.")


def _step(x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, w: np.ndarray, kind: str = "right") -> np.ndarray:
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


def check_linear_td_step(linear_td_step: Callable[..., Any]) -> None:
    """linear_td_step(w, features, rewards, gamma, alpha) -> (d,), against a loop over transitions; w not changed."""
    for (tried, x, r, gamma), alpha in ((_small(), 0.5), (_random(2, 7, 3, 0.8), 0.3), (_random(3, 5, 4, 0.6), 0.7)):
        w = np.linspace(0.5, -1.0, x.shape[1])
        tried = f"{tried}, gamma {gamma}, alpha {alpha}"
        mistakes = [Mistake(_step(x, r, gamma, alpha, w, kind), hint) for kind, hint in STEP_HINTS.items()]
        got = answer(linear_td_step, w, x, r, gamma, alpha, tried=tried)
        compare(got, _step(x, r, gamma, alpha, w), tried=tried, mistakes=mistakes, hint="first v, then delta, then w")
    passed("one batch step of linear TD, with the same old weights in every TD error.")


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


def check_lstd_weights(lstd_weights: Callable[..., Any]) -> None:
    """lstd_weights(features, rewards, gamma) -> (d,), against sums over transitions and a linear solve."""
    for tried, x, r, gamma in (_small(), _random(4, 12, 3, 0.7), _random(5, 15, 4, 0.5)):
        tried = f"{tried}, gamma {gamma}"
        mistakes = [Mistake(_solve(x, r, gamma, kind), hint) for kind, hint in LSTD_HINTS.items()]
        got = answer(lstd_weights, x, r, gamma, tried=tried)
        compare(got, _solve(x, r, gamma), tried=tried, mistakes=mistakes, hint="at the answer, sum_k delta_k x is 0")
    passed("these weights bring batch linear TD to rest.")


def check_weighted_error(weighted_error: Callable[..., Any]) -> None:
    """weighted_error(v_hat, v, mu) -> number, sum over s of mu(s) (v_hat(s) - v(s))^2, by a plain loop."""
    rng = np.random.default_rng(6)
    cases = [(np.array([1.0, 2.0, 1.0]), np.array([1.0, 0.0, 3.0]), np.array([0.5, 0.3, 0.2]))]
    cases += [(rng.normal(size=6), rng.normal(size=6), rng.dirichlet(np.ones(6)))]
    for v_hat, v, mu in cases:
        gap = v_hat - v
        expected = sum(float(m) * float(g) ** 2 for m, g in zip(mu, gap, strict=True))
        mistakes = [
            Mistake((gap**2).mean(), "every state counts the same here; weigh each square with mu(s)"),
            Mistake(np.sqrt(expected), "that is the root; the squared error itself adds up in the lesson's split"),
            Mistake((mu * gap**2).mean(), "mu already sums to 1: add up, and don't divide by the number of states"),
            Mistake(((mu * gap) ** 2).sum(), "mu was squared as well; square the difference first, then weigh it"),
            Mistake((mu @ gap) ** 2, "errors of opposite sign cancel: square each difference before adding up"),
            Mistake(mu @ gap, "no difference was squared, so positive and negative ones offset each other"),
            Mistake(mu * gap**2, "these are the weighted squares of the single states; add them up to one number"),
            Mistake((gap**2).sum(), "mu is missing: multiply each square by mu(s) before you add up"),
            Mistake(mu @ np.abs(gap), "these are absolute errors; square the differences"),
        ]
        tried = f"{len(v)} states"
        got = answer(weighted_error, v_hat, v, mu, tried=tried)
        hint = "three steps: the difference of each state, its square times mu(s), then the sum of all"
        compare(got, expected, tried=tried, mistakes=mistakes, hint=hint)
    passed("squared first, weighted by mu second, added up third.")


def _ring_context() -> tuple[np.ndarray, float]:
    """Three states in turn, one-hot: the eigenvalues are complex."""
    return np.eye(3)[np.arange(31) % 3], 0.9


def check_largest_stable_step(largest_stable_step: Callable[..., Any]) -> None:
    """largest_stable_step(features, gamma) -> number, within 1%: by bisection on the powers of I - alpha A/n."""
    features = _random(7, 40, 3, 0.9)[1]
    for x, gamma in (_ring_context(), (features * [1.0, 2.0, 0.5], 0.9), (features * [0.2, 0.4, 0.1], 0.9)):
        n, tried = len(x) - 1, f"{len(x)} positions, {x.shape[1]} features, gamma {gamma}"
        A = np.mean([np.outer(x[k], x[k] - gamma * x[k + 1]) for k in range(n)], axis=0)
        z = np.linalg.eigvals(A)
        hint = "find where |1 - alpha lambda| = 1; if you iterate instead, start from random numbers and iterate longer"
        double = "double it until the rule diverges, then halve"
        limits, expected = 2 * z.real / np.abs(z) ** 2, _threshold_by_powers(A)
        mistakes = [
            Mistake(expected / n, "A was not divided by n: the batch rule takes the mean over the n transitions"),
            Mistake(expected / 2, "half too small: 1 - alpha lambda may go down to -1, so the limit is 2 / lambda"),
            Mistake(
                limits.max(), "you took the most patient eigenvalue; every one must shrink, so take the smallest limit"
            ),
            Mistake((2 / np.abs(z)).min(), "2 / |lambda| holds for real eigenvalues only; these are complex"),
            Mistake(
                (2 / z.real).min(), "the imaginary part is ignored; solve |1 - alpha lambda| = 1 for complex lambda"
            ),
            Mistake(2 / np.linalg.eigvals(x[:-1].T @ x[:-1] / n).real.max(), "the next state is missing from A"),
            *(Mistake(cap, f"the search ended at its upper end {cap}; {double}") for cap in (1, 2, 4, 5, 8, 10, 16)),
        ]
        got = answer(largest_stable_step, x, gamma, tried=tried)
        if np.iscomplexobj(got):
            raise CheckFailed(
                f"{tried}: got a complex number. Hint: use the real part and the modulus of the eigenvalues."
            )
        compare(got, expected, tried=tried, mistakes=mistakes, hint=hint, tolerance=0.01)
    passed("below this step linear TD settles, above it blows up.")


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
