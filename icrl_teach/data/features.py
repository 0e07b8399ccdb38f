"""Features of states from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from icrl_teach._door import door
from icrl_teach._validate import File
from icrl_teach.data.errors import LogError, shown
from icrl_teach.data.sources import Source, read
from icrl_teach.data.table import Numbers, as_names


@door
def read_features(path: File, labels: Sequence[str]) -> Float[np.ndarray, "n_states d"]:
    """Features from a file with header `state,NAME,...`: one row for each of `labels`, in their order.

    Formats are those of `read_trajectory`. Rows for other states are ignored. Raises LogError for a state without a
    row, one with two, or a field that is not a number.
    """
    return read(Path(path), lambda source: _table(source, labels), ["state"])


def _table(source: Source, labels: Sequence[str]) -> np.ndarray:
    header = source.header
    if len(header) < 2 or header[0].casefold() != "state":
        raise LogError(
            f"{source.name}: the header is {shown(','.join(header))}; it must be state, then one name a feature"
        )
    numbers = [Numbers(source, name) for name in header[1:]]
    row: dict[str, int] = {}
    table = []
    for chunk in source.chunks(range(len(header))):
        table.append(np.stack([n.parse(chunk.columns[i], chunk.at) for i, n in enumerate(numbers, 1)], axis=1))
        states = as_names(chunk.columns[0], chunk.at, "state", source)
        for at, state in zip(chunk.at, states, strict=True):
            if state in row:
                raise LogError(f"{source.place(at)}: state {shown(state)} has a row already; keep one of them")
            row[state] = len(row)
    for label in labels:
        if label not in row:
            raise LogError(f"{source.name}: no row for state {shown(label)}, which the log visits; add its features")
    return np.concatenate(table)[[row[label] for label in labels]]
