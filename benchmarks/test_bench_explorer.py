"""A redraw of the Explorer in Chromium, from the change of a dial to a settled page, beside its mathematics alone."""

from __future__ import annotations

import statistics

import pytest

from chromium import CHROMIUM, FLAGS
from icrl_teach.web.explorer import page_text
from measure import target

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

N, TURNS = 200, 200
MEASURE = """([n, turns]) => {
    const timed = (change) => {
        const start = performance.now();
        change();
        void document.documentElement.offsetHeight; // styles and layout, too; painting comes later
        return performance.now() - start;
    };
    const world = lake(explorer.get().rows, explorer.get().arrows, 0);
    const each = {
        discount: (k) => explorer.set({ n, gamma: 0.5 + 0.01 * (k % 40) }),
        sharpness: (k) => explorer.set({ n, beta: 3 + 0.1 * (k % 40) }),
        layer: (k) => explorer.set({ n, layer: k % 65 }),
        mathematics: () => run({ ...explorer.get(), world, L: 64 }),
    };
    const took = Object.fromEntries(Object.keys(each).map((name) => [name, []]));
    for (let k = -20; k < turns; k++) // the first turns warm up
        for (const [name, change] of Object.entries(each)) {
            const milliseconds = timed(() => change(k + 20));
            if (k >= 0) took[name].push(milliseconds);
        }
    return took;
}"""


@pytest.fixture(scope="module")
def took(tmp_path_factory):
    """Milliseconds by what changed; what is compared takes turns."""
    from playwright.sync_api import sync_playwright

    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    inside = "globalThis.explorer = view;"
    path.write_text(page_text().replace(inside, f"{inside} Object.assign(globalThis, {{ lake, run }});"), "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(path.as_uri())
        yield page.evaluate(MEASURE, [N, TURNS])
        browser.close()


@pytest.mark.parametrize("dial", ["discount", "sharpness", "layer"])
def test_redraw_of_the_explorer(benchmark, row, took, dial):
    benchmark.pedantic(lambda: took, rounds=1)  # timed above, in the browser
    said = {name: f"{statistics.median(times):.3g} ({min(times):.2g})" for name, times in took.items()}
    row(
        "widgets",
        f"Explorer in Chromium, n = {N}, L = 64, {TURNS} changes of {dial}",
        said[dial],
        "its mathematics alone",
        said["mathematics"],
        f"{statistics.median(a / b for a, b in zip(took[dial], took['mathematics'], strict=True) if b):.2f}",
        target(statistics.median(took[dial]) <= 16, "median at most 16 ms"),
    )
