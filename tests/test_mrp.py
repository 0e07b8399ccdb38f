"""Exact values, stationary distributions and sampling of finite Markov reward processes."""

from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrl_teach import MarkovRewardProcess, Trajectory
from icrl_teach.mrp import check_trajectory_gamma, cumulative_rows
from oracles import assert_close, gammas, random_chain, random_walks, seeds

STANDARD_ERRORS = 5


class Always(np.random.Generator):
    """A generator whose uniforms are all the largest number below 1."""

    def random(self, size=None, dtype=np.float64, out=None):
        return np.full(size, np.nextafter(1.0, 0.0))


@given(st.integers(1, 7), seeds, st.floats(0.0, 0.95))
def test_value_is_the_sum_of_discounted_expected_rewards(n_states, seed, gamma):
    P, r = random_chain(np.random.default_rng(seed), n_states)
    total, term = np.zeros(n_states), r.copy()
    for _ in range(800):  # 0.95^800 < 1e-17
        total += term
        term = gamma * P @ term
    assert_close(MarkovRewardProcess(P, r, gamma).value(), total)


@given(st.integers(1, 7), seeds)
def test_stationary_distribution_is_where_long_walks_end_up(n_states, seed):
    P, r = random_chain(np.random.default_rng(seed), n_states)
    power = P
    for _ in range(12):  # 2^12 steps
        power = power @ power
    mu = MarkovRewardProcess(P, r, 0.5).stationary_distribution()
    assert_close(np.tile(mu, (n_states, 1)), power)


def test_stationary_distribution_of_a_periodic_chain():
    # P^t never settles here, so powers are no definition; mu P = mu still has one solution.
    cycle = MarkovRewardProcess(np.roll(np.eye(4), 1, axis=1), np.zeros(4), 0.5)
    assert_close(cycle.stationary_distribution(), np.full(4, 0.25), 1e-14)


def test_stationary_distribution_is_zero_on_states_left_for_ever():
    mrp = MarkovRewardProcess([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.25, 0.75]], np.zeros(3), 0.5)
    mu = mrp.stationary_distribution()
    assert mu[0] == 0.0
    assert_close(mu, [0.0, 1 / 3, 2 / 3], 1e-14)


