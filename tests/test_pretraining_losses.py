"""Losses and NEU in plain loops; gradients against finite differences, and of seeds together against each alone."""

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from icrl_teach.pretraining.answers import answers, constructed_parameters, initial_parameters
from icrl_teach.pretraining.batches import Batch, draw_batch
from icrl_teach.pretraining.config import PretrainConfig
from icrl_teach.pretraining.losses import Learner, loss, neu_loss, neu_squared, td_errors_of, value_error
from oracles import assert_close
from pretraining_cases import NORMALISATIONS, drawn, generator, gradient, noise, small, windows


def test_td_errors_and_losses_in_plain_loops():
    config = small()
    batch, parameters = drawn(config), noise(config)
    f = answers(parameters, batch, config).tolist()
    deltas, misses = [], []
    for b, w, path in windows(batch):
        if w < 3:
            s = path[-1]  # the query: its reward is the next one, R_{n+1}
            deltas.append(batch.reward[b, s].item() + 0.7 * f[b][w + 1] - f[b][w])
            misses.append(f[b][w] - batch.value[b, s].item())
    assert_close(td_errors_of(parameters, batch, config)[0].flatten(), deltas)
    assert_close(loss(parameters, batch, config), np.mean(np.square(deltas)))
    for what in (value_error(parameters, batch, config), loss(parameters, batch, replace(config, loss="value"))):
        assert_close(what, np.mean(np.square(misses)))


def differences(function, parameters, h=1e-6) -> torch.Tensor:
    slopes = []
    for name, p in parameters.items():
        for index in np.ndindex(*p.shape):
            ends = []
            for sign in (1, -1):
                moved = {k: v.clone() for k, v in parameters.items()}
                moved[name][index] += sign * h
                ends.append(function(moved).item())
            slopes.append((ends[0] - ends[1]) / (2 * h))
    return torch.tensor(slopes, dtype=torch.float64)


@NORMALISATIONS
@pytest.mark.parametrize("masked", [True, False])
def test_the_gradient_is_a_semi_gradient(masked, normalisation):
    config = small(masked=masked, normalisation=normalisation, features="random", d=2, n_layers=2)
    batch, parameters = drawn(config), noise(config, size=5.0 if masked else 2.0)
    frozen = answers(parameters, batch, config)[:, 1:]
    reward = batch.reward.gather(1, batch.query[:, :-1])

    def with_frozen_target(theta):
        return (reward + 0.7 * frozen - answers(theta, batch, config)[:, :-1]).square().mean()

    def with_moving_target(theta):
        f = answers(theta, batch, config)
        return (reward + 0.7 * f[:, 1:] - f[:, :-1]).square().mean()

    actual = gradient(lambda theta: loss(theta, batch, config), parameters)
    assert_close(actual, differences(with_frozen_target, parameters), rel=1e-6)
    assert (actual - differences(with_moving_target, parameters)).abs().max() > 1e-2 * actual.abs().max()


def test_the_value_loss_has_an_ordinary_gradient():
    config = small(loss="value", n_layers=2)
    batch, parameters = drawn(config), noise(config)
    expected = differences(lambda theta: value_error(theta, batch, config), parameters)
    assert_close(gradient(lambda theta: loss(theta, batch, config), parameters), expected, rel=1e-6)


def updates(config, parameters, batch) -> np.ndarray:
    """delta grad f of every window, one backward pass each, in the order of tasks and windows: (B, W, parameters)."""
    f = answers(parameters, batch, config).detach()
    rows = []
    for b in range(len(f)):
        for w in range(f.shape[1] - 1):
            g = gradient(lambda theta, b=b, w=w: answers(theta, batch, config)[b, w], parameters)
            s = batch.states[b, batch.n_context + w]
            delta = batch.reward[b, s] + config.gamma * f[b, w + 1] - f[b, w]
            rows.append((delta * g).numpy())
    return np.array(rows).reshape(len(f), f.shape[1] - 1, -1)


@pytest.mark.parametrize("masked", [True, False])
def test_neu_in_plain_loops(masked):
    config = small(n_tasks=12, masked=masked, d=5)
    batch, parameters = drawn(config), noise(config, size=5.0 if masked else 1.0)
    groups = updates(config, parameters, batch).mean(1).reshape(6, 2, -1).mean(1)  # six groups of two tasks
    J = neu_loss(parameters, batch, config, n_groups=6)
    assert_close(J.value, np.linalg.norm(groups.mean(0)))
    along = groups @ (groups.mean(0) / np.linalg.norm(groups.mean(0)))
    assert_close(J.standard_error, np.std(along, ddof=1) / math.sqrt(6))

    def pairs(members):
        return np.mean([groups[a] @ groups[b] for a, b in permutations(members, 2)])

    squared = neu_squared(parameters, batch, config, n_groups=6)
    assert_close(squared.value, pairs(range(6)), rel=1e-8)
    without = np.array([pairs([g for g in range(6) if g != out]) for out in range(6)])
    assert_close(squared.standard_error, math.sqrt(5 / 6 * np.square(without - without.mean()).sum()), rel=1e-6)


