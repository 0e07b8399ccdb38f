"""`icrl-teach evaluate`: the value of every state in a user's own log, and how far it can be trusted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from icrl_teach import evaluation
from icrl_teach._progress import progress
from icrl_teach._validate import check_gamma
from icrl_teach.cli.shell import gamma_option, given, layers_option, one_line, tau_option, warn
from icrl_teach.data import read_features, read_log
from icrl_teach.evaluation import LogEvaluation
from icrl_teach.features import one_hot
from icrl_teach.mrp import Trajectory

FEW_VISITS = 10


@click.command("evaluate")
@click.argument("log", type=click.Path(path_type=Path), metavar="LOG.csv")
@gamma_option
@layers_option
@tau_option
@click.option(
    "--beta", type=float, default=1.0, show_default=True, help="Inverse temperature: scales how much similarity counts."
)
@click.option(
    "--features",
    default="one-hot",
    show_default=True,
    metavar="one-hot|FILE.csv",
    help="A number of your own for each state and feature; the file's header is state,NAME,...",
)
@click.option("--query", metavar="STATE", help="Print the value of this state only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def command(
    ctx: click.Context,
    log: Path,
    gamma: float,
    layers: int,
    tau: float,
    beta: float,
    features: str,
    query: str | None,
    as_json: bool,
) -> None:
    """Value every state of your own log, a CSV file with the columns state,reward,next_state.

    A fourth column, episode, says which rows belong together. Episodes are joined by restart: the end of one leads to
    the start of the next, and the value is that of going on for ever.
    """
    if features != "one-hot" and given(ctx, "tau"):
        raise click.UsageError("--tau scales one-hot features; with a features file use --beta.", ctx)
    check_gamma(gamma)
    one_hot(1, tau)  # refuses a bad tau before any work is done
    with progress(layers + 3) as tick:
        tick("reading")
        trajectory = read_log(log, episodes="restart").trajectory
        evaluation.check_state_count(trajectory.n_states, log.name)
        only = trajectory.index(query) if query is not None else None
        table = _state_features(trajectory, features, tau)
        result = evaluation.evaluate_trajectory(trajectory, table, gamma, layers, beta, tick)
    notes = warnings_of(result, only)
    scale = {"tau": tau} if features == "one-hot" else {}
    settings = {"log": str(log), "gamma": gamma, "layers": layers, "beta": beta, "features": features, **scale}
    if as_json:
        click.echo(numbers_json(result, settings, notes, only))
    else:
        about = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "log")
        heading = f"{one_line(log.name)}: {result.n_steps:,} transitions, {len(result.labels):,} states; {about}"
        click.echo(table_text(result, heading, only))
    for note in notes:
        warn(note)


def _state_features(trajectory: Trajectory, features: str, tau: float) -> np.ndarray:
    if features == "one-hot":
        return one_hot(trajectory.n_states, tau)
    return read_features(features, trajectory.labels or ())


def _names(labels: Sequence[str]) -> str:
    return ", ".join(repr(label) for label in labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")


def warnings_of(result: LogEvaluation, only: int | None = None) -> list[str]:
    """What a reader of the values should know; `only` restricts the remarks on visits to one state's index."""
    chosen = range(len(result.labels)) if only is None else [only]
    never = [result.labels[s] for s in chosen if result.visits[s] == 0]
    rare = [result.labels[s] for s in chosen if 0 < result.visits[s] < FEW_VISITS]
    found = []
    if never:
        found.append(
            f"{_names(never)} was seen at the very end only and never left: the log says nothing about what follows it"
        )
    if rare:
        found.append(f"left fewer than {FEW_VISITS} times, so the value is rough: {_names(rare)}")
    rate = result.spectral_radius if result.spectral_radius is not None else result.sup_norm
    if result.spectral_radius is not None and rate >= 1.0 + 1e-9:
        found.append(f"the layers diverge (spectral radius {rate:.4g}): the values mean nothing; raise --tau or --beta")
    elif result.remaining > max(0.01 * float(np.abs(result.values).max()), 1e-9):
        found.append(f"the values are still about {result.remaining:.2g} from their limit: use more --layers")
    return found


def shown_label(label: str) -> str:
    """A state's name in a table; in quotes where its edges or its characters would not be seen."""
    return label if label.isprintable() and label and label == label.strip() else repr(label)


def table_text(result: LogEvaluation, heading: str, only: int | None = None) -> str:
    """The evaluation as text: a summary and one line a state, or only the line of state number `only`."""
    chosen = range(len(result.labels)) if only is None else [only]
    labels = [shown_label(result.labels[s]) for s in chosen]
    width = max(len("state"), *map(len, labels))
    rows = zip(labels, chosen, strict=True)
    table = [f"{'state':<{width}}   visits   value"]
    table += [f"{label:<{width}}   {result.visits[s]:>6}   {result.values[s]:.6g}" for label, s in rows]
    if only is not None:
        return "\n".join(table)
    radius = result.spectral_radius
    rate = (
        f"{radius:.4g} ({'below 1: layers converge' if radius < 1 else 'not below 1'})"
        if radius is not None
        else (f"at most {result.sup_norm:.4g} (not computed for more than {evaluation.EIGENVALUE_LIMIT:,} states)")
    )
    form = {
        "transformer": "the softmax Transformer itself",
        "operator": "its operator form, equal by Theorem 1 (the log is too long for attention between all positions)",
    }[result.method]
    condition = "holds" if result.margin > 0 else "does not hold"
    summary = [
        heading,
        f"method            {form}",
        f"margin            {result.margin:.4g} (contraction condition {condition})",
        f"spectral radius   {rate}",
        f"still to go       about {result.remaining:.2g} to the limit of ever more layers",
        "",
    ]
    return "\n".join(summary + table)


def numbers_json(result: LogEvaluation, settings: dict[str, Any], notes: list[str], only: int | None = None) -> str:
    """The evaluation as JSON, with its settings and warnings."""
    chosen = range(len(result.labels)) if only is None else [only]
    states = [
        {"state": result.labels[s], "visits": int(result.visits[s]), "value": float(result.values[s])} for s in chosen
    ]
    summary = {
        "transitions": result.n_steps,
        "distinct_states": len(result.labels),
        "method": result.method,
        "margin": result.margin,
        "contraction_condition_holds": result.margin > 0,
        "spectral_radius": result.spectral_radius,
        "sup_norm": result.sup_norm,
        "remaining": result.remaining,
    }
    return json.dumps({**settings, **summary, "states": states, "warnings": notes}, indent=1, allow_nan=False)
