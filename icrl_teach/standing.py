"""Where a learner stands: what their folder keeps, held against what the course's notebooks ask."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from icrl_teach.course import course_root
from icrl_teach.learner import Record, home, open_record

NOWHERE = "No progress is kept here. It is in a copy of your own: icrl-teach start my-course"
HEADINGS = ("lesson", "predicted right", "checks passed", "minutes left")


@dataclass(frozen=True)
class Part:
    """A lesson and its sheet: the lesson's file and minutes, the names of the predictions of both, and the sheet's
    exercises by the name of their check, with their minutes."""

    number: str
    title: str
    lesson: str
    minutes: int
    predictions: tuple[str, ...]
    exercises: dict[str, int]


@dataclass(frozen=True)
class Row:
    """A part of the course and what is done of it: answers shown, predictions made before, those right; checks passed;
    minutes left of lesson and sheet."""

    part: Part
    answered: int
    made: int
    right: int
    passed: int
    lesson_left: int
    sheet_left: int

    @property
    def left(self) -> int:
        """Minutes left in all."""
        return self.lesson_left + self.sheet_left


@dataclass(frozen=True)
class Standing:
    """All rows, in the order of the course; without rows, `note` says why. A notebook shows it as a table."""

    rows: tuple[Row, ...]
    note: str = ""

    @property
    def next(self) -> str:
        """What comes next: the first lesson, or sheet, that is not done."""
        for row in self.rows:
            if row.lesson_left:
                return f"lesson {row.part.number}, {row.part.title}: lessons/{row.part.lesson}"
            if row.sheet_left:
                return f"sheet {row.part.number}, {row.part.title}: exercises/{row.part.lesson}"
        return "all is done"

    @property
    def summary(self) -> str:
        """The whole course in one sentence."""
        made, right, passed = (sum(getattr(row, name) for row in self.rows) for name in ("made", "right", "passed"))
        exercises, left = sum(len(row.part.exercises) for row in self.rows), sum(row.left for row in self.rows)
        time = f"{left} minutes" if left < 180 else f"{round(left / 60)} hours"
        return f"{right} of {made} predictions right, {passed} of {exercises} checks passed, about {time} left."

    def cells(self) -> Iterator[tuple[str, str, str, str]]:
        """What the table shows, row by row."""
        for row in self.rows:
            checks = f"{row.passed} of {len(row.part.exercises)}" if row.part.exercises else "-"
            right = f"{row.right} of {row.made}" if row.made else "-"
            yield f"{row.part.number} {row.part.title}", right, checks, str(row.left)

    def __repr__(self) -> str:
        if not self.rows:
            return self.note
        lines = [HEADINGS, *self.cells()]
        width = [max(len(line[i]) for line in lines) for i in range(4)]
        table = [f"{line[0]:<{width[0]}}  " + "  ".join(f"{line[i]:>{width[i]}}" for i in (1, 2, 3)) for line in lines]
        return "\n".join([*filter(None, [self.note]), *table, self.summary, f"Next: {self.next}"])

    def _repr_html_(self) -> str:
        after = [self.note, *([self.summary, f"Next: {self.next}"] if self.rows else [])]
        words = "".join(f"<p>{html.escape(line)}</p>" for line in after if line)
        if not self.rows:
            return words
        head = "".join(f'<th scope="col">{name}</th>' for name in HEADINGS)
        body = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
            for name, *cells in self.cells()
        )
        caption = "<caption>What you have done</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{words}"


def progress() -> Standing:
    """Where you stand: lessons, predictions, checks, minutes left, and what is next. A notebook shows it as a table.

    It is read from progress.json in the folder that `icrl-teach start` made, from where it never goes anywhere.
    """
    return standing(home())


def standing(folder: Path | None) -> Standing:
    """Where the learner of this folder stands; None for where nothing is kept.

    Raises learner.NotKept where a record is that cannot be read.
    """
    if folder is None:
        return Standing((), NOWHERE)
    record, note = open_record(folder)
    return Standing(tuple(_row(part, record) for part in parts()), note)


def _row(part: Part, record: Record) -> Row:
    shown = [record.predictions[name] for name in part.predictions if name in record.predictions]
    passed = set(record.checks.get(part.number, [])) & set(part.exercises)
    sheet_left = sum(minutes for name, minutes in part.exercises.items() if name not in passed)
    # A lesson that asks nothing is read when its sheet is begun.
    read = len(shown) / len(part.predictions) if part.predictions else float(bool(passed))
    made = sum(said.said is not None for said in shown)
    right = sum(said.right for said in shown)
    return Row(part, len(shown), made, right, len(passed), round(part.minutes * (1 - read)), sheet_left)


@cache
def parts() -> tuple[Part, ...]:
    """The course in its order, read from its notebooks: they state their minutes, predictions and checks."""
    root = course_root()
    found = {path.stem[:2]: _part(path, root / "exercises" / path.name) for path in lessons(root)}
    first = next(iter(found))
    told = re.findall(r"^\| \[(\d\d) ", _text(root / "lessons" / found[first].lesson), re.MULTILINE)
    order = [first, *(number for number in told if number in found)]
    return tuple(found[number] for number in dict.fromkeys([*order, *found]))


def lessons(root: Path) -> list[Path]:
    """The lessons' files by number."""
    return sorted((root / "lessons").glob("[0-9]*.ipynb"))


def _cells(path: Path) -> list[tuple[str, str, bool]]:
    """(kind, source, whether it is a sheet's check) of each cell."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        (cell["cell_type"], "".join(cell["source"]), bool(cell["metadata"].get("nbgrader", {}).get("grade")))
        for cell in notebook["cells"]
    ]


def _text(path: Path) -> str:
    return "\n".join(source for kind, source, _ in _cells(path) if kind == "markdown")


def _part(lesson: Path, sheet: Path) -> Part:
    cells = _cells(lesson)
    opening = cells[0][1]
    title = opening.splitlines()[0].lstrip("# ").split("·")[-1].strip()
    sheet_cells = _cells(sheet) if sheet.is_file() else []
    code = "\n".join(source for kind, source, _ in [*cells, *sheet_cells] if kind == "code")
    asked = tuple(re.findall(r"""\bpredict\(\s*["'](\d\d-[a-z0-9-]+)["']""", code))
    return Part(lesson.stem[:2], title, lesson.name, minutes_in(opening), asked, dict(_exercises(sheet_cells)))


def _exercises(cells: list[tuple[str, str, bool]]) -> Iterator[tuple[str, int]]:
    minutes = 0
    for _, source, check in cells:
        if heading := re.match(r"### .*\b(\d+) min\)", source):
            minutes = int(heading[1])
        if check and (called := re.search(r"\bcheck_(\w+)\(", source)):
            yield called[1], minutes
            minutes = 0  # of a second check under the same heading


def minutes_in(text: str) -> int:
    """The first time that a text states, in minutes; 0 if it states none.

    >>> minutes_in("About 60 minutes."), minutes_in("An hour and a half."), minutes_in("About an hour."), minutes_in("")
    (60, 90, 60, 0)
    """
    found = re.search(r"(?i)(\d+) minutes|(an? hour and a half)|(an? hour)", text)
    return 0 if found is None else int(found[1]) if found[1] else 90 if found[2] else 60
