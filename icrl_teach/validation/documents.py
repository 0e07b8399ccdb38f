"""A notebook as it is stored: reading it safely, and the parts the guards look at."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbval.plugin import find_comment_markers, find_metadata_tags

from icrl_teach.validation import shape
from icrl_teach.validation.config import Settings
from icrl_teach.validation.findings import Finding

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
OTHER_KERNELS = re.compile(
    r"ir$|r$|julia|bash|octave|matlab|javascript|deno|rust|xcpp|scala|spylon|haskell|sos|cling", re.I
)
DATA_URI = re.compile(r"data:(image/(?:png|jpeg|gif|webp|bmp));base64,([A-Za-z0-9+/=\s]+)")  # a picture inside HTML
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Unreadable(Exception):
    """The file is no notebook; the text says why."""

    rule = "unreadable"
    fix = "restore the file from its history"


class Malformed(Unreadable):
    """The file is a notebook, but a part of it has a shape that nothing can work with; the text says which."""

    rule = "schema"
    fix = "correct that part in a text editor, or restore the file from its history"


@dataclass
class Document:
    """A notebook with its place: `path` on disk, `name` as shown, `profile` it is held to, `text` as stored."""

    path: Path
    name: str
    profile: str
    settings: Settings
    notebook: NotebookNode
    text: str
    stored_format: int

    def finding(self, rule: str, message: str, cell: int | None = None, **more: Any) -> Finding:
        """A finding in this notebook, or in one cell of it."""
        if cell is not None:
            node = self.notebook.cells[cell]
            more = {"cell_id": str(node.get("id", "")), "source": node.source, **more}
        return Finding(rule, message, cell, path=self.name, **more)

    @property
    def update(self) -> str:
        """The command that stores fresh outputs."""
        return f"icrl-teach validate --update {shlex.quote(self.name)}"

    @property
    def language(self) -> str:
        """The notebook's programming language in lower case; python where it doesn't say."""
        data = self.notebook.metadata
        info, spec = data.get("language_info") or {}, data.get("kernelspec") or {}
        other = OTHER_KERNELS.match(str(spec.get("name", "")))  # the language is missing in many older files
        return str(info.get("name") or spec.get("language") or (other[0] if other else "python")).lower()


def read(path: Path, name: str, profile: str, settings: Settings) -> Document:
    """Read a notebook of any format; raises Unreadable with a reason that a person can act on."""
    text = text_of(path)
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        conflict = " (it holds the marks of a git conflict)" if "<<<<<<<" in text else ""
        raise Unreadable(f"not valid JSON: {error.msg}, line {error.lineno}, column {error.colno}{conflict}") from None
    except RecursionError:
        raise Unreadable("nested too deeply to be a notebook") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise Unreadable(f"not JSON that Python reads: {_first_line(error).split('; use')[0]}") from None
    if not isinstance(raw, dict):
        raise Unreadable(f"holds a JSON {type(raw).__name__}, not a notebook")
    major = raw.get("nbformat")
    if not isinstance(major, int) or isinstance(major, bool):
        raise Unreadable(f"nbformat is {major!r}; a notebook states a whole number there")
    if major > nbformat.current_nbformat:
        raise Unreadable(f"nbformat {major} is newer than the {nbformat.current_nbformat} that nbformat knows")
    try:
        if major == 4:
            shape.check(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook = nbformat.from_dict(nbformat.reads(text, as_version=4))  # nbformat 3 has a class of its own
        _repair(notebook)
    except shape.Misshapen as error:
        raise Malformed(f"breaks the notebook format: {error}") from None
    except Exception as error:  # nbformat meets malformed files with many kinds of exceptions
        raise Unreadable(f"not a notebook: {type(error).__name__}: {_first_line(error)}") from None
    return Document(path, name, profile, settings, notebook, text, major)


def text_of(path: Path) -> str:
    """The text of a file; raises Unreadable where it has none."""
    if not path.is_file():
        raise Unreadable("is a link that leads to no file" if path.is_symlink() else "is not a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror}") from None
    if not text.strip():
        raise Unreadable("is empty")
    return text


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no reason given"])[0][:200]


def _repair(notebook: NotebookNode) -> None:
    """Give every cell the parts that the guards read; what was wrong is reported by the schema's guard."""
    for cell in notebook.cells:
        if not isinstance(cell.get("source", ""), str):
            raise TypeError("a cell's source is not text")
        cell.setdefault("source", "")
        cell.setdefault("metadata", NotebookNode())
        if not isinstance(cell.metadata.get("tags", []), list):
            cell.metadata.tags = []
        if cell.cell_type == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
            for output in cell.outputs:
                if output.output_type in ("display_data", "execute_result"):
                    output.setdefault("metadata", NotebookNode())
                if output.output_type == "stream":
                    output.setdefault("name", "stdout")
                    output.setdefault("text", "")
    notebook.setdefault("metadata", NotebookNode())


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """The code cells that hold code, each with its index over all cells."""
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]


def outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
    """Every stored output with its cell and the cell's index."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield index, cell, output


def prose(notebook: NotebookNode) -> str:
    """All Markdown of the notebook."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def joined(value: Any) -> str:
    """The text of a MIME bundle's entry, which may be stored as a list of lines or as JSON."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def texts(output: NotebookNode) -> dict[str, str]:
    """What an output says in words, by kind: a stream, an error, and each text entry of its data."""
    if output.output_type == "stream":
        return {output.name: joined(output.text)}
    if output.output_type == "error":
        lines = [str(output.get(key, "")) for key in ("ename", "evalue")]
        return {"error": "\n".join([*lines, *map(str, output.get("traceback", []))])}
    data = output.get("data", {})
    return {kind: joined(value) for kind, value in data.items() if kind not in (*PICTURES, WIDGET_VIEW)}


def words(output: NotebookNode) -> dict[str, str]:
    """The same without the data of what is embedded, which nobody reads: pictures inside HTML, fonts, drawings."""
    return {kind: re.sub(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+", " ", text) for kind, text in texts(output).items()}


def plain(output: NotebookNode) -> str:
    """The plain text of an output: what the comparison and a terminal see."""
    said = texts(output)
    return said.get("text/plain") or said.get("stdout") or said.get("stderr") or ""


def tags(cell: NotebookNode) -> set[str]:
    """A cell's tags."""
    return {tag for tag in cell.metadata.get("tags", []) if isinstance(tag, str)}


def markers(cell: NotebookNode) -> dict[str, Any]:
    """What nbval reads in a cell's tags and comments: `check`, `skip`, `check_exception`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {"check": True, **dict(find_metadata_tags(cell.metadata)), **dict(find_comment_markers(cell.source))}


def is_skipped(cell: NotebookNode) -> bool:
    """Whether nbval, or nbclient, would not run the cell."""
    return bool(markers(cell).get("skip")) or bool(tags(cell) & {"skip-execution", "skip"})


def without_code(markdown: str) -> str:
    """Markdown without its code blocks and spans, which are not prose."""
    text = re.sub(r"^(```+(?!`)|~~~+(?!~)).*?^\1[`~]*\s*$", " ", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", " ", text)


def is_untouched_sheet(document: Document) -> bool:
    """Whether this is a learner's sheet as it is handed out: never executed, its answers still to be written."""
    cells = code_cells(document.notebook)
    stubs = [cell for _, cell in cells if "NotImplementedError" in cell.source and is_answer(cell)]
    return document.profile == "sheet" and bool(stubs) and all(cell.execution_count is None for _, cell in cells)


def is_answer(cell: NotebookNode) -> bool:
    """Whether nbgrader's metadata say that learners write in this cell."""
    return bool((cell.metadata.get("nbgrader") or {}).get("solution"))
