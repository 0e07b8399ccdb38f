"""Checks of sheet 03: LSTD, who was left, where a wrong learner settles, the fastest step, features from rewards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np

from icrl_teach.checks.check import Case, Check, case, from_size, graded_hints
from icrl_teach.checks.report import CheckFailed

SMALL = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 2.0]]), np.array([2.0, -1.0, 3.0])
hint = graded_hints(
    "Write v as a sum over time: r + gamma P r + gamma^2 P^2 r + ... Which parts of it hold no gamma?",
    "Cut that sum after k terms. What you keep is a weighted sum of k columns; what you drop is gamma^k P^k v.",
    "The columns are r, P r, ..., P^(k-1) r. With weights 1, gamma, ..., gamma^(k-1) they leave gamma^k P^k v, and P "
    "makes nothing longer when length is weighted by mu. Start from r; each next column is P times the last.",
)


def _random(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Random features (n+1, d) and rewards (n,)."""
    return rng.normal(size=(n + 1, d)), rng.normal(size=n)


def _lstd_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{len(x)} positions, {x.shape[1]} features, gamma = {gamma}", x, r, gamma)
        for (x, r), gamma in ((SMALL, 0.5), (_random(rng, from_size(rng, 12), 3), 0.7), (_random(rng, 15, 4), 0.5))
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
    forbid=("td:lstd",),
    mistakes=[(hint, partial(_solve, kind=kind)) for kind, hint in LSTD_HINTS.items()],
    hint="at the answer, sum_k delta_k x(S_{k-1}) is 0",
    says="these weights bring batch linear TD to rest.",
)


Left = tuple[int, float]


def _change_cases(rng: np.random.Generator) -> list[Case]:
    """Values (S,) before and after one online step; in the second table the longest feature moves most, unasked."""
    by_hand = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    long = np.array([[1.0, 0.2], [3.0, 1.0], [-0.4, 1.0], [-2.0, 0.1]])
    cases = []
    for X, s, delta, alpha in ((by_hand, 1, -1.0, 0.5), (long, 0, 0.8, 0.1), (rng.normal(size=(6, 3)), 4, -1.7, 0.3)):
        before = X @ rng.normal(size=X.shape[1])
        after = before + [alpha * delta * float(X[i] @ X[s]) for i in range(len(X))]
        cases.append(case(f"{len(X)} states, {X.shape[1]} features, alpha = {alpha}", X, before, after, alpha))
    return cases


def _who(X: np.ndarray, before: np.ndarray, after: np.ndarray, alpha: float) -> Left:
    """Find the change of w first: it points along the features of the state that was left, or against them."""
    moved = np.linalg.lstsq(X, after - before, rcond=None)[0]
    cosine = [float(moved @ x) / float(np.linalg.norm(moved) * np.linalg.norm(x)) for x in X]
    s = max(range(len(X)), key=lambda i: abs(cosine[i]))
    return s, float(moved @ X[s]) / float(X[s] @ X[s]) / alpha


def _most_moved(X: np.ndarray, before: np.ndarray, after: np.ndarray, alpha: float) -> Left:
    s = int(np.abs(after - before).argmax())
    return s, float((after - before)[s] / (alpha * X[s] @ X[s]))


def _largest_cosine(X: np.ndarray, before: np.ndarray, after: np.ndarray, alpha: float) -> Left:
    moved = np.linalg.lstsq(X, after - before, rcond=None)[0]
    s = int((X @ moved / np.linalg.norm(X, axis=1)).argmax())
    return s, float(moved @ X[s] / (X[s] @ X[s]) / alpha)


def _of_right(rule: Callable[..., float]) -> Callable[..., Left]:
    """The right state with a TD error worked out by a mistaken rule of (change of its value, alpha, its x.x)."""

    def wrong(X: np.ndarray, before: np.ndarray, after: np.ndarray, alpha: float) -> Left:
        s, _ = _who(X, before, after, alpha)
        return s, float(rule(float(after[s] - before[s]), alpha, float(X[s] @ X[s])))

    return wrong


check_who_was_left = Check(
    name="who_was_left",
    cases=_change_cases,
    right=_who,
    results=("the state that was left", "its TD error"),
    mistakes=[
        (
            "the state that moved most need not be the one left: a neighbour with longer features moves more",
            _most_moved,
        ),
        ("a negative TD error moves w against the features: let delta take either sign", _largest_cosine),
        ("alpha is still inside: divide the change by it", _of_right(lambda change, alpha, xx: change / xx)),
        ("that is a table's rule; with features the value moves by alpha delta x.x", _of_right(lambda c, a, xx: c / a)),
        ("the sign is turned: the change is after minus before", _of_right(lambda c, a, xx: -c / (a * xx))),
        ("the TD error has a sign; keep it", _of_right(lambda c, a, xx: abs(c) / (a * xx))),
        (
            "the two results are in the other order: first the state, then the TD error",
            lambda *given: _who(*given)[::-1],
        ),
        ("states are numbered from 0", lambda *given: (_who(*given)[0] + 1, _who(*given)[1])),
    ],
    hint="left s with error delta, every value i moves by alpha delta x(i).x(s): which s fits all changes?",
    says="all changes together give away who was left, and how surprised the learner was.",
)


