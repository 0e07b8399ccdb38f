"""Pretraining: could training find the weights of Theorem 1? The training loop, its checkpoints and its processes.

What is minimised, and on what, stands in `losses.py`. Adam with clipped gradients trains all seeds side by side on
fresh tasks at every step; a run stops cleanly, resumes bit for bit, and may be shared by several processes.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.func import vmap
from tqdm import tqdm

from icrl_teach._validate import check_count
from icrl_teach.logs import atomic_write, try_writing
from icrl_teach.losses import (
    Batch,
    Parameters,
    PretrainConfig,
    draw_batch,
    held_out,
    initial_parameters,
    loss,
    parameter_shapes,
    to_transformer,
    value_error,
)
from icrl_teach.transformer import SoftmaxTransformer


class Learner(nn.Module):
    """The parameters of all seeds, stacked along a first axis, and the loss of each: what DDP wraps."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self.config = config
        each = [initial_parameters(config, seed) for seed in config.seeds]
        self.theta = nn.ParameterDict({name: nn.Parameter(torch.stack([p[name] for p in each])) for name in each[0]})

    def forward(self, *batch: Tensor) -> Float[Tensor, " n_seeds"]:
        """The loss of every seed; the batch has a first axis of seeds. One vmap instead of a loop of trainings."""
        if len(self.config.seeds) == 1:  # no axis to add: a quarter of the time of a step goes without vmap
            theta = {name: stacked[0] for name, stacked in self.theta.items()}
            return loss(theta, Batch(*(t[0] for t in batch)), self.config)[None]
        return vmap(lambda theta, *one: loss(theta, Batch(*one), self.config))(dict(self.theta), *batch)


@dataclass
class PretrainingResult:
    """What a run leaves. Tensors have a first axis of seeds; `steps` were done, which may be fewer than asked.

    history: lists by name: "step", and at these steps "loss" (per seed, mean since the last), "error" (per seed,
    held-out mean squared value error), and "error NAME" for each other family.
    snapshots: pairs (step, parameters before that step), the last one after training.
    """

    config: PretrainConfig
    parameters: Parameters
    steps: int = 0
    history: dict[str, list[Any]] = field(default_factory=dict)
    snapshots: list[tuple[int, Parameters]] = field(default_factory=list)

    def of_seed(self, index: int = 0) -> Parameters:
        """The parameters of one seed, without the seed axis; a copy."""
        return {name: value[index].clone() for name, value in self.parameters.items()}

    def model(self, index: int = 0) -> SoftmaxTransformer:
        """One seed's network as a frozen SoftmaxTransformer. Raises ValueError unless its attention is softmax."""
        if self.config.normalisation != "softmax":
            raise ValueError(f"normalisation is {self.config.normalisation!r}; only softmax makes a SoftmaxTransformer")
        return to_transformer(self.of_seed(index), self.config)


def learning_rate_at(config: PretrainConfig, step: int) -> float:
    """Linear warm-up to the config's learning rate, then a cosine down to a tenth of it."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(config.n_steps - config.warmup, 1)
    return config.learning_rate * (0.55 + 0.45 * math.cos(math.pi * progress))


def clip_each_seed(parameters: list[Tensor], largest: float) -> None:
    """Scale each seed's gradient down to the norm `largest`, so that seeds stay independent. In place, on .grad."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    scale = (largest / norm.clamp_min(1e-12)).clamp_max(1.0)
    for g in gradients:
        g.mul_(scale.view(-1, *[1] * (g.ndim - 1)))


@dataclass
class _Run:
    """A training run in flight: all that a checkpoint must hold."""

    config: PretrainConfig
    learner: Learner
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    result: PretrainingResult
    pending: list[Tensor] = field(default_factory=list)


def _start(config: PretrainConfig, device: torch.device) -> _Run:
    learner = Learner(config).to(device)
    optimiser = torch.optim.Adam(learner.parameters(), lr=config.learning_rate)
    generator = torch.Generator(device=device).manual_seed(1_000_003 + config.seeds[0])
    return _Run(config, learner, optimiser, generator, PretrainingResult(config, _snapshot(learner)))


