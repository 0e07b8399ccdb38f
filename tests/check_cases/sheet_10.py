"""Right and wrong answers for the checks of sheet 10 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case, as_arrays
from icrl_teach.checks.sheet_10 import (
    check_centre_columns,
    check_depth_errors,
    check_growth,
    check_retune,
    check_row_behind,
    check_same_network,
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


def same_network(A, B, X):
    change = X @ (A - B) @ X.T
    return bool((change.max(axis=0) - change.min(axis=0)).max() < 1e-9)


def same_network_by_pairs(A, B, X):
    return all(abs((X[i] - X[0]) @ (A - B) @ x) < 1e-9 for i in range(len(X)) for x in X)


def row_behind(v, gamma, P, r):
    both = np.column_stack([r, gamma * P @ v])
    share, ahead = np.linalg.lstsq(both, v, rcond=None)[0]
    return share, ahead


def row_behind_by_null_vector(v, gamma, P, r):
    row = np.linalg.svd(np.column_stack([r, gamma * P @ v, -v]))[2][-1]
    return row[:2] / row[2]


def retune(gamma, discount, scale, c):
    return c * np.array([scale, discount / gamma, -1.0])


def retune_by_system(gamma, discount, scale, c):
    return np.append(np.linalg.solve(np.diag([1.0, gamma]), [scale * c, discount * c]), -c)


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


def growth(V_row, E, states, gamma):
    S = states.max() + 1
    spread = np.eye(S)[states]
    errors = V_row[1] * gamma * spread[1:] + V_row[2] * spread[:-1]
    layer = spread + E.T @ errors
    return np.abs(np.linalg.eigvals(layer[[np.argmax(states == s) for s in range(S)]])).max()


def growth_by_operators(V_row, E, states, gamma):
    """I - c M + b gamma Q, as in lesson 05."""
    S = states.max() + 1
    T = np.eye(S)
    for s in range(S):
        j = np.flatnonzero(states == s)[-1]
        for k in range(len(E)):
            T[s, states[k]] += V_row[2] * E[k, j]
            T[s, states[k + 1]] += V_row[1] * gamma * E[k, j]
    return max(abs(x) for x in np.linalg.eigvals(T))


CASES = [
    Case(
        check_centre_columns,
        right=[centre, centre_by_loop, centre_by_projection],
        wrong=[
            (centre_in_place, "changed an array it was given"),
            (lambda A: A - A.max(axis=0), "runs down the columns"),
        ],
    ),
    Case(
        check_same_network,
        right=[same_network, same_network_by_pairs],
        wrong=[
            (lambda A, B, X: np.allclose(A, B), "equal matrices are not asked for"),
            (lambda A, B, X: not same_network(A, B, X), "if each column is constant"),
            (lambda A, B, X: X @ (A - B) @ X.T, "expected shape"),
        ],
    ),
    Case(
        check_row_behind,
        right=[row_behind, row_behind_by_null_vector],
        wrong=[
            (lambda *inputs: row_behind(*inputs)[0], "2 results"),
            (lambda v, gamma, P, r: row_behind(v + 1.0, gamma, P, r), "two unknowns"),
        ],
    ),
    Case(
        check_retune,
        right=[retune, retune_by_system],
        wrong=[
            (lambda *inputs: list(retune(*inputs)), "returned a list"),
            (lambda *inputs: -retune(*inputs), "set both"),
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
    Case(
        check_growth,
        right=[growth, growth_by_operators],
        wrong=[
            (lambda V_row, E, states, gamma: gamma * V_row[1] / -V_row[2], "1 in one state"),
            (lambda *inputs: growth(*inputs) ** 2, "1 in one state"),
        ],
    ),
]
