"""Each page of the built site in a real browser: it asks nobody else for anything, and nothing goes wrong on it."""

from __future__ import annotations

import pytest
from built_site import pages


@pytest.mark.parametrize("name", pages())
def test_a_page_opens_from_its_folder_without_a_network(page, site, name):
    page.goto((site / name).as_uri())
    page.wait_for_function("() => !window.MathJax || MathJax.startup?.promise?.then(() => true)")
    assert page.asked
    assert [url for url in page.asked if not url.startswith((site.as_uri(), "data:"))] == []
    assert page.wrong == []
