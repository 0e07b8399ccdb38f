"""`icrl-teach evaluate` on logs with episodes: the value a user means, and what stands beside it."""

import csv
import json

import gymnasium as gym
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import elsewhere, fails  # noqa: F401 (a fixture works where it is imported)
from icrl_teach import (
    Trajectory,
    certainty_equivalence_value,
    cli,
    evaluation,
    mrp_from_env,
    one_hot,
    read_log,
    rollout,
    write_trajectory,
)
from icrl_teach.data import restarted
from icrl_teach.evaluation import bootstrap_interval, evaluate_trajectory, monte_carlo
from oracles import random_walks, seeds
from patience import uncounted

SESSIONS = "episode,state,reward,next_state\n" + "".join(f"{i},s,0,m\n{i},m,1,END\n" for i in range(30))


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.main, ["evaluate", *map(str, args)])


def evaluated(*args: str) -> dict:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def values(got: dict, key: str = "value") -> dict[str, float]:
    return {entry["state"]: entry[key] for entry in got["states"]}


@pytest.fixture
def shop(elsewhere) -> str:  # noqa: F811 (the fixture imported above)
    """Forty sessions of a shop, as events in the order of their time: no next state, names of its own."""
    rng, rows = np.random.default_rng(7), []
    for session in range(40):
        page, at = "home", rng.uniform(0, 1000)
        while page is not None:
            buys = page == "cart" and rng.random() < 0.6
            rows.append((at, session, page, round(rng.uniform(5, 40), 2) if buys else 0))
            onward = {"home": ["list", "list", None], "list": ["item", "home", None], "item": ["cart", "list"]}
            page, at = (None if page == "cart" else rng.choice(onward[page])), at + rng.exponential(30)
    lines = [f"{at:.3f},{session},{page},{revenue},ff" for at, session, page, revenue in sorted(rows)]
    (elsewhere / "shop.csv").write_text("time,session_id,page,revenue,browser\n" + "\n".join(lines) + "\n")
    return "state=page,reward=revenue,episode=session_id"


# ----------------------------------------------------------------------------------------------- which value it is


def test_thirty_sessions_have_the_value_of_every_textbook(elsewhere):  # noqa: F811
    (elsewhere / "log.csv").write_text(SESSIONS)
    assert values(evaluated("log.csv")) == pytest.approx({"s": 0.9, "m": 1.0}, abs=1e-9)
    assert values(evaluated("log.csv", "--gamma", "1")) == pytest.approx({"s": 1.0, "m": 1.0}, abs=1e-9)
    endless = 1 / (1 - 0.81)  # m returns every second step, for ever
    got = evaluated("log.csv", "--episodes", "restart", "--layers", "400")
    assert values(got) == pytest.approx({"s": 0.9 * endless, "m": endless}, abs=1e-6)
    assert "mean_return" not in got["states"][0] and got["episodes"] == "restart"


def test_the_heading_says_which_value_it_is(elsewhere):  # noqa: F811
    (elsewhere / "log.csv").write_text(SESSIONS)
    first = run("log.csv").stdout.splitlines()
    assert first[0] == "log.csv: 60 transitions in 30 episodes, 2 states"
    assert first[1] == "meaning          value of an episode to its end"
    again = " ".join(run("log.csv", "--episodes", "restart").stdout.split())
    assert "meaning value of going on for ever, each end leading to the next episode's start" in again
    (elsewhere / "walk.csv").write_text("state,reward,next_state\na,1,b\nb,1,a\n")
    assert "changes nothing" in run("walk.csv", "--episodes", "restart").stderr
    assert "episode" not in run("walk.csv").stdout and "episodes" not in evaluated("walk.csv")


def test_gamma_1_is_refused_where_nothing_ends(elsewhere):  # noqa: F811
    (elsewhere / "log.csv").write_text(SESSIONS)
    fails(run("log.csv", "--gamma", "1", "--episodes", "restart"), "gamma is 1.0", "no termination can be reached")
    fails(run("log.csv", "--gamma", "1.5"), "gamma is 1.5")
    (elsewhere / "cut.csv").write_text("state,reward,next_state,terminated,truncated\na,1,b,0,1\nc,1,d,1,0\n")
    fails(run("cut.csv", "--gamma", "1"), "no termination can be reached from state 'a' in this data")


def test_a_cut_is_no_end(elsewhere):  # noqa: F811
    """a -> b is cut after the first step of half the walks; b is known from the others, so a's value is what it was."""
    rows = "".join("a,0,b,0,1\n" if i % 2 else "a,0,b,0,0\nb,1,c,1,0\n" for i in range(40))
    (elsewhere / "log.csv").write_text("state,reward,next_state,terminated,truncated\n" + rows)
    assert values(evaluated("log.csv")) == pytest.approx({"a": 0.9, "b": 1.0}, abs=1e-4)


