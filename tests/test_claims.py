"""Sentences of lessons 06 to 08 whose right value is a number that could drift: each stands here as a test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icrl_teach import (
    boyan_chain,
    build_prompt,
    certainty_equivalence_value,
    empirical_operators,
    fixed_point,
    one_hot,
    operator_td,
    random_features,
    sample_family,
    td_parameters,
    time_shift,
    weighted_softmax_td,
)


def masked_softmax(Z, A):
    scores = Z.T @ A @ Z
    scores[-1] = -torch.inf
    return torch.softmax(scores, dim=0)


def context(seed, n=40, d=4, gamma=0.9):
    rng = np.random.default_rng(seed)
    chain, table = boyan_chain(6, gamma, rng), random_features(6, d, rng)
    walk = chain.sample(n, rng)
    return table[walk.states], walk.rewards


@pytest.mark.parametrize("seed", range(10))
def test_two_heads_need_no_shift_if_a_token_carries_its_successors_features(seed):
    d, gamma, alpha, beta, n_layers = 4, 0.9, 0.8, 3.0, 15
    X, R = context(seed)
    td = weighted_softmax_td(X, R, gamma, n_layers, alpha, beta)
    prompt = build_prompt(X, R)
    following = torch.cat([prompt[:d, 1:], torch.zeros(d, 1, dtype=prompt.dtype)], dim=1)
    Z = torch.cat([prompt[:d], following, prompt[d:]])
    A1, A2, V1, V2 = torch.zeros(4, 2 * d + 3, 2 * d + 3, dtype=Z.dtype)
    A1[:d, :d] = A2[:d, d : 2 * d] = beta * torch.eye(d, dtype=Z.dtype)
    u = torch.tensor([1.0, 1.0, -1.0], dtype=Z.dtype)
    V1[-1, -3:], V2[-2, -3:] = alpha * u, gamma * alpha * u
    for layer in range(1, n_layers + 1):
        Z = Z + V1 @ Z @ masked_softmax(Z, A1) + V2 @ Z @ masked_softmax(Z, A2)
        np.testing.assert_allclose(Z[-1].numpy(), td[layer], rtol=0, atol=1e-12)
        np.testing.assert_allclose(Z[-2, :-1].numpy(), gamma * td[layer, 1:], rtol=0, atol=1e-12)


def test_what_leaks_against_the_direction_of_news_falls_like_exp_minus_beta():
    """Lesson 07, section 8: A, three steps from the reward, after three layers. Never 0, and of order e^-beta."""
    states, rewards = [0, 1, 2, 3, 0, 1, 2, 3, 0], torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 1])
    Z0 = build_prompt(torch.eye(4, dtype=torch.float64)[states], rewards.double())
    heard = []
    for beta in (8.0, 12.0, 16.0):
        V, A = td_parameters(4, beta=beta)
        Z = Z0
        for _ in range(3):
            Z = time_shift(Z + V @ Z @ masked_softmax(Z, A), 0.8)
        heard.append(Z[-1, 0].item())
    assert min(heard) > 0
    np.testing.assert_allclose(np.diff(np.log(heard)), -4.0, atol=0.02)


def test_a_flipped_sign_grows_by_two_plus_gamma_a_layer():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        M, Q, _ = empirical_operators(sample_family("boyan", 6, 0.9, rng).sample(60, rng), random_features(6, 4, rng))
        assert np.abs(np.linalg.eigvals(np.eye(6) + M + 0.9 * Q)).max() == pytest.approx(2.9, abs=1e-10)


@pytest.fixture(scope="module")
def tasks():
    rng, gamma = np.random.default_rng(11), 0.8
    chains = [sample_family(family, 8, gamma, rng) for family in ("boyan", "loop", "random") for _ in range(20)]
    return [(chain, chain.sample(1000, rng)) for chain in chains]


def test_with_few_layers_values_are_too_near_to_0_on_average_only(tasks):
    """Lesson 08, section 4: a fifth to a quarter of the single values lie too far out at layer 3."""
    three = np.array([operator_td(*empirical_operators(walk, one_hot(8, 4.0)), 0.8, 3)[-1] for _, walk in tasks])
    exact = np.array([chain.value() for chain, _ in tasks])
    assert np.abs(three).mean() < 0.8 * np.abs(exact).mean()
    assert 0.15 < (np.abs(three) > np.abs(exact)).mean() < 0.3


def test_two_arrows_rest_at_the_floor_but_are_not_there_after_thirty_layers(tasks):
    """Lesson 08, section 6."""
    rng, above, four_above = np.random.default_rng(12), [], []
    for _, walk in tasks:
        floor, left = certainty_equivalence_value(walk, 0.8), walk.visits(8) > 0
        for d, gaps in ((2, above), (4, four_above)):
            tables = empirical_operators(walk, np.sqrt(8) * random_features(8, d, rng))
            np.testing.assert_allclose(fixed_point(*tables, 0.8)[left], floor[left], rtol=0, atol=1e-6)
            gaps.append(np.abs(operator_td(*tables, 0.8, 30)[-1] - floor)[left].max())
    assert np.median(above) > 0.1 > 0.05 > np.median(four_above)


def test_features_of_unequal_length_can_diverge_and_arrows_of_equal_length_do_not_here(tasks):
    rng, radii = np.random.default_rng(13), {"equal": [], "unequal": []}
    for _, walk in tasks:
        for name, y in (("equal", np.sqrt(8) * random_features(8, 2, rng)), ("unequal", 2 * rng.normal(size=(8, 1)))):
            M, Q, _ = empirical_operators(walk, y)
            radii[name].append(np.abs(np.linalg.eigvals(np.eye(8) - M + 0.8 * Q)).max())
    assert max(radii["equal"]) < 1 + 1e-9
    assert 0 < np.mean(np.array(radii["unequal"]) > 1 + 1e-9) < 0.4
