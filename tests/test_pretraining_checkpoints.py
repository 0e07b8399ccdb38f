"""Checkpoints against kill -9, damage, bombs and other configurations; a resumed run is bit for bit the same."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from icrl_teach.pretraining import checkpoints, training
from icrl_teach.pretraining.checkpoints import CheckpointError, load_result
from icrl_teach.pretraining.config import PretrainConfig
from icrl_teach.pretraining.training import pretrain
from pretraining_cases import assert_same_run, small


class PowerCut(Exception):
    """The run ends here, in the middle, without a word to anybody."""


@pytest.mark.parametrize("changes", [{}, {"masked": False, "tied": False, "seeds": (2, 5)}, {"n_states": (3, 5)}])
def test_a_run_resumed_from_any_step_is_the_uninterrupted_one(tmp_path, changes, monkeypatch):
    config = small(n_steps=5, evaluate_every=3, snapshot_every=2, **changes)
    whole = pretrain(config, progress=False)
    original = training.train_step
    for last in range(1, 5):
        file, steps = tmp_path / f"{last}.pt", []

        def step(run, network, steps=steps, last=last):
            if run.result.steps == last:
                raise PowerCut
            original(run, network)

        with monkeypatch.context() as patch:
            patch.setattr(training, "train_step", step)
            with pytest.raises(PowerCut):
                pretrain(config, checkpoint=file, checkpoint_every=1, progress=False)
        assert load_result(file).steps == last
        assert_same_run(pretrain(config, checkpoint=file, resume=True, progress=False), whole)
        assert_same_run(load_result(file), whole)


KILLED = """
import sys, torch
torch.set_num_threads(1)
from icrl_teach import PretrainConfig, pretrain
config = PretrainConfig(n_steps=60, n_tasks=16, evaluate_every=1, snapshot_every=7, seeds=(0, 1))
def watch(result):
    print(result.steps, flush=True)
    return False
pretrain(config, checkpoint=sys.argv[1], checkpoint_every=2, watch=watch, progress=False)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_kill_9_then_resume_is_bit_identical(tmp_path):
    file, last = tmp_path / "run.pt", random.Random().randint(5, 50)
    with subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= last:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    found = load_result(file)
    assert last - 2 <= found.steps < 60, f"killed near step {last}, which held step {found.steps}"
    resumed = pretrain(found.config, checkpoint=file, resume=True, progress=False)
    assert_same_run(resumed, pretrain(found.config, progress=False))


def test_a_finished_run_resumes_to_itself(tmp_path):
    file = tmp_path / "run.pt"
    whole = pretrain(small(), checkpoint=file, progress=False)
    assert_same_run(pretrain(small(), checkpoint=file, resume=True, progress=False), whole)
    assert_same_run(load_result(file), whole)


def test_a_checkpoint_is_never_replaced_unasked(tmp_path):
    file = tmp_path / "run.pt"
    file.write_text("precious")
    with pytest.raises(CheckpointError, match=r"run.pt: exists already; resume from it, or name another file"):
        pretrain(small(), checkpoint=file, progress=False)
    assert file.read_text() == "precious"


def test_a_failed_write_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    file, original, writes = tmp_path / "run.pt", torch.save, []

    def save(content, target):
        writes.append(content["step"])
        if len(writes) == 2:
            target.write(b"half a checkpoint")
            raise OSError(28, "No space left on device")
        original(content, target)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="No space left"):
        pretrain(small(), checkpoint=file, checkpoint_every=2, progress=False)
    assert writes == [2, 4] and [p.name for p in tmp_path.iterdir()] == ["run.pt"]
    assert load_result(file).steps == 2


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def checkpoint_content(tmp_path) -> dict:
    pretrain(small(n_steps=3), checkpoint=tmp_path / "good.pt", progress=False)
    return torch.load(tmp_path / "good.pt", weights_only=True)


def test_files_that_are_no_checkpoints(tmp_path):
    content = checkpoint_content(tmp_path)
    good = (tmp_path / "good.pt").read_bytes()
    bad = tmp_path / "bad.pt"
    cases = {
        "empty": b"",
        "truncated": good[: len(good) // 2],
        "nearly whole": good[:-40],
        "text": b"state,reward,next_state\na,1,b\n",
        "noise": bytes(range(256)) * 20,
        "pickle": pickle.dumps({"format": checkpoints.FORMAT}),
    }
    for data in cases.values():
        bad.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"^bad.pt: not a .*; (use a file that|start anew)") as caught:
            pretrain(small(n_steps=3), checkpoint=bad, resume=True, progress=False)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
        assert bad.read_bytes() == data  # what was there stays there
    for foreign in ({"weights": torch.zeros(3)}, [1, 2], {**content, "format": "another program 7"}):
        torch.save(foreign, bad)
        with pytest.raises(CheckpointError, match=r"bad.pt: not a checkpoint of this version"):
            load_result(bad)
    with pytest.raises(CheckpointError, match=r"none.pt: there is no such checkpoint"):
        load_result(tmp_path / "none.pt")


