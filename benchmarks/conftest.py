"""Collects the rows of every benchmark into one Markdown table, prints it, and writes RESULTS.md.

Nothing here fails on time: "target" columns say yes or no. Run with `make bench` or `pytest benchmarks`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from measure import machine

RESULTS = Path(__file__).with_name("RESULTS.md")
SECTIONS = (
    "constructed network",
    "operator form",
    "acting",
    "batched sampling",
    "a user's log",
    "pretraining",
    "widgets",
    "lessons",
    "checks",
    "validate",
    "grading",
)
HEADER = "| benchmark | case | ms, median (min) | compared with | ms, median (min) | ratio | target |"
NOTE = """Times in milliseconds. What is compared takes turns within one run; a ratio is the median over the turns of
the quotient within a turn, so that other work on the machine hits both sides. A target is reported, never enforced.
Threads wait for one another: on a machine whose load exceeds its cores, trust only the rows with 1 thread."""

ROWS: dict[str, list[str]] = {section: [] for section in SECTIONS}


def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_skip = False  # pyproject.toml skips benchmarks everywhere else


@pytest.fixture
def row():
    """row(section, case, ms, other, other_ms, ratio, target): one line of the table."""

    def add(section: str, *cells: str) -> None:
        ROWS[section].append(f"| {section} | " + " | ".join(cells) + " |")

    return add


def report() -> str:
    rows = [line for section in SECTIONS for line in ROWS[section]]
    return "\n".join(
        ["# Benchmark results", "", f"Machine: {machine()}.", "", NOTE, "", HEADER, "|---" * 7 + "|", *rows, ""]
    )


def pytest_terminal_summary(terminalreporter) -> None:
    if any(ROWS.values()):
        terminalreporter.write_line("\n" + report())
    if all(ROWS.values()):  # a partial run (-k) must not overwrite a full one
        part = RESULTS.with_suffix(".tmp")
        part.write_text(report(), encoding="utf-8")
        part.replace(RESULTS)
