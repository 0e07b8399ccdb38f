"""The training loop against one written out by hand: a step, a run, and what it leaves."""

import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from icrl_teach.pretraining import losses
from icrl_teach.pretraining.answers import answers, initial_parameters
from icrl_teach.pretraining.batches import draw_batch, held_out
from icrl_teach.pretraining.checkpoints import load_result
from icrl_teach.pretraining.config import PretrainConfig
from icrl_teach.pretraining.losses import loss, value_error
from icrl_teach.pretraining.training import clip_each_seed, learning_rate_at, pretrain
from icrl_teach.prompt import build_prompt
from oracles import assert_close
from pretraining_cases import NORMALISATIONS, assert_same_run, generator, small, windows


def test_clipping_keeps_seeds_apart():
    gradients = [torch.randn(3, 1, 3, generator=generator()), torch.randn(3, 1, 4, 4, generator=generator(1))]
    gradients = [g * torch.tensor([0.01, 1.0, 100.0]).view(3, *[1] * (g.ndim - 1)) for g in gradients]
    parameters = [torch.zeros_like(g) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()
    clip_each_seed(parameters, 1.0)
    for seed in range(3):
        before = torch.cat([g[seed].flatten() for g in gradients])
        after = torch.cat([p.grad[seed].flatten() for p in parameters])
        expected = before if before.norm() <= 1.0 else before / before.norm()
        assert torch.allclose(after, expected, rtol=1e-5)


def test_a_seed_that_diverges_leaves_the_others_alone():
    config = small(seeds=(0, 1), n_steps=3)
    calm = pretrain(config, progress=False)
    original = losses.initial_parameters
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            losses,
            "initial_parameters",
            lambda c, s: {k: v * (math.nan if s else 1.0) for k, v in original(c, s).items()},
        )
        wild = pretrain(config, progress=False)
    assert torch.equal(calm.parameters["A"][0], wild.parameters["A"][0])
    assert wild.parameters["A"][1].isnan().all()


def test_the_learning_rate_warms_up_and_falls():
    config = PretrainConfig(n_steps=300, warmup=100, learning_rate=0.5)
    rates = [learning_rate_at(config, step) for step in range(301)]
    assert rates[0] == 0.005 and rates[99] == 0.5 and rates[200] == pytest.approx(0.275)
    assert np.all(np.diff(rates[:100]) > 0) and np.all(np.diff(rates[100:]) < 0) and rates[300] == pytest.approx(0.05)
    assert learning_rate_at(replace(config, warmup=0), 0) == 0.5


def test_a_step_is_adams_step_on_the_clipped_gradient():
    config = small(n_steps=1, warmup=0, clip=0.01, seeds=(3,))
    result = pretrain(config, progress=False)
    before = initial_parameters(config, 3)
    leaves = {name: p.clone().requires_grad_() for name, p in before.items()}
    loss(leaves, draw_batch(config, generator(1_000_003 + 3)), config).backward()
    for name, p in leaves.items():  # Adam's first step has length lr g / (|g| + eps), whatever the scale of g
        norm = math.sqrt(sum(q.grad.square().sum().item() for q in leaves.values()))
        g = p.grad * min(1.0, 0.01 / norm)
        assert_close(result.of_seed()[name], (p - config.learning_rate * g / (g.abs() + 1e-8)).detach(), rel=1e-5)


def test_training_lowers_the_error_on_tasks_it_never_saw():
    config = PretrainConfig(n_steps=120, n_tasks=64, learning_rate=0.05, seeds=(0, 1), evaluate_every=40)
    result = pretrain(config, progress=False)
    for name in ("error", "error loop", "error random"):
        before = [
            value_error(
                initial_parameters(config, seed), held_out(config)[name.split()[-1] if " " in name else "boyan"], config
            )
            for seed in (0, 1)
        ]
        assert all(after < 0.5 * b.item() for after, b in zip(result.history[name][-1], before, strict=True))
    losses = result.history["loss"]
    assert all(losses[-1][seed] < losses[0][seed] for seed in (0, 1))