@uncounted
@given(seeds, st.integers(2, 5), st.integers(2, 8), st.sampled_from([0.5, 0.9]))
@settings(max_examples=15)
def test_network_operators_and_the_solved_equation_agree(seed, n_states, n_walks, gamma):
    """Three roads: the network's prompt with flags, the operator form, and at tau 30 the certainty equivalence."""
    states, rewards, following, ended, cut = random_walks(np.random.default_rng(seed), n_states, n_walks)
    walk = Trajectory.of_transitions(states, rewards, following, ended, cut)
    features = one_hot(walk.n_states, 2.0)
    network = evaluate_trajectory(walk, features, gamma, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "TRANSFORMER_LIMIT", 0)
        operators = evaluate_trajectory(walk, features, gamma, 30)
    assert (network.method, operators.method) == ("transformer", "operator")
    np.testing.assert_allclose(network.values, operators.values, atol=1e-10)
    sharp = evaluate_trajectory(walk, one_hot(walk.n_states, 30.0), gamma, 600)
    left = sharp.visits > 0
    seen = np.unique(walk.states)
    if left.all():  # what was never left has no value of its own
        expected = certainty_equivalence_value(walk, gamma)[seen]
        np.testing.assert_allclose(sharp.values, expected, atol=1e-6)


# ------------------------------------------------------------------------------------------------- beside the value


@given(seeds, st.integers(1, 4), st.integers(1, 8), st.sampled_from([0.0, 0.7, 1.0]))
def test_mean_returns_are_those_of_finished_walks_written_out(seed, n_states, n_walks, gamma):
    states, rewards, following, ended, cut = random_walks(np.random.default_rng(seed), n_states, n_walks)
    found: dict[int, list[float]] = {}
    begin = 0
    for k in range(len(states)):
        if ended[k]:
            for j in range(begin, k + 1):
                found.setdefault(states[j], []).append(
                    sum(gamma ** (i - j) * rewards[i] for i in range(j, k + 1)),
                )
        if ended[k] or cut[k]:
            begin = k + 1
    means, counts = monte_carlo(Trajectory.of_transitions(states, rewards, following, ended, cut), gamma)
    if not found:
        assert means is None and counts is None
        return
    for s in range(len(counts)):
        assert counts[s] == len(found.get(s, []))
        assert counts[s] == 0 or means[s] == pytest.approx(np.mean(found[s]))


def test_restart_by_hand():
    walk = Trajectory.of_transitions([0, 1, 2, 3], [1, 2, 3, 4], [1, -1, 0, -1], [0, 1, 0, 1], [0, 0, 1, 0])
    joined = restarted(walk).transitions
    assert joined.states.tolist() == [0, 1, 2, 3]
    assert joined.next_states.tolist() == [1, 2, 0, 0]  # 2 -> 0 was cut and stays so; the last leads to the first
    assert joined.truncated.tolist() == [False, False, True, False] and not joined.terminated.any()


def test_an_interval_is_that_of_drawing_walks_by_hand():
    """One coin a walk: drawing 60 of them with replacement is a binomial draw, whose percentiles NumPy gives."""
    rng = np.random.default_rng(3)
    coins = (rng.random(60) < 0.4).astype(float)
    walk = Trajectory.of_transitions([0] * 60, coins, [-1] * 60, [1] * 60)
    low, high = bootstrap_interval(walk, one_hot(1), 0.9, 2, 1.0, rng)
    means = rng.binomial(60, coins.mean(), size=100_000) / 60
    np.testing.assert_allclose([low[0], high[0]], np.percentile(means, [2.5, 97.5]), atol=2.5 / 60)


def test_intervals_draw_whole_walks():
    """Within a walk all rewards agree, so an interval that drew single steps would be far too narrow."""
    rng = np.random.default_rng(5)
    signs = np.repeat(rng.choice([-1.0, 1.0], 30), 50)
    ends = np.tile([0] * 49 + [1], 30)
    walk = Trajectory.of_transitions([0] * 1500, signs, np.where(ends, -1, 0), ends)
    low, high = bootstrap_interval(walk, one_hot(1), 0.0, 2, 1.0, rng)
    assert high[0] - low[0] > 0.4  # 4 standard errors of 30 signs are 0.7; of 1,500 steps 0.1


def test_intervals_need_two_walks_and_not_too_many_states(monkeypatch):
    walk = Trajectory.of_transitions([0, 1], [1.0, 1.0], [1, -1], [0, 1])
    with pytest.raises(ValueError, match="at least two episodes to draw from; the data has one walk"):
        bootstrap_interval(walk, one_hot(2), 0.9, 2, 1.0, np.random.default_rng(0))
    monkeypatch.setattr(evaluation, "INTERVAL_LIMIT", 1)
    two = Trajectory.of_transitions([0, 1], [1.0, 1.0], [-1, -1], [1, 1])
    with pytest.raises(ValueError, match="2 distinct states, and intervals are drawn for at most 1; leave --figure"):
        bootstrap_interval(two, one_hot(2), 0.9, 2, 1.0, np.random.default_rng(0))


