"""Checks of sheet 07: prompt, A, V, attention, time shift, one layer, the network, the second head. Plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.check import Case, Check, case
from icrl_teach.checks.sheet_06 import tensors

TENSOR = torch.zeros(1, dtype=torch.float64)  # the kind of result where only numbers go in


def _u(d: int) -> np.ndarray:
    """(d+3,): 1 at the reward, 1 at target memory, -1 at value memory."""
    return np.array([0.0] * d + [1.0, 1.0, -1.0])


def _prompt_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{n} transitions with {d} features", rng.standard_normal((n + 1, d)), rng.standard_normal(n))
        for n, d in ((3, 2), (2, 1), (5, 4))
    ]


def _prompt(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    n, d = len(r), x.shape[1]
    Z = np.zeros((d + 3, n + 1))
    for j in range(n + 1):
        Z[:d, j] = x[j]
        Z[d, j] = r[j] if j < n else 0.0
    return Z


def _edited(original: Callable, edit: Callable[..., Any]) -> Callable:
    """The right matrix after an edit in place: what several mistakes come down to."""

    def wrong(*args: Any) -> np.ndarray:
        Z = original(*args)
        edit(Z, *args)
        return Z

    return wrong


def _late(Z: np.ndarray, x: np.ndarray, r: np.ndarray) -> None:
    Z[-3] = np.append(0.0, r)


def _rewarded_query(Z: np.ndarray, x: np.ndarray, r: np.ndarray) -> None:
    Z[-3, -1] = r[-1]


def _in_value_memory(Z: np.ndarray, x: np.ndarray, r: np.ndarray) -> None:
    Z[[-3, -1]] = Z[[-1, -3]]


def _featureless_query(Z: np.ndarray, x: np.ndarray, r: np.ndarray) -> None:
    Z[:-3, -1] = 0.0


def _reshaped(Z: np.ndarray, x: np.ndarray, r: np.ndarray) -> None:
    Z[:-3] = x.reshape(x.shape[1], len(x))


check_prompt = Check(
    name="prompt",
    cases=_prompt_cases,
    right=_prompt,
    give=tensors,
    mistakes=[
        (
            "the layout is transposed: a token is a column, so features enter as features.T.",
            lambda x, r: _prompt(x, r).T,
        ),
        (
            "features were reshaped, which mixes states. features.T turns rows into columns.",
            _edited(_prompt, _reshaped),
        ),
        (
            "rewards are misaligned by one: column j holds R_{j+1}, paid on leaving S_j; none for the last.",
            _edited(_prompt, _late),
        ),
        (
            "the query column carries a reward; S_n has not been left yet, so that cell stays 0.",
            _edited(_prompt, _rewarded_query),
        ),
        ("the rewards stand in the last row, value memory; row d is theirs.", _edited(_prompt, _in_value_memory)),
        (
            "the query has no features: it has no reward, but it is a state, and it must find its like.",
            _edited(_prompt, _featureless_query),
        ),
        (
            "the two memory rows are missing: below the rewards come two rows of zeros.",
            lambda x, r: _prompt(x, r)[:-2],
        ),
    ],
    hint="start from zeros of shape (d+3, n+1), then fill the feature rows and the reward row.",
    says="every number stands where the layout wants it, and the query's future is empty",
)


def _size_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"d = {d} and {number:.2g}", d, float(number))
        for d, number in zip((2, 4), rng.uniform(1.3, 1.9, 2), strict=True)
    ]


def _score_matrix(d: int, beta: float) -> np.ndarray:
    A = np.zeros((d + 3, d + 3))
    for i in range(d):
        A[i, i] = beta
    return A


def _full_block(A: np.ndarray, d: int, beta: float) -> None:
    A[:d, :d] = beta


check_score_matrix = Check(
    name="score_matrix",
    cases=_size_cases,
    right=_score_matrix,
    give=tensors,
    like=TENSOR,
    mistakes=[
        (
            "A touches the reward and memory rows; only features say who is alike.",
            lambda d, beta: beta * np.eye(d + 3),
        ),
        ("beta has no effect: it is the number on the diagonal.", lambda d, beta: _score_matrix(d, 1.0)),
        ("you divide by beta, the inverse temperature; it multiplies.", lambda d, beta: _score_matrix(d, 1.0 / beta)),
        (
            "the block is full: entry [0, 1] would compare feature 0 with feature 1. Use the identity.",
            _edited(_score_matrix, _full_block),
        ),
        (
            "the block sits at the bottom right; features are the first d rows.",
            lambda d, beta: _score_matrix(d, beta)[::-1, ::-1],
        ),
        (
            "the sign is turned: alike states must get a high score, not a low one.",
            lambda d, beta: _score_matrix(d, -beta),
        ),
        (
            "a Transformer's habit, 1/sqrt(d), crept in; here beta sets the scale alone.",
            lambda d, beta: _score_matrix(d, beta / math.sqrt(d)),
        ),
        ("this is the feature block alone; A has all d+3 rows and columns.", lambda d, beta: beta * np.eye(d)),
    ],
    hint="zeros, then beta times the identity in [:d, :d].",
    says="A compares features, and nothing else",
)


def _value_matrix(d: int, alpha: float) -> np.ndarray:
    V = np.zeros((d + 3, d + 3))
    for i in range(d + 3):
        V[d + 2, i] = alpha * _u(d)[i]
    return V


def _writing(row: int | slice, reads: tuple[float, float, float] = (1.0, 1.0, -1.0)) -> Callable:
    """V that writes into another row, or reads other memories."""

    def wrong(d: int, alpha: float) -> np.ndarray:
        V = np.zeros((d + 3, d + 3))
        V[row, d:] = alpha * np.array(reads)
        return V

    return wrong


def _minus_one(V: np.ndarray, d: int, alpha: float) -> None:
    V[-1, -1] = -1.0


check_value_matrix = Check(
    name="value_matrix",
    cases=_size_cases,
    right=_value_matrix,
    give=tensors,
    like=TENSOR,
    mistakes=[
        ("the whole sign is turned: u is reward plus target minus value.", lambda d, alpha: _value_matrix(d, -alpha)),
        ("the own value must be subtracted: the last entry of u is -1.", _writing(-1, (1.0, 1.0, 1.0))),
        ("target and value are exchanged: + target memory, - value memory.", _writing(-1, (1.0, -1.0, 1.0))),
        ("target memory is not read: u needs +1 in place d+1.", _writing(-1, (1.0, 0.0, -1.0))),
        (
            "V is transposed: the row is where it writes, the columns are what it reads.",
            lambda d, alpha: _value_matrix(d, alpha).T,
        ),
        ("V writes into target memory; the errors belong to the last row.", _writing(-2)),
        ("V writes into the reward row, and would change what was observed.", _writing(-3)),
        ("V writes into every row; only its last row is not 0.", _writing(slice(None))),
        ("alpha has no effect: it multiplies u.", lambda d, alpha: _value_matrix(d, 1.0)),
        (
            "alpha multiplies all of u: the last entry of the row is -alpha, not -1.",
            _edited(_value_matrix, _minus_one),
        ),
        (
            "this is the vector alpha u alone; V is a matrix with that vector as its last row.",
            lambda d, alpha: alpha * _u(d),
        ),
    ],
    hint="zeros of shape (d+3, d+3), then one row: alpha u.",
    says="V turns each column into its TD error and writes into value memory alone",
)


def _attention_cases(rng: np.random.Generator) -> list[Case]:
    """Also scores of 800, which overflow, and scores that are all very low, where a finite mask hides nobody."""
    cases = [
        case(
            f"{n} sources and the query, with a random A",
            *(rng.standard_normal((d + 3, n + 1)), 0.6 * rng.standard_normal((d + 3, d + 3))),
        )
        for d, n in ((1, 3), (3, 5))
    ]
    alike, unlike = rng.standard_normal((2, 5, 4))
    A_alike, A_unlike = np.zeros((2, 5, 5))
    alike[0], A_alike[0, 0] = [30.0, 29.0, 29.9, 28.0], 1.0
    unlike[:2], A_unlike[0, 1] = [[1.0, 1.001, 0.998, 0.0], [0.0, 0.0, 0.0, 1.0]], -1e10
    return [
        *cases,
        case("3 sources and the query, with scores of 800", alike, A_alike),
        case("3 sources and the query, with scores of -1e10", unlike, A_unlike),
    ]


def _scores(Z: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Row i, column j: z_i^T A z_j. (n+1, n+1)."""
    columns = Z.T.tolist()
    return np.array([[sum(a * float(b) for a, b in zip(zi, A @ zj, strict=True)) for zj in columns] for zi in columns])


