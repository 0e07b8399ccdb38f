"""The softmax Transformer whose every layer is one iteration of weighted softmax TD, and its linear predecessor.

Source: Xie et al., arXiv 2605.07333, eqs. 1-4 and 10-19, Theorem 1, Lemma 1; Wang et al., arXiv 2405.13861
(mathematics, section 3). Layout and conventions: `prompt.py` and `attention.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icrl_teach._validate import check_count, check_finite, check_gamma
from icrl_teach.attention import linear_attention, softmax_attention
from icrl_teach.prompt import n_rows, reward_row, target_row, value_row

Block = Literal["shift", "dual"]


def td_error_row(d: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, " d_plus_3"]:
    """u = e_d + e_{d+1} - e_{d+2}: u^T Z is reward + gamma v(next) - v(own), the row of TD errors (eq. 14)."""
    u = torch.zeros(n_rows(d), dtype=dtype)
    u[reward_row(d)] = u[target_row(d)] = 1.0
    u[value_row(d)] = -1.0
    return u


def td_parameters(
    d: int, alpha: float = 1.0, beta: float = 1.0, dtype: torch.dtype = torch.float64
) -> tuple[Float[Tensor, "d_plus_3 d_plus_3"], Float[Tensor, "d_plus_3 d_plus_3"]]:
    """Theorem 1's parameters: V = alpha e_{d+2} u^T and A = beta diag(I_d, 0), both (d+3, d+3).

    V turns each column into its TD error and writes the attention-weighted mean into value memory; A compares
    features only. alpha: step size; beta: inverse temperature. Raises ValueError for d < 1, or an alpha or beta that is
    not finite.

    >>> V, A = td_parameters(1, alpha=0.5, beta=2.0)
    >>> V[-1].tolist(), A[0].tolist()
    ([0.0, 0.5, 0.5, -0.5], [2.0, 0.0, 0.0, 0.0])
    """
    d, alpha, beta = check_count("d", d), check_finite("alpha", alpha), check_finite("beta", beta)
    V = torch.zeros(n_rows(d), n_rows(d), dtype=dtype)
    V[value_row(d)] = alpha * td_error_row(d, dtype)
    A = torch.zeros_like(V)
    A[:d, :d] = beta * torch.eye(d, dtype=dtype)
    return V, A


def shift_left(X: Float[Tensor, "*batch rows cols"]) -> Float[Tensor, "*batch rows cols"]:
    """X Pi: column j receives column j+1; the last column becomes 0, because nothing follows the query."""
    return torch.nn.functional.pad(X, (-1, 1))


def next_targets(value: Float[Tensor, "*batch 1 cols"], gamma: float) -> Float[Tensor, "*batch 1 cols"]:
    """Target memory for the next layer: gamma times the value memory of the column that follows."""
    return gamma * shift_left(value)


def time_shift(H: Float[Tensor, "*batch rows cols"], gamma: float) -> Float[Tensor, "*batch rows cols"]:
    """U H + W H Pi: clear target memory, refill it with gamma times the shifted, new value memory (eqs. 16-17)."""
    above, value = H[..., :-2, :], H[..., -1:, :]
    return torch.cat([above, next_targets(value, gamma), value], dim=-2)


def reader(E: Float[Tensor, "*batch cols cols"]) -> Callable[[Tensor], Tensor]:
    """offers -> offers E: what every column takes from one row of offers, (..., 1, n+1) to (..., 1, n+1).

    PyTorch multiplies a single vector and a matrix on one thread only, and that product is nearly all that a layer of
    the constructed network has left to do. So the columns of a large E are dealt out in equal shares, for all threads.
    """
    n, shares = E.shape[-1], 32
    if E.ndim > 2 or n < 512 or torch.get_num_threads() == 1:
        return lambda offers: offers @ E
    whole = n - n % shares
    listeners = E[:, :whole].unflatten(1, (shares, -1)).movedim(1, 0)  # (shares, n, n // shares), a view
    rest = E[:, whole:]

    def read(offers: Tensor) -> Tensor:
        shared = torch.bmm(offers.expand(shares, 1, n), listeners).reshape(1, whole)
        return torch.cat([shared, offers @ rest], dim=1)

    return read


def check_prompt(prompt: Tensor, rows: int) -> None:
    """Raise ValueError unless the prompt has the rows the network was built for, and a transition."""
    if not isinstance(prompt, Tensor) or not prompt.is_floating_point():
        kind = prompt.dtype if isinstance(prompt, Tensor) else type(prompt).__name__
        raise ValueError(f"prompt is {kind}; the network reads tensors of floating-point numbers (see build_prompt)")
    if prompt.ndim < 2 or prompt.shape[-2] != rows or prompt.shape[-1] < 2:
        raise ValueError(
            f"prompt has shape {tuple(prompt.shape)}; this network reads (..., {rows}, n+1) with n >= 1: "
            "tokens are columns (see build_prompt)"
        )


class SoftmaxTransformer(nn.Module):
    """L softmax-attention layers that evaluate a policy while they read (Xie et al., eqs. 1-4).

    d: features; n_layers: L; gamma: used by the time shift; tied: one pair (V, A) for all layers, or one a layer.
    block "shift": Z' = time_shift(Z + V Z E). block "dual": Z' = Z + V Z E + V2 Z E Pi, a second head instead of
    the shift. New networks start at 0.1 times Gaussian noise from `generator` (without one always the same noise, of
    seed 0); `constructed` sets Theorem 1's.

    Parameters V, A (and V2): (1 or L, d+3, d+3). Inputs decide precision and device: weights follow the prompt.
    Raises ValueError for sizes below 1 or gamma outside [0, 1).
    """

    def __init__(
        self,
        d: int,
        n_layers: int,
        gamma: float,
        tied: bool = True,
        block: Block = "shift",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.d, self.n_layers = check_count("d", d), check_count("n_layers", n_layers)
        self.gamma, self.tied = check_gamma(gamma), tied
        if block not in ("shift", "dual"):
            raise ValueError(f"block is {block!r}; it must be 'shift' or 'dual'")
        self.block = block
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        shape = (1 if tied else self.n_layers, n_rows(self.d), n_rows(self.d))
        self.V = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))
        self.A = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))
        if block == "dual":
            self.V2 = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))

    @classmethod
    def constructed(
        cls,
        d: int,
        n_layers: int,
        gamma: float,
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
                model.V2[:, target_row(d)] = gamma * alpha * td_error_row(d)
        return model.requires_grad_(False)

    def layer(self, Z: Float[Tensor, "*batch rows cols"], index: int) -> Float[Tensor, "*batch rows cols"]:
        """One layer, in full matrix form for any V and A."""
        E = softmax_attention(Z, self._weights("A", index, Z))
        H = Z + self._weights("V", index, Z) @ Z @ E
        if self.block == "dual":
            return H + shift_left(self._weights("V2", index, Z) @ Z @ E)
        return time_shift(H, self.gamma)

    def forward(self, prompt: Float[Tensor, "*batch rows cols"]) -> Float[Tensor, "*batch"]:
        """The value of the query state: value memory of the last column after L layers, +Z_L[d+2, n]."""
        return self.values(prompt)[..., -1]

    def values(self, prompt: Float[Tensor, "*batch rows cols"]) -> Float[Tensor, "*batch cols"]:
        """Value memory of every column after L layers, (..., n+1)."""
        check_prompt(prompt, n_rows(self.d))
        if self.scores_are_fixed():
            _, value = deque(self._memories(prompt), maxlen=1)[0]
            return value[..., 0, :]
        return deque(self._general_layers(prompt), maxlen=1)[0][..., value_row(self.d), :]

    def trace(self, prompt: Float[Tensor, "*batch rows cols"]) -> Float[Tensor, "depth *batch rows cols"]:
        """Z_0, Z_1, ..., Z_L stacked along a new first axis: (L+1, ..., d+3, n+1)."""
        return torch.stack(list(self.layers(prompt)))

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

    def _weights(self, name: str, index: int, like: Tensor) -> Tensor:
        return getattr(self, name)[0 if self.tied else index].to(like)

    def layers(self, prompt: Float[Tensor, "*batch rows cols"]) -> Iterator[Tensor]:
        """Z_0, Z_1, ..., Z_L one after the other: `trace` without keeping all of them in memory.

        Each item: (..., d+3, n+1). Raises ValueError, at the first item, for a prompt of the wrong shape.
        """
        check_prompt(prompt, n_rows(self.d))
        if not self.scores_are_fixed():
            yield from self._general_layers(prompt)
            return
        for memory in self._memories(prompt):
            yield torch.cat([prompt[..., : target_row(self.d), :], *memory], dim=-2)

    def _general_layers(self, prompt: Tensor) -> Iterator[Tensor]:
        yield (Z := prompt)
        for index in range(self.n_layers):
            yield (Z := self.layer(Z, index))

    def _memories(self, prompt: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Target and value memory of Z_0, ..., Z_L, (..., 1, n+1) each, when scores are fixed: attention is built once.

        No layer changes a feature or a reward, so what a head offers of them is computed once, too.
        """
        d = self.d
        read = reader(softmax_attention(prompt[..., :d, :], self._weights("A", 0, prompt)[:d, :d]))
        offers_of_v = self._offers("V", value_row(d), prompt)
        offers_of_v2 = self._offers("V2", target_row(d), prompt) if self.block == "dual" else None
        target, value = prompt[..., target_row(d), None, :], prompt[..., value_row(d), None, :]
        yield target, value
        for index in range(self.n_layers):
            written = read(offers_of_v(index, target, value))
            if offers_of_v2 is None:
                value = value + written
                target = next_targets(value, self.gamma)
            else:
                target, value = target + shift_left(read(offers_of_v2(index, target, value))), value + written
            yield target, value

    def _offers(self, name: str, row: int, prompt: Tensor) -> Callable[[int, Tensor, Tensor], Tensor]:
        """(layer, target, value) -> what each column offers to a head that writes one row, (..., 1, n+1)."""
        known = target_row(self.d)
        layers = []
        for index in range(1 if self.tied else self.n_layers):
            weights = self._weights(name, index, prompt)[row]
            layers.append((weights[None, :known] @ prompt[..., :known, :], *weights[known:].tolist()))

        def offers(index: int, target: Tensor, value: Tensor) -> Tensor:
            of_known, on_target, on_value = layers[0 if self.tied else index]
            return of_known.add(target, alpha=on_target).add(value, alpha=on_value)

        return offers


