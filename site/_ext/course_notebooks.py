"""Notebooks as the site reads them: nothing on a page waits for a kernel.

A stored notebook passes through here before Sphinx parses it (event source-read, priority 500). Each output that is a
widget becomes plain HTML: a prediction its question and real choices, anything else its stored picture. An extension
that knows better (players.py) connects to the same event with a smaller priority and replaces the outputs it knows.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import Any

import sheets
from citations import cited
from explorer_page import explorer_html
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput, visit_HideCellInput
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
# In JupyterLab a heading's anchor keeps its capitals; on the site it has none.
ANCHOR = re.compile(r"(\]\([^)\s]*#)([^)\s]+)\)")
LINK = re.compile(r"\]\(([^)\s#][^)\s]*)\)")
UNSAID = re.compile(r"\s+No\s+prediction\s+was\s+made\.")

Notebook = dict[str, Any]


def text_of(source: str | list[str]) -> str:
    """A notebook's text, which may be stored as lines."""
    return source if isinstance(source, str) else "".join(source)


def states(notebook: Notebook) -> dict[str, dict[str, Any]]:
    """The stored state of each widget model, by its id."""
    stored = notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    return {name: model["state"] for name, model in stored.items()}


def widget_outputs(notebook: Notebook) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Each output that still is a widget: its cell, the output, and the stored state of what it shows."""
    known = states(notebook)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if (view := output.get("data", {}).get(WIDGET)) is not None:
                yield cell, output, known.get(view["model_id"], {})


def as_html(output: dict[str, Any], text: str) -> None:
    """Make an output HTML, and keep its text twin."""
    twin = output["data"].get("text/plain", "")
    output["data"], output["metadata"] = {"text/html": text, "text/plain": twin}, {}


def prediction(state: dict[str, Any], known: dict[str, dict[str, Any]], name: str) -> str | None:
    """A prediction as a fieldset of native controls, or None if the widget is none."""
    parts = [known.get(child.removeprefix("IPY_MODEL_"), {}) for child in state.get("children", [])]
    if len(parts) != 3 or "<b>Predict</b>" not in parts[0].get("value", ""):
        return None
    question = re.sub(r"</?(p|b)>", "", parts[0]["value"]).strip().removeprefix("Predict").strip()
    options = parts[1].get("_options_labels")
    if options:
        entry = "".join(
            f'<label><input type="radio" name="{name}" value="{html.escape(option)}"> {html.escape(option)}</label>'
            for option in options
        )
    else:
        entry = f'<label>Your number <input type="text" inputmode="decimal" name="{name}" autocomplete="off"></label>'
    return (
        f'<fieldset class="prediction"><legend><b>Predict</b> {question}</legend>{entry}'
        '<p role="status">Choose before you read on.</p></fieldset>'
    )


def still(state: dict[str, Any], output: dict[str, Any]) -> str:
    """A widget's stored picture and numbers, with a word on what it needs to move."""
    view = state.get("view", {})
    picture, alt = view.get("picture", ""), html.escape(view.get("alt", ""), quote=True)
    numbers = html.escape(view.get("numbers", "") or text_of(output["data"].get("text/plain", "")))
    image = f'<img class="icrl-picture" alt="{alt}" src="{picture}">' if picture else ""
    return (
        f'<figure class="still">{image}<figcaption>This one computes as it moves, so its controls need a notebook: '
        f'what it shows first stands here.</figcaption></figure><pre class="numbers">{numbers}</pre>'
    )


def without_kernel(notebook: Notebook, docname: str) -> None:
    """Replace what needs a kernel, in place."""
    known = states(notebook)
    stem = docname.rsplit("/", 1)[-1]
    for number, (_, output, state) in enumerate(list(widget_outputs(notebook))):
        name = f"{stem}-{number}"
        if state.get("_anywidget_id", "").endswith(".Explorer"):
            as_html(output, explorer_html(state.get("state", {}), name))
        else:
            as_html(output, prediction(state, known, name) or still(state, output))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = ANCHOR.sub(lambda found: f"{found[1]}{found[2].lower()})", text_of(cell["source"]))
            cell["source"] = cited(text)
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":  # the stored run was nobody's: a reader may have chosen
                output["text"] = UNSAID.sub("", text_of(output["text"]))
    notebook["metadata"].pop("widgets", None)


def _reachable(app: Sphinx, docname: str, link: str) -> str:
    """A link as it is, or to the public repository if it leads to a file that is no page of the site."""
    source = Path(app.srcdir)
    target = Path(normpath(source / docname / ".." / link.split("#")[0]))
    if ":" in link or target.exists() or not target.is_relative_to(source):
        return link
    home = app.config.course_home
    return f"https://github.com/{home['repository']}/blob/{home['branch']}/{target.relative_to(source).as_posix()}"


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx's event source-read."""
    if not docname.startswith(("lessons/", "exercises/")):
        text = source[0].replace("```floors", "```text")  # a list that the tests read
        text = cited(text) if docname == "docs/mathematics" else text
        source[0] = LINK.sub(lambda found: f"]({_reachable(app, docname, found[1])})", text)
        return
    notebook = json.loads(source[0])
    without_kernel(notebook, docname)
    if docname.startswith("exercises/"):
        sheets.fold(notebook, ROOT / "solutions" / f"{docname.split('/')[1]}.ipynb")
    source[0] = json.dumps(notebook)


def named_by_its_words(translator: Any, node: HideCodeCellNode) -> None:
    """A folded cell is called what it shows: the name that myst-nb gives it is another one, for who only hears it."""
    start = len(translator.body)
    visit_HideCellInput(translator, node)
    shown = [part.replace(' aria-label="Toggle hidden content"', "") for part in translator.body[start:]]
    translator.body[start:] = shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's door."""
    app.add_config_value("course_home", {}, "env", types=dict)
    app.connect("source-read", read, priority=500)
    app.add_node(HideCodeCellNode, override=True, html=(named_by_its_words, depart_HideCellInput))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
