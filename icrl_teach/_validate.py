"""Checks at the door: each message names the argument, the value, and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
else:
    # Doors take anything and check it themselves, with better messages than a type checker's. (The shapes that tests
    # verify at run time are those of what comes out, and of everything behind the doors.)
    ArrayLike = Any

ROW_SUM_TOLERANCE = 1e-8  # probabilities typed by hand or read from a file carry rounding


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; it must be a number") from None


def check_finite(name: str, value: Any) -> float:
    """Return a number as a float. Raises ValueError for NaN, infinity, and what is no number."""
    number = _number(name, value)
    if not np.isfinite(number):
        raise ValueError(f"{name} is {value}; it must be a finite number")
    return number


def check_gamma(gamma: Any, ends: bool = False) -> float:
    """Return the discount as a float. Raises ValueError outside [0, 1); 1 passes where walks are known to end."""
    value = _number("gamma", gamma)
    if not (0.0 <= value < 1.0 or (ends and value == 1.0)):
        raise ValueError(
            f"gamma is {gamma}; the discount must satisfy 0 <= gamma < 1, for example 0.9"
            + (" (1 needs walks that terminate: flag those steps as terminated)" if value == 1.0 else "")
        )
    return value


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number. Raises ValueError if it is not whole or is below `least`."""
    if isinstance(value, bool) or not _number(name, value).is_integer() or int(value) < least:
        raise ValueError(f"{name} is {value}; it must be a whole number of at least {least}")
    return int(value)


def finite_array(name: str, value: ArrayLike, ndim: int) -> np.ndarray:
    """Return a float64 copy with `ndim` axes. Raises ValueError on another rank, NaN or infinity."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers ({error})") from None
    if array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}; it must have {ndim} axes, not {array.ndim}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name}{list(where)} is {array[where]}; every entry must be a finite number: remove or replace it"
        )
    return array


def probability_rows(name: str, value: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of `shape` whose last axis holds distributions. Raises ValueError otherwise."""
    array = finite_array(name, value, len(shape))
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it must have shape {shape}")
    if (array < 0).any():
        where = tuple(int(i) for i in np.argwhere(array < 0)[0])
        raise ValueError(f"{name}{list(where)} is {array[where]}; a probability cannot be negative")
    sums = array.sum(axis=-1)
    bad = np.argwhere(np.abs(sums - 1.0) > ROW_SUM_TOLERANCE)
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        row = f"row {where[0]} of {name}" if where else name
        raise ValueError(f"{row} sums to {sums[where]:.6g}; probabilities must sum to 1: divide the row by its sum")
    return array


def flag_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return booleans of `shape`. Numbers 0 and 1 pass as flags; raises ValueError on anything else."""
    raw = finite_array(name, value, len(shape))
    if raw.shape != shape:
        raise ValueError(f"{name} has shape {raw.shape}; it must have shape {shape}")
    if ((raw != 0) & (raw != 1)).any():
        raise ValueError(f"{name} holds {raw[(raw != 0) & (raw != 1)][0]}; a flag is False or True")
    return raw.astype(bool)


def column_flags(
    source: ArrayLike | None, continues: ArrayLike | None, n_columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """The two flags of each position or column (section 3), (n_columns,) each, checked and completed.

    source: all but the last, the query, if not given; continues: every source if not given.
    Raises ValueError without a source, for a last column that is one, or one that continues without being a source.
    """
    default = np.arange(n_columns) < n_columns - 1
    s = default if source is None else flag_array("source", source, (n_columns,))
    c = s if continues is None else flag_array("continues", continues, (n_columns,))
    check_flags(s.any(), s[-1], (c & ~s).any())
    return s, c


def check_flags(any_source: Any, last_is_source: Any, continues_alone: Any) -> None:
    """Raise ValueError for what flags of columns cannot be."""
    if last_is_source:
        raise ValueError("source is set in the last column, which has no successor; the last column is a query")
    if not any_source:
        raise ValueError("source is set nowhere; a context needs at least one transition")
    if continues_alone:
        raise ValueError("continues is set where source is not; only a source has a successor: unset it there")