class LinearTransformer(nn.Module):
    """The predecessor: linear attention, batch linear TD (Wang et al., arXiv 2405.13861).

    Reads `build_linear_prompt` prompts, (..., 2d+1, n+1). Each layer: Z' = Z + (1/n) P Z M (Z^T Q Z).
    Parameters P, Q: (2d+1, 2d+1), one pair for all layers. The answer stands at -Z_L[2d, n]: the last row holds
    TD errors, and the query column, without reward or successor, holds minus its value. gamma is only a note of what
    the network is for: the prompt alone brings it in (`build_linear_prompt`). Without a generator the noise of new
    networks is that of seed 0.
    """

    def __init__(self, d: int, n_layers: int, gamma: float, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.d, self.n_layers = check_count("d", d), check_count("n_layers", n_layers)
        self.gamma = check_gamma(gamma)
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        shape = (2 * self.d + 1, 2 * self.d + 1)
        self.P = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))
        self.Q = nn.Parameter(0.1 * torch.randn(shape, generator=generator, dtype=torch.float64))

    @classmethod
    def constructed(cls, d: int, n_layers: int, gamma: float, alpha: float = 1.0) -> LinearTransformer:
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
        check_prompt(prompt, 2 * self.d + 1)
        P, Q, n = self.P.to(prompt), self.Q.to(prompt), prompt.shape[-1] - 1
        layers = [prompt]
        for _ in range(self.n_layers):
            layers.append(layers[-1] + linear_attention(layers[-1], P, Q) / n)
        return torch.stack(layers)

    def forward(self, prompt: Float[Tensor, "*batch rows cols"]) -> Float[Tensor, "*batch"]:
        """The value of the query state: -Z_L[2d, n]."""
        return -self.trace(prompt)[-1, ..., 2 * self.d, -1]
