"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows needs no lock: it neither removes nor renames an open file
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO]:
    """Write to a temporary name beside `path`, then rename: a stop never leaves half a file.

    What a writer of the same file left behind when it was killed is removed first; that of one that lives is not.
    Raises FileNotFoundError without the folder, and OSError as `open` does.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: there is no such folder; make it first")
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    _remove_orphans(path)
    file = _temporary(path, mode)
    try:
        with file:
            yield file
            file.flush()
            if fcntl is not None:
                os.replace(file.name, path)  # while its lock is held: nobody takes it for an orphan
        if fcntl is None:
            os.replace(file.name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name)
        raise


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], seconds: float = 2.0) -> Iterator[None]:
    """Hold the lock that the file `path` stands for; it is made if needed, and stays.

    The lock ends with its holder, however that ends. Raises BlockingIOError if another holds it for longer than that,
    and OSError as `open` does.
    """
    with open(path, "ab") as file:
        end = time.monotonic() + seconds
        while not _lock(file.fileno()):
            if time.monotonic() > end:
                raise BlockingIOError(errno.EAGAIN, "another program holds it", str(path))
            time.sleep(0.01)
        yield


def _lock(descriptor: int) -> bool:
    """Take the lock of an open file; False if another has it. A file system without locks gives it to everybody."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        elif fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # Windows' word for it
        return False
    except OSError:
        pass
    return True


def _temporary(path: Path, mode: str) -> IO:
    """A new file beside `path`, locked as long as it is open: the lock ends with its writer, however that ends."""
    while True:
        name = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        how = {"newline": "", "encoding": "utf-8"} if "b" not in mode else {}
        file: IO = name.open(mode.replace("w", "x"), **how)  # type: ignore[call-overload]
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks: then nobody finds it unlocked either
                fcntl.flock(file, fcntl.LOCK_EX)
        if name.exists():  # not so if another writer found it before the lock was there
            return file
        file.close()


def _remove_orphans(path: Path) -> None:
    for name in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with contextlib.suppress(OSError):  # its writer lives
            if fcntl is None:
                name.unlink()
                continue
            with name.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                name.unlink()


def try_writing(folder: Path) -> None:
    """Raise OSError unless a file can be made in the folder; nothing stays there."""
    tempfile.TemporaryFile(dir=folder).close()
