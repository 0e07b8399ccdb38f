"""Looking inside a trained Transformer: linear probes, attention by head, and what its answers are compared with.

A probe asks whether a quantity can be read off the residual stream by a straight line. It finds much in any network, so
a result means little without its controls: an untrained network, shuffled labels, inputs only (mathematics, section 5).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from icrl_teach._door import door
from icrl_teach._validate import Count, Natural, shown
from icrl_teach.pretraining.batches import Batch, window_prompts
from icrl_teach.transformer import SoftmaxTransformer

ROUNDING = 1e-5  # of the largest singular value: below it lies what single precision rounds, no input to read from


class ProbeScore(NamedTuple):
    """The share of the target's variance that a probe explains in the folds left out: mean and standard deviation."""

    r2: float
    spread: float


@door
def linear_probe(
    inputs: Float[np.ndarray, "n k"],
    target: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    n_folds: Count = 5,
) -> ProbeScore:
    """Least squares from the inputs to the target, cross-validated over groups, such as tasks.

    Rows of one group are never on both sides: a task's rows share its rewards, and would give the answer away. Each
    score is 1 - squared error / squared error of the training rows' mean: 0 is "no better than a constant", less than 0
    is worse. Raises ValueError for fewer than 2 folds, fewer groups than folds, or a target constant in a fold.
    """
    names = np.unique(groups)
    if not 2 <= n_folds <= len(names):
        raise ValueError(f"n_folds is {n_folds}; it must be at least 2, and at most the {len(names)} different groups")
    fold = np.searchsorted(names, groups) % n_folds
    X = np.column_stack([inputs, np.ones(len(inputs))])
    scores = []
    for k in range(n_folds):
        learn, test = fold != k, fold == k
        weights = np.linalg.lstsq(X[learn], target[learn], rcond=ROUNDING)[0]
        constant = np.square(target[test] - target[learn].mean()).sum()
        if constant == 0:
            raise ValueError(f"target is {shown(float(target[0]))} throughout a fold; there is nothing to explain")
        scores.append(1.0 - np.square(target[test] - X[test] @ weights).sum() / constant)
    return ProbeScore(float(np.mean(scores)), float(np.std(scores)))


def probe_targets(batch: Batch, gamma: float, n_layers: int, beta: float = 4.0) -> dict[str, Tensor]:
    """What a network might hold of each column of a batch's first windows: (B, n+1) each, by name.

    `v_l` of weighted softmax TD, `error_l` its TD error before layer l + 1, `next_l` the successor's value (target
    memory), l up to n_layers, and `limit`, the certainty-equivalence value. At the last column, the query, errors and
    successors are 0: leave it out where they are probed.
    """
    first = Batch(*(t[:, :1] if name == "counts" else t for name, t in batch._asdict().items()))
    prompts = window_prompts(batch)[:, 0].double()
    trace = SoftmaxTransformer.constructed(batch.features.shape[-1], n_layers, gamma, beta=beta).trace(prompts)
    reward, following, value = trace[..., -3, :], trace[..., -2, :], trace[..., -1, :]
    found = {f"v_{layer}": value[layer] for layer in range(1, n_layers + 1)}
    found |= {f"next_{layer}": following[layer] for layer in range(1, n_layers + 1)}
    error = reward + following - value
    error[..., -1] = 0.0
    found |= {f"error_{layer}": error[layer] for layer in range(n_layers + 1)}
    columns = batch.states[:, : prompts.shape[-1]]
    return found | {"limit": certainty_equivalence(first, gamma)[:, 0].gather(-1, columns)}


def certainty_equivalence(batch: Batch, gamma: float) -> Float[Tensor, "n_tasks n_windows n_states"]:
    """The value of the chain that each window shows, of every state: frequencies, then solve. In double precision.

    A state that was never left has value 0, as in `certainty_equivalence_value`.
    """
    visits = batch.counts.double().sum(-1)
    P = batch.counts.double() / visits.clamp_min(1.0)[..., None]
    return _values(P, batch.reward.double()[:, None] * (visits > 0), gamma)


def _values(P: Tensor, reward: Tensor, gamma: float) -> Tensor:
    return torch.linalg.solve(torch.eye(P.shape[-1], dtype=P.dtype) - gamma * P, reward)


PRIORS = ("boyan", "random")


@door
def posterior_value(
    batch: Batch, gamma: float, prior: str, n_samples: Count = 100, seed: Natural = 0
) -> Float[Tensor, "n_tasks n_windows n_states"]:
    """The mean value of every state over the chains that a window leaves possible: the best answer, if the prior is so.

    prior: "random" (each row of P uniform over all distributions, so Dirichlet) or "boyan" (a state goes one ahead with
    a uniform probability, else two; the last row is Dirichlet). Rewards of states that were left are known, others 0 on
    average. Estimated by n_samples draws. Raises ValueError for another prior.
    """
    if prior not in PRIORS:
        raise ValueError(f"prior is {shown(prior)}; choose one of {', '.join(map(repr, PRIORS))}")
    counts, rng = batch.counts.double().numpy(), np.random.default_rng(seed)
    S = counts.shape[-1]
    pseudo = np.ones((S, S)) if prior == "random" else _boyan_steps(S)
    reward = batch.reward.double()[:, None] * (batch.counts.sum(-1) > 0)
    total = torch.zeros_like(reward)
    for _ in range(n_samples):
        weights = rng.gamma(np.where(pseudo > 0, pseudo + counts, 1.0)) * (pseudo > 0)
        total += _values(torch.tensor(weights / weights.sum(-1, keepdims=True)), reward, gamma)
    return total / n_samples


def _boyan_steps(S: int) -> np.ndarray:
    """1 where a Boyan chain may go: one or two ahead; from the last but one to the last; from the last anywhere."""
    steps = np.eye(S, k=1) + np.eye(S, k=2)
    steps[S - 1] = 1.0
    return steps


def ask(values: Float[Tensor, "n_tasks n_windows n_states"], batch: Batch) -> Float[Tensor, "n_tasks n_windows"]:
    """The value of each window's query, out of those of every state."""
    return values.gather(-1, batch.query[..., None])[..., 0]


HEARD = ("the same state", "the successor's state", "the next position", "itself", "the query")


@door
def head_scores(
    E: Float[Tensor, "n_layers n_tasks n_heads cols cols"], states: Int[Tensor, "n_tasks cols"]
) -> dict[str, Float[np.ndarray, "n_layers_and_1 n_heads n_tasks"]]:
    """How much of a context column's attention goes where, of each layer and head, on average over columns of a task.

    E: as `StockTransformer.trace` gives it, source in rows; states: those of the columns. Names: `HEARD`; of one source
    several may be true. The last layer of each array, (L+1, H, B), is what attention spread evenly would give.
    """
    C = states.shape[-1]
    own, place = states[:, :, None], torch.arange(C)
    where = {
        "the same state": own == states[:, None, :],
        "the successor's state": own == torch.roll(states, -1, dims=1)[:, None, :],
        "the next position": (place[:, None] == place[None, :] + 1).expand(len(states), C, C),
        "itself": torch.eye(C, dtype=torch.bool).expand(len(states), C, C),
        "the query": (place[:, None] == C - 1).expand(len(states), C, C),
    }
    even = torch.full_like(E[:1], 1.0 / C)
    everyone = torch.cat([E, even])
    return {
        name: (everyone * there[None, :, None]).sum(-2)[..., :-1].mean(-1).movedim(1, -1).numpy()
        for name, there in where.items()
    }
