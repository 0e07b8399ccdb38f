"""The command line: numbers recomputed by other means, and for every mistake one line, exit code 2, nothing written."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from command_line import child, elsewhere, fails, free_port  # noqa: F401 (a fixture works where it is imported)
from guards import ROOT
from icrl_teach import Trajectory, cli, comparison, doctor, evaluation, mrp_from_env, one_hot, rollout, write_trajectory
from icrl_teach import course as course_module
from icrl_teach._progress import progress
from patience import PATIENCE, wait_until

WALK = ["a", "b", "a", "c", "b", "a", "b", "c", "a", "b", "a"]
REWARDS = [1.0, 0.0, 1.0, -2.0, 0.5, 1.0, 0.0, -2.0, 1.0, 0.25]


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.main, [str(a) for a in args])


def write_log(path: Path, walk=WALK, rewards=REWARDS) -> Path:
    rows = zip(walk[:-1], rewards, walk[1:], strict=True)
    path.write_text("state,reward,next_state\n" + "".join(f"{s},{r},{t}\n" for s, r, t in rows))
    return path


def softmax_td(walk, rewards, features, gamma, layers, beta=1.0) -> dict[str, float]:
    """Weighted softmax TD as the mathematics states it, a value for each state, in plain loops."""
    value = dict.fromkeys(walk, 0.0)
    for _ in range(layers):
        new = {}
        for s in value:
            scores = [beta * sum(a * b for a, b in zip(features[s], features[k], strict=True)) for k in walk[:-1]]
            weights = np.exp(np.array(scores) - max(scores))
            deltas = [r + gamma * value[t] - value[k] for k, r, t in zip(walk[:-1], rewards, walk[1:], strict=True)]
            new[s] = value[s] + float(weights @ np.array(deltas) / weights.sum())
        value = new
    return value


def one_hot_table(walk, tau):
    names = list(dict.fromkeys(walk))
    return {name: one_hot(len(names), tau)[i] for i, name in enumerate(names)}


# ------------------------------------------------------------------------------------------------ the command itself


def test_help_names_every_command_and_version_the_version():
    for result in (run("--help"), run()):
        assert result.exit_code == 0
        assert all(name in result.stdout for name in ("doctor", "demo", "evaluate", "lab"))
    assert run("--version").stdout.startswith("icrl-teach, version 0")


@pytest.mark.parametrize("command", ["doctor", "demo", "evaluate", "lab"])
def test_every_option_is_explained(command):
    for parameter in cli.main.commands[command].params:
        assert parameter.param_type_name == "argument" or len(parameter.help.split()) >= 4
    assert run(command, "--help").exit_code == 0


def test_python_dash_m_is_light():
    code = (
        "import sys, runpy\nsys.argv = ['icrl_teach', '--help']\n"
        "try: runpy.run_module('icrl_teach', run_name='__main__')\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = {'torch', 'matplotlib', 'gymnasium', 'ipywidgets', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}, code {code}' if heavy or code else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: icrl-teach ")


def test_python_dash_m_reports_errors():
    command = [sys.executable, "-m", "icrl_teach", "evaluate", "missing.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    expected = "icrl-teach: error: missing.csv: cannot be read: No such file or directory; check the path\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


@pytest.mark.parametrize(
    ("args", "fragment"),
    [
        (["learn"], "No such command 'learn'. Try 'icrl-teach --help'."),
        (["--fast"], "No such option"),
        (["demo", "--fast"], "Try 'icrl-teach demo --help'."),
        (["demo", "--steps", "many"], "'many' is not a valid integer"),
        (["evaluate"], "Missing argument 'LOG'"),
    ],
)
def test_misuse(args, fragment):
    fails(run(*args), fragment)


@pytest.mark.parametrize(
    ("error", "fragment"),
    [
        (MemoryError(), "not enough memory; use fewer"),
        (OSError(errno.ENOSPC, "No space left on device", "here"), "here: No space left on device; check"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; check where the output goes"),
        (OSError("odd"), "unexpected OSError: odd"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory; use fewer"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory; use fewer"),
        (RuntimeError("first\nsecond \x1b[2J"), r"unexpected RuntimeError: first second \x1b[2J; ICRL_TEACH_DEBUG=1"),
        (click.ClickException("plain"), "error: plain"),
        (click.UsageError("bare"), "error: bare"),
    ],
)
def test_whatever_goes_wrong_is_one_line(monkeypatch, error, fragment):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(cli.evaluate, "read_log", fail)
    fails(run("evaluate", "log.csv"), fragment)
    monkeypatch.setenv("ICRL_TEACH_DEBUG", "1")
    assert run("evaluate", "log.csv").exception is error


def test_interrupt(monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.evaluate, "read_log", interrupt)
    result = run("evaluate", "log.csv")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "icrl-teach: interrupted\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_real_control_c(tmp_path):
    os.mkfifo(tmp_path / "log.csv")
    command = [sys.executable, "-m", "icrl_teach", "evaluate", "log.csv"]
    with (
        child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        open(tmp_path / "log.csv", "w"),  # opens once the command has begun to read, and keeps it waiting
    ):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "icrl-teach: interrupted\n")


# ------------------------------------------------------------------------------------------------------------ doctor


def test_doctor_finds_this_machine_fit():
    result = run("doctor")
    assert result.exit_code == 0, result.stdout
    *lines, well, start, lab = result.stdout.splitlines()
    assert well.startswith("All is well.")
    assert (start, lab) == ("  icrl-teach start my-course", "  icrl-teach lab my-course")
    width = len("Jupyter kernel")  # the longest name; what was found stands in one column after it
    assert all(line.startswith("ok  ") or not line[: width + 8].strip() for line in lines)
    names = [line[6 : 6 + width].strip() for line in lines if line.startswith("ok")]
    assert names[0] == "Python" and names[-3:] == ["torch device", "Jupyter kernel", "Theorem 1"]
    assert {"numpy", "torch", "jupyterlab", "gymnasium", "matplotlib"} <= set(names)
    assert all(line[6 + width : 8 + width] == "  " and line[8 + width] != " " for line in lines)


def test_doctor_says_what_to_do(monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    def no_kernel(self, name):
        raise NoSuchKernel(name)

    def no_import(name):
        raise OSError("libfoo is missing") if name == "torch" else ImportError

    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["numpy>=99.1", "no-such>=1", "torch>=2", "x; extra"])
    monkeypatch.setattr(doctor, "import_module", lambda name: no_import(name) if name == "torch" else None)
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", no_kernel)
    monkeypatch.setattr(doctor, "compare_by_depth", lambda *args, **more: 1 / 0)
    result = run("doctor")
    assert result.exit_code == 1 and result.stderr == ""
    lines = result.stdout.splitlines()
    failed = [i for i, line in enumerate(lines) if line.startswith("FAIL")]
    assert [lines[i].split()[1] for i in failed] == ["numpy", "no-such", "torch", "Jupyter", "Theorem"]
    assert all("to do: " in lines[i + 1] for i in failed)
    assert 'pip install "numpy>=99.1"' in lines[failed[0] + 1] and "needs 99.1 or newer" in lines[failed[0]]
    assert "libfoo is missing" in lines[failed[2]]
    assert "ipykernel install --sys-prefix --name python3" in lines[failed[3] + 1]
    assert "ZeroDivisionError" in lines[failed[4]]
    assert lines[-1] == "5 of 7 checks failed."


def test_doctor_sees_a_kernel_without_its_program(monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: SimpleNamespace(argv=["/gone/python"]))
    assert doctor.check_kernel().ok is False
    assert doctor.check_kernel().found == "python3 runs /gone/python, which is missing"


def test_doctor_without_an_installed_package(monkeypatch):
    def absent(name):
        raise doctor.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", absent)
    first, second = doctor.run_checks()[:2]
    assert first.ok and not second.ok
    assert second.name == "icrl-teach" and "pip install -e" in second.remedy


def test_doctor_notices_a_network_that_is_not_the_algorithm(monkeypatch):
    from icrl_teach.transformer import SoftmaxTransformer

    right = SoftmaxTransformer.constructed
    monkeypatch.setattr(
        SoftmaxTransformer, "constructed", lambda *args, **more: right(*args, **more | {"alpha": 0.999})
    )
    assert doctor.check_theorem().ok is False


# -------------------------------------------------------------------------------------------------------------- demo


def test_demo_numbers_are_those_of_plain_loops(tmp_path):
    result = run("demo", "--steps", 300, "--layers", 10, "--tau", 3, "--gamma", 0.8, "--seed", 1, "--output", "deep/er")
    assert result.exit_code == 0 and result.stderr == ""
    got = json.loads((tmp_path / "deep/er/FrozenLake-v1.json").read_text())
    walk = rollout("FrozenLake-v1", None, 300, 1)
    states, rewards = walk.states.tolist(), walk.rewards.tolist()
    assert any(rewards)  # else all would be 0 on every road
    visited = sorted(set(states[:-1]))
    exact = mrp_from_env("FrozenLake-v1", None, 0.8).value()[visited]
    assert got["states"] == visited
    assert got["visits"] == [states[:-1].count(s) for s in visited]
    assert got["depth"] == list(range(11))
    assert got["exact"] == exact.tolist()
    for layers in (0, 1, 10):
        features = {s: one_hot(16, 3.0)[s] for s in range(16)}
        by_state = softmax_td(states, rewards, features, 0.8, layers)
        error = np.abs(np.array([by_state[s] for s in visited]) - exact)
        assert got["max_error"][layers] == pytest.approx(error.max(), abs=1e-12)
        assert got["rms_error"][layers] == pytest.approx(np.sqrt(np.mean(error**2)), abs=1e-12)
    np.testing.assert_allclose(got["transformer"], [by_state[s] for s in visited], atol=1e-12)
    table = dict.fromkeys(range(16), 0.0)
    for iteration in range(1, 401):  # batch tabular TD; the end of it is certainty equivalence
        deltas = [r + 0.8 * table[t] - table[s] for s, r, t in zip(states[:-1], rewards, states[1:], strict=True)]
        sums = dict.fromkeys(visited, 0.0)
        for s, delta in zip(states[:-1], deltas, strict=True):
            sums[s] += delta / got["visits"][visited.index(s)]
        table = {s: v + sums.get(s, 0.0) for s, v in table.items()}
        if iteration in (10, 400):
            error = np.abs(np.array([table[s] for s in visited]) - exact)
            maximum = got["tabular_max_error"][10] if iteration == 10 else got["floor_max_error"]
            rms = got["tabular_rms_error"][10] if iteration == 10 else got["floor_rms_error"]
            assert (maximum, rms) == pytest.approx((error.max(), np.sqrt(np.mean(error**2))), abs=1e-12)
    np.testing.assert_allclose(got["certainty_equivalence"], [table[s] for s in visited], atol=1e-12)
    assert got["gap"] == sorted(got["gap"]) and got["gap"][0] == 0.0 and got["gap"][-1] < 1e-13


def test_demo_says_when_there_was_no_reward():
    result = run("demo", "--steps", 60, "--layers", 2)
    assert result.exit_code == 0
    assert "warning: all 60 rewards are 0, so every value stays 0: use more --steps" in result.stderr


def test_the_demos_picture_says_when_there_was_no_reward(monkeypatch):
    from icrl_teach import figures

    titles, curves = [], figures.curves
    monkeypatch.setattr(
        figures, "curves", lambda *args, **kwargs: titles.append(kwargs["title"]) or curves(*args, **kwargs)
    )
    for steps in (60, 4000):
        assert run("demo", "--steps", steps, "--layers", 2).exit_code == 0
    assert ["no reward among them: every value stays 0" in title for title in titles] == [True, False]


def test_demo_prints_what_it_wrote(tmp_path):
    result = run("demo", "--family", "loop", "--steps", 60, "--layers", 6)
    assert result.exit_code == 0
    got = json.loads((tmp_path / "icrl-demo/loop-10.json").read_text())
    rows = [line.split() for line in result.stdout.split("\ndepth")[1].splitlines() if line[:5].strip().isdigit()]
    assert [int(row[0]) for row in rows] == [0, 1, 2, 4, 6]
    columns = ("max_error", "rms_error", "tabular_max_error", "tabular_rms_error")
    for depth, *numbers in rows:
        expected = [got[c][int(depth)] for c in columns]
        assert len({len(x.split(".")[1]) for x in numbers[:4]}) == 1  # digits stand below each other
        assert [float(x) for x in numbers[:4]] == pytest.approx(
            expected, abs=0.5 * 10 ** -len(numbers[0].split(".")[1])
        )
        assert float(numbers[4]) == pytest.approx(got["gap"][int(depth)], rel=0.05)
    floor = next(line for line in result.stdout.splitlines() if line.startswith("floor")).split()
    assert floor[1:] == [f"{got[c]:.{len(rows[0][1].split('.')[1])}f}" for c in ("floor_max_error", "floor_rms_error")]
    assert result.stdout.splitlines()[-1] == "Wrote icrl-demo/loop-10.png and icrl-demo/loop-10.json"
    assert (tmp_path / "icrl-demo/loop-10.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert sorted(p.name for p in (tmp_path / "icrl-demo").iterdir()) == ["loop-10.json", "loop-10.png"]


@pytest.mark.parametrize(
    ("task", "n_states"),
    [
        (["--env", "CliffWalking-v1"], 48),
        (["--env", "Taxi-v4"], 500),
        (["--family", "boyan", "--states", 7], 7),
        (["--family", "random"], 10),
    ],
)
def test_demo_tasks(task, n_states):
    result = run("demo", *task, "--steps", 50, "--layers", 3)
    assert result.exit_code == 0 and f"of {n_states} states visited" in result.stdout


def test_demo_is_reproducible(tmp_path):
    def numbers(folder, seed):
        run("demo", "--family", "boyan", "--steps", 40, "--layers", 3, "--seed", seed, "--output", folder)
        return json.loads((tmp_path / folder / "boyan-10.json").read_text())

    first, again, other = numbers("one", 1), numbers("two", 1), numbers("one", 2)
    assert first == again
    assert first["exact"] != other["exact"] and other["seed"] == 2


def test_demo_with_an_error_of_zero_draws_its_figure():
    assert run("demo", "--family", "random", "--states", 1, "--gamma", 0, "--steps", 5, "--layers", 2).exit_code == 0


def test_shown_depths():
    assert [cli.demo.shown_depths(n) for n in (1, 2, 3, 64)] == [
        [0, 1],
        [0, 1, 2],
        [0, 1, 2, 3],
        [0, 1, 2, 4, 8, 16, 32, 64],
    ]


def test_demo_needs_no_trace(monkeypatch):
    """Taxi's 503 rows at 2,001 positions over 65 layers would take half a gigabyte; layers come one by one."""
    from icrl_teach.transformer import SoftmaxTransformer

    monkeypatch.setattr(SoftmaxTransformer, "trace", None)
    assert run("demo", "--steps", 30, "--layers", 2).exit_code == 0


