"""What a learning platform hands over: a folder or a zip file of uploads, read into memory within bounds.

How the names are made (looked up in the platforms' own sources):

- Moodle (mod/assign, "Download all submissions"): a folder for each learner, `Ada Lovelace_1234_assignsubmission_file`,
  until version 4.0 with a `_` at its end, and the files as they were named in it; or, without folders,
  `Ada Lovelace_1234_assignsubmission_file_NAME.ipynb`. The number is another in each assignment.
- Canvas ("Download Submissions"): `lovelaceada_77_9001_NAME.ipynb`, the name that sorts without blanks or signs, the
  learner's number, the file's; late work has `_LATE` after the name, a file handed in again `-1`, `-2` at the end.
- By hand: a folder named by a learner's id, or `ID_NAME.ipynb`.

Nothing is unpacked to disk: a zip file, also one inside another, is read member by member.
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath

MEGABYTE = 2**20
LARGEST = 20 * MEGABYTE  # a notebook; a sheet of the course, run, has less than 2
LARGEST_ZIP = {
    1: 4000 * MEGABYTE,
    2: 100 * MEGABYTE,
}  # what a zip file unpacks to: the platform's, a learner's inside it
MOST_MEMBERS = 10_000

_MOODLE = re.compile(r"(?P<name>.+)_(?P<number>\d+)_assignsubmission_file(?:_(?P<file>.*))?")
_CANVAS = re.compile(r"(?P<name>\w+?)(?P<late>_LATE)?_(?P<number>\d+)_(?P<attachment>\d+)_(?P<file>.+)")
_AGAIN = re.compile(r"(?: ?\((\d+)\)|-(\d+))$")  # a browser's or a desktop's "(1)", Canvas' "-1"
_ASIDE = ("__MACOSX", ".ipynb_checkpoints")


@dataclass(frozen=True)
class Upload:
    """A notebook that was handed in: where it lay, who may have done so, the learner's own name of it, its content.

    names: the platform's, or those of the folders and the file's beginning; number: the platform's, if it gave one;
    late: as the platform says; order: the later of two in one download has the larger one; time: of the file, in UTC.
    """

    where: str
    names: tuple[str, ...]
    number: str
    file: str
    late: bool
    order: tuple[int, int, float, str]
    time: datetime
    content: bytes


@dataclass(frozen=True)
class Refused:
    """Something that was not read, and why."""

    where: str
    why: str


def find_uploads(place: Path) -> Iterator[Upload | Refused]:
    """Every notebook in a folder or zip file, and what was refused. Raises ValueError if `place` is neither."""
    if place.is_file() and zipfile.is_zipfile(place):
        found = _in_zip(place, place.name, "", 1)
    elif place.is_dir():
        found = _in_folder(place)
    else:
        raise ValueError(f"{place} is neither a folder nor a zip file; give what the platform's download made")
    for each in found:
        yield each if isinstance(each, Refused) else _read(*each)


_Found = tuple[str, float, bytes] | Refused  # where, time, content


def _in_folder(folder: Path) -> Iterator[_Found]:
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder).as_posix()
        if path.is_symlink():
            yield Refused(where, "it is a link; copy the file itself there")
        elif path.is_file() and not _aside(where):
            yield from _one(path, where, path.stat().st_mtime)


def _one(path: Path, where: str, time: float) -> Iterator[_Found]:
    if path.suffix.lower() == ".ipynb":
        if path.stat().st_size > LARGEST:
            yield Refused(where, _too_large(path.stat().st_size))
        else:
            yield where, time, path.read_bytes()
    elif path.suffix.lower() == ".zip":
        yield from _in_zip(path, where, _outer(where), 1)


def _in_zip(file: Path | BytesIO, where: str, outer: str, depth: int) -> Iterator[_Found]:
    """What a zip file holds. outer: the path under which its members are told to lie."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > MOST_MEMBERS or total > LARGEST_ZIP[depth]:
                yield Refused(
                    where, f"it holds {len(members):,} files of {total / MEGABYTE:,.0f} MB; unpack it yourself"
                )
                return
            for member in members:
                yield from _member(archive, member, where, outer, depth)
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError) as error:
        yield Refused(where, f"this zip file cannot be read: {error}")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str, outer: str, depth: int) -> Iterator[_Found]:
    parts = PurePosixPath(member.filename.replace("\\", "/")).parts
    inside = f"{where}: {member.filename}"
    suffix = PurePosixPath(member.filename).suffix.lower()
    if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in (parts or ("",))[0]:
        yield Refused(inside, "its name leads out of the zip file; whoever made it meant harm, or a tool was broken")
    elif member.is_dir() or _aside(member.filename) or suffix not in (".ipynb", ".zip"):
        return
    elif stat.S_ISLNK(member.external_attr >> 16):
        yield Refused(inside, "it is a link; ask for the file itself")
    elif member.flag_bits & 1:
        yield Refused(inside, "it is locked by a password; ask for it without")
    elif member.file_size > LARGEST:
        yield Refused(inside, _too_large(member.file_size))
    else:
        yield from _content(archive, member, inside, f"{outer}/{member.filename}".lstrip("/"), depth)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, inside: str, path: str, depth: int) -> Iterator[_Found]:
    try:
        with archive.open(member) as file:
            content = file.read(LARGEST + 1)  # the size that it states may be a lie
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, RuntimeError, ValueError) as error:
        yield Refused(inside, f"it cannot be unpacked: {error}")
        return
    if len(content) > LARGEST:
        yield Refused(inside, _too_large(len(content)))
    elif member.filename.lower().endswith(".ipynb"):
        yield path, _time_of(member), content
    elif depth + 1 in LARGEST_ZIP:
        yield from _in_zip(BytesIO(content), inside, _outer(path), depth + 1)
    else:
        yield Refused(inside, "a zip file in a zip file in a zip file; ask for the notebook itself")


def _time_of(member: zipfile.ZipInfo) -> float:
    """A zip file tells local time."""
    try:
        return datetime(*member.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _too_large(size: int) -> str:
    return f"it has {size / MEGABYTE:,.0f} MB, more than {LARGEST // MEGABYTE}; ask for it with all outputs cleared"


def _aside(where: str) -> bool:
    return any(part in _ASIDE or part.startswith("._") for part in PurePosixPath(where).parts)


def _outer(where: str) -> str:
    """A learner's zip file counts as a folder of the same name, in which a file of the learner's own lies."""
    return where[: -len(".zip")] if where.lower().endswith(".zip") else where


def _read(where: str, time: float, content: bytes) -> Upload:
    """Tell from the path who handed it in: a platform's own naming comes first."""
    path = PurePosixPath(where)
    file, again = _without_again(path.stem)
    names, number, late, attachment = (*path.parts[:-1], file.split("_")[0]), "", False, 0
    for part in path.parts:
        found = _MOODLE.fullmatch(part) or _CANVAS.fullmatch(part)
        if found is None:
            continue
        told = found.groupdict()
        names, number, late = (told["name"],), told["number"], bool(told.get("late"))
        attachment = int(told.get("attachment") or 0)
        if part == path.name:  # the learner's own name of the file follows the platform's
            file = _without_again(PurePosixPath(told["file"]).stem)[0]
        break
    order = (attachment, again, time, where)
    return Upload(where, names, number, file, late, order, datetime.fromtimestamp(time, UTC), content)


def _without_again(stem: str) -> tuple[str, int]:
    """A file's name without what marks it as handed in again, and the number of that mark."""
    if found := _AGAIN.search(stem):
        return stem[: found.start()], int(found[1] or found[2])
    return stem, 0
