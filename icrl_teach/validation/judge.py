"""What a fresh run says about a notebook: the findings of every cell, and those of the run as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from nbformat import NotebookNode

from icrl_teach.validation import budgets, widget_states
from icrl_teach.validation.code import DISTRIBUTION
from icrl_teach.validation.compare import CELL_FILE, Comparison, compare, readable, sanitizers, tolerance
from icrl_teach.validation.documents import Document, is_untouched_sheet, markers, tags
from icrl_teach.validation.execute import CellRun, Run
from icrl_teach.validation.findings import Finding
from icrl_teach.validation.stored import remedy_of_stderr

UNWRITTEN = ("NotImplementedError", "NotWrittenYet")  # what a sheet says before its learner wrote anything
FOLLOWS = ("NameError", "KeyError")  # what a cell raises for lack of what an unwritten one would have made
FIXES = {
    "no-kernel": "install that kernel, or use --static for what needs no run",
    "timeout": "do less in this cell, or raise --cell-timeout",
    "memory": "use less, or raise --memory-limit",
    "flood": "print less",
    "dead-kernel": "run the cell in a console to see why",
}


@dataclass
class Verdict:
    """What a run showed: the findings, how many cells and pictures were compared, and the cells with other pixels."""

    findings: list[Finding]
    compared: int = 0
    pictures: int = 0
    pixels: set[int] = field(default_factory=set)


def judge(document: Document, runs: list[Run]) -> Verdict:
    """Compare the first run with what is stored, and the others with the first."""
    verdict = Verdict([])
    first = runs[0]
    patterns = sanitizers(document.settings.sanitize)
    failed: int | None = None
    for index, cell_run in first.cells.items():
        if first.trouble and index == first.trouble.cell:
            continue
        cell = document.notebook.cells[index]
        raised = _raised(document, index, cell_run, failed)
        if failed is None and _errors(cell_run) and not markers(cell).get("check_exception"):
            failed = index
        verdict.findings += [raised] if raised else _cell(document, runs, index, patterns, verdict, cell)
        verdict.findings += _over_budget(document, index, cell_run)
    verdict.findings += _of_the_run(document, runs)
    return verdict


def _cell(
    document: Document, runs: list[Run], index: int, patterns: dict[str, str], verdict: Verdict, cell: NotebookNode
) -> list[Finding]:
    """The findings of one cell that ran; a cell that is never compared has none."""
    found = markers(cell)
    if found.get("check_exception") and not _errors(runs[0].cells[index]):
        message = "tagged as raising an exception, but none was raised"
        return [document.finding("no-error", message, index, fix="remove the tag, or restore the mistake")]
    if not found["check"] or (cell.execution_count is None and not cell.outputs):
        return []
    try:
        allowed = tolerance(tags(cell))
    except ValueError:  # reported by the guard on tags
        allowed = None
    limit = document.settings.picture_tolerance
    unstable = list(_unstable(document, runs, index, patterns))
    if unstable:
        return unstable
    verdict.compared += 1
    result = compare(cell.outputs, runs[0].cells[index].outputs, patterns, limit, allowed)
    verdict.pictures += result.counts[0]
    if result.pixels_differ:
        verdict.pixels.add(index)
    return [*_differs(document, index, result), *_widgets(document, runs[0], index)]


def _errors(cell_run: CellRun) -> list[NotebookNode]:
    return [output for output in cell_run.outputs if output.output_type == "error"]


def _raised(document: Document, index: int, cell_run: CellRun, failed: int | None) -> Finding | None:
    """A cell that raises an exception, unless it is there to do so."""
    errors = _errors(cell_run)
    if not errors or markers(document.notebook.cells[index]).get("check_exception"):
        return None
    error = errors[0]
    if is_untouched_sheet(document) and (error.ename in UNWRITTEN or (error.ename in FOLLOWS and failed is not None)):
        return None
    detail = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))[-6000:]
    words = f"{error.ename}: {' '.join(error.evalue.split())[:120]}".removesuffix(": ")
    return document.finding("raises", f"raises {words}", index, fix=_remedy(error, failed), detail=detail)


def _remedy(error: NotebookNode, failed: int | None) -> str:
    """What to do about an exception; `failed` is the first cell that raised one, if another did before."""
    if error.ename == "ModuleNotFoundError" and (name := re.search(r"No module named '(\w+)", error.evalue)):
        return f"pip install {DISTRIBUTION.get(name[1], name[1])}"
    if "'widget' is not a recognised GUI loop" in error.evalue:
        return "pip install ipympl"
    if error.ename == "StdinNotImplementedError":
        return "ask for nothing: a run has no keyboard"
    if error.ename == "SyntaxError" and "Missing parentheses" in error.evalue:
        return "translate it from Python 2"
    if error.ename == "NameError" and failed is not None:
        return f"first mend cell {failed}, which failed before it"
    return "mend it, or tag the cell raises-exception if it is meant"


def _unstable(document: Document, runs: list[Run], index: int, patterns: dict[str, str]) -> Iterator[Finding]:
    """One finding if any further run differs from the first, by the same comparison."""
    first = runs[0].cells[index]
    try:
        allowed = tolerance(tags(document.notebook.cells[index]))
    except ValueError:
        allowed = None
    for number, other in enumerate(runs[1:], start=2):
        if index not in other.cells:
            continue
        limit = document.settings.picture_tolerance
        result = compare(first.outputs, other.cells[index].outputs, patterns, limit, allowed)
        widgets = _widget_gap(runs[0].notebook, other.notebook, index, limit) if result.same else None
        if result.same and not widgets:
            continue
        a, b = readable(result.mismatch) if result.mismatch else widgets or ("a picture", "another picture")
        message = f"differs between two runs on this machine: run 1 {a}, run {number} {b}"
        fix = "seed the generator, or print what does not change"
        change = tuple(gap.change for gap in result.pictures)
        yield document.finding("unstable", message, index, fix=fix, detail=result.detail, pictures=change)
        return


def _differs(document: Document, index: int, result: Comparison) -> Iterator[Finding]:
    """What the comparison of one cell says, as findings."""
    if mismatch := result.mismatch:
        stored, now = readable(mismatch)
        if mismatch.key == "stderr" and "Missing" not in mismatch.words:
            now = re.sub(CELL_FILE, "(cell)", now)
            message, rule, fix = f"now warns (stderr): {now}", "new-warning", remedy_of_stderr(mismatch.now)
        else:
            kind = f" ({mismatch.key})" if mismatch.words else ""
            message, rule, fix = f"stored {stored}, now {now}{kind}", "stale", document.update
        yield document.finding(rule, message, index, fix=fix, detail=result.detail)
    for gap in result.pictures:
        limit = document.settings.picture_tolerance
        which = f" {gap.number}" if result.counts[0] > 1 else ""
        message = f"picture{which} differs: {gap.words} (tolerance {limit:g} %)"
        yield document.finding("picture", message, index, fix=document.update, pictures=(gap.change,))
    if result.counts[0] != result.counts[1]:
        message = f"stored {result.counts[0]} pictures, now {result.counts[1]}"
        yield document.finding("picture", message, index, fix=document.update)


def _widgets(document: Document, run: Run, index: int) -> Iterator[Finding]:
    """A widget that is shown has its state stored, and a fresh run repeats it."""
    views = widget_states.views(document.notebook.cells[index])
    models = widget_states.states(document.notebook)
    if any(view not in models for view in views):
        message = "shows a widget whose state is not stored: without a kernel a reader sees nothing"
        yield document.finding("widget-state", message, index, fix=document.update)
    elif gap := _widget_gap(document.notebook, run.notebook, index, document.settings.picture_tolerance):
        message = f"widget state: stored {gap[0]}, now {gap[1]}"
        yield document.finding("widget-state", message, index, fix=document.update)


def _widget_gap(stored: NotebookNode, now: NotebookNode, index: int, limit: float) -> tuple[str, str] | None:
    """The first difference between the widgets a cell shows in two notebooks, or None."""
    old, new = (widget_states.views(notebook.cells[index]) for notebook in (stored, now))
    if len(old) != len(new):
        return f"{len(old)} widgets", f"{len(new)}"
    for a, b in zip(old, new, strict=True):
        was, now_is = (widget_states.tree(widget_states.states(n), i) for n, i in ((stored, a), (now, b)))
        for at, left, right in widget_states.differences(was, now_is, limit):
            return f"{at} = {widget_states.short(left)}", widget_states.short(right)
    return None


def _over_budget(document: Document, index: int, cell_run: CellRun) -> Iterator[Finding]:
    try:
        seconds, megabytes = budgets.of_cell(document, document.notebook.cells[index])
    except ValueError:  # reported by the guard on tags
        return
    if seconds is not None and cell_run.seconds > seconds:
        message = f"took {cell_run.seconds:.1f} s, more than its budget of {seconds:g} s"
        yield document.finding("time-budget", message, index, fix="do less, or raise the budget")
    if megabytes is not None and cell_run.megabytes > megabytes:
        message = f"held {cell_run.megabytes:,.0f} MB, more than its budget of {megabytes:,g} MB"
        yield document.finding("memory-budget", message, index, fix="hold less, or raise the budget")


def _of_the_run(document: Document, runs: list[Run]) -> Iterator[Finding]:
    """What stopped a run, and the budget of the notebook as a whole."""
    for number, run in enumerate(runs, start=1):
        if trouble := run.trouble:
            ran = f" (in run {number})" if number > 1 else ""
            yield document.finding(trouble.rule, trouble.reason + ran, trouble.cell, fix=FIXES[trouble.rule])
            break
    try:
        budget = budgets.of_notebook(document)
    except ValueError:
        return
    first = runs[0]
    if budget.seconds is not None and first.seconds > budget.seconds:
        message = f"took {first.seconds:.1f} s, more than its budget of {budget.seconds:g} s"
        yield document.finding("time-budget", message, fix="do less, or raise the budget")
    if budget.megabytes is not None and first.megabytes > budget.megabytes:
        message = f"held {first.megabytes:,.0f} MB, more than its budget of {budget.megabytes:,g} MB"
        yield document.finding("memory-budget", message, fix="hold less, or raise the budget")


# Where a run knows better than a guard: (rule found by reading, rule found by running) in the same cell.
EXPLAINED = {
    ("stored-error", "raises"), ("syntax", "raises"), ("stored-warning", "new-warning"), ("address", "stale"),
    ("address", "unstable"), ("time", "unstable"), ("date", "unstable"),
}  # fmt: skip
REPEATED_MEANS_DATA = ("address", "time", "date")


def settle(document: Document, static: list[Finding], run: Run, ran: list[Finding]) -> list[Finding]:
    """Findings of reading and running together, each fault once.

    Under the profile `own` a date, a time or a number such as 0x12345678 that the fresh run repeats is data, not the
    moment or the machine it was printed on; a date of today repeats and is still no data.
    """
    by_cell = {(finding.cell, finding.rule) for finding in ran}
    same = {index for index in run.cells if not any(finding.cell == index for finding in ran)}
    kept = []
    for finding in static:
        if any((finding.cell, later) in by_cell for earlier, later in EXPLAINED if earlier == finding.rule):
            continue
        data = document.profile == "own" and finding.rule in REPEATED_MEANS_DATA and finding.cell in same
        if not (data and not _today(finding)):
            kept.append(finding)
    imports = {
        (f.cell, name[1]) for f in kept if f.rule == "missing-import" if (name := re.match(r"imports (\w+)", f.message))
    }
    for finding in ran:
        missing = re.search(r"No module named '(\w+)", finding.message)
        if not (finding.rule == "raises" and missing and (finding.cell, missing[1]) in imports):
            kept.append(finding)
    return sorted(kept, key=lambda finding: -1 if finding.cell is None else finding.cell)


def _today(finding: Finding) -> bool:
    import datetime

    today = datetime.date.today()
    spelled = (today.isoformat(), f"{today.day} {today:%b}", f"{today:%b} {today.day}", f"{today.day:02d} {today:%B}")
    return finding.rule == "date" and any(word in finding.message for word in spelled)