def test_a_chain_in_two_closed_parts_is_refused():
    P = [[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]
    with pytest.raises(ValueError, match=r"no unique stationary distribution: states 0 and 2 .* restrict the process"):
        MarkovRewardProcess(P, np.zeros(4), 0.5).stationary_distribution()


def test_sampled_transitions_have_the_matrix_s_frequencies(rng):
    P, r = random_chain(rng, 4)
    P[2] = [0.0, 0.3, 0.0, 0.7]
    walk = MarkovRewardProcess(P, r, 0.9).sample(100_000, rng)
    counts = np.zeros((4, 4))
    for s, s_next in zip(walk.states[:-1], walk.states[1:], strict=True):
        counts[s, s_next] += 1
    visits = counts.sum(axis=1, keepdims=True)
    error = np.sqrt(visits * P * (1 - P))
    assert (np.abs(counts - visits * P) <= STANDARD_ERRORS * error).all()  # error 0 where P is 0: never taken
    assert (walk.rewards == r[walk.states[:-1]]).all()


def test_walks_start_from_the_start_distribution_or_where_told(rng):
    P, r = random_chain(rng, 3)
    mrp = MarkovRewardProcess(P, r, 0.9, start=[0.2, 0.0, 0.8])
    first = np.bincount([mrp.sample(1, rng).states[0] for _ in range(2000)], minlength=3)
    assert first[1] == 0
    assert abs(first[0] - 400) <= STANDARD_ERRORS * np.sqrt(2000 * 0.2 * 0.8)
    assert mrp.sample(1, rng, start=1).states[0] == 1


def test_start_is_uniform_if_not_given():
    assert MarkovRewardProcess(np.eye(4), np.zeros(4), 0.0).start.tolist() == [0.25] * 4


def test_rounding_never_selects_an_impossible_state():
    # Ten times 0.1 sums to the largest number below 1 in floating point; state 10 has probability 0.
    P = np.zeros((11, 11))
    P[:, :10] = 0.1
    assert np.cumsum(P[0])[-1] < 1.0
    mrp = MarkovRewardProcess(P, np.zeros(11), 0.5, start=P[0])
    assert mrp.sample(3, Always(np.random.PCG64(0))).states.tolist() == [9, 9, 9, 9]


@given(st.integers(1, 6), st.integers(1, 6), seeds)
def test_the_extremes_of_chance_select_the_first_and_the_last_possible_state(n_rows, n, seed):
    rng = np.random.default_rng(seed)
    rows = rng.random((n_rows, n)) * (rng.random((n_rows, n)) < 0.5)
    rows[np.arange(n_rows), rng.integers(n, size=n_rows)] = 1.0  # at least one is possible
    rows /= rows.sum(axis=1, keepdims=True)
    for row, cumulative in zip(rows, cumulative_rows(rows), strict=True):
        assert bisect_right(cumulative, 0.0) == np.flatnonzero(row)[0]
        assert bisect_right(cumulative, np.nextafter(1.0, 0.0)) == np.flatnonzero(row)[-1]


def test_the_same_generator_state_gives_the_same_walk():
    mrp = MarkovRewardProcess(*random_chain(np.random.default_rng(0), 3), 0.5)
    one, two = (mrp.sample(50, np.random.default_rng(7)) for _ in range(2))
    assert (one.states == two.states).all()
    assert (one.states != mrp.sample(50, np.random.default_rng(8)).states).any()


def test_arguments_are_copied_and_the_result_cannot_be_changed():
    P, r = np.eye(2), np.ones(2)
    mrp, trajectory = MarkovRewardProcess(P, r, 0.5), Trajectory([0, 1], r[:1])
    P[0] = r[:] = 7.0
    assert mrp.transition.tolist() == [[1, 0], [0, 1]] and trajectory.rewards.tolist() == [1.0]
    for array in (mrp.transition, mrp.reward, mrp.start, trajectory.states, trajectory.rewards):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@given(st.lists(st.integers(0, 4), min_size=2, max_size=20), gammas)
def test_visits_count_departures_only(states, gamma):
    trajectory = Trajectory(states, np.zeros(len(states) - 1))
    for s in range(max(states) + 1):
        assert trajectory.visits()[s] == sum(1 for k in range(len(states) - 1) if states[k] == s)
    assert trajectory.visits(9).shape == (9,)
    assert trajectory.n_states == max(states) + 1 and trajectory.n_steps == len(states) - 1


def test_labels_travel_from_the_process_to_the_walk(rng):
    mrp = MarkovRewardProcess(np.eye(2), np.zeros(2), 0.5, labels=["home", "away"])
    walk = mrp.sample(2, rng, start=1)
    assert walk.labels == ("home", "away")
    assert walk.index("away") == 1 and walk.n_states == 2


def test_without_labels_a_state_is_called_by_its_number():
    assert Trajectory([0, 2], [1.0]).index("2") == 2


def test_a_long_ring_is_one_closed_class():
    ring = MarkovRewardProcess(np.roll(np.eye(40), 1, axis=1), np.zeros(40), 0.9)
    np.testing.assert_allclose(ring.stationary_distribution(), np.full(40, 1 / 40), atol=1e-12)


@given(seeds, st.integers(1, 6))
def test_walks_survive_the_way_to_positions_and_back(seed, n_walks):
    steps = random_walks(np.random.default_rng(seed), n_states=4, n_walks=n_walks)
    trajectory = Trajectory.of_transitions(*steps)
    s, r, s_next, terminated, truncated, actions = trajectory.transitions
    assert (s == steps[0]).all() and (r == steps[1]).all() and (terminated == steps[3]).all() and actions is None
    assert (s_next == np.where(steps[3], -1, steps[2])).all()
    assert (truncated[:-1] == steps[4][:-1]).all() and trajectory.n_steps == len(steps[0])
    assert (trajectory.visits(4) == np.bincount(steps[0], minlength=4)).all()
    # By hand: the positions of each walk in order, a landing for every cut.
    positions, source, continues = [], [], []
    for k in range(len(s)):
        positions.append(steps[0][k]), source.append(True), continues.append(not steps[3][k])
        if steps[4][k] or (k == len(s) - 1 and not steps[3][k]):
            positions.append(steps[2][k]), source.append(False), continues.append(False)
    if steps[3][-1]:  # nothing follows: the query is where the last walk began
        starts = [0, *(k + 1 for k in range(len(s) - 1) if steps[3][k] or steps[4][k])]
        positions.append(steps[0][starts[-1]]), source.append(False), continues.append(False)
    assert trajectory.states.tolist() == positions
    assert trajectory.source.tolist() == source and trajectory.continues.tolist() == continues


def test_a_query_of_one_s_own_stands_behind_the_last_landing():
    t = Trajectory.of_transitions([0, 1], [1.0, 2.0], [1, 2], query=0, actions=[3, 4])
    assert t.states.tolist() == [0, 1, 2, 0] and t.rewards.tolist() == [1.0, 2.0, 0.0]
    assert t.source.tolist() == [True, True, False, False] and t.actions.tolist() == [3, 4, -1]
    assert t.transitions.actions.tolist() == [3, 4] and t.n_steps == 2


def test_a_step_that_terminated_and_was_cut_terminated():
    t = Trajectory.of_transitions([0, 1], [0.0, 0.0], [1, 0], [True, False], [True, False])
    assert t.states.tolist() == [0, 1, 0] and not t.truncated.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terminated": [True]}, r"terminated has shape \(1,\); it must have shape \(3,\)"),
        ({"truncated": [0, 2, 0]}, "truncated holds 2.0; a flag is False or True"),
        ({"terminated": [0, 1, 0], "truncated": [0, 1, 0]}, "both set at 1; .* unset truncated"),
        ({"truncated": [1, 0, 0]}, "position 1 is the landing state .* has reward 0 and no flag: insert it"),
        ({"truncated": [0, 1, 0], "terminated": [0, 0, 1]}, "position 2 is the landing state"),
        ({"truncated": [0, 1, 1]}, "position 2 is the landing state"),
        ({"actions": [0, 1]}, r"actions has shape \(2,\); it must have shape \(3,\)"),
        ({"actions": [0, 1, -2]}, "actions holds -2"),
        ({"labels": ["a", "b", "c", "b"]}, "labels holds 'b' twice"),
        ({"actions": [0.5, 1, 1]}, "actions holds 0.5"),
    ],
)
def test_flags_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Trajectory([0, 1, 2, 0], [1.0, 2.0, 0.0], **arguments)


