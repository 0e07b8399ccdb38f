"""A new exercise: what `icrl-teach new-exercise` writes, filled in, passes the course's own tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from guards import ROOT
from icrl_teach.authoring import name_of
from patience import PATIENCE

FOLDERS = ("icrl_teach", "lessons", "solutions", "exercises", "tests", "tools", "docs")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md", "Makefile", "LICENSE", "CITATION.cff")
EXERCISES = {  # title -> kind, solution, oracle, mistakes
    "The largest": ("warm-up", "np.max(x)", "sorted(x)[-1]", {"smallest": "np.min(x)", "mean": "np.mean(x)"}),
    "The spread": ("core", "np.ptp(x)", "max(x) - min(x)", {"sign": "x.min() - x.max()", "half": "np.ptp(x) / 2"}),
    "Squares": ("stretch", "x**2", "np.array([v * v for v in x])", {"cube": "x**3", "double": "2 * x"}),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, to write in."""
    copy = tmp_path_factory.mktemp("checkout")
    junk = shutil.ignore_patterns("__pycache__", ".*")
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


def test_what_was_written_and_filled_in_passes_the_course_s_own_tests(checkout):
    add_lesson(checkout, "15")
    for title, (kind, *rest) in EXERCISES.items():
        done(checkout, "-m", "icrl_teach", "new-exercise", "15_numbers", title, "--kind", kind, "--minutes", "5")
        checks, cases = checkout / "icrl_teach/checks/sheet_15.py", checkout / "tests/check_cases/sheet_15.py"
        fill_in(checks, cases, checkout / "solutions/15_numbers.ipynb", name_of(title), *rest)
    done(checkout, "-m", "icrl_teach", "validate", "--update", "solutions/15_numbers.ipynb")
    done(checkout, "tools/notebooks.py", "exercises")
    out = done(checkout, "-m", "pytest", "-q", "tests/test_checks.py", "-k", "sheet_15 or every_check")
    assert "failed" not in out and "passed" in out
    numbered = "15 or complete or generate or sheet or exercise or order or way_on or README or readme or view"
    guards = ["tests/test_notebooks.py", "tests/test_course.py", "tests/test_standing.py", "tests/test_readme.py"]
    out = done(checkout, "-m", "pytest", "-q", *guards, "-k", f"({numbered}) and not wheel")
    assert "failed" not in out and "passed" in out


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
