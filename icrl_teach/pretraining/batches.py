"""Tasks drawn from a family, one trajectory each, and the windows that slide along it by one transition."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from icrl_teach._door import door
from icrl_teach._validate import Count, Device
from icrl_teach.pretraining.config import PretrainConfig, middle_of
from icrl_teach.prompt import reward_row
from icrl_teach.tasks import FAMILIES, sample_tasks


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

    @property
    def exact(self) -> Float[Tensor, "n_tasks n_windows_plus_1"]:
        """The exact value of each window's query: the right answers."""
        return self.value.gather(-1, self.query)

    def constant_error(self) -> float:
        """Mean squared error of the best constant answer over the windows that are asked (not the bootstrap target)."""
        return self.exact[:, :-1].var(correction=0).item()

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


def window_prompts(batch: Batch) -> Float[Tensor, "n_tasks n_windows_plus_1 rows n_plus_1"]:
    """The prompt Z_0 of every window, (B, W+1, d+3, n+1)."""
    windows = batch.states.unfold(-1, batch.n_context + 1, 1)  # (B, W+1, n+1), views of one trajectory
    tasks = torch.arange(len(windows), device=windows.device)[:, None, None]
    x, reward = batch.features[tasks, windows], batch.reward[tasks, windows[..., :-1]]
    d = x.shape[-1]
    Z = torch.cat([x.mT, x.new_zeros(*windows.shape[:2], 3, windows.shape[2])], dim=-2)
    Z[..., reward_row(d), :-1] = reward
    return Z


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


@door
def draw_batch(
    config: PretrainConfig, generator: torch.Generator, n_tasks: Count | None = None, family: str | None = None
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


@door
def held_out(config: PretrainConfig, device: Device = "cpu", n_tasks: Count = 256) -> dict[str, Batch]:
    """Tasks for evaluation that training never draws: a batch of each family, all of one size, in the middle of the
    config's ranges; 256 tasks of each if not given, on which a run is followed."""
    generator = torch.Generator(device=device).manual_seed(2_000_003)
    middle = replace(config, n_states=middle_of(config.n_states), n_context=middle_of(config.n_context))
    return {family: draw_batch(middle, generator, n_tasks, family) for family in FAMILIES}
