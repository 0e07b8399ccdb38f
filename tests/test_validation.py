"""The parts of icrl_teach.validation: its comparison against nbval itself, pictures, tolerances, updates, selection,
settings and reports. The guards are in test_validation_faults.py."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import psutil
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, ImageDraw

from command_line import child
from icrl_teach import cli
from icrl_teach.validation import (
    compare,
    config,
    documents,
    engine,
    execute,
    pictures,
    select,
    static,
    terminal,
    update,
    widget_states,
)
from icrl_teach.validation.config import Settings
from icrl_teach.validation.findings import RULES, Finding
from patience import PATIENCE, wait_until


def stdout(text):
    return new_output("stream", name="stdout", text=text)


def result(text, **data):
    return new_output("execute_result", data={"text/plain": text, **data}, execution_count=1)


def png(draw=None, size=(200, 100), mode="RGB"):
    image = Image.new(mode, size, "white")
    if draw:
        draw(ImageDraw.Draw(image))
    image.save(buffer := io.BytesIO(), "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def notebook(*cells, **metadata):
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(
        cells=list(cells), metadata={"kernelspec": kernel, "language_info": {"name": "python"}, **metadata}
    )


def saved(path, *cells, **metadata):
    nbformat.write(notebook(*cells, **metadata), path)
    return path


def code(source, *outputs, count=1, **more):
    return new_code_cell(source, execution_count=count, outputs=list(outputs), **more)


def compared(stored, now, **more):
    return compare.compare(stored, now, compare.sanitizers(None), 3.0, **more)


# The comparison is nbval's own.
TEXTS = ["1\n", "2\n", "1", ""]
LISTS = [
    [stdout("1\n")],
    [stdout("2\n")],
    [stdout("1\n"), result("3")],
    [result("3"), stdout("1\n")],
    [result("3"), result("3")],
    [result("3", **{"text/html": "<b>3</b>"})],
    [stdout("1\n"), new_output("stream", name="stderr", text="careful\n")],
    [new_output("error", ename="E", evalue="x", traceback=["a"])],
    [new_output("error", ename="E", evalue="y", traceback=["a"])],
    [],
]


def test_verdicts_are_those_of_nbval_in_a_pytest_session(tmp_path):
    """Two roads: nbval's plugin in pytest, given the fresh outputs by a kernel that prints them, and ours."""
    pairs = list(itertools.product(range(len(LISTS)), repeat=2))
    plugin = f"""
import json, nbformat, pytest
from nbval.plugin import IPyNbCell, coalesce_streams
LISTS = [[nbformat.from_dict(o) for o in outputs] for outputs in json.loads({json.dumps(json.dumps(LISTS))})]

@pytest.fixture
def verdicts(): pass

def pytest_collection_finish(session):
    cell = session.items[0]
    same = []
    for a, b in {pairs!r}:
        test, ref = (coalesce_streams(json.loads(json.dumps(LISTS[i]), object_hook=nbformat.from_dict)) for i in (b, a))
        same.append(bool(cell.compare_outputs(test, ref)))
    open("verdicts.json", "w").write(json.dumps(same))
"""
    (tmp_path / "asks.py").write_text(plugin)
    saved(tmp_path / "one.ipynb", code("1"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-p",
        "asks",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "one.ipynb",
    ]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    theirs = json.loads((tmp_path / "verdicts.json").read_text())
    ours = [compared(LISTS[a], LISTS[b]).mismatch is None for a, b in pairs]
    assert ours == theirs
    assert len(LISTS) <= sum(ours) < len(pairs) / 2


def test_plain_nbval_agrees_on_a_stale_cell(tmp_path):
    for name, text in {"true": "0.333\n", "stale": "0.334\n"}.items():
        saved(tmp_path / f"{name}.ipynb", code("print(f'{1 / 3:.3f}')", stdout(text)))
    nbval = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-rA", "-p", "no:cacheprovider"]
    said = subprocess.run([*nbval, "true.ipynb", "stale.ipynb"], cwd=tmp_path, capture_output=True, text=True).stdout
    failed = [said.count(f"FAILED {name}.ipynb") for name in ("true", "stale")]
    assert [said.count(f"PASSED {name}.ipynb") for name in ("true", "stale")] == [1, 0]
    report = engine.validate([tmp_path / "true.ipynb", tmp_path / "stale.ipynb"], Settings())
    assert failed == [0, 1] == [len(outcome.errors) for outcome in report.outcomes]


@pytest.mark.parametrize(
    ("stored", "now", "shown"),
    [
        ("a = 9.0\n", "a = 2.6\n", ("a = 9.0", "a = 2.6")),
        ("same\n1\n", "same\n2\n", ("1", "2")),
        ("", "new\n", ("nothing", "new")),
        ("x" * 100 + "1", "x" * 100 + "2", ("…" + "x" * 30 + "1", "…" + "x" * 30 + "2")),
        ("a \n", "a\n", ("a ", "a")),
    ],
)
def test_a_difference_is_shown_where_it_is(stored, now, shown):
    assert compare.first_difference(stored, now) == shown


def test_a_diff_of_very_long_outputs_is_short_and_shows_the_difference():
    long = "".join(f"line {i}\n" for i in range(50_000))
    gap = compared([stdout(long)], [stdout(long.replace("line 49000\n", "line x\n"))])
    assert "-line 49000" in gap.detail.replace("-  ", "-")
    assert len(gap.detail) < 5_000


def test_line_ends_and_names_of_cells_in_warnings_are_no_difference():
    stored = [new_output("stream", name="stderr", text="/tmp/ipykernel_12/345.py:1: UserWarning: x\r\n")]
    now = [new_output("stream", name="stderr", text="/tmp/ipykernel_99/111.py:1: UserWarning: x\n")]
    assert compared(stored, now).same


def test_a_file_of_patterns_is_read_as_nbval_reads_it(tmp_path):
    (tmp_path / "clean.cfg").write_text("[ids]\nregex: id-\\d+\nreplace: id\n")
    patterns = compare.sanitizers(tmp_path / "clean.cfg")
    assert compare.compare([stdout("id-1")], [stdout("id-2")], patterns, 3.0).same
    assert not compared([stdout("id-1")], [stdout("id-2")]).same


def test_kernels_side_by_side_share_the_cpus_and_a_number_that_is_set_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(execute, "cpus", lambda: 6)
    cell = code("import os\nprint(os.environ['OMP_NUM_THREADS'])")
    paths = [tmp_path / f"{k}.ipynb" for k in range(2)]
    for number, threads in ((None, "3\n"), ("5", "5\n")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if number:
            monkeypatch.setenv("OMP_NUM_THREADS", number)
        for path in paths:
            saved(path, code(cell.source, stdout(threads)))
        assert [outcome.errors for outcome in engine.validate(paths, Settings(jobs=2)).outcomes] == [[], []]


def test_a_kernel_is_reached_through_a_folder_of_its_own_where_its_name_is_short_enough(monkeypatch, tmp_path):
    """A free port can be another program's before the kernel has it."""
    source = "import json\nfrom ipykernel.connect import get_connection_info\n"
    cell = code(source + "print(json.loads(get_connection_info())['transport'])")
    long = tmp_path / ("x" * 107)
    long.mkdir()
    for folder, transport in ((None, "ipc"), (long, "tcp")):
        monkeypatch.setattr(tempfile, "tempdir", folder and str(folder))
        path = saved(tmp_path / "own.ipynb", code(cell.source, stdout(transport + "\n")))
        assert engine.validate([path], Settings()).outcomes[0].errors == []
    assert not list(long.iterdir())


# Pictures.
def dot(x, size=10, fill="navy"):
    return lambda draw: draw.rectangle((x, 40, x + size, 50), fill=fill)


def line(y):
    return lambda draw: draw.line((0, y, 200, y), fill="black", width=2)


def test_the_measure_of_a_difference_is_the_one_stated():
    """By hand: a Gaussian of 2 pixels over a step from white to black is one half at the edge, in per cent 50."""
    gap = pictures.compare(
        pictures.picture("image/png", png()),
        pictures.picture("image/png", png(lambda d: d.rectangle((100, 0, 200, 100), fill="black"))),
    )
    assert gap.percent == pytest.approx(100.0, abs=0.5)
    thin = pictures.compare(
        pictures.picture("image/png", png()),
        pictures.picture("image/png", png(lambda d: d.line((100, 0, 100, 100), fill="black"))),
    )
    assert thin.percent == pytest.approx(100 / (2 * 3.14159265) ** 0.5 / 2, abs=2.0)  # the Gaussian's height


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        (dot(20), dot(20), False),
        (dot(20), dot(24), True),
        (dot(20), dot(20, fill="#000085"), False),  # 5 of 255 in one colour
        (dot(20), dot(20, fill="firebrick"), True),
        (lambda d: d.text((20, 40), "0.93", fill="black"), lambda d: d.text((20, 40), "0.83", fill="black"), True),
        (line(40), line(60), True),
        (None, dot(20, size=2), True),
    ],
)
def test_pictures_are_compared(old, new, differs):
    a, b = ([new_output("display_data", data={"image/png": png(draw)})] for draw in (old, new))
    gap = compared(a, b)
    assert gap.same != differs
    assert all(change.change.old != change.change.new for change in gap.pictures)


