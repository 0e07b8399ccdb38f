"""Softmax and linear attention as pure functions. Conventions, stated once:

- Tokens are columns, so attention is a matrix E with E[i, j] = how much query column j takes from source column i.
- Softmax runs DOWN each column (over the source i): every column of E sums to 1, and Z E averages tokens.
- The mask hides every column that is no source. Without flags that is the last one, the query state: it has no reward
  yet, so it can teach nobody.

Source: Xie et al., arXiv 2605.07333, eqs. 1-4; linear attention: Wang et al., arXiv 2405.13861.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from icrl_teach._door import door


@door
def softmax_attention(
    Z: Float[Tensor, "*batch rows cols"],
    A: Float[Tensor, "rows rows"],
    source: Bool[Tensor, "*flags cols"] | None = None,
) -> Float[Tensor, "*batch cols cols"]:
    """E = softmax(Z^T A Z + M), normalised over the source index; M is -inf in every row that is no source, else 0.

    Z: (..., D, C), tokens as columns, C >= 2; A: (D, D); source: flags of the columns, (C,) or (..., C), at least one
    set; all but the last if not given. Columns of E sum to 1; its rows that are no source are 0.
    Raises ValueError for a single column, the query: there is nothing it could read.
    """
    if Z.shape[-1] < 2:
        raise ValueError(
            f"Z has shape {tuple(Z.shape)}; attention needs a column to read before the query, the last one"
        )
    # Row j of `scores` belongs to query j: softmax along the last axis is the fast one in memory. The transpose
    # at the end puts the sources back in rows, so that columns of E sum to 1.
    scores = (A.to(Z) @ Z).mT @ Z
    if source is None:
        scores[..., -1] = -torch.inf
    elif source.ndim == 1:
        scores.index_fill_(-1, torch.nonzero(~source)[:, 0], -torch.inf)
    else:
        scores.masked_fill_(~source[..., None, :], -torch.inf)
    return torch.softmax(scores, dim=-1).mT


@door
def linear_attention(
    Z: Float[Tensor, "*batch rows cols"], P: Float[Tensor, "rows rows"], Q: Float[Tensor, "rows rows"]
) -> Float[Tensor, "*batch rows cols"]:
    """P Z M (Z^T Q Z): no softmax, so weights may be negative and need not sum to 1. M hides the query column.

    Z: (..., D, n+1); P, Q: (D, D). Returns what is added to Z, before any step size (Wang et al., section 3).
    """
    sources = Z[..., :-1]
    # The same product, bracketed so that its cost grows with n instead of n^2.
    return (P.to(Z) @ sources @ sources.mT) @ (Q.to(Z) @ Z)
