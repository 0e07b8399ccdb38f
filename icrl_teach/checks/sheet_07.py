"""Checks of sheet 07: a layer, what a wrong row answers, a row read from behaviour, a test of layers, a backward shift.

The oracles are plain loops in NumPy. The layers that a learner's test is tried on are written in torch, each with one
fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.check import Case, Check, case, graded_hints
from icrl_teach.checks.sheet_06 import tensors

TENSOR = torch.zeros(1, dtype=torch.float64)  # the kind of result where only numbers go in
Layer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


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


def _shift(H: np.ndarray, gamma: float) -> np.ndarray:
    """Cell by cell. (d+3, n+1)."""
    Z, d, n = H.copy(), H.shape[0] - 3, H.shape[1] - 1
    for j in range(n + 1):
        Z[d + 1, j] = gamma * H[d + 2, j + 1] if j < n else 0.0
    return Z


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


def _refilled(row: Callable[[np.ndarray, np.ndarray, float], Any]) -> Callable:
    """A layer with another content of target memory: row(H, Z, gamma)."""

    def wrong(Z: np.ndarray, V: np.ndarray, A: np.ndarray, gamma: float) -> np.ndarray:
        H = _added(Z, V, A)
        H[-2] = row(H.copy(), Z, gamma)
        return H

    return wrong


def _attending(attention: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable:
    """A layer with another attention."""
    return lambda Z, V, A, gamma: _shift(Z + V @ Z @ attention(Z, A), gamma)


check_layer = Check(
    name="layer",
    cases=_layer_cases,
    right=_layer,
    forbid=(
        "transformer:SoftmaxTransformer.layer",
        "transformer:SoftmaxTransformer.layers",
    ),
    give=tensors,
    mistakes=[
        (
            "the residual is missing: H = Z + V Z E keeps what was there.",
            lambda Z, V, A, gamma: _shift(_added(Z, V, A) - Z, gamma),
        ),
        ("the time shift is missing: target memory is stale in the next layer.", lambda Z, V, A, g: _added(Z, V, A)),
        (
            "the shift came first; it must see the new values, so it is last.",
            lambda Z, V, A, gamma: _added(_shift(Z, gamma), V, A),
        ),
        (
            "target memory was filled from the old values; shift H, not Z.",
            _refilled(lambda H, Z, gamma: _shift(Z, gamma)[-2]),
        ),
        (
            "target memory is not cleared: replace its old content, don't add to it.",
            _refilled(lambda H, Z, gamma: H[-2] + _shift(H, gamma)[-2]),
        ),
        (
            "the shift goes the wrong way: column j needs the value of column j+1, its successor.",
            _refilled(lambda H, Z, gamma: np.append(0.0, gamma * H[-1, :-1])),
        ),
        (
            "the row wraps around: the query has no successor, its target memory is 0 (roll does that).",
            _refilled(lambda H, Z, gamma: gamma * np.roll(H[-1], -1)),
        ),
        ("the shift got no gamma.", lambda Z, V, A, gamma: _layer(Z, V, A, 1.0)),
        (
            "E is turned round: row i is the source, column j the query.",
            _attending(lambda Z, A: _attention(Z, A).T),
        ),
        (
            "softmax runs over the queries, dim=1, so the masked row is NaN. Each query shares out 1: dim=0.",
            _attending(_softmax(axis=1, row=-np.inf)),
        ),
        ("the query is unmasked: it has no reward, so its row of scores must be -inf.", _attending(_softmax())),
        (
            "you masked the query's column: the query must hear. Its row is what nobody may hear.",
            _attending(_softmax(column=-np.inf)),
        ),
        (
            "the mask came after the softmax, so the columns no longer sum to 1; mask the scores.",
            _attending(_softmax(row=0.0, after=True)),
        ),
        (
            "A is used transposed: source i and query j score Z[:, i] @ A @ Z[:, j].",
            lambda Z, V, A, gamma: _layer(Z, V, A.T, gamma),
        ),
        (
            "V is missing: without it whole columns are mixed, not TD errors.",
            lambda Z, V, A, gamma: _layer(Z, np.eye(len(V)), A, gamma),
        ),
        ("a minus sign crept in: the layer adds V Z E.", lambda Z, V, A, gamma: _layer(Z, -V, A, gamma)),
    ],
    hint="scores Z.T @ A @ Z with the last row -inf, softmax down each column, Z + V @ Z @ E, then row -2 anew.",
    says="attend, add, shift: a whole layer, for any weights",
)


def _end_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{S} states, gamma = {gamma}, the row ({a}, {b}, -{c})",
            *(a, b, c, rng.dirichlet(np.ones(S), size=S), rng.standard_normal(S), gamma),
        )
        for a, b, c, S, gamma in ((1.0, 1.0, 1.25, 3, 0.8), (0.5, 0.7, 0.95, 4, 0.9), (2.0, 0.8, 1.1, 3, 0.6))
    ]


def _end(a: float, b: float, c: float, P: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
    """What the values settle at: (a r + b gamma P v) / c again and again, state by state."""
    v = [0.0] * len(r)
    for _ in range(400):
        v = [(a * r[s] + b * gamma * sum(p * w for p, w in zip(P[s], v, strict=True))) / c for s in range(len(r))]
    return np.array(v)


check_where_it_ends = Check(
    name="where_it_ends",
    cases=_end_cases,
    right=_end,
    mistakes=[
        (
            "this is the right network's value: a, b and c have no effect.",
            lambda a, b, c, P, r, g: _end(1, 1, 1, P, r, g),
        ),
        ("a has no effect: it multiplies every reward.", lambda a, b, c, P, r, g: _end(1, b, c, P, r, g)),
        (
            "b has no effect: it multiplies what the successor is worth.",
            lambda a, b, c, P, r, g: _end(a, 1, c, P, r, g),
        ),
        ("c has no effect: at rest a r + b gamma P v = c v.", lambda a, b, c, P, r, g: _end(a, b, 1, P, r, g)),
        (
            "c divides the reward but not the successor's value: at rest a r + b gamma P v = c v.",
            lambda a, b, c, P, r, g: _end(a, b * c, c, P, r, g),
        ),
        (
            "c divides the successor's value but not the reward: at rest a r + b gamma P v = c v.",
            lambda a, b, c, P, r, g: _end(a * c, b, c, P, r, g),
        ),
        (
            "gamma is forgotten: the shift writes gamma times the value.",
            lambda a, b, c, P, r, g: _end(a, b, c, P, r, 1),
        ),
        ("P is transposed: row s of P says where s leads.", lambda a, b, c, P, r, g: _end(a, b, c, P.T, r, g)),
    ],
    hint="write down when nothing moves any more: a r + b gamma P v - c v = 0; then one np.linalg.solve.",
    says="a wrong row has its own Bellman equation, and you solved it without a layer",
)


def _trace_cases(rng: np.random.Generator) -> list[Case]:
    """Traces of layers whose V has an unknown last row, none of which hides a part of it."""
    cases = []
    for d, n, n_layers in ((2, 7, 3), (1, 5, 4)):
        hides = np.inf
        while hides > 1e3:
            trace, A = _trace(rng, d, n, n_layers)
            hides = np.linalg.cond(np.hstack([Z @ _attention(Z, A) for Z in trace[:-1]]))
        cases.append(case(f"a trace of {n_layers} layers with d = {d}", trace, A))
    return cases


def _trace(rng: np.random.Generator, d: int, n: int, n_layers: int) -> tuple[np.ndarray, np.ndarray]:
    """What layers with a random last row of V make of a full random prompt, (L+1, d+3, n+1), and their A."""
    row = np.append(0.2 * rng.standard_normal(d), rng.uniform(0.4, 1.1, 3) * [1, 1, -1])
    A = 0.6 * rng.standard_normal((d + 3, d + 3))
    A[d:], A[:, d:] = 0.0, 0.0
    V = np.zeros((d + 3, d + 3))
    V[-1] = row
    Z = np.zeros((d + 3, n + 1))
    Z[:d], Z[d, :-1] = rng.standard_normal((d, n + 1)), rng.standard_normal(n)
    trace = [Z]
    for _ in range(n_layers):
        trace.append(_layer(trace[-1], V, A, 0.8))
    return np.stack(trace), A


def _row(
    trace: np.ndarray,
    A: np.ndarray,
    seen: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda Z, E: Z @ E,
    written: int = -1,
    layers: slice = slice(None),
) -> np.ndarray:
    """The last row of V by the normal equations, summed up column by column."""
    left, right = np.zeros((len(A), len(A))), np.zeros(len(A))
    for Z, after in list(pairwise(trace))[layers]:
        offered, gained = seen(Z, _attention(Z, A)), after[written] - Z[written]
        for j in range(Z.shape[1]):
            left += np.outer(offered[:, j], offered[:, j])
            right += gained[j] * offered[:, j]
    return np.linalg.pinv(left, rcond=1e-12) @ right


check_read_row = Check(
    name="read_row",
    cases=_trace_cases,
    right=_row,
    give=tensors,
    tolerance=1e-4,  # the oracle squares the condition of the system
    mistakes=[
        (
            "the first layer shows too little: both memories are 0 there and hide two cells. Use all layers.",
            partial(_row, layers=slice(0, 1)),
        ),
        (
            "the attention is missing: a column gains the row times Z E, not times Z.",
            partial(_row, seen=lambda Z, E: Z),
        ),
        ("E is turned round: Z E mixes the sources of each column.", partial(_row, seen=lambda Z, E: Z @ E.T)),
        ("you looked at target memory: V writes into the last row.", partial(_row, written=-2)),
        ("the sign is turned: new value memory minus old.", lambda trace, A: -_row(trace, A)),
        ("this is the whole matrix; return its last row alone.", lambda t, A: np.outer(np.eye(len(A))[-1], _row(t, A))),
        ("the features' cells are missing: all d + 3 cells of the row are wanted.", lambda t, A: _row(t, A)[-3:]),
    ],
    hint="per layer, (new - old value memory) = row @ (Z @ E). Put all layers side by side: the first alone hides two "
    'cells. Then torch.linalg.lstsq with driver="gelsd".',
    says="you read the weights from what the network did",
)


def _faulty(
    axis: int = 0,
    mask: str = "row",
    turned: bool = False,
    clear: bool = True,
    discount: bool = True,
    residual: bool = True,
    fill: str = "next",
) -> Layer:
    """A layer in torch with an option for each fault; without options a right one."""

    def layer(Z: torch.Tensor, V: torch.Tensor, A: torch.Tensor, gamma: float) -> torch.Tensor:
        scores = Z.T @ (A.T if turned else A) @ Z
        if mask == "row" and axis == 0:
            scores[-1] = -torch.inf
        E = torch.softmax(scores, dim=axis)
        if mask != "none":
            E[-1] = 0.0
        H = V @ Z @ E + (Z if residual else 0)
        after = H.clone()
        moved = torch.roll(Z[-1] if fill == "old" else H[-1], 1 if fill == "previous" else -1)
        if fill != "wrapped":
            moved[0 if fill == "previous" else -1] = 0.0
        after[-2] = (gamma if discount else 1.0) * moved + (0 if clear else Z[-2])
        return after

    return layer


def _by_columns(Z: torch.Tensor, V: torch.Tensor, A: torch.Tensor, gamma: float) -> torch.Tensor:
    """A right layer in another order of operations: it differs by rounding."""
    return torch.as_tensor(_layer(Z.detach().numpy(), V.detach().numpy(), A.detach().numpy(), gamma))


SUSPECTS: dict[str, Layer] = {
    "a right layer": _faulty(),
    "a right layer, written with loops": _by_columns,
    "a layer whose query teaches": _faulty(mask="none"),
    "a layer whose softmax runs along the rows": _faulty(axis=1),
    "a layer that masks after the softmax": _faulty(mask="late"),
    "a layer that uses A transposed": _faulty(turned=True),
    "a layer that does not clear target memory": _faulty(clear=False),
    "a layer that forgets gamma": _faulty(discount=False),
    "a layer whose shift goes backwards": _faulty(fill="previous"),
    "a layer whose shift wraps around to the query": _faulty(fill="wrapped"),
    "a layer that shifts the old values": _faulty(fill="old"),
    "a layer without residual": _faulty(residual=False),
}


def _prompts(seed: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    Z, V, A = (torch.as_tensor(rng.standard_normal(shape)) for shape in ((5, 6), (5, 5), (5, 5)))
    return Z, V, A


def _is_right(layer: Layer) -> bool:
    Z, V, A = _prompts()
    return bool(np.allclose(layer(Z, V, A, 0.7).numpy(), _layer(Z.numpy(), V.numpy(), A.numpy(), 0.7)))


def _testing(
    empty: bool = False,
    layers: int = 1,
    rows: Any = slice(None),
    columns: Any = slice(None),
    symmetric: bool = False,
    gamma: float = 0.7,
    exact: bool = False,
    ruler: Layer = _by_columns,
) -> Callable[[Layer], bool]:
    """A learner's test that looks at less than it could."""

    def passes(layer: Layer) -> bool:
        Z, V, A = _prompts(5)
        if empty:
            Z[-2:], Z[-3, -1] = 0.0, 0.0
        if symmetric:
            A, V = torch.zeros(5, 5, dtype=A.dtype), torch.zeros(5, 5, dtype=A.dtype)
            A[:2, :2], V[-1, -3:] = torch.eye(2), torch.tensor([1.0, 1.0, -1.0])
        one = two = Z
        for _ in range(layers):
            one, two = layer(one, V, A, gamma), ruler(two, V, A, gamma)
        a, b = (end.numpy()[rows][..., columns] for end in (one, two))
        return bool((a == b).all() if exact else np.allclose(a, b))

    return passes


