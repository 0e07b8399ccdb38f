"""Checks of sheet 10: weights, centring, scale and cosine, where a deep network rests, errors by depth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach.checks.report import CheckFailed, Mistake, answer, compare, passed


def _softmax_columns(scores: np.ndarray) -> np.ndarray:
    """Column by column, in plain loops. (n, q)."""
    out = np.zeros(scores.shape)
    for j in range(scores.shape[1]):
        exp = [math.exp(s - scores[:, j].max()) for s in scores[:, j]]
        out[:, j] = [e / sum(exp) for e in exp]
    return out


def _weights(A: np.ndarray, sources: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return _softmax_columns(sources @ A @ queries.T)


def check_attention_weights(attention_weights: Callable[..., Any]) -> None:
    """attention_weights(A, sources, queries) -> (n, q): softmax over the sources of x_i^T A x_j; columns sum to 1."""
    rng = np.random.default_rng(1001)
    for n, q, d in ((3, 3, 3), (5, 3, 4), (4, 6, 2)):
        A = rng.standard_normal((d, d))
        sources, queries = rng.standard_normal((n, d)), rng.standard_normal((q, d))
        tried = f"{n} sources and {q} queries with {d} features"
        right, scores = _weights(A, sources, queries), sources @ A @ queries.T
        mistakes = [
            Mistake(right.T, "transposed: sources stand in rows, queries in columns, as in E of lesson 07."),
            Mistake(_softmax_columns(scores.T).T, "your rows sum to 1: each query, a column, shares out 1."),
            Mistake(_softmax_columns(sources @ A.T @ queries.T), "A is turned round: source, A, query."),
            Mistake(_softmax_columns(sources @ queries.T), "A has no effect: the score is x_i^T A x_j."),
            Mistake(scores, "these are the scores; the softmax over the sources is missing."),
            Mistake(np.exp(scores) / np.exp(scores).sum(), "divided by the whole table's sum, not each column's."),
        ]  # fmt: skip
        got = answer(attention_weights, A, sources, queries, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="scores = sources @ A @ queries.T, then softmax down.")
    passed("each query shares out 1 among the sources")


def _centred(A: np.ndarray) -> np.ndarray:
    """Each column minus its own mean, number by number."""
    d, out = len(A), np.zeros(A.shape)
    for j in range(A.shape[1]):
        mean = sum(A[i, j] for i in range(d)) / d
        for i in range(d):
            out[i, j] = A[i, j] - mean
    return out


def check_centre_columns(centre_columns: Callable[..., Any]) -> None:
    """centre_columns(A) -> A with the mean of each column removed; a new array."""
    rng = np.random.default_rng(1002)
    for A in (
        np.array([[3.0, 0.0, 1.0], [1.0, 2.0, 5.0], [2.0, 7.0, 0.0]]),
        rng.standard_normal((3, 3)),
        rng.standard_normal((6, 6)) + 2.0,
    ):
        tried = f"a {len(A)} x {len(A)} matrix"
        right = _centred(A)
        both = A - A.mean(axis=0) - A.mean(axis=1, keepdims=True) + A.mean()
        mistakes = [
            Mistake(_centred(A.T).T, "you centred the rows. A column holds one query's scores: centre those."),
            Mistake(A - A.mean(), "one mean for the whole matrix leaves the columns uneven: each column has its own."),
            Mistake(A - A.mean(axis=1), "the means of the rows were taken off the columns: mind the axis."),
            Mistake(both, "rows and columns are both centred; only the columns' part is invisible."),
            Mistake(right / A.std(axis=0), "also divided by the standard deviation: A's size is visible, keep it."),
            Mistake(A + A.mean(axis=0), "the means were added; take them away."),
            Mistake(A - np.median(A, axis=0), "this is the median; subtract the mean."),
            Mistake(np.broadcast_to(A.mean(axis=0), A.shape), "these are the means alone; return A without them."),
            Mistake(A - A[0], "a row was subtracted: no shift is left, but then row 0 is all zero; use the mean."),
            Mistake(A - np.diag(A), "the diagonal was subtracted; use the mean of each column."),
        ]  # fmt: skip
        got = answer(centre_columns, A, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="A.mean(axis=0) runs down the columns.")
    passed("what is left of A is what softmax can see")


def _fit(learned: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """(scale, cosine), in plain sums."""
    pairs = list(zip(learned.ravel().tolist(), target.ravel().tolist(), strict=True))
    product, ll, tt = sum(a * b for a, b in pairs), sum(a * a for a, _ in pairs), sum(b * b for _, b in pairs)
    return product / tt, product / math.sqrt(ll * tt)


def check_align(align: Callable[..., Any]) -> None:
    """align(learned, target) -> (scale, cosine), for arrays of any shape."""
    rng = np.random.default_rng(1003)
    row = np.array([1.0, 1.0, -1.0])
    cases = [(np.array([0.9, 1.1, -0.8]), row), (rng.standard_normal((4, 4)), _centred(2.0 * np.eye(4)))]
    for learned, target in [*cases, (-1.7 * rng.standard_normal(5) - 0.3, rng.standard_normal(5))]:
        tried = f"learned and target of shape {learned.shape}"
        right = np.array(_fit(learned, target))
        scale, cosine = right
        product, length, size = (learned * target).sum(), np.linalg.norm(learned), np.linalg.norm(target)
        with np.errstate(all="ignore"):
            ratios = (learned / target).mean()
        mistakes = [
            Mistake((scale, product), "the cosine is not normalised: divide by both lengths."),
            Mistake((scale, product / length), "divided by the learned length only: the target has one too."),
            Mistake((scale, product / size), "divided by the target's length only: the weights have one too."),
            Mistake((scale, product / (length * size) ** 2), "the lengths are squared: take roots."),
            Mistake((ratios, cosine), "a mean of ratios lets small targets rule and fails at 0: least squares."),
            Mistake((product / length**2, cosine), "the scale multiplies the target: divide by <T, T>, not <W, W>."),
            Mistake((product / size, cosine), "for the scale divide by <T, T>, not by its root."),
            Mistake((length / size, cosine), "a ratio of lengths is never negative and counts what points elsewhere."),
            Mistake((product, cosine), "the scale is still an inner product: divide it by <T, T>."),
            Mistake((scale, abs(cosine)), "the sign of the cosine is lost: a turned row must give -1."),
            Mistake((cosine, scale), "the two results are exchanged: `return scale, cosine`."),
        ]  # fmt: skip
        got = answer(align, learned, target, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="three sums of products are all you need.")
    passed("scale and cosine: how much of the target, and how much else")


def _summary(V_row: np.ndarray, A: np.ndarray, target: tuple[float, ...] = (1.0, 1.0, -1.0)) -> list[float]:
    alpha, V_cosine = _fit(V_row, np.array(target))
    beta, A_cosine = _fit(_centred(A), _centred(np.eye(len(A))))
    return [alpha, V_cosine, beta, A_cosine]


def check_compare_weights(compare_weights: Callable[..., Any]) -> None:
    """compare_weights(V_row, A) -> (alpha, V's cosine, beta, A's cosine), columns centred."""
    rng = np.random.default_rng(1004)
    for d in (3, 6):
        V_row = np.array([0.8, 1.0, -0.7]) + 0.1 * rng.standard_normal(3)
        A = 2.5 * np.eye(d) + 0.5 * rng.standard_normal((d, d)) + 3.0 * rng.standard_normal(d)
        tried = f"a row near (1, 1, -1) and a {d} x {d} matrix near 2.5 I, its columns shifted"
        right = _summary(V_row, A)
        both = _fit(_centred(A.T), _centred(np.eye(d)))
        swapped = [*_fit(np.array([1.0, 1.0, -1.0]), V_row), *_fit(_centred(np.eye(d)), _centred(A))]
        mistakes = [
            Mistake(_summary(V_row, A, (1.0, 1.0, 1.0)), "the third entry's sign is wrong: value has a minus."),
            Mistake(_summary(V_row, A, (1.0, -1.0, 1.0)), "the order is reward, target, value: minus at the end."),
            Mistake([*right[:2], *_fit(A, np.eye(d))], "nothing is centred: the invisible part spoils the fit."),
            Mistake([*right[:2], *_fit(_centred(A), np.eye(d))], "the identity must be centred as well, like A."),
            Mistake([*right[:2], *_fit(A, _centred(np.eye(d)))], "only the identity is centred: centre A too."),
            Mistake([*right[:2], *both], "A's rows are centred; its columns hold what is invisible."),
            Mistake([*right[2:], *right[:2]], "V comes first: (alpha, cosine, beta, cosine)."),
            Mistake(swapped, "learned and target are exchanged: align(learned, target)."),
            Mistake([right[:2], right[2:]], "two pairs came back; unpack them and return four numbers in a row."),
            Mistake([right[0], right[2], right[1], right[3]], "the order is alpha, its cosine, beta, its cosine."),
        ]  # fmt: skip
        got = answer(compare_weights, V_row, A, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="use your align twice, and centre_columns on A and I.")
    passed("alpha and beta read off, with what softmax cannot see removed")


def _limit(V_row: np.ndarray, gamma: float, P: np.ndarray, r: np.ndarray, n: int = 4000) -> np.ndarray:
    """Where a r + b gamma P v - c v is 0, by many small steps."""
    a, b, minus_c = (float(x) for x in V_row)
    v = np.zeros(len(r))
    for _ in range(n):
        v = v + 0.5 * (a * r + b * gamma * P @ v + minus_c * v)
    return v


def check_deep_limit(deep_limit: Callable[..., Any]) -> None:
    """deep_limit(V_row, gamma, P, r) -> (gamma b / c, the values at which a r + b gamma P v - c v = 0)."""
    rng = np.random.default_rng(1005)
    for V_row, gamma, n_states in (((0.9, 1.1, -0.8), 0.6, 3), ((0.7, 0.6, -0.9), 0.8, 5)):
        P = rng.dirichlet(np.ones(n_states), n_states)
        r, (a, b, c) = rng.uniform(-1.0, 1.0, n_states), (V_row[0], V_row[1], -V_row[2])
        tried = f"the row {V_row}, gamma {gamma} and {n_states} states"

        def at(discount: float, scale: float, *, P: np.ndarray = P, r: np.ndarray = r) -> np.ndarray:
            return np.array([discount, *np.linalg.solve(np.eye(len(r)) - discount * P, scale * r)])

        right = np.array([gamma * b / c, *_limit(np.array(V_row), gamma, P, r)])
        turned = np.linalg.solve(np.eye(n_states) - gamma * b / c * P.T, a / c * r)
        mistakes = [
            Mistake(at(gamma, 1.0), "the row has no effect: this is the value at gamma itself."),
            Mistake(at(gamma * b / c, 1.0), "the reward's factor a / c is missing."),
            Mistake(at(gamma * b / c, a), "the reward is multiplied by a; divide it by c as well."),
            Mistake(at(gamma * b, a), "c is missing: at rest c v balances the rest, so divide by c."),
            Mistake(at(gamma * b / a, a / c), "b is divided by a; at rest all is divided by c, value's own entry."),
            Mistake(at(gamma * c / b, a / c), "upside down: the discount is gamma b / c."),
            Mistake(at(-gamma * b / c, -a / c), "a sign is turned: c is minus the row's third entry."),
            Mistake(at(b / c, a / c), "gamma is missing in the discount, gamma b / c."),
            Mistake(np.array([gamma * b / c, *turned]), "P is transposed: row s of P leads from s."),
            Mistake([*right[1:], right[0]], "the two results are exchanged: `return discount, v`."),
            Mistake([gamma * b, *right[1:]], "v is right, the discount not: divide it by c, gamma b / c."),
            Mistake([gamma, *right[1:]], "v is right; the discount is gamma b / c, not the gamma of the task."),
        ]  # fmt: skip
        got = answer(deep_limit, np.array(V_row), gamma, P, r, tried=tried)
        if isinstance(got, np.ndarray) and got.shape == right.shape:
            raise CheckFailed(f"{tried}: one array came back. Later cells unpack two things: `return discount, v`.")
        if isinstance(got, (tuple, list)) and len(got) == 2:
            got = [number for part in got for number in np.ravel(part)]
        compare(got, right, tried=tried, mistakes=mistakes, hint="return the discount, then the values from `solve`.")
    passed("the row says where a deep network comes to rest")


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


def _context(rng: np.random.Generator, n_states: int, n: int, gamma: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Features (n+1, S), rewards (n,) and the query's exact value of one random chain."""
    P, r = rng.dirichlet(np.ones(n_states), n_states), rng.uniform(-1.0, 1.0, n_states)
    states = [0]
    for _ in range(n):
        states.append(int(rng.choice(n_states, p=P[states[-1]])))
    value = np.linalg.solve(np.eye(n_states) - gamma * P, r)
    return np.eye(n_states)[states], r[states[:-1]], float(value[states[-1]])


