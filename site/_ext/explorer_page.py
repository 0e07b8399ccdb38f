"""The Explorer on a page, alive: a directive, and the HTML that stands for its widget in a lesson.

The module is written into the page, for a module in a file of its own does not load where there is no server.
"""

from __future__ import annotations

import json
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from icrl_teach.web import read
from icrl_teach.web.explorer import module_text


def explorer_html(state: dict[str, Any], name: str = "explorer", addressed: bool = False) -> str:
    """The Explorer in these settings; with `addressed`, the page's address holds and gives them."""
    given = json.dumps(state).replace("<", "\\u003c")
    start = f"{{...{given}, ...fromAddress(location.hash)}}" if addressed else given
    kept = "(state) => history.replaceState(null, '', `#${toAddress(state)}`)" if addressed else "() => {}"
    script = module_text().replace("export default {", "const widget = {")
    return (
        f'<div class="explorer" id="{name}"><noscript>The Explorer needs JavaScript.</noscript></div>\n'
        f"<style>{read('explorer.css')}</style>\n<script type='module'>\n{script}\n"
        f"mount(document.getElementById({json.dumps(name)}), {start}, {kept});\n</script>\n"
    )


class ExplorerDirective(SphinxDirective):
    """``explorer``: the default scene; its content, if any, is JSON with other settings."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """One raw node."""
        state = json.loads("\n".join(self.content) or "{}")
        return [nodes.raw("", explorer_html(state, addressed=True), format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's door."""
    app.add_directive("explorer", ExplorerDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
