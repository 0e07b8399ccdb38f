"""Tabular and linear TD against plain loops, and their limits against equations solved by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrl_teach import (
    MarkovRewardProcess,
    Trajectory,
    batch_linear_td,
    batch_tabular_td,
    certainty_equivalence_value,
    linear_td,
    lstd,
    tabular_td,
    td_errors,
)
from oracles import (
    assert_close,
    batch_linear_loops,
    batch_tabular_loops,
    contexts,
    random_chain,
    seeds,
)

alphas = st.floats(0.05, 1.0)


@given(contexts())
def test_td_errors_are_reward_plus_discounted_next_minus_own_value(c):
    expected = [c.rewards[k] + c.gamma * c.v0[k + 1] - c.v0[k] for k in range(c.n)]
    assert_close(td_errors(c.v0, c.rewards, c.gamma), expected, 1e-14)


@given(contexts(), alphas)
def test_tabular_td_updates_one_state_after_the_other(c, alpha):
    v = dict.fromkeys(range(c.states.max() + 1), 0.5)
    history = [list(v.values())]
    for k in range(c.n):
        s, s_next = c.states[k], c.states[k + 1]
        v[s] = v[s] + alpha * (c.rewards[k] + c.gamma * v[s_next] - v[s])
        history.append(list(v.values()))
    start = np.full(len(v), 0.5)
    assert_close(tabular_td(Trajectory(c.states, c.rewards), c.gamma, alpha, start), history)
    assert (start == 0.5).all()  # arguments are not changed


@given(contexts(), alphas, st.integers(0, 6))
def test_batch_tabular_td_equals_loops(c, alpha, n_iterations):
    v0 = np.linspace(-1, 1, c.states.max() + 1)
    expected = batch_tabular_loops(c.states, c.rewards, c.gamma, n_iterations, alpha, v0)
    assert_close(batch_tabular_td(Trajectory(c.states, c.rewards), c.gamma, n_iterations, alpha, v0), expected)


@given(contexts(), alphas)
def test_linear_td_equals_loops(c, alpha):
    d = c.table.shape[1]
    w = [1.0] * d
    history = [w]
    for k in range(c.n):
        own, following = (sum(w[i] * c.features[j][i] for i in range(d)) for j in (k, k + 1))
        delta = c.rewards[k] + c.gamma * following - own
        w = [w[i] + alpha * delta * c.features[k][i] for i in range(d)]
        history.append(w)
    assert_close(linear_td(c.features, c.rewards, c.gamma, alpha, np.ones(d)), history)


@given(contexts(), alphas, st.integers(0, 6))
def test_batch_linear_td_equals_loops(c, alpha, n_iterations):
    w0 = np.linspace(-1, 1, c.table.shape[1]) + 0.1
    expected = batch_linear_loops(c.features, c.rewards, c.gamma, n_iterations, alpha, w0)
    assert_close(batch_linear_td(c.features, c.rewards, c.gamma, n_iterations, alpha, w0), expected)


@given(contexts(), alphas)
def test_linear_td_with_one_hot_features_is_tabular_td(c, alpha):
    table = np.eye(c.states.max() + 1)
    online = linear_td(table[c.states], c.rewards, c.gamma, alpha)
    assert_close(online, tabular_td(Trajectory(c.states, c.rewards), c.gamma, alpha), 1e-12)


@given(st.integers(2, 5), st.integers(3, 60), seeds, st.floats(0.0, 0.9))
def test_batch_tabular_td_converges_to_the_certainty_equivalence_value(n_states, n, seed, gamma):
    P, r = random_chain(np.random.default_rng(seed), n_states)
    walk = MarkovRewardProcess(P, r, gamma).sample(n, np.random.default_rng(seed))  # short: some states unvisited
    limit = batch_tabular_td(walk, gamma, 400)[-1]  # 0.9^400 < 1e-18
    assert_close(certainty_equivalence_value(walk, gamma), limit)


def test_certainty_equivalence_value_by_hand():
    # State 0 earns 1 or 3 and goes to 1 or stays; state 1 is where the data end, so nothing is known: value 0.
    walk = Trajectory([0, 0, 1], [1.0, 3.0])
    # v0 = 2 + 0.5 (v0 / 2 + v1 / 2), v1 = 0
    assert_close(certainty_equivalence_value(walk, 0.5), [8 / 3, 0.0], 1e-14)


@given(contexts(max_n=20, max_d=3))
def test_lstd_solves_the_normal_equations(c):
    d = c.table.shape[1]
    A, b = np.zeros((d, d)), np.zeros(d)
    for k in range(c.n):
        for i in range(d):
            b[i] += c.rewards[k] * c.features[k][i]
            for j in range(d):
                A[i, j] += c.features[k][i] * (c.features[k][j] - c.gamma * c.features[k + 1][j])
    if np.linalg.cond(A) < 1e6:
        w = lstd(c.features, c.rewards, c.gamma)
        assert_close(A @ w, b, 1e-9)
        # The definition behind the equations: TD errors do not correlate with features.
        assert np.abs(td_errors(c.features @ w, c.rewards, c.gamma) @ c.features[:-1]).max() <= 1e-9 * np.abs(b).max()
    w = lstd(c.features, c.rewards, c.gamma, ridge=100.0)
    assert_close((A + 100.0 * np.eye(d)) @ w, b)


def test_lstd_is_the_limit_of_batch_linear_td_with_a_small_step(rng):
    P, r = random_chain(rng, 4)
    walk = MarkovRewardProcess(P, r, 0.8).sample(400, rng)
    features = rng.standard_normal((4, 2))[walk.states]
    limit = batch_linear_td(features, walk.rewards, 0.8, 5000, alpha=0.2)
    assert_close(limit[-1], lstd(features, walk.rewards, 0.8))
    assert np.abs(limit[1] - limit[-1]).max() > 1e-2  # the limit was not there from the start


def test_the_unit_of_a_feature_does_not_decide_what_is_singular(rng):
    features, rewards = rng.standard_normal((30, 2)), rng.standard_normal(29)
    w = lstd(features, rewards, 0.8)
    assert_close(lstd(features * [1.0, 1e8], rewards, 0.8) * [1.0, 1e8], w, 1e-9)


def test_lstd_refuses_a_singular_matrix_and_names_the_ridge():
    with pytest.raises(ValueError, match=r"singular.*ridge"):
        lstd([[1.0, 0.0], [1.0, 0.0]], [1.0], 0.5)


@given(st.integers(2, 5), st.integers(2, 40), seeds, st.floats(0.0, 0.9))
def test_batch_tabular_td_converges_for_every_step_below_two_over_one_plus_gamma(n_states, n, seed, gamma):
    P, r = random_chain(np.random.default_rng(seed), n_states)
    walk = MarkovRewardProcess(P, r, gamma).sample(n, np.random.default_rng(seed))
    limit = batch_tabular_td(walk, gamma, 1500, alpha=0.97 * 2 / (1 + gamma))[-1]
    assert_close(limit, certainty_equivalence_value(walk, gamma), 1e-8)


def test_two_states_that_swap_allow_no_larger_step():
    swap = Trajectory([0, 1, 0], [1.0, 0.0])
    just_above = batch_tabular_td(swap, 0.9, 1500, alpha=1.03 * 2 / 1.9)
    assert np.abs(just_above[-1]).max() > 1e6


def test_a_ridge_makes_a_singular_matrix_solvable():
    """The second feature never occurs: the first solves its own equation, w (1 - gamma + ridge) = R."""
    np.testing.assert_allclose(lstd([[1.0, 0.0], [1.0, 0.0]], [1.0], 0.5, ridge=0.5), [1.0, 0.0])
    with pytest.raises(ValueError, match=r"ridge is -0\.5; it must be 0 or"):
        lstd([[1.0, 0.0], [1.0, 0.0]], [1.0], 0.5, ridge=-0.5)


def test_the_step_of_a_batch_is_1_if_not_said_otherwise():
    x, r, walk = [[1.0], [2.0], [1.0]], [1.0, 3.0], Trajectory([0, 1, 0], [1.0, 3.0])
    np.testing.assert_array_equal(batch_tabular_td(walk, 0.5, 3), batch_tabular_td(walk, 0.5, 3, 1.0))
    np.testing.assert_array_equal(batch_linear_td(x, r, 0.5, 3), batch_linear_td(x, r, 0.5, 3, 1.0))
