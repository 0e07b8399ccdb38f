"""Families of Markov reward processes, one at a time and by the thousand (mathematics, section 1).

Boyan chains and loops are the families of Wang et al., arXiv 2405.13861.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from jaxtyping import Float, Int

from icrl_teach._door import door
from icrl_teach._validate import Count, Gamma, Probability, check_count, one_of
from icrl_teach.mrp import MarkovRewardProcess

if TYPE_CHECKING:
    import torch

FAMILIES = ("boyan", "loop", "random")
Family = Annotated[str, one_of(*FAMILIES)]


@door
def boyan_chain(n_states: int, gamma: Gamma, rng: np.random.Generator) -> MarkovRewardProcess:
    """A random Boyan chain: state i goes to i+1 with a random probability, else to i+2.

    State S-2 goes to S-1; the last state goes to a random distribution over all states; r is uniform on [-1, 1].
    Raises ValueError for n_states < 3 or gamma outside [0, 1).
    """
    S = check_count("n_states", n_states, 3)
    P = np.zeros((S, S))
    forward = rng.random(S - 2)
    P[np.arange(S - 2), np.arange(1, S - 1)] = forward
    P[np.arange(S - 2), np.arange(2, S)] = 1.0 - forward
    P[S - 2, S - 1] = 1.0
    P[S - 1] = rng.dirichlet(np.ones(S))
    return MarkovRewardProcess(P, rng.uniform(-1, 1, S), gamma)


@door
def loop(n_states: int, gamma: Gamma, rng: np.random.Generator, threshold: Probability = 0.5) -> MarkovRewardProcess:
    """A random loop: i always leads to i+1 mod S, and to each other state with probability 1 - threshold.

    No self-loops; the weights are random, positive and normalised; r is uniform on [-1, 1].
    Raises ValueError for n_states < 2, gamma outside [0, 1) or threshold outside [0, 1].
    """
    S = check_count("n_states", n_states, 2)
    connected = rng.random((S, S)) > threshold
    connected[np.arange(S), np.arange(1, S + 1) % S] = True
    connected[np.arange(S), np.arange(S)] = False
    weights = connected * (1.0 - rng.random((S, S)))  # in (0, 1], so that a connection never gets weight 0
    return MarkovRewardProcess(weights / weights.sum(axis=1, keepdims=True), rng.uniform(-1, 1, S), gamma)


@door
def random_mrp(n_states: int, gamma: Gamma, rng: np.random.Generator) -> MarkovRewardProcess:
    """A random process: each row of P uniform over all distributions (Dirichlet), r uniform on [-1, 1].

    Raises ValueError for n_states < 1 or gamma outside [0, 1).
    """
    S = check_count("n_states", n_states)
    return MarkovRewardProcess(rng.dirichlet(np.ones(S), size=S), rng.uniform(-1, 1, S), gamma)


@door
def sample_family(family: Family, n_states: int, gamma: Gamma, rng: np.random.Generator) -> MarkovRewardProcess:
    """One process of the family named 'boyan', 'loop' or 'random'. Raises ValueError for another name."""
    makers = {"boyan": boyan_chain, "loop": loop, "random": random_mrp}
    return makers[family](n_states, gamma, rng)


@door
@dataclass(frozen=True, eq=False)
class TaskBatch:
    """B processes of one size as tensors: transition (B, S, S), reward (B, S), gamma in [0, 1).

    The start distribution is uniform. All on one device; float32 unless made otherwise.
    Raises ValueError for shapes that don't fit, rows of P that are no distributions, or gamma outside [0, 1).
    """

    transition: Float[torch.Tensor, "n_tasks n_states n_states"]
    reward: Float[torch.Tensor, "n_tasks n_states"]
    gamma: Gamma

    def __post_init__(self) -> None:
        P, (n_tasks, S) = self.transition, self.reward.shape
        if P.shape != (n_tasks, S, S):
            raise ValueError(f"transition has shape {tuple(P.shape)}; reward asks for {(n_tasks, S, S)}")
        if not (P.min() >= 0 and (P.sum(-1) - 1.0).abs().max() < 1e-4):  # also where an entry is NaN
            raise ValueError("a row of transition is no distribution: entries are 0 or more and sum to 1")

    def value(self) -> Float[torch.Tensor, "n_tasks n_states"]:
        """The exact values, one solve for all tasks: v = r + gamma P v."""
        import torch

        eye = torch.eye(self.reward.shape[1], dtype=self.reward.dtype, device=self.reward.device)
        return torch.linalg.solve(eye - self.gamma * self.transition, self.reward)

    @door
    def sample(
        self, n_steps: Count, generator: torch.Generator
    ) -> tuple[Int[torch.Tensor, "n_tasks n_plus_1"], Float[torch.Tensor, "n_tasks n"]]:
        """One trajectory a task: states (B, n+1) and rewards (B, n). All tasks step together.

        Raises ValueError for n_steps < 1.
        """
        import torch

        n_tasks, S = self.reward.shape
        device, dtype = self.reward.device, self.transition.dtype
        cumulative = self.transition.cumsum(-1)
        # Rounding must not select a state of probability 0: the last possible state takes all that is left.
        cumulative.masked_fill_(cumulative >= cumulative[..., -1:], 2.0)
        # The next state is the number of boundaries that a uniform number has reached. Chains run along the last
        # axis, and counting is a product with ones: both keep each step to a few fast passes over memory.
        boundaries = cumulative.reshape(n_tasks * S, S).T[:-1].contiguous()
        ones = torch.ones(S - 1, dtype=dtype, device=device)
        first_row = torch.arange(0, n_tasks * S, S, dtype=torch.int32, device=device)
        uniforms = torch.rand(n_steps, n_tasks, generator=generator, device=device)
        states = [torch.randint(S, (n_tasks,), generator=generator, device=device, dtype=torch.int32)]
        for u in uniforms:
            reached = boundaries.index_select(1, first_row + states[-1]).le_(u)
            states.append((ones @ reached).int())
        path = torch.stack(states, dim=1).long()
        return path, self.reward.gather(1, path[:, :-1])


@door
def sample_tasks(
    family: Family,
    n_tasks: Count,
    n_states: int,
    gamma: Gamma,
    generator: torch.Generator,
    threshold: Probability = 0.5,
) -> TaskBatch:
    """B fresh processes of a family ('boyan', 'loop' or 'random'), drawn together on the generator's device.

    The same distributions as `boyan_chain`, `loop` and `random_mrp`. Raises ValueError as they do.
    """
    import torch

    B, S = n_tasks, check_count("n_states", n_states, {"boyan": 3, "loop": 2, "random": 1}[family])
    device = generator.device

    def uniform(*shape: int) -> torch.Tensor:  # in (0, 1], so that logarithms and weights are safe
        return 1.0 - torch.rand(*shape, generator=generator, device=device)

    if family == "random":
        weights = -uniform(B, S, S).log()  # exponentials, normalised, are Dirichlet(1, ..., 1)
    elif family == "loop":
        i = torch.arange(S, device=device)
        connected = uniform(B, S, S) > threshold
        connected[:, i, (i + 1) % S] = True
        connected[:, i, i] = False
        weights = connected * uniform(B, S, S)
    else:
        weights = torch.zeros(B, S, S, device=device)
        one_ahead, two_ahead = weights.diagonal(1, -2, -1), weights.diagonal(2, -2, -1)  # views: writing fills weights
        one_ahead[:, :-1] = uniform(B, S - 2)
        one_ahead[:, -1] = 1.0
        two_ahead[:] = 1.0 - one_ahead[:, :-1]
        weights[:, S - 1] = -uniform(B, S).log()
    reward = 2.0 * uniform(B, S) - 1.0
    return TaskBatch(weights.div_(weights.sum(-1, keepdim=True)), reward, gamma)
