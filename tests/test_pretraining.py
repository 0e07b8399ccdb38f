"""Pretraining by two roads: the batched engine against plain loops and against the Transformer of transformer.py.

Then the engine: gradients against finite differences, seeds and processes against one alone, checkpoints against
kill -9.
"""

import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

import icrl_teach.pretraining as engine
from icrl_teach import PretrainConfig, build_prompt, constructed_parameters, draw_batch, pretrain, value_error
from icrl_teach.losses import (
    Batch,
    answers,
    held_out,
    initial_parameters,
    loss,
    neu_loss,
    neu_squared,
    td_errors_of,
    to_transformer,
    window_counts,
)
from icrl_teach.pretraining import CheckpointError, Learner, clip_each_seed, learning_rate_at, load_result
from oracles import assert_close, softmax_td_loops

NORMALISATIONS = pytest.mark.parametrize("normalisation", ["softmax", "linear", "sigmoid"])


def small(**changes) -> PretrainConfig:
    sizes = {"n_states": (5, 5), "n_context": (9, 9), "d": 5, "n_layers": 3, "n_tasks": 4, "n_windows": 3}
    run = {"n_steps": 6, "gamma": 0.7, "evaluate_every": 2, "snapshot_every": 3}
    return PretrainConfig(**{**sizes, **run, **changes})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def double(batch: Batch) -> Batch:
    return Batch(*(t.double() if t.is_floating_point() else t for t in batch))


def drawn(config: PretrainConfig, seed: int = 0, **more) -> Batch:
    return double(draw_batch(config, generator(seed), **more))


def noise(config: PretrainConfig, seed: int = 0, size: float = 5.0) -> dict[str, torch.Tensor]:
    """Parameters far enough from zero that every entry matters."""
    return {name: size * p.double() for name, p in initial_parameters(config, seed).items()}


def windows(batch: Batch):
    """(task, window, states) of every window, cut from the trajectory by hand; the last one is a bootstrap target."""
    n = batch.n_context
    for b, path in enumerate(batch.states.tolist()):
        for w in range(len(path) - n):
            yield b, w, path[w : w + n + 1]


def embedded(parameters, config: PretrainConfig) -> dict[str, torch.Tensor]:
    """Masked parameters written into the full (d+3) x (d+3) matrices, entry by entry."""
    d, layers = config.d, len(parameters["V"])
    V, A = torch.zeros(layers, d + 3, d + 3).double(), torch.zeros(layers, d + 3, d + 3).double()
    for layer in range(layers):
        for i in range(3):
            V[layer, d + 2, d + i] = parameters["V"][layer, i]
        for i in range(d):
            for j in range(d):
                A[layer, i, j] = parameters["A"][layer, i, j]
    return {"V": V, "A": A}


# --- what a batch holds -----------------------------------------------------------------------------------------


def test_window_counts_are_those_of_counting():
    states = torch.randint(4, (6, 14), generator=generator())
    counts = window_counts(states, 9, 4)
    expected = np.zeros((6, 5, 4, 4))
    for b in range(6):
        for w in range(5):
            for k in range(9):
                expected[b, w, states[b, w + k], states[b, w + k + 1]] += 1
    assert np.array_equal(counts.numpy(), expected)


@pytest.mark.parametrize("family", ["boyan", "loop", "random"])
def test_a_batch_is_made_of_fresh_tasks_with_exact_values(family):
    config, g = small(family=family, n_tasks=50), generator()
    batch, later = draw_batch(config, g), draw_batch(config, g)
    assert batch.states.shape == (50, 9 + 3 + 1) and batch.counts.shape == (50, 4, 5, 5) and batch.n_context == 9
    assert torch.equal(batch.query, batch.states[:, 9:])
    assert (batch.counts.sum((-1, -2)) == 9).all()
    assert not torch.equal(batch.reward, later.reward) and len(batch.reward.unique(dim=0)) == 50
    # v = r + gamma P v, so r - v is gamma times an average of values: it stays within their range.
    average = (batch.value - batch.reward) / config.gamma
    low, high = batch.value.amin(1, keepdim=True), batch.value.amax(1, keepdim=True)
    assert ((average > low - 1e-5) & (average < high + 1e-5)).all()


def test_an_exact_value_is_the_mean_return():
    # Monte Carlo road: returns along one long trajectory of each task, none of the linear algebra.
    config = small(n_context=(4000, 4000), n_tasks=8, n_windows=1, gamma=0.5)
    batch = draw_batch(config, generator())
    for b in range(8):
        path, reward = batch.states[b].tolist(), batch.reward[b].tolist()
        returns, G = [[] for _ in range(5)], 0.0
        for t in range(len(path) - 1, -1, -1):
            G = reward[path[t]] + 0.5 * G
            if t < len(path) - 60:
                returns[path[t]].append(G)
        for s, found in enumerate(returns):
            if len(found) > 200:
                assert abs(np.mean(found) - batch.value[b, s]) < 6 * np.std(found) / math.sqrt(len(found)) + 1e-6


