"""Right and wrong answers for the checks of sheet 10 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case, as_arrays
from icrl_teach.checks.sheet_10 import (
    check_align,
    check_attention_weights,
    check_centre_columns,
    check_compare_weights,
    check_deep_limit,
    check_depth_errors,
)


def weights(A, sources, queries):
    exp = np.exp(sources @ A @ queries.T)
    return exp / exp.sum(axis=0)


def weights_by_query(A, sources, queries):
    columns = []
    for x in queries:
        g = np.array([float(z @ A @ x) for z in sources])
        columns.append(np.exp(g - np.logaddexp.reduce(g)))
    return np.stack(columns, axis=1)


def centre(A):
    return A - A.mean(axis=0)


def centre_by_loop(A):
    out = A.copy()
    for j in range(A.shape[1]):
        out[:, j] = A[:, j] - A[:, j].sum() / len(A)
    return out


def centre_by_projection(A):
    d = len(A)
    return (np.eye(d) - np.ones((d, d)) / d) @ A


def centre_in_place(A):
    A -= A.mean(axis=0)
    return A


def align(W, T):
    product = (W * T).sum()
    return product / (T * T).sum(), product / np.sqrt((W * W).sum() * (T * T).sum())


def align_by_lstsq(W, T):
    w, t = np.ravel(W), np.ravel(T)
    scale = np.linalg.lstsq(t[:, None], w, rcond=None)[0][0]
    return np.array([scale, (w / np.linalg.norm(w)) @ (t / np.linalg.norm(t))])


def summary(V_row, A):
    return (*align(V_row, np.array([1.0, 1.0, -1.0])), *align(centre(A), centre(np.eye(len(A)))))


def summary_by_formulas(V_row, A):
    alpha = (V_row[0] + V_row[1] - V_row[2]) / 3
    d, C = len(A), centre_by_projection(A)
    beta = np.trace(C) / (d - 1)
    return [
        alpha,
        alpha * np.sqrt(3) / np.linalg.norm(V_row),
        beta,
        beta * np.sqrt(d - 1) / np.linalg.norm(C),
    ]


def limit(V_row, gamma, P, r):
    a, b, c = V_row[0], V_row[1], -V_row[2]
    return gamma * b / c, np.linalg.solve(np.eye(len(r)) - gamma * b / c * P, a / c * r)


def limit_by_system(V_row, gamma, P, r):
    a, b, minus_c = V_row
    v = np.linalg.solve(-minus_c * np.eye(len(r)) - b * gamma * P, a * r)
    return [-gamma * b / minus_c, v]


def depth_errors(V_row, A, contexts, gamma, depths):
    out = []
    for L in depths:
        squares = []
        for x, R, value in contexts:
            E, v = weights(A, x[:-1], x), np.zeros(len(x))
            for _ in range(L):
                v = v + (V_row[0] * R + V_row[1] * gamma * v[1:] + V_row[2] * v[:-1]) @ E
            squares.append((v[-1] - value) ** 2)
        out.append(np.mean(squares))
    return np.array(out)


def depth_errors_once(V_row, A, contexts, gamma, depths):
    total = np.zeros(len(depths))
    for x, R, value in contexts:
        E, v = weights_by_query(A, x[:-1], x), np.zeros(len(x))
        answers = [v[-1]]
        for _ in range(max(depths)):
            delta = np.stack([R, gamma * v[1:], v[:-1]], axis=1) @ V_row
            v = v + E.T @ delta
            answers.append(v[-1])
        total += (np.array(answers)[list(depths)] - value) ** 2
    return list(total / len(contexts))


CASES = [
    Case(
        check_attention_weights,
        right=[weights, weights_by_query],
        wrong=[
            (lambda A, s, q: weights(2 * A, s, q), "then softmax down"),
            (lambda A, s, q: weights(A, s, q)[:-1], "expected shape"),
        ],
    ),
    Case(
        check_centre_columns,
        right=[centre, centre_by_loop, centre_by_projection],
        wrong=[
            (centre_in_place, "changed an array it was given"),
            (lambda A: A - A.max(axis=0), "runs down the columns"),
        ],
    ),
    Case(
        check_align,
        right=[align, align_by_lstsq],
        wrong=[
            (lambda W, T: align(W, T)[0], "2 results"),
            (lambda W, T: (np.abs(W).sum() / np.abs(T).sum(), align(W, T)[1]), "three sums"),
        ],
    ),
    Case(
        check_compare_weights,
        right=[summary, as_arrays(summary_by_formulas)],
        wrong=[
            (lambda V, A: (summary(V, A)[:2], summary(V, A)[2:]), "4 results"),
            (lambda V, A: (*summary(V, A)[:2], np.abs(A).max(), summary(V, A)[3]), "use your align twice"),
        ],
    ),
    Case(
        check_deep_limit,
        right=[limit, as_arrays(limit_by_system)],
        wrong=[
            (lambda *inputs: limit(*inputs)[1], "2 results"),
            (lambda *inputs: np.array([limit(*inputs)[0], *limit(*inputs)[1]]), "2 results"),
            (lambda *inputs: (limit(*inputs)[0], -limit(*inputs)[1]), "the values from `solve`"),
        ],
    ),
    Case(
        check_depth_errors,
        right=[depth_errors, as_arrays(depth_errors_once)],
        wrong=[
            (lambda *inputs: depth_errors(*inputs)[::-1], "by hand"),
            (lambda V, A, contexts, *rest: depth_errors(V, A, contexts[:1], *rest), "by hand"),
        ],
    ),
]
