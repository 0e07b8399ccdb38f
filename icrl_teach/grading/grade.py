"""Grade one submission: its functions run elsewhere, its marks are made here.

Each exercise is judged by its own check, on cases that nobody has seen: drawn from the seed. Where it fails and calls
an earlier function of the learner's that is not right, it is judged again with a right one in that one's place: an
early mistake costs its own points and no others.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icrl_teach.checks.check import Check
from icrl_teach.checks.report import CheckFailed
from icrl_teach.grading.marks import Limits, Mark, Marks, Status
from icrl_teach.grading.remote import Function, Learner
from icrl_teach.grading.sandbox import Stopped
from icrl_teach.grading.sheet import Exercise, Sheet, read_sheet
from icrl_teach.grading.submission import Unreadable, read_submission

DRAWS = 2  # how often the cases of an exercise are drawn
_QUIET = threading.Lock()


def grade_submission(
    path: str | Path,
    sheet: Sheet | str | Path,
    *,
    seed: int,
    limits: Limits | None = None,
    forbid: Mapping[str, Sequence[str]] | None = None,
    student: str = "",
) -> Marks:
    """The marks of an uploaded notebook; every exercise of the sheet gets one, whatever the file holds.

    sheet: as `read_sheet` reads it, or the path of its source; seed: of the hidden cases, the same for all who hand in
    one sheet; forbid: by exercise, the library's functions that may not do it, in place of the sheet's own list;
    student: who is named in the marks. Runs the learner's code in a process of its own: see docs/teaching/grading.md.

    Raises RuntimeError where no process comes up on this computer, ValueError or OSError for a sheet that cannot be
    read; never for what a learner hands in.
    """
    sheet = sheet if isinstance(sheet, Sheet) else read_sheet(sheet)
    limits = limits or Limits()
    forbidden = {exercise.name: exercise.forbid for exercise in sheet.exercises} | dict(forbid or {})
    try:
        work = read_submission(path, sheet, limits.upload)
    except Unreadable as error:
        marks = [Mark(student, e.name, 0.0, e.points, "unreadable", str(error)) for e in sheet.exercises]
        return Marks(student, sheet.name, tuple(marks))
    with Learner(work, [e.name for e in sheet.exercises], list(sheet.modules), limits) as learner:
        marks = _Grader(learner, sheet, seed, forbidden, student).all_marks()
        failed = (f"code cell {i + 1} stopped with {why}" for i, why in sorted(learner.failed.items()))
        return Marks(student, sheet.name, tuple(marks), (*work.notes, *failed), learner.ensures, learner.lacks)


class _Grader:
    """Marks of one submission, in the sheet's order."""

    def __init__(self, learner: Learner, sheet: Sheet, seed: int, forbid: Mapping[str, Sequence[str]], student: str):
        self.learner, self.sheet, self.seed, self.forbid, self.student = learner, sheet, seed, forbid, student
        self.right: set[str] = set()

    def all_marks(self) -> list[Mark]:
        """A mark for each exercise; a process that ends takes no other exercise with it."""
        marks = []
        for exercise in self.sheet.exercises:
            try:
                status, reason = self.judge(exercise)
            except Stopped as stopped:
                self.learner.stop()
                status, reason = stopped.status, stopped.reason
            if status == "ok":
                self.right.add(exercise.name)
            points = exercise.points if status == "ok" else 0.0
            marks.append(Mark(self.student, exercise.name, points, exercise.points, status, _plain(reason)))
        return marks

    def judge(self, exercise: Exercise) -> tuple[Status, str]:
        """The status of one exercise and the reason. Raises Stopped for a process that has to be given up."""
        self.learner.start()
        if (missing := self._missing(exercise)) is not None:
            return missing
        if used := self._named_in_source(exercise):
            return "wrong", _does_it_all(used)
        status, reason = self._try(exercise, {})
        needs = {check.name: check for check in exercise.needs if check.name not in self.right}
        if status in ("ok", "unwritten") or not needs:
            return status, reason
        if self._try(exercise, {name: _as_given(check) for name, check in needs.items()})[0] != "ok":
            return status, reason
        return "ok", f"judged with a right {' and '.join(needs)}, as the learner's is not"

    def _try(self, exercise: Exercise, lent: dict[str, Callable[..., Any]]) -> tuple[Status, str]:
        """Judge with these functions in place of the learner's own; a process that has to be given up is.

        Frames that nobody asked for may come from what an earlier exercise left running, so they are met once more in
        a fresh process before they count.
        """
        for last in (False, True):
            try:
                self.learner.start()
                self.learner.lend(lent)
                return self._ask(exercise)
            except Stopped as stopped:
                self.learner.stop()
                status, reason = stopped.status, stopped.reason
            if status != "tampered" or last:
                break
        return status, reason

    def _missing(self, exercise: Exercise) -> tuple[Status, str] | None:
        """Where there is nothing to call: why."""
        found, where = self.learner.found[exercise.name], self.learner.found[exercise.name]["cells"]
        if found["stub"]:
            return "unwritten", f"{exercise.name} still raises NotImplementedError"
        if not all(index in self.learner.fatal for index in where):
            return None
        if where:
            stopped = self.learner.fatal[where[-1]]
            return stopped.status, f"the cell of {exercise.name}: {stopped.reason}"
        about = re.compile(rf"\b{re.escape(exercise.name)}\b")
        for (source, _), error in zip(self.learner.work.cells, self.learner.errors, strict=True):
            if error and about.search(source):
                return "wrong", f"the cell of {exercise.name} cannot be read: {error}"
        return "unwritten", f"no cell defines {exercise.name}"

    def _named_in_source(self, exercise: Exercise) -> str:
        """A forbidden function that the answer's own source names."""
        homes = {self.learner.library.get(name) for name in self.learner.found[exercise.name]["names"]}
        last = {home.rsplit(".", 1)[-1] for home in homes if home}
        return next((path for path in self.forbid[exercise.name] if path.split(":")[-1] in last), "")

    def _ask(self, exercise: Exercise) -> tuple[Status, str]:
        """Judge the function on fresh cases."""
        function = self.learner.function(exercise.name, [_code_of(path) for path in self.forbid[exercise.name]])
        try:
            with np.errstate(all="ignore"):
                for seed in self._seeds(exercise):
                    _judge(exercise.check, function, seed)
        except CheckFailed as failed:
            return "wrong", str(failed)
        except Stopped as stopped:
            if stopped.status == "unwritten":
                return self._unwritten(exercise, stopped.reason)
            if stopped.status == "wrong":
                return "wrong", self._why_missing(exercise) or stopped.reason
            raise
        except Exception as error:  # a check's own reading of numbers that no right answer has, such as NaN
            return "wrong", f"what it returned cannot be compared: {type(error).__name__}: {error}"
        return ("wrong", _does_it_all(min(function.used))) if function.used else ("ok", "")

    def _why_missing(self, exercise: Exercise) -> str:
        """The error of the cell that was to define the function, if it stopped with one."""
        failed = [self.learner.failed.get(index) for index in self.learner.found[exercise.name]["cells"]]
        return next((f"the cell of {exercise.name} stopped with {why}" for why in failed if why), "")

    def _unwritten(self, exercise: Exercise, where: str) -> tuple[Status, str]:
        if where in (exercise.name, "") or where not in self.learner.found:
            return "unwritten", f"{exercise.name} still raises NotImplementedError"
        return "wrong", f"{exercise.name} calls {where}, which is not written yet"

    def _seeds(self, exercise: Exercise) -> list[int]:
        """Of the hidden cases: other ones for each exercise."""
        drawn = np.random.default_rng([self.seed, zlib.crc32(exercise.name.encode())])
        return [int(n) for n in drawn.integers(10_000, 2**31, size=DRAWS)]


def _plain(reason: str) -> str:
    """At most 1000 characters that a terminal only shows: learners' code may have written parts of them."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in reason[:1000])


def _judge(check: Check | Callable[..., None], function: Function, seed: int) -> None:
    if isinstance(check, Check):
        check.judge(function, seed)
    else:
        with _QUIET, contextlib.redirect_stdout(io.StringIO()):  # one at a time: there is but one stdout
            check(function)


def _as_given(check: Check) -> Callable[..., Any]:
    """A check's oracle as a learner's function: it takes and gives what the learner's would (tensors, perhaps)."""

    def function(*args: Any) -> Any:
        got = check.right(*(arg.detach().numpy() if hasattr(arg, "detach") else arg for arg in args))
        given = [check.give(np.asarray(part)) for part in (got if check.results else [got])]
        return tuple(given) if check.results else given[0]

    return function


def _code_of(path: str) -> str:
    """Where a forbidden function's code stands: "td:lstd" -> "icrl_teach/td.py:lstd"."""
    module, name = path.split(":")
    return f"icrl_teach/{module.replace('.', '/')}.py:{name}"


def _does_it_all(path: str) -> str:
    return f"it calls the library's {path.split(':')[-1]}, which does the whole exercise: it asks for one of your own"
