"""When a value is called rough, unsettled or meaningless: each remark at its edge."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from icrl_teach import Trajectory, certainty_equivalence_value, evaluation, one_hot
from icrl_teach.cli.evaluate import command, table_text, warnings_of
from icrl_teach.evaluation import LogEvaluation, bootstrap_interval, evaluate_trajectory
from patience import uncounted

CALM = LogEvaluation(
    labels=("a", "b"),
    visits=np.array([10, 10]),
    values=np.array([1.0, -2.0]),
    n_steps=20,
    method="operator",
    margin=0.1,
    spectral_radius=0.5,
    sup_norm=0.9,
    remaining=0.0,
)


@pytest.mark.parametrize(("visits", "remark"), [(0, "never left"), (1, "rough"), (9, "rough"), (10, None), (11, None)])
def test_ten_visits_are_enough(visits, remark):
    notes = warnings_of(replace(CALM, visits=np.array([visits, 10])))
    assert len(notes) == (remark is not None)
    assert all(remark in note and "'a'" in note and "'b'" not in note for note in notes)


@pytest.mark.parametrize(("radius", "diverges"), [(0.999, False), (1.0, False), (1.001, True), (2.0, True)])
def test_a_radius_above_1_means_divergence_and_rounding_does_not(radius, diverges):
    notes = warnings_of(replace(CALM, spectral_radius=radius, sup_norm=5.0))
    assert len(notes) == diverges and all("diverge" in note for note in notes)


def test_a_bound_above_1_alone_proves_no_divergence():
    assert warnings_of(replace(CALM, spectral_radius=None, sup_norm=5.0)) == []


@pytest.mark.parametrize(("remaining", "warned"), [(0.0199, False), (0.0201, True)])
def test_a_hundredth_of_the_largest_value_is_close_enough(remaining, warned):
    assert len(warnings_of(replace(CALM, remaining=remaining))) == warned


@pytest.mark.parametrize(("remaining", "warned"), [(1e-10, False), (1e-8, True)])
def test_where_all_values_are_0_rounding_is_no_distance(remaining, warned):
    assert len(warnings_of(replace(CALM, values=np.zeros(2), remaining=remaining))) == warned


@pytest.mark.parametrize(("radius", "words"), [(0.999, "below 1: layers converge"), (1.0, "not below 1")])
def test_a_radius_of_exactly_1_is_not_called_convergence(radius, words):
    assert f"({words})" in table_text(replace(CALM, spectral_radius=radius), "a log")


@pytest.mark.parametrize(("margin", "words"), [(0.001, "holds"), (0.0, "does not hold"), (-0.1, "does not hold")])
def test_a_margin_of_exactly_0_is_not_enough(margin, words):
    assert f"(contraction condition {words})" in table_text(replace(CALM, margin=margin), "a log")


WALK = Trajectory([0, 1, 0, 2, 1, 0, 1, 2, 0, 1, 0], [1.0, 0.0, 1.0, -2.0, 0.5, 1.0, 0.0, -2.0, 1.0, 0.25])


def test_layers_that_diverge_have_no_limit_to_be_measured_against():
    """Learning from the unlike: the next change is all there is, and it counts as one of ten thousand."""
    near, further = (evaluate_trajectory(WALK, one_hot(3), beta=-30.0, n_layers=n) for n in (20, 21))
    assert near.spectral_radius > 1.1
    assert near.remaining == pytest.approx(1e4 * np.abs(further.values - near.values).max(), rel=1e-6)


@pytest.mark.parametrize(("radius", "solves"), [(0.999, True), (1.0, False), (1.001, False)])
def test_the_limit_is_solved_for_below_a_radius_of_1_only(radius, solves, monkeypatch):
    calls = []
    monkeypatch.setattr(evaluation, "_reachable_radius", lambda M, step: radius)
    monkeypatch.setattr(evaluation, "fixed_point", lambda M, Q, rho, gamma: calls.append(gamma) or np.zeros(len(M)))
    evaluate_trajectory(WALK, one_hot(3, 5.0))
    assert len(calls) == solves


@pytest.mark.parametrize(("tau", "n"), [(0.1, 30), (8.0, 5)], ids=["slower than gamma", "faster than gamma"])
def test_with_too_many_states_for_eigenvalues_the_next_two_changes_tell_the_way_to_go(tau, n, monkeypatch):
    monkeypatch.setattr(evaluation, "EIGENVALUE_LIMIT", 2)
    now, next_, last = (evaluate_trajectory(WALK, one_hot(3, tau), 0.8, n_layers=n + i) for i in range(3))
    first, second = (np.abs(b.values - a.values).max() for a, b in ((now, next_), (next_, last)))
    assert 0 < first < 1 and (second / first > 0.8) == (tau < 1)
    assert now.spectral_radius is None
    assert now.remaining == pytest.approx(first / (1 - max(0.8, second / first)), rel=1e-6)


@pytest.mark.parametrize(("limit", "known"), [(2, False), (3, True)])
def test_eigenvalues_are_taken_of_as_many_states_as_the_limit_says(limit, known, monkeypatch):
    monkeypatch.setattr(evaluation, "EIGENVALUE_LIMIT", limit)
    assert (evaluate_trajectory(WALK, one_hot(3)).spectral_radius is not None) == known


def test_what_is_not_said_is_as_the_command_line_says():
    """The function's discount, depth and beta are those that `icrl-teach evaluate --help` shows."""
    shown = {option.name: option.default for option in command.params}
    said = evaluate_trajectory(WALK, one_hot(3), shown["gamma"], shown["layers"], shown["beta"]).values
    np.testing.assert_array_equal(evaluate_trajectory(WALK, one_hot(3)).values, said)


