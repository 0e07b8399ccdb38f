"""Each page of the built site in a real browser: at three widths and in both themes, without a network or a server."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from built_site import SITE, pages

AXE = Path(__file__).resolve().parents[2] / "site" / "node_modules" / "axe-core" / "axe.min.js"
LESSONS = sorted(f"lessons/{path.stem}" for path in (AXE.parents[3] / "lessons").glob("*.ipynb"))
READY = "() => !window.MathJax || (MathJax.startup?.promise?.then(() => true) ?? false)"
THEME = "theme => { document.documentElement.dataset.theme = theme; document.documentElement.dataset.mode = theme; }"
# What makes the body scroll sideways: the names of elements that reach beyond the window, unless something clips them.
WIDER = """() => {
    if (document.scrollingElement.scrollWidth <= innerWidth) return [];
    return [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .slice(-3).map(e => e.outerHTML.slice(0, 120)).concat(`${document.scrollingElement.scrollWidth} wide`);
}"""
FAULTS = """async rules => (await axe.run(document, {resultTypes: ['violations'], preload: false,
        ...(rules && {runOnly: rules})})).violations
    .filter(each => ['serious', 'critical'].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' | ')}`)"""


@pytest.mark.parametrize("name", pages())
def test_a_page_fits_every_screen_and_reader_and_asks_nobody_for_anything(page, site, name):
    page.emulate_media(reduced_motion="reduce")
    page.goto((site / name).as_uri())
    page.wait_for_function(READY)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for theme in ("light", "dark"):
        page.evaluate(THEME, theme)
        for width in (360, 768, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(WIDER) == [], (theme, width)
        assert page.evaluate(FAULTS, None if theme == "light" else ["color-contrast"]) == [], theme  # the rest is one
    assert page.asked
    assert [url for url in page.asked if not url.startswith((site.as_uri(), "data:", "blob:"))] == []
    assert page.wrong == []


@pytest.mark.parametrize("name", ["index", "glossary", "search", "exercises/01_markov_reward_processes", *LESSONS])
def test_a_server_changes_nothing(page, address, site, name):
    page.goto(f"{address}/{name}.html")
    page.wait_for_function(READY)
    assert page.asked
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
    assert page.wrong == []


def addresses(text):
    """What a page links to or loads."""
    return re.findall(r"<(?:a|link|img|script)\b[^>]*?\b(?:href|src)=[\"']([^\"']*)[\"']", text)


def names(text):
    """The places of a page that a link can lead to."""
    return set(re.findall(r"\bid=[\"']([^\"']+)[\"']", text))


def test_no_link_is_broken(site):
    texts = {name: (site / name).read_text(encoding="utf-8") for name in pages()}
    broken, seen = [], 0
    for name, text in texts.items():
        for link in addresses(text):
            path, fragment = urldefrag(link.replace("&amp;", "&"))
            if re.match(r"[a-z]+:", link):
                continue
            seen += 1
            target = unquote(urljoin(name, path.split("?")[0])) if path else name
            if not (site / target).is_file() or (
                fragment and target in texts and unquote(fragment) not in names(texts[target])
            ):
                broken.append((name, link))
    assert seen > 1000
    assert broken == []


def weight(page, name):
    """What a page and all that it loads weigh, in bytes; frames of players come later, on demand."""
    page.goto((SITE / name).as_uri())
    page.wait_for_function(READY)
    files = {unquote(url.split("?")[0].removeprefix(SITE.as_uri() + "/")) for url in page.asked if "data:" not in url}
    return sum(os.path.getsize(SITE / file) for file in files if "/players/" not in file or not file.endswith(".webp"))


def test_the_home_page_weighs_less_than_a_megabyte(page, site):
    assert 100_000 < weight(page, "index.html") < 1_000_000


def test_the_largest_lesson_weighs_less_than_four_megabytes(page, site):
    largest = max((site / "lessons").glob("*.html"), key=os.path.getsize)
    assert 2_000_000 < weight(page, f"lessons/{largest.name}") < 4_000_000
