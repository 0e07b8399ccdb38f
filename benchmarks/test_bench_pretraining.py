"""Pretraining: windows per second of the engine against one prompt at a time, and where the engine's time goes."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from icrl_teach import boyan_chain
from icrl_teach.emergence import TD_ROW, summarise
from icrl_teach.losses import PretrainConfig, draw_batch
from icrl_teach.pretraining import Learner, PretrainingResult, clip_each_seed, pretrain
from icrl_teach.pretraining.training import start, train_step
from measure import milliseconds, ratio, take_turns, target, thread_counts, threads

D, S, N, L, WINDOWS, TASKS, GAMMA = 4, 10, 30, 3, 64, 128, 0.9
CONFIG = PretrainConfig(
    features="random", n_states=(S, S), n_context=(N, N), d=D, n_layers=L, gamma=GAMMA, n_tasks=TASKS, n_windows=WINDOWS
)


class OneAtATime:
    """What one writes first: a chain and a step at a time, a prompt at a time, every entry of V and A multiplied."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.row = torch.nn.Parameter(0.1 * torch.randn(3))
        self.block = torch.nn.Parameter(0.1 * torch.randn(D, D))
        self.optimiser = torch.optim.Adam([self.row, self.block], lr=0.01)

    def answer(self, x: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
        V = torch.zeros(D + 3, D + 3)
        V[D + 2, D:] = self.row
        A = torch.zeros(D + 3, D + 3)
        A[:D, :D] = self.block
        Z = torch.zeros(D + 3, N + 1)
        Z[:D], Z[D, :N] = x.T, rewards
        mask = torch.zeros(N + 1, N + 1)
        mask[N] = -torch.inf
        for _ in range(L):
            H = Z + V @ Z @ torch.softmax(Z.T @ A @ Z + mask, dim=0)
            shifted = torch.zeros(1, N + 1)
            shifted[0, :N] = GAMMA * H[D + 2, 1:]
            Z = torch.cat([H[: D + 1], shifted, H[D + 2 :]])
        return Z[D + 2, N]

    def step(self) -> None:
        """One trajectory and its 64 windows."""
        chain = boyan_chain(S, GAMMA, self.rng)
        features = torch.nn.functional.normalize(torch.randn(S, D), dim=1)
        states = [self.rng.integers(S)]
        for _ in range(N + WINDOWS):
            states.append(self.rng.choice(S, p=chain.transition[states[-1]]))
        x, rewards = features[states], torch.tensor(chain.reward[states], dtype=torch.float32)
        self.optimiser.zero_grad()
        for w in range(WINDOWS):
            with torch.no_grad():
                following = self.answer(x[w + 1 : w + N + 2], rewards[w + 1 : w + N + 1])
            delta = rewards[w + N] + GAMMA * following - self.answer(x[w : w + N + 1], rewards[w : w + N])
            (delta.square() / WINDOWS).backward()
        torch.nn.utils.clip_grad_norm_([self.row, self.block], 1.0)
        self.optimiser.step()


class Engine:
    """One training step of the library, in its four parts."""

    def __init__(self) -> None:
        self.learner = Learner(CONFIG)
        self.optimiser = torch.optim.Adam(self.learner.parameters(), lr=0.01)
        self.generator = torch.Generator().manual_seed(0)
        self.seconds: dict[str, list[float]] = {"data": [], "forward": [], "backward": [], "optimiser": []}

    def step(self) -> None:
        clock = [time.perf_counter()]
        batch = draw_batch(CONFIG, self.generator).split(1)
        clock.append(time.perf_counter())
        loss = self.learner(*batch).sum()
        clock.append(time.perf_counter())
        self.optimiser.zero_grad()
        loss.backward()
        clock.append(time.perf_counter())
        clip_each_seed(list(self.learner.parameters()), CONFIG.clip)
        self.optimiser.step()
        clock.append(time.perf_counter())
        for part, a, b in zip(self.seconds, clock, clock[1:], strict=False):
            self.seconds[part].append(b - a)


def machine_peaks() -> tuple[float, float]:
    """Floating-point operations a second of a large float32 matrix product; bytes a second of a large copy."""
    a, b = torch.randn(1536, 1536), torch.randn(1536, 1536)
    source, copy = torch.randn(2**25), torch.empty(2**25)
    seconds = take_turns({"product": lambda: a @ b, "copy": lambda: copy.copy_(source)}, 5)
    return 2 * 1536**3 / min(seconds["product"]), 2 * 4 * 2**25 / min(seconds["copy"])


def work() -> dict[str, tuple[float, float]]:
    """Operations and bytes that each part cannot avoid, counted by hand: (B, W+1) windows, S x S counts, L layers."""
    windows = TASKS * (WINDOWS + 1)
    products = (
        2 * windows * S * S * 2 * L + 2 * windows * S * S
    )  # counts @ v and D @ kernel a layer, the normaliser once
    counts = 4 * windows * S * S
    return {
        "data": (windows * S * S, 2 * counts),
        "forward": (products, counts * L),
        "backward": (2 * products, counts * L),
        "optimiser": (12.0 * (D * D + 3), 16.0 * (D * D + 3)),
    }


@pytest.mark.parametrize("n_threads", thread_counts())
def test_training_against_one_prompt_at_a_time(benchmark, row, n_threads):
    with threads(n_threads):
        naive, engine = OneAtATime(), Engine()
        seconds = take_turns({"engine": engine.step, "one at a time": naive.step}, 12)
        benchmark.pedantic(engine.step, rounds=10, warmup_rounds=1)
        flops, bandwidth = machine_peaks()
    quotient = TASKS * ratio(seconds, "one at a time", "engine")  # the engine's step has TASKS times as many prompts
    rates = {
        name: count * WINDOWS / statistics.median(seconds[name])
        for name, count in (("engine", TASKS), ("one at a time", 1))
    }
    row(
        "pretraining",
        f"a step of {TASKS} tasks x {WINDOWS} windows (d = {D}, {S} states, n = {N}, L = {L}), {n_threads} thread(s): "
        f"{rates['engine']:,.0f} prompts/s",
        milliseconds(seconds, "engine"),
        f"one prompt at a time, 1 task x {WINDOWS} windows: {rates['one at a time']:,.0f} prompts/s",
        milliseconds(seconds, "one at a time"),
        f"{quotient:.0f} (prompts/s)",
        target(quotient >= 60, "at least 60"),
    )
    for part, (operations, moved) in work().items():
        taken = statistics.median(engine.seconds[part])
        row(
            "pretraining",
            f"{part}, {n_threads} thread(s)",
            milliseconds(engine.seconds, part),
            f"machine: {flops / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s",
            "-",
            f"{operations / taken / flops:.2%} of the product peak, {moved / taken / bandwidth:.1%} of the memory peak",
            "reported",
        )


def test_a_stock_network_beside_the_paper_s(benchmark, row):
    """Prompts a second of training: every token through LayerNorm, heads and MLP, against sums over states."""
    masked = PretrainConfig(n_layers=3, n_context=(20, 20), n_tasks=32, n_windows=4)
    stock = replace(masked, architecture="stock", positions="none", tied=False, width=32, n_heads=2)
    two_heads = replace(masked, architecture="two-heads")
    runs = {"masked": masked, "two heads, masked": two_heads, "stock, width 32": stock}
    with threads(1):
        started = {name: start(config, torch.device("cpu")) for name, config in runs.items()}
        seconds = take_turns({n: lambda n=n: train_step(started[n], started[n].learner) for n in runs}, 15)
        benchmark.pedantic(train_step, args=(started["masked"], started["masked"].learner), rounds=1)
    for name in runs:
        rate = 32 * 4 / statistics.median(seconds[name])
        row(
            "pretraining",
            f"a step of 32 tasks x 4 windows (6 states, n = 20, L = 3), 1 thread, {name}: {rate:,.0f} prompts/s",
            milliseconds(seconds, name),
            "masked",
            milliseconds(seconds, "masked"),
            f"{ratio(seconds, name, 'masked'):.2f}",
            "reported",
        )


def outcome(result: PretrainingResult) -> str:
    """What was learned, in words: how far V's row is from (1, 1, -1), and the error beside the constructed one's."""
    summary = summarise(result)
    off = [max(abs(a - b) for a, b in zip(run["V"], TD_ROW, strict=True)) for run in summary["runs"]]
    errors = [run["error"] for run in summary["runs"]]
    return (
        f"V's row within 0.2 of (1, 1, -1): {sum(each < 0.2 for each in off)} of {len(off)}; "
        f"held-out error {min(errors):.4f} to {max(errors):.4f}, constructed {summary['constructed_error']:.4f}"
    )


def test_the_reference_run(benchmark, row):
    configs = {"one seed": PretrainConfig(), "five seeds": PretrainConfig(seeds=(0, 1, 2, 3, 4))}
    results: dict[str, PretrainingResult] = {}

    def run(name: str) -> None:
        results[name] = pretrain(configs[name], progress=False)

    seconds = take_turns({name: lambda name=name: run(name) for name in configs}, 2)
    benchmark.pedantic(run, args=("one seed",), rounds=1)
    for name in configs:
        fast = min(seconds[name]) <= 15
        row(
            "pretraining",
            f"the reference run, 2,000 steps of 128 tasks x 2 windows, {name}: {outcome(results[name])}",
            milliseconds(seconds, name),
            "one seed",
            milliseconds(seconds, "one seed"),
            f"{ratio(seconds, name, 'one seed'):.2f}",
            target(fast, "one run within 15 s") if name == "one seed" else "reported",
        )
