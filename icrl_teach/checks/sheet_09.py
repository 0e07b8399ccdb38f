"""Checks of sheet 09: windows, the semi-gradient TD loss, gradient descent, the NEU loss and its square."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.report import CheckFailed, Mistake, answer, compare, passed


def check_windows(windows: Callable[..., Any]) -> None:
    """windows(states, n) -> (len(states) - n, n+1): every window of n transitions, slid by one."""
    rng = np.random.default_rng(901)
    for length, n, unit in ((5, 2, 1), (12, 3, 1), (9, 8, 0.5)):  # the last are no whole numbers, like rewards
        states = rng.permutation(length) * unit
        tried = f"windows of {n} transitions of the walk {states.tolist()}"
        right = [[states[start + k].item() for k in range(n + 1)] for start in range(length - n)]
        wrongs = {
            "a window of n transitions has n + 1 states; yours have n.": _slices(states, n, 1, length - n + 1),
            "the number of windows is right, but each lacks its last state, the query: n + 1 states.": _slices(
                states, n, 1, length - n
            ),
            "the last window is missing: a walk of m states holds m - n windows.": right[:-1],
            "your windows don't overlap. Slide by one: the next window starts one state later.": _slices(
                states, n + 1, n + 1, length
            ),
            "your windows share one state only. Slide by one, not by n.": _slices(states, n + 1, n, length),
            "the first window is missing: it starts at position 0.": right[1:],
            "each row is a position of all windows. Turn it: row = window, column = position in it.": list(
                zip(*right, strict=True)
            ),
            "whole numbers only, but this sheet cuts rewards too. Keep the kind that came in: `dtype=states.dtype`.": (
                np.array(right).astype(int)
            ),
            "the order inside each window is turned round; the query comes last.": [row[::-1] for row in right],
        }
        got = answer(windows, states, n, tried=tried)
        mistakes = [Mistake(np.array(wrong), hint) for hint, wrong in wrongs.items()]
        hint = "window t holds states[t], ..., states[t + n]; row = window."
        if isinstance(got, list | tuple) and len({np.size(row) for row in got}) > 1:
            raise CheckFailed(f"{tried}: the rows have different lengths.\nHint: stop at the last full window.")
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
        if isinstance(got, tuple):
            raise CheckFailed(
                f"{tried}: windows returned a tuple. Later cells calculate with it: make it `np.array(...)`."
            )
    passed("every window has n transitions, and each slides by one")


def _slices(states: np.ndarray, width: int, step: int, end: int) -> list[list[float]]:
    starts = range(0, end, step)
    return [states[s : s + width].tolist() for s in starts if s + width <= len(states)]


def _loss(f: np.ndarray, target_f: np.ndarray, reward_now: np.ndarray, gamma: float) -> float:
    """The mean of delta^2 in plain loops; f is the guess, target_f what stands in the target."""
    total, count = 0.0, 0
    for b, t in itertools.product(range(f.shape[0]), range(f.shape[1] - 1)):
        total += (reward_now[b][t] + gamma * target_f[b][t + 1] - f[b][t]) ** 2
        count += 1
    return total / count


def _rewards(states: np.ndarray, reward: np.ndarray, first: int, count: int) -> np.ndarray:
    """The reward on leaving states[first], states[first + 1], ... of every walk. (B, count)."""
    return np.array([[reward[b][states[b][first + t]] for t in range(count)] for b in range(len(states))])


def _loss_values(f: np.ndarray, states: np.ndarray, reward: np.ndarray, gamma: float) -> tuple[float, list[Mistake]]:
    W = f.shape[1] - 1
    n = states.shape[1] - f.shape[1]
    R = _rewards(states, reward, n, W)
    right = _loss(f, f, R, gamma)
    errors = R + gamma * f[:, 1:] - f[:, :-1]
    early, late = (_rewards(states, reward, n + by, W) for by in (-1, 1))
    every = _rewards(states, reward, n, W + 1)  # also on leaving the last query: fits a single error by broadcasting
    return right, [
        Mistake(
            ((every + gamma * f[:, 1:] - f[:, :-1]) ** 2).mean() if W == 1 else right,
            "one reward too many: the last window is only a target, so leave its query out: states[:, n:-1].",
        ),
        Mistake(_loss(f, f, R, 1.0), "gamma is missing in front of the next window's answer."),
        Mistake(_loss(f, f, early, gamma), "off by one: that reward led INTO the query. Take the one on leaving it."),
        Mistake(_loss(f, f, late, gamma), "off by one: that is the reward on leaving the NEXT query."),
        Mistake(
            ((R + gamma * f[:, :-1] - f[:, 1:]) ** 2).mean(),
            "the two answers are exchanged: gamma goes with f[:, 1:], the next window; f[:, :-1] is subtracted.",
        ),
        Mistake(((R + gamma * f[:, 1:] + f[:, :-1]) ** 2).mean(), "the window's own answer is subtracted, not added."),
        Mistake(errors.mean() ** 2, "square each error first, then take the mean: else opposite errors cancel."),
        Mistake(errors.mean(), "this is the mean error; square each of them before the mean."),
        Mistake(
            (errors**2).sum(axis=1).mean(),
            "you add up the windows of a walk and average over walks only; average over both.",
        ),
        Mistake((errors**2).sum(), "this is the sum of the squares; take their mean over tasks and windows."),
        Mistake((errors**2).mean() / 2, "there is a factor 1/2 too much; here the loss is the plain mean of squares."),
    ]


def _slope(loss: Callable[[np.ndarray], float], theta: np.ndarray) -> np.ndarray:
    """Central differences. (p,)."""
    steps = 1e-5 * np.eye(len(theta))
    return np.array([(loss(theta + h) - loss(theta - h)) / 2e-5 for h in steps])


def check_td_loss(td_loss: Callable[..., Any]) -> None:
    """td_loss(f, states, reward, gamma) -> scalar tensor: right in value, and semi-gradient (finite differences)."""
    rng = np.random.default_rng(912)
    for B, n, W, S, gamma in ((2, 2, 1, 3, 0.5), (3, 4, 2, 4, 0.7), (4, 3, 5, 5, 0.9)):
        states, reward = rng.integers(S, size=(B, n + W + 1)), rng.uniform(-1, 1, (B, S))
        x, theta = rng.standard_normal((B, W + 1, 2)), rng.standard_normal(2)
        tried = f"{B} walks of {n + W + 1} states, {W + 1} windows of {n} transitions, gamma {gamma}"
        weights = torch.tensor(theta, requires_grad=True)
        f = torch.tensor(x) @ weights
        got = answer(td_loss, f, torch.tensor(states), torch.tensor(reward), gamma, tried=tried)
        right, mistakes = _loss_values(x @ theta, states, reward, gamma)
        hint = (
            "R + gamma f[:, 1:] - f[:, :-1], squared, then the mean; R is paid on leaving the state states[:, n + t]."
        )
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
        _check_slope(got, weights, x, _rewards(states, reward, n, W), gamma, tried)
    passed("the loss is right, and no gradient flows through the next window's answer")


def _check_slope(got: Any, weights: torch.Tensor, x: np.ndarray, R: np.ndarray, gamma: float, tried: str) -> None:
    theta = weights.detach().numpy()
    if not (hasattr(got, "requires_grad") and got.requires_grad):
        raise CheckFailed(
            f"{tried}: the value is right, but nothing can be trained with it.\nHint: no gradient reaches the weights: "
            "detach the target alone, and return a tensor (no .item(), no no_grad)."
        )
    (slope,) = torch.autograd.grad(got, weights)
    frozen = x @ theta
    semi = _slope(lambda th: _loss(x @ th, frozen, R, gamma), theta)
    full = _slope(lambda th: _loss(x @ th, x @ th, R, gamma), theta)
    other = _slope(lambda th: _loss(frozen, x @ th, R, gamma), theta)
    mistakes = [
        Mistake(full, "the gradient also flows through the target. Use f[:, 1:].detach(): a target is a given number."),
        Mistake(other, "you detached the guess and let the target move; it must be the other way round."),
    ]
    hint = "only f[:, :-1] may carry a gradient; everything in the target is detached."
    compare(slope, semi, tried=f"{tried}: the gradient", mistakes=mistakes, hint=hint, tolerance=1e-5)


def check_descend(descend: Callable[..., Any]) -> None:
    """descend(theta, batches, loss, learning_rate) -> (p,): one step of gradient descent on each batch."""
    rng = np.random.default_rng(903)
    for p, n_batches, rate in ((3, 4, 0.05), (2, 6, 0.2), (1, 3, 0.1)):
        scale, start = rng.uniform(0.5, 2.0, p), rng.standard_normal(p)
        batches = list(rng.standard_normal((n_batches, p)))
        tried = f"{n_batches} batches, {p} weights, learning rate {rate}, a quadratic loss"

        def loss(theta: Any, batch: Any, scale: np.ndarray = scale) -> Any:
            return (torch.tensor(scale) * (theta - batch) ** 2).sum()  # its slope is 2 scale (theta - batch)

        theta = torch.tensor(start)
        got = _descended(descend, theta, (torch.tensor(batch) for batch in batches), loss, rate, tried)
        wrongs = _descents(start, batches, scale, rate)
        right = wrongs.pop("right")
        mistakes = [Mistake(output, hint) for hint, output in wrongs.items()]
        compare(
            got, right, tried=tried, mistakes=mistakes, hint="theta <- theta - learning_rate * slope, batch by batch."
        )
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
    passed("one step down the slope for every batch, each from where the last one ended")


def _descended(
    descend: Callable[..., Any], theta: torch.Tensor, batches: Iterator[Any], loss: Any, rate: float, tried: str
) -> Any:
    """The learner's answer on batches that can be walked through once, with a hint for len() and an index."""
    try:
        return answer(descend, theta, batches, loss, rate, tried=tried)
    except CheckFailed as failed:
        if isinstance(failed.__cause__, TypeError) and "generator" in str(failed.__cause__):
            raise CheckFailed(
                f"{failed}\nHint: batches may be a generator, without length or index: use `for batch in batches`."
            ) from failed.__cause__
        raise


