"""The frames of the site's players: each call `explore(view, dials...)` of a lesson, drawn at a grid of dial values.

A site has no kernel, so every picture that a reader can reach is drawn when the site is built, by the very view that
the notebook calls. Of the notebook only the imports run that the call names; no cell does.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import inspect
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from math import prod
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib
from course_notebooks import text_of
from PIL import Image

import icrl_teach
from icrl_teach.figures import STYLE, View, cuts
from icrl_teach.widgets import Dial

MAX_FRAMES, MAX_BYTES = 600, 8_000_000
DPI = 110  # 80 in a notebook; a page is also read on a phone with three dots a pixel
EXPLORE, TRAIN = "explore", "training_widget"

# The places that a page has of a lesson's dials, where it has not all: enough to do what the lesson asks for.
GRIDS: dict[str, dict[str, list[float]]] = {
    "00_start_here": {"layers": [*range(13), 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]},
    "01_markov_reward_processes": {
        "gamma": [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99], "repair": [-10, -9, -6, -3, 0],
    },
    "02_tabular_td": {"k": [*range(1, 11), 12, 15, 20, 25, 30, 35, 40, 45, 50, *range(55, 61)]},
    "03_linear_td": {"d": [1, 2, 4, 6, 10, 12, 20, 30, 60]},
    "05_contraction_and_convergence": {
        "gamma": [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95], "tau": [0.5, 1, 1.5, 2, 3, 4, 5, 6, 8],
    },
    "06_attention_meets_td": {"beta": [0.1, 0.32, 1, 3.2, 10]},
    "07_the_construction": {"layer": [0, 1, 2, 3, 4, 5, 8, 12], "query": [5, 6, 7, 8], "beta": [0.1, 1, 8]},
    "08_in_context_evaluation": {"depth": [0, 1, 3, 5, 10, 20, 40], "context": [10, 32, 100, 320, 1000]},
    "10_emergence": {"snapshot": [*range(9), 10, 12, 15, 18, 21, 25, 30]},
    "13_acting": {"round": [1, 2, 3, 4, 6, 10, 20], "step": [0, 4, 8, 16, 32, 100]},
}  # fmt: skip

# Folders of the package that no view stands on: an edit there draws no frame anew.
APART = {"checks", "classroom", "cli", "grading", "lab", "validation"}


@dataclass(frozen=True)
class Call:
    """One `explore(view, dials...)` of a notebook: its cell's id, which widget of that cell it is, and what it says."""

    cell: str
    widget: int
    source: str
    view: Callable[..., View]
    dials: dict[str, Dial]


def calls(notebook: Mapping[str, Any]) -> list[Call]:
    """The calls of `explore` in a stored notebook, in order. Nothing of it runs but the imports that a call names.

    Raises ValueError for a call that needs more than imports, or whose view is not one of `icrl_teach.views`.
    """
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    trees = [ast.parse(text_of(cell["source"])) for cell in cells]
    found = []
    for number, (cell, tree) in enumerate(zip(cells, trees, strict=True)):
        for widget, call in enumerate(widgets(tree)):
            if called(call) == EXPLORE:
                view, dials = answer(call, trees[: number + 1])
                found.append(Call(cell["id"], widget, ast.unparse(call), view, dials))
    return found


def called(call: ast.Call) -> str:
    """The plain name that is called, or nothing."""
    return call.func.id if isinstance(call.func, ast.Name) else ""


def widgets(tree: ast.Module) -> Iterator[ast.Call]:
    """A cell's own calls that show a widget, in the order of its outputs."""
    for statement in tree.body:
        value = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(value, ast.Call) and called(value) in (EXPLORE, TRAIN):
            yield value


def imports_for(call: ast.Call, trees: Iterable[ast.Module]) -> list[ast.stmt]:
    """The import statements that bind the names of a call, one name each, and nothing else of the cells `trees`.

    Raises ValueError if a name is bound by anything but an import, or by nothing.
    """
    needed = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)} - set(dir(builtins))
    bound: dict[str, ast.AST] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        bound.update(dict.fromkeys(needed & set(bindings(node)), node))
    found: list[ast.stmt] = []
    for name in sorted(needed):
        node = bound.get(name)
        if not isinstance(node, ast.Import | ast.ImportFrom):
            raise ValueError(
                f"{name!r} in {ast.unparse(call)[:60]!r} is not what an import of the notebook binds; a page without "
                "a kernel can only draw what icrl_teach.views holds: move it there and import it"
            )
        only = [alias for alias in node.names if bound_by(alias) == name]
        short = ast.Import(only) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, only, node.level)
        found.append(ast.copy_location(short, node))
    return found