def test_pictures_inside_html_are_pictures_too():
    def html(draw, alt="a dot"):
        return [result("x", **{"text/html": f'<img alt="{alt}" src="data:image/png;base64,{png(draw)}">'})]

    assert compared(html(dot(20)), html(dot(20))).same
    assert len(compared(html(dot(20)), html(dot(90))).pictures) == 1
    assert compared(html(dot(20)), html(dot(20), alt="another")).mismatch.key == "text/html"


def page(*drawn, alts=("the first of two dots", "the second of two dots")):
    """One output of HTML with several pictures."""
    images = [
        f'<img alt="{alt}" src="data:image/png;base64,{png(draw)}">' for alt, draw in zip(alts, drawn, strict=True)
    ]
    return result("x", **{"text/html": "<p>two dots</p>" + "\n".join(images)})


def test_each_of_two_pictures_in_one_html_is_compared():
    both = [page(dot(20), dot(40))]
    assert compared(both, [page(dot(20), dot(40))]).same
    for changed, number in ((page(dot(90), dot(40)), 1), (page(dot(20), dot(90)), 2)):
        gap = compared(both, [changed])
        assert [found.number for found in gap.pictures] == [number] and gap.counts == (2, 2) and gap.mismatch is None
    assert compared(both, [page(dot(20), dot(40), alts=("the first of two dots", ""))]).mismatch.key == "text/html"


def test_an_alternative_text_taken_out_of_html_is_found(tmp_path):
    assert "alt-text" not in read(tmp_path, code("x", page(dot(20), dot(40))))
    assert "alt-text" in read(tmp_path, code("x", page(dot(20), dot(40), alts=("the first of two dots", ""))))
    without = page(dot(20), dot(40))
    without.data["text/html"] = without.data["text/html"].replace('alt="the first of two dots"', "")
    assert "alt-text" in read(tmp_path, code("x", without))


