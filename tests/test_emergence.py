"""What was learned: alignments on matrices with known answers, and agreement at parameters with known functions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from icrl_teach import (
    PretrainConfig,
    align_row,
    align_scores,
    answers,
    centre_columns,
    constructed_parameters,
    draw_batch,
    function_agreement,
    held_out,
    initial_parameters,
    learned_parts,
    pretrain,
    summarise,
    value_error,
)
from icrl_teach.cli.pretrain import summary_text
from icrl_teach.emergence import sees_column_means, used_features

EYE = torch.eye(4, dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_centring_removes_each_columns_mean_and_nothing_else():
    A = randn(3, 4, 4)
    expected = A.clone()
    for k in range(3):
        for j in range(4):
            expected[k, :, j] -= sum(A[k, i, j] for i in range(4)) / 4
    assert torch.allclose(centre_columns(A), expected, atol=1e-14)
    assert torch.allclose(centre_columns(A + randn(3, 1, 4, seed=1)), centre_columns(A), atol=1e-14)
    assert not torch.allclose(centre_columns(A + randn(3, 4, 1, seed=1)), centre_columns(A), atol=1e-3)


def test_centring_removes_what_the_network_cannot_see():
    # Which of the two, rows or columns, is decided by the network itself and not by a convention of this file.
    config = PretrainConfig(n_tasks=8)
    batch, parameters = draw_batch(config, generator()), {k: 10 * v for k, v in initial_parameters(config, 0).items()}
    centred = {"V": parameters["V"], "A": centre_columns(parameters["A"])}
    assert torch.allclose(answers(centred, batch, config), answers(parameters, batch, config), atol=1e-6)
    turned = {"V": parameters["V"], "A": centre_columns(parameters["A"].mT).mT}
    assert (answers(turned, batch, config) - answers(parameters, batch, config)).abs().max() > 1e-2


def test_rows_with_a_known_fit():
    scale, cosine = align_row(torch.tensor([1.0, 1.0, -1.0]) * 1.3)
    assert scale == pytest.approx(1.3) and cosine == pytest.approx(1.0)
    assert align_row(torch.tensor([-2.0, -2.0, 2.0])) == pytest.approx((-2.0, -1.0))
    assert align_row(torch.tensor([1.0, -1.0, 0.0])) == pytest.approx((0.0, 0.0), abs=1e-7)
    # (3, 0, 0): the nearest multiple of (1, 1, -1) is 1 of it, at an angle whose cosine is 1 / sqrt 3.
    assert align_row(torch.tensor([3.0, 0.0, 0.0])) == pytest.approx((1.0, 1 / math.sqrt(3)))
    assert align_row(torch.zeros(3)) == (0.0, 0.0)


def test_the_fitted_scale_leaves_the_smallest_rest():
    row, A = randn(3), randn(4, 4)
    for fit, learned, target in (
        (align_row(row), row, torch.tensor([1.0, 1.0, -1.0]).double()),
        (align_scores(A), centre_columns(A), centre_columns(EYE)),
        (align_scores(A, centre=False), A, EYE),
    ):
        rest = [(learned - s * target).norm().item() for s in np.linspace(fit.scale - 1, fit.scale + 1, 201)]
        assert np.argmin(rest) == 100
        assert fit.cosine == pytest.approx(torch.cosine_similarity(learned.flatten(), target.flatten(), 0).item())


def test_scores_with_a_known_fit():
    assert align_scores(2.5 * EYE) == pytest.approx((2.5, 1.0))
    assert align_scores(2.5 * EYE + randn(4)) == pytest.approx((2.5, 1.0))  # a constant down each column is unseen
    assert align_scores(2.5 * EYE + randn(4), centre=False).cosine < 0.99
    assert align_scores(-EYE).cosine == pytest.approx(-1.0)
    assert align_scores(EYE.roll(1, 0)).cosine < 0  # learning from the neighbour is not learning from oneself
    one_feature = align_scores(torch.ones(1, 1))  # nothing identifiable is left, and nothing breaks
    assert one_feature == (0.0, 0.0)


@pytest.mark.parametrize("normalisation", ["softmax", "linear", "sigmoid"])
@pytest.mark.parametrize("features", ["one-hot", "random", "aggregated"])
def test_who_sees_column_means(normalisation, features):
    config = PretrainConfig(normalisation=normalisation, features=features, n_tasks=8)
    batch, parameters = draw_batch(config, generator()), {k: 5 * v for k, v in initial_parameters(config, 0).items()}
    moved = {"V": parameters["V"], "A": parameters["A"] + randn(6).float()}
    gap = (answers(moved, batch, config) - answers(parameters, batch, config)).abs().max().item()
    assert (gap > 1e-2) is sees_column_means(config) and (gap > 1e-2 or gap < 1e-5)


@pytest.mark.parametrize("changes", [{}, {"features": "random", "d": 4, "feature_scale": 2.0}, {"masked": False}])
def test_agreement_is_perfect_at_constructed_parameters(changes):
    config = PretrainConfig(**changes)
    batch = held_out(config, n_tasks=64)["loop"]
    parameters = constructed_parameters(config, alpha=0.9, beta=3.0)
    agreement = function_agreement(parameters, batch, config)
    assert agreement.difference < 1e-5
    assert agreement.learned == pytest.approx(agreement.constructed, rel=1e-5)
    assert agreement.learned == pytest.approx(math.sqrt(value_error(parameters, batch, config).item()), rel=1e-5)
    exact = [batch.value[b, s].item() for b in range(64) for s in batch.query[b, :-1].tolist()]
    assert agreement.spread == pytest.approx(np.std(exact, ddof=1), rel=1e-5)
    assert 0 < agreement.learned < agreement.spread
    deeper = function_agreement(parameters, batch, config, n_layers=12)
    assert deeper.difference < 1e-5 and deeper.learned != agreement.learned


def test_agreement_sees_what_no_alpha_and_beta_explain():
    config = PretrainConfig()
    batch = held_out(config, n_tasks=64)["boyan"]
    parameters = constructed_parameters(config)
    parameters["V"] = parameters["V"] * torch.tensor([1.0, 0.0, 1.0])  # no target: it learns rewards, not values
    assert function_agreement(parameters, batch, config).difference > 0.05
    shifted = constructed_parameters(config)
    shifted["A"] = shifted["A"] + randn(6).float()
    assert function_agreement(shifted, batch, config).difference < 1e-5


def test_separate_layers_have_no_single_fit():
    config = PretrainConfig(tied=False)
    with pytest.raises(ValueError, match="layers are separate, without one alpha and beta"):
        function_agreement(constructed_parameters(config), held_out(config, n_tasks=4)["boyan"], config)


@pytest.mark.parametrize("masked", [True, False])
def test_learned_parts_are_where_theorem_1_writes(masked):
    config = PretrainConfig(masked=masked, tied=False, n_layers=2)
    rows, scores = learned_parts(constructed_parameters(config, alpha=0.5, beta=3.0), config)
    assert torch.allclose(rows, torch.tensor([[0.5, 0.5, -0.5]] * 2))
    assert torch.equal(scores, 3 * torch.eye(6).repeat(2, 1, 1))


@pytest.mark.parametrize(
    "changes",
    [{}, {"tied": False, "n_layers": 2}, {"masked": False}, {"normalisation": "linear"}, {"family": "loop"}],
)
def test_a_summary_says_what_its_parts_say(changes):
    config = PretrainConfig(n_steps=2, n_tasks=8, seeds=(3, 4), **changes)
    result = pretrain(config, progress=False)
    summary = summarise(result, n_tasks=128)
    batch = held_out(config, n_tasks=128)[config.family]
    layers = 1 if config.tied else 2
    assert [(run["seed"], run["layer"]) for run in summary["runs"]] == [(s, k) for s in (3, 4) for k in range(layers)]
    last, (rows, scores) = summary["runs"][-1], learned_parts(result.of_seed(1), config)
    assert last["V"] == rows[-1].tolist() and (last["alpha"], last["V_cosine"]) == align_row(rows[-1])
    assert (last["beta"], last["A_cosine"]) == align_scores(scores[-1], centre=config.normalisation == "softmax")
    assert last["error"] == value_error(result.of_seed(1), batch, config).item() != summary["runs"][0]["error"]
    own, other = result.history["error"][-1], result.history["error random"][-1]
    quarter = held_out(config)
    assert own[1] == pytest.approx(value_error(result.of_seed(1), quarter[config.family], config).item(), rel=1e-4)
    assert other[1] == pytest.approx(value_error(result.of_seed(1), quarter["random"], config).item(), rel=1e-4)
    assert summary["constructed_error"] == value_error(constructed_parameters(config), batch, config).item()
    exact = np.array([batch.value[b, s].item() for b in range(128) for s in batch.query[b, :-1].tolist()])
    assert summary["constant_error"] == pytest.approx(min(np.square(exact - c).mean() for c in (exact.mean(), 0.0)))
    assert summary["steps"] == 2 and summary["settings"]["seeds"] == (3, 4)
    lines = summary_text(summary).splitlines()
    assert len(lines) == 1 + 2 * layers + 2 and len({len(line) for line in lines}) == 1
    assert all(f"{value:.3f}" in lines[2 * layers] for value in [*last["V"], last["alpha"], last["beta"]])
    assert lines[-2].endswith(f"{summary['constructed_error']:.4f}")


def test_what_stands_beside_the_stock_network_is_the_paper_s_with_softmax():
    """Masked and normalisation are not for the stock network, so neither changes what it is compared to."""
    paper = PretrainConfig(n_layers=1, n_context=(5, 5), n_steps=1, n_tasks=4, seeds=(0,))
    stock = replace(paper, architecture="stock", masked=False, normalisation="linear")
    beside = summarise(pretrain(stock, progress=False), n_tasks=16)["constructed_error"]
    batch = held_out(paper, n_tasks=16)[paper.family]
    assert beside == value_error(constructed_parameters(paper), batch, paper).item()


def test_the_row_of_td_emerges_from_noise():
    """The reference run, shortened: the row turns to (1, 1, -1) and predicts better than any constant."""
    config = PretrainConfig(n_steps=250, n_tasks=64, learning_rate=0.05, seeds=(0, 1, 2))
    result = pretrain(config, progress=False)
    summary = summarise(result)
    start = [align_row(row).cosine for row in result.snapshots[0][1]["V"][:, 0]]
    for run, before in zip(summary["runs"], start, strict=True):
        assert run["V_cosine"] > 0.95 and run["V_cosine"] > before
        assert run["A_cosine"] > 0.7 and run["beta"] > 1
        assert run["error"] < 0.1 * summary["constant_error"]


def test_features_that_never_occur_do_not_spoil_the_fit():
    # Six states, nine one-hot features: what stands in the last three rows and columns of A changes no answer.
    config = PretrainConfig(d=9, n_tasks=8)
    batch, parameters = held_out(config, n_tasks=64)["boyan"], constructed_parameters(config, alpha=0.9, beta=3.0)
    noise = torch.randn(parameters["A"].shape, generator=generator())
    noise[:, :6, :6] = noise[:, :1, :6]  # within the features that occur: a constant down each column
    noisy = {"V": parameters["V"], "A": parameters["A"] + noise}
    assert torch.allclose(answers(noisy, batch, config), answers(parameters, batch, config), atol=1e-5)
    assert align_scores(noisy["A"][0]).cosine < 0.9  # all nine: noise that nothing can see
    assert function_agreement(noisy, batch, config).difference < 1e-5
    run = summarise(result := pretrain(replace(config, n_steps=1)), n_tasks=4)["runs"][0]
    fit = align_scores(learned_parts(result.of_seed(0), config)[1][0, :6, :6])
    assert (run["beta"], run["A_cosine"]) == fit


def test_random_features_are_all_used_however_many_states_there_are():
    config = PretrainConfig(features="random", d=3, n_states=(5, 8))
    assert used_features(config) == 3
    assert used_features(PretrainConfig(n_states=(5, 8), d=9)) == 8
