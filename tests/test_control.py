"""Control with a table: optima against trying every policy, returns against going through every path."""

from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acting_cases import (
    CutIsEnd,
    Tabled,
    best_by_paths,
    best_by_trying_all,
    policies,
    random_tables,
    return_by_paths,
    value_by_sweeps,
)
from icrl_teach import (
    MarkovDecisionProcess,
    best_return,
    epsilon_greedy_policy,
    greedy_policy,
    mdp_from_env,
    mrp_from_env,
    optimal_action_values,
    played_return,
    policy_return,
    q_learning,
    sarsa,
    softmax_policy,
)
from icrl_teach.control import improved, policy_action_values
from oracles import seeds
from patience import uncounted

sizes = st.tuples(st.integers(1, 4), st.integers(1, 3))


@given(seeds, sizes, st.sampled_from([0.0, 0.5, 0.9]))
def test_the_optimum_is_what_the_best_of_all_policies_reaches(seed, size, gamma):
    P, r, start = random_tables(np.random.default_rng(seed), *size)
    q = optimal_action_values(MarkovDecisionProcess(P, r, start), gamma)
    np.testing.assert_allclose(q.max(axis=1), best_by_trying_all(P, r, gamma), atol=1e-9)
    np.testing.assert_allclose(q, r + gamma * P @ q.max(axis=1), atol=1e-9)


@given(seeds, st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=25)
def test_returns_within_a_limit_are_sums_over_all_paths(seed, n_states, n_actions, steps):
    rng = np.random.default_rng(seed)
    P, r, start = random_tables(rng, n_states, n_actions)
    policy, mdp = rng.dirichlet(np.ones(n_actions), size=n_states), MarkovDecisionProcess(P, r, start)
    paths = sum(p * return_by_paths(P, r, policy, s, steps) for s, p in enumerate(start))
    assert policy_return(mdp, policy, steps) == pytest.approx(paths, abs=1e-10)
    best = sum(p * best_by_paths(P, r, s, steps) for s, p in enumerate(start))
    assert best_return(mdp, steps) == pytest.approx(best, abs=1e-10)
    assert best + 1e-10 >= max(policy_return(mdp, np.eye(n_actions)[c], steps) for c in policies(n_states, n_actions))


@given(seeds, sizes)
def test_values_of_a_policy_and_its_improvement(seed, size):
    """The improvement theorem, brute force: the best actions on q of a policy are nowhere worse than the policy."""
    rng = np.random.default_rng(seed)
    P, r, start = random_tables(rng, *size)
    choice = rng.integers(size[1], size=size[0])
    q = policy_action_values(MarkovDecisionProcess(P, r, start), np.eye(size[1])[choice], 0.9)
    v = value_by_sweeps(P, r, choice, 0.9, 400)
    np.testing.assert_allclose(q[np.arange(size[0]), choice], v, atol=1e-8)
    assert (value_by_sweeps(P, r, improved(q, choice), 0.9, 400) >= v - 1e-8).all()


def test_a_choice_that_ties_is_kept_and_the_others_are_drawn():
    q = np.array([[1.0, 1.0, 0.0]] * 200)
    assert (improved(q, np.ones(200, int)) == 1).all() and (improved(q, np.full(200, 2)) == 0).all()
    drawn = improved(q, np.full(200, 2), np.random.default_rng(0))
    assert set(drawn) == {0, 1} and 60 < (drawn == 0).sum() < 140
    # A number for each action, and of the best the one with the largest: recorded runs can be made again.
    assert (drawn == np.random.default_rng(0).random(q.shape)[:, :2].argmax(axis=1)).all()
    assert (improved(q + 1e-12 * np.arange(3), np.zeros(200, int)) == 0).all()  # a difference of rounding is a tie


@given(seeds, sizes, st.floats(0, 1), st.floats(0.01, 100))
def test_policies_are_distributions(seed, size, epsilon, temperature):
    q = np.random.default_rng(seed).normal(size=size)
    for policy in (greedy_policy(q), epsilon_greedy_policy(q, epsilon), softmax_policy(q, temperature)):
        np.testing.assert_allclose(policy.sum(axis=1), 1.0)
        assert (policy >= 0).all() and (policy.argmax(axis=1) == q.argmax(axis=1)).all() | (epsilon > 0.999)
    weights = [[np.exp(x / temperature - max(row) / temperature) for x in row] for row in q]
    np.testing.assert_allclose(softmax_policy(q, temperature), [np.array(w) / sum(w) for w in weights])


def test_a_tenth_is_shared_by_all_actions():
    np.testing.assert_allclose(epsilon_greedy_policy([[0.0, 1.0, 0.0]], 0.3), [[0.1, 0.8, 0.1]])
    with pytest.raises(ValueError, match=r"epsilon is 1\.5"):
        epsilon_greedy_policy([[0.0]], 1.5)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1"])
