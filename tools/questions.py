"""Questions from one source, docs/teaching/questions.toml: the exam, the quiz bank, and what a lesson's page asks.

python tools/questions.py pages           writes clicker questions into the lessons' pages, and the exam's pages
python tools/questions.py quiz [FOLDER]   writes moodle.xml and qti.zip into FOLDER (build/questions)

Every number is computed here, by icrl_teach, from the numbers of a variant: none is typed. The source is ours, and its
expressions are run as Python: give this tool no file of a stranger.
"""

from __future__ import annotations

import random
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

import icrl_teach as icrl
from quiz_formats import Question, moodle_xml, qti_package

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "teaching"
SOURCE = FOLDER / "questions.toml"
POINTS = 5
MINUTES = 60


def questions(source: Path = SOURCE) -> list[Question]:
    """All questions of the source in its order, a numeric one once for each variant.

    Raises KeyError for a question that lacks a part, and what an expression raises.
    """
    stored = tomllib.loads(source.read_text(encoding="utf-8"))["question"]
    return [asked for one in stored for asked in (_choices(one) if one["kind"] == "choice" else _numbers(one))]


def _choices(one: dict[str, Any]) -> list[Question]:
    options = [one["right"], *one["wrong"]]
    random.Random(one["id"]).shuffle(options)  # the same order in every run
    place = options.index(one["right"])
    return [Question(one["id"], one["id"][:2], one["text"], one["why"], tuple(options), place)]


def _numbers(one: dict[str, Any]) -> list[Question]:
    lesson = "exam" if one.get("exam") else one["id"][:2]
    found = []
    for variant, given in one["variants"].items():
        known: dict[str, Any] = {"np": np, "icrl": icrl, "p": _bracketed, **given}
        for name, expression in one["find"].items():
            known[name] = eval(expression, known)
        text, why = (_filled(one[part], known) for part in ("text", "why"))
        found.append(Question(f"{one['id']}-{variant}", lesson, text, why, (), float(known["answer"]), one["within"]))
    return found


def _bracketed(x: float) -> str:
    return f"({x:g})" if x < 0 else f"{x:g}"


def _filled(text: str, known: dict[str, Any]) -> str:
    """`<<expression:format>>` replaced by its value; without a format, as Python prints it."""

    def value(found: re.Match[str]) -> str:
        return format(eval(found[1], dict(known)), found[2] or "")

    return re.sub(r"<<(.+?)(?::([^:\]'>]*))?>>", value, text)


def shown(answer: float, within: float) -> str:
    """A numeric answer with as many digits as are asked for."""
    return f"{answer:.{max(0, round(-np.log10(within)))}f}" if within else f"{answer:g}"


def clickers(lesson: str, asked: list[Question]) -> str:
    """A lesson's questions for the room, in Markdown, each with its answer folded."""
    parts = []
    for number, one in enumerate((q for q in asked if q.lesson == lesson and q.options), start=1):
        letters = "\n".join(f"- {'ABCDEF'[k]}: {option}" for k, option in enumerate(one.options))
        answer = f"<details><summary>Answer</summary>\n\n**{'ABCDEF'[int(one.answer)]}.** {one.why}\n\n</details>"
        parts.append(f"**{number}.** {one.text}\n\n{letters}\n\n{answer}\n")
    return "\n".join(parts)


def with_clickers(page: str, text: str) -> str:
    """A lesson's page with this text as its section of clicker questions, which stands before "What to skip"."""
    page = re.sub(r"^## Clicker questions\n.*?(?=^## )", "", page, flags=re.M | re.S)
    return page.replace("## What to skip\n", f"## Clicker questions\n\n{text}\n## What to skip\n")


def exam(asked: list[Question], solved: bool) -> str:
    """Both variants of the exam in Markdown, with solutions or without."""
    title = "Exam: solutions" if solved else "Exam"
    parts = [f"# {title}\n\nMade from `questions.toml` by `tools/questions.py`: change the numbers there.\n"]
    for variant in "ab":
        its = [one for one in asked if one.lesson == "exam" and one.name.endswith(f"-{variant}")]
        allowed = f"{MINUTES} minutes, {POINTS * len(its)} points, pencil and pocket calculator."
        parts.append(f"## Variant {variant.upper()}\n\n{allowed}\n")
        for number, one in enumerate(its, start=1):
            solution = f"\n\n**{shown(one.answer, one.within)}.** {one.why}" if solved else ""
            parts.append(f"**{number}.** ({POINTS} points) {one.text}{solution}\n")
    return "\n".join(parts)


def write_pages(folder: Path = FOLDER) -> None:
    """Bring the lessons' pages and the exam's up to date with the source."""
    asked = questions()
    for page in sorted(folder.glob("lesson-*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(with_clickers(text, clickers(page.stem[-2:], asked)), encoding="utf-8")
    (folder / "exam-questions.md").write_text(exam(asked, solved=False), encoding="utf-8")
    (folder / "exam-solutions.md").write_text(exam(asked, solved=True), encoding="utf-8")


def write_quiz(folder: Path) -> None:
    """The quiz bank for learning systems; the exam is not in it."""
    bank = [one for one in questions() if one.lesson != "exam"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "moodle.xml").write_text(moodle_xml(bank), encoding="utf-8")
    (folder / "qti.zip").write_bytes(qti_package(bank))
    print(f"{len(bank)} questions: {folder / 'moodle.xml'}, {folder / 'qti.zip'}")


def main(arguments: list[str]) -> None:
    """See the module's docstring."""
    if arguments == ["pages"]:
        write_pages()
    elif arguments[:1] == ["quiz"] and len(arguments) < 3:
        write_quiz(Path(arguments[1]) if len(arguments) == 2 else ROOT / "build" / "questions")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
