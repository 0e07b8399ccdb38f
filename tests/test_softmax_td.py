"""Weighted softmax TD against a plain triple loop; its operator form; the special cases of section 2."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from icrl_teach import (
    MarkovRewardProcess,
    Trajectory,
    empirical_operators,
    fixed_point,
    kernel_td,
    log_inner_product,
    one_hot,
    operator_td,
    softmax_weights,
    weighted_softmax_td,
)
from oracles import (
    assert_close,
    batch_linear_loops,
    batch_tabular_loops,
    contexts,
    random_chain,
    seeds,
    softmax_td_loops,
)

alphas, betas, depths = st.floats(0.0, 1.5), st.floats(-2.0, 5.0), st.integers(0, 8)


@given(contexts(), alphas, betas, depths)
def test_weighted_softmax_td_equals_the_triple_loop(c, alpha, beta, depth):
    expected = softmax_td_loops(c.features, c.rewards, c.gamma, [alpha] * depth, [beta] * depth, c.v0)
    actual = weighted_softmax_td(c.features, c.rewards, c.gamma, depth, alpha, beta, c.v0)
    assert np.abs(actual - expected).max() <= 1e-10 * max(np.abs(expected).max(), np.abs(c.rewards).max())


@given(contexts(), st.lists(alphas, min_size=1, max_size=5))
def test_each_layer_may_have_its_own_step_size(c, steps):
    expected = softmax_td_loops(c.features, c.rewards, c.gamma, steps, [1.0] * len(steps), c.v0)
    actual = weighted_softmax_td(c.features, c.rewards, c.gamma, len(steps), alpha=np.array(steps)[:, None], v0=c.v0)
    assert np.abs(actual - expected).max() <= 1e-10 * max(np.abs(expected).max(), np.abs(c.rewards).max())


@given(contexts(), betas)
def test_softmax_weights_by_the_definition(c, beta):
    queries, sources = c.features, c.features[:-1]
    expected = np.empty((c.n + 1, c.n))
    for j in range(c.n + 1):
        exps = [np.exp(beta * float(queries[j] @ sources[k])) for k in range(c.n)]
        expected[j] = np.array(exps) / sum(exps)
    weights = softmax_weights(queries, sources, beta)
    assert_close(weights, expected, 1e-12)
    assert_close(weights.sum(axis=1), np.ones(c.n + 1), 1e-14)


def test_softmax_weights_survive_scores_that_overflow_exp():
    assert softmax_weights([[1.0]], [[800.0], [900.0], [900.0]]).tolist() == [[np.exp(-100) / 2, 0.5, 0.5]]


def test_each_query_s_largest_score_is_taken_away_however_large_or_small():
    """Scores of 1,000 and 2,000, of -1,000 and -2,000: any other number taken away gives infinity or 0 / 0."""
    assert softmax_weights([[1000.0], [-1000.0], [0.0]], [[1.0], [2.0]]).tolist() == [[0, 1], [1, 0], [0.5, 0.5]]


@given(contexts(), betas, depths)
def test_positions_with_equal_features_hold_equal_values(c, beta, depth):
    v0 = np.linspace(-1, 1, len(c.table))[c.states]  # equal at the start
    for v in weighted_softmax_td(c.features, c.rewards, c.gamma, depth, beta=beta, v0=v0):
        for s in set(c.states):
            here = v[c.states == s]
            assert np.ptp(here) <= 1e-12 * (1 + np.abs(v).max())


# --- the operator view -----------------------------------------------------------------------------------------


@given(contexts(), betas)
def test_empirical_operators_by_the_definition(c, beta):
    S = len(c.table)
    M, Q, rho = np.zeros((S, S)), np.zeros((S, S)), np.zeros(S)
    for s in range(S):
        exps = [np.exp(beta * float(c.table[s] @ c.features[k])) for k in range(c.n)]
        for k in range(c.n):
            weight = exps[k] / sum(exps)
            M[s, c.states[k]] += weight
            Q[s, c.states[k + 1]] += weight
            rho[s] += weight * c.rewards[k]
    actual = empirical_operators(Trajectory(c.states, c.rewards), c.table, beta)
    for one, other in zip(actual, (M, Q, rho), strict=True):
        assert np.abs(one - other).max() <= 1e-12 * (1 + np.abs(c.rewards).max())


def test_operators_survive_scores_of_thousands():
    """2500 and 2000, 2000 and 1600, and where nobody is alike -2500 and -2000: the nearest source alone counts."""
    walk = Trajectory([0, 1, 0, 1, 2], [1.0, 2.0, 3.0, 4.0])
    M, Q, rho = empirical_operators(walk, [[50.0], [40.0], [-50.0]])
    assert_close(M, [[1, 0, 0], [1, 0, 0], [0, 1, 0]], 1e-15)
    assert_close(Q, [[0, 1, 0], [0, 1, 0], [0.5, 0, 0.5]], 1e-15)
    assert_close(rho, [2.0, 2.0, 3.0], 1e-15)  # state 0 pays 1 and 3, state 1 pays 2 and 4


@given(contexts(), alphas, betas, depths)
def test_operator_form_equals_trajectory_form(c, alpha, beta, depth):
    v0 = np.linspace(-1, 1, len(c.table)) + 0.1
    operators = empirical_operators(Trajectory(c.states, c.rewards), c.table, beta)
    by_state = operator_td(*operators, c.gamma, depth, alpha, v0)[:, c.states]
    by_position = weighted_softmax_td(c.features, c.rewards, c.gamma, depth, alpha, beta, v0[c.states])
    assert_close(by_state, by_position)


@given(st.integers(2, 5), st.integers(2, 40), seeds, st.floats(0.0, 0.9), st.booleans(), st.booleans())
def test_fixed_point_is_where_the_iterates_go(n_states, n, seed, gamma, twin, unvisited):
    rng = np.random.default_rng(seed)
    P, r = random_chain(rng, n_states)
    walk = MarkovRewardProcess(P, r, gamma).sample(n, rng)
    table = one_hot(n_states + 1, tau=3.0)[: n_states + unvisited]  # perhaps a state the context never sees
    if twin:
        table[0] = table[1]  # equal features: M and Q are singular
    operators = empirical_operators(walk, table)
    iterates = operator_td(*operators, gamma, 4000, alpha=0.9)
    assume(np.abs(iterates[-1] - iterates[-2]).max() < 1e-13)  # a slow or divergent case has no limit to compare
    assert_close(fixed_point(*operators, gamma), iterates[-1], 1e-8)


def test_fixed_point_of_one_state_by_hand():
    # One state, reward 1 each time: v = 1 + 0.5 v.
    operators = empirical_operators(Trajectory([0, 0, 0], [1.0, 1.0]), [[1.0]])
    assert_close(fixed_point(*operators, 0.5), [2.0], 1e-14)


# --- special cases ---------------------------------------------------------------------------------------------


@given(contexts(), alphas, depths)
def test_case_1_the_indicator_kernel_is_batch_tabular_td_exactly(c, alpha, depth):
    same = (c.states[:, None] == c.states[None, :-1]).astype(float)
    kernel = same / np.maximum(same.sum(axis=1, keepdims=True), 1)  # a state never left listens to nobody
    v0 = np.linspace(-1, 1, len(c.table)) + 0.1
    expected = batch_tabular_loops(c.states, c.rewards, c.gamma, depth, alpha, v0)[:, c.states]
    assert_close(kernel_td(kernel, c.rewards, c.gamma, depth, alpha, v0[c.states]), expected, 1e-12)


@given(contexts(), alphas, depths)
def test_case_1_the_linear_kernel_is_batch_linear_td_exactly(c, alpha, depth):
    kernel = c.features @ c.features[:-1].T / c.n
    w0 = np.linspace(-1, 1, c.table.shape[1]) + 0.1
    expected = batch_linear_loops(c.features, c.rewards, c.gamma, depth, alpha, w0) @ c.features.T
    assert_close(kernel_td(kernel, c.rewards, c.gamma, depth, alpha, c.features @ w0), expected, 1e-11)


@given(contexts(positive=True), alphas, depths)
def test_case_2_the_log_score_is_batch_linear_td_exactly(c, alpha, depth):
    c_j = np.array([sum(float(x @ y) for y in c.features[:-1]) for x in c.features])
    w0 = np.linspace(-1, 1, c.table.shape[1]) + 0.1
    expected = batch_linear_loops(c.features, c.rewards, c.gamma, depth, alpha, w0) @ c.features.T
    actual = weighted_softmax_td(
        c.features,
        c.rewards,
        c.gamma,
        depth,
        alpha=alpha * c_j / c.n,
        v0=c.features @ w0,
        score=log_inner_product,
    )
    assert_close(actual, expected, 1e-11)


def test_case_2_needs_positive_inner_products():
    with pytest.raises(ValueError, match="smallest inner product is -1; log_inner_product needs positive"):
        log_inner_product(np.array([[1.0]]), np.array([[-1.0]]))
    with pytest.raises(ValueError, match="smallest inner product is 0; log_inner_product needs positive"):
        log_inner_product(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))  # log 0 is no number


@given(contexts(max_n=30, max_states=4), st.floats(0.0, 20.0))
def test_case_3_one_step_stays_within_the_stated_bound(c, tau):
    v0 = np.linspace(-1, 1, 4)[c.states]
    delta = [c.rewards[k] + c.gamma * v0[k + 1] - v0[k] for k in range(c.n)]
    x = one_hot(4, max(tau, 1e-9))[c.states]
    sharp = weighted_softmax_td(x, c.rewards, c.gamma, 1, v0=v0)[1]
    table = batch_tabular_loops(c.states, c.rewards, c.gamma, 1, 1.0, np.linspace(-1, 1, 4))[1]
    for j, s in enumerate(c.states):
        n_s = (c.states[:-1] == s).sum()
        if n_s:  # the bound speaks of states that were left
            bound = 2 * (c.n - n_s) / (n_s * np.exp(tau) + c.n - n_s) * np.abs(delta).max()
            assert abs(sharp[j] - table[s]) <= bound + 1e-14


def test_case_3_the_gap_to_tabular_td_falls_like_exp_of_minus_tau(rng):
    walk = MarkovRewardProcess(*random_chain(rng, 5), 0.9).sample(200, rng)
    table = batch_tabular_loops(walk.states, walk.rewards, 0.9, 30, 1.0, np.zeros(5))[:, walk.states]
    taus = np.arange(6.0, 15.0)
    gaps = []
    for tau in taus:
        sharp = weighted_softmax_td(one_hot(5, tau)[walk.states], walk.rewards, 0.9, 30)
        gaps.append(np.abs(sharp - table).max())
    assert abs(np.polyfit(taus, np.log(gaps), 1)[0] + 1) < 0.05


def centred_linear_td(features, rewards, gamma, n_iterations, alpha, beta):
    """Case 4's reference: linear TD on (1, sqrt(beta) x), step alpha / n, sources centred. Values at the positions."""
    n, x = len(rewards), np.sqrt(beta) * features
    b, w = 0.0, np.zeros(features.shape[1])
    values = [b + x @ w]
    for _ in range(n_iterations):
        v = values[-1]
        delta = rewards + gamma * v[1:] - v[:-1]
        b = b + alpha / n * delta.sum()
        w = w + alpha / n * sum(delta[k] * (x[k] - x[:-1].mean(axis=0)) for k in range(n))
        values.append(b + x @ w)
    return np.array(values)


