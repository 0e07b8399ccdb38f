"""Convergence (section 4): the margin's guarantee, the statistical floor, the sharpness rule, the spectrum of M."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from icrl_teach import (
    MarkovRewardProcess,
    SoftmaxTransformer,
    Trajectory,
    build_prompt,
    contraction_margin,
    empirical_operators,
    fixed_point,
    geometric_bound,
    iteration_matrix,
    log_inner_product,
    matching_matrix,
    one_hot,
    operator_td,
    population_operators,
    random_features,
    random_mrp,
    required_sharpness,
    spectral_radius,
    sup_norm,
)
from oracles import assert_close, random_chain, seeds
from patience import uncounted


def margin_chain(seed, n_states, gamma, n, extra):
    """A walk whose empirical M meets the condition when `extra` sharpness is enough; features and operators."""
    rng = np.random.default_rng(seed)
    mrp = MarkovRewardProcess(*random_chain(rng, n_states), gamma)
    mu_min = mrp.stationary_distribution().min()
    features = one_hot(n_states, required_sharpness(mu_min, gamma, 0.25 * (1 - gamma)) + extra)
    walk = mrp.sample(n, rng)
    return walk, features, empirical_operators(walk, features)


@given(st.integers(2, 6), seeds, st.floats(0.0, 0.95), st.floats(0.0, 4.0))
def test_each_iteration_shrinks_the_error_to_one_minus_twice_the_margin(n_states, seed, gamma, extra):
    _, _, (M, Q, rho) = margin_chain(seed, n_states, gamma, 300, extra)
    C = contraction_margin(M, gamma)
    assume(C > 0)
    limit = np.linalg.solve(M - gamma * Q, rho)
    v0 = np.random.default_rng(seed).uniform(-5, 5, n_states)
    errors = np.abs(operator_td(M, Q, rho, gamma, 30, v0=v0) - limit).max(axis=1)
    assert (errors[1:] <= (1 - 2 * C) * errors[:-1] + 1e-12).all()
    assert sup_norm(iteration_matrix(M, Q, gamma)) <= 1 - 2 * C + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_each_layer_of_the_transformer_contracts_too(seed):
    gamma = 0.7
    walk, features, (M, Q, rho) = margin_chain(seed, 4, gamma, 200, 2.0)
    C = contraction_margin(M, gamma)
    assert C > 0
    model = SoftmaxTransformer.constructed(4, 25, gamma)
    trace = model.trace(build_prompt(features[walk.states], walk.rewards)).numpy()
    limit = np.linalg.solve(M - gamma * Q, rho)[walk.states]
    errors = np.abs(trace[:, -1, :] - limit).max(axis=1)
    assert (errors[1:] <= (1 - 2 * C) * errors[:-1] + 1e-12).all()
    assert errors[-1] < 0.01 * errors[0]


def test_without_the_margin_one_iteration_can_stretch_an_error(rng):
    # A rare state (2) resembles a frequent one (0), so it learns from state 0 what is not true of itself.
    mrp = MarkovRewardProcess([[0.0, 0.98, 0.02], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [1.0, 0.0, -1.0], 0.9)
    features = np.sqrt(8.0) * np.array([[1.0, 0.0], [0.0, -1.0], [0.9, np.sqrt(0.19)]])
    M, Q, rho = empirical_operators(mrp.sample(2000, rng), features)
    assert contraction_margin(M, 0.9) < 0
    limit, step = fixed_point(M, Q, rho, 0.9), iteration_matrix(M, Q, 0.9)
    worst = np.sign(step[2])  # the error of size 1 that row 2 stretches most
    after = np.abs(operator_td(M, Q, rho, 0.9, 1, v0=limit + worst)[1] - limit).max()
    assert after > 2
    assert after == pytest.approx(sup_norm(step), rel=1e-9)


@uncounted
def test_the_floor_falls_like_one_over_the_square_root_of_n():
    """Depth 300 leaves only the statistical error; chunks of long walks give many short contexts for free."""
    gamma, depth, lengths = 0.7, 300, [1_000, 10_000, 100_000]
    errors: dict[int, list[float]] = {n: [] for n in lengths}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        mrp = MarkovRewardProcess(*random_chain(rng, 4), gamma)
        features = one_hot(4, required_sharpness(mrp.stationary_distribution().min(), gamma, 0.05) + 1)
        walk, value = mrp.sample(lengths[-1], rng), mrp.value()
        for n in lengths:
            for begin in range(0, min(lengths[-1], 100 * n), n):
                context = Trajectory(walk.states[begin : begin + n + 1], walk.rewards[begin : begin + n])
                M, Q, rho = empirical_operators(context, features)
                assert contraction_margin(M, gamma) > 0
                errors[n].append(np.abs(operator_td(M, Q, rho, gamma, depth)[-1] - value).max())
    logs = [np.log(np.mean(errors[n])) for n in lengths]
    assert abs(np.polyfit(np.log(lengths), logs, 1)[0] + 0.5) < 0.1


@given(st.lists(st.floats(0.02, 1.0), min_size=2, max_size=6), st.floats(0.0, 0.95), st.floats(0.05, 0.95))
def test_required_sharpness_reaches_the_margin_exactly(weights, gamma, share):
    mu, margin = np.array(weights) / sum(weights), share * (1 - gamma) / 2
    # A chain that draws each state from mu has mu as its stationary distribution.
    mrp = MarkovRewardProcess(np.tile(mu, (len(mu), 1)), np.zeros(len(mu)), gamma)
    tau = required_sharpness(mu.min(), gamma, margin)
    assume(tau > 1e-3)  # one_hot needs a positive sharpness; the formula may ask for none
    M = matching_matrix(mrp, one_hot(len(mu), tau))
    assert abs(contraction_margin(M, gamma) - margin) <= 1e-10
    assert contraction_margin(matching_matrix(mrp, one_hot(len(mu), 1.01 * tau)), gamma) > margin


@given(st.integers(1, 6), st.integers(1, 4), seeds, st.floats(-2.0, 6.0))
def test_matching_matrix_by_the_definition(n_states, d, seed, beta):
    rng = np.random.default_rng(seed)
    P, r = random_chain(rng, n_states)
    mrp, x = MarkovRewardProcess(P, r, 0.5), random_features(n_states, d, rng)
    mu = np.linalg.matrix_power(P, 2000)[0]
    expected = np.empty((n_states, n_states))
    for s in range(n_states):
        row = [mu[t] * np.exp(beta * float(x[s] @ x[t])) for t in range(n_states)]
        expected[s] = np.array(row) / sum(row)
    assert_close(matching_matrix(mrp, x, beta), expected)


def test_the_empirical_matrix_tends_to_the_matching_matrix(rng):
    mrp = MarkovRewardProcess(*random_chain(rng, 4), 0.5)
    x = random_features(4, 3, rng)
    population = population_operators(mrp, x, beta=2.0)
    gaps = []
    for n in (1_000, 100_000):
        empirical = empirical_operators(mrp.sample(n, rng), x, beta=2.0)
        gaps.append(max(np.abs(a - b).max() for a, b in zip(population, empirical, strict=True)))
    assert gaps[1] < 0.01 and gaps[1] < gaps[0] / 3


@given(st.integers(1, 6), seeds, st.floats(0.0, 0.95), st.floats(1.0, 6.0))
def test_the_population_operators_fixed_point_is_the_exact_value(n_states, seed, gamma, beta):
    rng = np.random.default_rng(seed)
    P, r = random_chain(rng, n_states)
    mrp = MarkovRewardProcess(P, r, gamma)
    operators = population_operators(mrp, random_features(n_states, 4, rng), beta)
    value = sum(gamma**t * np.linalg.matrix_power(P, t) @ r for t in range(700))
    M, Q, rho = operators
    assert np.abs((M - gamma * Q) @ value - rho).max() <= 1e-11
    assume(np.linalg.cond(M - gamma * Q) < 1e6)  # near twins leave the solution, not the equation, ill-conditioned
    assert_close(fixed_point(*operators, gamma), value, 1e-8)


@given(st.integers(1, 6), st.integers(1, 4), seeds, st.floats(0.0, 6.0))
def test_the_eigenvalues_of_m_lie_between_0_and_1(n_states, d, seed, beta):
    rng = np.random.default_rng(seed)
    mrp = MarkovRewardProcess(*random_chain(rng, n_states), 0.5)
    features = rng.standard_normal((n_states, d))  # lengths differ
    for M in (matching_matrix(mrp, features, beta), empirical_operators(mrp.sample(50, rng), features, beta)[0]):
        eigenvalues = np.linalg.eigvals(M)
        assert np.abs(eigenvalues.imag).max() <= 1e-8
        assert eigenvalues.real.min() >= -1e-8 and eigenvalues.real.max() <= 1 + 1e-8


def test_a_negative_beta_gives_negative_eigenvalues():
    mrp = MarkovRewardProcess([[0.5, 0.5], [0.5, 0.5]], [0.0, 0.0], 0.5)
    assert np.linalg.eigvals(matching_matrix(mrp, np.eye(2), beta=-2.0)).real.min() < -0.1


@given(st.integers(1, 6), seeds)
def test_the_spectral_radius_is_below_the_sup_norm_and_is_the_long_run_rate(n, seed):
    matrix = np.random.default_rng(seed).standard_normal((n, n))
    expected_norm = max(sum(abs(entry) for entry in row) for row in matrix)
    assert abs(sup_norm(matrix) - expected_norm) <= 1e-12 * expected_norm
    assert spectral_radius(matrix) <= sup_norm(matrix) * (1 + 1e-12)
    rate = np.linalg.norm(np.linalg.matrix_power(matrix / expected_norm, 256)) ** (1 / 256) * expected_norm  # Gelfand
    assert abs(spectral_radius(matrix) - rate) <= 0.05 * rate


def test_the_iteration_matrix_moves_the_error_one_layer_on(rng):
    walk = MarkovRewardProcess(*random_chain(rng, 4), 0.8).sample(100, rng)
    M, Q, rho = empirical_operators(walk, one_hot(4, 3.0))
    limit, v = fixed_point(M, Q, rho, 0.8), rng.standard_normal(4)
    following = operator_td(M, Q, rho, 0.8, 1, alpha=0.7, v0=v)[1]
    assert_close(iteration_matrix(M, Q, 0.8, alpha=0.7) @ (v - limit), following - limit)


def test_contraction_margin_by_hand():
    assert contraction_margin(np.array([[0.9, 0.1], [0.2, 0.8]]), 0.5) == pytest.approx(0.05, abs=1e-15)


def test_geometric_bound_multiplies_by_one_minus_the_margin():
    bound = [3.0]
    for _ in range(4):
        bound.append(bound[-1] * 0.9)
    assert_close(geometric_bound(0.1, 4, 3.0), bound, 1e-14)


def test_sharp_features_of_a_transient_state_do_not_overflow():
    """State 0 is left for ever: it listens to the two others alike, however sharp its score of itself."""
    mrp = MarkovRewardProcess([[0, 1, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]], [1.0, 0.0, 1.0], 0.5)
    M = matching_matrix(mrp, one_hot(3, 1000.0))
    np.testing.assert_allclose(M, [[0, 0.5, 0.5], [0, 1, 0], [0, 0, 1]], atol=1e-12)


def test_population_operators_use_the_score_they_are_given(rng):
    features, mrp = 0.5 + rng.random((4, 2)), random_mrp(4, 0.9, rng)
    products = features @ features.T * mrp.stationary_distribution()
    expected = products / products.sum(axis=1, keepdims=True)
    assert_close(matching_matrix(mrp, features, score=log_inner_product), expected, 1e-12)
    assert_close(population_operators(mrp, features, score=log_inner_product)[0], expected, 1e-12)


def test_the_largest_margin_itself_is_out_of_reach():
    with pytest.raises(ValueError, match="margin is"):
        required_sharpness(0.1, 0.5, 0.25)


@given(st.integers(2, 6), seeds, st.floats(0.0, 0.95), st.floats(0.0, 4.0), st.floats(0.01, 0.999))
def test_a_margin_contracts_for_every_step_below_two_over_one_plus_gamma(n_states, seed, gamma, extra, share):
    _, _, (M, Q, _) = margin_chain(seed, n_states, gamma, 300, extra)
    C, alpha = contraction_margin(M, gamma), share * 2 / (1 + gamma)
    assume(C > 1e-6)
    stretch = sup_norm(iteration_matrix(M, Q, gamma, alpha))
    promised = 1 - 2 * alpha * C if alpha <= 1 else max(1 - 2 * alpha * C, alpha * (1 + gamma) - 1)
    assert stretch <= promised + 1e-12
    assert promised < 1


def test_a_margin_promises_nothing_at_two_over_one_plus_gamma():
    M, P = np.eye(2), np.array([[0.0, 1.0], [1.0, 0.0]])  # the largest margin there is; two states that swap
    assert spectral_radius(iteration_matrix(M, M @ P, 0.9, alpha=2 / 1.9)) == pytest.approx(1.0, abs=1e-12)


@given(st.integers(2, 6), st.integers(1, 4), seeds, st.floats(-4.0, -0.05))
def test_a_negative_beta_gives_a_negative_eigenvalue_whenever_two_states_differ(n_states, d, seed, beta):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_states, d))
    assume(max(np.linalg.norm(features - x, axis=1).max() for x in features) > 0.5)
    M = matching_matrix(MarkovRewardProcess(*random_chain(rng, n_states), 0.5), features, beta)
    assert np.linalg.eigvals(M).real.min() < 0


def test_the_bound_starts_at_1_where_no_error_is_given():
    assert geometric_bound(0.25, 2).tolist() == [1.0, 0.75, 0.5625]


@given(st.integers(2, 6), st.integers(1, 4), seeds, st.floats(-2, 2))
def test_m_has_as_many_negative_eigenvalues_as_the_exponentials_of_the_scores(n_states, d, seed, beta):
    """M = N G D has the symmetric twin (DN)^1/2 G (DN)^1/2: one spectrum, and the signs of G's (lesson 05)."""
    rng = np.random.default_rng(seed)
    walk = MarkovRewardProcess(*random_chain(rng, n_states), 0.9).sample(60, rng)
    x, visits = rng.normal(size=(n_states, d)), walk.visits(n_states)
    M, _, _ = empirical_operators(walk, x, beta)
    seen = visits > 0
    G = np.exp(beta * x @ x.T)
    scale = np.sqrt(visits / (G @ visits))[seen]
    twin = np.linalg.eigvalsh(scale[:, None] * G[np.ix_(seen, seen)] * scale)
    found = np.linalg.eigvals(M[np.ix_(seen, seen)])
    np.testing.assert_allclose(np.sort(found.real), twin, atol=1e-7)
    np.testing.assert_allclose(found.imag, 0.0, atol=1e-7)
    exact = np.linalg.eigvalsh(G[np.ix_(seen, seen)])
    if np.abs(exact).min() > 1e-6 * np.abs(exact).max() and np.abs(twin).min() > 1e-6:
        assert (twin < 0).sum() == (exact < 0).sum()


