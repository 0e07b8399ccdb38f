"""Checks of sheet 06: averages of tokens, masked softmax attention, the linear layer, its answers, repeated context."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.report import Mistake, answer, compare, passed

MASKS = ("row -inf", "none", "late", "zero score", "own cell", "row and column", "low score", "column")


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float64)


def check_average_tokens(average_tokens: Callable[..., Any]) -> None:
    """average_tokens(Z, E) -> (D, n+1): column j of the result is the sum over i of E[i, j] Z[:, i]."""
    rng = np.random.default_rng(601)
    for D, columns in ((4, 4), (3, 5)):
        Z, E = rng.standard_normal((D, columns)), rng.dirichlet(np.ones(columns), size=columns).T
        right = np.array([[sum(Z[r, i] * E[i, j] for i in range(columns)) for j in range(columns)] for r in range(D)])
        mistakes = [
            Mistake(Z @ E.T, "you used the rows of E. The shares of query j stand in COLUMN j: no transpose."),
            Mistake(
                right.T, "the numbers are right, but as rows. In this course a token is a column, also afterwards."
            ),
            Mistake(right / columns, "divided once too often: each column of E sums to 1 already."),
        ]
        if columns == D:
            mistakes += [
                Mistake(E @ Z, "E stands on the wrong side: E @ Z mixes rows, Z @ E mixes tokens."),
                Mistake(Z * E, "`*` multiplies cell by cell; a weighted sum of columns is the matrix product `@`."),
            ]
        tried = f"{columns} tokens of {D} rows each"
        got = answer(average_tokens, _tensor(Z), _tensor(E), tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="column j of the result is `Z @ E[:, j]`, for all j.")
    passed("every column of the result is a weighted average of tokens")


def _attention(X: np.ndarray, beta: float, mask: str = "row -inf") -> np.ndarray:
    """Softmax attention, one query column after the other, in plain loops. (d, n+1) -> (n+1, n+1)."""
    size = X.shape[1]
    E = np.zeros((size, size))
    for j in range(size):
        scores = [beta * float(X[:, i] @ X[:, j]) for i in range(size)]
        hidden = {"row -inf": True, "own cell": j == size - 1, "row and column": True}.get(mask, False)
        if hidden:
            scores[-1] = -math.inf
        if mask in ("zero score", "low score"):
            scores[-1] = 0.0 if mask == "zero score" else -100.0
        if mask in ("row and column", "column") and j == size - 1:
            E[:, j] = math.nan
            continue
        powers = [math.exp(g - max(scores)) for g in scores]
        E[:, j] = [p / sum(powers) for p in powers]
        if mask == "late":
            E[-1, j] = 0.0
    return E


def _overflowing(X: np.ndarray, beta: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        powers = np.exp(beta * X.T @ X)
        powers[-1] = 0.0
        return powers / powers.sum(axis=0)


def _attention_mistakes(X: np.ndarray, beta: float) -> list[Mistake]:
    right = _attention(X, beta)
    free, late, zero, own, both, low, column = (_attention(X, beta, mask) for mask in MASKS[1:])
    causal = np.triu(right)  # sources up to the reader, each column divided by its new sum
    causal = causal / causal.sum(axis=0)
    causal[:, -1] = right[:, -1]
    rows_with_nan = free.T.copy()  # scores are symmetric, so a softmax along rows is the transpose
    rows_with_nan[-1] = math.nan
    rows_then_zero = free.T.copy()
    rows_then_zero[-1] = 0.0
    with np.errstate(invalid="ignore"):
        hidden_late = free * (np.arange(len(free)) < len(free) - 1)[:, None]
        hidden_late = hidden_late / hidden_late.sum(axis=0)  # right on paper; 0 / 0 once the others underflowed
    over_queries = "softmax ran over the queries, along each row. Each query shares out 1 over its sources: dim=0."
    return [
        Mistake(rows_with_nan, over_queries),
        Mistake(free.T, over_queries),
        Mistake(rows_then_zero, over_queries),
        Mistake(right.T, "this is E transposed: the layout with tokens in rows. Here E[source, query]: last ROW zero."),
        Mistake(low, "a score like -100 hides nobody when the other scores are lower still. Use -torch.inf."),
        Mistake(free, "the query is not masked, but it has no reward to tell: set its row of scores to -inf."),
        Mistake(late, "the mask came after the softmax, so columns no longer sum to 1. Mask the scores, then softmax."),
        Mistake(zero, "a score of 0 hides nobody, since e^0 = 1. To hide a source its score must be -inf."),
        Mistake(own, "only the query's own cell is hidden; it is no source for anyone, so mask its whole row."),
        Mistake(
            hidden_late,
            "the query's large score was in the softmax before it was hidden, so the others underflowed and "
            "0 / 0 is nan. Mask the scores first.",
        ),
        Mistake(both, "you hid the last column too. The query may listen; only as a source, a row, is it hidden."),
        Mistake(
            column, "you masked the query's column, the query as a reader. Its row of scores, scores[-1], is hidden."
        ),
        Mistake(_attention(X, 1.0), "beta has no effect: it multiplies every score."),
        Mistake(causal, "a causal mask crept in; here a token may listen to later ones too. Only the query is hidden."),
        Mistake(_attention(X.T, beta), "you compared features with features: X @ X.T. Tokens are columns, so X.T @ X."),
        Mistake(
            _attention(X, beta / math.sqrt(len(X))),
            "1/sqrt(d) crept in, PyTorch's default; here beta alone sets the scale.",
        ),
        Mistake(right[:-1], "the row of the query is missing. Keep it, full of zeros, so that Z @ E works."),
        Mistake(
            _overflowing(X, beta),
            "exp overflowed, inf / inf: use torch.softmax, or subtract each column's largest score.",
        ),
    ]


def check_attention_weights(attention_weights: Callable[..., Any]) -> None:
    """attention_weights(X, beta) -> (n+1, n+1): softmax down each column, the last row masked; large scores too."""
    rng = np.random.default_rng(602)
    cases = [(rng.standard_normal((d, n + 1)), beta) for d, n, beta in ((2, 3, 1.7), (3, 6, 0.6))]
    cases.append((np.array([[30.0, 26.0, 29.5, -40.0]]), 1.0))
    for X, beta in cases:
        tried = f"{X.shape[1]} tokens with {len(X)} features, beta {beta}"
        tried += ", scores up to 1600" if np.abs(X).max() > 10 else ""
        got = answer(attention_weights, _tensor(X), beta, tried=tried)
        hint = "scores beta * X.T @ X, last row to -inf, then a softmax over dim=0."
        compare(got, _attention(X, beta), tried=tried, mistakes=_attention_mistakes(X, beta), hint=hint)
    passed("every column sums to 1, the query is no source, and large scores do no harm")


def _layer(
    Z: np.ndarray, step: float, own: float = -1.0, following: float = 1.0, sources: int = -1, last_only: bool = True
) -> np.ndarray:
    """Z + step P Z M (Z^T Q Z), cell by cell. own, following: the entries of Q; sources: how many, -1 = all but one."""
    d, size = len(Z) // 2, Z.shape[1]
    new = Z.copy()
    for j in range(size):
        key = own * Z[:d, j] + following * Z[d : 2 * d, j]
        for i in range(size - 1 if sources < 0 else sources):
            weight = step * float(Z[:d, i] @ key)
            new[2 * d if last_only else slice(None), j] += weight * Z[2 * d if last_only else slice(None), i]
    return new


def _exchanged(Z: np.ndarray, step: float) -> np.ndarray:
    """With the weights transposed: query's features against the source's differences."""
    d = len(Z) // 2
    weights = (Z[d : 2 * d] - Z[:d]).T @ Z[:d]
    weights[-1] = 0.0
    new = Z.copy()
    new[-1] += step * Z[-1] @ weights
    return new


def _reading_new_cells(Z: np.ndarray, step: float, order: str) -> np.ndarray:
    """Loops that read the errors from the matrix they are writing: cell by cell (two orders) or column by column."""
    d, size, new = len(Z) // 2, Z.shape[1], Z.copy()
    weights = Z[:d].T @ (Z[d : 2 * d] - Z[:d])
    if order == "columns":
        for j in range(size):
            new[-1, j] += step * float(new[-1, :-1] @ weights[:-1, j])
        return new
    for a in range(size):
        for b in range(size):
            i, j = (b, a) if order == "readers first" else (a, b)
            if i < size - 1:
                new[-1, j] += step * new[-1, i] * weights[i, j]
    return new


def _layer_mistakes(Z: np.ndarray, alpha: float) -> list[Mistake]:
    d, n, right = len(Z) // 2, Z.shape[1] - 1, _layer(Z, alpha / (Z.shape[1] - 1))
    weights = Z[:d].T @ (Z[d : 2 * d] - Z[:d])  # row = source, column = reader
    deaf, full, turned = _layer(Z, alpha / n, sources=n + 1), Z.copy(), Z.copy()
    deaf[-1, -1] = Z[-1, -1]
    full[-1] += alpha / n * Z[-1, :n] @ np.outer(Z[:d, :n].sum(axis=0), (Z[d : 2 * d] - Z[:d]).sum(axis=0))
    turned[-1] += alpha / n * np.vstack([weights[:n], 0 * weights[:1]]) @ Z[-1]
    stale = "the loop reads errors that it has already changed. Read from Z, write into a copy."
    loops = [_reading_new_cells(Z, alpha / n, order) for order in ("readers first", "sources first", "columns")]
    return [
        *(Mistake(loop, stale) for loop in loops),
        Mistake(_layer(Z, alpha), "1/n is missing: the step is alpha / n."),
        Mistake(_layer(Z, alpha / (n + 1)), "divided by n + 1: n counts the transitions, not the query column."),
        Mistake(_layer(Z, alpha / n, sources=n + 1), "the query is not masked: M makes its weights as a source 0."),
        Mistake(2 * Z - right, "the sign of the update is turned: Q has -I for the state, +I for its successor."),
        Mistake(right - Z, "this is what the layer adds. It returns Z plus that."),
        Mistake(
            _layer(Z, alpha / n, last_only=False),
            "feature rows changed too: P hands over the last row only, zeros but for one 1.",
        ),
        Mistake(
            _layer(Z, alpha / n, following=0.0),
            "the successor is left out: Q needs +I right of -I, for rows d to 2d - 1.",
        ),
        Mistake(_layer(Z, 1 / n), "alpha has no effect: the step is alpha / n."),
        Mistake(deaf, "the mask hides the query as a reader. It stands left of the weights and clears their last ROW."),
        Mistake(full, "the blocks of Q are full of ones: they are -I and I, so that feature 0 meets feature 0 only."),
        Mistake(
            turned, "the sum runs over the readers: column j adds up the errors of all sources i with weights [i, j]."
        ),
        Mistake(
            _exchanged(Z, alpha / n),
            "source and query are exchanged, Q is transposed: -I and I stand in its first d ROWS.",
        ),
    ]


def check_linear_layer(linear_layer: Callable[..., Any]) -> None:
    """linear_layer(Z, alpha) -> (2d+1, n+1): Z + (alpha/n) P Z M (Z^T Q Z), for any last row."""
    rng = np.random.default_rng(603)
    for d, n, alpha in ((1, 3, 0.7), (3, 5, 0.4)):
        Z = rng.standard_normal((2 * d + 1, n + 1))
        tried = f"a prompt of {n} transitions with {d} features, alpha {alpha}"
        got = answer(linear_layer, _tensor(Z), alpha, tried=tried)
        hint = "follow the shapes: Z.T @ Q @ Z is (n+1, n+1), P @ Z @ M is (2d+1, n+1)."
        compare(got, _layer(Z, alpha / n), tried=tried, mistakes=_layer_mistakes(Z, alpha), hint=hint)
    passed("one linear layer, exact in every cell, with the query hidden and the step alpha / n")


def _linear_td(x: np.ndarray, following: np.ndarray, r: np.ndarray, alpha: float, n_layers: int) -> np.ndarray:
    """x(S_n)^T w after 0, 1, ..., n_layers iterations of batch linear TD; following: gamma x(S_k). (n_layers+1,)."""
    w, values = np.zeros(x.shape[1]), [0.0]
    for _ in range(n_layers):
        move = np.zeros_like(w)
        for k in range(len(r)):
            move += (r[k] + following[k] @ w - x[k] @ w) * x[k]
        w = w + alpha / len(r) * move
        values.append(float(x[-1] @ w))
    return np.array(values)


def _with_query_successor(x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, n_layers: int) -> np.ndarray:
    """Minus the query's last cell when its successor block holds gamma x_0, as `torch.roll` would leave it."""
    Z = np.vstack([x.T, gamma * np.roll(x, -1, axis=0).T, np.append(r, 0.0)])
    values = [0.0]
    for _ in range(n_layers):
        Z = _layer(Z, alpha / len(r))
        values.append(-Z[-1, -1])
    return np.array(values)


