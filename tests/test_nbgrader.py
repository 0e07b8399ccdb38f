"""A teacher's road: nbgrader validates and autogrades a released sheet; learners need no nbgrader."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guards import EXERCISES, SOLUTIONS

pytest.importorskip("nbgrader", reason="pip install icrl-teach[teach]")
SHEET = "04_weighted_softmax_td"
NBGRADER = [sys.executable, "-m", "nbgrader"]


@pytest.fixture(autouse=True)
def activated(monkeypatch):
    """nbgrader calls `alembic` by name, as in an activated environment."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def path_of(paths):
    return next(path for path in paths if path.stem == SHEET)


def run(folder, *arguments):
    done = subprocess.run([*NBGRADER, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_every_sheet_carries_the_metadata_of_a_teacher(path):
    import nbformat
    from nbgrader.nbgraderformat import MetadataValidator

    sheet = nbformat.read(path, as_version=4)
    MetadataValidator().validate_nb(sheet)
    marked = [cell.metadata.nbgrader for cell in sheet.cells if "nbgrader" in cell.metadata]
    ids = [each.grade_id for each in marked]
    assert len(set(ids)) == len(ids) >= 6  # three exercises, each with its check
    assert sum(each.solution for each in marked) == sum(each.grade for each in marked)


def test_validate_praises_the_solution_and_names_what_is_missing(tmp_path):
    shutil.copy(path_of(SOLUTIONS), tmp_path / "solved.ipynb")
    shutil.copy(path_of(EXERCISES), tmp_path / "untouched.ipynb")
    said = run(tmp_path, "validate", "solved.ipynb", "untouched.ipynb")
    praise, blame = said.partition("VALIDATION FAILED")[::2]
    assert praise.count("Success") == said.count("Success") == 1 and blame.count("not written yet") >= 3


def test_autograde_gives_full_marks_to_the_solution_and_none_to_the_untouched_sheet(tmp_path):
    from nbgrader.api import Gradebook

    def place(folder, paths):
        target = tmp_path / folder / SHEET
        target.mkdir(parents=True)
        shutil.copy(path_of(paths), target / f"{SHEET}.ipynb")

    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'icrl'\n")
    place("source", SOLUTIONS)
    run(tmp_path, "generate_assignment", SHEET)
    place("submitted/solved", SOLUTIONS)
    place("submitted/untouched", EXERCISES)
    run(tmp_path, "autograde", SHEET)
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as book:
        solved, untouched = (book.find_submission(SHEET, student) for student in ("solved", "untouched"))
        assert solved.score == solved.max_score > 0
        assert untouched.score == 0
