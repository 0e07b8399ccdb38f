"""A new class, and what learners get of its sheets."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from icrl_teach._progress import Tick, no_tick
from icrl_teach.classroom import gradebook
from icrl_teach.classroom.folder import CONFIG, SEED, ClassFolder, Sheet, write_if_new
from icrl_teach.classroom.roster import ROSTER, read_roster
from icrl_teach.course import course_root

EMPTY_ROSTER = b"id,name,email\n"


@dataclass
class NewReport:
    """What `new` did: the sheets it wrote, those that were there and stay; learners in the roster."""

    course: ClassFolder
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    learners: int = 0


def new(root: Path, roster: Path | None = None, tick: Tick = no_tick) -> NewReport:
    """A class in the folder `root`: every sheet of the course, nbgrader's configuration and gradebook, the roster.

    roster: a CSV file to begin with. What is there already stays as it is: run it again after an update.
    Raises ValueError without nbgrader, or for a roster that cannot be read or another than the one that is there.
    """
    gradebook.require_nbgrader()
    if roster is not None:
        read_roster(roster)
    root.mkdir(parents=True, exist_ok=True)
    report = NewReport(ClassFolder(root.absolute()))
    seed = f"{secrets.randbelow(2**31)}\n".encode()
    first = {CONFIG: gradebook.CONFIGURATION.encode(), ROSTER: _first_roster(root, roster), SEED: seed}
    for name, content in first.items():
        if not (root / name).exists() or (name == ROSTER and roster is not None):
            write_if_new(root / name, content)
    for solution in sheets_of_the_course():
        tick(solution.stem)
        target = root / "source" / solution.stem / solution.name
        (report.kept if target.exists() else report.written).append(solution.stem)
        if not target.exists():
            gradebook.copy_source(solution, target)
    learners = read_roster(root / ROSTER)
    with gradebook.gradebook(report.course) as book:
        gradebook.enrol(book, learners)
        for sheet in report.course.sheets:
            tick(sheet.name)
            book.update_or_create_assignment(sheet.name)
    report.learners = len(learners)
    return report


def _first_roster(root: Path, given: Path | None) -> bytes:
    if given is None:
        return EMPTY_ROSTER
    content, there = given.read_bytes(), root / ROSTER
    if there.exists() and there.read_bytes() not in (content, EMPTY_ROSTER):
        raise ValueError(f"{there} is there already and differs from {given}; add the new lines to it by hand")
    return content


def sheets_of_the_course() -> list[Path]:
    """The solved sheets of the installed course. Raises FileNotFoundError without any."""
    found = sorted((course_root() / "solutions").glob("[0-9]*.ipynb"))
    if not found:
        raise FileNotFoundError("the course's sheets are not installed with this package: reinstall icrl-teach")
    return found


def assign(
    course: ClassFolder, sheets: Iterable[Sheet], due: datetime | None = None, tick: Tick = no_tick
) -> list[tuple[Sheet, bool]]:
    """Make what learners get of each sheet, into release/; with each, whether it is new. due: enters the gradebook.

    Raises ValueError, with nbgrader's reason, for a sheet that it refuses.
    """
    done = []
    for sheet in sheets:
        tick(sheet.name)
        done.append((sheet, gradebook.generate(course, sheet)))
    with gradebook.gradebook(course) as book:
        gradebook.enrol(book, read_roster(course.root / ROSTER))
        for sheet, _ in done if due is not None else ():
            book.update_or_create_assignment(sheet.name, duedate=due)
    return done
