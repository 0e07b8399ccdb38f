"""How commands set their text: lines that break between words, digits in columns, colour as a second cue only."""

from __future__ import annotations

import math
import os
import shutil
import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import IO, Any

import click
import numpy as np

WIDEST, NARROWEST = 80, 40  # columns of prose: longer lines are hard to read, in shorter ones no word fits


def columns() -> int:
    """How many columns the terminal has; 80 where the output is none."""
    return max(shutil.get_terminal_size((WIDEST, 24)).columns, NARROWEST)


def wrap(text: str, hanging: str = "") -> str:
    """Each line broken between words, at 80 columns or where the terminal ends; later parts begin with `hanging`.

    A word wider than that, such as a path, stays whole: it can be copied.
    """
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": hanging}
    return "\n".join(textwrap.fill(line, min(columns(), WIDEST), **how) for line in text.split("\n"))


def fold(text: str, stream: IO[str]) -> str:
    """Lines that programs read, each as it is; where a person reads them, in a terminal, broken between words."""
    return wrap(text, "  ") if stream.isatty() else text


def defined(pairs: Iterable[tuple[str, str]], width: int = 0) -> str:
    """Names in a column, as wide as the longest or `width`, and what is said of each beside it."""
    pairs = list(pairs)
    room = max([width, *(len(name) for name, _ in pairs)]) + 2
    return "\n".join(wrap(f"{name:<{room}}{said}", " " * room) for name, said in pairs)


def styled(text: str, **look: Any) -> str:
    """Text in a colour or weight, see `click.style`; where the output is no terminal, click.echo leaves that out.

    Plain if NO_COLOR is set (no-color.org), or the terminal is a dumb one.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, **look)


def numbers(values: Iterable[float], digits: int = 4) -> list[str]:
    """Numbers for one column: all with as many decimals as show so many digits of the largest.

    >>> numbers([0.27767, 12.0, -1e-260]), numbers([3e-9, 0.0], 2)
    (['0.28', '12.00', '0.00'], ['3.0e-09', '0.0e+00'])
    """
    values = [float(x) for x in values]
    largest = max((abs(x) for x in values if math.isfinite(x)), default=0.0)
    if largest and not 1e-4 <= largest < 1e7:
        return [f"{x:.{digits - 1}e}" for x in values]
    decimals = max(digits - 1 - math.floor(math.log10(largest or 1.0)), 0)
    return [f"{round(x, decimals) + 0.0:.{decimals}f}" for x in values]  # + 0.0: no -0.00


def _pad(text: str, width: int, left: bool = False) -> str:
    blank = " " * (width - len(click.unstyle(text)))
    return text + blank if left else blank + text


def table(rows: Sequence[Sequence[str]], left: Collection[int] = (), gap: int = 2) -> list[str]:
    """Rows as lines, each column as wide as its widest cell, its cells to the right, or to the left if in `left`.

    >>> table([["a", "b"], ["1", "10"]], left=[0])
    ['a   b', '1  10']
    """
    widths = [max(len(click.unstyle(cell)) for cell in column) for column in zip(*rows, strict=True)]
    cells = [
        [_pad(text, width, i in left) for i, (text, width) in enumerate(zip(row, widths, strict=True))] for row in rows
    ]
    return [(" " * gap).join(row).rstrip() for row in cells]


def beside(blocks: Sequence[Sequence[str]], gap: int = 4) -> str:
    """Blocks of lines, all of one height, from left to right, as many in a row as the terminal has room for."""
    width = max(len(click.unstyle(line)) for block in blocks for line in block)
    fit = max((columns() + gap) // (width + gap), 1)
    rows = []
    for first in range(0, len(blocks), fit):
        lines = zip(*blocks[first : first + fit], strict=True)
        rows.append("\n".join((" " * gap).join(_pad(part, width, True) for part in line).rstrip() for line in lines))
    return "\n\n".join(rows)


def grid(title: str, cells: np.ndarray) -> list[str]:
    """A block: a title, and below it the cells, (rows, columns) texts, each column to the right."""
    return [title, *table(cells.tolist(), gap=1)]
