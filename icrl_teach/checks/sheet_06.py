"""Checks of sheet 06: averages of tokens, masked softmax attention, the linear layer, its answers, repeated context."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.check import Case, Check, case


def tensors(value: Any) -> Any:
    """What a learner gets: an array becomes a tensor."""
    return torch.as_tensor(value) if isinstance(value, np.ndarray) else value


def _token_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{columns} tokens of {rows} rows each",
            *(rng.standard_normal((rows, columns)), rng.dirichlet(np.ones(columns), size=columns).T),
        )
        for rows, columns in ((4, 4), (3, 5))
    ]


def _average(Z: np.ndarray, E: np.ndarray) -> np.ndarray:
    size = range(Z.shape[1])
    return np.array([[sum(row[i] * E[i, j] for i in size) for j in size] for row in Z])


check_average_tokens = Check(
    name="average_tokens",
    cases=_token_cases,
    right=_average,
    give=tensors,
    mistakes=[
        (
            "you used the rows of E. The shares of query j stand in COLUMN j: no transpose.",
            lambda Z, E: _average(Z, E.T),
        ),
        (
            "the numbers are right, but as rows. In this course a token is a column, also afterwards.",
            lambda Z, E: _average(Z, E).T,
        ),
        (
            "divided once too often: each column of E sums to 1 already.",
            lambda Z, E: _average(Z, E) / Z.shape[1],
            lambda Z, E: _average(Z, E) / len(Z),
        ),
        ("E stands on the wrong side: E @ Z mixes rows, Z @ E mixes tokens.", lambda Z, E: E @ Z),
        ("`*` multiplies cell by cell; a weighted sum of columns is the matrix product `@`.", lambda Z, E: Z * E),
    ],
    hint="column j of the result is `Z @ E[:, j]`, for all j.",
    says="every column of the result is a weighted average of tokens",
)


def _weight_cases(rng: np.random.Generator) -> list[Case]:
    """Large scores last: they overflow, and among very negative ones a finite mask hides nobody."""
    return [
        *(
            case(f"{n + 1} tokens with {d} features, beta = {beta}", rng.standard_normal((d, n + 1)), beta)
            for d, n, beta in ((2, 3, 1.7), (3, 6, 0.6))
        ),
        case("4 tokens with 1 feature, beta = 1, scores up to 1600", np.array([[30.0, 26.0, 29.5, -40.0]]), 1.0),
        case("4 tokens with 1 feature, beta = 1, scores of -1e10", 1e5 * np.array([[1.0, 0.9, 0.95, -1.0]]), 1.0),
    ]


def _attention(X: np.ndarray, beta: float, mask: str = "row -inf", low: float = 0.0) -> np.ndarray:
    """Softmax attention, one query column after the other, in plain loops. (d, n+1) -> (n+1, n+1)."""
    size = X.shape[1]
    E = np.zeros((size, size))
    for j in range(size):
        scores = [beta * float(X[:, i] @ X[:, j]) for i in range(size)]
        hidden = {"row -inf": True, "own cell": j == size - 1, "row and column": True}.get(mask, False)
        if hidden:
            scores[-1] = -math.inf
        if mask == "score":
            scores[-1] = low
        if mask in ("row and column", "column") and j == size - 1:
            E[:, j] = math.nan
            continue
        powers = [math.exp(g - max(scores)) for g in scores]
        E[:, j] = [p / sum(powers) for p in powers]
        if mask == "late":
            E[-1, j] = 0.0
    return E


def _causal(X: np.ndarray, beta: float) -> np.ndarray:
    """Sources up to the query's place only, each column divided by its new sum."""
    E = np.triu(right := _attention(X, beta))
    E = E / E.sum(axis=0)
    E[:, -1] = right[:, -1]
    return E


def _along_rows(last: float) -> Callable[[np.ndarray, float], np.ndarray]:
    """Scores are symmetric, so a softmax along rows is the transpose; the masked row is NaN, or cleared later."""

    def weights(X: np.ndarray, beta: float) -> np.ndarray:
        E = _attention(X, beta, "none").T.copy()
        E[-1] = last
        return E

    return weights


def _hidden_late(X: np.ndarray, beta: float) -> np.ndarray:
    """Right on paper; 0 / 0 once the others underflowed."""
    E = _attention(X, beta, "late")
    return E / E.sum(axis=0)


def _overflowing(X: np.ndarray, beta: float) -> np.ndarray:
    powers = np.exp(beta * X.T @ X)
    powers[-1] = 0.0
    return powers / powers.sum(axis=0)


