"""Keep notebooks true: `execute` stores fresh outputs, `exercises` makes exercises from solutions, `widgets` stores the
present JavaScript and styles of the course's widgets, whose text every notebook that shows one holds.

    python tools/notebooks.py execute FILE ...       as icrl-teach validate --update, each from a fresh kernel
    python tools/notebooks.py exercises [FOLDER]     into exercises/, or FOLDER
    python tools/notebooks.py widgets                in lessons/ and solutions/, without a run

Running any of them twice changes nothing: cell ids stay, volatile metadata goes, widget ids follow from their order.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from icrl_teach.validation import config, engine, update
from icrl_teach.validation.widget_states import states

ROOT = Path(__file__).resolve().parent.parent
STUB = {"python": '# Write your answer here, then delete the next line.\nraise NotImplementedError("not written yet")'}


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook if it differs from what is there."""
    nbformat.validate(notebook)
    text = update.text_of(notebook)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def execute(path: Path, profile: str = "lesson") -> None:
    """Store fresh outputs in place; raises RuntimeError for a notebook that fails, which stays as it was."""
    settings = config.replace(config.load(ROOT / "pyproject.toml", path), profile=profile)
    report = engine.validate([path], settings, store=True, show=print)
    stopped = [finding.line() for finding in report.findings if finding.rule in engine.STOPS]
    if stopped:
        raise RuntimeError("\n".join(stopped))


def exercise_from(solution: Path) -> NotebookNode:
    """A sheet for learners: solutions become stubs, outputs go, by nbgrader's own preprocessors; cells tagged `answer`
    (what to find when one goes on alone) stay in solutions/."""
    from nbgrader.preprocessors import ClearOutput, ClearSolutions, LockCells
    from traitlets.config import Config

    rules = Config()
    rules.ClearSolutions.code_stub = STUB
    rules.ClearSolutions.begin_solution_delimeter = "BEGIN SOLUTION"
    rules.ClearSolutions.end_solution_delimeter = "END SOLUTION"
    notebook = nbformat.read(solution, as_version=4)
    notebook.metadata.pop("widgets", None)
    notebook.cells = [cell for cell in notebook.cells if "answer" not in cell.metadata.get("tags", [])]
    for preprocessor in (LockCells, ClearSolutions, ClearOutput):
        notebook, _ = preprocessor(config=rules).preprocess(notebook, {})
    for cell in notebook.cells:
        cell.source = re.sub(r"solutions/", "exercises/", cell.source)
    return notebook


def exercises(folder: Path) -> None:
    """Write every exercise sheet into `folder`; sheets whose solution is gone are removed from exercises/."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted((ROOT / "solutions").glob("[0-9]*.ipynb"))
    for source in sources:
        write(exercise_from(source), folder / source.name)
    for old in set(folder.glob("[0-9]*.ipynb")) - {folder / source.name for source in sources}:
        old.unlink()


def widgets(paths: Iterable[Path]) -> None:
    """Store the widgets' present JavaScript and styles, as a run would; nothing else of a notebook changes."""
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        for model in states(notebook).values():
            module, _, name = model["state"].get("_anywidget_id", "").rpartition(".")
            if module:
                widget = getattr(import_module(module), name)
                model["state"] |= {"_esm": str(widget._esm), "_css": str(widget._css)}
        write(notebook, path)


def main(arguments: list[str]) -> None:
    """See the module's docstring."""
    if arguments[:1] == ["exercises"]:
        exercises(Path(arguments[1]) if len(arguments) > 1 else ROOT / "exercises")
    elif arguments == ["widgets"]:
        widgets(path for folder in ("lessons", "solutions") for path in sorted((ROOT / folder).glob("[0-9]*.ipynb")))
    elif arguments[:1] == ["execute"] and arguments[1:]:
        for name in arguments[1:]:
            execute(Path(name))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
