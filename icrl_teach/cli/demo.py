"""`icrl-teach demo`: a frozen Transformer reads experience; its table, its numbers and its figure."""

from __future__ import annotations

import json
import math
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
from icrl_teach.cli.shell import check_writable, given, layers_option, tau_option, warn
from icrl_teach.cli.text import beside, defined, grid, numbers, styled, table, wrap
from icrl_teach.comparison import DepthComparison, check_steps, compare_by_depth, environment_task, family_task
from icrl_teach.features import one_hot
from icrl_teach.tasks import FAMILIES

MOST_LISTED = 20  # states of a world that is no grid
LEGEND = {
    "max, RMS": "Largest and root mean square error over the visited states, against the exact value.",
    "floor": "The error of the LSTD (certainty-equivalence) value: where depth leads, the best reading of these steps. "
    "More --steps lower it.",
    "difference": "The largest between the network and weighted softmax TD, in any memory cell (target and value "
    "memory, all positions) of all layers so far.",
}


@click.command("demo", short_help="Watch values improve, layer by layer, on real experience.")
@click.option("--env", default="FrozenLake-v1", show_default=True, help="Gymnasium environment with numbered states.")
@click.option("--family", type=click.Choice(FAMILIES), help="Sample a chain of this family instead of using --env.")
@click.option(
    "--states", type=click.IntRange(1, 1000), default=10, show_default=True, help="States of a --family chain."
)
@click.option(
    "--steps", type=click.IntRange(1), default=4000, show_default=True, help="Transitions to put in the prompt."
)
@layers_option
@tau_option
@click.option(
    "--gamma", type=float, default=0.99, show_default=True, help="Discount of future rewards, from 0 to below 1."
)
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

    What the defaults show is no luck of their seed: of seeds 0 to 99 the RMS error falls at every depth shown for 98
    (all but 61 and 78). Fewer steps or a smaller gamma give chance more say: with 2000 steps and gamma 0.9 it rises
    again at some depth for more than half of the seeds.
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
    click.echo(styled(wrap(f"{name}: {steps:,} steps of {source}"), bold=True))
    seen = f"{len(comparison.states)} of {task[0].n_states} states visited"
    click.echo(wrap(f"{seen}; {layers} frozen layers, one-hot tau {tau:g}, gamma {gamma:g}, seed {seed}\n"))
    click.echo(values_text(comparison, None if family else squares(env, task[0].n_states)))
    click.echo(f"\n{table_text(comparison)}\n\n{wrap(verdict(comparison))}\n")
    click.echo(defined(LEGEND.items()))
    click.echo(wrap(f"Wrote {paths[0]} and {paths[1]}", "  "))


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
    """The errors as text, one line a depth."""
    c, depths = comparison, shown_depths(comparison.n_layers)
    errors = [c.max_error, c.rms_error, c.tabular_max_error, c.tabular_rms_error]
    floors = [np.nan, np.nan, c.floor_max_error, c.floor_rms_error]
    cells = np.array(numbers([*np.stack(errors)[:, depths].T.ravel(), *floors])).reshape(-1, 4)
    cells[-1, :2] = ""
    names = [*map(str, depths), "floor"]
    gaps = [*(f"{c.gap[depth]:.1e}" for depth in depths), ""]
    rows = [["depth", "max", "RMS", "", "max", "RMS", "", "difference"]]
    rows += [[name, *row[:2], "", *row[2:], "", gap] for name, row, gap in zip(names, cells, gaps, strict=True)]
    lines = table(rows, gap=1)
    pair = 2 * len(cells[0, 2]) + 1  # the columns of one method
    over = f"{'':5} {'Transformer':>{pair}}   {'tabular TD':>{pair}}"
    return "\n".join([*(styled(line, bold=True) for line in (over, lines[0])), *lines[1:]])


def verdict(comparison: DepthComparison) -> str:
    """In one sentence: how the RMS error goes over the depths shown."""
    depths, floor = shown_depths(comparison.n_layers), comparison.floor_rms_error
    error = comparison.rms_error[depths]
    least, said = int(error.argmin()), numbers([*error, floor], 3)
    first, last = said[0], said[len(depths) - 1]
    if least == 0:
        return f"The RMS error does not fall: {first} without a layer, {last} after all."
    if least < len(error) - 1:
        return (
            f"The RMS error falls from {first} to {said[least]} at depth {depths[least]} and ends at {last}: values "
            "still shrunk towards 0 can be nearer to the exact ones than what these few steps say. More --steps help."
        )
    steady = "at every depth shown" if (np.diff(error) < 0).all() else "but not at every depth shown"
    further = f"; more --layers lead on towards the floor, {said[-1]}" if error[-1] > 1.1 * floor else ""
    return f"The RMS error falls from {first} to {last}, {steady}{further}."


def squares(env: str, n_states: int) -> np.ndarray | None:
    """The map of a world whose states are the squares of a grid, row by row: (rows, columns) of its letters or dots.

    None for every other world.
    """
    import gymnasium as gym

    world = gym.make(env).unwrapped
    letters, shape = getattr(world, "desc", None), getattr(world, "shape", None)
    if isinstance(letters, np.ndarray) and letters.ndim == 2 and letters.size == n_states:
        return letters.astype(str)
    if isinstance(shape, tuple) and len(shape) == 2 and math.prod(shape) == n_states:
        return np.full(shape, ".")
    return None


def values_text(comparison: DepthComparison, squares: np.ndarray | None) -> str:
    """The values after some depths and the exact ones: as maps, else as a list; if that is too long, where they are."""
    c, shown = comparison, shown_depths(comparison.n_layers)[1:]
    depths = sorted({shown[round(i)] for i in np.linspace(0, len(shown) - 1, 5)})
    names = [*(f"after {depth} layer{'' if depth == 1 else 's'}" for depth in depths), "exact"]
    values = np.stack([*c.values[depths], c.exact])
    cells = np.array(numbers(values.ravel(), 3)).reshape(values.shape)
    if squares is not None:
        maps = [
            grid(styled(name, bold=True), _on_map(squares, c.states, row))
            for name, row in zip(names, cells, strict=True)
        ]
        return beside(maps) + "\n" + wrap("\nA letter (H hole, G goal) or a dot: never left, so without a value.")
    if len(c.states) > MOST_LISTED:
        return wrap(f"The values of {len(c.states)} states, too many to list, are in the JSON file.")
    heads = ["state", "visits", *(str(depth) for depth in depths), "exact"]
    rows = [heads, *([str(s), str(n), *cells[:, i]] for i, (s, n) in enumerate(zip(c.states, c.visits, strict=True)))]
    lines = table(rows, gap=3)
    return "\n".join([styled("Values after so many layers", bold=True), styled(lines[0], bold=True), *lines[1:]])


def _on_map(squares: np.ndarray, states: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The map with the values of states in their squares; those that are 0 as shown, where no news has come, dimmed."""
    flat = squares.astype(object).ravel()
    flat[states] = [styled(cell, dim=True) if float(cell) == 0 else cell for cell in cells]
    return flat.reshape(squares.shape)


def numbers_json(comparison: DepthComparison, settings: dict[str, Any]) -> str:
    """The comparison and its settings as JSON."""
    parts = {**asdict(comparison), "transformer": comparison.transformer}
    del parts["values"]  # of every layer: a large file
    arrays = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in parts.items()}
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
