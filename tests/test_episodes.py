"""Walks that terminate or are cut short, in every algorithm; without flags, the same bits as before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import endless
import icrl_teach as icrl
from icrl_teach import Trajectory, position_features
from oracles import Walks, assert_close, contexts, observed_chain, softmax_td_steps, walks

steps_of = st.integers(0, 6)
alphas = st.floats(0.05, 1.0)


def trajectory_of(w: Walks) -> Trajectory:
    return Trajectory.of_transitions(*w.steps, labels=[str(s) for s in range(len(w.table))])


def tabular_gamma(w: Walks) -> float:
    """gamma = 1 needs an ending within reach of every state; where all walks terminate there is one."""
    return min(w.gamma, 0.999) if w.steps[4].any() else w.gamma


def flags(t: Trajectory) -> dict[str, np.ndarray]:
    return {"source": t.source, "continues": t.continues}


# Without flags: bit for bit


@given(contexts(max_n=30), alphas, steps_of)
def test_without_flags_every_algorithm_gives_the_same_bits(c, alpha, n_iterations):
    t, S = Trajectory(c.states, c.rewards), c.states.max() + 1
    x, v0 = c.table[c.states], np.array(c.v0)
    pairs = [
        (icrl.td_errors(v0, c.rewards, c.gamma), endless.td_errors(v0, c.rewards, c.gamma)),
        (icrl.tabular_td(t, c.gamma, alpha), endless.tabular_td(c.states, c.rewards, c.gamma, alpha, S)),
        (
            icrl.batch_tabular_td(t, c.gamma, n_iterations, alpha),
            endless.batch_tabular_td(c.states, c.rewards, c.gamma, n_iterations, alpha, S),
        ),
        (icrl.linear_td(x, c.rewards, c.gamma, alpha), endless.linear_td(x, c.rewards, c.gamma, alpha)),
        (
            icrl.batch_linear_td(x, c.rewards, c.gamma, n_iterations, alpha),
            endless.batch_linear_td(x, c.rewards, c.gamma, n_iterations, alpha),
        ),
        (icrl.lstd(x, c.rewards, c.gamma, 0.5), endless.lstd(x, c.rewards, c.gamma, 0.5)),
        (
            icrl.certainty_equivalence_value(t, c.gamma),
            endless.certainty_equivalence_value(c.states, c.rewards, c.gamma, S),
        ),
        (
            icrl.weighted_softmax_td(x, c.rewards, c.gamma, n_iterations, alpha, 2.0, v0),
            endless.weighted_softmax_td(x, c.rewards, c.gamma, n_iterations, alpha, 2.0, v0),
        ),
        *zip(
            icrl.empirical_operators(t, c.table, 2.0),
            endless.empirical_operators(c.states, c.rewards, c.table, 2.0),
            strict=True,
        ),
    ]
    for actual, expected in pairs:
        assert actual.tobytes() == expected.tobytes()


# With flags: against lists of steps


@given(walks(), steps_of, alphas, st.floats(-2.0, 2.0))
def test_weighted_softmax_td_equals_loops_over_steps(w, n_iterations, alpha, beta):
    t = trajectory_of(w)
    expected = softmax_td_steps(w, n_iterations, alpha, beta)
    x = position_features(t, w.table)
    actual = icrl.weighted_softmax_td(x, t.rewards, w.gamma, n_iterations, alpha, beta, w.v0[t.states], **flags(t))
    assert_close(actual, expected[:, t.states], 1e-12)
    operators = icrl.empirical_operators(t, w.table, beta)
    assert_close(icrl.operator_td(*operators, w.gamma, n_iterations, alpha, w.v0), expected, 1e-12)


@given(walks(), steps_of, alphas)
def test_batch_td_equals_loops_over_steps(w, n_iterations, alpha):
    t, n, gamma = trajectory_of(w), len(w.steps[0]), tabular_gamma(w)
    table, weights = [list(w.v0)], [list(np.ones(w.table.shape[1]))]
    for _ in range(n_iterations):
        v, theta = table[-1], weights[-1]
        sums, counts, step = np.zeros(len(v)), np.zeros(len(v)), np.zeros(len(theta))
        for s, r, following, terminated, _ in zip(*w.steps, strict=True):
            sums[s] += r + (0.0 if terminated else gamma * v[following]) - v[s]
            counts[s] += 1
            bootstrap = 0.0 if terminated else w.gamma * np.dot(theta, w.table[following])
            step += (r + bootstrap - np.dot(theta, w.table[s])) * w.table[s]
        table.append([v[s] + alpha * sums[s] / max(counts[s], 1) for s in range(len(v))])
        weights.append(list(theta + alpha / n * step))
    assert_close(icrl.batch_tabular_td(t, gamma, n_iterations, alpha, w.v0), table, 1e-12)
    x = position_features(t, w.table)
    linear = icrl.batch_linear_td(x, t.rewards, w.gamma, n_iterations, alpha, np.ones(len(weights[0])), **flags(t))
    assert_close(linear, weights, 1e-12)


@given(walks(), alphas)
def test_online_td_equals_loops_over_steps(w, alpha):
    t, gamma = trajectory_of(w), tabular_gamma(w)
    v, theta = np.array(w.v0), np.ones(w.table.shape[1])
    for s, r, following, terminated, _ in zip(*w.steps, strict=True):
        v[s] += alpha * (r + (0.0 if terminated else gamma * v[following]) - v[s])
        bootstrap = 0.0 if terminated else w.gamma * theta @ w.table[following]
        theta = theta + alpha * (r + bootstrap - theta @ w.table[s]) * w.table[s]
    assert_close(icrl.tabular_td(t, gamma, alpha, w.v0)[-1], v, 1e-12)
    x = position_features(t, w.table)
    assert_close(icrl.linear_td(x, t.rewards, w.gamma, alpha, np.ones(len(theta)), **flags(t))[-1], theta, 1e-12)


@given(walks(max_states=4))
def test_the_limits_solve_the_equations_of_the_observed_chain(w):
    t, n_states = trajectory_of(w), len(w.table)
    gamma = min(w.gamma, 0.95)
    P, r = observed_chain(w, n_states)
    expected = np.linalg.solve(np.eye(n_states) - gamma * P, r)
    assert_close(icrl.certainty_equivalence_value(t, gamma), expected, 1e-12)
    operators = icrl.empirical_operators(t, icrl.one_hot(n_states, 6.0))
    if (t.visits(n_states) > 0).all():
        assert_close(icrl.lstd(np.eye(n_states)[t.states], t.rewards, gamma, **flags(t)), expected, 1e-10)
        assert_close(icrl.fixed_point(*operators, gamma), expected, 1e-8)


def test_the_textbook_session():
    """s -> m -> END with reward 1 at the end: m is worth 1 and s gamma, however many sessions there are."""
    one = ([0, 1], [0.0, 1.0], [1, 2], [False, True])
    t = Trajectory.of_transitions(*(column * 30 for column in one), labels=["s", "m", "END"])
    assert_close(icrl.certainty_equivalence_value(t, 0.9), [0.9, 1.0, 0.0], 1e-14)
    assert_close(icrl.certainty_equivalence_value(t, 1.0), [1.0, 1.0, 0.0], 1e-14)
    assert_close(icrl.batch_tabular_td(t, 1.0, 5)[-1], [1.0, 1.0, 0.0], 1e-14)
    operators = icrl.empirical_operators(t, icrl.one_hot(3, 6.0))
    assert_close(icrl.fixed_point(*operators, 1.0)[:2], [1.0, 1.0], 1e-8)


def test_a_cut_walk_still_bootstraps_and_joins_nothing():
    # 0 -> 1 (cut), 2 -> 2 terminates with 5: joined, state 1 would learn of the 5; cut, it knows nothing.
    t = Trajectory.of_transitions([0, 1, 2], [0.0, 1.0, 5.0], [1, 1, 2], [False, False, True], [False, True, False])
    assert_close(icrl.certainty_equivalence_value(t, 0.5), [1.0, 2.0, 5.0], 1e-14)


# Processes, and depth


def lake(gamma: float) -> icrl.MarkovRewardProcess:
    """Four states in a row: to the right, to the left, or over; the last one pays 1 when it ends the walk."""
    P = np.diag([0.5] * 3, 1) + np.diag([0.3] * 3, -1)
    return icrl.MarkovRewardProcess(P, [0.0, 0.0, 0.1, 0.7], gamma, terminal=1.0 - P.sum(axis=1))


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_the_population_operators_rest_at_the_episodic_value(gamma):
    mrp = lake(gamma)
    M, Q, rho = icrl.population_operators(mrp, icrl.one_hot(4, 2.0))
    assert_close(icrl.fixed_point(M, Q, rho, gamma), mrp.value(), 1e-10)
    assert_close(icrl.operator_td(M, Q, rho, gamma, 3000)[-1], mrp.value(), 1e-9)


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_many_layers_arrive_at_the_value_of_the_walks_they_read(gamma, rng):
    walk = lake(gamma).sample(200, rng)
    prompt = icrl.trajectory_prompt(walk, icrl.one_hot(4, 4.0), queries=range(4))
    answers = icrl.SoftmaxTransformer.constructed(4, 800, gamma).values(prompt)[-4:]
    assert_close(answers, icrl.certainty_equivalence_value(walk, gamma), 1e-9)


# gamma = 1


def test_gamma_one_needs_a_termination_that_every_state_reaches():
    endless_walk = Trajectory([0, 1, 0], [1.0, 1.0], labels=["a", "b"])
    trap = Trajectory.of_transitions([0, 1, 1], [1.0, 0.0, 0.0], [0, 1, 1], [True, False, False], labels=["a", "b"])
    for t, lost in ((endless_walk, "a"), (trap, "b")):
        for call in (
            lambda t=t: icrl.certainty_equivalence_value(t, 1.0),
            lambda t=t: icrl.tabular_td(t, 1.0, 0.5),
            lambda t=t: icrl.batch_tabular_td(t, 1.0, 3),
        ):
            with pytest.raises(
                ValueError, match=f"gamma is 1.0; .* no termination can be reached from state '{lost}' .* flag"
            ):
                call()
        with pytest.raises(ValueError, match=r"gamma is 1.0"):
            icrl.fixed_point(*icrl.empirical_operators(t, np.eye(2)), 1.0)
    without_names = Trajectory([0, 2, 1], [1.0, 1.0])  # state 0 and state 2 never end: the first of them is told
    with pytest.raises(ValueError, match="no termination can be reached from state 0 in"):
        icrl.certainty_equivalence_value(without_names, 1.0)
    x = np.eye(2)[endless_walk.states]
    for call in (
        lambda: icrl.lstd(x, [1.0, 1.0], 1.0),
        lambda: icrl.weighted_softmax_td(x, [1.0, 1.0], 1.0, 3),
        lambda: icrl.linear_td(x, [1.0, 1.0], 1.0, 0.5),
    ):
        with pytest.raises(ValueError, match=r"gamma is 1.0; .* \(1 needs walks that terminate: flag"):
            call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": [True, True, True]}, "source is set in the last column"),
        ({"source": [False, False, False]}, "source is set nowhere"),
        ({"source": [False, True, False], "continues": [True, True, False]}, "continues is set where source is not"),
        ({"source": [True, False]}, r"source has shape \(2,\); it must have shape \(3,\)"),
        ({"continues": [0.5, 0, 0]}, "continues holds 0.5; a flag is False or True"),
    ],
)
def test_flags_that_cannot_be_are_refused(arguments, message):
    for function in (icrl.batch_linear_td, icrl.weighted_softmax_td):
        with pytest.raises(ValueError, match=message):
            function([[1.0], [2.0], [1.0]], [1.0, 1.0], 0.9, 2, **arguments)
    with pytest.raises(ValueError, match=message):
        icrl.td_errors(np.zeros(3), np.zeros(2), 0.9, **arguments)


def test_gamma_1_needs_an_end_within_reach_not_an_end_everywhere():
    walk = icrl.Trajectory([0, 1, 0, 1, 0], [0.0, 1.0, 0.0, 1.0], terminated=[False, True, False, True])
    M, Q, rho = icrl.empirical_operators(walk, icrl.one_hot(2, tau=40.0))  # state 0 never ends at once
    assert np.abs(icrl.operator_td(M, Q, rho, 1.0, 50)[-1] - 1.0).max() < 1e-12
