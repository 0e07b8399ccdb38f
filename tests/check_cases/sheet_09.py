"""Right and wrong answers for sheet 09."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from check_cases import Case, as_arrays
from icrl_teach.checks.sheet_09 import (
    check_descend,
    check_neu,
    check_neu_squared,
    check_td_loss,
    check_windows,
)


def windows(states, n):
    return np.lib.stride_tricks.sliding_window_view(states, n + 1)


def windows_by_loop(states, n):
    return [list(states[t : t + n + 1]) for t in range(len(states) - n)]


def too_short_windows(states, n):
    return np.array([states[t : t + n] for t in range(len(states) - n)])


def full_windows(step):
    def wrong(states, n):
        starts = [t for t in range(0, len(states), step(n)) if t + n + 1 <= len(states)]
        return np.array([states[t : t + n + 1] for t in starts])

    return wrong


def td_loss(f, states, reward, gamma):
    n = states.shape[1] - f.shape[1]
    R = reward.gather(1, states[:, n:-1])
    return (R + gamma * f[:, 1:].detach() - f[:, :-1]).square().mean()


def td_loss_by_loops(f, states, reward, gamma):
    n, losses = states.shape[1] - f.shape[1], []
    for b in range(len(f)):
        for t in range(f.shape[1] - 1):
            with torch.no_grad():
                target = reward[b, states[b, n + t]] + gamma * f[b, t + 1]
            losses.append((target - f[b, t]) ** 2)
    return sum(losses) / len(losses)


def make_loss(shift=0, target=lambda f: f[:, 1:].detach(), guess=lambda f: f[:, :-1], gamma=None, finish=None):
    """The TD loss with one part changed."""

    def wrong(f, states, reward, discount):
        n = states.shape[1] - f.shape[1] + shift
        R = reward.gather(1, states[:, n : n + f.shape[1] - 1])
        delta = R + (discount if gamma is None else gamma) * target(f) - guess(f)
        return delta.square().mean() if finish is None else finish(delta)

    return wrong


def td_loss_with_a_reward_too_many(f, states, reward, gamma):
    R = reward.gather(1, states[:, states.shape[1] - f.shape[1] :])
    return (R + gamma * f[:, 1:].detach() - f[:, :-1]).square().mean()


def descend(theta, batches, loss, learning_rate):
    for batch in batches:
        theta = theta.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(theta, batch), theta)
        theta = (theta - learning_rate * slope).detach()
    return theta


def descend_with_backward(theta, batches, loss, learning_rate, clear=True):
    theta = theta.clone().requires_grad_()
    for batch in batches:
        loss(theta, batch).backward()
        with torch.no_grad():
            theta -= learning_rate * theta.grad
        if clear:
            theta.grad = None
    return theta.detach()


def descend_piling_up(theta, batches, loss, learning_rate):
    return descend_with_backward(theta, batches, loss, learning_rate, clear=False)


def descend_by_index(theta, batches, loss, learning_rate):
    for i in range(len(batches)):
        theta = descend(theta, [batches[i]], loss, learning_rate)
    return theta


def descend_first_only(theta, batches, loss, learning_rate):
    return descend(theta, list(batches)[:1], loss, learning_rate)


def descend_without_the_last(theta, batches, loss, learning_rate):
    return descend(theta, list(batches)[:-1], loss, learning_rate)


def descend_on_the_same(theta, batches, loss, learning_rate):
    batches = list(batches)
    return descend(theta, [batches[0]] * len(batches), loss, learning_rate)


def descend_with_its_graph(theta, batches, loss, learning_rate):
    theta = theta.clone().requires_grad_()
    for batch in batches:
        theta = theta - learning_rate * torch.autograd.grad(loss(theta, batch), theta)[0]
    return theta


def descend_marking_the_given(theta, batches, loss, learning_rate):
    for batch in batches:
        theta.requires_grad_()
        theta = (theta - learning_rate * torch.autograd.grad(loss(theta, batch), theta)[0]).detach()
    return theta


def descend_from_the_start(theta, batches, loss, learning_rate):
    return theta + sum(descend(theta, [batch], loss, learning_rate) - theta for batch in batches)


def descend_in_place(theta, batches, loss, learning_rate):
    for batch in batches:
        at = theta.clone().requires_grad_()
        theta -= learning_rate * torch.autograd.grad(loss(at, batch), at)[0]
    return theta


def neu(delta, gradients):
    return np.linalg.norm((delta[:, None] * gradients).mean(axis=0))


def neu_by_product(delta, gradients):
    mean = delta @ gradients / len(delta)
    return float(mean @ mean) ** 0.5


def updates(delta, gradients):
    return delta[:, None] * gradients


def neu_squared(g):
    total = g.sum(axis=0)
    return (total @ total - (g**2).sum()) / (len(g) * (len(g) - 1))


def neu_squared_by_pairs(g):
    return np.mean([a @ b for a, b in itertools.combinations(g, 2)])


def norms(g):
    return np.linalg.norm(g, axis=1)


CASES = [
    Case(
        check_windows,
        right=[windows, as_arrays(windows_by_loop)],
        wrong=[
            (lambda states, n: windows(states, n - 1), "yours have n."),
            (too_short_windows, "each lacks its last state"),
            (lambda states, n: windows(states, n)[:-1], "the last window is missing"),
            (full_windows(lambda n: n + 1), "your windows don't overlap"),
            (full_windows(lambda n: n), "share one state only"),
            (lambda states, n: windows(states, n)[1:], "the first window is missing"),
            (lambda states, n: windows(states, n).T, "each row is a position of all windows"),
            (lambda states, n: windows(states, n)[:, ::-1], "is turned round"),
            (lambda states, n: [states[t : t + n + 1].tolist() for t in range(len(states))], "different lengths"),
            (lambda states, n: windows(states, n).astype(int), "whole numbers only"),
            (lambda states, n: tuple(map(tuple, windows(states, n))), "returned a tuple"),
        ],
    ),
    Case(
        check_td_loss,
        right=[td_loss, td_loss_by_loops],
        wrong=[
            (make_loss(target=lambda f: f[:, 1:]), "also flows through the target"),
            (make_loss(target=lambda f: f[:, 1:], guess=lambda f: f[:, :-1].detach()), "detached the guess"),
            (lambda f, *rest: td_loss(f.detach(), *rest), "no gradient reaches the weights"),
            (make_loss(gamma=1.0), "gamma is missing"),
            (make_loss(shift=-1), "led INTO the query"),
            (make_loss(shift=1), "leaving the NEXT query"),
            (td_loss_with_a_reward_too_many, "one reward too many"),
            (make_loss(finish=lambda delta: delta.square().sum(dim=1).mean()), "average over walks only"),
            (make_loss(target=lambda f: f[:, :-1].detach(), guess=lambda f: f[:, 1:]), "the two answers are exchanged"),
            (make_loss(guess=lambda f: -f[:, :-1]), "is subtracted, not added"),
            (make_loss(finish=lambda delta: delta.mean() ** 2), "square each error first"),
            (make_loss(finish=lambda delta: delta.mean()), "this is the mean error"),
            (make_loss(finish=lambda delta: delta.square().sum()), "sum of the squares"),
            (make_loss(finish=lambda delta: delta.square().mean() / 2), "factor 1/2 too much"),
        ],
    ),
    Case(
        check_descend,
        right=[descend, descend_with_backward],
        wrong=[
            (lambda theta, batches, loss, rate: descend(theta, batches, loss, -rate), "you walk uphill"),
            (descend_piling_up, "slopes pile up"),
            (lambda theta, batches, loss, rate: descend(theta, batches, loss, 1.0), "the learning rate has no effect"),
            (descend_first_only, "only the first batch"),
            (descend_without_the_last, "the last batch is left out"),
            (descend_on_the_same, "uses the same batch"),
            (descend_by_index, "without length or index"),
            (descend_with_its_graph, "not a tensor without gradient"),
            (descend_marking_the_given, "now requires a gradient"),
            (descend_from_the_start, "taken at the starting weights"),
            (lambda theta, *rest: theta, "is the new theta kept"),
            (descend_in_place, "changed an array it was given"),
        ],
    ),
    Case(
        check_neu,
        right=[neu, neu_by_product],
        wrong=[
            (lambda delta, g: norms(updates(delta, g)).mean(), "this is the mean of the norms"),
            (lambda delta, g: np.sqrt((norms(updates(delta, g)) ** 2).mean()), "you averaged squared norms"),
            (lambda delta, g: np.linalg.norm(delta.mean() * g.mean(axis=0)), "not the product of the means"),
            (lambda delta, g: neu(delta, g) * len(g), "this is the norm of the sum"),
            (lambda delta, g: neu(delta, g) ** 2, "this is J squared"),
            (lambda delta, g: neu(np.ones_like(delta), g), "delta is missing"),
            (lambda delta, g: np.linalg.norm(np.abs(updates(delta, g)).mean(axis=0)), "nothing can cancel"),
            (lambda delta, g: np.abs(delta @ g / len(g)).sum(), "this adds absolute entries"),
            (lambda delta, g: np.abs(delta @ g / len(g)).max(), "this is the largest entry"),
        ],
    ),
    Case(
        check_neu_squared,
        right=[neu_squared, neu_squared_by_pairs],
        wrong=[
            (lambda g: float(g.mean(axis=0) @ g.mean(axis=0)), "also paired with itself"),
            (lambda g: neu_squared(g) * (len(g) - 1) / len(g), "divide by that many"),
            (lambda g: neu_squared(g) / 2, "counted once"),
            (lambda g: neu_squared(g) * 2, "counted twice"),
            (lambda g: neu_squared(g) * len(g) * (len(g) - 1), "this is the sum over pairs"),
            (lambda g: (g**2).sum(axis=1).mean(), "squared norms alone"),
            (lambda g: abs(neu_squared(g)), "the sign is lost"),
            (lambda g: max(neu_squared(g), 0.0), "you cut at 0"),
            (lambda g: abs(neu_squared(g)) ** 0.5, "this is a root"),
        ],
    ),
]
