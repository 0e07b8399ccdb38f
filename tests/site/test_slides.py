"""Every slide of every deck that `make slides` built, in a browser, from the disk: nothing runs over its edge."""

from __future__ import annotations

import pytest
from built_site import SITE

from guards import LESSONS

WIDTH, HEIGHT = 1280, 720
LEAST = 14  # pixels of the smallest letters that count

MEASURE = """() => {
  const slide = Reveal.getCurrentSlide(), letters = [];
  slide.querySelectorAll('.fragment').forEach((one) => one.classList.add('visible'));
  let low = slide.scrollHeight, right = slide.scrollWidth;
  for (const one of slide.querySelectorAll('*')) {
    if (one.closest('aside, details.code') || !one.getClientRects().length) continue;
    const box = one.getBoundingClientRect();
    low = Math.max(low, box.bottom); right = Math.max(right, box.right);
    if (one.matches('p, li, td, pre')) letters.push(parseFloat(getComputedStyle(one).fontSize));
  }
  return {title: slide.querySelector('h1, h2').textContent, low, right, least: Math.min(100, ...letters),
    pictures: [...slide.querySelectorAll('img')].map((one) => one.complete && one.clientHeight)};
}"""


@pytest.fixture
def wide(page):
    """A page of a projector's size."""
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    return page


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_no_slide_runs_over_its_edge(wide, lesson):
    wide.goto((SITE / "slides" / f"{lesson.stem}.html").as_uri())
    wide.wait_for_function("window.Reveal && Reveal.isReady()")
    for number in range(wide.evaluate("Reveal.getTotalSlides()")):
        wide.evaluate(f"Reveal.slide({number})")
        found = wide.evaluate(MEASURE)
        assert found["low"] <= HEIGHT and found["right"] <= WIDTH, (number + 1, found)
        assert found["least"] >= LEAST and all(height > 200 for height in found["pictures"]), (number + 1, found)
    assert wide.wrong == [] and all(url.startswith(("file:", "data:")) for url in wide.asked)


def test_a_slide_that_is_too_long_would_be_seen(wide):
    wide.goto((SITE / "slides" / f"{LESSONS[0].stem}.html").as_uri())
    wide.wait_for_function("window.Reveal && Reveal.isReady()")
    wide.evaluate("Reveal.slide(1)")
    before = wide.evaluate(MEASURE)
    wide.evaluate("Reveal.getCurrentSlide().insertAdjacentHTML('beforeend', '<p>one more line</p>'.repeat(14))")
    assert before["low"] <= HEIGHT < wide.evaluate(MEASURE)["low"]


def test_an_answer_waits_for_a_key_and_the_explorer_lives_in_its_slide(wide):
    wide.goto((SITE / "slides" / f"{LESSONS[0].stem}.html").as_uri())
    wide.wait_for_function("window.Reveal && Reveal.isReady()")
    place = wide.evaluate("Reveal.getSlides().findIndex((one) => one.matches('.predict'))")
    wide.evaluate(f"Reveal.slide({place})")
    assert not wide.evaluate("Reveal.getCurrentSlide().querySelector('.fragment').classList.contains('visible')")
    wide.keyboard.press("ArrowRight")
    assert wide.evaluate("Reveal.getIndices().h") == place
    assert wide.evaluate("Reveal.getCurrentSlide().querySelector('.fragment').classList.contains('visible')")
    place = wide.evaluate("Reveal.getSlides().findIndex((one) => one.matches('.explorer'))")
    wide.evaluate(f"Reveal.slide({place})")
    frame = wide.frame_locator("section.explorer iframe")
    frame.get_by_role("button", name="Play").wait_for()
    frame.locator("summary, label, h1, h2, h3, legend").first.wait_for()
