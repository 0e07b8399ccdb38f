"""`icrl-teach pretrain`: train from noise, and compare what was learned with Theorem 1."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from icrl_teach._files import try_writing
from icrl_teach.cli.shell import given, warn
from icrl_teach.cli.text import styled, wrap
from icrl_teach.pretraining.config import CHOICES, PretrainConfig, middle_of, step_bytes

MEMORY_LIMIT = 64 * 2**30  # bytes: a large machine's

ERRORS = "Errors: mean squared, on held-out tasks, against the exact values."
LEGEND = (
    "Theorem 1 builds V's row as alpha (1, 1, -1) and A as beta I; alpha, beta and the cosines say how nearly the "
    f"learned ones fit (columns of A centred where softmax cannot see their mean). {ERRORS}"
)


class _Sizes(click.ParamType):
    """A size or a range of sizes: 6 or 4-8."""

    name = "N or LEAST-MOST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        if (match := re.fullmatch(r"(\d+)(?:-(\d+))?", value)) is None:
            self.fail(f"{value!r} is neither a number such as 6 nor a range such as 4-8.", param, ctx)
        return int(match[1]), int(match[2] or match[1])


REFERENCE = PretrainConfig()


def _option(name: str, field: str, text: str) -> Callable[[Any], Any]:
    """An option for a field of PretrainConfig; what it may be and its default are read from there."""
    default = getattr(REFERENCE, field)
    kinds: dict[type, Any] = {int: click.IntRange(1), float: float, tuple: _Sizes(), bool: bool}
    kind = click.Choice(CHOICES[field]) if field in CHOICES else kinds[type(default)]
    shown = f"{default[0]}" if isinstance(default, tuple) else default
    return click.option(name, field, type=kind, default=shown, show_default=True, help=text)


@click.command("pretrain", short_help="Train from noise by TD; compare with Theorem 1.")
@_option("--architecture", "architecture", "The paper's network, two heads without its shift, or a usual Transformer.")
@_option("--family", "family", "Tasks to train on.")
@_option("--features", "features", "What the network sees of a state.")
@_option("--feature-scale", "feature_scale", "Length of each feature vector.")
@_option("--states", "n_states", "States of a task, drawn at every step.")
@_option("--context", "n_context", "Transitions that a prompt holds.")
@click.option("--d", type=click.IntRange(1), help="Number of features.  [default: the most states if one-hot, else 4]")
@_option("--layers", "n_layers", "Depth of the Transformer.")
@_option("--gamma", "gamma", "Discount of future rewards, 0 to below 1.")
@_option("--tasks", "n_tasks", "Fresh tasks for each step.")
@_option("--windows", "n_windows", "Prompts made from each task.")
@_option("--steps", "n_steps", "Training steps to take; a finished run cannot be lengthened.")
@click.option(
    "--lr", "learning_rate", type=float, help="Learning rate after the warm-up.  [default: 0.025; stock: 0.003]"
)
@_option("--loss", "loss", "TD errors (semi-gradient), or regression on exact values for comparison.")
@_option("--masked/--free", "masked", "Train only those entries of V and A that Theorem 1 uses, or every one.")
@_option("--normalisation", "normalisation", "How attention turns scores into weights.")
@click.option(
    "--tied/--separate-layers",
    "tied",
    default=None,
    help="Give all layers the same weights, or each its own.  [default: tied, but separate for stock]",
)
@_option("--width", "width", "Stock: numbers in its residual stream.")
@_option("--heads", "n_heads", "Stock: heads of each layer.")
@_option("--positions", "positions", "Stock: how a token knows its place.")
@_option("--next-features/--no-next-features", "next_features", "Stock: put the next state's features in a token.")
@_option("--causal/--all-hear-all", "causal", "Stock: hide later tokens from earlier ones.")
@click.option("--seeds", "n_seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs side by side.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the first of these runs.")
@click.option("--device", default="cpu", show_default=True, help="Where to compute, such as cpu or cuda.")
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file that keeps the run, so that --resume can continue it.",
)
@click.option(
    "--weights",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file for the trained weights alone, as safetensors.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --checkpoint, with the settings it was begun with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def command(
    ctx: click.Context,
    device: str,
    checkpoint: Path | None,
    weights: Path | None,
    resume: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train the network from noise by TD, and compare what it learned with Theorem 1's parameters.

    Ctrl-C and SIGTERM stop after the step in flight and keep what was learned so far. Several processes:
    torchrun --nproc-per-node 2 -m icrl_teach pretrain ...
    """
    if resume and checkpoint is None:
        raise click.UsageError("--resume needs --checkpoint FILE, the run to continue.", ctx)
    from icrl_teach import emergence, pretraining

    if weights is not None:
        try_writing(weights.parent)  # before the work, not after it
    config = _config(ctx, options, checkpoint if resume else None)
    _check_memory(config)
    result = pretraining.pretrain(
        config, checkpoint=checkpoint, resume=resume, progress=sys.stderr.isatty(), device=device
    )
    if os.environ.get("RANK", "0") != "0":  # under torchrun one process speaks for all
        return
    if weights is not None:
        pretraining.save_weights(weights, result)
    summary = emergence.summarise(result)
    click.echo(_json(summary) if as_json else _text(summary))
    for seed in sorted({run["seed"] for run in summary["runs"] if not math.isfinite(run["error"])}):
        warn(f"seed {seed} diverged: its answers are no finite numbers; try a smaller --lr")
    if result.steps < result.config.n_steps:
        kept = f"; continue with --resume --checkpoint {checkpoint}" if checkpoint else ""
        warn(f"stopped after {result.steps} of {result.config.n_steps} steps{kept}")
        ctx.exit(128 + (result.signal or signal.SIGINT))  # as a shell tells it


