"""A page for each learner and sheet: what is right, what is not, the hint of the check. Static, and theirs alone."""

from __future__ import annotations

from collections.abc import Iterable

from icrl_teach._progress import Tick, no_tick
from icrl_teach.classroom import gradebook
from icrl_teach.classroom.folder import ClassFolder, Sheet, write_if_new
from icrl_teach.classroom.grade import NO_MARK, Kept, all_kept
from icrl_teach.classroom.roster import ROSTER, read_roster
from icrl_teach.grading.marks import Mark

WORDS = {
    "ok": ("✓", "right"),
    "wrong": ("✗", "not yet"),
    "unwritten": ("○", "not written yet"),
    "timeout": ("!", "took too long"),
    "died": ("!", "stopped by itself"),
    "unreadable": ("?", "could not be read; your teacher looks at it"),
    "tampered": ("?", "your teacher looks at it"),
}
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}: {{ name }}</title>
<style>
:root { color-scheme: light dark; --ok: #006747; --no: #9a3412; --line: #767676; }
@media (prefers-color-scheme: dark) { :root { --ok: #5fd0a5; --no: #f2a27c; --line: #9a9a9a; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
body { overflow-wrap: anywhere; }
section { border-top: 1px solid var(--line); padding: .5rem 0 1rem; }
h2 { font-size: 1.1rem; margin: .5rem 0; }
.ok { color: var(--ok); } .other { color: var(--no); }
.verdict { font-weight: 600; margin: 0; }
pre { white-space: pre-wrap; font: inherit; margin: .5rem 0 0; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p>{{ name }}: {{ points }} of {{ out_of }} points</p>
{% for one in exercises %}
<section>
<h2>{{ one.heading }}</h2>
<p class="verdict {{ one.kind }}">
<span aria-hidden="true">{{ one.sign }}</span>
{{ one.words }}: {{ one.points }} of {{ one.out_of }}</p>
{% if one.reason %}<pre>{{ one.reason }}</pre>{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""


def page(sheet: Sheet, name: str, found: Kept, by_hand: dict[str, float]) -> str:
    """The page of one learner, everything escaped. by_hand: marks that replace ours, by grade_id."""
    from jinja2 import Environment

    exercises = [_exercise(sheet, mark, found.grade_ids[mark.exercise], by_hand) for mark in found.marks.marks]
    points = sum(by_hand.get(found.grade_ids[mark.exercise], mark.points) for mark in found.marks.marks)
    told = {"points": f"{points:g}", "out_of": f"{found.marks.out_of:g}", "exercises": exercises}
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    return template.render(title=sheet.title, name=name, **told) + "\n"


def _exercise(sheet: Sheet, mark: Mark, grade_id: str, by_hand: dict[str, float]) -> dict[str, str]:
    sign, words = WORDS[mark.status]
    points = "no mark" if mark.status in NO_MARK else f"{mark.points:g}"
    if grade_id in by_hand:
        sign, words, points = "✎", "marked by hand", f"{by_hand[grade_id]:g}"
    told = {"sign": sign, "words": words, "points": points, "out_of": f"{mark.out_of:g}", "reason": mark.reason}
    return told | {"heading": sheet.headings.get(grade_id) or mark.exercise, "kind": "ok" if sign == "✓" else "other"}


def feedback(course: ClassFolder, sheets: Iterable[Sheet], tick: Tick = no_tick) -> list[tuple[str, str]]:
    """Write the page of each graded submission into feedback/STUDENT/SHEET.html; gives those new or changed."""
    names = {one.id: one.name for one in read_roster(course.root / ROSTER)}
    written = []
    with gradebook.gradebook(course) as book:
        for sheet in sheets:
            for found in all_kept(course, sheet):
                student = found.marks.student
                text = page(sheet, names.get(student, student), found, gradebook.by_hand(book, sheet, student))
                if write_if_new(course.page(student, sheet), text.encode()):
                    written.append((student, sheet.name))
                tick(student)
    return written