def _descents(start: np.ndarray, batches: list[np.ndarray], scale: np.ndarray, rate: float) -> dict[str, np.ndarray]:
    """Where the right loop ends, and where usual mistakes end, in plain loops."""

    def walk(step: Callable[[list[np.ndarray]], Any], over: list[np.ndarray]) -> np.ndarray:
        theta, past = start.copy(), list[np.ndarray]()
        for batch in over:
            past.append(2 * scale * (theta - batch))
            theta = theta + step(past)
        return theta

    down = walk(lambda past: -rate * past[-1], batches)
    return {
        "right": down,
        "you walk uphill: subtract the slope.": walk(lambda past: rate * past[-1], batches),
        "slopes pile up: .backward() adds to .grad. Clear it before each step, or use torch.autograd.grad.": walk(
            lambda past: -rate * sum(past), batches
        ),
        "the learning rate has no effect: multiply the slope by it.": walk(lambda past: -past[-1], batches),
        "only the first batch is used.": walk(lambda past: -rate * past[-1], batches[:1]),
        "the last batch is left out.": walk(lambda past: -rate * past[-1], batches[:-1]),
        "every step uses the same batch, the first.": walk(lambda past: -rate * past[-1], [batches[0]] * len(batches)),
        "every slope is taken at the starting weights; take each where the last step ended.": start
        - rate * sum(2 * scale * (start - batch) for batch in batches),
        "these are the starting weights: is the new theta kept from step to step?": start,
    }


