"""Lessons and sheets are kept true: the guards for what nbval lets through, and the rules of the course."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib import import_module
from io import BytesIO

import nbformat
import numpy as np
import pytest
from PIL import Image

import guards
from contrast import pale_words
from guards import EXERCISES, LESSONS, SOLUTIONS
from icrl_teach import figures, widgets
from icrl_teach.validation import config, engine, update
from legends import legend_faults
from patience import uncounted

WITHOUT_A_SHEET = {"00_start_here"}
COLUMNS = 88  # of a line of code or print: as many as JupyterLab shows on a screen of 1024 pixels
NODES = 36  # of a line of code, so that a cell's twelve lines are not twenty packed ones
IGNORED_CELLS = 0  # cells tagged nbval-ignore-output; raise only with a reason that a run cannot repeat

lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
notebook = pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS], ids=lambda p: f"{p.parent.name}-{p.stem}")


def test_the_course_is_complete():
    assert [path.stem[:2] for path in LESSONS] == [f"{number:02d}" for number in range(len(LESSONS))]
    assert {path.stem for path in SOLUTIONS} == {path.stem for path in LESSONS} - WITHOUT_A_SHEET
    assert [path.name for path in EXERCISES] == [path.name for path in SOLUTIONS]


@uncounted
@notebook
def test_a_stored_notebook_keeps_the_standard(path):
    # What a run shows is the second half of `make test`: icrl-teach validate lessons solutions.
    report = engine.validate([path], config.load(None, path), run=False)
    assert report.outcomes[0].profile == {"lessons": "lesson", "solutions": "sheet"}[path.parent.name]
    assert [finding.line() for finding in report.findings if finding.level == "error"] == []


@notebook
def test_twelve_lines_are_twelve_lines(path):
    assert guards.packed_lines(guards.read(path), COLUMNS, NODES) == []


def test_a_packed_line_is_seen():
    cells = [
        nbformat.v4.new_code_cell(source) for source in (f"x = {'1' * 85}", "x = [" + "a[i] + 1, " * 8 + "]", "x = 1")
    ]
    seen = guards.packed_lines(nbformat.v4.new_notebook(cells=cells), COLUMNS, NODES)
    assert [line.split(":")[0] for line in seen] == [f"{cell.id}, line 1" for cell in cells[:2]]


@notebook
def test_what_is_printed_fits_the_screen(path):
    assert guards.wide_prints(guards.read(path), COLUMNS) == []


def test_a_wide_print_is_seen():
    outputs = [
        nbformat.v4.new_output("stream", text="x" * 88 + "\n" + "y" * 89),
        nbformat.v4.new_output("display_data", {"text/plain": "z" * 90}),
        nbformat.v4.new_output("display_data", {"text/plain": "z" * 90, "text/html": "<p>z</p>"}),
    ]
    cell = nbformat.v4.new_code_cell("print()", outputs=outputs)
    seen = guards.wide_prints(nbformat.v4.new_notebook(cells=[cell]), COLUMNS)
    assert [line.split(": ")[1] for line in seen] == ["89 columns", "90 columns"]


def test_cells_left_uncompared_are_counted():
    cells = [cell for path in [*LESSONS, *SOLUTIONS] for cell in guards.read(path).cells]
    assert sum("nbval-ignore-output" in cell.metadata.get("tags", []) for cell in cells) <= IGNORED_CELLS


@lesson
def test_every_widget_draws_at_the_ends_and_the_middle_of_each_dial(path):
    explorers = guards.explorers(guards.read(path))
    assert explorers or path.stem.startswith("11")
    for name, sources in explorers:
        draw = getattr(import_module(f"icrl_teach.views.lesson_{path.stem[:2]}"), name)
        dials = {key: eval(source, vars(widgets).copy()) for key, source in sources.items()}
        start = {key: control.value for key, control in dials.items()}
        settings = [{**start, key: value} for key, control in dials.items() for value in positions(control)]
        for number, setting in enumerate(settings):
            if setting in settings[:number]:  # many a dial starts at an end
                continue
            view = draw(**setting)
            assert len(view.alt.split()) >= 5
            assert any(character.isdigit() for character in view.numbers)
            assert cut_ink(view.figure) == []
            assert pale_words(view.figure) == []
            assert legend_faults(view.figure) == []


def cut_ink(figure):
    """The cuts between a figure's panels that go through something drawn."""
    image = Image.open(BytesIO(figures.png_bytes(figure, transparent=True)))
    assert image.format == "PNG"
    inked = np.asarray(image)[..., 3].any(axis=0)
    return [cut for cut in figures.cuts(figure, image.width) if inked[cut - 1 : cut + 1].any()]


