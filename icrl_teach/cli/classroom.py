"""`icrl-teach class`: a class from the first sheet to the last mark, one command a step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from icrl_teach.cli.shell import one_line

if TYPE_CHECKING:
    from icrl_teach.classroom.folder import ClassFolder

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)

in_class = click.option(
    "--class",
    "root",
    type=_FOLDER,
    default=Path(),
    metavar="DIR",
    help="The folder of the class.  [default: the one you are in]",
)
sheets_argument = click.argument("sheets", nargs=-1, metavar="[SHEET]...")


@click.group("class", short_help="Give out sheets, take them in, grade, export marks.")
def command() -> None:
    """Give a class: make it, give out sheets, take them in, grade, tell the learners, export the marks.

    Each step may be repeated; what is done stays done. Needs the extra teach. SHEET is a number, such as 01, or a name;
    without one, all sheets.
    """


@command.command("new", short_help="Make a class: sheets, nbgrader's settings, gradebook.")
@click.argument("directory", type=_FOLDER, metavar="DIR")
@click.option("--roster", type=_FILE, metavar="FILE", help="CSV file with the columns id, name and email.")
def new(directory: Path, roster: Path | None) -> None:
    """Make a class in DIR: all sheets, nbgrader's configuration and gradebook. What is there already stays."""
    from icrl_teach._progress import progress
    from icrl_teach.classroom import setup

    with progress(2 * len(setup.sheets_of_the_course())) as tick:
        report = setup.new(directory, roster, tick)
    kept = f", {len(report.kept)} that were there stay as they are" if report.kept else ""
    click.echo(f"{len(report.written)} sheets written to {directory}{kept}; {report.learners} learners in the roster.")
    if not report.learners:
        click.echo(f"Next: write a line for each learner into {directory / 'roster.csv'}")
    click.echo(f"Next: cd {directory}, then icrl-teach class assign 01")


@command.command("assign")
@sheets_argument
@click.option("--due", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="Last day, for the gradebook; UTC.")
@in_class
def assign(sheets: tuple[str, ...], due: datetime | None, root: Path) -> None:
    """Make what learners get, into release/. Run it again after you changed a sheet in source/."""
    from icrl_teach.classroom import setup

    course, chosen = _chosen(root, sheets)
    with _progress(len(chosen)) as tick:
        done = setup.assign(course, chosen, due, tick)
    for sheet, is_new in done:
        path = _short(course, course.release(sheet))
        click.echo(f"{path}: {'give this out' if is_new else 'as before'}")


@command.command("collect", short_help="Take in what learners uploaded to Moodle or Canvas.")
@click.argument("uploads", type=click.Path(exists=True, path_type=Path), metavar="UPLOADS")
@click.option("--sheet", metavar="SHEET", help="The sheet of the files that do not tell it themselves.")
@in_class
def collect(uploads: Path, sheet: str | None, root: Path) -> None:
    """Take in what learners uploaded: the folder or zip file that Moodle or Canvas made of it.

    Each learner's last one counts, and is never replaced by an older one.
    """
    from icrl_teach.classroom.collect import collect as take

    course, only = _chosen(root, (sheet,) if sheet else ())
    with _progress(None) as tick:
        report = take(course, uploads, only[0] if sheet else None, tick)
    counts = {"new": report.taken, "in place of an older one": report.replaced, "as before": report.same}
    click.echo("Submissions: " + ", ".join(f"{len(found)} {words}" for words, found in counts.items()))
    for student, name in report.late:
        click.echo(f"late: {student}, {name}")
    for student, name in report.older:
        click.echo(f"not taken: {student}, {name}: what is there is newer")
    for left in report.left:
        click.echo(one_line(f"not taken: {left.where}: {left.why}"))


def _chosen(root: Path, names: Iterable[str]) -> tuple[ClassFolder, list[Any]]:
    from icrl_teach.classroom.folder import ClassFolder

    course = ClassFolder.at(root)
    return course, course.chosen(tuple(names))