def check_neu(neu: Callable[..., Any]) -> None:
    """neu(delta, gradients) -> the norm of the mean update; delta (N,), gradients (N, p)."""
    rng = np.random.default_rng(904)
    for N, p in ((2, 1), (5, 3), (40, 4)):
        delta, gradients = rng.standard_normal(N) + 0.3, rng.standard_normal((N, p)) + 0.2
        tried = f"{N} windows and {p} weights"
        mean = [math.fsum(delta[i] * gradients[i][k] for i in range(N)) / N for k in range(p)]
        right = math.sqrt(sum(m * m for m in mean))
        updates = delta[:, None] * gradients
        norms = np.linalg.norm(updates, axis=1)
        mistakes = [
            Mistake(
                norms.mean(), "this is the mean of the norms: opposite updates must cancel. First mean, then norm."
            ),
            Mistake(np.sqrt((norms**2).mean()), "you averaged squared norms: opposite updates must cancel first."),
            Mistake(
                np.linalg.norm(delta.mean() * gradients.mean(axis=0)),
                "the mean of a product is not the product of the means: multiply window by window.",
            ),
            Mistake(right * N, "this is the norm of the sum; divide by the number of windows."),
            Mistake(right**2, "this is J squared; take the root."),
            Mistake(
                np.linalg.norm(gradients.mean(axis=0)), "delta is missing: each gradient is multiplied by its error."
            ),
            Mistake(
                np.linalg.norm(np.abs(updates).mean(axis=0)), "absolute values before the mean: nothing can cancel."
            ),
            Mistake(np.abs(mean).sum(), "this adds absolute entries; the norm is the root of the sum of squares."),
            Mistake(np.abs(mean).max(), "this is the largest entry; the norm is the root of the sum of squares."),
        ]
        got = answer(neu, delta, gradients, tried=tried)
        compare(
            got,
            right,
            tried=tried,
            mistakes=mistakes,
            hint="delta[:, None] * gradients is (N, p): mean over N, then norm.",
        )
    passed("the norm of the mean update, not the mean of the norms")


