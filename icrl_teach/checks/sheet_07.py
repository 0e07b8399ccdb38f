"""Checks of sheet 07: prompt, A, V, attention, time shift, one layer, the network, the second head. Plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from icrl_teach.checks.report import Mistake, answer, compare, passed


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(array.copy())


def _u(d: int) -> np.ndarray:
    """(d+3,): 1 at the reward, 1 at target memory, -1 at value memory."""
    return np.array([0.0] * d + [1.0, 1.0, -1.0])


def _softmax(scores: np.ndarray, axis: int) -> np.ndarray:
    """For mistakes only: softmax along an axis; a slice of -inf gives NaN, as it does in torch."""
    with np.errstate(invalid="ignore"):
        exp = np.exp(scores - scores.max(axis=axis, keepdims=True))
        return exp / exp.sum(axis=axis, keepdims=True)


def _scores(Z: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Row i, column j: z_i^T A z_j. (n+1, n+1)."""
    columns = Z.T.tolist()
    return np.array([[sum(a * float(b) for a, b in zip(zi, A @ zj, strict=True)) for zj in columns] for zi in columns])


def _attention(Z: np.ndarray, A: np.ndarray) -> np.ndarray:
    """One listener after the other; the last column is no source. (n+1, n+1)."""
    g, n = _scores(Z, A), Z.shape[1] - 1
    E = np.zeros_like(g)
    for j in range(n + 1):
        exp = [math.exp(g[i, j] - g[:n, j].max()) for i in range(n)]
        for i in range(n):
            E[i, j] = exp[i] / sum(exp)
    return E


def _shift(H: np.ndarray, gamma: float) -> np.ndarray:
    """Cell by cell. (d+3, n+1)."""
    Z, d, n = H.copy(), H.shape[0] - 3, H.shape[1] - 1
    for j in range(n + 1):
        Z[d + 1, j] = gamma * H[d + 2, j + 1] if j < n else 0.0
    return Z


def _td(x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, alpha: float, beta: float) -> np.ndarray:
    """Weighted softmax TD from zero, in plain loops. (n_layers+1, n+1)."""
    K = _attention(x.T, beta * np.eye(x.shape[1]))
    values = [[0.0] * len(x)]
    for _ in range(n_layers):
        v = values[-1]
        delta = [r[k] + gamma * v[k + 1] - v[k] for k in range(len(r))]
        values.append([v[j] + alpha * sum(K[k, j] * delta[k] for k in range(len(r))) for j in range(len(x))])
    return np.array(values)


