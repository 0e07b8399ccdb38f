"""Tables and measures behind lessons 07 and 08: each against a count or a mean made another way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrl_teach.views import lesson_07, lesson_08


def test_the_table_of_faults_tells_errors_growth_and_ranges_in_words():
    layers = np.arange(301)
    error = {"explodes": 1e-10 * 2.0**layers, "stays": np.full(301, 0.25)}
    others = [{"explodes": error["explodes"], "stays": np.full(301, level)} for level in (0.125, 1e-12, 2e7)]
    table = lesson_07.fault_table(error, others)
    depths = ["layer 1", "layer 2", "layer 5", "layer 40", "layer 300"]
    assert list(table.columns) == [*depths, "40 over 39", "300: least of 3", "300: most of 3"]
    told = {name: " ".join(row) for name, row in table.iterrows()}
    assert told["explodes"] == "below 1e-9 below 1e-9 0.000 109.951 over 1e6 2.0 over 1e6 over 1e6"
    assert told["stays"] == "0.250 0.250 0.250 0.250 0.250 1.0 below 1e-9 over 1e6"


def test_bias_variance_and_level_add_up_to_the_mean_squared_error():
    rng = np.random.default_rng(3)
    values, exact = rng.normal(size=(7, 5)), rng.normal(size=5)
    bias, variance, level = lesson_08.bias_and_variance(values, exact)
    assert bias + variance + level == pytest.approx(((values - exact) ** 2).mean())
    shifted = lesson_08.bias_and_variance(values + rng.normal(size=(7, 1)), exact)
    assert shifted[:2] == pytest.approx((bias, variance)) and shifted[2] != pytest.approx(level)
    assert lesson_08.bias_and_variance(np.tile(exact, (4, 1)), exact) == pytest.approx((0, 0, 0))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_gains_compare_the_best_tau_with_the_sharpest(seed):
    parts = np.random.default_rng(seed).uniform(0.1, 1.0, (4, 4, 3))
    taus = [0.5, 1, 2, 4]
    (row,) = lesson_08.gain_table({("loop", 5): parts}, taus).itertuples()
    assert row.Index == "loop, draw 5"
    for depth, cell in enumerate(row[1:4]):
        apart = [sum(parts[i, depth, :2]) for i in range(4)]
        whole = [sum(parts[i, depth]) for i in range(4)]
        assert cell == f"{1 - min(apart) / apart[3]:.0%} ({1 - min(whole) / whole[3]:.0%})"
        assert eval(row[4])[depth] == taus[apart.index(min(apart))]


def test_families_table_counts_tasks_and_takes_medians():
    rng = np.random.default_rng(1)
    e = rng.exponential(size=(9, 5, 8))
    table = lesson_08.families_table({"loop": e})["loop"]
    assert table["layer 5"] == sorted(e[:, 0, 5])[4] and table["layer 7"] == sorted(e[:, 0, 7])[4]
    assert table["upper quartile"] == sorted(e[:, 0, 7])[6] and table["floor"] == sorted(e[:, 3, 7])[4]
    assert table["beats constant"] == sum(a < b for a, b in zip(e[:, 0, 7], e[:, 4, 7], strict=True)) / 9
    assert table["beats floor"] == sum(a < b for a, b in zip(e[:, 0, 7], e[:, 3, 7], strict=True)) / 9


def test_features_table_says_where_all_contexts_rest_and_how_many_diverge():
    rows = [("a", 10, 0.5, 0.2, 0.9, 0.2, 0.8), ("a", 10, 0.7, 0.3, 0.9, 0.3, 1.2), ("a", 10, 0.9, 0.4, 0.4, 0.4, 1.0)]
    rows += [("b", 10, 0.1, 0.2, 0.2, 0.2, 0.5), ("b", 10, 0.1, 0.2, 0.2, 0.3, 0.5)]
    table = lesson_08.features_table(rows)
    assert table.loc[("a", 10), "network"] == 0.7 and table.loc[("a", 10), "diverge"] == 1
    assert table.loc[("a", 10), "rests at floor"] and not table.loc[("a", 10), "rests at LSTD"]
    assert table.loc[("b", 10), "rests at LSTD"] and not table.loc[("b", 10), "rests at floor"]


def test_newcomer_table_has_medians_and_shares():
    rows = [("x", 1.0, 2.0, True, False, 0.5, 0.6, 3.0), ("x", 3.0, 2.0, False, False, 0.7, 0.8, 3.0)]
    rows += [("x", 5.0, 9.0, True, True, 0.9, 1.0, 6.0), ("y", 1.0, 1.0, False, True, 1.0, 1.0, 1.0)]
    table = lesson_08.newcomer_table(rows)
    assert table.loc["x", ["never left: 10", "at 100", "left: 10", "answer 0"]].tolist() == [3.0, 2.0, 0.7, 3.0]
    assert table.loc["x", ["grows", "worse than 0"]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert table.loc["y", "worse than 0"] == 1.0


def test_spread_table_writes_median_and_range():
    table = lesson_08.spread_table({"lake": pd.DataFrame({"error": [3.0, 1.0, 2.0]})})
    assert table.loc["error", "lake"] == "2.00 (1.00-3.00)"


def test_the_polite_taxi_makes_no_move_that_costs_ten():
    import gymnasium as gym

    policy, table = lesson_08.polite_taxi(), gym.make("Taxi-v4").unwrapped.P
    np.testing.assert_allclose(policy.sum(axis=1), 1.0)
    costs = {way[2] for s in range(500) for a in range(6) if policy[s, a] > 0 for way in table[s][a]}
    assert -10 not in costs and {-1, 20} <= costs
    assert all(min(way[2] for way in table[s][a]) == -10 for s in range(500) for a in range(6) if policy[s, a] == 0)


def test_a_ring_s_newcomers_stand_on_the_mean_in_the_picture_s_own_numbers(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        lesson_08, "curves", lambda x, ys, **more: drawn.update(ys=ys, **more) or lesson_08.new_figure(1, 1)[0]
    )
    P = np.roll(np.eye(4), 1, axis=1)
    rooms = lesson_08.MarkovRewardProcess(P, [1.0, 0.0, 0.0, 0.0], 0.5)
    walk = rooms.sample(2, np.random.default_rng(0), start=0)
    lesson_08.newcomer_picture(rooms, {"one-hot": np.sqrt(30.0) * np.eye(4)}, walk)
    (mean,) = drawn["references"].values()
    np.testing.assert_allclose(drawn["ys"]["one-hot"][2:], mean, atol=1e-9)
    np.testing.assert_allclose(drawn["ys"]["exact"], rooms.value())