def bound_by(alias: ast.alias) -> str:
    """The name that an import binds."""
    return alias.asname or alias.name.split(".")[0]


def bindings(node: ast.AST) -> list[str]:
    """The names that one node of a tree binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [bound_by(alias) for alias in node.names]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


def answer(call: ast.Call, trees: Iterable[ast.Module]) -> tuple[Callable[..., View], dict[str, Dial]]:
    """What a call hands to `explore`: the view and the dials."""
    names: dict[str, Any] = {}
    statements = imports_for(call, trees)
    exec(compile(ast.Module(statements, []), "<imports>", "exec"), names)
    names[EXPLORE] = lambda view, **dials: (view, dials)
    view, dials = eval(compile(ast.Expression(call), "<call>", "eval"), names)
    if not str(getattr(view, "__module__", "")).startswith("icrl_teach.views."):
        raise ValueError(f"{ast.unparse(call)[:60]!r} draws what is no view of icrl_teach.views; move it there")
    return view, dials


def positions(dial: Dial) -> list[Any]:
    """All places of a dial, as the browser holds them: values, or the numbers of a choice's options."""
    if dial.kind == "choice":
        return list(range(len(dial.options)))
    if dial.kind == "log":
        return [dial.least * (dial.most / dial.least) ** (k / dial.step) for k in range(int(dial.step) + 1)]
    count = round((dial.most - dial.least) / dial.step)
    values = [round(dial.least + k * dial.step, 10) for k in range(count + 1)]
    return [int(x) if float(x).is_integer() and isinstance(dial.value_at(x), int) else x for x in values]


def grid_of(dial: Dial, chosen: Iterable[float] | None = None) -> list[Any]:
    """The places of a dial that a page has, in order: all, or those nearest to the chosen values, and where it begins.

    Raises ValueError if a chosen value is not near any place of the dial (a log dial's are written rounded).
    """
    places = positions(dial)
    if dial.kind == "choice":
        return places
    kept = set(range(len(places))) if chosen is None else {_nearest(places, value, dial) for value in chosen}
    start = _nearest(places, dial.position, dial)
    places[start] = dial.position  # a log dial may begin between two of its places
    return [places[k] for k in sorted(kept | {start})]


def _nearest(places: list[Any], value: float, dial: Dial) -> int:
    k = min(range(len(places)), key=lambda k: abs(places[k] - value))
    if abs(places[k] - value) > (0.1 * value if dial.kind == "log" else 1e-9):
        raise ValueError(f"{value} is no place of the dial {dial.label!r}: {places[:3]} ... {places[-1]}")
    return k


@dataclass(frozen=True)
class Player:
    """A lesson's call with its grid. Its frames are kept under the name `folder`, another one when anything changes."""

    stem: str
    call: Call
    grid: dict[str, list[Any]]
    folder: str

    @property
    def count(self) -> int:
        """How many frames it has."""
        return prod(len(places) for places in self.grid.values())

    @property
    def first(self) -> int:
        """The number of the frame at which the dials begin; the last dial moves fastest."""
        begin = tuple(dial.position for dial in self.call.dials.values())
        return list(product(*self.grid.values())).index(begin)


def player(stem: str, call: Call, chosen: Mapping[str, Iterable[float]], sources: str) -> Player:
    """A lesson's player over a grid: by dial, the chosen values; all where none are.

    Raises ValueError for a dial that the call does not have, or for more than 600 frames.
    """
    if unknown := set(chosen) - set(call.dials):
        raise ValueError(f"{stem}: the grid names {sorted(unknown)}; the call has the dials {sorted(call.dials)}")
    grid = {name: grid_of(dial, chosen.get(name)) for name, dial in call.dials.items()}
    said = json.dumps([call.source, call.cell, grid, DPI, sources])
    made = Player(stem, call, grid, f"{stem}-{hashlib.sha256(said.encode()).hexdigest()[:12]}")
    if made.count > MAX_FRAMES:
        raise ValueError(f"{stem}: {made.count} frames; a page has at most {MAX_FRAMES}: choose fewer places in GRIDS")
    return made


