"""A lesson in a real browser: JupyterLab on loopback, all cells run, a dial moved by keyboard, the view changes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from icrl_teach.course import copy_course

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]
TOKEN = "browser-test"
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
ALL_RUN = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets;
    return cells.filter(c => c.model.type === 'code').every(c => c.model.executionState === 'idle'
        && (c.model.executionCount !== null || !c.model.sharedModel.getSource().trim()));
}"""
LESSON = "04_weighted_softmax_td.ipynb"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")


@pytest.fixture
def server(tmp_path):
    """JupyterLab on a free port of the loopback address, over a learner's copy of the course."""
    copy_course(tmp_path / "course")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        f"--IdentityProvider.token={TOKEN}",
        "--LabApp.expose_app_in_browser=True", "--ServerApp.allow_root=True",
        f"--ServerApp.root_dir={tmp_path / 'course'}",
    ]  # fmt: skip
    folders = dict.fromkeys(("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"), str(tmp_path))
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **folders})
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(120):
            try:
                urlopen(f"{url}/api?token={TOKEN}", timeout=5)
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_lesson_runs_in_the_browser_and_its_dial_moves_text_and_picture(server):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(f"{server}/lab/tree/lessons/{LESSON}?token={TOKEN}")
        page.wait_for_function(IDLE, timeout=90_000)
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(ALL_RUN, timeout=90_000)
        outputs = page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap(c => c.model.outputs?.toJSON() ?? [])"
        )
        assert [output for output in outputs if output["output_type"] == "error"] == []

        handle = page.locator(".noUi-handle").first
        handle.scroll_into_view_if_needed(timeout=30_000)
        view = page.locator(".widget-html-content").first
        text, picture = view.locator("pre").inner_text(), view.locator("img").get_attribute("src")
        handle.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "([text, src]) => { const view = document.querySelector('.widget-html-content');"
            " return view.querySelector('pre').innerText !== text && view.querySelector('img').src !== src; }",
            arg=[text, picture], timeout=20_000,
        )  # fmt: skip
        assert len(view.locator("img").get_attribute("alt").split()) >= 5
        browser.close()
