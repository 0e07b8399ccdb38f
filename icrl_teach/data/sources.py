"""A file's header and its rows in chunks, whatever its format. A format that needs a library names it."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from icrl_teach.data.columns import role_of
from icrl_teach.data.errors import LogError, counted, shown
from icrl_teach.data.files import EXPORT, HEAD, encodings, lines, unpacked

CHUNK = 1_000  # rows held as lists at a time: more, and the collector of garbage takes as long as the reading
ROW_LIMIT = 10_000_000
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
Result = TypeVar("Result")


class Chunk(NamedTuple):
    """Some rows: where each stands in the file, and the columns asked for, by their position in the header."""

    at: list[int]
    columns: dict[int, Sequence[Any]]


class Source:
    """A file that holds a table. `unit` is what messages count: lines of a text, rows of a Parquet file."""

    unit = "row"

    def __init__(self, name: str) -> None:
        self.name = name
        self.header: list[str] = []
        self.warnings: list[str] = []
        self.separator: str | None = None
        self.cut_short = False  # whether the text ends without a line end

    def chunks(self, wanted: Sequence[int]) -> Iterator[Chunk]:
        """The rows of the columns at these positions."""
        raise NotImplementedError

    def place(self, at: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.name}, {self.unit} {at}"


def separator_of(header: str, known: Sequence[str] = ()) -> str | None:
    """The separator under which a header line names most of what we know; None if it holds none."""

    def score(mark: str) -> tuple[int, int]:
        fields = [field.strip() for field in next(csv.reader([header], delimiter=mark), [])]
        return sum(role_of(field) is not None or field in known for field in fields), len(fields)

    best = max(SEPARATORS, key=score)
    return best if score(best)[1] > 1 else None


def _is_blank(row: Sequence[str]) -> bool:
    return not any(field and not field.isspace() for field in row)


class TextSource(Source):
    """Rows of a text with a separator: CSV and its relatives."""

    unit = "line"

    def __init__(self, name: str, text: Iterator[str], known: Sequence[str] = ()) -> None:
        super().__init__(name)
        first = next(text, None)
        self._before = 0
        if first is not None and (told := re.fullmatch(r"sep=(.)\s*", first)):  # a hint that Excel writes
            self.separator, first, self._before = told[1], next(text, None), 1
        if first is None:
            raise LogError(f"{name}: the file is empty; it needs a header line such as state,reward,next_state")
        self.separator = self.separator or separator_of(first, known) or self._other_separator(first)
        rows = self._watched(itertools.chain([first], text))
        self._reader = csv.reader(rows, delimiter=self.separator, strict=True)
        self._rows = self._numbered()
        self.header = [field.strip() for field in next(self._rows)[1]]

    def _other_separator(self, line: str) -> str:
        for mark in ("|", ":", " "):
            if sum(role_of(word) is not None for word in line.split(mark)) > 1:
                raise LogError(f"{self.name}: separator is {mark!r}; save the file with a comma, semicolon or tab")
        return ","

    def _watched(self, text: Iterator[str]) -> Iterator[str]:
        line = "\n"
        for line in text:
            yield line
        self.cut_short = not line.endswith(("\n", "\r"))

    def _numbered(self) -> Iterator[tuple[int, list[str]]]:
        begins = self._before + 1  # a row with a quotation mark may hold line ends
        try:
            for row in self._reader:
                yield self._before + self._reader.line_num, row
                begins = self._before + self._reader.line_num + 1
        except csv.Error as error:
            at = self._before + self._reader.line_num
            what = f'{error}; inside quotes a quotation mark is written twice (""), or {EXPORT}'
            if "field limit" in str(error) or "unexpected end" in str(error):
                at, what = begins, "a quotation mark is opened and never closed; close it, or leave it out"
            raise LogError(f"{self.place(at)}: {what}") from None

    def chunks(self, wanted: Sequence[int]) -> Iterator[Chunk]:
        """The rows, each as wide as the header; rows of empty fields are left out."""
        total = 0
        while batch := list(itertools.islice(self._rows, CHUNK)):
            filled = [(at, row) for at, row in batch if (row and row[0][:1] > " ") or not _is_blank(row)]
            total += len(filled)
            if total > ROW_LIMIT:
                raise LogError(f"{self.name}: more than {ROW_LIMIT:,} rows; split the log, or leave out early episodes")
            if filled:
                numbers, rows = zip(*filled, strict=True)
                if set(map(len, rows)) != {len(self.header)}:
                    self._refuse_width(*next(pair for pair in filled if len(pair[1]) != len(self.header)))
                fields = list(zip(*rows, strict=True))
                yield Chunk(list(numbers), {i: fields[i] for i in wanted})

    def _refuse_width(self, at: int, row: list[str]) -> None:
        found, width = counted(len(row), "field"), len(self.header)
        remedy = "complete the row, or remove it"
        for mark in SEPARATORS:
            if mark != self.separator and len(row) == 1 and row[0].count(mark) == width - 1:
                remedy = f"separator is {mark!r} here and {self.separator!r} in the header; use one of them"
        if len(row) > width:
            remedy = f"quote states that contain a {SEPARATORS.get(self.separator or ',', 'separator')}"
            if self.separator == ",":
                remedy += ' ("a, b"), and write numbers with a point (1.5)'
        raise LogError(f"{self.place(at)}: {found} where the header has {width}; {remedy}; the row is {shown(row)}")


def read(path: Path, use: Callable[[Source], Result], known: Sequence[str] = ()) -> Result:
    """Hand a file, as the source that it is, to `use`. A text is read again from its start if its encoding was not it.

    known: names of columns that help to find the separator. Raises LogError for whatever cannot be read.
    """
    if path.is_dir():
        from icrl_teach.data.formats import MinariSource

        return use(MinariSource(path))
    for attempt in range(2):
        with unpacked(path) as stream:  # opened once where that is enough: a pipe cannot be read twice
            head = stream.peek(HEAD)[:HEAD]
            if head.startswith(b"PAR1"):
                from icrl_teach.data.formats import ParquetSource

                return use(ParquetSource(path.name, stream))
            encoding = (*encodings(head, path.name), "")[attempt]
            try:
                source = TextSource(path.name, lines(stream, encoding, path.name), known)
                if encoding == "cp1252":
                    source.warnings.append("not in UTF-8: read as Windows-1252 (Latin-1); check letters such as é")
                return use(source)
            except UnicodeDecodeError:
                if len(encodings(head, path.name)) == 1 or not path.is_file():
                    break
    raise LogError(f"{path.name}: not a text file in UTF-8; {EXPORT}")
