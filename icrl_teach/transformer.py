"""The softmax Transformer whose every layer is one iteration of weighted softmax TD, and its linear predecessor.

Source: Xie et al., arXiv 2605.07333, eqs. 1-4 and 10-19, Theorem 1, Lemma 1; Wang et al., arXiv 2405.13861
(mathematics, section 3). Layout and conventions: `prompt.py` and `attention.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from icrl_teach._door import door, inside
from icrl_teach._validate import Count, Discount, Gamma, Natural, check_finite_tensor, check_gamma
from icrl_teach.attention import linear_attention, softmax_attention
from icrl_teach.prompt import Prompt, n_rows, reward_row, target_row, value_row

Block = Literal["shift", "dual"]


@door
def td_error_row(d: Count, dtype: torch.dtype = torch.float64) -> Float[Tensor, " d_plus_3"]:
    """u = e_d + e_{d+1} - e_{d+2}: u^T Z is reward + gamma v(next) - v(own), the row of TD errors (eq. 14)."""
    u = torch.zeros(n_rows(d), dtype=dtype)
    u[reward_row(d)] = u[target_row(d)] = 1.0
    u[value_row(d)] = -1.0
    return u


@door
def td_parameters(
    d: Count, alpha: float = 1.0, beta: float = 1.0, dtype: torch.dtype = torch.float64
) -> tuple[Float[Tensor, "d_plus_3 d_plus_3"], Float[Tensor, "d_plus_3 d_plus_3"]]:
    """Theorem 1's parameters: V = alpha e_{d+2} u^T and A = beta diag(I_d, 0), both (d+3, d+3).

    V turns each column into its TD error and writes the attention-weighted mean into value memory; A compares
    features only. alpha: step size; beta: inverse temperature. Raises ValueError for d < 1, or an alpha or beta that is
    not finite.

    >>> V, A = td_parameters(1, alpha=0.5, beta=2.0)
    >>> V[-1].tolist(), A[0].tolist()
    ([0.0, 0.5, 0.5, -0.5], [2.0, 0.0, 0.0, 0.0])
    """
    V = torch.zeros(n_rows(d), n_rows(d), dtype=dtype)
    V[value_row(d)] = alpha * inside(td_error_row)(d, dtype)
    A = torch.zeros_like(V)
    A[:d, :d] = beta * torch.eye(d, dtype=dtype)
    return V, A


@door
def shift_left(
    X: Float[Tensor, "*batch rows cols"], continues: Bool[Tensor, "*flags cols"] | None = None
) -> Float[Tensor, "*batch rows cols"]:
    """X Pi diag(continues): column j receives column j+1 where it continues, 0 elsewhere. If not given, all columns
    continue but the last: nothing follows the query."""
    shifted = torch.nn.functional.pad(X, (-1, 1))
    return shifted if continues is None else shifted * carried(continues, X)


def carried(continues: Bool[Tensor, "*flags cols"] | None, like: Tensor) -> Tensor:
    """diag(continues) as a row, (..., 1, C), of the precision of `like`; the number 1 if all columns continue."""
    return like.new_ones(()) if continues is None else continues[..., None, :].to(like)


def next_targets(value: Float[Tensor, "*batch 1 cols"], discount: Tensor) -> Float[Tensor, "*batch 1 cols"]:
    """Target memory for the next layer: the discount, gamma times `carried`, times the value of the next column."""
    return discount * inside(shift_left)(value)


@door
def time_shift(
    H: Float[Tensor, "*batch rows cols"], gamma: float, continues: Bool[Tensor, "*flags cols"] | None = None
) -> Float[Tensor, "*batch rows cols"]:
    """U H + W H Pi diag(continues): clear target memory, refill it with gamma times the shifted, new value memory
    (eqs. 16-17; continues as in `shift_left`)."""
    above, value = H[..., :-2, :], H[..., -1:, :]
    return torch.cat([above, next_targets(value, gamma * carried(continues, H)), value], dim=-2)


def row_times(row: Float[Tensor, "*batch 1 cols"], E: Float[Tensor, "*batch cols cols"]) -> Tensor:
    """row E: what every column takes from one row, (..., 1, C).

    PyTorch multiplies a single vector and a matrix on one thread only, and that product is nearly all that a layer of
    the constructed network has left to do. So the columns of a large E are dealt out in equal shares, for all threads.
    """
    n, shares = E.shape[-1], 32
    if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:
        return row @ E
    whole = n - n % shares
    dealt = E[:, :whole].unflatten(1, (shares, -1)).movedim(1, 0)  # (shares, n, n // shares), a view
    shared = torch.bmm(row.expand(shares, 1, n), dealt).reshape(1, whole)
    return torch.cat([shared, row @ E[:, whole:]], dim=1)


def check_prompt(
    prompt: Tensor | Prompt, rows: int, name: str = "prompt"
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Z and the two flags (None for a tensor alone). Raises ValueError unless the prompt has the rows the network was
    built for, and a transition."""
    Z, source, continues = (
        (prompt.Z, prompt.source, prompt.continues) if isinstance(prompt, Prompt) else (prompt, None, None)
    )
    if not isinstance(Z, Tensor) or not Z.is_floating_point():
        kind = Z.dtype if isinstance(Z, Tensor) else type(Z).__name__
        raise ValueError(f"{name} is {kind}; the network reads tensors of floating-point numbers (see build_prompt)")
    if Z.ndim < 2 or Z.shape[-2] != rows or Z.shape[-1] < 2:
        raise ValueError(
            f"{name} has shape {tuple(Z.shape)}; this network reads (..., {rows}, n+1) with n >= 1: "
            "tokens are columns (see build_prompt)"
        )
    check_finite_tensor(name, Z)
    return Z, source, continues


