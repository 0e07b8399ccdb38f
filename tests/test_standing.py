"""Where a learner stands: the course's parts are read from its notebooks, and held against what is kept."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib import import_module

import pytest
from click.testing import CliRunner

import icrl_teach
from command_line import fails
from guards import EXERCISES, LESSONS, ROOT, predictions, read
from icrl_teach import cli, learner, standing
from icrl_teach.checks.check import Check
from icrl_teach.learner import Said
from icrl_teach.standing import NOWHERE, minutes_in, parts


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A learner's folder, in whose lessons/ we work."""
    monkeypatch.delenv(learner.SWITCH, raising=False)
    (tmp_path / "lessons").mkdir()
    (tmp_path / learner.MARKER).write_text("{}")
    monkeypatch.chdir(tmp_path / "lessons")
    return tmp_path


def run(*words):
    return CliRunner().invoke(cli.main, [str(word) for word in words])


PARTS = {part.number: part for part in parts()}


def test_every_lesson_is_a_part_in_the_order_of_the_course_and_states_its_minutes():
    assert sorted(PARTS) == [path.stem[:2] for path in LESSONS]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert list(PARTS) == re.findall(r"\]\(lessons/(\d\d)_", readme), "lesson 00's map and README's table differ"
    for path in LESSONS:
        part = PARTS[path.stem[:2]]
        assert part.lesson == path.name
        assert 10 <= part.minutes <= 120
        assert part.title and part.title in read(path).cells[0].source.splitlines()[0]


def test_every_check_of_a_sheet_is_an_exercise_with_its_minutes():
    for path in EXERCISES:
        module = import_module(f"icrl_teach.checks.sheet_{path.stem[:2]}")
        exercises = PARTS[path.stem[:2]].exercises
        assert set(exercises) == {check.name for check in vars(module).values() if isinstance(check, Check)}
        assert all(2 <= minutes <= 60 for minutes in exercises.values())
        headings = (c.source.split("\n")[0] for c in read(path).cells if c.source.startswith("### "))
        stated = [line[:-5].replace("(", " ").split()[-1] for line in headings if line.endswith(" min)")]
        assert sum(exercises.values()) == sum(map(int, stated))


def test_every_prediction_is_counted():
    for path in LESSONS:
        names = [name for name, _, _ in predictions(read(path))]
        assert [name for name in PARTS[path.stem[:2]].predictions if name in names] == names


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("About 60 minutes. Then 20 minutes.", 60), ("An hour and a half", 90), ("about an hour", 60), ("no time", 0)],
)
def test_stated_minutes(text, minutes):
    assert minutes_in(text) == minutes


@pytest.fixture
def small(monkeypatch):
    """A course of two parts whose numbers are known."""
    course = (
        standing.Part("00", "Start <here>", "00_a.ipynb", 20, ("00-a", "00-b"), {}),
        standing.Part("01", "Values", "01_b.ipynb", 60, ("01-a", "01-b", "01-c"), {"one": 5, "two": 15}),
    )
    monkeypatch.setattr(standing, "parts", lambda: course)


def test_rows_count_what_is_kept(mine, small):
    for name, said in {
        "00-a": Said("x", "x", True),
        "00-b": Said(None, "y", False),
        "01-a": Said("1", "2", False),
    }.items():
        learner.mark(name, said)
    learner.mark("01-of-an-older-version", Said("1", "1", True))
    learner.pass_check("01", "two")
    learner.pass_check("01", "of an older version")
    found = icrl_teach.progress()
    first, second = found.rows
    assert (first.answered, first.made, first.right, first.passed, first.lesson_left, first.sheet_left) == (
        2,
        1,
        1,
        0,
        0,
        0,
    )
    assert (second.answered, second.made, second.right, second.passed) == (1, 1, 0, 1)
    assert (second.lesson_left, second.sheet_left, second.left) == (40, 5, 45)
    assert repr(found).splitlines() == [
        "lesson           predicted right  checks passed  minutes left",
        "00 Start <here>           1 of 1              -             0",
        "01 Values                 0 of 1         1 of 2            45",
        "1 of 2 predictions right, 1 of 2 checks passed, about 45 minutes left.",
        "Next: lesson 01, Values: lessons/01_b.ipynb",
    ]