def test_without_rewards_there_is_no_way_to_go(monkeypatch):
    monkeypatch.setattr(evaluation, "EIGENVALUE_LIMIT", 2)
    assert evaluate_trajectory(Trajectory(WALK.states, np.zeros(10)), one_hot(3)).remaining == 0.0


@pytest.mark.parametrize(
    ("n_steps", "d", "method"), [(10, 11, "transformer"), (11, 11, "operator"), (10, 12, "operator")]
)
def test_the_network_reads_up_to_the_limit_of_steps_and_one_feature_more(n_steps, d, method, monkeypatch):
    """A walk of 10 steps may visit 11 states, each with a feature of its own."""
    monkeypatch.setattr(evaluation, "TRANSFORMER_LIMIT", 10)
    walk = Trajectory(np.arange(n_steps + 1) % 3, np.ones(n_steps))
    assert evaluate_trajectory(walk, np.eye(3, d)).method == method


def test_the_last_depth_that_is_computed_layer_by_layer_takes_any_number_of_states(monkeypatch):
    monkeypatch.setattr(evaluation, "EIGENVALUE_LIMIT", 2)
    monkeypatch.setattr(evaluation, "DEEP", 5)
    last = evaluate_trajectory(WALK, one_hot(3), n_layers=5)
    assert last.visits.sum() == 10 and last.method == "transformer"
    with pytest.raises(ValueError, match="n_layers is 6; with 3 states at most 5 layers"):
        evaluate_trajectory(WALK, one_hot(3), n_layers=6)
    monkeypatch.setattr(evaluation, "EIGENVALUE_LIMIT", 3)
    assert evaluate_trajectory(WALK, one_hot(3), n_layers=6).method == "operator"


def test_as_many_states_as_the_limits_say_and_not_one_more(monkeypatch):
    evaluation.check_state_count(4_000), evaluation.check_interval_states(500)
    with pytest.raises(ValueError, match="the log has 4,001 distinct states and the limit is 4,000"):
        evaluation.check_state_count(4_001)
    with pytest.raises(ValueError, match=r"the log has 501 distinct states, .* for at most 500"):
        evaluation.check_interval_states(501)
    monkeypatch.setattr(evaluation, "_reachable_radius", lambda M, step: 2.0)  # not what it is, which takes a second
    for n, known in ((1_000, True), (1_001, False)):
        walk = Trajectory(range(n), np.zeros(n - 1))
        assert (evaluate_trajectory(walk, np.ones((n, 1)), n_layers=1).spectral_radius is not None) == known


@pytest.mark.parametrize(("n_steps", "method"), [(2_000, "transformer"), (2_001, "operator")])
def test_the_network_reads_two_thousand_transitions(n_steps, method):
    walk = Trajectory(np.arange(n_steps + 1) % 3, np.ones(n_steps))
    assert evaluate_trajectory(walk, one_hot(3), n_layers=1).method == method


@pytest.mark.parametrize(("limit", "deep"), [(10, False), (0, False), (10, True)])
def test_a_bar_is_told_of_every_stage(limit, deep, monkeypatch):
    """The operators, each layer that is computed as such, and the radius, in this order."""
    monkeypatch.setattr(evaluation, "TRANSFORMER_LIMIT", limit)
    monkeypatch.setattr(evaluation, "DEEP", 2 if deep else 3)
    ticks: list[str] = []
    evaluate_trajectory(WALK, one_hot(3), n_layers=3, tick=ticks.append)
    assert ticks == ["operators", *["layers"] * (0 if deep else 3), "spectral radius"]


