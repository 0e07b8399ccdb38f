"""Lessons in a real browser: JupyterLab on loopback, all cells run; dials, a training run, predictions by keyboard."""

from __future__ import annotations

import json

import nbformat
import numpy as np
import pytest

from chromium import CHROMIUM
from icrl_teach import (
    MarkovRewardProcess,
    SoftmaxTransformer,
    Trajectory,
    certainty_equivalence_value,
    trajectory_prompt,
)
from icrl_teach.web import read
from lab_server import MILLISECONDS, open_notebook, run_cell
from patience import uncounted, wait_until

ALL_RUN = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets;
    return cells.filter(c => c.model.type === 'code').every(c => c.model.executionState === 'idle'
        && (c.model.executionCount !== null || !c.model.sharedModel.getSource().trim()));
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")


def only(path, *ids):
    """Leave a notebook these cells, by their ids."""
    notebook = nbformat.read(path, as_version=4)
    kept = {cell.id: cell for cell in notebook.cells}
    notebook.cells = [kept[each] for each in ids]
    nbformat.write(notebook, path)


@pytest.fixture
def page(jupyterlab):
    return jupyterlab


def run_lesson(page, name):
    """Open a lesson, run all its cells, and see that none failed."""
    open_notebook(page, name)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(ALL_RUN, timeout=MILLISECONDS)
    outputs = page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap(c => c.model.outputs?.toJSON() ?? [])"
    )
    assert [output for output in outputs if output["output_type"] == "error"] == []


@uncounted
def test_a_lesson_runs_and_its_dial_moves_text_and_picture(server, page):
    from playwright.sync_api import expect

    run_lesson(page, "04_weighted_softmax_td.ipynb")
    view = page.locator(".icrl-dials").first
    beta = view.get_by_role("slider", name="inverse temperature beta")
    beta.scroll_into_view_if_needed(timeout=MILLISECONDS)
    image = view.locator("img").first  # the other panels are windows on the same picture
    text, picture = view.locator("pre").first.inner_text(), image.get_attribute("src")
    assert beta.get_attribute("aria-valuetext") == "1"
    beta.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(view.locator("pre").first).not_to_have_text(text, timeout=MILLISECONDS)
    expect(image).not_to_have_attribute("src", picture, timeout=MILLISECONDS)
    assert 1 < float(beta.get_attribute("aria-valuetext")) < 10
    assert len(image.get_attribute("alt").split()) >= 5
    expect(beta).to_be_focused()


def test_the_explorer_is_driven_by_keyboard_and_its_state_moves_both_ways(server, page):
    from playwright.sync_api import expect

    lesson = server.course / "lessons/07_the_construction.ipynb"
    only(lesson, "alive")
    notebook = nbformat.read(lesson, as_version=4)
    notebook.cells[0].source = f"from icrl_teach import explorer\n{notebook.cells[0].source}"
    for source in ("print(look.state['layer'], look.state['broken'])", "look.state = {'layer': 2, 'broken': []}"):
        notebook.cells.append(nbformat.v4.new_code_cell(source))
    nbformat.write(notebook, lesson)
    open_notebook(page, lesson.name)
    run_cell(page, 0)
    view = page.locator(".icrl")
    layers, fault = view.get_by_role("slider", name="layers"), view.get_by_role("checkbox", name="let the query teach")
    expect(fault).to_be_checked(timeout=MILLISECONDS)
    assert layers.input_value() == "1"

    at = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = page.evaluate(at)
    layers.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    expect(layers).to_be_focused()
    assert layers.input_value() == "6" and page.evaluate(at) == before
    fault.focus()
    page.keyboard.press("Space")
    view.get_by_role("checkbox", name="forget the shift").focus()
    page.keyboard.press("Space")
    view.get_by_text("The same as a table").press("Enter")
    run_cell_until(page, 1, "6 ['shift']")
    run_cell(page, 2)
    expect(fault).not_to_be_checked()
    expect(layers).to_have_value("2", timeout=MILLISECONDS)
    expect(view.locator("table td").first).to_be_visible()
    rows = [row.locator("td").all_inner_texts() for row in view.locator("table tr").all()[1:]]
    shown = [[float(cell.replace("\N{MINUS SIGN}", "-")) for cell in row] for row in rows]
    np.testing.assert_allclose(shown, by_library(page), atol=0.005 + 1e-9)