def test_the_largest_number_of_steps_fits_and_one_more_does_not():
    with pytest.raises(ValueError, match=r"needs about .* GiB, and the limit is 2 GiB") as error:
        comparison.check_steps(50_000, 64)
    most = int(str(error.value).split("use --steps ")[1].split()[0])
    comparison.check_steps(most, 64)
    with pytest.raises(ValueError, match="use --steps"):
        comparison.check_steps(most + 3, 64)


@pytest.mark.parametrize(
    ("args", "fragments"),
    [
        (["--env", "NoSuch-v1"], ["env is 'NoSuch-v1'"]),
        (["--env", "Taxi-v3"], ["Taxi-v3", "use `Taxi-v4` instead"]),
        (["--env", "no_such_module:A-v0"], ["env is 'no_such_module:A-v0'", "No module named"]),
        (["--env", "CartPole-v1"], ["it must be Discrete(n) counting from 0", "ObservationWrapper"]),
        (["--env", "FrozenLake-v1", "--family", "loop"], ["--env and --family name two tasks"]),
        (["--states", "4"], ["give --family with it"]),
        (["--family", "star"], ["'star' is not one of 'boyan', 'loop', 'random'"]),
        (["--family", "boyan", "--states", "2"], ["n_states is 2", "at least 3"]),
        (["--family", "random", "--states", "1001"], ["1001 is not in the range 1<=x<=1000"]),
        (["--steps", "0"], ["0 is not in the range x>=1"]),
        (["--steps", "20000"], ["--steps is 20000", "limit is 2 GiB; use --steps"]),
        (["--layers", "0"], ["0 is not in the range x>=1"]),
        (["--layers", "1000000"], ["over 1000000 layers", "GiB"]),
        (["--tau", "0"], ["tau is 0.0; it must be a positive number"]),
        (["--tau", "nan"], ["tau is nan"]),
        (["--gamma", "1"], ["gamma is 1.0; the discount must satisfy 0 <= gamma < 1"]),
        (["--seed", "-1"], ["-1 is not in the range x>=0"]),
        (["--output", "file"], ["'file' is a file"]),
        (
            ["--steps", "5", "--layers", "2", "--output", "file/inside"],
            ["file/inside: Not a directory; check the path"],
        ),
    ],
)
def test_demo_refuses(tmp_path, args, fragments):
    (tmp_path / "file").write_text("mine")
    fails(run("demo", *args), *fragments)
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_demo_sees_an_unwritable_folder_before_any_work(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / "tmp123"))

    monkeypatch.setattr(cli.shell, "try_writing", refuse)
    monkeypatch.setattr(cli.demo, "environment_task", None)  # calling it would fail otherwise
    fails(run("demo", "--output", "new/inside"), "new/inside: Permission denied; check the path, its permissions")
    assert not list(tmp_path.iterdir())