def _evaluate(run: _Run, test: dict[str, Batch]) -> None:
    history, theta = run.result.history, {name: p.detach() for name, p in run.learner.theta.items()}
    recent = _mean_over_processes(torch.stack(run.pending).mean(0))
    run.pending.clear()
    run.result.parameters = _snapshot(run.learner)
    history.setdefault("step", []).append(run.result.steps)
    history.setdefault("loss", []).append(recent.tolist())
    for family, batch in test.items():
        errors = vmap(lambda one, b=batch: value_error(one, b, run.config))(theta)
        name = "error" if family == run.config.family else f"error {family}"
        history.setdefault(name, []).append(errors.tolist())


def _snapshot(learner: Learner) -> Parameters:
    return {name: p.detach().cpu().clone() for name, p in learner.theta.items()}


def _world() -> tuple[int, int]:
    """(rank, number of processes) as torchrun sets them; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _mean_over_processes(x: Tensor) -> Tensor:
    if distributed.is_initialized():
        distributed.all_reduce(x)
        x /= distributed.get_world_size()
    return x


def _my_share(batch: Batch, rank: int, world: int) -> Batch:
    """Every process draws the same global batch and keeps every world-th task of each seed."""
    return batch if world == 1 else Batch(*(t[:, rank::world] for t in batch))


def _train_step(run: _Run, network: nn.Module) -> None:
    config, (rank, world) = run.config, _world()
    n_seeds = len(config.seeds)
    batch = draw_batch(config, run.generator, config.n_tasks * n_seeds).split(n_seeds)
    losses = network(*_my_share(batch, rank, world))
    run.optimiser.zero_grad(set_to_none=True)
    losses.sum().backward()
    clip_each_seed(list(run.learner.parameters()), config.clip)
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate_at(config, run.result.steps)
    run.optimiser.step()
    run.pending.append(losses.detach())
    run.result.steps += 1


Watch = Callable[[PretrainingResult], bool]
Save = Callable[[_Run, bool], None]  # called after each step, and a last time with True
PathLike = str | os.PathLike[str]


def _first_line(error: Exception) -> str:
    """What an error says, short enough for one line: torch adds hints and stacks."""
    return str(error).partition("\n")[0][:80]


def _own_device(device: str | torch.device) -> torch.device:
    """The device of this process: under torchrun, each process on a machine takes another CUDA device."""
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.ones(1, device=chosen).item()  # a device that computes, and gives the result back
    except (RuntimeError, AssertionError) as error:
        reason = _first_line(error)
        raise ValueError(f"device is {str(device)!r}, which cannot be used here ({reason}); try 'cpu'") from None
    return chosen


def _join_processes(config: PretrainConfig, device: torch.device) -> tuple[int, Callable[[Learner], nn.Module]]:
    """(rank, what wraps the learner): DistributedDataParallel under torchrun, nothing otherwise."""
    rank, world = _world()
    if world == 1:
        return rank, lambda learner: learner
    if config.n_tasks % world:
        raise ValueError(f"n_tasks is {config.n_tasks}; {world} processes need a multiple of {world}")
    if not distributed.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)  # later runs share the group: torch can't form it twice
    return rank, nn.parallel.DistributedDataParallel


@contextmanager
def _stop_signal() -> Iterator[list[bool]]:
    """A list that Ctrl-C makes non-empty, so that the step in flight is finished and nothing is half updated."""
    stop: list[bool] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop
        return
    before = signal.signal(signal.SIGINT, lambda _number, _frame: stop.append(True))
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class _OneThread:
    """Tensors this small gain nothing from threads, which wait for each other, and busily (on a busy machine with two
    cores: over ten times slower); and one thread rounds alike wherever a run is resumed. The number of threads belongs
    to the whole process, so of runs that overlap the first saves it and the last restores it."""

    def __init__(self) -> None:
        self.lock, self.runs, self.before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        with self.lock:
            if self.runs == 0:
                self.before = torch.get_num_threads()
                torch.set_num_threads(1)
            self.runs += 1

    def __exit__(self, *_error: object) -> None:
        with self.lock:
            self.runs -= 1
            if self.runs == 0:
                torch.set_num_threads(self.before)


_one_thread = _OneThread()


def _anyone(stop: list[bool], device: torch.device) -> bool:
    """Whether any process wants to stop: all must leave the loop at the same step."""
    if not distributed.is_initialized():
        return bool(stop)
    return _mean_over_processes(torch.tensor(float(bool(stop)), device=device)).item() > 0


def _loop(run: _Run, network: nn.Module, save: Save, watch: Watch | None, progress: bool) -> None:
    config, result, device = run.config, run.result, run.generator.device
    test = held_out(config, device)
    bar = tqdm(total=config.n_steps, initial=result.steps, unit="step", disable=not progress, file=sys.stderr)
    with _stop_signal() as stop, _one_thread, bar:
        while result.steps < config.n_steps and not _anyone(stop, device):
            if result.steps % config.snapshot_every == 0:
                result.snapshots.append((result.steps, _snapshot(run.learner)))
            _train_step(run, network)
            bar.update()
            if result.steps % config.evaluate_every == 0 or result.steps == config.n_steps:
                _evaluate(run, test)
                last = {name: sum(result.history[name][-1]) / len(config.seeds) for name in ("loss", "error")}
                bar.set_postfix_str(f"loss {last['loss']:.4f}, held-out error {last['error']:.4f}")
                if watch is not None and watch(result):
                    stop.append(True)
            save(run, False)
        result.parameters = _snapshot(run.learner)
        if result.steps == config.n_steps and result.snapshots[-1][0] < result.steps:
            result.snapshots.append((result.steps, _snapshot(run.learner)))
        save(run, True)


FORMAT = "icrl-teach pretraining 1"
# What goes wrong when the parts of a checkpoint are not what they should be.
DAMAGE = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError, RecursionError)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, what is wrong, and what to do."""