def test_steps_that_do_not_connect_are_refused():
    with pytest.raises(ValueError, match=r"step 0 leads to state 2 but step 1 leaves state 1; .* flag step 0"):
        Trajectory.of_transitions([0, 1, 0], [0.0, 0.0, 0.0], [2, 2, 1])
    with pytest.raises(ValueError, match="next_states holds -1 for a step that did not terminate"):
        Trajectory.of_transitions([0], [0.0], [-1])
    with pytest.raises(ValueError, match="next_states holds -1 for a step that did not terminate"):  # one of two
        Trajectory.of_transitions([0, 1], [0.0, 0.0], [1, -1])
    with pytest.raises(ValueError, match=r"next_states has shape \(1,\); it must have shape \(2,\)"):
        Trajectory.of_transitions([0, 1], [0.0, 0.0], [1])
    with pytest.raises(ValueError, match="next_states holds -2"):  # -1 stands for no state, nothing below does
        Trajectory.of_transitions([0], [0.0], [-2], terminated=[True])
    with pytest.raises(ValueError, match="states is empty"):
        Trajectory.of_transitions([], [], [])


# Processes whose walks terminate


def random_terminating(rng: np.random.Generator, n_states: int, gamma: float) -> MarkovRewardProcess:
    rows = rng.dirichlet(np.ones(n_states + 1), size=n_states)
    start = rng.dirichlet(np.ones(n_states))
    return MarkovRewardProcess(rows[:, :-1], rng.uniform(-1, 1, n_states), gamma, start, terminal=rows[:, -1])


@given(st.integers(1, 6), seeds, st.floats(0.0, 0.95))
def test_restart_adds_what_a_new_walk_is_worth(n_states, seed, gamma):
    """v_restart = v_episode + E[gamma^T] vbar, vbar = p0 v_episode / (1 - p0 E[gamma^T]) (section 1)."""
    mrp = random_terminating(np.random.default_rng(seed), n_states, gamma)
    episode, arrives = mrp.value(), np.zeros(n_states)
    for _ in range(600):  # E[gamma^T]: end now, or go on
        arrives = gamma * (mrp.terminal + mrp.transition @ arrives)
    new_walk = mrp.start @ episode / (1 - mrp.start @ arrives)
    restart = mrp.restarted().value()
    assert np.abs(restart - (episode + arrives * new_walk)).max() <= 1e-12 * max(np.abs(restart).max(), 1.0)


@given(st.integers(1, 6), seeds)
def test_the_episodic_value_is_the_sum_of_what_is_left(n_states, seed):
    mrp = random_terminating(np.random.default_rng(seed), n_states, 1.0)
    total, term = np.zeros(n_states), mrp.reward.copy()
    for _ in range(20_000):
        total += term
        term = mrp.transition @ term
        if np.abs(term).max() < 1e-18:
            break
    assert_close(mrp.value(), total, 1e-9)