def test_demo_leaves_no_half_files(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", full)
    fails(run("demo", "--family", "loop", "--steps", 5, "--layers", 2), "No space left on device")
    assert list((tmp_path / "icrl-demo").iterdir()) == []


def test_progress_shows_in_a_terminal(monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(2) as tick:
        tick("reading")
    assert "reading" in sys.stderr.getvalue()


# ---------------------------------------------------------------------------------------------------------- evaluate


def evaluated(*args: str) -> dict:
    result = run("evaluate", *args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("options", [{}, {"gamma": 0.5, "layers": 3, "tau": 1.5, "beta": 0.7}, {"layers": 200}])
def test_evaluate_is_the_plain_loop(tmp_path, options):
    write_log(tmp_path / "log.csv")
    got = evaluated("log.csv", *(f"--{key}={value}" for key, value in options.items()))
    o = {"gamma": 0.9, "layers": 64, "tau": 12.0, "beta": 1.0, **options}
    expected = softmax_td(WALK, REWARDS, one_hot_table(WALK, o["tau"]), o["gamma"], o["layers"], o["beta"])
    assert {entry["state"]: entry["visits"] for entry in got["states"]} == {"a": 4, "b": 4, "c": 2}
    assert {entry["state"]: entry["value"] for entry in got["states"]} == pytest.approx(expected, abs=1e-12)
    assert {key: got[key] for key in o} == o
    assert (got["transitions"], got["distinct_states"], got["method"]) == (10, 3, "transformer")


def test_evaluate_with_features_from_a_file(tmp_path):
    write_log(tmp_path / "log.csv")
    (tmp_path / "features.csv").write_text("state,height,width\nc,1,0.5\na,0.2,-1\nb,0,1\nunused,7,7\n")
    features = {"a": [0.2, -1.0], "b": [0.0, 1.0], "c": [1.0, 0.5]}
    got = evaluated("log.csv", "--features", "features.csv", "--beta", "3", "--layers", "20")
    expected = softmax_td(WALK, REWARDS, features, 0.9, 20, 3.0)
    assert {entry["state"]: entry["value"] for entry in got["states"]} == pytest.approx(expected, abs=1e-12)
    assert got["features"] == "features.csv" and "tau" not in got


def test_both_forms_agree(tmp_path, monkeypatch):
    write_log(tmp_path / "log.csv", [*WALK, "b", "d"], [*REWARDS, 1.0, 3.0])  # d is never left
    network = evaluated("log.csv", "--tau", "2")
    monkeypatch.setattr(evaluation, "TRANSFORMER_LIMIT", 11)
    operators = evaluated("log.csv", "--tau", "2")
    assert (network["method"], operators["method"]) == ("transformer", "operator")
    for one, other in zip(network["states"], operators["states"], strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-12)
    for key in ("margin", "spectral_radius", "sup_norm", "remaining"):
        assert network[key] == pytest.approx(operators[key], abs=1e-10)
    assert network["warnings"] == operators["warnings"]


def test_evaluate_measures_convergence(tmp_path):
    write_log(tmp_path / "log.csv")
    got = evaluated("log.csv", "--tau", "5", "--layers", "7")
    names, n = ["a", "b", "c"], len(REWARDS)
    M, Q = np.zeros((3, 3)), np.zeros((3, 3))
    for i, s in enumerate(names):
        total = sum(np.exp(5.0 * (k == s)) for k in WALK[:-1])
        for k in range(n):
            weight = np.exp(5.0 * (WALK[k] == s)) / total
            M[i, names.index(WALK[k])] += weight
            Q[i, names.index(WALK[k + 1])] += weight
    step = np.eye(3) - M + 0.9 * Q
    assert got["margin"] == pytest.approx(min(np.diag(M)) - 0.95)
    assert got["contraction_condition_holds"] is bool(min(np.diag(M)) > 0.95)
    assert got["spectral_radius"] == pytest.approx(max(abs(np.linalg.eigvals(step))))
    assert got["sup_norm"] == pytest.approx(abs(step).sum(axis=1).max())
    features = one_hot_table(WALK, 5.0)
    now, then = (softmax_td(WALK, REWARDS, features, 0.9, layers) for layers in (7, 600))
    assert got["remaining"] == pytest.approx(max(abs(then[s] - now[s]) for s in names))


def test_the_way_still_to_go_is_no_guess_where_blunt_features_make_layers_slow(tmp_path):
    """At tau 0.1 a layer contracts far more slowly than gamma: the next change over 1 - gamma misses most of it."""
    write_log(tmp_path / "log.csv")
    near, far = (evaluated("log.csv", "--tau", "0.1", "--gamma", "0.5", "--layers", n) for n in ("64", "1000"))
    gap = max(abs(a["value"] - b["value"]) for a, b in zip(near["states"], far["states"], strict=True))
    assert gap > 0.05 and near["remaining"] == pytest.approx(gap, rel=1e-3)
    assert any("from their limit" in warning for warning in near["warnings"])


def test_spectral_radius_ignores_what_layers_cannot_reach(tmp_path):
    """Two states with one feature leave the eigenvalue 1 in the step, but the layers converge all the same."""
    write_log(tmp_path / "log.csv")
    (tmp_path / "same.csv").write_text("state,x\na,1\nb,-1\nc,-1\n")
    got = evaluated("log.csv", "--features", "same.csv", "--beta", "3")
    assert got["spectral_radius"] < 0.95
    assert "diverge" not in " ".join(got["warnings"])


def test_evaluate_prints_a_table_and_warns_on_stderr(tmp_path):
    write_log(tmp_path / "log.csv", [*WALK, "end"], [*REWARDS, 3.0])
    result = run("evaluate", "log.csv")
    got = evaluated("log.csv")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "log.csv: 11 transitions, 4 states"
    assert lines[1].startswith("settings         gamma 0.9, layers 64, beta 1.0")
    assert lines[2].endswith("the softmax Transformer itself")
    assert "contraction condition does not hold" in lines[3] and "below 1: layers converge" in lines[4]
    rows = [line.split() for line in lines[lines.index("") + 2 :]]
    assert [(name, int(visits)) for name, visits, _ in rows] == [("a", 5), ("b", 4), ("c", 2), ("end", 0)]
    for (*_, value), entry in zip(rows, got["states"], strict=True):
        assert float(value) == pytest.approx(entry["value"], rel=1e-5)
    warnings = result.stderr.splitlines()
    assert warnings[0].startswith("icrl-teach: warning: 'end' was seen at the end of walks only and never left")
    assert warnings[0].endswith("so its value is a guess from other states, which states that lead to it share")
    assert warnings[1].endswith("left fewer than 10 times, so the value is rough: 'a', 'b', 'c'")
    assert len(warnings) == 2 and len(got["warnings"]) == 2


def test_evaluate_is_silent_about_a_good_log(tmp_path):
    walk = (["a", "b"] * 12)[:-1]
    write_log(tmp_path / "log.csv", walk, [1.0] * 22)
    result = run("evaluate", "log.csv")
    assert result.exit_code == 0 and result.stderr == ""
    assert "contraction condition holds" in result.stdout


def test_query_prints_that_state_only(tmp_path):
    write_log(tmp_path / "log.csv")
    (entry,) = evaluated("log.csv", "--query", "c")["states"]
    result = run("evaluate", "log.csv", "--query", "c")
    assert entry["state"] == "c"
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["state", "visits", "value"],
        ["c", "2", f"{entry['value']:.6f}"],  # six digits of it
    ]
    assert result.stderr.endswith("'c'\n")


def test_odd_names_cannot_rewrite_the_terminal(tmp_path):
    labels = ["\x1b[2Jgone", " edges ", "", "état 中"]
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 1, 2, 3, 0], [1.0] * 4, labels))
    result = run("evaluate", "log.csv")
    assert result.exit_code == 0 and "\x1b" not in result.output
    assert all(shown in result.stdout for shown in (r"'\x1b[2Jgone'", "' edges '", "\n'' ", "\nétat 中"))
    assert [entry["state"] for entry in evaluated("log.csv")["states"]] == labels