def check_depth_errors(depth_errors: Callable[..., Any]) -> None:
    """depth_errors(V_row, A, contexts, gamma, depths) -> (len(depths),): mean squared error of the query's value."""
    rng = np.random.default_rng(1006)
    for gamma, n_states, depths in ((0.6, 3, [0, 1, 4]), (0.8, 4, [2, 6])):
        contexts = [_context(rng, n_states, n, gamma) for n in (6, 9, 12)]
        V_row = np.array([0.9, 1.1, -0.8])
        A = 2.0 * np.eye(n_states) + 0.4 * rng.standard_normal((n_states, n_states))
        tried = f"three contexts of {n_states} states, gamma {gamma}, depths {depths}"

        def gaps(
            row: np.ndarray, M: np.ndarray, g: float = gamma, more: int = 0, mistake: str = "", *, todo=contexts,
            depths=depths,
        ):  # fmt: skip
            return np.array([[_network(row, M, x, R, g, L + more, mistake) - v for x, R, v in todo] for L in depths])

        def squares(mistake: str, row: np.ndarray = V_row, A: np.ndarray = A, gaps=gaps) -> np.ndarray:
            return (gaps(row, A, mistake=mistake) ** 2).mean(axis=1)

        right = (gaps(V_row, A) ** 2).mean(axis=1)
        plain = np.array([1.0, 1.0, -1.0])
        mistakes = [
            Mistake(np.sqrt(right), "this is the root; return the mean squared error."),
            Mistake(np.abs(gaps(V_row, A)).mean(axis=1), "these are absolute errors; square each, then take the mean."),
            Mistake(gaps(V_row, A).mean(axis=1) ** 2, "square first, then take the mean: errors of both signs cancel."),
            Mistake((gaps(V_row, A) ** 2).sum(axis=1), "this is the sum over contexts; return the mean."),
            Mistake((gaps(V_row, A, more=1) ** 2).mean(axis=1), "one layer too many: depth 0 answers 0."),
            Mistake((gaps(plain, A) ** 2).mean(axis=1), "the learned row has no effect: (1, 1, -1) was used."),
            Mistake((gaps(V_row, A.T) ** 2).mean(axis=1), "A is transposed: the first index is the source."),
            Mistake((gaps(V_row, A, 1.0) ** 2).mean(axis=1), "gamma is missing in front of the successor's value."),
            Mistake((gaps(V_row * [1, 1, -1], A) ** 2).mean(axis=1), "the row holds its minus already: add it."),
            Mistake((gaps(V_row, A).T ** 2).mean(axis=1), "the mean ran over depths; it runs over contexts."),
            Mistake(squares("unmasked"), "the query is a source too: only the first n positions, x[:-1], may be."),
            Mistake(squares("unmasked, dropped"), "the query takes weight away: leave it out before softmax."),
            Mistake(squares("in order"), "old and new values are mixed: all positions learn from the old v."),
            Mistake(squares("before the query"), "this is the position before the query; read the last, v[-1]."),
            Mistake(squares("", V_row / [V_row[0], 1, 1]), "the reward's factor a, the row's first entry, is missing."),
        ]  # fmt: skip
        got = answer(depth_errors, V_row, A, contexts, gamma, depths, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="by hand, on 2 steps: v = 0, then v + errors @ E.")
    passed("your network runs at any depth, on any family")