def test_features_are_what_their_names_say():
    one_hot = draw_batch(small(feature_scale=2.0, d=6), generator()).features
    assert torch.equal(one_hot[1], 2 * torch.eye(5, 6))
    scaled = draw_batch(small(features="random", d=3, feature_scale=2.0), generator()).features
    assert scaled.shape == (4, 5, 3) and torch.allclose(scaled.norm(dim=-1), torch.tensor(2.0))
    assert not torch.allclose(scaled[0], scaled[1])  # drawn anew for each task
    grouped = draw_batch(small(features="aggregated", d=2), generator()).features
    assert grouped[0].argmax(-1).tolist() == [0, 0, 0, 1, 1] and (grouped.sum(-1) == 1).all()


def test_sizes_are_drawn_from_their_ranges():
    config, g = small(n_states=(3, 5), n_context=(2, 4)), generator()
    batches = [draw_batch(config, g) for _ in range(60)]
    assert {b.features.shape[1] for b in batches} == {3, 4, 5} and {b.n_context for b in batches} == {2, 3, 4}
    assert {b.states.shape[1] - b.n_context for b in batches} == {4}


def test_held_out_tasks_have_one_size_for_all_families_in_the_middle_of_the_ranges():
    batches = held_out(small(n_states=(3, 5), n_context=(2, 5)), n_tasks=6)
    assert {(b.features.shape[1], b.n_context) for b in batches.values()} == {(4, 3)}


@pytest.mark.parametrize(("n_layers", "tied"), [(0, True), (-2, True), (4, False)])
def test_a_depth_that_the_parameters_do_not_have(n_layers, tied):
    config = small(tied=tied)
    with pytest.raises(ValueError, match=f"n_layers is {n_layers}; "):
        answers(initial_parameters(config, 0), drawn(config), config, n_layers)


