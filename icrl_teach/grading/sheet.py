"""A sheet as the teacher has it: which exercises it asks, for how many points, and by which check each is judged."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icrl_teach.checks.check import Check


@dataclass(frozen=True)
class Exercise:
    """One function that the sheet asks for: its name, its grade cell's id, the points, and what judges it.

    check: a `Check`, which can draw fresh cases, or a function of the answer that raises CheckFailed.
    """

    name: str
    grade_id: str
    points: float
    check: Check | Callable[[Callable[..., Any]], None]

    @property
    def needs(self) -> tuple[Check, ...]:
        """The checks of earlier exercises whose functions this one may call."""
        return tuple(self.check.needs) if isinstance(self.check, Check) else ()

    @property
    def forbid(self) -> tuple[str, ...]:
        """The library's functions that do the whole exercise, such as `mrp:MarkovRewardProcess.value`."""
        return tuple(self.check.forbid) if isinstance(self.check, Check) else ()


@dataclass(frozen=True)
class Sheet:
    """The source of a sheet: its name, its exercises, and the code cells that learners get ready-made."""

    name: str
    exercises: tuple[Exercise, ...]
    given: frozenset[str]
    checks: dict[str, str]  # grade_id -> source of each check cell
    modules: tuple[str, ...]  # where checks live: learners' code does not get them


def read_sheet(path: str | Path) -> Sheet:
    """The sheet in a notebook of solutions/ or exercises/, or in a teacher's own with nbgrader's metadata.

    A check that stands beside the notebook (`from my_checks import check_mine`) is found there.
    Raises ValueError for a notebook without exercises, or for a grade cell that calls no check it imports.
    """
    path = Path(path)
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    sources = [text_of(cell) for cell in cells]
    homes = {name: module for source in sources for name, module in _imports(source)}
    exercises = []
    with _findable(path.parent):
        for cell, source in zip(cells, sources, strict=True):
            if about(cell).get("grade"):
                exercises.append(_exercise(path, about(cell), source, homes))
    if not exercises:
        raise ValueError(f"{path}: no cell is graded; a sheet has nbgrader's metadata, as those in exercises/")
    given = (s.strip() for cell, s in zip(cells, sources, strict=True) if not about(cell).get("solution"))
    checks = {about(cell)["grade_id"]: text_of(cell) for cell in cells if about(cell).get("grade")}
    modules = {"icrl_teach.checks"} | {home.split(":")[0] for home in homes.values()}
    return Sheet(path.stem, tuple(exercises), frozenset(given), checks, tuple(sorted(modules)))


def text_of(cell: dict[str, Any]) -> str:
    """A cell's source, which may be stored as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(map(str, source)) if isinstance(source, list) else ""


def about(cell: dict[str, Any]) -> dict[str, Any]:
    """What nbgrader notes of a cell; empty where it notes nothing."""
    noted = cell.get("metadata")
    noted = noted.get("nbgrader") if isinstance(noted, dict) else None
    return noted if isinstance(noted, dict) else {}


def _imports(source: str) -> Iterator[tuple[str, str]]:
    """(name, module) of every check that a cell imports; a cell with magics imports none."""
    try:
        nodes = ast.walk(ast.parse(source))
    except SyntaxError:
        return
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named = ((alias.asname or alias.name, f"{node.module}:{alias.name}") for alias in node.names)
            yield from ((name, home) for name, home in named if name.startswith("check_"))


def _exercise(path: Path, noted: dict[str, Any], source: str, homes: dict[str, str]) -> Exercise:
    """The exercise of a grade cell: `check_x(x)` stands in it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=check), args=[ast.Name(id=name)]) if check in homes:
                return Exercise(name, noted["grade_id"], float(noted.get("points", 0)), _load(homes[check]))
    raise ValueError(
        f"{path}: the grade cell {noted.get('grade_id')!r} must call a check that the sheet imports with the learner's "
        "function, such as check_exact_value(exact_value)"
    )


def _load(home: str) -> Any:
    module, name = home.split(":")
    return getattr(importlib.import_module(module), name)


@contextlib.contextmanager
def _findable(folder: Path) -> Iterator[None]:
    """Modules beside the sheet can be imported, as its kernel would; afterwards another sheet may have its own."""
    folder = folder.resolve()
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if (file := getattr(module, "__file__", None)) and Path(file).parent == folder:
                del sys.modules[name]
