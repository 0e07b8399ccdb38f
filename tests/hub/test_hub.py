"""Three learners at a real JupyterHub, in three browsers, each under a user of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from running import ask, running_hub, wait_for_server

from chromium import CHROMIUM
from lab_server import IDLE, MILLISECONDS

LEARNERS = ("ada", "grace", "emmy")
PASSWORD = "long enough for a test"
LESSON = "lab/tree/icrl-course/lessons/00_start_here.ipynb"
RUN_FIRST = """async (count) => {
    const {commands, shell} = window.jupyterapp, notebook = shell.currentWidget.content;
    const code = notebook.widgets.map((c, i) => [c, i]).filter(([c]) => c.model.type === 'code').slice(0, count);
    for (const [, i] of code) { notebook.activeCellIndex = i; await commands.execute('notebook:run-cell'); }
    await commands.execute('docmanager:save');
    return code.map(([c]) => [c.model.executionCount, (c.model.outputs.toJSON() ?? []).map(o => o.output_type)]);
}"""
IN_KERNEL = """async (code) => {
    const future = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code});
    let said = '';
    future.onIOPub = ({content}) => { said += content.text ?? content.ename ?? ''; };
    await future.done;
    return said.trim();
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")


@pytest.fixture(scope="module")
def homes():
    """A folder that other users may pass through, as /home is."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory, homes):
    with running_hub(tmp_path_factory.mktemp("hub"), homes) as url:
        yield url


@pytest.fixture(scope="module")
def pages(hub, browser):
    """A browser of their own for each learner, signed up, logged in, with lesson 00 open."""
    opened = {}
    for learner in LEARNERS:
        opened[learner] = page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(f"{hub}/hub/signup")
        page.fill("#username_input", learner)
        page.fill("#password_input", PASSWORD)
        page.fill("#password_confirmation_input", PASSWORD)
        page.locator("form [type=submit]").click()
        page.get_by_text("The signup was successful").wait_for()
        log_in(page, hub, learner, PASSWORD)
        page.wait_for_function(IDLE)
    return opened


def log_in(page, hub, learner, password):
    page.goto(f"{hub}/hub/login")  # and nothing more: a learner lands in lesson 00
    page.fill("#username_input", learner)
    page.fill("#password_input", password)
    page.locator("form [type=submit]").click()


def test_each_learner_opens_lesson_00_and_runs_its_first_cells(pages):
    for learner, page in pages.items():
        ran = page.evaluate(RUN_FIRST, 3)
        assert [count for count, _ in ran] == [1, 2, 3], learner
        assert all("error" not in kinds for _, kinds in ran), ran
        assert page.evaluate(IN_KERNEL, "import os; print(os.path.expanduser('~'))").endswith(f"/{learner}")


def test_files_stay_when_a_server_is_started_again(hub, pages, homes):
    page = pages["ada"]
    page.evaluate(IN_KERNEL, "open(os.path.expanduser('~/mine.txt'), 'w').write('kept')")
    lesson = homes / "ada/icrl-course/lessons/00_start_here.ipynb"
    before = lesson.read_bytes()
    assert b'"execution_count": 3' in before  # it holds what was run: a copy from the package would not
    ask(hub, "DELETE", "users/ada/server")
    wait_for_server(False, hub, "ada")
    ask(hub, "POST", "users/ada/server")
    wait_for_server(True, hub, "ada")
    page.goto(f"{hub}/user/ada/{LESSON}")
    page.wait_for_function(IDLE)
    assert lesson.read_bytes() == before
    assert page.evaluate(IN_KERNEL, "import os; print(open(os.path.expanduser('~/mine.txt')).read())") == "kept"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives each learner a user")
def test_a_kernel_cannot_read_anothers_folder(pages, homes):
    page, ada, own = pages["grace"], homes / "ada", homes / "grace"
    for path in (ada / "icrl-course/lessons/00_start_here.ipynb", ada / "mine.txt"):
        assert page.evaluate(IN_KERNEL, f"open({str(path)!r}).read()") == "PermissionError", path
    assert page.evaluate(IN_KERNEL, f"import os; os.listdir({str(ada)!r})") == "PermissionError"
    assert page.evaluate(IN_KERNEL, f"import os; print(len(os.listdir({str(own)!r})) > 0)") == "True"


def test_a_wrong_password_is_told_so(hub, pages):
    page = pages["emmy"].context.browser.new_context().new_page()
    page.set_default_timeout(MILLISECONDS)
    log_in(page, hub, "ada", PASSWORD + "?")
    page.get_by_text("Invalid username or password").wait_for()
    page.context.close()


def test_a_learner_cannot_reach_anothers_server(hub, pages):
    request = pages["emmy"].context.request
    assert request.get(f"{hub}/user/emmy/api/contents/icrl-course", timeout=MILLISECONDS).status == 200
    for place in ("api/contents/icrl-course", "lab", "api/kernels"):
        answer = request.get(f"{hub}/user/ada/{place}", timeout=MILLISECONDS)
        assert answer.status == 403, (place, answer.status, answer.url)
        assert "lessons" not in answer.text()
    stranger = pages["emmy"].context.browser.new_context().request  # without a session
    answer = stranger.get(f"{hub}/user/ada/api/contents/icrl-course", timeout=MILLISECONDS)
    assert answer.status == 403 or "/hub/login" in answer.url
