"""`icrl-teach new-exercise`: the cells, the check and the case of an exercise, to be filled in."""

from __future__ import annotations

from pathlib import Path

import click

KINDS = ("warm-up", "core", "stretch")


@click.command("new-exercise", short_help="Add an exercise to a sheet, with its check.")
@click.argument("sheet", metavar="SHEET")
@click.argument("title", metavar="TITLE")
@click.option("--name", help="Of the function that learners write.  [default: from the title]")
@click.option("--kind", type=click.Choice(KINDS), default="core", show_default=True, help="How hard it is.")
@click.option("--minutes", type=click.IntRange(1), default=10, show_default=True, help="How long it takes.")
@click.option("--points", type=click.IntRange(1), default=2, show_default=True, help="What it is worth.")
def command(sheet: str, title: str, name: str | None, kind: str, minutes: int, points: int) -> None:
    """Add an exercise to a sheet: its cells, a check and, in a checkout of the course, the case that tests the check.

    SHEET is a number or name in solutions/ of a checkout or source/ of a class, or a path; a new one is begun.
    """
    from icrl_teach.authoring import Exercise, checked_name, find_sheet, name_of, new_exercise

    function = checked_name(name) if name else name_of(title)
    path = find_sheet(sheet, Path())
    written = new_exercise(path, Exercise(title, function, kind, minutes, points))
    for file in written.files:
        click.echo(f"written: {file}")
    for number, step in enumerate(written.next, start=1):
        click.echo(f"{number}. {step}")
