"""A learner's own copy of the course: from a checkout, and from a built wheel in a fresh environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest

from guards import EXERCISES, LESSONS, ROOT
from icrl_teach import course, learner
from icrl_teach.course import copy_course, course_root, without_outputs
from icrl_teach.learner import MARKER


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def course_files(folder):
    return {name: content for name, content in files(folder).items() if name != MARKER}


def cleared(path):
    """A notebook before any run, the long way round: by nbformat."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return (nbformat.writes(notebook) + "\n").encode()


def test_the_copy_holds_every_lesson_and_exercise_without_outputs(tmp_path):
    report = copy_course(tmp_path)
    assert course_files(tmp_path) == {f"{p.parent.name}/{p.name}": cleared(p) for p in [*LESSONS, *EXERCISES]}
    assert not any(b"image/png" in content for content in files(tmp_path).values())
    assert len(report.written) == len(LESSONS) + len(EXERCISES)
    again = copy_course(tmp_path)
    assert (again.written, again.updated, again.kept) == ([], [], [])


def test_what_holds_no_outputs_is_copied_byte_for_byte():
    for path in EXERCISES:
        assert without_outputs(path.read_bytes()) == path.read_bytes()


def test_outputs_come_along_where_they_are_wanted_and_it_is_remembered(tmp_path):
    stored = {f"{p.parent.name}/{p.name}": p.read_bytes() for p in [*LESSONS, *EXERCISES]}
    copy_course(tmp_path)
    assert copy_course(tmp_path, with_outputs=True).kept == []
    assert course_files(tmp_path) == stored
    assert copy_course(tmp_path).updated == []
    copy_course(tmp_path, with_outputs=False)
    assert course_files(tmp_path) == {name: without_outputs(content) for name, content in stored.items()}


def test_the_course_s_own_folder_is_no_place_for_a_copy():
    with pytest.raises(ValueError, match="is the course's own folder; choose another, such as my-course"):
        copy_course(ROOT)
    assert not (ROOT / MARKER).exists()


@pytest.fixture
def versions(tmp_path, monkeypatch):
    """A course of one lesson and one sheet, in the version that a call asks for; where a copy goes."""
    root = tmp_path / "installed"
    (root / "lessons").mkdir(parents=True)
    (root / "exercises").mkdir()
    monkeypatch.setattr(course, "course_root", lambda: root)

    def release(number):
        output = nbformat.v4.new_output("stream", text="4\n")
        cell = nbformat.v4.new_code_cell(f"# version {number}", id="one", outputs=[output], execution_count=1)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), root / "lessons/00_a.ipynb")
        cell = nbformat.v4.new_code_cell(f"# version {number}", id="one")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), root / "exercises/01_b.ipynb")

    release(1)
    return release, root, tmp_path / "mine"


LESSON, SHEET = Path("lessons/00_a.ipynb"), Path("exercises/01_b.ipynb")


def test_what_nobody_touched_is_brought_up_to_date(versions):
    release, root, mine = versions
    assert copy_course(mine).written == [SHEET, LESSON]
    release(2)
    report = copy_course(mine)
    assert (report.updated, report.written, report.kept) == ([SHEET, LESSON], [], [])
    assert (mine / LESSON).read_bytes() == without_outputs((root / LESSON).read_bytes())
    assert (mine / SHEET).read_bytes() == (root / SHEET).read_bytes()