@pytest.mark.parametrize(
    ("args", "fragment"),
    [
        (["--beta", "-30", "--layers", "50"], "the layers diverge (spectral radius"),
        (["--gamma", "0.99", "--layers", "5"], "from their limit: use more --layers"),
    ],
)
def test_values_that_mean_little_are_marked(tmp_path, args, fragment):
    write_log(tmp_path / "log.csv")
    assert fragment in run("evaluate", "log.csv", *args).stderr


def test_many_rare_states_make_one_short_warning(tmp_path):
    walk = [f"s{i}" for i in range(30)]
    write_log(tmp_path / "log.csv", walk, [0.0] * 29)
    assert "'s0', 's1', 's2', 's3', 's4' and 24 more\n" in run("evaluate", "log.csv").stderr


def test_a_long_log_takes_the_operator_form(tmp_path, rng, monkeypatch):
    write_log(tmp_path / "log.csv", rng.integers(6, size=2502).tolist(), [1.0] * 2501)
    result = run("evaluate", "log.csv")
    assert "operator form, equal by Theorem 1" in result.stdout and "layers converge" in result.stdout
    monkeypatch.setattr(evaluation, "EIGENVALUE_LIMIT", 5)
    assert "(not computed for more than 5 states)" in run("evaluate", "log.csv").stdout
    assert evaluated("log.csv")["spectral_radius"] is None


