"""Slides from the lessons: `python tools/slides.py FOLDER` writes a deck a lesson, and an index, into FOLDER.

A deck follows its notebook: one idea a slide. A heading begins an idea; of a paragraph the slide keeps its gist, and
the speaker's notes keep all of it. Predictions become questions, whose answers appear on the next key; a picture has a
slide, printed numbers too; code is folded. At the end stand the lesson's questions for the room and its summary.
What no rule can know, such as which cells a deck leaves out, stands in docs/teaching/slides.toml.

tests/site/test_slides.py looks at every slide in a browser.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from icrl_teach.standing import Part, parts
from icrl_teach.web.explorer import page_text
from markup import with_mathml
from questions import questions
from slide_text import Block, blocks, gist, lines, stacked

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "tools" / "slides"
REVEAL = HERE / "node_modules" / "reveal.js"
SHIPPED = ("LICENSE", "dist/reveal.js", "dist/reveal.css", "dist/plugin/notes.js")
TEACHING = ROOT / "docs" / "teaching"
SETTINGS = TEACHING / "slides.toml"

LINES, WIDE = 13.0, 72  # what a slide of text holds: lines, and characters in one
TABLE_WIDE, NUMBER_LINES, CAPTION_LINES, COLUMNS = 96, 18, 3, 88
MINUTES = {"title": 1, "idea": 0.75, "predict": 1.5, "picture": 1, "numbers": 0.75, "clicker": 1.5, "explorer": 3}
NEW_LINE, ONE_LINE = "\n", 50  # characters of a title that stand in one line
ENDS = ("Check yourself", "Where the paper says it", "Where this stands", "How to use it", "The map")


@dataclass
class Slide:
    """One slide: its kind (a key of MINUTES), its title (Markdown), its body (HTML), the speaker's notes (Markdown)."""

    kind: str
    title: str
    body: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    said: float = 0.0  # lines of text above a picture or numbers

    @property
    def minutes(self) -> float:
        """What it takes in class."""
        return MINUTES[self.kind]


