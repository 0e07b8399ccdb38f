"""What did the network learn? Learned against constructed parameters, after removing what cannot be identified.

Softmax does not see a constant added to all scores of one query. With features whose entries sum to the same number for
every state (one-hot ones do), adding a constant to a column of A does exactly that; so columns are centred before
comparing (mathematics, section 5). What two networks compute is compared on prompts neither was trained on.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from icrl_teach._door import door, inside
from icrl_teach._validate import Count
from icrl_teach.losses import (
    Batch,
    Parameters,
    PretrainConfig,
    answers,
    constructed_parameters,
    held_out,
    value_error,
)
from icrl_teach.pretraining import PretrainingResult
from icrl_teach.prompt import reward_row, value_row

TD_ROW = (1.0, 1.0, -1.0)


@door
def centre_columns(A: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """A with the mean of each column removed: what softmax can see of A, if features are one-hot and all d occur.

    Where d exceeds the number of states, cut A to the features that occur before centring: nothing trained the others,
    and their noise would move the means.

    >>> centre_columns(torch.tensor([[3.0, 0.0], [1.0, 2.0]])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    return A - A.mean(dim=-2, keepdim=True)


class Alignment(NamedTuple):
    """scale: the multiple of the target that fits best (least squares); cosine: 1 if nothing else is left."""

    scale: float
    cosine: float


def _align(learned: Tensor, target: Tensor) -> Alignment:
    product, length = (learned * target).sum(), learned.norm() * target.norm()
    cosine = (product / length).item() if length > 0 else 0.0  # nothing learned points nowhere
    return Alignment((product / target.square().sum()).item() if target.any() else 0.0, cosine)


@door
def align_row(row: Float[Tensor, " 3"]) -> Alignment:
    """V's free row against (1, 1, -1), the row of the TD error: the scale is the fitted step alpha.

    >>> align_row(torch.tensor([2.0, 2.0, -2.0])).scale
    2.0
    """
    return _align(row, torch.tensor(TD_ROW, dtype=row.dtype, device=row.device))


@door
def align_scores(A: Float[Tensor, "d d"], centre: bool = True) -> Alignment:
    """A's feature block against the identity: the scale is the fitted beta.

    A: the rows and columns of features that occur; the others hold noise that nothing trained (see `used_features`).
    centre: remove the column means of both first; right where softmax cannot see them (see `sees_column_means`).
    """
    eye = torch.eye(len(A), dtype=A.dtype, device=A.device)
    return _align(inside(centre_columns)(A), inside(centre_columns)(eye)) if centre else _align(A, eye)


def sees_column_means(config: PretrainConfig) -> bool:
    """Whether a constant added to a column of A's feature block changes the network.

    Not under softmax with one-hot or aggregated features: each row sums to the same number, so all scores of a query
    move together. Random features and other normalisations see it.
    """
    return config.normalisation != "softmax" or config.features == "random"


def used_features(config: PretrainConfig) -> int:
    """How many of the d features occur in some task: one-hot features beyond the largest task's states never do."""
    return config.n_states[1] if config.features == "one-hot" else config.d


def _fit_scores(A: Tensor, config: PretrainConfig) -> Alignment:
    used = used_features(config)
    return inside(align_scores)(A[:used, :used], centre=not sees_column_means(config))


@door
def learned_parts(
    parameters: Parameters, config: PretrainConfig
) -> tuple[Float[Tensor, "n_layers 3"], Float[Tensor, "n_layers d d"]]:
    """V's row d+2, columns d..d+2, and A's feature block, of each layer (one if tied): all there is, if masked.

    Where layers are separate, the first one's row cannot be told beyond its reward entry: it reads memory that is
    still zero, so the other two entries stay the noise they began as.
    """
    V, A, d = parameters["V"], parameters["A"], config.d
    return (V, A) if config.masked else (V[:, value_row(d), reward_row(d) :], A[:, :d, :d])


class Agreement(NamedTuple):
    """Root mean square over held-out windows, of values whose own spread is `spread`."""

    difference: float  # learned against weighted softmax TD with the fitted alpha and beta
    learned: float  # learned against the exact value
    constructed: float  # weighted softmax TD with the fitted alpha and beta against the exact value
    spread: float  # standard deviation of the exact values


@door
def function_agreement(
    parameters: Parameters, batch: Batch, config: PretrainConfig, n_layers: int | None = None
) -> Agreement:
    """How far what was learned is from weighted softmax TD with the fitted alpha and beta, on the windows of `batch`.

    parameters: tied, of one seed; n_layers: another depth than the config's. Raises ValueError for separate layers:
    they have no single alpha and beta.
    """
    if not config.tied:
        raise ValueError("the layers are separate, without one alpha and beta; compare with answers(...) instead")
    rows, scores = inside(learned_parts)(parameters, config)
    alpha, beta = inside(align_row)(rows[0]).scale, _fit_scores(scores[0], config).scale
    fitted_parameters = {k: v.to(rows) for k, v in constructed_parameters(config, alpha, beta).items()}
    learned = inside(answers)(parameters, batch, config, n_layers)[:, :-1]
    fitted = inside(answers)(fitted_parameters, batch, config, n_layers)[:, :-1]
    exact = batch.exact[:, :-1]

    def rms(difference: Tensor) -> float:
        return difference.square().mean().sqrt().item()

    return Agreement(rms(learned - fitted), rms(learned - exact), rms(fitted - exact), exact.std().item())


def _constructed_error(config: PretrainConfig, batch: Batch) -> float:
    """Of Theorem 1's parameters, beta 4: in the trained architecture, or in the paper's beside the stock network."""
    if config.architecture == "stock":
        config = replace(config, architecture="shift", masked=True, normalisation="softmax")
    return inside(value_error)(constructed_parameters(config), batch, config).item()


@door
def summarise(result: PretrainingResult, n_tasks: Count = 2048) -> dict[str, Any]:
    """What came out of each seed, as plain data, judged on `n_tasks` held-out tasks of the family trained on.

    Keys: settings, steps, constructed_error (Theorem 1's parameters with beta 4, as deep), constant_error (the best
    constant answer, the variance of the exact values), and runs: for each seed and layer the row of V, its alpha and
    cosine, A's beta and cosine, and the seed's error. Errors are mean squared differences to the exact value. The stock
    network has no V and A to compare: its runs hold seed and error, and the constructed network stands beside it.
    """
    config = result.config
    batch = held_out(config, n_tasks=n_tasks)[config.family]
    runs = []
    for index, seed in enumerate(config.seeds):
        parameters = {name: value.cpu() for name, value in result.of_seed(index).items()}
        error = inside(value_error)(parameters, batch, config).item()
        if config.architecture == "stock":
            runs.append({"seed": seed, "layer": 0, "error": error})
            continue
        for layer, (row, A) in enumerate(zip(*inside(learned_parts)(parameters, config), strict=True)):
            V, A_fit = inside(align_row)(row), _fit_scores(A, config)
            fits = {"alpha": V.scale, "V_cosine": V.cosine, "beta": A_fit.scale, "A_cosine": A_fit.cosine}
            runs.append({"seed": seed, "layer": layer, "V": row.tolist(), **fits, "error": error})
    return {
        "settings": asdict(config),
        "steps": result.steps,
        "constructed_error": _constructed_error(config, batch),
        "constant_error": batch.constant_error(),
        "runs": runs,
    }
