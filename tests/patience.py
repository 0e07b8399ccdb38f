"""What tests may take. How long one waits for what must come only guards against hanging: none asserts a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

PATIENCE = 600  # seconds; generous, because a busy machine is no failure
uncounted = pytest.mark.no_cover  # long: to count its lines, which others run too, would take half as long again
T = TypeVar("T")


def wait_until(happened: Callable[[], T], told: Callable[[], str] = str) -> T:
    """Ask again and again until the answer counts as true, and return it; `told` is what a failure says."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := happened()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.2)
    return answer