check_attention_weights = Check(
    name="attention_weights",
    cases=_weight_cases,
    right=_attention,
    give=tensors,
    mistakes=[
        (
            "softmax ran over the queries, along each row. Each query shares out 1 over its sources: dim=0.",
            *(_along_rows(last) for last in (math.nan, 0.0)),
            lambda X, beta: _attention(X, beta, "none").T,
        ),
        (
            "this is E transposed: the layout with tokens in rows. Here E[source, query]: last ROW zero.",
            lambda X, beta: _attention(X, beta).T,
        ),
        (
            "a score of 0 hides nobody, since e^0 = 1. To hide a source its score must be -inf.",
            partial(_attention, mask="score", low=0.0),
        ),
        (
            "a low score hides nobody when the other scores are lower still. Use -torch.inf.",
            *(partial(_attention, mask="score", low=low) for low in (-100.0, -1e3, -2e3, -1e4, -1e5, -1e6, -1e9)),
        ),
        (
            "the query is not masked, but it has no reward to tell: set its row of scores to -inf.",
            partial(_attention, mask="none"),
        ),
        (
            "the mask came after the softmax, so columns no longer sum to 1. Mask the scores, then softmax.",
            partial(_attention, mask="late"),
        ),
        (
            "only the query's own cell is hidden; it is no source for anyone, so mask its whole row.",
            partial(_attention, mask="own cell"),
        ),
        (
            "the query's large score was in the softmax before it was hidden, so the others underflowed and 0 / 0 is "
            "nan. Mask the scores first.",
            _hidden_late,
        ),
        (
            "you hid the last column too. The query may listen; only as a source, a row, is it hidden.",
            partial(_attention, mask="row and column"),
        ),
        (
            "you masked the query's column, so it hears nobody. Its row of scores, scores[-1], is to be hidden.",
            partial(_attention, mask="column"),
        ),
        ("beta has no effect: it multiplies every score.", lambda X, beta: _attention(X, 1.0)),
        ("a causal mask crept in; here a token may listen to later ones too. Only the query is hidden.", _causal),
        (
            "you compared features with features: X @ X.T. Tokens are columns, so X.T @ X.",
            lambda X, beta: _attention(X.T, beta),
        ),
        (
            "1/sqrt(d) crept in, PyTorch's default; here beta alone sets the scale.",
            lambda X, beta: _attention(X, beta / math.sqrt(len(X))),
        ),
        (
            "the row of the query is missing. Keep it, full of zeros, so that Z @ E works.",
            lambda X, beta: _attention(X, beta)[:-1],
        ),
        ("exp overflowed, inf / inf: use torch.softmax, or subtract each column's largest score.", _overflowing),
    ],
    hint="scores beta * X.T @ X, last row to -inf, then a softmax over dim=0.",
    says="every column sums to 1, the query is no source, and large scores do no harm",
)


def _layer_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"a prompt of {n} transitions with {d} features, alpha = {alpha}",
            *(rng.standard_normal((2 * d + 1, n + 1)), alpha),
        )
        for d, n, alpha in ((1, 3, 0.7), (3, 5, 0.4))
    ]


def _layer(
    Z: np.ndarray,
    alpha: float,
    own: float = -1.0,
    following: float = 1.0,
    query_teaches: bool = False,
    last_only: bool = True,
    divide: Callable[[int], float] = float,
) -> np.ndarray:
    """Z + (alpha/n) P Z M (Z^T Q Z), cell by cell. own, following: the entries of Q; the rest are usual mistakes."""
    d, n = len(Z) // 2, Z.shape[1] - 1
    new, rows = Z.copy(), 2 * d if last_only else slice(None)
    for j in range(n + 1):
        difference = own * Z[:d, j] + following * Z[d : 2 * d, j]
        for i in range(n + query_teaches):
            new[rows, j] += alpha / divide(n) * float(Z[:d, i] @ difference) * Z[rows, i]
    return new


def _with_weights(change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray, float], np.ndarray]:
    """The layer with other weights, made of (features, differences), rows = sources, columns = queries."""

    def layer(Z: np.ndarray, alpha: float) -> np.ndarray:
        d, n, new = len(Z) // 2, Z.shape[1] - 1, Z.copy()
        weights = change(Z[:d], Z[d : 2 * d] - Z[:d])
        weights[-1] = 0.0
        new[-1] += alpha / n * Z[-1] @ weights
        return new

    return layer


def _turned(Z: np.ndarray, alpha: float) -> np.ndarray:
    """The sum over the queries instead of the sources."""
    d, n, new = len(Z) // 2, Z.shape[1] - 1, Z.copy()
    weights = Z[:d].T @ (Z[d : 2 * d] - Z[:d])
    weights[-1] = 0.0
    new[-1] += alpha / n * weights @ Z[-1]
    return new


