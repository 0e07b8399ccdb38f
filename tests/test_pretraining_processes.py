"""Several processes, threads and runs at once against one alone."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from icrl_teach.pretraining import processes
from icrl_teach.pretraining.batches import draw_batch
from icrl_teach.pretraining.checkpoints import load_result
from icrl_teach.pretraining.config import PretrainConfig
from icrl_teach.pretraining.losses import Learner
from icrl_teach.pretraining.processes import my_share, one_thread
from icrl_teach.pretraining.training import pretrain
from patience import PATIENCE, uncounted
from pretraining_cases import assert_same_run, generator, small


def test_a_run_does_not_depend_on_the_number_of_threads():
    config, seen = small(n_tasks=2000, n_steps=2), []
    torch.set_num_threads(2)
    try:
        two = pretrain(config, watch=lambda _: bool(seen.append(torch.get_num_threads())), progress=False)
        assert torch.get_num_threads() == 2  # as it was
    finally:
        torch.set_num_threads(1)
    assert seen == [1]
    assert_same_run(two, pretrain(config, progress=False))


def test_a_run_works_outside_the_main_thread():
    done = []
    thread = threading.Thread(target=lambda: done.append(pretrain(small(n_steps=1), progress=False)))
    thread.start()
    thread.join()
    assert done[0].steps == 1


STOCK = {
    "architecture": "stock", "tied": False, "width": 8, "n_heads": 2, "n_layers": 2, "d": 6, "n_tasks": 8,
    "n_steps": 3, "warmup": 0, "seeds": (0, 1), "evaluate_every": 1,
}  # fmt: skip
WORKER = (
    f"STOCK = {STOCK!r}"
    + """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import icrl_teach.pretraining.training as engine
folder, rank = Path(sys.argv[1]), os.environ["RANK"]
config = engine.PretrainConfig(n_steps=1, n_tasks=32, seeds=(0, 1), clip=0.05, warmup=0)
write, original = [], engine.save_checkpoint
engine.save_checkpoint = lambda path, run: (write.append(path), original(path, run))
result = engine.pretrain(config, checkpoint=folder / "one.pt", progress=True)
many = engine.PretrainConfig(n_steps=40, n_tasks=32, evaluate_every=1)
def press(result):
    if rank == "1" and result.steps == 3:
        signal.raise_signal(signal.SIGINT)
    return False
stopped = engine.pretrain(many, watch=press, progress=False)
def fail(result):
    if rank == "1":
        raise ArithmeticError
failure = None
try:
    engine.pretrain(many, watch=fail, progress=False)
except Exception as error:
    failure = type(error).__name__
again = engine.pretrain(config, progress=False)
stock = engine.pretrain(engine.PretrainConfig(**STOCK), progress=False)
torch.save({"parameters": result.parameters, "history": result.history, "writes": len(write),
            "stopped": stopped.steps, "failure": failure, "again": again.parameters,
            "stock": [stock.parameters, stock.history]}, folder / f"rank{rank}.pt")
"""
)


def torchrun(script: Path, folder: Path) -> dict[str, str]:
    """What each of two processes wrote to stderr. Fails with all of it, and their exit codes, unless both succeed."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "--redirects", "3"]
    done = subprocess.run(
        [sys.executable, *launch, "--log-dir", str(folder / "logs"), str(script), str(folder)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(processes.__file__).parents[2]),
            "PYTHONFAULTHANDLER": "1",  # an abort leaves its stack
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    logs = {path.parent.name: path.read_text() for path in (folder / "logs").rglob("stderr.log")}
    told = "\n".join(f"--- stderr of rank {rank}\n{text}" for rank, text in sorted(logs.items()))
    assert done.returncode == 0, f"torchrun ended with {done.returncode}\n{done.stderr}\n{told}"
    return logs


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes found (an entry each), what they wrote to stderr, and their folder."""
    folder = tmp_path_factory.mktemp("together")
    script = folder / "worker.py"
    script.write_text(WORKER)
    logs = torchrun(script, folder)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)], logs, folder


@uncounted
def test_two_processes_take_the_step_of_one(together):
    ranks, logs, folder = together
    config = PretrainConfig(n_steps=1, n_tasks=32, seeds=(0, 1), clip=0.05, warmup=0)
    alone = pretrain(config, progress=False)
    for found in ranks:
        for name, p in alone.parameters.items():
            assert (found["parameters"][name] - p).abs().max() < 1e-6
        for name in ("loss", "error"):
            assert found["history"][name][0] == pytest.approx(alone.history[name][0], abs=1e-6)
    assert torch.equal(ranks[0]["parameters"]["A"], ranks[1]["parameters"]["A"])
    assert [found["writes"] for found in ranks] == [1, 0]
    assert [found["stopped"] for found in ranks] == [3, 3]  # Ctrl-C reached one of them; both left together
    assert torch.equal(load_result(folder / "one.pt").parameters["V"], ranks[0]["parameters"]["V"])
    assert [logs[rank].count(" 0/1 [") for rank in "01"] == [1, 0]  # and one bar
    # One failed, and the other was cut off instead of waiting for ever; then they formed a group anew.
    assert [found["failure"] for found in ranks] == ["RuntimeError", "ArithmeticError"]
    assert all(torch.equal(found["again"]["A"], ranks[0]["parameters"]["A"]) for found in ranks)


def test_two_processes_train_a_stock_network_as_one_does(together):
    """Judged by its errors: a key's bias has no gradient but rounding, which Adam makes a step of."""
    alone = pretrain(PretrainConfig(**STOCK), progress=False).history
    (first, history), (second, _) = (found["stock"] for found in together[0])
    assert all(torch.equal(first[name], p) for name, p in second.items())
    for name in ("loss", "error"):
        for seed in (0, 1):
            curve = [each[seed] for each in alone[name]]
            assert [each[seed] for each in history[name]] == pytest.approx(curve, rel=1e-3)
            assert abs(curve[-1] - curve[0]) > 0.01 * curve[0]  # there was something to learn


def test_two_processes_would_notice_different_shares(monkeypatch):
    # The comparison above can fail: a process that kept the same half twice would take another step.
    config = small(n_tasks=8)
    batch = draw_batch(config, generator()).split(1)
    halves = [my_share(batch, rank, 2) for rank in (0, 1)]
    learner = Learner(config)
    both = torch.stack([learner(*half) for half in halves]).mean(0)
    assert torch.allclose(both, learner(*batch)) and not torch.allclose(learner(*halves[0]), learner(*batch))


def test_tasks_that_processes_cannot_share(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="n_tasks is 4; 3 processes need a multiple of 3"):
        pretrain(small(), progress=False)


def test_runs_that_overlap_give_the_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        inner = small(n_steps=2, evaluate_every=1)
        outer = pretrain(small(n_steps=1), watch=lambda _: pretrain(inner, progress=False).steps < 2, progress=False)
        assert outer.steps == 1 and torch.get_num_threads() == 3
        with one_thread:
            one_thread.__enter__()
            one_thread.__exit__()
            assert torch.get_num_threads() == 1  # one run has ended, the other still needs its one thread
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
