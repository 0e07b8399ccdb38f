"""The columns of a log that are in use, collected chunk by chunk: names as codes, numbers as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import lazy_loader
import numpy as np

from icrl_teach.data.columns import Columns
from icrl_teach.data.errors import LogError, shown
from icrl_teach.data.sources import Source

pd = lazy_loader.load("pandas")  # with the first file that is read
TRUE = frozenset({"1", "1.0", "true", "t", "yes", "y"})
FALSE = frozenset({"0", "0.0", "false", "f", "no", "n", ""})


def by_appearance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes that count up in order of first appearance, and the value of each code."""
    return pd.factorize(values, use_na_sentinel=False)


class Names:
    """Values as codes, counted up in order of first appearance."""

    def __init__(self) -> None:
        self.code: dict[Any, int] = {}

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """The code of each value."""
        table = np.empty(len(values), dtype=object)
        table[:] = values
        codes, found = by_appearance(table)
        known = np.array([self.code.setdefault(value, len(self.code)) for value in found], dtype=np.int64)
        return known[codes]


class Numbers:
    """Numbers as people write them: with a point or with a comma, the same all through a column."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self._name = source, name
        self._seen: dict[str, tuple[int, str]] = {}  # the first number with each mark: its line, and what it is

    def parse(self, values: Sequence[Any], at: Sequence[int]) -> np.ndarray:
        """The numbers, all finite. Raises LogError with line, value and remedy."""
        if all(type(value) is float or type(value) is int for value in values):
            numbers = np.array(values, dtype=float)
        else:
            numbers = self._from_text(values, at)
        if not np.isfinite(numbers).all():
            k = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise self._bad(values[k], at[k])
        return numbers

    def _from_text(self, values: Sequence[Any], at: Sequence[int]) -> np.ndarray:
        if set(map(type, values)) == {str}:
            everything = "\n".join(values)
            if not re.search("[,_]", everything) and not ("," in self._seen and "." in everything):
                try:
                    if "." in everything:
                        self._note(".", *next((line, v) for line, v in zip(at, values, strict=True) if "." in v))
                    return np.array(list(map(float, values)))
                except ValueError:
                    pass  # the slow road finds the one
        return np.array([self._number(value, line) for value, line in zip(values, at, strict=True)])

    def _number(self, value: Any, line: int) -> float:
        if not isinstance(value, str):
            if value is None or isinstance(value, bool):
                raise self._bad(value, line)
            return float(value)
        for mark in ",.":
            if mark in value:
                self._note(mark, line, value)
        if self._source.separator == "," and re.fullmatch(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*", value):
            raise LogError(
                f"{self._source.place(line)}: {self._name} is {shown(value)}, which may mean thousands or a decimal "
                "comma; write numbers with a point and without marks for thousands"
            )
        try:
            if "_" in value:
                raise ValueError
            return float(value.replace(",", ".", 1))
        except ValueError:
            raise self._bad(value, line) from None

    def _note(self, mark: str, line: int, value: str) -> None:
        self._seen.setdefault(mark, (line, value))
        if len(self._seen) == 2:
            (line, value), (before, other) = sorted(self._seen.values(), reverse=True)
            raise LogError(
                f"{self._source.place(line)}: {self._name} is {shown(value)}, but {self._source.unit} {before} has "
                f"{shown(other)}; write numbers with one decimal mark, and without marks for thousands"
            )

    def _bad(self, value: Any, line: int) -> LogError:
        place, header = self._source.place(line), self._source.header
        if value in header and self._name == value:
            return LogError(f"{place}: the header stands here again; remove this {self._source.unit}")
        empty = "; a state that is only where an episode ended needs no row of its own" * (value in ("", None))
        return LogError(f"{place}: {self._name} is {shown(value)}; it must be a finite number such as 0 or -1.5{empty}")


@dataclass(frozen=True)
class Table:
    """A log as columns, (n,) each. States and next states share their codes; what a file lacks is None.

    at: where each row stands; names: of states; episodes, actions: codes, with their names; times: any numbers that
    grow with time.
    """

    source: Source
    columns: Columns
    at: np.ndarray
    states: np.ndarray
    rewards: np.ndarray
    names: list[str]
    next_states: np.ndarray | None = None
    terminated: np.ndarray | None = None
    truncated: np.ndarray | None = None
    done: np.ndarray | None = None
    episodes: np.ndarray | None = None
    episode_names: list[str] = field(default_factory=list)
    actions: np.ndarray | None = None
    action_names: list[str] = field(default_factory=list)
    times: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Table:
        """The same table with these rows, in this order."""
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return self.source.place(int(self.at[row]))


def as_names(values: Sequence[Any], at: Sequence[int], role: str, source: Source) -> Sequence[str]:
    """Values of a file with types as names; a text's are names already."""
    if set(map(type, values)) == {str}:
        return values
    names = []
    for value, line in zip(values, at, strict=True):
        if value is None or value != value:
            raise LogError(f"{source.place(line)}: {role} is missing; fill it in, or leave the row out")
        if not isinstance(value, str | int | float):
            raise LogError(f"{source.place(line)}: {role} is {shown(value)}; it must be a text or a number")
        names.append(str(value))
    return names


