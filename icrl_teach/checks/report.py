"""How every check speaks: what was tried, what came out, what was expected, and the likely misconception.

The words and the comparison; `check.py` puts them together.
"""

from __future__ import annotations

import builtins
import difflib
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach._validate import shown

STUB = "not written yet"  # what an untouched exercise raises
DTYPE_HINT = "Mind the dtype: `dtype=torch.float64` in torch.zeros or torch.eye, or `torch.zeros_like(Z)`."


class CheckFailed(AssertionError):
    """A wrong answer; the message says what was tried, what came out, what was expected, and a hint."""

    def _render_traceback_(self) -> list[str]:  # IPython shows this instead of a long traceback
        return [f"Not yet: {self}"]


class NotWrittenYet(CheckFailed):
    """The stub is still there."""


def not_written(name: str) -> NotWrittenYet:
    """The friendly message for an untouched exercise."""
    return NotWrittenYet(
        f"{name} is {STUB}. Replace the line `raise NotImplementedError` in the cell of {name}, "
        "run that cell, then run this one again."
    )


def answer(function: Callable[..., Any], *args: Any, tried: str, like: Any = None) -> Any:
    """Call the learner's function. Raises NotWrittenYet for a stub, CheckFailed if it raises, changes its input, or
    returns another kind of array than it was given, or than `like` where it is given numbers only."""
    name = getattr(function, "__name__", str(function))
    if not callable(function):
        raise CheckFailed(
            f"the check needs the function itself, but got {shown(function)}: write its name without brackets"
        )
    before = [_copy(value) for value in args]
    # Arrays go in as copies, so that an answer that changes its input cannot spoil the next check. Tensors go in
    # themselves: gradients flow to them.
    args = tuple(value if hasattr(value, "detach") else _copy(value) for value in args)
    try:
        result = function(*args)
    except Exception as error:
        # Perhaps an earlier one that this one calls. nbgrader's own stub, without our settings, has no message.
        if isinstance(error, NotImplementedError) and str(error) in (STUB, ""):
            raise not_written(traceback.extract_tb(error.__traceback__)[-1].name) from None
        raise CheckFailed(f"{tried}: {name} stopped with {type(error).__name__}: {error}{_remedy(error)}") from error
    if any(_changed(now, then) for now, then in zip(args, before, strict=True)):
        raise CheckFailed(
            f"{tried}: {name} changed an array it was given. Work on a copy: `v = v.copy()`, or `v.clone()` "
            "for a tensor, or `v = v + ...`."
        )
    if result is None:
        raise CheckFailed(f"{tried}: {name} returned None. Does the function end with a `return`?")
    _check_kind(result, list(args) if like is None else [like], f"{tried}: {name}")
    return result


def _check_kind(result: Any, given: list[Any], who: str) -> None:
    """Later cells use the answer as an array or tensor, so it must be one, of the kind and precision it came from."""
    tensors = [value for value in given if hasattr(value, "detach") and value.is_floating_point()]
    for part in result if isinstance(result, tuple) else (result,):
        if isinstance(part, list) and not _ragged(part):
            make = "`torch.tensor(...)` or `torch.stack(...)`" if tensors else "`np.array(...)`"
            raise CheckFailed(f"{who} returned a list. Later cells calculate with it: make it {make}.")
        if tensors and isinstance(part, np.ndarray) and part.ndim:
            raise CheckFailed(f"{who} returned a NumPy array where a tensor is needed. Stay in torch: later cells do.")
        if tensors and hasattr(part, "detach") and part.is_floating_point() and part.dtype != tensors[0].dtype:
            raise CheckFailed(f"{who} returned {part.dtype} where {tensors[0].dtype} is needed. {DTYPE_HINT}")


def _ragged(value: Any) -> bool:
    """A list of several results, or of rows of different lengths, of which no array can be made."""
    try:
        return isinstance(value, list) and len({np.shape(_plain(part)) for part in value}) > 1
    except ValueError:  # ragged further inside
        return True


def _plain(value: Any) -> Any:
    """A tensor without its gradient, so that NumPy can read it; anything else as it is."""
    return value.detach() if hasattr(value, "detach") else value


def _copy(value: Any) -> Any:
    """An array, a tensor or a list of its own; anything else as it is."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray | list) else value


def _changed(now: Any, then: Any) -> bool:
    if isinstance(now, list):
        return len(now) != len(then) or any(a is not b for a, b in zip(now, then, strict=True))
    floats = isinstance(now, np.ndarray) and now.dtype.kind == "f"
    return hasattr(now, "shape") and not np.array_equal(_plain(now), _plain(then), equal_nan=floats)


def _about_name(error: NameError) -> str:
    """A name that a cell above defines was not run, or it is a typo: Python's own suggestion tells."""
    frame = traceback.walk_tb(error.__traceback__)
    *_, (innermost, _) = frame
    known = [*innermost.f_locals, *innermost.f_globals, *vars(builtins)]
    if near := difflib.get_close_matches(str(error.name), known, n=1, cutoff=0.75):
        return f"nothing is called {error.name!r}. A typo? Something near is called {near[0]!r}."
    return (
        f"run the cells above first (Run > Run All Above Selected Cell), and mend the first that fails. Nothing is "
        f"called {error.name!r} yet; or is it a typo?"
    )


def _remedy(error: Exception) -> str:
    """A hint for the exceptions that say little to a beginner: shapes, or kinds of number, that don't fit."""
    if isinstance(error, NameError):
        return f"\nHint: {_about_name(error)}"
    if "must be square" in str(error):
        return "\nHint: print the shape of the matrix. It must be square, such as (d, d), so any sum comes before."
    if "Singular matrix" in str(error):
        return "\nHint: the matrix has rows that depend on one another. Is a term missing, or a sum over all steps?"
    if any(word in str(error) for word in ("broadcast", "shapes", "dimension", "must match")):
        return "\nHint: print the shapes of the arrays; `keepdims=True` keeps a summed axis, `[:, None]` adds one."
    return f"\nHint: {DTYPE_HINT}" if "dtype" in str(error) else ""


def numbers(got: Any, tried: str) -> np.ndarray:
    """A result (number, list, array, tensor) as a float64 array. Raises CheckFailed for what is no real number."""
    try:
        if np.iscomplexobj(_plain(got)):
            raise CheckFailed(f"{tried}: expected real numbers, got complex ones. Take the real part in time.")
        return np.asarray(_plain(got), dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise CheckFailed(f"{tried}: expected numbers, got {type(got).__name__} {shown(got)}") from None


def passed(what: str) -> None:
    """The one line a check prints when it is content."""
    print(f"Correct: {what}")


def equal(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays have one shape and agree within the tolerance, relative and absolute."""
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))


def message(tried: str, value: np.ndarray, right: np.ndarray, hint: str) -> str:
    """What was tried, what came out, what was expected, and the hint."""
    if value.shape != right.shape:
        found = f"got shape {value.shape}, expected shape {right.shape}"
    elif not np.isfinite(value).all():
        found = f"got NaN or infinity: {_short(value)}, expected {_short(right)}"
    else:
        found = f"got {_short(value)}, expected {_short(right)}"
        if _short(value) == _short(right):
            found += f"; they differ by {np.abs(value - right).max():.1e}"
    return f"{tried}: {found}." + (f"\nHint: {hint}" if hint else "")


def _short(array: np.ndarray) -> str:
    if array.ndim == 0:
        return f"{float(array):.4g}"
    return np.array2string(array, precision=4, suppress_small=True, threshold=12, edgeitems=3, separator=", ")
