"""Guards on the code: it parses, and what it imports is installed."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator
from functools import cache

from icrl_teach.validation.documents import Document, code_cells, is_skipped, markers
from icrl_teach.validation.findings import Finding

PYTHON_MAGICS = {"time", "timeit", "capture", "prun"}  # cell magics whose body is Python of this notebook
DISTRIBUTION = {
    "PIL": "pillow", "bs4": "beautifulsoup4", "cv2": "opencv-python", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "yaml": "pyyaml", "umap": "umap-learn", "Bio": "biopython",
}  # fmt: skip


def parse(source: str) -> ast.Module | None:
    """A cell's Python, magics taken out; None for a cell in another language. Raises SyntaxError."""
    from IPython.core.inputtransformer2 import TransformerManager

    if found := re.match(r"\s*%%(\w+)[^\n]*\n?", source):
        if found[1] not in PYTHON_MAGICS:
            return None
        source = source[found.end() :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = TransformerManager().transform_cell(source)
        return compile(plain, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def parses(document: Document) -> Iterator[Finding]:
    """Every code cell is Python of this version, unless it is there to show an error."""
    if document.language not in ("python", "ipython"):
        return
    for index, cell in code_cells(document.notebook):
        if markers(cell).get("check_exception"):
            continue
        try:
            parse(cell.source)
        except (SyntaxError, ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or str(error)
            hint = "translate it from Python 2" if "Missing parentheses" in reason else "mend the line"
            message = f"does not parse as Python {sys.version_info[0]}: {reason} (line {getattr(error, 'lineno', '?')})"
            yield document.finding("syntax", message, index, fix=hint)


def imports_are_installed(document: Document) -> Iterator[Finding]:
    """What a cell imports is in this environment or beside the notebook; an import under try is the author's care."""
    if document.language not in ("python", "ipython"):
        return
    everything = "\n".join(cell.source for _, cell in code_cells(document.notebook))
    if "sys.path" in everything:  # the notebook looks in folders that only a run can tell
        return
    written = set(re.findall(r"^%%(?:writefile|file)\s+(?:-a\s+)?(\w+)\.py", everything, re.MULTILINE))
    missing: dict[str, int] = {}
    for index, cell in code_cells(document.notebook):
        if is_skipped(cell):
            continue
        try:
            tree = parse(cell.source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for name in sorted(imported(tree) - written) if tree else []:
            if name not in missing and not _found(name) and not _beside(document, name):
                missing[name] = index
    for name, index in missing.items():
        fix = f"pip install {DISTRIBUTION.get(name, name)}"
        yield document.finding("missing-import", f"imports {name}, which is not installed", index, fix=fix)


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of the modules that a piece of code imports without catching a failure.

    >>> sorted(imported(ast.parse("import os.path, numpy as np\\ntry:\\n    import jax\\nexcept ImportError: pass")))
    ['numpy', 'os']
    """
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Try) and node.handlers:
            for handler in node.handlers:
                found |= imported(handler)
        else:
            found |= imported(node)
    return found


@cache
def _found(name: str) -> bool:
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def _beside(document: Document, name: str) -> bool:
    folder = document.path.parent
    return (folder / f"{name}.py").exists() or (folder / name).is_dir() or any(folder.glob(f"{name}.*.so"))


GUARDS = (parses, imports_are_installed)