class Deck:
    """The slides of one lesson, built cell by cell."""

    def __init__(self, part: Part, notebook: NotebookNode, settings: dict[str, list[str]]) -> None:
        self.part, self.cells, self.settings = part, notebook.cells, settings
        self.slides: list[Slide] = []
        self.title, self.room = "", 0.0  # of the idea that is being told: its title, and lines left on its slide
        self.skipping = False
        self.asked: dict[str, Slide] = {}  # variable of the notebook -> the slide that asks

    def build(self) -> list[Slide]:
        """All slides, in order."""
        self._opening(self.cells[0].source)
        for cell in self.cells[1:]:
            if cell.id in self.settings.get("skip", []) or cell.id == "setup":
                continue
            if cell.cell_type == "markdown":
                self._text(cell.source)
            elif not self.skipping:
                self._code(cell)
            if cell.id in self.settings.get("explorer", []):
                self._explorer()
        self._clickers()
        return self.slides

    def _opening(self, source: str) -> None:
        heading, question, *rest = blocks(source)
        slide = Slide(
            "title", heading.text.lstrip("# "), [in_html(gist(question.text))], [source.split(NEW_LINE, 1)[1]]
        )
        board = re.search(
            r"## On the board\n\n(.*?)\n\n##", (TEACHING / f"lesson-{self.part.number}.md").read_text(), re.S
        )
        slide.notes.append(f"**On the board**\n\n{board[1]}" if board else "")
        goals = next((block for block in rest if block.kind == "list"), None)
        if goals:
            slide.body.append(f"<div class='goals'><p>Afterwards you can</p>{in_html(goals.text)}</div>")
        self.slides.append(slide)
        self.room = 0.0

    def _text(self, source: str) -> None:
        """The gist of a text; a question with a folded answer becomes a slide that asks."""
        told = [*blocks(source)]
        for place, block in enumerate(told):
            follows = told[place + 1] if place + 1 < len(told) else None
            if block.kind == "heading":
                self._heading(block.text)
            elif self.skipping or block.kind == "folded":
                continue
            elif follows and follows.kind == "folded" and follows.summary.startswith("Answer"):
                self._question(block.text, follows.text)
            elif block.kind == "list" and self.title == "In five lines":
                self.slides.append(Slide("idea", self.title, [in_html(block.text)], []))
            elif self.title != "In five lines":
                self._say(block)

    def _heading(self, text: str) -> None:
        self.title = re.sub(r"^[#\d. ]+", "", text)
        self.skipping, self.room = self.title in (*ENDS, *self.settings.get("leave", [])), 0.0

    def _say(self, block: Block) -> None:
        """Put a block on the slide that is being written, or on a new one if it is full."""
        shorten = {"paragraph": gist, "equation": stacked}.get(block.kind, str)
        short = Block(block.kind, shorten(block.text))
        need = lines(short, TABLE_WIDE if block.kind == "table" else WIDE)
        if need > LINES or block.text.startswith("("):  # an aside in brackets is for the notes
            return self._note(block.text)
        if need > self.room:
            self.slides.append(Slide("idea", self.title))
            self.room = LINES
        self.slides[-1].body.append(in_html(short.text))
        self._note(block.text)
        self.room -= need
        return None

    def _note(self, text: str) -> None:
        self.slides[-1].notes.append(text)

    def _own(self, slide: Slide, need: float = LINES) -> Slide:
        """Add a slide; one that needs few lines takes over what was just said, if that is little as well."""
        last, used = self.slides[-1], LINES - self.room
        if last.kind == "idea" and self.room and last.title == slide.title and used + need <= LINES:
            slide.body, slide.notes = [*last.body, *slide.body], [*last.notes, *slide.notes]
            slide.said = used
            self.slides.pop()
        self.slides.append(slide)
        self.room = 0.0
        return slide

    def _question(self, text: str, answer: str) -> None:
        question = re.sub(r"^\*\*Predict[^*]*\*\*:?\s*", "", text)
        question = question[:1].upper() + question[1:]
        asked, said = (part if lines(Block("list", part), WIDE) < 6.5 else gist(part) for part in (question, answer))
        body = [in_html(asked), f"<div class='fragment'>{in_html(said)}</div>"]
        self._own(Slide("predict", "Predict", body, [answer]))

    def _code(self, cell: NotebookNode) -> None:
        """What a cell asks, prints and draws; its code folded."""
        names = iter(re.findall(r"^(\w+) = predict\(", cell.source, re.M))
        printed, pictures = "", []
        for output in cell.outputs:
            data = output.get("data", {})
            text, page = ("".join(data.get(kind, "")) for kind in ("text/plain", "text/html"))
            if text.startswith("Predict: "):
                self.asked[next(names, "")] = self._own(asking(text))
            elif panels := re.findall(r"<img [^>]*>", page):
                pictures.append(joined(panels))
            elif "<table" in page and page.count("<tr") < NUMBER_LINES - 3:
                pictures.append(re.sub(r"<style.*?</style>", "", page, flags=re.S))
            elif output.output_type == "stream":
                printed += output.text
        self._answers(cell.source, printed)
        printed = re.sub(r"^Answer: .*\n?", "", printed, flags=re.M).strip("\n")
        self._show(cell, printed, pictures)

    def _answers(self, source: str, printed: str) -> None:
        said = re.findall(r"^Answer: (.*?)\. No prediction was made", printed, re.M)
        for name, answer in zip(re.findall(r"^\s*(\w+)\.answer\(", source, re.M), said, strict=False):
            if name in self.asked:
                self.asked[name].body.append(f"<p class='fragment answer'>{html.escape(answer)}</p>")

    def _show(self, cell: NotebookNode, printed: str, pictures: list[str]) -> None:
        code = f"<details class='code'><summary>code</summary><pre>{html.escape(cell.source)}</pre></details>"
        rows = printed.splitlines()
        for place, picture in enumerate(pictures):
            few = 0 < len(rows) <= CAPTION_LINES and place == len(pictures) - 1
            under = f"<pre class='caption'>{html.escape(printed)}</pre>" if few else ""
            figure = f"<figure style='--caption: {len(rows) if few else 0}'>{picture}{under}</figure>"
            slide = self._own(Slide("picture", self.title, [figure, code]), need=9.5)
            slide.notes.append(f"```\n{printed}\n```")
        if rows and not pictures:
            self._numbers(printed, code)

    def _numbers(self, printed: str, code: str) -> None:
        rows, need = wrapped(printed), 0.8 * len(wrapped(printed)) + 0.5
        told = self.slides[-1].kind == "idea" and self.room >= need
        if len(rows) > NUMBER_LINES or (len(rows) < 3 and not told):
            return self._note(f"```\n{printed}\n```")
        shown = f"<pre style='{fitting(rows)}'>{html.escape(NEW_LINE.join(rows))}</pre>"
        self._own(Slide("numbers", self.title, [shown, code]), need)
        return None

    def _explorer(self) -> None:
        frame = '<iframe data-src="explorer.html" title="The Explorer" tabindex="0"></iframe>'
        self._own(Slide("explorer", "The Explorer", [frame], ["Draw a lake, scrub the layers, break one part."]))

    def _clickers(self) -> None:
        """The lesson's questions for the room, before its summary."""
        last = next((k for k, slide in enumerate(self.slides) if slide.title == "In five lines"), len(self.slides))
        for one in reversed([q for q in questions() if q.lesson == self.part.number and q.options]):
            options = "".join(f"<li>{in_html(option)}</li>" for option in one.options)
            answer = f"<div class='fragment'><b>{'ABCDEF'[int(one.answer)]}.</b> {in_html(one.why)}</div>"
            body = [in_html(one.text), f"<ol class='options'>{options}</ol>", answer]
            self.slides.insert(last, Slide("clicker", "For the room", body, [one.why]))


