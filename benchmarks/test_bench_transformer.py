"""A constructed network builds attention once: its whole forward pass should cost at most two attention matrices."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from icrl_teach import SoftmaxTransformer, build_prompt, softmax_attention, td_parameters
from measure import fresh_memory, milliseconds, ratio, take_turns, target, thread_counts, threads

D, L = 16, 16


def prompt_of(n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    features = torch.nn.functional.normalize(torch.randn(n + 1, D, generator=generator), dim=-1)
    return build_prompt(features, torch.rand(n, generator=generator))


def naive_forward(model: SoftmaxTransformer, Z: torch.Tensor) -> torch.Tensor:
    """The general path: every layer builds attention anew and multiplies all rows of V."""
    for index in range(model.n_layers):
        Z = model.layer(Z, index)
    return Z[-1, -1]


@pytest.mark.parametrize("n_threads", thread_counts())
@pytest.mark.parametrize("memory", ["fresh", "reused"])
@pytest.mark.parametrize("n", [256, 1024, 4096])
def test_forward_against_one_attention_matrix(benchmark, row, n, memory, n_threads):
    """Attention is one large array, so its cost depends on where memory comes from; at 4,096 it is always fresh."""
    if n == 4096 and memory == "reused":
        pytest.skip("64 MiB arrays are always fresh memory")
    Z, A = prompt_of(n), td_parameters(D, dtype=torch.float32)[1]
    model = SoftmaxTransformer.constructed(D, L, gamma=0.9)
    torch.testing.assert_close(model(Z), naive_forward(model, Z), rtol=1e-4, atol=1e-4)
    with threads(n_threads), fresh_memory() if memory == "fresh" else nullcontext():
        both = {"attention": lambda: softmax_attention(Z, A), "forward": lambda: model(Z)}
        seconds = take_turns(both, 15 if n > 2000 else 60)
        slow = take_turns(both | {"naive": lambda: naive_forward(model, Z)}, 3 if n > 2000 else 10)
        benchmark.pedantic(model, args=(Z,), rounds=5, warmup_rounds=1)
    case, quotient = f"n = {n:,}, {memory} memory, {n_threads} thread(s)", ratio(seconds, "forward", "attention")
    row(
        "constructed network",
        f"forward, L = {L}, d = {D}, float32, {case}",
        milliseconds(seconds, "forward"),
        "one attention matrix",
        milliseconds(seconds, "attention"),
        f"{quotient:.2f}",
        target(quotient <= 2, "at most 2") if n >= 1024 else "reported",
    )
    row(
        "constructed network",
        f"attention rebuilt in each layer, {case}",
        milliseconds(slow, "naive"),
        "one attention matrix",
        milliseconds(slow, "attention"),
        f"{ratio(slow, 'naive', 'attention'):.1f}",
        f"{ratio(slow, 'naive', 'forward'):.1f} times our forward",
    )
