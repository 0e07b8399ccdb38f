"""`icrl-teach evaluate`: the value of every state in a user's own log, and how far it can be trusted."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
import numpy as np

from icrl_teach import evaluation
from icrl_teach._files import atomic_write, try_writing
from icrl_teach._progress import Tick, progress
from icrl_teach._validate import check_gamma
from icrl_teach.cli.shell import given, layers_option, one_line, tau_option, warn
from icrl_teach.cli.text import defined, numbers, styled, table, wrap
from icrl_teach.data import Log, read_features, read_log, restarted, unused_columns
from icrl_teach.data.columns import MEANINGS
from icrl_teach.evaluation import LogEvaluation
from icrl_teach.features import one_hot
from icrl_teach.mrp import Trajectory

FEW_VISITS = 10
OUTPUT = click.Path(dir_okay=False, path_type=Path)
VALUE = {
    "terminal": "value of an episode to its end",
    "restart": "value of going on for ever, each end leading to the next episode's start",
}
MOST_SHOWN = 40  # states in a figure
DIGITS = 6  # of the largest value in a table
NAMES = len("spectral radius")  # the column of what is said of the whole log
Interval = tuple[np.ndarray, np.ndarray]


@click.command("evaluate", short_help="Value every state of your own log.")
@click.argument("log", type=click.Path(path_type=Path), metavar="LOG")
@click.option(
    "--columns", metavar="ROLE=NAME,...", help="Columns by names of your own, for example state=page,reward=revenue."
)
@click.option(
    "--episodes",
    type=click.Choice(MEANINGS),
    default="terminal",
    show_default=True,
    help="An episode that ends is worth nothing more (terminal), or leads to the start of the next (restart).",
)
@click.option(
    "--gamma",
    type=float,
    default=0.9,
    show_default=True,
    help="Discount of future rewards, from 0 to below 1; 1 itself where every episode can end.",
)
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
@click.option("--csv", "table", type=OUTPUT, metavar="OUT.csv", help="Write the table, with intervals, to this file.")
@click.option("--figure", type=OUTPUT, metavar="OUT.png", help="Draw the values, with intervals, to this file.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the intervals.")
@click.pass_context
def command(ctx: click.Context, log: Path, columns: str | None, query: str | None, **options: Any) -> None:
    """Value every state of your own log: a CSV file, plain or packed, a Parquet file, or a Minari data set.

    Its columns are state, reward and next_state. An episode column says which rows belong together, and terminated and
    truncated (or done) how a walk stopped; without next_state the next row of the same episode follows.

    Where the log has episodes, values come with the mean return of finished episodes, and in the table and the figure
    with a 95 % bootstrap interval over episodes.
    """
    setting = Setting(**{name: options[name] for name in ("gamma", "layers", "tau", "beta", "features", "seed")})
    setting.check(ctx)
    outputs = [path for path in (options["table"], options["figure"]) if path is not None]
    for path in outputs:
        _check_writable(path)
    with progress(min(setting.layers, evaluation.DEEP) + 3 + evaluation.RESAMPLES * bool(outputs)) as tick:
        tick("reading")
        read = read_log(log, columns)
        evaluation.check_state_count(read.trajectory.n_states, log.name)
        only = read.trajectory.index(query) if query is not None else None
        restart = options["episodes"] == "restart"
        result = setting.evaluate(restarted(read.trajectory) if restart else read.trajectory, tick)
        interval = setting.interval(read, restarted if restart else None, tick) if outputs else None
    if given(ctx, "episodes") and not read.episodes:
        warn(f"{log.name} tells no episodes apart, so --episodes changes nothing")
    notes = [*([unused_columns(read, log.name)] if read.ignored else []), *read.warnings, *warnings_of(result, only)]
    meaning = options["episodes"] if read.episodes else None
    settings = {"log": str(log), **({"episodes": meaning} if meaning else {}), **setting.shown()}
    heading = _heading(log, read, result, meaning, setting)
    if options["table"] is not None:
        with atomic_write(options["table"]) as file:
            write_table(file, result, interval)
    if options["figure"] is not None:
        picture = figure_png(result, interval, meaning, log.name)
        with atomic_write(options["figure"], "wb") as file:
            file.write(picture)
    if options["as_json"]:
        click.echo(numbers_json(result, settings, notes, only, interval))
    else:
        click.echo(table_text(result, heading, only))
    for note in notes:
        warn(note)


def _check_writable(path: Path) -> None:
    """Refuse, before any work, a place where no file can be written."""
    try:
        try_writing(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@dataclass(frozen=True)
class Setting:
    """How a log is evaluated."""

    gamma: float
    layers: int
    tau: float
    beta: float
    features: str
    seed: int

    def check(self, ctx: click.Context) -> None:
        """Refuse what cannot work, before any work is done."""
        if self.features != "one-hot" and given(ctx, "tau"):
            raise click.UsageError("--tau scales one-hot features; with a features file use --beta.", ctx)
        check_gamma(self.gamma, ends=True)
        one_hot(1, self.tau)

    def shown(self) -> dict[str, Any]:
        """The settings that count, by name."""
        scale = {"tau": self.tau} if self.features == "one-hot" else {}
        return {"gamma": self.gamma, "layers": self.layers, "beta": self.beta, "features": self.features, **scale}

    def table(self, trajectory: Trajectory) -> np.ndarray:
        """The features of the states."""
        if self.features == "one-hot":
            return one_hot(trajectory.n_states, self.tau)
        return read_features(self.features, trajectory.labels or ())

    def evaluate(self, trajectory: Trajectory, tick: Tick) -> LogEvaluation:
        """The values of a trajectory."""
        table = self.table(trajectory)
        return evaluation.evaluate_trajectory(trajectory, table, self.gamma, self.layers, self.beta, tick)

    def interval(self, log: Log, join: Callable[[Trajectory], Trajectory] | None, tick: Tick) -> Interval | None:
        """95 % intervals over the episodes of a log, None where it has fewer than two."""
        if log.episodes < 2:
            return None
        rng = np.random.default_rng(self.seed)
        how = (self.gamma, self.layers, self.beta, rng, join or (lambda walks: walks), tick)
        return evaluation.bootstrap_interval(log.trajectory, self.table(log.trajectory), *how)


def _heading(log: Path, read: Log, result: LogEvaluation, meaning: str | None, setting: Setting) -> str:
    about = ", ".join(f"{key} {value}" for key, value in setting.shown().items())
    episodes = f" in {read.episodes:,} {'episode' if read.episodes == 1 else 'episodes'}" if meaning else ""
    title = f"{one_line(log.name)}: {result.n_steps:,} transitions{episodes}, {len(result.labels):,} states"
    pairs = [*([("meaning", VALUE[meaning])] if meaning else []), ("settings", about)]
    return f"{styled(wrap(title), bold=True)}\n{defined(pairs, NAMES)}"


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
            f"{_names(never)} was seen at the end of walks only and never left: the log says nothing about what "
            "follows it, so its value is a guess from other states, which states that lead to it share"
        )
    if rare:
        found.append(f"left fewer than {FEW_VISITS} times, so the value is rough: {_names(rare)}")
    rate = result.spectral_radius if result.spectral_radius is not None else result.sup_norm
    if result.spectral_radius is not None and rate >= 1.0 + 1e-9:
        found.append(
            f"the layers diverge (spectral radius {rate:.4g}): the values mean nothing; "
            "level the lengths of features, or lower --beta"
        )
    elif result.remaining > max(0.01 * float(np.abs(result.values).max()), 1e-9):
        found.append(f"the values are still about {result.remaining:.2g} from their limit: use more --layers")
    return found


def shown_label(label: str) -> str:
    """A state's name in a table; in quotes where its edges or its characters would not be seen."""
    return label if label.isprintable() and label and label == label.strip() else repr(label)


