"""The command line: icrl-teach doctor | demo | evaluate | lab | start | pretrain.

Each command is a thin shell around a function that computes and returns plain data, for use from Python as well: see
`doctor.py`, `comparison.py`, `evaluation.py`, `course.py` and `pretraining.py`. torch and matplotlib load inside
commands only, so that `icrl-teach --help` answers at once. Every failure is one line on stderr and exit code 2.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np

from icrl_teach import __version__, evaluation
from icrl_teach._progress import progress
from icrl_teach._validate import check_gamma
from icrl_teach.comparison import (
    DEMO_LEGEND,
    check_steps,
    compare_by_depth,
    demo_figure,
    demo_numbers,
    demo_table,
    environment_task,
    family_task,
)
from icrl_teach.course import copy_course
from icrl_teach.features import one_hot
from icrl_teach.logs import atomic_write, read_features, read_trajectory, try_writing
from icrl_teach.mrp import Trajectory
from icrl_teach.tasks import FAMILIES

FIRST_LESSON = "lessons/00_start_here.ipynb"


class _Interrupted(Exception):
    """Ctrl-C inside a command."""


class _OneLineErrors(click.Group):
    """A group of commands in which every failure is one line on stderr, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # caught here, because click would print an empty line first
            raise _Interrupted from None

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):  # a console that lacks a state's letters shows their codes
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(*args, **kwargs)
        except (_Interrupted, click.Abort):
            click.echo("icrl-teach: interrupted", err=True)
            sys.exit(130)
        except Exception as error:
            if os.environ.get("ICRL_TEACH_DEBUG"):
                raise
            click.echo(f"icrl-teach: error: {_one_line(_message(error))}", err=True)
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)


_NO_MEMORY = "not enough memory; use fewer --steps, --layers, --tasks or states, or a shorter log"


def _message(error: Exception) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()} Try '{error.ctx.command_path} --help'."
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, RuntimeError) and re.search(r"can't allocate memory|out of memory", str(error)):  # torch's
        return _NO_MEMORY
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check the path, its permissions and the free space"
    if isinstance(error, OSError) and error.strerror is not None:  # no name: it was the output itself
        return f"{error.strerror}; check where the output goes, and the free space there"
    if isinstance(error, ValueError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; ICRL_TEACH_DEBUG=1 shows where; please report it"


def _one_line(text: str) -> str:
    """Control characters, which a log's labels may hold, are shown escaped: they could rewrite the terminal."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)


def _warn(text: str) -> None:
    click.echo(f"icrl-teach: warning: {_one_line(text)}", err=True)


_layers_option = click.option(
    "--layers", type=click.IntRange(1), default=64, show_default=True, help="Depth of the Transformer."
)
_gamma_option = click.option(
    "--gamma", type=float, default=0.9, show_default=True, help="Discount of future rewards, from 0 to below 1."
)
_tau_option = click.option(
    "--tau",
    type=float,
    default=12.0,
    show_default=True,
    help="Sharpness of one-hot features: large means 'learn from the same state only'.",
)


@click.group(name="icrl-teach", cls=_OneLineErrors, invoke_without_command=True)
@click.version_option(__version__, prog_name="icrl-teach")
@click.pass_context
def main(ctx: click.Context) -> None:
    """A course on in-context reinforcement learning: a softmax Transformer that learns values while it reads."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@main.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check that this computer has what the course needs, and say what to do where it has not."""
    from icrl_teach.doctor import run_checks

    with progress() as tick:
        results = run_checks(tick)
    width = max(len(check.name) for check in results)
    for check in results:
        click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<{width}}  {_one_line(check.found)}")
        if not check.ok:
            click.echo(f"      {'':<{width}}  to do: {check.remedy}")
    failures = sum(not check.ok for check in results)
    click.echo(
        f"{failures} of {len(results)} checks failed." if failures else "All is well: icrl-teach lab opens the course."
    )
    ctx.exit(1 if failures else 0)


