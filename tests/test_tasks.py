"""Families of tasks: their structure, and the batched sampler against the one that makes one process at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icrl_teach import MarkovRewardProcess, TaskBatch, boyan_chain, loop, random_mrp, sample_family, sample_tasks
from oracles import assert_close, seeds

FAMILIES = ["boyan", "loop", "random"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check_boyan(P):
    S = len(P)
    for i in range(S - 2):
        assert set(np.flatnonzero(P[i])) <= {i + 1, i + 2} and P[i, i + 1] + P[i, i + 2] == pytest.approx(1, abs=1e-6)
    assert P[S - 2, S - 1] == 1.0
    assert (P[S - 1] > 0).all()


def check_loop(P):
    S = len(P)
    for i in range(S):
        assert P[i, (i + 1) % S] > 0
        assert P[i, i] == 0


@given(st.integers(3, 8), seeds)
def test_a_boyan_chain_steps_one_or_two_ahead_and_restarts_anywhere(n_states, seed):
    check_boyan(boyan_chain(n_states, 0.9, np.random.default_rng(seed)).transition)
    check_boyan(sample_tasks("boyan", 1, n_states, 0.9, generator(seed)).transition[0].numpy())


@given(st.integers(2, 8), seeds, st.floats(0.0, 1.0))
def test_a_loop_leads_on_and_never_stays(n_states, seed, threshold):
    check_loop(loop(n_states, 0.9, np.random.default_rng(seed), threshold).transition)
    check_loop(sample_tasks("loop", 1, n_states, 0.9, generator(seed), threshold).transition[0].numpy())


def test_the_loop_s_threshold_is_the_probability_of_no_connection(rng):
    for threshold in (0.0, 0.3, 1.0):
        one_by_one = np.mean([(loop(6, 0.9, rng, threshold).transition > 0).sum() for _ in range(200)])
        batch = sample_tasks("loop", 500, 6, 0.9, generator(), threshold).transition
        expected = 6 + 24 * (1 - threshold)  # six links of the loop, 24 other pairs
        variance = 24 * threshold * (1 - threshold)
        assert abs(one_by_one - expected) <= 5 * np.sqrt(variance / 200)
        assert abs((batch > 0).sum().item() / 500 - expected) <= 5 * np.sqrt(variance / 500)


def test_rewards_may_be_finer_than_the_chances():
    """gamma P holds quarters, exact in single precision, so v = r + gamma P v holds to the double precision of r."""
    P, r = torch.full((1, 2, 2), 0.5), torch.tensor([[1.0, 0.1]], dtype=torch.float64)
    v = TaskBatch(P, r, 0.5).value()
    assert v.dtype == torch.float64
    assert_close(v, r + 0.5 * v.mean(), 1e-14)


@pytest.mark.parametrize("family", FAMILIES)
def test_processes_are_valid_and_follow_the_generator(family):
    mrp, same, other = (sample_family(family, 5, 0.8, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (mrp.transition == same.transition).all() and (mrp.transition != other.transition).any()
    assert mrp.gamma == 0.8 and np.abs(mrp.reward).max() <= 1
    one, same = (sample_tasks(family, 7, 5, 0.8, generator(3)) for _ in range(2))
    assert torch.equal(one.transition, same.transition) and torch.equal(one.reward, same.reward)
    assert one.transition.shape == (7, 5, 5) and one.reward.shape == (7, 5)


def kolmogorov_smirnov(x, y) -> float:
    """Largest gap between two empirical distribution functions, over its 1e-6 critical value."""
    grid = np.sort(np.concatenate([x, y]))
    gap = np.abs(
        np.searchsorted(np.sort(x), grid, side="right") / len(x)
        - np.searchsorted(np.sort(y), grid, side="right") / len(y)
    ).max()
    return gap / np.sqrt(-np.log(0.5e-6) / 2 * (len(x) + len(y)) / (len(x) * len(y)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_batched_family_has_the_distribution_of_the_single_one(family, rng):
    singles = [sample_family(family, 4, 0.9, rng) for _ in range(800)]
    batch = sample_tasks(family, 3000, 4, 0.9, generator())
    for i in range(4):
        single_rewards = np.array([mrp.reward[i] for mrp in singles])
        assert kolmogorov_smirnov(single_rewards, batch.reward[:, i].numpy()) < 1
        assert kolmogorov_smirnov(single_rewards, rng.uniform(-1, 1, 3000)) < 1
        for j in range(4):
            # Equal up to float32: rounding must not split the atoms at 0 and 1.
            single = np.array([mrp.transition[i, j] for mrp in singles]).round(5)
            assert kolmogorov_smirnov(single, batch.transition[:, i, j].numpy().astype(float).round(5)) < 1


def test_the_distribution_test_can_tell_families_apart(rng):
    loops, random = sample_tasks("loop", 3000, 4, 0.9, generator()), sample_tasks("random", 3000, 4, 0.9, generator())
    assert kolmogorov_smirnov(loops.transition[:, 0, 1].numpy(), random.transition[:, 0, 1].numpy()) > 2


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_values_are_those_of_the_single_processes(family):
    batch = sample_tasks(family, 20, 5, 0.9, generator())
    double = TaskBatch(batch.transition.double(), batch.reward.double(), 0.9)
    for b in range(20):
        P = double.transition[b].numpy()
        expected = MarkovRewardProcess(P / P.sum(axis=1, keepdims=True), double.reward[b].numpy(), 0.9).value()
        assert_close(double.value()[b], expected, 1e-5)  # rows were normalised in float32
        assert_close(batch.value()[b], expected, 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_walks_take_possible_steps_and_earn_the_states_rewards(family):
    batch = sample_tasks(family, 200, 6, 0.9, generator())
    states, rewards = batch.sample(100, generator(1))
    assert states.shape == (200, 101) and rewards.shape == (200, 100)
    task = torch.arange(200)[:, None]
    assert (batch.transition[task, states[:, :-1], states[:, 1:]] > 0).all()
    assert torch.equal(batch.reward[task, states[:, :-1]], rewards)


def test_batched_walks_have_the_matrices_frequencies_and_a_uniform_start():
    one = sample_tasks("loop", 1, 4, 0.9, generator())
    batch = TaskBatch(one.transition.expand(2000, 4, 4), one.reward.expand(2000, 4), 0.9)
    states, _ = batch.sample(50, generator(2))
    counts = np.zeros((4, 4))
    np.add.at(counts, (states[:, :-1].numpy().ravel(), states[:, 1:].numpy().ravel()), 1)
    P, visits = one.transition[0].double().numpy(), counts.sum(axis=1, keepdims=True)
    assert (np.abs(counts - visits * P) <= 5 * np.sqrt(visits * P * (1 - P)) + 1e-9).all()
    starts = np.bincount(states[:, 0].numpy(), minlength=4)
    assert (np.abs(starts - 500) <= 5 * np.sqrt(2000 * 0.25 * 0.75)).all()


def test_rounding_never_selects_an_impossible_state_in_a_batch(monkeypatch):
    # In float32 these ten probabilities sum to less than the largest uniform number below 1; state 10 has none.
    P = torch.zeros(1, 11, 11)
    P[..., :10] = 0.09999998
    largest = 1.0 - 2.0**-24
    assert P[0, 0].cumsum(0)[-1] < largest
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, largest))
    states, _ = TaskBatch(P, torch.zeros(1, 11), 0.9).sample(3, generator())
    assert states[0, 1:].tolist() == [9, 9, 9]
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(shape))
    P = P.flip(-1)  # now state 0 has none
    states, _ = TaskBatch(P, torch.zeros(1, 11), 0.9).sample(3, generator())
    assert states[0, 1:].tolist() == [1, 1, 1]


def test_random_rows_are_uniform_over_all_distributions(rng):
    # A Dirichlet(1, ..., 1) entry has mean 1/S and variance (S - 1) / (S^2 (S + 1)).
    entries = np.array([random_mrp(5, 0.9, rng).transition[0, 0] for _ in range(1500)])
    variance = 4 / (25 * 6)
    assert abs(entries.mean() - 0.2) <= 5 * np.sqrt(variance / 1500)
    assert abs(entries.var() - variance) <= 0.15 * variance


def test_batched_loops_check_their_threshold_too():
    with pytest.raises(ValueError, match=r"threshold is 7\.0; it is a probability"):
        sample_tasks("loop", 2, 4, 0.9, torch.Generator(), threshold=7.0)


def test_every_state_of_every_task_has_chances_of_its_own():
    for family in ("boyan", "loop", "random"):
        P = sample_tasks(family, 30, 6, 0.9, generator()).transition.numpy()
        one = sample_family(family, 6, 0.9, np.random.default_rng(0)).transition
        forward = [P[:, s, s + 1] for s in range(4)] if family == "boyan" else [P[:, s, (s + 1) % 6] for s in range(6)]
        assert np.abs(np.corrcoef(forward) - np.eye(len(forward))).max() < 0.8  # no copies from state to state
        assert len(set(np.ravel(forward).round(6).tolist())) > 0.7 * np.size(forward)  # nor from task to task
        steps = [one[s, s + 1] for s in range(4)]
        assert len(set(np.round(steps, 9))) == 4


@pytest.mark.parametrize(("family", "threshold"), [("random", 0.5), ("loop", 0.0)])
def test_the_rows_of_a_process_are_drawn_apart(family, threshold):
    P = sample_tasks(family, 600, 6, 0.9, generator(), threshold).transition.numpy()
    assert abs(np.corrcoef(P[:, 0, 3], P[:, 1, 3])[0, 1]) < 0.3


def test_one_bad_row_among_many_is_found():
    P = torch.eye(3).repeat(5000, 1, 1)
    P[7, 0, 0] = 1.5
    with pytest.raises(ValueError, match="no distribution"):
        TaskBatch(P, torch.zeros(5000, 3), 0.9)


def test_rows_may_miss_1_by_rounding_alone():
    """In single precision, sums of many chances do; a ten-thousandth is what the door allows."""
    for off, refused in ((0.9e-4, False), (-0.9e-4, False), (1.1e-4, True), (-1.1e-4, True)):
        P = torch.tensor([[[0.5, 0.5 + off], [0.0, 1.0]]], dtype=torch.float64)
        if refused:
            with pytest.raises(ValueError, match="no distribution"):
                TaskBatch(P, torch.zeros(1, 2), 0.9)
        else:
            TaskBatch(P, torch.zeros(1, 2), 0.9)


def test_walks_follow_their_generator_alone():
    batch = sample_tasks("random", 20, 5, 0.9, generator())
    walks = []
    for global_seed, seed in ((0, 1), (5, 1), (5, 2)):
        torch.manual_seed(global_seed)
        walks.append(batch.sample(30, generator(seed))[0])
    assert torch.equal(walks[0], walks[1]) and not torch.equal(walks[0], walks[2])
    assert not torch.equal(walks[0][:, 0], walks[2][:, 0])


def test_chances_of_double_precision_can_be_walked_too():
    swap = TaskBatch(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]).double(), torch.tensor([[1.0, 2.0]]).double(), 0.9)
    states, rewards = swap.sample(3, generator())
    assert (states.diff().abs() == 1).all() and rewards.dtype == torch.float64


@pytest.mark.parametrize(("family", "least"), [("boyan", 3), ("loop", 2), ("random", 1)])
def test_the_smallest_process_of_each_family(family, least):
    assert sample_tasks(family, 2, least, 0.9, generator()).reward.shape == (2, least)
    assert sample_family(family, least, 0.9, np.random.default_rng(0)).n_states == least
    too_few = f"n_states is {least - 1}; .* at least {least}"
    with pytest.raises(ValueError, match=too_few):
        sample_tasks(family, 2, least - 1, 0.9, generator())
    with pytest.raises(ValueError, match=too_few):
        sample_family(family, least - 1, 0.9, np.random.default_rng(0))