@given(st.integers(2, 6), st.integers(1, 4), seeds, st.floats(0, 0.99), st.floats(0.1, 2))
def test_equal_row_sums_would_make_small_steps_safe(n_states, d, seed, gamma, beta):
    """G D (I - gamma P), a layer's matrix if N were a number, has no eigenvalue left of 0 (lesson 05)."""
    rng = np.random.default_rng(seed)
    mrp = MarkovRewardProcess(*random_chain(rng, n_states), gamma)
    x = rng.normal(size=(n_states, d))
    K = mrp.stationary_distribution()[:, None] * (np.eye(n_states) - gamma * mrp.transition)
    assert np.linalg.eigvalsh(K + K.T).min() > 0
    G = np.exp(beta * x @ x.T)
    spectrum = np.linalg.eigvals(G @ K)
    assert spectrum.real.min() > -1e-9 * np.abs(spectrum).max()


def test_the_ends_of_the_range_of_a_margin_are_outside():
    for margin in (0.0, 0.5):
        with pytest.raises(ValueError, match=f"margin is {margin}; Theorem 2 needs"):
            geometric_bound(margin, 3)
    with pytest.raises(ValueError, match=r"margin is 0\.0; with gamma = 0\.5 it must lie between 0 and 0\.25"):
        required_sharpness(0.1, 0.5, 0.0)


def test_temperature_and_step_are_1_if_not_said_otherwise(rng):
    mrp, x = random_mrp(3, 0.9, rng), random_features(3, 2, rng)
    np.testing.assert_array_equal(matching_matrix(mrp, x), matching_matrix(mrp, x, 1.0))
    operators = population_operators(mrp, x)
    np.testing.assert_array_equal(operators[0], matching_matrix(mrp, x, 1.0))
    M, Q, _ = operators
    np.testing.assert_array_equal(iteration_matrix(M, Q, 0.9), iteration_matrix(M, Q, 0.9, 1.0))
