"""The whole standard on many notebooks: read, guard, run, judge, update; several at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
import psutil

from icrl_teach.validation import documents, execute, static, update
from icrl_teach.validation.config import Settings
from icrl_teach.validation.documents import Document, Unreadable, code_cells
from icrl_teach.validation.execute import CellRun
from icrl_teach.validation.findings import ERROR, OFF, WARNING, Finding
from icrl_teach.validation.judge import REPEATED_MEANS_DATA, Verdict, judge, settle
from icrl_teach.validation.stored import reason_of


@dataclass
class Outcome:
    """What was found in one notebook, and what its run took; seconds and megabytes are 0 where nothing ran."""

    name: str
    profile: str = ""
    findings: list[Finding] = field(default_factory=list)
    code_cells: int = 0
    compared: int = 0
    pictures: int = 0
    ran: int = 0
    ignored: list[tuple[int, str]] = field(default_factory=list)
    skipped: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    cells: dict[int, CellRun] = field(default_factory=dict)
    cell_ids: dict[int, str] = field(default_factory=dict)
    changed: bool = False
    path: Path = field(default_factory=Path)

    @property
    def errors(self) -> list[Finding]:
        """The findings that fail the notebook."""
        return [finding for finding in self.findings if finding.level == ERROR]


@dataclass
class Report:
    """All outcomes of one call, and the settings they were found under."""

    outcomes: list[Outcome]
    settings: Settings
    static: bool

    @property
    def findings(self) -> list[Finding]:
        """All findings, in the order of the notebooks."""
        return [finding for outcome in self.outcomes for finding in outcome.findings]

    def counts(self) -> tuple[int, int]:
        """Checks passed and failed: each code cell is one, and each notebook as a whole is one."""
        passed = failed = 0
        for outcome in self.outcomes:
            bad = {finding.cell for finding in outcome.errors}
            prose = {cell for cell in bad if cell is not None and cell not in outcome.cell_ids}
            whole = bool(prose) or None in bad
            failed += len(bad & set(outcome.cell_ids)) + whole
            passed += len(set(outcome.cell_ids) - bad) + (not whole)
        return passed, failed


# Findings of a run after which there is nothing to store.
STOPS = ("raises", "no-error", "no-kernel", "dead-kernel", "timeout", "memory", "flood", "unreadable", "stumbled")
Tick = Callable[[str], None]
Show = Callable[[str], None]


def validate(
    paths: list[Path],
    settings: Settings,
    *,
    run: bool = True,
    store: bool = False,
    tick: Tick = lambda name: None,
    show: Show = lambda text: None,
) -> Report:
    """Hold notebooks to the standard.

    run: execute them and compare, or only read; store: write fresh outputs, after `show` was given what changes;
    tick: called after each executed cell. Never raises for what a notebook holds or does.
    """
    jobs = min(settings.jobs or default_jobs(), max(len(paths), 1))
    settings = replace(settings, jobs=jobs, memory_limit=_memory_limit(settings, jobs))
    lock = threading.Lock()

    def show_whole(text: str) -> None:
        with lock:
            show(text)

    def one(path: Path) -> Outcome:
        return _guarded(path, settings, run, store, tick, show_whole)

    execute.INTERRUPTED.clear()
    pool = ThreadPoolExecutor(jobs)
    try:
        outcomes = list(pool.map(one, paths))
    except BaseException:
        execute.INTERRUPTED.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(execute.RUNNING):  # an interrupted call leaves no kernel behind
            execute.end_process(process)
        raise
    pool.shutdown()
    return Report(outcomes, settings, not run)


def default_jobs() -> int:
    """Notebooks run at a time where nothing is said: one for each CPU, at most four."""
    return min(execute.cpus(), 4)


def _memory_limit(settings: Settings, jobs: int) -> float:
    """The limit of one kernel: never more than its share of what the machine has free now."""
    free = psutil.virtual_memory().available / execute.MEGABYTE
    return min(settings.memory_limit, max(0.85 * free / jobs, 1024.0))


def _guarded(path: Path, settings: Settings, run: bool, store: bool, tick: Tick, show: Show) -> Outcome:
    name, profile = shown_name(path), settings.profile_of(path)
    outcome = Outcome(name, profile, path=path)
    try:
        document = documents.read(path, name, profile, settings)
        _judge(document, outcome, run, store, tick, show)
    except Unreadable as reason:
        outcome.findings = [Finding(reason.rule, str(reason), path=name, fix=reason.fix)]
    except Exception as error:
        if os.environ.get("ICRL_TEACH_DEBUG"):
            raise
        words = f"could not be judged: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
        outcome.findings.append(Finding("stumbled", words, path=name, fix="please report it with the notebook"))
    outcome.findings = _weighed(outcome.findings, settings, profile, run)
    return outcome


def shown_name(path: Path) -> str:
    """A path as a reader would type it here: relative where that is shorter."""
    full, here = Path(os.path.abspath(path)), Path.cwd()  # links are not followed: that is another file's name
    return full.relative_to(here).as_posix() if full.is_relative_to(here) else path.as_posix()


def _judge(document: Document, outcome: Outcome, run: bool, store: bool, tick: Tick, show: Show) -> None:
    _describe(document, outcome)
    found = static.check(document)
    outcome.findings = found
    if not run or not code_cells(document.notebook):
        return
    runs = [execute.run(document, tick)]
    for _ in range(document.settings.repeat - 1):
        if runs[-1].trouble is None:
            runs.append(execute.run(document, tick))
    verdict = judge(document, runs)
    first = runs[0]
    outcome.compared, outcome.pictures, outcome.ran = verdict.compared, verdict.pictures, len(first.cells)
    outcome.seconds, outcome.megabytes, outcome.cells = first.seconds, first.megabytes, first.cells
    outcome.findings = settle(document, found, first, verdict.findings)
    if store:
        _store(document, outcome, first, verdict, show)


def _describe(document: Document, outcome: Outcome) -> None:
    cells = code_cells(document.notebook)
    outcome.code_cells = len(cells)
    outcome.cell_ids = {index: str(cell.get("id", "")) for index, cell in cells}
    for index, cell in cells:
        if documents.is_skipped(cell):
            outcome.skipped += 1
        elif not documents.markers(cell)["check"]:
            outcome.ignored.append((index, reason_of(document, documents.tags(cell)) or "no reason given"))


def _store(document: Document, outcome: Outcome, first: execute.Run, verdict: Verdict, show: Show) -> None:
    """Show what changes, then write; a notebook that fails keeps its old file, and its findings say why."""
    failed = [
        f
        for f in verdict.findings
        if f.rule in ("raises", "no-error") or (first.trouble and f.rule == first.trouble.rule)
    ]
    if failed or first.trouble:
        show(f"{document.name}: kept as it was; {failed[0].message if failed else 'its run broke off'}")
        return
    notebook = update.updated(document, first, verdict)
    changes = [f for f in verdict.findings if f.rule in update.DIFFERS]
    for finding in changes:
        show(finding.line().split("; fix:")[0] + (f"\n{indented(finding.detail)}" if finding.detail else ""))
    try:
        if documents.text_of(document.path) != document.text:
            raise Unreadable("the file was changed while it ran")
        outcome.changed = update.write(document, notebook)
    except (Unreadable, OSError) as reason:
        show(f"{document.name}: kept as it was; {getattr(reason, 'strerror', None) or reason}")
        return
    except nbformat.ValidationError as error:
        show(f"{document.name}: kept as it was; what would be stored breaks its schema: {str(error).splitlines()[0]}")
        return
    show(f"{document.name}: {'stored' if outcome.changed else 'nothing to change'}")
    again = documents.read(document.path, document.name, document.profile, document.settings)
    outcome.findings = settle(again, static.check(again), first, _left(verdict.findings))


def _left(findings: list[Finding]) -> list[Finding]:
    """The findings of a run that storing its outputs does not answer."""
    answered = {"stale", "picture", "widget-state"}
    return [finding for finding in findings if finding.rule not in answered]


def indented(text: str) -> str:
    """A text moved in by four spaces."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _weighed(findings: list[Finding], settings: Settings, profile: str, run: bool) -> list[Finding]:
    """The findings with their levels, those that are off left out."""
    weighed = []
    for finding in findings:
        level = settings.level_of(finding.rule, profile)
        if not run and profile == "own" and finding.rule in REPEATED_MEANS_DATA and level == ERROR:
            level = WARNING  # whether it is data or the moment it was printed, only a run can tell
        if level != OFF:
            weighed.append(replace(finding, level=level))
    return weighed


def as_data(report: Report) -> dict[str, Any]:
    """The report as plain data, for JSON: counts, settings that matter, and every notebook with its findings."""
    passed, failed = report.counts()
    keys = ("rule", "level", "message", "cell", "cell_id", "fix", "detail")
    return {
        "passed": passed,
        "failed": failed,
        "notebooks": [
            {
                "path": outcome.name,
                "profile": outcome.profile,
                "seconds": round(outcome.seconds, 3),
                "megabytes": round(outcome.megabytes, 1),
                "compared": outcome.compared,
                "pictures": outcome.pictures,
                "ignored": [{"cell": cell, "reason": reason} for cell, reason in outcome.ignored],
                "skipped": outcome.skipped,
                "cells": [
                    {"cell": i, "seconds": round(c.seconds, 3), "megabytes": round(c.megabytes, 1)}
                    for i, c in sorted(outcome.cells.items())
                ],
                "findings": [{key: getattr(finding, key) for key in keys} for finding in outcome.findings],
            }
            for outcome in report.outcomes
        ],
    }