def test_what_a_picture_says_of_itself_is_no_number_beside_it(tmp_path):
    image = f'<img alt="A dot at 20 of 200" src="data:image/png;base64,{png(dot(20))}">'
    shown = new_output("display_data", data={"text/html": image, "text/plain": "A dot at 20 of 200"})
    assert "picture-number" in read(tmp_path, code("x", shown), profile="lesson")
    assert "picture-number" not in read(tmp_path, code("x", shown, stdout("dot at 20\n")), profile="lesson")
    shown.data["text/plain"] = "a text that says 20"  # such as a widget's numbers
    assert "picture-number" not in read(tmp_path, code("x", shown), profile="lesson")


def test_the_data_of_a_picture_is_no_text_to_read(tmp_path):
    data = "/5e3+" + "A" * 1_100_000
    shown = result("1", **{"text/html": f'<img alt="a very large picture" src="data:image/png;base64,{data}">'})
    found = read(tmp_path, new_markdown_cell("It is 5e3."), code("x", shown))
    assert "prose-number" in found and "large-output" not in found


def test_with_the_course_s_patterns_nbval_compares_the_html_round_a_picture():
    patterns = compare.sanitizers(Path(__file__).parent / "sanitize.cfg")

    def differs(old, new):
        return compare._Nbval(patterns).first_mismatch([old], [new]) is not None

    both = page(dot(20), dot(40))
    assert not differs(both, page(dot(20), dot(90)))  # the pixels are for icrl-teach validate
    assert differs(both, page(dot(20), dot(40), alts=("the first of two dots", "another")))
    assert differs(both, page(dot(20), alts=("the first of two dots",)))


def test_sizes_and_damage_and_transparency():
    pair = [pictures.picture("image/png", data) for data in (png(), png(size=(201, 100)))]
    assert pictures.compare(*pair).percent == 100
    assert "200 x 100 pixels, now 201 x 100" in pictures.compare(*pair).words
    assert pictures.compare(pair[0], pictures.picture("image/png", "AAAA")).percent == 100
    assert pictures.compare(pair[0], pictures.picture("image/png", "?")).percent == 100
    see_through = pictures.picture("image/png", png(mode="RGBA"))
    assert pictures.compare(pair[0], see_through).percent == 0


def test_a_picture_more_or_less_is_a_difference():
    shown = new_output("display_data", data={"image/png": png()})
    assert compared([shown], [shown, shown]).counts == (1, 2)
    assert not compared([shown], [shown, shown]).same


def test_alternative_text_in_metadata_is_compared():
    def shown(alt):
        return [new_output("display_data", data={"image/png": png()}, metadata={"image/png": {"alt": alt}})]

    assert compared(shown("a"), shown("a")).same
    assert not compared(shown("a"), shown("b")).same


def test_an_svg_is_compared_without_its_random_names():
    def drawing(name, date, x):
        svg = f'<svg><dc:date>{date}</dc:date><defs><path id="{name}"/></defs><use xlink:href="#{name}" x="{x}"/></svg>'
        return [new_output("display_data", data={"image/svg+xml": svg})]

    assert compared(drawing("m1a2", "2020-01-01", 3), drawing("m9f8", "2026-01-01", 3)).same
    assert not compared(drawing("m1a2", "2020-01-01", 3), drawing("m1a2", "2020-01-01", 4)).same


# Numbers within a tolerance.
@given(st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-6), st.floats(-2e-3, 2e-3))
def test_a_tolerance_is_relative_to_the_stored_number(x, shift):
    y = x * (1 + shift)
    gap = compared(
        [stdout(f"loss {x!r} after 3\n")], [stdout(f"loss {y!r}  after 3\n")], allowed=compare.Tolerance(1e-3)
    )
    assert gap.same == (abs(y - x) <= 1e-3 * abs(x))


@pytest.mark.parametrize(
    ("stored", "now", "same"),
    [
        ("[1.0 2.0]", "[1.0001  2.0]", True),
        ("[1.0 2.0]", "[1.0001 2.0 3.0]", False),
        ("a 1.0", "b 1.0", False),
        ("1e-3", "0.0010001", True),
        ("nan 1.0", "inf 1.0", False),
        ("<td>1.0</td>", "<td>1.0002</td>", True),
        ("-1.0", "1.0", False),
    ],
)
def test_numbers_are_numbers_and_text_is_text(stored, now, same):
    assert compared([result(stored)], [result(now)], allowed=compare.Tolerance(1e-3)).same == same
    assert not compared([result(stored)], [result(now)]).same


def test_tolerances_are_read_from_tags():
    assert compare.tolerance({"x"}) is None
    assert compare.tolerance({"validate-rtol=1e-3", "validate-atol=2"}) == compare.Tolerance(1e-3, 2.0)
    for bad in ("validate-rtol=", "validate-rtol=much", "validate-rtol=-1", "validate-atol=inf"):
        with pytest.raises(ValueError, match="no number above 0"):
            compare.tolerance({bad})


# Widget states.
def widgets(value, **extra):
    state = {
        "a": {"model_name": "Box", "state": {"children": ["IPY_MODEL_b"], "value": value}},
        "b": {"state": {"k": 1, **extra}},
    }
    return {"state": state}


def test_widgets_are_compared_without_their_names_and_defaults():
    one = widget_states.tree(widgets(3)["state"], "a")
    renamed = json.loads(json.dumps(widgets(3, default=0)["state"]).replace('"b"', '"q"').replace("MODEL_b", "MODEL_q"))
    assert widget_states.differences(one, widget_states.tree(renamed, "a"), 3.0) == []
    assert widget_states.differences(one, widget_states.tree(widgets(4)["state"], "a"), 3.0) == [("state.value", 3, 4)]
    looped = {"a": {"state": {"me": "IPY_MODEL_a"}}}
    assert widget_states.tree(looped, "a")["state"]["me"] == "(model 0 above)"
    assert widget_states.tree({}, "a") is None
    assert widget_states.short("x" * 100).endswith("…")


