"""The prompt's layout, named once. Conventions that everything else relies on:

- A token is a COLUMN. A prompt has shape (..., d+3, n+1): n context tokens, then the query token.
- Column j holds x(S_j), the reward R_{j+1}, target memory gamma v(S_{j+1}) and value memory v(S_j).
- The last column is the query state S_n. Its reward and its target memory are 0: its future is not known.
- The answer is read from value memory in the last column, with a plus sign.

Walks that end (mathematics, section 3): a column carries two flags. *source*: it has a reward and a successor, as
the query has not, nor a landing, the last state of a walk that was cut short. *continues*: its successor is the next
column, as it is not where the transition terminated, or where the column is no source. A tensor alone is one endless
walk; a `Prompt` is a tensor with its flags.

Source: Xie et al., arXiv 2605.07333, eqs. 10-13 (mathematics, section 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, overload

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from icrl_teach._door import door
from icrl_teach._validate import (
    ArrayLike,
    Count,
    Device,
    Discount,
    Gamma,
    check_count,
    check_flags,
    check_gamma,
    finite_array,
    whole_numbers,
)
from icrl_teach.features import feature_table
from icrl_teach.mrp import Trajectory

# These four are asked in every forward pass: their checks are written by hand.


def reward_row(d: Count) -> int:
    """Row d: the reward R_{j+1} received on leaving column j's state."""
    return check_count("d", d)


def target_row(d: Count) -> int:
    """Row d+1, target memory: gamma v(S_{j+1})."""
    return check_count("d", d) + 1


def value_row(d: Count) -> int:
    """Row d+2, value memory: v(S_j). The answer stands here, in the last column."""
    return check_count("d", d) + 2


def n_rows(d: Count) -> int:
    """Rows of a prompt for d features: d + 3."""
    return check_count("d", d) + 3


@door
def row_names(d: Count) -> list[str]:
    """Names of the rows, top to bottom, for figures and tables."""
    return [f"x[{i}]" for i in range(d)] + ["reward", "target memory", "value memory"]


def as_tensor(value: ArrayLike | Tensor) -> Tensor:
    """A floating-point tensor; NumPy keeps its precision. Shapes and entries were checked at the door."""
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.array(value))
    return tensor if tensor.is_floating_point() else tensor.to(torch.float64)  # whole numbers stay exact


