"""`icrl-teach demo`: a frozen Transformer reads experience; its table, its numbers and its figure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from icrl_teach import __version__
from icrl_teach._files import atomic_write
from icrl_teach._progress import progress
from icrl_teach._validate import check_gamma
from icrl_teach.cli.shell import check_writable, gamma_option, given, layers_option, tau_option, warn
from icrl_teach.comparison import DepthComparison, check_steps, compare_by_depth, environment_task, family_task
from icrl_teach.features import one_hot
from icrl_teach.tasks import FAMILIES

LEGEND = """
Errors are over the visited states, against the exact value. The floor is the LSTD (certainty-equivalence) value: where
depth leads, the best reading of these steps; more --steps lower it. A shallower layer's values are still shrunk towards
0, which on few steps can be nearer to the exact value.
The last column covers every memory cell (target and value memory, all positions) of all layers so far."""


@click.command("demo")
@click.option("--env", default="FrozenLake-v1", show_default=True, help="Gymnasium environment with numbered states.")
@click.option("--family", type=click.Choice(FAMILIES), help="Sample a chain of this family instead of using --env.")
@click.option(
    "--states", type=click.IntRange(1, 1000), default=10, show_default=True, help="States of a --family chain."
)
@click.option(
    "--steps", type=click.IntRange(1), default=2000, show_default=True, help="Transitions to put in the prompt."
)
@layers_option
@tau_option
@gamma_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything that is random.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="icrl-demo",
    show_default=True,
    help="Folder for the figure (PNG) and the numbers (JSON); made if missing, older files of the same task replaced.",
)
@click.pass_context
def command(
    ctx: click.Context,
    env: str,
    family: str | None,
    states: int,
    steps: int,
    layers: int,
    tau: float,
    gamma: float,
    seed: int,
    output: Path,
) -> None:
    """Let a frozen Transformer read real experience, and watch its value estimates improve layer by layer.

    The policy is uniformly random; nothing is trained. States that were left at least once are compared with the
    exact value of the task.
    """
    _check_task_options(ctx, family)
    check_gamma(gamma)
    check_steps(steps, layers)
    one_hot(1, tau)  # refuses a bad tau before any work is done
    check_writable(output)
    name = f"{family}-{states}" if family else env
    with progress(layers + 5) as tick:
        tick("collecting experience")
        task = family_task(family, states, steps, gamma, seed) if family else environment_task(env, steps, gamma, seed)
        if not task[1].rewards.any():
            warn(f"all {steps:,} rewards are 0, so every value stays 0: use more --steps, or another --seed")
        comparison = compare_by_depth(*task, layers, tau, tick)
        tick("drawing")
        settings = {"task": name, "steps": steps, "layers": layers, "tau": tau, "gamma": gamma, "seed": seed}
        numbers, picture = numbers_json(comparison, settings), figure_png(comparison, name, steps)
    paths = _write(output, name, numbers, picture)
    source = "a walk through a sampled chain" if family else "a real rollout, uniformly random policy"
    click.echo(f"{name}: {steps:,} steps of {source}; {len(comparison.states)} of {task[0].n_states} states visited")
    click.echo(f"{layers} frozen layers, one-hot features with tau {tau:g}, gamma {gamma:g}, seed {seed}\n")
    click.echo(table_text(comparison))
    click.echo(LEGEND)
    click.echo(f"Wrote {paths[0]} and {paths[1]}")


def _check_task_options(ctx: click.Context, family: str | None) -> None:
    if family is not None and given(ctx, "env"):
        raise click.UsageError("--env and --family name two tasks; give one of them.", ctx)
    if family is None and given(ctx, "states"):
        raise click.UsageError("--states is the size of a sampled chain; give --family with it.", ctx)


def _write(folder: Path, name: str, numbers: str, picture: bytes) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "-", name)
    paths = [folder / f"{stem}.png", folder / f"{stem}.json"]
    with atomic_write(paths[0], "wb") as file:
        file.write(picture)
    with atomic_write(paths[1]) as file:
        file.write(numbers + "\n")
    return paths


def shown_depths(n_layers: int) -> list[int]:
    """0, 1, 2, 4, ... and the last layer.

    >>> shown_depths(10)
    [0, 1, 2, 4, 8, 10]
    """
    return [0, *(2**k for k in range(n_layers.bit_length()) if 2**k < n_layers), n_layers]


def table_text(comparison: DepthComparison) -> str:
    """The comparison as text, one line a depth."""
    c = comparison
    lines = [
        f"{'':>5}   {'frozen Transformer':^23}   {'batch tabular TD':^23}   largest difference from",
        f"{'depth':>5}   " + 2 * f"{'max error':>11} {'RMS error':>11}   " + "weighted softmax TD",
    ]
    for depth in shown_depths(c.n_layers):
        lines.append(
            f"{depth:>5}   {c.max_error[depth]:>11.5g} {c.rms_error[depth]:>11.5g}   "
            f"{c.tabular_max_error[depth]:>11.5g} {c.tabular_rms_error[depth]:>11.5g}   {c.gap[depth]:.1e}"
        )
    lines.append(f"{'floor':>5}   {'':>23}   {c.floor_max_error:>11.5g} {c.floor_rms_error:>11.5g}")
    return "\n".join(lines)


def numbers_json(comparison: DepthComparison, settings: dict[str, Any]) -> str:
    """The comparison and its settings as JSON."""
    arrays = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(comparison).items()}
    depth = list(range(comparison.n_layers + 1))
    everything = {"icrl_teach": __version__, **settings, "depth": depth, **arrays}
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in everything.items())
    return "{\n" + ",\n".join(lines) + "\n}"  # a line for each array, so that a reader finds them


def figure_png(comparison: DepthComparison, name: str, n_steps: int) -> bytes:
    """PNG: error against depth, the Transformer beside batch tabular TD and the floor."""
    from icrl_teach.figures import curves, png_bytes

    c = comparison
    lines = {
        "frozen Transformer, RMS error": c.rms_error,
        "frozen Transformer, max error": c.max_error,
        "batch tabular TD, RMS error": c.tabular_rms_error,
    }
    what = f"{name}: {n_steps:,} steps read by {c.n_layers} frozen layers,\n"
    found = f"RMS error from {c.rms_error[0]:.3g} to {c.rms_error[-1]:.3g} (floor {c.floor_rms_error:.3g})"
    figure = curves(
        np.arange(c.n_layers + 1),
        {label: np.maximum(error, 1e-16) for label, error in lines.items()},  # a logarithm has no place for 0
        title=what + (found if c.transformer.any() else "no reward among them: every value stays 0"),
        xlabel="depth: layers, or iterations of batch tabular TD",
        ylabel="error of the value (visited states)",
        yscale="log",
        references={"floor: certainty equivalence, RMS error": max(c.floor_rms_error, 1e-16)},
    )
    return png_bytes(figure)
