"""How a lesson looks in the JupyterLab that `icrl-teach lab` starts, in Chromium, on a screen of 1024 pixels."""

from __future__ import annotations

import os

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from chromium import CHROMIUM
from guards import LESSONS
from icrl_teach.cli import lab
from lab_server import IDLE, MILLISECONDS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")

LESSON = next(path for path in LESSONS if path.stem.startswith("08"))  # the widest tables
MEASURE = """() => {
    const all = (selector) => [...document.querySelectorAll(`.jp-Notebook ${selector}`)].filter((e) => e.offsetWidth);
    const pen = document.createElement("canvas").getContext("2d");
    const prose = all(".jp-RenderedMarkdown > p");
    pen.font = getComputedStyle(prose[0]).font;
    const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
    const wide = (e) => e.scrollWidth > e.clientWidth + 1;
    const tall = (e) => e.offsetHeight > 1.5 * parseFloat(getComputedStyle(e).lineHeight);
    return {
        columns: prose.map((e) => e.offsetWidth / pen.measureText("0").width),
        wrapped: all(".cm-line").filter(tall).length,
        printed: all(".jp-RenderedText pre").map((e) => getComputedStyle(e).whiteSpace),
        clipped: all(".cm-scroller, .jp-OutputArea-output").filter((e) => wide(e) && !scrolls(e)).length,
        page: document.documentElement.scrollWidth,
        apart: all("details").map((e) => parseFloat(getComputedStyle(e).marginBottom)),
    };
}"""


def open_lesson(page, server, width, name=LESSON.name):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(server.page_of(name))
    page.wait_for_function(IDLE, timeout=MILLISECONDS)
    page.wait_for_function("() => document.querySelector('.jp-Notebook .jp-RenderedMarkdown > p')")


def collapsed(page, value):
    page.wait_for_function(f"() => window.jupyterapp.shell.leftCollapsed === {value}", timeout=MILLISECONDS)


def test_a_stored_lesson_is_a_page_to_read_and_a_sidebar_that_one_opens_stays_open(server, page):
    (server.course / "lessons" / LESSON.name).write_bytes(LESSON.read_bytes())  # outputs and all
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    open_lesson(page, server, 1024)
    collapsed(page, "true")
    for width in (1024, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        seen = page.evaluate(MEASURE)
        assert len(seen["columns"]) > 10 and 40 < max(seen["columns"]) <= 73
        assert seen["wrapped"] == 0 and seen["clipped"] == 0 and seen["page"] <= width
        assert set(seen["printed"]) == {"pre"} and min(seen["apart"]) >= 10
    assert page.locator(".Toastify__toast").count() == 0
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked)
    assert not [url for url in asked if "/lab/api/news" in url or "/lab/api/update" in url]
    assert not list(server.home.rglob("*.jupyterlab-settings"))  # nothing was written into the learner's own
    with page.expect_response(lambda response: "/api/workspaces" in response.url and response.request.method == "PUT"):
        page.evaluate("() => window.jupyterapp.shell.expandLeft()")
    page.reload()
    page.wait_for_function(IDLE, timeout=MILLISECONDS)
    collapsed(page, "false")


def test_the_lake_is_the_first_thing_one_sees_and_lives_from_the_stored_notebook(server, page):
    stored = server.course / "lessons" / LESSONS[0].name
    stored.write_bytes(LESSONS[0].read_bytes())
    NotebookNotary(data_dir=str(server.home)).sign(nbformat.read(stored, as_version=4))  # as `jupyter trust` does
    open_lesson(page, server, 1024, stored.name)
    lake = page.locator(".icrl .icrl-map").first
    lake.wait_for(timeout=MILLISECONDS)
    box = lake.bounding_box()
    assert box["height"] > 100 and box["y"] + box["height"] < 900  # no scrolling
    assert page.locator(".jp-CodeCell").first.locator(".cm-editor:visible").count() == 0  # the code is folded
    before = lake.inner_text()
    page.get_by_role("slider", name="layers").first.press("Home")
    assert before != lake.inner_text() and "0.00" in lake.inner_text()
    counts = "() => window.jupyterapp.shell.currentWidget.content.widgets.map((cell) => cell.model.executionState)"
    assert "running" not in page.evaluate(counts)  # no cell was run for it


def test_the_learner_s_own_folders_are_searched_too(monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", "mine")
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    found = lab.environment()
    assert found["JUPYTER_PATH"] == os.pathsep.join([str(lab.SETTINGS), "mine"])
    assert found["JUPYTER_CONFIG_PATH"] == str(lab.SETTINGS)
    assert {name: found[name] for name in os.environ if not name.startswith("JUPYTER_")}.items() <= os.environ.items()
