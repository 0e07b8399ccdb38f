"""All guards that need no run."""

from __future__ import annotations

from icrl_teach.validation import code, course_rules, prose, stored
from icrl_teach.validation.documents import Document
from icrl_teach.validation.findings import Finding

GUARDS = (*stored.GUARDS, *code.GUARDS, *prose.GUARDS, *course_rules.GUARDS)


def check(document: Document) -> list[Finding]:
    """What the guards find in a stored notebook; levels are not decided here.

    A notebook may hold what no guard was written for: a guard that stumbles is a finding itself, never a traceback.
    """
    found: list[Finding] = []
    for guard in GUARDS:
        try:
            found += guard(document)
        except Exception as error:
            message = f"the guard {guard.__name__} stumbled: {type(error).__name__}: {str(error)[:160]}"
            found.append(document.finding("stumbled", message, fix="please report it with the notebook"))
    return found