def test_a_checkpoint_never_runs_code(tmp_path):
    bad, trace = tmp_path / "bad.pt", tmp_path / "the bomb went off"
    for content in (Bomb(trace), {**checkpoint_content(tmp_path), "theta": Bomb(trace)}):
        torch.save(content, bad)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load_result(bad)
        assert not trace.exists()
    torch.load(bad, weights_only=False)  # the bomb is live: without the guard it goes off
    assert trace.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.pop("theta"),
        lambda c: c.pop("history"),
        lambda c: c.pop("generator"),
        lambda c: c.update(config="{"),
        lambda c: c.update(config=json.dumps({"family": "boyan", "colour": "red"})),
        lambda c: c.update(theta={"V": torch.zeros(1, 1, 3)}),
        lambda c: c.update(theta={"V": torch.zeros(1, 1, 4), "A": torch.zeros(1, 1, 5, 5)}),
        lambda c: c.update(generator=torch.zeros(3, dtype=torch.uint8)),
        lambda c: c.update(optimiser={"state": {}}),
        lambda c: c.update(snapshots=[1, 2]),
        lambda c: c.update(pending=7),
        lambda c: c.update(step="many"),
        lambda c: c.update(step=-3),
        lambda c: c.update(step=10**9),
        lambda c: c.update(step=float("inf")),
        lambda c: c.update(config="[" * 100_000),
        lambda c: c.update(config=c["config"].replace('"d": 5', '"d": 10000000')),
        lambda c: c.update(history="[]"),
        lambda c: c.update(snapshots=[]),
        lambda c: c.update(theta={name: w.long() for name, w in c["theta"].items()}),
        lambda c: c.update(pending=torch.zeros(2, 5)),
        lambda c: c["optimiser"].update(state={}),
        lambda c: c["optimiser"]["state"][0].update(exp_avg=torch.zeros(7)),
    ],
)
def test_a_damaged_checkpoint(tmp_path, damage):
    content = checkpoint_content(tmp_path)
    damage(content)
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=r"^bad.pt: a damaged checkpoint .*; start anew$"):
        pretrain(small(n_steps=3), checkpoint=tmp_path / "bad.pt", resume=True, progress=False)


def test_a_checkpoint_of_another_run(tmp_path):
    checkpoint_content(tmp_path)
    for changes, words in (
        ({"gamma": 0.8}, r"another configuration \(gamma 0.7 -> 0.8\)"),
        ({"n_steps": 9, "seeds": (4,)}, r"\(n_steps 3 -> 9, seeds \(0,\) -> \(4,\)\)"),
        ({"tied": False}, r"\(tied True -> False\); resume with the same one"),
    ):
        with pytest.raises(CheckpointError, match=words):
            pretrain(small(**{"n_steps": 3, **changes}), checkpoint=tmp_path / "good.pt", resume=True, progress=False)


def test_a_checkpoint_of_another_kind_of_device(tmp_path):
    content = checkpoint_content(tmp_path)
    torch.save({**content, "device": "cuda"}, tmp_path / "gpu.pt")
    with pytest.raises(CheckpointError, match=r"\(device cuda -> cpu\)"):
        pretrain(small(n_steps=3), checkpoint=tmp_path / "gpu.pt", resume=True, progress=False)
    assert load_result(tmp_path / "gpu.pt").steps == 3  # what it learned can be read anywhere


def test_another_default_precision_cannot_go_on_with_a_run(tmp_path):
    config = small(n_steps=4, evaluate_every=2)
    pretrain(config, checkpoint=tmp_path / "run.pt", watch=lambda _: True, progress=False)
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(CheckpointError, match=r"dtype torch.float32 -> torch.float64"):
            pretrain(config, checkpoint=tmp_path / "run.pt", resume=True, progress=False)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_work():
    with pytest.raises(CheckpointError, match=r"x.pt: cannot be written \("):
        pretrain(PretrainConfig(n_steps=10**6), checkpoint="/proc/x.pt", progress=False)
