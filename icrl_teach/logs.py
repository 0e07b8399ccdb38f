"""Files written in one step; and the old home of what now stands in `icrl_teach.data`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any


def __getattr__(name: str) -> Any:
    if name in ("LogError", "read_features", "read_trajectory", "write_trajectory"):
        return getattr(import_module("icrl_teach.data"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO]:
    """Write to a temporary name beside `path`, then rename: a stop never leaves half a file."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: there is no such folder; make it first")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        text = "b" not in mode
        with os.fdopen(handle, mode, newline="" if text else None, encoding="utf-8" if text else None) as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # a temporary file is private; the result should be like any other
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def try_writing(folder: Path) -> None:
    """Raise OSError unless a file can be made in the folder; nothing stays there."""
    tempfile.TemporaryFile(dir=folder).close()
