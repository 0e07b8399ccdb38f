"""The report in a terminal: findings, one a line, then a table and the counts."""

from __future__ import annotations

from collections import defaultdict

from icrl_teach.validation import budgets, documents
from icrl_teach.validation.engine import Outcome, Report, indented
from icrl_teach.validation.findings import Finding

ALIKE = {"error": 3, "warning": 1}  # findings of one rule in one notebook that are written out; the rest are counted


def findings(report: Report, everything: bool = False) -> str:
    """Every finding in one line; with `everything`, none is summed up, and cell sources and diffs stand below."""
    lines = []
    for outcome in report.outcomes:
        by_rule: dict[str, list[Finding]] = defaultdict(list)
        for finding in outcome.findings:
            by_rule[finding.rule].append(finding)
        for rule, found in by_rule.items():
            shown = found if everything else found[: ALIKE[found[0].level]]
            lines += [_full(f) if everything else f.line() for f in shown]
            if rest := found[len(shown) :]:
                cells = ", ".join(str(f.cell) for f in rest[:12]) + (", …" if len(rest) > 12 else "")
                lines.append(f"{outcome.name}  and {len(rest)} more such ({rule}), cells {cells}: --verbose shows them")
    return "\n".join(lines)


def _full(finding: Finding) -> str:
    parts = [finding.line()]
    if finding.detail:
        parts += ["  the cell:", indented(finding.source), "  stored and now:", indented(finding.detail)]
    return "\n".join(parts)


def table(report: Report, width: int | None = None) -> str:
    """One line a notebook: cells, compared, ignored, pictures, time and memory with their budgets, findings.

    Where a line would be wider than `width`, the names stand on lines of their own.
    """
    rows: list[tuple[str, ...]] = [
        ("notebook", "profile", "cells", "compared", "ignored", "pictures", "seconds", "MB", "findings")
    ]
    rows += [_row(report, outcome) for outcome in report.outcomes]
    lines = _aligned(rows)
    if width is not None and max(map(len, lines)) > width:
        head, *numbers = _aligned([row[1:] for row in rows])
        lines = [head, *(f"{row[0]}\n{line}" for row, line in zip(rows[1:], numbers, strict=True))]
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Each column as wide as its widest cell; words to the left, numbers to the right."""
    words = len(rows[0]) - 7
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(w) if i < words else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _row(report: Report, outcome: Outcome) -> tuple[str, ...]:
    budget = report.settings.budget_of(outcome.path)
    try:
        document = documents.read(outcome.path, outcome.name, outcome.profile, report.settings)
        budget = budgets.of_notebook(document)
    except (documents.Unreadable, ValueError):
        pass  # said among the findings
    seconds = (
        "-" if not outcome.ran else f"{outcome.seconds:.1f}" + (f" of {budget.seconds:g}" if budget.seconds else "")
    )
    memory = (
        "-"
        if not outcome.ran
        else f"{outcome.megabytes:.0f}" + (f" of {budget.megabytes:g}" if budget.megabytes else "")
    )
    counts = (outcome.code_cells, outcome.compared, len(outcome.ignored) + outcome.skipped, outcome.pictures)
    found = str(len(outcome.errors)) + (f" +{n}" if (n := len(outcome.findings) - len(outcome.errors)) else "")
    return (outcome.name, outcome.profile, *map(str, counts), seconds, memory, found)


def summary(report: Report) -> str:
    """What was compared and what was not, then passed and failed checks alone on the last line."""
    outcomes = report.outcomes
    total = {
        key: sum(getattr(o, key) for o in outcomes) for key in ("code_cells", "compared", "pictures", "ran", "skipped")
    }
    reasons: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        for _, reason in outcome.ignored:
            reasons[reason] += 1
    ignored = f"{sum(reasons.values())} ignored" + "".join(
        f", {n} for {reason}" for reason, n in sorted(reasons.items())
    )
    errors = sum(len(outcome.errors) for outcome in outcomes)
    warnings = len(report.findings) - errors
    run = "nothing was run (--static)" if report.static else (
        f"{total['compared']} of {total['code_cells']} code cells compared, {ignored}, {total['skipped']} skipped, "
        f"{total['pictures']} pictures compared (tolerance {report.settings.picture_tolerance:g} %)"
    )  # fmt: skip
    if report.settings.repeat == 1 and any(finding.rule in ("stale", "picture") for finding in report.findings):
        run += "; --repeat 3 tells what is random from what is stale"
    passed, failed = report.counts()
    plural = "" if len(outcomes) == 1 else "s"
    return (
        f"{len(outcomes)} notebook{plural}: {run}; {errors} findings, {warnings} warnings\n"
        f"{passed} passed, {failed} failed"
    )