def check_prompt(prompt: Callable[..., Any]) -> None:
    """prompt(features, rewards) -> (d+3, n+1): each number in its row and column, the memories and the query empty."""
    rng = np.random.default_rng(701)
    for n, d in ((3, 2), (2, 1), (5, 4)):
        x, r = rng.standard_normal((n + 1, d)), rng.standard_normal(n)
        right = np.zeros((d + 3, n + 1))
        for j in range(n + 1):
            right[:d, j] = x[j]
            right[d, j] = r[j] if j < n else 0.0
        late, full, in_value, nobody = right.copy(), right.copy(), right.copy(), right.copy()
        late[d] = np.append(0.0, r)
        full[d, -1] = r[-1]
        in_value[[d, d + 2]] = right[[d + 2, d]]
        nobody[:d, -1] = 0.0
        mistakes = [
            Mistake(right.T, "the layout is transposed: a token is a column, so features enter as features.T."),
            Mistake(
                late, "rewards are misaligned by one: column j holds R_{j+1}, paid on leaving S_j; none for the last."
            ),
            Mistake(full, "the query column carries a reward; S_n has not been left yet, so that cell stays 0."),
            Mistake(in_value, "the rewards stand in the last row, value memory; row d is theirs."),
            Mistake(
                nobody, "the query has no features: it has no reward, but it is a state, and it must find its like."
            ),
            Mistake(right[: d + 1], "the two memory rows are missing: below the rewards come two rows of zeros."),
        ]
        tried = f"prompt of {n} transitions with {d} features"
        hint = "start from zeros of shape (d+3, n+1), then fill the feature rows and the reward row."
        got = answer(prompt, _tensor(x), _tensor(r), tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("every number stands where the layout wants it, and the query's future is empty")


def check_score_matrix(score_matrix: Callable[..., Any]) -> None:
    """score_matrix(d, beta) -> (d+3, d+3): beta on the diagonal of the feature block, zero elsewhere."""
    for d, beta in ((2, 1.7), (4, 0.6)):
        right = np.zeros((d + 3, d + 3))
        for i in range(d):
            right[i, i] = beta
        block, low = np.zeros_like(right), np.zeros_like(right)
        block[:d, :d] = beta
        low[-d:, -d:] = beta * np.eye(d)
        mistakes = [
            Mistake(beta * np.eye(d + 3), "A touches the reward and memory rows; only features say who is alike."),
            Mistake(right / beta, "beta has no effect: it is the number on the diagonal."),
            Mistake(right / beta**2, "you divide by beta, the inverse temperature; it multiplies."),
            Mistake(block, "the block is full: entry [0, 1] would compare feature 0 with feature 1. Use the identity."),
            Mistake(low, "the block sits at the bottom right; features are the first d rows."),
            Mistake(-right, "the sign is turned: alike states must get a high score, not a low one."),
            Mistake(
                right / math.sqrt(d), "a Transformer's habit, 1/sqrt(d), crept in; here beta sets the scale alone."
            ),
            Mistake(beta * np.eye(d), "this is the feature block alone; A has all d+3 rows and columns."),
        ]
        tried = f"A for d = {d} and beta = {beta}"
        got = answer(score_matrix, d, beta, tried=tried, like=_tensor(right))
        compare(got, right, tried=tried, mistakes=mistakes, hint="zeros, then beta times the identity in [:d, :d].")
    passed("A compares features, and nothing else")


def check_value_matrix(value_matrix: Callable[..., Any]) -> None:
    """value_matrix(d, alpha) -> (d+3, d+3): alpha u in the row of value memory, zero elsewhere."""
    for d, alpha in ((2, 0.6), (4, 1.3)):
        u, rows = _u(d), np.eye(d + 3)
        right = np.zeros((d + 3, d + 3))
        for i in range(d + 3):
            right[d + 2, i] = alpha * u[i]
        swapped = np.array([0.0] * d + [1.0, -1.0, 1.0])
        no_target = np.array([0.0] * d + [1.0, 0.0, -1.0])
        half = right.copy()
        half[-1, -1] = -1.0
        mistakes = [
            Mistake(-right, "the whole sign is turned: u is reward plus target minus value."),
            Mistake(abs(right), "the own value must be subtracted: the last entry of u is -1."),
            Mistake(
                alpha * np.outer(rows[-1], swapped), "target and value are exchanged: + target memory, - value memory."
            ),
            Mistake(alpha * np.outer(rows[-1], no_target), "target memory is not read: u needs +1 in place d+1."),
            Mistake(right.T, "V is transposed: the row is where it writes, the columns are what it reads."),
            Mistake(alpha * np.outer(rows[-2], u), "V writes into target memory; the errors belong to the last row."),
            Mistake(alpha * np.outer(rows[d], u), "V writes into the reward row, and would change what was observed."),
            Mistake(alpha * np.outer(np.ones(d + 3), u), "V writes into every row; only its last row is not 0."),
            Mistake(right / alpha, "alpha has no effect: it multiplies u."),
            Mistake(half, "alpha multiplies all of u: the last entry of the row is -alpha, not -1."),
            Mistake(alpha * u, "this is the vector alpha u alone; V is a matrix with that vector as its last row."),
        ]
        tried = f"V for d = {d} and alpha = {alpha}"
        got = answer(value_matrix, d, alpha, tried=tried, like=_tensor(right))
        compare(got, right, tried=tried, mistakes=mistakes, hint="zeros of shape (d+3, d+3), then one row: alpha u.")
    passed("V turns each column into its TD error and writes into value memory alone")


def _attention_mistakes(Z: np.ndarray, A: np.ndarray) -> list[Mistake]:
    g, right = _scores(Z, A), _attention(Z, A)
    masked, deaf, zero, low = g.copy(), g.copy(), g.copy(), g.copy()
    masked[-1], deaf[:, -1], zero[-1], low[-1] = -np.inf, -np.inf, 0.0, -30.0
    after, rows_after, whole = _softmax(g, 0), _softmax(g, 1), np.exp(masked)
    after[-1], rows_after[-1] = 0.0, 0.0
    listener = "you masked the query's column: the query must listen. Its row is what nobody may hear."
    return [
        Mistake(
            _softmax(masked, 1),
            "softmax runs over the queries, dim=1, so the masked row is NaN. Each listener shares out 1: dim=0.",
        ),
        Mistake(rows_after, "your rows sum to 1: a source shares itself out. Each listener does: go down each column."),
        Mistake(_softmax(g, 0), "the query is unmasked: it has no reward, so its row of scores must be -inf."),
        Mistake(_softmax(deaf, 0), listener),
        Mistake(right.T, "E is transposed: row i is the source, column j the listener."),
        Mistake(after, "the mask came after the softmax, so the columns no longer sum to 1; mask the scores."),
        Mistake(_softmax(zero, 0), "a score of 0 is no mask, exp(0) = 1. Use -torch.inf."),
        Mistake(_softmax(low, 0), "a score like -30 hides nobody when all others are lower still. Use -torch.inf."),
        Mistake(whole / whole.sum(), "you divided by the sum of the whole matrix; each column needs its own sum."),
        Mistake(whole, "these are exponentials; divide each column by its sum."),
        Mistake(_attention(Z, A.T), "A is used transposed: source i and listener j score Z[:, i] @ A @ Z[:, j]."),
        Mistake(_attention(Z, np.eye(len(A))), "A has no effect: the scores are Z.T @ A @ Z."),
    ]


def check_attention(attention: Callable[..., Any]) -> None:
    """attention(Z, A) -> (n+1, n+1): masked softmax down each column, for any A."""
    rng = np.random.default_rng(704)
    cases = [
        (rng.standard_normal((d + 3, n + 1)), 0.6 * rng.standard_normal((d + 3, d + 3))) for d, n in ((1, 3), (3, 5))
    ]
    unlike, A_unlike = rng.standard_normal((5, 4)), np.zeros((5, 5))  # the query scores about -300 with all sources
    unlike[:2], A_unlike[0, 1] = [[1.0, 1.001, 0.998, 0.0], [0.0, 0.0, 0.0, 1.0]], -300.0
    for Z, A in [*cases, (unlike, A_unlike)]:
        tried = f"attention over {Z.shape[1] - 1} sources and the query, "
        tried += "with scores down to -300" if Z is unlike else "with a random A"
        got = answer(attention, _tensor(Z), _tensor(A), tried=tried)
        hint = "scores Z.T @ A @ Z, the last row set to -inf, then softmax down each column."
        compare(got, _attention(Z, A), tried=tried, mistakes=_attention_mistakes(Z, A), hint=hint)
    passed("each listener shares out 1 among the sources, and the query teaches nobody")


def _shift_mistakes(H: np.ndarray, gamma: float) -> list[Mistake]:
    right, n = _shift(H, gamma), H.shape[1] - 1
    wrong_way, wrapped, unshifted, stale = right.copy(), right.copy(), right.copy(), right.copy()
    wrong_way[-2] = [0.0] + [gamma * H[-1, j] for j in range(n)]
    wrapped[-2, -1] = gamma * H[-1, 0]
    unshifted[-2] = gamma * H[-1]
    stale[-2] = [gamma * H[-2, j + 1] for j in range(n)] + [0.0]
    not_cleared, emptied, kept, everything = right.copy(), right.copy(), right.copy(), np.zeros_like(H)
    not_cleared[-2] += H[-2]
    emptied[-1] = 0.0
    kept[-2, -1] = H[-2, -1]
    everything[:, :-1] = H[:, 1:]
    everything[-2] = right[-2]
    crossed = H.copy()
    crossed[-2], crossed[-1, :-1] = 0.0, H[-1, :-1] + gamma * H[-2, 1:]
    return [
        Mistake(wrong_way, "the shift goes the wrong way: column j needs the value of column j+1, its successor."),
        Mistake(_shift(H, 1.0), "gamma is forgotten: target memory holds the discounted value."),
        Mistake(not_cleared, "target memory is not cleared: replace its old content, don't add to it."),
        Mistake(wrapped, "the row wraps around: the query has no successor, its target memory is 0 (roll does that)."),
        Mistake(unshifted, "each column got its own value; it needs the value of the next column."),
        Mistake(stale, "you shifted target memory itself; the new value stands in value memory, the last row."),
        Mistake(emptied, "value memory is gone: read it, but leave it as it is."),
        Mistake(kept, "the last cell of target memory keeps its old content; nothing follows the query, so it is 0."),
        Mistake(everything, "all rows moved to the left; only target memory changes."),
        Mistake(crossed, "W is transposed: its row d+1 says where it writes, its column d+2 what it reads."),
        Mistake(H, "nothing has changed: return the new matrix."),
    ]


def check_time_shift(time_shift: Callable[..., Any]) -> None:
    """time_shift(H, gamma) -> (d+3, n+1): target memory refilled with gamma times the next column's value."""
    rng = np.random.default_rng(705)
    for d, n, gamma in ((1, 3, 0.5), (3, 5, 0.9)):
        H = rng.standard_normal((d + 3, n + 1))
        tried = f"time shift of a random matrix with {n + 1} columns, gamma {gamma}"
        got = answer(time_shift, _tensor(H), gamma, tried=tried)
        hint = "copy H, then overwrite row -2: gamma * H[-1, 1:] in all columns but the last, 0 in the last."
        compare(got, _shift(H, gamma), tried=tried, mistakes=_shift_mistakes(H, gamma), hint=hint)
    passed("target memory is cleared and holds what the successor is worth now")


def _layer_mistakes(Z: np.ndarray, V: np.ndarray, A: np.ndarray, gamma: float) -> list[Mistake]:
    E = _attention(Z, A)
    H, early = Z + V @ Z @ E, _shift(Z, gamma)
    old = H.copy()
    old[-2] = early[-2]
    unmasked = Z + V @ Z @ _softmax(_scores(Z, A), 0)
    return [
        Mistake(_shift(V @ Z @ E, gamma), "the residual is missing: H = Z + V Z E keeps what was there."),
        Mistake(H, "the time shift is missing: target memory is stale in the next layer."),
        Mistake(
            early + V @ early @ _attention(early, A), "the shift came first; it must see the new values, so it is last."
        ),
        Mistake(old, "target memory was filled from the old values; shift H, not Z."),
        Mistake(_shift(Z + V @ Z @ E.T, gamma), "E is turned round: V Z E mixes the sources of each column."),
        Mistake(_shift(Z + Z @ E, gamma), "V is missing: without it whole columns are mixed, not TD errors."),
        Mistake(_shift(Z - V @ Z @ E, gamma), "a minus sign crept in: the layer adds V Z E."),
        Mistake(_shift(unmasked, gamma), "the query teaches here: use your own masked attention."),
        Mistake(_shift(H, 1.0), "the shift got no gamma."),
    ]


def check_layer(layer: Callable[..., Any]) -> None:
    """layer(Z, V, A, gamma) -> (d+3, n+1): Z + V Z E, then the time shift, for any V and A."""
    rng = np.random.default_rng(706)
    for d, n, gamma in ((1, 3, 0.5), (3, 5, 0.9)):
        Z = rng.standard_normal((d + 3, n + 1))
        V, A = (0.5 * rng.standard_normal((d + 3, d + 3)) for _ in range(2))
        tried = f"one layer on a random Z with {n + 1} columns, random V and A, gamma {gamma}"
        got = answer(layer, _tensor(Z), _tensor(V), _tensor(A), gamma, tried=tried)
        right = _shift(Z + V @ Z @ _attention(Z, A), gamma)
        hint = "three steps: E from attention, H = Z + V @ Z @ E, then time_shift(H, gamma)."
        compare(got, right, tried=tried, mistakes=_layer_mistakes(Z, V, A, gamma), hint=hint)
    passed("attend, add, shift: a whole layer, for any weights")


def _network_mistakes(
    x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, alpha: float, beta: float
) -> list[Mistake]:
    td = _td(x, r, gamma, n_layers + 1, alpha, beta)
    right = td[n_layers]
    return [
        Mistake(
            np.zeros(len(x)),
            "all values are 0, as in the prompt. Was the layer's result kept? Write `Z = layer(Z, V, A, gamma)`.",
        ),
        Mistake(-right, "a minus sign at the readout: this network's answer is + value memory."),
        Mistake(right[-1], "this is the query's value alone; return value memory of all columns."),
        Mistake(td[n_layers - 1], "one layer too few: apply the layer n_layers times."),
        Mistake(td[n_layers + 1], "one layer too many: apply the layer n_layers times."),
        Mistake(np.append(gamma * right[1:], 0.0), "you read target memory; the values stand in the last row."),
        Mistake(np.append(r, 0.0), "you read the reward row; the values stand in value memory."),
        Mistake(_td(x, r, gamma, n_layers, 1.0, beta)[-1], "alpha has no effect: hand it to value_matrix."),
        Mistake(_td(x, r, gamma, n_layers, alpha, 1.0)[-1], "beta has no effect: hand it to score_matrix."),
        Mistake(
            _td(x, r, gamma, n_layers, beta, alpha)[-1], "alpha and beta are exchanged: V takes alpha, A takes beta."
        ),
        Mistake(td[: n_layers + 1], "these are the values of all layers; return those of the last one."),
    ]


def check_network(network: Callable[..., Any]) -> None:
    """network(features, rewards, gamma, n_layers, alpha, beta) -> (n+1,): equal to weighted softmax TD."""
    rng = np.random.default_rng(707)
    for n, d, gamma, n_layers, alpha, beta in ((4, 2, 0.5, 3, 0.7, 1.6), (7, 3, 0.9, 6, 0.9, 2.0)):
        x, r = rng.standard_normal((n + 1, d)), rng.standard_normal(n)
        tried = f"{n_layers} layers over {n} transitions, gamma {gamma}, alpha {alpha}, beta {beta}"
        got = answer(network, _tensor(x), _tensor(r), gamma, n_layers, alpha, beta, tried=tried)
        right = _td(x, r, gamma, n_layers, alpha, beta)[-1]
        mistakes = _network_mistakes(x, r, gamma, n_layers, alpha, beta)
        hint = "build the prompt, V and A once; apply layer n_layers times; return the last row."
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("your network is weighted softmax TD at every position: Theorem 1, by your own hands")


def _dual(
    Z: np.ndarray, first: np.ndarray, second: np.ndarray, A: np.ndarray, move: int = -1, at: int = -2
) -> np.ndarray:
    """Z plus a step in value memory plus a step, moved by `move` columns, in row `at`; u-vectors as given."""
    E = _attention(Z, A)
    new, n = Z.copy(), Z.shape[1] - 1
    new[-1] += first @ Z @ E
    step = second @ Z @ E
    for j in range(n + 1):
        if 0 <= j - move <= n:
            new[at, j] += step[j - move]
    return new


def _dual_mistakes(Z: np.ndarray, alpha: float, beta: float, gamma: float, A: np.ndarray) -> list[Mistake]:
    u, E = _u(len(Z) - 3), _attention(Z, A)
    one, two = alpha * u, gamma * alpha * u
    single = _dual(Z, one, 0 * u, A)
    wrapped, chained = _dual(Z, one, two, A), single.copy()
    wrapped[-2, -1] += (two @ Z @ E)[0]
    chained[-2, :-1] += (two @ single @ E)[1:]
    before = single.copy()
    before[-2] += np.append((two @ Z)[1:], 0.0) @ E
    return [
        Mistake(before, "Pi came before E: first the mean for each column, then the move. The order is V2 Z E Pi."),
        Mistake(single, "target memory has not moved: add the second head, V2 Z E Pi."),
        Mistake(_shift(single, gamma), "this is the time shift, which clears target memory; a second head only adds."),
        Mistake(_dual(Z, one, two, A, move=0), "Pi is missing: the step belongs one column to the left."),
        Mistake(_dual(Z, one, two, A, move=1), "Pi points the wrong way: column j+1 goes to column j."),
        Mistake(wrapped, "the first column's step landed in the query: Pi drops it (roll wraps around)."),
        Mistake(_dual(Z, one, one, A), "gamma is forgotten: V2 is gamma alpha in the row of target memory."),
        Mistake(_dual(Z, one, gamma * u, A), "alpha is missing in V2: both heads take the same step."),
        Mistake(_dual(Z, one, two, A, at=-1), "V2 writes into value memory; its row is d+1, target memory."),
        Mistake(chained, "the second head read what the first had written; both read the same old Z."),
    ]


def check_dual_layer(dual_layer: Callable[..., Any]) -> None:
    """dual_layer(Z, alpha, beta, gamma) -> (d+3, n+1): Z + V Z E + V2 Z E Pi, for any memories."""
    rng = np.random.default_rng(708)
    for d, n, gamma, alpha, beta in ((1, 3, 0.5, 0.7, 1.6), (3, 5, 0.9, 1.2, 0.8)):
        Z, A = rng.standard_normal((d + 3, n + 1)), np.zeros((d + 3, d + 3))
        A[:d, :d] = beta * np.eye(d)
        tried = f"dual layer on a random Z, alpha {alpha}, beta {beta}, gamma {gamma}"
        got = answer(dual_layer, _tensor(Z), alpha, beta, gamma, tried=tried)
        right = _dual(Z, alpha * _u(d), gamma * alpha * _u(d), A)
        hint = "E from the old Z; then Z + V @ Z @ E + V2 @ Z @ E @ Pi, with Pi[j+1, j] = 1."
        compare(got, right, tried=tried, mistakes=_dual_mistakes(Z, alpha, beta, gamma, A), hint=hint)
    passed("the second head tells each column its successor's step")