def test_a_process_with_its_actions_is_each_policy_s_process(name):
    mdp, rng = mdp_from_env(name), np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(mdp.n_actions), size=mdp.n_states)
    chain = mrp_from_env(name, policy, 0.9, episodes="terminal")
    np.testing.assert_allclose(np.einsum("sa,sat->st", policy, mdp.transition), chain.transition, atol=1e-12)
    np.testing.assert_allclose((policy * mdp.reward).sum(axis=1), chain.reward, atol=1e-12)
    np.testing.assert_allclose(mdp.start, chain.start)


def test_known_optima():
    assert best_return(mdp_from_env("CliffWalking-v1"), 200) == -13.0
    still = mdp_from_env(gym.make("FrozenLake-v1", is_slippery=False))
    assert best_return(still, 6) == 1.0 and best_return(still, 5) == 0.0  # six moves to the corner


def test_a_process_that_is_none_is_refused():
    right = (np.full((2, 1, 2), 0.5), np.zeros((2, 1)), [1.0, 0.0])
    MarkovDecisionProcess(*right)
    with pytest.raises(ValueError, match=r"transition has a row that sums to 1\.2"):
        MarkovDecisionProcess(np.full((2, 1, 2), 0.6), *right[1:])
    with pytest.raises(ValueError, match=r"transition has a row that sums to 1\.2"):  # an entry of 0 is in order
        MarkovDecisionProcess([[[1.2, 0.0]], [[0.5, 0.5]]], *right[1:])
    with pytest.raises(ValueError, match=r"transition has the entry -0\.1"):
        MarkovDecisionProcess([[[-0.1, 0.5]], [[0.5, 0.5]]], *right[1:])
    with pytest.raises(ValueError, match="start"):
        MarkovDecisionProcess(*right[:2], [0.5, 0.2])
    with pytest.raises(ValueError, match="transition"):
        MarkovDecisionProcess(np.full((2, 2, 2), 0.5), *right[1:])


def test_a_row_may_sum_to_more_than_1_by_rounding_alone():
    MarkovDecisionProcess([[[1 + 1e-8]]], [[0.0]], [1.0])
    with pytest.raises(ValueError, match="transition has a row that sums to 1"):
        MarkovDecisionProcess([[[1 + 1.5e-8]]], [[0.0]], [1.0])


@pytest.mark.parametrize(("size", "unit"), [(1e6, 1e6), (1.0, 1.0), (1e-3, 1.0)])
def test_a_tie_is_a_billionth_of_the_largest_value_or_of_1(size, unit):
    """Two roads to one number differ by its rounding: in proportion to large values, and not to small ones."""
    q = size + unit * np.array([[0.0, -0.9e-9, -1.1e-9]])
    assert greedy_policy(q).tolist() == [[0.5, 0.5, 0.0]]
    assert greedy_policy([[1.0, 1.0 - 1e-9]]).tolist() == [[0.5, 0.5]]  # a billionth itself is one


def test_values_of_any_size_have_a_softmax_policy():
    for shift in (0.0, 1e4, -1e4):
        np.testing.assert_allclose(softmax_policy([[shift, shift + 1_000.0]], 1.0), [[0.0, 1.0]])


def test_a_process_that_was_checked_stays_as_it_is():
    tables = np.full((2, 1, 2), 0.5), np.zeros((2, 1)), np.array([1.0, 0.0])
    mdp = MarkovDecisionProcess(*tables)
    for name, given_table in zip(("transition", "reward", "start"), tables, strict=True):
        with pytest.raises(ValueError, match="read-only"):
            getattr(mdp, name)[0] = 7.0
        given_table[0] = 7.0  # the caller's own array is no part of it
        assert (getattr(mdp, name) != 7.0).all()


# ------------------------------------------------------------------------------------------------- one step at a time


@pytest.fixture
def process():
    return random_tables(np.random.default_rng(3), 3, 2, ends=0.3)


@uncounted
def test_q_learning_finds_the_optimum_and_sarsa_the_value_of_what_it_does(process):
    mdp = MarkovDecisionProcess(*process)
    for method, right in (
        (q_learning, optimal_action_values(mdp, 0.9)),
        (sarsa, policy_action_values(mdp, np.full((3, 2), 0.5), 0.9)),  # epsilon 1: the random policy
    ):
        q = method(Tabled(*process), 20_000, 0.9, alpha=0.01, epsilon=1.0, seed=0)
        assert np.abs(q - right).max() < 0.15, method.__name__
    apart = np.abs(optimal_action_values(mdp, 0.9) - policy_action_values(mdp, np.full((3, 2), 0.5), 0.9)).max()
    assert apart > 0.3  # so that neither passes for the other