def test_the_squared_estimate_is_unbiased_and_the_plain_norm_is_not():
    config = PretrainConfig(n_tasks=12, n_windows=1, n_layers=2, n_context=(15, 15))
    parameters, g = constructed_parameters(config), generator(1)
    truth = neu_squared(parameters, draw_batch(config, g, 24_000), config, n_groups=60)
    few = [draw_batch(config, g) for _ in range(150)]
    squares = [neu_squared(parameters, batch, config, n_groups=4) for batch in few]
    estimates = np.array([s.value for s in squares])
    error = math.hypot(estimates.std(ddof=1) / math.sqrt(len(few)), truth.standard_error)
    assert abs(estimates.mean() - truth.value) < 4 * error
    plain = np.array([neu_loss(parameters, batch, config, n_groups=4).value ** 2 for batch in few])
    assert plain.mean() - truth.value > 6 * math.hypot(plain.std() / math.sqrt(len(few)), truth.standard_error)
    assert (estimates < 0).any()  # an unbiased estimate of a small square must sometimes be negative


def test_standard_errors_are_the_spread_of_the_estimates():
    config = PretrainConfig(n_tasks=64, n_windows=1, n_layers=2, n_context=(15, 15))
    parameters, g = {k: 5 * v for k, v in initial_parameters(config, 0).items()}, generator(2)
    for estimate in (neu_loss, neu_squared):
        found = [estimate(parameters, draw_batch(config, g), config, n_groups=16) for _ in range(120)]
        spread = np.std([e.value for e in found], ddof=1)
        claimed = math.sqrt(np.mean([e.standard_error**2 for e in found]))
        assert 0.7 < claimed / spread < 1.6, estimate.__name__
        large = estimate(parameters, draw_batch(config, g, 64 * 64), config, n_groups=64)
        assert large.standard_error < claimed / 4  # 64 times the tasks: an eighth of the error


def test_theorem_3_constructed_parameters_hardly_move_when_deep_and_long():
    def estimates(parameters_of, n_layers, n_context):
        config = PretrainConfig(n_layers=n_layers, n_context=(n_context, n_context), n_windows=1)
        batch = draw_batch(config, generator(4), 4096)
        return [neu(parameters_of(config), batch, config, n_groups=64) for neu in (neu_loss, neu_squared)]

    J, squared = estimates(constructed_parameters, 8, 400)
    J_noise, _ = estimates(lambda config: initial_parameters(config, 0), 8, 400)
    assert J.value < 0.05 * J_noise.value
    assert abs(squared.value) < 4 * squared.standard_error  # nothing left that 4,096 tasks could tell from zero
    for n_layers, n_context in ((2, 400), (8, 10)):  # too shallow, too short: it would still move
        _, left = estimates(constructed_parameters, n_layers, n_context)
        assert left.value > 4 * left.standard_error


def test_groups_must_divide_the_tasks():
    config = small()
    batch = draw_batch(config, generator())
    for n_groups in (2, 3):
        with pytest.raises(ValueError, match=rf"n_groups is {n_groups}; .* divide the 4 tasks"):
            neu_squared(initial_parameters(config, 0), batch, config, n_groups)


def test_neu_is_zero_where_nothing_is_wrong():
    config = small(gamma=0.0, n_layers=1)
    batch = drawn(config, n_tasks=8)
    batch = batch._replace(reward=torch.zeros_like(batch.reward))
    assert neu_loss(noise(config), batch, config, n_groups=4) == (0.0, 0.0)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kind", ["td", "value"])
def test_seeds_together_have_the_gradients_of_each_alone(masked, kind):
    config = small(seeds=(0, 7, 8), masked=masked, loss=kind)
    batch = draw_batch(config, generator(), 12)
    learner = Learner(config)
    losses = learner(*batch.split(3))
    losses.sum().backward()
    for i, seed in enumerate((0, 7, 8)):
        own = Batch(*(t[4 * i : 4 * i + 4] for t in batch))
        alone = {name: p.clone().requires_grad_() for name, p in initial_parameters(config, seed).items()}
        value = loss(alone, own, config)
        value.backward()
        assert_close(losses[i].detach(), value.detach(), rel=1e-6)
        for name, p in alone.items():
            assert_close(learner.theta[name].grad[i], p.grad, rel=1e-5)


def test_without_a_number_of_groups_there_are_32():
    config = small(n_tasks=64)
    batch, theta = draw_batch(config, generator()), initial_parameters(config, 0)
    for estimate in (neu_loss, neu_squared):
        assert estimate(theta, batch, config) == estimate(theta, batch, config, n_groups=32)