def _deaf(Z: np.ndarray, alpha: float) -> np.ndarray:
    new = _layer(Z, alpha, query_teaches=True)
    new[-1, -1] = Z[-1, -1]
    return new


def _reading_new_cells(Z: np.ndarray, alpha: float, order: str) -> np.ndarray:
    """Loops that read errors from the matrix they are writing: cell by cell (two orders) or column by column."""
    d, size, new = len(Z) // 2, Z.shape[1], Z.copy()
    step, weights = alpha / (size - 1), Z[:d].T @ (Z[d : 2 * d] - Z[:d])
    if order == "columns":
        for j in range(size):
            new[-1, j] += step * float(new[-1, :-1] @ weights[:-1, j])
        return new
    for a in range(size):
        for b in range(size):
            i, j = (b, a) if order == "queries first" else (a, b)
            if i < size - 1:
                new[-1, j] += step * new[-1, i] * weights[i, j]
    return new


check_linear_layer = Check(
    name="linear_layer",
    cases=_layer_cases,
    right=_layer,
    give=tensors,
    mistakes=[
        (
            "the loop reads errors that it has already changed. Read from Z, write into a copy.",
            *(partial(_reading_new_cells, order=order) for order in ("queries first", "sources first", "columns")),
        ),
        ("1/n is missing: the step is alpha / n.", partial(_layer, divide=lambda n: 1)),
        (
            "divided by n + 1: n counts the transitions, not the query column.",
            partial(_layer, divide=lambda n: n + 1),
        ),
        ("the query is not masked: M makes its weights as a source 0.", partial(_layer, query_teaches=True)),
        (
            "the sign of the update is turned: Q has -I for the state, +I for its successor.",
            lambda Z, alpha: _layer(Z, -alpha),
        ),
        ("this is what the layer adds. It returns Z plus that.", lambda Z, alpha: _layer(Z, alpha) - Z),
        (
            "feature rows changed too: P hands over the last row only, zeros but for one 1.",
            partial(_layer, last_only=False),
        ),
        (
            "the successor is left out: Q needs +I right of -I, for rows d to 2d - 1.",
            partial(_layer, following=0.0),
        ),
        ("alpha has no effect: the step is alpha / n.", lambda Z, alpha: _layer(Z, 1.0)),
        ("the mask keeps the query from hearing. It stands left of the weights and clears their last ROW.", _deaf),
        (
            "the blocks of Q are full of ones: they are -I and I, so that feature 0 meets feature 0 only.",
            _with_weights(lambda x, difference: np.outer(x.sum(axis=0), difference.sum(axis=0))),
        ),
        (
            "the sum runs over the queries: column j adds up the errors of all sources i with weights [i, j].",
            _turned,
        ),
        (
            "source and query are exchanged, Q is transposed: -I and I stand in its first d ROWS.",
            _with_weights(lambda x, difference: difference.T @ x),
        ),
    ],
    hint="follow the shapes: Z.T @ Q @ Z is (n+1, n+1), P @ Z @ M is (2d+1, n+1).",
    says="one linear layer, exact in every cell, with the query hidden and the step alpha / n",
)


def _answer_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{n} transitions, {d} features, gamma = {gamma}, alpha = {alpha}, {depth} layers",
            *(rng.standard_normal((n + 1, d)), rng.standard_normal(n), gamma, alpha, depth),
        )
        for n, d, gamma, alpha, depth in ((4, 2, 0.5, 0.6, 3), (7, 3, 0.9, 0.3, 5))
    ]


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


def _answers(x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, n_layers: int) -> np.ndarray:
    return _linear_td(x, gamma * x[1:], r, alpha, n_layers)


def _with_query_successor(x: np.ndarray, r: np.ndarray, gamma: float, alpha: float, n_layers: int) -> np.ndarray:
    """Minus the query's last cell when its successor block holds gamma x_0, as `torch.roll` would leave it."""
    Z = np.vstack([x.T, gamma * np.roll(x, -1, axis=0).T, np.append(r, 0.0)])
    values = [0.0]
    for _ in range(n_layers):
        Z = _layer(Z, alpha)
        values.append(-Z[-1, -1])
    return np.array(values)