@pytest.mark.parametrize("seed", range(4))
def test_case_4_the_gap_to_centred_linear_td_is_of_order_beta_squared(seed):
    rng = np.random.default_rng(seed)
    walk = MarkovRewardProcess(*random_chain(rng, 5), 0.8).sample(60, rng)
    features = rng.standard_normal((5, 3))[walk.states]
    betas = 2.0 ** -np.arange(4, 10)
    gaps = []
    for beta in betas:
        soft = weighted_softmax_td(features, walk.rewards, 0.8, 10, alpha=0.5, beta=beta)
        gaps.append(np.abs(soft - centred_linear_td(features, walk.rewards, 0.8, 10, 0.5, beta)).max())
    order = np.polyfit(np.log(betas), np.log(gaps), 1)[0]
    assert 1.8 < order < 2.2


def test_case_4_fails_if_the_keys_are_not_centred(rng):
    # Without centring the gap is of order beta: the fitted order notices.
    walk = MarkovRewardProcess(*random_chain(rng, 5), 0.8).sample(60, rng)
    features = rng.standard_normal((5, 3))[walk.states] + 1.0
    betas, gaps = 2.0 ** -np.arange(4, 10), []
    for beta in betas:
        soft = weighted_softmax_td(features, walk.rewards, 0.8, 10, alpha=0.5, beta=beta)
        x = np.hstack([np.ones((61, 1)), np.sqrt(beta) * features])
        linear = batch_linear_loops(x, walk.rewards, 0.8, 10, 0.5, np.zeros(4)) @ x.T
        gaps.append(np.abs(soft - linear).max())
    assert np.polyfit(np.log(betas), np.log(gaps), 1)[0] < 1.5


