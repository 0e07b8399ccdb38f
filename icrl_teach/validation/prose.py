"""Guards on the words: links that lead somewhere, numbers that a cell prints, pictures that say what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote

from icrl_teach.validation import documents
from icrl_teach.validation.documents import PICTURES, Document, code_cells, prose, without_code
from icrl_teach.validation.findings import Finding

NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
# A number after one of these words is a name, not a result.
NAMED = (
    r"(?i:arXiv:?|sections?|chapters?|sec\.|eqs?\.|equations?|assumption|theorem|lemma|app\.|appendix|exercises?"
    r"|lessons?|python|version|figures?|fig\.|tables?|part|step|v\.?)"
)
HOMES = "root|home|tmp|Users|mnt|private"  # where files of one person lie, and no server has its pages
NUMBERING = rf"\b{NAMED}\s*[\d.]+(?:\s*(?:,|and|to|or|[-–])\s*[\d.]+)*"


def numbers_are_printed(document: Document) -> Iterator[Finding]:
    """Every decimal number in prose also stands in the source or the output of a code cell."""
    cells = [cell for _, cell in code_cells(document.notebook)]
    said = [text for cell in cells for output in cell.outputs for text in documents.words(output).values()]
    material = "\n".join([cell.source for cell in cells] + said)
    known = {abs(float(number)) for number in re.findall(NUMBER, material)}
    for index, cell in enumerate(document.notebook.cells):
        if cell.cell_type != "markdown":
            continue
        for number in dict.fromkeys(decimals(cell.source)):
            if abs(float(number)) not in known:
                message = f"the prose says {number}, which no cell holds or prints"
                yield document.finding("prose-number", message, index, fix="print it, or correct the prose")


def decimals(markdown: str) -> list[str]:
    """The decimal numbers that a piece of prose states; links, code, headings' numbers and references apart.

    >>> decimals("The error is 0.12 (section 9.3), or $3 \\\\times 10^{-4}$; see [1.5](x).")
    ['0.12', '3e-4']
    """
    text = re.sub(
        r"\[[^\]]*\]\([^)]*\)|https?://\S+", lambda m: re.sub(r"\]\(.*|\d\.\d", " ", m[0], flags=re.DOTALL), markdown
    )
    text = re.sub(r"^#+\s*\d+(?:\.\d+)*\.?\s", " ", text, flags=re.MULTILINE)
    text = re.sub(NUMBERING, " ", text)
    text = re.sub(r"(?<!\s)\s*\\times\s*10\^\{?(-?\d+)\}?", r"e\1", text)
    return [n for n in re.findall(NUMBER + r"(?!\.\d|\w)", text.replace(" e-", "e-")) if re.search(r"[.eE]", n)]


class _Tags(HTMLParser):
    """The tags of a piece of HTML that matter here: pictures, links, anchors, titles of drawings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[dict[str, str]] = []
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.drawings = self.described = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "img":
            self.pictures.append(values)
        if tag in ("img", "source", "video", "audio") and values.get("src"):
            self.targets.append(values["src"])
        if tag == "a" and values.get("href"):
            self.targets.append(values["href"])
        if tag == "svg":
            self.drawings += 1
            self.described += bool(values.get("aria-label") or values.get("aria-hidden") == "true")
        if tag in ("title", "desc") and self.drawings > self.described:
            self.described += 1

    handle_startendtag = handle_starttag


def links_lead_somewhere(document: Document) -> Iterator[Finding]:
    """A relative link names a file that is there, an anchor of the same notebook, or an attachment of its cell."""
    anchors = _anchors(document)
    for index, cell in enumerate(document.notebook.cells):
        if cell.cell_type != "markdown":
            continue
        for target in dict.fromkeys(targets(cell.source)):
            if problem := _problem(document, cell, target, anchors):
                yield document.finding(
                    "dead-link", f"links to {target[:120]}, {problem}", index, fix="correct the link"
                )


def targets(markdown: str) -> list[str]:
    """The targets of the links and pictures in Markdown and its HTML.

    >>> targets("[a](b.md 'title') ![c](<d e.png>) <a href='f'>g</a> `[no](link)` $x[i](y)$")
    ['b.md', 'd e.png', 'f']
    """
    text = without_code(markdown)
    text = re.sub(r"\$\$.*?\$\$|(?<![\\$])\$[^$\n]+\$", " ", text, flags=re.DOTALL)
    found = re.findall(r"\]\(\s*(?:<([^>\n]*)>|((?:[^()\s]|\([^()\s]*\))+))(?:\s+[\"'(][^)]*)?\s*\)", text)
    defined = re.findall(r"^\s{0,3}\[[^\]^]+\]:\s+<?([^\s>]+)", text, re.MULTILINE)
    return [a or b for a, b in found] + defined + _Tags(text).targets


