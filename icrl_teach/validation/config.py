"""Settings: from the command line, from `[tool.icrl-teach.validate]` of a pyproject.toml, from a file's metadata."""

from __future__ import annotations

import fnmatch
import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from icrl_teach.validation.findings import ERROR, OFF, PROFILES, RULES, WARNING

SECTION = "[tool.icrl-teach.validate]"
REASONS = ("reason-progress-bar", "reason-live-plot", "reason-timing")


@dataclass(frozen=True)
class Budget:
    """What a notebook may take: seconds and megabytes for the whole run and for each cell; None means no limit."""

    seconds: float | None = None
    megabytes: float | None = None
    cell_seconds: float | None = None
    cell_megabytes: float | None = None


@dataclass(frozen=True)
class Settings:
    """How notebooks are held to the standard; every field has a default that works without a configuration.

    root: the folder that patterns are relative to; profile: forced for all, or None; profiles and budgets: pairs of
    pattern and value, the first match counts; levels: a rule's own weight; times in seconds, sizes in megabytes;
    picture_tolerance: in per cent of full scale, see pictures.py.
    """

    root: Path = field(default_factory=Path.cwd)
    profile: str | None = None
    profiles: tuple[tuple[str, str], ...] = ()
    budgets: tuple[tuple[str, Budget], ...] = ()
    levels: tuple[tuple[str, str], ...] = ()
    exclude: tuple[str, ...] = ()
    ignore_reasons: tuple[str, ...] = REASONS
    user_names: tuple[str, ...] = ()
    sanitize: Path | None = None
    cell_timeout: float = 120.0
    startup_timeout: float = 60.0
    memory_limit: float = 4096.0
    output_limit: float = 100.0
    picture_tolerance: float = 3.0
    max_megabytes: float = 1.5
    max_cells: int = 30
    max_lines: int = 12
    jobs: int | None = None
    repeat: int = 1

    def profile_of(self, path: Path) -> str:
        """The profile a notebook is held to: `own` where nothing else is said."""
        return self.profile or _first_match(self.profiles, self._relative(path)) or "own"

    def budget_of(self, path: Path) -> Budget:
        """The budget the configuration gives a notebook."""
        return _first_match(self.budgets, self._relative(path)) or Budget()

    def level_of(self, rule: str, profile: str) -> str:
        """How much a rule weighs: the configuration's word, else the profile's."""
        return dict(self.levels).get(rule) or RULES[rule].level(profile)

    def excludes(self, path: Path) -> bool:
        """Whether the configuration leaves a notebook out."""
        return any(fnmatch.fnmatch(self._relative(path), pattern) for pattern in self.exclude)

    def _relative(self, path: Path) -> str:
        path, root = resolved(path), resolved(self.root)
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def resolved(path: Path) -> Path:
    """A path without links; one whose links lead round in a circle is kept, where `resolve` would raise."""
    return Path(os.path.realpath(path))


def _first_match(pairs: tuple[tuple[str, Any], ...], name: str) -> Any:
    return next((value for pattern, value in pairs if fnmatch.fnmatch(name, pattern)), None)


def load(config: Path | None, first: Path) -> Settings:
    """The settings of `config`, or of the nearest pyproject.toml with the section, upwards from the path `first`.

    Raises ValueError for a file that cannot be read, or a key or value that is not known.
    """
    if config is not None:
        return _settings(config, _section(config, required=True) or {})
    start = resolved(first)
    for folder in (start, *start.parents):
        if (file := folder / "pyproject.toml").is_file() and (section := _section(file)) is not None:
            return _settings(file, section)
    return Settings()


def _section(file: Path, required: bool = False) -> dict[str, Any] | None:
    """The section in a pyproject.toml; a file of another name may hold the keys at its top level."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if not required:
            return None
        raise ValueError(f"{file}: not TOML: {error}; write the section {SECTION}") from None
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}; name a TOML file with the section {SECTION}") from None
    section = data.get("tool", {}).get("icrl-teach", {}).get("validate")
    if section is None and required and file.name != "pyproject.toml":
        return data
    return section


def _settings(file: Path, section: dict[str, Any]) -> Settings:
    settings = Settings(root=file.resolve().parent)
    for key, value in section.items():
        try:
            settings = _with(settings, key, value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}, {SECTION}: {key} = {value!r}: {error}") from None
    return settings


NUMBERS = {
    "cell-timeout": "cell_timeout",
    "startup-timeout": "startup_timeout",
    "memory-limit": "memory_limit",
    "output-limit": "output_limit",
    "picture-tolerance": "picture_tolerance",
    "max-megabytes": "max_megabytes",
    "max-cells": "max_cells",
    "max-lines": "max_lines",
    "jobs": "jobs",
    "repeat": "repeat",
}
LISTS = {"exclude": "exclude", "ignore-reasons": "ignore_reasons", "user-names": "user_names"}


def _with(settings: Settings, key: str, value: Any) -> Settings:
    """The settings with one key of the section; ValueError says what would be right."""
    change: dict[str, Any]
    if key in NUMBERS:
        whole = key in ("max-cells", "max-lines", "jobs", "repeat")
        change = {NUMBERS[key]: _positive(value, whole)}
        return replace(settings, **change)
    if key in LISTS:
        change = {LISTS[key]: _texts(value)}
        return replace(settings, **change)
    if key == "sanitize":
        file = settings.root / value
        if not file.is_file():
            raise ValueError("there is no such file; name one in nbval's format (regex: and replace: lines)")
        return replace(settings, sanitize=file)
    if key == "profiles":
        return replace(settings, profiles=tuple((p, _profile(v)) for p, v in dict(value).items()))
    if key == "budgets":
        return replace(settings, budgets=tuple((p, budget(v)) for p, v in dict(value).items()))
    if key in ("ignore", "warn", "error"):
        level = {"ignore": OFF, "warn": WARNING, "error": ERROR}[key]
        return replace(settings, levels=(*settings.levels, *((_rule(name), level) for name in _texts(value))))
    known = [*NUMBERS, *LISTS, "sanitize", "profiles", "budgets", "ignore", "warn", "error"]
    raise ValueError(f"no such key; the keys are {', '.join(sorted(known))}")


def budget(value: Any) -> Budget:
    """A budget from a table such as {seconds = 20, megabytes = 1500}; raises ValueError for anything else."""
    known = {"seconds", "megabytes", "cell-seconds", "cell-megabytes"}
    if not isinstance(value, dict) or set(value) - known:
        raise ValueError(f"a budget is a table of {', '.join(sorted(known))}")
    return Budget(**{key.replace("-", "_"): _positive(amount) for key, amount in value.items()})


def _positive(value: Any, whole: bool = False) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value > 0:
        raise ValueError(f"give a {'whole ' if whole else ''}number above 0")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("give a list of texts")
    return tuple(value)


def _profile(value: Any) -> str:
    if value not in PROFILES:
        raise ValueError(f"{value!r} is no profile; the profiles are {', '.join(PROFILES)}")
    return value


def _rule(name: str) -> str:
    if name not in RULES:
        raise ValueError(f"{name!r} is no rule; the rules are {', '.join(RULES)}")
    return name
