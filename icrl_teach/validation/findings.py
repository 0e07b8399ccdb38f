"""What the standard asks, rule by rule, and what a finding says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ERROR, WARNING, OFF = "error", "warning", "off"
PROFILES = ("lesson", "sheet", "own")


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong: a title, and how much it weighs in each profile (lesson, sheet, own)."""

    title: str
    lesson: str = ERROR
    sheet: str = ERROR
    own: str = ERROR

    def level(self, profile: str) -> str:
        """`error`, `warning` or `off` under a profile."""
        return {"lesson": self.lesson, "sheet": self.sheet, "own": self.own}[profile]


RULES: dict[str, Rule] = {
    # the file
    "unreadable": Rule("is not a notebook that can be read"),
    "old-format": Rule("is stored in a format before nbformat 4", own=WARNING),
    "schema": Rule("breaks the schema of its notebook format"),
    "file-size": Rule("is larger than its profile allows", own=WARNING),
    "large-output": Rule("stores a very large output", own=WARNING),
    "kernel-name": Rule("names a kernel that others do not have", own=OFF),
    "volatile-metadata": Rule("stores metadata that changes from run to run", own=OFF),
    "bad-tag": Rule("carries a validate- tag that cannot be read"),
    # what the comparison would not see
    "never-executed": Rule("has cells that were never executed, so nothing is compared"),
    "out-of-order": Rule("was not executed in order from a fresh kernel"),
    "ignored": Rule("skips comparison without a reason"),
    "skipped": Rule("is skipped by a tag or a comment"),
    "semicolon": Rule("ends with ';', which hides nothing from the comparison", own=OFF),
    "time-magic": Rule("prints a time, which no rerun repeats"),
    # stored outputs
    "stored-error": Rule("stores an error"),
    "stored-warning": Rule("stores output on stderr, where warnings go"),
    "path": Rule("stores a path of one machine"),
    "user-name": Rule("stores a user's name"),
    "address": Rule("stores an object's address"),
    "time": Rule("stores a time of day"),
    "date": Rule("stores a date"),
    "alt-text": Rule("shows a picture without alternative text"),
    "alt-text-unseen": Rule("keeps its alternative text where no reader meets it"),
    "picture-number": Rule("shows a picture beside no number", own=OFF),
    # code and prose
    "syntax": Rule("does not parse"),
    "missing-import": Rule("imports a package that is not installed"),
    "dead-link": Rule("links to nothing"),
    "prose-number": Rule("states a number that no cell holds or prints", sheet=OFF),
    "anatomy": Rule("lacks a part of a lesson", sheet=OFF, own=OFF),
    "belittling": Rule("uses a word that belittles the reader", sheet=OFF, own=OFF),
    "too-long": Rule("is longer than a lesson may be", sheet=OFF, own=OFF),
    "sheet": Rule("is not built as a sheet: exercise, then its check", lesson=OFF, own=OFF),
    # the run
    "no-kernel": Rule("cannot be run: its kernel is not installed or does not start"),
    "raises": Rule("raises an exception"),
    "no-error": Rule("no longer raises the exception it is meant to show"),
    "dead-kernel": Rule("kills its kernel"),
    "timeout": Rule("runs past the time limit of a cell"),
    "memory": Rule("fills the memory it may use"),
    "flood": Rule("prints without end"),
    "stale": Rule("stores an output that a fresh run does not repeat"),
    "new-warning": Rule("writes to stderr, where warnings go, in a fresh run"),
    "picture": Rule("stores a picture that a fresh run does not repeat"),
    "widget-state": Rule("stores a widget's state that a fresh run does not repeat"),
    "unstable": Rule("differs between two runs on the same machine"),
    "time-budget": Rule("takes longer than its budget", WARNING, WARNING, WARNING),
    "memory-budget": Rule("takes more memory than its budget"),
    "stumbled": Rule("could not be judged: a guard stumbled over it"),
}


@dataclass(frozen=True)
class PictureChange:
    """Old, new and difference of one picture, as data URIs; an empty string where there is none."""

    old: str
    new: str
    difference: str


@dataclass(frozen=True)
class Finding:
    """One thing found in one notebook.

    rule: a key of RULES; cell: its index over all cells of the notebook from 0, None for the file as a whole;
    message: what was found; fix: what to do, a command where there is one; detail: a diff or a traceback.
    """

    rule: str
    message: str
    cell: int | None = None
    cell_id: str = ""
    fix: str = ""
    source: str = ""
    detail: str = ""
    pictures: tuple[PictureChange, ...] = field(default=(), repr=False)
    path: str = ""
    level: str = ERROR

    def where(self) -> str:
        """The notebook and the cell, as a reader looks for them."""
        if self.cell is None:
            return self.path
        return f"{self.path}  cell {self.cell} ({self.cell_id})" if self.cell_id else f"{self.path}  cell {self.cell}"

    def line(self) -> str:
        """The finding in one line: where, what, and what to do."""
        label = "" if self.level == ERROR else f"{self.level}: "
        return shown(f"{self.where()}: {label}{self.message}" + (f"; fix: {self.fix}" if self.fix else ""))


def shown(text: str) -> str:
    """One line of text without control characters, which would steer a terminal: each is shown by its escape."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)
