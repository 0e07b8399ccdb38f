"""The course's notebooks of the installed version, and how a learner gets a copy of their own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from icrl_teach._files import atomic_write

FOLDERS = ("lessons", "exercises")


def course_root() -> Path:
    """The folder that holds lessons/ and exercises/: inside an installed package, or a checkout's top.

    Raises FileNotFoundError if neither is there.
    """
    package = Path(__file__).resolve().parent
    for root in (package / "_notebooks", package.parent):
        if any((root / "lessons").glob("[0-9]*.ipynb")):
            return root
    raise FileNotFoundError("the course's notebooks are not installed with this package: reinstall icrl-teach")


@dataclass
class CopyReport:
    """What `copy_course` did, as paths below the destination: written, the same already, kept because they differ."""

    written: list[Path] = field(default_factory=list)
    same: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def copy_course(destination: str | os.PathLike[str], beside: bool = False) -> CopyReport:
    """Copy lessons/ and exercises/ to `destination`, never overwriting a file that differs.

    beside: write the new version of such a file next to it, as NAME.new.ipynb (or NAME.new2.ipynb, ... if that is
    taken by yet another version). Each file is written to a temporary name and renamed.
    """
    root, report = course_root(), CopyReport()
    destination = Path(destination)
    for source in sorted(path for folder in FOLDERS for path in (root / folder).glob("[0-9]*.ipynb")):
        content = source.read_bytes()
        target = destination / source.relative_to(root)
        if _differs(target, content):
            report.kept.append(target.relative_to(destination))
            if not beside:
                continue
            target = _free_name(target, content)
        if target.exists():
            report.same.append(target.relative_to(destination))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target, "wb") as file:
            file.write(content)
        report.written.append(target.relative_to(destination))
    return report


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content


def _free_name(path: Path, content: bytes) -> Path:
    """The first of NAME.new.ipynb, NAME.new2.ipynb, ... that is free or holds `content` already."""
    number = 1
    while _differs(candidate := path.with_suffix(f".new{number if number > 1 else ''}.ipynb"), content):
        number += 1
    return candidate
