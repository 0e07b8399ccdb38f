"""The course's notebooks of the installed version, and how a learner gets a copy of their own.

A learner's copy has no stored outputs, so that a prediction is answered by their own run. The folder's marker holds a
hash of each file as it was written: a file that is still so may be brought up to date, any other is the learner's own.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from icrl_teach import __version__
from icrl_teach._files import atomic_write
from icrl_teach.learner import MARKER

FOLDERS = ("lessons", "exercises")
ABOUT = "icrl-teach start wrote these files and leaves those alone that have changed since; the folder's mark, too."


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
    """What `copy_course` did, as paths below the destination: written anew, brought up to date, the same already, kept
    as the learner's own; and news, those kept of which another version is installed than the one they began with."""

    written: list[Path] = field(default_factory=list)
    updated: list[Path] = field(default_factory=list)
    same: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    news: list[Path] = field(default_factory=list)


@dataclass
class Marker:
    """What `start` remembers in a learner's folder: whether outputs were wanted, and the hash of each file it wrote."""

    outputs: bool = False
    written: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Marker:
        """The marker of a folder; an empty one if there is none or it is damaged: then no file is taken for ours."""
        try:
            content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
            written = {str(name): str(digest) for name, digest in content["written"].items()}
            return cls(content["outputs"] is True, written)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls()

    def write(self, folder: Path) -> None:
        """Leave it in the folder."""
        content = {"about": ABOUT, "version": __version__, "outputs": self.outputs, "written": self.written}
        with atomic_write(folder / MARKER) as file:
            file.write(json.dumps(content, indent=1, sort_keys=True) + "\n")


def copy_course(
    destination: str | os.PathLike[str], beside: bool = False, with_outputs: bool | None = None
) -> CopyReport:
    """Copy lessons/ and exercises/ to `destination`, outputs cleared; a file that the learner changed stays.

    beside: write the new version of such a file next to it, as NAME.new.ipynb (or NAME.new2.ipynb, ... if that is
    the learner's own by now). with_outputs: keep the stored outputs; as last time if it is None. Each file is written
    to a temporary name and renamed. Raises ValueError where the course itself lives.
    """
    root, report = course_root(), CopyReport()
    destination = Path(destination)
    if destination.resolve() == root.resolve():
        raise ValueError(f"{destination} is the course's own folder; choose another, such as my-course")
    destination.mkdir(parents=True, exist_ok=True)
    marker = Marker.read(destination)
    marker.outputs = marker.outputs if with_outputs is None else with_outputs
    try:
        for source in sorted(path for folder in FOLDERS for path in (root / folder).glob("[0-9]*.ipynb")):
            _copy(source, destination, source.relative_to(root), beside, marker, report)
    finally:
        marker.write(destination)
    return report


def _copy(source: Path, destination: Path, name: Path, beside: bool, marker: Marker, report: CopyReport) -> None:
    stored = source.read_bytes()
    content = stored if marker.outputs else without_outputs(stored)
    fine = {_digest(content), _digest(stored)}  # the second is what earlier versions of `start` wrote
    if _is_own(destination, name, fine, marker):
        report.kept.append(name)
        if marker.written.get(name.as_posix()) not in fine:
            report.news.append(name)
        if not beside:
            return
        name = _free_name(destination, name, fine, marker)
    target = destination / name
    there, written = target.exists(), marker.written.get(name.as_posix())
    if there and (found := _digest(target.read_bytes())) in fine and (found == _digest(content) or found != written):
        report.same.append(name)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target, "wb") as file:
        file.write(content)
    marker.written[name.as_posix()] = _digest(content)
    (report.updated if there else report.written).append(name)


def without_outputs(notebook: bytes) -> bytes:
    """A notebook as it is before any run: no outputs, widget states or execution counts; all else the same."""
    content = json.loads(notebook)
    content["metadata"].pop("widgets", None)
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_own(destination: Path, name: Path, fine: set[str], marker: Marker) -> bool:
    """Whether a file is the learner's own: neither what the course holds, nor as `start` last wrote it."""
    if not (path := destination / name).exists():
        return False
    return _digest(path.read_bytes()) not in {*fine, marker.written.get(name.as_posix())}


def _free_name(destination: Path, name: Path, fine: set[str], marker: Marker) -> Path:
    """The first of NAME.new.ipynb, NAME.new2.ipynb, ... that is not the learner's own."""
    number = 1
    while _is_own(destination, name.with_suffix(f".new{number if number > 1 else ''}.ipynb"), fine, marker):
        number += 1
    return name.with_suffix(f".new{number if number > 1 else ''}.ipynb")
