"""Checks of sheet 09: windows, the luck that stays, what a loss moves, descent, no detach, how many tasks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.check import Case, Check, case, graded_hints
from icrl_teach.checks.report import CheckFailed, answer
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


def _chain_cases(rng: np.random.Generator) -> list[Case]:
    """By hand: A leads to B or C, they end; the end, state 3, leads to itself and pays nothing."""
    split = np.array([[0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    by_hand = split, np.array([0.0, 1.0, 0.0, 0.0]), 0.5, np.array([0.5, 0.25, 0.25, 0.0])
    return [
        case("A that leads to B or C, gamma = 0.5", *by_hand),
        *(
            case(
                f"a random chain of {n} states, gamma = {gamma}",
                *(rng.dirichlet(np.ones(n), n), rng.uniform(-1.0, 1.0, n), gamma, rng.dirichlet(np.full(n, 3.0))),
            )
            for n, gamma in ((3, 0.6), (5, 0.9))
        ),
    ]


def _exact(P: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
    """Values by many backups."""
    v = np.zeros(len(r))
    for _ in range(2000):
        v = r + gamma * P @ v
    return v


def _mean_squared(v: np.ndarray, P: np.ndarray, r: np.ndarray, gamma: float, mu: np.ndarray) -> float:
    """The mean squared TD error of a table, transition by transition."""
    pairs = np.ndindex(*P.shape)
    return math.fsum(mu[s] * P[s, to] * (r[s] + gamma * v[to] - v[s]) ** 2 for s, to in pairs)


def _luck(P: np.ndarray, r: np.ndarray, gamma: float, mu: np.ndarray) -> float:
    return _mean_squared(_exact(P, r, gamma), P, r, gamma, mu)


def _spread(P: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
    """Variance of the next state's value, (S,)."""
    v = _exact(P, r, gamma)
    return P @ v**2 - (P @ v) ** 2


check_luck = Check(
    name="luck",
    cases=_chain_cases,
    right=_luck,
    mistakes=[
        (
            "the exact values' MEAN error is 0 in every state; its square is not. Square first, then take the mean.",
            lambda P, r, gamma, mu: 0.0,
        ),
        ("gamma enters squared: gamma v' is what scatters.", lambda P, r, g, mu: g * mu @ _spread(P, r, g)),
        ("gamma is missing in front of the next value.", lambda P, r, g, mu: mu @ _spread(P, r, g)),
        ("this is the root; return the mean of the squares.", lambda *a: math.sqrt(_luck(*a))),
        (
            "all states count alike here; weigh each with how often it is left, mu.",
            lambda P, r, gamma, mu: _luck(P, r, gamma, np.full(len(r), 1.0 / len(r))),
        ),
        ("this is the sum over states; weigh them with mu.", lambda P, r, g, mu: _luck(P, r, g, np.ones(len(r)))),
        (
            "all next states count alike here; weigh each with its probability in row s of P.",
            lambda P, r, g, mu: mu @ ((r[:, None] + g * _exact(P, r, g) - _exact(P, r, g)[:, None]) ** 2).mean(axis=1),
        ),
        (
            "the next value's mean was not taken off: what counts is how far it lies from its mean.",
            lambda P, r, g, mu: mu @ (P @ (g * _exact(P, r, g)) ** 2),
        ),
        (
            "this is how the values themselves scatter; asked for is the scatter of what comes NEXT, state by state.",
            lambda P, r, g, mu: g**2 * (mu @ _exact(P, r, g) ** 2 - (mu @ _exact(P, r, g)) ** 2),
        ),
        ("P is transposed: row s of P leads from s.", lambda P, r, g, mu: g**2 * mu @ _spread(P.T, r, g)),
    ],
    hint="solve for v; then sum mu(s) P(s, s') (r(s) + gamma v(s') - v(s))^2 over all pairs.",
    says="you know what a perfect network's loss is before you train one",
)


@dataclass(frozen=True)
class _Colleague:
    """A mean squared TD error of the answers (B, 2) of two windows a walk; guess, target: what may move."""

    paid: np.ndarray
    gamma: float
    guess: bool
    target: bool

    def __call__(self, f: Any) -> Any:
        given = f.detach()
        target = torch.as_tensor(self.paid) + self.gamma * (f if self.target else given)[:, 1]
        return (target - (f if self.guess else given)[:, 0]).square().mean()


