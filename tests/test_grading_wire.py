"""The pipe between grader and learner: values come over as they were, and nothing else is believed."""

from __future__ import annotations

import contextlib
import io
import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from icrl_teach.grading import wire

LARGE = 2**20


def over(value, strict=False):
    """A value through a frame, as the other side reads it."""
    writer, sent = wire.Writer(LARGE, strict=strict), io.BytesIO()
    wire.send(sent, {"value": writer.value(value)}, bytes(writer.blob))
    message, blob = wire.receive(io.BytesIO(sent.getvalue()), LARGE)
    return wire.Reader(blob).value(message["value"])


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_values_come_over_as_they_are(value):
    got = over(value)
    assert got == value and type(got) is type(value)


@settings(max_examples=60)
@given(arrays.arrays(arrays.scalar_dtypes().filter(lambda d: d.kind in "biufc" and d.itemsize <= 16), (2, 3)))
def test_arrays_keep_kind_and_shape(array):
    if array.dtype.itemsize == 16 and array.dtype.kind == "f":
        return
    got = over(array)
    assert got.shape == array.shape and got.dtype == array.dtype.newbyteorder("<")
    assert got.tobytes() == array.astype(got.dtype).tobytes()


def test_scalars_tensors_and_what_numpy_reads_come_over():
    assert type(over(np.float64(0.1))) is np.float64 and type(over(np.int32(3))) is np.int32
    tensor = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    got = over(tensor * 2)
    assert got.requires_grad and got.dtype == torch.float64 and got.tolist() == [2.0, 4.0]
    assert over(range(3)).tolist() == [0, 1, 2] and over(pd.Series([1.5, 2.5])).tolist() == [1.5, 2.5]
    assert over(np.array([Fraction(1, 2), 1], dtype=object)).tolist() == [0.5, 1.0]
    assert list(over(iter([1, 2]), strict=True)) == [1, 2]
    assert over(np.array(5.0)).shape == () and over(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("value", [object(), (n for n in "ab"), {1, 2}, b"ab", len, torch.nn.Linear(1, 1), 10**400])
def test_anything_else_is_foreign(value):
    got = over(value)
    assert isinstance(got, wire.Foreign)
    with pytest.raises(TypeError):
        np.asarray(got, dtype=np.float64)
    if not isinstance(value, int) and not callable(value):
        with pytest.raises(TypeError, match="a check hands over"):
            over(value if not hasattr(value, "send") else object(), strict=True)


def test_circles_and_masses_end():
    circle = []
    circle.append(circle)
    inner = over(circle)
    for _ in range(wire.DEEPEST + 1):
        inner = inner[0] if isinstance(inner, list) else inner
    assert isinstance(inner, wire.Foreign)
    wide = []
    wide += [wide, wide]
    for much in (wide, [0.0] * 10**6, np.zeros(LARGE), np.broadcast_to(0.0, (10**7, 10**7)), ["x" * 9000] * 1000):
        with pytest.raises(wire.TooLarge):
            over(much)


BROKEN = [
    {"array": ["<f8", [2], 0]},  # no bytes behind it
    {"array": ["<f8", [-1], 0]},
    {"array": ["<f8", [1], -8]},
    {"array": ["<f8", [2**40, 2**40], 0]},
    {"array": ["<f8", [1.0], 0]},
    {"array": ["<f8", [True], 0]},
    {"array": ["|O8", [1], 0]},
    {"array": ["|V8", [1], 0]},
    {"array": [[["a", "<f8"]], [1], 0]},
    {"array": "x"},
    {"tensor": ["<f8", [1], 0]},
    {"tensor": ["<u4", [0], 0], "grad": 5},
    {"dict": [[1, 2, 3]]},
    {"dict": [[[], 1]]},
    {"function": "exit"},
    {"pickle": "x"},
    {"text": 5},
    "text",
    {},
]


@pytest.mark.parametrize("code", BROKEN, ids=str)
def test_what_is_no_value_of_ours_is_refused(code):
    with pytest.raises(wire.Broken):
        wire.Reader(b"1234567").value(code)


TAGS = st.sampled_from(["array", "tensor", "dict", "tuple", "grad", "scalar", "text", "once", "foreign"])
CODES = st.recursive(
    st.none() | st.integers() | st.text(max_size=6) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TAGS, inner, max_size=2),
    max_leaves=15,
)


@settings(max_examples=200)
@given(CODES)
def test_no_json_does_anything_but_become_a_value_or_be_refused(code):
    with contextlib.suppress(wire.Broken):
        wire.Reader(b"12345678").value(code)


def nested(depth):
    return b"[" * depth + b"]" * depth


FRAMES = [
    (b"\x00\x00\x00\x02\x00\x00\x00\x00{", EOFError),
    (b"\xff\xff\xff\xff\x00\x00\x00\x00", wire.Broken),
    (b"\x00\x00\x00\x02\xff\xff\xff\xff{}", wire.Broken),
    (wire.HEADER.pack(5, 0) + b"\xff\xff\xff\xff\xff", wire.Broken),
    (wire.HEADER.pack(2, 0) + b"[]", wire.Broken),
    (wire.HEADER.pack(200_000, 0) + nested(100_000), wire.Broken),
    (wire.HEADER.pack(5000, 0) + b"9" * 5000, wire.Broken),
    (b"", EOFError),
]


@pytest.mark.parametrize(("content", "error"), FRAMES)
def test_frames_that_are_none_are_refused(content, error):
    with pytest.raises(error):
        wire.receive(io.BytesIO(content), LARGE)


def test_a_deep_value_is_refused():
    code = json.loads(nested(wire.DEEPEST * 4))
    with pytest.raises(wire.Broken, match="deep"):
        wire.Reader(b"").value(code)