def _answer_mistakes(x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, n_layers: int) -> list[Mistake]:
    right = _linear_td(x, gamma * x[1:], r, alpha, n_layers)
    return [
        Mistake(-right, "the minus sign at the readout is missing: the query cell holds 0 + 0 - its value."),
        Mistake(
            _linear_td(x, x[1:], r, alpha, n_layers), "gamma is missing: the second block of a column is gamma x(S_k)."
        ),
        Mistake(
            _linear_td(x, gamma * x[:-1], r, alpha, n_layers),
            "off by one: next to x(S_{k-1}) belongs gamma x(S_k), features[1:].",
        ),
        Mistake(
            _with_query_successor(x, r, gamma, alpha, n_layers),
            "the query column got a successor (torch.roll?): nothing follows the query, so zeros.",
        ),
        Mistake(
            np.zeros(n_layers + 1),
            "all answers are 0. Either the query column is empty (its first d rows hold features[-1]), or the layer's "
            "result was not kept: `Z = linear_layer(Z, alpha)`.",
        ),
        Mistake(right[1:], "layer 0 is missing: record the answer before the first layer too."),
        Mistake(right[:-1], "the last layer is missing: n_layers layers give n_layers + 1 answers."),
        Mistake(right[-1], "this is the last answer alone; return those of all layers, layer 0 first."),
    ]