def _colleague_cases(rng: np.random.Generator) -> list[Case]:
    """Also one walk whose TD error is negative."""
    cases = list[Case]()
    for index in rng.permutation(4):
        paid, f = rng.uniform(-1.0, 1.0, 3), rng.standard_normal((3, 2))
        loss = _Colleague(paid, 0.7, bool(index & 1), bool(index & 2))
        cases.append(case(f"colleague {len(cases) + 1}'s loss, 3 walks", loss, f))
    below = _Colleague(np.array([0.0]), 0.5, True, False)
    return [*cases, case("a loss of one walk with answers 4 and 1", below, np.array([[4.0, 1.0]]))]


def _moves(loss: _Colleague, f: np.ndarray) -> tuple[bool, bool]:
    return loss.guess, loss.target


def _stops_without_slope(loss: _Colleague, f: np.ndarray) -> tuple[bool, bool]:
    if not (loss.guess or loss.target):
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    return _moves(loss, f)


def _always(guess: bool, target: bool) -> Callable[..., tuple[bool, bool]]:
    return lambda loss, f: (guess, target)


def _leaves_f_alone(what_moves: Callable[..., Any]) -> None:
    f = torch.tensor([[1.0, 4.0]], dtype=torch.float64)
    answer(what_moves, _Colleague(np.array([10.0]), 0.5, True, False), f, tried="what_moves on one walk")
    if f.requires_grad or f.grad is not None:
        raise CheckFailed(
            "what_moves on one walk: the answers that you were given now require a gradient.\n"
            "Hint: requires_grad_() changes the tensor itself: work on a copy, f.detach().clone()."
        )


check_what_moves = Check(
    name="what_moves",
    cases=_colleague_cases,
    right=_moves,
    results=("guess_moves", "target_moves"),
    give=tensors,
    mistakes=[
        (
            "two tries cannot be told apart here: look at the slopes of both columns, on every loss.",
            *(_always(*each) for each in ((True, True), (False, False), (True, False), (False, True))),
        ),
        (
            "the two are exchanged: column 0 of f is the guess, column 1 goes into the target.",
            lambda *a: _moves(*a)[::-1],
        ),
        (
            "one answer for both: look at the slope of column 0 and of column 1 apart.",
            lambda loss, f: (loss.guess or loss.target,) * 2,
            lambda loss, f: (loss.guess and loss.target,) * 2,
        ),
        (
            "only positive slopes were counted; a negative one moves a weight as well. Compare with 0.",
            lambda loss, f: (loss.guess and _error(loss, f) < 0, loss.target and _error(loss, f) > 0),
        ),
        (
            "one of the losses moves nothing at all, and autograd stops: look at `.requires_grad` first.",
            _stops_without_slope,
        ),
    ],
    hint="a copy of f that requires a gradient, the loss of it, its slope (B, 2); then: is anything in a column not 0?",
    says="a loss is known by what it moves, not by its number",
    also=[_leaves_f_alone],
)


def _error(loss: _Colleague, f: np.ndarray) -> float:
    return float(loss.paid[0] + loss.gamma * f[0, 1] - f[0, 0])


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


def _without_detach(P: np.ndarray, r: np.ndarray, gamma: float, mu: np.ndarray) -> np.ndarray:
    """Where the mean squared TD error is least: its slope and bend by differences, exact for a square; then solve."""
    n, unit = len(r), np.eye(len(r))

    def loss(v: np.ndarray) -> float:
        return _mean_squared(v, P, r, gamma, mu)

    slope = np.array([(loss(e) - loss(-e)) / 2 for e in unit])
    bend = np.array([[loss(a + b) - loss(a) - loss(b) + loss(0 * a) for b in unit] for a in unit])
    return np.linalg.lstsq(bend, -slope, rcond=1e-9)[0] if n else slope


def _stacked(P: np.ndarray, r: np.ndarray, gamma: float, weight: np.ndarray, ahead: float = -1.0) -> np.ndarray:
    """Least squares over all pairs (s, s'), each row times the root of its weight."""
    n = len(r)
    here, to = np.divmod(np.arange(n * n), n)
    rows = np.eye(n)[here] + ahead * gamma * np.eye(n)[to]
    root = np.sqrt(weight.ravel())
    return np.linalg.lstsq(rows * root[:, None], r[here] * root, rcond=1e-9)[0]