def positions(dial):
    """Both ends and the middle of a dial."""
    if dial.kind == "choice":
        return [dial.options[0], dial.options[len(dial.options) // 2], dial.options[-1]]
    middle = (dial.least * dial.most) ** 0.5 if dial.kind == "log" else (dial.least + dial.most) / 2
    return [dial.value_at(place) for place in (dial.least, middle, dial.most)]


@notebook
def test_every_prediction_carries_its_lesson_s_number_and_is_answered_once_below(path):
    sheet = guards.read(path)
    asked = guards.predictions(sheet)
    assert all(name.startswith(f"{path.stem[:2]}-") for name, _, _ in asked)
    for name, variable, index in asked:
        places = [i for i, c in enumerate(sheet.cells) if c.cell_type == "code" and f"{variable}.answer(" in c.source]
        assert len(places) == 1 and places[0] >= index, f"{name}: {variable}.answer(...) stands in cells {places}"


@notebook
def test_the_answer_to_a_prediction_is_computed_and_not_typed(path):
    for cell in guards.code_cells(guards.read(path)):
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell.source, flags=re.MULTILINE))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "answer":
                typed = [ast.unparse(each) for each in node.args if isinstance(each, ast.Constant)]
                assert not typed, f"{ast.unparse(node)} says what the lesson should compute"


def test_no_two_predictions_have_one_name():
    names = [name for path in [*LESSONS, *SOLUTIONS] for name, _, _ in guards.predictions(guards.read(path))]
    assert sorted(names) == sorted(set(names))


def test_every_view_is_used_by_a_lesson():
    for path in (p for p in LESSONS if p.stem[:2] != "11"):  # the learner's own: it has no widget
        module = sys.modules.get(name := f"icrl_teach.views.lesson_{path.stem[:2]}") or import_module(name)
        views = {
            n for n, f in inspect.getmembers(module, inspect.isfunction) if n.endswith("_view") and f.__module__ == name
        }
        assert views == {draw for draw, _ in guards.explorers(guards.read(path))}


def test_exercises_are_what_the_solutions_generate(tmp_path):
    pytest.importorskip("nbgrader", reason="pip install icrl-teach[teach] to generate exercises")
    import notebooks

    notebooks.exercises(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {p.name: p.read_bytes() for p in EXERCISES}


def test_an_edited_exercise_is_seen():
    pytest.importorskip("nbgrader")
    import notebooks

    sheet = notebooks.exercise_from(SOLUTIONS[0])
    stored = EXERCISES[0].read_text(encoding="utf-8")
    assert update.text_of(sheet) == stored
    sheet.cells[0].source += " edited"
    assert update.text_of(sheet) != stored


def test_an_answer_to_going_on_alone_stays_in_the_solutions(tmp_path):
    pytest.importorskip("nbgrader")
    import notebooks

    sheet = guards.read(SOLUTIONS[0])
    sheet.cells[-1].metadata["tags"] = ["answer"]
    (tmp_path / "sheet.ipynb").write_text(update.text_of(sheet), encoding="utf-8")
    left = [cell.id for cell in notebooks.exercise_from(tmp_path / "sheet.ipynb").cells]
    assert left == [cell.id for cell in sheet.cells[:-1] if "answer" not in cell.metadata.get("tags", [])]


def test_exercises_hold_no_solution():
    for path in EXERCISES:
        text = path.read_text(encoding="utf-8")
        assert "SOLUTION" not in text
        for cell in guards.code_cells(guards.read(path)):
            if cell.metadata.get("nbgrader", {}).get("solution"):
                assert "raise NotImplementedError" in cell.source
            assert cell.outputs == []
            assert cell.execution_count is None


def test_each_sheet_has_three_exercises_each_with_a_check_in_the_next_cell():
    total = 0
    for path in SOLUTIONS:
        cells = guards.read(path).cells
        at = [i for i, cell in enumerate(cells) if cell.metadata.get("nbgrader", {}).get("solution")]
        total += len(at)
        assert len(at) >= 3, path.stem
        for i in at:
            heading = cells[i - 1].source.splitlines()[0]
            assert heading.startswith("### ") and "min" in heading, heading
            assert any(level in heading for level in ("warm-up", "core", "stretch")), heading
            assert cells[i + 1].metadata["nbgrader"]["grade"], heading
            assert "check_" in cells[i + 1].source, heading
        levels = " ".join(cells[i - 1].source.splitlines()[0] for i in at)
        assert all(level in levels for level in ("warm-up", "core", "stretch")), path.stem
    assert total >= 15


# ------------------------------------------------------------------------------------------------------------ the way


def test_every_lesson_ends_with_the_way_on_in_the_order_of_the_readme():
    order = re.findall(r"\| \[([^\]]+)\]\(lessons/([^)]+)\)", (guards.ROOT / "README.md").read_text(encoding="utf-8"))
    assert {file for _, file in order} == {path.name for path in (guards.ROOT / "lessons").glob("*.ipynb")}
    links = [f"[{title}]({file})" for title, file in order]
    for before, (_, file), after in zip(
        ["none", *links], order, [*links[1:], "none: the course ends here"], strict=False
    ):
        last = [
            cell.source for cell in guards.read(guards.ROOT / "lessons" / file).cells if cell.cell_type == "markdown"
        ]
        first = file.startswith("00")
        sheet = "sheet: none" if first else f"[sheet {file[:2]}](../exercises/{file})"
        the_map = f"[map]({'' if first else order[0][1]}#The-map)"
        assert last[-1].splitlines()[-1] == f"previous: {before} | {the_map} | {sheet} | next: {after}"
