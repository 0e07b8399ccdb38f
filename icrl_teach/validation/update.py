"""Storing fresh outputs: what a run repeats stays byte for byte, what differs is replaced, in one atomic write."""

from __future__ import annotations

import copy
import json
import re

import nbformat
from nbformat import NotebookNode

from icrl_teach._files import atomic_write
from icrl_teach.validation.documents import WIDGET_STATE, Document, is_skipped
from icrl_teach.validation.execute import Run
from icrl_teach.validation.judge import Verdict

# Findings in a cell that mean: the stored output is not what a fresh run gives.
DIFFERS = {"stale", "picture", "widget-state", "new-warning", "unstable", "no-error", "raises", "stored-warning"}


def updated(document: Document, run: Run, verdict: Verdict) -> NotebookNode:
    """The notebook with the outputs of a run that went through.

    A cell whose stored outputs the run repeats to the pixel keeps them as they are, so that a file changes where its
    results do.
    """
    differs = {finding.cell for finding in verdict.findings if finding.rule in DIFFERS} | verdict.pixels
    notebook = copy.deepcopy(document.notebook)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if is_skipped(cell) or not cell.source.strip():
            cell.execution_count, cell.outputs = None, []
            continue
        fresh = run.notebook.cells[index]
        if index in differs or cell.execution_count is None or not _compared(cell):
            cell.outputs = fresh.outputs
        cell.execution_count = fresh.execution_count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = fresh.execution_count
    _store_widgets(notebook, run, keep=not differs)
    return tidy(notebook) if document.profile != "own" else number_widgets(notebook)


def _compared(cell: NotebookNode) -> bool:
    from icrl_teach.validation.documents import markers

    return bool(markers(cell)["check"])


def _store_widgets(notebook: NotebookNode, run: Run, keep: bool) -> None:
    """The run's widget states with its views, in every cell: their names are those of one run."""
    fresh = run.notebook.metadata.get("widgets")
    if keep and bool(fresh) == bool(notebook.metadata.get("widgets")):
        return
    notebook.metadata.pop("widgets", None)
    if fresh:
        notebook.metadata.widgets = fresh
        for cell, ran in zip(notebook.cells, run.notebook.cells, strict=True):
            if any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in ran.get("outputs", [])):
                cell.outputs = ran.outputs


def tidy(notebook: NotebookNode) -> NotebookNode:
    """The course's own form: no metadata that an editor or a run leaves behind, widget ids in order."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        **{key: notebook.metadata[key] for key in ("widgets", "validate") if key in notebook.metadata},
    }
    for cell in notebook.cells:
        keep = {key: cell.metadata[key] for key in ("tags", "nbgrader") if key in cell.metadata}
        if "hide-input" in keep.get("tags", []):  # the site's word for it; this is JupyterLab's
            keep["jupyter"] = {"source_hidden": True}
        cell.metadata = NotebookNode(keep)
    return number_widgets(nbformat.from_dict(notebook))


def number_widgets(notebook: NotebookNode) -> NotebookNode:
    """Widget ids that follow from the order in which the widgets were made, not from chance."""
    states = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    if not states:
        notebook.metadata.pop("widgets", None)
        return notebook
    names = {model_id: f"{number:032x}" for number, model_id in enumerate(states)}
    pattern = "|".join(map(re.escape, names))
    settled = json.loads(re.sub(pattern, lambda found: names[found[0]], json.dumps(notebook)))
    state = settled["metadata"]["widgets"][WIDGET_STATE]["state"]
    settled["metadata"]["widgets"][WIDGET_STATE]["state"] = dict(sorted(state.items()))
    return nbformat.from_dict(settled)


def text_of(notebook: NotebookNode) -> str:
    """A notebook as it is written to a file."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def write(document: Document, notebook: NotebookNode) -> bool:
    """Write a notebook in the place of what is stored, if it differs; whether it did.

    Raises nbformat's ValidationError for a notebook that its own schema refuses, and OSError; the old file stays then.
    """
    nbformat.validate(notebook)
    text = text_of(notebook)
    if text == document.text:
        return False
    with atomic_write(document.path) as file:
        file.write(text)
    return True