def _progress(total: int | None) -> Any:
    from icrl_teach._progress import progress

    return progress(total)


def _short(course: ClassFolder, path: Path) -> Path:
    return path.relative_to(course.root)


@command.command("grade", short_help="Grade what has changed; marks go into the gradebook.")
@sheets_argument
@click.option("--jobs", type=click.IntRange(1), help="Submissions at a time.  [default: the CPUs]")
@click.option("--again", is_flag=True, help="Grade those that have not changed, too.")
@click.option(
    "--forbid",
    multiple=True,
    metavar="EXERCISE=MODULE:NAME",
    help="A function of the library that may not do this exercise; none after = allows all. May be given often.",
)
@in_class
def grade(sheets: tuple[str, ...], jobs: int | None, again: bool, forbid: tuple[str, ...], root: Path) -> int:
    """Grade what has changed since: marks go into nbgrader's gradebook and into marks.csv.

    What a person should look at is named, line by line. Exit code 1 if something could not be graded at all.
    """
    from icrl_teach.classroom.folder import MARKS
    from icrl_teach.classroom.grade import grade as grade_all

    course, chosen = _chosen(root, sheets)
    with _progress(sum(len(course.handed_in(sheet)) for sheet in chosen)) as tick:
        report = grade_all(course, chosen, jobs=jobs, again=again, forbid=_forbidden(forbid), tick=tick)
    click.echo(f"{len(report.graded)} submissions graded, {len(report.same)} as before; marks are in {MARKS}")
    for student, name, exercises, why in report.look:
        click.echo(one_line(f"look: {student}, {name}, {exercises}: {why}"))
    for student, name, note in report.notes:
        click.echo(one_line(f"note: {student}, {name}: {note}"))
    for weak in sorted(report.unprotected):
        click.echo(one_line(f"not protected here: {weak}"))
    for student, name, why in report.failed:
        click.echo(one_line(f"not graded: {student}, {name}: {why}"), err=True)
    return int(bool(report.failed))


def _forbidden(pairs: Iterable[str]) -> dict[str, list[str]] | None:
    rules: dict[str, list[str]] = {}
    for pair in pairs:
        exercise, equals, name = pair.partition("=")
        if not (exercise and equals and name.count(":") == bool(name)):
            example = "return_std=mrp:MarkovRewardProcess.value"
            raise ValueError(f"--forbid is {pair!r}; write EXERCISE=MODULE:NAME, such as {example}")
        rules.setdefault(exercise, []).extend([name] if name else [])
    return rules or None


@command.command("feedback", short_help="Write a page for each learner.")
@sheets_argument
@in_class
def feedback(sheets: tuple[str, ...], root: Path) -> None:
    """Write a page for each learner: what is right, what is not, and a hint. It goes into feedback/STUDENT."""
    from icrl_teach.classroom.feedback import feedback as write

    course, chosen = _chosen(root, sheets)
    with _progress(sum(len(course.handed_in(sheet)) for sheet in chosen)) as tick:
        written = write(course, chosen, tick)
    click.echo(f"{len(written)} pages new or changed, in feedback/")


@command.command("export", short_help="Write the marks for Moodle or Canvas.")
@sheets_argument
@click.option("--to", "platform", type=click.Choice(["moodle", "canvas"]), required=True, help="Whose gradebook.")
@click.option("--out", type=_OUT, metavar="FILE", help="[default: moodle.csv or canvas.csv in the class]")
@in_class
def export(sheets: tuple[str, ...], platform: str, out: Path | None, root: Path) -> None:
    """Write the marks as a CSV file that Moodle's or Canvas' gradebook takes in."""
    from icrl_teach.classroom.exports import export as write

    course, chosen = _chosen(root, sheets)
    if not sheets:
        chosen = [sheet for sheet in chosen if course.handed_in(sheet)]
    target = out or course.root / f"{platform}.csv"
    report = write(course, chosen, platform, target)
    for student, name in report.without:
        click.echo(f"no mark: {student}, {name}: handed in, and not graded")
    click.echo(f"{report.marks} marks written to {target}")