# --- answers: three roads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [{}, {"features": "random", "d": 3}, {"features": "aggregated", "d": 2}])
@pytest.mark.parametrize("masked", [True, False])
def test_answers_at_theorem_1_are_weighted_softmax_td_in_plain_loops(features, masked):
    config = small(masked=masked, **features)
    batch = drawn(config)
    parameters = {name: p.double() for name, p in constructed_parameters(config, alpha=0.8, beta=1.5).items()}
    expected = np.zeros((4, 4))
    for b, w, path in windows(batch):
        x, rewards = batch.features[b, path].numpy(), batch.reward[b, path[:-1]].numpy()
        expected[b, w] = softmax_td_loops(x, rewards, 0.7, [0.8] * 3, [1.5] * 3, np.zeros(10))[-1, -1]
    # Theorem 1's alpha is a float32 number in training, 0.8 in the loops.
    assert_close(answers(parameters, batch, config), expected, rel=1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("features", [{}, {"features": "random", "d": 3}])
def test_answers_at_any_parameters_are_those_of_the_transformer(tied, masked, features):
    config = small(tied=tied, masked=masked, **features)
    batch, parameters = drawn(config), noise(config, size=5.0 if masked else 2.0)
    model = to_transformer(parameters, config)
    expected = np.zeros((4, 4))
    for b, w, path in windows(batch):
        prompt = build_prompt(batch.features[b, path], batch.reward[b, path[:-1]])
        expected[b, w] = model.values(prompt)[-1]
    assert_close(answers(parameters, batch, config), expected)


def loops_of(normalisation, x, rewards, gamma, rows, blocks):
    """Section 3's layer on the memory rows alone, for any free row and scores, by loops. The query's last value."""
    n = len(rewards)
    v, target = [0.0] * (n + 1), [0.0] * (n + 1)
    for row, A in zip(rows, blocks, strict=True):
        error = [row[0] * rewards[k] + row[1] * target[k] + row[2] * v[k] for k in range(n)]
        new = []
        for j in range(n + 1):
            scores = [float(x[k] @ A @ x[j]) for k in range(n)]  # Z^T A Z: the source stands on the left
            if normalisation == "softmax":
                weights = [math.exp(s - max(scores)) for s in scores]
                weights = [w / sum(weights) for w in weights]
            else:
                weights = [(s if normalisation == "linear" else 1 / (1 + math.exp(-s))) / n for s in scores]
            new.append(v[j] + sum(w * e for w, e in zip(weights, error, strict=True)))
        v, target = new, [gamma * value for value in new[1:]] + [0.0]
    return v[-1]


@NORMALISATIONS
@pytest.mark.parametrize("tied", [True, False])
def test_every_normalisation_masked_free_and_in_loops(normalisation, tied):
    config = small(normalisation=normalisation, tied=tied, features="random", d=3)
    batch, parameters = drawn(config), noise(config, 3)
    expected = np.zeros((4, 4))
    order = [0 if tied else layer for layer in range(3)]
    rows, blocks = (parameters[name][order].numpy() for name in ("V", "A"))
    for b, w, path in windows(batch):
        x, rewards = batch.features[b, path].numpy(), batch.reward[b, path[:-1]].tolist()
        expected[b, w] = loops_of(normalisation, x, rewards, 0.7, rows, blocks)
    assert_close(answers(parameters, batch, config), expected)
    assert_close(answers(embedded(parameters, config), batch, replace(config, masked=False)), expected)


def test_sharp_scores_stay_finite():
    # Scores so far apart that a kernel in floating point is 0 for all sources but one that this window never visits.
    config = small(n_context=(2, 2), n_states=(5, 5))
    batch = draw_batch(config, generator())
    parameters = {"V": torch.tensor([[1.0, 1.0, -1.0]]), "A": 300 * torch.eye(5)[None]}
    masked = answers(parameters, batch, config)
    full = {name: p.float() for name, p in embedded(parameters, config).items()}
    assert masked.isfinite().all()
    assert torch.allclose(masked, answers(full, batch, replace(config, masked=False)), atol=1e-6)


def test_a_column_shift_of_a_is_invisible_to_softmax_with_one_hot_features():
    shift = torch.randn(5, generator=generator()).double()
    for features, changes in (({}, False), ({"features": "aggregated", "d": 4}, False), ({"features": "random"}, True)):
        config = small(**features)
        batch, parameters = drawn(config), noise(config)
        moved = {"V": parameters["V"], "A": parameters["A"] + shift[: config.d]}  # the same number down each column
        gap = (answers(moved, batch, config) - answers(parameters, batch, config)).abs().max()
        assert gap > 1e-3 if changes else gap < 1e-14


def test_tied_networks_run_at_another_depth():
    config = small()
    batch, parameters = drawn(config), noise(config)
    deeper = answers(parameters, batch, config, n_layers=7)
    assert torch.equal(deeper, answers(parameters, batch, replace(config, n_layers=7)))
    assert not torch.allclose(deeper, answers(parameters, batch, config))


# --- losses and their gradients ---------------------------------------------------------------------------------


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


def gradient(function, parameters) -> torch.Tensor:
    leaves = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    return torch.cat([g.flatten() for g in torch.autograd.grad(function(leaves), list(leaves.values()))])


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


# --- NEU --------------------------------------------------------------------------------------------------------


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


# --- the training step ------------------------------------------------------------------------------------------


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


def test_clipping_keeps_seeds_apart():
    gradients = [torch.randn(3, 1, 3, generator=generator()), torch.randn(3, 1, 4, 4, generator=generator(1))]
    gradients = [g * torch.tensor([0.01, 1.0, 100.0]).view(3, *[1] * (g.ndim - 1)) for g in gradients]
    parameters = [torch.zeros_like(g) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()
    clip_each_seed(parameters, 1.0)
    for seed in range(3):
        before = torch.cat([g[seed].flatten() for g in gradients])
        after = torch.cat([p.grad[seed].flatten() for p in parameters])
        expected = before if before.norm() <= 1.0 else before / before.norm()
        assert torch.allclose(after, expected, rtol=1e-5)


def test_a_seed_that_diverges_leaves_the_others_alone():
    config = small(seeds=(0, 1), n_steps=3)
    calm = pretrain(config, progress=False)
    original = engine.initial_parameters
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            engine,
            "initial_parameters",
            lambda c, s: {k: v * (math.nan if s else 1.0) for k, v in original(c, s).items()},
        )
        wild = pretrain(config, progress=False)
    assert torch.equal(calm.parameters["A"][0], wild.parameters["A"][0])
    assert wild.parameters["A"][1].isnan().all()


def test_the_learning_rate_warms_up_and_falls():
    config = PretrainConfig(n_steps=300, warmup=100, learning_rate=0.5)
    rates = [learning_rate_at(config, step) for step in range(301)]
    assert rates[0] == 0.005 and rates[99] == 0.5 and rates[200] == pytest.approx(0.275)
    assert np.all(np.diff(rates[:100]) > 0) and np.all(np.diff(rates[100:]) < 0) and rates[300] == pytest.approx(0.05)
    assert learning_rate_at(replace(config, warmup=0), 0) == 0.5


def test_a_step_is_adams_step_on_the_clipped_gradient():
    config = small(n_steps=1, warmup=0, clip=0.01, seeds=(3,))
    result = pretrain(config, progress=False)
    before = initial_parameters(config, 3)
    leaves = {name: p.clone().requires_grad_() for name, p in before.items()}
    loss(leaves, draw_batch(config, generator(1_000_003 + 3)), config).backward()
    for name, p in leaves.items():  # Adam's first step has length lr g / (|g| + eps), whatever the scale of g
        norm = math.sqrt(sum(q.grad.square().sum().item() for q in leaves.values()))
        g = p.grad * min(1.0, 0.01 / norm)
        assert_close(result.of_seed()[name], (p - config.learning_rate * g / (g.abs() + 1e-8)).detach(), rel=1e-5)


# --- a run ------------------------------------------------------------------------------------------------------


def test_training_lowers_the_error_on_tasks_it_never_saw():
    config = PretrainConfig(n_steps=120, n_tasks=64, learning_rate=0.05, seeds=(0, 1), evaluate_every=40)
    result = pretrain(config, progress=False)
    for name in ("error", "error loop", "error random"):
        before = [
            value_error(
                initial_parameters(config, seed), held_out(config)[name.split()[-1] if " " in name else "boyan"], config
            )
            for seed in (0, 1)
        ]
        assert all(after < 0.5 * b.item() for after, b in zip(result.history[name][-1], before, strict=True))
    losses = result.history["loss"]
    assert all(losses[-1][seed] < losses[0][seed] for seed in (0, 1))


@pytest.mark.parametrize("changes", [{}, {"masked": False}, {"tied": False}, {"masked": False, "tied": False}])
def test_what_a_run_leaves(changes):
    config = small(seeds=(0, 1), n_steps=7, **changes)
    result = pretrain(config, progress=False)
    layers = 1 if config.tied else 3
    shapes = {"V": (2, layers, 3), "A": (2, layers, 5, 5)}
    if not config.masked:
        shapes = dict.fromkeys("VA", (2, layers, 8, 8))
    assert {name: tuple(p.shape) for name, p in result.parameters.items()} == shapes
    assert result.steps == 7 and result.history["step"] == [2, 4, 6, 7]
    assert set(result.history) == {"step", "loss", "error", "error loop", "error random"}
    assert all(np.shape(result.history[name]) == (4, 2) for name in result.history if name != "step")
    assert [step for step, _ in result.snapshots] == [0, 3, 6, 7]
    assert torch.equal(result.snapshots[0][1]["A"][1], initial_parameters(config, 1)["A"])
    assert torch.equal(result.snapshots[-1][1]["A"], result.parameters["A"])
    assert not torch.equal(result.snapshots[1][1]["A"], result.snapshots[2][1]["A"])
    parameters, batch = result.of_seed(1), held_out(config, n_tasks=5)["boyan"]
    errors = value_error(parameters, held_out(config)["boyan"], config)
    assert result.history["error"][-1][1] == pytest.approx(errors.item(), rel=1e-5)
    for b, w, path in windows(batch):
        prompt = build_prompt(batch.features[b, path], batch.reward[b, path[:-1]])
        assert result.model(1)(prompt).item() == pytest.approx(
            answers(parameters, batch, config)[b, w].item(), abs=1e-5
        )


@NORMALISATIONS
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("features", [{"features": "random", "d": 3}, {"features": "aggregated", "d": 3}])
def test_every_kind_of_run_learns_a_step_and_repeats_itself(normalisation, masked, features):
    config = small(normalisation=normalisation, masked=masked, n_states=(3, 5), n_context=(2, 9), n_steps=2, **features)
    one, two = (pretrain(config, progress=False) for _ in range(2))
    for name, p in one.parameters.items():
        assert p.isfinite().all() and torch.equal(p, two.parameters[name])
        assert not torch.equal(p, initial_parameters(config, 0)[name][None])


def test_other_attention_makes_no_softmax_transformer():
    result = pretrain(small(normalisation="linear", n_steps=1), progress=False)
    with pytest.raises(ValueError, match="normalisation is 'linear'; only softmax"):
        result.model()


def test_the_bar_shows_loss_and_held_out_error(capsys):
    result = pretrain(small(n_steps=4), progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and f"held-out error {result.history['error'][-1][0]:.4f}" in shown.err
    assert f"loss {result.history['loss'][-1][0]:.4f}" in shown.err
    pretrain(small(n_steps=4), progress=False)
    assert capsys.readouterr().err == ""


def test_watch_sees_each_evaluation_and_may_stop_the_run():
    seen = []

    def watch(result):
        seen.append((result.steps, result.parameters["V"].clone()))
        return result.steps == 4

    result = pretrain(small(), watch=watch, progress=False)
    assert [step for step, _ in seen] == [2, 4] and result.steps == 4
    assert torch.equal(seen[1][1], result.parameters["V"]) and not torch.equal(seen[0][1], seen[1][1])
    assert [step for step, _ in result.snapshots] == [0, 3]


def test_ctrl_c_finishes_the_step_and_keeps_the_result(tmp_path):
    file, before = tmp_path / "run.pt", signal.getsignal(signal.SIGINT)

    def press(result):
        signal.raise_signal(signal.SIGINT)
        return False

    stopped = pretrain(small(), watch=press, checkpoint=file, progress=False)
    assert stopped.steps == 2 and signal.getsignal(signal.SIGINT) is before
    assert torch.equal(load_result(file).parameters["A"], stopped.parameters["A"])
    assert_same_run(pretrain(small(), checkpoint=file, resume=True, progress=False), pretrain(small(), progress=False))


def test_a_run_does_not_depend_on_the_number_of_threads():
    config, seen = small(n_tasks=2000, n_steps=2), []
    torch.set_num_threads(2)
    try:
        two = pretrain(config, watch=lambda _: bool(seen.append(torch.get_num_threads())), progress=False)
        assert torch.get_num_threads() == 2  # as it was
    finally:
        torch.set_num_threads(1)
    assert seen == [1]
    assert_same_run(two, pretrain(config, progress=False))


def test_a_run_works_outside_the_main_thread():
    done = []
    thread = threading.Thread(target=lambda: done.append(pretrain(small(n_steps=1), progress=False)))
    thread.start()
    thread.join()
    assert done[0].steps == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "tree"}, "family is 'tree'; choose one of boyan, loop, random"),
        ({"features": "none"}, "features is 'none'; choose one of one-hot, random, aggregated"),
        ({"normalisation": "max"}, "normalisation is 'max'; choose one of softmax, linear, sigmoid"),
        ({"loss": "mse"}, "loss is 'mse'; choose one of td, value"),
        ({"gamma": 1.0}, "gamma is 1.0; the discount must satisfy"),
        ({"n_layers": 0}, "n_layers is 0; it must be a whole number of at least 1"),
        ({"n_windows": -1}, "n_windows is -1"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"warmup": -1}, "warmup is -1; it must be a whole number of at least 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be a positive number"),
        ({"learning_rate": math.nan}, "learning_rate is nan; it must be a positive number"),
        ({"clip": math.inf}, "clip is inf; it must be a positive number"),
        ({"feature_scale": -1.0}, "feature_scale is -1.0; it must be a positive number"),
        ({"n_states": (2, 5)}, "n_states is 2; it must be a whole number of at least 3"),
        ({"n_states": (5, 4)}, r"n_states is \(5, 4\); it must be \(least, most\) with least <= most"),
        ({"n_context": (0, 4)}, "n_context is 0; it must be a whole number of at least 1"),
        ({"seeds": ()}, r"seeds is \(\); it must name one or more runs, each once"),
        ({"seeds": (1, 1)}, r"seeds is \(1, 1\); it must name one or more runs, each once"),
        ({"seeds": (-1,)}, "seeds is -1; it must be a whole number of at least 0"),
        ({"d": 4}, "d is 4; one-hot features of up to 5 states need d of at least 5"),
        ({"features": "aggregated", "d": 6}, "d is 6; as few as 5 states aggregate into 5 groups at most: lower d"),
    ],
)
def test_a_run_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        small(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_states": 6}, r"n_states is 6; it must be a pair \(least, most\), for example \(6, 6\)"),
        ({"n_context": (1, 2, 3)}, r"n_context is \(1, 2, 3\); it must be a pair \(least, most\)"),
        ({"seeds": 3}, "seeds is 3; it must name one or more runs"),
    ],
)
def test_values_of_another_type_are_refused(changes, words):
    # Built by hand, because the run-time type checker of these tests would speak first.
    config = object.__new__(PretrainConfig)
    for name, value in {**asdict(small()), **changes}.items():
        object.__setattr__(config, name, value)
    with pytest.raises(ValueError, match=words):
        config.__post_init__()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"device": "spoon"}, "device is 'spoon', which cannot be used here"),
        ({"device": "cuda:97"}, "device is 'cuda:97', which cannot be used here"),
        ({"resume": True}, "resume needs checkpoint"),
        ({"checkpoint_every": 0, "checkpoint": "x.pt"}, "checkpoint_every is 0"),
        ({"checkpoint": "no/such/folder/x.pt"}, "x.pt: there is no folder no/such/folder; make it"),
    ],
)
def test_what_pretrain_refuses_before_any_work(more, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        pretrain(small(), progress=False, **more)
    assert not list(tmp_path.iterdir())


# --- checkpoints ------------------------------------------------------------------------------------------------


def assert_same_run(a, b):
    """Bit for bit: parameters, history, snapshots."""
    assert a.steps == b.steps and a.history == b.history and a.config == b.config
    for (step, one), (other_step, two) in zip(
        [*a.snapshots, (-1, a.parameters)], [*b.snapshots, (-1, b.parameters)], strict=True
    ):
        assert step == other_step and one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


class PowerCut(Exception):
    """The run ends here, in the middle, without a word to anybody."""


@pytest.mark.parametrize("changes", [{}, {"masked": False, "tied": False, "seeds": (2, 5)}, {"n_states": (3, 5)}])
def test_a_run_resumed_from_any_step_is_the_uninterrupted_one(tmp_path, changes, monkeypatch):
    config = small(n_steps=5, evaluate_every=3, snapshot_every=2, **changes)
    whole = pretrain(config, progress=False)
    original = engine._train_step
    for last in range(1, 5):
        file, steps = tmp_path / f"{last}.pt", []

        def step(run, network, steps=steps, last=last):
            if run.result.steps == last:
                raise PowerCut
            original(run, network)

        with monkeypatch.context() as patch:
            patch.setattr(engine, "_train_step", step)
            with pytest.raises(PowerCut):
                pretrain(config, checkpoint=file, checkpoint_every=1, progress=False)
        assert load_result(file).steps == last
        assert_same_run(pretrain(config, checkpoint=file, resume=True, progress=False), whole)
        assert_same_run(load_result(file), whole)


KILLED = """
import sys, torch
torch.set_num_threads(1)
from icrl_teach import PretrainConfig, pretrain
config = PretrainConfig(n_steps=60, n_tasks=16, evaluate_every=1, snapshot_every=7, seeds=(0, 1))
def watch(result):
    print(result.steps, flush=True)
    return False
pretrain(config, checkpoint=sys.argv[1], checkpoint_every=2, watch=watch, progress=False)
"""


def test_kill_9_then_resume_is_bit_identical(tmp_path):
    file, last = tmp_path / "run.pt", random.Random().randint(5, 50)
    with subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= last:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    found = load_result(file)
    assert last - 2 <= found.steps < 60, f"killed near step {last}, which held step {found.steps}"
    resumed = pretrain(found.config, checkpoint=file, resume=True, progress=False)
    assert_same_run(resumed, pretrain(found.config, progress=False))


def test_a_finished_run_resumes_to_itself(tmp_path):
    file = tmp_path / "run.pt"
    whole = pretrain(small(), checkpoint=file, progress=False)
    assert_same_run(pretrain(small(), checkpoint=file, resume=True, progress=False), whole)
    assert_same_run(load_result(file), whole)


def test_a_checkpoint_is_never_replaced_unasked(tmp_path):
    file = tmp_path / "run.pt"
    file.write_text("precious")
    with pytest.raises(CheckpointError, match=r"run.pt: exists already; resume from it, or name another file"):
        pretrain(small(), checkpoint=file, progress=False)
    assert file.read_text() == "precious"


def test_a_failed_write_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    file, original, writes = tmp_path / "run.pt", torch.save, []

    def save(content, target):
        writes.append(content["step"])
        if len(writes) == 2:
            target.write(b"half a checkpoint")
            raise OSError(28, "No space left on device")
        original(content, target)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="No space left"):
        pretrain(small(), checkpoint=file, checkpoint_every=2, progress=False)
    assert writes == [2, 4] and [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    assert load_result(file).steps == 2


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def checkpoint_content(tmp_path) -> dict:
    pretrain(small(n_steps=3), checkpoint=tmp_path / "good.pt", progress=False)
    return torch.load(tmp_path / "good.pt", weights_only=True)


def test_files_that_are_no_checkpoints(tmp_path):
    content = checkpoint_content(tmp_path)
    good = (tmp_path / "good.pt").read_bytes()
    bad = tmp_path / "bad.pt"
    cases = {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "nearly whole": good[:-40],
        "text": b"state,reward,next_state\na,1,b\n",
        "noise": bytes(range(256)) * 20,
        "pickle": pickle.dumps({"format": engine.FORMAT}),
    }
    for data in cases.values():
        bad.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"^bad.pt: not a .*; (use a file that|start anew)") as caught:
            pretrain(small(n_steps=3), checkpoint=bad, resume=True, progress=False)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
        assert bad.read_bytes() == data  # what was there stays there
    for foreign in ({"weights": torch.zeros(3)}, [1, 2], {**content, "format": "another program 7"}):
        torch.save(foreign, bad)
        with pytest.raises(CheckpointError, match=r"bad.pt: not a checkpoint of this version"):
            load_result(bad)
    with pytest.raises(CheckpointError, match=r"none.pt: there is no such checkpoint"):
        load_result(tmp_path / "none.pt")


