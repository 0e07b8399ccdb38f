"""Stored outputs against those of a fresh run. The comparison of text is nbval's own; this module prepares both sides.

Added to nbval's: pictures (also those inside HTML) are taken out and compared as pictures, the random names inside an
SVG are renumbered, and where a cell's tag asks for it numbers are compared as numbers.
"""

from __future__ import annotations

import copy
import io
import re
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from nbval.plugin import IPyNbCell, coalesce_streams, get_sanitize_patterns, nocolors

from icrl_teach.validation import pictures
from icrl_teach.validation.budgets import amount
from icrl_teach.validation.documents import DATA_URI, PICTURES, joined, texts
from icrl_teach.validation.pictures import Difference, Picture

# What nbval passes over without its --nbdime option; pictures and widget views have their own comparison here.
SKIPPED = (
    "metadata", "traceback", "prompt_number", "output_type", "name", "execution_count",
    "application/vnd.jupyter.widget-view+json", *PICTURES,
)  # fmt: skip
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
CELL_FILE = r"\S{0,200}[/\\]ipykernel_\d+[/\\]\d+\.py"  # what IPython calls a cell in a warning
DIFF_LINES = 60  # a diff longer than this is cut: nbdime's time grows with the square of it


@dataclass(frozen=True)
class Mismatch:
    """One difference in text: nbval's key (`stdout`, `text/plain`, …) and both sides; or nbval's own words."""

    key: str
    stored: str
    now: str
    words: str = ""


@dataclass
class Comparison:
    """All differences of one cell: the first in text, as nbval stops there, and each picture beyond the tolerance.

    pixels_differ: whether any pixel does, within the tolerance or not; counts: pictures stored and now.
    """

    mismatch: Mismatch | None = None
    pictures: list[Difference] = field(default_factory=list)
    pixels_differ: bool = False
    counts: tuple[int, int] = (0, 0)
    detail: str = ""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.mismatch is None and not self.pictures and self.counts[0] == self.counts[1]


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be apart: |now - stored| <= absolute + relative |stored|."""

    relative: float = 0.0
    absolute: float = 0.0

    def allows(self, stored: str, now: str) -> bool:
        """Whether one number, as text, may stand for the other."""
        a, b = float(stored), float(now)
        return a == b or abs(b - a) <= self.absolute + self.relative * abs(a)


def tolerance(tags: set[str]) -> Tolerance | None:
    """What the tags `validate-rtol=1e-3` and `validate-atol=1e-6` ask for; raises ValueError for one without number."""
    found = {}
    for tag in sorted(tags):
        key, _, value = tag.partition("=")
        if key in ("validate-rtol", "validate-atol"):
            found[key] = amount(tag, value)
    return Tolerance(found.get("validate-rtol", 0.0), found.get("validate-atol", 0.0)) if found else None


class _Nbval:
    """nbval's comparison of two lists of outputs, without a pytest session round it."""

    colors = nocolors
    compare_outputs = IPyNbCell.compare_outputs
    sanitize = IPyNbCell.sanitize

    def __init__(self, patterns: dict[str, str]) -> None:
        self.parent = self
        self.sanitize_patterns = patterns
        self.skip_compare = SKIPPED
        self.comparison_traceback: list[str] = []
        self.mismatch: Mismatch | None = None

    def format_output_compare(self, key: str, left: Any, right: Any) -> None:
        """nbval's hook for showing a difference: kept as it is, and shown later."""
        self.mismatch = Mismatch(key, joined(left), joined(right))

    def first_mismatch(self, stored: list[NotebookNode], now: list[NotebookNode]) -> Mismatch | None:
        """The first difference that nbval sees, or None."""
        if self.compare_outputs(now, stored):
            return None
        words = " ".join(str(self.comparison_traceback[0]).split()) if self.comparison_traceback else ""
        return self.mismatch or _uneven(stored, now, words.split("<<<")[0])


def _uneven(stored: list[NotebookNode], now: list[NotebookNode], words: str) -> Mismatch:
    """Outputs of different kinds or number: nbval says which kind; what each side has of it is given as text."""
    found = re.search(r"['\"]([^'\"]+)['\"]", words)
    key = found[1] if found else "outputs"
    return Mismatch(key, _text_of(stored, key), _text_of(now, key), words)


