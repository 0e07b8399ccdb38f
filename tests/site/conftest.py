"""A real browser on the site that `make site` built; without the built site, these tests fail rather than skip."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import pytest
from built_site import SITE

from patience import PATIENCE


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site."""
    assert (SITE / "index.html").is_file(), "there is no built site: run `make site` first"
    return SITE


@pytest.fixture(scope="session")
def address(site):
    """The site on a free port of the loopback address."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def given_up(request) -> bool:
    """Whether the browser ended it by itself, as it does with an icon on its way when the reader goes on."""
    return request.failure == "net::ERR_ABORTED"


@pytest.fixture
def page(browser):
    """A page that keeps what it asked for (`asked`) and what went wrong (`wrong`)."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(1000 * PATIENCE)
    page.asked, page.wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("requestfailed", lambda request: given_up(request) or page.wrong.append(f"not found: {request.url}"))
    page.on("response", lambda answer: answer.ok or page.wrong.append(f"{answer.status}: {answer.url}"))
    page.on("console", lambda message: message.type == "error" and page.wrong.append(message.text))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    yield page
    page.close()