def _settles_cases(rng: np.random.Generator) -> list[Case]:
    """Random walks: on them the wrong learner and LSTD settle apart. The last has a small feature: running is slow."""
    (x, r), small = _random(rng, 14, 4), np.array([1.0, 1.0, 1.0, 0.01])
    return [
        case(f"{len(x)} positions, {x.shape[1]} features, gamma = {gamma}", x, r, gamma)
        for x, r, gamma in ((*SMALL, 0.5), (*_random(rng, from_size(rng, 9), 3), 0.8), (x * small, r, 0.6))
    ]


def _least(x: np.ndarray, r: np.ndarray, factor: float) -> np.ndarray:
    """Least squared R_k - (x(S_{k-1}) - factor x(S_k)) w."""
    return np.linalg.lstsq(x[:-1] - factor * x[1:], r, rcond=None)[0]


check_where_it_settles = Check(
    name="where_it_settles",
    cases=_settles_cases,
    right=partial(_solve, kind="residual"),
    mistakes=[
        ("this is LSTD, where the right learner settles; ask when the suspect's own update is zero", _solve),
        ("gamma is missing", lambda x, r, g: _least(x, r, 1.0)),
        ("the next value is missing from the TD error", lambda x, r, g: _least(x, r, 0.0)),
        ("the sign is wrong: the difference is x(S_{k-1}) minus gamma x(S_k)", lambda x, r, g: _least(x, r, -g)),
        ("the suspect moves along x(S_{k-1}) - gamma x(S_k), not along x(S_k) alone", partial(_solve, kind="next")),
    ],
    hint="set the suspect's update to zero: sum_k delta_k (x(S_{k-1}) - gamma x(S_k)) = 0, and solve for w "
    "(to run it takes very long where a feature is small)",
    says="it settles where the squared TD errors are least, and TD elsewhere.",
    needs=[check_lstd_weights],
)


def _mean_matrix(x: np.ndarray, gamma: float) -> np.ndarray:
    """A / n, transition by transition."""
    return np.mean([np.outer(x[k], x[k] - gamma * x[k + 1]) for k in range(len(x) - 1)], axis=0)


def _slowest(alpha: float, z: np.ndarray) -> float:
    return float(np.abs(1 - alpha * z).max())


def _fastest(x: np.ndarray, gamma: float) -> float:
    """The best of all candidates: where one eigenvalue shrinks most, or two shrink alike (no search)."""
    z = np.linalg.eigvals(_mean_matrix(x, gamma))
    candidates = [float(a.real / abs(a) ** 2) for a in z]
    for a, b in combinations(z, 2):
        if abs(abs(a) ** 2 - abs(b) ** 2) > 1e-12:
            candidates.append(float(2 * (a.real - b.real) / (abs(a) ** 2 - abs(b) ** 2)))
    return min((alpha for alpha in candidates if alpha > 0), key=lambda alpha: _slowest(alpha, z))


def _fastest_cases(rng: np.random.Generator) -> list[Case]:
    """A ring, one-hot, where the eigenvalues are complex; features of unequal size; small features, a large step."""
    ring, random = np.eye(3)[np.arange(31) % 3], np.random.default_rng(7).normal(size=(41, 3))
    scale = rng.uniform(0.9, 1.1)
    return [
        case(f"{len(x)} positions, {x.shape[1]} features, gamma = 0.9", x, 0.9)
        for x in (ring, scale * random * [1.0, 2.0, 0.5], random * [0.2, 0.4, 0.1])
    ]


def _from_eigenvalues(rule: Callable[[np.ndarray], float]) -> Callable[[np.ndarray, float], float]:
    """A step worked out from the eigenvalues of A / n by a mistaken rule."""
    return lambda x, gamma: float(rule(np.linalg.eigvals(_mean_matrix(x, gamma))))


