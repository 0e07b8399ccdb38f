"""One JupyterLab for all tests of a process, as `icrl-teach lab` starts it; each test finds it as if new.

A start takes seconds. So what a test leaves behind is taken away instead: its notebooks, its kernels, and what its
page told the server to remember.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from command_line import child, free_port
from icrl_teach.cli import lab
from icrl_teach.course import copy_course
from patience import PATIENCE, wait_until

TOKEN = "browser-test"
MILLISECONDS = 1000 * PATIENCE
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


@dataclass(frozen=True)
class Server:
    """A server that runs: its address, the learner's home, and their copy of the course in it."""

    url: str
    home: Path

    @property
    def course(self) -> Path:
        return self.home / "course"

    def page_of(self, name: str) -> str:
        """The address of a lesson's page."""
        return f"{self.url}/lab/tree/lessons/{name}?token={TOKEN}"

    def ask(self, path: str, method: str = "GET", timeout: float = PATIENCE) -> bytes:
        """What the server's own interface answers."""
        request = Request(f"{self.url}/api{path}", method=method, headers={"Authorization": f"token {TOKEN}"})
        with urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def answers(self) -> bool:
        try:
            return bool(self.ask(""))
        except OSError:
            return False

    def forget(self) -> None:
        """End all kernels, and take away what was written: the course's copy, workspaces, settings."""
        kernels = "/kernels"
        wait_until(lambda: not any(each["connections"] for each in json.loads(self.ask(kernels))))  # its page is closed
        for each in json.loads(self.ask("/sessions")):
            with contextlib.suppress(OSError):  # once in a while it waits for ever for a kernel whose page closed at
                self.ask(f"/sessions/{each['id']}", "DELETE", timeout=30)  # that moment; it ends with the server
        for written in (self.course, self.home / "lab"):
            shutil.rmtree(written, ignore_errors=True)
        copy_course(self.course)


@contextlib.contextmanager
def running(home: Path) -> Iterator[Server]:
    """What `icrl-teach lab` starts, on a free port of the loopback address, over a learner's copy of the course."""
    copy_course(home / "course")
    port = free_port()
    command = lab.lab_command(home / "course", port, browser=False, allow_root=True)
    command += [f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"]
    folders = dict.fromkeys(("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"), str(home))
    log, server = home / "log", Server(f"http://127.0.0.1:{port}", home)
    with log.open("w") as out, child(command, stdout=out, stderr=out, env={**lab.environment(), **folders}) as process:
        wait_until(lambda: process.poll() is not None or server.answers(), log.read_text)
        assert process.poll() is None, log.read_text()
        yield server
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):  # as above; `child` ends it, and its kernels follow
            process.wait(timeout=30)


@pytest.fixture(scope="session")
def one_server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("learner")) as server:
        yield server


@pytest.fixture
def server(one_server):
    """The server, as if new."""
    yield one_server
    one_server.forget()


@pytest.fixture
def page(browser):
    """A page of a headless Chromium; a test that asks for the server too asks for it first, so that this closes
    before."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    yield page
    page.close()


@pytest.fixture(scope="module")
def one_lab(one_server, browser):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(f"{one_server.url}/lab?token={TOKEN}")
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget", timeout=MILLISECONDS)
    yield page
    page.close()


@pytest.fixture
def jupyterlab(server, one_lab):
    """The page of a JupyterLab that is loaded once for all tests of a module, each with notebooks of its own: see
    `open_notebook`."""
    yield one_lab
    one_lab.evaluate("() => [...window.jupyterapp.shell.widgets('main')].forEach(widget => { widget.dispose(); })")


def open_notebook(page, name):
    """Open a lesson in a JupyterLab that is loaded, and wait for its kernel."""
    opening = "async path => { await window.jupyterapp.commands.execute('docmanager:open', { path }); }"
    page.evaluate(opening, f"lessons/{name}")
    page.wait_for_function(IDLE, timeout=MILLISECONDS)


def run_cell(page, index):
    """Run one cell of the open notebook."""
    page.evaluate(
        """index => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
            return window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        index,
    )
