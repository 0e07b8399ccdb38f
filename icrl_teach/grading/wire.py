"""What grader and learner's process say to one another: frames of JSON with arrays beside it. Nothing is unpickled.

A frame is a length of the JSON, a length of the arrays' bytes, and both. What comes from the learner's process is read
here with bounds on size and depth, and into plain values only: numbers, text, lists, dicts, arrays, tensors. Whatever
else a learner returns arrives as a `Foreign` that bears the name of its type and nothing of it.
"""

from __future__ import annotations

import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Pipe = Any  # a binary file, such as a process's
HEADER = struct.Struct(">II")
LARGEST_TEXT = 2 * 2**20  # bytes of a frame's JSON from a learner: lists and dicts, and where arrays stand
MOST_ITEMS = 50_000  # numbers in lists, which take more room than arrays
DEEPEST = 24  # lists within lists
DTYPE = re.compile(r"[<|](b1|i[1248]|u[1248]|f[248]|c8|c16)")


class Broken(Exception):
    """What came over the pipe is no frame of ours; the message says why."""


class TooLarge(Exception):
    """A value that would not fit into a frame."""


class Foreign:
    """Something that is neither number, text, list, dict, array nor tensor: only the name of its type came over."""

    def __repr__(self) -> str:
        return "(it stays in the learner's process)"


def foreign(kind: str) -> Foreign:
    """A foreign object of a type that bears this name."""
    return type(kind if kind.isidentifier() and kind.isascii() else "object", (Foreign,), {})()


def send(pipe: Pipe, message: dict[str, Any], blob: bytes = b"") -> None:
    """Write one frame."""
    text = json.dumps(message).encode()
    pipe.write(HEADER.pack(len(text), len(blob)) + text + blob)
    pipe.flush()


def receive(pipe: Pipe, largest: int, text: int = LARGEST_TEXT) -> tuple[dict[str, Any], bytes]:
    """The next frame, of at most so many bytes of arrays and of JSON.

    Raises EOFError where the pipe ends, Broken for anything that is no such frame.
    """
    text_size, blob_size = HEADER.unpack(_exactly(pipe, HEADER.size))
    if text_size > text or blob_size > largest:
        raise Broken(f"a frame of {text_size + blob_size} bytes")
    content, blob = _exactly(pipe, text_size), _exactly(pipe, blob_size)
    try:
        message = json.loads(content)
    except (ValueError, RecursionError):
        raise Broken("no JSON") from None
    if not isinstance(message, dict):
        raise Broken("no message")
    return message, blob


def _exactly(pipe: Pipe, size: int) -> bytes:
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return content


