"""Colours are told apart by every eye, and stand out on white paper and, turned dark, on a dark page."""

from itertools import combinations

import numpy as np
import pytest

from contrast import FEWEST_GRAPHICS, FEWEST_WORDS, SIGHT, contrast, darkened, distance, on_a_page, pale_words
from icrl_teach.figures import CELLS, INK, PALETTE, SIGNED_CELLS, curves, gershgorin_rows, new_figure
from icrl_teach.web import read


def test_the_measures_are_those_of_the_standards():
    assert contrast("white", "black") == pytest.approx(21.0)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)  # a known near miss
    assert contrast("#E69F00", "white") < FEWEST_GRAPHICS and contrast("#56B4E9", "white") < FEWEST_GRAPHICS
    np.testing.assert_allclose(darkened("white"), 0.0, atol=1e-9)
    np.testing.assert_allclose(darkened("black"), 1.0, atol=1e-9)
    assert distance("white", "black", "usual") == pytest.approx(100.0, abs=0.1)
    red, green = "#B03A2E", "#4F7A28"
    assert distance(red, green, "deuteranopia") < distance(red, green, "usual") / 3


def test_every_colour_stands_out_on_paper_and_on_a_dark_page():
    assert min(map(on_a_page, PALETTE)) >= FEWEST_GRAPHICS
    assert min(map(on_a_page, INK)) >= FEWEST_WORDS


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", [str, darkened], ids=["light", "dark"])
def test_no_two_colours_look_alike(sight, theme):
    closest = min((distance(theme(a), theme(b), sight), a, b) for a, b in combinations(PALETTE, 2))
    assert closest[0] >= 13.0, closest


@pytest.mark.parametrize("cells", [CELLS, SIGNED_CELLS], ids=["from 0", "on both sides of 0"])
def test_a_number_is_readable_on_every_cell(cells):
    for shade in cells(np.linspace(0.0, 1.0, 101))[:, :3]:
        assert contrast("black", shade) >= FEWEST_WORDS
        assert contrast(darkened("black"), darkened(shade)) >= FEWEST_WORDS


def test_words_in_a_picture_are_inked():
    figure = gershgorin_rows([[0.9, 0.1], [0.6, 0.4]], 0.5, title="rows")
    assert pale_words(figure) == []
    figure.axes[0].text(0, 0, "pale", color=PALETTE[3])
    assert pale_words(figure) == ["pale"]


def test_lines_have_the_palette_s_colours():
    ax = new_figure()[1][0]
    curves([0, 1], {name: [0, 1] for name in "abcdefg"}, title="", xlabel="", ylabel="", ax=ax)
    assert [line.get_color() for line in ax.lines] == list(PALETTE)


def test_the_colours_of_the_dials_stand_out_in_both_themes():
    light, dark = read("dials.css").split('[data-jp-theme-light="false"]', 1)
    for rules, page in ((light, "white"), (dark, "#111111")):
        colors = [word[:7] for word in rules.replace("#fff;", "").split() if word.startswith("#") and len(word) >= 7]
        assert colors
        assert min(contrast(color, page) for color in colors) >= FEWEST_GRAPHICS
