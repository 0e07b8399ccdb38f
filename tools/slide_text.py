"""The text of a lesson, taken apart for slides: its blocks, the gist of a paragraph, how many lines a text fills."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.S)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\bet al\.", re.S)
STARTS = {"heading": r"#{1,4} ", "table": r"\|", "list": r"(?:-|\d+\.) ", "equation": r"\$\$"}
ENOUGH = 9  # words that a gist has at least, if the paragraph does


@dataclass(frozen=True)
class Block:
    """A piece of a text: heading, paragraph, list, table, equation, or a folded one with its summary."""

    kind: str
    text: str
    summary: str = ""


def blocks(markdown: str) -> Iterator[Block]:
    """The blocks of a text in its order."""
    place = 0
    for folded in FOLDED.finditer(markdown):
        yield from _plain(markdown[place : folded.start()])
        yield Block("folded", folded[2].strip(), re.sub(r"<.*?>", "", folded[1]))
        place = folded.end()
    yield from _plain(markdown[place:])


def _plain(markdown: str) -> Iterator[Block]:
    kind, held = "", list[str]()
    for line in [*markdown.splitlines(), ""]:
        starts = next((name for name, pattern in STARTS.items() if re.match(pattern, line)), "paragraph")
        if held and not _goes_on(kind, held, starts, line):
            yield Block(kind, "\n".join(held))
            kind, held = "", []
        if line.strip():
            kind, held = kind or starts, [*held, line]


def _goes_on(kind: str, held: list[str], starts: str, line: str) -> bool:
    """Whether a line belongs to the block of this kind that holds these lines already."""
    if kind == "equation":
        return "\n".join(held).count("$$") < 2
    if kind == "heading" or not line.strip():
        return False
    return starts == kind if kind == "table" else starts in ("paragraph", kind)


def sentences(text: str) -> list[str]:
    """A paragraph's sentences; a full stop inside a formula or code, or after "et al", ends none."""
    kept: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\x00{len(kept) - 1}\x00"

    plain = FORMULA.sub(put_aside, " ".join(text.split()))

    def restored(part: str) -> str:
        return re.sub(r"\x00(\d+)\x00", lambda found: kept[int(found[1])], part)

    return [restored(part) for part in re.split(r"(?:(?<=[.!?])|(?<=[.!?]\*\*))\s+(?=[A-Z\x00*(])", plain)]


def gist(paragraph: str) -> str:
    """What a slide keeps of a paragraph: the sentences with bold words, else the first ones."""
    label = re.match(r"\*\*[^*]+[.:?]\*\* ", paragraph)
    said = sentences(paragraph[label.end() :] if label else paragraph)
    bold = [one for one in said if "**" in one][:2]
    if bold:
        kept = bold
    else:
        count = next((k for k in range(1, len(said)) if len(" ".join(said[:k]).split()) >= ENOUGH), len(said))
        kept = said[:count]
    if said[-1].endswith(":") and said[-1] not in kept and len(said[-1].split()) < 2 * ENOUGH:
        kept = [*kept, said[-1]]  # it leads to what stands below
    return (label[0] if label else "") + " ".join(kept)


def stacked(equation: str) -> str:
    """An equation, its parts below one another where they would be too wide beside one another."""
    body = equation.strip().strip("$").strip()
    pieces = re.split(r"\\qquad|\\quad", body)
    if visible(f"${body}$") < 58 or any(piece.count("{") != piece.count("}") for piece in pieces):
        return equation
    return "\n\n".join(f"$${piece.strip().rstrip(',')}$$" for piece in pieces if visible(piece.strip()))


def visible(text: str) -> int:
    """About how many characters of a text a reader sees."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = FORMULA.sub(lambda found: re.sub(r"\\[a-zA-Z]+|[{}^_$`\\]", "", found[0]) + "xx", text)
    return len(re.sub(r"[*#]", "", text))


def lines(block: Block, wide: int) -> float:
    """About how many lines a block fills, where a line holds `wide` characters."""
    if block.kind == "table":
        rows = [line.strip("|").split("|") for line in block.text.splitlines() if not re.fullmatch(r"[|\s:-]+", line)]
        room = wide / max(len(row) for row in rows)
        return sum(max(-(-visible(cell) // room) for cell in row) for row in rows) * 0.95 + 0.5
    if block.kind == "equation":
        return (3.4 if "matrix" in block.text else 2.1) * max(1, block.text.count("$$") // 2)
    items = re.split(r"\n(?=(?:-|\d+\.) )", block.text) if block.kind == "list" else [block.text]
    return sum(-(-visible(item) // wide) + 0.15 for item in items) + 0.35
