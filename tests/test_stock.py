"""The stock Transformer: PyTorch's own forward pass, the course's written-out one and plain loops say the same."""

import json
import math
import os
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from icrl_teach import (
    CheckpointError,
    StockTransformer,
    build_prompt,
    load_weights,
    pretrain,
    save_weights,
    summarise,
)
from icrl_teach.pretraining.answers import answers, initial_parameters
from icrl_teach.pretraining.batches import draw_batch, window_prompts
from icrl_teach.pretraining.config import parameter_shapes, step_bytes
from icrl_teach.pretraining.losses import loss, value_error
from icrl_teach.pretraining.stock import stock_transformer
from oracles import assert_close
from patience import uncounted
from pretraining_cases import assert_same_run, drawn, generator, gradient, small, windows

VARIANTS = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": True},
        {"positions": "none"},
        {"next_features": False},
        {"causal": True},
        {"n_heads": 1, "features": "random", "d": 3},
    ],
    ids=str,
)


def stock(**changes):
    return small(**{"architecture": "stock", "tied": False, "width": 8, "n_heads": 2, "n_layers": 2, **changes})


def network(config, seed=0) -> StockTransformer:
    """A network in double precision, far enough from its beginning that every number matters."""
    theta = {k: p.double() for k, p in initial_parameters(config, seed).items()}
    g = generator(seed)
    noisy = {k: p + 0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype) for k, p in theta.items()}
    return stock_transformer(noisy, config).double()


def prompts(config, n=6, batch=(3,)):
    rng = np.random.default_rng(1)
    return build_prompt(rng.normal(size=(*batch, n + 1, config.d)), rng.normal(size=(*batch, n)))


def layer_norm(x, weight, bias):
    mean = sum(x) / len(x)
    variance = sum((e - mean) ** 2 for e in x) / len(x)
    return [(e - mean) / math.sqrt(variance + 1e-5) * w + b for e, w, b in zip(x, weight, bias, strict=True)]