@pytest.mark.parametrize("use", [lambda M, Q, rho: operator_td(M, Q, rho, 1.0, 3), lambda *o: fixed_point(*o, 1.0)])
@pytest.mark.parametrize("walk", [[0, 0, 0, 1, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0]])
def test_operators_of_an_endless_walk_refuse_gamma_1(walk, use):
    """However unevenly states are visited: each row of M and of Q sums to 1, so nothing ever ends."""
    with pytest.raises(ValueError, match="gamma is 1"):
        use(*empirical_operators(Trajectory(walk, np.ones(4)), one_hot(2, 2.0)))


def test_operators_use_the_score_they_are_given(rng):
    features, walk = 0.5 + rng.random((4, 2)), Trajectory(rng.integers(0, 4, 60), rng.random(59))
    M = empirical_operators(walk, features, score=log_inner_product)[0]
    products = features @ features.T * walk.visits(4)  # exp of the log: inner products, times visits
    assert_close(M, products / products.sum(axis=1, keepdims=True), 1e-12)


def test_centred_linear_td_rests_where_linear_td_does_if_that_is_one_point(rng):
    walk = MarkovRewardProcess(*random_chain(rng, 5), 0.8).sample(60, rng)
    features = rng.standard_normal((5, 2))[walk.states]
    x = np.hstack([np.ones((61, 1)), np.sqrt(0.5) * features])  # A, 3 x 3, is invertible
    A, b = x[:-1].T @ (x[:-1] - 0.8 * x[1:]), x[:-1].T @ walk.rewards
    centred = centred_linear_td(features, walk.rewards, 0.8, 4000, 0.5, 0.5)[-1]
    assert_close(centred, x @ np.linalg.solve(A, b), 1e-8)


