"""Submissions for the tests of grading: a released sheet with answers written into it, well or badly."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from guards import EXERCISES, SOLUTIONS, read

SHEET = next(path for path in SOLUTIONS if path.stem.startswith("01_"))
RELEASED = next(path for path in EXERCISES if path.stem == SHEET.stem)
RIGHT = {
    cell.metadata.nbgrader.grade_id.removeprefix("sheet01-"): cell.source
    for cell in read(SHEET).cells
    if cell.metadata.get("nbgrader", {}).get("solution")
}
NAMES = {
    "value": "exact_value",
    "change": "reward_change",
    "even": "even_discount",
    "std": "return_std",
    "average": "average_reward",
    "chance": "success_chance",
}
STUB = "def {}(*args):\n    raise NotImplementedError('not written yet')"


def code(source: str, **noted: object) -> dict:
    """A code cell, as a learner adds one."""
    return {"cell_type": "code", "metadata": dict(noted), "source": source, "outputs": [], "execution_count": None}


def sheet(**answers: str) -> dict:
    """Sheet 01 as released, with these answers in its cells: value=, change=, even=, std=, average=, chance=."""
    notebook = json.loads(RELEASED.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "").removeprefix("sheet01-")
        if name in answers:
            cell["source"] = answers[name]
    return notebook


def placed(notebook: dict, cell: dict, before: str = "sheet01-value") -> dict:
    """The notebook with one more cell, above the one of this grade_id."""
    notebook = copy.deepcopy(notebook)
    ids = [each["metadata"].get("nbgrader", {}).get("grade_id") for each in notebook["cells"]]
    notebook["cells"].insert(ids.index(before), cell)
    return notebook


def written(path: Path, notebook: dict) -> Path:
    """The notebook as a file."""
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def without(path: Path, *names: str) -> dict:
    """A solved sheet of which these functions were never written."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if any(f"def {name}(" in source for name in names) and "### BEGIN SOLUTION" in source:
            cell["source"] = source.split("### BEGIN")[0] + "raise NotImplementedError('not written yet')\n"
    return notebook