def in_html(text: str) -> str:
    """Markdown as HTML without its links, which lead to files that do not stand beside a deck."""
    return with_mathml(re.sub(r"(?<!!)\[([^\]]+)\]\([^)]*\)", r"\1", text))


def asking(text: str) -> Slide:
    """The slide of a prediction, from what its cell printed."""
    asked = " ".join(text.split("\n(Where no field")[0].removeprefix("Predict: ").split())
    found = re.fullmatch(r"(.*\S) \(([^()]* / [^()]*)\)", asked)
    question, options = (found[1], found[2].split(" / ")) if found else (asked, [])
    listed = "".join(f"<li>{html.escape(option)}</li>" for option in options)
    body = [f"<p>{html.escape(question)}</p>", f"<ol class='options'>{listed}</ol>" if listed else ""]
    return Slide("predict", "Predict", body)


def joined(images: list[str]) -> str:
    """A picture whose size deck.css says; its panels, if it has more than one, side by side in one scale."""
    bare = [re.sub(r' (?:style|width|height|class)="[^"]*"', "", image) for image in images]
    if len(images) == 1:
        return bare[0]
    widths = [int(re.search(r' width="(\d+)"', image)[1]) for image in images]
    shares = [f"<img style='max-width: {100 * width / sum(widths):.3f}%'" for width in widths]
    panels = [image.replace("<img", share, 1) for image, share in zip(bare, shares, strict=True)]
    return f"<div class='panels'>{''.join(panels)}</div>"


def wrapped(printed: str) -> list[str]:
    """Printed lines, those that are too wide for a slide broken into several."""
    return [
        part for row in printed.splitlines() for part in textwrap.wrap(row, COLUMNS, subsequent_indent="    ") or [""]
    ]


def fitting(rows: list[str]) -> str:
    """The size of letters at which printed lines fill a slide and no more."""
    size = min(26, 1180 / (0.61 * max(map(len, rows))), 500 / (1.35 * len(rows)))
    return f"font-size: {size:.1f}px"


def decks() -> Iterator[tuple[Part, list[Slide]]]:
    """Each lesson with its slides, in the order of reading."""
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    for part in parts():
        notebook = nbformat.read(ROOT / "lessons" / part.lesson, as_version=4)
        yield part, Deck(part, notebook, settings.get(part.number, {})).build()


def section(slide: Slide) -> str:
    """A slide as reveal.js reads it."""
    notes = in_html("\n\n".join(filter(None, slide.notes)))
    tag = "h1" if slide.kind == "title" else "h2"
    title = re.sub(r"^<p>(.*)</p>$", r"\1", in_html(slide.title))
    body = glued("\n".join(filter(None, slide.body)))
    letters = min(1.0, ONE_LINE / len(slide.title)) if tag == "h2" else 1.0
    said = f' style="--said: {slide.said:.1f}; --title: {letters:.2f}"'
    aside = f'<aside class="notes">{notes}</aside>'
    return f'<section class="{slide.kind}"{said}><{tag}>{title}</{tag}>\n{body}\n{aside}</section>'


def glued(body: str) -> str:
    """No line ends between a formula and the full stop or comma behind it."""
    return re.sub(
        r"(<math(?:(?!</math>).)*</math>)((?:'s|[.,;:?!)])+)", r"<span class='one'>\1\2</span>", body, flags=re.S
    )


def page(part: Part, slides: list[Slide]) -> str:
    """A deck as a page, which reads nothing but files beside it."""
    template = (HERE / "deck.html").read_text(encoding="utf-8")
    title = html.escape(f"{part.number} · {part.title}")
    return template.replace("{{title}}", title).replace("{{slides}}", "\n".join(map(section, slides)))


def write(folder: Path) -> None:
    """All decks, the Explorer, reveal.js and an index, into `folder`."""
    if not REVEAL.is_dir():
        sys.exit("reveal.js is not here: npm ci --prefix tools/slides (make slides does it)")
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHIPPED:
        (folder / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REVEAL / name, folder / "reveal" / name)
    shutil.copy2(HERE / "deck.css", folder / "deck.css")
    (folder / "explorer.html").write_text(page_text(), encoding="utf-8")
    rows = []
    for part, slides in decks():
        name = f"{Path(part.lesson).stem}.html"
        (folder / name).write_text(page(part, slides), encoding="utf-8")
        minutes = round(sum(slide.minutes for slide in slides))
        told = f"{len(slides)} slides, {minutes} minutes"
        rows.append(f'<li><a href="{name}">{part.number} {html.escape(part.title)}</a>: {told}</li>')
    index = (HERE / "index.html").read_text(encoding="utf-8").replace("{{decks}}", "\n".join(rows))
    (folder / "index.html").write_text(index, encoding="utf-8")
    print(*(re.sub(r"<.*?>", "", row) for row in rows), sep="\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "slides")
