"""Citations: where a lesson or the mathematics names a work of references.bib, a link to the bibliography follows.

The notebooks themselves stay plain: the field `named` of an entry says how the course names that work, and the first
such place of a cell, or of a document's paragraph, gets the link.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

BIBLIOGRAPHY = Path(__file__).resolve().parents[1] / "references.bib"


@cache
def named() -> dict[str, str]:
    """The key of each work, by how the course names it."""
    entries = re.findall(r"^@\w+\{(\w+),.*\bnamed = \{([^}]+)\}\}$", BIBLIOGRAPHY.read_text("utf-8"), re.MULTILINE)
    return {name: key for key, name in entries}


def cited(markdown: str) -> str:
    """The text with its citations: each work once."""
    for name, key in named().items():
        spaced = re.escape(name).replace(r"\ ", r"\s+")
        pattern = re.compile(rf"(?<!\w){spaced}(?!\w)")
        markdown = pattern.sub(lambda found, key=key: f"{found[0]} {{cite}}`{key}`", markdown, count=1)
    return markdown