@pytest.mark.parametrize("method", [sarsa, q_learning])
def test_a_cut_bootstraps_and_an_end_does_not(method):
    """One state, one action, reward 1: worth 10 for ever. A limit of 2 steps leaves that, an end makes it little."""
    for_ever = np.ones((1, 1, 1)), np.ones((1, 1)), [1.0]
    assert method(Tabled(*for_ever, limit=2), 2_000, 0.9)[0, 0] == pytest.approx(10.0, rel=0.01)
    assert method(CutIsEnd(Tabled(*for_ever, limit=2)), 2_000, 0.9)[0, 0] < 2.0


@pytest.mark.parametrize("method", [sarsa, q_learning])
def test_steps_repeat_with_a_seed_and_gymnasium_counts_them(method, process):
    steps = []

    class Counted(Tabled):
        def step(self, action):
            steps.append(action)
            return super().step(action)

    first = method(Counted(*process), 50, 0.9, seed=4)
    assert len(steps) == 50
    np.testing.assert_array_equal(first, method(Tabled(*process), 50, 0.9, seed=4))
    assert (first != method(Tabled(*process), 50, 0.9, seed=5)).any()


def test_sarsa_takes_the_action_that_it_has_bootstrapped_from(process):
    """By hand: the target of a step holds q of the action that is taken next, as it was before the update."""
    taken = []

    class Watched(Tabled):
        def step(self, action):
            before = self.state
            result = super().step(action)
            taken.append((before, action, result[1], result[0], result[2]))
            return result

    q = sarsa(Watched(*process), 60, 0.9, alpha=0.5, epsilon=0.5, seed=1)
    by_hand = np.zeros((3, 2))
    for (s, a, r, following, over), after in pairwise(taken):
        by_hand[s, a] += 0.5 * (r + (0.0 if over else 0.9 * by_hand[following, after[1]]) - by_hand[s, a])
    s, a = taken[-1][:2]  # the last target holds an action that was never taken
    by_hand[s, a], q[s, a] = 0.0, 0.0
    np.testing.assert_allclose(q, by_hand, atol=1e-12)


@pytest.mark.parametrize("method", [sarsa, q_learning])
def test_a_step_goes_a_tenth_of_the_way_and_one_in_ten_is_any_action(method):
    """The defaults that both docstrings give, by what they do: alpha by one step, epsilon by counting the worse of two
    actions, which is drawn in half of the steps that explore."""
    worse = []

    class Counted(Tabled):
        def step(self, action):
            worse.append(action)
            return super().step(action)

    one_state = np.ones((1, 2, 1)), np.array([[1.0, -1.0]]), [1.0]
    assert np.abs(method(Tabled(*one_state), 1, 0.0)).max() == pytest.approx(0.1)
    method(Counted(*one_state), 4_000, 0.0)
    assert np.mean(worse) == pytest.approx(0.05, abs=0.015)  # four standard errors; twice the epsilon doubles it


class Watched(Tabled):
    """One state that always goes on, with three actions; it notes which were taken."""

    def __init__(self, rewards):
        super().__init__(np.ones((1, 3, 1)), np.array([rewards]), [1.0])
        self.taken = []

    def step(self, action):
        self.taken.append(action)
        return super().step(action)


@pytest.mark.parametrize("method", [sarsa, q_learning])
def test_ties_are_broken_at_random(method):
    game = Watched([0.0, 0.0, 0.0])
    method(game, 200, 0.9, epsilon=0.0)
    assert min(np.bincount(game.taken, minlength=3)) > 40  # 67 each, give or take 7


@pytest.mark.parametrize("method", [sarsa, q_learning])
def test_a_seed_gives_its_second_stream_to_learning_and_its_third_to_play(method):
    """Recorded runs can be made again on any machine, and play doesn't repeat what learning drew."""
    for given_seed, seed in (({}, 0), ({"seed": 5}, 5)):
        game = Watched([0.0, 1.0, 2.0])
        method(game, 20, 0.9, epsilon=1.0, **given_seed)
        g = np.random.default_rng([seed, 2])
        assert game.taken == [(g.random(), int(g.integers(3)))[1] for _ in range(20)]
        game.taken.clear()
        assert played_return(game, None, 1, seed, n_steps=20) == sum(game.taken)
        assert game.taken == [int(3 * u) for u in np.random.default_rng([seed, 3]).random(20)]


def test_an_episode_without_end_is_played_for_a_thousand_steps_or_as_many_as_asked():
    for_ever = Tabled(np.ones((1, 1, 1)), np.ones((1, 1)), [1.0])
    assert played_return(for_ever, None, 2, seed=0) == 1_000.0
    assert played_return(for_ever, None, 2, seed=0, n_steps=7) == 7.0


def test_played_returns_agree_with_the_exact_ones(process):
    mdp, policy = MarkovDecisionProcess(*process), np.array([[0.7, 0.3]] * 3)
    exact = policy_return(mdp, policy, 1_000)
    assert played_return(Tabled(*process), policy, 2_000, seed=0) == pytest.approx(exact, abs=0.25)
    assert played_return(Tabled(*process), None, 3, seed=0, n_steps=1) != 0.0
