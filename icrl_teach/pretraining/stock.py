"""A Transformer as people build them: embedding, positions, pre-norm blocks of heads and MLP, a linear readout.

Made of PyTorch's own `nn.TransformerEncoderLayer`, and trained as the course's network is: same tasks, windows and TD
errors. It reads the course's prompts, so both networks answer the same question from the same tensor. Nothing in it
knows of TD: no error row, no shift, no gamma, which it has to take from the errors that it is trained on.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from icrl_teach._door import door, inside
from icrl_teach._validate import Natural
from icrl_teach.pretraining.batches import Batch, window_prompts
from icrl_teach.pretraining.config import PretrainConfig, parameter_shapes, token_rows
from icrl_teach.prompt import Prompt, n_rows, reward_row
from icrl_teach.transformer import check_prompt, shift_left


class StockTransformer(nn.Module):
    """A pre-norm Transformer that answers the value of a prompt's last column (settings: `PretrainConfig`).

    Tokens are columns outside, as everywhere in the course, and rows inside, as in PyTorch: (..., C, width). Unless
    causal, all columns hear all, the query too. New networks are noise from `generator` (without one, of seed 0).
    Prompts are read in the network's precision. Raises ValueError for another architecture's config.
    """

    @door
    def __init__(self, config: PretrainConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if config.architecture != "stock":
            raise ValueError(f"config describes architecture {config.architecture!r}; this network is 'stock'")
        D, layers = config.width, 1 if config.tied else config.n_layers
        self.config = config
        with torch.device("meta"):  # no memory and no numbers yet: PyTorch would draw them with its global seed
            self.embed = nn.Linear(token_rows(config), D)
            if config.positions == "learned":
                self.positions = nn.Parameter(torch.empty(config.n_context[1] + 1, D))
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(D, config.n_heads, 4 * D, dropout=0.0, batch_first=True, norm_first=True)
                for _ in range(layers)
            )
            self.norm, self.readout = nn.LayerNorm(D), nn.Linear(D, 1)
        self.load_state_dict(with_dots(stock_noise(config, generator)), assign=True)

    def tokens(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "*batch cols width"]:
        """The residual stream before the first block: each column's numbers, embedded, and its position.

        Positions count back from the query, which is 0. Raises ValueError for a prompt of the wrong shape, with flags
        of walks, or longer than the learned positions.
        """
        if isinstance(prompt, Prompt):
            raise ValueError("prompt is a Prompt with flags; the stock network reads tensors: one endless walk")
        Z, d = check_prompt(prompt, n_rows(self.config.d))[0].to(self.embed.weight), self.config.d
        x, C = Z[..., :d, :], Z.shape[-1]
        asks = (torch.arange(C, device=Z.device) == C - 1).to(Z).expand(*Z.shape[:-2], 1, C)
        rows = [
            x,
            Z[..., reward_row(d), None, :],
            asks,
            *([inside(shift_left)(x)] if self.config.next_features else []),
        ]
        h = self.embed(torch.cat(rows, dim=-2).mT)
        if self.config.positions == "none":
            return h
        if len(self.positions) < C:
            raise ValueError(
                f"prompt has {C - 1} transitions; this network learned positions for {len(self.positions) - 1} at "
                "most: shorten the prompt, or train one with positions='none'"
            )
        return h + self.positions[:C].flip(0)

    def forward(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "*batch"]:
        """The network's value of the query state."""
        return self.values(prompt)[..., -1]

    def values(self, prompt: Float[Tensor, "*batch rows cols"] | Prompt) -> Float[Tensor, "*batch cols"]:
        """The readout at every column; training asked only for the last one's."""
        h = self.tokens(prompt)
        flat = h.flatten(0, -3) if h.ndim > 3 else h  # PyTorch's layers know one batch axis
        for layer in range(self.config.n_layers):
            flat = self._block(layer)(flat, src_mask=self._mask(h), is_causal=self.config.causal)
        return self._read(flat).reshape(h.shape[:-1])

    @door
    def read(self, h: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch"]:
        """What the readout makes of a residual stream, of any layer. Raises ValueError for another width."""
        if h.shape[-1] != self.config.width:
            raise ValueError(f"h has shape {tuple(h.shape)}; the residual stream is (..., {self.config.width})")
        return self._read(h.to(self.embed.weight))

    def _read(self, h: Tensor) -> Tensor:
        return self.readout(self.norm(h))[..., 0]

    def trace(
        self, prompt: Float[Tensor, "*batch rows cols"] | Prompt
    ) -> tuple[Float[Tensor, "depth *batch cols width"], Float[Tensor, "layers *batch heads cols cols"]]:
        """The residual stream of every depth, and all attention: E[..., i, j] is what query j takes from source i.

        The same network as `values`, each block written out: pre-norm attention, then a pre-norm MLP.
        """
        h = self.tokens(prompt)
        streams, weights = [h], []
        for layer in range(self.config.n_layers):
            block = self._block(layer)
            heard, E = self._attend(block, block.norm1(h))
            h = h + heard
            h = h + block.linear2(nn.functional.relu(block.linear1(block.norm2(h))))
            streams.append(h)
            weights.append(E.mT)
        return torch.stack(streams), torch.stack(weights)

    def _attend(self, block: nn.TransformerEncoderLayer, x: Tensor) -> tuple[Tensor, Tensor]:
        """What attention adds, (..., C, D), and its weights, query j in rows, (..., heads, C, C)."""
        attention, heads = block.self_attn, self.config.n_heads
        q, k, v = nn.functional.linear(x, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (heads, -1)).movedim(-2, -3) for t in (q, k, v))  # (..., heads, C, D / heads)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if self.config.causal:
            scores = scores + self._mask(x)
        E = torch.softmax(scores, dim=-1)
        return attention.out_proj((E @ v).movedim(-3, -2).flatten(-2)), E

    def _mask(self, h: Tensor) -> Tensor | None:
        """-inf for sources that come after the query, if causal."""
        if not self.config.causal:
            return None
        return torch.full((h.shape[-2], h.shape[-2]), -torch.inf, dtype=h.dtype, device=h.device).triu(1)

    def _block(self, layer: int) -> nn.TransformerEncoderLayer:
        block = self.blocks[0 if self.config.tied else layer]
        assert isinstance(block, nn.TransformerEncoderLayer)
        return block

    @door
    def without_head(self, layer: Natural, head: Natural) -> StockTransformer:
        """The same network in which one head of one layer adds nothing: its columns of W_O are 0.

        Raises ValueError for a layer or a head that is not there.
        """
        if layer >= len(self.blocks) or head >= self.config.n_heads:
            raise ValueError(
                f"layer is {layer} and head {head}; layers are 0 to {len(self.blocks) - 1}, heads 0 to "
                f"{self.config.n_heads - 1}"
            )
        width = self.config.width // self.config.n_heads
        theta = {name: p.detach().clone() for name, p in self.state_dict().items()}
        theta[f"blocks.{layer}.self_attn.out_proj.weight"][:, head * width : (head + 1) * width] = 0.0
        return stock_transformer(with_slashes(theta), self.config)