def test_too_many_states_are_refused(tmp_path):
    walk = [str(i) for i in range(4002)]
    write_log(tmp_path / "log.csv", walk, [0.0] * 4001)
    fails(run("evaluate", "log.csv"), "log.csv has 4,002 distinct states and the limit is 4,000", "aggregate states")


def test_python_users_get_the_same_checks():
    walk = Trajectory([0, 2, 0], [1.0, 2.0], labels=["a", "never", "b"])
    result = evaluation.evaluate_trajectory(walk, one_hot(3, 12.0), gamma=0.5)
    assert result.labels == ("a", "b") and result.margin > 0  # a state that never occurs spoils nothing
    with pytest.raises(ValueError, match="features has 2 rows; the trajectory has 3 states"):
        evaluation.evaluate_trajectory(walk, one_hot(2, 12.0))
    with pytest.raises(ValueError, match="4,001 distinct states"):
        evaluation.evaluate_trajectory(Trajectory(range(4001), [0.0] * 4000), one_hot(1))


@pytest.mark.parametrize(
    ("args", "fragments"),
    [
        (["--gamma", "1.5"], ["gamma is 1.5; the discount must satisfy"]),
        (["--gamma", "nan"], ["gamma is nan"]),
        (["--layers", "0"], ["0 is not in the range x>=1"]),
        (["--tau", "-1"], ["tau is -1.0"]),
        (["--beta", "nan"], ["beta is nan; it must be a finite number"]),
        (["--query", "d"], ["state 'd' does not occur in the data; the states are: a, b, c"]),
        (["--features", "missing.csv"], ["missing.csv: cannot be read"]),
        (["--features", "log.csv"], ["log.csv, line 2: reward", "is not a number"]),
        (["--features", "few.csv"], ["few.csv: no row for state 'c', which the log visits"]),
        (["--features", "few.csv", "--tau", "3"], ["--tau scales one-hot features; with a features file use --beta"]),
        (["--features", "huge.csv"], ["the values overflow", "smaller features"]),
        (["--beta", "-30", "--layers", "1200"], ["the values overflow within 1200 layers; use fewer --layers"]),
    ],
)
def test_evaluate_refuses(tmp_path, args, fragments):
    write_log(tmp_path / "log.csv")
    (tmp_path / "few.csv").write_text("state,x\na,1\nb,2\n")
    (tmp_path / "huge.csv").write_text("state,x\na,1e200\nb,-1e200\nc,0\n")
    if args == ["--features", "log.csv"]:  # the log itself: states stand twice, or next_state is no number
        fragments = ["log.csv, line 2: next_state is 'b'; it must be a finite number"]
    fails(run("evaluate", "log.csv", *args), *fragments)
    fails(run("evaluate", "log.csv", *args, "--json"), *fragments)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "log.csv: the file is empty"),
        ("state,reward\na,1\n", "column 'next_state' is missing"),
        ("state,reward,next_state\n", "no rows below the header"),
        ("state,reward,next_state\na,many,b\n", "line 2: reward is 'many'; it must be a finite number"),
        ("state,reward,next_state\na,1,b\nc,1,a\n", "line 3: state is 'c' but the row before led to 'b'"),
    ],
)
def test_evaluate_refuses_a_broken_log(tmp_path, text, fragment):
    (tmp_path / "log.csv").write_text(text)
    fails(run("evaluate", "log.csv"), fragment)


