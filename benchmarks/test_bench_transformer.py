"""A constructed network builds attention once: its whole forward pass should cost at most two attention matrices."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from icrl_teach import Prompt, SoftmaxTransformer, build_prompt, softmax_attention, td_parameters
from measure import Seconds, milliseconds, ratio, take_turns, target, thread_counts, threads

D, L = 16, 16
# Attention is one large array, so its cost depends on where memory comes from. Fresh: every array over 128 KiB is new
# memory from the system, with a page fault per 4 KiB, as in a program that reads one prompt. Reused: arrays up to
# 32 MiB take what an earlier one gave back, as a long loop comes to do. Left alone, glibc slides from the first to the
# second at a moment that no benchmark controls. (Other C libraries ignore these names.)
MEMORY = {
    "fresh": {"MALLOC_MMAP_THRESHOLD_": str(128 * 2**10), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**10)},
    "reused": {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(2**30)},
}


def prompt_of(n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    features = torch.nn.functional.normalize(torch.randn(n + 1, D, generator=generator), dim=-1)
    return build_prompt(features, torch.rand(n, generator=generator))


def naive_forward(model: SoftmaxTransformer, Z: torch.Tensor) -> torch.Tensor:
    """The general path: every layer builds attention anew and multiplies all rows of V."""
    for index in range(model.n_layers):
        Z = model.layer(Z, index)
    return Z[-1, -1]


def seconds_of(n: int, n_threads: int) -> tuple[Seconds, Seconds]:
    """One attention matrix and the forward pass in turn; and the same two with the naive pass."""
    Z, A = prompt_of(n), td_parameters(D, dtype=torch.float32)[1]
    model = SoftmaxTransformer.constructed(D, L, gamma=0.9)
    torch.testing.assert_close(model(Z), naive_forward(model, Z), rtol=1e-4, atol=1e-4)
    both = {"attention": lambda: softmax_attention(Z, A), "forward": lambda: model(Z)}
    with threads(n_threads):
        seconds = take_turns(both, 15 if n > 2000 else 60)
        return seconds, take_turns(both | {"naive": lambda: naive_forward(model, Z)}, 3 if n > 2000 else 10)


def seconds_in_its_own_process(n: int, memory: str, n_threads: int) -> tuple[Seconds, Seconds]:
    """`seconds_of` in a new interpreter, because memory is settled when a process starts."""
    command = [sys.executable, __file__, str(n), str(n_threads)]
    return json.loads(subprocess.run(command, env=os.environ | MEMORY[memory], check=True, capture_output=True).stdout)


# At n = 4,096 attention takes 64 MiB, which is always fresh.
CASES = [(256, "fresh"), (256, "reused"), (1024, "fresh"), (1024, "reused"), (4096, "fresh")]


@pytest.mark.parametrize("n_threads", thread_counts())
@pytest.mark.parametrize(("n", "memory"), CASES)
def test_forward_against_one_attention_matrix(benchmark, row, n, memory, n_threads):
    seconds, slow = benchmark.pedantic(seconds_in_its_own_process, args=(n, memory, n_threads), rounds=1)
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


def with_episodes(Z: torch.Tensor) -> Prompt:
    """The same columns as walks of ten steps, every other one cut short (its tenth column a landing)."""
    position = torch.arange(Z.shape[-1])
    source = (position % 20 != 19) & (position < len(position) - 1)
    return Prompt(Z, source, source & (position % 20 != 9))


@pytest.mark.parametrize("block", ["shift", "dual"])
@pytest.mark.parametrize("n", [256, 1024])
def test_prompts_with_episodes_against_those_without(benchmark, row, n, block):
    Z, model = prompt_of(n), SoftmaxTransformer.constructed(D, L, gamma=0.9, block=block)
    prompt = with_episodes(Z)
    both = {"episodes": lambda: model(prompt), "endless": lambda: model(Z)}
    with threads(1):
        seconds = benchmark.pedantic(take_turns, args=(both, 100), rounds=1)
    quotient = ratio(seconds, "episodes", "endless")
    row(
        "constructed network",
        f"a prompt with episodes, block {block}, L = {L}, n = {n:,}, 1 thread",
        milliseconds(seconds, "episodes"),
        "as many columns, one endless walk",
        milliseconds(seconds, "endless"),
        f"{quotient:.2f}",
        target(quotient <= 1.1, "at most 1.1"),
    )


if __name__ == "__main__":
    print(json.dumps(seconds_of(int(sys.argv[1]), int(sys.argv[2]))))