def _attention(Z: np.ndarray, A: np.ndarray) -> np.ndarray:
    """One query after the other; the last column is no source. (n+1, n+1)."""
    g, n = _scores(Z, A), Z.shape[1] - 1
    E = np.zeros_like(g)
    for j in range(n + 1):
        exp = [math.exp(g[i, j] - g[:n, j].max()) for i in range(n)]
        for i in range(n):
            E[i, j] = exp[i] / sum(exp)
    return E


def _softmax(
    axis: int = 0,
    row: float | None = None,
    column: float | None = None,
    after: bool = False,
    corner: float | None = None,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Softmax along an axis, with a row or a column of scores (or, after it, of weights) replaced: usual mistakes."""

    def wrong(Z: np.ndarray, A: np.ndarray) -> np.ndarray:
        g = _scores(Z, A)
        g[-1] = row if row is not None and not after else g[-1]
        g[:, -1] = column if column is not None else g[:, -1]
        g[-1, -1] = corner if corner is not None else g[-1, -1]
        exp = np.exp(g - g.max(axis=axis, keepdims=True))
        E = exp / exp.sum(axis=axis, keepdims=True)
        E[-1] = row if after and row is not None else E[-1]
        return E

    return wrong


def _exponentials(Z: np.ndarray, A: np.ndarray) -> np.ndarray:
    exp = np.exp(_scores(Z, A))
    exp[-1] = 0.0
    return exp


check_attention = Check(
    name="attention",
    cases=_attention_cases,
    right=_attention,
    give=tensors,
    mistakes=[
        (
            "softmax runs over the queries, dim=1, so the masked row is NaN. Each query shares out 1: dim=0.",
            _softmax(axis=1, row=-np.inf),
        ),
        (
            "your rows sum to 1: a source shares itself out. Each query does: go down each column.",
            _softmax(axis=1, row=0.0, after=True),
            _softmax(axis=1),
        ),
        ("the query is unmasked: it has no reward, so its row of scores must be -inf.", _softmax()),
        (
            "you masked the query's column: the query must hear. Its row is what nobody may hear.",
            _softmax(column=-np.inf),
        ),
        (
            "only the query's own cell is hidden: all others still hear it. Its whole row of scores is -inf.",
            _softmax(corner=-np.inf),
        ),
        ("E is transposed: row i is the source, column j the query.", lambda Z, A: _attention(Z, A).T),
        (
            "the mask came after the softmax, so the columns no longer sum to 1; mask the scores.",
            _softmax(row=0.0, after=True),
        ),
        ("a score of 0 is no mask, exp(0) = 1. Use -torch.inf.", _softmax(row=0.0)),
        (
            "a low score hides nobody when all others are lower still. Use -torch.inf.",
            *(_softmax(row=low) for low in (-30.0, -100.0, -1e3, -1e4, -1e6, -1e9)),
        ),
        (
            "you divided by the sum of the whole matrix; each column needs its own sum.",
            lambda Z, A: _exponentials(Z, A) / _exponentials(Z, A).sum(),
        ),
        ("these are exponentials; divide each column by its sum.", _exponentials),
        (
            "exp overflowed, inf / inf: use torch.softmax, or subtract each column's largest score.",
            lambda Z, A: _exponentials(Z, A) / _exponentials(Z, A).sum(axis=0),
        ),
        (
            "A is used transposed: source i and query j score Z[:, i] @ A @ Z[:, j].",
            lambda Z, A: _attention(Z, A.T),
        ),
        ("A has no effect: the scores are Z.T @ A @ Z.", lambda Z, A: _attention(Z, np.eye(len(A)))),
    ],
    hint="scores Z.T @ A @ Z, the last row set to -inf, then softmax down each column.",
    says="each query shares out 1 among the sources, and the query at the end teaches nobody",
)


def _shift_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"a random matrix with {n + 1} columns, gamma = {gamma}", rng.standard_normal((d + 3, n + 1)), gamma)
        for d, n, gamma in ((1, 3, 0.5), (3, 5, 0.9))
    ]


def _shift(H: np.ndarray, gamma: float) -> np.ndarray:
    """Cell by cell. (d+3, n+1)."""
    Z, d, n = H.copy(), H.shape[0] - 3, H.shape[1] - 1
    for j in range(n + 1):
        Z[d + 1, j] = gamma * H[d + 2, j + 1] if j < n else 0.0
    return Z


def _refilled(with_row: Callable[[np.ndarray, float], Any]) -> Callable[[np.ndarray, float], np.ndarray]:
    """Another content of target memory."""

    def wrong(H: np.ndarray, gamma: float) -> np.ndarray:
        Z = H.copy()
        Z[-2] = with_row(H, gamma)
        return Z

    return wrong


def _empty_value(Z: np.ndarray, H: np.ndarray, gamma: float) -> None:
    Z[-1] = 0.0


def _all_rows(Z: np.ndarray, H: np.ndarray, gamma: float) -> None:
    Z[:-2], Z[-1] = _left(H[:-2]), _left(H[-1])


def _w_transposed(Z: np.ndarray, H: np.ndarray, gamma: float) -> None:
    Z[-2], Z[-1] = 0.0, H[-1] + gamma * _left(H[-2])


def _left(rows: np.ndarray) -> np.ndarray:
    """Each column receives its right neighbour's; the last becomes 0."""
    moved = np.zeros_like(rows)
    moved[..., :-1] = rows[..., 1:]
    return moved


check_time_shift = Check(
    name="time_shift",
    cases=_shift_cases,
    right=_shift,
    give=tensors,
    mistakes=[
        (
            "the shift goes the wrong way: column j needs the value of column j+1, its successor.",
            _refilled(lambda H, gamma: np.append(0.0, gamma * H[-1, :-1])),
        ),
        ("gamma is forgotten: target memory holds the discounted value.", lambda H, gamma: _shift(H, 1.0)),
        (
            "target memory is not cleared: replace its old content, don't add to it.",
            _refilled(lambda H, gamma: H[-2] + gamma * _left(H[-1])),
        ),
        (
            "the row wraps around: the query has no successor, its target memory is 0 (roll does that).",
            _refilled(lambda H, gamma: gamma * np.roll(H[-1], -1)),
        ),
        (
            "each column got its own value; it needs the value of the next column.",
            _refilled(lambda H, gamma: gamma * H[-1]),
        ),
        (
            "you shifted target memory itself; the new value stands in value memory, the last row.",
            _refilled(lambda H, gamma: gamma * _left(H[-2])),
        ),
        ("value memory is gone: read it, but leave it as it is.", _edited(_shift, _empty_value)),
        (
            "the last cell of target memory keeps its old content; nothing follows the query, so it is 0.",
            _refilled(lambda H, gamma: np.append(gamma * H[-1, 1:], H[-2, -1])),
        ),
        ("all rows moved to the left; only target memory changes.", _edited(_shift, _all_rows)),
        (
            "W is transposed: its row d+1 says where it writes, its column d+2 what it reads.",
            _edited(_shift, _w_transposed),
        ),
        ("nothing has changed: return the new matrix.", lambda H, gamma: H),
    ],
    hint="copy H, then overwrite row -2: gamma * H[-1, 1:] in all columns but the last, 0 in the last.",
    says="target memory is cleared and holds what the successor is worth now",
)


def _layer_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"a random Z with {n + 1} columns, random V and A, gamma = {gamma}",
            rng.standard_normal((d + 3, n + 1)),
            *(0.5 * rng.standard_normal((2, d + 3, d + 3))),
            gamma,
        )
        for d, n, gamma in ((1, 3, 0.5), (3, 5, 0.9))
    ]


