"""Guards on what is stored: was it executed, is anything hidden from comparison, are the outputs fit to be shared."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import nbformat

from icrl_teach.validation import documents
from icrl_teach.validation.documents import Document, code_cells, plain, tags
from icrl_teach.validation.findings import Finding
from icrl_teach.validation.prose import alternative_texts

LARGE_OUTPUT = 1_000_000  # characters in one cell: more than a reader scrolls through
MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
PRIVATE = {
    "path": (
        "a path of one machine",
        r"(?<![\w.:/-])/(?:root|home|tmp|Users|work|workspaces?|var|usr|opt|mnt|private|srv)/\w|\b[A-Z]:\\{1,2}\w",
    ),
    "address": ("an object's address", r"\b0x[0-9a-fA-F]{6,}"),
    "time": ("a time of day", r"\b\d{1,2}:\d{2}:\d{2}\b"),
    "date": ("a date", rf"\b(?:19|20)\d\d-\d\d-\d\d\b|\b\d{{1,2}} {MONTH} 20\d\d\b|\b{MONTH} +\d{{1,2}},? +20\d\d\b"),
}
PRIVATE_FIX = {
    "path": "print the file's name alone",
    "address": "print the object's contents, not the object",
    "time": "leave the clock out of the output",
    "date": "leave the date out of the output",
}
# Account names that are ordinary words or belong to images everyone uses: finding them says nothing of a person.
COMMON_USERS = {"root", "user", "users", "admin", "jovyan", "runner", "ubuntu", "debian", "student", "teacher", "test"}


def schema(document: Document) -> Iterator[Finding]:
    """The notebook is valid under the schema of its own format."""
    if document.stored_format < 4:
        message = f"nbformat {document.stored_format}, which current tools no longer write"
        fix = f"jupyter nbconvert --to notebook --inplace {shlex.quote(document.name)}"
        yield document.finding("old-format", message, fix=fix)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a missing or repeated cell id is only a warning to nbformat
            nbformat.validate(nbformat.from_dict(json.loads(document.text)))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = re.sub(r"Non-unique cell id (.*?) detected\..*", r"cell id \1 stands more than once", reason)
        place = "/".join(map(str, getattr(error, "absolute_path", ())))
        reason = f"{place}: {reason[:160]}" if place else reason[:160]
        yield document.finding("schema", f"not valid nbformat: {reason}", fix="open and save it in JupyterLab")


def size(document: Document) -> Iterator[Finding]:
    """The file is small enough to share, and no output drowns the rest."""
    megabytes = len(document.text.encode()) / 1e6
    limit = document.settings.max_megabytes
    if megabytes > limit:
        yield document.finding(
            "file-size", f"{megabytes:.1f} MB, more than {limit:g} MB", fix="show less, or smaller pictures"
        )
    for index, cell in enumerate(document.notebook.cells):
        length = sum(len(text) for output in cell.get("outputs", []) for text in documents.words(output).values())
        if length > LARGE_OUTPUT:
            message = f"stores {length / 1e6:.1f} million characters of output"
            yield document.finding("large-output", message, index, fix="print the part that matters")


def executed_in_order(document: Document) -> Iterator[Finding]:
    """Every code cell was executed, in order, from a fresh kernel."""
    cells = code_cells(document.notebook)
    if documents.is_untouched_sheet(document):
        return
    never = [(i, cell) for i, cell in cells if cell.execution_count is None]
    if never and len(never) == len(cells) and not any(cell.outputs for _, cell in cells):
        message = f"none of its {len(cells)} code cells was ever executed, so nothing can be compared"
        yield document.finding("never-executed", message, fix=document.update)
        return
    for index, cell in never:
        if not documents.is_skipped(cell):
            yield document.finding(
                "never-executed", "never executed, so nothing is compared", index, fix=document.update
            )
    counts = [cell.execution_count for _, cell in cells if cell.execution_count is not None]
    if not never and counts != list(range(1, len(counts) + 1)):
        shown = ", ".join(map(str, counts[:12])) + (", …" if len(counts) > 12 else "")
        message = f"execution counts are {shown}: not one run from a fresh kernel"
        yield document.finding("out-of-order", message, fix=document.update)


def nothing_hidden(document: Document) -> Iterator[Finding]:
    """No cell hides from the comparison, but for a reason that its tags state."""
    for index, cell in enumerate(document.notebook.cells):
        if cell.cell_type != "code":
            continue
        ignored = not documents.markers(cell).get("check", True)
        reason = reason_of(document, tags(cell))
        if documents.is_skipped(cell):
            yield document.finding(
                "skipped", "a tag or comment keeps it from being run", index, fix="run it, or remove it"
            )
        elif ignored and not reason:
            wanted = ", ".join(document.settings.ignore_reasons)
            message = "its output is ignored without a reason"
            yield document.finding("ignored", message, index, fix=f"add a reason tag ({wanted}), or compare it")
        if re.search(r";\s*$", cell.source) and document.language == "python":
            message = "ends with ';', which hides nothing from the comparison"
            yield document.finding("semicolon", message, index, fix="write _ = ...")
        if re.search(r"^\s*%{1,2}time", cell.source, re.MULTILINE) and not (ignored and reason):
            message = "prints a time, which no rerun repeats"
            yield document.finding("time-magic", message, index, fix="remove the %time")


def reason_of(document: Document, names: set[str]) -> str:
    """The tag that says why a cell's output is not compared, or an empty text."""
    allowed = set(document.settings.ignore_reasons)
    if document.profile == "own":
        allowed |= {name for name in names if name.startswith("reason-")}
    return next(iter(sorted(names & allowed)), "")