def test_at_lambda_1_the_limit_is_the_mean_return_with_the_last_value_as_its_tail(rng):
    walk = MarkovRewardProcess(*random_chain(rng, 3), 0.9).sample(60, rng)
    x, n = one_hot(3, 6.0)[walk.states], 60
    age = np.subtract.outer(np.arange(n), np.arange(n))
    K = softmax_weights(x, x[:-1]) @ np.where(age <= 0, 0.9 ** np.abs(age), 0.0)
    v = kernel_td(K, walk.rewards, 0.9, 400)[-1]
    G, means = v[-1], {0: [], 1: [], 2: []}
    for k in reversed(range(n)):
        G = walk.rewards[k] + 0.9 * G
        means[walk.states[k]].append(G)
    assert_close(v, [np.mean(means[s]) for s in walk.states], 1e-9)


@given(contexts(), st.floats(0.0, 6.0))
def test_features_of_one_length_make_attention_a_nadaraya_watson_smoother(c, beta):
    x = c.features / np.maximum(np.linalg.norm(c.features, axis=1, keepdims=True), 1e-9)
    assume(np.allclose(np.linalg.norm(x, axis=1), 1.0))
    squared = ((x[:, None] - x[None, :-1]) ** 2).sum(axis=-1)
    bumps = np.exp(-beta * squared / 2)  # Gaussians of width 1 / sqrt(beta) around each query
    assert_close(softmax_weights(x, x[:-1], beta), bumps / bumps.sum(axis=1, keepdims=True), 1e-12)