def test_evaluate_refuses_a_folder(tmp_path):
    fails(run("evaluate", str(tmp_path)), "cannot be read: Is a directory")


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the memory record of a child")
def test_a_million_rows_fit_in_two_gigabytes(tmp_path, rng):
    states, rewards = rng.integers(400, size=1_000_001).tolist(), rng.random(1_000_000).round(3).tolist()
    rows = (f"s{s},{r},s{t}" for s, r, t in zip(states[:-1], rewards, states[1:], strict=True))
    (tmp_path / "log.csv").write_text("state,reward,next_state\n" + "\n".join(rows) + "\n")
    command = [sys.executable, "-m", "icrl_teach", "evaluate", "log.csv", "--json"]
    with (tmp_path / "out.json").open("w") as out:
        process = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    got = json.loads((tmp_path / "out.json").read_text())
    assert process.returncode == 0
    assert (got["transitions"], got["method"], got["distinct_states"]) == (1_000_000, "operator", 400)
    assert usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) < 2 * 2**30
    # A mean reward of 1/2 whatever the state: every value is near 1/2 / (1 - 0.9).
    assert [entry["value"] for entry in got["states"]] == pytest.approx([5.0] * 400, abs=0.1)


# --------------------------------------------------------------------------------------------------------------- lab


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "my course"
    (folder / "lessons").mkdir(parents=True)
    return folder


