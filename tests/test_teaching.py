"""The instructor's guide keeps its promises: minutes add up, what it names exists, links lead somewhere."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import nbformat
import pytest

from guards import LESSONS, ROOT
from icrl_teach.checks.check import Check
from icrl_teach.standing import parts

FOLDER = ROOT / "docs" / "teaching"
PAGES = sorted(FOLDER.glob("lesson-*.md"))
COURSE = {part.number: part for part in parts()}
SLOTS = {"Six classes of 90 minutes": (6, 90), "Twelve classes of 45 minutes": (12, 45)}
BLOCK = 90  # minutes of one of the workshop's eight blocks


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1]


def rows(page: str) -> list[list[str]]:
    """The cells of a section's first table, without its two lines of heading."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def stated(page: str) -> tuple[int, int, int, int]:
    """(in class, short form, the lesson alone, exercises of its sheet), as the page's line on time says."""
    line = " ".join(re.search(r"\*\*Time\.\*\*(.*?)\n\n", page, re.S)[1].split())
    found = re.search(r"In class (\d+) minutes, in the short form (\d+).*takes (\d+) minutes", line)
    sheet = re.search(r"the exercises of its sheet (\d+)", line)
    return int(found[1]), int(found[2]), int(found[3]), int(sheet[1]) if sheet else 0


def minutes(names: str, number: str) -> int:
    """Minutes of the exercises that a cell of the syllabus names; a name that the sheet lacks raises KeyError."""
    return sum(COURSE[number].exercises[name] for name in re.findall(r"`(\w+)`", names))


def test_there_is_a_page_for_each_lesson_and_each_is_listed_in_the_order_of_reading():
    assert {page.stem.removeprefix("lesson-") for page in PAGES} == set(COURSE)
    assert re.findall(r"\(lesson-(\d\d)\.md\)", text(FOLDER / "index.md")) == list(COURSE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_plan_adds_up_to_the_stated_minutes(page):
    taught, short, alone, sheet = stated(text(page))
    plan = rows(section(text(page), "Minute plan"))
    assert (taught, short) == (sum(int(row[0]) for row in plan), sum(int(row[1]) for row in plan))
    assert taught == 45 and short < taught
    part = COURSE[page.stem[-2:]]
    assert (alone, sheet) == (part.minutes, sum(part.exercises.values()))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_cells_and_sections_that_a_plan_names_are_in_the_lesson(page):
    lesson = nbformat.read(next(p for p in LESSONS if p.name.startswith(page.stem[-2:])), as_version=4)
    cells = {cell.id for cell in lesson.cells} | {"title"}
    prose = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    for *_, where in rows(section(text(page), "Minute plan")):
        assert set(re.findall(r"`([^`]+)`", where)) <= cells, where
        for number in re.findall(r"\d+", re.sub(r"`[^`]+`", "", where) if "section" in where else ""):
            assert re.search(rf"^## {number}\. ", prose, re.M), where


def hints(number: str) -> dict[str, list[str]]:
    """The hints of each check of a sheet."""
    sheet = vars(importlib.import_module(f"icrl_teach.checks.sheet_{number}"))
    return {
        name: [mistake[0] for mistake in value.mistakes] for name, value in sheet.items() if isinstance(value, Check)
    }


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem != "lesson-00"], ids=lambda p: p.stem)
def test_each_named_misconception_is_still_a_hint_of_its_check(page):
    table = rows(section(text(page), "Usual misconceptions"))
    known = hints(page.stem[-2:])
    assert len(table) >= 5
    for exercise, says, cure in table:
        assert any(hint.startswith(says.strip('"')) for hint in known[exercise.strip("`")]), f"{exercise}: {says}"
        assert len(cure.split()) >= 5


def plan(heading: str) -> list[list[str]]:
    return rows(section(text(FOLDER / "syllabus.md"), heading))


@pytest.mark.parametrize("heading", SLOTS)
def test_a_plan_fits_its_classes_and_counts_homework_rightly(heading):
    classes, length = SLOTS[heading]
    *table, total = plan(heading)
    used: dict[int, int] = {}
    for number, lesson, taught, read, names, exercises in table:
        lesson = re.search(r"lesson-(\d\d)\.md", lesson)[1]
        used[int(number)] = used.get(int(number), 0) + int(taught)
        assert int(taught) in stated(text(FOLDER / f"lesson-{lesson}.md"))[:2]
        assert int(read) == max(0, COURSE[lesson].minutes - int(taught))
        assert int(exercises) == minutes(names, lesson)
    assert list(used) == list(range(1, classes + 1)) and max(used.values()) <= length
    assert [re.search(r"lesson-(\d\d)", row[1])[1] for row in table] == list(COURSE), (
        "all lessons, in the order of reading"
    )
    assert [int(total[k]) for k in (2, 3, 5)] == [sum(int(row[k]) for row in table) for k in (2, 3, 5)]


def test_the_workshop_fits_its_blocks():
    *table, total = plan("A workshop of two days")
    used: dict[str, int] = {}
    for block, lesson, taught, names, exercises in table:
        lesson = re.search(r"lesson-(\d\d)\.md", lesson)[1]
        used[block] = used.get(block, 0) + int(taught) + int(exercises)
        assert int(taught) in stated(text(FOLDER / f"lesson-{lesson}.md"))[:2]
        assert int(exercises) == minutes(names, lesson)
    assert len(used) == 8 and max(used.values()) <= BLOCK
    assert [int(total[k]) for k in (2, 4)] == [sum(int(row[k]) for row in table) for k in (2, 4)]


def test_the_syllabus_knows_how_long_the_course_is():
    said = re.search(r"state (\d+) minutes .*? sheets (\d+) minutes", " ".join(text(FOLDER / "syllabus.md").split()))
    lessons, exercises = (sum(part.minutes for part in parts()), sum(sum(p.exercises.values()) for p in parts()))
    assert (int(said[1]), int(said[2])) == (lessons, exercises)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#\s]+)", text(path)):
        assert ":" in target or (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_wheelhouse_is_made_and_used_as_the_page_says():
    page, makefile = text(FOLDER / "before-the-first-class.md"), text(ROOT / "Makefile")
    recipe = (
        re.search(r"^wheelhouse:.*\n((?:\t.*\n)+)", makefile, re.M)[1]
        .replace("$(PIP_ARGS) ", "")
        .replace(" --quiet", "")
    )
    by_hand = re.search(r"^python (-m pip wheel .*)$", page, re.M)[1]
    assert f"$(BIN)/python {by_hand}\n" in recipe
    folder, constraints = re.search(r"--find-links (\S+) --constraint (\S+)", page).groups()
    assert f"--wheel-dir {folder} " in by_hand and constraints == f"{folder}/constraints.txt"
    assert f"cp constraints.txt {folder}/" in recipe


def test_the_page_on_computers_states_the_budgets_in_force():
    settings = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["icrl-teach"]["validate"]["budgets"]
    page = text(FOLDER / "before-the-first-class.md")
    training = re.search(r"held to (\d+) seconds .* that train \(([\d, ]+)\) to (\d+)", page)
    assert int(training[1]) == settings["lessons/*"]["seconds"]
    named = {f"lessons/{number}_*": int(training[3]) for number in training[2].split(", ")}
    assert named == {key: value["seconds"] for key, value in settings.items() if key != "lessons/*"}
    gigabytes = float(re.search(r"held to ([\d.]+) GB", page)[1])
    assert {value["megabytes"] for value in settings.values()} == {1000 * gigabytes}
