"""For every check, right answers written otherwise, and wrong ones that nobody derived from the check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.check import Check


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


def as_given(function: Callable[..., Any], check: Check) -> Callable[..., Any]:
    """A function of NumPy arrays as an answer to a check that hands out, and wants back, something else (tensors)."""

    def plain(value: Any) -> Any:
        if isinstance(value, Iterator):
            return list(map(plain, value))
        return value.detach().numpy() if isinstance(value, torch.Tensor) else value

    def given(value: Any) -> Any:
        value = np.asarray(value) if isinstance(value, list | np.generic) else value
        return check.give(value.copy()) if isinstance(value, np.ndarray) else value

    def answer(*args: Any) -> Any:
        got = function(*map(plain, args))
        return tuple(map(given, got)) if check.results else given(got)

    return answer


@dataclass(frozen=True)
class Case:
    """A check, at least two right answers written differently, wrong ones with a piece of the message each must get."""

    check: Check
    right: Sequence[Callable[..., Any]]
    wrong: Sequence[tuple[Callable[..., Any], str]]
