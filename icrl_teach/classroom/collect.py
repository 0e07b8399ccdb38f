"""Uploads become submissions: each learner's newest, under the sheet's own name, never over a newer one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from icrl_teach._progress import Tick, no_tick
from icrl_teach.classroom.folder import ClassFolder, Sheet, grade_ids, write_if_new
from icrl_teach.classroom.roster import ROSTER, Learner, read_roster, whose
from icrl_teach.classroom.uploads import Refused, Upload, find_uploads

TIMESTAMP = "timestamp.txt"  # nbgrader's
UPLOAD = "upload.json"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"  # in UTC, as nbgrader reads it


@dataclass
class CollectReport:
    """What `collect` did, as (student, sheet): taken anew, in place of an older one, there already, older than what is
    there; late ones; and what was left, each with the reason."""

    taken: list[tuple[str, str]] = field(default_factory=list)
    replaced: list[tuple[str, str]] = field(default_factory=list)
    same: list[tuple[str, str]] = field(default_factory=list)
    older: list[tuple[str, str]] = field(default_factory=list)
    late: list[tuple[str, str]] = field(default_factory=list)
    left: list[Refused] = field(default_factory=list)


def collect(course: ClassFolder, place: Path, only: Sheet | None = None, tick: Tick = no_tick) -> CollectReport:
    """Take what a platform's download holds into submitted/. only: the sheet of what does not tell its own.

    Of several by one learner the last one counts: Canvas' number of the file, then a mark such as "(1)", then the time.
    Raises ValueError for a roster or a place that cannot be read.
    """
    roster, report = read_roster(course.root / ROSTER), CollectReport()
    last: dict[tuple[str, str], tuple[Upload, Sheet]] = {}
    for upload in find_uploads(place):
        tick("reading")
        if isinstance(upload, Refused):
            report.left.append(upload)
            continue
        who, sheet = _who(roster, upload), sheet_of(course.sheets, upload, only)
        if isinstance(who, str):
            report.left.append(Refused(upload.where, who))
        elif isinstance(sheet, str):
            report.left.append(Refused(upload.where, sheet))
        else:
            key = (who.id, sheet.name)
            earlier, later = sorted([last.get(key, (upload, sheet)), (upload, sheet)], key=lambda each: each[0].order)
            last[key] = later
            if earlier[0] is not later[0]:
                report.left.append(Refused(earlier[0].where, f"{who.id} handed in a later one: {later[0].where}"))
    for (student, _), (upload, sheet) in sorted(last.items()):
        tick(student)
        _take(course, student, sheet, upload, report)
    return report


def _who(roster: list[Learner], upload: Upload) -> Learner | str:
    """The first of the upload's names that fits; else the reason why the last does not."""
    said: Learner | str = "its name tells nobody"
    for name in upload.names:
        said = whose(roster, name, upload.number)
        if isinstance(said, Learner):
            return said
    return said


def sheet_of(sheets: Iterable[Sheet], upload: Upload, only: Sheet | None = None) -> Sheet | str:
    """The sheet that a notebook is: by the ids of its cells, else `only`, else by its file's name; or why none."""
    try:
        held = set(grade_ids(json.loads(upload.content)["cells"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        held = set()  # cut off, perhaps
    shares = {sheet: len(held & sheet.grade_ids) for sheet in sheets}
    if shares and max(shares.values()):
        told = max(shares, key=lambda sheet: shares[sheet])
        if only is None or told == only:
            return told
        return f"its cells are those of sheet {told.number}, not of {only.number}; collect it without --sheet"
    if only is not None:
        return only
    number = upload.file.split("_")[0].split("-")[0].strip()
    fits = (sheet for sheet in shares if sheet.name == upload.file or sheet.number == number)
    return next(fits, "neither its cells nor its name tell the sheet; say which: --sheet NN")


def _take(course: ClassFolder, student: str, sheet: Sheet, upload: Upload, report: CollectReport) -> None:
    folder, key = course.submission(student, sheet), (student, sheet.name)
    target = folder / f"{sheet.name}.ipynb"
    there, since = target.is_file(), submitted_at(folder)
    if there and target.read_bytes() == upload.content:
        report.same.append(key)
        return
    if there and since is not None and upload.time < since:
        report.older.append(key)
        return
    # The time first: a stop in between leaves the older notebook with the newer time, and then the same upload, but
    # nothing older, still goes through.
    write_if_new(folder / TIMESTAMP, f"{upload.time.strftime(TIME_FORMAT)} UTC\n".encode())
    told = {"file": upload.where, "late": upload.late, "number": upload.number}
    write_if_new(folder / UPLOAD, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
    write_if_new(target, upload.content)
    (report.replaced if there else report.taken).append(key)
    if upload.late:
        report.late.append(key)


def submitted_at(folder: Path) -> datetime | None:
    """When what lies in a submission's folder was handed in; None if nothing says so."""
    try:
        text = (folder / TIMESTAMP).read_text(encoding="utf-8").strip().removesuffix(" UTC")
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)
    except (OSError, ValueError):
        return None


def platform_number(folder: Path) -> str:
    """The number by which the platform calls the learner, or nothing."""
    try:
        return str(json.loads((folder / UPLOAD).read_text(encoding="utf-8"))["number"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