check_passes = Check(
    name="passes",
    cases=lambda rng: [case(f"{name} (1 is True, 0 False)", layer) for name, layer in SUSPECTS.items()],
    right=_is_right,
    mistakes=[
        (
            "one layer from empty memories says nothing about the shift, if value memory alone is compared.",
            _testing(empty=True, rows=-1),
            _testing(empty=True, rows=-1, symmetric=True),
        ),
        (
            "only value memory was compared. Look at all rows, target memory too.",
            _testing(rows=-1),
            *(_testing(rows=-1, layers=k, symmetric=True) for k in (2, 3)),
        ),
        (
            "only the query's answer was compared. Look at all columns.",
            _testing(columns=-1),
        ),
        (
            "your A is symmetric, so A and its transposed look alike. Draw a random one.",
            _testing(symmetric=True),
            *(_testing(symmetric=True, empty=True, layers=k) for k in (1, 2, 3)),
        ),
        (
            "empty memories hide what is not cleared away. Fill all cells of Z with random numbers.",
            _testing(empty=True),
        ),
        ("you test with gamma = 1, and cannot see a gamma that is forgotten.", _testing(gamma=1.0)),
        (
            "a right layer may differ in the last digit. Compare with torch.allclose.",
            _testing(exact=True),
            _testing(exact=True, ruler=_faulty()),
        ),
        ("every layer passes. What do you compare with? Your own `layer` is the ruler.", lambda layer: True),
        (
            "no layer passes, not even a right one. Compare with torch.allclose: last digits may differ.",
            lambda layer: False,
        ),
        ("the answer is turned round: True for a right layer.", lambda layer: not _is_right(layer)),
    ],
    hint="a random full Z, a random V, a random A, gamma below 1; all cells of one layer against your own `layer`.",
    says="your test lets two right layers pass and catches ten faults",
    needs=[check_layer],
)