def _text_of(outputs: list[NotebookNode], key: str) -> str:
    """All that a list of outputs holds under one of nbval's keys, as text."""
    said = (output.get("data", {}).get(key, output.get(key, texts(output).get(key))) for output in outputs)
    return "\n".join(joined(text).rstrip("\n") for text in said if text is not None)


def sanitizers(file: Path | None) -> dict[str, str]:
    """The patterns of a file in nbval's format, and two that always hold: line ends of another system, and the name
    that IPython gives a cell's code in a warning."""
    # Bounded and tied to a line's start: an open \S* before it takes the square of a long line's length.
    patterns = {r"\r\n": "\n", rf"(?m)^{CELL_FILE}": "(cell)"}
    if file is not None:
        patterns.update(get_sanitize_patterns(file.read_text(encoding="utf-8")))
    return patterns


def compare(
    stored: list[NotebookNode],
    now: list[NotebookNode],
    patterns: dict[str, str],
    picture_tolerance: float,
    allowed: Tolerance | None = None,
) -> Comparison:
    """Compare the stored outputs of a cell with those of a fresh run. Neither list is changed."""
    old_outputs, old_pictures = _prepared(stored)
    new_outputs, new_pictures = _prepared(now)
    if allowed:
        _align_numbers(old_outputs, new_outputs, allowed)
    result = Comparison(_Nbval(patterns).first_mismatch(old_outputs, new_outputs))
    result.counts = (len(old_pictures), len(new_pictures))
    pairs = zip(old_pictures, new_pictures, strict=False)
    gaps = [replace(pictures.compare(a, b), number=i) for i, (a, b) in enumerate(pairs, 1) if a.data != b.data]
    result.pixels_differ = any(gap.percent > 0 for gap in gaps)
    result.pictures = [gap for gap in gaps if gap.percent > picture_tolerance]
    if result.mismatch:
        result.detail = diff(old_outputs, new_outputs)
    return result


def _prepared(outputs: list[NotebookNode]) -> tuple[list[NotebookNode], list[Picture]]:
    """Outputs as nbval compares them, and their pictures in order."""
    found: list[Picture] = []
    ready = coalesce_streams(copy.deepcopy(outputs))
    for output in ready:
        data = output.get("data", {})
        for kind in list(data):
            if alt := output.metadata.get(kind, {}).get("alt"):  # nbval passes over metadata
                data["alternative text"] = str(alt)
            if kind in PICTURES:
                found.append(pictures.picture(kind, joined(data[kind])))
            elif kind == "image/svg+xml":
                data[kind] = _settled_svg(joined(data[kind]))
            elif kind in ("text/html", "text/markdown"):
                inside = DATA_URI.findall(joined(data[kind]))
                found += [pictures.picture(*pair) for pair in inside]
                data[kind] = DATA_URI.sub("(picture)", joined(data[kind]))
    return ready, found


def _settled_svg(svg: str) -> str:
    """An SVG without its date, and with its ids numbered in order: matplotlib draws them at random."""
    svg = re.sub(r"<dc:date>.*?</dc:date>", "", svg, flags=re.DOTALL)
    ids = dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg))
    names = {name: f"id{number}" for number, name in enumerate(ids)}
    swap = lambda m: m[1] + names.get(m[2], m[2]) + m[3]  # noqa: E731
    svg = re.sub(r'(\bid=")([^"]+)(")', swap, svg)
    return re.sub(r"(#)([\w.:-]+)()", swap, svg)


def _align_numbers(stored: list[NotebookNode], now: list[NotebookNode], allowed: Tolerance) -> None:
    """Write the stored number in the place of each fresh one that is close enough; what is left differs."""
    for old, new in zip(stored, now, strict=False):
        if old.output_type != new.output_type:
            continue
        if old.output_type == "stream":
            new.text = _aligned(old.text, new.text, allowed)
        for kind, value in old.get("data", {}).items():
            if kind.startswith("text/") and kind in new.get("data", {}):
                new.data[kind] = _aligned(joined(value), joined(new.data[kind]), allowed)
                old.data[kind] = joined(value)


