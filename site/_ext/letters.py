"""The letters of the course: a glossary page, and a card for each symbol of a lesson, at hover and at keyboard focus.

Both come from icrl_teach.symbols, so from docs/notation.md. In a lesson or a sheet the first time that a symbol stands
alone in a section, it becomes a link to the glossary and carries its card; cards of other symbols are not on the page.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from icrl_teach.symbols import Letter, plain, table

MARK = "<!-- the letters -->"


def key(latex: str) -> str:
    """One spelling of a formula: no dollars, no spaces that show nothing."""
    return re.sub(r"\s+(?![A-Za-z])|\$", "", latex.strip())


def anchor(symbol: str) -> str:
    """The name of a symbol's place in the glossary."""
    return "letter-" + re.sub(r"[^A-Za-z0-9]+", "-", key(symbol).replace("'", "prime")).strip("-")


@cache
def letters() -> dict[str, list[Letter]]:
    """Every job of each symbol, by its spelling."""
    found: dict[str, list[Letter]] = {}
    for letter in table():
        for symbol in letter.symbols:
            found.setdefault(key(symbol), []).append(letter)
    return found


def glossary(docnames: list[str]) -> str:
    """The table as a list of definitions, in Markdown."""
    lessons = {name.split("/")[1][:2]: name for name in docnames if name.startswith("lessons/")}
    lines, seen = [], set()
    for letter in table():
        names = [anchor(symbol) for symbol in letter.symbols]
        places = "".join(f'<span id="{name}"></span>' for name in names if not (name in seen or seen.add(name)))
        job = f" ({letter.job})" if letter.job else ""
        code = f" In code: {', '.join(f'`{name}`' for name in letter.code)}." if letter.code else ""
        first = f"[lesson {letter.first}](/{lessons[letter.first]}.ipynb)"
        shape = f" *{letter.shape}.*" if letter.shape else ""
        lines += [
            f"{places}{', '.join(letter.symbols)}{job}",
            f": {letter.meaning}.{shape}{code} First in {first}.",
            "",
        ]
    return "\n".join(lines)


def card(name: str, jobs: list[Letter]) -> str:
    """A symbol's card: plain text, for it shows while the mathematics of the page is being set."""
    lines = "".join(
        f"<p><b>{html.escape(job.name)}</b> {html.escape(plain(job.meaning))}."
        + (f" <i>{html.escape(plain(job.shape))}.</i>" if job.shape else "")
        + (f" In code: {', '.join(f'<code>{html.escape(name)}</code>' for name in job.code)}." if job.code else "")
        + f" Lesson {job.first}.</p>"
        for job in jobs
    )
    return f'<div class="letter-card" id="card-{name}" role="tooltip" popover="manual">{lines}</div>'


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx's event source-read: the glossary's page."""
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, glossary(sorted(app.env.found_docs)))


def link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Sphinx's event doctree-resolved: each section's first mention of a symbol."""
    if app.builder.format != "html" or not docname.startswith(("lessons/", "exercises/")):
        return
    here, used = app.builder.get_relative_uri(docname, "glossary"), {}
    done: set[tuple[int, str]] = set()
    for formula in list(doctree.findall(nodes.math)):
        spelling, section = key(formula.astext()), _section(formula)
        if spelling not in letters() or section is None or (id(section), spelling) in done:
            continue
        done.add((id(section), spelling))
        name = anchor(spelling)
        used[name] = letters()[spelling]
        spoken = html.escape(plain(spelling), quote=True)
        opening = f'<a class="letter" href="{here}#{name}" aria-label="{spoken}" aria-describedby="card-{name}">'
        formula.replace_self([nodes.raw("", opening, format="html"), formula, nodes.raw("", "</a>", format="html")])
    doctree += nodes.raw("", "".join(card(name, jobs) for name, jobs in used.items()), format="html")


def _section(node: nodes.Node) -> nodes.section | None:
    """The section of a formula that may become a link: not in a heading, and not in a link already."""
    while node is not None and not isinstance(node, nodes.section):
        if isinstance(node, nodes.title | nodes.reference | nodes.raw):
            return None
        node = node.parent
    return node


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's door."""
    app.connect("source-read", read)
    app.connect("doctree-resolved", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