def _walk_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for S, n, gamma in ((3, 9, 0.8), (4, 14, 0.5)):
        states = np.concatenate([rng.permutation(S), rng.integers(S, size=n + 1 - S)])
        cases.append(case(f"the walk {states.tolist()}, gamma = {gamma}", states, rng.standard_normal(n), gamma))
    return cases


def _backwards(states: np.ndarray, rewards: np.ndarray, gamma: float, kind: str = "right") -> np.ndarray:
    """Mean over the visits to s of reward + gamma times the value of where the walk came from, until it rests."""
    n, S = len(rewards), int(states.max()) + 1
    value = np.zeros(S)
    for _ in range(600):
        total, count = np.zeros(S), np.zeros(S)
        for j in range(n):
            before = {"forwards": j + 1, "wraps": j - 1 if j else n - 1}.get(kind, j - 1)
            known = before >= 0
            if kind == "first left out" and not known:
                continue
            paid = rewards[j - 1] * (j > 0) if kind == "late reward" else rewards[j]
            total[states[j]] += paid + (gamma * value[states[before]] if known else 0.0)
            count[states[j]] += 1
        value = total / np.maximum(count, 1)
    return value


check_backwards_value = Check(
    name="backwards_value",
    cases=_walk_cases,
    right=_backwards,
    mistakes=[
        (
            "this is the right network's answer: count where the walk came from, not where it went.",
            partial(_backwards, kind="forwards"),
        ),
        ("gamma has no effect: what came before is discounted too.", lambda s, r, gamma: _backwards(s, r, 0.0)),
        (
            "the first column counts: it has a reward, and target memory 0, since nothing comes before it.",
            partial(_backwards, kind="first left out"),
        ),
        ("nothing comes before the first column: do not wrap around.", partial(_backwards, kind="wraps")),
        (
            "the rewards have not moved: only target memory looks back. Column j still holds R_{j+1}.",
            partial(_backwards, kind="late reward"),
        ),
    ],
    hint="B[s, t]: share of the visits to s (not the query) that came from t; solve (I - gamma B) v = mean reward.",
    says="you know what the broken network will answer, and did not build it",
)


