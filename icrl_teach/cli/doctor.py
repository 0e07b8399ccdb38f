"""`icrl-teach doctor`."""

from __future__ import annotations

import click

from icrl_teach._progress import progress
from icrl_teach.cli.shell import one_line
from icrl_teach.cli.text import styled, wrap


@click.command("doctor", short_help="Check that this computer has what the course needs.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Check that this computer has what the course needs, and say what to do where it has not."""
    from icrl_teach.doctor import run_checks

    with progress() as tick:
        results = run_checks(tick)
    width = max(len(check.name) for check in results)
    for check in results:
        mark, color = ("ok  ", "green") if check.ok else ("FAIL", "red")
        line = wrap(f"{mark}  {check.name:<{width}}  {one_line(check.found)}", " " * (width + 8))
        click.echo(styled(mark, fg=color) + line.removeprefix(mark))
        if not check.ok:  # one line however long, so that it can be copied
            click.echo(f"      to do: {check.remedy}")
    if failures := sum(not check.ok for check in results):
        click.echo(styled(f"{failures} of {len(results)} checks failed.", fg="red"))
    else:
        click.echo(f"{styled('All is well.', fg='green')} A copy of your own, and JupyterLab in it:")
        click.echo("  icrl-teach start my-course\n  icrl-teach lab my-course")
    ctx.exit(1 if failures else 0)
