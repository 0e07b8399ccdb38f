"""Right and wrong answers for the checks of sheet 09 that were not derived from the checks."""

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


def full_gradient(f, states, reward, gamma):
    R = reward.gather(1, states[:, states.shape[1] - f.shape[1] : -1])
    return (R + gamma * f[:, 1:] - f[:, :-1]).square().mean()


def turned_gradient(f, states, reward, gamma):
    R = reward.gather(1, states[:, states.shape[1] - f.shape[1] : -1])
    return (R + gamma * f[:, 1:] - f[:, :-1].detach()).square().mean()


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


def neu_squared(g):
    total = g.sum(axis=0)
    return (total @ total - (g**2).sum()) / (len(g) * (len(g) - 1))


def neu_squared_by_pairs(g):
    return np.mean([a @ b for a, b in itertools.combinations(g, 2)])


CASES = [
    Case(
        check_windows,
        right=[windows, as_arrays(windows_by_loop)],
        wrong=[
            (lambda states, n: [states[t : t + n + 1].tolist() for t in range(len(states))], "windows on the walk"),
            (lambda states, n: windows(states, n).astype(float), "whole numbers went in"),
            (lambda states, n: tuple(map(tuple, windows(states, n))), "a tuple came back"),
        ],
    ),
    Case(
        check_td_loss,
        right=[td_loss, td_loss_by_loops],
        wrong=[
            (full_gradient, "also flows through the target"),
            (turned_gradient, "detached the guess"),
            (lambda f, *rest: td_loss(f.detach(), *rest), "no gradient reaches the weights"),
            (lambda f, *rest: 0 * f.sum() + td_loss(f.detach(), *rest), "only f[:, :-1] may carry a gradient"),
            (td_loss_with_a_reward_too_many, "one reward too many"),
            (lambda f, states, reward, gamma: td_loss(f, states, reward, 1 - gamma), "squared, then the mean"),
        ],
    ),
    Case(
        check_descend,
        right=[descend, descend_with_backward],
        wrong=[
            (descend_piling_up, "slopes pile up"),
            (descend_by_index, "without length or index"),
            (descend_with_its_graph, "not a tensor without gradient"),
            (descend_marking_the_given, "now requires a gradient"),
            (descend_in_place, "changed an array it was given"),
            (lambda theta, batches, loss, rate: descend(theta, batches, loss, rate / 2), "batch by batch"),
        ],
    ),
    Case(
        check_neu,
        right=[neu, neu_by_product],
        wrong=[
            (lambda delta, g: np.median(np.abs(delta)) * neu(np.sign(delta), g), "two steps"),
            (lambda delta, g: delta @ g / len(g), "expected shape"),
        ],
    ),
    Case(
        check_neu_squared,
        right=[neu_squared, neu_squared_by_pairs],
        wrong=[
            (lambda g: np.mean([a @ b for a, b in itertools.pairwise(g)]), "all pairs of different groups"),
            (lambda g: neu_squared(g) / g.shape[1] ** 2 if g.shape[1] > 1 else 0.0, "all pairs of different groups"),
        ],
    ),
]
