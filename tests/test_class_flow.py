"""A class from the first sheet to the last mark: six learners, and all that may happen on the way."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from classes import NAMES, ROSTER, answered, bare_class, moodle, put, solved, untouched
from command_line import fails
from guards import ROOT
from icrl_teach.classroom import exports, grade, setup
from icrl_teach.classroom import feedback as pages
from icrl_teach.classroom.collect import collect
from icrl_teach.classroom.folder import ClassFolder
from icrl_teach.classroom.gradebook import gradebook
from icrl_teach.cli import main
from icrl_teach.grading import Mark, Marks
from patience import PATIENCE

pytest.importorskip("nbgrader", reason="pip install icrl-teach[teach]")
SHEET = "01_markov_reward_processes"
EXERCISES = ["exact_value", "reward_change", "even_discount", "return_std", "average_reward", "success_chance"]
POINTS = dict(zip(EXERCISES, (2, 2, 2, 3, 2, 3), strict=True))
HALF = ("exact_value", "reward_change", "average_reward")


def uploads(folder: Path) -> Path:
    """What six learners hand in: right, half, untouched, cut off, renamed, and twice."""
    put(folder, moodle("ada", f"{SHEET}.ipynb"), solved("01"))
    put(folder, moodle("emmy", f"{SHEET}.ipynb"), answered("01", "value", "change", "average"))
    put(folder, moodle("sofia", f"{SHEET}.ipynb"), untouched("01"))
    put(folder, moodle("rene", f"{SHEET}.ipynb"), solved("01")[:4000])
    put(folder, moodle("ludwig", "mine, at last (final).ipynb"), answered("01", "value"))
    put(folder, moodle("alan", f"{SHEET}.ipynb"), untouched("01"))
    put(folder, moodle("alan", f"{SHEET} (1).ipynb"), solved("01"))
    return folder


EXPECTED = {
    "ada": dict.fromkeys(EXERCISES, "ok"),
    "alan": dict.fromkeys(EXERCISES, "ok"),
    "emmy": {name: "ok" if name in HALF else "unwritten" for name in EXERCISES},
    "ludwig": {name: "ok" if name == "exact_value" else "unwritten" for name in EXERCISES},
    "sofia": dict.fromkeys(EXERCISES, "unwritten"),
    "rene": dict.fromkeys(EXERCISES, "unreadable"),
}
TOTALS = {"ada": 14.0, "alan": 14.0, "emmy": 6.0, "ludwig": 2.0, "sofia": 0.0, "rene": None}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The whole flow once, by the real command line: folder of the class, and what each command printed.

    What takes only nbgrader's import is called in this process, which has it.
    """
    here = tmp_path_factory.mktemp("class")
    (here / "roster.csv").write_text(ROSTER, encoding="utf-8")
    uploads(here / "uploads")
    (here / "class").mkdir()
    printed = {}
    for run, name, *arguments in (
        (program, "new", "../class", "--roster", "../roster.csv"),
        (called, "assign", "01", "--due", "2026-10-01"),
        (program, "collect", "../uploads"),
        (program, "grade", "01"),
        (called, "feedback"),
        (called, "export", "--to", "moodle"),
        (called, "export", "--to", "canvas"),
    ):
        with contextlib.chdir(here / "class"):
            code, printed[name], said = run("class", name, *arguments)
        assert code == 0, printed[name] + said
    return ClassFolder.at(here / "class"), printed


def program(*words):
    done = subprocess.run(
        [sys.executable, "-m", "icrl_teach", *words], capture_output=True, text=True, timeout=PATIENCE
    )
    return done.returncode, done.stdout, done.stderr


def called(*words):
    result = CliRunner().invoke(main, words)
    return result.exit_code, result.stdout, result.stderr


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_exercise_of_everybody_has_its_mark(finished):
    course, printed = finished
    found = rows(course.root / "marks.csv")
    assert list(found[0]) == ["student", "exercise", "points", "status"]
    statuses = {student: {} for student in NAMES}
    for row in found:
        name = row["exercise"].removeprefix("01.")
        statuses[row["student"]][name] = row["status"]
        right = f"{POINTS[name]}" if row["status"] == "ok" else "" if row["status"] == "unreadable" else "0"
        assert row["points"] == right
    assert statuses == EXPECTED
    assert "6 submissions graded" in printed["grade"] and "look: rene" in printed["grade"]


