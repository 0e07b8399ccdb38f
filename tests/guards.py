"""What strict nbval lets through, and a guard for each. A guard takes a notebook and returns its complaints."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted(ROOT.glob("lessons/[0-9]*.ipynb"))
SOLUTIONS = sorted(ROOT.glob("solutions/[0-9]*.ipynb"))
EXERCISES = sorted(ROOT.glob("exercises/[0-9]*.ipynb"))

MAX_CELLS, MAX_LINES, MAX_BYTES = 30, 12, 1_500_000
# A cell may skip comparison only for a reason that changes from run to run; each such cell also carries the reason.
IGNORE_REASONS = {"reason-progress-bar", "reason-live-plot", "reason-timing"}
PRIVATE = {
    "a path of one machine": r"/(?:root|home|tmp|Users|work|var|usr|opt)/\w|[A-Z]:\\\\",
    "an object's address": r"\b0x[0-9a-fA-F]{6,}",
    "a time of day": r"\b\d{1,2}:\d{2}:\d{2}\b",
    "a date": r"\b20\d\d-\d\d-\d\d\b",
}
NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
# A number after one of these words is a name, not a result.
NAMED = (
    r"(?i:arXiv:?|sections?|chapters?|sec\.|eqs?\.|equations?|assumption|theorem|lemma|app\.|appendix|exercises?"
    r"|lessons?|python)"
)
NUMBERING = rf"{NAMED}\s*[\d.]+(?:\s*(?:,|and|to|or|[-–])\s*[\d.]+)*"


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def text_of(output: NotebookNode) -> str:
    return output.text if output.output_type == "stream" else str(output.get("data", {}).get("text/plain", ""))


def _name(index: int, cell: NotebookNode) -> str:
    return f"cell {index} ({cell.get('id', '?')})"


def _outputs(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode, NotebookNode]]:
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield _name(index, cell), cell, output


def executed_in_order(notebook: NotebookNode) -> list[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return [f"execution counts are {counts}: run it from a fresh kernel (make notebooks)"]


def nothing_hidden_from_comparison(notebook: NotebookNode) -> list[str]:
    complaints = []
    for index, cell in enumerate(notebook.cells):
        tags = set(cell.metadata.get("tags", []))
        if "nbval-ignore-output" in tags and not tags & IGNORE_REASONS:
            complaints.append(f"{_name(index, cell)} skips comparison without a reason tag ({sorted(IGNORE_REASONS)})")
        if "nbval-skip" in tags or "skip" in tags or re.search(r"#\s*NBVAL_|#\s*PYTEST_VALIDATE", cell.source):
            complaints.append(f"{_name(index, cell)} tells nbval to look away")
        if cell.cell_type == "code" and re.search(r";\s*$", cell.source):
            complaints.append(f"{_name(index, cell)} ends with ';', which hides nothing from nbval: write _ = ...")
        if cell.cell_type == "code" and re.search(r"^\s*%{1,2}time", cell.source, re.MULTILINE):
            complaints.append(f"{_name(index, cell)} prints a time, which no rerun repeats")
    return complaints


def outputs_are_clean(notebook: NotebookNode) -> list[str]:
    complaints = []
    for name, cell, output in _outputs(notebook):
        if output.output_type == "error":
            if "raises-exception" not in cell.metadata.get("tags", []):
                complaints.append(f"{name} stores an error without the tag raises-exception")
            text = "\n".join([output.ename, output.evalue, *output.traceback])
        else:
            text = text_of(output)
        if output.get("name") == "stderr":
            complaints.append(f"{name} stores a warning (stderr): {text[:80]!r}")
        for what, pattern in PRIVATE.items():
            if found := re.search(pattern, text):
                complaints.append(f"{name} stores {what}: {found[0]!r}")
    return complaints


def pictures_have_text(notebook: NotebookNode) -> list[str]:
    complaints = []
    for name, _, output in _outputs(notebook):
        for kind in ("image/png", "image/jpeg", "image/svg+xml"):
            if kind in output.get("data", {}):
                alt = output.metadata.get(kind, {}).get("alt", "")
                if len(alt.split()) < 5:
                    complaints.append(
                        f"{name} has a picture without alternative text: figures.picture(figure, alt=...)"
                    )
    return complaints


def pictures_have_numbers(notebook: NotebookNode) -> list[str]:
    """Figures are not compared, so each stands beside its key numbers: in its own cell or the next code cell."""
    cells, complaints = code_cells(notebook), []
    for index, cell in enumerate(cells):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            beside = [*cell.outputs, *(cells[index + 1].outputs if index + 1 < len(cells) else [])]
            if not any(re.search(r"\d", text_of(output)) for output in beside if "object>" not in text_of(output)):
                complaints.append(f"cell {cell.get('id')} shows a picture but no number that could be compared")
    return complaints


def prose_numbers_are_printed(notebook: NotebookNode) -> list[str]:
    """Every decimal number in prose also stands in the source or the text output of a code cell."""
    cells = code_cells(notebook)
    material = "\n".join([cell.source for cell in cells] + [text_of(o) for c in cells for o in c.outputs])
    known = {float(number) for number in re.findall(NUMBER, material)}
    text = re.sub(r"\]\([^)]*\)|https?://\S+", " ", prose(notebook))
    text = re.sub(NUMBERING, " ", text)
    text = re.sub(r"\\times\s*10\^\{?(-?\d+)\}?", r"e\1", text)
    decimals = [n for n in re.findall(NUMBER, text.replace(" e-", "e-")) if re.search(r"[.eE]", n)]
    return [
        f"the prose says {n}, which no cell holds or prints"
        for n in decimals
        if abs(float(n)) not in known | {-k for k in known}
    ]


def fits_the_budget(notebook: NotebookNode, path: Path) -> list[str]:
    complaints = []
    if path.stat().st_size > MAX_BYTES:
        complaints.append(f"{path.stat().st_size} bytes, more than {MAX_BYTES}")
    if notebook.metadata.kernelspec.name != "python3":
        complaints.append(f"kernel {notebook.metadata.kernelspec.name!r} is not python3")
    if set(notebook.metadata) - {"kernelspec", "language_info", "widgets"}:
        complaints.append(f"volatile metadata: {sorted(notebook.metadata)} (make notebooks removes it)")
    return complaints


def has_the_anatomy(notebook: NotebookNode) -> list[str]:
    """The parts of a lesson that CONTRIBUTING asks for and a reader would miss."""
    text, cells, complaints = prose(notebook), code_cells(notebook), []
    wanted = {
        "a title": r"^# \d\d",
        "minutes": r"(?i)minutes",
        "'Afterwards you can'": r"(?i)afterwards",
        "'Check yourself'": r"(?i)check yourself",
        "a status label": r"(?i)\*\*(exact|approximate|empirical|reported)",
        "where the paper says it": r"2605\.07333",
    }
    complaints += [
        f"{what} is missing" for what, pattern in wanted.items() if not re.search(pattern, text, re.MULTILINE)
    ]
    if text.count("<details>") < 6 or text.count("<details>") != text.count("</details>"):
        complaints.append("at least three predictions and three questions have folded answers")
    if len(notebook.cells) > MAX_CELLS:
        complaints.append(f"{len(notebook.cells)} cells, more than {MAX_CELLS}")
    for cell in cells[1:]:
        lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if len(lines) > MAX_LINES:
            complaints.append(f"cell {cell.get('id')} has {len(lines)} lines of code, more than {MAX_LINES}")
    complaints += [f"the prose says {word!r}" for word in re.findall(r"(?i)\b(?:clearly|simply|obviously)\b", text)]
    return complaints


def explorers(notebook: NotebookNode) -> list[tuple[str, dict[str, str]]]:
    """The widgets: (name of the draw function, dial name -> source of the dial), read from the cells' source."""
    found = []
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "explore":
                found.append((ast.unparse(node.args[0]), {k.arg: ast.unparse(k.value) for k in node.keywords}))
    return found


def links(notebook: NotebookNode, path: Path) -> list[str]:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(notebook))
    return [
        f"link to {target}, which is not there"
        for target in targets
        if not target.startswith(("http", "mailto", "attachment")) and not (path.parent / target).exists()
    ]


def same_but_for_pictures(a: NotebookNode, b: NotebookNode) -> bool:
    """Whether two notebooks agree in all but the pixels, which another machine's rasteriser may round differently."""

    def strip(notebook: NotebookNode) -> str:
        text = json.dumps(notebook, sort_keys=True)
        return re.sub(r"(?:iVBOR|data:image/png;base64,)[A-Za-z0-9+/=\\n]+", "PNG", text)

    return strip(a) == strip(b)