def check_neu_squared(neu_squared: Callable[..., Any]) -> None:
    """neu_squared(updates) -> J^2 without bias: the mean of g_a . g_b over all pairs of different rows."""
    rng = np.random.default_rng(905)
    for G, p in ((4, 3), (7, 2), (3, 1)):
        updates = rng.standard_normal((G, p)) + (0.0 if G == 7 else 0.5)
        tried = f"{G} groups and {p} weights"
        pairs = [sum(updates[a][k] * updates[b][k] for k in range(p)) for a, b in itertools.permutations(range(G), 2)]
        right = math.fsum(pairs) / len(pairs)
        mean, squares = updates.mean(axis=0), (updates**2).sum(axis=1)
        mistakes = [
            Mistake(
                mean @ mean,
                "this is the square of the plain J: each group is also paired with itself. Leave a = b out.",
            ),
            Mistake(math.fsum(pairs) / G**2, "only G (G - 1) pairs are left without a = b; divide by that many."),
            Mistake(right / 2, "each pair is counted once, but divided by the number of ordered pairs."),
            Mistake(2 * right, "each pair is counted twice, but divided by the number of unordered pairs."),
            Mistake(math.fsum(pairs), "this is the sum over pairs; divide by their number."),
            Mistake(
                squares.mean(), "these are squared norms alone: noise never cancels in them. Pair different groups."
            ),
            Mistake(abs(right), "the sign is lost: an unbiased estimate of a small square may be negative."),
            Mistake(max(right, 0.0), "you cut at 0: then the estimate is biased again. It may be negative."),
            Mistake(math.sqrt(abs(right)), "this is a root; return J squared, which may be negative."),
        ]
        got = answer(neu_squared, updates, tried=tried)
        hint = "(|sum|^2 - sum of the squared norms) / (G (G - 1))."
        compare(got, right, tried=tried, mistakes=mistakes, hint=hint)
    passed("pairs of different groups only, so noise does not add up")
