"""What the players are made of: which call a notebook makes, what of the notebook runs for it, its grid, its frames."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import frames
import numpy as np
import players
import pytest
from PIL import Image

from icrl_teach.figures import View, new_figure, png_bytes
from icrl_teach.widgets import choice, dial, log_dial

LESSONS = sorted((Path(__file__).parents[2] / "lessons").glob("*.ipynb"))
IMPORTS = "from icrl_teach.views.lesson_05 import margin_view, context\nfrom icrl_teach.widgets import dial, explore\n"
CALL = 'explore(margin_view, gamma=dial("discount", 0.0, 0.9, 0.5, 0.1), tau=dial("tau", 1, 8, 3))'


def notebook(*sources):
    cells = [{"cell_type": "code", "id": f"c{k}", "source": source, "outputs": []} for k, source in enumerate(sources)]
    return {"cells": cells, "metadata": {}}


def test_a_call_is_read_and_no_cell_runs():
    (call,) = frames.calls(notebook(IMPORTS + "raise SystemExit", "1 / 0\n" + CALL, "import nothing_of_that_name"))
    assert (call.cell, call.widget, call.view.__name__) == ("c1", 0, "margin_view")
    assert call.dials == {"gamma": dial("discount", 0.0, 0.9, 0.5, 0.1), "tau": dial("tau", 1, 8, 3)}


def test_only_the_names_of_the_call_are_imported():
    trees = [ast.parse(IMPORTS + "import nothing_of_that_name")]
    needed = frames.imports_for(ast.parse(CALL).body[0].value, trees)
    assert [ast.unparse(statement) for statement in needed] == [
        "from icrl_teach.widgets import dial",
        "from icrl_teach.widgets import explore",
        "from icrl_teach.views.lesson_05 import margin_view",
    ]


def test_widgets_are_counted_as_a_cell_shows_them():
    source = f"training_widget(run, draw, first)\n{CALL}\nprint(1)\n{CALL}"
    assert [(call.cell, call.widget) for call in frames.calls(notebook(IMPORTS, source))] == [("c1", 1), ("c1", 2)]


def test_the_last_import_before_the_call_counts():
    first = IMPORTS.replace("lesson_05 import margin_view", "lesson_04 import temperature_view as margin_view")
    later = "from icrl_teach.views.lesson_01 import value_view as margin_view"
    (call,) = frames.calls(notebook(first, IMPORTS, CALL, later))
    assert call.view.__module__ == "icrl_teach.views.lesson_05"


@pytest.mark.parametrize(
    "before",
    [
        "", "margin_view = print", IMPORTS + "margin_view = print", IMPORTS + "def margin_view(gamma, tau): ...",
        IMPORTS + "for margin_view in (): ...", IMPORTS + "with open('x') as margin_view: ...",
    ],
)  # fmt: skip
def test_a_view_that_the_notebook_makes_itself_is_refused_with_a_remedy(before):
    with pytest.raises(ValueError, match=r"'(margin_view|dial)' in .*move it there and import it"):
        frames.calls(notebook(before, CALL))


def test_a_dial_that_hangs_on_a_variable_is_refused():
    with pytest.raises(ValueError, match="'top' in"):
        frames.calls(notebook(IMPORTS + "top = 8", CALL.replace("8", "top")))


def test_a_view_from_elsewhere_is_refused():
    with pytest.raises(ValueError, match=r"no view of icrl_teach\.views"):
        frames.calls(notebook(IMPORTS + "from math import sqrt", CALL.replace("margin_view", "sqrt")))


def test_every_lesson_with_a_dial_has_one_call_and_its_grid_fits():
    found = {path.stem: frames.calls(json.loads(path.read_text(encoding="utf-8"))) for path in LESSONS}
    assert {stem: len(calls) for stem, calls in found.items()} == {
        path.stem: int("explore(" in path.read_text(encoding="utf-8")) for path in LESSONS
    }
    assert set(frames.GRIDS) <= set(found)
    for stem, calls in found.items():
        for call in calls:
            assert 1 < frames.player(stem, call, frames.GRIDS.get(stem, {}), "").count <= 600


def test_the_places_of_each_kind_of_dial():
    assert frames.positions(dial("layers", 0, 4, 1, 2)) == [0, 2, 4]
    tenths = dial("gamma", 0.0, 0.9, 0.5, 0.1)
    assert frames.positions(tenths) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert [tenths.value_at(place) for place in frames.positions(tenths)] == frames.positions(tenths)
    assert np.allclose(frames.positions(log_dial("beta", 0.01, 100, 1.0, steps=4)), [0.01, 0.1, 1, 10, 100])
    assert frames.positions(choice("kind", ["a", "b", "c"], "b")) == [0, 1, 2]


def test_a_grid_keeps_the_start_and_the_order_and_names_what_is_no_place():
    assert frames.grid_of(dial("k", 1, 60, 4), [60, 1]) == [1, 4, 60]
    assert frames.grid_of(choice("kind", ["a", "b"], "b"), [0]) == [0, 1]
    beta = frames.grid_of(log_dial("beta", 0.1, 20, 8.0), [0.1, 1, 8])
    assert beta[0] == 0.1 and beta[2] == 8.0 and abs(beta[1] - 1) < 0.05 and len(beta) == 3
    with pytest.raises(ValueError, match=r"0\.55 is no place of the dial 'gamma'"):
        frames.grid_of(dial("gamma", 0.0, 0.9, 0.5, 0.1), [0.55])
    with pytest.raises(ValueError, match="5 is no place"):
        frames.grid_of(log_dial("beta", 0.1, 10, 1.0, steps=2), [5])


def made(view=None, chosen=None, **dials):
    dials = dials or {"x": dial("x", 0, 2, 1), "kind": choice("kind", ["low", "high"], "high")}
    call = frames.Call("c0", 0, "explore(view)", view or tiny, dials)
    return frames.player("99_none", call, chosen or {}, "")


def tiny(x, kind="low"):
    figure, (ax,) = new_figure(size=(1, 1), fitted=False)
    ax.plot([0, x], [0, len(kind)])
    return View(figure, f"a line to {x}, {kind}", f"x {x!r} {kind} </script>")


def test_a_grid_too_fine_or_of_another_dial_is_refused():
    with pytest.raises(ValueError, match="601 frames; a page has at most 600"):
        made(x=dial("x", 0, 600, 0))
    with pytest.raises(ValueError, match=r"the grid names \['y'\]; the call has the dials \['kind', 'x'\]"):
        made(chosen={"y": [1]})


def test_a_folder_has_another_name_when_call_grid_or_sources_change():
    player = made()
    other = replace(player.call, source="explore(view, )")
    names = {
        player.folder, made(chosen={"x": [0]}).folder, frames.player("99_none", other, {}, "").folder,
        frames.player("99_none", player.call, {}, "new").folder,
    }  # fmt: skip
    assert len(names) == 4 and made().folder == player.folder
    assert len(frames.sources_key()) == 64


def test_no_view_stands_on_what_the_key_leaves_out():
    load = (
        "import importlib, pkgutil, sys, icrl_teach.views as views\n"
        "for each in pkgutil.iter_modules(views.__path__): importlib.import_module(f'icrl_teach.views.{each.name}')\n"
        "print(*(name.split('.')[1] for name in sys.modules if name.startswith('icrl_teach.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, check=True).stdout.split()
    assert "views" in loaded and not frames.APART & set(loaded)


def test_frames_are_the_views_pictures_and_texts_in_the_order_of_the_dials(tmp_path):
    player = made()
    folder = frames.draw(player, tmp_path)
    drawn = json.loads((folder / "frames.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [player.folder]
    expected = [(x, kind) for x in (0, 1, 2) for kind in ("low", "high")]
    assert drawn["frames"] == [[f"a line to {x}, {kind}", f"x {x} {kind} </script>", []] for x, kind in expected]
    assert expected[player.first] == (1, "high") and player.count == 6
    for k, (x, kind) in enumerate(expected):
        with Image.open(folder / f"{k}.webp") as frame:
            assert list(frame.size) == drawn["size"]
            assert same_picture(frame, tiny(x, kind)) and not same_picture(frame, tiny(x + 0.1, kind))


def same_picture(frame, view):
    """Whether a frame is the picture that a notebook would store of this view, pixel by pixel where one is visible."""
    with Image.open(BytesIO(png_bytes(view.figure, 110, transparent=True))) as png:
        one, other = (np.asarray(image.convert("RGBA")) for image in (frame, png))
    seen = one[..., 3:] > 0
    return seen.any() and np.array_equal(one[..., 3], other[..., 3]) and np.array_equal(one * seen, other * seen)


def test_frames_that_are_there_are_not_drawn_again(tmp_path):
    drawings = []
    player = made(lambda **values: drawings.append(values) or tiny(**values))
    assert frames.draw(player, tmp_path) == frames.draw(player, tmp_path) and len(drawings) == 6
    frames.draw_all([player], tmp_path, pytest.fail)


def test_a_view_that_fails_leaves_no_frames(tmp_path):
    with pytest.raises(ZeroDivisionError):
        frames.draw(made(lambda x, kind: tiny(1 / (x - 2), kind)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_frames_too_heavy_or_of_two_sizes_are_refused(tmp_path, monkeypatch):
    def grows(x, kind):
        view = tiny(x, kind)
        view.figure.set_size_inches(1 + x, 1)
        return view

    with pytest.raises(ValueError, match="and one size"):
        frames.draw(made(grows), tmp_path)
    monkeypatch.setattr(frames, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100"):
        frames.draw(made(), tmp_path)


def test_old_frames_go_and_those_of_others_stay(tmp_path):
    player = made()
    for name in (player.folder, "99_none-0123456789ab", "98_other-0123456789ab"):
        (tmp_path / name).mkdir()
    frames.tidy([player], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {player.folder, "98_other-0123456789ab"}


def test_processes_draw_what_one_would(tmp_path):
    path = next(path for path in LESSONS if path.stem.startswith("12_"))
    (call,) = frames.calls(json.loads(path.read_text(encoding="utf-8")))
    player, said = frames.player(path.stem, call, {"layer": [3]}, ""), []
    frames.draw_all([player], tmp_path / "all", said.append)
    assert said[0] == "drawing 3 frames of 1 players"
    alone = frames.draw(player, tmp_path / "one")
    for name in ("0.webp", "1.webp", "2.webp", "frames.json"):
        assert (tmp_path / "all" / player.folder / name).read_bytes() == (alone / name).read_bytes()


def test_a_page_states_its_grid():
    whole = "This page has all 6 positions of the dials, each drawn beforehand."
    assert players.note(made()) == whole
    some = made(chosen={"x": [0]})
    assert players.note(some).startswith("This page has 4 of the 6 positions, each drawn beforehand (x: 2 of 3). In a")


def test_a_player_reads_without_its_script_and_its_texts_end_no_element(tmp_path):
    player = made()
    frames.draw(player, tmp_path)
    drawn = players.drawn(player, tmp_path)
    text = players.player_html(player, drawn, "../")
    assert f'src="../_static/players/{player.folder}/3.webp" alt="a line to 1, high" width="110" height="110"' in text
    assert "<pre>x 1 high &lt;/script&gt;</pre>" in text
    assert text.count("</script>") == 1
    data = json.loads(text.split(">", 2)[2].split("</script>")[0])
    assert data["values"] == {"x": 1, "kind": 1} and data["frames"] == drawn["frames"]
    assert data["dials"]["kind"] == {
        "label": "kind", "kind": "choice", "least": 0.0, "most": 1.0, "step": 1.0, "options": ["low", "high"],
        "grid": [0, 1],
    }  # fmt: skip


def test_the_output_of_a_call_is_found_or_missed_in_words():
    source = notebook("explore(view)")
    with pytest.raises(ValueError, match="cell c0 stores 0 widgets; run the notebook"):
        players.output_of(source, made().call)
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}}
    shown = [{"data": {"text/plain": "printed"}}, {"data": view}]
    source["cells"][0]["outputs"] = shown
    assert players.output_of(source, made().call) is shown[1]


def test_a_page_with_another_player_is_out_of_date(tmp_path):
    page = tmp_path / "page.html"
    assert not players.shows(page, ["<b>one</b>"])
    page.write_text("<p><b>one</b></p>", encoding="utf-8")
    assert players.shows(page, ["<b>one</b>"]) and not players.shows(page, ["<b>one</b>", "<b>two</b>"])


def test_the_script_stands_alone():
    text = players.script()
    assert "export" not in text and "import " not in text.replace("important", "")
    assert "const widget = {" in text and "widget.render(" in text
