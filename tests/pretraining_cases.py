"""What the tests of `pretraining/` share: small runs, batches, windows, noise, and what "the same run" means."""

import pytest
import torch

from icrl_teach.pretraining.answers import initial_parameters
from icrl_teach.pretraining.batches import Batch, draw_batch
from icrl_teach.pretraining.config import PretrainConfig

NORMALISATIONS = pytest.mark.parametrize("normalisation", ["softmax", "linear", "sigmoid"])


def small(**changes) -> PretrainConfig:
    sizes = {"n_states": (5, 5), "n_context": (9, 9), "d": 5, "n_layers": 3, "n_tasks": 4, "n_windows": 3}
    run = {"n_steps": 6, "gamma": 0.7, "evaluate_every": 2, "snapshot_every": 3}
    return PretrainConfig(**{**sizes, **run, **changes})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def double(batch: Batch) -> Batch:
    return Batch(*(t.double() if t.is_floating_point() else t for t in batch))


def drawn(config: PretrainConfig, seed: int = 0, **more) -> Batch:
    return double(draw_batch(config, generator(seed), **more))


def noise(config: PretrainConfig, seed: int = 0, size: float = 5.0) -> dict[str, torch.Tensor]:
    """Parameters far enough from zero that every entry matters."""
    return {name: size * p.double() for name, p in initial_parameters(config, seed).items()}


def windows(batch: Batch):
    """(task, window, states) of every window, cut from the trajectory by hand; the last one is a bootstrap target."""
    n = batch.n_context
    for b, path in enumerate(batch.states.tolist()):
        for w in range(len(path) - n):
            yield b, w, path[w : w + n + 1]


def gradient(function, parameters) -> torch.Tensor:
    leaves = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    return torch.cat([g.flatten() for g in torch.autograd.grad(function(leaves), list(leaves.values()))])


def assert_same_run(a, b):
    """Bit for bit: parameters, history, snapshots."""
    assert a.steps == b.steps and a.history == b.history and a.config == b.config
    for (step, one), (other_step, two) in zip(
        [*a.snapshots, (-1, a.parameters)], [*b.snapshots, (-1, b.parameters)], strict=True
    ):
        assert step == other_step and one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
