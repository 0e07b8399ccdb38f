"""How every check speaks: what was tried, what came out, what was expected, and the likely misconception.

A check calls the learner's function through `answer` and compares with `compare`. Usual mistakes are given as
`Mistake(output, hint)`: what a learner with that misconception would have computed. The first whose output matches
decides the hint. Oracles are written out in the checks themselves, never taken from a solution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from icrl_teach._validate import ArrayLike


class CheckFailed(AssertionError):
    """A wrong answer; the message says what was tried, what came out, what was expected, and a hint."""

    def _render_traceback_(self) -> list[str]:  # IPython shows this instead of a long traceback
        return [f"Not yet: {self}"]


class NotWrittenYet(CheckFailed):
    """The stub is still there."""


@dataclass(frozen=True)
class Mistake:
    """What a usual misconception computes, and the hint for it."""

    output: ArrayLike
    hint: str


def not_written(name: str) -> NotWrittenYet:
    """The friendly message for an untouched exercise."""
    return NotWrittenYet(
        f"{name} is not written yet. Replace the line `raise NotImplementedError` in the cell above, "
        "run that cell, then run this one again."
    )


def answer(function: Callable[..., Any], *args: Any, tried: str, **kwargs: Any) -> Any:
    """Call the learner's function. Raises NotWrittenYet for a stub, CheckFailed if it raises or changes its input."""
    name = getattr(function, "__name__", str(function))
    if not callable(function):
        raise CheckFailed(f"the check needs the function itself, but got {function!r}: write its name without brackets")
    arrays = [(value, _copy(value)) for value in [*args, *kwargs.values()] if hasattr(value, "shape")]
    try:
        result = function(*args, **kwargs)
    except NotImplementedError:
        raise not_written(name) from None
    except Exception as error:
        raise CheckFailed(f"{tried}: {name} stopped with {type(error).__name__}: {error}{_remedy(error)}") from error
    if any(not np.array_equal(_plain(now), _plain(before)) for now, before in arrays):
        raise CheckFailed(
            f"{tried}: {name} changed an array it was given. Work on a copy: `v = v.copy()`, or `v.clone()` "
            "for a tensor, or `v = v + ...`."
        )
    if result is None:
        raise CheckFailed(f"{tried}: {name} returned None. Does the function end with a `return`?")
    return result


def _plain(value: Any) -> Any:
    """A tensor without its gradient, so that NumPy can read it; anything else as it is."""
    return value.detach() if hasattr(value, "detach") else value


def _copy(value: Any) -> Any:
    return value.detach().clone() if hasattr(value, "detach") else value.copy()


def _remedy(error: Exception) -> str:
    """A hint for the one exception that says little to a beginner: arrays of shapes that don't fit."""
    if any(word in str(error) for word in ("broadcast", "shapes", "dimension", "must match")):
        return "\nHint: print the shapes of the arrays; `keepdims=True` keeps a summed axis, `[:, None]` adds one."
    return ""


def compare(
    got: Any,
    expected: ArrayLike,
    *,
    tried: str,
    mistakes: Sequence[Mistake] = (),
    hint: str = "",
    tolerance: float = 1e-6,
) -> None:
    """Raise CheckFailed unless `got` equals `expected` (shape, finite, within tolerance).

    got may be a number, list, array or tensor. The hint is that of the first matching mistake, else `hint`.
    """
    right = np.asarray(expected, dtype=np.float64)
    try:
        value = np.asarray(_plain(got), dtype=np.float64)
    except (TypeError, ValueError):
        raise CheckFailed(
            f"{tried}: expected numbers of shape {right.shape}, got {type(got).__name__} {got!r}"
        ) from None
    for mistake in mistakes:
        wrong = np.asarray(mistake.output, dtype=np.float64)
        if _equal(value, wrong, tolerance) and not _equal(wrong, right, tolerance):
            raise CheckFailed(_message(tried, value, right, mistake.hint))
    if not _equal(value, right, tolerance):
        raise CheckFailed(_message(tried, value, right, hint))


def passed(what: str) -> None:
    """The one line a check prints when it is content."""
    print(f"Correct: {what}")


def _equal(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))


def _message(tried: str, value: np.ndarray, right: np.ndarray, hint: str) -> str:
    if value.shape != right.shape:
        found = f"got shape {value.shape}, expected shape {right.shape}"
    elif not np.isfinite(value).all():
        found = f"got NaN or infinity: {_short(value)}, expected {_short(right)}"
    else:
        found = f"got {_short(value)}, expected {_short(right)}"
    return f"{tried}: {found}." + (f"\nHint: {hint}" if hint else "")


def _short(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"{float(array):.4g}"
    return np.array2string(array, precision=4, suppress_small=True, threshold=12, edgeitems=3, separator=", ")
