"""A log as walks: which rows follow each other, where an episode ends, and whether it ended or was cut."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from icrl_teach._door import door
from icrl_teach._validate import File, one_of
from icrl_teach.data.columns import MEANINGS, find_columns, parse_columns
from icrl_teach.data.errors import LogError, LogWarning, counted, listed, shown
from icrl_teach.data.sources import Source, read
from icrl_teach.data.suspicion import suspicions
from icrl_teach.data.table import Table, by_appearance, collect
from icrl_teach.mrp import Trajectory


@dataclass(frozen=True)
class Log:
    """A file that was read: its trajectory, and what a reader should know of it.

    episodes: their number, 0 where the file tells none apart; columns: the name of the column that was read for each
    role; ignored: names of columns that were not; warnings: what looks as if something had gone wrong before.
    action_names: of `trajectory.actions`, empty if none were recorded.
    """

    trajectory: Trajectory
    episodes: int
    columns: dict[str, str]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]
    action_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Walks:
    """Rows as transitions: their successors, and which of them end a walk, by termination or by a cut, never both."""

    table: Table
    next_states: np.ndarray
    terminated: np.ndarray
    cut: np.ndarray


def _in_order(table: Table) -> Table:
    """Rows of one episode together. Raises LogError where an episode comes back and no time says in which order."""
    if table.episodes is None:
        return table
    if table.times is not None:
        order = np.lexsort((table.times, table.episodes))
        if moved := int((order != np.argsort(table.episodes, kind="stable")).sum()):
            table.source.warnings.append(f"{counted(moved, 'row')} out of the order of time were put in it")
        return table.take(order)
    change = np.flatnonzero(np.diff(table.episodes)) + 1
    back = change[table.episodes[change] < np.maximum.accumulate(table.episodes)[change]]  # codes count up
    if back.size:
        k = int(back[0])
        again, before = (shown(table.episode_names[table.episodes[row]]) for row in (k, k - 1))
        raise LogError(
            f"{table.place(k)}: episode {again} comes back after {before}; "
            "sort the rows by episode, or give each episode a name of its own"
        )
    return table


def _ends(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are the last of their walk, and which of these terminated."""
    n = len(table.at)
    changes = np.zeros(n, dtype=bool)
    if table.episodes is not None:
        changes[:-1] = np.diff(table.episodes) != 0
    changes[-1] = True
    truncated = np.zeros(n, dtype=bool) if table.truncated is None else table.truncated
    if table.terminated is not None:
        terminated = table.terminated
        if table.done is not None and table.truncated is None:
            truncated = table.done & ~terminated
    elif table.done is not None:
        terminated = table.done & ~truncated
    elif table.episodes is not None:
        terminated = changes & ~truncated
    else:
        terminated = np.zeros(n, dtype=bool)
    flagged = terminated | truncated
    _check_flags(table, flagged, changes)
    return changes | flagged, terminated


def _check_flags(table: Table, flagged: np.ndarray, changes: np.ndarray) -> None:
    """Raise LogError where a row ends its episode and the episode goes on."""
    if table.episodes is not None and (inside := np.flatnonzero(flagged & ~changes)).size:
        k = int(inside[0])
        name, follows = shown(table.episode_names[table.episodes[k]]), table.place(k + 1).rpartition(", ")[2]
        raise LogError(
            f"{table.place(k)}: the row ends its episode, but {follows} goes on with episode {name}; "
            "give each episode a name of its own, or leave the column out with --columns episode="
        )


def _check_joined(table: Table, next_states: np.ndarray, last: np.ndarray) -> None:
    apart = np.flatnonzero(~last[:-1] & (next_states[:-1] != table.states[1:])) + 1
    if not apart.size:
        return
    k = int(apart[0])
    line = table.place(k).rpartition(", ")[2]
    same = all((a[k] == a[k - 1]) for a in (table.states, table.rewards, next_states))
    what = f"{line} repeats the one before" if same else f"{line} is repeated or a row is missing before it"
    remedy = "" if table.episodes is not None else ", or an 'episode' column must separate episodes"
    often = f" ({apart.size:,} rows do not connect)" if apart.size > 1 else ""
    raise LogError(
        f"{table.place(k)}: state is {shown(table.names[table.states[k]])} but the row before led to "
        f"{shown(table.names[next_states[k - 1]])}; rows must connect{remedy}: {what}{often}"
    )


