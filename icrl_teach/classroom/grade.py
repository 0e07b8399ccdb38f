"""Every submission is graded on its own, and what came out is kept at once: a stop loses the one it was at."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from icrl_teach import __version__
from icrl_teach._progress import Tick, no_tick
from icrl_teach.classroom import gradebook
from icrl_teach.classroom.collect import TIME_FORMAT, submitted_at
from icrl_teach.classroom.folder import MARKS, SEED, ClassFolder, Sheet, digest, write_if_new
from icrl_teach.classroom.roster import ROSTER, read_roster
from icrl_teach.grading import Mark, Marks, grade_submission, read_sheet

ORDINARY = ("ok", "wrong", "unwritten")  # statuses that need nobody's look
NO_MARK = ("unreadable",)  # and one that is no mark at all
Forbid = Mapping[str, Sequence[str]]


@dataclass
class GradeReport:
    """What `grade` did, as (student, sheet): graded now, as before; marks that a person should look at, each with the
    sheet; what a teacher may want to see of a submission; and what went wrong here, with the reason."""

    graded: list[tuple[str, str]] = field(default_factory=list)
    same: list[tuple[str, str]] = field(default_factory=list)
    look: list[tuple[str, Mark]] = field(default_factory=list)
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    unprotected: set[str] = field(default_factory=set)


def grade(
    course: ClassFolder,
    sheets: Iterable[Sheet],
    *,
    jobs: int | None = None,
    again: bool = False,
    forbid: Forbid | None = None,
    tick: Tick = no_tick,
) -> GradeReport:
    """Grade what has been handed in of each sheet; marks go into graded/, the gradebook and marks.csv.

    A submission that has not changed since, and whose sheet has not, is left as it is. jobs: at a time, as many as
    there are CPUs if None; again: grade unchanged ones, too; forbid: by exercise, functions of the library that may
    not do it. Raises ValueError without nbgrader, a roster or a seed.
    """
    report, seed = GradeReport(), _seed(course)
    for sheet in sheets:
        waiting = []
        for student in course.handed_in(sheet):
            key = _key(course, student, sheet, seed, forbid or {})
            if not again and _kept(course, student, sheet).get("key") == key:
                report.same.append((student, sheet.name))
                tick(student)
            else:
                waiting.append((student, key))
        _grade_all(course, sheet, waiting, seed, forbid, jobs or os.cpu_count() or 1, report, tick)
        enter(course, sheet, report)
    write_marks(course)
    return report


def _seed(course: ClassFolder) -> int:
    try:
        return int((course.root / SEED).read_text(encoding="ascii"))
    except (OSError, ValueError):
        raise ValueError(
            f"{course.root / SEED} holds no whole number; write one there, which learners do not know"
        ) from None


def _key(course: ClassFolder, student: str, sheet: Sheet, seed: int, forbid: Forbid) -> str:
    """What a submission's marks depend on."""
    notebook = (course.submission(student, sheet) / f"{sheet.name}.ipynb").read_bytes()
    rules = json.dumps({name: sorted(forbid[name]) for name in sorted(forbid)})
    return digest(f"{digest(notebook)} {sheet.digest} {seed} {rules} {__version__}".encode())


def _grade_all(
    course: ClassFolder,
    sheet: Sheet,
    waiting: list[tuple[str, str]],
    seed: int,
    forbid: Forbid | None,
    jobs: int,
    report: GradeReport,
    tick: Tick,
) -> None:
    if not waiting:
        return
    source = read_sheet(sheet.source)
    with ThreadPoolExecutor(jobs) as pool:
        running = {}
        for student, key in waiting:
            path = course.submission(student, sheet) / f"{sheet.name}.ipynb"
            task = pool.submit(grade_submission, path, source, seed=seed, forbid=forbid, student=student)
            running[task] = student, key
        try:
            for task in as_completed(running):
                student, key = running[task]
                try:
                    _keep(course, student, sheet, key, task.result())
                    report.graded.append((student, sheet.name))
                except Exception as error:  # whatever it is, it stops nobody else's, and is told by name
                    report.failed.append((student, sheet.name, f"{type(error).__name__}: {error}"))
                tick(student)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _keep(course: ClassFolder, student: str, sheet: Sheet, key: str, marks: Marks) -> None:
    content = {"key": key, **asdict(marks)}
    write_if_new(course.record(student, sheet), (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _kept(course: ClassFolder, student: str, sheet: Sheet) -> dict:
    try:
        content = json.loads(course.record(student, sheet).read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        return {}


def marks_of(course: ClassFolder, student: str, sheet: Sheet) -> Marks | None:
    """What is kept of a graded submission; None if nothing is."""
    kept = _kept(course, student, sheet)
    if "marks" not in kept:
        return None
    lists = {name: tuple(kept[name]) for name in ("notes", "isolation", "unprotected")}
    return Marks(kept["student"], kept["sheet"], tuple(Mark(**mark) for mark in kept["marks"]), **lists)


def all_marks(course: ClassFolder, sheet: Sheet) -> Iterator[Marks]:
    """The marks of all whose submission of the sheet is graded."""
    for student in course.handed_in(sheet):
        if marks := marks_of(course, student, sheet):
            yield marks


def enter(course: ClassFolder, sheet: Sheet, report: GradeReport) -> None:
    """Write the sheet's marks into nbgrader's gradebook, and into the report what a person should see."""
    found = list(all_marks(course, sheet))
    if not found:
        return
    ids = {exercise.name: exercise.grade_id for exercise in read_sheet(sheet.source).exercises}
    with gradebook.gradebook(course) as book:
        gradebook.enrol(book, read_roster(course.root / ROSTER))
        if not gradebook.is_assigned(book, sheet):
            gradebook.generate(course, sheet)
        for marks in found:
            when = submitted_at(course.submission(marks.student, sheet)) or datetime.now(UTC)
            scores = {
                ids[mark.exercise]: (None if mark.status in NO_MARK else mark.points, mark.status not in ORDINARY)
                for mark in marks.marks
                if mark.exercise in ids
            }
            gradebook.enter(book, sheet, marks.student, scores, f"{when.strftime(TIME_FORMAT)} UTC")
            report.look += [(sheet.name, mark) for mark in marks.marks if mark.status not in ORDINARY]
            report.notes += [(marks.student, sheet.name, note) for note in marks.notes]
            report.unprotected.update(marks.unprotected)


def write_marks(course: ClassFolder) -> None:
    """Write marks.csv anew: a line for each exercise of each graded submission of the class."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("student", "exercise", "points", "status"))
    for sheet in course.sheets:
        for marks in all_marks(course, sheet):
            for mark in marks.marks:
                points = "" if mark.status in NO_MARK else f"{mark.points:g}"
                lines.writerow((mark.student, f"{sheet.number}.{mark.exercise}", points, mark.status))
    write_if_new(course.root / MARKS, text.getvalue().encode())