def test_nbgrader_s_gradebook_holds_the_same_and_asks_for_a_look_where_nothing_could_be_read(finished):
    course, _ = finished
    with gradebook(course) as book:
        assert {student.id for student in book.students} == set(NAMES)
        for student, total in TOTALS.items():
            submission = book.find_submission(SHEET, student)
            assert submission.score == (total or 0.0) and submission.max_score == 14.0
            looks = {grade.needs_manual_grade for grade in submission.notebooks[0].grades}
            assert looks == {total is None}
        assert str(book.find_assignment(SHEET).duedate.date()) == "2026-10-01"


def test_moodle_gets_its_columns_and_no_number_where_there_is_no_mark(finished):
    course, printed = finished
    title = "Assignment: Sheet 01 · Markov reward processes (Real)"
    found = rows(course.root / "moodle.csv")
    assert list(found[0]) == ["First name", "Last name", "ID number", "Email address", title]
    assert {row["ID number"]: row[title] for row in found} == {
        s: f"{t:g}" if t is not None else "-" for s, t in TOTALS.items()
    }
    assert (found[2]["First name"], found[2]["Last name"]) == ("Sofia", "Kovalevskaya")
    assert "no mark: rene" in printed["export"]


def test_canvas_gets_its_columns_in_their_order(finished):
    course, _ = finished
    with (course.root / "canvas.csv").open(encoding="utf-8", newline="") as file:
        head, possible, *found = csv.reader(file)
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Sheet 01 · Markov reward processes"]
    assert possible == ["    Points Possible", "", "", "", "", "14"]
    assert {row[2]: row[5] for row in found} == {s: f"{t:g}" if t is not None else "" for s, t in TOTALS.items()}
    assert found[0][0] == "Lovelace, Ada" and found[0][3] == "ada@example.org"


def test_each_learner_has_one_page_and_nobody_else_s_name_is_on_it(finished):
    course, _ = finished
    for student, name in NAMES.items():
        path = course.root / "feedback" / student / f"{SHEET}.html"
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        text = path.read_text(encoding="utf-8")
        shown = "Kovalevskaya, Sofia" if student == "sofia" else name
        assert shown in text and "<script" not in text and "http" not in text.replace("http-equiv", "")
        for other in set(NAMES) - {student}:
            assert NAMES[other].split()[-1] not in text
        if TOTALS[student] is not None:
            assert f"{TOTALS[student]:g} of 14 points" in text
        assert text.count("<section>") == 6 and "01.1 The exact value" in text


def test_all_steps_once_more_change_nothing(finished):
    course, _ = finished
    before = contents(course.root)
    for arguments in (["assign", "01"], ["collect", str(course.root.parent / "uploads")], ["grade"], ["feedback"]):
        assert CliRunner().invoke(main, ["class", *arguments, "--class", str(course.root)]).exit_code == 0
    assert contents(course.root) == before
    report = grade.grade(course, course.sheets)
    assert report.graded == [] and len(report.same) == 6


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.suffix != ".db"}


# With a grader that takes no time: what surrounds it


def pretended(path, sheet, *, seed, student="", **_):
    """Marks by the number of cells that hold no stub; a notebook that says so goes wrong here."""
    text = Path(path).read_text(encoding="utf-8")
    if "explode" in text:
        raise RuntimeError("no process came up")
    stubs = text.count("raise NotImplementedError")
    marks = [
        Mark(
            student, e.name, 0.0 if i < stubs else e.points, e.points, "wrong" if i < stubs else "ok", f"<b>{seed}</b>"
        )
        for i, e in enumerate(sheet.exercises)
    ]
    return Marks(student, sheet.name, tuple(marks))


@pytest.fixture(scope="module")
def assigned(tmp_path_factory):
    """A class of one sheet that is assigned, to be copied: to make a gradebook takes nbgrader a program of its own."""
    made = bare_class(tmp_path_factory.mktemp("assigned") / "class", "01")
    setup.assign(made, made.sheets)
    return made.root