def _rows(result: LogEvaluation, chosen: Sequence[int]) -> list[list[str]]:
    """The table: visits, value, and the mean return with its number of episodes where there are any."""
    at = list(chosen)
    columns = [
        ["state", *(shown_label(result.labels[s]) for s in at)],
        ["visits", *(f"{result.visits[s]:,}" for s in at)],
        ["value", *numbers(result.values[at], DIGITS)],
    ]
    if result.returns is not None and result.n_returns is not None:
        counts = result.n_returns[at]
        some = iter(numbers(result.returns[at][counts > 0], DIGITS))
        columns.append(["mean return", *(next(some) if n else "none" for n in counts)])
        columns.append(["of episodes", *(f"{n:,}" for n in counts)])
    return [list(row) for row in zip(*columns, strict=True)]


def table_text(result: LogEvaluation, heading: str, only: int | None = None) -> str:
    """The evaluation as text: a summary and one line a state, or only the line of state number `only`."""
    head, *states = table(_rows(result, range(len(result.labels)) if only is None else [only]), left=[0], gap=3)
    listed = [styled(head, bold=True), *states]
    if only is not None:
        return "\n".join(listed)
    radius = result.spectral_radius
    rate = (
        f"{radius:.4g} ({'below 1: layers converge' if radius < 1 else 'not below 1'})"
        if radius is not None
        else (f"at most {result.sup_norm:.4g} (not computed for more than {evaluation.EIGENVALUE_LIMIT:,} states)")
    )
    form = {
        "transformer": "the softmax Transformer itself",
        "operator": "its operator form, equal by Theorem 1 "
        + (
            "(the log is too long for attention between all positions)"
            if result.n_steps > evaluation.TRANSFORMER_LIMIT
            else "(so many features or layers take too long one by one)"
        ),
    }[result.method]
    condition = "holds" if result.margin > 0 else "does not hold"
    summary = {
        "method": form,
        "margin": f"{result.margin:.4g} (contraction condition {condition})",
        "spectral radius": rate,
        "still to go": f"about {result.remaining:.2g} to the limit of ever more layers",
    }
    return "\n".join([heading, defined(summary.items(), NAMES), "", *listed])