def _code_cases(rng: np.random.Generator) -> list[Case]:
    drawn = int(rng.integers(12, 40)), round(rng.uniform(2.0, 9.0), 1)
    return [case(f"{n + 1} columns, kappa = {kappa}", n, kappa) for n, kappa in ((3, 2.0), (7, 30.0), (11, 1.5), drawn)]


def _turn(n: int, kappa: float, angle: float | None = None, steps: int = 1) -> np.ndarray:
    """B from four scores that it must give: kappa <p_i, p_{j+1}> for i and j in 0 and 1."""
    theta = 2 * math.pi / (n + 1) if angle is None else angle
    columns = [[math.cos(theta * j), math.sin(theta * j)] for j in (0, 1)]
    wanted = [[math.cos(theta * (j + steps)), math.sin(theta * (j + steps))] for j in (0, 1)]
    P, ahead = np.array(columns).T, np.array(wanted).T
    return np.linalg.solve(P.T, kappa * P.T @ ahead) @ np.linalg.inv(P)


check_next_column = Check(
    name="next_column",
    cases=_code_cases,
    right=_turn,
    give=tensors,
    like=TENSOR,
    mistakes=[
        ("this head finds its own column: B must turn the code by one step.", partial(_turn, steps=0)),
        ("it turns the wrong way, and finds the column before.", partial(_turn, steps=-1)),
        ("kappa has no effect: it multiplies the turn.", lambda n, kappa: _turn(n, 1.0)),
        (
            "the angle is wrong: n + 1 columns stand on the circle, 2 pi / (n + 1) apart.",
            lambda n, kappa: _turn(n, kappa, 2 * math.pi / n),
        ),
        ("the angle is in degrees; cos and sin want radians.", lambda n, kappa: _turn(n, kappa, 360 / (n + 1))),
    ],
    hint="p_{j+1} = R p_j with a 2 x 2 matrix R; put that into kappa <p_i, p_{j+1}>.",
    says="a head that looks at positions alone fetches the next column",
)

