"""icrl-teach pretrain: what it prints is what the library computed; every mistake is one line and exit code 2."""

import json
import os
import signal
import sys

import pytest
from click.testing import CliRunner, Result

from command_line import child, elsewhere, fails  # noqa: F401 (a fixture works where it is imported)
from icrl_teach import PretrainConfig, cli, load_result, load_weights, pretrain, pretraining, summarise
from icrl_teach.pretraining import losses
from patience import PATIENCE

SMALL = ["--steps", "3", "--tasks", "8", "--layers", "2"]


def run(*args: str) -> Result:
    return CliRunner().invoke(cli.main, ["pretrain", *map(str, args)])


@pytest.fixture
def asked(monkeypatch):
    """The configurations that the command asks for; the runs themselves are cut to one step."""
    configs = []
    original = pretraining.pretrain

    def record(config, **more):
        configs.append((config, more))
        return original(PretrainConfig(n_steps=1, n_tasks=2), progress=False)

    monkeypatch.setattr(pretraining, "pretrain", record)
    return configs


def test_defaults_are_the_reference_run(asked):
    assert run().exit_code == 0
    config, more = asked[0]
    assert config == PretrainConfig()
    assert more == {"checkpoint": None, "resume": False, "progress": False, "device": "cpu"}


def test_every_option_reaches_the_run(asked):
    words = (
        "--family loop --features random --feature-scale 2 --states 4-8 --context 20-30 --d 5 --layers 3 --gamma 0.5"
    )
    more = " --tasks 16 --windows 3 --steps 70 --lr 0.1 --loss value --free --normalisation sigmoid --separate-layers"
    assert run(*(words + more + " --seeds 3 --seed 4").split()).exit_code == 0
    assert asked[0][0] == PretrainConfig(
        family="loop",
        features="random",
        feature_scale=2.0,
        n_states=(4, 8),
        n_context=(20, 30),
        d=5,
        n_layers=3,
        gamma=0.5,
        n_tasks=16,
        n_windows=3,
        n_steps=70,
        learning_rate=0.1,
        loss="value",
        masked=False,
        normalisation="sigmoid",
        tied=False,
        seeds=(4, 5, 6),
    )


@pytest.mark.parametrize(
    ("words", "d"), [("--states 7", 7), ("--states 4-9", 9), ("--features random --states 9", 4), ("--d 8", 8)]
)
def test_the_number_of_features_follows_the_states(asked, words, d):
    assert run(*words.split()).exit_code == 0
    assert asked[0][0].d == d


def test_the_table_shows_what_was_learned():
    result = run(*SMALL, "--seeds", 2)
    assert result.exit_code == 0 and result.stderr == ""
    config = PretrainConfig(n_steps=3, n_tasks=8, n_layers=2, seeds=(0, 1))
    expected = summarise(pretrain(config, progress=False))
    for row in expected["runs"]:
        line = next(line for line in result.stdout.splitlines() if line.split()[:2] == [str(row["seed"]), "all"])
        numbers = [*row["V"], row["alpha"], row["V_cosine"], row["beta"], row["A_cosine"]]
        assert line.split()[2:] == [*(f"{x:.3f}" for x in numbers), f"{row['error']:.4f}"]
    assert f"{expected['constructed_error']:.4f}" in result.stdout
    assert f"{expected['constant_error']:.4f}" in result.stdout
    assert "6 states, one-hot features, prompts of 40 transitions, 2 layers of" in result.stdout


def test_json_is_the_summary():
    result = run(*SMALL, "--json", "--separate-layers", "--states", "3-4", "--context", "9")
    config = PretrainConfig(n_steps=3, n_tasks=8, n_layers=2, tied=False, n_states=(3, 4), n_context=(9, 9), d=4)
    assert json.loads(result.stdout) == json.loads(json.dumps(summarise(pretrain(config, progress=False))))
    assert len(json.loads(result.stdout)["runs"]) == 2


def test_a_diverged_run_is_named_and_stays_json(monkeypatch):
    original = losses.initial_parameters
    monkeypatch.setattr(
        losses,
        "initial_parameters",
        lambda c, s: {k: v * (float("nan") if s else 1) for k, v in original(c, s).items()},
    )
    result = run(*SMALL, "--seeds", 2, "--json")
    runs = json.loads(result.stdout)["runs"]
    assert runs[0]["error"] > 0 and runs[1]["error"] is None and runs[1]["V"] == [None] * 3
    assert result.stderr == (
        "icrl-teach: warning: seed 1 diverged: its answers are no finite numbers; try a smaller --lr\n"
    )


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ("--family tree", ["'tree' is not one of"]),
        ("--states 6-x", ["--states", "'6-x' is neither a number such as 6 nor a range such as 4-8"]),
        ("--states 8-4", ["n_states is (8, 4)", "least <= most"]),
        ("--states 2", ["n_states is 2", "at least 3"]),
        ("--context 0", ["n_context is 0", "at least 1"]),
        ("--d 3", ["d is 3; one-hot features of up to 6 states need d of at least 6"]),
        ("--features aggregated --d 7", ["d is 7; as few as 6 states"]),
        ("--gamma 1", ["gamma is 1.0", "0 <= gamma < 1"]),
        ("--lr 0", ["learning_rate is 0.0"]),
        ("--lr nan", ["learning_rate is nan"]),
        ("--layers 0", ["--layers"]),
        ("--device spoon", ["device is 'spoon', which cannot be used here"]),
        ("--device meta", ["device is 'meta', which cannot be used here"]),
        ("--resume", ["--resume needs --checkpoint FILE"]),
        ("--resume --checkpoint none.pt", ["none.pt: there is no such checkpoint"]),
        ("--checkpoint none/run.pt", ["there is no folder none; make it"]),
        ("--checkpoint .", ["--checkpoint", "directory"]),
    ],
)
def test_a_mistake_is_one_line(words, fragments, tmp_path):
    fails(run(*words.split()), *fragments)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_never_overwritten(tmp_path):
    (tmp_path / "run.pt").write_text("precious")
    fails(run(*SMALL, "--checkpoint", "run.pt"), "run.pt: exists already; resume from it, or name another file")
    fails(run("--resume", "--checkpoint", "run.pt"), "run.pt: not a readable checkpoint (foreign or truncated)")
    assert (tmp_path / "run.pt").read_text() == "precious"


