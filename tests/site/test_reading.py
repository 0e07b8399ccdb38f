"""What a reader does on the built pages, by keyboard: predicts, looks up letters, unfolds, searches, copies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import badges
import citations
import course_notebooks
import letters
import pytest
import reference_pages
import sheets
from built_site import SITE, pages

import icrl_teach
from icrl_teach.symbols import plain, table

ROOT = Path(__file__).resolve().parents[2]
SHEETS = sorted((ROOT / "exercises").glob("*.ipynb"))


def text(name):
    return (SITE / name).read_text(encoding="utf-8")


def predictions_of(lesson):
    cells = json.loads((ROOT / "lessons" / lesson).read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return len(re.findall(r"\bpredict\(", code))


@pytest.mark.parametrize("lesson", sorted(path.name for path in (ROOT / "lessons").glob("*.ipynb")))
def test_every_prediction_of_a_lesson_is_a_question_with_real_controls(site, lesson):
    page = text(f"lessons/{lesson.replace('.ipynb', '.html')}")
    assert page.count('<fieldset class="prediction">') == predictions_of(lesson) > 0
    assert "application/vnd.jupyter.widget" not in page
    assert "No prediction was made" not in page


def test_a_prediction_is_made_by_keyboard_and_told_where_the_answer_is(page, site):
    page.goto((site / "lessons/04_weighted_softmax_td.html").as_uri())
    first = page.locator("fieldset.prediction").first
    options = [each.get_attribute("value") for each in first.locator("input").all()]
    assert options == ["positive", "zero", "negative"]
    first.locator("input").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    assert first.locator("[role=status]").inner_text() == "You predicted zero. The next run below answers."


def test_a_number_is_predicted_in_a_field(page, site):
    page.goto((site / "lessons/00_start_here.html").as_uri())
    first = page.locator("fieldset.prediction").first
    page.get_by_label("Your number").first.fill("1.81")
    page.keyboard.press("Tab")
    assert "You predicted 1.81." in first.locator("[role=status]").inner_text()


def test_a_letters_card_comes_with_the_focus_and_goes_with_escape(page, site):
    page.goto((site / "lessons/04_weighted_softmax_td.html").as_uri())
    link = page.locator("a.letter").first
    card = page.locator(f"#{link.get_attribute('aria-describedby')}")
    assert not card.is_visible()
    link.focus()
    assert card.is_visible()
    symbol = link.get_attribute("aria-label")
    jobs = [letter for letter in table() if symbol in map(plain, letter.symbols)]
    assert jobs
    assert all(plain(letter.meaning) in card.inner_text() for letter in jobs)
    page.keyboard.press("Escape")
    assert not card.is_visible()
    link.hover()
    assert card.is_visible()


def test_a_page_has_the_cards_of_its_letters_and_no_others(site):
    for name in pages():
        page = text(name)
        used = set(re.findall(r'aria-describedby="(card-[^"]+)"', page))
        assert used == set(re.findall(r'id="(card-[^"]+)"', page)), name
        assert not name.startswith("lessons/") or used, name


def test_the_glossary_has_every_letter(site):
    page = text("glossary.html")
    assert {letters.anchor(symbol) for letter in table() for symbol in letter.symbols} <= set(
        re.findall(r'id="(letter-[^"]+)"', page)
    )


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)
def test_a_sheet_shows_neither_hint_nor_solution_before_a_click(page, site, sheet):
    code, answers = sheets.solved(ROOT / "solutions" / sheet.name)
    cells = json.loads(sheet.read_text(encoding="utf-8"))["cells"]
    asked = sum(cell["metadata"].get("nbgrader", {}).get("solution", False) for cell in cells)
    page.goto((site / f"exercises/{sheet.stem}.html").as_uri())
    folds = page.locator("details.solution")
    assert folds.count() == asked + bool(answers) > 2
    assert page.locator("details.hint").count() >= len(sheets.hints(sheet.name[:2])) > 1
    assert page.locator("details[open]").count() == 0
    first = next(cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("solution"))
    folds.first.locator("summary").press("Enter")
    shown = folds.first.locator("pre").inner_text()
    assert shown.split() == code[first["metadata"]["nbgrader"]["grade_id"]].split()
    assert "NotImplementedError" not in shown


def test_every_public_name_is_in_the_reference(site):
    known = {name for names in reference_pages.exported().values() for name in names}
    assert len(known) > 90
    pages_ = "".join(text(f"api/{name}.html") for name in reference_pages.PAGES)
    assert [name for name in known if f'id="icrl_teach.{name}"' not in pages_] == []
    assert [name for name in known if not getattr(icrl_teach, name).__doc__] == []


def test_a_name_without_a_docstring_fails_the_build(monkeypatch):
    said = []
    monkeypatch.setattr(reference_pages.log, "warning", lambda message, *rest: said.append(message % rest))
    reference_pages.docstring(None, "function", "icrl_teach.nameless", None, None, ["", " "])
    reference_pages.docstring(None, "function", "icrl_teach.named", None, None, ["Say it."])
    assert said == ["icrl_teach.nameless has no docstring"]


def test_badges_follow_from_one_setting():
    home = {"repository": "some/where", "branch": "a branch", "hub": "https://hub.example.org/"}
    found = dict(badges.badges(home, "lessons/02_tabular_td.ipynb"))
    assert list(found) == ["Colab", "Binder", "Class hub"]
    assert found["Colab"].endswith("/github/some/where/blob/a%20branch/lessons/02_tabular_td.ipynb")
    assert "/gh/some/where/a%20branch?urlpath=lab%2Ftree%2Flessons" in found["Binder"]
    assert found["Class hub"].startswith("https://hub.example.org/hub/user-redirect/git-pull?repo=https%3A%2F%2F")
    assert [name for name, _ in badges.badges({**home, "hub": ""}, "x.ipynb")] == ["Colab", "Binder"]


def test_lessons_have_badges_and_their_notebook(site):
    for name in (name for name in pages() if name.startswith(("lessons/", "exercises/"))):
        links = re.findall(r'class="badge-link" href="([^"]+)"', text(name))
        assert "%pip install git+https://github.com/" in text(name)
        assert len(links) >= 3, name
        stored = ROOT / name.replace(".html", ".ipynb")
        assert (site / Path(name).parent / links[-1]).resolve().read_bytes() == stored.read_bytes()


def test_works_are_cited_where_they_are_named(site):
    assert citations.cited("see Baird, and Baird again") == "see Baird {cite}`baird1995`, and Baird again"
    assert re.search(r'class="reference internal" href="\.\./bibliography\.html#id', text("lessons/03_linear_td.html"))
    bibliography = text("bibliography.html")
    assert bibliography.count('role="doc-biblioentry"') == len(citations.named()) > 20


def test_a_widget_without_a_player_keeps_its_picture_and_says_what_it_needs():
    state = {"view": {"picture": "data:image/png;base64,AA==", "alt": 'a "curve"', "numbers": "1 < 2"}}
    shown = course_notebooks.still(state, {"data": {}})
    assert 'alt="a &quot;curve&quot;"' in shown
    assert "1 &lt; 2" in shown
    assert "need a notebook" in shown


def test_an_explorer_of_a_notebook_is_alive_in_its_own_settings():
    view = {"model_id": "a", "version_major": 2, "version_minor": 0}
    output = {
        "output_type": "display_data",
        "metadata": {},
        "data": {course_notebooks.WIDGET: view, "text/plain": "as text"},
    }
    model = {"_anywidget_id": "icrl_teach.web.explorer.Explorer", "state": {"world": "corridor", "gamma": 0.5}}
    stored = {course_notebooks.STATE: {"state": {"a": {"state": model}}}}
    notebook = {"cells": [{"cell_type": "code", "outputs": [output]}], "metadata": {"widgets": stored}}
    course_notebooks.without_kernel(notebook, "lessons/99_x")
    assert 'mount(document.getElementById("99_x-0"), {"world": "corridor", "gamma": 0.5}' in output["data"]["text/html"]
    assert output["data"]["text/plain"] == "as text"
    assert notebook["metadata"] == {}


def test_a_search_from_the_disk_finds_a_lesson(page, site):
    page.goto(f"{(site / 'search.html').as_uri()}?q=contraction")
    page.get_by_role("link", name=re.compile("05 · Contraction")).first.wait_for()
    assert page.wrong == []


def test_a_short_cut_opens_the_search(page, site):
    page.goto((site / "lessons/01_markov_reward_processes.html").as_uri())
    page.keyboard.press("Control+k")
    page.wait_for_url("**/search.html")
    assert page.evaluate("document.activeElement.type") == "search"
    assert page.wrong == []


def test_paper_is_light_and_has_no_menus(page, site):
    page.add_init_script("localStorage.setItem('mode', 'dark'); localStorage.setItem('theme', 'dark')")
    page.goto((site / "lessons/01_markov_reward_processes.html").as_uri())
    light = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(light)
    page.emulate_media(media="print")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert page.evaluate(light) == "rgb(255, 255, 255)" != dark
    assert not page.locator("header.bd-header").is_visible()
    assert not page.locator(".bd-sidebar-primary").is_visible()
    page.emulate_media(media="screen")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


def test_the_home_page_is_alive_and_copies_a_command(page, address):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page.goto(f"{address}/index.html")
    assert page.locator(".doors a").count() == 3
    depth = page.locator(".icrl input[type=range]").first
    before = page.locator(".icrl-map").first.inner_text()
    depth.focus()
    page.keyboard.press("Home")
    assert page.locator(".icrl-map").first.inner_text() != before
    page.locator(".terminal button").first.click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("git clone https://")


def test_what_is_missing_is_noticed_and_what_the_reader_left_is_not(page, site):
    page.route("**/slow.svg", lambda route: None)  # an answer that never comes
    page.goto((site / "index.html").as_uri())
    with page.expect_request("**/slow.svg"):
        page.evaluate("new Image().src = 'slow.svg'")
    page.goto((site / "glossary.html").as_uri())
    assert page.wrong == []
    with page.expect_event("requestfailed"):
        page.evaluate("new Image().src = 'absent.svg'")
    assert "absent.svg" in page.wrong[0]
