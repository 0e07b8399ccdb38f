"""A learner's own copy of the course: from a checkout, and from a built wheel in a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from guards import EXERCISES, LESSONS, ROOT
from icrl_teach import course
from icrl_teach.course import copy_course, course_root


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_copy_holds_every_lesson_and_exercise(tmp_path):
    report = copy_course(tmp_path)
    assert files(tmp_path) == {f"{p.parent.name}/{p.name}": p.read_bytes() for p in [*LESSONS, *EXERCISES]}
    assert len(report.written) == len(LESSONS) + len(EXERCISES)
    again = copy_course(tmp_path)
    assert (again.written, again.kept) == ([], [])


def test_what_a_learner_wrote_is_never_overwritten(tmp_path):
    copy_course(tmp_path)
    mine = tmp_path / "exercises" / EXERCISES[0].name
    mine.write_text("my work")
    report = copy_course(tmp_path)
    assert report.kept == [mine.relative_to(tmp_path)]
    assert mine.read_text() == "my work"


def test_the_new_version_comes_beside_and_never_over_an_older_one(tmp_path):
    copy_course(tmp_path)
    mine = tmp_path / "exercises" / EXERCISES[0].name
    new, new2 = mine.with_suffix(".new.ipynb"), mine.with_suffix(".new2.ipynb")
    mine.write_text("my work")
    assert copy_course(tmp_path, beside=True).written == [new.relative_to(tmp_path)]
    assert new.read_bytes() == EXERCISES[0].read_bytes()
    assert copy_course(tmp_path, beside=True).written == []
    new.write_text("my notes in the new one")
    assert copy_course(tmp_path, beside=True).written == [new2.relative_to(tmp_path)]
    assert (mine.read_text(), new.read_text()) == ("my work", "my notes in the new one")


def test_a_package_without_notebooks_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "__file__", str(tmp_path / "icrl_teach" / "course.py"))
    with pytest.raises(FileNotFoundError, match="reinstall icrl-teach"):
        course_root()


def test_a_built_wheel_starts_the_course_in_a_fresh_environment(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    wheel = next(tmp_path.glob("icrl_teach-*.whl"))
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"icrl_teach/__init__.pyi", "icrl_teach/pretraining/__init__.pyi"} <= held, "names load by these stubs"
    assert {f"icrl_teach/_docs/{name}.md" for name in ("mathematics", "architecture", "validation")} <= held
    fresh = tmp_path / "env"
    venv.create(fresh, symlinks=True)
    python = fresh / "bin" / "python"
    # The dependencies are borrowed from the running environment, this package is not: a path added by a .pth file is
    # searched last, and its own .pth files (an editable install's) are not read.
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    alone = {"cwd": tmp_path, "text": True, "env": {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}}
    where = subprocess.check_output([python, "-c", "import icrl_teach; print(icrl_teach.__file__)"], **alone)
    assert Path(where.strip()).is_relative_to(fresh)
    assert "mine" in subprocess.check_output([python, "-m", "icrl_teach", "start", "mine"], **alone)
    assert files(tmp_path / "mine") == {f"{p.parent.name}/{p.name}": p.read_bytes() for p in [*LESSONS, *EXERCISES]}
