"""The API reference: a page for each part of the library, every public name on one of them, from docstrings.

The public names are those of icrl_teach/__init__.pyi and of what notebooks import besides. A name without a docstring,
or a module that no page has, fails the build.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.inspect import stringify_signature

ROOT = Path(__file__).resolve().parents[2]
log = logging.getLogger(__name__)

# A page's name: its title, and the modules whose public names it has.
PAGES = {
    "experience": ("Experience", "mrp tasks environments features"),
    "data": ("Your own data", "data.log data.features data.writing data.errors"),
    "numpy": ("The NumPy road", "td softmax_td theory"),
    "control": ("Control with a table", "control"),
    "pytorch": ("The PyTorch road", "prompt attention transformer two_heads"),
    "acting": ("Acting in context", "acting"),
    "pretraining": (
        "Pretraining",
        "pretraining.config pretraining.batches pretraining.stock pretraining.answers pretraining.losses "
        "pretraining.processes pretraining.checkpoints pretraining.weights pretraining.training",
    ),
    "emergence": ("What was learned", "emergence probes"),
    "figures": ("Pictures and widgets", "figures widgets web.explorer"),
    "learning": ("For the learner", "predictions standing symbols course doctor"),
}
LINKED = ("function", "class", "exception", "method")  # other names, such as gamma, belong to many
# What notebooks import from its own module, and not from icrl_teach.
OWN = {
    "figures": "use_style new_figure picture View curves bars heat_map chain_diagram value_intervals gershgorin_rows "
    "layer_flow layer_flow_view png_bytes",
    "widgets": "explore dial log_dial choice training_widget Dial",
    "web.explorer": "Explorer",
    "course": "copy_course CopyReport",
    "doctor": "run_checks Check",
    # what public functions return
    "mrp": "Transitions",
    "pretraining.batches": "Batch",
    "pretraining.losses": "NeuEstimate",
    "emergence": "Agreement Alignment",
    "predictions": "Prediction",
    "standing": "Standing Row Part",
    "symbols": "Letters Letter",
}


def exported() -> dict[str, list[str]]:
    """The names that icrl_teach offers, by the module that defines them."""
    stub = ast.parse((ROOT / "icrl_teach" / "__init__.pyi").read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            found.setdefault(str(node.module), []).extend(alias.name for alias in node.names)
    return found


def entry(path: str) -> str:
    """The directive for one public name."""
    module, name = path.rsplit(".", 1)
    thing = getattr(importlib.import_module(module), name)
    if not isinstance(thing, type):
        return f".. autofunction:: {path}"
    kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
    return f".. {kind}:: {path}\n   :members:\n   :undoc-members:"


def page(title: str, modules: list[str], names: dict[str, list[str]]) -> str:
    """One page: each module's docstring, then its names."""
    parts = [f"# {title}"]
    for module in modules:
        offered = [f"icrl_teach.{name}" for name in names.get(module, [])]
        offered += [f"icrl_teach.{module}.{name}" for name in OWN.get(module, "").split()]
        if not offered:
            continue
        body = "\n\n".join([f".. automodule:: icrl_teach.{module}\n   :no-index:", *map(entry, offered)])
        parts += [f"## {module}", f"```{{eval-rst}}\n{body}\n```"]
    return "\n\n".join(parts) + "\n"


def write(app: Sphinx, config: Any) -> None:
    """Sphinx's event config-inited: the pages, in the folder api/ of the source."""
    names, target = exported(), Path(app.srcdir) / "api"
    target.mkdir(exist_ok=True)
    on_pages = {module for _, modules in PAGES.values() for module in modules.split()}
    for module in sorted(set(names) - on_pages):
        log.warning("icrl_teach.%s has public names and no page: name it in _ext/reference_pages.py", module)
    for name, (title, modules) in PAGES.items():
        text, file = page(title, modules.split(), names), target / f"{name}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, given: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Sphinx's event autodoc-process-signature: annotations as the source has them, shapes and all."""
    if not callable(thing) or what == "exception" or given is None:
        return given, returned
    try:
        read = inspect.signature(thing)
    except ValueError:
        return given, returned
    parts = stringify_signature(read, unqualified_typehints=True).rsplit(" -> ", 1)
    if what == "method":
        parts[0] = re.sub(r"^\(self(, )?", "(", parts[0])
    return parts[0], parts[1] if len(parts) == 2 and what != "class" else None


def docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's event autodoc-process-docstring: none is empty, and `mathematics, section 2` is a link."""
    if not any(line.strip() for line in lines):
        log.warning("%s has no docstring", name)
    plain = [line.replace("|", "\\|") for line in lines]  # a bar is an absolute value here, never a substitution
    lines[:] = [
        re.sub(r"mathematics, section (\d)", r":ref:`mathematics, section \1 <math-\1>`", line) for line in plain
    ]


def headings(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx's event source-read: the sections of the mathematics can be linked to, and link to each other."""
    if docname == "docs/mathematics":
        text = re.sub(r"^## (\d)\. ", r"(math-\1)=\n## \1. ", source[0], flags=re.MULTILINE)
        source[0] = re.sub(r"\bof section (\d)\b", r"of [section \1](#math-\1)", text)


def link_names(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Sphinx's event doctree-resolved: a public name in a document's code leads to its place in the reference."""
    if not docname.startswith(("docs/", "glossary")):
        return
    objects = app.env.domaindata["py"]["objects"]
    known = {name.rsplit(".", 1)[-1]: at for name, at in objects.items() if at.objtype in LINKED}
    for literal in list(doctree.findall(nodes.literal)):
        place = known.get(literal.astext().removesuffix("()"))
        if place and not isinstance(literal.parent, nodes.reference):
            uri = f"{app.builder.get_relative_uri(docname, place.docname)}#{place.node_id}"
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), internal=True, refuri=uri))


def citations(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Sphinx's event html-page-context: docutils calls citations a list, and gives its items another role."""
    context["body"] = context.get("body", "").replace(
        '<div role="list" class="citation-list">', '<div class="citation-list">'
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's door."""
    app.connect("config-inited", write)
    app.connect("source-read", headings)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("doctree-resolved", link_names)
    app.connect("html-page-context", citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
