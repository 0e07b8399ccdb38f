"""One pretraining run, described. Free of torch, so that the command line reads defaults and choices from here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from icrl_teach._validate import check_count, check_gamma
from icrl_teach.tasks import FAMILIES

FEATURES = ("one-hot", "random", "aggregated")
NORMALISATIONS = ("softmax", "linear", "sigmoid")
LOSSES = ("td", "value")
CHOICES = {"family": FAMILIES, "features": FEATURES, "normalisation": NORMALISATIONS, "loss": LOSSES}
SEEDS = 1_000_000  # beyond, a run's tasks would be those of `held_out`


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
        for name, options in CHOICES.items():
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


def middle_of(least_and_most: tuple[int, int]) -> tuple[int, int]:
    """The range that holds only the middle of another: the size that `held_out` tests."""
    middle = sum(least_and_most) // 2
    return middle, middle


def parameter_shapes(config: PretrainConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of V and A as they are free, a layer axis in front (1 if tied)."""
    layers, d = 1 if config.tied else config.n_layers, config.d
    return {"V": (layers, 3), "A": (layers, d, d)} if config.masked else dict.fromkeys("VA", (layers, d + 3, d + 3))