def _check_writable(folder: Path) -> None:
    """Refuse, before any work, a folder that can be neither written to nor made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        try_writing(existing)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def _write_demo(folder: Path, name: str, numbers: str, picture: bytes) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "-", name)
    paths = [folder / f"{stem}.png", folder / f"{stem}.json"]
    with atomic_write(paths[0], "wb") as file:
        file.write(picture)
    with atomic_write(paths[1]) as file:
        file.write(numbers + "\n")
    return paths


def _given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _check_task_options(ctx: click.Context, family: str | None) -> None:
    if family is not None and _given(ctx, "env"):
        raise click.UsageError("--env and --family name two tasks; give one of them.", ctx)
    if family is None and _given(ctx, "states"):
        raise click.UsageError("--states is the size of a sampled chain; give --family with it.", ctx)


@main.command()
@click.option("--env", default="FrozenLake-v1", show_default=True, help="Gymnasium environment with numbered states.")
@click.option("--family", type=click.Choice(FAMILIES), help="Sample a chain of this family instead of using --env.")
@click.option(
    "--states", type=click.IntRange(1, 1000), default=10, show_default=True, help="States of a --family chain."
)
@click.option(
    "--steps", type=click.IntRange(1), default=2000, show_default=True, help="Transitions to put in the prompt."
)
@_layers_option
@_tau_option
@_gamma_option
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything that is random.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="icrl-demo",
    show_default=True,
    help="Folder for the figure (PNG) and the numbers (JSON); made if missing, older files of the same task replaced.",
)
@click.pass_context
def demo(
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
    check_steps(steps, layers)
    one_hot(1, tau)  # refuses a bad tau before any work is done
    _check_writable(output)
    name = f"{family}-{states}" if family else env
    with progress(layers + 5) as tick:
        tick("collecting experience")
        task = family_task(family, states, steps, gamma, seed) if family else environment_task(env, steps, gamma, seed)
        if not task[1].rewards.any():
            _warn(f"all {steps:,} rewards are 0, so every value stays 0: use more --steps, or another --seed")
        comparison = compare_by_depth(*task, layers, tau, tick)
        tick("drawing")
        settings = {"task": name, "steps": steps, "layers": layers, "tau": tau, "gamma": gamma, "seed": seed}
        numbers, picture = demo_numbers(comparison, settings), demo_figure(comparison, name, steps)
    paths = _write_demo(output, name, numbers, picture)
    source = "a walk through a sampled chain" if family else "a real rollout, uniformly random policy"
    click.echo(f"{name}: {steps:,} steps of {source}; {len(comparison.states)} of {task[0].n_states} states visited")
    click.echo(f"{layers} frozen layers, one-hot features with tau {tau:g}, gamma {gamma:g}, seed {seed}\n")
    click.echo(demo_table(comparison))
    click.echo(DEMO_LEGEND)
    click.echo(f"Wrote {paths[0]} and {paths[1]}")


def _state_features(trajectory: Trajectory, features: str, tau: float) -> np.ndarray:
    if features == "one-hot":
        return one_hot(trajectory.n_states, tau)
    return read_features(features, trajectory.labels or ())


@main.command()
@click.argument("log", type=click.Path(path_type=Path), metavar="LOG.csv")
@_gamma_option
@_layers_option
@_tau_option
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
def evaluate(
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
    if features != "one-hot" and _given(ctx, "tau"):
        raise click.UsageError("--tau scales one-hot features; with a features file use --beta.", ctx)
    check_gamma(gamma)
    one_hot(1, tau)  # refuses a bad tau before any work is done
    with progress(layers + 3) as tick:
        tick("reading")
        trajectory = read_trajectory(log)
        evaluation.check_state_count(trajectory.n_states, log.name)
        only = trajectory.index(query) if query is not None else None
        table = _state_features(trajectory, features, tau)
        result = evaluation.evaluate_trajectory(trajectory, table, gamma, layers, beta, tick)
    notes = evaluation.evaluation_warnings(result, only)
    scale = {"tau": tau} if features == "one-hot" else {}
    settings = {"log": str(log), "gamma": gamma, "layers": layers, "beta": beta, "features": features, **scale}
    if as_json:
        click.echo(evaluation.evaluation_json(result, settings, notes, only))
    else:
        about = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "log")
        heading = f"{_one_line(log.name)}: {result.n_steps:,} transitions, {len(result.labels):,} states; {about}"
        click.echo(evaluation.evaluation_text(result, heading, only))
    for note in notes:
        _warn(note)


def course_folder(directory: Path | None = None) -> Path:
    """The folder that holds lessons/: `directory` if given, else the current one, else the checkout's.

    Raises ValueError, saying how to get one, if there is none.
    """
    checkout = Path(__file__).resolve().parents[1]
    candidates = [directory] if directory is not None else [Path.cwd(), checkout]
    for folder in candidates:
        if (folder / "lessons").is_dir():
            return folder.resolve()
    where = directory if directory is not None else "this folder"
    remedy = "run 'icrl-teach start DIR' to make a course folder, then 'icrl-teach lab DIR'"
    raise ValueError(f"{where} holds no lessons/; {remedy}")


def check_port(port: int) -> None:
    """Raise ValueError if another program listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ValueError(f"--port is {port}, which another program uses; choose another, or leave --port out")


