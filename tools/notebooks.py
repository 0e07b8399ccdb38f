"""Keep notebooks true: `execute` runs lessons and solutions in place, `exercises` makes exercises from solutions.

    python tools/notebooks.py execute [FILE ...]     each from a fresh kernel; without FILE: all
    python tools/notebooks.py exercises [FOLDER]     into exercises/, or FOLDER

Running either twice changes nothing: cell ids stay, volatile metadata goes, widget ids follow from their order.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from tqdm import tqdm
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
STUB = {"python": '# Write your answer here, then delete the next line.\nraise NotImplementedError("not written yet")'}
ENCRYPTED = Config({"KernelManager": {"transport_encryption": "auto"}})  # without it every kernel prints a warning
WIDGETS = "application/vnd.jupyter.widget-state+json"


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook if it differs from what is there."""
    nbformat.validate(notebook)
    text = nbformat.writes(notebook, version=nbformat.NO_CONVERT)
    text = text if text.endswith("\n") else text + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def settle(notebook: NotebookNode) -> NotebookNode:
    """Remove what changes from run to run: times, editor state, random widget ids."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        **{key: notebook.metadata[key] for key in ("widgets",) if key in notebook.metadata},
    }
    for cell in notebook.cells:
        keep = {key: cell.metadata[key] for key in ("tags", "nbgrader") if key in cell.metadata}
        cell.metadata = NotebookNode(keep)
    states = notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {})
    if not states:
        notebook.metadata.pop("widgets", None)
        return nbformat.from_dict(notebook)
    text = json.dumps(notebook)
    for number, model_id in enumerate(sorted(states, key=_creation_order(list(states)))):
        text = text.replace(model_id, f"{number:032x}")
    settled = json.loads(text)
    state = settled["metadata"]["widgets"][WIDGETS]["state"]
    settled["metadata"]["widgets"][WIDGETS]["state"] = dict(sorted(state.items()))
    return nbformat.from_dict(settled)


def _creation_order(ids: list[str]):
    return {model_id: position for position, model_id in enumerate(ids)}.__getitem__


def execute(path: Path) -> None:
    """Run a notebook in place from a fresh kernel, in its own folder; stop at the first error."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    client = NotebookClient(
        notebook,
        timeout=600,  # seconds a cell: it only guards against hanging
        kernel_name="python3",
        config=ENCRYPTED,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
    )
    client.execute()
    write(settle(_join_streams(notebook)), path)


def _join_streams(notebook: NotebookNode) -> NotebookNode:
    """Neighbouring pieces of the same stream become one: how a kernel cuts them is chance."""
    for cell in notebook.cells:
        joined: list[NotebookNode] = []
        for output in cell.get("outputs", []):
            if joined and output.output_type == "stream" == joined[-1].output_type and output.name == joined[-1].name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        if "outputs" in cell:
            cell.outputs = joined
    return notebook


def exercise_from(solution: Path) -> NotebookNode:
    """A sheet for learners: solutions become stubs and outputs go, by nbgrader's own preprocessors."""
    from nbgrader.preprocessors import ClearOutput, ClearSolutions, LockCells

    config = Config()
    config.ClearSolutions.code_stub = STUB
    config.ClearSolutions.begin_solution_delimeter = "BEGIN SOLUTION"
    config.ClearSolutions.end_solution_delimeter = "END SOLUTION"
    notebook = nbformat.read(solution, as_version=4)
    notebook.metadata.pop("widgets", None)
    for preprocessor in (LockCells, ClearSolutions, ClearOutput):
        notebook, _ = preprocessor(config=config).preprocess(notebook, {})
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


def main(arguments: list[str]) -> None:
    """See the module's docstring."""
    if arguments[:1] == ["exercises"]:
        exercises(Path(arguments[1]) if len(arguments) > 1 else ROOT / "exercises")
    elif arguments[:1] == ["execute"]:
        paths = [Path(name) for name in arguments[1:]]
        paths = paths or sorted([*ROOT.glob("lessons/[0-9]*.ipynb"), *ROOT.glob("solutions/[0-9]*.ipynb")])
        for path in (bar := tqdm(paths, unit="notebook")):
            bar.set_postfix_str(path.name)
            execute(path)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
