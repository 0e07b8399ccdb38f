"""Notebooks are run: storing them again changes nothing; untouched sheets greet the learner."""

from __future__ import annotations

import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

import guards
import notebooks
from guards import EXERCISES, LESSONS, SOLUTIONS
from patience import PATIENCE


@pytest.mark.parametrize("path", [LESSONS[4], SOLUTIONS[0]], ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_executing_changes_nothing_that_is_stored(path, tmp_path):
    shutil.copytree(guards.ROOT / path.parent.name, tmp_path / path.parent.name)
    mine = tmp_path / path.parent.name / path.name
    notebooks.execute(mine)
    assert guards.same_but_for_pictures(guards.read(mine), guards.read(path))


def test_the_stored_code_of_widgets_is_the_present_one_and_can_be_stored_without_a_run(tmp_path):
    mine = tmp_path / LESSONS[4].name
    stored = LESSONS[4].read_text(encoding="utf-8")
    mine.write_text(stored.replace("newest position waits", "oldest position waits"), encoding="utf-8")
    assert mine.read_text(encoding="utf-8") != stored
    notebooks.widgets([mine])
    assert mine.read_text(encoding="utf-8") == stored


EMPTIED = """%reset -f
import sys
"torch" in sys.modules and sys.modules["torch"].set_default_dtype(sys.modules["torch"].float32)
del sys"""


@pytest.fixture(scope="module")
def run():
    """Runs a notebook in one kernel for all sheets, emptied before each: most of them takes less time than imports.

    That each has all of its own is seen where the solutions run from fresh kernels: icrl-teach validate solutions.
    """
    where = {"metadata": {"path": str(EXERCISES[0].parent)}}
    more = {"timeout": PATIENCE, "allow_errors": True, "resources": where, "shutdown_kernel": "immediate"}
    client = NotebookClient(guards.read(EXERCISES[0]), **more)

    def run_all(notebook):
        for each in (nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(EMPTIED)]), notebook):
            client.nb = each
            for index, cell in enumerate(each.cells):
                client.execute_cell(cell, index)

    with client.setup_kernel():
        yield run_all


@pytest.mark.parametrize("path", EXERCISES, ids=lambda p: p.stem)
def test_an_untouched_exercise_says_not_written_yet(path, run):
    nb = guards.read(path)
    for cell in nb.cells:  # what is trained where nothing is written only takes its time
        cell.source = re.sub(r"n_steps=\d+", "n_steps=2", cell.source)
    run(nb)
    checks = [cell for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert len(checks) >= 3
    for cell in checks:
        error = next(output for output in cell.outputs if output.output_type == "error")
        assert error.ename == "NotWrittenYet", error.evalue
        assert "not written yet" in error.evalue
        assert len("\n".join(error.traceback).splitlines()) <= 4, "a learner sees a sentence, not a stack"
    for cell in guards.code_cells(nb):
        for output in cell.outputs:
            if output.output_type == "error":
                # A later cell may also miss what the cell before it, stopped by a stub, would have made.
                unwritten = "not written yet" in output.evalue and output.ename in (
                    "NotWrittenYet",
                    "NotImplementedError",
                )
                missing = output.ename in ("NameError", "KeyError") and cell not in checks
                assert unwritten or missing, (cell.id, output.evalue)
