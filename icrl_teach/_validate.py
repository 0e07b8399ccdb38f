"""Checks of single values: each message names the argument, the value, and what would be right.

`Gamma`, `Count`, ... are types for annotations, by which `_door.door` finds the check.
"""

from __future__ import annotations

import functools
import math
import os
import reprlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
else:
    # Doors take anything and check it themselves, with better messages than a type checker's. (The shapes that tests
    # verify at run time are those of what comes out, and of everything behind the doors.)
    ArrayLike = Any

ROW_SUM_TOLERANCE = 1e-8  # probabilities typed by hand or read from a file carry rounding
MOST = 10**9  # of anything that is counted
# What converting a foreign object to an array may raise.
UNREADABLE = (TypeError, ValueError, OverflowError, RuntimeError, AttributeError, RecursionError)

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 72


def shown(value: Any) -> str:
    """A value as messages show it: of at most about 80 characters, arrays by their shape."""
    if isinstance(value, np.ndarray) or _is_tensor(value):
        kind = "tensor" if _is_tensor(value) else "array"
        return f"{'an' if kind == 'array' else 'a'} {kind} of shape {tuple(value.shape)} and type {value.dtype}"
    try:
        number = isinstance(value, float | np.generic) and not isinstance(value, str)
        text = str(value) if number else _short.repr(value)
    except Exception:  # a whole number of over 4,300 digits has no text, and a foreign object may raise anything
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:40]}...{text[-35:]}"


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # nothing is a tensor before torch is loaded
    return torch is not None and isinstance(value, torch.Tensor)


# Numbers


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, str | bytes | bool | np.bool_) or np.ndim(value) > 0:
            raise TypeError
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except UNREADABLE:
        raise ValueError(f"{name} is {shown(value)}; it must be a number") from None


def check_finite(name: str, value: Any) -> float:
    """Return a number as a float. Raises ValueError for NaN, infinity, and what is no number."""
    number = _number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {shown(value)}; it must be a finite number")
    return number


def check_gamma(gamma: Any, ends: bool = False) -> float:
    """Return the discount as a float. Raises ValueError outside [0, 1); 1 passes where walks are known to end."""
    value = _number("gamma", gamma)
    if not (0.0 <= value < 1.0 or (ends and value == 1.0)):
        raise ValueError(
            f"gamma is {shown(gamma)}; the discount must satisfy 0 <= gamma < 1, for example 0.9"
            + (" (1 needs walks that terminate: flag those steps as terminated)" if value == 1.0 else "")
        )
    return value


def check_positive(name: str, value: Any) -> float:
    """Return a number above 0 as a float. Raises ValueError otherwise."""
    if not 0.0 < (number := _number(name, value)) < math.inf:
        raise ValueError(f"{name} is {shown(value)}; it must be a positive number")
    return number


def check_probability(name: str, value: Any) -> float:
    """Return a number from 0 to 1 as a float. Raises ValueError otherwise."""
    if not 0.0 <= (number := _number(name, value)) <= 1.0:
        raise ValueError(f"{name} is {shown(value)}; it is a probability, so it must lie between 0 and 1")
    return number


def check_count(name: str, value: Any, least: int | None = 1, most: int = MOST) -> int:
    """Return a whole number. Raises ValueError if it is not whole, below `least` or above `most`."""
    if type(value) is int and (least is None or least <= value) and abs(value) <= most:  # mostly, and at no cost
        return value
    whole = not isinstance(value, bool | np.bool_) and (number := _number(name, value)).is_integer()
    if not whole or (least is not None and number < least):
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"{name} is {shown(value)}; it must be a whole number{bound}")
    if abs(number) > most:
        raise ValueError(f"{name} is {shown(value)}; it must be a whole number of at most {most:,}")
    return int(value)


def one_of(*options: str) -> Callable[[str, Any], str]:
    """A check that accepts these texts only."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            raise ValueError(f"{name} is {shown(value)}; choose one of {', '.join(options)}")
        return value

    return check


def check_bool(name: str, value: Any) -> bool:
    """Return True or False. Raises ValueError for anything else."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is {shown(value)}; it must be True or False")
    return bool(value)


