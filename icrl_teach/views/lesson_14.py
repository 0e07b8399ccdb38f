"""Lesson 14: a stock Transformer from inside, head by head, and what its answers are compared with.

The network is the one that ships with the course (`pretraining/weights.py`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes

from icrl_teach.figures import PALETTE, STYLE, View, heat_map, new_figure
from icrl_teach.losses import (
    PretrainConfig,
    answers,
    constructed_parameters,
    draw_batch,
    held_out,
    value_error,
    window_prompts,
)
from icrl_teach.pretraining import PretrainingResult, StockTransformer, shipped_stock
from icrl_teach.probes import ask, certainty_equivalence, head_scores, posterior_value
from icrl_teach.two_heads import TwoHeadTransformer, two_head_prompt
from icrl_teach.views import lesson_10


def distances(answers: torch.Tensor, batch: Any, gamma: float, prior: str = "boyan") -> tuple[float, float]:
    """Mean squared distance of answers, (B, W+1), to the certainty-equivalence value and to the posterior mean."""
    known = certainty_equivalence(batch, gamma), posterior_value(batch, gamma, prior, 60)
    near, far = (float((answers - ask(values, batch)).square().mean()) for values in known)
    return near, far


NETWORKS = ("stock", "untrained", "constructed")
N_PROMPTS = 128


@lru_cache(maxsize=1)
def held_out_prompts() -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts of Boyan chains that no training drew, (B, d+3, n+1), and the states of their columns."""
    config = shipped_stock().config
    batch = held_out(config)["boyan"]
    prompts = window_prompts(batch)[:N_PROMPTS, 0]
    return prompts, batch.states[:N_PROMPTS, : prompts.shape[-1]]


@lru_cache(maxsize=3)
def attention_of(network: str) -> np.ndarray:
    """(layers, prompts, heads, source, query): attention on `held_out_prompts`, of one of NETWORKS."""
    result, (prompts, _) = shipped_stock(), held_out_prompts()
    if network == "constructed":
        Z, _ = two_head_prompt(prompts)
        model = TwoHeadTransformer.constructed(result.config.d, 1, result.config.gamma, beta=4.0)
        scores = torch.stack([Z.mT @ A[0].to(Z) @ Z for A in (model.A1, model.A2)], dim=1)
        scores[..., -1, :] = -torch.inf
        return torch.softmax(scores, dim=-2).expand(result.config.n_layers, -1, -1, -1, -1).numpy()
    read: Any = result.model() if network == "stock" else StockTransformer(result.config).requires_grad_(False)
    return read.trace(prompts)[1].numpy()


def attention_view(network: str, layer: int, head: int) -> View:
    """Left: whom a column of each state hears, by the source's state. Right: the head's scores, beside an even spread.

    network: one of NETWORKS; layer: 1 to the depth; head: 1 or 2.
    """
    E, (_, states) = attention_of(network)[layer - 1, :, head - 1], held_out_prompts()
    scores = head_scores(torch.as_tensor(E)[None, :, None], states)
    mean = {name: score.mean(-1)[:, 0] for name, score in scores.items()}
    following = mean[SUCCESSOR][0]
    by_state = _by_state(E, states.numpy())
    figure, (left, right) = new_figure(1, 2, size=(10.0, 4.2), fitted=False)
    left.set_position((0.07, 0.17, 0.36, 0.7))
    right.set_position((0.66, 0.17, 0.32, 0.7))
    who = f"{network}, layer {layer}, head {head}"
    heat_map(by_state, title="Whom a state's columns hear", xlabel="query's state", ylabel="source's state", ax=left)
    figure.axes[-1].set_position((0.44, 0.17, 0.012, 0.7))
    _draw_scores(right, mean, who)
    alt = (
        f"{who}. Left: a heat map of attention by state of source and query; a column gives "
        f"{mean['the same state'][0]:.2f} of its attention to its own state. Right: bars of five scores beside what "
        f"attention spread evenly would give; to the successor's state {following:.2f}."
    )
    lines = [f"{name:24}{head_mean:6.2f}   even {even:.2f}" for name, (head_mean, even) in mean.items()]
    return View(figure, alt, "\n".join([who, *lines]))