def test_a_checkpoint_never_runs_code(tmp_path):
    bad, trace = tmp_path / "bad.pt", tmp_path / "the bomb went off"
    for content in (Bomb(trace), {**checkpoint_content(tmp_path), "theta": Bomb(trace)}):
        torch.save(content, bad)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load_result(bad)
        assert not trace.exists()
    torch.load(bad, weights_only=False)  # the bomb is live: without the guard it goes off
    assert trace.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.pop("theta"),
        lambda c: c.pop("history"),
        lambda c: c.pop("generator"),
        lambda c: c.update(config="{"),
        lambda c: c.update(config=json.dumps({"family": "boyan", "colour": "red"})),
        lambda c: c.update(theta={"V": torch.zeros(1, 1, 3)}),
        lambda c: c.update(theta={"V": torch.zeros(1, 1, 4), "A": torch.zeros(1, 1, 5, 5)}),
        lambda c: c.update(generator=torch.zeros(3, dtype=torch.uint8)),
        lambda c: c.update(optimiser={"state": {}}),
        lambda c: c.update(snapshots=[1, 2]),
        lambda c: c.update(pending=7),
        lambda c: c.update(step="many"),
        lambda c: c.update(step=-3),
        lambda c: c.update(step=10**9),
        lambda c: c.update(step=float("inf")),
        lambda c: c.update(config="[" * 100_000),
        lambda c: c.update(config=c["config"].replace('"d": 5', '"d": 10000000')),
        lambda c: c.update(history="[]"),
        lambda c: c.update(snapshots=[]),
        lambda c: c.update(theta={name: w.long() for name, w in c["theta"].items()}),
        lambda c: c.update(pending=torch.zeros(2, 5)),
        lambda c: c["optimiser"].update(state={}),
        lambda c: c["optimiser"]["state"][0].update(exp_avg=torch.zeros(7)),
    ],
)
def test_a_damaged_checkpoint(tmp_path, damage):
    content = checkpoint_content(tmp_path)
    damage(content)
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=r"^bad.pt: a damaged checkpoint .*; start anew$"):
        pretrain(small(n_steps=3), checkpoint=tmp_path / "bad.pt", resume=True, progress=False)


