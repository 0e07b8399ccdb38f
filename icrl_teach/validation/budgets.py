"""Budgets of time and memory: from the configuration, the notebook's metadata and the cells' tags."""

from __future__ import annotations

from dataclasses import fields, replace

from nbformat import NotebookNode

from icrl_teach.validation.config import Budget, budget
from icrl_teach.validation.documents import Document, tags


def of_notebook(document: Document) -> Budget:
    """The configuration's budget with what the notebook's own metadata says under `validate` in its place."""
    base = document.settings.budget_of(document.path)
    own = document.notebook.metadata.get("validate")
    if own is None:
        return base
    stated = budget(dict(own) if isinstance(own, dict) else own)
    return replace(base, **{f.name: value for f in fields(stated) if (value := getattr(stated, f.name)) is not None})


def of_cell(document: Document, cell: NotebookNode) -> tuple[float | None, float | None]:
    """Seconds and megabytes one cell may take: its tags `validate-seconds=` and `validate-megabytes=`, else the
    notebook's. Raises ValueError for a tag that holds no number above 0."""
    notebook = of_notebook(document)
    found = {"validate-seconds": notebook.cell_seconds, "validate-megabytes": notebook.cell_megabytes}
    for tag in sorted(tags(cell)):
        key, equals, value = tag.partition("=")
        if key in found and equals:
            found[key] = amount(tag, value)
    return found["validate-seconds"], found["validate-megabytes"]


def amount(tag: str, value: str) -> float:
    """The number above 0 that a tag holds; raises ValueError otherwise."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise ValueError(f"tag {tag!r} holds no number above 0")
    return number