def check_linear_answers(linear_answers: Callable[..., Any]) -> None:
    """linear_answers(features, rewards, gamma, alpha, n_layers) -> (n_layers+1,): the query's value, layer by layer."""
    rng = np.random.default_rng(604)
    for n, d, gamma, alpha, depth in ((4, 2, 0.5, 0.6, 3), (7, 3, 0.9, 0.3, 5)):
        x, r = rng.standard_normal((n + 1, d)), rng.standard_normal(n)
        right = _linear_td(x, gamma * x[1:], r, alpha, depth)
        tried = f"{n} transitions, {d} features, gamma {gamma}, alpha {alpha}, {depth} layers"
        got = answer(linear_answers, _tensor(x), _tensor(r), gamma, alpha, depth, tried=tried)
        if isinstance(got, (list, tuple)):
            got = [float(value) for value in got]
        mistakes = _answer_mistakes(x, r, gamma, alpha, depth)
        hint = "build Z of shape (2d+1, n+1), apply your linear_layer, and record -Z[-1, -1] each time."
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("a stack of linear layers is batch linear TD, read with a minus")


def _three_answers(x: np.ndarray, r: np.ndarray, copies: Sequence[int], beta: float) -> np.ndarray:
    """Plain sum, mean and softmax average of the rewards, as the query hears them. (3,)."""
    total, powers, heard = 0.0, 0.0, 0.0
    top = max(beta * float(x[k] @ x[-1]) for k in range(len(r)))
    for k, count in enumerate(copies):
        score = float(x[k] @ x[-1])
        power = count * math.exp(beta * score - top)
        total, powers, heard = total + count * score * r[k], powers + power, heard + power * r[k]
    return np.array([total, total / sum(copies), heard / powers])