check_fastest_step = Check(
    name="fastest_step",
    cases=_fastest_cases,
    right=_fastest,
    mistakes=[
        ("A was not divided by n", lambda x, g: _fastest(x, g) / (len(x) - 1)),
        ("there are n transitions, one fewer than positions", lambda x, g: _fastest(x, g) * len(x) / (len(x) - 1)),
        (
            "that is the largest step at which nothing blows up: there one part of the distance never shrinks",
            _from_eigenvalues(lambda z: (2 * z.real / np.abs(z) ** 2).min()),
        ),
        (
            "half of the largest stable step is not yet the best: look at the part that shrinks slowest",
            _from_eigenvalues(lambda z: (z.real / np.abs(z) ** 2).min()),
        ),
        (
            "1 / (largest eigenvalue) serves one part of the distance at once and lets the slowest wait",
            _from_eigenvalues(lambda z: 1 / np.abs(z).max()),
            _from_eigenvalues(lambda z: 1 / z.real.max()),
        ),
        (
            "2 / (smallest + largest) holds for real eigenvalues only; here some are complex",
            _from_eigenvalues(lambda z: 2 / (z.real.min() + z.real.max())),
            _from_eigenvalues(lambda z: 2 / (np.abs(z).min() + np.abs(z).max())),
        ),
        (
            "this is the best factor, not the step that reaches it",
            lambda x, g: _slowest(_fastest(x, g), np.linalg.eigvals(_mean_matrix(x, g))),
        ),
        (
            "you made the quickest part quicker; the waiting time is set by the largest |1 - alpha lambda|",
            _from_eigenvalues(lambda z: min(np.linspace(0.01, 50, 5000), key=lambda a: np.abs(1 - a * z).min())),
        ),
        ("the next state is missing from A", lambda x, g: _fastest(x, 0.0)),
    ],
    hint="the slowest part sets the pace: find the alpha that makes the largest |1 - alpha lambda| smallest",
    says="no other step brings the slowest part of the distance down faster.",
    tolerance=0.01,
)

DISCOUNTS = (0.3, 0.6, 0.9)


def _reward_cases(rng: np.random.Generator) -> list[Case]:
    """Rings with a few jumps: they forget slowly, so that each further column counts."""
    cases = []
    for n, k in ((7, 1), (from_size(rng, 9), 2), (12, 4)):
        P = 0.8 * np.roll(np.eye(n), 1, axis=1) + 0.2 * rng.dirichlet(np.ones(n), size=n)
        cases.append(case(f"{n} states, k = {k}", P, rng.normal(size=n), k))
    return cases


def _columns(P: np.ndarray, r: np.ndarray, k: int, kind: str = "right") -> np.ndarray:
    """r and what it is worth to wait for it, one sum over paths at a time; `kind` picks a usual mistake. (S, k)."""
    P = {"transposed": P.T, "rewards last": P}.get(kind, P)
    columns = [r if kind != "late" else P @ r]
    for t in range(1, k):
        powers = {"elementwise": P**t @ r, "powers of r": r**t, "same": r, "mean": np.linalg.matrix_power(P, t)[:, 0]}
        columns.append(
            powers.get(kind, np.array([sum(p * c for p, c in zip(row, columns[-1], strict=True)) for row in P]))
        )
    return np.stack(columns, axis=1)


def _too_much(features: np.ndarray, P: np.ndarray, r: np.ndarray, k: int) -> np.ndarray:
    """By how much the best fit of v leaves more than gamma^k |v|, for three discounts; lengths weighted by mu. (3,)."""
    X, S = np.asarray(features, dtype=np.float64), len(r)
    if X.shape != (S, k):
        raise CheckFailed(f"reward_features on {S} states, k = {k}: got shape {X.shape}, expected {(S, k)}: k columns")
    root = np.sqrt(np.linalg.matrix_power(P, 10_000)[0])
    left = []
    for gamma in DISCOUNTS:
        v = np.linalg.solve(np.eye(S) - gamma * P, r)
        fit = X @ np.linalg.lstsq(root[:, None] * X, root * v, rcond=None)[0]
        left.append(max(0.0, np.linalg.norm(root * (v - fit)) - gamma**k * np.linalg.norm(root * v)))
    return np.array(left)


check_reward_features = Check(
    name="reward_features",
    cases=_reward_cases,
    right=_columns,
    read=_too_much,
    mistakes=[
        (
            "P is transposed: P(s, s') r(s') summed over s' is the reward one step later, P @ r",
            partial(_columns, kind="transposed"),
        ),
        ("the first column is missing: what a state pays at once, r itself", partial(_columns, kind="late")),
        (
            "P ** t takes each entry to a power; a power of the matrix is a product, P @ (P @ r)",
            partial(_columns, kind="elementwise"),
        ),
        ("powers of the rewards know nothing of where the walk goes next", partial(_columns, kind="powers of r")),
        ("all columns are the same: each must look one step further than the last", partial(_columns, kind="same")),
        ("columns of P say where one goes, not what is paid there", partial(_columns, kind="mean")),
    ],
    hint="the numbers say by how much the best fit leaves too much, at gamma 0.3, 0.6 and 0.9; hint(1) starts you off",
    says="k features, made without gamma, leave at most gamma^k of v, for every gamma.",
)