class SoftmaxTransformer(nn.Module):
    """L softmax-attention layers that evaluate a policy while they read (Xie et al., eqs. 1-4).

    d: features; n_layers: L; gamma: used by the time shift; tied: one pair (V, A) for all layers, or one a layer.
    block "shift": Z' = time_shift(Z + V Z E). block "dual": Z' = Z + V Z E + V2 Z E Pi, a second head instead of
    the shift. New networks start at 0.1 times Gaussian noise from `generator` (without one always the same noise, of
    seed 0); `constructed` sets Theorem 1's.

    Parameters V, A (and V2): (1 or L, d+3, d+3). Inputs decide precision and device: weights follow the prompt.
    Prompts are tensors, (..., d+3, n+1), or a `Prompt`, a tensor with the flags of walks that end.
    Raises ValueError for sizes below 1 or gamma outside [0, 1]; gamma = 1 reads only prompts in which walks terminate.
    """

    @door
    def __init__(
        self,
        d: Count,
        n_layers: Count,
        gamma: Discount,
        tied: bool = True,
        block: Block = "shift",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.d, self.n_layers, self.gamma, self.tied, self.block = d, n_layers, gamma, tied, block
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        shape = (1 if tied else self.n_layers, n_rows(self.d), n_rows(self.d))
        self.V = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))
        self.A = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))
        if block == "dual":
            self.V2 = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))

    @classmethod
    @door
    def constructed(
        cls,
        d: Count,
        n_layers: Count,
        gamma: Discount,
        alpha: float = 1.0,
        beta: float = 1.0,
        tied: bool = True,
        block: Block = "shift",
    ) -> SoftmaxTransformer:
        """Theorem 1's network, frozen: layer l holds weighted softmax TD's v_l in value memory.

        alpha: step size; beta: inverse temperature. The dual head's V2 = gamma alpha e_{d+1} u^T fills target memory.
        """
        model = cls(d, n_layers, gamma, tied, block)
        V, A = td_parameters(d, alpha, beta)
        with torch.no_grad():
            model.V.copy_(V)
            model.A.copy_(A)
            if block == "dual":
                model.V2.zero_()
                model.V2[:, target_row(d)] = gamma * alpha * inside(td_error_row)(d)
        return model.requires_grad_(False)

    def forward(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "*batch"]:
        """The value of the query state: value memory of the last column after L layers, +Z_L[d+2, n]."""
        return self.values(prompt)[..., -1]

    def values(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "*batch cols"]:
        """Value memory of every column after L layers, (..., C): of each query, if the prompt asks several."""
        Z, source, continues = self._read(prompt)
        if self.scores_are_fixed():
            for _, value in self._memories(Z, source, continues):  # noqa: B007 (the last one is wanted)
                pass
            return value[..., 0, :]
        for index in range(self.n_layers):
            Z = self._layer(Z, index, source, continues)
        return Z[..., value_row(self.d), :]

    def trace(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "depth *batch rows cols"]:
        """Z_0, Z_1, ..., Z_L stacked along a new first axis: (L+1, ..., d+3, C)."""
        return torch.stack(list(self.layers(prompt)))

    def layers(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Iterator[Tensor]:
        """Z_0, Z_1, ..., Z_L one after the other: `trace` without keeping all of them in memory.

        Each item: (..., d+3, C). Raises ValueError, at the first item, for a prompt of the wrong shape.
        """
        Z, source, continues = self._read(prompt)
        if self.scores_are_fixed():
            for memory in self._memories(Z, source, continues):
                yield torch.cat([Z[..., : target_row(self.d), :], *memory], dim=-2)
            return
        yield Z
        for index in range(self.n_layers):
            yield (Z := self._layer(Z, index, source, continues))

    @door
    def layer(
        self,
        Z: Float[Tensor, "*batch rows cols"],
        index: Natural,
        source: Bool[Tensor, "*flags cols"] | None = None,
        continues: Bool[Tensor, "*flags cols"] | None = None,
    ) -> Float[Tensor, "*batch rows cols"]:
        """One layer, in full matrix form for any V and A. source, continues: flags of the columns, as in `Prompt`."""
        check_prompt(Z, n_rows(self.d), "Z")
        if index >= self.n_layers:
            raise ValueError(f"index is {index}; the layers are 0 to {self.n_layers - 1}")
        return self._layer(Z, index, source, continues)

    def _layer(self, Z: Tensor, index: int, source: Tensor | None, continues: Tensor | None) -> Tensor:
        E = inside(softmax_attention)(Z, self._weights("A", index, Z), source)
        H = Z + self._weights("V", index, Z) @ Z @ E
        if self.block == "dual":
            return H + inside(shift_left)(self._weights("V2", index, Z) @ Z @ E, continues)
        return inside(time_shift)(H, self.gamma, continues)

    def scores_are_fixed(self) -> bool:
        """Whether attention is the same in every layer, so that it may be built once.

        True for frozen parameters whose scores read feature rows only (A zero elsewhere), whose heads write one row
        each (V value memory, V2 target memory) and whose A are equal. Training, or any change, takes the general path.
        """
        d, A = self.d, self.A
        heads = [(self.V, value_row(d))] + ([(self.V2, target_row(d))] if self.block == "dual" else [])
        # What torch.func puts in a parameter's place (to differentiate, or to run many networks) is no nn.Parameter.
        if any(p.requires_grad or not isinstance(p, nn.Parameter) for p in (A, *(W for W, _ in heads))):
            return False
        reads_memory = A[:, d:].any() or A[:, :d, d:].any()
        writes_elsewhere = any(W[:, :row].any() or W[:, row + 1 :].any() for W, row in heads)
        differs = len(A) > 1 and not torch.equal(A, A[:1].expand_as(A))
        return not (reads_memory or writes_elsewhere or differs)

    def _memories(self, Z: Tensor, source: Tensor | None, continues: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Target and value memory of Z_0, ..., Z_L, (..., 1, C) each, when scores are fixed: E once, then two rows."""
        d, dual = self.d, self.block == "dual"
        E = inside(softmax_attention)(Z[..., :d, :], self._weights("A", 0, Z)[:d, :d], source)
        target, value = Z[..., target_row(d), None, :], Z[..., value_row(d), None, :]
        heads = self._heads("V", value_row(d), Z)
        second_heads = self._heads("V2", target_row(d), Z) if dual else heads
        carry = carried(continues, Z)
        discount = self.gamma * carry
        yield target, value
        for index in range(self.n_layers):
            at = 0 if self.tied else index
            known, on_target, on_value = heads[at]
            new_value = value + row_times(known.add(target, alpha=on_target).add(value, alpha=on_value), E)
            if dual:
                known, on_target, on_value = second_heads[at]
                taken = row_times(known.add(target, alpha=on_target).add(value, alpha=on_value), E)
                target, value = torch.addcmul(target, carry, inside(shift_left)(taken)), new_value
            else:
                target, value = next_targets(new_value, discount), new_value
            yield target, value

    def _heads(self, name: str, row: int, Z: Tensor) -> list[tuple[Tensor, float, float]]:
        """Of each layer's head: what it reads in features and rewards, which no layer changes, and its two weights on
        target and value memory."""
        known = target_row(self.d)
        rows = (weights[row].to(Z) for weights in getattr(self, name))
        return [(w[None, :known] @ Z[..., :known, :], *w[known:].tolist()) for w in rows]

    def _weights(self, name: str, index: int, like: Tensor) -> Tensor:
        return getattr(self, name)[0 if self.tied else index].to(like)

    def _read(self, prompt: Tensor | Prompt) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Z and its flags, checked."""
        Z, source, continues = check_prompt(prompt, n_rows(self.d))
        if self.gamma == 1.0:
            ends = source is not None and continues is not None and bool((source & ~continues).any())
            check_gamma(self.gamma, ends)
        return Z, source, continues


class LinearTransformer(nn.Module):
    """The predecessor: linear attention, batch linear TD (Wang et al., arXiv 2405.13861).

    Reads `build_linear_prompt` prompts, (..., 2d+1, n+1). Each layer: Z' = Z + (1/n) P Z M (Z^T Q Z).
    Parameters P, Q: (2d+1, 2d+1), one pair for all layers. The answer stands at -Z_L[2d, n]: the last row holds
    TD errors, and the query column, without reward or successor, holds minus its value. gamma is only a note of what
    the network is for: the prompt alone brings it in (`build_linear_prompt`). Without a generator the noise of new
    networks is that of seed 0.
    """

    @door
    def __init__(self, d: Count, n_layers: Count, gamma: Gamma, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.d, self.n_layers, self.gamma = d, n_layers, gamma
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        shape = (2 * self.d + 1, 2 * self.d + 1)
        self.P = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))
        self.Q = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))

    @classmethod
    @door
    def constructed(cls, d: Count, n_layers: Count, gamma: Gamma, alpha: float = 1.0) -> LinearTransformer:
        """Batch linear TD with step alpha / n: P = alpha in its last diagonal entry, Q = [[-I, I, 0], 0, 0]. Frozen."""
        model = cls(d, n_layers, gamma)
        with torch.no_grad():
            model.P.zero_()
            model.Q.zero_()
            model.P[2 * d, 2 * d] = alpha
            model.Q[:d, :d] = -torch.eye(d)
            model.Q[:d, d : 2 * d] = torch.eye(d)
        return model.requires_grad_(False)

    def trace(self, prompt: Float[Tensor, "*batch rows cols"]) -> Float[Tensor, "depth *batch rows cols"]:
        """Z_0, ..., Z_L stacked along a new first axis: (L+1, ..., 2d+1, n+1)."""
        if isinstance(prompt, Prompt):
            raise ValueError("prompt is a Prompt; this network reads tensors of build_linear_prompt: one endless walk")
        check_prompt(prompt, 2 * self.d + 1)
        P, Q, n = self.P.to(prompt), self.Q.to(prompt), prompt.shape[-1] - 1
        layers = [prompt]
        for _ in range(self.n_layers):
            layers.append(layers[-1] + inside(linear_attention)(layers[-1], P, Q) / n)
        return torch.stack(layers)

    def forward(self, prompt: Float[Tensor, "*batch rows cols"]) -> Float[Tensor, "*batch"]:
        """The value of the query state: -Z_L[2d, n]."""
        return -self.trace(prompt)[-1, ..., 2 * self.d, -1]
