"""The network's parameters, and its answer f(theta; w) for the state at the end of window w.

Two ways to compute f, equal to rounding (tested). With masked parameters, all values live on states, so a window is
summed up by its transition counts, scores are shared by all windows of a task, and no (d+3)-sized product is left.
With every entry free, the full matrix form of `transformer.py` runs on every window's prompt. The stock network
(`stock.py`) reads prompts too.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from icrl_teach._door import door, inside
from icrl_teach._validate import Count, Seed
from icrl_teach.attention import softmax_attention
from icrl_teach.pretraining.batches import Batch, window_prompts
from icrl_teach.pretraining.config import PretrainConfig, parameter_shapes
from icrl_teach.pretraining.stock import stock_answers, stock_noise
from icrl_teach.prompt import reward_row, value_row
from icrl_teach.transformer import SoftmaxTransformer, time_shift
from icrl_teach.two_heads import TwoHeadTransformer

Parameters = dict[str, Tensor]


@door
def initial_parameters(config: PretrainConfig, seed: Seed) -> Parameters:
    """Noise to start from, in `parameter_shapes`."""
    generator = torch.Generator().manual_seed(seed)
    if config.architecture == "stock":
        return stock_noise(config, generator)
    return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in parameter_shapes(config).items()}


@door
def constructed_parameters(config: PretrainConfig, alpha: float = 1.0, beta: float = 4.0) -> Parameters:
    """Theorem 1's parameters in the form that training uses: V's free row alpha (1, 1, -1), A = beta I.

    With two heads, V2's row is gamma alpha (1, 1, -1) and A2 = beta I. Raises ValueError for the stock network.
    """
    if config.architecture == "stock":
        raise ValueError("architecture is 'stock'; nobody has constructed its parameters: train them")
    layers = 1 if config.tied else config.n_layers
    if config.masked:
        row = alpha * torch.tensor([1.0, 1.0, -1.0])
        first = {"V": row.repeat(layers, 1), "A": beta * torch.eye(config.d).repeat(layers, 1, 1)}
        if config.architecture == "two-heads":
            return first | {"V2": config.gamma * first["V"], "A2": first["A"].clone()}
        return first
    model = SoftmaxTransformer.constructed(config.d, 1, config.gamma, alpha, beta)
    return {"V": model.V.float().repeat(layers, 1, 1), "A": model.A.float().repeat(layers, 1, 1)}


def to_transformer(parameters: Parameters, config: PretrainConfig) -> SoftmaxTransformer:
    """The network with these parameters, in full (d+3) x (d+3) matrices, frozen. Raises ValueError unless it is the
    paper's (the stock network: `stock_transformer`)."""
    if config.architecture != "shift":
        raise ValueError(f"architecture is {config.architecture!r}; only 'shift' makes a SoftmaxTransformer")
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


def to_two_heads(parameters: Parameters, config: PretrainConfig) -> TwoHeadTransformer:
    """The network of two heads with these parameters, without a sink, frozen."""
    d = config.d
    model = TwoHeadTransformer(d, config.n_layers, config.gamma, config.tied)
    reward, target, value = range(2 * d, 2 * d + 3)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.V1[:, value, reward:], model.V2[:, target, reward:] = parameters["V"], parameters["V2"]
        model.A1[:, :d, :d], model.A2[:, :d, d : 2 * d] = parameters["A"], parameters["A2"]
    return model.requires_grad_(False)


@door
def answers(parameters: Parameters, batch: Batch, config: PretrainConfig, n_layers: Count | None = None) -> Tensor:
    """f(theta; w) of every window, (B, W+1): the network's value of the state at the window's end.

    n_layers: another depth than the config's, for tied parameters (deeper at test time than in training).
    Raises ValueError for n_layers < 1, or another depth than the config's for separate layers.
    """
    depth = config.n_layers if n_layers is None else n_layers
    if not config.tied and depth != config.n_layers:
        raise ValueError(
            f"n_layers is {depth}; these parameters are separate for {config.n_layers} layers, no more or less"
        )
    if config.architecture == "stock":
        return stock_answers(parameters, batch, replace(config, n_layers=depth))
    order = [0 if config.tied else layer for layer in range(depth)]
    run = masked_answers if config.masked else free_answers
    return run(parameters, batch, config, order)


def masked_answers(parameters: Parameters, batch: Batch, config: PretrainConfig, order: list[int]) -> Tensor:
    """The answers under masked parameters, by the operator view on states (eq. 20): v' = v + M D, for every window.

    D(s) is the mean error of the window's transitions that leave s, V_r r + V_t gamma (P v) + V_v v with P their
    frequencies; M(s, s') is the weight that query s gives to all of those that leave s'. With Theorem 1's row
    (1, 1, -1), D is the mean TD error. Target memory of a step into s' is gamma v(s') by the shift; a second head
    gathers it instead, by what it hears on behalf of s'.
    """
    x, leaving = batch.features, batch.counts.sum(-1)  # (B, S, d), (B, W+1, S): n_s of each window
    P = batch.counts / leaving.clamp_min(1.0)[..., None]  # (B, W+1, S, S)
    heads = [head for head in ("", "2") if f"A{head}" in parameters]
    M = {}  # scores read features only, so that a layer's weights need no answers: tied layers share one M
    for layer, head in product(dict.fromkeys(order), heads):
        M[layer, head] = _weights(x @ parameters[f"A{head}"][layer].mT @ x.mT, leaving, config.normalisation)
    v = t = torch.zeros_like(leaving)
    discount = 1.0 if "2" in heads else config.gamma  # a second head's target memory is discounted by V2
    for layer in order:
        written = {}
        for head in heads:
            V = parameters[f"V{head}"][layer]
            D = V[0] * batch.reward[:, None] + V[1] * discount * (P @ t[..., None])[..., 0] + V[2] * v
            written[head] = (M[layer, head] @ D[..., None])[..., 0]
        v = v + written[""]
        t = t + written["2"] if "2" in heads else v
    return v.gather(-1, batch.query[..., None])[..., 0]


def _weights(scores: Tensor, leaving: Tensor, normalisation: str) -> Tensor:
    """M(s, s') of every window, (B, W+1, S, S), from scores (B, S, S), query s in rows, and n_s (B, W+1, S)."""
    scores, times = scores[:, None], leaving[:, :, None]
    if normalisation == "softmax":
        return torch.softmax(scores + times.log(), dim=-1)  # log 0 = -inf: a state never left has no weight
    return (scores.sigmoid() if normalisation == "sigmoid" else scores) * times / times.sum(-1, keepdim=True)


def free_answers(parameters: Parameters, batch: Batch, config: PretrainConfig, order: list[int]) -> Tensor:
    """The answers with every entry of V and A free: the full matrix form on every window's prompt."""
    Z = window_prompts(batch)
    for layer in order:
        V, A = parameters["V"][layer], parameters["A"][layer]
        Z = inside(time_shift)(Z + V @ Z @ _attention(Z, A, config.normalisation), config.gamma)
    return Z[..., value_row(config.d), -1]


def _attention(Z: Tensor, A: Tensor, normalisation: str) -> Tensor:
    if normalisation == "softmax":
        return inside(softmax_attention)(Z, A)
    scores = Z.mT @ A @ Z
    weights = (scores.sigmoid() if normalisation == "sigmoid" else scores) / (Z.shape[-1] - 1)
    keep = torch.arange(Z.shape[-1], device=Z.device) < Z.shape[-1] - 1  # the query column is no source
    return weights * keep[:, None]