@dataclass
class Writer:
    """Values on their way into one frame: `value` gives what stands in its JSON, `blob` the arrays' bytes.

    function: what stands for a function; without it one is foreign. Raises TooLarge, and TypeError for a value that
    cannot be handed over where `strict`.
    """

    largest: int
    function: Callable[[Any], str | None] | None = None
    strict: bool = False
    blob: bytearray = field(default_factory=bytearray)
    _items: int = 0

    def value(self, value: Any, depth: int = 0) -> Any:
        """A value as JSON; containers are walked, and what is too deep or goes round in circles is foreign."""
        self._items += 1
        if self._items > MOST_ITEMS and not self.strict:
            raise TooLarge
        if value is None or isinstance(value, bool) or type(value) is float:
            return value
        if type(value) is int:
            self._items += value.bit_length() // 32
            return value if value.bit_length() <= 1024 else {"foreign": "int of over 300 digits"}
        if type(value) is str:
            self._items += len(value) // 4
            return {"text": value[:10_000]}
        if depth > DEEPEST:
            return {"foreign": "nest of over 20 lists"}
        return self._container(value, depth + 1)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, list):
            return [self.value(item, depth) for item in value]
        if isinstance(value, tuple):
            return {"tuple": [self.value(item, depth) for item in value]}
        if isinstance(value, dict):
            return {"dict": [[self.value(k, depth), self.value(v, depth)] for k, v in value.items()]}
        if isinstance(value, Iterator) and self.strict:  # of our own, so it ends
            return {"once": [self.value(item, depth) for item in value]}
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, np.generic | np.ndarray) and DTYPE.fullmatch(_little(value.dtype).str):
            kind = "scalar" if isinstance(value, np.generic) else "array"
            return {kind: self._array(np.asarray(value))}
        if callable(value) and self.function is not None and (name := self.function(value)) is not None:
            return {"function": name}
        if self.strict:
            raise TypeError(
                f"a check hands over a {type(value).__name__}: use numbers, arrays, lists, dicts, functions"
            )
        return self._other(value)

    def _tensor(self, value: Any) -> Any:
        plain = value.detach().cpu().resolve_conj().resolve_neg()
        try:
            array = plain.numpy()
        except (TypeError, RuntimeError):  # NumPy has no bfloat16, and a sparse tensor no array
            return {"foreign": f"tensor of {value.dtype}"}
        return {"tensor": self._array(array), "grad": bool(value.requires_grad)}

    def _array(self, array: np.ndarray) -> list[Any]:
        if len(self.blob) + array.nbytes > self.largest:
            raise TooLarge
        start, array = len(self.blob), array.astype(_little(array.dtype), copy=False)
        self.blob += array.tobytes()
        return [array.dtype.str, list(array.shape), start]

    def _other(self, value: Any) -> Any:
        """Whatever NumPy makes numbers of, such as a range, a pandas Series or fractions; all else is foreign."""
        kind = {"foreign": type(value).__name__[:80]}
        if isinstance(value, Iterator | str | bytes | bytearray | set | frozenset) or type(value) is object:
            return kind
        try:
            array = np.asarray(value, dtype=None if hasattr(value, "__array__") else np.float64)
            array = array if array.dtype.kind in "biufc" else array.astype(np.float64)
        except TooLarge:
            raise
        except Exception:  # its own code runs here, and may raise anything
            return kind
        return {"array": self._array(array)} if DTYPE.fullmatch(_little(array.dtype).str) else kind


@dataclass
class Reader:
    """Values of one frame; function: what a function's name in it becomes. Raises Broken for anything not ours."""

    blob: bytes
    function: Callable[[str], Any] | None = None

    def value(self, code: Any, depth: int = 0) -> Any:
        """The value that `Writer.value` made this of."""
        if depth > 2 * DEEPEST:
            raise Broken("nested too deep")
        if code is None or isinstance(code, bool | int | float):
            return code
        if isinstance(code, list):
            return [self.value(item, depth + 1) for item in code]
        match code:
            case {"text": str(text)}:
                return text
            case {"foreign": str(kind)}:
                return foreign(kind[:80])
            case {"tuple": list(items)}:
                return tuple(self.value(item, depth + 1) for item in items)
            case {"once": list(items)}:
                values = [self.value(item, depth + 1) for item in items]
                return (value for value in values)  # a generator, of which nothing is left to read
            case {"dict": list(pairs)}:
                return self._dict(pairs, depth)
            case {"scalar": list(where)}:
                return self._array(where)[()]
            case {"array": list(where)}:
                return self._array(where)
            case {"tensor": list(where), "grad": bool(grad)}:
                return _tensor(self._array(where), grad)
            case {"function": str(name)} if self.function is not None:
                return self.function(name)
        raise Broken("an unknown kind of value")

    def _dict(self, pairs: list[Any], depth: int) -> dict[Any, Any]:
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise Broken("no dict")
        try:
            return {self.value(key, depth + 1): self.value(item, depth + 1) for key, item in pairs}
        except TypeError:
            raise Broken("a key that cannot be one") from None

    def _array(self, where: list[Any]) -> np.ndarray:
        match where:
            case [str(dtype), list(shape), int(start)] if DTYPE.fullmatch(dtype) and len(shape) <= 32:
                if all(type(n) is int and 0 <= n <= 2**31 for n in shape) and start >= 0:
                    count, size = math.prod(shape), np.dtype(dtype).itemsize
                    if start + count * size <= len(self.blob):
                        flat = np.frombuffer(self.blob, dtype, count, start) if count else np.empty(0, dtype)
                        return flat.reshape(shape).copy()
        raise Broken("no array")


def _little(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("<")


def _tensor(array: np.ndarray, grad: bool) -> Any:
    import torch

    try:
        tensor = torch.as_tensor(array)
    except (TypeError, RuntimeError):
        raise Broken(f"no tensor of {array.dtype}") from None
    return tensor.requires_grad_() if grad and (tensor.is_floating_point() or tensor.is_complex()) else tensor
