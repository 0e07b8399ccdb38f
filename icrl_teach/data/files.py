"""Bytes of a file as lines of text, unpacked and decoded, with bounds: what is no text is refused before it grows."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from icrl_teach.data.errors import LogError, counted, listed

LINE_LIMIT = 131_072  # characters; the csv module's own limit for one field
HEAD = 8_192  # bytes that are looked at to tell what a file is
EXPORT = "export the log as CSV (UTF-8)"
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\x81\x8d\x8f\x90\x9d]")  # what no text in an 8-bit alphabet holds
_FOREIGN = {  # first bytes of what may hold a table and is not read
    b"\x89HDF": "an HDF5 file; of a Minari data set give the folder",
    b"\xd0\xcf\x11\xe0": f"an Excel workbook: {EXPORT}",
    b"%PDF": f"a PDF document: {EXPORT}",
    b"BZh": "packed with bzip2: unpack it, or use gzip or zip",
    b"\xfd7zXZ": "packed with xz: unpack it, or use gzip or zip",
    b"\x28\xb5\x2f\xfd": "packed with zstd: unpack it, or use gzip or zip",
}


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if any(m.filename == "[Content_Types].xml" for m in members):
        raise LogError(f"{name}: an Office document; {EXPORT}")
    if len(members) != 1:
        found = listed(m.filename for m in members) or "none"
        raise LogError(f"{name}: the zip must hold one file, and holds {found}; unpack it and name the log")
    if members[0].flag_bits & 1:
        raise LogError(f"{name}: the zip is locked by a password; unpack it first")
    return members[0]


@contextmanager
def unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file, or of what a gzip or a zip of one file holds. What goes wrong becomes a LogError."""
    try:
        with path.open("rb") as raw:
            magic = raw.peek(8)[:8]
            for start, kind in _FOREIGN.items():
                if magic.startswith(start):
                    raise LogError(f"{path.name}: {kind}")
            if magic.startswith(b"\x1f\x8b"):
                with gzip.GzipFile(fileobj=raw) as inner:
                    yield io.BufferedReader(inner)
            elif magic.startswith(b"PK\x03\x04"):
                with zipfile.ZipFile(raw) as archive, archive.open(_only_member(archive, path.name)) as inner:
                    yield io.BufferedReader(cast(Any, inner))
            else:
                yield raw
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise LogError(f"{path.name}: the packed file is broken or cut short ({error}); copy it again") from None
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}; check the path") from None


def encodings(head: bytes, name: str) -> list[str]:
    """The encodings to try, in order, judged from a file's first bytes."""
    if head.startswith(b"\xef\xbb\xbf"):
        return ["utf-8-sig"]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ["utf-16"]
    pairs = len(head) // 2
    if pairs and head[1::2].count(0) > 0.4 * pairs and head[::2].count(0) == 0:
        return ["utf-16-le"]
    if pairs and head[::2].count(0) > 0.4 * pairs and head[1::2].count(0) == 0:
        return ["utf-16-be"]
    if b"\0" in head:
        raise LogError(f"{name}: not a text file (it holds zero bytes); {EXPORT}")
    return ["utf-8", "cp1252"]  # Windows' relative of Latin-1: the same letters, and a euro sign


def lines(stream: io.BufferedReader, encoding: str, name: str) -> Iterator[str]:
    """Lines with their ends, each of bounded length. Raises LogError where the text is none."""
    text = io.TextIOWrapper(stream, encoding, newline="")
    number = 0
    try:
        while line := text.readline(LINE_LIMIT):
            number += 1
            if len(line) == LINE_LIMIT:
                raise LogError(
                    f"{name}, line {number}: longer than {counted(LINE_LIMIT, 'character')}; a log has one short row a "
                    f"line: check that this is the right file, or {EXPORT}"
                )
            if "\0" in line or (encoding == "cp1252" and _CONTROL.search(line)):
                raise LogError(f"{name}, line {number}: not text (it holds control characters); {EXPORT}")
            yield line
    finally:
        if not stream.closed:  # it is closed where it was opened, not by a wrapper that is collected
            text.detach()