def test_a_picture_in_a_widget_is_compared_as_one():
    def uri(shade):
        return f"data:image/png;base64,{png(lambda draw: draw.line((0, 50, 200, 50), fill=shade, width=4))}"

    black, nearly, red = ({"picture": uri(shade)} for shade in ((0, 0, 0), (2, 2, 2), (255, 0, 0)))
    assert black != nearly and widget_states.differences(black, nearly, 3.0) == []
    assert widget_states.differences(black, nearly, 0.1) == [("picture", black["picture"], nearly["picture"])]
    assert [at for at, _, _ in widget_states.differences(black, red, 3.0)] == ["picture"]
    assert widget_states.differences(black, {"picture": "none"}, 3.0) != []


# Storing.
def test_update_keeps_what_is_repeated_and_replaces_what_is_not(tmp_path):
    cells = [new_markdown_cell("# T"), code("print(1)", stdout("1\n")), code("print(2)", stdout("9\n"), count=2)]
    path = saved(tmp_path / "mixed.ipynb", *cells, authors=[{"name": "Ada"}])
    said = []
    report = engine.validate([path], Settings(), store=True, show=said.append)
    stored = nbformat.read(path, as_version=4)
    assert [cell.outputs[0].text for cell in stored.cells[1:]] == ["1\n", "2\n"]
    assert stored.metadata.authors, "metadata of one's own notebooks stay"
    assert report.findings == []
    assert "stored 9, now 2" in said[0]
    before = path.read_bytes()
    engine.validate([path], Settings(), store=True, show=said.append)
    assert path.read_bytes() == before
    assert said[-1].endswith("nothing to change")


@pytest.mark.parametrize("bad", ["1 / 0", "import os; os._exit(1)"])
def test_a_notebook_that_fails_keeps_its_old_file(tmp_path, bad):
    path = saved(tmp_path / "fails.ipynb", code("print(2)", stdout("9\n")), code(bad, count=2))
    before, said = path.read_bytes(), []
    report = engine.validate([path], Settings(), store=True, show=said.append)
    assert path.read_bytes() == before
    assert "kept as it was" in said[-1]
    assert {finding.rule for finding in report.findings} & {"raises", "dead-kernel"}
    assert [p.name for p in tmp_path.iterdir()] == ["fails.ipynb"]


def test_what_its_schema_refuses_is_not_stored(tmp_path):
    bad = notebook(code("print(2)", stdout("9\n")))
    bad.cells[0].surprise = True
    (tmp_path / "bad.ipynb").write_text(json.dumps(bad))
    said = []
    engine.validate([tmp_path / "bad.ipynb"], Settings(), store=True, show=said.append)
    assert "breaks its schema" in said[-1]
    assert json.loads((tmp_path / "bad.ipynb").read_text()) == bad


def test_widget_ids_follow_from_their_order():
    def made(*ids):
        state = {i: {"model_name": "HTMLModel", "state": {"layout": f"IPY_MODEL_{i}"}} for i in ids}
        return notebook(widgets={documents.WIDGET_STATE: {"state": state, "version_major": 2}})

    assert update.number_widgets(made("a" * 32, "b" * 32)) == update.number_widgets(made("9" * 32, "3" * 32))
    tidied = update.tidy(notebook(code("1", metadata={"tags": ["x"], "collapsed": True}), authors=["me"]))
    assert set(tidied.metadata) == {"kernelspec", "language_info"}
    assert tidied.cells[0].metadata == {"tags": ["x"]}
    folded = update.tidy(notebook(code("1", metadata={"tags": ["hide-input"]})))  # the site's tag, JupyterLab's setting
    assert folded.cells[0].metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}


# Which notebooks.
@pytest.fixture
def course(tmp_path):
    for name in ("a.ipynb", "sub/b.ipynb", ".ipynb_checkpoints/a.ipynb", "node_modules/c.ipynb", "sub/d.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        saved(tmp_path / name, code("1", result("1")))
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_notebooks_are_collected_once_and_hidden_folders_passed_over(course):
    assert names(select.collect([course, course / "a.ipynb"], Settings())) == ["a.ipynb", "b.ipynb", "d.ipynb"]
    some = Settings(root=course, exclude=("sub/*",))
    assert names(select.collect([course], some)) == ["a.ipynb"]
    (course / "empty").mkdir()
    for bad, said in {"empty": "no notebook found", "none": "no such file", "note.txt": "not a notebook"}.items():
        (course / "note.txt").write_text("x")
        with pytest.raises(ValueError, match=said):
            select.collect([course / bad], Settings())


@given(st.integers(1, 6), st.integers(0, 12))
def test_every_notebook_is_in_exactly_one_shard(n, count):
    paths = [Path(f"{i}.ipynb") for i in range(count)]
    shares = [select.shard(paths, f"{k}/{n}") for k in range(1, n + 1)]
    assert sorted(path for share in shares for path in share) == sorted(paths)


@pytest.mark.parametrize("which", ["0/2", "3/2", "1", "a/b", "-1/2"])
def test_a_shard_out_of_range_is_refused(which):
    with pytest.raises(ValueError, match="K/N"):
        select.shard([], which)


def test_changed_since_a_revision(course):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=course, check=True, capture_output=True)

    (course / "data.csv").write_text("1")
    (course / "tools.py").write_text("x = 1")
    saved(course / "sub" / "b.ipynb", code("open('../data.csv')", result("1")))
    saved(course / "sub" / "d.ipynb", code("from tools import x", result("1")))
    git("init", "-q"), git("add", "-A"), git("commit", "-qm", "one")
    paths = select.collect([course], Settings())
    assert select.changed_since(paths, "HEAD") == []
    (course / "data.csv").write_text("2")
    assert names(select.changed_since(paths, "HEAD")) == ["b.ipynb"]
    (course / "tools.py").write_text("x = 2")
    assert names(select.changed_since(paths, "HEAD")) == ["b.ipynb", "d.ipynb"]
    saved(course / "a.ipynb", code("2", result("2")))
    (course / "requirements.txt").write_text("numpy")
    assert select.changed_since(paths, "HEAD") == paths
    for bad in ("no-such-revision", "--output=x"):
        with pytest.raises(ValueError, match="changed-since"):
            select.changed_since(paths, bad)