@given(seeds, st.floats(0.5, 6.0), st.floats(0.0, 0.8))
def test_a_state_never_left_ends_where_the_limits_of_the_others_say(seed, beta, gamma):
    rng = np.random.default_rng(seed)
    states = np.append(rng.permutation(np.r_[0:3, rng.integers(0, 3, size=6)]), 3)  # 3: met last, never left
    x = rng.normal(size=(4, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    path = weighted_softmax_td(x[states], rng.normal(size=9), gamma, 3000, beta=beta)
    assume(np.abs(path[-1] - path[-2]).max() < 1e-13)  # a slow or divergent case has no limit to compare
    M, limits = empirical_operators(Trajectory(states, np.zeros(9)), x, beta)[0], path[-1]
    by_state = np.array([limits[np.flatnonzero(states == s)[0]] for s in range(4)])
    assert_close(by_state[3], M[3, :3] @ np.linalg.solve(M[:3, :3], by_state[:3]), 1e-7)


def test_step_and_temperature_are_1_if_not_said_otherwise(rng):
    x, r = rng.standard_normal((6, 2)), rng.standard_normal(5)
    walk, table = Trajectory([0, 1, 2, 0, 1, 2], r), x[:3]
    operators = empirical_operators(walk, table)
    K = softmax_weights(x, x[:-1])
    for short, full in (
        (K, softmax_weights(x, x[:-1], 1.0)),
        (np.stack(operators[:2]), np.stack(empirical_operators(walk, table, 1.0)[:2])),
        (operator_td(*operators, 0.9, 3), operator_td(*operators, 0.9, 3, 1.0)),
        (kernel_td(K, r, 0.9, 3), kernel_td(K, r, 0.9, 3, 1.0)),
        (weighted_softmax_td(x, r, 0.9, 3), weighted_softmax_td(x, r, 0.9, 3, 1.0, 1.0)),
    ):
        np.testing.assert_array_equal(short, full)


@pytest.mark.parametrize(("missing", "ends"), [(0.9e-12, False), (1.1e-12, True)])
def test_what_rows_lack_by_rounding_is_no_ending(missing, ends):
    """Rows of M sum to 1 to rounding; a discount of 1 asks for steps that led nowhere."""
    M, Q = np.eye(1), np.array([[1.0 - missing]])
    if ends:
        assert operator_td(M, Q, np.ones(1), 1.0, 1).tolist() == [[0.0], [1.0]]
    else:
        for rows in (M, Q), (np.array([[1e-12]]), np.zeros((1, 1))):  # and no more than 1e-12 is none either
            with pytest.raises(ValueError, match=r"gamma is 1\.0"):
                operator_td(*rows, np.ones(1), 1.0, 1)


def test_what_a_score_must_return(rng):
    x = rng.standard_normal((3, 2))
    for wrong in (
        lambda q, s: (q @ s.T)[:, :1],
        lambda q, s: (q @ s.T).astype(str),
        lambda q, s: np.where(np.eye(3, dtype=bool), np.nan, q @ s.T),
    ):
        with pytest.raises(
            ValueError, match=r"score returned .*; it must return numbers of shape \(3, 3\), without NaN"
        ):
            softmax_weights(x, x, score=wrong)
    with pytest.raises(ValueError, match="smallest inner product is -1; log_inner_product needs positive"):
        log_inner_product(np.array([[1.0], [2.0]]), np.array([[-0.5], [0.25]]))  # one of four is positive
    assert log_inner_product(np.array([[0.5]]), np.array([[1.0]])) == np.log(0.5)