@pytest.fixture
def course(tmp_path, monkeypatch, assigned):
    """A class of one sheet, graded by what only pretends to."""
    monkeypatch.setattr("icrl_teach.grading.grade_submission", pretended)
    made = ClassFolder.at(shutil.copytree(assigned, tmp_path / "class"))
    for student in ("ada", "emmy", "alan"):
        put(tmp_path / "uploads", moodle(student, f"{SHEET}.ipynb"), solved("01"))
    collect(made, tmp_path / "uploads")
    return made


def points(course):
    found = {}
    for row in rows(course.root / "marks.csv"):
        found[row["student"]] = found.get(row["student"], 0.0) + float(row["points"] or 0)
    return found


def hand_in(course, student, content):
    (course.submission(student, course.sheets[0]) / f"{SHEET}.ipynb").write_bytes(content)


def test_what_goes_wrong_with_one_is_named_and_stops_nobody(course):
    hand_in(course, "emmy", b'{"explode": 1}')
    result = CliRunner().invoke(main, ["class", "grade", "--class", str(course.root)])
    assert result.exit_code == 1
    assert "not graded: emmy, 01_markov_reward_processes: RuntimeError: no process came up" in result.stderr
    assert points(course) == {"ada": 14.0, "alan": 14.0}
    report = exports.export(course, course.sheets, "canvas", course.root / "canvas.csv")
    assert report.without == [("emmy", SHEET)] and report.marks == 2


def test_only_what_was_handed_in_again_is_graded_again(course):
    grade.grade(course, course.sheets)
    hand_in(course, "ada", untouched("01"))
    report = grade.grade(course, course.sheets)
    assert report.graded == [("ada", SHEET)] and len(report.same) == 2
    assert points(course) == {"ada": 0.0, "alan": 14.0, "emmy": 14.0}
    assert len(grade.grade(course, course.sheets, again=True).graded) == 3


@pytest.mark.parametrize("change", ["seed", "sheet", "check beside it", "rule"])
def test_another_seed_sheet_check_or_rule_grades_all_again(course, change, monkeypatch):
    monkeypatch.setattr(grade, "enter", lambda *_: None)  # the gradebook takes its time
    grade.grade(course, course.sheets)
    if change == "seed":
        (course.root / "seed.txt").write_text("8\n")
    elif change == "sheet":
        put(course.root, f"source/{SHEET}/{SHEET}.ipynb", solved("01").replace(b"Markov reward", b"Markov Reward"))
    elif change == "check beside it":
        put(course.root, f"source/{SHEET}/my_checks.py", b"")
    forbid = {"exact_value": ["mrp:value"]} if change == "rule" else None
    assert len(grade.grade(course, course.sheets, forbid=forbid).graded) == 3


def test_a_mark_by_hand_stays_counts_and_is_told(course):
    grade.grade(course, course.sheets)
    with gradebook(course) as book:
        book.find_grade("sheet01-std-check", SHEET, SHEET, "ada").manual_score = 1.5
        book.db.commit()
    grade.grade(course, course.sheets, again=True)
    exports.export(course, course.sheets, "canvas", course.root / "canvas.csv")
    assert '"Lovelace, Ada",11,ada,ada@example.org,,12.5' in (course.root / "canvas.csv").read_text(encoding="utf-8")
    pages.feedback(course, course.sheets)
    text = course.page("ada", course.sheets[0]).read_text(encoding="utf-8")
    assert "12.5 of 14 points" in text and "marked by hand: 1.5 of 3" in text


def test_what_a_learner_or_a_check_wrote_is_escaped(course):
    with (course.root / "roster.csv").open("a") as roster:
        roster.write('eve,"<script>alert(1)</script> Eve",eve@example.org\n')
    put(course.root.parent / "more", f"eve/{SHEET}.ipynb", solved("01"))
    collect(course, course.root.parent / "more")
    grade.grade(course, course.sheets)
    pages.feedback(course, course.sheets)
    text = course.page("eve", course.sheets[0]).read_text(encoding="utf-8")
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)
    parser.feed(text)
    assert not {"script", "b"} & set(tags) and "&lt;b&gt;7&lt;/b&gt;" in text


