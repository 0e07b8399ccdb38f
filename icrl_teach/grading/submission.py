"""An uploaded notebook, read with care: its code cells in order, or why it cannot be read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icrl_teach.grading.sheet import Sheet, about, text_of

LARGEST_SOURCE = 2**20  # bytes of code in a notebook; the longest sheet has some 20,000


class Unreadable(Exception):
    """No notebook that can be graded; the message says why."""


@dataclass(frozen=True)
class Submission:
    """The code cells: (source, whether it is the sheet's own); and what a teacher may want to see."""

    cells: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...]


def read_submission(path: str | Path, sheet: Sheet, largest: int) -> Submission:
    """The code cells of an upload, whatever it is called. Raises Unreadable, with what to ask the learner for."""
    cells = [cell for cell in _cells(_notebook(Path(path), largest)) if cell.get("cell_type") == "code"]
    sources = [text_of(cell) for cell in cells]
    if sum(map(len, sources)) > LARGEST_SOURCE:
        raise Unreadable("it holds over a million characters of code")
    return Submission(
        tuple((source, source.strip() in sheet.given) for source in sources), tuple(_notes(cells, sources, sheet))
    )


def _notebook(path: Path, largest: int) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise Unreadable("it is no file")
        with path.open("rb") as file:
            raw = file.read(largest + 1)
        if len(raw) > largest:
            raise Unreadable(f"the file has more than {largest} bytes")
        content = raw.decode("utf-8-sig")
    except OSError as error:
        raise Unreadable(f"the file cannot be opened: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unreadable("it is no text, so no notebook: perhaps a zip file under another name") from None
    if not content.strip():
        raise Unreadable("the file is empty: the upload was cut off")
    try:
        notebook = json.loads(content)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(content) - 1 or "Unterminated" in error.msg
        raise Unreadable("it ends in the middle: the upload was cut off" if cut else f"no JSON: {error}") from None
    except (ValueError, RecursionError):
        raise Unreadable("no JSON that a notebook would be") from None
    if not isinstance(notebook, dict):
        raise Unreadable("JSON, but no notebook")
    return notebook


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """All cells; notebooks of format 3 keep them in worksheets, under other names."""
    major = notebook.get("nbformat")
    if type(major) is not int or not 3 <= major <= 4:
        raise Unreadable(f"a notebook of format {str(major)[:20]}; formats 3 and 4 are read")
    cells = notebook.get("cells")
    if major == 3 and isinstance(notebook.get("worksheets"), list):
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [dict(c, source=c.get("input", "")) for s in sheets for c in s.get("cells", []) if isinstance(c, dict)]
    if not isinstance(cells, list):
        raise Unreadable("a notebook without cells")
    return [cell for cell in cells if isinstance(cell, dict)]


def _notes(cells: list[dict[str, Any]], sources: list[str], sheet: Sheet) -> list[str]:
    """What was done to the cells that nbgrader keeps account of: it costs nothing, but a teacher may ask."""
    ids = [noted if isinstance(noted := about(cell).get("grade_id"), str) else None for cell in cells]
    held = dict(zip(ids, sources, strict=True))
    notes = [
        f"the cell {each} is there {ids.count(each)} times"
        for each in dict.fromkeys(ids)
        if each and ids.count(each) > 1
    ]
    for grade_id, source in sheet.checks.items():
        if grade_id not in held:
            notes.append(f"the check {grade_id} was deleted")
        elif held[grade_id].strip() != source.strip():
            notes.append(f"the check {grade_id} was changed")
    return notes