@pytest.mark.parametrize("changes", [{}, {"masked": False}, {"tied": False}, {"masked": False, "tied": False}])
def test_what_a_run_leaves(changes):
    config = small(seeds=(0, 1), n_steps=7, **changes)
    result = pretrain(config, progress=False)
    layers = 1 if config.tied else 3
    shapes = {"V": (2, layers, 3), "A": (2, layers, 5, 5)}
    if not config.masked:
        shapes = dict.fromkeys("VA", (2, layers, 8, 8))
    assert {name: tuple(p.shape) for name, p in result.parameters.items()} == shapes
    assert result.steps == 7 and result.history["step"] == [2, 4, 6, 7]
    assert set(result.history) == {"step", "loss", "error", "error loop", "error random"}
    assert all(np.shape(result.history[name]) == (4, 2) for name in result.history if name != "step")
    assert [step for step, _ in result.snapshots] == [0, 3, 6, 7]
    assert torch.equal(result.snapshots[0][1]["A"][1], initial_parameters(config, 1)["A"])
    assert torch.equal(result.snapshots[-1][1]["A"], result.parameters["A"])
    assert not torch.equal(result.snapshots[1][1]["A"], result.snapshots[2][1]["A"])
    parameters, batch = result.of_seed(1), held_out(config, n_tasks=5)["boyan"]
    errors = value_error(parameters, held_out(config)["boyan"], config)
    assert result.history["error"][-1][1] == pytest.approx(errors.item(), rel=1e-5)
    for b, w, path in windows(batch):
        prompt = build_prompt(batch.features[b, path], batch.reward[b, path[:-1]])
        assert result.model(1)(prompt).item() == pytest.approx(
            answers(parameters, batch, config)[b, w].item(), abs=1e-5
        )


@NORMALISATIONS
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("features", [{"features": "random", "d": 3}, {"features": "aggregated", "d": 3}])
def test_every_kind_of_run_learns_a_step_and_repeats_itself(normalisation, masked, features):
    config = small(normalisation=normalisation, masked=masked, n_states=(3, 5), n_context=(2, 9), n_steps=2, **features)
    one, two = (pretrain(config, progress=False) for _ in range(2))
    for name, p in one.parameters.items():
        assert p.isfinite().all() and torch.equal(p, two.parameters[name])
        assert not torch.equal(p, initial_parameters(config, 0)[name][None])


def test_other_attention_makes_no_softmax_transformer():
    result = pretrain(small(normalisation="linear", n_steps=1), progress=False)
    with pytest.raises(ValueError, match="normalisation is 'linear'; only softmax"):
        result.model()


