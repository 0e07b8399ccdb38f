"""How much of its budget each thing used: a table at the end of a run. It is reported; no test fails by the clock.

Tests note what they measured with the fixture `budget`; where nbval runs notebooks (`-p budgets`), the seconds of a
notebook's cells and the peak memory of its kernel are added up by themselves.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

SECONDS, TRAINING_SECONDS = 20.0, 90.0  # of a lesson, and of one that trains
GIGABYTES = 1.5
TRAIN = ("09", "10")


def seconds_allowed(stem: str) -> float:
    return TRAINING_SECONDS if stem[:2] in TRAIN else SECONDS


@pytest.fixture
def budget(record_property):
    """budget(what, used, allowed, unit): a line of the table."""
    return lambda *line: record_property("budget", line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """After each cell, the most memory that its notebook's kernel has held so far."""
    report = yield
    kernel = getattr(item.parent, "kernel", None)
    status = Path(f"/proc/{kernel.km.provisioner.pid}/status") if kernel and call.when == "call" else None
    if status is not None and status.exists():
        kibibytes = int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
        report.user_properties.append(("gigabytes", kibibytes / 1024**2))
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    kinds = ("passed", "failed")
    reports = [r for kind in kinds for r in terminalreporter.stats.get(kind, []) if getattr(r, "when", "") == "call"]
    lines = [line for r in reports for name, line in r.user_properties if name == "budget"] + notebook_lines(reports)
    shown = sorted((line for line in lines if line[1] > line[2] / 2), key=lambda line: -line[1] / line[2])
    if lines:
        rest = f"{len(lines) - len(shown)} of {len(lines)} used less than half"
        terminalreporter.section(f"budgets, reported and never enforced; {rest}")
    for what, used, allowed, unit in shown:
        terminalreporter.write_line(f"{what:<40} {used:>6.2f} of {allowed:g} {unit}{'  OVER' * (used > allowed)}")


def notebook_lines(reports) -> list[tuple[str, float, float, str]]:
    seconds: dict[str, float] = defaultdict(float)
    gigabytes: dict[str, float] = defaultdict(float)
    for report in reports:
        path = Path(report.nodeid.partition("::")[0])
        if path.suffix == ".ipynb" and path.parent.name == "lessons":
            seconds[path.stem] += report.duration
            held = [held for name, held in report.user_properties if name == "gigabytes"]
            gigabytes[path.stem] = max([gigabytes[path.stem], *held])
    lines = [(stem, used, seconds_allowed(stem), "s") for stem, used in seconds.items()]
    return lines + [(stem, used, GIGABYTES, "GB") for stem, used in gigabytes.items()]