def seed_table(result: PretrainingResult, n_tasks: int = 512) -> str:
    """A line for each seed: errors on held-out tasks of the three families and under new names, and the head that
    hears the successor's state most and the one that hears its own most, as "score (layer.head)"."""
    tests = held_out(result.config, n_tasks=n_tasks)
    tests["new names"] = renamed(tests["boyan"])
    states = tests["boyan"].states[:, : result.config.n_context[0] + 1]
    lines = ["seed" + "".join(f"{name:>10}" for name in tests) + "   successor heard  own state heard"]
    for index, seed in enumerate(result.config.seeds):
        read: Any = result.model(index)
        with torch.no_grad():
            errors = [(read(window_prompts(each)) - each.exact).square().mean().item() for each in tests.values()]
            scores = head_scores(read.trace(window_prompts(tests["boyan"])[:, 0])[1], states)
        told = "".join(f"{error:10.3f}" for error in errors)
        lines.append(f"{seed:4}{told}   {_best(scores[SUCCESSOR]):15}  {_best(scores[OWN])}")
    return "\n".join(lines)


OWN, SUCCESSOR = "the same state", "the successor's state"


def _best(score: np.ndarray) -> str:
    """The largest mean over tasks of (layers, heads, tasks) scores, and which head it belongs to, from 1."""
    mean = score[:-1].mean(-1)  # the last layer is the even spread
    layer, head = divmod(int(mean.argmax()), mean.shape[1])
    return f"{float(mean.max()):.2f} ({layer + 1}.{head + 1})"


def _by_state(E: np.ndarray, states: np.ndarray) -> np.ndarray:
    """(S, S): of all that columns in a state hear, the share from sources in each state; the query is left out."""
    one_hot = np.eye(states.max() + 1)[states][:, :-1]  # (B, n, S)
    heard = np.einsum("bis,bij,bjt->st", one_hot, E[:, :-1, :-1], one_hot)
    return heard / heard.sum(axis=0, keepdims=True)


def _draw_scores(ax: Axes, mean: dict[str, np.ndarray], who: str) -> None:
    with matplotlib.rc_context(STYLE):
        place = np.arange(len(mean))
        ax.barh(place - 0.2, [each[0] for each in mean.values()], 0.36, color=PALETTE[0], label="this head")
        even = [each[1] for each in mean.values()]
        ax.barh(place + 0.2, even, 0.36, color=PALETTE[1], hatch="//", edgecolor="white", label="spread evenly")
        ax.set_yticks(place, list(mean))
        ax.invert_yaxis()
        ax.set_xlim(0, 1)
        ax.set_xlabel("share of a column's attention")
        ax.grid(visible=False, axis="y")
        ax.legend(loc="lower right")
        ax.set_title(who)


def methods(batch: Any, stock: StockTransformer) -> dict[str, torch.Tensor]:
    """Each method's answers for the queries of a batch, (B, W+1): by name.

    The constructed network, as deep as `stock`, takes that beta of 2, 4 and 8 that is best on this batch; batch TD is
    the construction at beta 40; "trained masked" is the first seed of lesson 10's recorded run, 4 layers.
    """
    config = PretrainConfig(n_layers=stock.config.n_layers, gamma=stock.config.gamma)
    last = lesson_10.recorded()
    masked = {name: torch.tensor(getattr(last, name)[-1, :1], dtype=torch.float32) for name in "VA"}
    built = [answers(constructed_parameters(config, beta=beta), batch, config) for beta in (2.0, 4.0, 8.0)]

    def posterior(prior: str) -> torch.Tensor:
        return ask(posterior_value(batch, config.gamma, prior, 60), batch).float()

    return {
        "constructed, best beta": min(built, key=lambda v: float((v - batch.exact).square().mean())),
        "batch TD, as deep": answers(constructed_parameters(config, beta=40.0), batch, config),
        "trained masked": answers(masked, batch, config, n_layers=4),
        "stock": stock(window_prompts(batch)),
        "certainty equivalence": ask(certainty_equivalence(batch, config.gamma), batch).float(),
        "posterior, flat prior": posterior("random"),
        "posterior, Boyan prior": posterior("boyan"),
    }


def renamed(batch: Any) -> Any:
    """The same tasks and windows, in each of which other one-hot vectors stand for the states."""
    n_tasks, n_states = batch.reward.shape
    order = torch.rand(n_tasks, n_states, generator=torch.Generator().manual_seed(0)).argsort(dim=1)
    return batch._replace(features=batch.features[torch.arange(n_tasks)[:, None], order])


def errors_when(model: StockTransformer, **change: Any) -> tuple[float, float]:
    """Mean squared errors on 256 Boyan chains drawn with a change of the config: constructed, beta 4, and model."""
    drawn = {"n_layers": model.config.n_layers, "n_context": (20, 20), "n_tasks": 256, "n_windows": 1}
    config = PretrainConfig(**{**drawn, **change})
    batch = draw_batch(config, torch.Generator().manual_seed(7))
    with torch.no_grad():
        off = (model(window_prompts(batch)) - batch.exact)[:, :-1]
        built = value_error(constructed_parameters(config), batch, config)
    return float(built), float(off.square().mean())
