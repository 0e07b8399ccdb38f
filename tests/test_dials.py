"""The dials of every widget in Chromium, against a kernel that the test plays: it answers when told to, or never."""

import math

import pytest

from chromium import CHROMIUM
from icrl_teach.figures import View, new_figure
from icrl_teach.web import read
from icrl_teach.widgets import Screen, choice, dial, log_dial

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; CI installs it")

DIALS = {
    "depth": dial("layers", 0, 64, 4), "gamma": dial("discount gamma", 0.0, 0.95, 0.5, 0.05),
    "beta": log_dial("inverse temperature beta", 0.01, 100, 1.0), "family": choice("family", ["boyan", "loop"], "loop"),
}  # fmt: skip
SHOW = """async ([source, traits]) => {
    const { default: widget } = await import("data:text/javascript," + encodeURIComponent(source));
    const heard = [];
    globalThis.asked = [];
    globalThis.model = {
        get: (name) => traits[name], set: (name, value) => { traits[name] = value; },
        save_changes: () => asked.push(structuredClone(traits)),
        on: (names, call) => names.split(" ").forEach((name) => heard.push([name, call])), off: () => {},
    };
    globalThis.say = (name, value) => {
        traits[name] = value;
        heard.filter(([each]) => each === `change:${name}`).forEach(([, call]) => call());
    };
    widget.render({ model, el: document.body });
}"""


@pytest.fixture
def page(browser):
    screen = Screen(DIALS, View(new_figure(size=(1, 1))[0], "A picture of nothing for a test.", "numbers: 4"))
    traits = {
        name: getattr(screen, name) for name in ("dials", "values", "asked", "pressed", "view", "button", "status")
    }
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.clock.install(time=0)
    page.clock.pause_at(1000)  # time goes on only where a test says so
    page.add_style_tag(content=read("dials.css"))
    page.evaluate(SHOW, [read("dials.js"), traits])
    yield page
    page.close()


def asked(page):
    return page.evaluate("asked.map(({ asked, values }) => [asked, values])")


def answer(page, number, text="new"):
    page.evaluate(
        "([asked, numbers]) => say('view', { picture: '', alt: 'new', numbers, error: '', asked })", [number, text]
    )


def test_every_dial_has_its_name_and_says_its_value(page):
    for each, said in zip(DIALS.values(), ["4", "0.50", "1"], strict=False):
        slider = page.get_by_role("slider", name=each.label, exact=True)
        assert slider.get_attribute("aria-valuetext") == said
    assert page.get_by_role("radio", name="loop").is_checked()
    assert page.get_by_role("group", name="family").count() == 1
    assert page.get_by_role("img", name="A picture of nothing for a test.").count() == 1


def test_a_key_moves_a_dial_by_one_step(page):
    for name, key, expected in (
        ("layers", "ArrowRight", {"depth": 5}), ("discount gamma", "ArrowLeft", {"gamma": 0.45}),
        ("inverse temperature beta", "ArrowRight", {"beta": 0.01 * 10_000 ** (21 / 40)}),
    ):  # fmt: skip
        page.get_by_role("slider", name=name).press(key)
        answer(page, page.evaluate("model.get('asked')"))
        values = asked(page)[-1][1]
        assert all(math.isclose(values[dial], value, rel_tol=1e-12) for dial, value in expected.items())
    page.get_by_role("radio", name="loop").press("ArrowUp")
    assert asked(page)[-1][1]["family"] == 0 and [number for number, _ in asked(page)] == [1, 2, 3, 4]


def test_a_drag_waits_for_the_picture_and_then_asks_for_the_newest_place_only(page):
    slider = page.get_by_role("slider", name="layers")
    for _ in range(20):
        slider.press("ArrowRight")
    assert [values["depth"] for _, values in asked(page)] == [5]
    answer(page, 1)
    assert [values["depth"] for _, values in asked(page)] == [5, 24]
    answer(page, 1, "late")  # an answer to an older question asks nothing again
    answer(page, 2)
    assert len(asked(page)) == 2


def test_numbers_change_in_place_and_an_error_is_an_alert(page):
    page.evaluate("globalThis.before = document.querySelector('pre')")
    answer(page, 0, "numbers: 5")
    assert page.evaluate("before.isConnected && before.textContent") == "numbers: 5"
    page.evaluate("say('view', { picture: '', alt: '', numbers: '', error: 'ValueError: <no>', asked: 0 })")
    assert page.get_by_role("alert").inner_text() == "ValueError: <no>"
    assert not page.locator("img").is_visible()


def test_a_silent_kernel_is_named_and_a_second_try_is_sent(page):
    slider = page.get_by_role("slider", name="layers")
    slider.press("ArrowRight")
    page.clock.run_for(29_000)
    assert page.locator(".icrl-status").text_content() == ""
    page.clock.run_for(2_000)
    assert "run this cell again" in page.locator(".icrl-status").text_content()
    slider.press("ArrowRight")
    assert len(asked(page)) == 2
    answer(page, 2)
    assert page.locator(".icrl-status").text_content() == ""


def test_what_the_kernel_sets_moves_the_dials(page):
    page.evaluate("say('values', { depth: 40, gamma: 0.2, beta: 10, family: 0 })")
    assert page.get_by_role("slider", name="layers").input_value() == "40"
    assert page.get_by_role("slider", name="inverse temperature beta").get_attribute("aria-valuetext") == "10"
    assert page.get_by_role("radio", name="boyan").is_checked()


def test_one_button_stays_where_the_focus_is(page):
    assert page.get_by_role("button").count() == 0
    page.evaluate("say('button', 'Start'); say('status', 'Press Start.')")
    button = page.get_by_role("button", name="Start")
    button.press("Enter")
    page.evaluate("say('button', 'Stop')")
    assert page.evaluate("document.activeElement.textContent") == "Stop"
    assert page.evaluate("model.get('pressed')") == 1
