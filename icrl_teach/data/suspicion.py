"""Data that are legal, and look as if something had gone wrong before they were written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from icrl_teach.data.errors import counted, listed, shown

if TYPE_CHECKING:
    from icrl_teach.data.log import Walks

MISSING = frozenset({"", "nan", "null", "none", "na", "n/a"})
USUAL_START = 0.9  # share of episodes from which on one start is the rule, and others are exceptions
ENOUGH_EPISODES = 10


def suspicions(walks: Walks) -> list[str]:
    """One sentence for each thing that a user should look at."""
    return [note for check in (_names, _zero_rewards, _repeated, _last_line, _starts, _no_end) for note in check(walks)]


def _used_names(walks: Walks) -> list[str]:
    codes = np.unique(np.concatenate([walks.table.states, walks.next_states[~walks.terminated]]))
    return [walks.table.names[code] for code in codes]


def _alike(name: str) -> str:
    text = name.strip().casefold()
    try:
        return f"{float(text):.17g}"
    except ValueError:
        return text


def _names(walks: Walks) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    names = _used_names(walks)
    for name in names:
        groups.setdefault(_alike(name), []).append(name)
    twins = [group for group in groups.values() if len(group) > 1]
    if twins:
        pairs = "; ".join(" beside ".join(map(shown, group[:3])) for group in twins[:3])
        more = f"; and {len(twins) - 3:,} more" if len(twins) > 3 else ""
        yield f"states whose names look alike are different states: {pairs}{more}"
    if missing := [name for name in names if name.strip().casefold() in MISSING]:
        yield f"a state is called {listed(missing)}, which looks like a missing value"


def _zero_rewards(walks: Walks) -> Iterator[str]:
    if not walks.table.rewards.any():
        yield "all rewards are 0, so every value is 0; check the column"


def _repeated(walks: Walks) -> Iterator[str]:
    """Rows that say the same twice, where that is no step: with one time, in a log of events, or behind an end.

    What repeats the end of a longer walk reads as a walk of one step, and is one if other walks begin in that state.
    """
    table, n = walks.table, len(walks.table.at)
    same = np.arange(n) > 0
    for name, column in vars(table).items():
        if isinstance(column, np.ndarray) and name != "at":
            same[1:] &= column[1:] == column[:-1]
    begins = np.r_[True, (walks.terminated | walks.cut)[:-1]]
    original = np.maximum.accumulate(np.where(same, 0, np.arange(n)))  # the first of rows that say the same
    behind = same & begins & ~begins[original]
    behind &= ~np.isin(table.states, table.states[begins & ~behind])
    inside = same & ~begins & (table.times is not None or table.next_states is None)
    if (rows := np.flatnonzero(behind | inside)).size:
        yield f"{counted(rows.size, 'row')} the same as the row before, first at {table.place(int(rows[0]))}: repeated?"


def _last_line(walks: Walks) -> Iterator[str]:
    """An end that occurs once, in a last line that has no line end or a name that begins like another's."""
    table = walks.table
    if table.source.unit != "line" or len(table.at) < 2:
        return
    k = int(np.argmax(table.at))
    code = int(table.states[k] if table.next_states is None else table.next_states[k])
    name, column = table.names[code], "state" if table.next_states is None else "next_state"
    count = int((table.states == code).sum())
    if table.next_states is not None:
        count += int((table.next_states == code).sum())
    prefix = any(other.startswith(name) and other != name for other in table.names)
    if count == 1 and (prefix or table.source.cut_short):
        yield f"the last line may be cut short: its {column} {shown(name)} occurs once"


def _starts(walks: Walks) -> Iterator[str]:
    """Episodes that begin where others only pass through, while nearly all begin in one state."""
    table = walks.table
    begins = np.flatnonzero(np.r_[True, (walks.terminated | walks.cut)[:-1]])
    if len(begins) < ENOUGH_EPISODES:
        return
    starts, counts = np.unique(table.states[begins], return_counts=True)
    usual = starts[counts.argmax()]
    odd = begins[table.states[begins] != usual]
    if odd.size and counts.max() >= USUAL_START * len(begins):
        passed = np.isin(table.states[odd], walks.next_states[~walks.terminated])
        if passed.any():
            first, verb = int(odd[passed][0]), "begins" if passed.sum() == 1 else "begin"
            yield (
                f"{counted(int(passed.sum()), 'episode')} of {len(begins):,} {verb} in the middle (nearly all begin "
                f"in {shown(table.names[usual])}), first at {table.place(first)} in "
                f"{shown(table.names[table.states[first]])}: is the beginning missing?"
            )


def _no_end(walks: Walks) -> Iterator[str]:
    table = walks.table
    flagged = table.terminated is not None or table.done is not None
    if flagged and not walks.terminated.any():
        yield "no row is marked as terminated, so no episode ends: every walk counts as cut"
    if table.done is not None and table.terminated is None and table.truncated is None and walks.terminated.any():
        yield (
            "'done' does not tell an end from a time limit, and is read as an end; "
            "a column 'truncated' or 'timeout' would tell"
        )
