"""The one door: `@door` checks every call of a public function by the annotations that it has anyway.

It reads them once, and then checks and converts the arguments of every call:

- `float`, `int`, `bool`, `str`: a finite number, a whole number, ...; ranges have names: `Count`, `Gamma`, ...;
- `Float[np.ndarray, "n d"]` or `Annotated[ArrayLike, "n+1 d"]`: finite numbers of this shape, as a float64 array;
  `Float[Tensor, "*batch rows cols"]`: a tensor of such. Equal letters are equal lengths, over all arguments; no axis
  that has a letter is empty;
- `Literal["a", "b"]`, `X | None`, `Sequence[X]`, `dict[str, X]`, a NamedTuple, any other class: what they say.

The shape of what is returned tells the memory that a call needs, before it begins. Doors are for what users call:
what runs inside of a loop carries none, and pays nothing.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import os
import re
import types
import typing
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from icrl_teach._validate import (
    check_bool,
    check_count,
    check_finite,
    check_text,
    finite_array,
    finite_tensor,
    one_of,
    shown,
    whole_array,
)

Seen = list[tuple[str, tuple[str, ...], tuple[int, ...]]]  # of each array: argument, axes by name, shape
Check = Callable[[str, Any, Seen], Any]  # returns the value as the function gets it
F = TypeVar("F", bound=Callable[..., Any] | type)


def door(function: F) -> F:
    """Check every call of a function, or the construction of a class, by its annotations (see the module)."""
    if isinstance(function, type):
        function.__init__ = door(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # which says in Python's own words what is missing
        checks, returned = _annotations_of(function)
        seen: Seen = []
        for name, value in bound.arguments.items():
            if name in checks:
                bound.arguments[name] = checks[name](name, value, seen)
        sizes = _fit(seen, bound.arguments)
        for dims in returned:
            _check_memory(dims, sizes, bound.arguments)
        return function(*bound.args, **bound.kwargs)

    checked.inside = function  # type: ignore[attr-defined]
    return typing.cast(F, checked)


def inside(function: F) -> F:
    """The function without its door, for loops whose arguments are our own."""
    return getattr(function, "inside", function)


@functools.cache
def _annotations_of(function: Any) -> tuple[dict[str, Check], list[tuple[str, ...]]]:
    """The check of each argument, and the axes of each array that is returned. At the first call: torch loads late."""
    late = {"torch": import_module("torch")} if "torch." in str(function.__annotations__) else None
    hints = typing.get_type_hints(function, localns=late, include_extras=True)
    returned = hints.pop("return", None)
    arrays = get_args(returned) if get_origin(returned) is tuple else (returned,)
    kinds = {name: parameter.kind for name, parameter in inspect.signature(function).parameters.items()}
    checks = {name: _check_of(hint) for name, hint in hints.items() if "VAR" not in kinds[name].name}
    sized = [tuple(array.dim_str.split()) for array in arrays if hasattr(array, "dim_str")]
    return checks, [dims for dims in sized if any(name in dim for name in checks for dim in dims)]


def _check_of(hint: Any) -> Check:
    """What an annotation asks of a value."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        base, about = args[:2]
        if isinstance(about, str):
            return _array_check(about, tensor="Tensor" in str(base), convert=True)
        return lambda name, value, _: about(name, value)
    if hasattr(hint, "dim_str"):  # Float[np.ndarray, "n d"] and its like
        kind = "float" if "float32" in hint.dtypes else "int" if "int64" in hint.dtypes else "bool"
        return _array_check(hint.dim_str, tensor="Tensor" in str(hint.array_type), kind=kind)
    if hint in _SCALARS:
        return lambda name, value, _: _SCALARS[hint](name, value)
    if hint is Any:
        return lambda _name, value, _: value
    if origin in (Union, types.UnionType):
        return _any_of([member for member in args if member is not type(None)], type(None) in args)
    if origin is Literal:
        return lambda name, value, _: one_of(*args)(name, value)
    if origin in _CONTAINERS:
        return _container_check(origin, args)
    cls = origin if isinstance(origin, type) else hint
    return _fields_check(cls) if hasattr(cls, "_fields") else functools.partial(_check_kind, cls)


_SCALARS: dict[Any, Callable[[str, Any], Any]] = {
    float: check_finite,
    int: functools.partial(check_count, least=None),
    bool: check_bool,
    str: check_text,
}
_CONTAINERS = (tuple, list, collections.abc.Sequence, dict, collections.abc.Mapping)
# What a newcomer may not know how to make.
_EXAMPLES = {
    "numpy.random._generator.Generator": ", for example numpy.random.default_rng(0)",
    "torch._C.Generator": ", for example torch.Generator().manual_seed(0)",
}


def _check_kind(kind: Any, name: str, value: Any, _seen: Seen) -> Any:
    if not isinstance(value, kind):
        example = _EXAMPLES.get(f"{kind.__module__}.{kind.__name__}", "")
        raise ValueError(f"{name} is {shown(value)}; it must be a {kind.__name__}{example}")
    return value


def _any_of(members: list[Any], optional: bool) -> Check:
    checks = [_check_of(member) for member in members]

    def check(name: str, value: Any, seen: Seen) -> Any:
        if value is None and optional:
            return None
        wrong = []
        for each in checks:
            try:
                return each(name, value, seen)
            except ValueError as error:
                wrong.append(str(error))
        raise ValueError(", or: ".join([wrong[0], *(text.partition("; ")[2] for text in wrong[1:])]))

    return check