# --------------------------------------------------------------------------------------------------------- the shop


def test_a_shop_s_events_become_values_a_table_and_a_picture(shop, elsewhere, monkeypatch):  # noqa: F811
    monkeypatch.setattr(evaluation, "RESAMPLES", 50)
    result = run("shop.csv", "--columns", shop, "--gamma", "1", "--csv", "out.csv", "--figure", "out.png")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == "icrl-teach: warning: shop.csv: columns not used: 'browser'"
    assert "in 40 episodes" in result.stdout and "mean return" in result.stdout
    assert (elsewhere / "out.png").read_bytes().startswith(b"\x89PNG")
    with (elsewhere / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["home", "list", "item", "cart"]
    for row in rows:
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
        assert float(row["low"]) <= float(row["mean_return"]) <= float(row["high"])
    log = read_log("shop.csv", shop)
    returns, counts = monte_carlo(log.trajectory, 1.0)
    assert [float(row["mean_return"]) for row in rows] == returns.tolist()
    assert [int(row["visits"]) for row in rows] == counts.tolist()


def test_intervals_follow_the_seed_and_stand_in_the_json(shop, monkeypatch):
    monkeypatch.setattr(evaluation, "RESAMPLES", 20)
    one, same, other = (
        evaluated("shop.csv", "--columns", shop, "--csv", "out.csv", "--seed", seed) for seed in ("1", "1", "2")
    )
    assert one == same and values(one, "low") != values(other, "low")
    assert "low" not in evaluated("shop.csv", "--columns", shop)["states"][0]
    assert any("columns not used: 'browser'" in warning for warning in one["warnings"])


def test_a_walk_without_episodes_is_drawn_without_intervals(elsewhere):  # noqa: F811
    (elsewhere / "log.csv").write_text("state,reward,next_state\n" + "a,1,b\nb,0,a\n" * 20)
    assert run("log.csv", "--csv", "out.csv", "--figure", "out.png").exit_code == 0
    assert (elsewhere / "out.csv").read_text().splitlines()[0] == "state,visits,value"


def test_places_that_cannot_be_written_are_refused_before_any_work(shop, monkeypatch):
    monkeypatch.setattr(cli.evaluate, "read_log", lambda *args, **options: pytest.fail("the log was read"))
    fails(run("shop.csv", "--csv", "nowhere/out.csv"), "nowhere/out.csv: No such file or directory; check the path")
    fails(run("shop.csv", "--figure", "nowhere/out.png"), "nowhere/out.png: No such file or directory")


def test_suspicions_are_warnings_on_stderr(elsewhere):  # noqa: F811
    (elsewhere / "log.csv").write_text(SESSIONS[:-3] + "\n")
    result = run("log.csv")
    assert result.exit_code == 0
    assert (
        "icrl-teach: warning: log.csv: the last line may be cut short: its next_state 'E' occurs once" in result.stderr
    )


def test_columns_that_do_not_exist_are_refused(shop):
    fails(run("shop.csv"), "shop.csv: column 'state' is missing", "--columns state=NAME")
    fails(run("shop.csv", "--columns", "state=seite"), "there is no column 'seite' for state; the columns are 'time'")
    fails(run("shop.csv", "--columns", "page"), "columns holds 'page'; write ROLE=NAME")


# ---------------------------------------------------------------------------------------- real play, through a file


@uncounted
@pytest.mark.parametrize(("env", "n_steps"), [("FrozenLake-v1", 12_000), ("Blackjack-v1", 8_000)])
def test_real_play_keeps_its_value_in_a_file(elsewhere, env, n_steps):  # noqa: F811
    """The log gives the values of the rollout; they agree with mean returns, and with the exact ones where known."""
    walk = rollout(gym.make(env, disable_env_checker=True), None, n_steps, 0, "terminal")
    write_trajectory("log.csv", walk)
    gamma = 0.9 if env == "FrozenLake-v1" else 1.0
    got = evaluated("log.csv", "--gamma", gamma, "--tau", "30", "--layers", "2000")
    direct = certainty_equivalence_value(walk, gamma)
    exact = mrp_from_env(env, None, gamma, "terminal").value() if env == "FrozenLake-v1" else None
    often = [entry for entry in got["states"] if entry["visits"] >= 100]
    assert len(often) >= 5
    for entry in often:
        s = walk.labels.index(entry["state"])
        assert entry["value"] == pytest.approx(direct[s], abs=1e-6)
        bound = (
            5 * (1.0 if gamma == 1.0 else 0.5) / np.sqrt(entry["returns"])
        )  # 5 errors, of returns in [-1, 1] or [0, 1]
        assert abs(entry["value"] - entry["mean_return"]) < bound
        assert exact is None or abs(entry["value"] - exact[s]) < bound
