"""Each lesson's player in a real browser, on the site that `make site` built: driven by keyboard, compared with Python.

What a page shows at a place of its dials must be what the view returns there, called here and now.
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import frames
import players
import pytest
from PIL import Image
from playwright.sync_api import expect
from test_frames import same_picture

from patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
PLAYERS = [player for page in players.found(ROOT, "", quick=False).values() for player in page]
LONG = 1000 * PATIENCE
# The time from a key's event to the new picture, decoded and put on the screen, for each place along a dial.
REDRAWS = """async () => {
    const slider = document.querySelector(".icrl-player input[type=range]");
    const picture = document.querySelector(".icrl-player .icrl-view img");
    const times = [];
    for (let place = Number(slider.min); place <= Number(slider.max); place += 1) {
        if (String(place) === slider.value) continue;
        const begin = performance.now();
        const changed = new Promise((done) => new MutationObserver((_, each) => { each.disconnect(); done(); })
            .observe(picture, { attributes: true, attributeFilter: ["src"] }));
        slider.value = place;
        slider.dispatchEvent(new Event("input"));
        await changed;
        await picture.decode();
        await new Promise((done) => requestAnimationFrame(done));
        times.push(performance.now() - begin);
        await new Promise((done) => setTimeout(done, 60));
    }
    return times;
}"""

# On a dark page light and dark change places, so no text may name them.
LIGHT = re.compile(r"\b(dark|light|pale|black|white)(er|est)?\b", re.IGNORECASE)

each_player = pytest.mark.parametrize("player", PLAYERS, ids=[player.stem for player in PLAYERS])


def named(stem):
    return next(player for player in PLAYERS if player.stem == stem)


def opened(page, start, player):
    """Open a player's page; the player."""
    page.goto(f"{start}/lessons/{player.stem}.html")
    found = page.locator(".icrl-player")
    expect(found).to_have_count(1)
    found.scroll_into_view_if_needed()
    return found


def control(found, dial):
    """What of a dial has the focus when one tabs to it: its slider, or the chosen one of its radio buttons."""
    if dial.kind == "choice":
        return found.get_by_role("group", name=dial.label, exact=True).get_by_role("radio", checked=True)
    return found.get_by_role("slider", name=dial.label, exact=True)


def beside(dial, places, place, step):
    """Where one press of an arrow leads: a slider stops at its ends, radio buttons go round."""
    k = places.index(place) + step
    return places[k % len(places) if dial.kind == "choice" else min(max(k, 0), len(places) - 1)]


def picture(found):
    return found.locator(".icrl-view img").first


def shows(found, view):
    """Wait until the player shows a view's numbers, its alternative text, and a picture that has arrived."""
    expect(found.locator("pre").first).to_have_text(view.numbers, timeout=LONG)
    expect(picture(found)).to_have_attribute("alt", view.alt, timeout=LONG)
    assert picture(found).evaluate("image => image.decode().then(() => image.naturalWidth)") > 500


@each_player
def test_a_player_is_driven_by_keyboard_and_agrees_with_its_view(page, site, player):
    found = opened(page, site.as_uri(), player)
    dials = player.call.dials
    at = {name: dial.position for name, dial in dials.items()}
    shows(found, player.call.view(**frames.values_at(player, at.values())))
    pictures = {picture(found).get_attribute("src")}
    for key, step, name in [("ArrowLeft", -1, name) for name in dials] + 2 * [
        ("ArrowRight", 1, name) for name in dials
    ]:
        at[name] = beside(dials[name], player.grid[name], at[name], step)
        control(found, dials[name]).press(key)
        shows(found, player.call.view(**frames.values_at(player, at.values())))
        pictures.add(picture(found).get_attribute("src"))
    assert len(pictures) > len(dials)
    assert page.wrong == []


@each_player
def test_a_frame_is_the_views_picture_pixel_by_pixel(site, player):
    last = [places[-1] for places in player.grid.values()]
    with Image.open(built(site, player) / f"{player.count - 1}.webp") as frame:
        assert same_picture(frame, player.call.view(**frames.values_at(player, last)))


def built(site, player):
    """The one folder of a player's frames."""
    (folder,) = (site / "_static" / "players").glob(f"{player.stem}-*")
    return folder