def with_dots(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as PyTorch's modules have them."""
    return {name.replace("/", "."): p for name, p in parameters.items()}


def with_slashes(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as `parameter_shapes` has them."""
    return {name.replace(".", "/"): p for name, p in parameters.items()}


def stock_noise(config: PretrainConfig, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """Where training starts: matrices with entries of variance 1 / inputs, norms at 1, biases at 0.

    What writes to the residual stream is scaled by 1 / sqrt(2 layers), so that depth does not swell it; positions and
    readout start small, so that first answers are near 0.
    """
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    theta = {}
    for name, shape in parameter_shapes(config).items():
        if "norm" in name or name.endswith("bias"):
            theta[name] = torch.full(shape, float(name.endswith("weight")))
            continue
        size = shape[-1] ** -0.5
        if "out_proj" in name or "linear2" in name:
            size *= (2 * config.n_layers) ** -0.5
        elif name in ("positions", "readout/weight"):
            size *= 0.1
        theta[name] = size * torch.randn(shape, generator=generator)
    return theta


def stock_transformer(parameters: dict[str, Tensor], config: PretrainConfig) -> StockTransformer:
    """The network with these parameters, frozen."""
    model = StockTransformer(config)
    model.load_state_dict(with_dots(parameters), assign=True)
    return model.requires_grad_(False)


@lru_cache(maxsize=8)
def _skeleton(config: PretrainConfig) -> StockTransformer:
    return StockTransformer(config)


def stock_answers(parameters: dict[str, Tensor], batch: Batch, config: PretrainConfig) -> Tensor:
    """The answers of every window, (B, W+1): the network on every window's prompt."""
    return functional_call(_skeleton(config), with_dots(parameters), (window_prompts(batch),))