def test_the_course_folder_is_found(tmp_path, course, monkeypatch):
    assert cli.lab.course_folder(course) == course
    monkeypatch.chdir(course)
    assert cli.lab.course_folder() == course
    package = tmp_path / "checkout/icrl_teach/cli/lab.py"
    monkeypatch.setattr(cli.lab, "__file__", str(package))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="this folder holds no lessons/; run 'icrl-teach start DIR'"):
        cli.lab.course_folder()
    (tmp_path / "checkout/lessons").mkdir(parents=True)
    assert cli.lab.course_folder() == tmp_path / "checkout"


def test_lab_says_where_no_progress_is_kept(course, monkeypatch):
    monkeypatch.setattr(os, "execve", lambda program, command, environment: None)
    assert run("lab", str(ROOT)).stderr.startswith("These are the course's own notebooks, outputs and all. To work in")
    told = run("lab", str(course)).stderr
    assert told.startswith(f"No progress is kept in {course} yet") and f"icrl-teach start '{course}'" in told
    assert run("start", str(course)).exit_code == 0
    assert run("lab", str(course)).stderr == ""
    monkeypatch.chdir(course / "lessons")
    assert cli.lab.course_folder() == course


def test_lab_becomes_jupyter_with_a_token_on_this_computer_only(course, monkeypatch):
    became = []
    monkeypatch.setattr(os, "execve", lambda program, command, environment: became.append((program, command)))
    assert run("lab", str(course)).exit_code == 0
    (course / "lessons/00_start_here.ipynb").write_text("{}")
    assert run("lab", str(course), "--no-browser", "--allow-root", "--port", free_port()).exit_code == 0
    (program, plain), (_, full) = became
    assert program == sys.executable
    here = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={course}"]
    assert plain == [sys.executable, "-m", "jupyterlab", *here, "--KernelManager.transport_encryption=auto"]
    assert full[:6] == plain and full[6] == "--LabApp.default_url=/lab/tree/lessons/00_start_here.ipynb"
    assert full[-3:] == ["--ServerApp.port_retries=0", "--no-browser", "--allow-root"]
    assert not any("token" in word or "password" in word for word in full)


