"""Softmax and linear attention as pure functions. Conventions, stated once:

- Tokens are columns, so attention is a matrix E with E[i, j] = how much query column j takes from source column i.
- Softmax runs DOWN each column (over the source i): every column of E sums to 1, and Z E averages tokens.
- The mask hides the last column, the query state, as a source: it has no reward yet, so it can teach nobody.

Source: Xie et al., arXiv 2605.07333, eqs. 1-4; linear attention: Wang et al., arXiv 2405.13861.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def softmax_attention(
    Z: Float[Tensor, "*batch rows cols"], A: Float[Tensor, "rows rows"]
) -> Float[Tensor, "*batch cols cols"]:
    """E = softmax(Z^T A Z + M), normalised over the source index; M is -inf in the last row, else 0.

    Z: (..., D, n+1), tokens as columns, n >= 1; A: (D, D). Columns of E sum to 1; its last row is 0.
    Raises ValueError for a single column, the query: there is nothing it could read.
    """
    if Z.shape[-1] < 2:
        raise ValueError(
            f"Z has shape {tuple(Z.shape)}; attention needs a column to read before the query, the last one"
        )
    # Row j of `scores` belongs to query j: softmax along the last axis is the fast one in memory. The transpose
    # at the end puts the sources back in rows, so that columns of E sum to 1.
    scores = (A @ Z).mT @ Z
    scores[..., -1] = -torch.inf
    return torch.softmax(scores, dim=-1).mT


def linear_attention(
    Z: Float[Tensor, "*batch rows cols"], P: Float[Tensor, "rows rows"], Q: Float[Tensor, "rows rows"]
) -> Float[Tensor, "*batch rows cols"]:
    """P Z M (Z^T Q Z): no softmax, so weights may be negative and need not sum to 1. M hides the query column.

    Z: (..., D, n+1); P, Q: (D, D). Returns what is added to Z, before any step size (Wang et al., section 3).
    """
    sources = Z[..., :-1]
    # The same product, bracketed so that its cost grows with n instead of n^2.
    return (P @ sources @ sources.mT) @ (Q @ Z)