def _walks(table: Table) -> Walks:
    """Transitions of a table in order; the last row of an unfinished walk in an event log is where it landed."""
    last, terminated = _ends(table)
    if table.next_states is not None:
        _check_joined(table, table.next_states, last)
        return Walks(table, table.next_states, terminated, last & ~terminated)
    following = np.append(table.states[1:], -1)
    landing = last & ~terminated
    if landing.any():
        table.source.warnings.append(
            f"what follows the last row of {counted(int(landing.sum()), 'unfinished walk')} is not recorded: its "
            "reward is not used"
        )
    cut = np.append(landing[1:], False) & ~last
    if not (keep := ~landing).any():
        raise LogError(f"{table.source.name}: no row is followed by another; a context needs at least one transition")
    return Walks(table.take(np.flatnonzero(keep)), following[keep], terminated[keep], cut[keep])


def restarted(trajectory: Trajectory) -> Trajectory:
    """One endless chain: a step that terminated leads to the start of the next walk, and the last one to the first.

    A walk that was cut stays cut: nothing joins it to what follows. Without terminations nothing changes.
    """
    steps = trajectory.transitions
    begins = np.flatnonzero(np.r_[True, (steps.terminated | steps.truncated)[:-1]])
    ends = np.flatnonzero(steps.terminated)
    following = begins[np.searchsorted(begins, ends, side="right") % len(begins)]
    next_states = steps.next_states.copy()
    next_states[ends] = steps.states[following]
    return Trajectory.of_transitions(
        steps.states,
        steps.rewards,
        next_states,
        truncated=steps.truncated,
        labels=trajectory.labels,
        actions=steps.actions,
    )


def _trajectory(walks: Walks) -> Trajectory:
    """Labels are numbered by first appearance; what only ever ends an episode is no state."""
    table = walks.table
    next_states = np.where(walks.terminated, -1, walks.next_states)
    both = np.stack([table.states, next_states], axis=1).ravel()
    numbers, seen = by_appearance(both[both >= 0])
    codes = np.full(both.shape, -1)
    codes[both >= 0] = numbers
    states, following = codes.reshape(-1, 2).T
    return Trajectory.of_transitions(
        states,
        table.rewards,
        following,
        walks.terminated,
        walks.cut,
        labels=[table.names[code] for code in seen],
        actions=table.actions,
    )


def _use(source: Source, chosen: Mapping[str, str], episodes: str) -> Log:
    columns = find_columns(source.header, source.name, chosen)
    table = _in_order(collect(source, columns))
    walks = _walks(table)
    notes = [*source.warnings, *suspicions(walks)]
    ends = walks.terminated | walks.cut
    told = table.episodes is not None or walks.terminated.any() or ends[:-1].any()
    trajectory = _trajectory(walks)
    return Log(
        restarted(trajectory) if episodes == "restart" else trajectory,
        int(ends.sum()) if told else 0,
        {role: source.header[position] for role, position in columns.at.items()},
        columns.ignored,
        tuple(f"{source.name}: {note}" for note in notes),
        tuple(table.action_names),
    )


@door
def read_log(
    path: File, columns: Mapping[str, str] | str | None = None, episodes: Annotated[str, one_of(*MEANINGS)] = "terminal"
) -> Log:
    """Read a log and say what was found. Arguments and errors are those of `read_trajectory`; nothing is printed."""
    chosen = parse_columns(columns) if isinstance(columns, str) else dict(columns or {})
    return read(Path(path), lambda source: _use(source, chosen, episodes), list(chosen.values()))


@door
def read_trajectory(
    path: File, columns: Mapping[str, str] | str | None = None, episodes: Annotated[str, one_of(*MEANINGS)] = "terminal"
) -> Trajectory:
    """Read a log: CSV (comma, semicolon or tab; plain, gzip or zip), Parquet, or the folder of a Minari data set.

    Columns are state, reward and next_state; optional are episode, terminated, truncated or done, action and time.
    Other usual names are understood (obs, rew, next_obs, terminal, timeout), in any case; `columns` gives the rest,
    as {'state': 'page'} or 'state=page,reward=revenue'. Without next_state the next row of the same episode follows.
    Labels are the states' names, in order of first appearance.

    Where the file tells episodes apart, an episode's last row terminates, unless flags say otherwise: a walk that
    neither flag ends was cut, and its last state is kept. With episodes='restart' a terminated transition leads to
    the first state of the next episode instead, and the last one back to the first. Names that only ever end an
    episode are no states.
    Raises LogError (a ValueError) naming file, line, value and remedy; warns (LogWarning) of data that look as if
    something had gone wrong before, and of columns that are not used.
    """
    log = read_log(path, columns, episodes)
    notes = list(log.warnings)
    if log.ignored:
        notes.append(unused_columns(log, Path(path).name))
    for note in notes:
        warnings.warn(note, LogWarning, stacklevel=3)  # the line behind the door
    return log.trajectory


def unused_columns(log: Log, name: str) -> str:
    """What is said of columns that have no meaning here."""
    return f"{name}: columns not used: {listed(log.ignored, 12)}"
