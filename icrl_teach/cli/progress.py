"""`icrl-teach progress`: what is done, what is next, minutes left."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from icrl_teach.cli.text import wrap
from icrl_teach.learner import NotKept, home
from icrl_teach.standing import Standing, standing


@click.command("progress", short_help="Show what is done, what is next, and minutes left.")
@click.argument(
    "directory", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="[DIR]"
)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def command(directory: Path | None, as_json: bool) -> None:
    """Show what you have done of the course, what is next, and how many minutes are left.

    DIR is a folder that icrl-teach start made; without it, the one in which you are. Nothing leaves this computer.
    """
    folder = home(directory)
    if folder is None:
        where = "this folder" if directory is None else directory
        raise ValueError(f"{where} keeps no progress; run 'icrl-teach start DIR' and work in DIR")
    try:
        found = standing(folder)
    except NotKept as error:
        raise ValueError(str(error)) from None
    if as_json:
        click.echo(json.dumps(_plain(found, folder), indent=1, ensure_ascii=False))
    else:
        click.echo(wrap(str(found), "  "))


def _plain(found: Standing, folder: Path) -> dict[str, object]:
    rows = []
    for row in map(dataclasses.asdict, found.rows):
        part = row.pop("part")
        rows.append({**part, **row})
    return {"folder": str(folder), "note": found.note, "next": found.next, "rows": rows}
