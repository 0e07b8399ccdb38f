"""A new exercise: what `icrl-teach new-exercise` writes, filled in, passes the course's own tests."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

import test_checks
from classes import bare_class
from command_line import fails
from guards import ROOT
from icrl_teach.authoring import Exercise, name_of, new_exercise, with_import
from icrl_teach.classroom.folder import ClassFolder
from icrl_teach.cli import main
from icrl_teach.grading import grade_submission, read_sheet
from patience import PATIENCE

FOLDERS = ("icrl_teach", "lessons", "solutions", "exercises", "tests", "tools", "docs", "site", ".github")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md", "Makefile", "LICENSE", "CITATION.cff")
EXERCISES = {  # title -> kind, solution, oracle, mistakes
    "The largest": ("warm-up", "np.max(x)", "sorted(x)[-1]", {"smallest": "np.min(x)", "mean": "np.mean(x)"}),
    "The spread": ("core", "np.ptp(x)", "max(x) - min(x)", {"sign": "x.min() - x.max()", "half": "np.ptp(x) / 2"}),
    "Squares": ("stretch", "x**2", "np.array([v * v for v in x])", {"cube": "x**3", "double": "2 * x"}),
}
CONCERNED = (  # the course's tests that a new sheet may fail
    *("sheet_15", "every_check", "15_numbers", "is_complete", "solutions_generate", "no_solution", "three_exercises"),
    *("way_on", "copy_holds", "in_the_order", "what_is_next", "in_the_table"),
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, to write in."""
    copy = tmp_path_factory.mktemp("checkout")
    junk = shutil.ignore_patterns("__pycache__", "node_modules", ".ipynb_checkpoints")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=junk)
    for file in FILES:
        shutil.copy(ROOT / file, copy)
    return copy


def run(copy, *arguments):
    """A program in the copy, with the copy's package."""
    more = {"PYTHONPATH": str(copy), "ICRL_TEACH_PROGRESS": "off"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=os.environ | more, capture_output=True, text=True, timeout=PATIENCE
    )


