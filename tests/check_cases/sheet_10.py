"""Right and wrong answers for sheet 10."""

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


def softmax(scores, axis=0):
    exp = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return exp / exp.sum(axis=axis, keepdims=True)


def weights(A, sources, queries):
    return softmax(sources @ A @ queries.T)


def weights_by_query(A, sources, queries):
    columns = []
    for x in queries:
        g = np.array([float(z @ A @ x) for z in sources])
        columns.append(np.exp(g - np.logaddexp.reduce(g)))
    return np.stack(columns, axis=1)


def whole_table(A, sources, queries):
    exp = np.exp(sources @ A @ queries.T)
    return exp / exp.sum()


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


def mean_of_ratios(W, T):
    return (W / T).mean(), align(W, T)[1]


def compare(V_row, A, target=(1.0, 1.0, -1.0), mine=centre, theirs=centre):
    return (*align(V_row, np.array(target)), *align(mine(A), theirs(np.eye(len(A)))))


def compare_by_formulas(V_row, A):
    alpha = (V_row[0] + V_row[1] - V_row[2]) / 3
    d, C = len(A), centre_by_projection(A)
    beta = np.trace(C) / (d - 1)
    return [
        alpha,
        alpha * np.sqrt(3) / np.linalg.norm(V_row),
        beta,
        beta * np.sqrt(d - 1) / np.linalg.norm(C),
    ]


def compare_exchanged(V_row, A):
    return (*align(np.array([1.0, 1.0, -1.0]), V_row), *align(centre(np.eye(len(A))), centre(A)))


def same(A):
    return A


def limit(V_row, gamma, P, r):
    a, b, c = V_row[0], V_row[1], -V_row[2]
    return gamma * b / c, np.linalg.solve(np.eye(len(r)) - gamma * b / c * P, a / c * r)


def limit_by_system(V_row, gamma, P, r):
    a, b, minus_c = V_row
    v = np.linalg.solve(-minus_c * np.eye(len(r)) - b * gamma * P, a * r)
    return [-gamma * b / minus_c, v]


def limit_with(discount, scale, transpose=False):
    def wrong(V_row, gamma, P, r):
        a, b, c = V_row[0], V_row[1], -V_row[2]
        rate = discount(a, b, c, gamma)
        P = P.T if transpose else P
        return rate, np.linalg.solve(np.eye(len(r)) - rate * P, scale(a, b, c) * r)

    return wrong


def right_rate(a, b, c, gamma):
    return gamma * b / c


def run(V_row, A, x, R, gamma, n_layers):
    E, v = weights(A, x[:-1], x), np.zeros(len(x))
    for _ in range(n_layers):
        v = v + (V_row[0] * R + V_row[1] * gamma * v[1:] + V_row[2] * v[:-1]) @ E
    return v[-1]


def gaps(V_row, A, contexts, gamma, depths, more=0, run=run):
    return np.array([[run(V_row, A, x, R, gamma, L + more) - value for x, R, value in contexts] for L in depths])


def run_unmasked(V_row, A, x, R, gamma, n_layers):
    """The query is a source with no reward and no successor."""
    E, v = weights(A, x, x), np.zeros(len(x))
    for _ in range(n_layers):
        v = v + (V_row[0] * np.append(R, 0.0) + V_row[1] * gamma * np.append(v[1:], 0.0) + V_row[2] * v) @ E
    return v[-1]


def run_unmasked_dropped(V_row, A, x, R, gamma, n_layers):
    """The query takes its share of the softmax and is dropped afterwards."""
    E, v = weights(A, x, x)[:-1], np.zeros(len(x))
    for _ in range(n_layers):
        v = v + (V_row[0] * R + V_row[1] * gamma * v[1:] + V_row[2] * v[:-1]) @ E
    return v[-1]


def run_before(V_row, A, x, R, gamma, n_layers):
    """Reads the position before the query."""
    E, v = weights(A, x[:-1], x), np.zeros(len(x))
    for _ in range(n_layers):
        v = v + (V_row[0] * R + V_row[1] * gamma * v[1:] + V_row[2] * v[:-1]) @ E
    return v[-2]