def _problem(document: Document, cell, target: str, anchors: set[str]) -> str:
    if target.startswith("#"):
        return "" if _slug(unquote(target[1:])) in anchors else "an anchor that is not in this notebook"
    if target.startswith("attachment:"):
        return (
            "" if unquote(target[11:]) in cell.get("attachments", {}) else "an attachment that the cell does not hold"
        )
    if re.match(rf"file:|[A-Za-z]:[/\\]|/(?:{HOMES})/", target, re.IGNORECASE):
        return "a path of one machine"
    if re.match(r"[A-Za-z][\w+.-]*:|//|/|\{", target):  # another scheme, host or server root, or a template
        return ""
    name = unquote(re.split(r"[#?]", target)[0])
    try:
        return "" if not name or (document.path.parent / name).exists() else "which is not there"
    except (OSError, ValueError):
        return "which no file system can hold"


def _anchors(document: Document) -> set[str]:
    text = prose(document.notebook)
    headings = re.findall(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$", without_code(text) + "\n" + text, re.MULTILINE)
    headings += re.findall(r"^(.+)\n(?:=+|-+)\s*$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)|<[^>]*>|[*_`]", r"\1", heading) for heading in headings]
    said = [
        t for _, _, output in documents.outputs(document.notebook) for t in documents.texts(output).values() if "<" in t
    ]
    ids = set().union(_Tags(text).anchors, *(_Tags(html).anchors for html in said[:50]))
    return {_slug(name) for name in [*plain, *headings, *ids, *re.findall(r"^\(([\w-]+)\)=", text, re.MULTILINE)]} | {
        "",
        "top",
    }


def _slug(heading: str) -> str:
    """One form for what JupyterLab, nbconvert and GitHub each make of a heading."""
    return re.sub(r"[\W_]+", "-", heading.lower()).strip("-")


def alternative_texts(output) -> list[str]:
    """The alternative text of each picture in an output's HTML; empty where it is missing."""
    html = documents.joined(output.get("data", {}).get("text/html", ""))
    return [tag.get("alt", "") for tag in _Tags(html).pictures] if "<img" in html else []


def pictures_have_text(document: Document) -> Iterator[Finding]:
    """Every picture, stored or in the prose, says what it shows where a screen reader meets it."""
    fewest = 2 if document.profile == "own" else 5
    for index, cell in enumerate(document.notebook.cells):
        complaints = _in_prose(cell.source) if cell.cell_type == "markdown" else _in_outputs(cell, fewest)
        for rule, message in dict.fromkeys(complaints):
            fix = 'display HTML(\'<img alt="…" src="…">\'), or give the SVG a <title>'
            yield document.finding(rule, message, index, fix=fix if cell.cell_type == "code" else "say what it shows")


def _in_prose(source: str) -> Iterator[tuple[str, str]]:
    text = without_code(source)
    pictures = [(alt, target) for alt, target in re.findall(r"!\[([^\]]*)\]\(\s*<?([^\s)>]+)", text)]
    pictures += [(tag.get("alt", ""), tag.get("src", "")) for tag in _Tags(text).pictures]
    for alt, target in pictures:
        shown = target.split(",")[0][:60]
        if not alt.strip():
            yield "alt-text", f"picture {shown} without alternative text"
        elif re.fullmatch(r"\S+\.(?:png|jpe?g|gif|svg|webp)", alt.strip(), re.IGNORECASE):
            yield "alt-text", f"picture {shown}: its alternative text is a file's name"


def _in_outputs(cell, fewest: int) -> Iterator[tuple[str, str]]:
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        html = _Tags(documents.joined(data.get("text/html", "")))
        kinds = [kind for kind in (*PICTURES, "image/svg+xml") if kind in data]
        svg = _Tags(documents.joined(data.get("image/svg+xml", "")))
        missing = [tag for tag in html.pictures if len(tag.get("alt", "").split()) < fewest]
        if missing or html.drawings > html.described or (not html.pictures and not html.drawings and _bare(kinds, svg)):
            alts = [output.metadata.get(kind, {}).get("alt", "") for kind in kinds] + [output.metadata.get("alt", "")]
            if kinds and max(len(str(alt).split()) for alt in alts) >= fewest:
                yield "alt-text-unseen", "alternative text stands in the output's metadata, which no page shows"
            else:
                yield "alt-text", f"shows a picture without alternative text of {fewest} words or more"


def _bare(kinds: list[str], svg: _Tags) -> bool:
    return bool(kinds) and not (kinds == ["image/svg+xml"] and svg.described)


GUARDS = (numbers_are_printed, links_lead_somewhere, pictures_have_text)
