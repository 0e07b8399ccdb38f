"""`icrl-teach validate`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from icrl_teach.cli.text import columns, fold
from icrl_teach.validation.findings import PROFILES

_OVERRIDES = ("profile", "jobs", "repeat", "cell_timeout", "memory_limit", "picture_tolerance")


@click.command("validate", short_help="Check that notebooks store what a fresh run gives.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option(
    "--update", is_flag=True, help="Store fresh outputs after showing what changes; a failing notebook stays."
)
@click.option("--static", is_flag=True, help="Only what needs no run.")
@click.option(
    "--profile", type=click.Choice(PROFILES), help="Hold all to one profile; else the configuration says, or own."
)
@click.option("--jobs", type=click.IntRange(1), help="Notebooks run at a time.  [default: the CPUs, at most 4]")
@click.option(
    "--repeat", type=click.IntRange(1), help="Runs of each; cells that differ between them are unstable, not stale."
)
@click.option("--shard", metavar="K/N", help="The K-th of N shares, for several machines.")
@click.option("--changed-since", metavar="REV", help="Only notebooks that may have changed since a git revision.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write report.html, junit.xml, validate.sarif, report.json.",
)
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file; else the nearest pyproject.toml."
)
@click.option(
    "--cell-timeout", type=click.FloatRange(0, min_open=True), help="Seconds a cell may take.  [default: 120]"
)
@click.option(
    "--memory-limit", type=click.FloatRange(0, min_open=True), help="Megabytes a kernel may hold.  [default: 4096]"
)
@click.option("--picture-tolerance", type=click.FloatRange(0), help="Per cent of full scale.  [default: 3]")
@click.option("-v", "--verbose", is_flag=True, help="Every finding, with its cell's source and a diff.")
def command(paths: tuple[Path, ...], **options: Any) -> int:
    """Hold notebooks to a strict standard: what they store is what a fresh run gives, and fit to be read.

    Names files or folders; exit code 0: clean, 1: findings, 2: could not run.
    """
    from icrl_teach.validation import config, select

    settings = config.load(options["config"], paths[0])
    settings = replace(settings, **{key: options[key] for key in _OVERRIDES if options[key] is not None})
    chosen = select.collect(paths, settings)
    if options["shard"]:
        chosen = select.shard(chosen, options["shard"])
    if options["changed_since"]:
        chosen = select.changed_since(chosen, options["changed_since"])
    if not chosen:
        which = f"shard {options['shard']}" if options["shard"] else ""
        since = f"what changed since {options['changed_since']}" if options["changed_since"] else ""
        click.echo(f"no notebook is in {' of '.join(filter(None, (which, since)))}: nothing to do")
    if options["report"]:
        options["report"].mkdir(parents=True, exist_ok=True)
    return _run(chosen, settings, options)


def _run(chosen: list[Path], settings: Any, options: dict[str, Any]) -> int:
    from icrl_teach._progress import progress
    from icrl_teach.validation import engine, reports, terminal

    cells = 0 if options["static"] else sum(_cells(path) for path in chosen) * settings.repeat
    with progress(cells or None) as tick:
        report = engine.validate(
            chosen, settings, run=not options["static"], store=options["update"], tick=tick, show=click.echo
        )
    width = columns() if sys.stdout.isatty() else None
    found, summary = (
        fold(text, sys.stdout) for text in (terminal.findings(report, options["verbose"]), terminal.summary(report))
    )
    for text in (found, terminal.table(report, width), summary):
        if text:
            click.echo(text)
    if options["report"]:
        reports.write(report, options["report"])
    return int(any(finding.level == "error" for finding in report.findings))


def _cells(path: Path) -> int:
    """About how many code cells a file holds, for the progress bar: without reading it as a notebook."""
    if not path.is_file():  # a pipe would be waited for
        return 0
    try:
        return path.read_text(encoding="utf-8", errors="ignore").count('"cell_type": "code"')
    except OSError:
        return 0
