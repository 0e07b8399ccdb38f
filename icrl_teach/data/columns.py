"""Which column of a file means what: the usual names, and the user's own."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icrl_teach.data.errors import LogError, listed, shown

ALIASES = {  # compared without case, spaces, and the marks between words
    "state": ("state", "states", "obs", "observation", "observations"),
    "reward": ("reward", "rewards", "rew"),
    "next_state": ("nextstate", "nextstates", "nextobs", "nextobservation", "nextobservations"),
    "episode": ("episode", "episodes", "episodeid", "ep"),
    "terminated": ("terminated", "terminal", "terminals", "termination", "terminations"),
    "truncated": ("truncated", "truncation", "truncations", "timeout", "timeouts"),
    "done": ("done", "dones"),
    "action": ("action", "actions", "act"),
    "time": ("time", "timestamp", "datetime"),
}
ROLES = tuple(ALIASES)
MEANINGS = ("terminal", "restart")  # of an episode's end
_ROLE = {alias: role for role, aliases in ALIASES.items() for alias in aliases}
_SESSIONS = re.compile("session|visit|user|customer|client|traj|run|id$")  # names that may tell episodes apart


def plain(name: str) -> str:
    """A name without case, spaces, and marks between words: 'Next Obs' and 'next_obs' are one."""
    return re.sub(r"[\s_.-]+", "", name).casefold()


def role_of(name: str) -> str | None:
    """What a column of this name usually holds, or None."""
    return _ROLE.get(plain(name))


def parse_columns(text: str) -> dict[str, str]:
    """Read 'state=page,reward=revenue'. A name that holds a comma stands in quotes, as in CSV; an empty one means none.

    >>> parse_columns('state=page, reward=revenue')
    {'state': 'page', 'reward': 'revenue'}
    """
    chosen: dict[str, str] = {}
    for part in next(csv.reader([text], skipinitialspace=True), []):
        role, equals, name = part.partition("=")
        if not equals:
            raise ValueError(f"columns holds {shown(part)}; write ROLE=NAME, for example state=page,reward=revenue")
        chosen[role.strip()] = name.strip()
    return chosen


@dataclass(frozen=True)
class Columns:
    """Where each role stands in a header, and the names of the columns that have none."""

    at: dict[str, int]
    ignored: tuple[str, ...]


def _position(header: Sequence[str], role: str, wanted: str, source: str) -> int:
    exact = [i for i, name in enumerate(header) if name == wanted]
    found = exact or [i for i, name in enumerate(header) if plain(name) == plain(wanted)]
    if not found:
        raise LogError(f"{source}: there is no column {shown(wanted)} for {role}; the columns are {listed(header, 12)}")
    if len(found) > 1:
        raise LogError(f"{source}: column {shown(wanted)} occurs twice; keep one of them")
    return found[0]


def find_columns(header: Sequence[str], source: str, chosen: Mapping[str, str] | None = None) -> Columns:
    """Roles by the names in `chosen`, the rest by their usual names. Raises LogError where two columns claim one.

    The documented name itself wins over other usual names, which are then listed among the ignored.
    """
    chosen = dict(chosen or {})
    if unknown := [role for role in chosen if role not in ROLES]:
        raise ValueError(f"columns names {shown(unknown[0])}; a column can be: {', '.join(ROLES)}")
    at = {role: _position(header, role, name, source) for role, name in chosen.items() if name}
    if len(set(at.values())) < len(at):
        raise ValueError(f"columns gives one column two meanings: {', '.join(f'{r}={n}' for r, n in chosen.items())}")
    taken = set(at.values())
    for role in ROLES:
        if role in chosen:
            continue
        claims = [i for i, name in enumerate(header) if role_of(name) == role and i not in taken]
        documented = [i for i in claims if plain(header[i]) == plain(role)]
        claims = documented or claims
        if len(claims) > 1:
            names = [header[i] for i in claims]
            if len(set(names)) == 1:
                raise LogError(f"{source}: column {shown(names[0])} occurs twice; keep one of them")
            raise LogError(
                f"{source}: columns {listed(names)} all mean {role}; say which with --columns {role}={names[0]}"
            )
        if claims:
            at[role] = claims[0]
    ignored = tuple(name for i, name in enumerate(header) if i not in at.values())
    _check_complete(at, header, ignored, source)
    return Columns(at, ignored)


def _check_complete(at: Mapping[str, int], header: Sequence[str], ignored: Sequence[str], source: str) -> None:
    for role in ("state", "reward"):
        if role not in at:
            raise LogError(
                f"{source}: column {role!r} is missing; the header is {shown(','.join(header))} but must name state, "
                f"reward and next_state; give another name with --columns {role}=NAME"
            )
    if "next_state" in at or "episode" in at or at.keys() & {"terminated", "truncated", "done"}:
        return
    sessions = [name for name in ignored if _SESSIONS.search(plain(name))]
    remedy = f"; if {shown(sessions[0])} tells them apart, give --columns episode={sessions[0]}" if sessions else ""
    raise LogError(
        f"{source}: column 'next_state' is missing; the header is {shown(','.join(header))}; without it a column "
        f"'episode' must say which rows belong together{remedy}"
    )