# Settings.
def settings_of(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    return config.load(None, tmp_path / "x.ipynb")


def test_settings_come_from_the_nearest_pyproject(tmp_path):
    settings = settings_of(
        tmp_path,
        """
        [tool.icrl-teach.validate]
        profiles = { "l/*" = "lesson" }
        cell-timeout = 5
        ignore = ["alt-text"]
        warn = ["dead-link"]
        user-names = ["ada"]
        budgets = { "l/*" = { seconds = 20, megabytes = 100 } }
        """,
    )
    assert settings.profile_of(tmp_path / "l" / "a.ipynb") == "lesson"
    assert settings.profile_of(tmp_path / "m" / "a.ipynb") == "own"
    assert settings.cell_timeout == 5
    assert [settings.level_of(rule, "own") for rule in ("alt-text", "dead-link", "stale")] == [
        "off",
        "warning",
        "error",
    ]
    assert settings.budget_of(tmp_path / "l" / "a.ipynb") == config.Budget(20, 100)
    assert config.load(None, tmp_path) == settings
    (tmp_path / "own.toml").write_text("jobs = 3")
    assert config.load(tmp_path / "own.toml", tmp_path).jobs == 3
    (tmp_path / "pyproject.toml").write_text("[tool.other]")
    assert config.load(None, tmp_path).profiles == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("jbos = 3", "no such key; the keys are"),
        ("jobs = 0", "whole number above 0"),
        ("jobs = 1.5", "whole number above 0"),
        ("cell-timeout = true", "number above 0"),
        ("exclude = 'x'", "list of texts"),
        ("ignore = ['stail']", "'stail' is no rule"),
        ("profiles = { 'a' = 'strict' }", "no profile"),
        ("budgets = { 'a' = { hours = 1 } }", "a budget is a table"),
        ("budgets = { 'a' = 3 }", "a budget is a table"),
        ("sanitize = 'none.cfg'", "no such file"),
        ("profiles = 3", "profiles = 3"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path, line, said):
    with pytest.raises(ValueError, match=said) as refused:
        settings_of(tmp_path, f"[tool.icrl-teach.validate]\n{line}")
    assert "\n" not in str(refused.value)


def test_a_configuration_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ValueError, match="not TOML"):
        config.load(tmp_path / "bad.toml", tmp_path)
    with pytest.raises(ValueError, match="No such file"):
        config.load(tmp_path / "none.toml", tmp_path)


def test_a_notebook_states_its_own_budget(tmp_path):
    path = saved(tmp_path / "a.ipynb", code("1", result("1")), validate={"seconds": 1e-6, "megabytes": 1})
    report = engine.validate([path], Settings())
    assert {(f.rule, f.level, f.cell) for f in report.findings} == {
        ("time-budget", "warning", None),
        ("memory-budget", "error", None),
    }
    assert " of 1e-06" in terminal.table(report)
    saved(path, code("1", result("1")), validate={"seconds": "long"})
    assert {f.rule for f in engine.validate([path], Settings()).findings} == {"bad-tag"}


# Small rules whose edges matter.
def read(tmp_path, *cells, profile="own", **metadata):
    path = saved(tmp_path / "n.ipynb", *cells, **metadata)
    return {f.rule for f in engine.validate([path], Settings(profile=profile), run=False).findings}


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("[a](other.md)", True),
        ("[a](n.ipynb)", False),
        ("[a](n.ipynb#part 'title')", False),
        ("[a](#Part-one)", False),
        ("[a](#part-1)", True),
        ("[a](https://example.org/x)", False),
        ("[a](file:///home/ada/x.csv)", True),
        ("[a](/home/ada/x.csv)", True),
        ("[a](C:/data/x.csv)", True),
        ("`[a](other.md)`", False),
        ("```\n[a](other.md)\n```", False),
        ("$f[i](x)$", False),
        ("<a href='other.md'>x</a>", True),
        ("[a]: other.md", True),
        ("![a picture](attachment:x.png)", True),
        ("[a](a%20b.md)", False),
        ("[a](" + "x" * 5000 + ")", True),
    ],
)
def test_links(tmp_path, markdown, found):
    (tmp_path / "a b.md").write_text("x")
    assert ("dead-link" in read(tmp_path, new_markdown_cell(f"# Part one\n\n{markdown}"))) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import no_such_package", True),
        ("def f():\n    from no_such_package import x", True),
        ("try:\n    import no_such_package\nexcept ImportError:\n    pass", False),
        ("import sys\nsys.path.append('lib')\nimport no_such_package", False),
        ("import beside", False),
        ("import os, numpy.linalg", False),
        ("%%bash\nimport no_such_package", False),
        ("%%time\nimport no_such_package", True),
        ("%matplotlib inline\n!ls\nx = !ls\nint?", False),
        ("await f()", False),
    ],
)
def test_imports(tmp_path, source, found):
    (tmp_path / "beside.py").write_text("")
    rules = read(tmp_path, code(source))
    assert ("missing-import" in rules) == found
    assert "syntax" not in rules


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("![](n.png)", True),
        ("![image.png](n.png)", True),
        ("![A red square](n.png)", False),
        ("<img src='n.png'>", True),
        ("<img src='n.png' alt='A red square'>", False),
    ],
)
def test_pictures_in_prose_have_text(tmp_path, markdown, found):
    (tmp_path / "n.png").write_bytes(base64.b64decode(png()))
    assert ("alt-text" in read(tmp_path, new_markdown_cell(markdown))) == found