def test_sampled_walks_end_as_often_as_they_should_and_begin_anew(rng):
    mrp = random_terminating(rng, 3, 0.9)
    walk = mrp.sample(60_000, rng)
    assert walk.n_steps == 60_000 and not walk.truncated.any()
    s = walk.states[:-1]
    for state in range(3):
        left = s == state
        p = mrp.terminal[state]
        error = np.sqrt(left.sum() * p * (1 - p))
        assert abs(walk.terminated[left].sum() - left.sum() * p) <= STANDARD_ERRORS * error
    begun = np.bincount(walk.states[1:][walk.terminated], minlength=3) / walk.terminated.sum()
    error = np.sqrt(mrp.start * (1 - mrp.start) / walk.terminated.sum())
    assert (np.abs(begun - mrp.start) <= STANDARD_ERRORS * error).all()
    visits = np.bincount(s, minlength=3) / len(s)
    assert np.abs(visits - mrp.stationary_distribution()).max() < 0.02


def test_terminal_probabilities_complete_the_rows():
    with pytest.raises(ValueError, match=r"row 0 of transition with terminal as a last column sums to 1.1"):
        MarkovRewardProcess([[0.5, 0.5], [0.5, 0.0]], [0.0, 0.0], 0.9, terminal=[0.1, 0.5])
    with pytest.raises(ValueError, match=r"transition has shape .* and terminal \(1,\); 2 rewards need"):
        MarkovRewardProcess(np.eye(2), [0.0, 0.0], 0.9, terminal=[0.0])


def test_gamma_one_needs_an_end_within_reach():
    P, terminal = [[0.5, 0.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]], [0.5, 0.0, 0.0]
    with pytest.raises(ValueError, match=r"gamma is 1.0; .* no termination can be reached from state 2"):
        MarkovRewardProcess(P, [1.0, 1.0, 0.0], 1.0, terminal=terminal)
    with pytest.raises(ValueError, match=r"gamma is 1.0; .*1 needs walks that terminate"):
        MarkovRewardProcess(np.eye(2), [1.0, 1.0], 1.0)
    assert_close(MarkovRewardProcess([[0.5]], [1.0], 1.0, terminal=[0.5]).value(), [2.0], 1e-14)


def test_labels_may_name_states_that_a_walk_never_enters():
    assert Trajectory([0, 1], [1.0], labels=["a", "b"]).n_states == 2
    assert Trajectory([0, 1], [1.0], labels=["a", "b", "c"]).visits().tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="labels has 3 names; the data has 2 states"):  # a process has no others
        MarkovRewardProcess(np.eye(2), np.zeros(2), 0.5, labels=["a", "b", "c"])


def test_a_long_name_is_cut_where_states_are_listed():
    with pytest.raises(ValueError, match=f"the states are: {'n' * 40}$"):
        Trajectory([0, 0], [1.0], labels=["n" * 41]).index("x")


def test_of_many_states_that_never_end_the_first_is_named():
    """State 0 ends; 1, 2 and 3 lead to each other only."""
    steps = [0, 3, 2, 1], [0.0] * 4, [0, 2, 1, 3], [True, False, False, False]
    for labels, name in ((None, "1"), (list("abcd"), "'b'")):
        with pytest.raises(ValueError, match=f"no termination can be reached from state {name} in this data"):
            check_trajectory_gamma(Trajectory.of_transitions(*steps, labels=labels), 1.0)


def test_a_process_shows_what_it_was_given():
    """And not the sums that it keeps to walk quickly."""
    mrp = MarkovRewardProcess([[1.0]], [2.0], 0.5)
    mrp.sample(3, np.random.default_rng(0))
    assert "reward=array([2.])" in repr(mrp) and "cumulative" not in repr(mrp)


def test_a_walk_takes_a_number_a_step_and_one_for_its_start():
    """And one more for each new start after a termination: recorded walks can be made again, on any machine."""
    mrp, g = MarkovRewardProcess([[0.5]], [1.0], 0.9, terminal=[0.5]), np.random.default_rng(3)
    walk = mrp.sample(20, g)
    again = np.random.default_rng(3)
    assert walk.terminated.tolist() == (again.random(21)[1:] >= 0.5).tolist() and walk.terminated.any()
    again.random(walk.terminated.sum())
    assert g.random() == again.random()


@pytest.mark.parametrize(("n_states", "end"), [(9, ", 8"), (10, ", 9"), (11, ", 9, ...")])
def test_an_unknown_name_is_answered_with_the_first_ten(n_states, end):
    with pytest.raises(ValueError, match="state 'x' does not occur") as caught:
        Trajectory(range(n_states), np.zeros(n_states - 1)).index("x")
    assert str(caught.value).endswith(f"the states are: {', '.join('012345678')}{end.removeprefix(', 8')}")
