"""Values that nobody should hand in, by name."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch

NAN, INF = float("nan"), float("inf")


class Foreign:
    """An object that answers nothing it is asked."""

    def __repr__(self):
        raise RuntimeError("no")


ODD = {
    "nothing": None,
    "text": "high",
    "long text": "x" * 100_000,
    "no text": "",
    "bytes": b"1.0",
    "True": True,
    "NaN": NAN,
    "infinity": INF,
    "minus infinity": -INF,
    "minus one": -1,
    "zero": 0,
    "half": 0.5,
    "three halves": 1.5,
    "seven": 7,
    "10^18": 10**18,
    "10^400": 10**400,
    "-10^400": -(10**400),
    "10^5000": 10**5000,
    "complex": 1j,
    "fraction": Fraction(1, 3),
    "decimal NaN": Decimal("nan"),
    "object": object(),
    "foreign": Foreign(),
    "type": float,
    "function": lambda *_: None,
    "function of NaN": lambda q, k: np.full((len(q), len(k)), np.nan),
    "no list": [],
    "list": [1.0],
    "list of texts": ["a", "b"],
    "long list": ["x" * 1000] * 1000,
    "pair": (2, 1),
    "ragged": [[1.0], [1.0, 2.0]],
    "dictionary": {"V": 1.0},
    "set": {1},
    "NumPy NaN": np.float64("nan"),
    "array of no axis": np.array(1.0),
    "empty array": np.zeros(0),
    "empty matrix": np.zeros((0, 3)),
    "vector": np.ones(3),
    "matrix": np.ones((2, 3)),
    "cube": np.ones((2, 3, 3)),
    "matrix of NaN": np.full((3, 3), NAN),
    "vector with infinity": np.array([1.0, INF, 0.0]),
    "array of complex": np.full((3, 3), 1j),
    "array of texts": np.array(["a", "b", "c"]),
    "array of objects": np.array([None, Foreign(), 1.0]),
    "array of times": np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]"),
    "negative vector": np.array([-1.0, 2.0, 0.0]),
    "zeros": np.zeros((3, 3)),
    "tensor of no axis": torch.tensor(1.0),
    "tensor": torch.ones(3),
    "square tensor": torch.eye(3),
    "tensor of NaN": torch.full((3, 3), NAN),
    "prompt of NaN": torch.full((5, 4), NAN),
    "tensor with gradient": torch.ones(3, requires_grad=True),
    "tensor of whole numbers": torch.ones(2, 2, dtype=torch.int64),
    "tensor of complex": torch.ones(3, 3, dtype=torch.complex64),
    "empty tensor": torch.zeros(0, 5, 4),
    "sparse tensor": torch.eye(3).to_sparse(),
    "half precision": torch.ones(5, 4, dtype=torch.bfloat16),
}