def lab_command(folder: Path, port: int | None = None, browser: bool = True, allow_root: bool = False) -> list[str]:
    """The command that opens `folder` in JupyterLab, for this computer only, with Jupyter's own token."""
    from jupyter_client.manager import KernelManager

    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
    if KernelManager.class_traits().get("transport_encryption"):  # since jupyter_client 8.10; kernels warn without it
        command.append("--KernelManager.transport_encryption=auto")
    if (folder / FIRST_LESSON).is_file():
        command.append(f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}")
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    return command + ["--no-browser"] * (not browser) + ["--allow-root"] * allow_root


def _become(command: list[str]) -> None:
    """Turn this process into another, so that Ctrl-C and signals reach Jupyter and nobody else."""
    if os.name == "nt":  # Windows has no exec: it would return to the prompt at once
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


@main.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of 127.0.0.1; without it Jupyter takes a free one.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
@click.option("--allow-root", is_flag=True, help="Let Jupyter run as root, as inside a container.")
def lab(directory: Path | None, port: int | None, no_browser: bool, allow_root: bool) -> None:
    """Open the course in JupyterLab, on this computer only.

    DIR is a folder that holds lessons/; without it, the current folder, or the checkout this package runs from.
    """
    folder = course_folder(directory)
    if find_spec("jupyterlab") is None:
        raise ValueError(f'jupyterlab is not installed; run: {sys.executable} -m pip install "jupyterlab>=4.2"')
    if port is not None:
        check_port(port)
    _become(lab_command(folder, port, not no_browser, allow_root))


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--beside", is_flag=True, help="Write the new version of a file you changed next to it: NAME.new.ipynb.")
def start(directory: Path, beside: bool) -> None:
    """Copy the lessons and exercises to DIR, to work in. A file there that differs is never overwritten."""
    report = copy_course(directory, beside)
    for path in report.kept:
        click.echo(f"kept your {path}, which differs from the installed version")
    if report.kept and not beside:
        click.echo(f"To get the installed version beside yours: icrl-teach start {directory} --beside")
    click.echo(f"{len(report.written)} files written to {directory}, {len(report.same)} were there already.")
    click.echo(f"Open them with: icrl-teach lab {directory}")


class _Sizes(click.ParamType):
    """A size or a range of sizes: 6 or 4-8."""

    name = "N or LEAST-MOST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        if (match := re.fullmatch(r"(\d+)(?:-(\d+))?", value)) is None:
            self.fail(f"{value!r} is neither a number such as 6 nor a range such as 4-8.", param, ctx)
        return int(match[1]), int(match[2] or match[1])


