"""Rules of this course alone: the anatomy of a lesson and of a sheet (profiles `lesson` and `sheet`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from icrl_teach.validation.documents import Document, code_cells, is_answer, prose
from icrl_teach.validation.findings import Finding

PARTS = {
    "a title": r"^# \d\d",
    "minutes": r"(?i)minutes",
    "'Afterwards you can'": r"(?i)afterwards",
    "'Check yourself'": r"(?i)check yourself",
    "a status label": r"(?i)\*\*(exact|approximate|empirical|reported)",
    "where the paper says it": r"2605\.07333",
}
LEVELS = ("warm-up", "core", "stretch")


def anatomy(document: Document) -> Iterator[Finding]:
    """A lesson has the parts that CONTRIBUTING asks for and a reader would miss."""
    text = prose(document.notebook)
    for what, pattern in PARTS.items():
        if not re.search(pattern, text, re.MULTILINE):
            yield document.finding("anatomy", f"{what} is missing", fix="write it")
    folded, asked = text.count("<details>"), _predictions(document)
    if folded < 3 or folded + asked < 6 or folded != text.count("</details>"):
        message = "at least three predictions (asked by predict, or folded) and three questions with folded answers"
        yield document.finding("anatomy", message, fix="call predict(…), and fold answers in <details> … </details>")


def _predictions(document: Document) -> int:
    """How many questions the code asks with `predict(...)`."""
    return sum(len(re.findall(r"\bpredict\(", cell.source)) for _, cell in code_cells(document.notebook))


def plain_words(document: Document) -> Iterator[Finding]:
    """No word tells the reader that what is hard for them is easy."""
    for index, cell in enumerate(document.notebook.cells):
        words = re.findall(r"(?i)\b(?:clearly|simply|obviously)\b", cell.source) if cell.cell_type == "markdown" else []
        for word in dict.fromkeys(words):
            yield document.finding("belittling", f"the prose says {word!r}", index, fix="leave the word out")


def length(document: Document) -> Iterator[Finding]:
    """A lesson has few cells, and each few lines of code; the first may be longer: it is the setup."""
    settings, cells = document.settings, document.notebook.cells
    if len(cells) > settings.max_cells:
        yield document.finding("too-long", f"{len(cells)} cells, more than {settings.max_cells}", fix="split or cut")
    for index, cell in code_cells(document.notebook)[1:]:
        lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if len(lines) > settings.max_lines:
            message = f"{len(lines)} lines of code, more than {settings.max_lines}"
            yield document.finding("too-long", message, index, fix="split the cell, or move code to the library")


def sheet(document: Document) -> Iterator[Finding]:
    """At least three exercises, of three levels, each under its heading and directly followed by its check."""
    cells = document.notebook.cells
    at = [i for i, cell in enumerate(cells) if is_answer(cell)]
    if len(at) < 3:
        yield document.finding(
            "sheet", f"{len(at)} exercises, fewer than 3", fix="add exercises (nbgrader solution cells)"
        )
    headings = []
    for i in at:
        above = cells[i - 1].source.splitlines() if i else []
        heading = above[0] if above else ""
        headings.append(heading)
        if not (heading.startswith("### ") and "min" in heading and any(level in heading for level in LEVELS)):
            message = "no heading above it that gives level and minutes"
            yield document.finding("sheet", message, i, fix="### Title (core, 10 min)")
        below = cells[i + 1] if i + 1 < len(cells) else None
        if below is None or not (below.metadata.get("nbgrader") or {}).get("grade") or "check_" not in below.source:
            yield document.finding("sheet", "no check in the next cell", i, fix="call a check_… in a graded cell below")
    for level in LEVELS:
        if at and not any(level in heading for heading in headings):
            yield document.finding("sheet", f"no {level} exercise", fix=f"add a {level} exercise")


GUARDS = (anatomy, plain_words, length, sheet)
