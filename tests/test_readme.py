"""The README keeps its promises: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import lake
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


def test_one_version_of_python_is_asked_for_everywhere():
    (asked,) = re.findall(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in ("README.md", "Makefile", "site/index.md", "icrl_teach/doctor.py"):
        assert set(re.findall(r"Python ([\d.]+) or newer", (ROOT / name).read_text(encoding="utf-8"))) == {asked}, name
    assert f"({asked.replace('.', ', ')})" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"({asked.replace('.', ', ')})" in (ROOT / "icrl_teach" / "doctor.py").read_text(encoding="utf-8")


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
    targets = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'(?:src|srcset)="([^"]+)"', README)
    assert [t for t in targets if not t.startswith("http") and not (ROOT / t).exists()] == []
    assert {t for t in targets if t.startswith("lessons/")} == {f"lessons/{path.name}" for path in LESSONS}


def test_its_first_screen_is_a_sentence_a_moving_picture_one_link_to_the_site_and_one_command():
    first = README[: README.index("## Start")]
    assert first.count("make lab ") == first.count("```\nmake") == first.count("<picture>") == 1
    assert first.count("](site/") == 1 and len(first.splitlines()) < 25


@pytest.mark.parametrize("name", lake.LOOKS)
def test_the_moving_picture_is_what_the_tool_draws_and_needs_nothing_else(name):
    stored = (lake.DOCS / name).read_text(encoding="utf-8")
    assert stored == lake.film(lake.LOOKS[name])  # made anew from the network, number by number
    assert len(stored) < 300_000 and f'"docs/{name}"' in README
    assert not re.search(r"<script|@import|url\(|href|https?://(?!www\.w3\.org/2000/svg)", stored)
    assert "prefers-reduced-motion" in stored
    assert re.search(r"<title>(.*?)</title>", stored)[1] == re.search(r'<img [^>]*alt="([^"]+)"', README)[1]


@pytest.mark.parametrize("name", lake.LOOKS)
def test_the_moving_pictures_words_can_be_read_on_its_theme(name):
    """Contrast after WCAG 2.2 of words, 4.5, and of bars and edges, 3, against GitHub's two backgrounds."""

    def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
        low, high = sorted(map(lake.luminance, (one, other)))
        return (high + 0.05) / (low + 0.05)

    def rgb(color: str) -> tuple[int, ...]:
        return tuple(bytes.fromhex(color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])))

    look, ground = lake.LOOKS[name], (13, 17, 23) if "dark" in name else (255, 255, 255)
    assert min(contrast(rgb(color), ground) for color in (look.ink, look.quiet, look.lit)) > 4.5
    assert contrast(rgb(look.ink), rgb(look.hole)) > 4.5
    drawn = (lake.DOCS / name).read_text(encoding="utf-8")
    pairs = re.findall(r'fill="rgb\((\d+),(\d+),(\d+)\)" stroke="[^"]+"/><text [^>]*fill="(#...)"', drawn)
    assert len(pairs) == 11 * len(lake.DEPTHS)  # the squares with a number
    assert min(contrast(tuple(map(int, square)), rgb(ink)) for *square, ink in pairs) > 4.5
