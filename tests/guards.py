"""Where the course's notebooks are, and what its tests read in them. The guards themselves: icrl_teach/validation."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted(ROOT.glob("lessons/[0-9]*.ipynb"))
SOLUTIONS = sorted(ROOT.glob("solutions/[0-9]*.ipynb"))
EXERCISES = sorted(ROOT.glob("exercises/[0-9]*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def packed_lines(notebook: NotebookNode, columns: int, nodes: int) -> list[str]:
    """Lines of code that are wider than so many columns, or hold more nodes of the syntax tree: several in one."""
    found = []
    for cell in code_cells(notebook):
        source = re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE)
        held = Counter(node.lineno for node in ast.walk(ast.parse(source)) if hasattr(node, "lineno"))
        for number, line in enumerate(source.splitlines(), start=1):
            if len(line) > columns or held[number] > nodes:
                found.append(f"{cell.id}, line {number}: {len(line)} columns, {held[number]} nodes: {line.strip()}")
    return found


def wide_prints(notebook: NotebookNode, columns: int) -> list[str]:
    """Lines that a cell prints, or shows as text and not as HTML, which are wider than so many columns."""
    found = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            text = output.get("text") or ("" if "text/html" in data else data.get("text/plain", ""))
            found += [f"{cell.id}: {len(line)} columns: {line}" for line in text.splitlines() if len(line) > columns]
    return found


def explorers(notebook: NotebookNode) -> list[tuple[str, dict[str, str]]]:
    """The widgets: (name of the draw function, dial name -> source of the dial), read from the cells' source."""
    found = []
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "explore":
                found.append((ast.unparse(node.args[0]), {k.arg: ast.unparse(k.value) for k in node.keywords}))
    return found


def predictions(notebook: NotebookNode) -> list[tuple[str, str, int]]:
    """What is asked with `guess = predict("LL-word", ...)`: (name, variable, cell); an unnamed one raises."""
    found = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and "predict(" in cell.source:
            for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "predict":
                    assigned = [a for a in ast.walk(ast.parse(cell.source)) if isinstance(a, ast.Assign)]
                    variable = next(a.targets[0].id for a in assigned if ast.unparse(a.value) == ast.unparse(node))
                    found.append((ast.literal_eval(node.args[0]), variable, index))
    return found


def same_but_for_pictures(a: NotebookNode, b: NotebookNode) -> bool:
    """Whether two notebooks agree in all but the pixels, which another machine's rasteriser may round differently."""

    def strip(notebook: NotebookNode) -> str:
        text = json.dumps(notebook, sort_keys=True)
        return re.sub(r"(?:iVBOR|data:image/png;base64,)[A-Za-z0-9+/=\\n]+", "PNG", text)

    return strip(a) == strip(b)
