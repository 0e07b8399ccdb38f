"""For every check: right answers, and wrong answers with the hint each must get. One module a sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


def as_arrays(function: Callable[..., Any], make: Callable[[Any], Any] = np.array) -> Callable[..., Any]:
    """The same answer with its list made an array, as checks ask for; each part of several results."""

    def answer(*args: Any, **kwargs: Any) -> Any:
        got = function(*args, **kwargs)
        several = isinstance(got, tuple) or len({np.shape(part) for part in got}) > 1
        return tuple(make(part) for part in got) if several else make(got)

    return answer


def as_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same answer with its list made a tensor."""
    return as_arrays(function, lambda got: torch.stack([torch.as_tensor(part, dtype=torch.float64) for part in got]))


@dataclass(frozen=True)
class Case:
    """A check, at least two right answers written differently, at least three wrong ones with a piece of their hint."""

    check: Callable[[Callable[..., Any]], None]
    right: Sequence[Callable[..., Any]]
    wrong: Sequence[tuple[Callable[..., Any], str]]
