"""Grade one submission: its functions run elsewhere, its marks are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icrl_teach.grading.marks import Limits, Marks
from icrl_teach.grading.sheet import Sheet


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

    sheet: as `read_sheet` reads it, or the path of its source; seed: of the hidden cases; forbid: by exercise, the
    library's functions that may not do it, in place of the sheet's own list; student: who is named in the marks.
    """
    raise NotImplementedError("being built")