def _container_check(kind: Any, args: tuple[Any, ...]) -> Check:
    """A list or a dictionary, entry by entry; a tuple such as tuple[float, float] is as long as it says."""
    by_key, length = issubclass(kind, collections.abc.Mapping), None
    if kind is tuple and args[-1] is not Ellipsis:
        length = len(args)
    entry = _check_of(next(arg for arg in reversed(args) if arg is not Ellipsis))
    accepted = (
        collections.abc.Mapping if by_key else tuple | list if kind in (tuple, list) else collections.abc.Sequence
    )
    words = "dictionary" if by_key else "list" if length is None else f"tuple of {length} entries"

    def check(name: str, value: Any, seen: Seen) -> Any:
        fits = isinstance(value, accepted) and not isinstance(value, str | bytes)
        if not fits or (length is not None and len(value) != length):
            raise ValueError(f"{name} is {shown(value)}; it must be a {words}")
        if by_key:
            return {key: entry(f"{name}[{shown(key)}]", each, seen) for key, each in value.items()}
        return tuple(entry(f"{name}[{i}]", each, seen) for i, each in enumerate(value))

    return check


def _fields_check(kind: Any) -> Check:
    """A NamedTuple, field by field."""
    hints = typing.get_type_hints(kind, include_extras=True)
    checks = {field: _check_of(hints[field]) for field in kind._fields}

    def check(name: str, value: Any, _seen: Seen) -> Any:
        _check_kind(kind, name, value, _seen)
        own: Seen = []  # its letters are its own
        for field, each in checks.items():
            each(f"{name}.{field}", getattr(value, field), own)
        _fit(own, {})
        return value

    return check


def _array_check(dim_str: str, tensor: bool, convert: bool = False, kind: str = "float") -> Check:
    dims = tuple(dim_str.split())

    def check(name: str, value: Any, seen: Seen) -> Any:
        if tensor:
            array = finite_tensor(name, value, convert, kind)
        else:
            array = whole_array(name, value) if kind == "int" else finite_array(name, value, copy=False)
        seen.append((name, dims, tuple(array.shape)))
        return array

    return check


def _fit(seen: Seen, arguments: dict[str, Any]) -> dict[str, Any]:
    """The length of each letter. Raises ValueError where a shape has another rank, or lengths do not fit."""
    sizes = {name: value for name, value in arguments.items() if type(value) is int}
    found: dict[str, str] = {}  # the argument in which a letter was met
    sums = []  # axes such as n+1, which wait until n is known
    for name, dims, shape in seen:
        for dim, length in _axes(name, dims, shape):
            if not dim.lstrip("*").isidentifier():
                sums.append((name, dims, shape, dim, length))
            elif sizes.setdefault(dim, length) != length:
                _misfit(name, dims, shape, dim, sizes[dim], found.get(dim, ""))
            else:
                found.setdefault(dim, name)
    for name, dims, shape, dim, length in sums:
        if (right := _length(dim, sizes)) is not None and right != length:
            letter = re.findall(r"[A-Za-z_]\w*|$", dim)[0]
            _misfit(name, dims, shape, letter, sizes.get(letter), found.get(letter, ""))
    return sizes


def _axes(name: str, dims: tuple[str, ...], shape: tuple[int, ...]) -> list[tuple[str, Any]]:
    """Each axis with its length; leading ones, of which there may be any number, together. Checks the rank."""
    lead, named = (dims[0], dims[1:]) if dims[0].startswith(("*", "...")) else ("", dims)
    extra = len(shape) - len(named)
    if extra < 0 or (extra and not lead):
        raise ValueError(f"{name} has shape {shape}; it must have shape {_written(dims)}")
    if 0 in shape[extra:]:
        raise ValueError(f"{name} is empty, of shape {shape}; it must have shape {_written(dims)}, each at least 1")
    axes: list[tuple[str, Any]] = list(zip(named, shape[extra:], strict=True))
    return [*axes, (lead, shape[:extra])] if lead.startswith("*") else axes


def _misfit(name: str, dims: tuple[str, ...], shape: tuple[int, ...], letter: str, size: Any, other: str) -> NoReturn:
    why = f", where {'...' if '*' in letter else letter} is {size}" if letter else ""
    where = f" in {other}" if other not in ("", name) else ""
    raise ValueError(f"{name} has shape {shape}; it must have shape {_written(dims)}{why}{where}")


def _written(dims: tuple[str, ...]) -> str:
    names = ["..." if dim.startswith("*") else dim for dim in dims]
    return f"({', '.join(names)}{',' if len(dims) == 1 else ''})"


def _length(dim: str, sizes: dict[str, Any]) -> int | None:
    """The length that a name, or a sum such as n+1 or {n_layers}+1, stands for; None if it is not known."""
    try:  # what is evaluated stands in our own annotations
        return eval(dim.replace("{", "").replace("}", ""), {}, sizes)
    except (NameError, SyntaxError, TypeError):
        return None


def _check_memory(dims: tuple[str, ...], sizes: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Raise ValueError if what will be returned is larger than half of this computer's memory."""
    counts = [name for name in arguments if type(arguments[name]) is int and any(name in dim for dim in dims)]
    need, limit = 8 * math.prod(_length(dim, sizes) or 1 for dim in dims), _memory() / 2
    if need > limit:
        values = " and ".join(f"{name} is {arguments[name]:,}" for name in counts)
        raise ValueError(
            f"{values}; the result takes {need / 2**30:,.3g} GiB, and half of this computer's memory is "
            f"{limit / 2**30:.3g} GiB: use a smaller {counts[0]}"
        )


@functools.cache
def _memory() -> float:
    """Bytes of this computer's memory; 8 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30
