"""Pretraining: could training find the weights of Theorem 1? (mathematics, section 5)

Tasks are drawn from a family, each gives one trajectory, and a window of n transitions slides along it by one.
f(theta; w) is the network's answer for the state at the end of window w. TD pretraining descends on
    delta = R_{n+1} + gamma f(theta; w + 1) - f(theta; w),    without gradient through the bootstrap f(theta; w + 1).

Two ways to compute f, equal to rounding (tested). With masked parameters, all values live on states, so a window is
summed up by its transition counts, scores are shared by all windows of a task, and no (d+3)-sized product is left.
With every entry free, the full matrix form of `transformer.py` runs on every window's prompt. Sources: Xie et al.,
arXiv 2605.07333, section 6 and App. F.2; Wang et al., arXiv 2405.13861.
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
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn
from torch.func import grad, vmap
from tqdm import tqdm

from icrl_teach._validate import check_count, check_gamma
from icrl_teach.attention import softmax_attention
from icrl_teach.logs import atomic_write
from icrl_teach.prompt import reward_row, value_row
from icrl_teach.tasks import FAMILIES, sample_tasks
from icrl_teach.transformer import SoftmaxTransformer, time_shift

FEATURES = ("one-hot", "random", "aggregated")
NORMALISATIONS = ("softmax", "linear", "sigmoid")
LOSSES = ("td", "value")
_CHOICES = {"family": FAMILIES, "features": FEATURES, "normalisation": NORMALISATIONS, "loss": LOSSES}
Parameters = dict[str, Tensor]


def _check_range(name: str, value: Any, least: int) -> tuple[int, int]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}; it must be a pair (least, most), for example (6, 6)")
    low, high = (check_count(name, entry, least) for entry in value)
    if low > high:
        raise ValueError(f"{name} is {(low, high)}; it must be (least, most) with least <= most")
    return low, high


def _check_seeds(seeds: Any) -> tuple[int, ...]:
    if not isinstance(seeds, tuple | list) or not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {seeds!r}; it must name one or more runs, each once, for example (0, 1, 2)")
    return tuple(check_count("seeds", seed, 0) for seed in seeds)


@dataclass(frozen=True)
class PretrainConfig:
    """One pretraining run. The defaults are the reference run of the mathematics document.

    family: boyan, loop or random; features: one-hot, random (unit vectors) or aggregated, times feature_scale;
    n_states, n_context: (least, most), drawn anew each step; d: features (one-hot needs d >= the most states);
    n_tasks x n_windows windows a step; loss: td (semi-gradient) or value (regression on the exact value, a comparison);
    masked: V free in row d+2, columns d..d+2 and A in its feature block, or every entry free; normalisation: softmax,
    linear or sigmoid attention; tied: one (V, A) for all layers; seeds: independent runs trained side by side, each
    from its own noise on its own tasks (which follow from all of the seeds, so one alone sees other tasks);
    clip: largest gradient norm of a seed; warmup: steps until the full learning rate, which then falls as a cosine.

    Raises ValueError, naming field, value and remedy.
    """

    family: str = "boyan"
    features: str = "one-hot"
    feature_scale: float = 1.0
    n_states: tuple[int, int] = (6, 6)
    n_context: tuple[int, int] = (40, 40)
    d: int = 6
    n_layers: int = 4
    gamma: float = 0.6
    n_tasks: int = 128
    n_windows: int = 2
    n_steps: int = 2000
    learning_rate: float = 0.025
    warmup: int = 50
    clip: float = 1.0
    loss: str = "td"
    masked: bool = True
    normalisation: str = "softmax"
    tied: bool = True
    seeds: tuple[int, ...] = (0,)
    evaluate_every: int = 100
    snapshot_every: int = 50

    def __post_init__(self) -> None:
        for name, options in _CHOICES.items():
            if getattr(self, name) not in options:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(options)}")
        for name in ("d", "n_layers", "n_tasks", "n_windows", "n_steps", "evaluate_every", "snapshot_every"):
            self._set(name, check_count(name, getattr(self, name)))
        self._set("warmup", check_count("warmup", self.warmup, 0))
        self._set("gamma", check_gamma(self.gamma))
        for name in ("learning_rate", "clip", "feature_scale"):
            if not (math.isfinite(value := float(getattr(self, name))) and value > 0):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a positive number")
            self._set(name, value)
        for name, least in (("n_states", 3), ("n_context", 1)):
            self._set(name, _check_range(name, getattr(self, name), least))
        self._set("seeds", _check_seeds(self.seeds))
        least_states, most_states = self.n_states
        if self.features == "one-hot" and self.d < most_states:
            raise ValueError(
                f"d is {self.d}; one-hot features of up to {most_states} states need d of at least {most_states}"
            )
        if self.features == "aggregated" and self.d > least_states:
            raise ValueError(
                f"d is {self.d}; as few as {least_states} states aggregate into {least_states} groups at most: lower d"
            )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the class is frozen; this is how its own constructor may still write


class Batch(NamedTuple):
    """Windows of B tasks, W + 1 a task (the last is only a bootstrap target). Tensors share one device.

    features (B, S, d); reward (B, S); value (B, S), exact; counts (B, W+1, S, S): transitions s -> s' inside a window;
    states (B, n+W+1): the trajectories. n_context is n.
    """

    features: Float[Tensor, "n_tasks n_states d"]
    reward: Float[Tensor, "n_tasks n_states"]
    value: Float[Tensor, "n_tasks n_states"]
    counts: Float[Tensor, "n_tasks n_windows_plus_1 n_states n_states"]
    states: Int[Tensor, "n_tasks length"]

    @property
    def n_context(self) -> int:
        """Transitions in a window."""
        return self.states.shape[-1] - self.counts.shape[-3]

    @property
    def query(self) -> Int[Tensor, "n_tasks n_windows_plus_1"]:
        """The state at the end of each window, whose value is asked."""
        return self.states[..., self.n_context :]


def window_counts(
    states: Int[Tensor, "n_tasks length"], n_context: int, n_states: int
) -> Float[Tensor, "n_tasks n_windows n_states n_states"]:
    """Transition counts of every window of n_context transitions, each slid by one: the next gains one, loses one."""
    pairs = states[:, :-1] * n_states + states[:, 1:]  # (B, n+W)
    n_windows = states.shape[1] - n_context
    change = torch.zeros(len(states), n_windows, n_states**2, device=states.device)
    change[:, 0].scatter_add_(1, pairs[:, :n_context], torch.ones_like(pairs[:, :n_context], dtype=change.dtype))
    change[:, 1:].scatter_(2, pairs[:, n_context:, None], 1.0)
    change[:, 1:].scatter_add_(2, pairs[:, : n_windows - 1, None], -torch.ones_like(change[:, 1:, :1]))
    return change.cumsum(1).unflatten(2, (n_states, n_states))


def draw_features(config: PretrainConfig, n_tasks: int, n_states: int, generator: torch.Generator) -> Tensor:
    """The features of every state of every task, (B, S, d); random ones are drawn anew for each task."""
    device = generator.device
    if config.features == "random":
        x = torch.randn(n_tasks, n_states, config.d, generator=generator, device=device)
        return config.feature_scale * nn.functional.normalize(x, dim=-1)
    group = torch.arange(n_states, device=device)
    if config.features == "aggregated":
        group = group * config.d // n_states
    x = nn.functional.one_hot(group, config.d).to(torch.float32)
    return config.feature_scale * x.expand(n_tasks, -1, -1)


def draw_batch(
    config: PretrainConfig, generator: torch.Generator, n_tasks: int | None = None, family: str | None = None
) -> Batch:
    """Fresh tasks and their windows, on the generator's device. Sizes are drawn from the config's ranges."""
    (s_low, s_high), (n_low, n_high) = config.n_states, config.n_context
    draw = torch.rand(2, generator=generator, device=generator.device).tolist()
    n_states = s_low + int(draw[0] * (s_high - s_low + 1))
    n_context = n_low + int(draw[1] * (n_high - n_low + 1))
    B = config.n_tasks if n_tasks is None else n_tasks
    tasks = sample_tasks(family or config.family, B, n_states, config.gamma, generator)
    states, _ = tasks.sample(n_context + config.n_windows, generator)
    features = draw_features(config, B, n_states, generator)
    return Batch(features, tasks.reward, tasks.value(), window_counts(states, n_context, n_states), states)


def initial_parameters(config: PretrainConfig, seed: int) -> Parameters:
    """Noise to start from: V and A as they are free, a layer axis in front (1 if tied)."""
    generator = torch.Generator().manual_seed(seed)
    layers, d = 1 if config.tied else config.n_layers, config.d
    shapes = {"V": (layers, 3), "A": (layers, d, d)} if config.masked else dict.fromkeys("VA", (layers, d + 3, d + 3))
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def constructed_parameters(config: PretrainConfig, alpha: float = 1.0, beta: float = 4.0) -> Parameters:
    """Theorem 1's parameters in the form that training uses: V's free row alpha (1, 1, -1), A = beta I."""
    layers = 1 if config.tied else config.n_layers
    if config.masked:
        row = alpha * torch.tensor([1.0, 1.0, -1.0])
        return {"V": row.repeat(layers, 1), "A": beta * torch.eye(config.d).repeat(layers, 1, 1)}
    model = SoftmaxTransformer.constructed(config.d, 1, config.gamma, alpha, beta)
    return {"V": model.V.float().repeat(layers, 1, 1), "A": model.A.float().repeat(layers, 1, 1)}


def answers(parameters: Parameters, batch: Batch, config: PretrainConfig, n_layers: int | None = None) -> Tensor:
    """f(theta; w) of every window, (B, W+1): the network's value of the state at the window's end.

    n_layers: another depth than the config's, for tied parameters (deeper at test time than in training).
    """
    depth = config.n_layers if n_layers is None else n_layers
    order = [0 if config.tied else layer for layer in range(depth)]
    run = masked_answers if config.masked else free_answers
    return run(parameters, batch, config, order)


def masked_answers(parameters: Parameters, batch: Batch, config: PretrainConfig, order: list[int]) -> Tensor:
    """The answers under masked parameters, by the operator view on states (eq. 20): v' = v + M D, for every window.

    D(s) is the mean error of the window's transitions that leave s, V_r r + V_t gamma (P v) + V_v v with P their
    frequencies; M(s, s') is the weight that query s gives to all of those that leave s'. With Theorem 1's row
    (1, 1, -1), D is the mean TD error.
    """
    x, leaving = batch.features, batch.counts.sum(-1)  # (B, S, d), (B, W+1, S): n_s of each window
    P = batch.counts / leaving.clamp_min(1.0)[..., None]  # (B, W+1, S, S)
    M = {}  # scores read features only, so that a layer's weights need no answers: tied layers share one M
    for layer in dict.fromkeys(order):
        M[layer] = _weights(x @ parameters["A"][layer].mT @ x.mT, leaving, config.normalisation)
    v = torch.zeros_like(leaving)
    for layer in order:
        V = parameters["V"][layer]
        D = V[0] * batch.reward[:, None] + V[1] * config.gamma * (P @ v[..., None])[..., 0] + V[2] * v
        v = v + (M[layer] @ D[..., None])[..., 0]
    return v.gather(-1, batch.query[..., None])[..., 0]


def _weights(scores: Tensor, leaving: Tensor, normalisation: str) -> Tensor:
    """M(s, s') of every window, (B, W+1, S, S), from scores (B, S, S), query s in rows, and n_s (B, W+1, S)."""
    scores, times = scores[:, None], leaving[:, :, None]
    if normalisation == "softmax":
        return torch.softmax(scores + times.log(), dim=-1)  # log 0 = -inf: a state never left has no weight
    return (scores.sigmoid() if normalisation == "sigmoid" else scores) * times / times.sum(-1, keepdim=True)


def window_prompts(batch: Batch) -> Float[Tensor, "n_tasks n_windows_plus_1 rows n_plus_1"]:
    """The prompt Z_0 of every window, (B, W+1, d+3, n+1)."""
    windows = batch.states.unfold(-1, batch.n_context + 1, 1)  # (B, W+1, n+1), views of one trajectory
    tasks = torch.arange(len(windows), device=windows.device)[:, None, None]
    x, reward = batch.features[tasks, windows], batch.reward[tasks, windows[..., :-1]]
    d = x.shape[-1]
    Z = torch.cat([x.mT, x.new_zeros(*windows.shape[:2], 3, windows.shape[2])], dim=-2)
    Z[..., reward_row(d), :-1] = reward
    return Z


def free_answers(parameters: Parameters, batch: Batch, config: PretrainConfig, order: list[int]) -> Tensor:
    """The answers with every entry of V and A free: the full matrix form on every window's prompt."""
    Z = window_prompts(batch)
    for layer in order:
        V, A = parameters["V"][layer], parameters["A"][layer]
        Z = time_shift(Z + V @ Z @ _attention(Z, A, config.normalisation), config.gamma)
    return Z[..., value_row(config.d), -1]


def _attention(Z: Tensor, A: Tensor, normalisation: str) -> Tensor:
    if normalisation == "softmax":
        return softmax_attention(Z, A)
    scores = Z.mT @ A @ Z
    weights = (scores.sigmoid() if normalisation == "sigmoid" else scores) / (Z.shape[-1] - 1)
    keep = torch.arange(Z.shape[-1], device=Z.device) < Z.shape[-1] - 1  # the query column is no source
    return weights * keep[:, None]


def td_errors_of(parameters: Parameters, batch: Batch, config: PretrainConfig) -> tuple[Tensor, Tensor]:
    """(delta, f), both (B, W): delta = R_{n+1} + gamma f(w + 1) - f(w), with no gradient through f(w + 1)."""
    f = answers(parameters, batch, config)
    reward = batch.reward.gather(-1, batch.query[:, :-1])
    return reward + config.gamma * f[:, 1:].detach() - f[:, :-1], f[:, :-1]


def loss(parameters: Parameters, batch: Batch, config: PretrainConfig) -> Float[Tensor, ""]:
    """The mean squared TD error (semi-gradient), or the mean squared error to the exact value."""
    if config.loss == "td":
        return td_errors_of(parameters, batch, config)[0].square().mean()
    return value_error(parameters, batch, config)


def value_error(
    parameters: Parameters, batch: Batch, config: PretrainConfig, n_layers: int | None = None
) -> Float[Tensor, ""]:
    """Mean squared difference between the answers and the exact values of the query states."""
    exact = batch.value.gather(-1, batch.query)
    return (answers(parameters, batch, config, n_layers) - exact)[:, :-1].square().mean()


def _update_by_group(parameters: Parameters, batch: Batch, config: PretrainConfig, n_groups: int) -> Tensor:
    """E[delta grad f] estimated on n_groups disjoint groups of tasks: (n_groups, number of parameters)."""
    groups = Batch(*(t.unflatten(0, (n_groups, -1)) for t in batch))

    def surrogate(theta: Parameters, *group: Tensor) -> Tensor:
        delta, f = td_errors_of(theta, Batch(*group), config)
        return (delta.detach() * f).mean()  # its gradient is the mean of delta grad f

    gradients = vmap(grad(surrogate), in_dims=(None, *[0] * len(groups)))(parameters, *groups)
    return torch.cat([g.flatten(1) for g in gradients.values()], dim=1).double()


class NeuEstimate(NamedTuple):
    """An estimate and its Monte Carlo standard error."""

    value: float
    standard_error: float


def neu_loss(parameters: Parameters, batch: Batch, config: PretrainConfig, n_groups: int = 32) -> NeuEstimate:
    """J = ||E[delta grad f]||, the norm of the expected update, by the norm of the mean over groups of tasks.

    Noise can only lengthen a mean, so the estimate is biased upwards, down to a sampling floor; `neu_squared` is not.
    The standard error is that of the mean in its own direction. n_groups must divide the number of tasks (else
    ValueError).
    """
    g = _checked_groups(parameters, batch, config, n_groups)
    mean = g.mean(0)
    direction = nn.functional.normalize(mean, dim=0)
    return NeuEstimate(mean.norm().item(), ((g @ direction).std() / math.sqrt(n_groups)).item())


def neu_squared(parameters: Parameters, batch: Batch, config: PretrainConfig, n_groups: int = 32) -> NeuEstimate:
    """J^2 without bias: the mean of g_a . g_b over pairs of different, independent groups; it may come out negative.

    The standard error is the jackknife's. n_groups must divide the number of tasks (else ValueError).
    """
    g = _checked_groups(parameters, batch, config, n_groups)
    G, total = n_groups, g.sum(0)
    squares = g.square().sum(1)
    pairs = total @ total - squares.sum()  # sum of g_a . g_b over a != b
    without = (pairs - 2 * (g @ total - squares)) / ((G - 1) * (G - 2))
    error = ((G - 1) / G * (without - without.mean()).square().sum()).sqrt()
    return NeuEstimate((pairs / (G * (G - 1))).item(), error.item())


def _checked_groups(parameters: Parameters, batch: Batch, config: PretrainConfig, n_groups: int) -> Tensor:
    n_tasks = len(batch.states)
    if n_groups < 3 or n_tasks % n_groups:
        raise ValueError(f"n_groups is {n_groups}; it must be at least 3 and divide the {n_tasks} tasks of the batch")
    return _update_by_group(parameters, batch, config, n_groups)


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


def split_seeds(batch: Batch, n_seeds: int) -> Batch:
    """Tasks dealt out to the seeds: a first axis of n_seeds, each with its own tasks."""
    return Batch(*(t.unflatten(0, (n_seeds, -1)) for t in batch))


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
        """The parameters of one seed, without the seed axis."""
        return {name: value[index] for name, value in self.parameters.items()}

    def model(self, index: int = 0) -> SoftmaxTransformer:
        """One seed's network as a frozen SoftmaxTransformer. Raises ValueError unless its attention is softmax."""
        if self.config.normalisation != "softmax":
            raise ValueError(f"normalisation is {self.config.normalisation!r}; only softmax makes a SoftmaxTransformer")
        return to_transformer(self.of_seed(index), self.config)


def to_transformer(parameters: Parameters, config: PretrainConfig) -> SoftmaxTransformer:
    """The network with these parameters, in full (d+3) x (d+3) matrices, frozen."""
    d = config.d
    model = SoftmaxTransformer(d, config.n_layers, config.gamma, config.tied)
    with torch.no_grad():
        if config.masked:
            model.V.zero_()
            model.A.zero_()
            model.V[:, value_row(d), reward_row(d) :] = parameters["V"]
            model.A[:, :d, :d] = parameters["A"]
        else:
            model.V.copy_(parameters["V"])
            model.A.copy_(parameters["A"])
    return model.requires_grad_(False)


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


def held_out(config: PretrainConfig, device: torch.device | str = "cpu", n_tasks: int = 256) -> dict[str, Batch]:
    """Tasks for evaluation that training never draws: a batch of the family trained on, and of each other family."""
    generator = torch.Generator(device=device).manual_seed(2_000_003)
    return {family: draw_batch(config, generator, n_tasks, family) for family in FAMILIES}


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
    batch = split_seeds(draw_batch(config, run.generator, config.n_tasks * n_seeds), n_seeds)
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


def _own_device(device: str | torch.device) -> torch.device:
    """The device of this process: under torchrun, each process on a machine takes another CUDA device."""
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:80]
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, which wait for each other, and busily (on a busy machine with two
    cores: over ten times slower); and one thread rounds alike wherever a run is resumed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _anyone(stop: list[bool], device: torch.device) -> bool:
    """Whether any process wants to stop: all must leave the loop at the same step."""
    if not distributed.is_initialized():
        return bool(stop)
    return _mean_over_processes(torch.tensor(float(bool(stop)), device=device)).item() > 0


def _loop(run: _Run, network: nn.Module, save: Save, watch: Watch | None, progress: bool) -> None:
    config, result, device = run.config, run.result, run.generator.device
    test = held_out(config, device)
    bar = tqdm(total=config.n_steps, initial=result.steps, unit="step", disable=not progress, file=sys.stderr)
    with _stop_signal() as stop, _one_thread(), bar:
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
            result.snapshots.append((result.steps, result.parameters))
        save(run, True)


FORMAT = "icrl-teach pretraining 1"


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
        "generator": run.generator.get_state(),
        "history": json.dumps(run.result.history),
        "pending": torch.stack(run.pending) if run.pending else None,
        "snapshots": run.result.snapshots,
    }
    with atomic_write(path, "wb") as file:
        torch.save(content, file)


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
            f"{name}: not a readable checkpoint (foreign or truncated): {str(error).partition(chr(10))[0][:80]}; "
            "use a file that icrl-teach pretrain wrote, or start anew"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{name}: not a checkpoint of this version ({FORMAT!r}); start anew")
    try:
        config, theta = _config_from(content["config"]), dict(content["theta"])
        if {k: v.shape for k, v in theta.items()} != {k: v.shape for k, v in Learner(config).theta.items()}:
            raise ValueError("its parameters do not fit its configuration")
        history, snapshots = json.loads(content["history"]), [(at, each) for at, each in content["snapshots"]]
        return content, PretrainingResult(config, theta, int(content["step"]), history, snapshots)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{name}: a damaged checkpoint ({type(error).__name__}: {error}); start anew") from None


def load_result(path: PathLike) -> PretrainingResult:
    """The result that a checkpoint holds. Never runs code. Raises CheckpointError (a ValueError)."""
    return _read_checkpoint(path)[1]


def _restore(run: _Run, path: PathLike) -> None:
    name, (content, result) = Path(path).name, _read_checkpoint(path)
    then, now = asdict(result.config), asdict(run.config)
    then["device"], now["device"] = content.get("device"), run.generator.device.type
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
        run.generator.set_state(content["generator"])
        run.pending = [] if content["pending"] is None else list(content["pending"].to(run.generator.device))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{name}: a damaged checkpoint ({type(error).__name__}: {error}); start anew") from None
    run.result = result


def _check_new(path: PathLike) -> None:
    """Refuse, before any work, a checkpoint that would replace another or could not be written."""
    path = Path(path)
    if path.exists():
        raise CheckpointError(f"{path.name}: exists already; resume from it, or name another file")
    if not path.parent.is_dir():
        raise CheckpointError(f"{path.name}: there is no folder {path.parent}; make it, or name another file")


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
