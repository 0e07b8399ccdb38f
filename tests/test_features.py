"""Features: what inner products they have, because scores are all that attention sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrl_teach import Trajectory, aggregation, one_hot, position_features, random_features
from oracles import assert_close, seeds


@given(st.integers(1, 6), st.floats(0.1, 30))
def test_one_hot_inner_products_are_tau_or_zero(n_states, tau):
    x = one_hot(n_states, tau)
    for s in range(n_states):
        for t in range(n_states):
            assert abs(x[s] @ x[t] - (tau if s == t else 0.0)) <= 1e-14 * tau


@given(st.integers(1, 6), st.integers(1, 5), seeds)
def test_random_features_have_length_one_and_follow_the_generator(n_states, d, seed):
    x = random_features(n_states, d, np.random.default_rng(seed))
    assert x.shape == (n_states, d)
    assert_close((x**2).sum(axis=1), np.ones(n_states), 1e-14)
    assert (x == random_features(n_states, d, np.random.default_rng(seed))).all()


def test_random_features_favour_no_direction(rng):
    x = random_features(20_000, 3, rng)
    assert np.abs(x.mean(axis=0)).max() <= 5 * np.sqrt(1 / 3 / 20_000)  # each coordinate has variance 1/d


@given(st.integers(1, 20), st.data())
def test_aggregation_cuts_the_states_into_runs_of_nearly_equal_length(n_states, data):
    n_groups = data.draw(st.integers(1, n_states))
    x = aggregation(n_states, n_groups, tau=4.0)
    group = x.argmax(axis=1)
    assert (x.max(axis=1) == 2.0).all() and (x.sum(axis=1) == 2.0).all()
    assert (np.diff(group) >= 0).all() and set(group) == set(range(n_groups))
    sizes = np.bincount(group)
    assert sizes.max() - sizes.min() <= 1
    assert (aggregation(n_states, n_states) == one_hot(n_states)).all()  # a group for each state
    assert (one_hot(n_states) == np.eye(n_states)).all()


def test_position_features_look_up_each_position():
    assert position_features(Trajectory([1, 0, 1], [0, 0]), [[5.0, 6.0], [7.0, 8.0]]).tolist() == [
        [7, 8],
        [5, 6],
        [7, 8],
    ]


def test_a_table_without_a_row_for_the_last_state_is_refused():
    with pytest.raises(ValueError, match="2 rows but the trajectory visits state 2: give at least 3 rows"):
        position_features(Trajectory([0, 2, 1], [0, 0]), [[5.0], [7.0]])