def errors_of(run):
    return lambda *inputs: (gaps(*inputs, run=run) ** 2).mean(axis=1)


def without_a(V_row, *rest):
    return depth_errors(np.array([1.0, V_row[1], V_row[2]]), *rest)


def depth_errors(*inputs):
    return (gaps(*inputs) ** 2).mean(axis=1)


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


def in_order(V_row, A, contexts, gamma, depths):
    """Positions learn one after the other, from values already new."""
    out = []
    for L in depths:
        squares = []
        for x, R, value in contexts:
            E, v = weights(A, x[:-1], x), np.zeros(len(x))
            for _ in range(L):
                for j in range(len(v)):
                    v[j] += (V_row[0] * R + V_row[1] * gamma * v[1:] + V_row[2] * v[:-1]) @ E[:, j]
            squares.append((v[-1] - value) ** 2)
        out.append(np.mean(squares))
    return out


CASES = [
    Case(
        check_attention_weights,
        right=[weights, weights_by_query],
        wrong=[
            (lambda A, s, q: weights(A, s, q).T, "transposed: sources stand in rows"),
            (lambda A, s, q: softmax(s @ A @ q.T, axis=1), "your rows sum to 1"),
            (lambda A, s, q: weights(A.T, s, q), "A is turned round"),
            (lambda A, s, q: softmax(s @ q.T), "A has no effect"),
            (lambda A, s, q: s @ A @ q.T, "the softmax over the sources is missing"),
            (whole_table, "the whole table's sum"),
        ],
    ),
    Case(
        check_centre_columns,
        right=[centre, centre_by_loop, centre_by_projection],
        wrong=[
            (lambda A: A - A.mean(axis=1, keepdims=True), "you centred the rows"),
            (lambda A: A - A.mean(), "one mean for the whole matrix"),
            (lambda A: A - A.mean(axis=1), "taken off the columns"),
            (lambda A: centre(centre(A).T).T, "rows and columns are both centred"),
            (lambda A: centre(A) / A.std(axis=0), "divided by the standard deviation"),
            (lambda A: A + A.mean(axis=0), "the means were added"),
            (lambda A: A - np.median(A, axis=0), "this is the median"),
            (lambda A: A - A[0], "a row was subtracted"),
            (lambda A: A - np.diag(A), "the diagonal was subtracted"),
            (centre_in_place, "changed an array it was given"),
        ],
    ),
    Case(
        check_align,
        right=[align, align_by_lstsq],
        wrong=[
            (lambda W, T: (align(W, T)[0], (W * T).sum()), "the cosine is not normalised"),
            (lambda W, T: (align(W, T)[0], (W * T).sum() / np.linalg.norm(W)), "by the learned length only"),
            (lambda W, T: (align(W, T)[0], (W * T).sum() / np.linalg.norm(T)), "by the target's length only"),
            (
                lambda W, T: (align(W, T)[0], (W * T).sum() / ((W * W).sum() * (T * T).sum())),
                "the lengths are squared",
            ),
            (mean_of_ratios, "a mean of ratios"),
            (lambda W, T: ((W * T).sum() / (W * W).sum(), align(W, T)[1]), "not <W, W>"),
            (lambda W, T: ((W * T).sum() / np.linalg.norm(T), align(W, T)[1]), "not by its root"),
            (lambda W, T: (np.linalg.norm(W) / np.linalg.norm(T), align(W, T)[1]), "a ratio of lengths"),
            (lambda W, T: ((W * T).sum(), align(W, T)[1]), "still an inner product"),
            (lambda W, T: (align(W, T)[0], abs(align(W, T)[1])), "the sign of the cosine is lost"),
            (lambda W, T: align(W, T)[::-1], "the two results are exchanged"),
        ],
    ),
    Case(
        check_compare_weights,
        right=[compare, as_arrays(compare_by_formulas)],
        wrong=[
            (lambda V, A: compare(V, A, target=(1.0, 1.0, 1.0)), "the third entry's sign is wrong"),
            (lambda V, A: compare(V, A, target=(1.0, -1.0, 1.0)), "minus at the end"),
            (lambda V, A: compare(V, A, mine=same, theirs=same), "nothing is centred"),
            (lambda V, A: compare(V, A, theirs=same), "the identity must be centred as well"),
            (lambda V, A: compare(V, A, mine=same), "only the identity is centred"),
            (lambda V, A: compare(V, A.T), "A's rows are centred"),
            (lambda V, A: (*compare(V, A)[2:], *compare(V, A)[:2]), "V comes first"),
            (compare_exchanged, "learned and target are exchanged"),
            (lambda V, A: (compare(V, A)[:2], compare(V, A)[2:]), "two pairs came back"),
            (lambda V, A: np.array(compare(V, A))[[0, 2, 1, 3]], "the order is alpha, its cosine"),
        ],
    ),
    Case(
        check_deep_limit,
        right=[limit, as_arrays(limit_by_system)],
        wrong=[
            (limit_with(lambda a, b, c, g: g, lambda a, b, c: 1.0), "the row has no effect"),
            (limit_with(right_rate, lambda a, b, c: 1.0), "factor a / c is missing"),
            (limit_with(right_rate, lambda a, b, c: a), "divide it by c as well"),
            (limit_with(lambda a, b, c, g: g * b, lambda a, b, c: a), "c v balances"),
            (limit_with(lambda a, b, c, g: g * b / a, lambda a, b, c: a / c), "b is divided by a"),
            (limit_with(lambda a, b, c, g: g * c / b, lambda a, b, c: a / c), "upside down"),
            (limit_with(lambda a, b, c, g: -g * b / c, lambda a, b, c: -a / c), "a sign is turned"),
            (limit_with(lambda a, b, c, g: b / c, lambda a, b, c: a / c), "gamma is missing"),
            (limit_with(right_rate, lambda a, b, c: a / c, transpose=True), "P is transposed"),
            (lambda *inputs: limit(*inputs)[::-1], "the two results are exchanged"),
            (lambda V, gamma, P, r: (gamma * V[1], limit(V, gamma, P, r)[1]), "divide it by c, gamma b / c"),
            (lambda V, gamma, P, r: (gamma, limit(V, gamma, P, r)[1]), "not the gamma of the task"),
            (lambda *inputs: limit(*inputs)[1], "return the discount, then the values"),
            (lambda *inputs: np.array([limit(*inputs)[0], *limit(*inputs)[1]]), "one array came back"),
        ],
    ),
    Case(
        check_depth_errors,
        right=[depth_errors, as_arrays(depth_errors_once)],
        wrong=[
            (lambda *inputs: np.sqrt(depth_errors(*inputs)), "this is the root"),
            (lambda *inputs: np.abs(gaps(*inputs)).mean(axis=1), "these are absolute errors"),
            (lambda *inputs: gaps(*inputs).mean(axis=1) ** 2, "square first"),
            (lambda *inputs: (gaps(*inputs) ** 2).sum(axis=1), "this is the sum over contexts"),
            (lambda *inputs: (gaps(*inputs, more=1) ** 2).mean(axis=1), "one layer too many"),
            (lambda V, *rest: depth_errors(np.array([1.0, 1.0, -1.0]), *rest), "the learned row has no effect"),
            (lambda V, A, *rest: depth_errors(V, A.T, *rest), "A is transposed"),
            (lambda V, A, c, gamma, depths: depth_errors(V, A, c, 1.0, depths), "gamma is missing"),
            (lambda V, *rest: depth_errors(V * [1, 1, -1], *rest), "holds its minus already"),
            (lambda *inputs: (gaps(*inputs) ** 2).mean(axis=0), "the mean ran over depths"),
            (as_arrays(in_order), "old and new values are mixed"),
            (errors_of(run_unmasked), "the query is a source too"),
            (errors_of(run_unmasked_dropped), "leave it out before softmax"),
            (errors_of(run_before), "the position before the query"),
            (without_a, "the reward's factor a"),
        ],
    ),
]
