"""The command line: a file for each command, which holds its options and its text.

A command is a thin shell around a function that computes and returns plain data, for use from Python as well: see
`doctor.py`, `comparison.py`, `evaluation.py`, `course.py` and `pretraining/`. torch and matplotlib load inside
commands only, so that `icrl-teach --help` answers at once. A new command is a file that holds a click
`command`, and its line in COMMANDS.
"""

from __future__ import annotations

from importlib import import_module

import click

from icrl_teach import __version__
from icrl_teach.cli.shell import OneLineErrors

COMMANDS = [
    "act",
    "classroom",
    "demo",
    "doctor",
    "evaluate",
    "explorer",
    "lab",
    "new_exercise",
    "pretrain",
    "progress",
    "start",
    "validate",
]


@click.group(name="icrl-teach", cls=OneLineErrors, invoke_without_command=True)
@click.version_option(__version__, prog_name="icrl-teach")
@click.pass_context
def main(ctx: click.Context) -> None:
    """A course on in-context reinforcement learning: a softmax Transformer that learns values while it reads."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for name in COMMANDS:
    main.add_command(import_module(f"icrl_teach.cli.{name}").command)
