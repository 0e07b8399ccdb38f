"""Every submission is graded on its own, and what came out is kept at once: a stop loses the one it was at."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from icrl_teach import __version__
from icrl_teach._progress import Tick, no_tick
from icrl_teach._validate import shown
from icrl_teach.classroom import gradebook
from icrl_teach.classroom.collect import TIME_FORMAT, submitted_at
from icrl_teach.classroom.folder import MARKS, SEED, ClassFolder, Sheet, digest, write_if_new
from icrl_teach.classroom.roster import ROSTER, read_roster
from icrl_teach.grading.marks import Mark, Marks

ORDINARY = ("ok", "wrong", "unwritten")  # statuses that need nobody's look
NO_MARK = ("unreadable",)  # and one that is no mark at all
Forbid = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Kept:
    """What is kept of a graded submission: the key of what it depends on, its marks, each exercise's grade_id."""

    key: str
    marks: Marks
    grade_ids: dict[str, str]


@dataclass
class GradeReport:
    """What `grade` did, as (student, sheet): graded now, as before. look: of which exercises a person should see why
    there is no ordinary mark, as (student, sheet, exercises, status and reason); notes: what a teacher may want to see;
    failed: what went wrong here, with the reason; unprotected: what the sandbox could not prevent."""

    graded: list[tuple[str, str]] = field(default_factory=list)
    same: list[tuple[str, str]] = field(default_factory=list)
    look: list[tuple[str, str, str, str]] = field(default_factory=list)
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
    CPUs may be used if None; again: grade unchanged ones, too; forbid: by exercise, functions of the library that may
    not do it. Raises ValueError without nbgrader, a roster or a seed.
    """
    from icrl_teach.validation.execute import cpus

    report, seed, sheets = GradeReport(), _seed(course), list(sheets)
    _check_rules(sheets, forbid or {})
    for sheet in sheets:
        waiting = []
        for student in course.handed_in(sheet):
            key = _key(course, student, sheet, seed, forbid or {})
            before = kept(course, student, sheet)
            if not again and before is not None and before.key == key:
                report.same.append((student, sheet.name))
                tick(student)
            else:
                waiting.append((student, key))
        _grade_all(course, sheet, waiting, seed, forbid, jobs or cpus(), report, tick)
        enter(course, sheet, report)
    write_marks(course)
    return report


def _check_rules(sheets: list[Sheet], forbid: Forbid) -> None:
    """Raise ValueError for an exercise that no sheet has: its rule would be kept by nobody."""
    if not forbid:
        return
    from icrl_teach.grading import read_sheet

    known = {exercise.name for sheet in sheets for exercise in read_sheet(sheet.source).exercises}
    if strange := sorted(set(forbid) - known):
        raise ValueError(f"forbid names {shown(strange[0])}; the exercises are {', '.join(sorted(known))}")


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
    from icrl_teach.grading import grade_submission, read_sheet  # here, because they load torch

    source = read_sheet(sheet.source)
    ids = {exercise.name: exercise.grade_id for exercise in source.exercises}
    # A check may print, and what one thread redirects, all do: it goes to one place until the last is done.
    with redirect_stdout(io.StringIO()), ThreadPoolExecutor(jobs) as pool:
        running = {}
        for student, key in waiting:
            path = course.submission(student, sheet) / f"{sheet.name}.ipynb"
            task = pool.submit(grade_submission, path, source, seed=seed, forbid=forbid, student=student)
            running[task] = student, key
        try:
            for task in as_completed(running):
                student, key = running[task]
                try:
                    _keep(course.record(student, sheet), Kept(key, task.result(), ids))
                    report.graded.append((student, sheet.name))
                except Exception as error:  # whatever it is, it stops nobody else's, and is told by name
                    report.failed.append((student, sheet.name, f"{type(error).__name__}: {error}"))
                tick(student)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _keep(path: Path, made: Kept) -> None:
    write_if_new(path, (json.dumps(asdict(made), indent=1, ensure_ascii=False) + "\n").encode())


def kept(course: ClassFolder, student: str, sheet: Sheet) -> Kept | None:
    """What is kept of a graded submission; None if nothing is, or it cannot be read: then it is graded again."""
    try:
        content = json.loads(course.record(student, sheet).read_text(encoding="utf-8"))
        told = content["marks"]
        told["marks"] = tuple(Mark(**mark) for mark in told["marks"])
        for name in ("notes", "isolation", "unprotected"):
            told[name] = tuple(told[name])
        return Kept(content["key"], Marks(**told), content["grade_ids"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def all_kept(course: ClassFolder, sheet: Sheet) -> Iterator[Kept]:
    """What is kept of all whose submission of the sheet is graded."""
    for student in course.handed_in(sheet):
        if found := kept(course, student, sheet):
            yield found


def enter(course: ClassFolder, sheet: Sheet, report: GradeReport) -> None:
    """Write the sheet's marks into nbgrader's gradebook, and into the report what a person should see."""
    found = list(all_kept(course, sheet))
    if not found:
        return
    with gradebook.gradebook(course) as book:
        gradebook.enrol(book, read_roster(course.root / ROSTER))
        if not gradebook.is_assigned(book, sheet):
            gradebook.generate(course, sheet)
        for one in found:
            when = submitted_at(course.submission(one.marks.student, sheet)) or datetime.now(UTC)
            scores = {
                one.grade_ids[mark.exercise]: (
                    None if mark.status in NO_MARK else mark.points,
                    mark.status not in ORDINARY,
                )
                for mark in one.marks.marks
            }
            gradebook.enter(book, sheet, one.marks.student, scores, f"{when.strftime(TIME_FORMAT)} UTC")
            _tell(one.marks, sheet, report)


def _tell(marks: Marks, sheet: Sheet, report: GradeReport) -> None:
    """What a person should see of a submission; exercises that share a reason in one line."""
    reasons: dict[str, list[str]] = {}
    for mark in marks.marks:
        if mark.status not in ORDINARY:
            reasons.setdefault(f"{mark.status}: {mark.reason}", []).append(mark.exercise)
    for reason, names in reasons.items():
        exercises = "all exercises" if len(names) == len(marks.marks) else ", ".join(names)
        report.look.append((marks.student, sheet.name, exercises, reason))
    report.notes += [(marks.student, sheet.name, note) for note in marks.notes]
    report.unprotected.update(marks.unprotected)


def write_marks(course: ClassFolder) -> None:
    """Write marks.csv anew: a line for each exercise of each graded submission of the class."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("student", "exercise", "points", "status"))
    for sheet in course.sheets:
        for one in all_kept(course, sheet):
            for mark in one.marks.marks:
                points = "" if mark.status in NO_MARK else f"{mark.points:g}"
                lines.writerow((mark.student, f"{sheet.number}.{mark.exercise}", points, mark.status))
    write_if_new(course.root / MARKS, text.getvalue().encode())