def done(copy, *arguments):
    ran = run(copy, *arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def fill_in(checks, cases, sheet, name, solution, oracle, mistakes):
    """What an author does: every TODO of one exercise."""
    text = checks.read_text()
    text = text.replace('raise NotImplementedError("TODO: the oracle")', f"return {oracle}")
    wrong = "".join(f'        ("this is the {hint} of it.", lambda x: {code}),\n' for hint, code in mistakes.items())
    wrong += '        ("the first number alone is not asked for.", lambda x: x[0] + 0.123),\n'
    text = re.sub(r" *# TODO: at least three.*\n.*TODO: the hint.*\n", lambda _: wrong, text)
    text = text.replace("TODO: what was tried and is right.", "three numbers and five.").replace(
        "-> np.ndarray", "-> object"
    )
    checks.write_text(text.replace("TODO: ", "").replace("from __future__", "from __future__"))
    if cases is not None:
        text = re.sub(
            r"right=\[\],.*", lambda _: f"right=[lambda x: {solution}, lambda x: {oracle}],", cases.read_text()
        )
        first = next(iter(mistakes))
        text = re.sub(r"wrong=\[\],.*", lambda _: f'wrong=[(lambda x: {mistakes[first]}, "{first}")],', text)
        text = text.replace("from check_cases", "import numpy as np\n\nfrom check_cases", "import numpy" not in text)
        cases.write_text(text)
    text = sheet.read_text()
    text = text.replace('raise NotImplementedError(\\"TODO: the solution\\")', f"return {solution}")
    sheet.write_text(re.sub(r"TODO: |TODO", "", text))


def test_what_was_written_and_filled_in_passes_the_course_s_own_tests(checkout, monkeypatch):
    pytest.importorskip("nbgrader", reason="pip install icrl-teach[teach] to generate exercises")
    add_lesson(checkout, "15")
    monkeypatch.chdir(checkout)
    for title, (kind, *rest) in EXERCISES.items():
        result = CliRunner().invoke(main, ["new-exercise", "15_numbers", title, "--kind", kind, "--minutes", "5"])
        assert result.exit_code == 0, result.output
        checks, cases = checkout / "icrl_teach/checks/sheet_15.py", checkout / "tests/check_cases/sheet_15.py"
        fill_in(checks, cases, checkout / "solutions/15_numbers.ipynb", name_of(title), *rest)
    done(checkout, "-m", "icrl_teach", "validate", "--update", "solutions/15_numbers.ipynb")
    done(checkout, "tools/notebooks.py", "exercises")
    files = [f"tests/test_{name}.py" for name in ("checks", "notebooks", "course", "standing", "readme")]
    out = done(checkout, "-m", "pytest", "-q", *files, "-k", f"({' or '.join(CONCERNED)}) and not widget")
    assert "failed" not in out and int(re.search(r"(\d+) passed", out)[1]) >= 25 + 20  # of checks, and of notebooks


def test_a_forgotten_case_says_what_to_add(monkeypatch):
    monkeypatch.setattr(test_checks, "CASES", [pair for pair in test_checks.CASES if pair[0] != "sheet_02"])
    with pytest.raises(AssertionError, match=r"add to CASES in tests/check_cases/sheet_02\.py: Case\(checks\.check_"):
        test_checks.test_there_are_sheets_and_every_check_of_each_has_a_case()
    assert test_checks.cases_of("sheet_02") and test_checks.cases_of("sheet_77") == []  # of which there is no file


def test_an_edited_lesson_that_was_not_run_again_fails_the_last_step(checkout):
    lesson = checkout / "lessons/03_linear_td.ipynb"
    content = json.loads(lesson.read_text())
    printing = [c for c in content["cells"] if c["cell_type"] == "code" and "print(" in "".join(c["source"])]
    printing[0]["source"].append("\nprint('edited')")
    del content["cells"][content["cells"].index(printing[0]) + 1 :]  # what follows would only take its time
    before = lesson.read_text()
    try:
        lesson.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        ran = run(checkout, "-m", "icrl_teach", "validate", "lessons/03_linear_td.ipynb")
    finally:
        lesson.write_text(before)
    assert ran.returncode == 1
    assert f"({printing[0]['id']})" in ran.stdout and "validate --update lessons/03_linear_td.ipynb" in ran.stdout


# In the folder of a class


def test_a_teacher_s_own_exercise_is_graded(tmp_path, monkeypatch):
    course = bare_class(tmp_path / "class", "01")
    monkeypatch.chdir(course.root)
    result = CliRunner().invoke(main, ["new-exercise", "1", "The spread", "--points", "4"])
    assert result.exit_code == 0 and "my_checks.py" in result.stdout
    sheet = course.sheets[0]
    fill_in(sheet.source.parent / "my_checks.py", None, sheet.source, "spread", *EXERCISES["The spread"][1:])
    solution = json.loads(sheet.source.read_text(encoding="utf-8"))
    assert ClassFolder.at(course.root).sheets[0].points["sheet01-spread-check"] == 4.0
    for student, line in (("ada", "np.ptp(x)"), ("emmy", "x.min() - x.max()"), ("alan", None)):
        answer = next(cell for cell in solution["cells"] if cell["id"] == "spread")
        body = f"return {line}" if line else 'raise NotImplementedError("not written yet")'
        answer["source"] = f"def spread(x):\n    {body}\n"
        folder = course.submission(student, sheet)
        folder.mkdir(parents=True)
        (folder / f"{sheet.name}.ipynb").write_text(json.dumps(solution))
        (folder / "my_checks.py").write_text(
            "def check_spread(answer): pass"
        )  # a learner's own copy counts for nothing
        marks = grade_submission(folder / f"{sheet.name}.ipynb", sheet.source, seed=3, student=student)
        (mark,) = [mark for mark in marks.marks if mark.exercise == "spread"]
        wanted = {"ada": ("ok", 4.0), "emmy": ("wrong", 0.0), "alan": ("unwritten", 0.0)}[student]
        assert (mark.status, mark.points) == wanted
        assert student != "emmy" or "this is the sign of it." in mark.reason


def test_each_sheet_has_the_checks_beside_it_and_not_another_s(tmp_path):
    course = bare_class(tmp_path / "class", "01", "02")
    for sheet, name in zip(course.sheets, ("one", "two"), strict=True):
        new_exercise(sheet.source, Exercise("Mine", name))
    found = [{exercise.name for exercise in read_sheet(sheet.source).exercises} for sheet in course.sheets]
    assert "one" in found[0] - found[1] and "two" in found[1] - found[0]
    assert "my_checks" not in sys.modules


def test_an_exercise_is_written_once(tmp_path, monkeypatch):
    course = bare_class(tmp_path / "class", "01")
    monkeypatch.chdir(course.root)
    assert CliRunner().invoke(main, ["new-exercise", "01", "Mine"]).exit_code == 0
    before = {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}
    fails(CliRunner().invoke(main, ["new-exercise", "01", "Mine"]), "has an exercise mine already; give another --name")
    assert {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["77", "Mine"], "no sheet is called '77' here; a new one needs a name such as 15_my_topic"),
        (["15_new", "Mine"], "holds neither solutions/ nor source/"),
        (["x.ipynb", "???"], "it must be the name of a function, such as exact_value: --name"),
        (["x.ipynb", "Mine", "--name", "for"], "name is 'for'; it must be the name of a function"),
        (["broken.ipynb", "Mine"], "broken.ipynb cannot be read as a notebook"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.ipynb").write_text("{")
    fails(CliRunner().invoke(main, ["new-exercise", *arguments]), said)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.ipynb"]


@pytest.mark.parametrize(
    ("title", "name"), [("The exact value", "exact_value"), ("A walk: how long?", "walk_how_long")]
)
def test_a_title_names_the_function(title, name):
    assert name_of(title) == name


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\n\nx = 1\n",
        "from a.b import zeta\n",
        "from a.b import (\n    one,\n    two,\n)\n\nfrom c import d\n",
        "%matplotlib inline\nfrom a.b import " + ", ".join(f"check_number_{n}" for n in range(8)) + "\ny = 2",
        "",
    ],
)
def test_an_import_joins_those_that_are_there(source):
    def imported(text):
        tree = ast.parse(re.sub(r"(?m)^%.*$", "", text))
        return sorted((n.module, a.name) for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names)

    joined = with_import(source, "a.b", "check_new")
    assert imported(joined) == sorted([*imported(source), ("a.b", "check_new")])
    assert with_import(joined, "a.b", "check_new") == joined
    others = [line for line in source.splitlines() if "=" in line or line.startswith("%")]
    assert [line for line in joined.splitlines() if "=" in line or line.startswith("%")] == others
    assert max(map(len, joined.splitlines())) <= 88


# A lesson more, for a sheet more


def add_lesson(copy, number):
    """A lesson of this number, which is lesson 01 again, its way on, and its line in the README."""
    text = (copy / "lessons/01_markov_reward_processes.ipynb").read_text()
    text = text.replace("lesson_01", f"lesson_{number}").replace('\\"01-', f'\\"{number}-')
    (copy / f"lessons/{number}_numbers.ipynb").write_text(text)
    views = (copy / "icrl_teach/views/lesson_01.py").read_text()
    (copy / f"icrl_teach/views/lesson_{number}.py").write_text(views)
    readme = (copy / "README.md").read_text()
    rows = re.findall(r"^\| \[.*\]\(lessons/.*$", readme, flags=re.MULTILINE)
    row = f"| [{number} Numbers](lessons/{number}_numbers.ipynb) | Which? |"
    (copy / "README.md").write_text(readme.replace(rows[-1], f"{row}\n{rows[-1]}"))
    start = copy / "lessons/00_start_here.ipynb"
    text = start.read_text()
    found = re.search(r'( *"\| \[)14( .*\n)', text)
    start.write_text(text.replace(found[0], found[0] + found[0].replace("14", number), 1))
    way_on(copy)


def way_on(copy):
    """The last line of every lesson, as the README has the order."""
    order = re.findall(r"\| \[([^\]]+)\]\(lessons/([^)]+)\)", (copy / "README.md").read_text())
    links = ["none", *(f"[{title}]({file})" for title, file in order), "none: the course ends here"]
    for at, (_, file) in enumerate(order):
        first = file.startswith("00")
        sheet = "sheet: none" if first else f"[sheet {file[:2]}](../exercises/{file})"
        the_map = f"[map]({'' if first else order[0][1]}#The-map)"
        line = f"previous: {links[at]} | {the_map} | {sheet} | next: {links[at + 2]}"
        content = json.loads((copy / "lessons" / file).read_text())
        last = [cell for cell in content["cells"] if cell["cell_type"] == "markdown"][-1]
        last["source"] = [*last["source"][:-1], line]
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (copy / "lessons" / file).write_text(text)
