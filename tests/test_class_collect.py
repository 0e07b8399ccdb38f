"""Uploads as Moodle and Canvas name them become submissions: the last of each learner, and never an older one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from classes import NAMES, NUMBERS, bare_class, canvas, marked, moodle, put, solved, untouched
from icrl_teach.classroom import uploads
from icrl_teach.classroom.collect import collect, platform_number, submitted_at
from icrl_teach.classroom.folder import ClassFolder
from icrl_teach.classroom.roster import read_roster, whose
from patience import PATIENCE

FILE, NAME = "01_markov_reward_processes.ipynb", "01_markov_reward_processes"
OLD, NEW = 1_700_000_000.0, 1_700_500_000.0  # times of files


@pytest.fixture
def course(tmp_path):
    return bare_class(tmp_path / "class", "01", "02")


def submitted(course):
    """What lies in submitted/, by learner and number of the sheet."""
    return {(p.parts[-3], p.parts[-2][:2]): p.read_bytes() for p in course.root.glob("submitted/*/*/*.ipynb")}


def aged(path, when):
    os.utime(path, (when, when))
    return path


def whys(report):
    return {left.where: left.why for left in report.left}


# ----------------------------------------------------------------------------------------------------------- the names


@pytest.mark.parametrize(
    "name",
    [
        lambda student: moodle(student, FILE),
        lambda student: moodle(student, FILE, new=False),
        lambda student: moodle(student, f"my folder/{FILE}"),
        lambda student: moodle(student, FILE, new=False).replace("file_/", "file_"),
        lambda student: canvas(student, FILE, 900 + NUMBERS[student]),
        lambda student: canvas(student, FILE, 900 + NUMBERS[student], late=True),
        lambda student: f"{student}/{FILE}",
        lambda student: f"uploads/{student}/sheet.ipynb",
        lambda student: f"{student}_{FILE}",
    ],
    ids=["Moodle", "Moodle before 4.1", "Moodle, a folder", "Moodle, flat", "Canvas", "late", "id", "below", "prefix"],
)
def test_everybody_is_found_by_the_names_that_platforms_give(course, tmp_path, name):
    for student in NAMES:
        put(tmp_path / "up", name(student), marked(solved("01"), student))
    report = collect(course, tmp_path / "up")
    assert report.left == []
    assert submitted(course) == {(student, "01"): marked(solved("01"), student) for student in NAMES}


def test_lateness_and_the_platform_s_number_are_kept(course, tmp_path):
    put(tmp_path / "up", canvas("ada", FILE, 900, late=True), solved("01"))
    put(tmp_path / "up", canvas("alan", FILE, 901), solved("01"))
    report = collect(course, tmp_path / "up")
    assert report.late == [("ada", NAME)]
    assert platform_number(course.root / "submitted" / "ada" / NAME) == "11"


def test_namesakes_are_told_apart_by_a_folder_and_not_by_chance(course, tmp_path):
    with (course.root / "roster.csv").open("a") as roster:
        roster.write("ada2,Ada Lovelace,other@example.org\n")
    put(tmp_path / "up", moodle("ada", FILE), solved("01"))
    put(tmp_path / "up", f"ada2/{FILE}", marked(solved("01"), "second"))
    report = collect(course, tmp_path / "up")
    assert submitted(course) == {("ada2", "01"): marked(solved("01"), "second")}
    assert "2 learners are called 'Ada Lovelace'; put the file into a folder named ada or ada2" in str(whys(report))


@pytest.mark.parametrize(
    "name",
    ["Ada Lovelace", "lovelaceada", "LOVELACE, ADA", "ada", "Ada  Lovelace"],
)
def test_a_name_is_known_in_any_order_case_and_spelling(course, name):
    assert whose(read_roster(course.root / "roster.csv"), name).id == "ada"


@pytest.mark.parametrize("name", ["Rene Descartes", "descartesrene", "descartesrené"])
def test_accents_may_be_lost_on_the_way(course, name):
    assert whose(read_roster(course.root / "roster.csv"), name).id == "rene"


@pytest.mark.parametrize("name", ["Ada", "Love Lace", "Lovelace", "", "_", "Adalove Lacey", "Ada Byron"])
def test_somebody_else_is_not_taken_for_a_learner(course, name):
    assert "nobody in roster.csv" in whose(read_roster(course.root / "roster.csv"), name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,email\nAda,a@x\n", "line 1: the column id is missing"),
        ("id,name,email\n../ada,Ada,a@x\n", "line 2: the id is '../ada'; it names a folder"),
        ("id,name,email\nada,Ada,a@x\n\nADA,Ada,b@x\n", "line 4: the id 'ADA' stands there twice"),
        ("id,name,email\nada,,a@x\n", "line 2: the name is empty"),
        ("id,name,email\nada,=cmd,a@x\n", "begins as a formula"),
        ("", "the column id is missing"),
    ],
)
def test_a_roster_that_cannot_be_is_refused_by_its_line(tmp_path, text, said):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(ValueError, match=said.replace(".", r"\.").replace("(", r"\(")):
        read_roster(tmp_path / "roster.csv")


def test_a_spreadsheet_s_roster_is_read(tmp_path):
    (tmp_path / "roster.csv").write_bytes("\ufeffID;Name;Email;Group\r\nada;Ada Lovelace;a@x;2\r\n".encode())
    (one,) = read_roster(tmp_path / "roster.csv")
    assert (one.id, one.name, one.email, one.first_and_last) == ("ada", "Ada Lovelace", "a@x", ("Ada", "Lovelace"))


# ------------------------------------------------------------------------------------------------- which is whose, last


def test_a_renamed_file_is_known_by_its_cells(course, tmp_path):
    put(tmp_path / "up", moodle("ada", "my homework (final).ipynb"), solved("02"))
    assert collect(course, tmp_path / "up").left == []
    assert list(submitted(course)) == [("ada", "02")]


def test_a_file_that_is_cut_off_is_known_by_its_name_or_by_what_the_teacher_says(course, tmp_path):
    half = solved("01")[:5000]
    put(tmp_path / "up", moodle("ada", FILE), half)
    put(tmp_path / "up", moodle("emmy", "homework.ipynb"), half)
    report = collect(course, tmp_path / "up")
    assert submitted(course) == {("ada", "01"): half}
    assert "say which: --sheet NN" in whys(report)[moodle("emmy", "homework.ipynb")]
    collect(course, tmp_path / "up", course.sheet("1"))
    assert submitted(course) == {("ada", "01"): half, ("emmy", "01"): half}


def test_another_sheet_is_not_taken_for_the_one_that_was_asked(course, tmp_path):
    put(tmp_path / "up", moodle("ada", FILE), solved("02"))
    report = collect(course, tmp_path / "up", course.sheet("01"))
    assert submitted(course) == {}
    assert "its cells are those of sheet 02, not of 01" in whys(report)[moodle("ada", FILE)]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (moodle("ada", FILE), moodle("ada", f"{NAME} (1).ipynb")),
        (moodle("ada", f"{NAME} (2).ipynb"), moodle("ada", f"{NAME}(10).ipynb")),
        (canvas("ada", FILE, 900), canvas("ada", f"{NAME}-1.ipynb", 950)),
        (canvas("ada", f"{NAME}-1.ipynb", 900), canvas("ada", FILE, 950)),
    ],
    ids=["(1)", "(10) after (2)", "Canvas", "Canvas' number before the mark"],
)
@pytest.mark.parametrize("clock", ["times agree", "times say the other"])
def test_of_two_in_one_download_the_later_counts(course, tmp_path, earlier, later, clock):
    times = (OLD, NEW) if clock == "times agree" else (NEW, OLD)
    aged(put(tmp_path / "up", earlier, marked(solved("01"), "first")), times[0])
    aged(put(tmp_path / "up", later, marked(solved("01"), "second")), times[1])
    report = collect(course, tmp_path / "up")
    assert submitted(course) == {("ada", "01"): marked(solved("01"), "second")}
    assert whys(report) == {earlier: f"ada handed in a later one: {later}"}


def test_without_any_mark_the_newer_file_counts(course, tmp_path):
    aged(put(tmp_path / "up", moodle("ada", "a.ipynb"), marked(solved("01"), "new")), NEW)
    aged(put(tmp_path / "up", moodle("ada", "b.ipynb"), marked(solved("01"), "old")), OLD)
    collect(course, tmp_path / "up")
    assert submitted(course) == {("ada", "01"): marked(solved("01"), "new")}


def test_a_later_download_replaces_and_an_earlier_one_never_does(course, tmp_path):
    for when, word in ((OLD, "monday"), (NEW, "tuesday")):
        aged(put(tmp_path / word, moodle("ada", FILE), marked(solved("01"), word)), when)
    assert len(collect(course, tmp_path / "monday").taken) == 1
    assert len(collect(course, tmp_path / "tuesday").replaced) == 1
    report = collect(course, tmp_path / "monday")
    assert report.older == [("ada", NAME)] and not report.replaced
    assert submitted(course) == {("ada", "01"): marked(solved("01"), "tuesday")}
    assert collect(course, tmp_path / "tuesday").same == [("ada", NAME)]
    assert submitted_at(course.root / "submitted" / "ada" / NAME).timestamp() == NEW


# ------------------------------------------------------------------------------------------------------------ zip files


def zipped(path, files, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **more) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_the_platform_s_zip_file_is_read_as_it_is_and_a_learner_s_inside_it(course, tmp_path):
    inner = zipped(tmp_path / "inner.zip", {f"homework/{FILE}": solved("01"), "__MACOSX/._x.ipynb": b"junk"})
    members = {moodle("ada", "my work.zip"): inner.read_bytes(), moodle("emmy", FILE): solved("01")}
    canvas_zip = canvas("alan", "work.zip", 9)
    download = zipped(tmp_path / "a_1_2_b.zip", {**members, canvas_zip: inner.read_bytes(), "notes.pdf": b"%PDF"})
    report = collect(course, download)
    assert report.left == []
    assert submitted(course) == dict.fromkeys([("ada", "01"), ("emmy", "01"), ("alan", "01")], solved("01"))


@pytest.mark.parametrize(
    "name", ["../evil.ipynb", "a/../../evil.ipynb", "/tmp/evil.ipynb", "..\\evil.ipynb", "C:/evil.ipynb"]
)
def test_a_name_that_leads_out_is_refused_and_the_rest_is_taken(course, tmp_path, name):
    download = zipped(tmp_path / "up.zip", {moodle("ada", FILE): solved("01")})
    with zipfile.ZipFile(download, "a") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = name
        archive.writestr(member, solved("01"))
    before = {p for p in tmp_path.rglob("*") if "submitted" not in p.parts}
    report = collect(course, download)
    assert list(submitted(course)) == [("ada", "01")]
    assert [left.why for left in report.left] == [
        "its name leads out of the zip file; whoever made it meant harm, or a tool was broken"
    ]
    assert {p for p in tmp_path.rglob("*") if "submitted" not in p.parts} == before


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_what_is_too_large_linked_or_broken_is_refused_by_name_and_stops_nobody(course, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST", 2 * uploads.MEGABYTE)
    up = tmp_path / "up"
    put(up, moodle("ada", FILE), solved("01"))
    put(up, moodle("emmy", "big.ipynb"), b"x" * (2 * uploads.MEGABYTE + 1))
    put(up, moodle("alan", "broken.zip"), b"PK\x03\x04 and no more")
    zipped(up / moodle("rene", "bomb.zip"), {"bomb.ipynb": b"0" * (3 * uploads.MEGABYTE)})
    link = zipfile.ZipInfo(FILE)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    zipped(up / moodle("sofia", "link.zip"), {link: "/etc/passwd"})
    (up / "ludwig").mkdir()
    (up / "ludwig" / FILE).symlink_to(tmp_path / "secret.ipynb")
    report = collect(course, up)
    assert list(submitted(course)) == [("ada", "01")]
    said = {where.split("/")[0].split(" ")[0].split("_")[0]: why for where, why in whys(report).items()}
    assert "2 MB, more than 2" in said["Emmy"] and "3 MB, more than 2" in said["René"]
    assert "cannot be read" in said["Alan"]
    assert said["Sofia"] == "it is a link; ask for the file itself" and "it is a link" in said["ludwig"]


def test_a_zip_file_that_lies_about_its_size_is_read_no_further_than_allowed(course, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST", 2**16)
    path = zipped(tmp_path / "up.zip", {moodle("ada", FILE): b"0" * 2**20})
    content = path.read_bytes().replace((2**20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(content)
    report = collect(course, path)
    assert submitted(course) == {} and len(report.left) == 1


def test_too_many_members_or_zip_files_too_deep_are_refused(course, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_MEMBERS", 3)
    deep = solved("01")
    for level in range(3):
        deep = zipped(tmp_path / f"{level}.zip", {"x.ipynb" if level == 0 else "x.zip": deep}).read_bytes()
    put(tmp_path / "up", moodle("ada", "deep.zip"), deep)
    zipped(tmp_path / "up" / moodle("emmy", "many.zip"), {f"{n}.ipynb": b"{}" for n in range(4)})
    report = collect(course, tmp_path / "up")
    said = " ".join(left.why for left in report.left)
    assert "a zip file in a zip file in a zip file" in said and "it holds 4 files" in said


def test_what_is_neither_folder_nor_zip_file_is_refused(course, tmp_path):
    with pytest.raises(ValueError, match="neither a folder nor a zip file"):
        collect(course, put(tmp_path, "notes.txt", b"hello"))


# ----------------------------------------------------------------------------------------------------------- kill -9

CHILD = """
import sys
from pathlib import Path
from icrl_teach.classroom.collect import collect
from icrl_teach.classroom.folder import ClassFolder
print("begins", flush=True)
while True:
    for place in sys.argv[2:]:
        collect(ClassFolder.at(Path(sys.argv[1])), Path(place))
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_killed_at_any_moment_every_file_is_whole_and_the_next_run_ends_the_work(course, tmp_path):
    rng, days = np.random.default_rng(3), ["monday", "tuesday"]
    wanted = {}
    for when, word in zip((OLD, NEW), days, strict=True):
        for student in NAMES:
            wanted[student, word] = marked(untouched("01"), f"{word}-{student}")
            aged(put(tmp_path / word, moodle(student, FILE), wanted[student, word]), when)
    for _ in range(6):
        command = [sys.executable, "-c", CHILD, str(course.root), *(str(tmp_path / day) for day in days)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "begins\n"
            time.sleep(float(rng.uniform(0.0, 0.25)))
            child.send_signal(signal.SIGKILL)
            child.wait(PATIENCE)
        for (student, _), content in submitted(course).items():
            assert content in {wanted[student, day] for day in days}
            assert submitted_at(course.root / "submitted" / student / NAME) is not None
        assert sorted(submitted(ClassFolder.at(course.root))) == sorted(submitted(course))
    collect(course, tmp_path / "tuesday")
    collect(course, tmp_path / "monday")
    assert submitted(course) == {(student, "01"): wanted[student, "tuesday"] for student in NAMES}


def test_a_stop_between_the_time_and_the_notebook_loses_nothing(course, tmp_path, monkeypatch):
    from icrl_teach.classroom import collect as module

    for when, word in ((OLD, "monday"), (NEW, "tuesday")):
        aged(put(tmp_path / word, moodle("ada", FILE), marked(solved("01"), word)), when)
    collect(course, tmp_path / "monday")
    real = module.write_if_new

    def stops(path, content):
        if path.suffix == ".ipynb":
            raise KeyboardInterrupt
        return real(path, content)

    with monkeypatch.context() as stopped:
        stopped.setattr(module, "write_if_new", stops)
        with pytest.raises(KeyboardInterrupt):
            collect(course, tmp_path / "tuesday")
    assert collect(course, tmp_path / "monday").same == [("ada", NAME)]
    assert collect(course, tmp_path / "tuesday").replaced == [("ada", NAME)]
    assert submitted(course) == {("ada", "01"): marked(solved("01"), "tuesday")}