@each_player
def test_a_page_has_all_frames_within_the_limits_and_states_its_grid(page, site, player):
    found = opened(page, site.as_uri(), player)
    files = list(built(site, player).iterdir())
    assert {path.name for path in files} == {f"{k}.webp" for k in range(player.count)} and len(files) <= 600
    assert sum(path.stat().st_size for path in files) <= 8_000_000
    data = json.loads(found.locator("script").inner_text())
    assert len(data["frames"]) == player.count
    assert all(len(alt.split()) >= 5 and numbers.strip() for alt, numbers, _ in data["frames"])
    assert not [alt for alt, *_ in data["frames"] if LIGHT.search(alt)]
    assert found.get_by_text(players.note(player), exact=True).is_visible()


def test_pictures_are_loaded_on_demand_and_the_neighbours_beforehand(page, address):
    player = named("07_the_construction")
    asked = lambda: [url for url in page.asked if url.endswith(".webp")]
    page.goto(f"{address}/lessons/{player.stem}.html")
    page.wait_for_load_state("networkidle")
    assert len(asked()) == 1
    found = opened(page, address, player)
    layer = control(found, player.call.dials["layer"])
    layer.press("ArrowRight")
    layer.press("ArrowLeft")
    expect(layer).to_have_attribute("aria-valuetext", "3")
    page.wait_for_load_state("networkidle")
    assert len(asked()) < 20 and len(asked()) >= 5  # of 96


def test_a_fast_drag_ends_with_the_newest_place_whatever_comes_late(page, address):
    player = named("04_weighted_softmax_td")
    found = opened(page, address, player)
    page.wait_for_load_state("networkidle")
    held = []
    page.route("**/*.webp", lambda route: held.append(route))
    beta = control(found, player.call.dials["beta"])
    for _ in range(12):
        beta.press("ArrowRight")
    newest = player.grid["beta"][player.first + 12]
    last = lambda: [route for route in held if route.request.url.endswith(f"/{player.first + 12}.webp")]
    while not last():  # the frames before it arrive one by one, the last asked first
        if held:
            held.pop().continue_()
        page.wait_for_timeout(20)
    while held:
        held.pop().continue_()
    shows(found, player.call.view(newest))
    page.wait_for_timeout(200)
    assert picture(found).get_attribute("src").endswith(f"/{player.first + 12}.webp")


def test_a_missing_picture_is_said_in_words_and_its_numbers_stand(page, address):
    player = named("04_weighted_softmax_td")
    page.route(f"**/{player.first + 1}.webp", lambda route: route.abort())
    found = opened(page, address, player)
    beta = control(found, player.call.dials["beta"])
    beta.press("ArrowRight")
    alert = found.get_by_role("alert")
    expect(alert).to_contain_text("could not be loaded", timeout=LONG)
    assert not picture(found).is_visible()
    view = player.call.view(player.grid["beta"][player.first + 1])
    expect(found.locator("pre").first).to_have_text(view.numbers)
    beta.press("ArrowRight")
    shows(found, player.call.view(player.grid["beta"][player.first + 2]))
    assert picture(found).is_visible() and not alert.is_visible()


def test_without_scripts_the_first_picture_and_its_numbers_stand(browser, site):
    player = named("04_weighted_softmax_td")
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{site.as_uri()}/lessons/{player.stem}.html")
    view = player.call.view(1.0)
    assert page.get_by_role("img", name=view.alt).is_visible()
    assert page.locator(".icrl-player pre").inner_text() == view.numbers
    assert page.get_by_text("The dials need JavaScript.").is_visible()
    page.close()


def test_a_training_run_keeps_its_picture_and_says_what_it_needs(page, site):
    page.goto(f"{site.as_uri()}/lessons/09_pretraining.html")
    said = page.get_by_text("its controls need a notebook")
    expect(said).to_have_count(1)
    assert page.get_by_role("button", name="Start").count() == 0


@pytest.mark.parametrize("width", [360, 1440])
@each_player
def test_a_player_never_widens_its_page(page, site, player, width):
    page.set_viewport_size({"width": width, "height": 800})
    found = opened(page, site.as_uri(), player)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [image.bounding_box() for image in found.locator(".icrl-view img").all()]
    assert len({box["y"] for box in boxes}) == (len(boxes) if width == 360 else 1)  # panels stand below each other


def test_redraws_are_measured(page, site, capsys):
    for stem in ("04_weighted_softmax_td", "07_the_construction", "09_pretraining"):
        opened(page, site.as_uri(), named(stem))
        page.wait_for_load_state("networkidle")
        times = page.evaluate(REDRAWS)
        assert times
        with capsys.disabled():
            print(f"\n{stem}: {len(times)} redraws, median {statistics.median(times):.0f} ms, slowest {max(times):.0f}")