def test_a_checkpoint_of_another_run(tmp_path):
    checkpoint_content(tmp_path)
    for changes, words in (
        ({"gamma": 0.8}, r"another configuration \(gamma 0.7 -> 0.8\)"),
        ({"n_steps": 9, "seeds": (4,)}, r"\(n_steps 3 -> 9, seeds \(0,\) -> \(4,\)\)"),
        ({"tied": False}, r"\(tied True -> False\); resume with the same one"),
    ):
        with pytest.raises(CheckpointError, match=words):
            pretrain(small(**{"n_steps": 3, **changes}), checkpoint=tmp_path / "good.pt", resume=True, progress=False)


def test_a_checkpoint_of_another_kind_of_device(tmp_path):
    content = checkpoint_content(tmp_path)
    torch.save({**content, "device": "cuda"}, tmp_path / "gpu.pt")
    with pytest.raises(CheckpointError, match=r"\(device cuda -> cpu\)"):
        pretrain(small(n_steps=3), checkpoint=tmp_path / "gpu.pt", resume=True, progress=False)
    assert load_result(tmp_path / "gpu.pt").steps == 3  # what it learned can be read anywhere


# --- several processes ------------------------------------------------------------------------------------------

WORKER = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import icrl_teach.pretraining as engine
folder, rank = Path(sys.argv[1]), os.environ["RANK"]
config = engine.PretrainConfig(n_steps=1, n_tasks=32, seeds=(0, 1), clip=0.05, warmup=0)
write, original = [], engine.save_checkpoint
engine.save_checkpoint = lambda path, run: (write.append(path), original(path, run))
result = engine.pretrain(config, checkpoint=folder / "one.pt", progress=True)
many = engine.PretrainConfig(n_steps=40, n_tasks=32, evaluate_every=1)
def press(result):
    if rank == "1" and result.steps == 3:
        signal.raise_signal(signal.SIGINT)
    return False
