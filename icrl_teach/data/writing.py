"""Trajectories to CSV, in the form that `read_trajectory` reads back."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from icrl_teach._door import door
from icrl_teach._files import atomic_write
from icrl_teach._validate import File
from icrl_teach.data.errors import shown
from icrl_teach.mrp import Trajectory


def _columns(trajectory: Trajectory) -> Iterator[tuple[str, list[object]]]:
    names = trajectory.labels or tuple(str(s) for s in range(trajectory.n_states))
    steps = trajectory.transitions
    yield "state", [names[s] for s in steps.states.tolist()]
    yield "reward", [repr(reward) for reward in steps.rewards.tolist()]
    yield "next_state", [names[s] if s >= 0 else "" for s in steps.next_states.tolist()]
    if steps.terminated.any() or steps.truncated.any():
        yield "terminated", steps.terminated.astype(int).tolist()
        yield "truncated", steps.truncated.astype(int).tolist()
    if steps.actions is not None:
        yield "action", steps.actions.tolist()


@door
def write_trajectory(path: File, trajectory: Trajectory) -> None:
    """Write a trajectory as CSV: state, reward, next_state, then its flags and actions where it has any.

    The next state of a terminated transition is empty. An existing file is replaced in one step.
    Raises ValueError for a name that holds a NUL character, which no text file can.
    """
    names = trajectory.labels or ()
    if bad := next((name for name in names if "\0" in name), None):
        raise ValueError(f"labels holds {shown(bad)}; a text file cannot hold a NUL character: rename the state")
    columns = dict(_columns(trajectory))
    with atomic_write(path) as file:
        writer = csv.writer(file)  # its default line end, CRLF, makes it quote names that hold either character
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