def sources_key() -> str:
    """A digest of all that a frame depends on beside its call: the package, the drawing here, and what draws."""
    digest = hashlib.sha256("".join(map(inspect.getsource, (draw, _save, values_at))).encode())
    package = Path(icrl_teach.__file__).parent
    for path in sorted(path for path in package.rglob("*") if path.suffix in (".py", ".npz", ".safetensors")):
        if path.relative_to(package).parts[0] not in APART:
            digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    for name in ("numpy", "torch", "matplotlib", "pillow"):
        digest.update(version(name).encode())
    return digest.hexdigest()


def values_at(player: Player, places: Iterable[Any]) -> dict[str, Any]:
    """What the view gets when the dials stand at these places."""
    return {name: dial.value_at(place) for (name, dial), place in zip(player.call.dials.items(), places, strict=True)}


def draw(player: Player, cache: Path) -> Path:
    """Draw a player's frames into its folder of the cache, unless they are there: 0.webp ..., and frames.json.

    Frames are numbered with the last dial moving fastest. frames.json: size in pixels, and by frame its alternative
    text, its numbers and the cuts between its panels. Raises ValueError if the frames differ in size or weigh more
    than 8 MB.
    """
    target = cache / player.folder
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as working:
        part = Path(working) / player.folder
        part.mkdir()
        sizes, said = set(), []
        for k, places in enumerate(product(*player.grid.values())):
            view = player.call.view(**values_at(player, places))
            size = _save(view, part / f"{k}.webp")
            sizes.add(size)
            said.append([view.alt, view.numbers, cuts(view.figure, size[0])])
        weight = sum(path.stat().st_size for path in part.iterdir())
        if weight > MAX_BYTES or len(sizes) != 1:
            raise ValueError(f"{player.folder}: {weight} bytes, sizes {sizes}; at most {MAX_BYTES} and one size")
        text = json.dumps({"size": sizes.pop(), "frames": said})
        (part / "frames.json").write_text(text, encoding="utf-8")
        part.rename(target)
    return target


def _save(view: View, path: Path) -> tuple[int, int]:
    """A view as lossless WebP without background, as notebooks store pictures; its size in pixels."""
    lossless = {"lossless": True, "method": 4}
    with matplotlib.rc_context(STYLE):
        view.figure.savefig(path, format="webp", dpi=DPI, transparent=True, pil_kwargs=lossless)
    with Image.open(path) as image:
        return image.size


def one_thread() -> None:
    """In a process of its own: small tensors are faster on one thread, and there are as many processes as cores."""
    import torch

    torch.set_num_threads(1)


def draw_all(players: Iterable[Player], cache: Path, said: Callable[[str], None] = print) -> None:
    """Draw what the cache lacks, with a process for each core."""
    missing = [each for each in players if not (cache / each.folder).exists()]
    if not missing:
        return
    said(f"drawing {sum(each.count for each in missing)} frames of {len(missing)} players")
    from icrl_teach.validation.execute import cpus  # here, so that the processes that draw don't load it

    with ProcessPoolExecutor(min(len(missing), cpus()), get_context("spawn"), one_thread) as pool:
        by_length = sorted(missing, key=lambda each: -each.count)
        for each, _ in zip(by_length, pool.map(draw, by_length, [cache] * len(missing)), strict=True):
            said(f"drew {each.count} frames of {each.folder}")


def tidy(players: Iterable[Player], cache: Path) -> None:
    """Remove the older frames of these players' lessons."""
    kept = {each.folder: each.stem for each in players}
    for folder in cache.iterdir():
        if folder.name not in kept and folder.name.rpartition("-")[0] in kept.values():
            shutil.rmtree(folder)


if __name__ == "__main__":
    sources = sources_key()
    for path in map(Path, sys.argv[1:]):
        for call in calls(json.loads(path.read_text(encoding="utf-8"))):
            made = player(path.stem, call, GRIDS.get(path.stem, {}), sources)
            print(made.folder, made.count, {name: len(places) for name, places in made.grid.items()})