stopped = engine.pretrain(many, watch=press, progress=False)
torch.save({"parameters": result.parameters, "history": result.history, "writes": len(write),
            "stopped": stopped.steps}, folder / f"rank{rank}.pt")
"""


def test_two_processes_take_the_step_of_one(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--standalone"]
    done = subprocess.run(
        [sys.executable, *launch, str(script), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(engine.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    config = PretrainConfig(n_steps=1, n_tasks=32, seeds=(0, 1), clip=0.05, warmup=0)
    alone = pretrain(config, progress=False)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for found in ranks:
        for name, p in alone.parameters.items():
            assert (found["parameters"][name] - p).abs().max() < 1e-6
        for name in ("loss", "error"):
            assert found["history"][name][0] == pytest.approx(alone.history[name][0], abs=1e-6)
    assert torch.equal(ranks[0]["parameters"]["A"], ranks[1]["parameters"]["A"])
    assert [found["writes"] for found in ranks] == [1, 0]
    assert [found["stopped"] for found in ranks] == [3, 3]  # Ctrl-C reached one of them; both left together
    assert torch.equal(load_result(tmp_path / "one.pt").parameters["V"], ranks[0]["parameters"]["V"])
    assert done.stderr.count(" 0/1 [") == 1  # and one bar


def test_two_processes_would_notice_different_shares(monkeypatch):
    # The comparison above can fail: a process that kept the same half twice would take another step.
    config = small(n_tasks=8)
    batch = draw_batch(config, generator()).split(1)
    halves = [engine._my_share(batch, rank, 2) for rank in (0, 1)]
    learner = Learner(config)
    both = torch.stack([learner(*half) for half in halves]).mean(0)
    assert torch.allclose(both, learner(*batch)) and not torch.allclose(learner(*halves[0]), learner(*batch))


def test_tasks_that_processes_cannot_share(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="n_tasks is 4; 3 processes need a multiple of 3"):
        pretrain(small(), progress=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_as_a_cpu_does(tmp_path):
    result = pretrain(PretrainConfig(n_steps=100), device="cuda", checkpoint=tmp_path / "gpu.pt", progress=False)
    start = value_error(initial_parameters(result.config, 0), held_out(result.config)["boyan"], result.config)
    assert result.history["error"][-1][0] < 0.5 * start.item()
    stopped = tmp_path / "stopped.pt"
    config = replace(result.config, evaluate_every=40)
    assert pretrain(config, device="cuda", checkpoint=stopped, watch=lambda _: True, progress=False).steps == 40
    resumed = pretrain(config, device="cuda", checkpoint=stopped, resume=True, progress=False)
    assert resumed.steps == 100 and torch.allclose(resumed.parameters["V"], result.parameters["V"], atol=1e-3)


def trained_by_hand(config):
    """Initial noise, Adam, clipping, schedule and the mean of losses, written out for one seed."""
    (seed,) = config.seeds
    noise, tasks = generator(seed), generator(1_000_003 + seed)
    theta = [0.1 * torch.randn(shape, generator=noise) for shape in ((1, 3), (1, config.d, config.d))]
    first, second = ([torch.zeros_like(w) for w in theta] for _ in range(2))
    losses = []
    for step in range(config.n_steps):
        live = [w.clone().requires_grad_() for w in theta]
        f = answers(dict(zip("VA", live, strict=True)), batch := draw_batch(config, tasks), config)
        reward = torch.stack([batch.reward[b, batch.query[b, :-1]] for b in range(config.n_tasks)])
        value = ((reward + config.gamma * f[:, 1:].detach() - f[:, :-1]) ** 2).mean()
        gradients = torch.autograd.grad(value, live)
        norm = sum((g**2).sum() for g in gradients).sqrt()
        rate = learning_rate_at(config, step)
        for i, g in enumerate(g * min(1.0, config.clip / norm.item()) for g in gradients):
            first[i], second[i] = 0.9 * first[i] + 0.1 * g, 0.999 * second[i] + 0.001 * g**2
            mean, square = first[i] / (1 - 0.9 ** (step + 1)), second[i] / (1 - 0.999 ** (step + 1))
            theta[i] = theta[i] - rate * mean / (square.sqrt() + 1e-8)
        losses.append(value.item())
    return theta, losses


@pytest.mark.parametrize("changes", [{"seeds": (3,)}, {"clip": 0.01, "warmup": 0, "learning_rate": 0.1}])
def test_a_run_is_the_loop_written_out(changes):
    config = small(n_steps=4, warmup=changes.pop("warmup", 3), **changes)
    result = pretrain(config, progress=False)
    (V, A), losses = trained_by_hand(config)
    np.testing.assert_allclose(result.parameters["V"][0], V, rtol=0, atol=2e-5)
    np.testing.assert_allclose(result.parameters["A"][0], A, rtol=0, atol=2e-5)
    by_twos = [sum(losses[:2]) / 2, sum(losses[2:]) / 2]  # evaluated every second step
    np.testing.assert_allclose(np.ravel(result.history["loss"]), by_twos, rtol=1e-4)


def test_seeds_start_from_noise_of_their_own():
    a, b = (initial_parameters(small(d=40, n_states=(5, 40)), seed)["A"] for seed in (0, 1))
    assert not torch.equal(a, b) and a.std().item() == pytest.approx(0.1, rel=0.1)


def test_held_out_tasks_are_of_their_family_and_not_those_of_training():
    config = small(n_context=(200, 200))
    test = held_out(config, n_tasks=20)
    steps = {name: b.counts.sum((0, 1)) > 0 for name, b in test.items()}  # (S, S): was it ever taken?
    assert not steps["boyan"][0, [0, 3, 4]].any()  # only one or two ahead
    assert steps["loop"].diagonal().sum() == 0 and steps["loop"][0, 3]  # never to itself
    assert steps["random"].all()
    for seed in (0, 1):
        trained_on = draw_batch(config, generator(1_000_003 + seed), 20)
        assert not torch.isin(test["boyan"].reward, trained_on.reward).any()


def test_ranges_are_drawn_apart_and_held_to_their_ends():
    config, g = small(n_states=(3, 5), n_context=(2, 4)), generator()
    sizes = {(b.features.shape[1], b.n_context) for b in (draw_batch(config, g) for _ in range(120))}
    assert len(sizes) == 9  # every pair: the two sizes do not move together
    with pytest.raises(ValueError, match="one-hot features of up to 6 states need d of at least 6"):
        small(n_states=(4, 6))
    with pytest.raises(ValueError, match="as few as 4 states aggregate into 4 groups at most"):
        small(n_states=(4, 6), features="aggregated")
    with pytest.raises(ValueError, match="seeds are whole numbers from 0 to 999,999"):
        small(seeds=(0, 1_000_000))


def test_runs_that_overlap_give_the_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        inner = small(n_steps=2, evaluate_every=1)
        outer = pretrain(small(n_steps=1), watch=lambda _: pretrain(inner, progress=False).steps < 2, progress=False)
        assert outer.steps == 1 and torch.get_num_threads() == 3
        with engine._one_thread:
            engine._one_thread.__enter__()
            engine._one_thread.__exit__()
            assert torch.get_num_threads() == 1  # one run has ended, the other still needs its one thread
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_another_default_precision_cannot_go_on_with_a_run(tmp_path):
    config = small(n_steps=4, evaluate_every=2)
    pretrain(config, checkpoint=tmp_path / "run.pt", watch=lambda _: True, progress=False)
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(CheckpointError, match=r"dtype torch.float32 -> torch.float64"):
            pretrain(config, checkpoint=tmp_path / "run.pt", resume=True, progress=False)
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_a_result_hands_out_is_a_copy():
    result = pretrain(PretrainConfig(n_steps=2, n_tasks=4), progress=False)
    before = result.parameters["V"].clone()
    result.of_seed(0)["V"].zero_()
    result.snapshots[-1][1]["V"].zero_()
    assert torch.equal(result.parameters["V"], before) and before.any()


def test_seeds_that_would_meet_the_held_out_tasks_are_refused():
    with pytest.raises(ValueError, match="seeds are whole numbers from 0 to 999,999"):
        PretrainConfig(seeds=(1_000_000,))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_work():
    with pytest.raises(CheckpointError, match=r"x.pt: cannot be written \("):
        pretrain(PretrainConfig(n_steps=10**6), checkpoint="/proc/x.pt", progress=False)


@pytest.mark.parametrize("features", ["one-hot", "random", "aggregated"])
def test_another_default_precision_trains_in_it(features):
    torch.set_default_dtype(torch.float64)
    try:
        result = pretrain(PretrainConfig(features=features, d=6, n_steps=2, n_tasks=4), progress=False)
    finally:
        torch.set_default_dtype(torch.float32)
    assert result.parameters["V"].dtype == torch.float64
