"""What a batch holds: windows by counting, values by Monte Carlo, features and sizes as their names say."""

import math

import numpy as np
import pytest
import torch

from icrl_teach.pretraining.batches import draw_batch, draw_features, held_out, window_counts
from icrl_teach.tasks import sample_tasks
from pretraining_cases import generator, small, windows


def test_window_counts_are_those_of_counting():
    states = torch.randint(4, (6, 14), generator=generator())
    counts = window_counts(states, 9, 4)
    expected = np.zeros((6, 5, 4, 4))
    for b in range(6):
        for w in range(5):
            for k in range(9):
                expected[b, w, states[b, w + k], states[b, w + k + 1]] += 1
    assert np.array_equal(counts.numpy(), expected)


def test_a_generator_gives_two_sizes_then_tasks_then_walks_then_features():
    """What is drawn in which order: another order, or one number more, and no recorded run can be made again."""
    config, g = small(features="random", d=3), generator(3)
    batch = draw_batch(config, generator(3))
    torch.rand(2, generator=g)
    tasks = sample_tasks(config.family, config.n_tasks, 5, config.gamma, g)
    states, _ = tasks.sample(9 + config.n_windows, g)
    assert torch.equal(batch.reward, tasks.reward) and torch.equal(batch.states, states)
    assert torch.equal(batch.features, draw_features(config, config.n_tasks, 5, g))


@pytest.mark.parametrize("family", ["boyan", "loop", "random"])
def test_a_batch_is_made_of_fresh_tasks_with_exact_values(family):
    config, g = small(family=family, n_tasks=50), generator()
    batch, later = draw_batch(config, g), draw_batch(config, g)
    assert batch.states.shape == (50, 9 + 3 + 1) and batch.counts.shape == (50, 4, 5, 5) and batch.n_context == 9
    assert torch.equal(batch.query, batch.states[:, 9:])
    assert (batch.counts.sum((-1, -2)) == 9).all()
    assert not torch.equal(batch.reward, later.reward) and len(batch.reward.unique(dim=0)) == 50
    # v = r + gamma P v, so r - v is gamma times an average of values: it stays within their range.
    average = (batch.value - batch.reward) / config.gamma
    low, high = batch.value.amin(1, keepdim=True), batch.value.amax(1, keepdim=True)
    assert ((average > low - 1e-5) & (average < high + 1e-5)).all()


def test_an_exact_value_is_the_mean_return():
    # Monte Carlo road: returns along one long trajectory of each task, none of the linear algebra.
    config = small(n_context=(4000, 4000), n_tasks=8, n_windows=1, gamma=0.5)
    batch = draw_batch(config, generator())
    for b in range(8):
        path, reward = batch.states[b].tolist(), batch.reward[b].tolist()
        returns, G = [[] for _ in range(5)], 0.0
        for t in range(len(path) - 1, -1, -1):
            G = reward[path[t]] + 0.5 * G
            if t < len(path) - 60:
                returns[path[t]].append(G)
        for s, found in enumerate(returns):
            if len(found) > 200:
                assert abs(np.mean(found) - batch.value[b, s]) < 6 * np.std(found) / math.sqrt(len(found)) + 1e-6


def test_the_right_answers_are_the_exact_values_of_the_states_that_are_asked_about():
    batch = draw_batch(small(), generator())
    for b, w, path in windows(batch):
        assert batch.query[b, w] == path[-1] and batch.exact[b, w] == batch.value[b, path[-1]]
    asked = [batch.value[b, path[-1]].item() for b, w, path in windows(batch) if w < 3]  # the last is a target only
    assert batch.constant_error() == pytest.approx(np.var(asked), rel=1e-5)


def test_parts_of_a_batch_are_its_tasks_in_order():
    batch = draw_batch(small(), generator())
    for whole, parts in zip(batch, batch.split(2), strict=True):
        assert len(parts) == 2 and torch.equal(torch.cat(list(parts)), whole)
    assert batch.split(2).n_context == batch.n_context == 9


