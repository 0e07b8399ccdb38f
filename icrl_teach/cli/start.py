"""`icrl-teach start`: a learner's own copy of the notebooks."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from icrl_teach.cli.text import wrap
from icrl_teach.course import copy_course


@click.command("start")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--beside", is_flag=True, help="Write the new version of a file you changed next to it: NAME.new.ipynb.")
@click.option(
    "--with-outputs/--without-outputs",
    default=None,
    help="Keep the stored outputs, which give the predictions away. Without either: as last time, at first without.",
)
def command(directory: Path, beside: bool, with_outputs: bool | None) -> None:
    """Copy the lessons and exercises to DIR, to work in. A file there that you ran or changed is never overwritten."""
    report, here = copy_course(directory, beside, with_outputs), shlex.quote(str(directory))
    for path in report.news:
        click.echo(wrap(f"kept your {path}, of which another version is installed", "  "))
    if report.news and not beside:
        click.echo(f"To get the installed version beside yours:\n  icrl-teach start {here} --beside")
    if own := len(report.kept) - len(report.news):
        click.echo(f"{own} {'files' if own > 1 else 'file'} that you ran or changed: left as you have them.")
    updated = f"{len(report.updated)} that you had not touched were brought up to date, " if report.updated else ""
    written = f"{len(report.written)} files written to {directory}"
    click.echo(wrap(f"{written}, {updated}{len(report.same)} were there already."))
    click.echo(f"Open them with: icrl-teach lab {here}")