def _pretrain_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Command-line options as fields of PretrainConfig."""
    names = {
        "states": "n_states",
        "context": "n_context",
        "layers": "n_layers",
        "tasks": "n_tasks",
        "windows": "n_windows",
        "steps": "n_steps",
        "lr": "learning_rate",
    }
    fields = {names.get(name, name): value for name, value in options.items() if name not in ("seeds", "seed")}
    if "free" in fields:
        fields["masked"] = not fields.pop("free")
    if "separate_layers" in fields:
        fields["tied"] = not fields.pop("separate_layers")
    if fields.get("d", 0) is None:  # not given: as one-hot features need it, else 4
        fields["d"] = fields["n_states"][1] if fields["features"] == "one-hot" else 4
    if {"seeds", "seed"} <= options.keys():
        fields["seeds"] = tuple(range(options["seed"], options["seed"] + options["seeds"]))
    return fields


def _pretrain_config(ctx: click.Context, options: dict[str, Any], resumed: Path | None) -> Any:
    """The run that the options describe; a resumed one is described by its checkpoint, and options may only agree."""
    from icrl_teach.pretraining import PretrainConfig, load_result

    if resumed is None:
        return PretrainConfig(**_pretrain_fields(options))
    config = load_result(resumed).config
    before = {"seed": config.seeds[0], "seeds": len(config.seeds)}
    given = {name: value for name, value in options.items() if _given(ctx, name)}
    if given.keys() & before.keys():
        given = {**before, **given}
    return replace(config, **_pretrain_fields(given))


def _choice(name: str, options: Sequence[str], text: str) -> Callable[[Any], Any]:
    """An option that is one of a few words; the first is its default."""
    return click.option(name, type=click.Choice(options), default=options[0], show_default=True, help=text)


@main.command()
@_choice("--family", FAMILIES, "Tasks to train on.")
@_choice("--features", ["one-hot", "random", "aggregated"], "What the network sees of a state.")
@click.option("--feature-scale", type=float, default=1.0, show_default=True, help="Length of each feature vector.")
@click.option("--states", type=_Sizes(), default="6", show_default=True, help="States of a task, drawn at every step.")
@click.option("--context", type=_Sizes(), default="40", show_default=True, help="Transitions that a prompt holds.")
@click.option("--d", type=click.IntRange(1), help="Number of features.  [default: the most states if one-hot, else 4]")
@click.option("--layers", type=click.IntRange(1), default=4, show_default=True, help="Depth of the Transformer.")
@click.option("--gamma", type=float, default=0.6, show_default=True, help="Discount of future rewards, 0 to below 1.")
@click.option("--tasks", type=click.IntRange(1), default=128, show_default=True, help="Fresh tasks for each step.")
@click.option("--windows", type=click.IntRange(1), default=2, show_default=True, help="Prompts made from each task.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Training steps to take; a finished run cannot be lengthened.",
)
@click.option("--lr", type=float, default=0.025, show_default=True, help="Learning rate after the warm-up.")
@_choice("--loss", ["td", "value"], "TD errors (semi-gradient), or regression on exact values for comparison.")
@click.option("--free", is_flag=True, help="Train every entry of V and A, not only those that Theorem 1 uses.")
@_choice("--normalisation", ["softmax", "linear", "sigmoid"], "How attention turns scores into weights.")
@click.option("--separate-layers", is_flag=True, help="Give each layer its own V and A.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs to train side by side.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the first of these runs.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute, such as cpu or cuda.")
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file that keeps the run, so that --resume can continue it.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --checkpoint, with the settings it was begun with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def pretrain(
    ctx: click.Context, device: str, checkpoint: Path | None, resume: bool, as_json: bool, **options: Any
) -> None:
    """Train the network from noise by TD, and compare what it learned with Theorem 1's parameters.

    Ctrl-C stops after the step in flight and keeps what was learned so far. Several processes:
    torchrun --nproc-per-node 2 -m icrl_teach pretrain ...
    """
    if resume and checkpoint is None:
        raise click.UsageError("--resume needs --checkpoint FILE, the run to continue.", ctx)
    from icrl_teach import emergence, pretraining

    config = _pretrain_config(ctx, options, checkpoint if resume else None)
    result = pretraining.pretrain(
        config, checkpoint=checkpoint, resume=resume, progress=sys.stderr.isatty(), device=device
    )
    if os.environ.get("RANK", "0") != "0":  # under torchrun one process speaks for all
        return
    summary = emergence.summarise(result)
    click.echo(_pretrain_json(summary) if as_json else _pretrain_text(summary))
    for seed in sorted({run["seed"] for run in summary["runs"] if not math.isfinite(run["error"])}):
        _warn(f"seed {seed} diverged: its answers are no finite numbers; try a smaller --lr")
    if result.steps < result.config.n_steps:
        kept = f"; continue with --resume --checkpoint {checkpoint}" if checkpoint else ""
        _warn(f"stopped after {result.steps} of {result.config.n_steps} steps{kept}")
        ctx.exit(130)


def _pretrain_text(summary: dict[str, Any]) -> str:
    from icrl_teach.emergence import summary_text
    from icrl_teach.pretraining.config import middle_of

    s = summary["settings"]
    ranges = (s["n_states"], s["n_context"])
    sizes = [f"{low}" if low == high else f"{low}-{high} (tested: {middle_of((low, high))[0]})" for low, high in ranges]
    heading = (
        f"{s['family']}, {sizes[0]} states, {s['features']} features, prompts of {sizes[1]} transitions, "
        f"{s['n_layers']} layers of {s['normalisation']} attention, gamma {s['gamma']:g}; {summary['steps']:,} steps\n"
    )
    return f"{heading}\n{summary_text(summary)}\n{_PRETRAIN_LEGEND}"


_PRETRAIN_LEGEND = """
Theorem 1 builds V's row as alpha (1, 1, -1) and A as beta I; alpha, beta and the cosines say how nearly the learned
ones fit (columns of A centred where softmax cannot see their mean). Errors: mean squared, against the exact values."""


def _pretrain_json(summary: dict[str, Any]) -> str:
    """JSON has no NaN: numbers of a diverged run become null."""

    def clean(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: clean(value) for key, value in x.items()}
        if isinstance(x, list | tuple):
            return [clean(value) for value in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(clean(summary), indent=1, allow_nan=False)
