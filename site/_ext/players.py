"""Players: every widget of the lessons lives on its page, without a kernel.

Before Sphinx reads a lesson, each stored output of `explore(view, dials...)` becomes a player: the course's own dials
(`icrl_teach/web/dials.js`) over frames that `frames.py` draws from the same view. A training run can't be stored so;
its picture stays, with a word on what it needs (course_notebooks.py).
"""

from __future__ import annotations

import html
import json
import shutil
from math import prod
from pathlib import Path
from typing import Any

import frames
from course_notebooks import WIDGET, as_html
from sphinx.application import Sphinx
from sphinx.util import logging

from icrl_teach.web import read as web

HERE = Path(__file__).parent
log = logging.getLogger(__name__)


def own(name: str) -> str:
    """The text of a file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def script() -> str:
    """dials.js and players.js as one script that a page can load from a folder: it neither imports nor exports."""
    dials = web("dials.js").replace("export default {", "const widget = {").replace("export function", "function")
    return f"(() => {{\n{dials}\n{own('players.js')}}})();\n"


def note(player: frames.Player) -> str:
    """Which positions of the dials a page has, in a sentence."""
    dials = player.call.dials
    whole = {name: len(frames.positions(dial)) for name, dial in dials.items()}
    total = prod(whole.values())
    if player.count == total:
        return f"This page has all {total} positions of the dials, each drawn beforehand."
    parts = [
        f"{dials[name].label}: {len(places)} of {whole[name]}"
        for name, places in player.grid.items()
        if len(places) < whole[name]
    ]
    return (
        f"This page has {player.count:,} of the {total:,} positions, each drawn beforehand ({'; '.join(parts)}). "
        "In a notebook the dials take them all."
    )


def page_data(player: frames.Player, drawn: dict[str, Any], folder: str) -> dict[str, Any]:
    """What players.js reads: where the frames are, the dials with their grids, where they begin, the frames' texts."""
    dials = {name: {**dial.settings(), "grid": player.grid[name]} for name, dial in player.call.dials.items()}
    values = {name: dial.position for name, dial in player.call.dials.items()}
    return {"folder": folder, "dials": dials, "values": values, **drawn}


def player_html(player: frames.Player, drawn: dict[str, Any], root: str) -> str:
    """A player as HTML. root: the way from its page to the folder of all pages, "" or "../"."""
    folder = f"{root}_static/players/{player.folder}"
    first = player.first
    alt, numbers, _ = drawn["frames"][first]
    width, height = drawn["size"]
    data = json.dumps(page_data(player, drawn, folder)).replace("<", "\\u003c")
    return (
        f'<div class="icrl-player"><script type="application/json">{data}</script>\n<div class="icrl-stage">'
        f'<div class="icrl-view"><img class="icrl-picture" src="{folder}/{first}.webp" alt="{html.escape(alt)}"'
        f' width="{width}" height="{height}"></div>'
        f"<pre>{html.escape(numbers)}</pre><p>The dials need JavaScript.</p></div>\n"
        f'<p class="icrl-note">{html.escape(note(player))}</p></div>'
    )


class Players:
    """The players of all lessons, through one build; by page, each with its HTML."""

    def __init__(self) -> None:
        self.by_page: dict[str, list[tuple[frames.Player, str]]] = {}

    def draw(self, app: Sphinx) -> None:
        """Event builder-inited: draw what the cache lacks, and lay out the static files."""
        if app.builder.format != "html":
            return
        cache = Path(app.confdir, app.config.players_cache).resolve()
        pages = found(Path(app.srcdir), frames.sources_key(), app.config.players_quick)
        every = [player for players in pages.values() for player in players]
        frames.draw_all(every, cache, log.info)
        if not app.config.players_quick:
            frames.tidy(every, cache)
        lay_out(every, cache, Path(app.outdir, "_static", "players"))
        for page, players in pages.items():
            root = "../" * page.count("/")
            self.by_page[page] = [(player, player_html(player, drawn(player, cache), root)) for player in players]

    def outdated(self, app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
        """Event env-get-outdated: pages that were built with other players than those of now."""
        return [
            page
            for page, players in self.by_page.items()
            if not shows(Path(app.outdir, f"{page}.html"), [text for _, text in players])
        ]

    def read(self, app: Sphinx, docname: str, source: list[str]) -> None:
        """Event source-read: put a player in the place of each output that one was drawn for."""
        if docname not in self.by_page:
            return
        notebook = json.loads(source[0])
        for player, text in self.by_page[docname]:
            as_html(output_of(notebook, player.call), text)
        source[0] = json.dumps(notebook)

    def load(self, app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        """Event html-page-context: only pages with a player load its script and style."""
        if pagename in self.by_page:
            app.add_css_file("players/players.css")
            app.add_js_file("players/players.js", loading_method="defer")


def lay_out(players: list[frames.Player], cache: Path, target: Path) -> None:
    """The frames of now, and no others, with the script and the style, in the folder that the pages load from."""
    kept = {player.folder for player in players}
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        if old.is_dir() and old.name not in kept:
            shutil.rmtree(old)
    for folder in kept:
        pictures = shutil.ignore_patterns("*.json")  # the pages hold the texts
        shutil.copytree(cache / folder, target / folder, ignore=pictures, dirs_exist_ok=True)
    (target / "players.js").write_text(script(), encoding="utf-8")
    (target / "players.css").write_text(web("dials.css") + web("picture.css") + own("players.css"), encoding="utf-8")


def found(source: Path, key: str, quick: bool) -> dict[str, list[frames.Player]]:
    """The players of the lessons in a folder, by page; quick: sliders have one place."""
    by_page = {}
    for path in sorted((source / "lessons").glob("*.ipynb")):
        players = []
        for call in frames.calls(json.loads(path.read_text(encoding="utf-8"))):
            grid = {name: [] for name in call.dials} if quick else frames.GRIDS.get(path.stem, {})
            players.append(frames.player(path.stem, call, grid, key))
        if players:
            by_page[f"lessons/{path.stem}"] = players
    return by_page


def output_of(notebook: dict[str, Any], call: frames.Call) -> dict[str, Any]:
    """The stored output of a call. Raises ValueError if the notebook has none: it was not run as it stands."""
    cell = next(cell for cell in notebook["cells"] if cell.get("id") == call.cell)
    outputs = [output for output in cell["outputs"] if WIDGET in output.get("data", {})]
    if call.widget >= len(outputs):
        raise ValueError(f"cell {call.cell} stores {len(outputs)} widgets; run the notebook and store its outputs")
    return outputs[call.widget]


def drawn(player: frames.Player, cache: Path) -> dict[str, Any]:
    """The size and the texts of a player's frames."""
    return json.loads((cache / player.folder / "frames.json").read_text(encoding="utf-8"))


def shows(page: Path, texts: list[str]) -> bool:
    """Whether a built page has these players."""
    built = page.read_text(encoding="utf-8") if page.exists() else ""
    return all(text in built for text in texts)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx's door. players_quick: sliders have only the place where they begin, for a quick look at pages."""
    players = Players()
    app.add_config_value("players_cache", "../build/frames", "env", str)
    app.add_config_value("players_quick", False, "env", bool)
    app.connect("builder-inited", players.draw)
    app.connect("env-get-outdated", players.outdated)
    app.connect("source-read", players.read, priority=400)
    app.connect("html-page-context", players.load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
