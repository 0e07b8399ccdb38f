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


def _mathml(found: re.Match[str]) -> str:
    display = "block" if found[1] == "div" else "inline"
    tex = html.unescape(found[2]).strip().replace(r"\|", "‖")  # which the converter does not know
    return convert(tex, display=display)
