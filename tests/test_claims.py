"""Sentences of lessons and sheets 06 to 08 whose right value could drift: each stands here as a test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icrl_teach import (
    Trajectory,
    boyan_chain,
    build_prompt,
    certainty_equivalence_value,
    empirical_operators,
    fixed_point,
    mrp_from_env,
    one_hot,
    operator_td,
    random_features,
    rollout,
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


def turned_round(states, rewards, gamma, closed=False):
    """Counts of a walk run backwards, and the value it leads to. closed: the first column came from the last."""
    n, S = len(rewards), int(states.max()) + 1
    visits, paid = np.bincount(states[:-1], minlength=S), np.bincount(states[:-1], weights=rewards, minlength=S)
    came = np.zeros((S, S))
    for j in range(0 if closed else 1, n):
        came[states[j], states[(j - 1) % n]] += 1
    return np.linalg.solve(np.diag(visits) - gamma * came, paid), visits


def walk_of(seed, S=5, n=60):
    """States 0 to S-1, each left at least once, and a reward for every step."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(S), rng.integers(S, size=n + 1 - S)]), rng.standard_normal(n)


@pytest.mark.parametrize("seed", range(8))
def test_a_backward_shift_rests_at_the_value_of_the_chain_run_backwards(seed):
    """Lesson 07, fault 5, and sheet 07, 07.5: layers with the shift turned round, against one solve."""
    states, rewards = walk_of(seed)
    Z = build_prompt(2.0 * np.eye(5)[states], rewards)
    V, A = td_parameters(5)
    for _ in range(800):
        Z = Z + V @ Z @ masked_softmax(Z, A)
        Z[-2] = 0.0
        Z[-2, 1:] = 0.8 * Z[-1, :-1]
    value, _ = turned_round(states, rewards, 0.8)
    np.testing.assert_allclose(Z[-1].numpy(), value[states], atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_forward_and_backward_have_the_same_mean_over_visits_but_for_the_ends(seed):
    states, rewards = walk_of(seed)
    ahead = certainty_equivalence_value(Trajectory(states, rewards), 0.8)
    back, visits = turned_round(states, rewards, 0.8)
    ends = 0.8 * (ahead[states[-1]] - ahead[states[0]] + back[states[-2]]) / (1 - 0.8)
    assert visits @ ahead - visits @ back == pytest.approx(ends, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_where_one_state_pays_forward_and_backward_agree_there_on_a_closed_walk(seed):
    states, rewards = walk_of(seed)
    states[-1] = states[0]
    rewards = np.where(states[:-1] == 3, rewards, 0.0)
    ahead = certainty_equivalence_value(Trajectory(states, rewards), 0.8)
    back, _ = turned_round(states, rewards, 0.8, closed=True)
    assert ahead[3] == pytest.approx(back[3], abs=1e-10)
    assert np.abs(ahead - back).max() > 1e-3  # and only there


@pytest.fixture(scope="module")
def lake():
    """Sheet 07's frozen lake, its exact value, and the chain that its log shows: P and r of the states left."""
    good = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]
    policy = np.full((16, 4), 0.15)
    policy[range(16), good] = 0.55
    rules, log = mrp_from_env("FrozenLake-v1", policy, 0.9), rollout("FrozenLake-v1", policy, 1200, seed=0)
    came, visits = np.zeros((16, 16)), np.bincount(log.states[:-1], minlength=16)
    np.add.at(came, (log.states[:-1], log.states[1:]), 1)
    left = np.flatnonzero(visits)
    paid = np.bincount(log.states[:-1], weights=log.rewards, minlength=16)
    return rules, left, came[left] / visits[left, None], paid[left] / visits[left]


def test_on_the_lake_of_sheet_07_the_luck_lies_in_the_steps_from_square_10(lake):
    """Of all squares, that row put right makes the error smallest; the goals from 14 were as many as is usual."""
    rules, left, P, r = lake
    exact = rules.value()[left]
    errors = {}
    for square in left:
        told, rewards = P.copy(), r.copy()
        told[left == square], rewards[left == square] = rules.transition[square], rules.reward[square]
        value = np.linalg.solve(np.eye(len(left)) - 0.9 * told[:, left], rewards)
        errors[square] = np.abs(value - exact).max()
    assert min(errors, key=errors.get) == 10 and errors[10] < 0.5 * min(e for s, e in errors.items() if s != 10)
    assert P[left == 10, 14] == pytest.approx(7 / 13) and rules.transition[10, 14] == pytest.approx(17 / 60)
    assert r[left == 14] * 18 == pytest.approx(5) and rules.reward[14] * 18 == pytest.approx(5.1)


def test_on_the_lake_of_sheet_07_the_turned_network_has_a_limit_of_its_own(lake):
    """The true chain run backwards, B = D^-1 P^T D: its value is 0.076 off, so no log is long enough."""
    rules, left, _, _ = lake
    visits = rules.stationary_distribution()[left]
    backwards = rules.transition[np.ix_(left, left)].T * visits / visits[:, None]
    turned = np.linalg.solve(np.eye(len(left)) - 0.9 * backwards, rules.reward[left])
    gap = turned - rules.value()[left]
    assert np.abs(gap).max() == pytest.approx(0.0757, abs=1e-4)
    assert gap[left == 14] == pytest.approx(0, abs=1e-12) and gap[left == 10] == pytest.approx(gap.min())


@pytest.mark.parametrize("seed", range(8))
def test_a_common_level_shrinks_by_gamma_a_layer_at_any_temperature(seed):
    """Lesson 08, section 4."""
    rng = np.random.default_rng(seed)
    chain = sample_family("random", 6, 0.8, rng)
    M, Q, _ = empirical_operators(chain.sample(200, rng), one_hot(6, rng.uniform(0.1, 6.0)))
    np.testing.assert_allclose((np.eye(6) - M + 0.8 * Q) @ np.ones(6), 0.8, atol=1e-12)


@pytest.mark.parametrize(("low", "high", "n_layers"), [(0.2, 1.8, 3), (0.2, 1.8, 12), (0.5, 1.1, 5)])
def test_no_other_steps_have_a_smaller_worst_factor_than_the_chosen_ones(low, high, n_layers):
    """Sheet 08, 08.6: Chebyshev's worst factor is 1 / T_L, and steps near or far from his are worse."""
    angle = np.pi * (2 * np.arange(n_layers) + 1) / (2 * n_layers)
    steps, grid = 2 / (low + high + (high - low) * np.cos(angle)), np.linspace(low, high, 4001)

    def worst(alphas):
        return np.abs(np.prod(1 - np.outer(alphas, grid), axis=0)).max()

    best = 1 / np.cosh(n_layers * np.arccosh((high + low) / (high - low)))
    assert worst(steps) == pytest.approx(best, rel=1e-6)
    rng = np.random.default_rng(n_layers)
    others = [steps * rng.uniform(1 - size, 1 + size, n_layers) for size in (0.01, 0.1, 0.5) for _ in range(100)]
    others += [1 / rng.uniform(low, high, n_layers) for _ in range(100)] + [np.full(n_layers, 2 / (low + high))]
    assert min(map(worst, others)) >= best * (1 - 1e-9)


def test_places_on_a_circle_fetch_the_next_column_and_features_cannot():
    """Sheet 07, 07.6, and lesson 07, section 6: two halls get one attention, whatever the score of features."""
    n = 20
    angle = 2 * np.pi / (n + 1)
    p = np.stack([np.cos(angle * np.arange(n + 1)), np.sin(angle * np.arange(n + 1))])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    E = torch.softmax(torch.as_tensor(1000.0 * p.T @ turn @ p), dim=0).numpy()
    np.testing.assert_allclose(E[:, :n], np.eye(n + 1, k=-1)[:, :n], atol=1e-12)
    x = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 1, 2]].T
    for seed in range(5):
        A = torch.as_tensor(np.random.default_rng(seed).normal(size=(3, 3)))
        E = torch.softmax(x.T @ A @ x, dim=0)
        np.testing.assert_allclose(E[:, 1], E[:, 3])
