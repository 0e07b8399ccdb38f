"""Lesson 14's network is the one that its command makes; what is measured of it, by other roads."""

import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import icrl_teach.pretraining.weights as weights
from icrl_teach import (
    PretrainConfig,
    cli,
    draw_batch,
    load_weights,
    pretrain,
    pretraining,
    shipped_stock,
    softmax_weights,
    weighted_softmax_td,
)
from icrl_teach.losses import constructed_parameters, held_out, value_error, window_prompts
from icrl_teach.probes import ask, certainty_equivalence, posterior_value
from icrl_teach.views import lesson_14
from oracles import assert_close
from pretraining_cases import generator, small, windows


def test_the_documented_command_is_the_one_that_made_the_shipped_network(monkeypatch, tmp_path):
    words = re.search(r"^    icrl-teach (.*?)\n\"?\"?\"?$", weights.__doc__, re.M | re.S)[1].split()
    asked = []
    original = pretraining.pretrain

    def record(config, **more):
        asked.append(config)
        return original(PretrainConfig(n_steps=1, n_tasks=2), progress=False)

    monkeypatch.setattr(pretraining, "pretrain", record)
    words[words.index("--weights") + 1] = str(tmp_path / "made.safetensors")
    assert CliRunner().invoke(cli.main, words).exit_code == 0
    assert asked == [shipped_stock().config]
    assert load_weights(tmp_path / "made.safetensors").steps == 1


def test_the_shipped_network_is_small_finished_and_better_than_the_construction():
    result = shipped_stock()
    assert weights.SHIPPED.stat().st_size <= 1.5e6
    assert result.steps == result.config.n_steps == result.history["step"][-1]
    assert result.history["error"][-1][0] < result.history["error"][0][0] / 2
    test = held_out(result.config, n_tasks=256)["boyan"]
    built = PretrainConfig(n_layers=result.config.n_layers, n_context=result.config.n_context)
    with torch.no_grad():
        error = value_error(result.of_seed(0), test, result.config)
    assert error < value_error(constructed_parameters(built), test, built)


def test_what_methods_say_is_said_by_other_roads():
    config = small(n_tasks=3, d=6, n_states=(6, 6))
    stock = small(architecture="stock", tied=False, width=8, n_heads=2, n_layers=3, d=6)
    batch, model = draw_batch(config, generator()), pretrain(stock, progress=False).model()
    with torch.no_grad():
        said = lesson_14.methods(batch, model)
    for b, w, path in windows(batch):
        x, r = batch.features[b, path].numpy(), batch.reward[b, path[:-1]].numpy()
        td = [weighted_softmax_td(x, r, 0.7, 3, beta=beta)[-1, -1] for beta in (2.0, 4.0, 8.0, 40.0)]
        assert np.abs(np.array(td[:3]) - said["constructed, best beta"][b, w].item()).min() < 1e-5
        assert abs(td[3] - said["batch TD, as deep"][b, w].item()) < 1e-5
    known = ask(certainty_equivalence(batch, 0.7), batch)
    near, far = lesson_14.distances(known, batch, 0.7)
    assert near < 1e-12 and far > 1e-4
    assert lesson_14.distances(ask(posterior_value(batch, 0.7, "boyan", 60), batch), batch, 0.7)[1] < 1e-12


def test_renaming_moves_rows_of_features_and_nothing_else():
    batch = draw_batch(small(n_tasks=3), generator())
    new = lesson_14.renamed(batch)
    assert all(torch.equal(a, b) for a, b in zip(batch[1:], new[1:], strict=True))
    assert not torch.equal(batch.features, new.features)
    assert torch.equal(new.features.sum(1), batch.features.sum(1)) and torch.equal(
        new.features.sum(2), batch.features.sum(2)
    )


def test_a_change_is_drawn_as_it_says_and_without_one_nothing_changes():
    model = shipped_stock().model()
    assert lesson_14.errors_when(model) == lesson_14.errors_when(model, n_context=(20, 20))
    assert lesson_14.errors_when(model, gamma=0.3) != lesson_14.errors_when(model)


def test_the_construction_that_the_view_draws_is_two_softmax_heads():
    prompts, states = lesson_14.held_out_prompts()
    E = lesson_14.attention_of("constructed")
    x, n = prompts[3, :6].T.numpy().astype(float), prompts.shape[-1] - 1
    assert_close(E[0, 3, 0, :n], softmax_weights(x, x[:n], 4.0).T, 1e-5)
    assert_close(E[2, 3, 1, :n, :n], softmax_weights(x[1:], x[:n], 4.0).T, 1e-5)
    table = lesson_14._by_state(E[0, :, 0], states.numpy())
    assert_close(table.sum(axis=0), np.ones(6), 1e-9)
    assert (table.argmax(axis=0) == np.arange(6)).all()


@pytest.mark.parametrize("network", lesson_14.NETWORKS)
def test_the_numbers_under_the_view_are_the_head_s(network):
    view = lesson_14.attention_view(network, 2, 1)
    E, (_, states) = lesson_14.attention_of(network)[1, :, 0], lesson_14.held_out_prompts()
    same = (states[:, :, None] == states[:, None, :]).numpy()
    mine = (E * same).sum(axis=1)[:, :-1].mean()
    assert f"{mine:.2f}" in view.numbers.splitlines()[1]


def test_the_table_of_seeds_is_what_each_seed_says_alone():
    result = shipped_stock()
    assert result.config.seeds == (0, 1, 2)
    lines = lesson_14.seed_table(result, n_tasks=8).splitlines()
    tests = held_out(result.config, n_tasks=8)
    for index, line in enumerate(lines[1:]):
        seed, *errors, renamed, successor, _, own, _ = line.split()
        model = result.model(index)
        for error, batch in zip(errors, tests.values(), strict=True):
            gaps = [  # prompt by prompt
                (model(window_prompts(batch)[b, w]) - batch.exact[b, w]).item() ** 2
                for b in range(8) for w in range(batch.exact.shape[1])
            ]  # fmt: skip
            assert float(error) == pytest.approx(np.mean(gaps), abs=6e-4)
        assert int(seed) == index and float(renamed) > float(errors[0])
        assert 0.3 < float(successor) < float(own) < 1  # an even spread gives 0.25
