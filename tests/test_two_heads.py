"""Theorem 1 by two heads without a shift, in every memory cell, by two roads; each way to get it wrong must show."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icrl_teach import (
    Prompt,
    SoftmaxTransformer,
    Trajectory,
    TwoHeadTransformer,
    build_prompt,
    trajectory_prompt,
    two_head_prompt,
)
from icrl_teach.pretraining.answers import answers, constructed_parameters, to_two_heads
from oracles import assert_close, contexts, expected_trace, random_walks, softmax_td_loops
from pretraining_cases import drawn, noise, small, windows

alphas, betas, depths = st.floats(0.0, 1.5), st.floats(-2.0, 4.0), st.integers(1, 8)


def prompt_of(c):
    return build_prompt(c.features, c.rewards, c.v0, c.gamma)


# --- Theorem 1 -------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(contexts(), alphas, betas, depths)
def test_both_memories_are_those_of_weighted_softmax_td_in_plain_loops(c, alpha, beta, depth):
    memories = TwoHeadTransformer.constructed(c.table.shape[1], depth, c.gamma, alpha, beta).memories(prompt_of(c))
    values = softmax_td_loops(c.features, c.rewards, c.gamma, [alpha] * depth, [beta] * depth, c.v0)
    expected = expected_trace(c.features, c.rewards, c.gamma, values)[:, -2:]
    scale = max(np.abs(expected).max(), np.abs(c.rewards).max())
    gap = np.abs(memories.numpy() - expected)
    gap[:, 0, -1] = 0.0  # target memory of the query: nobody reads it, and without a sink it is no 0
    assert gap.max() <= 1e-11 * scale


@given(contexts(), alphas, betas, depths)
def test_it_is_the_network_with_a_shift(c, alpha, beta, depth):
    prompt, d = prompt_of(c), c.table.shape[1]
    with_shift = SoftmaxTransformer.constructed(d, depth, c.gamma, alpha, beta)
    two_heads = TwoHeadTransformer.constructed(d, depth, c.gamma, alpha, beta)
    assert_close(two_heads.values(prompt), with_shift.values(prompt), 1e-11)
    assert two_heads(prompt) == two_heads.values(prompt)[-1]


def test_features_rewards_and_flags_are_never_written():
    rng = np.random.default_rng(0)
    prompt = build_prompt(rng.normal(size=(7, 2)), rng.normal(size=6))
    for kappa in (None, 20.0):
        trace = TwoHeadTransformer.constructed(2, 5, 0.9, kappa=kappa).trace(prompt)
        still = [row for row in range(trace.shape[-2]) if row not in (5, 6)]
        assert torch.equal(trace[-1, still], trace[0, still])
        assert torch.equal(trace[0], two_head_prompt(prompt, kappa is not None)[0])


def test_a_batch_is_its_prompts_one_by_one():
    rng = np.random.default_rng(1)
    prompts = build_prompt(rng.normal(size=(2, 3, 6, 2)), rng.normal(size=(2, 3, 5)))
    model = TwoHeadTransformer.constructed(2, 4, 0.8)
    for i in range(2):
        for j in range(3):
            assert_close(model(prompts)[i, j], model(prompts[i, j]), 1e-12)
    assert model(prompts.float()).dtype == torch.float32


# --- walks that end, by the sink -------------------------------------------------------------------------------


def walk_prompt(rng) -> tuple[Prompt, int, float]:
    """Walks that terminate or are cut, with two queries; features of any length up to 2."""
    steps = random_walks(rng, 4, 4)
    table = rng.uniform(-1, 1, (4, 3))
    trajectory = Trajectory.of_transitions(*steps, labels=list("abcd"))
    return trajectory_prompt(trajectory, table, queries=[0, 3]), 3, rng.uniform(0, 0.99)


def sink_gap(prompt, d, gamma, kappa, change=None, depth=15) -> float:
    """Largest difference of any memory cell from the network with a shift and flags."""
    expected = SoftmaxTransformer.constructed(d, depth, gamma).trace(prompt)[..., -2:, :]
    model = TwoHeadTransformer.constructed(d, depth, gamma, kappa=kappa)
    if change is not None:
        change(model, d)
    return (model.memories(prompt) - expected).abs().max().item()


@pytest.mark.parametrize("seed", range(40))
def test_the_sink_ends_walks_in_every_cell(seed):
    prompt, d, gamma = walk_prompt(np.random.default_rng(seed))
    assert sink_gap(prompt, d, gamma, 60.0) < 1e-12


def test_the_sink_s_error_falls_as_exp_minus_kappa():
    cases = [walk_prompt(np.random.default_rng(seed)) for seed in range(10)]
    gaps = [max(sink_gap(*case, kappa) for case in cases) for kappa in (6.0, 9.0, 12.0)]
    rates = [math.log(a / b) / 3 for a, b in itertools.pairwise(gaps)]
    assert all(0.9 < rate < 2.1 for rate in rates), (gaps, rates)


def test_with_gamma_1_walks_that_terminate_are_read():
    walk = build_prompt([[1.0], [2.0], [1.0]], [1.0, 3.0], continues=[True, False, False])
    expected = SoftmaxTransformer.constructed(1, 9, 1.0).trace(walk)[..., -2:, :]
    assert_close(TwoHeadTransformer.constructed(1, 9, 1.0, kappa=60.0).memories(walk), expected, 1e-12)


# --- broken on purpose -----------------------------------------------------------------------------------------


def break_scores_of_head_2(model, d):
    model.A2[:] = model.A1


def break_discount(model, d):
    model.V2[:] = model.V2.sum() * 0 + model.V1.roll(-1, dims=1)  # head 1's row, one up: gamma is gone


def break_sign(model, d):
    model.V2[:, 2 * d + 1, 2 * d + 2] *= -1


def break_reader(model, d):
    model.V2[:] = model.V2.roll(1, dims=1)  # head 2 writes value memory too


def break_null_self(model, d):
    model.A1[:, 2 * d + 3, 2 * d + 3] = 0.0


def break_null_price(model, d):
    model.A1[:, 2 * d + 3, 2 * d + 5] = model.A2[:, 2 * d + 3, 2 * d + 5] = 0.0


def break_ends(model, d):
    model.A2[:, 2 * d + 3, 2 * d + 4] = 0.0


MISTAKES = [break_scores_of_head_2, break_discount, break_sign, break_reader]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_shows_without_a_sink(mistake):
    rng = np.random.default_rng(2)
    prompt = build_prompt(rng.normal(size=(9, 3)), rng.normal(size=8))
    expected = SoftmaxTransformer.constructed(3, 4, 0.7).values(prompt)
    model = TwoHeadTransformer.constructed(3, 4, 0.7)
    assert (model.values(prompt) - expected).abs().max() < 1e-12
    mistake(model, 3)
    assert (model.values(prompt) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("mistake", [*MISTAKES, break_null_self, break_null_price, break_ends])
def test_each_mistake_shows_with_a_sink(mistake):
    prompt, d, _ = walk_prompt(np.random.default_rng(3))
    assert sink_gap(prompt, d, 0.7, 40.0) < 1e-12
    assert sink_gap(prompt, d, 0.7, 40.0, mistake) > 1e-3


# --- causal ----------------------------------------------------------------------------------------------------


def causal_loops(features, rewards, gamma, alpha, beta, n_iterations):
    """Each position has a value and a target of its own, from the steps up to it. (L+1, 2, n+1)."""
    n = len(rewards)
    value, target = [0.0] * (n + 1), [0.0] * (n + 1)
    layers = [[list(target), list(value)]]
    for _ in range(n_iterations):
        delta = [rewards[k] + target[k] - value[k] for k in range(n)]

        def heard(asks, j, delta=delta):
            past = range(min(j, n - 1) + 1)
            weights = [math.exp(beta * float(np.dot(asks, features[k]))) for k in past]
            return sum(w * delta[k] for w, k in zip(weights, past, strict=True)) / sum(weights)

        value = [value[j] + alpha * heard(features[j], j) for j in range(n + 1)]
        following = [*features[1:], np.zeros_like(features[0])]
        target = [target[j] + gamma * alpha * heard(following[j], j) for j in range(n + 1)]
        layers.append([list(target), list(value)])
    return np.array(layers)


@given(contexts(), alphas, st.floats(-1.0, 3.0), st.integers(1, 5))
def test_a_causal_network_is_the_algorithm_that_hears_only_the_past(c, alpha, beta, depth):
    prompt = build_prompt(c.features, c.rewards)
    model = TwoHeadTransformer.constructed(c.table.shape[1], depth, c.gamma, alpha, beta, causal=True)
    expected = causal_loops(c.features, c.rewards, c.gamma, alpha, beta, depth)
    assert np.abs(model.memories(prompt).numpy() - expected).max() <= 1e-11 * max(
        np.abs(expected).max(), np.abs(c.rewards).max()
    )


def test_what_comes_later_changes_no_earlier_column_of_a_causal_network():
    rng = np.random.default_rng(4)
    x, r = rng.normal(size=(9, 2)), rng.normal(size=8)
    for kappa in (None, 30.0):
        model = TwoHeadTransformer.constructed(2, 6, 0.8, kappa=kappa, causal=True)
        other = r.copy()
        other[5] += 1.0
        a, b = (model.values(build_prompt(x, rewards)) for rewards in (r, other))
        assert torch.equal(a[:5], b[:5]) and not torch.equal(a[5:], b[5:])


# --- trained ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_the_answers_that_training_uses_are_those_of_the_network(tied):
    config = small(architecture="two-heads", tied=tied)
    batch, parameters = drawn(config), noise(config)
    expected = np.zeros((4, 4))
    model = to_two_heads(parameters, config)
    for b, w, path in windows(batch):
        prompt = build_prompt(batch.features[b, path].double(), batch.reward[b, path[:-1]].double())
        expected[b, w] = model(prompt).item()
    assert_close(answers(parameters, batch, config), expected, 1e-6)  # alike up to float32 parameters of the network


def test_constructed_parameters_answer_as_the_network_with_a_shift():
    two, one = small(architecture="two-heads"), small()
    batch = drawn(two)

    def said(config):
        theta = {name: p.double() for name, p in constructed_parameters(config, 0.8, 1.5).items()}
        return answers(theta, batch, config)

    assert_close(said(two), said(one), 1e-6)


# --- refusals --------------------------------------------------------------------------------------------------


def test_refusals():
    walk = build_prompt([[1.0], [2.0]], [1.0], continues=[False, False])
    with pytest.raises(ValueError, match=r"prompt has walks that terminate.*kappa=40"):
        TwoHeadTransformer.constructed(1, 2, 0.9)(walk)
    with pytest.raises(ValueError, match="gamma"):
        TwoHeadTransformer.constructed(1, 2, 1.0)(build_prompt([[1.0], [2.0]], [1.0]))
    with pytest.raises(ValueError, match=r"prompt has shape .*4, n\+1"):
        TwoHeadTransformer.constructed(1, 2, 0.9)(build_prompt([[1.0, 1.0], [2.0, 1.0]], [1.0]))
    with pytest.raises(ValueError, match="prompt has 3 rows"):
        two_head_prompt(torch.ones(3, 4))
    padded = Prompt(build_prompt([[1.0], [2.0], [1.0]], [1.0, 1.0]), source=[False, True, False])
    with pytest.raises(ValueError, match="first column is no source"):
        TwoHeadTransformer.constructed(1, 2, 0.9, causal=True)(padded)
    with pytest.raises(ValueError, match="two-heads"):
        small(architecture="two-heads", masked=False)
