"""Checks of sheet 10: centring, what no prompt shows, the row behind values, retuning, errors by depth, growth."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, graded_hints

Context = tuple[np.ndarray, np.ndarray, float]
BUILT = np.array([1.0, 1.0, -1.0])


def _softmax_columns(scores: np.ndarray) -> np.ndarray:
    """Column by column, in plain loops. (n, q)."""
    out = np.zeros(scores.shape)
    for j in range(scores.shape[1]):
        exp = [math.exp(s - scores[:, j].max()) for s in scores[:, j]]
        out[:, j] = [e / sum(exp) for e in exp]
    return out


def _weights(A: np.ndarray, sources: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return _softmax_columns(sources @ A @ queries.T)


def _matrix_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([[3.0, 0.0, 1.0], [1.0, 2.0, 5.0], [2.0, 7.0, 0.0]])
    matrices = by_hand, rng.standard_normal((3, 3)), rng.standard_normal((6, 6)) + 2.0
    return [case(f"a {len(A)} x {len(A)} matrix", A) for A in matrices]


def _centred(A: np.ndarray) -> np.ndarray:
    """Each column minus its own mean, number by number."""
    d, out = len(A), np.zeros(A.shape)
    for j in range(A.shape[1]):
        mean = sum(A[i, j] for i in range(d)) / d
        for i in range(d):
            out[i, j] = A[i, j] - mean
    return out


check_centre_columns = Check(
    name="centre_columns",
    cases=_matrix_cases,
    right=_centred,
    forbid=("emergence:centre_columns",),
    mistakes=[
        (
            "you centred the rows. A column holds one query's scores: centre those.",
            lambda A: _centred(A.T).T,
        ),
        (
            "one mean for the whole matrix leaves the columns uneven: each column has its own.",
            lambda A: A - A.mean(),
        ),
        ("the means of the rows were taken off the columns: mind the axis.", lambda A: A - A.mean(axis=1)),
        (
            "rows and columns are both centred; only the columns' part is invisible.",
            lambda A: _centred(_centred(A).T).T,
        ),
        (
            "also divided by the standard deviation: A's size is visible, keep it.",
            lambda A: _centred(A) / A.std(axis=0),
        ),
        ("the means were added; take them away.", lambda A: A + A.mean(axis=0)),
        ("this is the median; subtract the mean.", lambda A: A - np.median(A, axis=0)),
        (
            "these are the means alone; return A without them.",
            lambda A: np.broadcast_to(A.mean(axis=0), A.shape),
        ),
        (
            "a row was subtracted: no shift is left, but then row 0 is all zero; use the mean.",
            lambda A: A - A[0],
        ),
        ("the diagonal was subtracted; use the mean of each column.", lambda A: A - A.diagonal()),
    ],
    hint="A.mean(axis=0) runs down the columns.",
    says="what is left of A is what softmax can see",
)


def _twin_cases(rng: np.random.Generator) -> list[Case]:
    """One-hot, aggregated and random features; changes that are seen, and changes that are not."""
    one_hot, groups = np.eye(4), np.eye(3)[[0, 1, 1, 2]]
    cases = []
    for name, X in (("one-hot", one_hot), ("aggregated", groups), ("random", rng.standard_normal((6, 4)))):
        d = X.shape[1]
        w = np.array(rng.standard_normal(d))
        A = rng.standard_normal((d, d))
        shifts = {"columns": 0 * A + w, "rows": 0 * A + w[:, None]}
        cases += [case(f"{name} features, numbers added to {what}", A, A + each, X) for what, each in shifts.items()]
    X = np.column_stack([rng.standard_normal((5, 2)), np.zeros(5)])  # the last feature never occurs
    A = rng.standard_normal((3, 3))
    unseen = np.outer([0.0, 0.0, 1.0], rng.standard_normal(3))
    mixed = np.linalg.inv(rng.standard_normal((4, 4)) + 3.0 * np.eye(4))  # X u = 1 is solved by no plain sum
    B = rng.standard_normal((4, 4))
    return [
        *cases,
        case("one matrix twice", B, B.copy(), one_hot),
        case("one number added to the whole matrix", B, B + 2.0, one_hot),
        case("a change whose columns have mean 0", B, B + _centred(rng.standard_normal((4, 4))), one_hot),
        case("two random matrices", *rng.standard_normal((2, 4, 4)), one_hot),
        case("a feature that never occurs, another row for it", A, A + unseen, X),
        case("square features, the invisible change u w^T", B, B + np.outer(mixed.sum(axis=1), [1.0, -2.0, 0.5, 3.0]),
             np.linalg.inv(mixed)),
        case("twice the matrix", A, 2.0 * A, X),
        case("an antisymmetric change", B, B + np.triu(np.ones((4, 4)), 1) - np.tril(np.ones((4, 4)), -1), one_hot),
    ]  # fmt: skip


def _twins(A: np.ndarray, B: np.ndarray, X: np.ndarray) -> bool:
    """The weights themselves, on all states at once: they agree or not."""
    return bool(np.abs(_weights(A, X, X) - _weights(B, X, X)).max() < 1e-9)


def _if(same: Callable[..., Any]) -> Callable[..., bool]:
    return lambda A, B, X: bool(np.abs(same(A, B, X)).max() < 1e-9)


check_same_network = Check(
    name="same_network",
    cases=_twin_cases,
    right=_twins,
    mistakes=[
        ("equal matrices are not asked for, but equal weights on these features.", _if(lambda A, B, X: A - B)),
        (
            "centring columns is right for one-hot features alone: ask what the scores of these features do.",
            _if(lambda A, B, X: _centred(A) - _centred(B)),
        ),
        (
            "equal scores are more than is needed: softmax forgives a number added to all scores of one query.",
            _if(lambda A, B, X: X @ (A - B) @ X.T),
        ),
        (
            "the axis is turned: all SOURCES of one query may move alike, not all queries of one source.",
            _if(lambda A, B, X: np.ptp(X @ (A - B) @ X.T, axis=1)),
        ),
        (
            "one number for the whole table is too strict: each query may have a number of its own.",
            _if(lambda A, B, X: np.ptp(X @ (A - B) @ X.T)),
        ),
        (
            "one mean change is too little: look at each source, not at an average over them.",
            _if(lambda A, B, X: (X @ (A - B) @ X.T).mean(axis=0)),
            _if(lambda A, B, X: (X @ (A - B) @ X.T).mean()),
        ),
        (
            "a state's score with itself is one of many: compare all pairs.",
            _if(lambda A, B, X: np.diag(X @ (A - B) @ X.T)),
        ),
        ("always the same answer.", lambda A, B, X: True, lambda A, B, X: False),
    ],
    hint="the scores change by X (A - B) X^T, source by query; softmax does not see it if each column is constant.",
    says="you can tell a difference that was learned from one that no prompt shows",
)


def _value_cases(rng: np.random.Generator) -> list[Case]:
    """Values at rest of a network whose row is known here and not told."""
    cases = []
    for share, ahead, gamma, n in ((1.0, 1.0, 0.6, 3), (0.8, 1.2, 0.6, 4), (1.4, 0.5, 0.9, 6)):
        P, r = rng.dirichlet(np.ones(n), n), rng.uniform(-1.0, 1.0, n)
        v = np.linalg.solve(np.eye(n) - gamma * ahead * P, share * r)
        cases.append(case(f"the values of {n} states, gamma = {gamma}", v, gamma, P, r))
    return cases


def _row_behind(v: np.ndarray, gamma: float, P: np.ndarray, r: np.ndarray) -> tuple[float, float]:
    """Two unknowns by Cramer's rule, from the two states that tell them apart best."""
    later = [gamma * math.fsum(P[s, to] * v[to] for to in range(len(v))) for s in range(len(v))]
    pairs = [(r[i] * later[j] - r[j] * later[i], i, j) for i in range(len(v)) for j in range(i)]
    det, i, j = max(pairs, key=lambda pair: abs(pair[0]))
    return (v[i] * later[j] - v[j] * later[i]) / det, (r[i] * v[j] - r[j] * v[i]) / det