@pytest.mark.parametrize(
    ("svg", "found"),
    [
        ("<svg><title>A red square</title></svg>", False),
        ("<svg aria-label='A square'></svg>", False),
        ("<svg></svg>", True),
    ],
)
def test_drawings_have_text(tmp_path, svg, found):
    for kind in ("image/svg+xml", "text/html"):
        shown = new_output("display_data", data={kind: svg})
        assert ("alt-text" in read(tmp_path, code("x", shown))) == found


def test_a_sheet_lacks_what_it_lacks(tmp_path):
    task = new_markdown_cell("### One (core, 10 min)")
    exercise = code("x", metadata={"nbgrader": {"solution": True}})
    assert "sheet" in read(tmp_path, task, exercise, profile="sheet")


def test_a_date_that_a_run_repeats_is_data_but_todays_is_not(tmp_path):
    path = saved(tmp_path / "d.ipynb", code("print('2011-03-04 at 10:20:30')", stdout("2011-03-04 at 10:20:30\n")))
    assert engine.validate([path], Settings()).findings == []
    assert {f.level for f in engine.validate([path], Settings(), run=False).findings} == {"warning"}
    import datetime

    today = datetime.date.today().isoformat()
    saved(path, code("import datetime\nprint(datetime.date.today())", stdout(f"{today}\n")))
    assert {f.rule for f in engine.validate([path], Settings()).findings} == {"date"}


def test_a_guard_that_stumbles_is_a_finding(tmp_path, monkeypatch):
    def clumsy(document):
        raise KeyError("outputs")

    monkeypatch.setattr(static, "GUARDS", [clumsy])
    assert read(tmp_path, code("1")) == {"stumbled"}
    monkeypatch.setattr(engine.static, "check", clumsy)
    assert read(tmp_path, code("1")) == {"stumbled"}


def test_a_missing_package_is_said_once(tmp_path):
    path = saved(tmp_path / "m.ipynb", code("import no_such_package"))
    found = engine.validate([path], Settings()).findings
    assert [f.rule for f in found] == ["missing-import"]
    assert found[0].fix == "pip install no_such_package"


def test_what_follows_a_failed_cell_says_so(tmp_path):
    first = code("import sys; sys.path.append('x'); import no_such_package as p")
    path = saved(tmp_path / "m.ipynb", first, code("p.x", count=2), code("print 1", count=3))
    found = {(f.cell, f.rule): f.fix for f in engine.validate([path], Settings()).findings}
    assert found[0, "raises"] == "pip install no_such_package"
    assert found[1, "raises"] == "first mend cell 0, which failed before it"
    assert found[2, "raises"] == "translate it from Python 2"


# Reports and the command.
def command(*words, cwd):
    with contextlib.chdir(cwd):
        return CliRunner().invoke(cli.main, ["validate", *map(str, words)])


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    draw = "from IPython.display import Image, display\nimport base64\n"
    shown = new_output("display_data", data={"image/png": png(dot(20))}, metadata={"image/png": {"alt": "A dot at 90"}})
    source = draw + f"display(Image(base64.b64decode({png(dot(90))!r}), format='png', alt='A dot at 90'))"
    saved(folder / "stale.ipynb", code("print(2.625)", stdout("9.0\n")), code(source, shown, count=2))
    saved(folder / "fine <&>.ipynb", code("print('\\x00')", stdout("\0\n")))
    return folder


def test_the_command_reports_and_exits_with_1(spoilt, tmp_path):
    done = command(".", "--report", tmp_path / "out", "--jobs", 1, "-v", cwd=spoilt)
    assert done.exit_code == 1, done.stderr
    assert "stale.ipynb  cell 0 (" in done.stdout
    assert "): stored 9.0, now 2.625; fix: icrl-teach validate --update stale.ipynb\n" in done.stdout
    assert "    print(2.625)" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 passed, 2 failed"
    assert "3 of 3 code cells compared, 0 ignored, 0 skipped, 1 pictures compared (tolerance 3 %)" in done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "junit.xml", "validate.sarif", "report.json"}
    suites = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    assert [(s.get("name"), s.get("tests"), s.get("failures")) for s in suites] == [
        ("fine <&>.ipynb", "2", "0"),
        ("stale.ipynb", "3", "2"),
    ]
    sarif = json.loads((tmp_path / "out" / "validate.sarif").read_text())["runs"][0]
    rules = [rule["id"] for rule in sarif["tool"]["driver"]["rules"]]
    lines = (spoilt / "stale.ipynb").read_text().splitlines()
    for found in sarif["results"]:
        assert rules[found["ruleIndex"]] == found["ruleId"]
        region = found["locations"][0]["physicalLocation"]["region"]
        assert '"id": ' in lines[region["startLine"] - 1]
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (data["passed"], data["failed"]) == (3, 2)
    assert all(notebook["cells"] for notebook in data["notebooks"])


