"""The equivalence of Theorem 1 must be able to fail: each classic mistake is planted in the library and must show.

The mistake goes through the real code by monkeypatching; the comparison is the one of test_transformer.py.
"""

import numpy as np
import pytest
import torch

import icrl_teach.prompt as prompt_module
import icrl_teach.transformer as transformer
from icrl_teach import LinearTransformer, SoftmaxTransformer, build_linear_prompt, build_prompt
from oracles import assert_close, batch_linear_loops, expected_trace, softmax_td_loops

GAMMA, DEPTH, D, N = 0.9, 4, 3, 8
BLOCKS = pytest.mark.parametrize("block", ["shift", "dual"])


def gap(block: str, readout=None) -> float:
    """Largest difference between the Transformer and plain loops: whole trace, or the answer if given a readout."""
    rng = np.random.default_rng(5)
    features, rewards, v0 = rng.standard_normal((N + 1, D)), rng.standard_normal(N), rng.standard_normal(N + 1)
    values = softmax_td_loops(features, rewards, GAMMA, [1.0] * DEPTH, [1.0] * DEPTH, v0)
    model = SoftmaxTransformer.constructed(D, DEPTH, GAMMA, block=block)
    prompt = prompt_module.build_prompt(features, rewards, v0, GAMMA)
    if readout is not None:
        return abs(readout(model, prompt).item() - values[-1, -1])
    return np.abs(model.trace(prompt).numpy() - expected_trace(features, rewards, GAMMA, values)).max()


def softmax_over_queries(Z, A, source):
    scores = Z.mT @ A @ Z
    scores[..., -1, :] = -torch.inf
    return torch.softmax(scores, dim=-1).nan_to_num(0.0)  # the source's row is normalised instead of the query's column


def query_not_masked(Z, A, source):
    return torch.softmax(Z.mT @ A @ Z, dim=-2)


def scores_transposed(Z, A, source):
    return transformer_attention(Z, A).mT


def shift_right(X, continues=None):
    return torch.nn.functional.pad(X[..., :-1], (1, 0))


def no_shift(X, continues=None):
    return X


def u_sign(index):
    def flipped(d, dtype=torch.float64):
        u = td_error_row(d, dtype)
        u[d + index] *= -1
        return u

    return flipped


transformer_attention, td_error_row, next_targets = (
    transformer.softmax_attention,
    transformer.td_error_row,
    transformer.next_targets,
)


@BLOCKS
def test_nothing_planted_nothing_found(block):
    assert gap(block) < 1e-13
    assert gap(block, readout=lambda model, prompt: model(prompt)) < 1e-13


@BLOCKS
@pytest.mark.parametrize("attention", [softmax_over_queries, query_not_masked, scores_transposed])
def test_attention_over_the_wrong_axis_or_unmasked_shows(attention, block, monkeypatch):
    monkeypatch.setattr(transformer, "softmax_attention", attention)
    assert gap(block) > 1e-3


@BLOCKS
@pytest.mark.parametrize("shift", [shift_right, no_shift])
def test_a_shift_the_wrong_way_shows(shift, block, monkeypatch):
    monkeypatch.setattr(transformer, "shift_left", shift)
    assert gap(block) > 1e-3


def test_gamma_dropped_from_the_time_shift_shows(monkeypatch):
    monkeypatch.setattr(transformer, "next_targets", lambda value, discount: next_targets(value, value.new_ones(())))
    assert gap("shift") > 1e-3


def test_gamma_dropped_from_the_second_head_shows(monkeypatch):
    construct = SoftmaxTransformer.constructed.__func__

    def without_gamma(cls, *args, **kwargs):
        model = construct(cls, *args, **kwargs)
        model.V2 /= GAMMA
        return model

    monkeypatch.setattr(SoftmaxTransformer, "constructed", classmethod(without_gamma))
    assert gap("dual") > 1e-3


@BLOCKS
@pytest.mark.parametrize("index", [0, 1, 2], ids=["reward", "target memory", "value memory"])
def test_each_sign_of_u_matters(index, block, monkeypatch):
    monkeypatch.setattr(transformer, "td_error_row", u_sign(index))
    assert gap(block) > 1e-3


@BLOCKS
def test_a_minus_sign_at_the_readout_shows(block):
    assert gap(block, readout=lambda model, prompt: -model(prompt)) > 1e-3


@BLOCKS
@pytest.mark.parametrize(("row", "column"), [("value", -2), ("target", -1), ("reward", -1)])
def test_the_answer_stands_in_one_cell_only(row, column, block):
    index = {"reward": D, "target": D + 1, "value": D + 2}[row]
    assert gap(block, readout=lambda model, prompt: model.trace(prompt)[-1, index, column]) > 1e-3


@BLOCKS
def test_memory_rows_in_the_wrong_order_show(block, monkeypatch):
    monkeypatch.setattr(prompt_module, "target_row", lambda d: d + 2)
    monkeypatch.setattr(prompt_module, "value_row", lambda d: d + 1)
    assert gap(block) > 1e-3


def test_the_linear_answer_without_its_minus_sign_or_mask_shows(monkeypatch):
    rng = np.random.default_rng(5)
    features, rewards = rng.standard_normal((N + 1, D)), rng.standard_normal(N)
    answer = (batch_linear_loops(features, rewards, GAMMA, DEPTH, 0.5, np.zeros(D)) @ features[-1])[-1]
    model, prompt = LinearTransformer.constructed(D, DEPTH, GAMMA, 0.5), build_linear_prompt(features, rewards, GAMMA)
    assert_close(model(prompt).reshape(1), [answer], 1e-12)
    assert abs(-model(prompt).item() - answer) > 1e-3
    monkeypatch.setattr(transformer, "linear_attention", lambda Z, P, Q: P @ Z @ (Z.mT @ Q @ Z))
    assert abs(model(prompt).item() - answer) > 1e-3


def test_the_comparison_sees_a_change_of_one_part_in_a_thousand():
    assert gap("shift") < 1e-13
    rng = np.random.default_rng(5)
    features, rewards = rng.standard_normal((N + 1, D)), rng.standard_normal(N)
    prompt = build_prompt(features, rewards)
    exact, off = (SoftmaxTransformer.constructed(D, DEPTH, GAMMA, alpha=alpha)(prompt) for alpha in (1.0, 1.001))
    with pytest.raises(AssertionError, match="largest difference"):
        assert_close(off.reshape(1), exact.reshape(1))
