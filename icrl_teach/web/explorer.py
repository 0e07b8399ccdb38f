"""The Explorer: a world, a walk, the prompt it becomes, and a frozen network that reads it, alive in the browser.

`core.js` is the mathematics (tested against this library), `explorer.js` shows it, `explorer.css` is how it looks. The
same three files make the widget here and a page of its own; neither needs a kernel to move.
"""

from __future__ import annotations

import html
import json
from typing import Any

import anywidget
import traitlets

from icrl_teach.web import read

NOT_ALIVE = (
    "<p>Here the Explorer comes to life when the cell is run (Shift and Enter). Without a notebook, "
    "<code>icrl-teach explorer</code> opens it as a page.</p>"
)


def module_text() -> str:
    """core.js and explorer.js as one ES module, which imports nothing."""
    core, page = read("core.js"), read("explorer.js")
    imports, rest = page.split('from "./core.js";', 1)
    comments = imports[: imports.index("import {")]
    return f"{core}\n{comments}{rest}"


class Explorer(anywidget.AnyWidget):
    """The Explorer in a notebook. `state` holds its dials as a dict and moves both ways: read it, or assign to it.

    Keys of `state`: world ("lake", "corridor", "loop", "boyan"), rows and arrows (of the lake), slip, n, seed, gamma,
    alpha, beta, layer, column, block ("shift", "dual"), broken (of "unmask", "axis", "shift", "sign", "ends");
    and, when it is made, short (True: the lake, its tools and the layers, all else folded).
    """

    _esm = module_text()
    _css = read("explorer.css")
    state = traitlets.Dict().tag(sync=True)

    def __repr__(self) -> str:
        return f"explorer({', '.join(f'{name}={value!r}' for name, value in self.state.items())})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """What anywidget shows, and a sentence for readers who see no widget, as in a notebook not yet trusted."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/html": NOT_ALIVE}, metadata


def explorer(**state: Any) -> Explorer:
    """The Explorer with these settings; what is not given, or makes no sense, is as usual.

    >>> explorer(world="corridor", gamma=0.9).state
    {'world': 'corridor', 'gamma': 0.9}
    """
    return Explorer(state=state)


def page_text(state: dict[str, Any] | None = None) -> str:
    """The Explorer as a page of its own: one file without any other, whose address holds what was set."""
    given = "fromAddress(location.hash)" if state is None else json.dumps(state).replace("<", "\\u003c")
    script = module_text().replace("export default {", "const widget = {")
    return (
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape('Explorer: a frozen network reads a walk')}</title>"
        "<style>:root { color-scheme: light dark; } body { margin: 1rem auto; padding: 0 1rem; max-width: 76rem; }\n"
        f"{read('explorer.css')}</style>\n<main></main>\n<script type='module'>\n{script}\n"
        f"const view = mount(document.querySelector('main'), {given},\n"
        "  (state) => history.replaceState(null, '', `#${toAddress(state)}`));\n"
        "addEventListener('hashchange', () => view.set(fromAddress(location.hash), true));\n"
        "globalThis.explorer = view;\n</script>\n</html>\n"
    )
