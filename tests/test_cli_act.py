"""`icrl-teach act`: its table, files and animation, and what it refuses."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import icrl_teach
from acting_cases import Tabled, random_tables
from command_line import elsewhere, fails  # noqa: F401 (a fixture works where it is imported)
from icrl_teach import cli, mdp_from_env, policy_return
from icrl_teach.cli import act

QUICK = ("--rounds", "3", "--steps", "60", "--layers", "20")


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.main, ["act", *map(str, args)])


def numbers(env: str, folder: str = "icrl-act") -> dict:
    return json.loads(Path(folder, f"{env}-acting.json").read_text())


@pytest.mark.parametrize("env", ["FrozenLake-v1", "CliffWalking-v1", "Blackjack-v1"])
def test_a_table_a_picture_and_numbers(env, monkeypatch):
    monkeypatch.setattr("icrl_teach.acting_report.GAMES", 20)
    result = run("--env", env, *QUICK)
    assert result.exit_code == 0, result.stderr
    found, last = numbers(env), result.stdout.splitlines()
    assert len(found["rounds"]) == 3 and [r["steps"] for r in found["rounds"]] == [60, 120, 180]
    rows = [line.split() for line in last if line.startswith("    ") and line.split()[0].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "3"] and rows[-1][1] == "180"
    assert {"SARSA", "Q-learning", "random policy"} <= set(found["references"])
    assert ("optimum" in found["references"]) == (env != "Blackjack-v1")
    assert Image.open(f"icrl-act/{env}-acting.png").size[0] > 400
    assert found["weights_sha256"][:16] in result.stdout and last[-1].startswith("Wrote icrl-act")


def test_taxi_has_three_thousand_pairs():
    result = run("--env", "Taxi-v4", "--rounds", "1", "--steps", "50", "--layers", "5")
    assert result.exit_code == 0, result.stderr
    found = numbers("Taxi-v4")
    assert np.array(found["action_values"]).shape == (500, 6) and found["references"]["optimum"] > 5


def test_the_numbers_are_those_of_the_policy_that_is_written():
    assert run(*QUICK, "--output", "there", "--seed", "3").exit_code == 0
    found = numbers("FrozenLake-v1", "there")
    policy = np.eye(4)[found["policy"]]
    exact = policy_return(mdp_from_env("FrozenLake-v1"), policy, 100)
    assert found["rounds"][-1]["greedy_return"] == pytest.approx(exact) and found["limit"] == 100
    assert found["seed"] == 3 and found["greedy_returns_are"] == "exact"


def test_a_run_repeats_with_its_seed():
    first, again = (run(*QUICK, "--seed", "5").stdout for _ in range(2))
    assert first == again != run(*QUICK, "--seed", "6").stdout


def test_what_cannot_work_is_refused_in_one_line(elsewhere):  # noqa: F811 (the fixture imported above)
    fails(run("--env", "NoSuchGame-v0"), "NoSuchGame")
    fails(run("--env", "CartPole-v1"), "observation_space", "bins")
    fails(run("--epsilon", "1.5"), "epsilon is 1.5")
    fails(run("--gamma", "1.5"), "gamma is 1.5")
    fails(run("--tau", "0"), "tau is 0.0")
    fails(run("--rounds", "0"), "--rounds")
    fails(run("--imagined", "much"), "'much' is neither best, nor none, nor a number")
    fails(run("--imagined", "nan"), "'nan' is neither")
    fails(run("--memory", "first"), "--memory")
    (elsewhere / "file").write_text("")
    fails(run("--output", "file/folder"), "file")
    assert not Path("icrl-act").exists()


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr("icrl_teach.acting_report.PAIR_LIMIT", 63)
    fails(run(), "16 states and 4 actions, 64 pairs; the limit is 63")


class Drawn(Tabled):
    """A tabled process that draws: a grey as light as its state's number."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, render_mode=None, fault=None):
        P, r, _ = random_tables(np.random.default_rng(0), 3, 2, ends=0.0)
        super().__init__(P, r, [1.0, 0.0, 0.0], limit=5)
        self.render_mode, self.fault = render_mode, fault

    def render(self):
        if self.fault:
            raise self.fault
        return np.full((20, 30, 3), 80 * self.state, dtype=np.uint8)


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr("icrl_teach.acting_report.GAMES", 10)
    for name, how in (
        ("Drawn-v0", {}),
        ("Lacking-v0", {"fault": gym.error.DependencyNotInstalled("pygame is not installed")}),
        ("Broken-v0", {"fault": ZeroDivisionError("no")}),
    ):
        gym.register(name, Drawn, kwargs=how, disable_env_checker=True)
    yield
    for name in ("Drawn-v0", "Lacking-v0", "Broken-v0"):
        gym.registry.pop(name)


def test_the_last_greedy_episode_is_animated_where_the_environment_draws(drawn):
    result = run("--env", "Drawn-v0", *QUICK)
    assert result.exit_code == 0 and "animation" not in result.stderr, result.stderr
    film = Image.open("icrl-act/Drawn-v0-acting.gif")
    assert film.format == "GIF" and film.size == (30, 20) and 1 < film.n_frames <= 6
    assert "Drawn-v0-acting.gif" in result.stdout
    film.seek(0)
    assert film.convert("L").getpixel((3, 3)) == 0  # the walk begins in state 0


@pytest.mark.parametrize(
    ("env", "why"),
    [("Lacking-v0", "pygame is not installed"), ("Broken-v0", "cannot draw itself (ZeroDivisionError: no)")],
)
def test_where_nothing_can_be_drawn_one_line_says_why(drawn, env, why):
    old = Path(f"icrl-act/{env}-acting.gif")
    old.parent.mkdir()
    old.write_bytes(b"another policy's")
    result = run("--env", env, *QUICK)
    assert result.exit_code == 0 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("icrl-teach: warning: no animation: ") and why in result.stderr
    assert not old.exists() and "gif" not in result.stdout


def test_frames_become_an_animation_that_repeats():
    frames = [np.full((8, 9, 3), light, dtype=np.uint8) for light in (0, 100, 255)]
    film = Image.open(BytesIO(act.gif_bytes(frames)))
    assert (film.n_frames, film.size, film.info["loop"], film.info["duration"]) == (3, (9, 8), 0, act.FRAME_MS)


def test_long_runs_show_some_rounds_and_the_last():
    rows = act.shown_rounds(400)
    assert len(rows) <= act.MOST_ROWS and rows[0] == 0 and rows[-1] == 399 and sorted(set(rows)) == rows


def test_control_c_leaves_nothing_behind(elsewhere, monkeypatch):  # noqa: F811
    def stopped(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("icrl_teach.acting_report.sarsa", stopped)  # after the rounds, before anything is written
    result = run(*QUICK)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "icrl-teach: interrupted\n")
    assert list(elsewhere.iterdir()) == []


def test_help_is_quick_to_load():
    script = "import sys, icrl_teach.cli; print('torch' in sys.modules, 'PIL' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).split() == ["False", "False"]
    assert "act" in icrl_teach.cli.COMMANDS