def _fit_two(v: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    solution = np.linalg.lstsq(np.column_stack([first, second]), v, rcond=None)[0]
    return float(solution[0]), float(solution[1])


check_row_behind = Check(
    name="row_behind",
    cases=_value_cases,
    right=_row_behind,
    results=("a / c", "b / c"),
    mistakes=[
        (
            "gamma is missing in front of P v: this is gamma b / c, the discount; asked for is b / c.",
            lambda v, gamma, P, r: _fit_two(v, r, P @ v),
        ),
        ("the two are exchanged: a / c first.", lambda *a: _row_behind(*a)[::-1]),
        ("upside down: everything is divided by c.", lambda *a: tuple(1.0 / x for x in _row_behind(*a))),
        (
            "P is transposed: row s of P leads from s.",
            lambda v, gamma, P, r: _fit_two(v, r, gamma * P.T @ v),
        ),
        (
            "a sign: at rest a r + b gamma P v = c v, and b stands on the side of the reward.",
            lambda v, gamma, P, r: _fit_two(v, r, -gamma * P @ v),
        ),
        (
            "TD's own row was returned; the values were made by another one.",
            lambda v, gamma, P, r: (1.0, 1.0),
        ),
        (
            "the successor's value is missing: two columns, r and gamma P v.",
            lambda v, gamma, P, r: (_fit_two(v, r, 0.0 * r)[0], 1.0),
        ),
        (
            "each state's own value was taken for its successor's: gamma P v, not gamma v.",
            lambda v, gamma, P, r: _fit_two(v, r, gamma * v),
        ),
    ],
    hint="v = (a / c) r + (b / c) gamma P v is one equation for each state, with two unknowns: np.linalg.lstsq.",
    says="answers alone betray the row, up to one common factor",
)


def _wish_cases(rng: np.random.Generator) -> list[Case]:
    low = round(rng.uniform(0.4, 0.6), 2), round(rng.uniform(0.7, 0.9), 2)
    drawn = *low, round(rng.uniform(1.5, 3.0), 1), round(rng.uniform(0.5, 1.5), 1)
    return [
        case(f"gamma = {gamma}, wanted discount {wanted}, rewards times {scale}, c = {c}", gamma, wanted, scale, c)
        for gamma, wanted, scale, c in ((0.6, 0.9, 1.0, 0.8), (0.9, 0.45, 2.0, 1.1), (0.5, 0.8, -1.0, 0.4), drawn)
    ]


def _retuned(gamma: float, wanted: float, scale: float, c: float) -> list[float]:
    """Equal discounts and equal rewards: gamma b = wanted c, a = scale c."""
    return [scale * c, wanted * c / gamma, -c]


check_retune = Check(
    name="retune",
    cases=_wish_cases,
    right=_retuned,
    like=np.zeros(3),
    mistakes=[
        (
            "b is the wanted discount times c; the layers multiply by the task's gamma as well: divide by it.",
            lambda gamma, wanted, scale, c: np.array([scale * c, wanted * c, -c]),
        ),
        (
            "gamma multiplies b, but the layers do that already: divide by it.",
            lambda gamma, wanted, scale, c: np.array([scale * c, wanted * gamma * c, -c]),
        ),
        ("upside down: b / c is wanted over gamma.", lambda g, w, scale, c: np.array([scale * c, g * c / w, -c])),
        ("the value entry has a minus.", lambda g, w, scale, c: np.array([scale * c, w * c / g, c])),
        ("the scale of the rewards is missing in a.", lambda g, w, scale, c: np.array([c, w * c / g, -c])),
        (
            "c stands in the value entry alone, but a and b are compared with it: multiply all three.",
            lambda g, w, scale, c: np.array([scale, w / g, -c]),
        ),
        (
            "the scale is no part of b: it multiplies rewards only.",
            lambda g, w, scale, c: np.array([scale * c, scale * w * c / g, -c]),
        ),
        ("the order is reward, target, value.", lambda g, w, scale, c: np.array([w * c / g, scale * c, -c])),
        (
            "divided by c: the row's size is c times (scale, wanted / gamma, -1).",
            lambda g, w, scale, c: np.array([scale / c, w / g / c, -c]),
        ),
    ],
    hint="the row stands for the discount gamma b / c and for rewards times a / c: set both, then solve for a and b.",
    says="a trained network gets another horizon, and no weight is trained",
)


def _context(rng: np.random.Generator, n_states: int, n: int, gamma: float) -> Context:
    """Features (n+1, S), rewards (n,) and the query's exact value of one random chain."""
    P, r = rng.dirichlet(np.ones(n_states), n_states), rng.uniform(-1.0, 1.0, n_states)
    states = [0]
    for _ in range(n):
        states.append(int(rng.choice(n_states, p=P[states[-1]])))
    value = np.linalg.solve(np.eye(n_states) - gamma * P, r)
    return np.eye(n_states)[states], r[states[:-1]], float(value[states[-1]])


def _depth_cases(rng: np.random.Generator) -> list[Case]:
    """Depths come in any order, as a list."""
    return [
        case(
            f"three contexts of {n_states} states, gamma = {gamma}, depths {depths}",
            np.array([0.9, 1.1, -0.8]),
            2.0 * np.eye(n_states) + 0.4 * rng.standard_normal((n_states, n_states)),
            [_context(rng, n_states, n, gamma) for n in (6, 9, 12)],
            *(gamma, depths),
        )
        for gamma, n_states, depths in ((0.6, 3, [4, 0, 1]), (0.8, 4, [2, 6]))
    ]


def _network(
    V_row: np.ndarray,
    A: np.ndarray,
    x: np.ndarray,
    rewards: np.ndarray,
    gamma: float,
    n_layers: int,
    mistake: str = "",
) -> float:
    """The query's value after n_layers layers, position by position; or with one of the usual mistakes."""
    n = len(rewards)
    E = _weights(A, x if mistake.startswith("unmasked") else x[:-1], x)  # (n, n+1), unmasked (n+1, n+1)
    v = [0.0] * len(x)

    def error(k: int) -> float:
        if k == n:  # the query as a source: without reward and successor
            return float(V_row[2] * v[k]) if mistake == "unmasked" else 0.0
        return float(V_row[0] * rewards[k] + V_row[1] * gamma * v[k + 1] + V_row[2] * v[k])

    for _ in range(n_layers):
        errors = [error(k) for k in range(len(E))]
        if mistake == "in order":
            for j in range(len(x)):
                v[j] += sum(E[k, j] * error(k) for k in range(n))
        else:
            v = [v[j] + sum(E[k, j] * errors[k] for k in range(len(E))) for j in range(len(x))]
    return v[-2] if mistake == "before the query" else v[-1]


def _gaps(
    V_row: np.ndarray,
    A: np.ndarray,
    contexts: list[Context],
    gamma: float,
    depths: list[int],
    more: int = 0,
    mistake: str = "",
) -> np.ndarray:
    """Error of each context's query, (depths, contexts)."""
    return np.array(
        [[_network(V_row, A, x, R, gamma, L + more, mistake) - value for x, R, value in contexts] for L in depths]
    )


def _errors(*args: Any, **options: Any) -> np.ndarray:
    return (_gaps(*args, **options) ** 2).mean(axis=1)


check_depth_errors = Check(
    name="depth_errors",
    cases=_depth_cases,
    right=_errors,
    mistakes=[
        ("this is the root; return the mean squared error.", lambda *a: np.sqrt(_errors(*a))),
        (
            "these are absolute errors; square each, then take the mean.",
            lambda *a: np.abs(_gaps(*a)).mean(axis=1),
        ),
        (
            "square first, then take the mean: errors of both signs cancel.",
            lambda *a: _gaps(*a).mean(axis=1) ** 2,
        ),
        ("this is the sum over contexts; return the mean.", lambda *a: (_gaps(*a) ** 2).sum(axis=1)),
        ("one layer too many: depth 0 answers 0.", partial(_errors, more=1)),
        (
            "the learned row has no effect: (1, 1, -1) was used.",
            lambda V_row, *rest: _errors(BUILT, *rest),
        ),
        (
            "A is transposed: the first index is the source.",
            lambda V_row, A, *rest: _errors(V_row, A.T, *rest),
        ),
        (
            "gamma is missing in front of the successor's value.",
            lambda V_row, A, contexts, gamma, depths: _errors(V_row, A, contexts, 1.0, depths),
        ),
        (
            "the row holds its minus already: add it.",
            lambda V_row, *rest: _errors(V_row * [1.0, 1.0, -1.0], *rest),
        ),
        (
            "the mean ran over depths; it runs over contexts.",
            lambda *a: (_gaps(*a) ** 2).mean(axis=0),
        ),
        (
            "the query is a source too: only the first n positions, x[:-1], may be.",
            partial(_errors, mistake="unmasked"),
        ),
        (
            "the query takes weight away: leave it out before softmax.",
            partial(_errors, mistake="unmasked, dropped"),
        ),
        (
            "old and new values are mixed: all positions learn from the old v.",
            partial(_errors, mistake="in order"),
        ),
        (
            "this is the position before the query; read the last, v[-1].",
            partial(_errors, mistake="before the query"),
        ),
        (
            "the reward's factor a, the row's first entry, is missing.",
            lambda V_row, *rest: _errors(V_row / [V_row[0], 1.0, 1.0], *rest),
        ),
        (
            "the errors stand in order of depth, but depths may come in any order: answer in theirs.",
            lambda V_row, A, contexts, gamma, depths: _errors(V_row, A, contexts, gamma, sorted(depths)),
        ),
        (
            "gamma enters twice: it multiplies the successor's value once, also with a learned row.",
            lambda V_row, A, contexts, gamma, depths: _errors(V_row, A, contexts, gamma**2, depths),
        ),
    ],
    hint="on 2 steps, by hand: v starts at 0; each layer adds to every position its share of the n errors.",
    says="your network runs at any depth, on any family",
)


def _listening_cases(rng: np.random.Generator) -> list[Case]:
    """Positions of one state listen alike; every state occurs, among the sources as well."""
    cases = []
    for n, S, gamma, row, own in (
        (5, 2, 0.6, (0.9, 1.1, -0.8), 0.0),
        (9, 3, 0.9, (1.0, 1.3, -0.9), 2.0),
        (12, 4, 0.8, (1.0, 0.7, -2.4), 8.0),
    ):
        states = np.append(rng.permutation(np.arange(n) % S), 0)
        scores = rng.standard_normal((S, S)) + own * np.eye(S)
        E = _softmax_columns(scores[states[:-1]][:, states])
        tried = f"{n} transitions over {S} states, gamma = {gamma}, the row {row}"
        cases.append(case(tried, np.array(row), E, states, gamma))
    return cases


def _layer(V_row: np.ndarray, E: np.ndarray, gamma: float, v: np.ndarray, **changed: bool) -> np.ndarray:
    """One layer without rewards, position by position; or with one of the usual mistakes."""
    n, (b, minus_c) = len(E), V_row[1:]
    if changed.get("plus"):
        minus_c = -minus_c
    follows = 0.0 if changed.get("alone") else (1.0 if changed.get("undiscounted") else gamma) * b
    stays = 0.0 if changed.get("forgets") else 1.0
    return np.array(
        [
            stays * v[j] + math.fsum(E[k, j] * (follows * v[k + 1] + minus_c * v[k]) for k in range(n))
            for j in range(n + 1)
        ]
    )


def _matrix(V_row: np.ndarray, E: np.ndarray, states: np.ndarray, gamma: float, **changed: bool) -> np.ndarray:
    """What the layer makes of each state's unit table, side by side. (S, S)."""
    S = int(states.max()) + 1
    first = [list(states).index(s) for s in range(S)]
    return np.stack([_layer(V_row, E, gamma, (states == s) * 1.0, **changed)[first] for s in range(S)], axis=1)


def _growth(V_row: np.ndarray, E: np.ndarray, states: np.ndarray, gamma: float, **changed: bool) -> float:
    """Gelfand's formula: the norm of the layer after 2^40 layers, its root, by squaring and rescaling."""
    T, log_norm = _matrix(V_row, E, states, gamma, **changed), 0.0
    for squaring in range(40):
        size = float(np.linalg.norm(T))
        T, log_norm = T / size, log_norm + math.log(size) / 2.0**squaring
        T = T @ T
    return math.exp(log_norm)


def _by_position(V_row: np.ndarray, E: np.ndarray, states: np.ndarray, gamma: float) -> float:
    T = np.stack([_layer(V_row, E, gamma, unit) for unit in np.eye(len(states))], axis=1)
    return float(np.abs(np.linalg.eigvals(T)).max())


check_growth = Check(
    name="growth",
    cases=_listening_cases,
    right=_growth,
    mistakes=[
        (
            "that is a bound, the largest row sum; in the long run a layer multiplies by the largest |eigenvalue|.",
            lambda *a: np.abs(_matrix(*a)).sum(axis=1).max(),
        ),
        (
            "that is the largest stretch of ONE layer; after many the largest |eigenvalue| decides.",
            lambda *a: np.linalg.norm(_matrix(*a), 2),
        ),
        (
            "the largest real part overlooks eigenvalues near -1 and beyond: take absolute values.",
            lambda *a: np.linalg.eigvals(_matrix(*a)).real.max(),
        ),
        (
            "one unknown for each position: there every layer leaves something as it is, but it never arises, since "
            "positions of one state hold one value. Take one unknown for each state.",
            _by_position,
        ),
        ("gamma is missing in front of the next position.", partial(_growth, undiscounted=True)),
        ("c comes with its minus: V_row[2] is added as it is.", partial(_growth, plus=True)),
        ("the next position's value is missing: b gamma v[k+1].", partial(_growth, alone=True)),
        ("the layer ADDS to v: the old v is missing.", partial(_growth, forgets=True)),
        ("the smallest |eigenvalue| tells what dies out first; asked is what lasts.",
         lambda *a: np.abs(np.linalg.eigvals(_matrix(*a))).min()),
        ("the learned row has no effect: (1, 1, -1) was used.", lambda V_row, *rest: _growth(BUILT, *rest)),
    ],
    hint="make the layer a matrix (S, S): what does it make of each table that is 1 in one state? Then |eigenvalues|.",
    says="you know before you run it how deep a network may be run",
)  # fmt: skip
hint = graded_hints(
    "Leave the rewards out: they are added alike in every layer. What is left is linear in the table of values, so it "
    "is a matrix, one row and one column for each state.",
    "Column s of a matrix is what it makes of the table that is 1 in state s and 0 elsewhere. Spread this table over "
    "the positions, v = table[states]; apply one layer; read the new table off one position of each state.",
    "T[:, s] = new v at the first position of each state, with v = (states == s) and new v = v + E.T @ (b gamma v[1:] "
    "+ minus_c v[:-1]). In the long run the largest absolute eigenvalue counts: np.abs(np.linalg.eigvals(T)).max().",
)