def test_features_need_a_row_for_each_state():
    with pytest.raises(ValueError, match="features has 2 rows; the trajectory has 3 states"):
        evaluate_trajectory(WALK, one_hot(2))


@pytest.mark.parametrize(("features", "beta", "n_layers"), [(1.0, -30.0, 1_900), (1e200, 1.0, 3_000)])
def test_what_overflows_is_told_and_not_what_broke_on_the_way(features, beta, n_layers, monkeypatch):
    """Values that double with each layer, layer by layer in the operator form; and scores beyond floating point."""
    monkeypatch.setattr(evaluation, "TRANSFORMER_LIMIT", 0)
    with pytest.raises(ValueError, match=f"the values overflow within {n_layers} layers; use fewer --layers"):
        evaluate_trajectory(WALK, features * one_hot(3), n_layers=n_layers, beta=beta)


def test_a_single_state_without_a_future_is_worth_its_reward_at_any_depth():
    """One layer leaves nothing of any change: a radius of 0, which has no logarithm."""
    assert evaluate_trajectory(Trajectory([0, 0], [3.0]), one_hot(1), 0.0, 3_000).values == [3.0]


@uncounted
def test_a_bootstrap_draw_takes_as_many_walks_as_there_are(monkeypatch, rng):
    """Three walks that pay 0, 1 and 2: all three draws are the worst, or the best, in 1 of 27: 2.5 % < 3.7 % < 5 %."""
    monkeypatch.setattr(evaluation, "RESAMPLES", 1_000)
    ticks: list[str] = []
    walks, sizes = Trajectory.of_transitions([0, 0, 0], [0, 1, 2], [0, 0, 0], [1, 1, 1]), []
    low, high = bootstrap_interval(
        walks, one_hot(1), 0.9, 1, 1.0, rng, lambda drawn: sizes.append(drawn.n_steps) or drawn, ticks.append
    )
    assert (low[0], high[0]) == (0.0, 2.0) and len(ticks) == 1_000 and set(sizes) == {3}


def test_walks_that_were_only_cut_are_read_with_their_flags(monkeypatch):
    """Nothing terminates here, so one cut alone must bring the flags: the network against the operator form."""
    cut = Trajectory.of_transitions([0, 1, 2, 0, 1], [1, 2, 3, -1, 0.5], [1, 2, 0, 1, 2], [0] * 5, [0, 0, 1, 0, 1])
    network = evaluate_trajectory(cut, one_hot(3, 2.0), 0.9, 30)
    monkeypatch.setattr(evaluation, "TRANSFORMER_LIMIT", 0)
    operators = evaluate_trajectory(cut, one_hot(3, 2.0), 0.9, 30)
    assert (network.method, operators.method) == ("transformer", "operator")
    np.testing.assert_allclose(network.values, operators.values, rtol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 5, 9])
def test_states_that_look_alike_have_the_radius_of_their_group(groups, rng):
    """Of 36 states in a few groups with equal features only the groups can be told apart: the network of the groups,
    whose matrix is small and regular, has the same radius."""
    x = one_hot(groups, 3.0)
    states = rng.integers(36, size=2_000)
    walk, rewards = Trajectory(states, rng.normal(size=1_999)), rng.normal(size=1_999)
    alike = evaluate_trajectory(walk, x[np.arange(36) % groups], 0.9)
    merged = evaluate_trajectory(Trajectory(states % groups, rewards), x, 0.9)
    assert alike.spectral_radius == pytest.approx(merged.spectral_radius, rel=1e-9) and merged.spectral_radius < 1


def test_depth_costs_next_to_nothing_and_is_exact(rng):
    """Slow features: 3,000 layers by squares are 3,000 layers one by one; 10^9 layers are the equation's solution."""
    walk = Trajectory(rng.integers(4, size=300), rng.normal(size=299))
    features = one_hot(4, 0.01)
    deep = evaluate_trajectory(walk, features, 0.9, 3_000)
    operators = evaluation.empirical_operators(walk, features)
    one_by_one = evaluation.operator_td(*operators, 0.9, 3_000)
    assert deep.spectral_radius > 0.9 and np.abs(one_by_one[-1] - one_by_one[-400]).max() > 1e-9
    np.testing.assert_allclose(deep.values, one_by_one[-1], rtol=1e-9)
    ticks: list[str] = []
    endless = evaluate_trajectory(walk, features, 0.9, 10**9, tick=ticks.append)
    np.testing.assert_allclose(endless.values, certainty_equivalence_value(walk, 0.9), rtol=1e-9)
    assert len(ticks) <= 2 and endless.remaining < 1e-9


