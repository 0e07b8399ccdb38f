"""Who is in the class, and whose upload a file is."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from icrl_teach._validate import shown

ROSTER = "roster.csv"
COLUMNS = ("id", "name", "email")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Learner:
    """A line of the roster; the id names the learner's folders."""

    id: str
    name: str
    email: str

    @property
    def first_and_last(self) -> tuple[str, str]:
        """First and last name: "Lovelace, Ada", or else the last word is the last name."""
        if "," in self.name:
            last, first = self.name.split(",", 1)
            return first.strip(), last.strip()
        *before, last = self.name.split()
        return " ".join(before), last


def read_roster(path: Path) -> list[Learner]:
    """The learners of a CSV file with the columns id, name and email; others are left alone.

    Raises ValueError, with the line, for a missing column, an id that cannot name a folder, an id given twice, an empty
    name, or a name or an address that a spreadsheet would take for a formula.
    """
    text = path.read_text(encoding="utf-8-sig")
    delimiter = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows.fieldnames = names = [name.strip().lower() for name in rows.fieldnames or []]
    if missing := [name for name in COLUMNS if name not in names]:
        raise ValueError(f"{path}, line 1: the column {missing[0]} is missing; the first line must be: id,name,email")
    learners: dict[str, Learner] = {}
    for row in rows:
        cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
        if not any(cells.values()):
            continue
        _check(cells, f"{path}, line {rows.line_num}", {id.lower() for id in learners})
        learners[cells["id"]] = Learner(**cells)
    return list(learners.values())


def _check(cells: dict[str, str], where: str, known: set[str]) -> None:
    if not _ID.fullmatch(cells["id"]) or cells["id"].endswith("."):
        allowed = "letters and digits of ASCII, and . _ @ + - after the first"
        raise ValueError(f"{where}: the id is {shown(cells['id'])}; it names a folder, so it may hold {allowed}")
    if cells["id"].lower() in known:  # some file systems do not tell capitals from small letters
        raise ValueError(f"{where}: the id {shown(cells['id'])} stands there twice; give each learner one of their own")
    if not cells["name"].strip(" ,"):
        raise ValueError(f"{where}: the name is empty; files are told by it")
    for name in ("name", "email"):
        if cells[name].startswith(_FORMULA):
            raise ValueError(f"{where}: the {name} {shown(cells[name])} begins as a formula does; remove that sign")


def letters(name: str) -> str:
    """A name as it is compared: letters and digits only, small, without accents."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(c for c in plain if c.isalnum())


def _spellings(name: str) -> set[str]:
    """A name as platforms may write it: "Ada Lovelace", "Lovelace, Ada", "lovelaceada"."""
    words = name.replace(",", " ").split()
    return {letters(" ".join(words[k:] + words[:k])) for k in range(len(words))}


def whose(roster: Iterable[Learner], name: str, number: str = "") -> Learner | str:
    """The learner whom a platform calls so, or in words why nobody is.

    name: as the platform writes it, or an id; number: the platform's own, which may be the id, too.
    """
    roster = list(roster)
    for one in roster:
        if one.id in (name, number):
            return one
    named = [one for one in roster if letters(name) in _spellings(one.name)]
    if len(named) == 1:
        return named[0]
    if named:
        ids = " or ".join(one.id for one in named)
        return f"{len(named)} learners are called {shown(name)}; put the file into a folder named {ids}"
    return f"nobody in {ROSTER} is called {shown(name)}; add them there, or correct the name"
