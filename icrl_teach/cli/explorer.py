"""`icrl-teach explorer`: the Explorer as a page, without a notebook."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

import click

from icrl_teach._files import atomic_write


@click.command("explorer", short_help="Draw a world, let a network read a walk, break it.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the page there; open nothing.")
def command(output: Path | None) -> None:
    """Open the Explorer in a browser: draw a world, let a frozen network read a walk, and break it.

    It is one file, which needs no kernel and no network.
    """
    from icrl_teach.web.explorer import page_text  # loads ipywidgets

    if output is not None and output.exists():
        raise ValueError(f"--output is {output}, which exists already; nothing is overwritten: choose another name")
    path = output if output is not None else Path(tempfile.mkdtemp(prefix="icrl-teach-")) / "explorer.html"
    with atomic_write(path) as file:
        file.write(page_text())
    opened = output is None and webbrowser.open(path.as_uri())
    click.echo(f"The Explorer is {'open' if opened else 'written'}: {path}")
