"""One pretraining run, described. Free of torch, so that the command line reads defaults and choices from here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from icrl_teach._door import door
from icrl_teach._validate import Count, Gamma, Natural, Positive, check_count, one_of, shown
from icrl_teach.tasks import FAMILIES, Family

FEATURES = ("one-hot", "random", "aggregated")
NORMALISATIONS = ("softmax", "linear", "sigmoid")
LOSSES = ("td", "value")
ARCHITECTURES = ("shift", "two-heads", "stock")
POSITIONS = ("learned", "none")
CHOICES = {
    "architecture": ARCHITECTURES,
    "family": FAMILIES,
    "features": FEATURES,
    "normalisation": NORMALISATIONS,
    "loss": LOSSES,
    "positions": POSITIONS,
}
SEEDS = 1_000_000  # beyond, a run's tasks would be those of `held_out`


def _check_range(name: str, value: Any, least: int) -> tuple[int, int]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name} is {shown(value)}; it must be a pair (least, most), for example (6, 6)")
    low, high = (check_count(name, entry, least) for entry in value)
    if low > high:
        raise ValueError(f"{name} is {(low, high)}; it must be (least, most) with least <= most")
    return low, high


def _check_seeds(_name: str, seeds: Any) -> tuple[int, ...]:
    if not isinstance(seeds, tuple | list) or not seeds or len(set(map(str, seeds))) < len(seeds):
        raise ValueError(f"seeds is {shown(seeds)}; it must name one or more runs, each once, for example (0, 1, 2)")
    counts = tuple(check_count("seeds", seed, 0) for seed in seeds)
    if max(counts) >= SEEDS:
        raise ValueError(f"seeds is {shown(seeds)}; seeds are whole numbers from 0 to {SEEDS - 1:,}")
    return counts


@door
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
    architecture: shift (the paper's), two-heads (no shift; masked only), or stock, a Transformer as people build them
    (`stock.py`), whose own settings are width, n_heads, positions (learned or none), next_features (whether a token
    holds its successor's features) and causal; masked and normalisation are not for it.

    Raises ValueError, naming field, value and remedy.
    """

    family: Family = "boyan"
    features: Annotated[str, one_of(*FEATURES)] = "one-hot"
    feature_scale: Positive = 1.0
    n_states: Annotated[tuple[int, int], partial(_check_range, least=3)] = (6, 6)
    n_context: Annotated[tuple[int, int], partial(_check_range, least=1)] = (40, 40)
    d: Count = 6
    n_layers: Count = 4
    gamma: Gamma = 0.6
    n_tasks: Count = 128
    n_windows: Count = 2
    n_steps: Count = 2000
    learning_rate: Positive = 0.025
    warmup: Natural = 50
    clip: Positive = 1.0
    loss: Annotated[str, one_of(*LOSSES)] = "td"
    masked: bool = True
    normalisation: Annotated[str, one_of(*NORMALISATIONS)] = "softmax"
    tied: bool = True
    seeds: Annotated[tuple[int, ...], _check_seeds] = (0,)
    evaluate_every: Count = 100
    snapshot_every: Count = 50
    architecture: Annotated[str, one_of(*ARCHITECTURES)] = "shift"
    width: Count = 48
    n_heads: Count = 4
    positions: Annotated[str, one_of(*POSITIONS)] = "learned"
    next_features: bool = True
    causal: bool = False

    def __post_init__(self) -> None:
        least_states, most_states = self.n_states
        if self.features == "one-hot" and self.d < most_states:
            raise ValueError(
                f"d is {self.d}; one-hot features of up to {most_states} states need d of at least {most_states}"
            )
        if self.features == "aggregated" and self.d > least_states:
            raise ValueError(
                f"d is {self.d}; as few as {least_states} states aggregate into {least_states} groups at most: lower d"
            )
        if self.architecture == "two-heads" and not (self.masked and self.normalisation == "softmax"):
            raise ValueError("architecture is 'two-heads'; it is trained with masked=True and softmax attention only")
        if self.architecture == "stock" and self.width % self.n_heads:
            raise ValueError(f"width is {self.width}; {self.n_heads} heads need a multiple of {self.n_heads}")


def step_bytes(config: PretrainConfig) -> int:
    """About the most memory that one training step holds: each layer's scores, attention and their slopes (float32)."""
    columns = config.n_context[1] + 1
    prompts = config.n_tasks * (config.n_windows + 1) * len(config.seeds)
    if config.architecture == "stock":  # of each token, about 24 rows of its width a layer, and attention's weights
        return 4 * prompts * columns * config.n_layers * (24 * config.width + config.n_heads * columns)
    return 4 * prompts * columns * (3 * config.n_layers * columns + config.d + config.n_states[1] ** 2 // columns + 1)


def middle_of(least_and_most: tuple[int, int]) -> tuple[int, int]:
    """The range that holds only the middle of another: the size that `held_out` tests."""
    middle = sum(least_and_most) // 2
    return middle, middle


def parameter_shapes(config: PretrainConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of what is free: V and A, layers in front (1 if tied); V2 and A2 of a second head; or the stock's."""
    layers, d = 1 if config.tied else config.n_layers, config.d
    if config.architecture == "stock":
        return _stock_shapes(config, layers)
    if not config.masked:
        return dict.fromkeys("VA", (layers, d + 3, d + 3))
    heads = ("", "2") if config.architecture == "two-heads" else ("",)
    return {f"{name}{head}": shape for head in heads for name, shape in (("V", (layers, 3)), ("A", (layers, d, d)))}


def token_rows(config: PretrainConfig) -> int:
    """Numbers in a token of the stock network: features, reward, a flag of the query, and the successor's features."""
    return config.d + 2 + (config.d if config.next_features else 0)


def _stock_shapes(config: PretrainConfig, layers: int) -> dict[str, tuple[int, ...]]:
    """PyTorch's own names of a Transformer's parameters, with / for each dot, which a ParameterDict refuses."""
    D = config.width
    block = {
        "self_attn/in_proj_weight": (3 * D, D),  # W_Q, W_K and W_V, one below the other
        "self_attn/in_proj_bias": (3 * D,),
        "self_attn/out_proj/weight": (D, D),  # W_O
        "self_attn/out_proj/bias": (D,),
        "linear1/weight": (4 * D, D),
        "linear1/bias": (4 * D,),
        "linear2/weight": (D, 4 * D),
        "linear2/bias": (D,),
        **{f"norm{i}/{name}": (D,) for i in (1, 2) for name in ("weight", "bias")},
    }
    ends: dict[str, tuple[int, ...]] = {
        "embed/weight": (D, token_rows(config)),
        "embed/bias": (D,),
        "norm/weight": (D,),
        "norm/bias": (D,),
        "readout/weight": (1, D),
        "readout/bias": (1,),
    }
    if config.positions == "learned":
        ends["positions"] = (config.n_context[1] + 1, D)
    return ends | {f"blocks/{layer}/{name}": shape for layer in range(layers) for name, shape in block.items()}
