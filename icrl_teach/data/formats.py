"""Parquet files and Minari data sets, which need the extra `data`. Nothing in a file is ever run as code."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icrl_teach.data.errors import LogError, shown
from icrl_teach.data.sources import ROW_LIMIT, Chunk, Source

CHUNK = 50_000  # rows of a Parquet file held at a time
INSTALL = 'pip install "icrl-teach[data]"'


class ParquetSource(Source):
    """The rows of a Parquet file, a batch at a time."""

    def __init__(self, name: str, stream: io.BufferedReader) -> None:
        super().__init__(name)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise LogError(f"{name}: reading Parquet needs pyarrow; run: {INSTALL}") from None
        try:
            self._file = pyarrow.parquet.ParquetFile(stream)
        except pyarrow.ArrowException as error:
            raise LogError(f"{name}: not readable as Parquet ({shown(str(error))}); write it again") from None
        self._error = pyarrow.ArrowException
        self.header = list(self._file.schema_arrow.names)
        if (rows := self._file.metadata.num_rows) > ROW_LIMIT:
            raise LogError(f"{name}: {rows:,} rows; the limit is {ROW_LIMIT:,}: split the log")

    def chunks(self, wanted: Sequence[int]) -> Iterator[Chunk]:
        """The rows as Python values; a value that is missing is None."""
        names = [self.header[i] for i in wanted]
        for i in wanted:
            kind = self._file.schema_arrow.field(i).type
            if kind.num_fields:
                raise LogError(f"{self.name}: column {shown(self.header[i])} holds {kind}; write one value a field")
        first = 1
        try:
            for batch in self._file.iter_batches(CHUNK, columns=names):
                values = {i: batch.column(self.header[i]).to_pylist() for i in wanted}
                yield Chunk(list(range(first, first + batch.num_rows)), values)
                first += batch.num_rows
        except (self._error, OSError) as error:
            raise LogError(f"{self.name}: broken Parquet ({shown(str(error))}); copy or write it again") from None


def _names(space: Any, observations: Any, source: str) -> list[str]:
    """One name for each observation, as `number_observations` gives it: '3', or '(13, 10, 0)' where it has parts."""
    columns = _columns(space, observations, source)
    if len(columns) == 1:
        return columns[0]
    return [f"({', '.join(row)})" for row in zip(*columns, strict=True)]


def _columns(space: Any, values: Any, source: str, prefix: str = "") -> list[list[str]]:
    """The parts of the observations as columns of names."""
    inner: Any = getattr(space, "spaces", None)
    if isinstance(values, dict):
        named = [(f"{prefix}{key} ", inner[key], values[key]) for key in inner]
        return [column for start, sub, value in named for column in _columns(sub, value, source, start)]
    if isinstance(values, tuple):
        pairs = zip(inner, values, strict=True)
        return [column for sub, value in pairs for column in _columns(sub, value, source, prefix)]
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return [[prefix + value for value in values]]
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        raise LogError(
            f"{source}: its space {shown(str(space))} holds measurements, and a log needs numbered states; round them "
            "into groups and write state,reward,next_state as CSV"
        )
    parts = array.reshape(len(array), -1).astype(np.int64).T.tolist()
    return [[prefix + str(value) for value in column] for column in parts]


class MinariSource(Source):
    """The steps of a Minari data set, given by its folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.name)
        inside = [place for place in (folder, folder / "data") if (place / "metadata.json").is_file()]
        if not inside:
            raise LogError(
                f"{folder}: cannot be read: Is a directory; a folder must be a Minari data set, with a metadata.json"
            )
        self._check_metadata(inside[0] / "metadata.json")
        try:
            import minari

            self._data = minari.MinariDataset(inside[0])
        except ImportError as error:
            raise LogError(f"{self.name}: this Minari data set needs more ({error}); run: {INSTALL}") from None
        except Exception as error:  # whatever a broken file makes Minari raise
            raise LogError(f"{self.name}: not readable as a Minari data set ({shown(str(error))})") from None
        self.header = ["episode", "state", "reward", "next_state", "terminated", "truncated", "action"]

    def _check_metadata(self, path: Path) -> None:
        """Both spaces must stand in the file: without them Minari would import and make the environment it names."""
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            complete = {"observation_space", "action_space", "data_format"} <= known.keys()
        except (OSError, ValueError, AttributeError) as error:
            raise LogError(f"{self.name}: metadata.json cannot be read ({shown(str(error))})") from None
        if not complete:
            raise LogError(f"{self.name}: metadata.json lacks observation_space, action_space or data_format")

    def chunks(self, wanted: Sequence[int]) -> Iterator[Chunk]:
        """The steps, an episode at a time."""
        done = 0
        try:
            for episode in self._data.iterate_episodes():
                n = len(episode.rewards)
                states = _names(self._data.observation_space, episode.observations, self.name)
                if len(states) != n + 1:
                    raise LogError(f"{self.name}: episode {episode.id} has {len(states)} observations for {n} rewards")
                actions = self._actions(episode.actions)
                flags = [np.asarray(f, dtype=bool).tolist() for f in (episode.terminations, episode.truncations)]
                rewards = np.asarray(episode.rewards, dtype=float).tolist()
                values = ([str(episode.id)] * n, states[:-1], rewards, states[1:], *flags, actions or [""] * n)
                yield Chunk(list(range(done + 1, done + n + 1)), {i: values[i] for i in wanted})
                done += n
        except LogError:
            raise
        except Exception as error:  # whatever a broken file makes Minari raise
            raise LogError(f"{self.name}: not readable as a Minari data set ({shown(str(error))})") from None

    def _actions(self, actions: Any) -> list[str] | None:
        try:
            return _names(self._data.action_space, actions, self.name)
        except LogError:  # continuous actions: the states are what a value needs
            return None
