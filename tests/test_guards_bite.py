"""The guards bite: each defect, planted in a copy of a good notebook, is refused."""

from __future__ import annotations

import copy
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

import guards
from guards import LESSONS, SOLUTIONS

NBVAL = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider"]


@pytest.fixture
def good():
    return copy.deepcopy(guards.read(LESSONS[0]))


def code(notebook, has=lambda cell: True):
    return next(cell for cell in guards.code_cells(notebook) if has(cell))


def with_picture(cell):
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def with_text(cell):
    return any(output.output_type == "stream" for output in cell.outputs)


def test_the_good_notebook_passes_every_guard(good):
    assert guards.executed_in_order(good) == guards.nothing_hidden_from_comparison(good) == []
    assert guards.outputs_are_clean(good) == guards.pictures_have_text(good) == guards.pictures_have_numbers(good) == []
    assert guards.prose_numbers_are_printed(good) == guards.has_the_anatomy(good) == []


@pytest.mark.parametrize("count", [None, 7])
def test_a_cell_not_executed_in_order_is_refused(good, count):
    code(good).execution_count = count
    assert guards.executed_in_order(good)


@pytest.mark.parametrize("tag", ["nbval-ignore-output", "nbval-skip"])
def test_a_cell_that_hides_from_comparison_is_refused(good, tag):
    code(good).metadata.tags = [tag]
    assert guards.nothing_hidden_from_comparison(good)


@pytest.mark.parametrize("line", ["# NBVAL_IGNORE_OUTPUT", "# NBVAL_SKIP", "3.0;", "%time pass"])
def test_a_line_that_hides_from_comparison_is_refused(good, line):
    code(good).source += "\n" + line
    assert guards.nothing_hidden_from_comparison(good)


@pytest.mark.parametrize(
    "text",
    ["/home/ada/course", "/tmp/x", "C:\\\\Users\\\\ada", "<object at 0x7f12ab34cd>", "at 12:30:01", "on 2026-05-01"],
)
def test_a_stored_path_time_or_address_is_refused(good, text):
    code(good).outputs.append(new_output("stream", name="stdout", text=text))
    assert guards.outputs_are_clean(good)


def test_a_stored_warning_is_refused(good):
    code(good).outputs.append(new_output("stream", name="stderr", text="careful"))
    assert guards.outputs_are_clean(good)


def test_a_stored_error_is_refused_unless_tagged(good):
    code(good).outputs.append(new_output("error", ename="ValueError", evalue="no", traceback=["no"]))
    assert guards.outputs_are_clean(good)
    code(good).metadata.tags = ["raises-exception"]
    assert not guards.outputs_are_clean(good)


def test_a_picture_without_text_is_refused(good):
    for output in code(good, with_picture).outputs:
        output.metadata = {}
    assert guards.pictures_have_text(good)


def test_a_picture_without_numbers_is_refused(good):
    for cell in guards.code_cells(good):
        cell.outputs = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        for output in cell.outputs:
            output.data["text/plain"] = "a figure"
    assert guards.pictures_have_numbers(good)


def test_a_number_in_prose_that_no_cell_prints_is_refused(good):
    good.cells[0].source += "\n\nThe error is 0.12345."
    assert any("0.12345" in complaint for complaint in guards.prose_numbers_are_printed(good))


def test_a_numbered_reference_is_not_a_result(good):
    good.cells[0].source += "\n\nSee section 9.3 and equation 6.2 of arXiv 2405.13861."
    assert guards.prose_numbers_are_printed(good) == []


@pytest.mark.parametrize("word", ["Clearly", "simply", "obviously"])
def test_words_that_belittle_are_refused(good, word):
    good.cells[0].source += f"\n\n{word} true."
    assert guards.has_the_anatomy(good)


def test_a_missing_part_and_a_long_cell_are_refused(good):
    before = copy.deepcopy(good)
    for cell in good.cells:
        cell.source = cell.source.replace("Check yourself", "")
    assert guards.has_the_anatomy(good)
    guards.code_cells(before)[1].source += "\n" + "\n".join(f"x{i} = {i}" for i in range(13))
    assert guards.has_the_anatomy(before)


def test_a_broken_link_and_volatile_metadata_are_refused(good):
    good.cells[0].source += "\n\n[nowhere](../lessons/99_nothing.ipynb)"
    assert guards.links(good, LESSONS[0])
    good.metadata.authors = ["me"]
    assert guards.fits_the_budget(good, LESSONS[0])


def test_an_edited_exercise_is_seen(tmp_path):
    pytest.importorskip("nbgrader")
    import notebooks

    sheet = notebooks.exercise_from(SOLUTIONS[0])
    original = guards.ROOT / "exercises" / SOLUTIONS[0].name
    assert nbformat.writes(sheet) == nbformat.writes(guards.read(original))
    sheet.cells[0].source += " edited"
    assert nbformat.writes(sheet) != nbformat.writes(guards.read(original))


def small(tmp_path, source, text):
    """A one-cell notebook that stores `text` as the output of `source`."""
    cell = new_code_cell(source, execution_count=1, outputs=[new_output("stream", name="stdout", text=text)])
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    path = tmp_path / "small.ipynb"
    nbformat.write(new_notebook(cells=[cell], metadata=kernel), path)
    return subprocess.run([*NBVAL, path.name], cwd=tmp_path, capture_output=True, text=True).returncode


def test_strict_nbval_refuses_a_changed_number_and_a_new_warning(tmp_path):
    assert small(tmp_path, "print(f'{1 / 3:.3f}')", "0.333\n") == 0
    assert small(tmp_path, "print(f'{1 / 3:.3f}')", "0.334\n") == 1
    assert small(tmp_path, "import warnings\nprint('a')\nwarnings.warn('b')", "a\n") == 1