def test_cells_added_after_submissions_are_refused_in_one_line(course):
    grade.grade(course, course.sheets)
    source = json.loads((course.root / f"source/{SHEET}/{SHEET}.ipynb").read_text(encoding="utf-8"))
    extra = json.loads(json.dumps(next(c for c in source["cells"] if c["id"] == "value-check")))
    extra["id"], extra["metadata"]["nbgrader"]["grade_id"] = "more", "sheet01-more-check"
    source["cells"].append(extra)
    put(course.root, f"source/{SHEET}/{SHEET}.ipynb", json.dumps(source).encode())
    fails(CliRunner().invoke(main, ["class", "assign", "--class", str(course.root)]), SHEET, "submissions")


SERVER = """
import os, random, sys, time
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import nbgrader.api, nbgrader.converters, icrl_teach.grading
from icrl_teach.classroom import grade
from icrl_teach.classroom.folder import ClassFolder
from test_class_flow import pretended

def slowly(*args, **kwargs):
    time.sleep(random.uniform(0.0, 0.05))
    return replace(pretended(*args, **kwargs), notes=(str(random.random()),))  # so that it is written each time

icrl_teach.grading.grade_submission = slowly
course = ClassFolder.at(Path(sys.argv[1]))
icrl_teach.grading.read_sheet(course.sheets[0].source)  # so that no fork is at its imports when it is killed
for _ in sys.stdin:
    if (pid := os.fork()) == 0:
        while True:
            grade.grade(ClassFolder.at(course.root), course.sheets, again=True)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("ended", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_killed_at_any_moment_nothing_is_half_and_the_next_run_ends_the_work(course):
    """Three times while a gradebook is made and the sheet assigned, then where both are there and all goes faster."""
    rng = np.random.default_rng(5)
    (course.root / "gradebook.db").unlink()
    shutil.rmtree(course.root / "release")
    command = [sys.executable, "-c", SERVER, str(course.root), str(Path(__file__).parent)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as server:
        for longest in 3 * [2.0] + 12 * [0.3]:
            if longest < 1 and not (course.root / f"release/{SHEET}").exists():
                grade.grade(course, course.sheets)
            server.stdin.write("go\n")
            server.stdin.flush()
            pid = int(server.stdout.readline())
            time.sleep(float(rng.uniform(0.02, longest)))
            os.kill(pid, signal.SIGKILL)
            assert server.stdout.readline() == "ended\n"
            for path in course.root.glob("graded/*/*.json"):
                assert len(json.loads(path.read_text(encoding="utf-8"))["marks"]["marks"]) == 6
            if (course.root / "marks.csv").exists():
                assert all(len(row) == 4 and row["status"] == "ok" for row in rows(course.root / "marks.csv"))
            assert sorted(course.handed_in(course.sheets[0])) == ["ada", "alan", "emmy"]
        server.stdin.close()
        server.wait(PATIENCE)
    grade.grade(course, course.sheets)
    assert points(course) == {"ada": 14.0, "alan": 14.0, "emmy": 14.0}
    with gradebook(course) as book:
        assert {s.student.id: s.score for s in book.assignment_submissions(SHEET)} == points(course)


# The command line says what is missing


def test_without_nbgrader_one_line_says_what_to_install(course, monkeypatch):
    monkeypatch.setattr("icrl_teach.classroom.gradebook.find_spec", lambda name: None)
    for command in (["new", str(course.root / "other")], ["export", "--to", "canvas", "--class", str(course.root)]):
        fails(CliRunner().invoke(main, ["class", *command]), "nbgrader is not installed; run: ", "[teach]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grade", "--class", "nowhere"], "is no class"),
        (["grade", "77"], "no sheet is called '77'; this class has 01"),
        (["grade", "--forbid", "exact_value"], "write EXERCISE=MODULE:NAME"),
        (["grade", "--forbid", "exact_valu=mrp:value"], "forbid names 'exact_valu'; the exercises are average_reward"),
        (["collect", "roster.csv"], "neither a folder nor a zip file"),
        (["collect", "nowhere"], "does not exist"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(course, monkeypatch, arguments, said):
    monkeypatch.chdir(course.root)
    fails(CliRunner().invoke(main, ["class", *arguments]), said)


def test_a_rule_of_the_command_line_reaches_the_grader(course, monkeypatch):
    seen = []
    told = lambda *args, forbid, **more: seen.append(forbid) or pretended(*args, **more)
    monkeypatch.setattr("icrl_teach.grading.grade_submission", told)
    monkeypatch.setattr(grade, "enter", lambda *_: None)
    words = ["--forbid", "return_std=mrp:one", "--forbid", "return_std=td:two", "--forbid", "exact_value="]
    assert CliRunner().invoke(main, ["class", "grade", *words, "--class", str(course.root)]).exit_code == 0
    assert seen == [{"return_std": ["mrp:one", "td:two"], "exact_value": []}] * 3


@pytest.mark.parametrize("file", ["roster.csv", "seed.txt"])
def test_a_file_of_the_class_that_is_gone_is_named(course, monkeypatch, file):
    monkeypatch.chdir(course.root)
    (course.root / file).unlink()
    fails(CliRunner().invoke(main, ["class", "grade"]), file)


def test_new_keeps_what_is_there_and_takes_a_roster_once(tmp_path, monkeypatch, assigned):
    two = [path for path in setup.sheets_of_the_course() if path.stem[:2] in ("01", "02")]
    monkeypatch.setattr(setup, "sheets_of_the_course", lambda: two)
    (tmp_path / "mine.csv").write_text(ROSTER, encoding="utf-8")
    put(tmp_path / "class", "gradebook.db", (assigned / "gradebook.db").read_bytes())
    assert setup.new(tmp_path / "class").learners == 0
    seed = (tmp_path / "class" / "seed.txt").read_text()
    put(tmp_path / "class", f"source/{SHEET}/{SHEET}.ipynb", b"mine")
    report = setup.new(tmp_path / "class", tmp_path / "mine.csv")
    assert (report.learners, report.written, len(report.kept)) == (6, [], 2)
    assert (tmp_path / "class" / f"source/{SHEET}/{SHEET}.ipynb").read_bytes() == b"mine"
    assert (tmp_path / "class" / "seed.txt").read_text() == seed
    (tmp_path / "other.csv").write_text("id,name,email\nbob,Bob,b@example.org\n")
    with pytest.raises(ValueError, match="add the new lines to it by hand"):
        setup.new(tmp_path / "class", tmp_path / "other.csv")


def test_learners_get_the_course_s_own_sheet_and_what_lies_beside_it(course):
    shutil.rmtree(course.root / "release")
    put(course.root, f"source/{SHEET}/my_checks.py", b"WORDS = 1\n")
    ((_, new),) = setup.assign(course, course.sheets)
    release = json.loads((course.root / f"release/{SHEET}/{SHEET}.ipynb").read_text(encoding="utf-8"))
    ours = json.loads(untouched("01"))
    texts = [["".join(cell["source"]) for cell in sheet["cells"]] for sheet in (release, ours)]
    assert new and texts[0] == texts[1]
    assert (course.root / f"release/{SHEET}/my_checks.py").read_bytes() == b"WORDS = 1\n"
    assert [p.name for p in course.root.glob(".release-*")] == []


def test_every_command_of_the_teacher_s_page_is_one(tmp_path):
    page = (ROOT / "docs/teaching/class.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("icrl-teach ")]
    (tmp_path / "there").touch()
    for line in lines:
        words = shlex.split(line.replace("~/Downloads/submissions.zip", "there").replace("roster.csv", "there"))[1:]
        words = [str(tmp_path / "there") if word == "there" else word for word in words]
        command, context = main, click.Context(main)
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(context, words)
        command.make_context(name, words, parent=context)
    steps = {line.split()[2] for line in lines if line.startswith("icrl-teach class ")}
    assert steps == set(main.commands["class"].commands)
