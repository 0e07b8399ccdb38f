"""`icrl-teach validate` against plain strict nbval: the same notebook, each in a process of its own, in turns."""

from __future__ import annotations

import subprocess
import sys

import pytest

import guards
from measure import milliseconds, ratio, take_turns, target

AT_MOST = 1.15
NBVAL = ["pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=600", "-q", "-p", "no:cacheprovider"]
TURNS = 3


@pytest.mark.parametrize("path", guards.LESSONS, ids=lambda path: path.stem)
def test_validate_against_plain_nbval(benchmark, row, path):
    name = str(path.relative_to(guards.ROOT))

    def command(*words):
        done = subprocess.run([sys.executable, "-m", *words, name], cwd=guards.ROOT, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stdout + done.stderr

    functions = {
        "validate": lambda: command("icrl_teach", "validate", "--jobs", "1"),
        "nbval": lambda: command(*NBVAL, "--nbval-sanitize-with", "tests/sanitize.cfg"),
    }
    seconds = benchmark.pedantic(take_turns, args=(functions, TURNS), rounds=1)
    times = ratio(seconds, "validate", "nbval")
    row(
        "validate",
        path.stem,
        milliseconds(seconds, "validate"),
        "plain nbval",
        milliseconds(seconds, "nbval"),
        f"{times:.2f}",
        target(times <= AT_MOST, f"at most {AT_MOST} times"),
    )
