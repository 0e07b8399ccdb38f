"""Reports for machines and people: JUnit XML and SARIF for CI, JSON, and one self-contained HTML page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from icrl_teach import __version__
from icrl_teach._files import atomic_write
from icrl_teach.validation import html_report
from icrl_teach.validation.engine import Outcome, Report, as_data
from icrl_teach.validation.findings import ERROR, RULES, Finding

# XML 1.0 holds no control characters but tab and line ends, and no lone surrogates.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(report: Report, folder: Path) -> None:
    """Write report.html, junit.xml, validate.sarif and report.json into a folder, each in one step."""
    texts = {
        "report.html": html_report.page(report),
        "junit.xml": junit(report),
        "validate.sarif": json.dumps(sarif(report), indent=1) + "\n",
        "report.json": json.dumps(as_data(report), indent=1) + "\n",
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode("utf-8", "replace").decode())


def junit(report: Report) -> str:
    """JUnit XML: a suite for each notebook; a case for each code cell and one for the notebook as a whole."""
    root = ElementTree.Element("testsuites", name="icrl-teach validate")
    for outcome in report.outcomes:
        cases = [_case(outcome, None), *(_case(outcome, index) for index in outcome.cell_ids)]
        failures = sum(case.find("failure") is not None for case in cases)
        suite = ElementTree.SubElement(
            root, "testsuite", name=_xml(outcome.name), tests=str(len(cases)), failures=str(failures),
            errors="0", skipped="0", time=f"{outcome.seconds:.3f}",
        )  # fmt: skip
        suite.extend(cases)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(outcome: Outcome, index: int | None) -> ElementTree.Element:
    name = "the notebook as a whole" if index is None else f"cell {index} ({outcome.cell_ids[index]})"
    seconds = outcome.cells[index].seconds if index in outcome.cells else 0.0
    case = ElementTree.Element("testcase", classname=_xml(outcome.name), name=_xml(name), time=f"{seconds:.3f}")
    if index is None:
        mine = [f for f in outcome.findings if f.cell not in outcome.cell_ids]
    else:
        mine = [f for f in outcome.findings if f.cell == index]
    errors = [f for f in mine if f.level == ERROR]
    if errors:
        rules = ", ".join(dict.fromkeys(f.rule for f in errors))
        failure = ElementTree.SubElement(case, "failure", type=rules, message=_xml(errors[0].message))
        failure.text = _xml("\n".join(f"{f.line()}\n{f.detail}".rstrip() for f in errors))
    if notes := [f.line() for f in mine if f.level != ERROR]:
        ElementTree.SubElement(case, "system-out").text = _xml("\n".join(notes))
    return case


def _xml(text: str) -> str:
    return NOT_XML.sub("�", text)


def sarif(report: Report) -> dict[str, Any]:
    """SARIF 2.1.0, as code hosts show it beside the changed lines."""
    used = list(dict.fromkeys(finding.rule for finding in report.findings))
    rules = [{"id": rule, "shortDescription": {"text": f"A notebook {RULES[rule].title}."}} for rule in used]
    driver = {"name": "icrl-teach validate", "version": __version__, "rules": rules}
    results = [_result(outcome, f, used) for outcome in report.outcomes for f in outcome.findings]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(outcome: Outcome, finding: Finding, used: list[str]) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": quote(outcome.name)},
        "region": {"startLine": _line(outcome, finding)},
    }
    return {
        "ruleId": finding.rule,
        "ruleIndex": used.index(finding.rule),
        "level": finding.level,
        "message": {"text": finding.line()},
        "locations": [{"physicalLocation": place}],
    }


def _line(outcome: Outcome, finding: Finding) -> int:
    """The line of the file where the finding's cell says its id; the first line where that cannot be told."""
    if not finding.cell_id:
        return 1
    wanted = f'"id": {json.dumps(finding.cell_id)}'
    try:
        lines = outcome.path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return 1
    return next((number for number, line in enumerate(lines, 1) if wanted in line), 1)
