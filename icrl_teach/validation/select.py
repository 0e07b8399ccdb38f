"""Which notebooks: files and folders, a shard of them for one of several machines, those a revision changed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from icrl_teach.validation.config import Settings, resolved

PASSED_OVER = {"node_modules", "__pycache__", "site-packages", "_build"}
# A change in one of these can change any output: then every notebook is run.
ENVIRONMENT = re.compile(
    r"^(pyproject\.toml|setup\.(py|cfg)|(requirements|constraints).*\.txt|environment.*\.ya?ml|.*\.lock)$"
)


def collect(paths: Sequence[Path], settings: Settings) -> list[Path]:
    """The notebooks named, and those inside the folders named, in order; hidden folders are passed over.

    Raises ValueError for a path that is not there, and if there is no notebook at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: there is no such file or folder")
        if path.is_dir():
            inside = sorted(_inside(path))
            found.update(dict.fromkeys(file for file in inside if not settings.excludes(file)))
        elif path.suffix != ".ipynb":
            raise ValueError(f"{path}: not a notebook; name .ipynb files or folders that hold some")
        else:
            found[path] = None
    if not found:
        names = ", ".join(map(str, paths))
        raise ValueError(f"{names}: no notebook found; name .ipynb files or folders that hold some")
    return list(found)


def _inside(folder: Path) -> list[Path]:
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".") and f not in PASSED_OVER]
        files += [Path(place) / name for name in names if name.endswith(".ipynb") and not name.startswith(".")]
    return files


def shard(paths: list[Path], which: str) -> list[Path]:
    """The K-th of N shares of the notebooks, for `which` = 'K/N': every notebook is in exactly one.

    Raises ValueError unless 1 <= K <= N.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", which)
    k, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= k <= n:
        raise ValueError(f"shard is {which!r}; give K/N with 1 <= K <= N, for example 2/3")
    return paths[k - 1 :: n]


def changed_since(paths: list[Path], revision: str) -> list[Path]:
    """The notebooks that may give other outputs than at a git revision: they changed, or a file that they name did
    (data, a module), or the environment's description did. Raises ValueError where git cannot tell."""
    changed = {path for folder in {resolved(p).parent for p in paths} for path in _changed(folder, revision)}
    if any(ENVIRONMENT.match(path.name) for path in changed):
        return paths
    names = {path.name for path in changed if path.suffix not in (".py", ".ipynb")}
    modules = {part for path in changed if path.suffix == ".py" for part in (path.stem, *path.parent.parts[-3:])}
    return [path for path in paths if resolved(path) in changed or _touches(path, names, modules)]


def _touches(path: Path, names: set[str], modules: set[str]) -> bool:
    """Whether a notebook's text names a changed file, or imports a module or package that holds one."""
    text = path.read_text(encoding="utf-8", errors="replace")
    imported = {m for line in re.findall(r"\b(?:import|from)\s+([\w., ]+)", text) for m in re.findall(r"\w+", line)}
    return any(name in text for name in names) or bool(imported & modules)


def _changed(folder: Path, revision: str) -> set[Path]:
    if revision.startswith("-"):
        raise ValueError(f"changed-since is {revision!r}; give a git revision, for example origin/main")
    root = _git(folder, "rev-parse", "--show-toplevel").strip()
    listed = _git(Path(root), "diff", "--name-only", "-z", revision, "--")
    new = _git(Path(root), "ls-files", "--others", "--exclude-standard", "-z")
    return {(Path(root) / name).resolve() for name in (listed + new).split("\0") if name}


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise ValueError(f"changed-since needs git: {error.strerror}") from None
    if done.returncode:
        reason = (done.stderr.splitlines() or ["no reason given"])[0]
        raise ValueError(f"changed-since: git {words[0]} in {folder}: {reason}")
    return done.stdout
