"""The folder of a class, laid out as nbgrader lays out a course; nothing here needs nbgrader."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from icrl_teach._files import atomic_write
from icrl_teach._validate import shown

CONFIG = "nbgrader_config.py"
GRADEBOOK = "gradebook.db"
MARKS = "marks.csv"
SEED = "seed.txt"  # of the hidden cases; the teacher's alone


@dataclass(frozen=True)
class Sheet:
    """An assignment of the class: its name, such as 04_weighted_softmax_td, and the notebook that holds it, solved."""

    name: str
    source: Path

    @property
    def number(self) -> str:
        """The number at the front of the name, or the whole name."""
        return self.name.split("_")[0]

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """The cells of the source. Raises ValueError if it cannot be read."""
        try:
            return list(json.loads(self.source.read_text(encoding="utf-8"))["cells"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(
                f"{self.source} is no notebook that can be read; mend it, or delete it and run new"
            ) from None

    @cached_property
    def points(self) -> dict[str, float]:
        """The points of each graded cell, by its grade_id."""
        marked = (cell["metadata"].get("nbgrader", {}) for cell in self.cells)
        return {each["grade_id"]: float(each["points"]) for each in marked if each.get("grade")}

    @cached_property
    def headings(self) -> dict[str, str]:
        """The heading above each graded cell, by its grade_id."""
        found, heading = {}, ""
        for cell in self.cells:
            if line := re.match(r"#+ (.+)", "".join(cell["source"])) if cell["cell_type"] == "markdown" else None:
                heading = line.group(1).strip()
            if cell["metadata"].get("nbgrader", {}).get("grade"):
                found[cell["metadata"]["nbgrader"]["grade_id"]] = heading
        return found

    @property
    def digest(self) -> str:
        """A hash of all that the sheet's folder holds, checks beside the notebook included."""
        files = (path for path in sorted(self.source.parent.rglob("*")) if path.is_file() and path.suffix != ".pyc")
        return digest(b"".join(digest(path.read_bytes()).encode() for path in files))

    @cached_property
    def grade_ids(self) -> set[str]:
        """The ids of all cells that nbgrader knows: by them a renamed file is told."""
        return set(grade_ids(self.cells))

    @property
    def title(self) -> str:
        """The sheet's first heading."""
        text = "".join(self.cells[0]["source"]) if self.cells else ""
        heading = re.match(r"# (.+)", text)
        return heading.group(1).strip() if heading else self.name


def grade_ids(cells: list[dict[str, Any]]) -> list[str]:
    """The grade_ids of a notebook's cells, whatever else they may be."""
    marked = (cell.get("metadata", {}) for cell in cells if isinstance(cell, dict))
    found = (each.get("nbgrader", {}) for each in marked if isinstance(each, dict))
    return [str(each["grade_id"]) for each in found if isinstance(each, dict) and "grade_id" in each]


@dataclass(frozen=True)
class ClassFolder:
    """Where the things of a class lie below `root`."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> ClassFolder:
        """The class in this folder. Raises ValueError if there is none."""
        if not (root / CONFIG).is_file():
            raise ValueError(
                f"{root} is no class: it holds no {CONFIG}; go to its folder, or run: icrl-teach class new DIR"
            )
        return cls(root.absolute())

    @cached_property
    def sheets(self) -> list[Sheet]:
        """All sheets, by their name: whatever lies in source/NAME/NAME.ipynb."""
        found = sorted(self.root.glob("source/*/*.ipynb"))
        return [Sheet(path.stem, path) for path in found if path.stem == path.parent.name]

    def sheet(self, name: str) -> Sheet:
        """The sheet of this number or name. Raises ValueError if there is none."""
        wanted = Path(name).stem
        number = wanted.zfill(2) if wanted.isdigit() else wanted
        for sheet in self.sheets:
            if wanted == sheet.name or number == sheet.number:
                return sheet
        numbers = ", ".join(sheet.number for sheet in self.sheets) or "none"
        raise ValueError(f"no sheet is called {shown(name)}; this class has {numbers}")

    def chosen(self, names: tuple[str, ...]) -> list[Sheet]:
        """The sheets of these names, each once; all of them without a name."""
        return list(dict.fromkeys(map(self.sheet, names))) if names else self.sheets

    def release(self, sheet: Sheet) -> Path:
        """The folder with what learners get."""
        return self.root / "release" / sheet.name

    def submission(self, student: str, sheet: Sheet) -> Path:
        """The folder of what a learner has handed in."""
        return self.root / "submitted" / student / sheet.name

    def record(self, student: str, sheet: Sheet) -> Path:
        """The file that keeps a learner's marks, and of which notebook they are."""
        return self.root / "graded" / student / f"{sheet.name}.json"

    def page(self, student: str, sheet: Sheet) -> Path:
        """The page that tells a learner."""
        return self.root / "feedback" / student / f"{sheet.name}.html"

    def handed_in(self, sheet: Sheet) -> list[str]:
        """The ids of those who have handed in the sheet."""
        found = self.root.glob(f"submitted/*/{sheet.name}/{sheet.name}.ipynb")
        return sorted(path.parent.parent.name for path in found)


def digest(content: bytes) -> str:
    """A hash of a file's content."""
    return hashlib.sha256(content).hexdigest()


def write_if_new(path: Path, content: bytes) -> bool:
    """Write a file, whole or not at all, unless it holds just this; whether it was written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as file:
        file.write(content)
    return True