def test_what_a_learner_ran_is_theirs_and_the_new_one_beside_it_is_brought_up_to_date(versions):
    release, _root, mine = versions
    copy_course(mine)
    ran = (mine / LESSON).read_bytes().replace(b"null", b"7")
    (mine / LESSON).write_bytes(ran)
    for number in (2, 3):
        release(number)
        report = copy_course(mine, beside=True)
        assert (report.kept, report.updated[-1:]) == (
            [LESSON],
            [SHEET] if number == 2 else [LESSON.with_suffix(".new.ipynb")],
        )
    assert (mine / LESSON).read_bytes() == ran
    new = mine / LESSON.with_suffix(".new.ipynb")
    assert b"version 3" in new.read_bytes() and b'"text"' not in new.read_bytes()
    assert sorted(p.name for p in (mine / "lessons").iterdir()) == ["00_a.ipynb", "00_a.new.ipynb"]
    new.write_text("my notes")
    release(4)
    copy_course(mine, beside=True)
    assert new.read_text() == "my notes" and (mine / LESSON.with_suffix(".new2.ipynb")).exists()


def test_a_copy_of_an_earlier_start_keeps_its_outputs(versions):
    release, root, mine = versions
    for name in (LESSON, SHEET):  # as `start` wrote them before there was a marker
        (mine / name).parent.mkdir(parents=True)
        shutil.copy(root / name, mine / name)
    before = files(mine)
    for _ in range(2):
        report = copy_course(mine)
        assert (report.same, report.written, report.updated, report.kept) == ([SHEET, LESSON], [], [], [])
        assert course_files(mine) == before
    release(2)
    report = copy_course(mine)
    assert report.kept == report.news == [SHEET, LESSON]
    assert course_files(mine) == before


def test_what_a_learner_ran_is_no_news_until_there_is_another_version(versions):
    release, _, mine = versions
    copy_course(mine)
    (mine / LESSON).write_text("ran")
    report = copy_course(mine)
    assert (report.kept, report.news) == ([LESSON], [])
    release(2)
    report = copy_course(mine)
    assert (report.kept, report.news) == ([LESSON], [LESSON])


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"written": 3}', '{"written": {}, "outputs": []}', "[" * 100_000])
def test_with_a_damaged_marker_no_file_is_taken_for_ours(damage, versions):
    release, _root, mine = versions
    copy_course(mine)
    before = course_files(mine)
    (mine / MARKER).write_text(damage)
    release(2)
    assert copy_course(mine).kept == [SHEET, LESSON]
    assert course_files(mine) == before


def test_a_start_that_is_stopped_takes_no_file_for_ours_that_it_did_not_write(versions, monkeypatch):
    release, _root, mine = versions
    copy_course(mine)
    release(2)
    real = course.atomic_write

    def stops(path, *mode):
        if Path(path).name == LESSON.name:
            raise KeyboardInterrupt
        return real(path, *mode)

    with monkeypatch.context() as stopped:
        stopped.setattr(course, "atomic_write", stops)
        with pytest.raises(KeyboardInterrupt):
            copy_course(mine)
    assert b"version 2" in (mine / SHEET).read_bytes() and b"version 1" in (mine / LESSON).read_bytes()
    assert copy_course(mine).updated == [LESSON]


def test_start_leaves_the_progress_alone(versions, monkeypatch):
    release, _root, mine = versions
    copy_course(mine)
    monkeypatch.chdir(mine / "lessons")
    monkeypatch.delenv(learner.SWITCH, raising=False)
    learner.pass_check("01", "returns")
    before = (mine / learner.RECORD).read_bytes()
    release(2)
    copy_course(mine, beside=True)
    assert (mine / learner.RECORD).read_bytes() == before


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
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "icrl_teach/lab").rglob("*") if path.is_file()}
    assert len(shipped) >= 4 and shipped <= held, "the stylesheet and settings of icrl-teach lab"
    assert {f"icrl_teach/_docs/{name}.md" for name in ("mathematics", "notation", "architecture", "validation")} <= held
    sheets = {f"icrl_teach/_notebooks/solutions/{path.name}" for path in EXERCISES}
    assert sheets <= held, "icrl-teach class new writes them; learners' copies hold none"
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
    wanted = {f"{p.parent.name}/{p.name}": without_outputs(p.read_bytes()) for p in [*LESSONS, *EXERCISES]}
    assert course_files(tmp_path / "mine") == wanted
