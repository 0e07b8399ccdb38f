"""Every guard bites: each fault, planted in a sound notebook, is found by its own rule; the sound one is clean."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from guards import LESSONS, SOLUTIONS
from icrl_teach.validation import engine
from icrl_teach.validation.config import Settings
from icrl_teach.validation.findings import RULES

PICTURE = """\
import base64, io
from IPython.display import HTML
from PIL import Image, ImageDraw
image = Image.new("RGB", (120, 80), "white")
ImageDraw.Draw(image).rectangle((20, 20, 60, 60), fill="crimson")
image.save(buffer := io.BytesIO(), "PNG")
HTML(f'<img alt="A crimson square left of the middle" src="data:image/png;base64,'
     f'{base64.b64encode(buffer.getvalue()).decode()}">')"""
CELLS = {
    "title": "# A small course\n\nThe mean is 2.625. See [the data](data.csv) and [above](#A-small-course).",
    "mean": "import random\nprint(sum([1.5, 2.25, 4.125]) / 3)",
    "picture": PICTURE,
    "widget": "import ipywidgets\nipywidgets.IntSlider(value=3, description='depth')",
    "error": "1 / 0",
    "clock": "import time\nprint(time.perf_counter())",
    "noise": "print('about', 1 + random.random() * 1e-6)",
}
TAGS = {
    "error": ["raises-exception"],
    "clock": ["nbval-ignore-output", "reason-timing"],
    "noise": ["validate-rtol=1e-3"],
}


def written():
    cells = []
    for name, source in CELLS.items():
        make = new_markdown_cell if name == "title" else new_code_cell
        cells.append(make(source, id=name, metadata={"tags": TAGS[name]} if name in TAGS else {}))
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a sound notebook, whose outputs come from a run of its own."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "data.csv").write_text("x\n1\n")
    nbformat.write(written(), folder / "sound.ipynb")
    said = []
    engine.validate([folder / "sound.ipynb"], Settings(), store=True, show=said.append)
    assert any("sound.ipynb: stored" in line for line in said)
    return folder


@pytest.fixture(scope="module")
def sound(home):
    return nbformat.read(home / "sound.ipynb", as_version=4)


def cell(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def rules_of(outcome):
    return {finding.rule for finding in outcome.findings}


# Faults seen by reading. Each takes a sound notebook and spoils it.
def says(text, name="mean"):
    def spoil(notebook):
        cell(notebook, name).outputs.append(new_output("stream", name="stdout", text=text))

    return spoil


def tagged(*tags, name="mean"):
    return lambda notebook: cell(notebook, name).metadata.update(tags=list(tags))


def adds(text, name="mean"):
    def spoil(notebook):
        cell(notebook, name).source += text

    return spoil


def sets(key, value, name="mean"):
    return lambda notebook: cell(notebook, name).update({key: value})


def outputs(*made, name="mean"):
    return lambda notebook: cell(notebook, name).update(outputs=list(made))


def square(**metadata):
    data = {"image/png": "iVBORw0KGgo=", "text/plain": "3"}
    return new_output("display_data", data=data, metadata=metadata)


def repeated_id(notebook):
    notebook.cells[2].id = notebook.cells[1].id


READ = {
    "schema": repeated_id,
    "file-size": says("x" * 1_600_000),
    "large-output": says("x" * 1_100_000),
    "bad-tag": tagged("validate-rtol=a lot"),
    "never-executed": sets("execution_count", None),
    "out-of-order": sets("execution_count", 9),
    "ignored": tagged("nbval-ignore-output"),
    "skipped": adds("\n# NBVAL_SKIP"),
    "time-magic": adds("\n%time pass"),
    "stored-error": outputs(new_output("error", ename="ValueError", evalue="no", traceback=["no"])),
    "stored-warning": outputs(new_output("stream", name="stderr", text="careful")),
    "path": says("saved to /home/ada/course/x.csv"),
    "user-name": says("ada@laptop:~$ ls"),
    "address": says("<Model object at 0x7f12ab34cd10>"),
    "time": says("finished at 12:30:01"),
    "date": says("run on 2026-05-01"),
    "alt-text": outputs(square()),
    "alt-text-unseen": outputs(square(**{"image/png": {"alt": "A black square on white"}})),
    "syntax": adds("\nprint 'x'"),
    "missing-import": adds("\nimport no_such_package"),
    "dead-link": adds(" [more](nowhere.ipynb)", "title"),
    "prose-number": adds(" The error is 0.12345.", "title"),
}


def examined(notebook, path, profile="own"):
    path.write_text(json.dumps(notebook), encoding="utf-8")  # as it is: nbformat would mend some faults
    return engine.validate([path], Settings(profile=profile), run=False).findings


@pytest.mark.parametrize("rule", READ)
def test_a_fault_is_found_by_reading(rule, home, sound):
    spoilt = copy.deepcopy(sound)
    READ[rule](spoilt)
    found = examined(spoilt, home / "spoilt.ipynb")
    assert rule in {finding.rule for finding in found}, found
    assert {f.rule for f in found} <= {rule, "large-output", "prose-number"}


def test_the_sound_notebook_has_no_fault_to_read(home, sound):
    assert examined(sound, home / "spoilt.ipynb") == []


@pytest.mark.parametrize(
    "text",
    [
        "/tmp/x",
        "C:\\Users\\ada",
        "C:\\\\Users\\\\ada",
        "at 0x7f12ab34cd",
        "on 3 May 2026",
        "on May 3, 2026",
        "/workspaces/me",
    ],
)
def test_forms_of_what_belongs_to_one_machine(text, home, sound):
    spoilt = copy.deepcopy(sound)
    says(text)(spoilt)
    assert {f.rule for f in examined(spoilt, home / "spoilt.ipynb")} & {"path", "address", "date"}


@pytest.mark.parametrize("text", ["3/home/4", "https://example.org/home/x", "12:30", "0x1f", "May 3"])
def test_what_only_looks_like_it_is_let_through(text, home, sound):
    spoilt = copy.deepcopy(sound)
    says(text)(spoilt)
    assert not {f.rule for f in examined(spoilt, home / "spoilt.ipynb")} & {"path", "address", "time", "date"}


# Faults that only this course forbids, in its own lesson and sheet.
def course(path, spoil, profile, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    spoil(notebook)
    for name in ("lessons", "solutions", "exercises"):  # where its links lead
        (tmp_path / name).mkdir(exist_ok=True)
    copied = tmp_path / path.parent.name / path.name
    return {finding.rule for finding in examined(notebook, copied, profile)} - {"dead-link"}


def without_numbers(notebook):
    for cell in notebook.cells:
        cell.outputs = [o for o in cell.get("outputs", []) if o.output_type != "stream"]
        for output in cell.outputs:
            output.get("data", {}).update({"text/plain": "a figure"})


def lines(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[1].source += "\n" + "\n".join(f"x{i} = {i}" for i in range(13))


def without(text):
    def spoil(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace(text, "")

    return spoil


def appends(text):
    def spoil(notebook):
        notebook.cells[0].source += text

    return spoil


COURSE = {
    "semicolon": (LESSONS, lambda n: n.cells[1].update(source=n.cells[1].source + "\n3.0;")),
    "kernel-name": (LESSONS, lambda n: n.metadata.kernelspec.update(name="conda-ada")),
    "volatile-metadata": (LESSONS, lambda n: n.metadata.update(authors=["me"])),
    "picture-number": (LESSONS, without_numbers),
    "anatomy": (LESSONS, without("Check yourself")),
    "belittling": (LESSONS, appends("\n\nClearly true.")),
    "too-long": (LESSONS, lines),
    "sheet": (SOLUTIONS, without("warm-up")),
}


@pytest.mark.parametrize("rule", COURSE)
def test_a_fault_against_the_course_is_found(rule, tmp_path):
    paths, spoil = COURSE[rule]
    profile = {"lessons": "lesson", "solutions": "sheet"}[paths[0].parent.name]
    before = course(paths[0], lambda notebook: None, profile, tmp_path)
    after = course(paths[0], spoil, profile, tmp_path)
    assert after - before >= {rule}
    assert rule not in before


@pytest.mark.parametrize(("asked", "found"), [(3, set()), (2, {"anatomy"})])
def test_predictions_are_folded_or_asked_by_predict(asked, found, tmp_path):
    def spoil(notebook):
        for each in notebook.cells:
            if each.cell_type == "markdown":
                each.source = re.sub(r"</?details>", "", each.source)
            else:
                each.source = each.source.replace("predict(", "ask(")
        notebook.cells[0].source += "\n<details></details>" * 3
        notebook.cells[1].source += "\npredict()" * asked

    assert {rule for rule in course(LESSONS[0], spoil, "lesson", tmp_path) if rule == "anatomy"} == found


# Faults that only a run shows.
def replaced(name, old, new):
    def spoil(notebook):
        one = cell(notebook, name)
        assert old in one.source
        one.source = one.source.replace(old, new)

    return spoil


def other_state(notebook):
    text = json.dumps(notebook.metadata.widgets)
    assert '"value": 3' in text
    notebook.metadata.widgets = json.loads(text.replace('"value": 3', '"value": 4'))


def other_language(notebook):
    kernel = {"name": "ir", "display_name": "R", "language": "R"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "R"}}


RUN = {
    "no-kernel": other_language,
    "raises": adds("\nraise ValueError('no')"),
    "no-error": replaced("error", "1 / 0", "1 / 1"),
    "dead-kernel": adds("\nimport os\nos._exit(3)"),
    "timeout": adds("\nimport time\ntime.sleep(60)"),
    "memory": adds("\nfull = [bytearray(10**7) for _ in range(200)]\nimport time\ntime.sleep(60)"),
    "flood": adds("\nimport time\nwhile True:\n    print('x' * 50_000)\n    time.sleep(0.01)"),
    "stale": outputs(new_output("stream", name="stdout", text="9.0\n")),
    "new-warning": adds("\nimport warnings\nwarnings.warn('careful')"),
    "picture": replaced("picture", "(20, 20, 60, 60)", "(20, 20, 60, 64)"),
    "widget-state": other_state,
    "unstable": adds("\nprint(random.random())"),
    "time-budget": tagged("validate-seconds=1e-9"),
    "memory-budget": tagged("validate-megabytes=1"),
}
LIMITS = Settings(memory_limit=700, output_limit=5)
TWICE = {"repeat": 2}
OWN = {"timeout": {"cell_timeout": 1}, "sound": TWICE, "unstable": TWICE, "dead-kernel": TWICE}


class Ran(dict):
    """The outcome of the notebook that a rule's fault spoilt, or of the sound one; each runs when it is asked for."""

    def __init__(self, home, sound):
        self.home, self.sound = home, sound

    def __missing__(self, rule):
        notebook = copy.deepcopy(self.sound)
        RUN.get(rule, lambda notebook: None)(notebook)
        path = self.home / f"{rule}.ipynb"
        nbformat.write(notebook, path)
        (self[rule],) = engine.validate([path], replace(LIMITS, **OWN.get(rule, {}))).outcomes
        return self[rule]