def linear(x, weight, bias):
    return [sum(w * e for w, e in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def by_hand(model: StockTransformer, Z) -> list[float]:
    """Every column's value, in plain Python, from the parameters alone."""
    c, p = model.config, {name: value.tolist() for name, value in model.state_dict().items()}
    Z, C = Z.tolist(), Z.shape[1]
    h = []
    for j in range(C):
        token = [Z[i][j] for i in range(c.d)] + [Z[c.d][j], float(j == C - 1)]
        if c.next_features:
            token += [Z[i][j + 1] if j + 1 < C else 0.0 for i in range(c.d)]
        place = p["positions"][C - 1 - j] if c.positions == "learned" else [0.0] * c.width
        h.append([a + b for a, b in zip(linear(token, p["embed.weight"], p["embed.bias"]), place, strict=True)])
    for layer in range(c.n_layers):
        q = {k.removeprefix(f"blocks.{0 if c.tied else layer}."): v for k, v in p.items()}
        x = [layer_norm(row, q["norm1.weight"], q["norm1.bias"]) for row in h]
        qkv = [linear(row, q["self_attn.in_proj_weight"], q["self_attn.in_proj_bias"]) for row in x]
        D, w = c.width, c.width // c.n_heads
        for j in range(C):
            heard = []
            for head in range(c.n_heads):
                part = slice(head * w, (head + 1) * w)
                hears = range(j + 1) if c.causal else range(C)
                score = [
                    sum(a * b for a, b in zip(qkv[j][:D][part], qkv[i][D : 2 * D][part], strict=True)) / math.sqrt(w)
                    for i in hears
                ]
                weight = [math.exp(s - max(score)) for s in score]
                for k in range(w):
                    values = [qkv[i][2 * D :][part][k] for i in hears]
                    heard.append(sum(a * v for a, v in zip(weight, values, strict=True)) / sum(weight))
            out = linear(heard, q["self_attn.out_proj.weight"], q["self_attn.out_proj.bias"])
            h[j] = [a + b for a, b in zip(h[j], out, strict=True)]
        for j in range(C):
            inner = linear(layer_norm(h[j], q["norm2.weight"], q["norm2.bias"]), q["linear1.weight"], q["linear1.bias"])
            out = linear([max(e, 0.0) for e in inner], q["linear2.weight"], q["linear2.bias"])
            h[j] = [a + b for a, b in zip(h[j], out, strict=True)]
    rows = [layer_norm(row, p["norm.weight"], p["norm.bias"]) for row in h]
    return [linear(row, p["readout.weight"], p["readout.bias"])[0] for row in rows]


@VARIANTS
def test_three_roads_to_the_same_values(changes):
    config = stock(**changes)
    model, Z = network(config), prompts(config)
    streams, E = model.trace(Z)
    assert_close(model.values(Z), [by_hand(model, z) for z in Z], 1e-9)
    assert_close(model.read(streams[-1]), model.values(Z), 1e-9)
    assert_close(model(Z), model.values(Z)[..., -1], 1e-12)
    assert streams.shape == (3, 3, 7, 8) and E.shape == (2, 3, config.n_heads, 7, 7)
    assert_close(E.sum(-2), torch.ones(2, 3, config.n_heads, 7), 1e-12)  # down each column: the course's convention
    assert bool((E[0].tril(-1) != 0).any()) != config.causal  # row i, column j: source i comes after query j


@VARIANTS
def test_parameter_shapes_are_those_of_the_network(changes):
    config = stock(**changes)
    held = {name.replace(".", "/"): tuple(p.shape) for name, p in StockTransformer(config).state_dict().items()}
    assert held == parameter_shapes(config)


@VARIANTS
def test_answers_are_the_network_on_every_window_s_prompt(changes):
    config = stock(**changes)
    batch, model = drawn(config), network(config)
    theta = {name.replace(".", "/"): p for name, p in model.state_dict().items()}
    expected = np.zeros((4, 4))
    for b, w, path in windows(batch):
        expected[b, w] = model(build_prompt(batch.features[b, path].double(), batch.reward[b, path[:-1]].double()))
    assert_close(answers(theta, batch, config), expected, 1e-9)


def test_the_bootstrap_has_no_gradient_here_either():
    config = stock(n_windows=1)
    batch = drawn(config)
    theta = {name: p.double() for name, p in initial_parameters(config, 0).items()}
    model = stock_transformer({k: p.clone() for k, p in theta.items()}, config).requires_grad_(True)
    Z = window_prompts(batch)
    reward = batch.reward.gather(-1, batch.query[:, :1])[:, 0]
    with torch.no_grad():
        target = reward + config.gamma * model(Z[:, 1])
    (target - model(Z[:, 0])).square().mean().backward()
    by_name = {name.replace(".", "/"): p.grad for name, p in model.named_parameters()}
    assert_close(
        gradient(lambda t: loss(t, batch, config), theta), torch.cat([by_name[k].flatten() for k in theta]), 1e-9
    )


def test_noise_comes_from_its_generator_alone():
    config, before = stock(), torch.get_rng_state()
    one, again, other = (StockTransformer(config, generator(seed)).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert not torch.equal(one["embed.weight"], other["embed.weight"])
    assert StockTransformer(config)(prompts(config).float()).abs().max() < 0.5, "first answers are small"


def test_without_positions_the_order_of_steps_says_nothing_and_with_them_it_does():
    for positions, moves in (("none", False), ("learned", True)):
        config = stock(positions=positions)
        model, rng = network(config), np.random.default_rng(2)
        x, r = np.eye(5)[[0, 1, 0, 2, 0, 3]], rng.normal(size=5)
        mixed = np.eye(5)[[0, 2, 0, 1, 0, 3]]  # the same steps 0-1-0 and 0-2-0 in another order
        a, b = model(build_prompt(x, r)), model(build_prompt(mixed, r[[2, 3, 0, 1, 4]]))
        assert (abs(a - b) > 1e-6) == moves


def test_a_head_that_is_cut_adds_nothing():
    config = stock()
    model, Z = network(config), prompts(config)
    for layer in range(2):
        both = model.without_head(layer, 0).without_head(layer, 1)
        block = both.blocks[layer]
        heard = both._attend(block, torch.randn(3, 7, 8, generator=generator()).double())[0]
        assert_close(heard, block.self_attn.out_proj.bias.expand(3, 7, 8), 1e-12)
        assert not torch.allclose(both(Z), model(Z))
    with pytest.raises(ValueError, match=r"layer is 0 and head 2; layers are 0 to 1, heads 0 to 1"):
        model.without_head(0, 2)


# --- training, and its files -----------------------------------------------------------------------------------


@uncounted
def test_training_goes_down_stops_and_resumes_bit_for_bit(tmp_path):
    config = stock(n_steps=40, n_tasks=16, learning_rate=0.01, seeds=(0, 1), evaluate_every=10)
    whole = pretrain(config, progress=False)
    assert all(np.mean(whole.history["loss"][-1]) < np.mean(whole.history["loss"][0]) for _ in range(1))
    file = tmp_path / "run.pt"
    first = pretrain(config, progress=False, checkpoint=file, watch=lambda r: r.steps == 20)
    assert first.steps == 20
    assert_same_run(pretrain(config, progress=False, checkpoint=file, resume=True), whole)


def test_seeds_side_by_side_are_the_runs_one_by_one():
    config = stock(seeds=(0, 1))
    result = pretrain(config, progress=False)
    batch = draw_batch(config, generator(5))
    for index in range(2):
        model = result.model(index)
        assert isinstance(model, StockTransformer) and not any(p.requires_grad for p in model.parameters())
        expected = (model(window_prompts(batch)) - batch.exact)[:, :-1].square().mean()
        assert_close(value_error(result.of_seed(index), batch, config), expected, 1e-6)


def test_a_tied_network_may_be_deeper_at_test_time_and_a_stock_one_not():
    config = stock(tied=True)
    batch, theta = draw_batch(config, generator()), initial_parameters(config, 0)
    deep = stock_transformer(theta, replace(config, n_layers=5))
    assert_close(answers(theta, batch, config, 5), deep(window_prompts(batch)), 1e-6)
    with pytest.raises(ValueError, match="n_layers is 5"):
        answers(initial_parameters(stock(), 0), batch, stock(), 5)


def test_weights_come_back_as_they_went(tmp_path):
    for config in (stock(seeds=(0, 1)), small(), small(architecture="two-heads")):
        result, file = pretrain(config, progress=False), tmp_path / f"{config.architecture}.safetensors"
        save_weights(file, result)
        back = load_weights(file)
        assert (back.config, back.steps, back.history) == (result.config, result.steps, result.history)
        assert all(torch.equal(back.parameters[k], result.parameters[k]) for k in result.parameters)
        assert back.parameters.keys() == result.parameters.keys()
        header = json.loads(file.read_bytes()[8:][: struct.unpack("<Q", file.read_bytes()[:8])[0]])
        assert json.loads(header["__metadata__"]["config"])["architecture"] == config.architecture
        assert torch.equal(back.model(0)(prompts(config, 9).float()), result.model(0)(prompts(config, 9).float()))


def rewritten(source: bytes, **changes) -> bytes:
    """The file with another header: metadata changed, or whole entries."""
    length = struct.unpack("<Q", source[:8])[0]
    header = json.loads(source[8 : 8 + length])
    header["__metadata__"] = {k: v for k, v in {**header["__metadata__"], **changes}.items() if v is not None}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + source[8 + length :]


def test_odd_files_of_weights_are_refused(tmp_path):
    file, odd = tmp_path / "w.safetensors", tmp_path / "odd.safetensors"
    save_weights(file, pretrain(stock(), progress=False))
    good = file.read_bytes()
    other = json.loads(json.loads(good[8 : 8 + struct.unpack("<Q", good[:8])[0]])["__metadata__"]["config"])
    cases = {
        b"": "no readable safetensors",
        good[:-5]: "no readable safetensors",
        b"\x80\x04K*.": "no readable safetensors",
        struct.pack("<Q", 2**62) + good[8:]: "no readable safetensors",
        rewritten(good, format="another"): "not weights of this version",
        rewritten(good, config="[1]"): "damaged weights",
        rewritten(good, config=None): "damaged weights",
        rewritten(good, config=json.dumps({**other, "width": 16})): "do not fit its configuration",
        rewritten(good, history="7"): "its history is no table",
        rewritten(good, steps="many"): "damaged weights",
        good[:-4] + struct.pack("<f", math.nan): "no finite decimal numbers",
    }
    for content, words in cases.items():
        odd.write_bytes(content)
        with pytest.raises(CheckpointError, match=words) as caught:
            load_weights(odd)
        assert "odd.safetensors" in str(caught.value) and len(str(caught.value)) < 400
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_weights(tmp_path / "none.safetensors")
    assert os.listdir(tmp_path) and not list(tmp_path.glob(".*"))


def test_summarise_compares_the_stock_network_by_its_errors():
    summary = summarise(pretrain(stock(), progress=False), n_tasks=64)
    assert set(summary["runs"][0]) == {"seed", "layer", "error"}
    assert (
        summary["constructed_error"] == summarise(pretrain(small(n_layers=2), progress=False), 64)["constructed_error"]
    )


def test_refusals():
    with pytest.raises(ValueError, match="width is 8; 3 heads need a multiple of 3"):
        stock(n_heads=3)
    config = stock()
    model = StockTransformer(config)
    with pytest.raises(ValueError, match=r"prompt has 10 transitions.*positions for 9"):
        model(prompts(config, 10).float())
    with pytest.raises(ValueError, match="prompt is a Prompt with flags"):
        model(build_prompt(np.eye(5)[:3], [1.0, 1.0], queries=np.eye(5)[:1]))
    with pytest.raises(ValueError, match="prompt has shape"):
        model(torch.ones(3, 4))
    assert step_bytes(stock(width=800)) > step_bytes(config)