def _config(ctx: click.Context, options: dict[str, Any], resumed: Path | None) -> PretrainConfig:
    """The run that the options describe; a resumed one is described by its checkpoint, and options may only agree."""
    from icrl_teach.pretraining import load_result

    fields, config = options, REFERENCE
    if resumed is None:  # what was not given follows from the rest
        stock = options["architecture"] == "stock"
        d = options["n_states"][1] if options["features"] == "one-hot" else 4
        others = {"d": d, "learning_rate": 0.003 if stock else REFERENCE.learning_rate, "tied": not stock}
        fields = {name: others.get(name) if value is None else value for name, value in options.items()}
    else:
        config = load_result(resumed).config
        fields = {name: value for name, value in options.items() if given(ctx, name)}
    first, n_seeds = fields.pop("seed", config.seeds[0]), fields.pop("n_seeds", len(config.seeds))
    if (first, n_seeds) != (config.seeds[0], len(config.seeds)):
        fields["seeds"] = tuple(range(first, first + n_seeds))
    return replace(config, **fields)


def _check_memory(config: PretrainConfig) -> None:
    """Refuse, before any work, a step that no machine of a reader's has the memory for."""
    if (need := step_bytes(config)) > MEMORY_LIMIT:
        sizes = f"{config.n_tasks:,} --tasks, {config.n_windows:,} --windows, a --context of {config.n_context[1]:,}"
        raise ValueError(
            f"{sizes}, {config.n_layers:,} --layers and {len(config.seeds):,} --seeds: a training step needs about "
            f"{need / 2**30:,.3g} GiB, and the limit is {MEMORY_LIMIT / 2**30:g} GiB; lower one of them"
        )


def _text(summary: dict[str, Any]) -> str:
    s = summary["settings"]
    ranges = (s["n_states"], s["n_context"])
    sizes = [f"{low}" if low == high else f"{low}-{high} (tested: {middle_of((low, high))[0]})" for low, high in ranges]
    heading = (
        f"{s['family']}, {sizes[0]} states, {s['features']} features, prompts of {sizes[1]} transitions, "
        f"{s['n_layers']} layers of {s['normalisation']} attention, gamma {s['gamma']:g}; {summary['steps']:,} steps"
    )
    legend = ERRORS if s["architecture"] == "stock" else LEGEND
    head, *rows = summary_text(summary).splitlines()
    return "\n".join([styled(wrap(heading), bold=True), "", styled(head, bold=True), *rows, "", wrap(legend)])


def summary_text(summary: dict[str, Any]) -> str:
    """`summarise` as a table, one line a seed (and layer, where they are separate)."""
    if summary["settings"]["architecture"] == "stock":
        return _errors_text(summary)
    separate = any(run["layer"] for run in summary["runs"])
    lines = [
        f"{'seed':>5} {'layer':>5}  {'V: reward':>9} {'target':>7} {'value':>7}  {'alpha':>6} {'cosine':>6}  "
        f"{'A: beta':>7} {'cosine':>6}  {'error':>8}"
    ]
    for run in summary["runs"]:
        layer = run["layer"] if separate else "all"
        lines.append(
            f"{run['seed']:>5} {layer:>5}  {run['V'][0]:>9.3f} {run['V'][1]:>7.3f} {run['V'][2]:>7.3f}  "
            f"{run['alpha']:>6.3f} {run['V_cosine']:>6.3f}  {run['beta']:>7.3f} {run['A_cosine']:>6.3f}  "
            f"{run['error']:>8.4f}"
        )
    for name, key in (("constructed parameters, alpha 1, beta 4", "constructed"), ("best constant", "constant")):
        lines.append(f"{name:>{len(lines[0]) - 10}}  {summary[f'{key}_error']:>8.4f}")
    return "\n".join(lines)


def _errors_text(summary: dict[str, Any]) -> str:
    """Errors alone, a line a seed: no V and A of the stock network can be compared."""
    named = [(f"seed {run['seed']}", run["error"]) for run in summary["runs"]]
    named += [("constructed parameters, alpha 1, beta 4", summary["constructed_error"])]
    named += [("best constant", summary["constant_error"])]
    return "\n".join([f"{'':<39}   held-out error", *(f"{name:<39}   {error:>14.4f}" for name, error in named)])


def _json(summary: dict[str, Any]) -> str:
    """JSON has no NaN: numbers of a diverged run become null."""

    def clean(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: clean(value) for key, value in x.items()}
        if isinstance(x, list | tuple):
            return [clean(value) for value in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(clean(summary), indent=1, allow_nan=False)