def by_library(page):
    """The Explorer's table for the walk of lesson 07: visits, values after two layers, exact, as the walk shows."""
    world, steps = page.evaluate(
        """async (source) => {
            const { boyan, sampleWalk } = await import("data:text/javascript," + encodeURIComponent(source));
            return [boyan(6, 7).outcomes, sampleWalk(boyan(6, 7), 60, 1)];
        }""",
        read("core.js"),
    )
    P, r = np.zeros((6, 6)), np.zeros(6)
    for s, ways in enumerate(world):
        for way in ways:
            P[s, way["next"]] += way["p"]
            r[s] += way["p"] * way["reward"]
    walk = Trajectory([*(step["state"] for step in steps), steps[-1]["next"]], [step["reward"] for step in steps])
    prompt = trajectory_prompt(walk, np.eye(6), range(6))
    network = SoftmaxTransformer.constructed(6, 2, gamma=0.9, beta=4.0).trace(prompt)[2, -1, -6:].numpy()
    exact, seen = MarkovRewardProcess(P, r, 0.9).value(), certainty_equivalence_value(walk, 0.9)
    return np.transpose([walk.visits(), network, exact, seen])


def test_a_training_run_starts_redraws_and_stops_by_keyboard(server, page):
    from playwright.sync_api import expect

    only(server.course / "lessons/09_pretraining.ipynb", "setup", "config", "explore-run")
    run_lesson(page, "09_pretraining.ipynb")
    control = page.locator(".icrl-dials", has=page.get_by_role("button")).last
    button = control.get_by_role("button")
    button.scroll_into_view_if_needed(timeout=MILLISECONDS)
    numbers, picture = control.locator("pre").first.inner_text(), control.locator("img").get_attribute("src")

    button.focus()
    page.keyboard.press("Enter")
    expect(control.get_by_role("status")).to_contain_text("Training", timeout=MILLISECONDS)
    expect(button).to_have_text("Stop")
    expect(button).to_be_focused()
    expect(control.locator("pre").first).not_to_have_text(numbers, timeout=MILLISECONDS)
    expect(control.locator("img")).not_to_have_attribute("src", picture, timeout=MILLISECONDS)

    page.keyboard.press("Enter")
    expect(control.get_by_role("status")).to_contain_text("Stopped", timeout=MILLISECONDS)
    expect(button).to_have_text("Start")
    expect(button).to_be_focused()


ASKED = [
    """from icrl_teach import predict
listens = predict("04-who", "How many states does the query hear?", ("one", "two", "all"))
rate = predict("04-rate", "By what factor does the error shrink?", within=0.05)""",
    """listens.answer("two")
rate.answer(0.25)""",
]


@uncounted
def test_predictions_are_made_by_keyboard_marked_and_kept(server, page):
    from playwright.sync_api import expect

    course = server.course
    cells = [nbformat.v4.new_code_cell(source) for source in ASKED]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), course / "lessons/asked.ipynb")
    open_notebook(page, "asked.ipynb")
    run_cell(page, 0)
    choice, field = page.get_by_role("radio", name="two"), page.get_by_role("textbox", name="Your prediction:")
    expect(choice).to_be_visible(timeout=MILLISECONDS)
    choice.focus()
    page.keyboard.press("Space")
    noted = page.get_by_role("status").filter(has_text="Noted: two. The run will tell.")
    expect(noted).to_be_visible(timeout=MILLISECONDS)
    field.focus()
    page.keyboard.type("half")
    page.keyboard.press("Tab")
    expect(page.get_by_text("That is no number; write one such as 0.5 or 1/2.")).to_be_visible(timeout=MILLISECONDS)
    field.focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("1/3")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Noted: 1/3. The run will tell.")).to_be_visible(timeout=MILLISECONDS)
    run_cell(page, 1)
    expect(page.get_by_text("Answer: two. You predicted two: right.")).to_be_visible(timeout=MILLISECONDS)
    expect(page.get_by_text("Answer: 0.25. You predicted 1/3: not this time.")).to_be_visible(timeout=MILLISECONDS)
    expect(choice).to_be_disabled()
    expect(field).to_be_disabled()
    kept = json.loads((course / "progress.json").read_text(encoding="utf-8"))["predictions"]
    assert kept == {
        "04-rate": {"said": "1/3", "answer": "0.25", "right": False},
        "04-who": {"said": "two", "answer": "two", "right": True},
    }


def run_cell_until(page, index, text):
    """Run one cell, again and again, until it prints this: a browser holds a change back until the kernel has
    answered the last one, so that a cell run at once may still read the state before."""
    output = page.locator(".jp-OutputArea-output", has_text=text)

    def printed():
        run_cell(page, index)
        return output.is_visible()

    wait_until(printed, lambda: f"cell {index} never printed {text!r}")
