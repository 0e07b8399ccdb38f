"""Right and wrong answers for the checks of sheet 09 that were not derived from the checks."""

from __future__ import annotations

import numpy as np
import torch

from check_cases import Case, as_arrays
from icrl_teach.checks.sheet_09 import (
    check_descend,
    check_luck,
    check_tasks_needed,
    check_what_moves,
    check_windows,
    check_without_detach,
)


def windows(states, n):
    return np.lib.stride_tricks.sliding_window_view(states, n + 1)


def windows_by_loop(states, n):
    return [list(states[t : t + n + 1]) for t in range(len(states) - n)]


def luck(P, r, gamma, mu):
    v = np.linalg.solve(np.eye(len(r)) - gamma * P, r)
    return gamma**2 * mu @ (P @ v**2 - (P @ v) ** 2)


def luck_by_errors(P, r, gamma, mu):
    v = np.linalg.solve(np.eye(len(r)) - gamma * P, r)
    delta = r[:, None] + gamma * v - v[:, None]
    return (mu[:, None] * P * delta**2).sum()


def what_moves(loss, f):
    f = f.detach().clone().requires_grad_()
    value = loss(f)
    if not value.requires_grad:
        return False, False
    slope = torch.autograd.grad(value, f)[0]
    return bool((slope[:, 0] != 0).any()), bool((slope[:, 1] != 0).any())


def what_moves_by_parts(loss, f):
    moves = []
    for column in (0, 1):
        part = f[:, column].detach().clone().requires_grad_()
        columns = [f[:, 0], f[:, 1]]
        columns[column] = part
        value = loss(torch.stack(columns, dim=1))
        if value.requires_grad:
            value.backward()
        moves.append(part.grad is not None and bool(part.grad.abs().sum() > 0))
    return tuple(moves)


def what_moves_numerically(loss, f):
    """The loss changes with either column: numbers do not tell what is detached."""
    step = torch.tensor([[1e-6, 0.0]], dtype=f.dtype)
    return bool(loss(f + step) != loss(f)), bool(loss(f + step.flip(1)) != loss(f))


def what_moves_without_asking(loss, f):
    f = f.clone().requires_grad_()
    slope = torch.autograd.grad(loss(f), f)[0]
    return bool(slope[:, 0].any()), bool(slope[:, 1].any())


def what_moves_on_the_given(loss, f):
    value = loss(f.requires_grad_())
    if not value.requires_grad:
        return False, False
    slope = torch.autograd.grad(value, f)[0]
    return bool(slope[:, 0].any()), bool(slope[:, 1].any())


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


def without_detach(P, r, gamma, mu):
    n = len(r)
    root = np.sqrt(mu[:, None] * P)
    rows = [root[s, to] * (np.eye(n)[s] - gamma * np.eye(n)[to]) for s in range(n) for to in range(n)]
    right = [root[s, to] * r[s] for s in range(n) for to in range(n)]
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]


def without_detach_by_normal_equations(P, r, gamma, mu):
    """The slope of the mean square is 0: both ends of each transition move."""
    D, into = np.diag(mu), np.diag(mu @ P)
    left = D - gamma * (D @ P + P.T @ D) + gamma**2 * into
    return np.linalg.solve(left, D @ r - gamma * P.T @ D @ r)


def tasks_needed(updates, target):
    return int(np.ceil(updates.var(axis=0, ddof=1).sum() / target**2))


def tasks_needed_by_covariance(updates, target):
    return int(np.ceil(np.trace(np.atleast_2d(np.cov(updates.T))) / target**2))


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
        check_luck,
        right=[luck, luck_by_errors],
        wrong=[
            (lambda P, r, gamma, mu: luck(P, r, gamma, mu) / 2, "sum mu(s) P(s, s')"),
            (lambda P, r, gamma, mu: luck(P, r, gamma, mu) * mu, "expected shape"),
            (lambda P, r, gamma, mu: mu @ r**2 - (mu @ r) ** 2, "over all pairs"),
        ],
    ),
    Case(
        check_what_moves,
        right=[what_moves, what_moves_by_parts],
        wrong=[
            (what_moves_numerically, "look at the slopes of both columns"),
            (what_moves_without_asking, "moves nothing at all"),
            (what_moves_on_the_given, "now require a gradient"),
            (lambda loss, f: what_moves(loss, f)[0], "2 results"),
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
        check_without_detach,
        right=[without_detach, without_detach_by_normal_equations],
        wrong=[
            (lambda P, r, gamma, mu: np.linalg.solve(np.eye(len(r)) - gamma * P, r), "SEMI-gradient"),
            (lambda P, r, gamma, mu: without_detach(P, r, gamma, mu) / 2, "then lstsq"),
        ],
    ),
    Case(
        check_tasks_needed,
        right=[tasks_needed, tasks_needed_by_covariance],
        wrong=[
            (lambda updates, target: len(updates), "variance of one task over N"),
            (lambda updates, target: tasks_needed(updates, target) + 1, "variance of one task over N"),
        ],
    ),
]
