"""What a learner waits for: each lesson from a fresh kernel, and the slowest check of each sheet, beside its budget."""

from __future__ import annotations

import importlib
import time

import pytest
from nbclient import NotebookClient

import guards
from budgets import seconds_allowed
from measure import milliseconds, take_turns, target
from patience import PATIENCE

CHECK_SECONDS = 1.0
SHEETS = sorted(path.stem[:2] for path in guards.SOLUTIONS)


@pytest.mark.parametrize("path", guards.LESSONS, ids=lambda path: path.stem)
def test_a_lesson_from_a_fresh_kernel(benchmark, row, path):
    client = NotebookClient(
        guards.read(path), timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    start = time.perf_counter()
    benchmark.pedantic(client.execute, rounds=1)
    seconds, allowed = time.perf_counter() - start, seconds_allowed(path.stem)
    row("lessons", path.stem, f"{1e3 * seconds:,.0f}", "-", "-", "-", target(seconds <= allowed, f"{allowed:.0f} s"))


@pytest.mark.parametrize("sheet", SHEETS)
def test_the_slowest_check_of_a_sheet(benchmark, row, sheet):
    cases = importlib.import_module(f"check_cases.sheet_{sheet}").CASES
    functions = {
        getattr(case.check, "__name__", None) or case.check.name: lambda case=case: case.check(case.right[0])
        for case in cases
    }
    seconds = benchmark.pedantic(take_turns, args=(functions, 3), rounds=1)
    slowest = max(seconds, key=lambda name: min(seconds[name]))
    row(
        "checks",
        f"sheet {sheet}, slowest of {len(functions)}: {slowest}",
        milliseconds(seconds, slowest),
        "-",
        "-",
        "-",
        target(min(seconds[slowest]) <= CHECK_SECONDS, f"{CHECK_SECONDS:.0f} s"),
    )
