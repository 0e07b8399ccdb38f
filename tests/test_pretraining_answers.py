"""Answers by three roads: the batched engine, plain loops, and the Transformer of transformer.py."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from icrl_teach.pretraining.answers import answers, constructed_parameters, initial_parameters, to_transformer
from icrl_teach.pretraining.batches import draw_batch
from icrl_teach.pretraining.config import PretrainConfig
from icrl_teach.prompt import build_prompt
from oracles import assert_close, softmax_td_loops
from pretraining_cases import NORMALISATIONS, drawn, generator, noise, small, windows


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


@pytest.mark.parametrize(("n_layers", "tied"), [(0, True), (-2, True), (4, False)])
def test_a_depth_that_the_parameters_do_not_have(n_layers, tied):
    config = small(tied=tied)
    with pytest.raises(ValueError, match=f"n_layers is {n_layers}; "):
        answers(initial_parameters(config, 0), drawn(config), config, n_layers)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("form", [{}, {"masked": False}, {"architecture": "two-heads"}])
def test_what_is_constructed_has_the_form_of_what_is_trained(form, tied):
    """Name by name the same shape as the noise of a run, and the same matrices in every layer."""
    config = small(tied=tied, **form)
    constructed, trained = constructed_parameters(config), initial_parameters(config, 0)
    assert {name: p.shape for name, p in constructed.items()} == {name: p.shape for name, p in trained.items()}
    assert all((p == p[0]).all() for p in constructed.values())


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
    assert not any(p.requires_grad for p in model.parameters())
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


def test_seeds_start_from_noise_of_their_own():
    a, b = (initial_parameters(small(d=40, n_states=(5, 40)), seed)["A"] for seed in (0, 1))
    assert not torch.equal(a, b) and a.std().item() == pytest.approx(0.1, rel=0.1)