def test_the_bar_shows_loss_and_held_out_error(capsys):
    result = pretrain(small(n_steps=4), progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and f"held-out error {result.history['error'][-1][0]:.4f}" in shown.err
    assert f"loss {result.history['loss'][-1][0]:.4f}" in shown.err
    pretrain(small(n_steps=4), progress=False)
    assert capsys.readouterr().err == ""


def test_watch_sees_each_evaluation_and_may_stop_the_run():
    seen = []

    def watch(result):
        seen.append((result.steps, result.parameters["V"].clone()))
        return result.steps == 4

    result = pretrain(small(), watch=watch, progress=False)
    assert [step for step, _ in seen] == [2, 4] and result.steps == 4
    assert torch.equal(seen[1][1], result.parameters["V"]) and not torch.equal(seen[0][1], seen[1][1])
    assert [step for step, _ in result.snapshots] == [0, 3]


def test_ctrl_c_finishes_the_step_and_keeps_the_result(tmp_path):
    file, before = tmp_path / "run.pt", signal.getsignal(signal.SIGINT)

    def press(result):
        signal.raise_signal(signal.SIGINT)
        return False

    stopped = pretrain(small(), watch=press, checkpoint=file, progress=False)
    assert stopped.steps == 2 and signal.getsignal(signal.SIGINT) is before
    assert torch.equal(load_result(file).parameters["A"], stopped.parameters["A"])
    assert_same_run(pretrain(small(), checkpoint=file, resume=True, progress=False), pretrain(small(), progress=False))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"device": "spoon"}, "device is 'spoon', which cannot be used here"),
        ({"device": "cuda:97"}, "device is 'cuda:97', which cannot be used here"),
        ({"resume": True}, "resume needs checkpoint"),
        ({"checkpoint_every": 0, "checkpoint": "x.pt"}, "checkpoint_every is 0"),
        ({"checkpoint": "no/such/folder/x.pt"}, "x.pt: there is no folder no/such/folder; make it"),
    ],
)
def test_what_pretrain_refuses_before_any_work(more, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        pretrain(small(), progress=False, **more)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_as_a_cpu_does(tmp_path):
    result = pretrain(PretrainConfig(n_steps=100), device="cuda", checkpoint=tmp_path / "gpu.pt", progress=False)
    start = value_error(initial_parameters(result.config, 0), held_out(result.config)["boyan"], result.config)
    assert result.history["error"][-1][0] < 0.5 * start.item()
    stopped = tmp_path / "stopped.pt"
    config = replace(result.config, evaluate_every=40)
    assert pretrain(config, device="cuda", checkpoint=stopped, watch=lambda _: True, progress=False).steps == 40
    resumed = pretrain(config, device="cuda", checkpoint=stopped, resume=True, progress=False)
    assert resumed.steps == 100 and torch.allclose(resumed.parameters["V"], result.parameters["V"], atol=1e-3)


def trained_by_hand(config):
    """Initial noise, Adam, clipping, schedule and the mean of losses, written out for one seed."""
    (seed,) = config.seeds
    noise, tasks = generator(seed), generator(1_000_003 + seed)
    theta = [0.1 * torch.randn(shape, generator=noise) for shape in ((1, 3), (1, config.d, config.d))]
    first, second = ([torch.zeros_like(w) for w in theta] for _ in range(2))
    losses = []
    for step in range(config.n_steps):
        live = [w.clone().requires_grad_() for w in theta]
        f = answers(dict(zip("VA", live, strict=True)), batch := draw_batch(config, tasks), config)
        reward = torch.stack([batch.reward[b, batch.query[b, :-1]] for b in range(config.n_tasks)])
        value = ((reward + config.gamma * f[:, 1:].detach() - f[:, :-1]) ** 2).mean()
        gradients = torch.autograd.grad(value, live)
        norm = sum((g**2).sum() for g in gradients).sqrt()
        rate = learning_rate_at(config, step)
        for i, g in enumerate(g * min(1.0, config.clip / norm.item()) for g in gradients):
            first[i], second[i] = 0.9 * first[i] + 0.1 * g, 0.999 * second[i] + 0.001 * g**2
            mean, square = first[i] / (1 - 0.9 ** (step + 1)), second[i] / (1 - 0.999 ** (step + 1))
            theta[i] = theta[i] - rate * mean / (square.sqrt() + 1e-8)
        losses.append(value.item())
    return theta, losses


@pytest.mark.parametrize("changes", [{"seeds": (3,)}, {"clip": 0.01, "warmup": 0, "learning_rate": 0.1}])
def test_a_run_is_the_loop_written_out(changes):
    config = small(n_steps=4, warmup=changes.pop("warmup", 3), **changes)
    result = pretrain(config, progress=False)
    (V, A), losses = trained_by_hand(config)
    np.testing.assert_allclose(result.parameters["V"][0], V, rtol=0, atol=2e-5)
    np.testing.assert_allclose(result.parameters["A"][0], A, rtol=0, atol=2e-5)
    by_twos = [sum(losses[:2]) / 2, sum(losses[2:]) / 2]  # evaluated every second step
    np.testing.assert_allclose(np.ravel(result.history["loss"]), by_twos, rtol=1e-4)


def test_what_a_result_hands_out_is_a_copy():
    result = pretrain(PretrainConfig(n_steps=2, n_tasks=4), progress=False)
    before = result.parameters["V"].clone()
    result.of_seed(0)["V"].zero_()
    result.snapshots[-1][1]["V"].zero_()
    assert torch.equal(result.parameters["V"], before) and before.any()


@pytest.mark.parametrize("features", ["one-hot", "random", "aggregated"])
def test_another_default_precision_trains_in_it(features):
    torch.set_default_dtype(torch.float64)
    try:
        result = pretrain(PretrainConfig(features=features, d=6, n_steps=2, n_tasks=4), progress=False)
    finally:
        torch.set_default_dtype(torch.float32)
    assert result.parameters["V"].dtype == torch.float64
