"""The pictures of the mechanism in lessons 03 and 04 draw what they say: distances, directions, widths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Circle, FancyArrowPatch

from icrl_teach import figures, softmax_weights
from icrl_teach.features import random_features
from icrl_teach.views import lesson_03, lesson_04

SEEDS = st.integers(0, 10_000)


@given(seed=SEEDS, alpha=st.floats(0.05, 1.0), gamma=st.floats(0.0, 0.95))
def test_the_arrow_is_one_online_step_and_the_lines_are_the_values_it_goes_between(seed, alpha, gamma):
    rng = np.random.default_rng(seed)
    features = dict(zip("ABC", rng.normal(size=(3, 2)), strict=True))
    w, reward = rng.normal(size=2), float(rng.normal())
    plane, values = lesson_03.semi_gradient(features, w, ("B", reward, "C"), gamma, alpha).axes
    target = reward + gamma * features["C"] @ w
    moved = w + alpha * (target - features["B"] @ w) * features["B"]
    (arrow,) = [text for text in plane.texts if text.arrow_patch is not None]
    np.testing.assert_allclose(arrow.xy, moved)
    before, aim, gone, _ = plane.lines
    for line, level in ((before, features["B"] @ w), (aim, target), (gone, reward + gamma * features["C"] @ moved)):
        np.testing.assert_allclose(line.get_xydata() @ features["B"], level, atol=1e-9)
    heights = [patch.get_height() for patch in values.patches]
    np.testing.assert_allclose(heights, [x @ u for u in (w, moved) for x in features.values()], atol=1e-12)


def test_the_triangle_has_the_sides_of_the_lesson_and_its_angle_is_right():
    walk = lesson_03.round_walk()
    v, mu, X = walk.value(), walk.stationary_distribution(), lesson_03.walk_features("groups", 12)
    D = np.diag(mu)
    best = X @ np.linalg.solve(X.T @ D @ X, X.T @ D @ v)
    td = X @ np.linalg.solve(X.T @ D @ (X - walk.gamma * walk.transition @ X), X.T @ D @ walk.reward)
    updated = walk.reward + walk.gamma * walk.transition @ td
    axes = lesson_03.right_angle(v, best, td, updated, mu).axes[0]
    _, up, across, slanted, *_ = (line.get_xydata() for line in axes.lines)
    sides = [np.linalg.norm(line[1] - line[0]) for line in (up, across, slanted)]
    np.testing.assert_allclose(np.square(sides), [mu @ (u - w) ** 2 for u, w in ((v, best), (td, best), (td, v))])
    diamond = axes.lines[-1].get_xydata()[0]
    np.testing.assert_allclose(diamond, [sides[1], np.sqrt(mu @ (updated - td) ** 2)])
    refit = X @ np.linalg.solve(X.T @ D @ X, X.T @ D @ updated)
    np.testing.assert_allclose(refit, td, atol=1e-9)  # the diamond stands straight above the fixed point


@given(seed=SEEDS, beta=st.floats(0.0, 6.0))
def test_an_arc_is_as_wide_as_the_weight_that_the_query_gives(seed, beta):
    rng = np.random.default_rng(seed)
    x, visits = random_features(4, 2, rng), rng.integers(0, 3, size=4) + np.array([1, 0, 0, 0])
    figure = lesson_04.listening_figure(x, visits, (beta,), list("ABCD"))
    arcs = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    K = softmax_weights(x, np.repeat(x, visits, axis=0), beta)
    M = K @ np.repeat(np.eye(4), visits, axis=0)
    widths = sorted(arc.get_arrowstyle().tail_width / 9 for arc in arcs)
    np.testing.assert_allclose(widths, np.sort(M[M > 0.004]), atol=1e-3)
    assert sum(isinstance(patch, Circle) for patch in figure.axes[0].patches) == 4


def test_an_arc_ends_at_the_query():
    figure, (ax,) = figures.new_figure()
    places = np.array([[1.0, 0.0], [0.0, 1.0]])
    lesson_04.listening(ax, np.array([[0.0, 1.0], [0.0, 0.0]]), places, ["0", "1"], "0 hears 1")
    (arc,) = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    start, end = arc._posA_posB
    assert np.linalg.norm(start - places[1]) < 0.2 and np.linalg.norm(end - places[0]) < 0.2


@pytest.mark.parametrize("beta", [0.01, 1.0, 100.0])
def test_the_dial_tells_what_a_state_gives_to_itself(beta):
    x, trajectory = lesson_04._chain()
    visits = trajectory.visits(6)
    K = softmax_weights(x, np.repeat(x, visits, axis=0), beta)
    own = np.diag(K @ np.repeat(np.eye(6), visits, axis=0))
    view = lesson_04.temperature_view(beta)
    assert f"weight a state gives to itself      {own.min():.2f} to {own.max():.2f}" in view.numbers
    assert f"to itself a state gives {own.min():.2f} to {own.max():.2f}" in view.alt
