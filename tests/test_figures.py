"""The arrays behind the figures: what is drawn is what was given; the second cue beside colour; alternative text."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from PIL import Image

from icrl_teach import figures, widgets
from icrl_teach.figures import View, bars, chain_diagram, curves, cuts, heat_map, new_figure, picture, png_bytes
from legends import legend_faults

NAMES = {"title": "rising", "xlabel": "layer", "ylabel": "error"}


def test_curves_draw_the_given_numbers_each_with_its_own_look():
    x, ys = np.arange(5), {"a": np.arange(5.0), "b": np.arange(5.0) ** 2, "c": np.ones(5)}
    figure = curves(x, ys, **NAMES, yscale="log", references={"floor": 0.5}, bands={"a": (np.zeros(5), np.ones(5))})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    for label, y in ys.items():
        np.testing.assert_allclose(lines[label].get_ydata(), y)
        np.testing.assert_allclose(lines[label].get_xdata(), x)
    assert set(lines["floor"].get_ydata()) == {0.5}
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines.values()}
    assert len(looks) == len({look[0] for look in looks}) == 4
    assert len({line.get_marker() for label, line in lines.items() if label in ys}) == 3
    axes = figure.axes[0]
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == ("rising", "layer", "error")
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c", "floor"]


def test_a_log_axis_without_anything_to_show_says_so():
    axes = curves([0, 1], {"a": [0.0, 0.0], "b": [0.0, -1.0]}, **NAMES, yscale="log").axes[0]
    assert axes.get_yscale() == "linear"
    assert [text.get_text() for text in axes.texts] == [figures.NOTHING_POSITIVE]
    axes = curves([0, 1], {"a": [0.0, 1e-9]}, **NAMES, yscale="log").axes[0]
    assert axes.get_yscale() == "log" and not axes.texts


def test_points_are_drawn_without_a_line():
    (line,) = curves([0, 1], {"a": [1, 2]}, **NAMES, points=True).axes[0].lines
    assert line.get_linestyle() == "None"


def test_a_heat_map_shows_the_matrix_and_writes_its_numbers():
    matrix = np.array([[0.0, 1.25], [2.5, 0.5]])
    axes = heat_map(matrix, **NAMES, row_names=["r0", "r1"], column_names=["c0", "c1"]).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), matrix)
    assert [text.get_text() for text in axes.texts] == ["0.00", "1.25", "2.50", "0.50"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["r0", "r1"]
    assert axes.images[0].get_clim() == (0.0, 2.5)


def test_a_cell_that_is_nan_stays_blank():
    axes = heat_map([[0.0, np.nan], [2.5, 0.5]], **NAMES).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.00", "2.50", "0.50"]
    assert axes.images[0].get_clim() == (0.0, 2.5)
    assert axes.images[0].cmap(axes.images[0].get_array()[0, 1])[3] == 0.0  # transparent


def test_a_signed_heat_map_is_symmetric_about_zero():
    image = heat_map([[-3.0, 1.0]], **NAMES).axes[0].images[0]
    assert image.get_clim() == (-3.0, 3.0)
    assert heat_map([[-3.0, 1.0]], **NAMES, limit=5.0).axes[0].images[0].get_clim() == (-5.0, 5.0)


def test_a_large_heat_map_writes_no_numbers():
    assert not heat_map(np.ones((30, 30)), **NAMES).axes[0].texts


def test_bars_have_the_given_heights_and_a_hatch_each():
    axes = bars(["x", "y"], {"a": [1.0, 2.0], "b": [3.0, 4.0]}, **NAMES, references={"line": 2.0}).axes[0]
    assert [patch.get_height() for patch in axes.patches] == [1.0, 2.0, 3.0, 4.0]
    assert len({patch.get_hatch() for patch in axes.patches}) == 2


def test_a_chain_has_a_circle_a_state_and_an_arrow_a_transition():
    P = [[0.1, 0.9, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]
    axes = chain_diagram(P, title="three states", names=["A", "B", "C"], notes=["1", "2", "3"], shade=[0, 1, 2]).axes[0]
    kinds = [type(patch).__name__ for patch in axes.patches]
    assert (kinds.count("Circle"), kinds.count("FancyArrowPatch")) == (3, 5)
    written = {text.get_text() for text in axes.texts}
    assert {"A\n1", "B\n2", "C\n3", "0.10", "0.90", "0.50", "1.00"} <= written


def test_panels_share_one_figure():
    figure, axes = new_figure(1, 2)
    assert curves([0, 1], {"a": [0, 1]}, **NAMES, ax=axes[0]) is figure
    assert heat_map([[1.0]], **NAMES, ax=axes[1]) is figure


def test_the_same_figure_gives_the_same_bytes():
    one, two = (png_bytes(curves([0, 1], {"a": [0, 1]}, **NAMES)) for _ in range(2))
    assert one == two


def test_each_of_seven_lines_has_a_second_cue():
    assert len(set(figures.MARKERS)) == len(set(figures.LINES)) == len(set(figures.HATCHES)) == len(figures.PALETTE)


def test_a_picture_carries_its_alternative_text_and_needs_one():
    figure = curves([0, 1], {"a": [0, 1]}, **NAMES)
    alt = 'A line that rises: "0 < 1" & on.'
    shown = picture(figure, alt)._repr_mimebundle_()
    assert set(shown) == {"text/html", "text/plain"}  # stored once, where a screen reader meets its text
    (img,) = images(shown["text/html"])
    assert (img["alt"], shown["text/plain"]) == (alt, alt)
    with pytest.raises(ValueError, match=r"alt is 'a plot'; say in a sentence what the picture shows"):
        picture(figure, "a plot")


def images(text):
    """The attributes of each `<img>` in a piece of HTML."""
    found, reader = [], HTMLParser()
    reader.handle_starttag = lambda tag, attrs: found.append(dict(attrs)) if tag == "img" else None
    reader.feed(text)
    return found


def test_a_picture_is_stored_without_background_at_the_size_it_is_shown_in():
    figure = curves([0, 1], {"a": [0, 1]}, **NAMES)
    (img,) = images(picture(figure, "A line that rises from zero to one.").html())
    kind, data = img["src"].split(",")
    assert kind == "data:image/png;base64" and img["class"] == "icrl-picture"
    image = Image.open(BytesIO(base64.b64decode(data)))
    assert (img["width"], img["height"]) == tuple(map(str, image.size)) == ("700", "390")
    assert image.getpixel((3, 3))[3] == 0
    assert Image.open(BytesIO(png_bytes(figure))).convert("RGBA").getpixel((3, 3)) == (255, 255, 255, 255)


def decoded(uri):
    """The picture in a data address."""
    return Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_picture_of_panels_is_cut_between_them_and_each_piece_says_that_it_is_one():
    figure, axes = new_figure(1, 3)
    for ax in axes:
        curves([0, 1], {"a": [0, 1]}, **NAMES, ax=ax)
    shown = picture(figure, "Three lines that rise from zero to one.")
    found = images(shown.html())
    assert len(shown.cuts) == 2 and len(found) == 3
    first, *others = (img["alt"] for img in found)
    assert first == shown.alt
    assert others == ["Part 2 of 3 of the same picture.", "Part 3 of 3 of the same picture."]
    pieces = [np.asarray(decoded(img["src"])) for img in found]
    np.testing.assert_array_equal(np.hstack(pieces), np.asarray(decoded(shown.uri)))


def test_no_cut_is_where_something_reaches_over():
    for reach in (
        lambda figure, axes: axes[0].text(0.5, 0.5, "a long word " * 9),
        lambda figure, axes: figure.suptitle("A title over both panels of this one"),
        lambda figure, axes: figure.text(0.5, 0.5, "between"),
    ):
        figure, axes = new_figure(1, 2, fitted=False)
        assert len(cuts(figure, 700)) == 1
        reach(figure, axes)
        assert cuts(figure, 700) == ()
    figure, _ = new_figure(2, 1)
    assert cuts(figure, 700) == ()


def test_a_line_leaves_a_log_axis_where_only_rounding_is_left():
    falling = 10.0 ** -np.arange(20.0)
    noise = np.array([3.0, 1e-15, 2e-16, 0.0])
    figure = curves(np.arange(20), {"falling": falling, "faint": 1e-15 * falling}, **NAMES, yscale="log")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    np.testing.assert_array_equal(lines["falling"][:13], falling[:13])
    assert not lines["falling"][13:].any()
    np.testing.assert_array_equal(lines["faint"][:13], 1e-15 * falling[:13])  # small, but not beside itself
    (drawn,) = curves(np.arange(4), {"noise": noise}, **NAMES, yscale="log").axes[0].lines
    assert drawn.get_ydata().tolist() == [3.0, 0.0, 0.0, 0.0]
    other = noise * [1, 7, 0, 1]  # another processor's rounding
    assert png_bytes(curves(np.arange(4), {"noise": other}, **NAMES, yscale="log")) == png_bytes(
        curves(np.arange(4), {"noise": noise}, **NAMES, yscale="log")
    )
    (drawn,) = curves(np.arange(4), {"noise": noise}, **NAMES).axes[0].lines
    assert drawn.get_ydata().tolist() == noise.tolist()  # a linear axis shows what is given
    gaps = curves([0, 1, 2], {"gaps": [np.nan, 1.0, -1.0]}, **NAMES, yscale="log").axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(gaps, [np.nan, 1.0, -1.0])


def test_a_greek_letter_s_name_is_written_as_the_letter():
    names = {"title": "beta 4", "xlabel": "(1 - gamma) v", "ylabel": "$x$, tau and mu"}
    axes = curves([0, 1], {"bound gamma^k": [0, 1], "alphabet": [0, 1]}, **names).axes[0]
    said = (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel())
    assert said == (r"$\beta$ 4", r"(1 - $\gamma$) v", r"$x$, $\tau$ and $\mu$")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [r"bound $\gamma^k$", "alphabet"]


def view(level):
    if level > 8:
        raise ValueError("level is too <high>")
    return View(curves([0, 1], {"a": [0, level]}, **NAMES), f"A line that rises to {level}.", f"level {level:.2f}")


def moved(screen, **values):
    """What the browser does when a dial is moved: the new values, then one question more."""
    screen.values = {**screen.values, **values}
    screen.asked += 1
    return screen.view


def test_a_dial_redraws_picture_text_and_numbers_and_shows_an_error_instead_of_dying(monkeypatch):
    boxes = []
    monkeypatch.setattr(widgets, "show", boxes.append)
    widgets.explore(view, level=widgets.dial("level", 0, 10, 2))
    (screen,) = boxes
    first = screen.view
    assert (first["alt"], first["numbers"], first["asked"]) == ("A line that rises to 2.", "level 2.00", 0)
    then = moved(screen, level=5)
    assert (then["numbers"], then["asked"]) == ("level 5.00", 1)
    assert then["picture"].startswith("data:image/png;base64,") and then["picture"] != first["picture"]
    assert moved(screen, level=9)["error"] == "ValueError: level is too <high>"
    again = moved(screen, level=3)
    assert (again["error"], again["numbers"]) == ("", "level 3.00")


def test_the_stored_output_reads_as_a_page_without_a_widget(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda bundle, **more: shown.append((bundle, more)))
    widgets.explore(view, level=widgets.dial("level", 0, 10, 2))
    ((bundle, more),) = shown
    assert bundle["text/plain"] == "level 2.00"
    assert "image/png" not in bundle and not more.get("metadata")
    assert [img["alt"] for img in images(bundle["text/html"])] == ["A line that rises to 2."]


def test_dials_are_labelled_and_give_the_kind_of_value_that_fits():
    whole, decimal = widgets.dial("layers", 0, 64, 4), widgets.dial("gamma", 0.0, 0.95, 0.5)
    log, buttons = widgets.log_dial("beta", 0.01, 100, 1.0), widgets.choice("family", ["boyan", ("a", 2)], ("a", 2))
    dials = (whole, decimal, log, buttons)
    assert [each.settings()["label"] for each in dials] == ["layers", "gamma", "beta", "family"]
    assert [each.position for each in dials] == [4, 0.5, 1.0, 1]
    assert buttons.settings()["options"] == ["boyan", "('a', 2)"]
    values = [each.value_at(1) for each in dials]  # the browser writes 1.0 as 1
    assert values == [1, 1.0, 1.0, ("a", 2)] and list(map(type, values)) == [int, float, float, tuple]


def test_values_stand_in_their_rows_with_the_interval_of_the_first():
    points = {"value": [1.0, 2.0, 3.0], "mean return": [1.5, np.nan, 2.5]}
    figure = figures.value_intervals(["a", "b", "c"], points, ([0, 1, np.nan], [2, 4, np.nan]), title="t", xlabel="x")
    (ax,) = figure.axes
    value, returns = ax.lines
    assert value.get_xdata().tolist() == [1.0, 2.0, 3.0] and value.get_ydata().tolist() == [0, 1, 2]
    assert returns.get_marker() != value.get_marker()  # told apart without colour
    (bars,) = ax.collections
    assert [segment.tolist() for segment in bars.get_segments()[:2]] == [[[0, 0], [2, 0]], [[1, 1], [4, 1]]]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_ylim() == (2.5, -0.5)  # the first row on top
    assert not figures.value_intervals(["a"], {"value": [1.0]}, title="t", xlabel="x").axes[0].collections


def test_a_legend_stands_below_its_axes_in_the_picture_wherever_the_lines_are():
    rng, lines = np.random.default_rng(3), ("frozen softmax Transformer", "batch tabular TD", "LSTD", "best constant")
    places = set()
    for _ in range(3):
        ys = {name: 10.0 ** rng.uniform(-3, 0, 30) for name in lines}
        figure, (left, right) = new_figure(1, 2)
        curves(np.arange(30), ys, **NAMES, yscale="log", references={"a floor": 0.1}, ax=left)
        bars(["one\nof two rows", "two"], {name: y[:2] for name, y in ys.items()}, **NAMES, ax=right)
        assert legend_faults(figure) == []
        for ax in (left, right):
            box = ax.get_legend().get_window_extent()
            assert box.y1 <= ax.xaxis.label.get_window_extent().y0
            places.add((ax is left, box.y0.round(3), (box.x0 - ax.bbox.x0).round(3)))
    assert len(places) == 2  # other numbers, other widths of tick labels, the same places below the axes


def test_a_legend_takes_a_stated_corner_or_is_left_out():
    ys = {"a": [0, 1], "b": [0, 1]}
    assert legend_faults(curves([0, 1], ys, **NAMES, legend="lower right")) == []
    assert curves([0, 1], ys, **NAMES, legend=None).axes[0].get_legend() is None
    assert bars(["x", "y"], ys, **NAMES, legend=None).axes[0].get_legend() is None
    values = figures.value_intervals(["x", "y"], ys, title="t", xlabel="x", legend=None)
    assert values.axes[0].get_legend() is None
    assert curves([0, 1], {"a": [0, 1]}, **NAMES).axes[0].get_legend() is None  # one line is named by the title


def test_a_legend_on_a_line_off_the_picture_or_where_matplotlib_guesses_is_seen():
    ys = {"a": [0, 1], "b": [0, 1]}
    (fault,) = legend_faults(curves([0, 1], ys, **NAMES, legend="center"))
    assert fault == "rising: it lies on 2 lines or bars"
    (fault,) = legend_faults(curves([0, 1], ys, **NAMES, legend="best"))
    assert fault == "rising: its place turns on the data"
    figure = curves([0, 1], ys, **NAMES)
    figure.set_layout_engine("none")
    figure.axes[0].set_position((0.1, 0.05, 0.8, 0.8))
    (fault,) = legend_faults(figure)
    assert fault.startswith("rising: it leaves the picture")


def test_a_cell_s_own_legend_does_not_guess_either():
    with matplotlib.rc_context():
        figures.use_style()
        figure, (ax,) = new_figure()
        ax.plot([0, 1], [1, 0], label="falling")
        ax.legend()
        assert legend_faults(figure) == []
