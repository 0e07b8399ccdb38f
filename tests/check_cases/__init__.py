"""For every check: right answers, and wrong answers with the hint each must get. One module a sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A check, at least two right answers written differently, at least three wrong ones with a piece of their hint."""

    check: Callable[[Callable[..., Any]], None]
    right: Sequence[Callable[..., Any]]
    wrong: Sequence[tuple[Callable[..., Any], str]]