check_without_detach = Check(
    name="without_detach",
    cases=lambda rng: [one for one in _chain_cases(rng) if "random" in one.tried] + [_split_with_counts()],
    right=_without_detach,
    mistakes=[
        (
            "these are the exact values, where SEMI-gradient TD rests. The full gradient rests where the mean of the "
            "squares is least, and that is elsewhere.",
            lambda P, r, gamma, mu: _exact(P, r, gamma),
        ),
        (
            "all pairs count alike here; each has the weight mu(s) P(s, s').",
            lambda P, r, gamma, mu: _stacked(P, r, gamma, np.ones(P.shape)),
        ),
        (
            "mu has no effect: a state that is left often counts more.",
            lambda P, r, gamma, mu: _stacked(P, r, gamma, P),
        ),
        (
            "the weights enter squared: multiply rows and right side by their ROOTS, the squares then carry them.",
            lambda P, r, gamma, mu: _stacked(P, r, gamma, (mu[:, None] * P) ** 2),
        ),
        (
            "gamma is missing in front of the next value.",
            lambda P, r, gamma, mu: _stacked(P, r, 1.0, mu[:, None] * P),
        ),
        (
            "P is transposed: row s of P leads from s.",
            lambda P, r, gamma, mu: _stacked(P, r, gamma, mu[:, None] * P.T),
        ),
        (
            "a sign: the error is r + gamma v(s') - v(s), so v(s) and gamma v(s') stand on the same side with "
            "opposite signs.",
            lambda P, r, gamma, mu: _stacked(P, r, gamma, mu[:, None] * P, ahead=1.0),
        ),
    ],
    hint="one row for each pair: e_s - gamma e_s', right side r(s), both times the root of mu(s) P(s, s'); then lstsq.",
    says="you know where the full gradient ends without running it",
)


def _split_with_counts() -> Case:
    P = np.array([[0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    mu = np.array([0.4, 0.2, 0.2, 0.2])
    return case("A that leads to B or C, gamma = 0.9", P, np.array([0.0, 1.0, 0.0, 0.0]), 0.9, mu)


def _pilot_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for N, p, target in ((5, 2, 0.11), (8, 4, 0.3), (60, 3, 0.05)):
        updates = rng.standard_normal((N, p)) * rng.uniform(0.3, 2.0, p) + 1.0
        cases.append(case(f"a pilot of {N} tasks and {p} weights, target {target}", updates, target))
    return cases


def _scatter(updates: np.ndarray, about_zero: bool = False) -> float:
    """Half the mean squared distance of two different tasks: what a single task adds on average, all weights."""
    if about_zero:
        return float((updates**2).sum(axis=1).mean())
    N = len(updates)
    return math.fsum(float((a - b) @ (a - b)) for a in updates for b in updates) / (2 * N * (N - 1))


def _needed(updates: np.ndarray, target: float) -> int:
    return math.ceil(_scatter(updates) / target**2)


check_tasks_needed = Check(
    name="tasks_needed",
    cases=_pilot_cases,
    right=_needed,
    mistakes=[
        (
            "the pilot's mean was not taken off: noise is how single updates scatter about their mean.",
            lambda u, target: math.ceil(_scatter(u, about_zero=True) / target**2),
        ),
        (
            "noise falls with the ROOT of the number of tasks: half of it needs four times as many.",
            lambda u, target: math.ceil(math.sqrt(_scatter(u)) / target),
            lambda u, target: math.ceil(_scatter(u) / target),
        ),
        (
            "J is the length of a vector: the variances of all weights add up.",
            lambda u, target: math.ceil(_scatter(u) / u.shape[1] / target**2),
        ),
        (
            "add variances, not standard deviations: independent noises add in squares.",
            lambda u, target: math.ceil((u.std(axis=0, ddof=1).sum() / target) ** 2),
        ),
        (
            "divide the squares by one less than the pilot's tasks: their mean was taken from them (`ddof=1`).",
            lambda u, target: math.ceil(u.var(axis=0).sum() / target**2),
        ),
        ("rounded down, the noise is a little above the target: round up.", lambda u, target: _needed(u, target) - 1),
        ("tasks are whole: round up to the next whole number.", lambda u, target: _scatter(u) / target**2),
        (
            "that is how the LENGTHS of single updates scatter; directions scatter, too.",
            lambda u, target: math.ceil(np.linalg.norm(u, axis=1).var(ddof=1) / target**2),
        ),
    ],
    hint="the mean over N tasks has the variance of one task over N; J^2 adds it up over all weights.",
    says="how many tasks a measurement needs, before it is made",
)
hint = graded_hints(
    "Say that the true mean update is 0. J is then the length of a mean of N independent vectors. How large is J^2?",
    "One weight first: a mean of N numbers with variance s^2 has the variance s^2 / N. Then all weights: squares add.",
    "On average J^2 is S / N. S is the sum of all weights' variances in the pilot, with ddof=1, since the pilot's own "
    "mean is taken off. The root of it is at most the target when N is at least S / target^2: round up.",
)