check_linear_answers = Check(
    name="linear_answers",
    cases=_answer_cases,
    right=_answers,
    give=tensors,
    mistakes=[
        (
            "the minus sign at the readout is missing: the query cell holds 0 + 0 - its value.",
            lambda *a: -_answers(*a),
        ),
        (
            "gamma is missing: the second block of a column is gamma x(S_k).",
            lambda x, r, gamma, *rest: _linear_td(x, x[1:], r, *rest),
        ),
        (
            "off by one: next to x(S_{k-1}) belongs gamma x(S_k), features[1:].",
            lambda x, r, gamma, *rest: _linear_td(x, gamma * x[:-1], r, *rest),
        ),
        (
            "the query column got a successor (torch.roll?): nothing follows the query, so zeros.",
            _with_query_successor,
        ),
        (
            "all answers are 0. Either the query column is empty (its first d rows hold features[-1]), or the layer's "
            "result was not kept: `Z = linear_layer(Z, alpha)`.",
            lambda x, r, gamma, alpha, n_layers: np.zeros(n_layers + 1),
        ),
        ("layer 0 is missing: record the answer before the first layer too.", lambda *a: _answers(*a)[1:]),
        ("the last layer is missing: n_layers layers give n_layers + 1 answers.", lambda *a: _answers(*a)[:-1]),
        ("this is the last answer alone; return those of all layers, layer 0 first.", lambda *a: _answers(*a)[-1]),
    ],
    hint="build Z of shape (2d+1, n+1), apply your linear_layer, and record -Z[-1, -1] each time.",
    says="a stack of linear layers is batch linear TD, read with a minus",
    needs=[check_linear_layer],
)


def _copies_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"copies {copies}, {d} features, beta = {beta}",
            *(rng.standard_normal((len(copies) + 1, d)), rng.standard_normal(len(copies)), np.array(copies), beta),
        )
        for copies, d, beta in (([3, 1, 1, 2], 2, 1.6), ([1, 1, 7], 3, 0.5), ([2, 2, 2, 2, 2], 2, 2.5))
    ]


def _three_answers(x: np.ndarray, r: np.ndarray, copies: np.ndarray, beta: float) -> np.ndarray:
    """Plain sum, mean and softmax average of the rewards, as the query hears them. (3,)."""
    total, powers, heard = 0.0, 0.0, 0.0
    for k, count in enumerate(copies.tolist()):
        score = float(x[k] @ x[-1])
        power = count * math.exp(beta * score)
        total, powers, heard = total + count * score * r[k], powers + power, heard + power * r[k]
    return np.array([total, total / copies.sum(), heard / powers])


def _once(x: np.ndarray, r: np.ndarray, copies: np.ndarray, beta: float) -> np.ndarray:
    return _three_answers(x, r, np.ones_like(copies), beta)


def _softmax(of: Callable[[np.ndarray, np.ndarray, np.ndarray, float], float]) -> Callable[..., np.ndarray]:
    """The right sum and mean, with another third answer."""
    return lambda x, r, copies, beta: np.append(_three_answers(x, r, copies, beta)[:2], of(x, r, copies, beta))


def _too_loud(x: np.ndarray, r: np.ndarray, copies: np.ndarray, beta: float) -> float:
    powers = np.exp(beta * x[:-1] @ x[-1])
    return powers / powers.sum() * copies @ r


def _unmasked(x: np.ndarray, r: np.ndarray, copies: np.ndarray, beta: float) -> float:
    powers = np.append(copies, 1) * np.exp(beta * x @ x[-1])
    return powers[:-1] @ r / powers.sum()


check_answers_with_copies = Check(
    name="answers_with_copies",
    cases=_copies_cases,
    right=_three_answers,
    give=tensors,
    mistakes=[
        ("copies has no effect: repeat each source as often as it says.", _once),
        (
            "the mean still divides by the old n; count the repeated transitions.",
            lambda x, r, copies, beta: _three_answers(x, r, copies, beta) * [1.0, copies.sum() / len(r), 1.0],
        ),
        (
            "copies multiplied the finished weights, so they no longer sum to 1: repeat first, then softmax.",
            _softmax(_too_loud),
        ),
        (
            "the query counts as a source: it belongs in the last column, which attention_weights hides.",
            _softmax(_unmasked),
        ),
        (
            "beta belongs to the softmax alone; the linear answers use plain inner products.",
            lambda x, r, copies, beta: _three_answers(x, r, copies, beta) * [beta, beta, 1.0],
        ),
        ("the order is turned: plain sum, mean, softmax.", lambda *a: _three_answers(*a)[::-1]),
        (
            "the softmax does not see the copies: it must run over the repeated sources.",
            _softmax(lambda *a: _once(*a)[2]),
        ),
    ],
    hint="repeat sources and rewards first (torch.repeat_interleave), then compute all three.",
    says="a sum grows with every copy, a mean and a softmax only with the share",
    needs=[check_attention_weights],
)
