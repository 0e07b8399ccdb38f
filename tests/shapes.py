"""Shapes and types in signatures are verified at each call while tests run, by jaxtyping and beartype."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

# An int is a float to Python's typing rules (PEP 484); beartype has to be told.
typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
with_shapes = jaxtyping.jaxtyped


def verify(package: str) -> None:
    """Modules of this package are imported, from now on, with all their functions verified."""
    jaxtyping.jaxtyped = verified  # what the hook writes above each function
    jaxtyping.install_import_hook(package, "shapes.typechecker")


def verified(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as jaxtyping's own. Where no shape stands in a signature it leaves the types to beartype alone:
    jaxtyping would bind the arguments at each call, which takes longer than most functions do. A function inside
    another is made, and would be read, at each call of that."""

    def decorate(each: Any) -> Any:
        if "<locals>" in each.__qualname__:
            return each
        if inspect.isfunction(each) and not shaped(each):
            return typechecker(each)
        return with_shapes(each, typechecker=typechecker)

    return decorate


def shaped(function: Callable[..., Any]) -> bool:
    """Whether a signature names a shape, or a name that is not known yet."""
    try:
        hints = list(get_type_hints(function).values())
    except NameError:
        return True
    for hint in hints:
        hints.extend(get_args(hint))
    return any(inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray) for hint in hints)
