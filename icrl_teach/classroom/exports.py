"""Marks as a platform's gradebook takes them in.

The columns are those that each platform's own export of its gradebook has:

- Moodle (grade/import/csv): the teacher maps columns; a learner is found by `ID number` or `Email address`, and `-` is
  no mark.
- Canvas (gradebook importer): `Student, ID, SIS User ID, SIS Login ID, Section`, in this order, then the assignments; a
  line `    Points Possible`; an empty cell is no mark. A learner is found by the first id that fits, else by name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from icrl_teach._files import atomic_write
from icrl_teach.classroom import gradebook
from icrl_teach.classroom.collect import platform_number
from icrl_teach.classroom.folder import ClassFolder, Sheet
from icrl_teach.classroom.roster import ROSTER, Learner, read_roster

Totals = dict[str, dict[str, float | None]]  # by student, then by sheet
Rows = list[list[str]]


@dataclass
class ExportReport:
    """What `export` wrote: how many marks, and, as (student, sheet), who handed in and has none."""

    marks: int = 0
    without: list[tuple[str, str]] = field(default_factory=list)


def export(course: ClassFolder, sheets: Sequence[Sheet], platform: str, out: Path) -> ExportReport:
    """Write a CSV file of the roster's marks for 'moodle' or 'canvas'; marks by hand in the gradebook count.

    Who handed in nothing, and who has no mark, has no number there. Raises ValueError for another platform.
    """
    if platform not in PLATFORMS:
        raise ValueError(f"platform is {platform!r}; choose one of {', '.join(PLATFORMS)}")
    roster, report = read_roster(course.root / ROSTER), ExportReport()
    with gradebook.gradebook(course) as book:
        totals = {one.id: {sheet.name: gradebook.total(book, sheet, one.id) for sheet in sheets} for one in roster}
    for sheet in sheets:
        handed_in = set(course.handed_in(sheet))
        report.without += [
            (one.id, sheet.name) for one in roster if one.id in handed_in and totals[one.id][sheet.name] is None
        ]
    report.marks = sum(mark is not None for marks in totals.values() for mark in marks.values())
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(PLATFORMS[platform](course, sheets, roster, totals))
    with atomic_write(out, "wb") as file:
        file.write(text.getvalue().encode())
    return report


def _number(mark: float | None, none: str) -> str:
    return none if mark is None else f"{round(mark, 2):g}"


def moodle(course: ClassFolder, sheets: Sequence[Sheet], roster: Sequence[Learner], totals: Totals) -> Rows:
    """As Moodle's gradebook exports itself."""
    rows = [
        ["First name", "Last name", "ID number", "Email address", *(f"Assignment: {s.title} (Real)" for s in sheets)]
    ]
    for one in roster:
        marks = [_number(totals[one.id][sheet.name], "-") for sheet in sheets]
        rows.append([*one.first_and_last, one.id, one.email, *marks])
    return rows


def canvas(course: ClassFolder, sheets: Sequence[Sheet], roster: Sequence[Learner], totals: Totals) -> Rows:
    """As Canvas' gradebook exports itself; the ID is the number in the names of its downloads, where one is known."""
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(sheet.title for sheet in sheets)]
    possible = ["    Points Possible", "", "", "", "", *(f"{sum(sheet.points.values()):g}" for sheet in sheets)]
    rows = [head, possible]
    for one in roster:
        first, last = one.first_and_last
        numbers = (platform_number(course.submission(one.id, sheet)) for sheet in course.sheets)
        name = f"{last}, {first}" if first else last
        marks = [_number(totals[one.id][sheet.name], "") for sheet in sheets]
        rows.append([name, next(filter(None, numbers), ""), one.id, one.email, "", *marks])
    return rows


PLATFORMS: dict[str, Callable[..., Rows]] = {"moodle": moodle, "canvas": canvas}
