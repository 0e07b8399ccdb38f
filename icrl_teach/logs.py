"""Trajectories from and to CSV: the door for a user's own data.

One row a transition: `state,reward,next_state`; states are any text, rewards are numbers. Consecutive rows must
connect (a row's next_state is the following row's state), or a fourth column `episode` separates episodes.
"""

from __future__ import annotations

import csv
import math
import os
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float

from icrl_teach.mrp import Trajectory

COLUMNS = ("state", "reward", "next_state")


class LogError(ValueError):
    """A file that cannot be read as a log; the message names file, line, value and remedy."""


@contextmanager
def _csv_rows(path: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """Header and numbered rows of a UTF-8 CSV file; anything else becomes a LogError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if header is None:
                raise LogError(
                    f"{path.name}: the file is empty; it needs a header line such as state,reward,next_state"
                )
            yield [name.strip() for name in header], ((reader.line_num, row) for row in reader if row)
    except UnicodeDecodeError:
        raise LogError(f"{path.name}: not a text file in UTF-8; export the log as CSV (UTF-8)") from None
    except csv.Error as error:
        raise LogError(f"{path.name}: not readable as CSV: {error}; export the log again as CSV (UTF-8)") from None
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}; check the path") from None


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LogError(f"{path.name}, line {line}: {name} is {text!r}; it must be a finite number such as 0 or -1.5")
    return value


def read_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """Read a log. Labels are the states' names, in order of first appearance.

    With an `episode` column the log becomes one endless chain by restart, as for environments: the last row of an
    episode leads to the first state of the next episode, and the last episode leads back to the start of the first.
    Names that only ever end an episode are then not states of the chain.
    Raises LogError (a ValueError) naming file, line, value and remedy.
    """
    path = Path(path)
    with _csv_rows(path) as (header, rows):
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise LogError(
                f"{path.name}: column {missing[0]!r} is missing; the header is {','.join(header)!r} "
                "but must name state, reward and next_state"
            )
        if twice := [name for name in (*COLUMNS, "episode") if header.count(name) > 1]:
            raise LogError(f"{path.name}: column {twice[0]!r} occurs twice; keep one of them")
        at = [header.index(name) for name in COLUMNS]
        episode_at = header.index("episode") if "episode" in header else None
        return _join(path, rows, len(header), at, episode_at)


def _join(
    path: Path, rows: Iterator[tuple[int, list[str]]], width: int, at: list[int], episode_at: int | None
) -> Trajectory:
    index: dict[str, int] = {}
    states, rewards = array("q"), array("d")
    expected = episode = ""
    begun: set[str] = set()  # no episode may come back
    for line, row in rows:
        if len(row) != width:
            raise LogError(
                f"{path.name}, line {line}: {len(row)} fields where the header has {width}; complete the row"
            )
        state, reward, next_state = (row[i] for i in at)
        new_episode = episode_at is not None and (not states or row[episode_at] != episode)
        if states and not new_episode and state != expected:
            raise LogError(
                f"{path.name}, line {line}: state is {state!r} but the row before led to {expected!r}; "
                "rows must connect, or an 'episode' column must separate episodes"
            )
        if episode_at is not None and new_episode:
            if row[episode_at] in begun:
                raise LogError(
                    f"{path.name}, line {line}: episode {row[episode_at]!r} comes back after {episode!r}; "
                    "sort the rows by episode, or give each episode a name of its own"
                )
            episode = row[episode_at]
            begun.add(episode)
        states.append(index.setdefault(state, len(index)))
        rewards.append(_number(path, line, "reward", reward))
        expected = next_state
    if not states:
        raise LogError(f"{path.name}: no rows below the header; a context needs at least one transition")
    states.append(index.setdefault(expected, len(index)) if episode_at is None else states[0])
    return Trajectory(np.frombuffer(states, dtype=np.int64), np.frombuffer(rewards), labels=list(index))


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO]:
    """Write to a temporary name beside `path`, then rename: a stop never leaves half a file."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: there is no such folder; make it first")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        text = "b" not in mode
        with os.fdopen(handle, mode, newline="" if text else None, encoding="utf-8" if text else None) as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # a temporary file is private; the result should be like any other
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def try_writing(folder: Path) -> None:
    """Raise OSError unless a file can be made in the folder; nothing stays there."""
    tempfile.TemporaryFile(dir=folder).close()


def write_trajectory(path: str | os.PathLike[str], trajectory: Trajectory) -> None:
    """Write a trajectory as a log that `read_trajectory` reads back. An existing file is replaced in one step."""
    names = trajectory.labels or [str(s) for s in range(trajectory.n_states)]
    with atomic_write(path) as file:
        writer = csv.writer(file)  # its default line end, CRLF, makes it quote names that hold either character
        writer.writerow(COLUMNS)
        pairs = zip(trajectory.states[:-1].tolist(), trajectory.states[1:].tolist(), strict=True)
        for (s, s_next), reward in zip(pairs, trajectory.rewards.tolist(), strict=True):
            writer.writerow((names[s], repr(reward), names[s_next]))


def read_features(path: str | os.PathLike[str], labels: tuple[str, ...]) -> Float[np.ndarray, "n_states d"]:
    """Features from a CSV with header `state,NAME,...`: one row for each of `labels`, in their order.

    Rows for other states are ignored. Raises LogError for a state without a row, one with two, or a field that is
    not a number.
    """
    path = Path(path)
    table: dict[str, list[float]] = {}
    with _csv_rows(path) as (header, rows):
        if len(header) < 2 or header[0] != "state":
            raise LogError(
                f"{path.name}: the header is {','.join(header)!r}; it must be state, then one name a feature"
            )
        for line, row in rows:
            if len(row) != len(header):
                raise LogError(f"{path.name}, line {line}: {len(row)} fields where the header has {len(header)}")
            if row[0] in table:
                raise LogError(f"{path.name}, line {line}: state {row[0]!r} has a row already; keep one of them")
            table[row[0]] = [_number(path, line, name, text) for name, text in zip(header[1:], row[1:], strict=True)]
    for label in labels:
        if label not in table:
            raise LogError(f"{path.name}: no row for state {label!r}, which the log visits; add its features")
    return np.array([table[label] for label in labels])
