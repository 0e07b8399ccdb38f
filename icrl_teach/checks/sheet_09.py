"""Checks of sheet 09: windows, the semi-gradient TD loss, gradient descent, the NEU loss and its square."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.check import Case, Check, case
from icrl_teach.checks.report import CheckFailed, answer, equal, message
from icrl_teach.checks.sheet_06 import tensors


def _walk_cases(rng: np.random.Generator) -> list[Case]:
    """The last walk holds no whole numbers, like rewards."""
    walks = [(rng.permutation(length) * unit, n) for length, n, unit in ((5, 2, 1), (12, 3, 1), (9, 8, 0.5))]
    return [case(f"the walk {walk.tolist()}, n = {n}", walk, n) for walk, n in walks]


def _windows(states: np.ndarray, n: int, width: int = 1, step: Callable[[int], int] = lambda n: 1) -> np.ndarray:
    """Window after window; width: how many states more than n; step: how far the next one begins."""
    starts = range(0, len(states) - n, step(n))
    return np.array([[states[t + k] for k in range(n + width)] for t in starts])


def _keeps_the_kind(windows: Callable[..., Any]) -> None:
    """Later cells index with windows of states, so whole numbers must stay whole, in an array."""
    tried = "windows on the walk [0, 1, 2, 1], n = 2"
    got = answer(windows, np.array([0, 1, 2, 1]), 2, tried=tried)
    if isinstance(got, tuple):
        raise CheckFailed(f"{tried}: a tuple came back. Later cells calculate with it: make it `np.array(...)`.")
    if np.asarray(got).dtype.kind not in "iu":
        raise CheckFailed(
            f"{tried}: whole numbers went in, {np.asarray(got).dtype} came out.\nHint: later cells look states up with "
            "these numbers. Keep the kind that came in: np.zeros(..., dtype=states.dtype), or np.array of slices."
        )


check_windows = Check(
    name="windows",
    cases=_walk_cases,
    right=_windows,
    mistakes=[
        (
            "a window of n transitions has n + 1 states; yours have n.",
            lambda states, n: _windows(states, n - 1),
        ),
        (
            "the number of windows is right, but each lacks its last state, the query: n + 1 states.",
            partial(_windows, width=0),
        ),
        (
            "the last window is missing: a walk of m states holds m - n windows.",
            lambda states, n: _windows(states, n)[:-1],
        ),
        (
            "your windows don't overlap. Slide by one: the next window starts one state later.",
            partial(_windows, step=lambda n: n + 1),
        ),
        ("your windows share one state only. Slide by one, not by n.", partial(_windows, step=lambda n: n)),
        ("the first window is missing: it starts at position 0.", lambda states, n: _windows(states, n)[1:]),
        (
            "each row is a position of all windows. Turn it: row = window, column = position in it.",
            lambda states, n: _windows(states, n).T,
        ),
        (
            "whole numbers only, but this sheet cuts rewards too. Keep the kind that came in: `dtype=states.dtype`.",
            lambda states, n: _windows(states, n).astype(int),
        ),
        (
            "the order inside each window is turned round; the query comes last.",
            lambda states, n: _windows(states, n)[:, ::-1],
        ),
    ],
    hint="window t holds states[t], ..., states[t + n]; row = window; stop at the last full one.",
    says="every window has n transitions, and each slides by one",
    also=[_keeps_the_kind],
)


def _loss_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{B} walks of {n + W + 1} states, {W + 1} windows of {n} transitions, gamma = {gamma}",
            *(rng.standard_normal((B, W + 1)), rng.integers(S, size=(B, n + W + 1)), rng.uniform(-1, 1, (B, S))),
            gamma,
        )
        for B, n, W, S, gamma in ((2, 2, 1, 3, 0.5), (3, 4, 2, 4, 0.7), (4, 3, 5, 5, 0.9))
    ]


def _paid(f: np.ndarray, states: np.ndarray, reward: np.ndarray, late: int = 0) -> np.ndarray:
    """The reward on leaving each query, or a state `late` steps after it. (B, W)."""
    n, W = states.shape[1] - f.shape[1] + late, f.shape[1] - 1
    return np.array([[reward[b][states[b][n + t]] for t in range(W)] for b in range(len(f))])


def _loss(
    f: np.ndarray,
    states: np.ndarray,
    reward: np.ndarray,
    gamma: float,
    target: np.ndarray | None = None,
    late: int = 0,
) -> float:
    """The mean of delta^2 in plain loops; the target may be taken from other answers than the guess."""
    R, following = _paid(f, states, reward, late), f if target is None else target
    squares = [
        (R[b][t] + gamma * following[b][t + 1] - f[b][t]) ** 2
        for b, t in itertools.product(range(f.shape[0]), range(f.shape[1] - 1))
    ]
    return math.fsum(squares) / len(squares)


def _of_errors(finish: Callable[[np.ndarray], float]) -> Callable[..., float]:
    """Another number made of the TD errors (B, W) than the mean of their squares."""
    return lambda f, states, reward, gamma: finish(_paid(f, states, reward) + gamma * f[:, 1:] - f[:, :-1])


def _one_reward_too_many(f: np.ndarray, states: np.ndarray, reward: np.ndarray, gamma: float) -> float:
    """Also on leaving the last query: with one window a walk it fits by broadcasting, else NumPy stops."""
    R = np.take_along_axis(reward, states[:, states.shape[1] - f.shape[1] :], axis=1)
    return float(((R + gamma * f[:, 1:] - f[:, :-1]) ** 2).mean())


def _slope(loss: Callable[[np.ndarray], float], f: np.ndarray) -> np.ndarray:
    """Central differences of a loss with respect to every answer. (B, W+1)."""
    slopes = np.zeros_like(f)
    for at in np.ndindex(*f.shape):
        step = np.zeros_like(f)
        step[at] = 1e-5
        slopes[at] = (loss(f + step) - loss(f - step)) / 2e-5
    return slopes


FULL_GRADIENT = "the gradient also flows through the target. Use f[:, 1:].detach(): a target is a given number."
TARGET_MOVES = "you detached the guess and let the target move; it must be the other way round."


def _is_semi_gradient(td_loss: Callable[..., Any]) -> None:
    """Where the slope of the loss may flow: through the guess, not through the target."""
    for one in _loss_cases(np.random.default_rng(912)):
        f, states, reward, gamma = one.args
        tried = f"td_loss on {one.tried}"
        leaf = torch.tensor(f, requires_grad=True)
        got = answer(td_loss, leaf, torch.tensor(states), torch.tensor(reward), gamma, tried=tried)
        if not (hasattr(got, "requires_grad") and got.requires_grad):
            raise CheckFailed(
                f"{tried}: the value is right, but nothing can be trained with it.\nHint: no gradient reaches the "
                "weights: detach the target alone, and return a tensor (no .item(), no no_grad)."
            )
        slope = torch.autograd.grad(got, leaf)[0].numpy()
        through = {  # what moves: the guess, both, or the target
            "": _slope(lambda at: _loss(at, states, reward, gamma, f), f),  # noqa: B023 (called at once)
            FULL_GRADIENT: _slope(lambda at: _loss(at, states, reward, gamma, at), f),  # noqa: B023
            TARGET_MOVES: _slope(lambda at: _loss(f, states, reward, gamma, at), f),  # noqa: B023
        }
        if not equal(slope, through[""], 1e-5):
            hints = [hint for hint, other in through.items() if equal(slope, other, 1e-5)]
            hint = hints[0] if hints else "only f[:, :-1] may carry a gradient; everything in the target is detached."
            raise CheckFailed(message(f"{tried}: the gradient", slope, through[""], hint))


check_td_loss = Check(
    name="td_loss",
    cases=_loss_cases,
    right=_loss,
    give=tensors,
    mistakes=[
        (
            "one reward too many: the last window is only a target, so leave its query out: states[:, n:-1].",
            _one_reward_too_many,
        ),
        ("gamma is missing in front of the next window's answer.", lambda f, s, r, gamma: _loss(f, s, r, 1.0)),
        ("off by one: that reward led INTO the query. Take the one on leaving it.", partial(_loss, late=-1)),
        ("off by one: that is the reward on leaving the NEXT query.", partial(_loss, late=1)),
        (
            "the two answers are exchanged: gamma goes with f[:, 1:], the next window; f[:, :-1] is subtracted.",
            lambda f, s, r, gamma: np.mean((_paid(f, s, r) + gamma * f[:, :-1] - f[:, 1:]) ** 2),
        ),
        (
            "the window's own answer is subtracted, not added.",
            lambda f, s, r, gamma: np.mean((_paid(f, s, r) + gamma * f[:, 1:] + f[:, :-1]) ** 2),
        ),
        (
            "square each error first, then take the mean: else opposite errors cancel.",
            _of_errors(lambda errors: errors.mean() ** 2),
        ),
        ("this is the mean error; square each of them before the mean.", _of_errors(np.mean)),
        (
            "you add up the windows of a walk and average over walks only; average over both.",
            _of_errors(lambda errors: (errors**2).sum(axis=1).mean()),
        ),
        (
            "this is the sum of the squares; take their mean over tasks and windows.",
            _of_errors(lambda errors: (errors**2).sum()),
        ),
        (
            "there is a factor 1/2 too much; here the loss is the plain mean of squares.",
            _of_errors(lambda errors: (errors**2).mean() / 2),
        ),
    ],
    hint="R + gamma f[:, 1:] - f[:, :-1], squared, then the mean; R is paid on leaving the state states[:, n + t].",
    says="the loss is right, and no gradient flows through the next window's answer",
    also=[_is_semi_gradient],
)


@dataclass(frozen=True)
class _Quadratic:
    """A loss for learners (torch), and its slope, 2 scale (theta - batch), for the oracle (NumPy)."""

    scale: np.ndarray

    def __call__(self, theta: Any, batch: Any) -> Any:
        return (torch.as_tensor(self.scale) * (theta - batch) ** 2).sum()

    def slope(self, theta: np.ndarray, batch: np.ndarray) -> np.ndarray:
        return 2.0 * self.scale * (theta - batch)


def _descent_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{count} batches, {p} weights, learning rate {rate}, a quadratic loss",
            *(
                rng.standard_normal(p),
                list(rng.standard_normal((count, p))),
                _Quadratic(rng.uniform(0.5, 2.0, p)),
                rate,
            ),
        )
        for p, count, rate in ((3, 4, 0.05), (2, 6, 0.2), (1, 3, 0.1))
    ]


def _batches_once(value: Any) -> Any:
    """Batches come as a generator: walked through once, without length or index."""
    return (torch.tensor(batch) for batch in value) if isinstance(value, list) else tensors(value)


def _descend(
    start: np.ndarray,
    batches: list[np.ndarray],
    loss: _Quadratic,
    rate: float,
    of: Callable[[list[np.ndarray]], Any] = lambda past: past[-1],
    at_start: bool = False,
) -> np.ndarray:
    """Batch after batch; `of` makes the step of the slopes so far."""
    theta, past = start.copy(), list[np.ndarray]()
    for batch in batches:
        past.append(loss.slope(start if at_start else theta, batch))
        theta = theta - rate * of(past)
    return theta


def _on(choose: Callable[[list], list]) -> Callable[..., np.ndarray]:
    return lambda theta, batches, loss, rate: _descend(theta, choose(batches), loss, rate)


def _leaves_no_trace(descend: Callable[..., Any]) -> None:
    """The given theta stays as it was, and what comes back carries no history."""
    theta, batches = torch.tensor([1.0, -1.0], dtype=torch.float64), [torch.zeros(2, dtype=torch.float64)] * 2
    tried = "descend on 2 batches"
    got = answer(descend, theta, iter(batches), _Quadratic(np.ones(2)), 0.1, tried=tried)
    if theta.requires_grad:
        raise CheckFailed(
            f"{tried}: the numbers are right, but the theta you were given now requires a gradient.\n"
            "Hint: requires_grad_() changes the tensor itself: work on a copy, theta.detach().clone()."
        )
    if not isinstance(got, torch.Tensor) or got.requires_grad:
        raise CheckFailed(
            f"{tried}: the numbers are right, but what you return is not a tensor without gradient.\n"
            "Hint: return theta.detach(), else later steps drag the whole history along."
        )


def _by_length(theta: np.ndarray, batches: Any, loss: _Quadratic, rate: float) -> np.ndarray:
    raise TypeError("object of type 'generator' has no len()")


check_descend = Check(
    name="descend",
    cases=_descent_cases,
    right=_descend,
    give=_batches_once,
    mistakes=[
        ("you walk uphill: subtract the slope.", lambda theta, b, loss, rate: _descend(theta, b, loss, -rate)),
        (
            "slopes pile up: .backward() adds to .grad. Clear it before each step, or use torch.autograd.grad.",
            partial(_descend, of=sum),
        ),
        (
            "the learning rate has no effect: multiply the slope by it.",
            lambda theta, b, loss, rate: _descend(theta, b, loss, 1.0),
        ),
        ("only the first batch is used.", _on(lambda batches: batches[:1])),
        ("the last batch is left out.", _on(lambda batches: batches[:-1])),
        ("every step uses the same batch, the first.", _on(lambda batches: [batches[0]] * len(batches))),
        (
            "every slope is taken at the starting weights; take each where the last step ended.",
            partial(_descend, at_start=True),
        ),
        ("these are the starting weights: is the new theta kept from step to step?", _on(lambda batches: [])),
        ("batches may be a generator, without length or index: use `for batch in batches`.", _by_length),
    ],
    hint="theta <- theta - learning_rate * slope, batch by batch.",
    says="one step down the slope for every batch, each from where the last one ended",
    also=[_leaves_no_trace],
)


def _update_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{N} windows and {p} weights", rng.standard_normal(N) + 0.3, rng.standard_normal((N, p)) + 0.2)
        for N, p in ((2, 1), (5, 3), (40, 4))
    ]


def _mean_update(delta: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    N, p = gradients.shape
    return np.array([math.fsum(delta[i] * gradients[i][k] for i in range(N)) / N for k in range(p)])


def _neu(delta: np.ndarray, gradients: np.ndarray) -> float:
    return math.sqrt(math.fsum(m * m for m in _mean_update(delta, gradients)))


def _norms(delta: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    return np.linalg.norm(delta[:, None] * gradients, axis=1)


check_neu = Check(
    name="neu",
    cases=_update_cases,
    right=_neu,
    mistakes=[
        (
            "this is the mean of the norms: opposite updates must cancel. First mean, then norm.",
            lambda delta, g: _norms(delta, g).mean(),
        ),
        (
            "you averaged squared norms: opposite updates must cancel first.",
            lambda delta, g: np.sqrt((_norms(delta, g) ** 2).mean()),
        ),
        (
            "the mean of a product is not the product of the means: multiply window by window.",
            lambda delta, g: _neu(np.full_like(delta, delta.mean()), g),
        ),
        (
            "this is the norm of the sum; divide by the number of windows.",
            lambda delta, g: _neu(delta, g) * len(delta),
        ),
        ("this is J squared; take the root.", lambda delta, g: _neu(delta, g) ** 2),
        (
            "delta is missing: each gradient is multiplied by its error.",
            lambda delta, g: _neu(np.ones_like(delta), g),
        ),
        (
            "absolute values before the mean: nothing can cancel.",
            lambda delta, g: _neu(np.abs(delta), np.abs(g)),
        ),
        (
            "this adds absolute entries; the norm is the root of the sum of squares.",
            lambda delta, g: np.abs(_mean_update(delta, g)).sum(),
        ),
        (
            "this is the largest entry; the norm is the root of the sum of squares.",
            lambda delta, g: np.abs(_mean_update(delta, g)).max(),
        ),
        (
            "this is the root mean square of the entries: the norm adds their squares, and does not average them.",
            lambda delta, g: _neu(delta, g) / math.sqrt(g.shape[1]),
        ),
    ],
    hint="two steps: the mean over the N windows of error times gradient, (p,); then the length of that one vector.",
    says="the norm of the mean update, not the mean of the norms",
)


def _group_cases(rng: np.random.Generator) -> list[Case]:
    """In the second case the square comes out negative, as an unbiased estimate may."""
    alternating = np.array([[1.0, -2.0], [-1.0, 2.0], [1.5, -1.0], [-1.5, 1.0]]) + 0.1 * rng.standard_normal((4, 2))
    updates = [rng.standard_normal((4, 3)) + 0.5, alternating, rng.standard_normal((3, 1)) + 0.5]
    return [case(f"{len(u)} groups and {u.shape[1]} weights", u) for u in updates]


def _neu_squared(updates: np.ndarray) -> float:
    pairs = [float(a @ b) for a, b in itertools.permutations(updates, 2)]
    return math.fsum(pairs) / len(pairs)


check_neu_squared = Check(
    name="neu_squared",
    cases=_group_cases,
    right=_neu_squared,
    mistakes=[
        (
            "this is the square of the plain J: each group is also paired with itself. Leave a = b out.",
            lambda g: g.mean(axis=0) @ g.mean(axis=0),
        ),
        (
            "only G (G - 1) pairs are left without a = b; divide by that many.",
            lambda g: _neu_squared(g) * (len(g) - 1) / len(g),
        ),
        ("each pair is counted once, but divided by the number of ordered pairs.", lambda g: _neu_squared(g) / 2),
        ("each pair is counted twice, but divided by the number of unordered pairs.", lambda g: 2 * _neu_squared(g)),
        (
            "this is the sum over pairs; divide by their number.",
            lambda g: _neu_squared(g) * len(g) * (len(g) - 1),
            lambda g: _neu_squared(g) * len(g) * (len(g) - 1) / 2,
        ),
        (
            "these are squared norms alone: noise never cancels in them. Pair different groups.",
            lambda g: (g**2).sum(axis=1).mean(),
        ),
        ("the sign is lost: an unbiased estimate of a small square may be negative.", lambda g: abs(_neu_squared(g))),
        ("you cut at 0: then the estimate is biased again. It may be negative.", lambda g: max(_neu_squared(g), 0.0)),
        ("this is a root; return J squared, which may be negative.", lambda g: math.sqrt(abs(_neu_squared(g)))),
    ],
    hint="add up the products of all pairs of different groups, and divide by how many pairs you added.",
    says="pairs of different groups only, so noise does not add up",
)