def save_checkpoint(path: PathLike, run: _Run) -> None:
    """Write all that the run needs to go on bit for bit; to a temporary name, then renamed."""
    content = {
        "format": FORMAT,
        "config": json.dumps(asdict(run.config)),
        "step": run.result.steps,
        "theta": _snapshot(run.learner),
        "optimiser": run.optimiser.state_dict(),
        "device": run.generator.device.type,
        "dtype": str(torch.get_default_dtype()),  # in which the rest would be drawn
        "generator": run.generator.get_state(),
        "history": json.dumps(run.result.history),
        "pending": torch.stack(run.pending) if run.pending else None,
        "snapshots": run.result.snapshots,
    }
    with atomic_write(path, "wb") as file:
        torch.save(content, file)


def _damaged(name: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{name}: a damaged checkpoint ({type(error).__name__}: {_first_line(error)}); start anew")


def _config_from(text: str) -> PretrainConfig:
    entries: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()}
    return PretrainConfig(**entries)


def _read_checkpoint(path: PathLike) -> tuple[dict[str, Any], PretrainingResult]:
    """All that the file holds, and the result in it, checked. Never runs code: tensors and plain containers only."""
    name = Path(path).name
    try:
        with warnings.catch_warnings(action="ignore"):  # of a foreign file torch would warn before it fails
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"{name}: there is no such checkpoint; check the path, or start without resuming"
        ) from None
    except Exception as error:
        raise CheckpointError(
            f"{name}: not a readable checkpoint (foreign or truncated): {_first_line(error)}; "
            "use a file that icrl-teach pretrain wrote, or start anew"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{name}: not a checkpoint of this version ({FORMAT!r}); start anew")
    try:
        history, snapshots = json.loads(content["history"]), [(at, dict(each)) for at, each in content["snapshots"]]
        config, theta, steps = _config_from(content["config"]), dict(content["theta"]), content["step"]
        _check_parts(config, [theta, *(each for _, each in snapshots)], steps, history, content["pending"])
        return content, PretrainingResult(config, theta, steps, history, snapshots)
    except DAMAGE as error:
        raise _damaged(name, error) from None


def _check_parts(config: PretrainConfig, parameters: list[Any], steps: Any, history: Any, pending: Any) -> None:
    """Raise ValueError unless what a file holds fits its configuration; `parameters`: the last and all snapshots'."""
    n_seeds = len(config.seeds)
    if not isinstance(steps, int) or not 0 <= steps <= config.n_steps:
        raise ValueError(f"step {steps} of {config.n_steps}")
    shapes = {name: (n_seeds, *shape) for name, shape in parameter_shapes(config).items()}
    for theta in parameters:
        if {name: tuple(w.shape) for name, w in theta.items()} != shapes:
            raise ValueError("its parameters do not fit its configuration")
        if not all(w.is_floating_point() for w in theta.values()):
            raise ValueError("its parameters are no decimal numbers")
    if steps and len(parameters) == 1:
        raise ValueError("it has no snapshots")
    if not isinstance(history, dict) or not all(isinstance(each, list) for each in history.values()):
        raise ValueError("its history is no table")
    if pending is not None and (tuple(pending.shape[1:]) != (n_seeds,) or not pending.is_floating_point()):
        raise ValueError("its pending losses do not fit its seeds")


def load_result(path: PathLike) -> PretrainingResult:
    """The result that a checkpoint holds. Never runs code. Raises CheckpointError (a ValueError)."""
    return _read_checkpoint(path)[1]


def _restore(run: _Run, path: PathLike) -> None:
    name, (content, result) = Path(path).name, _read_checkpoint(path)
    then, now = asdict(result.config), asdict(run.config)
    then["device"], now["device"] = content.get("device"), run.generator.device.type
    then["dtype"], now["dtype"] = content.get("dtype"), str(torch.get_default_dtype())
    if different := [f"{key} {then[key]} -> {now[key]}" for key in now if then[key] != now[key]]:
        raise CheckpointError(
            f"{name}: written with another configuration ({', '.join(different)}); "
            "resume with the same one, or start anew in another file"
        )
    try:
        with torch.no_grad():
            for key, value in result.parameters.items():
                run.learner.theta[key].copy_(value)
        run.optimiser.load_state_dict(content["optimiser"])
        for p in run.learner.parameters():
            moments = run.optimiser.state.get(p, {})
            if any(moments[name].shape != p.shape for name in ("exp_avg", "exp_avg_sq") if result.steps):
                raise ValueError("the optimiser's moments do not fit the parameters")
        run.generator.set_state(content["generator"])
        run.pending = [] if content["pending"] is None else list(content["pending"].to(run.generator.device))
    except DAMAGE as error:
        raise _damaged(name, error) from None
    run.result = result


def _check_new(path: PathLike) -> None:
    """Refuse, before any work, a checkpoint that would replace another or could not be written."""
    path = Path(path)
    if path.exists():
        raise CheckpointError(f"{path.name}: exists already; resume from it, or name another file")
    if not path.parent.is_dir():
        raise CheckpointError(f"{path.name}: there is no folder {path.parent}; make it, or name another file")
    try:
        try_writing(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path.name}: cannot be written ({error.strerror}); name another file") from None


def pretrain(
    config: PretrainConfig,
    *,
    checkpoint: PathLike | None = None,
    resume: bool = False,
    checkpoint_every: int = 200,
    watch: Watch | None = None,
    progress: bool = True,
    device: str | torch.device = "cpu",
) -> PretrainingResult:
    """Train all seeds of `config`, side by side, on fresh tasks at every step.

    checkpoint: a new file, written every `checkpoint_every` steps and at the end, to a temporary name first; resume:
    continue from it, bit-identically on a CPU, with the same config. watch(result) is called at each evaluation and
    stops the run by returning True. Ctrl-C stops cleanly and keeps the result so far. progress: a bar with loss and
    held-out error. Under torchrun, processes share the work (DistributedDataParallel) and only the first one writes.
    Raises ValueError for a device that is not there, and CheckpointError (a ValueError) for a checkpoint that exists
    (without resume), or is missing, foreign, truncated or of another config.
    """
    every = check_count("checkpoint_every", checkpoint_every)
    if resume and checkpoint is None:
        raise ValueError("resume needs checkpoint, the file to continue from")
    device = _own_device(device)
    rank, network_of = _join_processes(config, device)
    run = _start(config, device)
    if resume and checkpoint is not None:
        _restore(run, checkpoint)
    elif checkpoint is not None and rank == 0:
        _check_new(checkpoint)

    def save(run: _Run, last: bool) -> None:
        if checkpoint is not None and rank == 0 and (last or run.result.steps % every == 0):
            save_checkpoint(checkpoint, run)

    _loop(run, network_of(run.learner), save, watch, progress and rank == 0)
    return run.result
