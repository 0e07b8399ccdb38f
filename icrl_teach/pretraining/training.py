"""The training loop: Adam with clipped gradients trains all seeds side by side, on fresh tasks at every step.

What is minimised stands in `losses.py`, on what in `batches.py`; a run stops cleanly, resumes bit for bit
(`checkpoints.py`), and may be shared by several processes (`processes.py`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from icrl_teach._door import door, inside
from icrl_teach._validate import check_count
from icrl_teach.pretraining.batches import Batch, draw_batch, held_out
from icrl_teach.pretraining.checkpoints import (
    PathLike,
    PretrainingResult,
    Run,
    check_new,
    restore,
    save_checkpoint,
    snapshot,
)
from icrl_teach.pretraining.config import PretrainConfig
from icrl_teach.pretraining.losses import Learner, each_seed, value_error
from icrl_teach.pretraining.processes import (
    anyone,
    joined_processes,
    mean_over_processes,
    my_share,
    one_thread,
    own_device,
    rank_and_world,
    stop_signal,
)

Watch = Callable[[PretrainingResult], bool]
Save = Callable[[Run, bool], None]  # called after each step, and a last time with True


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


def start(config: PretrainConfig, device: torch.device) -> Run:
    """A run before its first step: noise, a fresh optimiser, its own generator."""
    learner = Learner(config).to(device)
    optimiser = torch.optim.Adam(learner.parameters(), lr=config.learning_rate)
    generator = torch.Generator(device=device).manual_seed(1_000_003 + config.seeds[0])
    return Run(config, learner, optimiser, generator, PretrainingResult(config, snapshot(learner)))


def _evaluate(run: Run, test: dict[str, Batch]) -> None:
    history, theta = run.result.history, {name: p.detach() for name, p in run.learner.theta.items()}
    recent = mean_over_processes(torch.stack(run.pending).mean(0))
    run.pending.clear()
    run.result.parameters = snapshot(run.learner)
    history.setdefault("step", []).append(run.result.steps)
    history.setdefault("loss", []).append(recent.tolist())
    for family, batch in test.items():
        errors = each_seed(lambda one, b=batch: inside(value_error)(one, b, run.config), theta, run.config)
        name = "error" if family == run.config.family else f"error {family}"
        history.setdefault(name, []).append(errors.tolist())


def train_step(run: Run, network: nn.Module) -> None:
    """One step of Adam on a fresh batch: of every seed its own tasks, of every process its share of them."""
    config, (rank, world) = run.config, rank_and_world()
    n_seeds = len(config.seeds)
    batch = inside(draw_batch)(config, run.generator, config.n_tasks * n_seeds).split(n_seeds)
    losses = network(*my_share(batch, rank, world))
    run.optimiser.zero_grad(set_to_none=True)
    losses.sum().backward()
    clip_each_seed(list(run.learner.parameters()), config.clip)
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate_at(config, run.result.steps)
    run.optimiser.step()
    run.pending.append(losses.detach())
    run.result.steps += 1


def _loop(run: Run, network: nn.Module, save: Save, watch: Watch | None, progress: bool) -> None:
    config, result, device = run.config, run.result, run.generator.device
    test = held_out(config, device)
    bar = tqdm(total=config.n_steps, initial=result.steps, unit="step", disable=not progress, file=sys.stderr)
    with stop_signal() as stop, one_thread, bar:
        while result.steps < config.n_steps and not anyone(stop, device):
            if result.steps % config.snapshot_every == 0:
                result.snapshots.append((result.steps, snapshot(run.learner)))
            train_step(run, network)
            bar.update()
            if result.steps % config.evaluate_every == 0 or result.steps == config.n_steps:
                _evaluate(run, test)
                last = {name: sum(result.history[name][-1]) / len(config.seeds) for name in ("loss", "error")}
                bar.set_postfix_str(f"loss {last['loss']:.4f}, held-out error {last['error']:.4f}")
                if watch is not None and watch(result):
                    stop.append(0)
            save(run, False)
        result.parameters, result.signal = snapshot(run.learner), max(stop, default=0)
        if result.steps == config.n_steps and result.snapshots[-1][0] < result.steps:
            result.snapshots.append((result.steps, snapshot(run.learner)))
        save(run, True)


@door
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
    stops the run by returning True. Ctrl-C and SIGTERM stop it cleanly and keep the result so far. progress: a bar with
    loss and held-out error. Under torchrun, processes share the work (DistributedDataParallel), and only the first one
    writes.
    Raises ValueError for a device that is not there, and CheckpointError (a ValueError) for a checkpoint that exists
    (without resume), or is missing, foreign, truncated or of another config.
    """
    every = check_count("checkpoint_every", checkpoint_every)
    if resume and checkpoint is None:
        raise ValueError("resume needs checkpoint, the file to continue from")
    device, (rank, _) = own_device(device), rank_and_world()
    run = start(config, device)
    if resume and checkpoint is not None:
        restore(run, checkpoint)
    elif checkpoint is not None and rank == 0:
        check_new(checkpoint)

    def save(run: Run, last: bool) -> None:
        if checkpoint is not None and rank == 0 and (last or run.result.steps % every == 0):
            save_checkpoint(checkpoint, run)

    with joined_processes(run.learner, device) as network:
        _loop(run, network, save, watch, progress and rank == 0)
    return run.result