def _added(Z: np.ndarray, V: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Z + V Z E."""
    return Z + V @ Z @ _attention(Z, A)


def _layer(Z: np.ndarray, V: np.ndarray, A: np.ndarray, gamma: float) -> np.ndarray:
    return _shift(_added(Z, V, A), gamma)


def _old_values(Z: np.ndarray, V: np.ndarray, A: np.ndarray, gamma: float) -> np.ndarray:
    H = _added(Z, V, A)
    H[-2] = _shift(Z, gamma)[-2]
    return H


check_layer = Check(
    name="layer",
    cases=_layer_cases,
    right=_layer,
    give=tensors,
    mistakes=[
        (
            "the residual is missing: H = Z + V Z E keeps what was there.",
            lambda Z, V, A, gamma: _shift(_added(Z, V, A) - Z, gamma),
        ),
        (
            "the time shift is missing: target memory is stale in the next layer.",
            lambda Z, V, A, gamma: _added(Z, V, A),
        ),
        (
            "the shift came first; it must see the new values, so it is last.",
            lambda Z, V, A, gamma: _added(_shift(Z, gamma), V, A),
        ),
        ("target memory was filled from the old values; shift H, not Z.", _old_values),
        (
            "E is turned round: V Z E mixes the sources of each column.",
            lambda Z, V, A, gamma: _shift(Z + V @ Z @ _attention(Z, A).T, gamma),
        ),
        (
            "V is missing: without it whole columns are mixed, not TD errors.",
            lambda Z, V, A, gamma: _layer(Z, np.eye(len(V)), A, gamma),
        ),
        ("a minus sign crept in: the layer adds V Z E.", lambda Z, V, A, gamma: _layer(Z, -V, A, gamma)),
        (
            "the query teaches here: use your own masked attention.",
            lambda Z, V, A, gamma: _shift(Z + V @ Z @ _softmax()(Z, A), gamma),
        ),
        ("the shift got no gamma.", lambda Z, V, A, gamma: _layer(Z, V, A, 1.0)),
    ],
    hint="three steps: E from attention, H = Z + V @ Z @ E, then time_shift(H, gamma).",
    says="attend, add, shift: a whole layer, for any weights",
    needs=[check_attention, check_time_shift],
)


def _network_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{depth} layers over {n} transitions, gamma = {gamma}, alpha = {alpha}, beta = {beta}",
            *(rng.standard_normal((n + 1, d)), rng.standard_normal(n), gamma, depth, alpha, beta),
        )
        for n, d, gamma, depth, alpha, beta in ((4, 2, 0.5, 3, 0.7, 1.6), (7, 3, 0.9, 6, 0.9, 2.0))
    ]


def _td(x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, alpha: float, beta: float) -> np.ndarray:
    """Weighted softmax TD from zero, in plain loops. (n_layers+1, n+1)."""
    K = _attention(x.T, beta * np.eye(x.shape[1]))
    values = [[0.0] * len(x)]
    for _ in range(n_layers):
        v = values[-1]
        delta = [r[k] + gamma * v[k + 1] - v[k] for k in range(len(r))]
        values.append([v[j] + alpha * sum(K[k, j] * delta[k] for k in range(len(r))) for j in range(len(x))])
    return np.array(values)


def _network(x: np.ndarray, r: np.ndarray, gamma: float, n_layers: int, alpha: float, beta: float) -> np.ndarray:
    return _td(x, r, gamma, n_layers, alpha, beta)[-1]


check_network = Check(
    name="network",
    cases=_network_cases,
    right=_network,
    give=tensors,
    mistakes=[
        (
            "all values are 0, as in the prompt. Was the layer's result kept? Write `Z = layer(Z, V, A, gamma)`.",
            lambda x, *rest: np.zeros(len(x)),
        ),
        ("a minus sign at the readout: this network's answer is + value memory.", lambda *a: -_network(*a)),
        ("this is the query's value alone; return value memory of all columns.", lambda *a: _network(*a)[-1]),
        (
            "one layer too few: apply the layer n_layers times.",
            lambda x, r, gamma, depth, *rest: _network(x, r, gamma, depth - 1, *rest),
        ),
        (
            "one layer too many: apply the layer n_layers times.",
            lambda x, r, gamma, depth, *rest: _network(x, r, gamma, depth + 1, *rest),
        ),
        (
            "you read target memory; the values stand in the last row.",
            lambda x, r, gamma, *rest: np.append(gamma * _network(x, r, gamma, *rest)[1:], 0.0),
        ),
        (
            "you read the reward row; the values stand in value memory.",
            lambda x, r, *rest: np.append(r, 0.0),
        ),
        (
            "alpha has no effect: hand it to value_matrix.",
            lambda x, r, gamma, depth, alpha, beta: _network(x, r, gamma, depth, 1.0, beta),
        ),
        (
            "beta has no effect: hand it to score_matrix.",
            lambda x, r, gamma, depth, alpha, beta: _network(x, r, gamma, depth, alpha, 1.0),
        ),
        (
            "alpha and beta are exchanged: V takes alpha, A takes beta.",
            lambda x, r, gamma, depth, alpha, beta: _network(x, r, gamma, depth, beta, alpha),
        ),
        ("these are the values of all layers; return those of the last one.", _td),
    ],
    hint="build the prompt, V and A once; apply layer n_layers times; return the last row.",
    says="your network is weighted softmax TD at every position: Theorem 1, by your own hands",
    needs=[check_prompt, check_value_matrix, check_score_matrix, check_layer],
)


def _dual_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"a random Z, alpha = {alpha}, beta = {beta}, gamma = {gamma}",
            *(rng.standard_normal((d + 3, n + 1)), alpha, beta, gamma),
        )
        for d, n, gamma, alpha, beta in ((1, 3, 0.5, 0.7, 1.6), (3, 5, 0.9, 1.2, 0.8))
    ]


def _dual(
    Z: np.ndarray,
    alpha: float,
    beta: float,
    gamma: float,
    second: Callable[[float, float], float] = lambda alpha, gamma: alpha * gamma,
    move: int = -1,
    row: int = -2,
    wraps: bool = False,
) -> np.ndarray:
    """Z plus a step in value memory plus a step, moved by `move` columns, in another row; cell by cell."""
    d, n, new = len(Z) - 3, Z.shape[1] - 1, Z.copy()
    step = _u(d) @ Z @ _attention(Z, _score_matrix(d, beta))
    for j in range(n + 1):
        new[-1, j] += alpha * step[j]
        if 0 <= j - move <= n or wraps:
            new[row, j] += second(alpha, gamma) * step[(j - move) % (n + 1)]
    return new


def _single(Z: np.ndarray, alpha: float, beta: float, gamma: float) -> np.ndarray:
    return _dual(Z, alpha, beta, 0.0)


def _moved_first(Z: np.ndarray, alpha: float, beta: float, gamma: float) -> np.ndarray:
    d, new = len(Z) - 3, _single(Z, alpha, beta, gamma)
    new[-2] += gamma * alpha * _left(_u(d) @ Z) @ _attention(Z, _score_matrix(d, beta))
    return new


def _chained(Z: np.ndarray, alpha: float, beta: float, gamma: float) -> np.ndarray:
    d, new = len(Z) - 3, _single(Z, alpha, beta, gamma)
    new[-2] += gamma * alpha * _left(_u(d) @ new @ _attention(Z, _score_matrix(d, beta)))
    return new


check_dual_layer = Check(
    name="dual_layer",
    cases=_dual_cases,
    right=_dual,
    give=tensors,
    mistakes=[
        ("Pi came before E: first the mean for each column, then the move. The order is V2 Z E Pi.", _moved_first),
        ("target memory has not moved: add the second head, V2 Z E Pi.", _single),
        (
            "this is the time shift, which clears target memory; a second head only adds.",
            lambda Z, alpha, beta, gamma: _shift(_single(Z, alpha, beta, gamma), gamma),
        ),
        ("Pi is missing: the step belongs one column to the left.", partial(_dual, move=0)),
        ("Pi points the wrong way: column j+1 goes to column j.", partial(_dual, move=1)),
        ("the first column's step landed in the query: Pi drops it (roll wraps around).", partial(_dual, wraps=True)),
        (
            "gamma is forgotten: V2 is gamma alpha in the row of target memory.",
            partial(_dual, second=lambda alpha, gamma: alpha),
        ),
        (
            "alpha is missing in V2: both heads take the same step.",
            partial(_dual, second=lambda alpha, gamma: gamma),
        ),
        ("V2 writes into value memory; its row is d+1, target memory.", partial(_dual, row=-1)),
        ("the second head read what the first had written; both read the same old Z.", _chained),
    ],
    hint="E from the old Z; then Z + V @ Z @ E + V2 @ Z @ E @ Pi, with Pi[j+1, j] = 1.",
    says="the second head tells each column its successor's step",
    needs=[check_value_matrix, check_score_matrix, check_attention],
)
