"""One headless Chromium for all tests of a module: each start costs seconds. Not for a whole process: while playwright
runs, nothing else there may run an event loop, as the tests that execute notebooks do."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]


@pytest.fixture(scope="module")
def browser():
    """The browser; `browser.new_page()` has storage of its own, and is closed by who opened it."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "no Chromium is installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
