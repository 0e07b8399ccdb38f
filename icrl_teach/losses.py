"""What pretraining minimises: tasks, windows, the network's answers, and the losses (mathematics, section 5).

Tasks are drawn from a family, each gives one trajectory, and a window of n transitions slides along it by one.
f(theta; w) is the network's answer for the state at the end of window w. TD pretraining descends on
    delta = R_{n+1} + gamma f(theta; w + 1) - f(theta; w),    without gradient through the bootstrap f(theta; w + 1).

Two ways to compute f, equal to rounding (tested). With masked parameters, all values live on states, so a window is
summed up by its transition counts, scores are shared by all windows of a task, and no (d+3)-sized product is left.
With every entry free, the full matrix form of `transformer.py` runs on every window's prompt. Sources: Xie et al.,
arXiv 2605.07333, section 6 and App. F.2; Wang et al., arXiv 2405.13861.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import grad, vmap

from icrl_teach._validate import check_count, check_gamma
from icrl_teach.attention import softmax_attention
from icrl_teach.prompt import reward_row, value_row
from icrl_teach.tasks import FAMILIES, sample_tasks
from icrl_teach.transformer import SoftmaxTransformer, time_shift

FEATURES = ("one-hot", "random", "aggregated")
NORMALISATIONS = ("softmax", "linear", "sigmoid")
LOSSES = ("td", "value")
_CHOICES = {"family": FAMILIES, "features": FEATURES, "normalisation": NORMALISATIONS, "loss": LOSSES}
SEEDS = 1_000_000  # beyond, a run's tasks would be those of `held_out`
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
    counts = tuple(check_count("seeds", seed, 0) for seed in seeds)
    if max(counts) >= SEEDS:
        raise ValueError(f"seeds is {seeds!r}; seeds are whole numbers from 0 to {SEEDS - 1:,}")
    return counts


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

    def split(self, n_parts: int) -> Batch:
        """Tasks dealt out to equal parts, such as seeds or groups: a first axis of n_parts, each with its own tasks."""
        return Batch(*(t.unflatten(0, (n_parts, -1)) for t in self))


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
    x = nn.functional.one_hot(group, config.d).to(torch.get_default_dtype())  # as torch.rand and torch.randn draw
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


def held_out(config: PretrainConfig, device: torch.device | str = "cpu", n_tasks: int = 256) -> dict[str, Batch]:
    """Tasks for evaluation that training never draws: a batch of each family, all of one size, in the middle of the
    config's ranges."""
    generator = torch.Generator(device=device).manual_seed(2_000_003)
    middle = replace(config, n_states=middle_of(config.n_states), n_context=middle_of(config.n_context))
    return {family: draw_batch(middle, generator, n_tasks, family) for family in FAMILIES}


def middle_of(least_and_most: tuple[int, int]) -> tuple[int, int]:
    """The range that holds only the middle of another: the size that `held_out` tests."""
    middle = sum(least_and_most) // 2
    return middle, middle


def parameter_shapes(config: PretrainConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of V and A as they are free, a layer axis in front (1 if tied)."""
    layers, d = 1 if config.tied else config.n_layers, config.d
    return {"V": (layers, 3), "A": (layers, d, d)} if config.masked else dict.fromkeys("VA", (layers, d + 3, d + 3))


def initial_parameters(config: PretrainConfig, seed: int) -> Parameters:
    """Noise to start from, in `parameter_shapes`."""
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in parameter_shapes(config).items()}


def constructed_parameters(config: PretrainConfig, alpha: float = 1.0, beta: float = 4.0) -> Parameters:
    """Theorem 1's parameters in the form that training uses: V's free row alpha (1, 1, -1), A = beta I."""
    layers = 1 if config.tied else config.n_layers
    if config.masked:
        row = alpha * torch.tensor([1.0, 1.0, -1.0])
        return {"V": row.repeat(layers, 1), "A": beta * torch.eye(config.d).repeat(layers, 1, 1)}
    model = SoftmaxTransformer.constructed(config.d, 1, config.gamma, alpha, beta)
    return {"V": model.V.float().repeat(layers, 1, 1), "A": model.A.float().repeat(layers, 1, 1)}


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


def answers(parameters: Parameters, batch: Batch, config: PretrainConfig, n_layers: int | None = None) -> Tensor:
    """f(theta; w) of every window, (B, W+1): the network's value of the state at the window's end.

    n_layers: another depth than the config's, for tied parameters (deeper at test time than in training).
    Raises ValueError for n_layers < 1, or another depth than the config's for separate layers.
    """
    depth = config.n_layers if n_layers is None else check_count("n_layers", n_layers)
    if not config.tied and depth != config.n_layers:
        raise ValueError(
            f"n_layers is {depth}; these parameters are separate for {config.n_layers} layers, no more or less"
        )
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
    groups = batch.split(n_groups)

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

    On average noise lengthens a mean, so the estimate is biased upwards and stops at a sampling floor (`neu_squared`
    is not biased). The standard error is that of the mean in its own direction. n_groups must divide the number of
    tasks (else ValueError).
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