@pytest.mark.parametrize(("n_layers", "solved"), [(59, False), (60, False), (61, True)])
def test_the_limit_stands_for_deep_values_where_less_than_e_to_the_minus_60_of_a_change_is_left(
    n_layers, solved, monkeypatch
):
    """A layer that leaves 1 / e of a change, and a limit that no layer computes: values tell where they are from."""
    monkeypatch.setattr(evaluation, "DEEP", 5)
    monkeypatch.setattr(evaluation, "_reachable_radius", lambda M, step: np.exp(-1.0))
    monkeypatch.setattr(evaluation, "fixed_point", lambda M, Q, rho, gamma: np.full(3, 77.0))
    assert (evaluate_trajectory(WALK, one_hot(3, 5.0), n_layers=n_layers).values == 77.0).all() == solved


def test_depth_without_end_is_refused_where_it_diverges_or_has_too_many_states(rng, monkeypatch):
    walk = Trajectory(rng.integers(4, size=300), rng.normal(size=299))
    with pytest.raises(ValueError, match="the values overflow within 1000000000 layers; use fewer --layers"):
        evaluate_trajectory(walk, rng.normal(size=(4, 2)), 0.9, 10**9, beta=-3.0)
    monkeypatch.setattr(evaluation, "EIGENVALUE_LIMIT", 3)
    with pytest.raises(ValueError, match="n_layers is 2,001; with 4 states at most 2,000 layers are computed"):
        evaluate_trajectory(walk, one_hot(4), 0.9, 2_001)


def test_each_walk_of_a_bootstrap_draw_stops_as_it_did_in_the_log(rng):
    """Three walks from state 0: cut in 0, terminated, cut in 0 after one step. A reward tells which step it is."""
    rewards, ended, cut = [1, 2, 3, 4, 5], [0, 0, 0, 1, 0], [0, 1, 0, 0, 1]
    log = Trajectory.of_transitions([0, 1, 0, 2, 0], rewards, [1, 0, 2, 0, 0], ended, cut)
    draws: list[Trajectory] = []
    bootstrap_interval(log, one_hot(3), 0.9, 1, 1.0, rng, join=lambda walks: draws.append(walks) or walks)
    for steps in (draw.transitions for draw in draws):
        here = steps.rewards[:-1].astype(int) - 1  # where the draw ends there is nothing to be cut from
        assert steps.terminated[:-1].tolist() == np.array(ended, dtype=bool)[here].tolist()
        assert steps.truncated[:-1].tolist() == np.array(cut, dtype=bool)[here].tolist()
    assert {tuple(draw.rewards[:1]) for draw in draws} == {(1.0,), (3.0,), (5.0,)}


def test_a_draw_may_lack_the_last_of_states_without_names(rng):
    """Two walks of one step each: one draw in four has none from state 1, and does not count for it."""
    walks = Trajectory.of_transitions([0, 1], [3.0, 5.0], [0, 0], [1, 1])
    low, high = bootstrap_interval(walks, one_hot(2, 40.0), 0.9, 50, 1.0, rng)
    np.testing.assert_allclose([low, high], [[3.0, 5.0]] * 2, rtol=1e-9)


def test_intervals_are_drawn_for_as_many_states_as_the_limit_says(rng, monkeypatch):
    two_walks = Trajectory.of_transitions([0, 1] * 2, [1, 2] * 2, [1, 0] * 2, [0, 1] * 2)
    monkeypatch.setattr(evaluation, "INTERVAL_LIMIT", 2)
    assert np.isfinite(bootstrap_interval(two_walks, one_hot(2), 0.9, 3, 1.0, rng)).all()
    monkeypatch.setattr(evaluation, "INTERVAL_LIMIT", 1)
    with pytest.raises(ValueError, match="the log has 2 distinct states, and intervals are drawn for at most 1;"):
        bootstrap_interval(two_walks, one_hot(2), 0.9, 3, 1.0, rng)


def test_an_interval_of_a_state_that_was_never_left_is_nan_without_a_warning():
    walks = Trajectory.of_transitions(
        [0, 0, 0], [1.0, 2.0, 3.0], [1, 1, 1], truncated=[True, True, True], labels=["left", "landed in"], query=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = bootstrap_interval(walks, one_hot(2, 4.0), 0.9, 3, 1.0, np.random.default_rng(0))
    assert np.isnan([low[1], high[1]]).all()
    assert low[0] <= high[0]