@pytest.fixture(scope="module")
def ran(home, sound):
    return Ran(home, sound)


def test_the_sound_notebook_is_clean_and_compared(ran):
    assert ran["sound"].findings == []
    assert (ran["sound"].code_cells, ran["sound"].compared) == (6, 5)
    assert ran["sound"].pictures == 1
    assert ran["sound"].ignored == [(5, "reason-timing")]


@pytest.mark.parametrize("rule", RUN)
def test_a_fault_is_found_by_running(rule, ran):
    found = [finding for finding in ran[rule].findings if finding.rule == rule]
    assert len(found) == 1, [f.line() for f in ran[rule].findings]
    places = {"no-kernel": None, "no-error": 4, "picture": 2, "widget-state": 3}
    assert found[0].cell == places.get(rule, 1)
    assert found[0].fix


def test_findings_read_as_the_manual_says(ran):
    stale = [finding for finding in ran["stale"].findings if finding.rule == "stale"]
    pattern = (
        r".*stale\.ipynb  cell 1 \(mean\): stored 9\.0, now 2\.625; fix: icrl-teach validate --update .*stale\.ipynb"
    )
    assert re.fullmatch(pattern, stale[0].line())
    assert re.search(r"^-\s+9\.0$", stale[0].detail, re.MULTILINE)
    assert re.search(r"^\+\s+2\.625$", stale[0].detail, re.MULTILINE)
    assert stale[0].source == CELLS["mean"]


