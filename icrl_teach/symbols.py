"""The letters of the course, looked up in its one table: docs/notation.md, which ships with the package."""

from __future__ import annotations

import difflib
import re
import textwrap
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from icrl_teach._door import door
from icrl_teach._validate import shown

NAMES = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega",
]  # fmt: skip
GREEK = dict(zip(NAMES, "αβγδεζηθικλμνξπρστφχψωΓΔΘΛΞΠΣΦΨΩ", strict=True))
# What else of LaTeX the table uses, as plain text.
PLAIN = {
    r"\lVert": "‖", r"\rVert": "‖", r"\langle": "⟨", r"\rangle": "⟩", r"\infty": "∞", r"\cdot": "·", r"\mid": "|",
    r"\le": "≤", r"\dots": "...", r"\sqrt": "√", r"\min": "min", r"\top": "T", r"\mathbf": "", r"\mathbb": "",
    r"\text": "", r"\,": "",
    **{f"\\{name}": glyph for name, glyph in GREEK.items()},
}  # fmt: skip
ACCENTS = {"hat": "\u0302", "bar": "\u0304"}  # combining: P with a hat


@dataclass(frozen=True)
class Letter:
    """One row of the table: its symbols and the words in brackets (LaTeX), what it means, its shape or range, its
    names in the code, and the number of the lesson that introduces it."""

    symbols: tuple[str, ...]
    job: str
    meaning: str
    shape: str
    code: tuple[str, ...]
    first: str

    @property
    def name(self) -> str:
        """The symbols as plain text."""
        return ", ".join(map(plain, self.symbols)) + (f" ({self.job})" if self.job else "")


@dataclass(frozen=True)
class Letters:
    """What a look-up found; a notebook shows it as a table, a terminal as text."""

    found: tuple[Letter, ...]

    def __repr__(self) -> str:
        return "\n".join(line for letter in self.found for line in _lines(letter))

    def _repr_markdown_(self) -> str:
        head = "| symbol | meaning | shape or range | in code | first |\n|---|---|---|---|---|\n"
        return head + "\n".join(map(_row, self.found))


def _lines(letter: Letter) -> list[str]:
    about = [plain(letter.shape), f"in code: {', '.join(letter.code)}" if letter.code else "", f"lesson {letter.first}"]
    text = f"{letter.name}: {plain(letter.meaning)} [{'; '.join(filter(None, about))}]"
    return textwrap.wrap(text, 88, subsequent_indent="    ")


def _row(letter: Letter) -> str:
    symbols = ", ".join(letter.symbols) + (f" ({letter.job})" if letter.job else "")
    code = ", ".join(f"`{name}`" for name in letter.code)
    return f"| {symbols} | {letter.meaning} | {letter.shape} | {code} | {letter.first} |"


def plain(text: str) -> str:
    r"""The table's LaTeX as plain text.

    >>> plain(r"sharpness: one-hot features are $\sqrt\tau\, e_s$")
    'sharpness: one-hot features are √τ e_s'
    """
    for accent, mark in ACCENTS.items():
        text = re.sub(rf"\\{accent} (\w)", rf"\1{mark}", text)
    text = text.replace(r"\{", "\1").replace(r"\}", "\2")
    text = re.sub(r"\\[A-Za-z]+|\\.", lambda found: PLAIN.get(found[0], found[0][1:]), text)
    text = re.sub(r"\{(\w+)\}|\$", r"\1", text)  # the braces that stay hold more than a word, as in S_{k-1}
    text = text.replace("\1", "{").replace("\2", "}")
    return " ".join(text.replace("^T", "ᵀ").split())


@cache
def table() -> tuple[Letter, ...]:
    """Every letter, as docs/notation.md lists them. Raises FileNotFoundError where it is not installed."""
    package = Path(__file__).resolve().parent
    for path in (package / "_docs" / "notation.md", package.parent / "docs" / "notation.md"):
        if path.is_file():
            rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
            return tuple(_letter(row) for row in rows[1:])
    raise FileNotFoundError("the table of letters is not installed with this package: reinstall icrl-teach")


def _letter(row: str) -> Letter:
    symbols, meaning, shape, code, first = (cell.strip() for cell in row.strip().strip("|").split("|"))
    name, _, job = symbols.partition(" (")
    each = tuple(re.findall(r"\$[^$]+\$", name)) or tuple(name.split(", "))
    return Letter(each, job.rstrip(")"), meaning, shape, tuple(re.findall(r"`([^`]+)`", code)), first)


@lru_cache(maxsize=1024)  # the table has some 300 spellings
def _key(text: str) -> str:
    r"""One spelling for `\beta`, β and beta; for `\hat P`, P̂ and P^."""
    text = re.sub(r"[\\\s{}$]", "", unicodedata.normalize("NFD", text))
    for name, mark in ACCENTS.items():
        text = re.sub(f"(.){mark}", rf"{name}\1", text)
    text = re.sub(r"^(\w)(hat|bar)$", r"\2\1", re.sub(r"^(\w)\^$", r"\1hat", text.replace("∞", "infty")))
    return text.translate({ord(glyph): name for name, glyph in GREEK.items()})


def _base(key: str) -> str:
    """A letter without index, argument and accent: n of n_s, x of x(s), P of hatP."""
    key = re.split(r"[_(^]", key)[0]
    return re.sub(r"^(hat|bar)(?=\w$)", "", key).rstrip("'") or key


def _keys(letter: Letter) -> set[str]:
    own = {_key(spelling) for symbol in letter.symbols for spelling in (symbol, plain(symbol))}
    code = {name.removesuffix("()") for name in letter.code} | set(letter.code)
    return own | {key.split("(")[0] for key in own} | code


@door
def notation(symbol: str | None = None) -> Letters:
    r"""What a letter of the course means: its shape or range, its name in the code, the lesson that introduces it.

    symbol: as it is written or called, "beta", "β", r"\beta", "n_s", "K", "features", or a word of its meaning; without
    it, the whole table. A letter with several jobs is found in each. Raises ValueError for an unknown one, with what
    is near.

    >>> notation("n_s")
    n_s: how often state s was left [0 to n; in code: visits(); lesson 02]
    """
    if symbol is None:
        return Letters(table())
    key = _key(symbol.strip())
    key = key.lower() if key.lower() in NAMES and key not in NAMES else key
    exact = [letter for letter in table() if key in _keys(letter)]
    related = [letter for letter in table() if _base(key) in {_base(_key(s)) for s in letter.symbols}]
    found = exact + [letter for letter in related if letter not in exact and (not exact or _base(key) == key)]
    if found := found or _speaking_of(symbol):
        return Letters(tuple(found))
    near = difflib.get_close_matches(key, sorted({key for letter in table() for key in _keys(letter)}), n=3)
    hint = f"Near: {', '.join(near)}. " if near else ""
    raise ValueError(f"symbol is {shown(symbol)}; the course has no such letter. {hint}notation() shows all")


def _speaking_of(word: str) -> list[Letter]:
    if len(word.strip()) < 3:
        return []
    pattern = re.compile(rf"\b{re.escape(word.strip())}", re.IGNORECASE)
    return [letter for letter in table() if pattern.search(f"{plain(letter.meaning)} {letter.job}")]
