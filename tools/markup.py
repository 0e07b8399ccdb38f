"""Markdown with formulas between dollar signs, as HTML; the formulas as TeX or as MathML."""

from __future__ import annotations

import html
import re

import mistune
from latex2mathml.converter import convert

as_html = mistune.create_markdown(plugins=["math", "table"])
FORMULA = re.compile(r'<(span|div) class="math">(?:\\\(|\$\$)(.*?)(?:\\\)|\$\$)</\1>', re.S)


def with_mathml(text: str) -> str:
    """Markdown as well-formed HTML, its formulas as MathML: shown by a browser without any script."""
    return FORMULA.sub(_mathml, as_html(text)).strip()


# What the converter does not know; and a prime is raised by its own shape, a raised one would be too small to see.
INSTEAD = {r"\|": "\N{DOUBLE VERTICAL LINE}", "'": "\N{PRIME}"}


def _mathml(found: re.Match[str]) -> str:
    tex = html.unescape(found[2]).strip()
    for written, used in INSTEAD.items():
        tex = tex.replace(written, used)
    return convert(tex, display="block" if found[1] == "div" else "inline")