def test_the_page_needs_nothing_else(spoilt, tmp_path):
    from html.parser import HTMLParser

    command(".", "--report", tmp_path, cwd=spoilt)
    page = (tmp_path / "report.html").read_text()
    tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append((tag, dict(attrs)))

    Reader().feed(page)
    pictures_shown = [attrs for tag, attrs in tags if tag == "img"]
    assert len(pictures_shown) == 3, "old, new and difference"
    assert all(attrs["src"].startswith("data:image/png;base64,") and attrs["alt"] for attrs in pictures_shown)
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe")]
    assert "fine &lt;&amp;&gt;.ipynb" in page
    assert pictures.MEASURE in page


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 2, "there is no such file or folder"),
        ([], 2, "Missing argument"),
        (["--shard", "3/2", "."], 2, "K/N"),
        (["--config", "none.toml", "."], 2, "none.toml"),
        (["--profile", "strict", "."], 2, "strict"),
        (["--static", "fine <&>.ipynb"], 0, ""),
        (["--static", "--shard", "3/9", "."], 0, ""),
    ],
)
def test_exit_codes(spoilt, arguments, code, said):
    done = command(*arguments, cwd=spoilt)
    assert done.exit_code == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_many_alike_findings_are_summed_up_in_the_terminal():
    outcome = engine.Outcome(
        "a.ipynb", findings=[Finding("path", "stores a path", i, path="a.ipynb") for i in range(9)]
    )
    report = engine.Report([outcome], Settings(), static=True)
    lines = terminal.findings(report).splitlines()
    assert lines[3] == "a.ipynb  and 6 more such (path), cells 3, 4, 5, 6, 7, 8: --verbose shows them"
    assert len(terminal.findings(report, everything=True).splitlines()) == 9


def test_the_manual_lists_every_rule_as_it_is():
    manual = (Path(__file__).parent.parent / "docs" / "validation.md").read_text()
    sign = {"error": "E", "warning": "W", "off": "-"}
    rows = [f"| `{n}` | {r.title} | {sign[r.lesson]} | {sign[r.sheet]} | {sign[r.own]} |" for n, r in RULES.items()]
    assert [row for row in rows if row not in manual] == []


def test_the_manuals_settings_are_settings(tmp_path):
    manual = (Path(__file__).parent.parent / "docs" / "validation.md").read_text()
    (tmp_path / "sanitize.cfg").write_text("")
    settings = settings_of(tmp_path, manual.split("```toml\n")[1].split("```")[0])
    assert settings.profiles and settings.budgets and settings.exclude and settings.jobs == 2


def test_an_untouched_sheet_greets_its_learner(tmp_path):
    answer = code("raise NotImplementedError('not written yet')", count=None, metadata={"nbgrader": {"solution": True}})
    cells = [answer, code("x", count=None), code("1 / 0", count=None)]
    path = saved(tmp_path / "s.ipynb", *cells)
    found = {(f.cell, f.rule) for f in engine.validate([path], Settings(profile="sheet")).findings} - {(0, "sheet")}
    assert {pair for pair in found if pair[0] is not None} == {(2, "raises")}
    assert (1, "raises") in {(f.cell, f.rule) for f in engine.validate([path], Settings()).findings}