def test_resume_needs_no_repeated_settings_and_refuses_others():
    whole = run(*SMALL, "--json", "--seeds", 2, "--seed", 5, "--checkpoint", "run.pt")
    again = run("--resume", "--checkpoint", "run.pt", "--json")
    assert again.exit_code == 0 and again.stdout == whole.stdout
    assert run("--resume", "--checkpoint", "run.pt", "--steps", 3, "--seeds", 2).exit_code == 0
    fails(run("--resume", "--checkpoint", "run.pt", "--gamma", 0.9), "another configuration (gamma 0.6 -> 0.9)")
    fails(run("--resume", "--checkpoint", "run.pt", "--seed", 0), "(seeds (5, 6) -> (0, 1))")
    fails(run("--resume", "--checkpoint", "run.pt", "--free"), "(masked True -> False)")


def test_only_one_process_speaks(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert run(*SMALL).stdout == ""


INTERRUPTED = """
import sys
from icrl_teach import cli
from icrl_teach.pretraining import training
original = training.train_step
def step(run, network):
    original(run, network)
    print(f"step {run.result.steps}", file=sys.stderr, flush=True)
training.train_step = step
cli.main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="sends signals as POSIX does")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_result_so_far(tmp_path, sent, code):
    words = ["pretrain", "--steps", "100000", "--tasks", "8", "--checkpoint", "run.pt", "--json"]
    with child([sys.executable, "-c", INTERRUPTED, *words], stdout=-1, stderr=-1, text=True) as process:
        for line in process.stderr:
            if line == "step 7\n":
                process.send_signal(sent)
                break
        out, err = process.communicate(timeout=PATIENCE)
    summary, saved = json.loads(out), load_result(tmp_path / "run.pt")
    assert process.returncode == code and 7 <= summary["steps"] < 100_000 and saved.steps == summary["steps"]
    last = [line for line in err.splitlines() if not line.startswith("step ")]
    assert last == [
        f"icrl-teach: warning: stopped after {saved.steps} of 100000 steps; continue with --resume --checkpoint run.pt"
    ]
    assert summary["runs"][0]["V"] == pytest.approx(saved.parameters["V"][0, 0].tolist())
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_every_option_is_explained():
    for parameter in cli.main.commands["pretrain"].params:
        assert len(parameter.help.split()) >= 4
    assert run("--help").exit_code == 0


@pytest.mark.parametrize(
    "size", [["--tasks", "10000000"], ["--context", "1000000"], ["--layers", "1000000"]], ids="/".join
)
def test_a_step_too_large_for_any_memory_is_refused_before_work_begins(size):
    fails(run(*size), size[0], "a training step needs about", "and the limit is 64 GiB; lower one of them")


def test_the_stock_network_s_defaults_and_options_reach_the_run(asked):
    assert run("--architecture", "stock").exit_code == 0
    assert asked[0][0] == PretrainConfig(architecture="stock", learning_rate=0.003, tied=False)
    words = "--architecture stock --width 16 --heads 2 --positions none --no-next-features --causal --tied --lr 0.01"
    assert run(*words.split()).exit_code == 0
    assert asked[1][0] == PretrainConfig(
        architecture="stock",
        width=16,
        n_heads=2,
        positions="none",
        next_features=False,
        causal=True,
        learning_rate=0.01,
    )


@pytest.mark.parametrize("architecture", ["stock", "two-heads"])
def test_weights_are_a_file_of_their_own(architecture, elsewhere):  # noqa: F811
    words = f"--architecture {architecture} --steps 3 --tasks 8 --layers 2 --weights it.safetensors"
    result = run(*words.split())
    assert result.exit_code == 0, result.stderr
    back = load_weights(elsewhere / "it.safetensors")
    expected = summarise(back)
    assert f"{expected['runs'][0]['error']:.4f}" in result.stdout
    assert ("Theorem 1 builds" in result.stdout) == (architecture == "two-heads")
    fails(run(*words.replace("it.", "no/it.").split()), "no", "No such file or directory")
