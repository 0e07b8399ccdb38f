"""The README keeps its promises: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys

from guards import LESSONS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_library_in_ten_lines_runs_and_says_true():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "True"
    estimate, exact = map(float, second.split())
    assert abs(estimate - exact) < 0.5


def test_every_make_target_it_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))
    assert {"lab", "test", "demo", "bench"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_command_it_names_exists():
    shown = subprocess.check_output([sys.executable, "-m", "icrl_teach", "--help"], text=True)
    for command in set(re.findall(r"icrl-teach (\w+)", README)):
        assert re.search(rf"^  {command} ", shown, re.MULTILINE), command


def test_links_lead_somewhere_and_every_lesson_is_in_the_table():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert [t for t in targets if not t.startswith("http") and not (ROOT / t).exists()] == []
    assert {t for t in targets if t.startswith("lessons/")} == {f"lessons/{path.name}" for path in LESSONS}
