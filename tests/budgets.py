"""How much of its budget each thing used: a table at the end of a run. It is reported; no test fails by the clock.

Tests note what they measured with the fixture `budget`; `icrl-teach validate` has such a table for notebooks.
"""

from __future__ import annotations

import pytest

SECONDS, TRAINING_SECONDS = 20.0, 90.0  # of a lesson, and of one that trains
TRAIN = ("09", "10", "13", "14")  # 13 plays hundreds of thousands of real steps


def seconds_allowed(stem: str) -> float:
    return TRAINING_SECONDS if stem[:2] in TRAIN else SECONDS


@pytest.fixture
def budget(record_property):
    """budget(what, used, allowed, unit): a line of the table."""
    return lambda *line: record_property("budget", line)


def pytest_terminal_summary(terminalreporter) -> None:
    kinds = ("passed", "failed")
    reports = [r for kind in kinds for r in terminalreporter.stats.get(kind, []) if getattr(r, "when", "") == "call"]
    lines = [line for r in reports for name, line in r.user_properties if name == "budget"]
    shown = sorted((line for line in lines if line[1] > line[2] / 2), key=lambda line: -line[1] / line[2])
    if lines:
        rest = f"{len(lines) - len(shown)} of {len(lines)} used less than half"
        terminalreporter.section(f"budgets, reported and never enforced; {rest}")
    for what, used, allowed, unit in shown:
        terminalreporter.write_line(f"{what:<40} {used:>6.2f} of {allowed:g} {unit}{'  OVER' * (used > allowed)}")