@pytest.mark.parametrize(("left", "told"), [(179, "179 minutes"), (180, "3 hours"), (1906, "32 hours")])
def test_a_long_way_is_told_in_hours(left, told):
    part = standing.Part("01", "Values", "01_b.ipynb", left, (), {})
    assert f"about {told} left." in standing.Standing((standing.Row(part, 0, 0, 0, 0, left, 0),)).summary


def test_what_is_next_goes_from_lesson_to_sheet_to_the_end(mine, small):
    assert icrl_teach.progress().next == "lesson 00, Start <here>: lessons/00_a.ipynb"
    for name in ("00-a", "00-b", "01-a", "01-b", "01-c"):
        learner.mark(name, Said(None, "", False))
    assert icrl_teach.progress().next == "sheet 01, Values: exercises/01_b.ipynb"
    learner.pass_check("01", "one")
    learner.pass_check("01", "two")
    assert icrl_teach.progress().next == "all is done"
    assert "about 0 minutes left" in repr(icrl_teach.progress())


def test_a_lesson_that_asks_nothing_is_read_when_its_sheet_is_begun(mine, monkeypatch):
    part = standing.Part("11", "Yours", "11_c.ipynb", 75, (), {"one": 5, "two": 15})
    monkeypatch.setattr(standing, "parts", lambda: (part,))
    assert icrl_teach.progress().rows[0].left == 95
    learner.pass_check("11", "one")
    assert icrl_teach.progress().rows[0].left == 15


class Table(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *dict(attributes).values()))

    def handle_data(self, data):
        self.words.append(data)


def test_the_table_is_read_out_row_by_row_and_says_what_the_text_says(mine, small):
    learner.mark("01-a", Said("1", "2", False))
    found = icrl_teach.progress()
    page = Table(found._repr_html_())
    assert page.tags.count(("th", "col")) == 4 and page.tags.count(("th", "row")) == 2 and ("caption",) in page.tags
    assert [word for word in page.words if word != "What you have done"] == [
        *standing.HEADINGS,
        *(cell for cells in found.cells() for cell in cells),
        found.summary,
        f"Next: {found.next}",
    ]


def test_where_nothing_is_kept_it_says_so_and_nothing_else(tmp_path, monkeypatch, mine):
    monkeypatch.setenv(learner.SWITCH, "off")
    found = icrl_teach.progress()
    assert (repr(found), found._repr_html_()) == (NOWHERE, f"<p>{NOWHERE}</p>")
    assert not (mine / learner.RECORD).exists()


# ------------------------------------------------------------------------------------------------- icrl-teach progress


def test_the_command_shows_the_folder_in_which_we_are_or_another(mine, monkeypatch):
    learner.pass_check("01", next(iter(PARTS["01"].exercises)))
    here = run("progress")
    assert (here.exit_code, here.output) == (0, f"{icrl_teach.progress()!r}\n")
    assert f"1 of {len(PARTS['01'].exercises)}" in here.output and all(part.title in here.output for part in parts())
    monkeypatch.chdir("/")
    assert run("progress", mine).output == run("progress", mine / "lessons").output == here.output
    content = json.loads(run("progress", mine, "--json").output)
    assert [row["number"] for row in content["rows"]] == list(PARTS)
    assert content["rows"][1]["passed"] == 1 and content["note"] == ""
    assert content["rows"][1]["exercises"] == PARTS["01"].exercises
    assert content["next"].startswith("lesson 00")


def test_a_folder_of_nobody_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(run("progress"), "this folder keeps no progress; run 'icrl-teach start DIR' and work in DIR")
    fails(run("progress", tmp_path / "none"), "does not exist")
    fails(run("progress", __file__), "is a file")


def test_a_damaged_record_is_set_aside_and_one_of_a_newer_version_is_left(mine):
    (mine / "progress.json").write_text("{")
    first = run("progress").output
    assert first.startswith("progress.json was damaged: it is no JSON") and "progress.damaged-1.json" in first
    assert "0 of 0 predictions right" in first
    assert "damaged" not in run("progress").output
    (mine / "progress.json").write_text('{"schema": 99}')
    fails(run("progress"), "a newer version of icrl-teach wrote it")
    assert (mine / "progress.json").read_text() == '{"schema": 99}'
