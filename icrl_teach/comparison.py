"""A frozen Transformer reads experience; its values beside the exact ones, layer by layer: `icrl-teach demo`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from icrl_teach._progress import Tick, no_tick
from icrl_teach.features import one_hot
from icrl_teach.mrp import MarkovRewardProcess, Trajectory
from icrl_teach.softmax_td import weighted_softmax_td
from icrl_teach.tasks import sample_family
from icrl_teach.td import batch_tabular_td, certainty_equivalence_value

MEMORY_LIMIT = 2 * 2**30  # bytes


@dataclass(frozen=True, eq=False)
class DepthComparison:
    """Errors by depth l = 0..L over the visited states, against the exact value; visited = left at least once.

    states: (V,) indices of the visited states; visits, exact, certainty_equivalence: (V,) for these states; values:
    (L+1, V), what the network says of them after each layer. *_max_error, *_rms_error: (L+1,), for batch tabular TD
    after l iterations. gap: (L+1,), the largest difference between the network and weighted softmax TD over all memory
    cells of layers 0..l. floor_*: error of the certainty-equivalence (LSTD) value, where batch tabular TD ends.
    """

    states: Int[np.ndarray, " n_visited"]
    visits: Int[np.ndarray, " n_visited"]
    exact: Float[np.ndarray, " n_visited"]
    values: Float[np.ndarray, "n_layers_plus_1 n_visited"]
    certainty_equivalence: Float[np.ndarray, " n_visited"]
    max_error: Float[np.ndarray, " n_layers_plus_1"]
    rms_error: Float[np.ndarray, " n_layers_plus_1"]
    tabular_max_error: Float[np.ndarray, " n_layers_plus_1"]
    tabular_rms_error: Float[np.ndarray, " n_layers_plus_1"]
    gap: Float[np.ndarray, " n_layers_plus_1"]
    floor_max_error: float
    floor_rms_error: float

    @property
    def transformer(self) -> Float[np.ndarray, " n_visited"]:
        """Values after L layers."""
        return self.values[-1]

    @property
    def n_layers(self) -> int:
        """Depth L."""
        return len(self.max_error) - 1


def demo_bytes(n_steps: int, n_layers: int) -> int:
    """Peak memory of `compare_by_depth`, nearly: three n x n arrays while softmax is taken, all values twice."""
    cells = n_steps + 1
    return 24 * cells**2 + 16 * (n_layers + 1) * cells


def check_steps(n_steps: int, n_layers: int) -> None:
    """Raise ValueError, saying how many steps fit, if `demo_bytes` is over MEMORY_LIMIT."""
    need, L = demo_bytes(n_steps, n_layers), n_layers + 1
    if need > MEMORY_LIMIT:
        most = (math.isqrt((8 * L) ** 2 + 24 * MEMORY_LIMIT) - 8 * L) // 24 - 1
        remedy = f"use --steps {most} or fewer" if most >= 1 else "use fewer --layers"
        raise ValueError(
            f"--steps is {n_steps}: attention between all positions, over {n_layers} layers, needs about "
            f"{need / 2**30:.3g} GiB, and the limit is {MEMORY_LIMIT / 2**30:g} GiB; {remedy}"
        )


def _max_and_rms(
    values: Float[np.ndarray, "depths n_visited"], exact: Float[np.ndarray, " n_visited"]
) -> tuple[Float[np.ndarray, " depths"], Float[np.ndarray, " depths"]]:
    error = np.abs(values - exact)
    return error.max(axis=1), np.sqrt((error**2).mean(axis=1))


def read_layers(
    features: np.ndarray,
    rewards: np.ndarray,
    gamma: float,
    n_layers: int,
    beta: float = 1.0,
    source: np.ndarray | None = None,
    continues: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Target memory and value memory, both (n+1,), of the constructed network, for each layer 0..L.

    source, continues: flags of walks that end, as in `build_prompt`.
    """
    from icrl_teach.prompt import build_prompt, target_row, value_row
    from icrl_teach.transformer import SoftmaxTransformer

    d = features.shape[1]
    model = SoftmaxTransformer.constructed(d, n_layers, gamma, beta=beta)
    for Z in model.layers(build_prompt(features, rewards, source=source, continues=continues)):
        yield Z[target_row(d)].numpy(), Z[value_row(d)].numpy()


def compare_by_depth(
    mrp: MarkovRewardProcess, trajectory: Trajectory, n_layers: int = 64, tau: float = 12.0, tick: Tick = no_tick
) -> DepthComparison:
    """A frozen Transformer reads the trajectory once; its value of every visited state, layer by layer.

    One-hot features of sharpness tau. Beside it, in NumPy: weighted softmax TD (which Theorem 1 says is the same)
    and batch tabular TD. `tick(stage)` is called n_layers + 3 times. Raises ValueError if memory would not do.
    """
    check_steps(trajectory.n_steps, n_layers)
    gamma, rewards = mrp.gamma, trajectory.rewards
    features = one_hot(mrp.n_states, tau)[trajectory.states]
    states, position = np.unique(trajectory.states[:-1], return_index=True)
    exact = mrp.value()[states]
    tick("weighted softmax TD in NumPy")
    reference = weighted_softmax_td(features, rewards, gamma, n_layers)
    values, gap = np.empty((n_layers + 1, len(states))), np.zeros(n_layers + 1)
    tick("attention of the Transformer")
    for layer, (target, value) in enumerate(read_layers(features, rewards, gamma, n_layers)):
        v = reference[layer]
        here = max(np.abs(value - v).max(), np.abs(target[:-1] - gamma * v[1:]).max(), abs(target[-1]))
        gap[layer] = max(gap[layer - 1] if layer else 0.0, here)
        values[layer] = value[position]
        tick(f"layer {layer}")
    tabular = batch_tabular_td(trajectory, gamma, n_layers)[:, states]
    floor = certainty_equivalence_value(trajectory, gamma)[states]
    errors, tabular_errors, floor_errors = (_max_and_rms(v, exact) for v in (values, tabular, floor[None]))
    visits = trajectory.visits()[states]
    floor_max, floor_rms = (float(error[0]) for error in floor_errors)
    return DepthComparison(states, visits, exact, values, floor, *errors, *tabular_errors, gap, floor_max, floor_rms)


def environment_task(env: str, n_steps: int, gamma: float, seed: int) -> tuple[MarkovRewardProcess, Trajectory]:
    """The exact process of a Gymnasium environment under the uniformly random policy, and a real rollout."""
    from icrl_teach.environments import mrp_from_env, rollout

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium announces an outdated name twice; its error says it all
        try:
            return mrp_from_env(env, None, gamma), rollout(env, None, n_steps, seed)
        except ImportError as error:
            raise ValueError(f"env is {env!r}; Gymnasium cannot make it: {error}") from None


def family_task(
    family: str, n_states: int, n_steps: int, gamma: float, seed: int
) -> tuple[MarkovRewardProcess, Trajectory]:
    """A chain drawn from a family, and a walk through it."""
    rng = np.random.default_rng(seed)
    mrp = sample_family(family, n_states, gamma, rng)
    return mrp, mrp.sample(n_steps, rng)