def test_features_are_what_their_names_say():
    one_hot = draw_batch(small(feature_scale=2.0, d=6), generator()).features
    assert torch.equal(one_hot[1], 2 * torch.eye(5, 6))
    scaled = draw_batch(small(features="random", d=3, feature_scale=2.0), generator()).features
    assert scaled.shape == (4, 5, 3) and torch.allclose(scaled.norm(dim=-1), torch.tensor(2.0))
    assert not torch.allclose(scaled[0], scaled[1])  # drawn anew for each task
    grouped = draw_batch(small(features="aggregated", d=2), generator()).features
    assert grouped[0].argmax(-1).tolist() == [0, 0, 0, 1, 1] and (grouped.sum(-1) == 1).all()


def test_sizes_are_drawn_from_their_ranges():
    config, g = small(n_states=(3, 5), n_context=(2, 4)), generator()
    batches = [draw_batch(config, g) for _ in range(60)]
    assert {b.features.shape[1] for b in batches} == {3, 4, 5} and {b.n_context for b in batches} == {2, 3, 4}
    assert {b.states.shape[1] - b.n_context for b in batches} == {4}


def test_held_out_tasks_have_one_size_for_all_families_in_the_middle_of_the_ranges():
    batches = held_out(small(n_states=(3, 5), n_context=(2, 5)), n_tasks=6)
    assert {(b.features.shape[1], b.n_context) for b in batches.values()} == {(4, 3)}


def test_held_out_tasks_are_those_of_their_own_seed():
    """Errors in lessons and checkpoints are errors on these tasks, one family after the other: they stay the same."""
    config, g = small(), generator(2_000_003)
    for family, batch in held_out(config, n_tasks=6).items():
        assert torch.equal(batch.reward, draw_batch(config, g, 6, family).reward)


def test_a_run_is_followed_on_256_tasks_of_each_family():
    """The small test set of lesson 09, whose errors the command line and the views report."""
    assert {len(batch.states) for batch in held_out(small()).values()} == {256}


def test_held_out_tasks_are_of_their_family_and_not_those_of_training():
    config = small(n_context=(200, 200))
    test = held_out(config, n_tasks=20)
    steps = {name: b.counts.sum((0, 1)) > 0 for name, b in test.items()}  # (S, S): was it ever taken?
    assert not steps["boyan"][0, [0, 3, 4]].any()  # only one or two ahead
    assert steps["loop"].diagonal().sum() == 0 and steps["loop"][0, 3]  # never to itself
    assert steps["random"].all()
    for seed in (0, 1):
        trained_on = draw_batch(config, generator(1_000_003 + seed), 20)
        assert not torch.isin(test["boyan"].reward, trained_on.reward).any()


def test_ranges_are_drawn_apart_and_held_to_their_ends():
    config, g = small(n_states=(3, 5), n_context=(2, 4)), generator()
    sizes = {(b.features.shape[1], b.n_context) for b in (draw_batch(config, g) for _ in range(120))}
    assert len(sizes) == 9  # every pair: the two sizes do not move together
    with pytest.raises(ValueError, match="one-hot features of up to 6 states need d of at least 6"):
        small(n_states=(4, 6))
    with pytest.raises(ValueError, match="as few as 4 states aggregate into 4 groups at most"):
        small(n_states=(4, 6), features="aggregated")
    with pytest.raises(ValueError, match="seeds are whole numbers from 0 to 999,999"):
        small(seeds=(0, 1_000_000))


def test_the_sizes_of_a_batch_follow_its_generator_alone():
    config = small(n_states=(3, 9), n_context=(5, 50), d=9, n_tasks=2)

    def shapes():
        batches = [draw_batch(config, generator(seed)) for seed in range(8)]
        return [(batch.reward.shape[1], batch.n_context) for batch in batches]

    first = shapes()
    assert shapes() == first and len(set(first)) > 4