def test_one_very_long_line_is_compared(tmp_path):
    # A pattern that takes the square of a line's length would run for hours here; the deadline only ends it.
    path = saved(tmp_path / "long.ipynb", code("print('x' * 2_000_000)", stdout("x" * 2_000_000 + "y\n")))
    command = [sys.executable, "-m", "icrl_teach", "validate", path.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert "cell 0" in done.stdout
    assert ", now …" in done.stdout
    assert done.stdout.endswith("1 passed, 1 failed\n")


@pytest.mark.skipif(os.name == "nt", reason="sends a signal as POSIX does")
def test_an_interrupted_call_leaves_no_kernel(tmp_path):
    path = saved(
        tmp_path / "long.ipynb", code("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    )
    command = [sys.executable, "-m", "icrl_teach", "validate", path.name]
    with child(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.decode().splitlines() == ["icrl-teach: interrupted"]
    kernel = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE)


# A notebook of nbformat 4 whose shape is wrong is named with the place; nothing is "could not be judged".
MISSHAPEN = [
    (lambda raw: raw["metadata"].update(widgets="lost"), "the notebook's metadata: widgets is text, not an object"),
    (lambda raw: raw["cells"][0]["outputs"].append({"output_type": "hologram"}), "output 1: output_type is 'hologram'"),
    (lambda raw: raw["cells"][0]["outputs"].append({"output_type": "display_data"}), "cell 0, output 1 has no data"),
    (lambda raw: raw["cells"][0].update(source=3), "cell 0: source is a whole number, not text"),
    (lambda raw: raw["cells"].append("print"), "cell 1 is text, not an object"),
    (lambda raw: raw["cells"][0].update(attachments="x"), "cell 0: attachments is text"),
    (lambda raw: raw.pop("metadata"), "the notebook has no metadata"),
    (lambda raw: raw["metadata"].update(kernelspec="python3"), "kernelspec is text, not an object"),
    (lambda raw: raw["cells"][0].update(id=7, execution_count=True), "execution_count is true or false"),
]


@pytest.mark.parametrize(("spoil", "said"), MISSHAPEN)
def test_a_wrong_shape_is_named_with_its_place(tmp_path, spoil, said):
    path = saved(tmp_path / "n.ipynb", code("print(1)", stdout("1\n")))
    raw = json.loads(path.read_text())
    spoil(raw)
    path.write_text(json.dumps(raw))
    (found,) = engine.validate([path], Settings()).findings
    assert found.rule == "schema" and said in found.message


@given(st.data())
def test_whatever_stands_in_a_notebook_is_judged(tmp_path_factory, data):
    """Any JSON value in the place of any part: a finding may follow, but no guard stumbles."""
    widget = {documents.WIDGET_STATE: {"version_major": 2, "version_minor": 0, "state": {"a": {"state": {"b": 1}}}}}
    raw = json.loads(
        nbformat.writes(notebook(new_markdown_cell("![a](b.png)"), code("1", result("1")), widgets=widget))
    )
    places = list(_places(raw))
    parent, key = data.draw(st.sampled_from(places))
    parent[key] = data.draw(st.sampled_from([None, True, 3, 0.5, "x", [], ["x"], [3], {}, {"x": 1}, {"state": []}]))
    path = tmp_path_factory.mktemp("any") / "n.ipynb"
    path.write_text(json.dumps(raw))
    assert "stumbled" not in {found.rule for found in engine.validate([path], Settings(), run=False).findings}


def _places(node):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def commanded(folder, *words):
    command = [sys.executable, "-m", "icrl_teach", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
def test_links_in_a_circle_and_pipes_are_findings(tmp_path):
    (tmp_path / "circle.ipynb").symlink_to("circle.ipynb")
    (tmp_path / "lost.ipynb").symlink_to("nowhere.ipynb")
    os.mkfifo(tmp_path / "pipe.ipynb")
    saved(tmp_path / "good.ipynb", code("1", result("1")))
    done = commanded(tmp_path, "validate", ".")
    assert done.returncode == 1 and "unexpected" not in done.stderr
    assert [line.split("; fix")[0] for line in done.stdout.splitlines() if "; fix" in line] == [
        "circle.ipynb: is a link that leads to no file",
        "lost.ipynb: is a link that leads to no file",
        "pipe.ipynb: is not a file",
    ]


def test_a_file_that_changed_meanwhile_or_cannot_be_written_is_kept(tmp_path, monkeypatch):
    path = saved(tmp_path / "n.ipynb", code("open('n.ipynb', 'a').write(' ')\nprint(2)", stdout("1\n")))
    said = []
    engine.validate([path], Settings(), store=True, show=said.append)
    assert said[-1].endswith("n.ipynb: kept as it was; the file was changed while it ran")
    assert "1\\n" in path.read_text()

    path = saved(tmp_path / "m.ipynb", code("print(2)", stdout("1\n")))
    old = path.read_text()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(update, "atomic_write", refuse)
    found = engine.validate([path], Settings(), store=True, show=said.append).findings
    assert said[-1].endswith("kept as it was; Permission denied") and path.read_text() == old
    assert [finding.rule for finding in found] == ["stale"]


def test_a_finding_holds_no_control_characters():
    line = Finding("stale", "stored a\x00b\x1b[2J, now c", path="n.ipynb").line()
    assert line == r"n.ipynb: stored a\x00b\x1b[2J, now c"


def test_what_a_notebook_started_ends_with_it_and_stderr_stays_clean(tmp_path):
    """A process in a session of its own; and a kernel that dies at once was measured."""
    start = "import subprocess\np = subprocess.Popen(['sleep', '300'], start_new_session=True)\nprint(p.pid > 0)"
    keep = "open('pid', 'w').write(str(p.pid)); None"
    saved(tmp_path / "a.ipynb", code(start, stdout("True\n")), code(keep, count=2))
    saved(tmp_path / "b.ipynb", code("import os; os._exit(3)"))
    saved(tmp_path / "c.ipynb", code("b = []\nwhile True: b.append(bytearray(10**7))"))
    done = commanded(tmp_path, "validate", ".", "--memory-limit", "300", "--jobs", "1")
    assert done.stderr == ""
    assert "exit code 3; its memory was 0 MB" not in done.stdout and "exit code 3" in done.stdout
    assert "more than the limit of 300 MB" in done.stdout
    number = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


def test_a_command_in_a_finding_can_be_pasted(tmp_path):
    path = saved(tmp_path / "mit leer né.ipynb", code("print(2)", stdout("1\n")))
    (found,) = engine.validate([path], Settings()).findings
    assert shlex.split(found.fix) == ["icrl-teach", "validate", "--update", str(path)]


def test_what_is_said_where_nothing_is_to_do(course):
    """An empty share is no error, and no silence."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=course, check=True)
    done = commanded(course, "validate", ".", "--changed-since", "HEAD")
    assert done.returncode == 0 and done.stdout.startswith("no notebook is in what changed since HEAD: nothing to do\n")


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("input('name? ')", "ask for nothing: a run has no keyboard"),
        ("import sys; print(' 40%|####      | 2/5', file=sys.stderr)", "tag the cell nbval-ignore-output and"),
        ("import warnings; warnings.warn('old way')", "mend what it warns of"),
    ],
)
def test_the_remedy_fits_the_fault(tmp_path, source, fix):
    (found,) = engine.validate([saved(tmp_path / "n.ipynb", code(source))], Settings()).findings
    assert found.fix.startswith(fix)
    assert "ipykernel_" not in found.message  # a cell's file has another name in each run


@pytest.mark.parametrize("unit", ["`", " ", "e-", "ab."])
def test_guards_read_long_monotonous_text(tmp_path, unit):
    """A hundred thousand characters that each once took the square of their number."""
    text = unit * (100_000 // len(unit))
    shown = code("1", stdout(text + "\n"), count=1)
    report = engine.validate([saved(tmp_path / "n.ipynb", new_markdown_cell(text), shown)], Settings(), run=False)
    assert "stumbled" not in {finding.rule for finding in report.findings}
