"""Lay out what Sphinx reads: the site's own pages, and the course's notebooks and documents, in one folder.

The folders keep their names and places, so a link that works in the repository works on the site.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("lessons", "exercises", "docs")
MATHJAX = ROOT / "site" / "node_modules" / "mathjax"


def stage(target: Path) -> None:
    """Fill the folder `target` anew; what stood in it before is gone."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for page in sorted((ROOT / "site").glob("*.md")) + sorted((ROOT / "site").glob("*.bib")):
        shutil.copy2(page, target)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns(".*"))
    shutil.copy2(ROOT / "CHANGELOG.md", target / "changelog.md")
    notebooks = target / "_vendor" / "notebooks"
    notebooks.mkdir(parents=True)
    for notebook in (each for folder in FOLDERS for each in (ROOT / folder).glob("*.ipynb")):
        shutil.copy2(notebook, notebooks / f"{notebook.parent.name}-{notebook.name}")
    vendored = target / "_vendor" / "mathjax"
    vendored.mkdir(parents=True)
    for name in ("es5/tex-svg.js", "LICENSE"):
        shutil.copy2(MATHJAX / name, vendored)


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
