"""Right and wrong answers for the checks of sheet 08 that were not derived from the checks."""

from __future__ import annotations

import math

import numpy as np

from check_cases import Case
from icrl_teach.checks.sheet_08 import (
    check_honest_gain,
    check_layer_steps,
    check_newcomer,
    check_plan,
    check_rms_errors,
    check_sign_test,
)


def rms_errors(memory, states, exact):
    errors = np.empty(memory.shape[:2])
    for b in range(len(states)):
        left, first = np.unique(states[b, :-1], return_index=True)
        errors[:, b] = np.sqrt(((memory[:, b, first] - exact[b, left]) ** 2).mean(axis=1))
    return errors


def rms_errors_by_mask(memory, states, exact):
    L1, B, _ = memory.shape
    values, left = np.zeros((L1, B, exact.shape[1])), np.zeros(exact.shape, dtype=bool)
    for b in range(B):
        values[:, b, states[b]] = memory[:, b]
        left[b, states[b, :-1]] = True
    square = np.where(left, (values - exact) ** 2, 0.0)
    return np.sqrt(square.sum(axis=2) / left.sum(axis=1))


def plan(target, n0, floor0, error0, gamma):
    n = math.ceil(n0 * (2 * floor0 / target) ** 2)
    return n, math.ceil(math.log(target / 2 / error0) / math.log(gamma))


def plan_in_numpy(target, n0, floor0, error0, gamma):
    return np.ceil([n0 * 4 * floor0**2 / target**2, np.log2(2 * error0 / target) / np.log2(1 / gamma)])


def sign_test(errors_a, errors_b):
    wins, losses = (errors_a < errors_b).sum(), (errors_a > errors_b).sum()
    m, k = int(wins + losses), int(min(wins, losses))
    return min(1.0, 2 * sum(math.comb(m, i) for i in range(k + 1)) / 2**m)


def sign_test_by_both_tails(errors_a, errors_b):
    gap = errors_a - errors_b
    gap = gap[gap != 0]
    m, far = len(gap), abs(2 * (gap < 0).sum() - len(gap))
    return sum(math.comb(m, i) for i in range(m + 1) if abs(2 * i - m) >= far) / 2**m


def honest_gain(errors, mean=np.median):
    first, second = np.split(errors, [errors.shape[1] // 2], axis=1)
    chosen = mean(first, axis=1).argmin()
    gains = [1 - mean(part[chosen]) / mean(part[-1]) for part in (first, second)]
    return chosen, *gains


def honest_gain_by_quantiles(errors):
    half = errors.shape[1] // 2
    low, fresh = np.quantile(errors[:, :half], 0.5, axis=1), np.quantile(errors[:, half:], 0.5, axis=1)
    chosen = int(np.argmin(low))
    return chosen, float(1 - low[chosen] / low[-1]), float(1 - fresh[chosen] / fresh[-1])


def newcomer(memory, rewards, gamma):
    delta = rewards + gamma * memory[:-1, 1:] - memory[:-1, :-1]
    return np.concatenate([[0.0], delta.mean(axis=1).cumsum()])


def newcomer_in_a_loop(memory, rewards, gamma):
    out = np.zeros(len(memory))
    for layer in range(len(memory) - 1):
        errors = rewards + gamma * memory[layer, 1:] - memory[layer, :-1]
        out[layer + 1] = out[layer] + errors.sum() / errors.size
    return out


def layer_steps(low, high, n_layers):
    t = np.cos(np.pi * (2 * np.arange(n_layers) + 1) / (2 * n_layers))
    return np.sort(1 / ((low + high) / 2 + (high - low) / 2 * t))


def layer_steps_by_angles(low, high, n_layers):
    half = (np.arange(n_layers) + 0.5) * math.pi / n_layers / 2
    return np.array(sorted(1 / (low * np.sin(half) ** 2 + high * np.cos(half) ** 2)))


CASES = [
    Case(
        check_rms_errors,
        right=[rms_errors, rms_errors_by_mask],
        wrong=[
            (lambda m, s, v: np.sqrt(((m - np.take_along_axis(v, s, 1)) ** 2).mean(axis=2)), "averaged over positions"),
            (lambda *inputs: rms_errors(*inputs)[1:], "expected shape"),
        ],
    ),
    Case(
        check_plan,
        right=[plan, plan_in_numpy],
        wrong=[
            (lambda *inputs: plan(*inputs)[0], "expected 2 results"),
            (lambda *inputs: (plan(*inputs)[0] * 2, plan(*inputs)[1]), "then round up"),
        ],
    ),
    Case(
        check_sign_test,
        right=[sign_test, sign_test_by_both_tails],
        wrong=[
            (lambda a, b: 1 - sign_test(a, b), "k = min(wins, losses)"),
            (lambda a, b: [sign_test(a, b)], "returned a list"),
        ],
    ),
    Case(
        check_honest_gain,
        right=[honest_gain, honest_gain_by_quantiles],
        wrong=[
            (lambda errors: honest_gain(errors, np.mean), "Take medians"),
            (lambda errors: honest_gain(errors[:, ::-1]), "second half"),
            (lambda errors: honest_gain(errors)[1:], "expected 3 results"),
        ],
    ),
    Case(
        check_newcomer,
        right=[newcomer, newcomer_in_a_loop],
        wrong=[
            (lambda memory, r, gamma: newcomer(memory, r, gamma)[1:], "expected shape"),
            (lambda memory, r, gamma: newcomer(memory, r, 0.0), "its mean is the step"),
        ],
    ),
    Case(
        check_layer_steps,
        right=[layer_steps, layer_steps_by_angles],
        wrong=[
            (lambda low, high, n: layer_steps(low, high, n).tolist(), "returned a list"),
            (lambda low, high, n: layer_steps(low, high, n + 1)[:-1], "one over each; sorted"),
        ],
    ),
]