def _aligned(stored: str, now: str, allowed: Tolerance) -> str:
    """The stored text, if the fresh one has the same words and close numbers; else the fresh text as it is.

    Spaces may differ in number, because a column's width follows its numbers.
    """
    words = [[" ".join(part.split()) for part in NUMBER.split(text)] for text in (stored, now)]
    if words[0] != words[1]:
        return now
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(now), strict=True)
    return stored if all(allowed.allows(a, b) for a, b in pairs) else now


def diff(stored: list[NotebookNode], now: list[NotebookNode]) -> str:
    """nbdime's diff of two lists of outputs as text, long outputs cut round their first difference."""
    import nbdime
    from nbdime.prettyprint import PrettyPrintConfig, pretty_print_notebook_diff

    old, new = (_shortened(side, other) for side, other in ((stored, now), (now, stored)))
    a, b = (new_notebook(cells=[new_code_cell("", id="cell", outputs=side)]) for side in (old, new))
    out = io.StringIO()
    nbdime.log.set_nbdime_log_level("ERROR")
    config = PrettyPrintConfig(out=out, use_color=False, use_git=False, use_diff=False)
    pretty_print_notebook_diff("stored", "now", a, nbdime.diff_notebooks(a, b), config)
    lines = [
        line for line in out.getvalue().splitlines() if "(no timestamp)" not in line and not line.startswith("nbdiff ")
    ]
    return "\n".join(lines[: 4 * DIFF_LINES])


def _shortened(outputs: list[NotebookNode], others: list[NotebookNode]) -> list[NotebookNode]:
    ready = copy.deepcopy(outputs)[:DIFF_LINES]
    for output, other in zip_longest(ready, others[: len(ready)]):
        output.metadata = NotebookNode()
        if output.output_type == "stream":
            output.pop("metadata")
            output.text = _window(output.text, other.get("text", "") if other else "")
        if "data" in output:
            words = {k: joined(v) for k, v in output.data.items() if k not in SKIPPED}
            data = (other or {}).get("data", {})
            output.data = NotebookNode({k: _window(v, joined(data.get(k, ""))) for k, v in words.items()})
        if output.output_type == "error":
            output.pop("metadata", None)
            output.traceback = []
    return ready


def _window(text: str, other: str) -> str:
    """At most DIFF_LINES lines of 300 characters, from two lines before the first that differs from the other text."""
    lines, others = text.splitlines(keepends=True), other.splitlines(keepends=True)
    if len(lines) <= DIFF_LINES and len(text) < 10_000:
        return text
    first = next(
        (i for i, (a, b) in enumerate(zip(lines, others, strict=False)) if a != b), min(len(lines), len(others))
    )
    start = max(0, first - 2)
    return "".join(line if len(line) <= 300 else line[:300] + "…\n" for line in lines[start : start + DIFF_LINES])


def first_difference(stored: str, now: str, width: int = 60) -> tuple[str, str]:
    """The first line that differs on each side, cut to what a reader can compare at a glance.

    >>> first_difference("a\\nx = 9.0\\n", "a\\nx = 2.6\\n")
    ('x = 9.0', 'x = 2.6')
    """
    pairs = zip_longest(stored.splitlines(), now.splitlines(), fillvalue="")
    a, b = next(((a, b) for a, b in pairs if a != b), (stored, now))
    if a.strip() != b.strip():
        a, b = a.strip(), b.strip()
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, same - width // 2) if max(len(a), len(b)) > width else 0
    return _cut(a, start, width), _cut(b, start, width)


def _cut(line: str, start: int, width: int) -> str:
    piece = ("…" if start else "") + line[start : start + width] + ("…" if len(line) > start + width else "")
    return piece if piece.strip() else "nothing" if not piece else repr(piece)


def readable(mismatch: Mismatch) -> tuple[str, str]:
    """Both sides of a mismatch, short."""
    return first_difference(mismatch.stored, mismatch.now)
