"""Decks from the lessons: what a slide keeps of a text; minutes, predictions, pictures and formulas of every deck."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

import slides
from guards import ROOT
from icrl_teach.standing import parts
from slide_text import Block, blocks, gist, lines, sentences, stacked

VOID = {"img", "br", "meta", "link", "hr", "input"}
CLASS = 45  # minutes


@pytest.fixture(scope="module")
def decks():
    return {part.number: (part, made) for part, made in slides.decks()}


def test_blocks_of_a_text_are_told_apart():
    text = "## 1. A title\nFirst line\nof two.\n\n- one\n- two\n\n| a |\n|---|\n| b |\n\n$$x\n= y$$\n"
    text += "<details><summary>Answer</summary>\n\nYes.\n\n</details>\nLast."
    kinds = [block.kind for block in blocks(text)]
    assert kinds == ["heading", "paragraph", "list", "table", "equation", "folded", "paragraph"]
    assert [block.text for block in blocks(text) if block.kind in ("equation", "folded")] == ["$$x\n= y$$", "Yes."]


def test_a_full_stop_in_a_formula_or_a_name_ends_no_sentence():
    text = "Take $v = 0.5. A$ first. Wang et al. Found it **here. Now** the end. Then `a. B` stops."
    assert sentences(text) == [
        "Take $v = 0.5. A$ first.",
        "Wang et al. Found it **here.",
        "Now** the end.",
        "Then `a. B` stops.",
    ]


@pytest.mark.parametrize(
    ("paragraph", "kept"),
    [
        ("One. A **word** is bold. Another sentence that nobody needs at all.", "A **word** is bold."),
        ("Short. This one has quite enough words for a slide, really. Dropped.",
         "Short. This one has quite enough words for a slide, really."),
        ("**Label.** A first sentence with more than nine words in it, surely. Dropped.",
         "**Label.** A first sentence with more than nine words in it, surely."),
        ("A first sentence with more than nine words in it, surely. It reads:",
         "A first sentence with more than nine words in it, surely. It reads:"),
    ],
)  # fmt: skip
def test_the_gist_of_a_paragraph(paragraph, kept):
    assert gist(paragraph) == kept


def test_a_wide_equation_is_stacked_and_a_narrow_one_is_not():
    wide = r"$$\alpha = \beta + \gamma + \delta + \alpha + \beta,  \qquad x = y + z + u + v + w + a + b + c + d + e$$"
    assert stacked(wide).count("$$") == 4 and stacked("$$a, \\qquad b$$") == "$$a, \\qquad b$$"
    assert lines(Block("equation", stacked(wide)), 70) == 2 * lines(Block("equation", "$$a$$"), 70)


def test_every_deck_fits_a_class_and_its_notes_hold_what_the_slides_leave_out(decks):
    assert list(decks) == [part.number for part in parts()]
    for number, (_, made) in decks.items():
        assert sum(slide.minutes for slide in made) <= CLASS, number
        assert made[0].kind == "title" and made[-1].title == "In five lines" and len(made) >= 25
        assert sum(len(" ".join(slide.notes).split()) for slide in made) > 800, number
        assert "On the board" in " ".join(made[0].notes)
        assert [slide.kind for slide in made].count("clicker") == 3
    assert {number for number, (_, made) in decks.items() if any(s.kind == "explorer" for s in made)} == {"00", "07"}


def test_every_prediction_of_a_shown_cell_is_asked_and_answered(decks):
    for number, (_, made) in decks.items():
        asked = [slide for slide in made if slide.kind == "predict"]
        assert len(asked) >= 3, number
        for slide in asked:
            assert "fragment" in "".join(slide.body), (number, slide.body)


class Page(HTMLParser):
    """Follows open tags, and gathers pictures and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.pictures, self.addresses, self.titles = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.addresses += [values[name] for name in ("src", "href", "data-src") if values.get(name)]
        if tag == "img":
            self.pictures.append(values)
        self.titles += tag in ("h1", "h2")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_a_page_is_well_formed_reads_no_network_and_its_pictures_have_words(decks):
    for number, (part, made) in decks.items():
        page = Page()
        text = slides.page(part, made)
        page.feed(text)
        assert page.open == [] and "{{" not in text and page.titles == len(made)
        assert len(page.pictures) >= 3 and all(len(picture.get("alt") or "") > 20 for picture in page.pictures), number
        files = ("data:image/", "reveal/dist/", "deck.css", "explorer.html")
        assert [address for address in page.addresses if not address.startswith(files)] == []


def test_no_formula_is_left_as_text(decks):
    for number, (_, made) in decks.items():
        for slide in made:
            shown = re.sub(
                r"<pre.*?</pre>|<code.*?</code>|<annotation.*?</annotation>", "", slides.section(slide), flags=re.S
            )
            shown = re.sub(r"<[^>]*>", "", shown.split('<aside class="notes">')[0])
            assert "$" not in shown and "\\" not in shown, (number, slide.title, shown)


def test_what_the_settings_name_is_there(decks):
    settings = slides.tomllib.loads(slides.SETTINGS.read_text(encoding="utf-8"))
    for number, named in settings.items():
        cells = json.loads((ROOT / "lessons" / decks[number][0].lesson).read_text(encoding="utf-8"))["cells"]
        ids, prose = {cell["id"] for cell in cells}, "".join("".join(cell["source"]) for cell in cells)
        assert {*named.get("skip", []), *named.get("explorer", [])} <= ids
        assert all(f"## {heading}\n" in prose for heading in named.get("leave", []))


def test_what_comes_from_npm_is_one_package_locked_to_its_content():
    lock = json.loads((slides.HERE / "package-lock.json").read_text(encoding="utf-8"))
    found = {name: value for name, value in lock["packages"].items() if name}
    assert set(found) == {"node_modules/reveal.js"}
    assert found["node_modules/reveal.js"]["license"] == "MIT" and found["node_modules/reveal.js"]["integrity"]
    assert "resolved" not in json.dumps(lock)