def outputs_are_clean(document: Document) -> Iterator[Finding]:
    """No stored output holds an error, a warning, or something of one machine, one person or one moment."""
    for index, cell in enumerate(document.notebook.cells):
        seen: set[str] = set()
        for output in cell.get("outputs", []):
            for finding in _stains(document, index, output):
                if finding.rule not in seen:
                    seen.add(finding.rule)
                    yield finding


def _stains(document: Document, index: int, output: nbformat.NotebookNode) -> Iterator[Finding]:
    cell = document.notebook.cells[index]
    if output.output_type == "error" and not documents.markers(cell).get("check_exception"):
        message = f"stores an error, {output.get('ename')}: {str(output.get('evalue'))[:80]}"
        fix = "mend it, or tag the cell raises-exception"
        yield document.finding("stored-error", message, index, fix=fix)
    if output.get("name") == "stderr":
        text = documents.joined(output.text)
        message = f"stores output on stderr: {text.strip()[:80]!r}"
        yield document.finding("stored-warning", message, index, fix=remedy_of_stderr(text))
    for kind, text in documents.words(output).items():
        if kind.startswith("application/") or kind == "image/svg+xml":
            continue
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        for rule, (what, pattern) in PRIVATE.items():
            if found := re.search(pattern, text, re.MULTILINE):
                shown = text[found.start() : found.start() + 40].split("\n")[0]
                yield document.finding(rule, f"stores {what}: {shown!r}", index, fix=PRIVATE_FIX[rule])
        yield from _names(document, index, text)


def remedy_of_stderr(text: str) -> str:
    """What to do about output on stderr: a progress bar is no warning."""
    if re.search(r"\d+%\|", text):
        return "tag the cell nbval-ignore-output and reason-progress-bar, or leave the bar out"
    return "mend what it warns of"


def _names(document: Document, index: int, text: str) -> Iterator[Finding]:
    names = [*document.settings.user_names, *_own_names()]
    words = [rf"(?<![\w/]){re.escape(name)}(?!\w)" for name in names]
    prompt = r"\b[a-z_][\w.-]{0,63}@[\w-]+:[~/]"  # user@host:~, as a shell's prompt shows it
    if found := re.search("|".join([*words, prompt]), text):
        fix = "print nothing that names the account"
        yield document.finding("user-name", f"stores a user's name: {found[0]!r}", index, fix=fix)


def _own_names() -> set[str]:
    try:
        names = {getpass.getuser(), Path.home().name}
    except (OSError, KeyError, RuntimeError):  # an account without a name, as in some containers
        return set()
    return {name for name in names if len(name) > 3 and name.lower() not in COMMON_USERS}


def pictures_have_numbers(document: Document) -> Iterator[Finding]:
    """A figure stands beside its key numbers, in its own cell or the next code cell: readers and diffs need them."""
    cells = code_cells(document.notebook)
    for position, (index, cell) in enumerate(cells):
        if not any(_shows_picture(output) for output in cell.outputs):
            continue
        beside = [*cell.outputs, *(cells[position + 1][1].outputs if position + 1 < len(cells) else [])]
        said = [plain(output) for output in beside if not _says_only_what_it_shows(output)]
        if not any(re.search(r"\d", text) for text in said if not re.search(r"object>|<Figure size", text)):
            message = "shows a picture but no number that could be compared"
            yield document.finding("picture-number", message, index, fix="print the figure's key numbers, rounded")


def _shows_picture(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    return "image/png" in data or bool(documents.DATA_URI.search(documents.joined(data.get("text/html", ""))))


def _says_only_what_it_shows(output: nbformat.NotebookNode) -> bool:
    """Whether an output's plain text is its picture's alternative text: written by hand, it compares no number."""
    return plain(output).strip() in {text.strip() for text in alternative_texts(output)}


def metadata(document: Document) -> Iterator[Finding]:
    """The kernel is the one everyone has, and no editor left its state behind."""
    data = document.notebook.metadata
    if (kernel := (data.get("kernelspec") or {}).get("name")) != "python3":
        yield document.finding("kernel-name", f"kernel {kernel!r} is not python3", fix=document.update)
    if extra := sorted(set(data) - {"kernelspec", "language_info", "widgets", "validate"}):
        yield document.finding("volatile-metadata", f"volatile metadata: {', '.join(extra)}", fix=document.update)


def tags_are_readable(document: Document) -> Iterator[Finding]:
    """Tags and metadata that ask for a tolerance or a budget are understood."""
    from icrl_teach.validation import budgets, compare

    try:
        budgets.of_notebook(document)
    except ValueError as error:
        yield document.finding("bad-tag", f"metadata validate: {error}", fix='for example {"seconds": 20}')
    for index, cell in enumerate(document.notebook.cells):
        try:
            compare.tolerance(tags(cell))
            budgets.of_cell(document, cell)
        except ValueError as error:
            yield document.finding("bad-tag", str(error), index, fix="for example validate-rtol=1e-3")


GUARDS = (
    schema,
    size,
    executed_in_order,
    nothing_hidden,
    outputs_are_clean,
    pictures_have_numbers,
    metadata,
    tags_are_readable,
)
