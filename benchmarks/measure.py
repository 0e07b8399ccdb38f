"""How the benchmarks measure: everything that is compared takes turns within one run, and ratios are medians."""

from __future__ import annotations

import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

Seconds = dict[str, list[float]]


def take_turns(functions: dict[str, Callable[[], Any]], repeats: int) -> Seconds:
    """Seconds of each function, `repeats` times in turn, so that a busy moment hits all of them alike."""
    seconds: Seconds = {name: [] for name in functions}
    for repeat in range(repeats + 1):  # the first turn warms up and is thrown away
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: Seconds, above: str, below: str) -> float:
    """Median over the turns of one function's time divided by another's in the same turn."""
    return statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))


def milliseconds(seconds: Seconds, name: str) -> str:
    """Median and, in brackets, minimum."""
    return f"{1e3 * statistics.median(seconds[name]):,.3g} ({1e3 * min(seconds[name]):,.3g})"


def target(met: bool, text: str) -> str:
    return f"{text}: {'yes' if met else 'no'}"


def peak_mebibytes(function: Callable[[], Any]) -> float:
    """Largest memory allocated at once by Python and NumPy while `function` runs (tracemalloc)."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def thread_counts() -> list[int]:
    """One thread, and as many as PyTorch takes by default."""
    return sorted({1, torch.get_num_threads()})


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def load() -> str:
    """Runnable processes, averaged over the last 5 minutes: about the length of a run."""
    return f"{os.getloadavg()[1]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def machine() -> str:
    return (
        f"{processor()} ({platform.machine()}), {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, NumPy {np.__version__}; {date.today().isoformat()}; "
        f"load at the end {load()}"
    )
