"""What is said about a file: as an error, or as a warning. Every value that a message quotes is cut."""

from __future__ import annotations

from collections.abc import Iterable

from icrl_teach._validate import shown as shown


class LogError(ValueError):
    """A file that cannot be read as a log; the message names file, line, value and remedy."""


class LogWarning(UserWarning):
    """Data that can be read, and that look as if something had gone wrong before."""


def listed(names: Iterable[str], limit: int = 5) -> str:
    """Some names, in quotes, each cut, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(shown(name) for name in names[:limit]) + more


def counted(n: int, noun: str) -> str:
    """'1 row', '2 rows'."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
