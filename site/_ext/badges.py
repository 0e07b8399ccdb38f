"""Where a notebook can be opened to run: links for Colab, Binder and a class's hub, from one setting (conf.py)."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import quote, urlencode

from sphinx.application import Sphinx

FIRST = "lessons/00_start_here.ipynb"


def badges(home: dict[str, str], notebook: str) -> list[tuple[str, str]]:
    """Name and address of each place that opens a notebook, a path in the repository.

    >>> badges({"repository": "a/b", "branch": "main", "hub": ""}, "lessons/00.ipynb")[0]
    ('Colab', 'https://colab.research.google.com/github/a/b/blob/main/lessons/00.ipynb')
    """
    repository, branch, path = home["repository"], quote(home["branch"], safe=""), quote(notebook)
    found = [
        ("Colab", f"https://colab.research.google.com/github/{repository}/blob/{branch}/{path}"),
        (
            "Binder",
            f"https://mybinder.org/v2/gh/{repository}/{branch}?{urlencode({'urlpath': f'lab/tree/{notebook}'})}",
        ),
    ]
    if home["hub"]:
        pulled = {
            "repo": f"https://github.com/{repository}",
            "branch": home["branch"],
            "urlpath": f"lab/tree/{repository.split('/')[1]}/{notebook}",
        }
        found.append(("Class hub", f"{home['hub'].rstrip('/')}/hub/user-redirect/git-pull?{urlencode(pulled)}"))
    return found


def colab_note(home: dict[str, str]) -> str:
    """What Colab needs before any cell of the course: it opens a notebook, but installs nothing for it."""
    return f"In Colab, first run <code>%pip install git+https://github.com/{home['repository']}</code> in a new cell."


def home_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Sphinx's event source-read: the home page names the repository, and opens lesson 00."""
    if docname == "index":
        home = app.config.course_home
        address = f"https://github.com/{home['repository']}"
        links = " ".join(f'<a href="{html.escape(to)}">{name}</a>' for name, to in badges(home, FIRST))
        for mark, text in {
            "%HOME%": address,
            "%FOLDER%": home["repository"].split("/")[1],
            "%ZIP%": f"{address}/archive/refs/heads/{home['branch']}.zip",
            "%BADGES%": f'<span class="badges">Or open lesson 00 on a server: {links}</span> {colab_note(home)}',
        }.items():
            source[0] = source[0].replace(mark, text)


def context(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Sphinx's event html-page-context: what badges.html shows."""
    home = app.config.course_home
    if pagename.startswith(("lessons/", "exercises/")):
        context["notebook_file"] = pagename.replace("/", "-") + ".ipynb"
        context["badges"] = badges(home, f"{pagename}.ipynb")
        context["colab_note"] = colab_note(home)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's door."""
    app.connect("source-read", home_page)
    app.connect("html-page-context", context)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