hint = graded_hints(
    "Source i should score kappa <p_i, p_{j+1}> in query j: among points of one circle the inner product is largest "
    "where both are the same point, so i = j+1 wins. But the query's column only carries p_j.",
    "One step along the circle is the same turn for every j: p_{j+1} = R p_j. Which 2 x 2 matrix turns by theta?",
    "B = kappa R with R = [[cos, -sin], [sin, cos]] of theta = 2 pi / (n + 1); source i in query j scores "
    "kappa cos(theta (i - j - 1)).",
)


def stranger() -> tuple[torch.Tensor, torch.Tensor]:
    """What a network that somebody built did: its trace over three layers, (4, 5, 9), and its A, (5, 5)."""
    rng = np.random.default_rng(77)
    A, V, Z = 1.5 * np.diag([1.0, 1.0, 0.0, 0.0, 0.0]), np.zeros((5, 5)), np.zeros((5, 9))
    V[-1] = [0.0, 0.0, 1.0, 0.75, -1.0]
    Z[:2], Z[2, :-1] = rng.standard_normal((2, 9)), rng.standard_normal(8)
    trace = [Z]
    for _ in range(3):
        trace.append(_layer(trace[-1], V, A, 0.8))
    return torch.as_tensor(np.stack(trace)), torch.as_tensor(A)
