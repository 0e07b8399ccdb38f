"""What grading gives back: a mark for each exercise, with the reason in words, and what guarded the computer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Status = Literal["ok", "wrong", "unwritten", "timeout", "died", "unreadable", "tampered"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Limits:
    """What a learner's process may use; each is a ceiling far above what an answer needs.

    cpu, wall: seconds for one exercise, and for one cell; total: seconds of wall time for the whole submission;
    memory: bytes of address space of each process; files: bytes of a written file; processes: of the learner, threads
    counted; answer: bytes of a returned value; upload: bytes of the submitted file.
    Raises ValueError for a limit that is not a positive number.
    """

    cpu: float = 20.0
    wall: float = 60.0
    total: float = 300.0
    memory: int = 4 * 2**30
    files: int = 16 * 2**20
    processes: int = 32
    answer: int = 16 * 2**20
    upload: int = 32 * 2**20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}; give a positive number")


@dataclass(frozen=True)
class Mark:
    """One exercise of one learner: points of out_of, the status, and the reason in words (empty where it is ok)."""

    student: str
    exercise: str
    points: float
    out_of: float
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Marks:
    """One submission: a mark for every exercise of the sheet, in its order, whatever was handed in.

    notes: what a teacher may want to see, such as a changed check cell; it costs no points. isolation: what separated
    the learner's code from this computer; unprotected: what nothing could prevent here.
    """

    student: str
    sheet: str
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()
    isolation: tuple[str, ...] = ()
    unprotected: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """The sum over exercises."""
        return sum(mark.points for mark in self.marks)

    @property
    def out_of(self) -> float:
        """The most that the sheet gives."""
        return sum(mark.out_of for mark in self.marks)