def _flags(values: Sequence[Any], at: Sequence[int], role: str, source: Source) -> np.ndarray:
    meaning = {}
    for value in set(values):
        word = str(value).strip().lower()
        if word not in TRUE | FALSE:
            line = at[list(values).index(value)]
            raise LogError(f"{source.place(line)}: {role} is {shown(value)}; it must be 0 or 1, or false or true")
        meaning[value] = word in TRUE
    return np.array([meaning[value] for value in values], dtype=bool)


def _times(values: list[Any], source: Source, at: np.ndarray) -> np.ndarray:
    """Numbers that order the rows. Raises LogError for what is neither numbers nor dates."""
    series = pd.Series(values, dtype=object)
    numbers = pd.to_numeric(series, errors="coerce")
    if not numbers.isna().any():
        return numbers.to_numpy(dtype=float)
    dates = pd.to_datetime(series, errors="coerce", format="ISO8601", utc=True)
    if (bad := np.flatnonzero(dates.isna())).size:
        raise LogError(
            f"{source.place(int(at[bad[0]]))}: time is {shown(values[bad[0]])}; write numbers or dates such as "
            "2026-05-07 13:45:00, or leave the column out with --columns time="
        )
    return dates.astype("int64").to_numpy()


def collect(source: Source, columns: Columns) -> Table:
    """Read the columns that have a meaning. Raises LogError with file, line, value and remedy."""
    at, parts = [], {role: [] for role in columns.at}  # type: ignore[var-annotated]
    codes = {"state": Names(), "episode": Names(), "action": Names()}
    codes["next_state"] = codes["state"]
    numbers = Numbers(source, source.header[columns.at["reward"]])
    for chunk in source.chunks(sorted(columns.at.values())):
        at.append(np.array(chunk.at))
        for role, position in columns.at.items():
            values, name = chunk.columns[position], source.header[position]
            if role == "reward":
                parts[role].append(numbers.parse(values, chunk.at))
            elif role in codes:
                parts[role].append(codes[role].encode(as_names(values, chunk.at, name, source)))
            elif role == "time":
                parts[role].append(np.array(values, dtype=object))
            else:
                parts[role].append(_flags(values, chunk.at, name, source))
    if not at:
        raise LogError(f"{source.name}: no rows below the header; a context needs at least one transition")
    found = {role: np.concatenate(arrays) for role, arrays in parts.items()}
    rows = np.concatenate(at)
    return Table(
        source,
        columns,
        rows,
        found["state"],
        found["reward"],
        list(codes["state"].code),
        next_states=found.get("next_state"),
        **{role: found.get(role) for role in ("terminated", "truncated", "done")},
        episodes=found.get("episode"),
        episode_names=list(codes["episode"].code),
        actions=found.get("action"),
        action_names=list(codes["action"].code),
        times=_times(list(found["time"]), source, rows) if "time" in found and "episode" in found else None,
    )
