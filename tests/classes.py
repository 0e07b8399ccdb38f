"""A made-up class for tests: folder, roster, and uploads named as platforms name them."""

from __future__ import annotations

import json
from pathlib import Path

from guards import EXERCISES, SOLUTIONS
from icrl_teach.classroom import gradebook
from icrl_teach.classroom.folder import CONFIG, SEED, ClassFolder

ROSTER = """id,name,email
ada,Ada Lovelace,ada@example.org
emmy,Emmy Noether,emmy@example.org
sofia,"Kovalevskaya, Sofia",sofia@example.org
rene,René Descartes,rene@example.org
ludwig,Ludwig van Beethoven,ludwig@example.org
alan,Alan Turing,alan@example.org
"""
NUMBERS = {"ada": 11, "emmy": 12, "sofia": 13, "rene": 14, "ludwig": 15, "alan": 16}
NAMES = {  # as a platform writes them
    "ada": "Ada Lovelace",
    "emmy": "Emmy Noether",
    "sofia": "Sofia Kovalevskaya",
    "rene": "René Descartes",
    "ludwig": "Ludwig van Beethoven",
    "alan": "Alan Turing",
}


def bare_class(root: Path, *numbers: str) -> ClassFolder:
    """A class with these sheets and the roster, made by hand: no program of nbgrader runs."""
    root.mkdir(parents=True, exist_ok=True)
    (root / CONFIG).write_text(gradebook.CONFIGURATION)
    (root / "roster.csv").write_text(ROSTER, encoding="utf-8")
    (root / SEED).write_text("7\n")
    for path in SOLUTIONS:
        if path.stem[:2] in numbers:
            gradebook.copy_source(path, root / "source" / path.stem / path.name)
    return ClassFolder.at(root)


def moodle(student: str, file: str, new: bool = True) -> str:
    """Where Moodle's download puts a file; new: since version 4.1."""
    return f"{NAMES[student]}_{NUMBERS[student]}_assignsubmission_file{'' if new else '_'}/{file}"


def canvas(student: str, file: str, attachment: int, late: bool = False) -> str:
    """What Canvas' download calls a file."""
    *first, last = NAMES[student].split()
    name = "".join(c for c in f"{last}, {' '.join(first)}".lower() if c.isalnum())
    return f"{name}{'_LATE' if late else ''}_{NUMBERS[student]}_{attachment}_{file}"


def put(folder: Path, name: str, content: bytes) -> Path:
    """A file in a folder of uploads."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def untouched(number: str) -> bytes:
    return next(path for path in EXERCISES if path.stem.startswith(number)).read_bytes()


def solved(number: str) -> bytes:
    return next(path for path in SOLUTIONS if path.stem.startswith(number)).read_bytes()


def marked(content: bytes, word: str) -> bytes:
    """The same notebook with a cell more, so that two submissions differ."""
    notebook = json.loads(content)
    notebook["cells"].append({"cell_type": "markdown", "id": f"mark-{word}", "metadata": {}, "source": [word]})
    return json.dumps(notebook).encode()


def answered(number: str, *names: str) -> bytes:
    """An untouched sheet in which the cells of these grade_ids are answered as in the solutions."""
    sheet, solution = json.loads(untouched(number)), json.loads(solved(number))
    answers = {_id(cell): cell["source"] for cell in solution["cells"] if _id(cell)}
    for cell in sheet["cells"]:
        if _id(cell) in {f"sheet{number}-{name}" for name in names}:
            cell["source"] = answers[_id(cell)]
    return json.dumps(sheet).encode()


def _id(cell: dict) -> str:
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")