def _context(features: ArrayLike | Tensor, rewards: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    """Features (..., n+1, d) and rewards (..., n), both in the finer of their two precisions."""
    x, r = as_tensor(features), as_tensor(rewards)
    dtype = torch.promote_types(x.dtype, r.dtype)
    return x.to(dtype), r.to(dtype)


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt with the flags of its columns, for walks that end.

    Z: (..., d+3, C), tokens as columns; source, continues: booleans, (C,), or (..., C) with the batch axes of Z.
    Flags beside the tensor, not rows of it: they are structure, which no layer may read, weigh or change; and the d+3
    rows stay those of the paper. They are checked here, once, so that networks need not check them again.

    source: all columns but the last if not given; continues: every source. Raises ValueError for shapes that don't
    fit, a prompt without a source, a last column that is one, or a column that continues without being a source.
    """

    Z: Float[Tensor, "*batch d_plus_3 cols"]
    source: Bool[Tensor, "*batch_or_none cols"]
    continues: Bool[Tensor, "*batch_or_none cols"]

    @door
    def __init__(
        self,
        Z: Float[Tensor, "*batch d_plus_3 cols"],
        source: Annotated[ArrayLike | Tensor, "*flags cols"] | None = None,
        continues: Annotated[ArrayLike | Tensor, "*flags cols"] | None = None,
    ) -> None:
        default = torch.arange(Z.shape[-1], device=Z.device) < Z.shape[-1] - 1
        s = default if source is None else _flags("source", source, Z)
        c = s if continues is None else _flags("continues", continues, Z)
        check_flags(bool(s.any(-1).all()), bool(s[..., -1].any()), bool((c & ~s).any()))
        for name, value in (("Z", Z), ("source", s), ("continues", c)):
            object.__setattr__(self, name, value)

    @door
    def to(self, dtype: torch.dtype | None = None, device: Device | None = None) -> Prompt:
        """The same prompt in another precision or on another device."""
        Z = self.Z.to(dtype=dtype, device=device)
        return Prompt(Z, self.source.to(Z.device), self.continues.to(Z.device))


def _flags(name: str, value: ArrayLike | Tensor, Z: Tensor) -> Tensor:
    flags = torch.as_tensor(value if isinstance(value, Tensor) else np.array(value), device=Z.device)
    if flags.shape not in (Z.shape[-1:], Z.shape[:-2] + Z.shape[-1:]):
        raise ValueError(
            f"{name} has shape {tuple(flags.shape)}; it must have shape {tuple(Z.shape[-1:])}, a flag a column"
            + (f", or {tuple(Z.shape[:-2] + Z.shape[-1:])}" if Z.ndim > 2 else "")
        )
    if flags.dtype != torch.bool and ((flags != 0) & (flags != 1)).any():
        raise ValueError(f"{name} holds {flags[(flags != 0) & (flags != 1)][0]}; a flag is False or True")
    return flags.bool()


Flags = ArrayLike | Tensor | None


@overload
def build_prompt(
    features: ArrayLike | Tensor,
    rewards: ArrayLike | Tensor,
    v0: ArrayLike | Tensor | None = None,
    gamma: float | None = None,
) -> Tensor: ...


@overload
def build_prompt(
    features: ArrayLike | Tensor,
    rewards: ArrayLike | Tensor,
    v0: ArrayLike | Tensor | None = None,
    gamma: float | None = None,
    *,
    source: ArrayLike | Tensor | None = None,
    continues: ArrayLike | Tensor | None = None,
    queries: ArrayLike | Tensor | None = None,
) -> Prompt: ...


@door
def build_prompt(
    features: Annotated[ArrayLike | Tensor, "*batch m+1 d"],
    rewards: Annotated[ArrayLike | Tensor, "*batch m"],
    v0: Annotated[ArrayLike | Tensor, "*batch cols"] | None = None,
    gamma: Discount | None = None,
    *,
    source: Annotated[ArrayLike | Tensor, "*flags m+1"] | None = None,
    continues: Annotated[ArrayLike | Tensor, "*flags m+1"] | None = None,
    queries: Annotated[ArrayLike | Tensor, "*batch q d"] | None = None,
) -> Float[Tensor, "... d_plus_3 cols"] | Prompt:
    """The prompt Z_0 of a trajectory: a tensor, or a `Prompt` if any flag or further query is given.

    features: (..., m+1, d), the features of every position, the last being a query (or a landing); rewards: (..., m);
    queries: (..., q, d), further columns at the end, of any states, that ask and do not teach; v0: (..., m+1+q),
    initial values of the columns, zeros if not given; gamma: needed only with v0, because target memory starts at
    gamma v0(S_{j+1}); source, continues: flags of the m+1 positions, as in `Trajectory`, (m+1,) or (..., m+1).
    Rewards of positions that are no source are not read: a walk in a batch may be padded with such positions.

    Precision is the finest of what is given. Raises ValueError for shapes that don't fit, NaN or infinity, fewer than
    one transition, gamma outside [0, 1) (or 1 where nothing terminates), v0 without gamma, or what `Prompt` refuses.

    >>> build_prompt([[1.0], [2.0]], [5.0]).tolist()
    [[1.0, 2.0], [5.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    >>> prompt = build_prompt([[1.0], [2.0]], [5.0], continues=[False, False], queries=[[1.0]])
    >>> prompt.Z[0].tolist(), prompt.source.tolist()
    ([1.0, 2.0, 1.0], [True, False, False])
    """
    x, r = _context(features, rewards)
    if v0 is not None and gamma is None:
        raise ValueError("gamma is missing: with v0, target memory holds gamma v0(S_{j+1}); pass gamma=0.9, say")
    m = r.shape[-1]
    if queries is not None:
        x = _with_queries(x, as_tensor(queries))
    values = x.new_zeros(x.shape[:-1]) if v0 is None else as_tensor(v0)
    if values.shape != x.shape[:-1]:
        raise ValueError(f"v0 has shape {tuple(values.shape)}; it must have shape {tuple(x.shape[:-1])}")
    d, dtype = x.shape[-1], torch.promote_types(x.dtype, values.dtype)
    Z = x.new_zeros(*x.shape[:-2], n_rows(d), x.shape[-2], dtype=dtype)
    Z[..., :d, :] = x.mT
    Z[..., reward_row(d), :m] = r
    Z[..., value_row(d), :] = values
    if source is None and continues is None and queries is None:
        discount = 0.0 if gamma is None else check_gamma(gamma)
        Z[..., target_row(d), :-1] = discount * values[..., 1:]
        return Z
    prompt = Prompt(Z, *_all_columns(source, continues, m, Z))
    ends = bool((prompt.source & ~prompt.continues).any())
    discount = 0.0 if gamma is None else check_gamma(gamma, ends)
    Z[..., reward_row(d), :].masked_fill_(~prompt.source, 0.0)
    Z[..., target_row(d), :-1] = (discount * values[..., 1:]).masked_fill(~prompt.continues[..., :-1], 0.0)
    return prompt


def _with_queries(x: Tensor, queries: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, queries.dtype)
    return torch.cat([x.to(dtype), queries.to(dtype)], dim=-2)


def _all_columns(source: Flags, continues: Flags, m: int, Z: Tensor) -> tuple[Tensor, Tensor | None]:
    """The flags of m+1 positions, and those of the queries behind them: none is a source."""
    positions, n_queries = Z[..., : m + 1], Z.shape[-1] - m - 1

    def completed(name: str, flags: ArrayLike | Tensor) -> Tensor:
        return torch.nn.functional.pad(_flags(name, flags, positions), (0, n_queries))

    teaches = torch.arange(Z.shape[-1], device=Z.device) < m if source is None else completed("source", source)
    return teaches, None if continues is None else completed("continues", continues)


@door
def trajectory_prompt(
    trajectory: Trajectory,
    state_features: ArrayLike,
    queries: ArrayLike | None = None,
    v0: ArrayLike | None = None,
    gamma: Discount | None = None,
) -> Prompt:
    """The prompt of a trajectory's walks, with its flags: column j is position j.

    state_features: (S, d), a row for each state; queries: states to ask about, (q,) whole numbers, each a column at the
    end (without them the trajectory's last state is the only one); v0: (S,), initial values of the states, zeros if not
    given; gamma: needed with v0. Where the last walk terminated, its query position makes room for `queries`.
    Raises ValueError for a state without a row, and what `build_prompt` refuses.

    >>> trajectory = Trajectory([0, 1, 0], [0.0, 1.0], terminated=[False, True])
    >>> trajectory_prompt(trajectory, [[1.0], [2.0]], queries=[0, 1]).Z[0].tolist()
    [1.0, 2.0, 1.0, 2.0]
    """
    table, columns = feature_table(trajectory, state_features), trajectory.states
    n_positions = len(columns)
    if queries is not None:
        asked = whole_numbers("queries", queries)
        if not asked.size or asked.max() >= len(table):
            raise ValueError(
                f"queries is {asked.tolist()}; give at least one state, of those with a row in state_features"
            )
        # A walk that terminated left a query position behind it, for which the first of `queries` now stands.
        columns = np.append(columns if trajectory.continues[-2] else columns[:-1], asked)
    if v0 is not None:
        v0 = finite_array("v0", v0, 1)
        if len(v0) != len(table):
            raise ValueError(f"v0 has shape {v0.shape}; it must have shape (S,), here ({len(table)},)")
        v0 = v0[columns]
    return build_prompt(
        table[columns[:n_positions]],
        trajectory.rewards,
        v0,
        gamma,
        source=trajectory.source,
        continues=trajectory.continues,
        queries=table[columns[n_positions:]] if len(columns) > n_positions else None,
    )


@door
def build_linear_prompt(
    features: Annotated[ArrayLike | Tensor, "*batch m+1 d"],
    rewards: Annotated[ArrayLike | Tensor, "*batch m"],
    gamma: Gamma,
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