def test_a_dead_kernel_says_how_it_died(ran):
    assert "the kernel died with exit code 3; its memory was" in ran["dead-kernel"].findings[0].message


def test_what_follows_a_broken_run_is_not_called_stale(ran):
    for rule in ("dead-kernel", "timeout", "memory", "flood", "no-kernel", "unstable"):
        assert rules_of(ran[rule]) == {rule}, [f.line() for f in ran[rule].findings]


# Files that are hardly notebooks.
def test_what_is_no_notebook_is_said_in_a_sentence(home):
    version3 = nbformat.v3.new_notebook(worksheets=[nbformat.v3.new_worksheet([nbformat.v3.new_code_cell(input="2")])])
    cases = {
        "half": nbformat.writes(written())[:300],
        "conflict": "{\n<<<<<<< HEAD\n",
        "empty": "",
        "list": "[]",
        "future": '{"nbformat": 9, "cells": []}',
        "wild": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}, 3]}',
        "deep": "[" * 100_000,
        "no-version": "{}",
    }
    for name, text in cases.items():
        (home / f"{name}.ipynb").write_text(text)
    (home / "latin.ipynb").write_bytes(b'{"a": "\xe9"}')
    (home / "three.ipynb").write_text(json.dumps(version3))
    paths = [home / f"{name}.ipynb" for name in [*cases, "latin", "three"]]
    outcomes = engine.validate(paths, Settings(), run=False).outcomes
    for outcome in outcomes[:-1]:
        wanted = "schema" if outcome.name.endswith("wild.ipynb") else "unreadable"
        assert rules_of(outcome) == {wanted}, [f.line() for f in outcome.findings]
        assert "\n" not in outcome.findings[0].line()
    assert "old-format" in rules_of(outcomes[-1]), outcomes[-1].findings


def test_every_rule_has_its_fault():
    # `stumbled` is a guard's own failure: tests/test_validation.py.
    assert set(RULES) == {*READ, *COURSE, *RUN, "unreadable", "old-format", "stumbled"}
    assert len(RULES) > 30
