"""`icrl-teach doctor`."""

from __future__ import annotations

import click

from icrl_teach._progress import progress
from icrl_teach.cli.shell import one_line


@click.command("doctor")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Check that this computer has what the course needs, and say what to do where it has not."""
    from icrl_teach.doctor import run_checks

    with progress() as tick:
        results = run_checks(tick)
    width = max(len(check.name) for check in results)
    for check in results:
        click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<{width}}  {one_line(check.found)}")
        if not check.ok:
            click.echo(f"      {'':<{width}}  to do: {check.remedy}")
    failures = sum(not check.ok for check in results)
    well = "All is well. Your own copy of the course: icrl-teach start my-course, then icrl-teach lab my-course"
    click.echo(f"{failures} of {len(results)} checks failed." if failures else well)
    ctx.exit(1 if failures else 0)