def check_text(name: str, value: Any) -> str:
    """Return a text. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shown(value)}; it must be a text")
    return value


def check_device(name: str, value: Any) -> Any:
    """Return a torch.device on which tensors can be made. Raises ValueError for another."""
    import torch

    try:
        return torch.empty(0, device=torch.device(value)).device
    except (RuntimeError, AssertionError, TypeError, ValueError):
        raise ValueError(f"{name} is {shown(value)}, which cannot be used here; try 'cpu'") from None


def check_file(name: str, value: Any) -> Any:
    """Return what names a file. Raises ValueError for what cannot."""
    if not isinstance(value, str | os.PathLike) or len(text := str(value)) > 4096 or "\0" in text:
        raise ValueError(f"{name} is {shown(value)}; it must be the name of a file, a text or a pathlib.Path")
    return value


def _check_seed(name: str, value: Any) -> int:
    return check_count(name, value, 0, 2**63 - 1)


Gamma = Annotated[float, lambda _name, value: check_gamma(value)]
Discount = Annotated[float, lambda _name, value: check_gamma(value, ends=True)]  # 1 only where walks end
Positive = Annotated[float, check_positive]
Probability = Annotated[float, check_probability]
Count = Annotated[int, check_count]  # 1, 2, ...
Natural = Annotated[int, functools.partial(check_count, least=0)]  # 0, 1, 2, ...
Device = Annotated[Any, check_device]
File = Annotated[str | os.PathLike[str], check_file]
Seed = Annotated[int, _check_seed]


# Arrays and tensors


def _array(name: str, value: Any) -> np.ndarray:
    """Numbers as an array of their own precision."""
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except UNREADABLE:
        detach = f": {name}.detach().cpu().numpy()" if _is_tensor(value) else ", all rows equally long"
        raise ValueError(f"{name} is {shown(value)}; it must be an array of numbers{detach}") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} is {shown(value)}; it must be an array of numbers, not of {array.dtype}")
    return array


def _check_entries(name: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(
            f"{name}{list(where) if where else ''} is {array[where]}; every entry must be a finite number: "
            "remove or replace it"
        )


def finite_array(name: str, value: ArrayLike, ndim: int | None = None, copy: bool = True) -> np.ndarray:
    """A float64 array, with `ndim` axes; a copy, unless copy is False.

    Raises ValueError on another rank, NaN or infinity."""
    array = _array(name, value).astype(np.float64, copy=copy)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}; it must have {ndim} axes, not {array.ndim}")
    _check_entries(name, array)
    return array


def whole_array(name: str, value: ArrayLike) -> np.ndarray:
    """An int64 array. Raises ValueError for entries that are not whole numbers."""
    array = finite_array(name, value)
    if (bad := array[array != np.floor(array)]).size:
        raise ValueError(f"{name} holds {bad[0]}; its entries must be whole numbers")
    return array.astype(np.int64)


def check_finite_tensor(name: str, tensor: Any) -> None:
    """Raise ValueError for a tensor that holds NaN or infinity; where one can't look inside (vmap, compile), pass."""
    import torch

    if torch.compiler.is_compiling():
        return
    try:
        finite = math.isfinite(tensor.detach().sum().item()) or bool(torch.isfinite(tensor).all())  # one pass, mostly
    except RuntimeError:  # under vmap, and of tensors without data
        return
    if not finite:
        raise ValueError(f"{name} holds NaN or infinity; every entry must be a finite number: remove or replace it")


def finite_tensor(name: str, value: Any, convert: bool = False, kind: str = "float") -> Any:
    """A tensor of finite numbers; convert: from anything that NumPy reads, its precision kept, whole numbers exact."""
    import torch

    if not isinstance(value, torch.Tensor):
        if not convert:
            raise ValueError(f"{name} is {shown(value)}; it must be a torch tensor: torch.as_tensor({name})")
        array = _array(name, value)
        value = torch.tensor(array if array.dtype in (np.float16, np.float32) else array.astype(np.float64))
    if value.layout != torch.strided:
        raise ValueError(f"{name} is a sparse tensor of shape {tuple(value.shape)}; make it dense: {name}.to_dense()")
    words = {"float": "floating-point numbers", "int": "whole numbers", "bool": "True and False"}[kind]
    found = "float" if value.is_floating_point() else "bool" if value.dtype == torch.bool else "int"
    if value.is_complex() or (found != kind and not convert):
        raise ValueError(f"{name} is {shown(value)}; it must hold {words}")
    if found != kind:
        value = value.to(torch.float64)
    check_finite_tensor(name, value)
    return value


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


def whole_numbers(name: str, value: ArrayLike, least: int = 0) -> np.ndarray:
    """Return whole numbers of at least `least` as an int64 array of one axis. Raises ValueError on anything else."""
    raw = finite_array(name, value, 1)
    indices = raw.astype(np.int64)
    bad = (indices != raw) | (indices < least)
    if bad.any():
        raise ValueError(f"{name} holds {raw[bad][0]}; {name} are whole numbers from {least} upwards")
    return indices


def check_one_more(name: str, shape: tuple[int, ...], rewards: tuple[int, ...]) -> None:
    """Raise ValueError unless there is a reward, and one more position than rewards: axes (..., m+1) and (..., m)."""
    if not rewards or rewards[-1] < 1:
        raise ValueError("rewards is empty; a context needs at least one transition (two states, one reward)")
    right = (*rewards[:-1], rewards[-1] + 1)
    if shape[: len(right)] != right:
        raise ValueError(
            f"{name} has shape {shape} and rewards {rewards}; there must be one more position than rewards, "
            f"{', '.join(map(str, right))} (the last one is the query)"
        )


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
