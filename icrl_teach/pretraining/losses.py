"""What pretraining minimises, and how still it would leave given parameters (mathematics, section 5).

Tasks are drawn from a family, each gives one trajectory, and a window of n transitions slides along it by one.
f(theta; w) is the network's answer for the state at the end of window w. TD pretraining descends on

    delta = R_{n+1} + gamma f(theta; w + 1) - f(theta; w),    without gradient through the bootstrap f(theta; w + 1).

Sources: Xie et al., arXiv 2605.07333, section 6 and App. F.2; Wang et al., arXiv 2405.13861.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad, vmap

from icrl_teach._door import door, inside
from icrl_teach._validate import Count
from icrl_teach.pretraining.answers import Parameters, answers, initial_parameters
from icrl_teach.pretraining.batches import Batch
from icrl_teach.pretraining.config import PretrainConfig


def td_errors_of(parameters: Parameters, batch: Batch, config: PretrainConfig) -> tuple[Tensor, Tensor]:
    """(delta, f), both (B, W): delta = R_{n+1} + gamma f(w + 1) - f(w), with no gradient through f(w + 1)."""
    f = inside(answers)(parameters, batch, config)
    reward = batch.reward.gather(-1, batch.query[:, :-1])
    return reward + config.gamma * f[:, 1:].detach() - f[:, :-1], f[:, :-1]


def loss(parameters: Parameters, batch: Batch, config: PretrainConfig) -> Float[Tensor, ""]:
    """The mean squared TD error (semi-gradient), or the mean squared error to the exact value."""
    if config.loss == "td":
        return td_errors_of(parameters, batch, config)[0].square().mean()
    return inside(value_error)(parameters, batch, config)


@door
def value_error(
    parameters: Parameters, batch: Batch, config: PretrainConfig, n_layers: Count | None = None
) -> Float[Tensor, ""]:
    """Mean squared difference between the answers and the exact values of the query states."""
    return (inside(answers)(parameters, batch, config, n_layers) - batch.exact)[:, :-1].square().mean()


def each_seed(
    function: Callable[..., Tensor], theta: Parameters, config: PretrainConfig, *batch: Tensor
) -> Float[Tensor, " n_seeds"]:
    """function(theta, *batch) of every seed: one vmap over the first axis of all. PyTorch's own layers, of which the
    stock network is made, take no vmap: there the seeds go one after the other."""
    if config.architecture != "stock":
        return vmap(function)(theta, *batch)
    one_by_one = range(len(config.seeds))
    return torch.stack([function({k: p[i] for k, p in theta.items()}, *(t[i] for t in batch)) for i in one_by_one])


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
        return each_seed(
            lambda theta, *one: loss(theta, Batch(*one), self.config), dict(self.theta), self.config, *batch
        )


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


@door
def neu_loss(parameters: Parameters, batch: Batch, config: PretrainConfig, n_groups: Count = 32) -> NeuEstimate:
    """J = ||E[delta grad f]||, the norm of the expected update, by the norm of the mean over groups of tasks.

    On average noise lengthens a mean, so the estimate is biased upwards and stops at a sampling floor (`neu_squared`
    is not biased). The standard error is that of the mean in its own direction. n_groups must divide the number of
    tasks (else ValueError).
    """
    g = _checked_groups(parameters, batch, config, n_groups)
    mean = g.mean(0)
    direction = nn.functional.normalize(mean, dim=0)
    return NeuEstimate(mean.norm().item(), ((g @ direction).std() / math.sqrt(n_groups)).item())


@door
def neu_squared(parameters: Parameters, batch: Batch, config: PretrainConfig, n_groups: Count = 32) -> NeuEstimate:
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