def test_lab_where_there_is_no_exec(monkeypatch):
    monkeypatch.setattr(cli.lab, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(
        subprocess, "call", lambda command, env: 3 if (command, env) == (["jupyter"], {"A": "b"}) else 0
    )
    with pytest.raises(SystemExit) as stop:
        cli.lab.become(["jupyter"], {"A": "b"})
    assert stop.value.code == 3


def test_lab_refuses(tmp_path, course, monkeypatch):
    fails(run("lab", str(tmp_path)), "holds no lessons/; run 'icrl-teach start DIR'")
    fails(run("lab", "--port", "70000"), "70000 is not in the range 1<=x<=65535")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails(run("lab", str(course), "--port", str(port)), f"--port is {port}, which another program uses")
    monkeypatch.setattr(cli.lab, "find_spec", lambda name: None)
    fails(run("lab", str(course)), "jupyterlab is not installed; run: ", "pip install")


def answer(url: str, data: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(url, data, timeout=PATIENCE) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.skipif(os.name == "nt", reason="sends SIGTERM")
def test_lab_starts_a_server_that_asks_for_its_token(course, tmp_path):
    port = free_port()
    isolated = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "icrl_teach", "lab", str(course), "--no-browser", "--port", str(port)]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    with (
        (tmp_path / "out").open("w") as out,
        child(command, env={**os.environ, **isolated}, stdout=out, stderr=out) as process,
    ):

        def status():
            with contextlib.suppress(OSError):
                return process.poll() is not None or answer(f"http://127.0.0.1:{port}/api/contents")

        assert wait_until(status, (tmp_path / "out").read_text) == 403, (tmp_path / "out").read_text()
        (record,) = (tmp_path / "runtime").glob("jpserver-*.json")
        server = json.loads(record.read_text())
        assert (server["hostname"], Path(server["root_dir"]), len(server["token"]) > 20) == ("127.0.0.1", course, True)
        assert answer(f"http://127.0.0.1:{port}/api/contents/lessons?token={server['token']}") == 200
        assert answer(f"http://127.0.0.1:{port}/api/kernels?token={server['token']}", data=b"{}") == 201
        (kernel,) = (tmp_path / "runtime").glob("kernel-*.json")
        assert "curve_publickey" in json.loads(kernel.read_text())  # encrypted: else each kernel prints a warning
        process.terminate()
        process.wait(timeout=PATIENCE)


def test_start_copies_says_what_it_kept_and_how_to_get_the_new_one(tmp_path, monkeypatch):
    assert run("start", tmp_path / "mine").exit_code == 0
    changed = next((tmp_path / "mine/lessons").glob("0*.ipynb"))
    changed.write_text("mine")
    again = run("start", tmp_path / "mine").output
    assert again.startswith("1 file that you ran or changed: left as you have them.\n") and "kept" not in again
    real = course_module.without_outputs
    monkeypatch.setattr(course_module, "without_outputs", lambda notebook: real(notebook) + b"\n")  # a new version
    newer = run("start", tmp_path / "mine").output.replace("\\", "/")
    assert newer.startswith(f"kept your lessons/{changed.name}, of which another version is installed\n")
    assert "--beside" in newer and "that you had not touched were brought up to date" in " ".join(newer.split())
    assert changed.read_text() == "mine"
    assert run("start", tmp_path / "mine", "--beside").output.startswith("kept your")
    assert changed.with_suffix(".new.ipynb").exists()


def test_start_on_a_file_is_refused(tmp_path):
    (tmp_path / "mine").write_text("a file")
    result = run("start", tmp_path / "mine")
    assert result.exit_code == 2
    assert "is a file" in result.output


def test_the_demo_walks_by_its_seed_and_compares_target_memory_too(monkeypatch):
    mrp, walk = comparison.environment_task("FrozenLake-v1", 60, 0.9, 1)
    assert walk.states.tolist() == rollout("FrozenLake-v1", None, 60, 1).states.tolist()
    real = comparison.read_layers
    monkeypatch.setattr(comparison, "read_layers", lambda *a: ((target + 0.25, v) for target, v in real(*a)))
    assert comparison.compare_by_depth(mrp, walk, 3).gap[0] == pytest.approx(0.25)
