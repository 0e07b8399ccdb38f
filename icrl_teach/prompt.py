"""The prompt's layout, named once. Conventions that everything else relies on:

- A token is a COLUMN. A prompt has shape (..., d+3, n+1): n context tokens, then the query token.
- Column j holds x(S_j), the reward R_{j+1}, target memory gamma v(S_{j+1}) and value memory v(S_j).
- The last column is the query state S_n. Its reward and its target memory are 0: its future is not known.
- The answer is read from value memory in the last column, with a plus sign.

Source: Xie et al., arXiv 2605.07333, eqs. 10-13 (mathematics, section 3).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from icrl_teach._validate import ArrayLike, check_gamma


def reward_row(d: int) -> int:
    """Row d: the reward R_{j+1} received on leaving column j's state."""
    return d


def target_row(d: int) -> int:
    """Row d+1, target memory: gamma v(S_{j+1})."""
    return d + 1


def value_row(d: int) -> int:
    """Row d+2, value memory: v(S_j). The answer stands here, in the last column."""
    return d + 2


def n_rows(d: int) -> int:
    """Rows of a prompt for d features: d + 3."""
    return d + 3


def row_names(d: int) -> list[str]:
    """Names of the rows, top to bottom, for figures and tables."""
    return [f"x[{i}]" for i in range(d)] + ["reward", "target memory", "value memory"]


def as_tensor(name: str, value: ArrayLike | Tensor) -> Tensor:
    """A floating-point tensor; NumPy keeps its precision. Raises ValueError on NaN or infinity."""
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.array(value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers ({error})") from None
    tensor = tensor if tensor.is_floating_point() else tensor.to(torch.float64)  # whole numbers stay exact
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds NaN or infinity; every entry must be a finite number: remove or replace it")
    return tensor


def _context(features: ArrayLike | Tensor, rewards: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    """Checked features (..., n+1, d) and rewards (..., n), both in the finer of their two precisions."""
    x, r = as_tensor("features", features), as_tensor("rewards", rewards)
    _check_shapes(x, r)
    dtype = torch.promote_types(x.dtype, r.dtype)
    return x.to(dtype), r.to(dtype)


def _check_shapes(features: Tensor, rewards: Tensor) -> None:
    if features.ndim < 2 or rewards.ndim < 1:
        raise ValueError(
            f"features has shape {tuple(features.shape)} and rewards {tuple(rewards.shape)}; "
            "they must be (..., n+1, d) and (..., n)"
        )
    n = rewards.shape[-1]
    if n < 1:
        raise ValueError("rewards is empty; a context needs at least one transition")
    if features.shape[-2] != n + 1 or features.shape[:-2] != rewards.shape[:-1]:
        raise ValueError(
            f"features has shape {tuple(features.shape)} and rewards {tuple(rewards.shape)}; {n} rewards need "
            f"features of shape {(*rewards.shape[:-1], n + 1, features.shape[-1])}: one more row, for the query state"
        )


def build_prompt(
    features: ArrayLike | Tensor,
    rewards: ArrayLike | Tensor,
    v0: ArrayLike | Tensor | None = None,
    gamma: float | None = None,
) -> Float[Tensor, "... d_plus_3 n_plus_1"]:
    """The prompt Z_0 of a trajectory.

    features: (..., n+1, d), the features of every position, the last being the query; rewards: (..., n);
    v0: (..., n+1), initial values at the positions, zeros if not given; gamma: needed only with v0, because
    target memory starts at gamma v0(S_{j+1}).

    Precision is the finest of what is given. Raises ValueError for shapes that don't fit, NaN or infinity, fewer than
    one transition, gamma outside [0, 1), or v0 without gamma.

    >>> build_prompt([[1.0], [2.0]], [5.0]).tolist()
    [[1.0, 2.0], [5.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    x, r = _context(features, rewards)
    d, discount = x.shape[-1], 0.0 if gamma is None else check_gamma(gamma)
    if v0 is not None and gamma is None:
        raise ValueError("gamma is missing: with v0, target memory holds gamma v0(S_{j+1}); pass gamma=0.9, say")
    values = x.new_zeros(x.shape[:-1]) if v0 is None else as_tensor("v0", v0)
    if values.shape != x.shape[:-1]:
        raise ValueError(f"v0 has shape {tuple(values.shape)}; it must have shape {tuple(x.shape[:-1])}")
    dtype = torch.promote_types(x.dtype, values.dtype)
    Z = x.new_zeros(*x.shape[:-2], n_rows(d), x.shape[-2], dtype=dtype)
    Z[..., :d, :] = x.mT
    Z[..., reward_row(d), :-1] = r
    Z[..., target_row(d), :-1] = discount * values[..., 1:]
    Z[..., value_row(d), :] = values
    return Z


def build_linear_prompt(
    features: ArrayLike | Tensor, rewards: ArrayLike | Tensor, gamma: float
) -> Float[Tensor, "... two_d_plus_1 n_plus_1"]:
    """The predecessor's prompt (Wang et al., arXiv 2405.13861): columns [x_{k-1}; gamma x_k; R_k], query [x; 0; 0].

    features: (..., n+1, d); rewards: (..., n); gamma in [0, 1). Raises ValueError as `build_prompt` does.
    """
    x, r = _context(features, rewards)
    d = x.shape[-1]
    Z = x.new_zeros(*x.shape[:-2], 2 * d + 1, x.shape[-2])
    Z[..., :d, :] = x.mT
    Z[..., d : 2 * d, :-1] = check_gamma(gamma) * x[..., 1:, :].mT
    Z[..., 2 * d, :-1] = r
    return Z
