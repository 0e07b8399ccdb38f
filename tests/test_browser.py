"""Lessons in a real browser: JupyterLab on loopback, all cells run; dials, a training run, predictions by keyboard."""

from __future__ import annotations

import json
import socket
import time
from urllib.request import urlopen

import nbformat
import pytest

from chromium import CHROMIUM
from command_line import child
from icrl_teach.cli import lab
from icrl_teach.course import copy_course
from patience import PATIENCE

TOKEN = "browser-test"
MILLISECONDS = 1000 * PATIENCE
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
ALL_RUN = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets;
    return cells.filter(c => c.model.type === 'code').every(c => c.model.executionState === 'idle'
        && (c.model.executionCount !== null || !c.model.sharedModel.getSource().trim()));
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")


def answers(url):
    try:
        return urlopen(url, timeout=PATIENCE).status == 200
    except OSError:
        return False


@pytest.fixture
def server(tmp_path):
    """What `icrl-teach lab` starts, on a free port of the loopback address, over a learner's copy of the course."""
    copy_course(tmp_path / "course")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = lab.lab_command(tmp_path / "course", port, browser=False, allow_root=True)
    command += [f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"]
    folders = dict.fromkeys(("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"), str(tmp_path))
    log, url = tmp_path / "log", f"http://127.0.0.1:{port}"
    with log.open("w") as out, child(command, stdout=out, stderr=out, env={**lab.environment(), **folders}) as process:
        deadline = time.monotonic() + PATIENCE
        while not answers(f"{url}/api?token={TOKEN}"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield url
        process.terminate()
        process.wait(timeout=PATIENCE)


def only(path, *ids):
    """Leave a notebook these cells, by their ids."""
    notebook = nbformat.read(path, as_version=4)
    kept = {cell.id: cell for cell in notebook.cells}
    notebook.cells = [kept[each] for each in ids]
    nbformat.write(notebook, path)


@pytest.fixture
def page(browser):
    """A page of a headless Chromium."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    yield page
    page.close()


def run_lesson(page, server, name):
    """Open a lesson, run all its cells, and see that none failed."""
    page.goto(f"{server}/lab/tree/lessons/{name}?token={TOKEN}")
    page.wait_for_function(IDLE, timeout=MILLISECONDS)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(ALL_RUN, timeout=MILLISECONDS)
    outputs = page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap(c => c.model.outputs?.toJSON() ?? [])"
    )
    assert [output for output in outputs if output["output_type"] == "error"] == []


def test_a_lesson_runs_and_its_dial_moves_text_and_picture(server, page):
    from playwright.sync_api import expect

    run_lesson(page, server, "04_weighted_softmax_td.ipynb")
    view = page.locator(".icrl-dials").first
    beta = view.get_by_role("slider", name="inverse temperature beta")
    beta.scroll_into_view_if_needed(timeout=MILLISECONDS)
    text, picture = view.locator("pre").first.inner_text(), view.locator("img").get_attribute("src")
    assert beta.get_attribute("aria-valuetext") == "1"
    beta.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(view.locator("pre").first).not_to_have_text(text, timeout=MILLISECONDS)
    expect(view.locator("img")).not_to_have_attribute("src", picture, timeout=MILLISECONDS)
    assert 1 < float(beta.get_attribute("aria-valuetext")) < 10
    assert len(view.locator("img").get_attribute("alt").split()) >= 5
    expect(beta).to_be_focused()


def test_a_training_run_starts_redraws_and_stops_by_keyboard(server, page, tmp_path):
    from playwright.sync_api import expect

    only(tmp_path / "course/lessons/09_pretraining.ipynb", "setup", "config", "explore-run")
    run_lesson(page, server, "09_pretraining.ipynb")
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


def test_predictions_are_made_by_keyboard_marked_and_kept(server, page, tmp_path):
    from playwright.sync_api import expect

    course = tmp_path / "course"
    cells = [nbformat.v4.new_code_cell(source) for source in ASKED]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), course / "lessons/asked.ipynb")
    page.goto(f"{server}/lab/tree/lessons/asked.ipynb?token={TOKEN}")
    page.wait_for_function(IDLE, timeout=MILLISECONDS)
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


def run_cell(page, index):
    """Run one cell of the open notebook."""
    page.evaluate(
        """index => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
            return window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        index,
    )
