"""What a learner has done, kept in their own folder as plain JSON. Nothing leaves the machine.

A folder is a learner's own where `icrl-teach start` left its marker; nowhere else is anything read or written, and
nothing at all where the environment says ICRL_TEACH_PROGRESS=off, as under `icrl-teach validate`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from icrl_teach._files import atomic_write, locked

MARKER = ".icrl-teach.json"  # what `icrl-teach start` leaves in the folder that it makes
RECORD = "progress.json"
SWITCH = "ICRL_TEACH_PROGRESS"
SCHEMA = 1
LARGEST = 2**20  # bytes; the record of the whole course has a few thousand
STRANGE = "checks or predictions are not as we write them"
ABOUT = "What you have done in the course: icrl-teach progress shows it. It stays on this computer."


@dataclass(frozen=True)
class Said:
    """A prediction when its answer was first shown: what was said (None: nothing), the answer, and whether right."""

    said: str | None
    answer: str
    right: bool


@dataclass
class Record:
    """checks: the exercises of each sheet whose check has passed; predictions: by name, once their answer was shown."""

    checks: dict[str, list[str]] = field(default_factory=dict)
    predictions: dict[str, Said] = field(default_factory=dict)

    def pass_check(self, sheet: str, exercise: str) -> None:
        """A check has passed; passing it again changes nothing."""
        self.checks[sheet] = sorted({*self.checks.get(sheet, []), exercise})

    def mark(self, name: str, said: Said) -> None:
        """The answer to a prediction was shown; only the first time counts."""
        self.predictions.setdefault(name, said)

    def text(self) -> str:
        """The record as it is kept."""
        predictions = {name: vars(said) for name, said in sorted(self.predictions.items())}
        content = {"about": ABOUT, "schema": SCHEMA, "checks": dict(sorted(self.checks.items()))}
        return json.dumps({**content, "predictions": predictions}, indent=1, ensure_ascii=False) + "\n"


class Unreadable(Exception):
    """No record of ours; the message says why."""


class NotKept(Exception):
    """Progress cannot be kept or read here; the message says why."""


def record_in(text: str) -> Record:
    """A record from its text. Raises Unreadable for a damaged one, NotKept for one of a newer version."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {str(error)[:80]}") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise NotKept("a newer version of icrl-teach wrote it: update this one")
    if schema != SCHEMA:
        raise Unreadable("it states no schema that we know")
    try:
        passed, made = content["checks"].items(), content["predictions"].items()
        predictions = {name: Said(said["said"], said["answer"], said["right"]) for name, said in made}
        texts = [name for _, names in passed for name in names] + [said.answer for said in predictions.values()]
        json.dumps(content, ensure_ascii=False).encode()  # half a letter, as "\\ud800", could never be written again
    except (KeyError, TypeError, AttributeError, UnicodeEncodeError):
        raise Unreadable(STRANGE) from None
    if not (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(names, list) for _, names in passed)
        and all(isinstance(s.said, str | None) and isinstance(s.right, bool) for s in predictions.values())
    ):
        raise Unreadable(STRANGE)
    return Record({sheet: sorted(set(names)) for sheet, names in passed}, predictions)


def home(here: Path | None = None) -> Path | None:
    """The learner's folder in which we work, or None: the working directory, or one of the three above it.

    here: another folder to begin at, if somebody asks for it by name.
    """
    if here is None and os.environ.get(SWITCH) == "off":
        return None
    try:
        here = Path.cwd() if here is None else here.resolve()
        return next((folder for folder in [here, *here.parents][:4] if (folder / MARKER).is_file()), None)
    except OSError:  # a working directory that is gone
        return None


def load(folder: Path) -> Record:
    """The record kept in a learner's folder, empty at first. Raises Unreadable for a damaged one, and NotKept where
    none can be kept."""
    path = folder / RECORD
    try:
        return record_in(_text_of(path))
    except FileNotFoundError:
        return Record()
    except NotKept as error:
        raise NotKept(f"{path}: {error}") from None
    except OSError as error:
        raise NotKept(f"{path}: {error.strerror}") from None


def _text_of(path: Path) -> str:
    with open(path, "rb", opener=_open_calmly) as file:
        kind = os.fstat(file.fileno())
        if not stat.S_ISREG(kind.st_mode):
            raise NotKept("it is no file")
        if kind.st_size > LARGEST:
            raise Unreadable("it is larger than 1 MB")
        try:
            return file.read(LARGEST + 1).decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable("it is no text") from None


def _open_calmly(path: str, flags: int) -> int:
    """A pipe of this name would wait for a writer for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _move_aside(path: Path) -> str:
    number = 1
    while os.path.lexists(aside := path.with_name(f"progress.damaged-{number}.json")):
        number += 1
    path.rename(aside)
    return aside.name


Change = Callable[[Record], None]
_waiting: dict[Path, list[Change]] = {}  # what could not be written yet; the next change takes it along
_told: set[str] = set()


def keep(change: Change) -> None:
    """Apply a change to the record of the learner's folder, if we are in one. Never raises: what cannot be kept is
    said in one line, once."""
    if (folder := home()) is None:
        return
    changes = _waiting.setdefault(folder, [])
    changes.append(change)
    try:
        _, note = write(folder, changes)
        changes.clear()
    except NotKept as error:
        note = f"Progress is not kept for now. {error}"
    if note and note not in _told:
        _told.add(note)
        print(note)


def write(folder: Path, changes: Sequence[Change] = ()) -> tuple[Record, str]:
    """Read the record, change it and write it, while no other kernel does. Returns it, and "" or one line that says
    what was wrong: a damaged file is moved aside. Raises NotKept where none can be kept."""
    note = ""
    try:
        with locked(folder / f".{RECORD}.lock"):
            try:
                record = load(folder)
            except Unreadable as damage:
                aside = _move_aside(folder / RECORD)
                record, note = Record(), f"{RECORD} was damaged: {damage}. It is now {aside}; a new one begins."
            before = record.text()
            for change in changes:
                change(record)
            if record.text() != before:
                with atomic_write(os.path.realpath(folder / RECORD)) as file:  # it may be kept elsewhere, by a link
                    file.write(record.text())
            return record, note
    except OSError as error:
        raise NotKept(f"{folder / RECORD}: {error.strerror or error}") from None


def open_record(folder: Path) -> tuple[Record, str]:
    """The record of a folder, and "" or a line that says what was wrong. Raises NotKept as `load` and `write` do."""
    try:
        return load(folder), ""
    except Unreadable:
        return write(folder)


def pass_check(sheet: str, exercise: str) -> None:
    """Keep that a check has passed."""
    keep(lambda record: record.pass_check(sheet, exercise))


def mark(name: str, said: Said) -> None:
    """Keep what became of a prediction, the first time."""
    keep(lambda record: record.mark(name, said))


def marked(name: str) -> Said | None:
    """What became of a prediction earlier, if this learner's folder knows."""
    if (folder := home()) is None:
        return None
    try:
        return load(folder).predictions.get(name)
    except (NotKept, Unreadable):  # told where the next change is kept
        return None
