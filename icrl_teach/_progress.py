"""Progress for work that may take over two seconds: a function calls tick(stage), whoever watches draws a bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tick = Callable[[str], None]


def no_tick(stage: str) -> None:
    """What functions call between stages when nobody watches."""


@contextmanager
def progress(total: int | None = None) -> Iterator[Tick]:
    """A bar on stderr, in a terminal only; it names the current stage and is gone when the work is done."""
    from tqdm import tqdm

    with tqdm(total=total, disable=None, leave=False, file=sys.stderr) as bar:

        def tick(stage: str) -> None:
            bar.set_description(stage)
            bar.update()

        yield tick
