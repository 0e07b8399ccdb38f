"""What of a notebook is run, worked out from its source alone: all that the learner wrote, and what that needs.

Learners write answers above the stub, below it, in copies of the cell, even in the check's cell. So every cell that is
not the sheet's own runs, in the order in which they stand, as "Run All" does; a stub does not undo an answer that
stands above it. Of the sheet's own cells only those statements run that make what the learner's code names.
"""

from __future__ import annotations

import ast
import builtins
import dis
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType

MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|.*\?)$", re.MULTILINE)  # IPython's own, which no function needs
ODD = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)  # what reading hostile source may raise


@dataclass
class Cell:
    """One code cell: its statements (none where it cannot be read: error says why), and whether it is the sheet's."""

    ours: bool
    body: list[ast.stmt] = field(default_factory=list)
    error: str = ""

    @classmethod
    def read(cls, source: str, ours: bool) -> Cell:
        """Parse a cell; magics are left out."""
        try:
            try:
                body = ast.parse(source).body
            except SyntaxError:
                body = ast.parse(MAGIC.sub(r"\1pass", source)).body
            compile(ast.Module(body, []), "<cell>", "exec")
            list(bound(body))  # what is nested too deep for this is too deep for anything
            return cls(ours, body)
        except SyntaxError as error:
            return cls(ours, [], f"SyntaxError: {error.msg}, line {error.lineno}")
        except ODD as error:
            return cls(ours, [], f"{type(error).__name__}: {error}"[:200])


def bound(body: Iterable[ast.AST]) -> Iterator[str]:
    """The names that statements bind at the top level: functions, classes, imports, and what is assigned."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        yield from bound(ast.iter_child_nodes(node))


def is_stub(node: ast.AST) -> bool:
    """A function that only raises NotImplementedError, below its docstring."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    match body:
        case [ast.Raise(exc=ast.Call(func=ast.Name(id="NotImplementedError")) | ast.Name(id="NotImplementedError"))]:
            return True
    return False


def globals_of(body: list[ast.stmt]) -> set[str]:
    """The names that statements, and the functions in them, look up outside of functions."""
    try:
        return set(_looked_up(compile(ast.Module(body, []), "<cell>", "exec")))
    except ODD:
        return set()


def _looked_up(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _looked_up(inner)


def make(sources: list[tuple[str, bool]], exercises: list[str]) -> list[Cell]:
    """The cells to run, of (source, whether it is the sheet's own); exercises: the functions that are asked for."""
    cells = [Cell.read(*each) for each in sources]
    theirs = [cell for cell in cells if not cell.ours]
    written = {name for cell in theirs for name in bound(node for node in cell.body if not is_stub(node))}
    for cell in theirs:
        cell.body = [n for n in cell.body if not (is_stub(n) and n.name in written.intersection(exercises))]  # type: ignore[attr-defined]
    _keep_needed([cell for cell in cells if cell.ours], {name for cell in theirs for name in globals_of(cell.body)})
    return cells


def _keep_needed(ours: list[Cell], needed: set[str]) -> None:
    """Keep what binds a needed name, and calls of needed names alone: torch.set_default_dtype(torch.float64)."""
    statements = [(node, set(bound([node])), globals_of([node])) for cell in ours for node in cell.body]
    kept: set[ast.stmt] = set()
    while more := {node for node, binds, _ in statements if binds & needed} - kept:
        kept |= more
        needed = needed.union(*(loads for node, _, loads in statements if node in more))
    known = needed | set(vars(builtins)) - {"print"}
    kept |= {node for node, binds, loads in statements if isinstance(node, ast.Expr) and loads and loads <= known}
    for cell in ours:
        cell.body = [node for node in cell.body if node in kept]


def codes(cells: list[Cell], name: str) -> tuple[list[int], bool, list[str]]:
    """Of an exercise's function: the cells that define it, whether it is a stub, the names in its code."""
    where = [i for i, cell in enumerate(cells) if not cell.ours and name in set(bound(cell.body))]
    nodes = [n for cell in cells if not cell.ours for n in cell.body if getattr(n, "name", "") == name]
    used = _names(nodes[-1]) if nodes else []
    return where, bool(nodes) and is_stub(nodes[-1]), used


def _names(node: ast.stmt) -> list[str]:
    try:
        code = compile(ast.Module([node], []), "<cell>", "exec")
    except ODD:
        return []
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return sorted({name for each in inner for name in each.co_names})


def library_names(cells: list[Cell]) -> dict[str, str]:
    """Names that some cell imports from the library, and that no cell of the learner's defines: name -> dotted path."""
    own = {n.name for c in cells if not c.ours for n in c.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    found: dict[str, str] = {}
    for node in (inner for cell in cells for statement in cell.body for inner in ast.walk(statement)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "icrl_teach":
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: home for name, home in found.items() if name not in own}
