"""Probes find what is there and nothing else; scores of heads and the posterior, by other roads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icrl_teach import MarkovRewardProcess, Trajectory, certainty_equivalence_value, weighted_softmax_td
from icrl_teach.probes import (
    HEARD,
    ask,
    certainty_equivalence,
    head_scores,
    linear_probe,
    posterior_value,
    probe_targets,
)
from oracles import assert_close, seeds
from patience import uncounted
from pretraining_cases import drawn, small, windows


@given(seeds, st.integers(2, 6))
def test_a_probe_finds_what_is_linear_and_nothing_in_noise(seed, n_folds):
    rng = np.random.default_rng(seed)
    X, groups = rng.normal(size=(300, 4)), rng.integers(40, size=300)
    line = X @ [1.0, -2.0, 0.5, 0.0] + 3.0
    assert linear_probe(X, line, groups, n_folds).r2 > 1 - 1e-9
    assert linear_probe(X, rng.normal(size=300), groups, n_folds).r2 < 0.2
    half = linear_probe(X, line + line.std() * rng.normal(size=300), groups, n_folds).r2
    assert 0.25 < half < 0.75


def test_a_probe_s_score_is_that_of_normal_equations_fold_by_fold():
    rng = np.random.default_rng(1)
    X, y, groups = rng.normal(size=(60, 3)), rng.normal(size=60), np.repeat([7, 3, 9, 20], 15)
    scores = []
    for left_out in ([3, 9], [7, 20]):  # sorted names, dealt to two folds in turn
        test = np.isin(groups, left_out)
        Z = np.c_[X[~test], np.ones((~test).sum())]
        w = np.linalg.solve(Z.T @ Z, Z.T @ y[~test])
        residual = y[test] - X[test] @ w[:3] - w[3]
        scores.append(1 - (residual**2).sum() / ((y[test] - y[~test].mean()) ** 2).sum())
    assert_close(linear_probe(X, y, groups, 2), (np.mean(scores), np.std(scores)), 1e-9)


def test_rows_of_one_group_never_stand_on_both_sides():
    rng = np.random.default_rng(2)
    names = np.arange(60).repeat(10)
    X = np.eye(60)[names]  # the inputs say which group a row is of, and nothing else
    target = rng.normal(size=60)[names]
    assert linear_probe(X, target, names).r2 < 0.1
    assert linear_probe(X, target, rng.permutation(600)).r2 > 0.9, "with rows mixed, the probe would know"


def test_refusals_of_a_probe():
    X, y, groups = np.ones((4, 1)), np.arange(4.0), np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"n_folds is 3; .* the 2 different groups"):
        linear_probe(X, y, groups, 3)
    with pytest.raises(ValueError, match="target is 0"):
        linear_probe(X, np.zeros(4), groups, 2)


def test_targets_are_the_algorithm_s_and_the_observed_chain_s():
    config = small()
    batch = drawn(config)
    found = probe_targets(batch, 0.7, 3, beta=2.0)
    for b, w, path in windows(batch):
        rewards = batch.reward[b, path[:-1]].numpy()
        limit = certainty_equivalence_value(Trajectory(path, rewards), 0.7)
        values = certainty_equivalence(batch, 0.7)[b, w]
        assert_close(values[: len(limit)], limit, 1e-9)
        assert_close(ask(certainty_equivalence(batch, 0.7), batch)[b, w], limit[path[-1]] + 0.0, 1e-9)
        if w:
            continue
        v = weighted_softmax_td(batch.features[b, path].numpy(), rewards, 0.7, 3, beta=2.0)
        for layer in (1, 2, 3):
            assert_close(found[f"v_{layer}"][b], v[layer], 1e-9)
            assert_close(found[f"next_{layer}"][b, :-1], 0.7 * v[layer, 1:], 1e-9)
            assert_close(found[f"error_{layer}"][b, :-1], rewards + 0.7 * v[layer, 1:] - v[layer, :-1], 1e-9)
        assert_close(found["limit"][b], limit[path], 1e-9)


@uncounted
@pytest.mark.parametrize("prior", ["boyan", "random"])
def test_the_posterior_mean_is_that_of_chains_that_fit(prior):
    """By rejection: chains from the prior, each kept as often as it would have made the window's steps."""
    config = small(family=prior, n_states=(3, 3), n_context=(3, 3), n_windows=1, n_tasks=3, d=3)
    batch, rng = drawn(config, seed=4), np.random.default_rng(0)
    found = posterior_value(batch, 0.7, prior, 4000)
    for b in range(3):
        counts = batch.counts[b, 0].numpy()
        reward = batch.reward[b].numpy() * (counts.sum(1) > 0)
        total, weight = np.zeros(3), 0.0
        for _ in range(4000):
            if prior == "random":
                P = rng.dirichlet(np.ones(3), size=3)
            else:
                p = rng.random()
                P = np.array([[0, p, 1 - p], [0, 0, 1.0], rng.dirichlet(np.ones(3))])
            chance = np.prod(np.where(counts > 0, P, 1.0) ** counts)
            total += chance * MarkovRewardProcess(P, reward, 0.7).value()
            weight += chance
        assert np.abs(found[b, 0].numpy() - total / weight).max() < 0.05


def test_the_right_prior_gives_the_smallest_error():
    config = small(n_tasks=400, n_windows=1, n_context=(15, 15))
    batch = drawn(config)

    def error(values):
        return (ask(values, batch) - batch.exact).square().mean().item()

    boyan, flat = (error(posterior_value(batch, 0.7, prior, 30)) for prior in ("boyan", "random"))
    assert boyan < error(certainty_equivalence(batch, 0.7)) and boyan < flat
    with pytest.raises(ValueError, match="prior is 'loop'"):
        posterior_value(batch, 0.7, "loop")


def test_scores_of_heads_in_plain_loops():
    rng = np.random.default_rng(3)
    states, raw = rng.integers(3, size=(2, 6)), rng.random((2, 2, 3, 6, 6))
    E = raw / raw.sum(-2, keepdims=True)
    scores = head_scores(torch.tensor(E), torch.tensor(states))
    assert set(scores) == set(HEARD)
    for layer in range(3):
        for task in range(2):
            for head in range(3):
                sums = dict.fromkeys(HEARD, 0.0)
                for j in range(5):
                    for i in range(6):
                        e = E[layer, task, head, i, j] if layer < 2 else 1 / 6
                        sums["the same state"] += e * (states[task, i] == states[task, j])
                        sums["the successor's state"] += e * (states[task, i] == states[task, j + 1])
                        sums["the next position"] += e * (i == j + 1)
                        sums["itself"] += e * (i == j)
                        sums["the query"] += e * (i == 5)
                for name in HEARD:
                    assert abs(scores[name][layer, head, task] - sums[name] / 5) < 1e-12


def test_a_probe_does_not_read_the_rounding_of_a_network_in_single_precision():
    rng = np.random.default_rng(4)
    X, groups, noise = rng.normal(size=(300, 4)), np.repeat(np.arange(60), 5), rng.normal(size=300)
    wide = X @ rng.normal(size=(4, 40))  # 40 numbers that hold 4
    target = X[:, 0] + 3 * noise
    single = wide.astype(np.float32).astype(float)
    assert np.linalg.matrix_rank(single) == 40  # what rounding left looks like inputs
    assert abs(linear_probe(single, target, groups).r2 - linear_probe(X, target, groups).r2) < 1e-6
