"""Sheets as pages: first steps and hints folded, a solution behind a click under each exercise.

Works on the notebook's cells before Sphinx parses them; solutions and hints are read where they are written, in
solutions/ and in each sheet's module of checks.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
FIRST_STEP = re.compile(r"(?:\*\*|\*)First step\.(?:\*\*|\*)\s*(.+?)(?=\n\n|\Z)", re.DOTALL)
MARKS = re.compile(r"^[ \t]*### (BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)
CODE = "```python\n{}\n```"


def text_of(cell: Cell) -> str:
    """A cell's source, which may be stored as lines."""
    return "".join(cell["source"])


def folded(title: str, body: str, kind: str) -> str:
    """Markdown that opens at a click."""
    return f'<details class="{kind}"><summary>{title}</summary>\n\n{body}\n\n</details>'


def markdown(name: str, text: str) -> Cell:
    """A cell of prose."""
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def hints(number: str) -> list[str]:
    """The hints to a sheet's challenge, gentlest first."""
    hint = importlib.import_module(f"icrl_teach.checks.sheet_{number}").hint
    said = []
    with contextlib.suppress(ValueError):  # asked for one more than there are
        while True:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                hint(len(said) + 1)
            said.append(" ".join(printed.getvalue().split()).split(": ", 1)[1])
    return said


def solved(solution: Path) -> tuple[dict[str, str], list[Cell]]:
    """What a solved sheet adds: the code of each exercise by its grade_id, and the cells that answer what goes on."""
    cells = json.loads(solution.read_text(encoding="utf-8"))["cells"]
    graded = {cell["metadata"].get("nbgrader", {}).get("grade_id"): text_of(cell) for cell in cells}
    answers = [cell for cell in cells if "answer" in cell["metadata"].get("tags", [])]
    return {name: MARKS.sub("", text).rstrip() for name, text in graded.items() if name}, answers


def fold(notebook: dict[str, Any], solution: Path) -> None:
    """Fold a sheet's first steps and hints, and put its solutions behind a click, in place."""
    code, answers = solved(solution)
    number = solution.name[:2]
    cells: list[Cell] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = FIRST_STEP.sub(lambda found: folded("First step", found[1], "hint"), text_of(cell))
            cells.append({**cell, "source": re.sub(r"^### ", "## ", text, flags=re.MULTILINE)})
            continue
        if re.search(r"^# hint\(1\)", text_of(cell), re.MULTILINE):
            steps = hints(number)
            folds = [folded(f"Hint {n} of {len(steps)}", step, "hint") for n, step in enumerate(steps, 1)]
            cells.append(markdown("site-hints", "\n\n".join(folds)))
            continue
        cells.append(cell)
        graded = cell["metadata"].get("nbgrader", {})
        if graded.get("solution"):
            body = CODE.format(code[graded["grade_id"]])
            cells.append(
                markdown(f"site-{graded['grade_id']}", folded("A solution, for after an honest try", body, "solution"))
            )
    if answers:
        parts = [text_of(cell) if cell["cell_type"] == "markdown" else _with_output(cell) for cell in answers]
        cells.append(
            markdown("site-answers", folded("What one finds on going on alone", "\n\n".join(parts), "solution"))
        )
    notebook["cells"] = cells


def _with_output(cell: Cell) -> str:
    """A solved cell's code, and what it printed."""
    printed = "".join("".join(output.get("text", "")) for output in cell["outputs"]).rstrip()
    return CODE.format(text_of(cell)) + (f"\n\n```text\n{printed}\n```" if printed else "")