def _numbers(result: LogEvaluation, s: int, interval: Interval | None) -> dict[str, Any]:
    """What is known of one state; None where there is no number."""
    row = {"state": result.labels[s], "visits": int(result.visits[s]), "value": float(result.values[s])}
    if result.returns is not None and result.n_returns is not None:
        some = int(result.n_returns[s])
        row |= {"mean_return": float(result.returns[s]) if some else None, "returns": some}
    if interval is not None:
        low, high = (float(edge[s]) for edge in interval)
        row |= {"low": low if low == low else None, "high": high if high == high else None}
    return row


def numbers_json(
    result: LogEvaluation,
    settings: dict[str, Any],
    notes: list[str],
    only: int | None = None,
    interval: Interval | None = None,
) -> str:
    """The evaluation as JSON, with its settings and warnings."""
    chosen = range(len(result.labels)) if only is None else [only]
    states = [_numbers(result, s, interval) for s in chosen]
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


def write_table(file: IO[str], result: LogEvaluation, interval: Interval | None = None) -> None:
    """The evaluation as CSV, one line a state; an empty field where there is no number."""
    rows = [_numbers(result, s, interval) for s in range(len(result.labels))]
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


def figure_png(result: LogEvaluation, interval: Interval | None, meaning: str | None, name: str) -> bytes:
    """The values as a picture: a dot a state, its interval, and the mean return; the most visited MOST_SHOWN states."""
    from icrl_teach.figures import png_bytes, value_intervals

    shown = np.sort(np.argsort(-result.visits, kind="stable")[:MOST_SHOWN])
    left_out = len(result.labels) - len(shown)
    points = {"value": result.values[shown]}
    if result.returns is not None:
        points["mean return of finished episodes"] = result.returns[shown]
    return png_bytes(
        value_intervals(
            [shown_label(result.labels[s]) for s in shown],
            points,
            None if interval is None else (interval[0][shown], interval[1][shown]),
            title=f"Values in {shown_label(name)}" + (f", the {len(shown)} most visited states" if left_out else ""),
            xlabel=VALUE[meaning] if meaning else "value",
        )
    )
