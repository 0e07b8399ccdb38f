"""Reading a log: a million rows, against the plainest pass over the same file."""

from __future__ import annotations

import csv

import numpy as np

from icrl_teach.data import read_log
from measure import milliseconds, peak_mebibytes, ratio, take_turns

ROWS, STATES = 1_000_000, 400


def write(path, rng: np.random.Generator, events: bool) -> None:
    states, rewards = rng.integers(STATES, size=ROWS + 1).tolist(), rng.random(ROWS).round(3).tolist()
    with path.open("w") as file:
        if events:
            file.write("episode,state,reward\n")
            file.writelines(f"{k // 20},s{states[k]},{rewards[k]}\n" for k in range(ROWS))
        else:
            file.write("state,reward,next_state\n")
            file.writelines(f"s{states[k]},{rewards[k]},s{states[k + 1]}\n" for k in range(ROWS))


def test_a_million_rows(benchmark, row, tmp_path):
    def plain(path) -> int:
        with path.open(newline="") as file:
            return sum(len(fields) for fields in csv.reader(file))

    for kind, events in (("transitions", False), ("events of 50,000 episodes", True)):
        path = tmp_path / f"{events}.csv"
        write(path, np.random.default_rng(0), events)
        seconds = take_turns({"read": lambda path=path: read_log(path), "plain": lambda path=path: plain(path)}, 3)
        row(
            "a user's log",
            f"read_log, {ROWS:,} {kind}; peak memory {peak_mebibytes(lambda path=path: read_log(path)):.0f} MiB",
            milliseconds(seconds, "read"),
            "csv.reader over the same file, counting fields",
            milliseconds(seconds, "plain"),
            f"{ratio(seconds, 'read', 'plain'):.2f}",
            "reported",
        )
    benchmark.pedantic(read_log, args=(path,), rounds=1)
