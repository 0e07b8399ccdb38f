"""Sixty submissions of sheet 01, two at a time: most of them solved, some untouched, some that never end or die."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import submissions
from icrl_teach.grading import grade_submission, read_sheet
from measure import target

AT_MOST = 600.0  # seconds
KINDS = {
    "solved": 48,
    "untouched": 6,
    "a loop that never ends": 3,
    "a process that ends itself": 3,
}


def test_sixty_submissions_of_a_sheet_on_two_cores(benchmark, row, tmp_path):
    right = submissions.RIGHT
    made = {
        "solved": submissions.sheet(**right),
        "untouched": submissions.sheet(),
        "a loop that never ends": submissions.sheet(
            **right | {"change": "def reward_change(*args):\n    while 1: pass"}
        ),
        "a process that ends itself": submissions.sheet(**right | {"even": "import os\nos._exit(1)"}),
    }
    paths = [
        submissions.written(tmp_path / f"{kind} {i}.ipynb", made[kind]) for kind, n in KINDS.items() for i in range(n)
    ]
    sheet, points = read_sheet(submissions.SHEET), list[float]()

    def grade_all():
        with ThreadPoolExecutor(2) as pool:
            points[:] = [m.points for m in pool.map(lambda path: grade_submission(path, sheet, seed=1), paths)]

    begun = time.perf_counter()
    benchmark.pedantic(grade_all, rounds=1)
    took = time.perf_counter() - begun
    assert points == [14.0] * 48 + [0.0] * 6 + [12.0] * 6
    row(
        "grading",
        f"{len(paths)} submissions of sheet 01, 2 at a time: {', '.join(f'{n} {kind}' for kind, n in KINDS.items())}",
        f"{1e3 * took:,.3g}",
        "-",
        "-",
        "-",
        target(took <= AT_MOST, "within 10 minutes"),
    )
