"""One HTML page that needs nothing else: the table, then every finding with its cell, diff and pictures."""

from __future__ import annotations

from html import escape

from icrl_teach.validation import pictures
from icrl_teach.validation.engine import Outcome, Report
from icrl_teach.validation.findings import RULES, Finding, PictureChange
from icrl_teach.validation.terminal import summary

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } th, td { padding: .3rem .6rem; border-bottom: 1px solid #8886 }
th { text-align: left } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
article { border-left: .4rem solid #b3261e; padding: .1rem 1rem; margin: 1rem 0 }
article.warning { border-color: #b58900 } .clean { opacity: .75 }
pre { overflow: auto; padding: .6rem; background: #8881; max-height: 24rem }
figure { display: inline-block; margin: .4rem; max-width: 31%; vertical-align: top }
figure img { max-width: 100%; background: #fff; border: 1px solid #8886 }
.both { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem }
h3, code { overflow-wrap: anywhere }
@media (max-width: 50rem) { .both { display: block } }
"""


def page(report: Report) -> str:
    """The report as HTML without scripts, fonts or pictures from elsewhere."""
    counted, closing = summary(report).splitlines()
    settings = report.settings
    rows = "".join(_row(outcome) for outcome in report.outcomes)
    heads = ("notebook", "profile"), ("cells", "compared", "ignored", "pictures", "seconds", "MB", "findings")
    head = "".join(f"<th>{h}</th>" for h in heads[0]) + "".join(f'<th class="n">{h}</th>' for h in heads[1])
    body = "".join(_notebook(outcome) for outcome in report.outcomes if outcome.findings or outcome.cells)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Notebooks: {escape(closing)}</title><style>{STYLE}</style></head><body>
<h1>Notebooks: {escape(closing)}</h1>
<p>{escape(counted)}</p>
<p>Pictures are compared by the {escape(pictures.MEASURE)}; up to {settings.picture_tolerance:g} % is the same.
A cell may take {settings.cell_timeout:g} s, a kernel {settings.memory_limit:,.0f} MB.
Cells are counted from 0 over all cells of a notebook.</p>
<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>
{body}
</body></html>
"""


def _row(outcome: Outcome) -> str:
    ran = outcome.ran > 0
    numbers = [
        outcome.code_cells, outcome.compared, len(outcome.ignored) + outcome.skipped, outcome.pictures,
        f"{outcome.seconds:.1f}" if ran else "-", f"{outcome.megabytes:.0f}" if ran else "-", len(outcome.findings),
    ]  # fmt: skip
    cells = "".join(f'<td class="n">{number}</td>' for number in numbers)
    name = escape(outcome.name)
    link = f'<a href="#{name}">{name}</a>' if outcome.findings or outcome.cells else name
    return f'<tr class="{"" if outcome.findings else "clean"}"><td>{link}</td><td>{outcome.profile}</td>{cells}</tr>'


def _notebook(outcome: Outcome) -> str:
    name = escape(outcome.name)
    found = "".join(_finding(finding) for finding in outcome.findings) or "<p>No findings.</p>"
    ignored = "".join(f"<li>cell {cell}: output ignored, {escape(reason)}</li>" for cell, reason in outcome.ignored)
    slow = "".join(
        f'<tr><td>cell {i} ({escape(outcome.cell_ids.get(i, ""))})</td><td class="n">{cell.seconds:.2f}</td>'
        f'<td class="n">{cell.megabytes:.0f}</td></tr>'
        for i, cell in sorted(outcome.cells.items())
    )
    times = (
        "<details><summary>Time and peak memory of each cell</summary><table>"
        f'<tr><th>cell</th><th class="n">seconds</th><th class="n">MB</th></tr>{slow}</table></details>'
    )
    return f'<h2 id="{name}">{name}</h2>{found}{f"<ul>{ignored}</ul>" if ignored else ""}{times if slow else ""}'


def _finding(finding: Finding) -> str:
    parts = [f"<h3>{escape(finding.where())}: {escape(finding.message)}</h3>"]
    parts.append(f"<p>{finding.level}, rule <code>{finding.rule}</code>: {escape(RULES[finding.rule].title)}.</p>")
    if finding.fix:
        parts.append(f"<p>Fix: <code>{escape(finding.fix)}</code></p>")
    source = f"<div><h4>The cell</h4><pre>{escape(finding.source[:4000])}</pre></div>" if finding.source else ""
    detail = f"<div><h4>What differs</h4><pre>{escape(finding.detail)}</pre></div>" if finding.detail else ""
    if source and detail:
        parts.append(f'<div class="both">{source}{detail}</div>')
    elif source or detail:
        parts.append(f"<details><summary>Cell</summary>{source}{detail}</details>")
    parts += [_pictures(change) for change in finding.pictures]
    return f'<article class="{finding.level}">{"".join(parts)}</article>'


def _pictures(change: PictureChange) -> str:
    names = {"stored": change.old, "now": change.new, "difference (dark where they differ)": change.difference}
    return "<div>" + "".join(
        f'<figure><img src="{escape(uri)}" alt="The picture: {name}"><figcaption>{name}</figcaption></figure>'
        for name, uri in names.items()
        if uri.startswith("data:image/")
    ) + "</div>"  # fmt: skip
