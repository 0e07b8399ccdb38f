"""Theorem 1 without a shift: two ordinary softmax heads and a residual stream, nothing else (mathematics, section 3).

A token also carries its successor's features. Head 1 scores sources by the query's own features and writes value
memory; head 2 scores them by the features of the query's *successor* and writes target memory: what the shift fetched
from the next column, it gathers again from all sources, with the same weights. Rows of a column, for d features:

    x(S_j), x(S_{j+1}) | reward, target memory, value memory | null, ends, one (with a sink only)

Ends of walks by an attention sink: a null column, the first, holds no features and no memory. It listens to itself
(score 2 kappa) while all others pay kappa to listen to it, so it always offers 0. Head 2 sends there (2 kappa) each
column that has no successor, whose target memory so stays 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from icrl_teach._door import door, inside
from icrl_teach._validate import Count, Discount, Positive, check_gamma
from icrl_teach.prompt import Prompt, n_rows
from icrl_teach.transformer import check_prompt, shift_left


@door
def two_head_prompt(
    prompt: Float[Tensor, "*batch d_plus_3 cols"] | Prompt, sink: bool = False
) -> tuple[Float[Tensor, "*batch rows columns"], Bool[Tensor, "*flags columns"]]:
    """The columns that two heads read, and which of them are sources.

    prompt: of `build_prompt`, (..., d+3, C). Returns (..., 2d+3, C): the successor's features (0 where a column has
    none) are put below its own. With a sink, (..., 2d+6, C+1): three rows more, and the null column in front, a source.
    Raises ValueError for a prompt of the wrong shape.
    """
    rows = (prompt.Z if isinstance(prompt, Prompt) else prompt).shape[-2]
    Z, source, continues = check_prompt(prompt, rows)
    d, C = rows - 3, Z.shape[-1]
    if d < 1:
        raise ValueError(f"prompt has {rows} rows; it must have d + 3, at least 4 (see build_prompt)")
    if source is None or continues is None:
        source = continues = torch.arange(C, device=Z.device) < C - 1
    x = Z[..., :d, :]
    Z = torch.cat([x, inside(shift_left)(x, continues), Z[..., d:, :]], dim=-2)
    if not sink:
        return Z, source
    ends = (~continues).to(Z)[..., None, :].expand(*Z.shape[:-2], 1, C)
    Z = torch.cat([Z, torch.zeros_like(ends), ends, torch.ones_like(ends)], dim=-2)
    null = torch.zeros_like(Z[..., :1])
    null[..., -3, :] = null[..., -1, :] = 1.0
    return torch.cat([null, Z], dim=-1), nn.functional.pad(source, (1, 0), value=True)


class TwoHeadTransformer(nn.Module):
    """L layers Z' = Z + V1 Z E1 + V2 Z E2, each head with its own scores: E = softmax(Z^T A Z + M) down each column.

    d: features; gamma: what the constructed V2 holds, and checked against walks without an end; tied: one set of
    weights for all layers; kappa: strength of the sink for columns without a successor, None for none; causal: column j
    hears sources i <= j only. New networks start at 0.1 times Gaussian noise from `generator` (without one, of seed 0).

    Reads the prompts of `build_prompt`. Parameters V1, V2, A1, A2: (1 or L, R, R), R the rows of `two_head_prompt`.
    Raises ValueError for sizes below 1, gamma outside [0, 1], or kappa not above 0.
    """

    @door
    def __init__(
        self,
        d: Count,
        n_layers: Count,
        gamma: Discount,
        tied: bool = True,
        kappa: Positive | None = None,
        causal: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.d, self.n_layers, self.gamma, self.tied = d, n_layers, gamma, tied
        self.kappa, self.causal = kappa, causal
        generator = generator if generator is not None else torch.Generator().manual_seed(0)
        R = 2 * d + (3 if kappa is None else 6)

        def noise() -> nn.Parameter:
            layers = 1 if tied else n_layers
            return nn.Parameter(0.1 * torch.randn(layers, R, R, generator=generator, dtype=torch.float64))

        self.V1, self.V2, self.A1, self.A2 = noise(), noise(), noise(), noise()

    @classmethod
    @door
    def constructed(
        cls,
        d: Count,
        n_layers: Count,
        gamma: Discount,
        alpha: float = 1.0,
        beta: float = 1.0,
        kappa: Positive | None = None,
        causal: bool = False,
    ) -> TwoHeadTransformer:
        """Weighted softmax TD by two heads, frozen.

        A1 = beta on (x, x), A2 = beta on (x, x'), V1 = alpha e_value u^T, V2 = gamma alpha e_target u^T. With a sink,
        both A hold -kappa on (null, one) and 3 kappa on (null, null), and A2 also 3 kappa on (null, ends).
        """
        model = cls(d, n_layers, gamma, kappa=kappa, causal=causal)
        reward, target, value = range(2 * d, 2 * d + 3)
        eye = torch.eye(d, dtype=torch.float64)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            model.A1[:, :d, :d] = model.A2[:, :d, d : 2 * d] = beta * eye
            u = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
            model.V1[:, value, reward : reward + 3] = alpha * u
            model.V2[:, target, reward : reward + 3] = gamma * alpha * u
            if kappa is not None:
                null, ends, one = range(2 * d + 3, 2 * d + 6)
                for A in (model.A1, model.A2):
                    A[:, null, one], A[:, null, null] = -kappa, 3.0 * kappa
                model.A2[:, null, ends] = 3.0 * kappa
        return model.requires_grad_(False)

    def forward(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "*batch"]:
        """The value of the query state: value memory of the last column after L layers."""
        return self.values(prompt)[..., -1]

    def values(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "*batch cols"]:
        """Value memory of every column of the prompt after L layers."""
        return self.memories(prompt)[-1, ..., 1, :]

    def memories(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "depth *batch 2 cols"]:
        """Target and value memory of the prompt's own columns in Z_0, ..., Z_L, (L+1, ..., 2, C).

        As in the shift's network, but for one cell that nobody reads: without a sink, target memory of a column that
        has no successor (the query) holds an average, because softmax cannot say "nothing".
        """
        first = 0 if self.kappa is None else 1
        return self.trace(prompt)[..., 2 * self.d + 1 : 2 * self.d + 3, first:]

    def trace(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "depth *batch R columns"]:
        """Z_0, ..., Z_L stacked along a new first axis, in the rows and columns of `two_head_prompt`."""
        Z, source = self._read(prompt)
        hidden = ~source[..., :, None] | self._later(Z)  # [i, j]: query j does not hear source i
        layers = [Z]
        for layer in range(self.n_layers):
            at = 0 if self.tied else layer
            V1, V2, A1, A2 = (W[at].to(Z) for W in (self.V1, self.V2, self.A1, self.A2))
            E1, E2 = (torch.softmax((Z.mT @ A @ Z).masked_fill(hidden, -torch.inf), dim=-2) for A in (A1, A2))
            Z = Z + V1 @ Z @ E1 + V2 @ Z @ E2
            layers.append(Z)
        return torch.stack(layers)

    def _later(self, Z: Tensor) -> Tensor:
        """Where a source comes after the query, [i, j], if causal."""
        C = Z.shape[-1]
        return torch.full((C, C), self.causal, device=Z.device).tril(-1)

    def _read(self, prompt: Tensor | Prompt) -> tuple[Tensor, Tensor]:
        """The columns and which are sources, checked."""
        _, source, continues = check_prompt(prompt, n_rows(self.d))
        ends = source is not None and continues is not None and bool((source & ~continues).any())
        if ends and self.kappa is None:
            raise ValueError("prompt has walks that terminate; two heads need a sink for them: pass kappa=40, say")
        check_gamma(self.gamma, ends)
        columns, heard = inside(two_head_prompt)(prompt, self.kappa is not None)
        if self.causal and not bool(heard[..., 0].all()):
            raise ValueError("the first column is no source; a causal network needs one there, or a sink (kappa)")
        return columns, heard