def _copies_mistakes(x: np.ndarray, r: np.ndarray, copies: np.ndarray, beta: float) -> list[Mistake]:
    plain, mean, soft = right = _three_answers(x, r, copies.tolist(), beta)
    n, scores = len(r), x[:-1] @ x[-1]
    once = _three_answers(x, r, [1] * n, beta)
    powers = np.exp(beta * scores)
    too_loud = powers / powers.sum() * copies @ r
    unmasked = np.append(copies * powers, np.exp(beta * x[-1] @ x[-1])) @ np.append(r, 0.0)
    unmasked = unmasked / ((copies * powers).sum() + np.exp(beta * x[-1] @ x[-1]))
    return [
        Mistake(once, "copies has no effect: repeat each source as often as it says."),
        Mistake([plain, plain / n, soft], "the mean still divides by the old n; count the repeated transitions."),
        Mistake(
            [plain, mean, too_loud],
            "copies multiplied the finished weights, so they no longer sum to 1: repeat first, then softmax.",
        ),
        Mistake(
            [plain, mean, unmasked],
            "the query counts as a source: it belongs in the last column, which attention_weights hides.",
        ),
        Mistake(
            [beta * plain, beta * mean, soft],
            "beta belongs to the softmax alone; the linear answers use plain inner products.",
        ),
        Mistake(right[[2, 1, 0]], "the order is turned: plain sum, mean, softmax."),
        Mistake([plain, mean, once[2]], "the softmax does not see the copies: it must run over the repeated sources."),
    ]


def check_answers_with_copies(answers_with_copies: Callable[..., Any]) -> None:
    """answers_with_copies(features, rewards, copies, beta) -> (3,): plain sum, mean, softmax in layer 1."""
    rng = np.random.default_rng(605)
    for copies, d, beta in (([3, 1, 1, 2], 2, 1.6), ([1, 1, 7], 3, 0.5), ([2, 2, 2, 2, 2], 2, 2.5)):
        x, r = rng.standard_normal((len(copies) + 1, d)), rng.standard_normal(len(copies))
        tried = f"copies {copies}, {d} features, beta {beta}"
        got = answer(answers_with_copies, _tensor(x), _tensor(r), torch.tensor(copies), beta, tried=tried)
        if isinstance(got, (list, tuple)):
            got = [float(value) for value in got]
        mistakes = _copies_mistakes(x, r, np.array(copies), beta)
        hint = "repeat sources and rewards first (torch.repeat_interleave), then compute all three."
        compare(got, _three_answers(x, r, copies, beta), tried=tried, mistakes=mistakes, hint=hint)
    passed("a sum grows with every copy, a mean and a softmax only with the share")
