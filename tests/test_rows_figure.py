"""Gershgorin's rows: bars, margin and crosses are the matrix's own, and the theorem they draw holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrl_teach import figures
from icrl_teach.theory import contraction_margin, sup_norm


def matching(seed, n, own):
    rng = np.random.default_rng(seed)
    return own * np.eye(n) + (1 - own) * rng.dirichlet(np.ones(n), n), rng.dirichlet(np.ones(n), n)


def drawn(M, gamma):
    ax = figures.gershgorin_rows(M, gamma, title="rows").axes[0]
    bars = next(c for c in ax.collections if c.get_gid() == "rows")
    dots, crosses = (next(line for line in ax.lines if line.get_label() == name) for name in ("M(s, s)", "eigenvalues"))
    said = next(t.get_text() for t in ax.texts if t.get_text().startswith("2C"))
    return np.array(bars.get_segments())[:, :, 0], dots.get_xdata(), crosses.get_xdata(), said


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6), st.floats(0.0, 1.0), st.floats(0.0, 0.99))
def test_the_margin_is_half_the_room_between_gamma_and_the_worst_row_and_the_bars_hold_the_spectrum(
    seed, n, own, gamma
):
    M, P = matching(seed, n, own)
    bars, dots, crosses, said = drawn(M, gamma)
    np.testing.assert_allclose(dots, M.diagonal())
    others = np.array([sum(M[s, t] for t in range(n) if t != s) for s in range(n)])  # the disc's radius
    np.testing.assert_allclose(bars, np.stack([M.diagonal() - others, M.diagonal() + others], axis=1), atol=1e-12)
    room = bars[:, 0].min() - gamma
    assert room == pytest.approx(2 * contraction_margin(M, gamma), abs=1e-12)
    assert said == f"2C = {room:+.2f}"
    inside = [(bars[:, 0] - 1e-9 <= x).any() and x <= 1 + 1e-9 for x in crosses]
    assert all(inside)
    if room > 0:  # what the picture promises of a layer
        assert sup_norm(np.eye(n) - M + gamma * M @ P) <= 1 - room + 1e-12


def test_names_stand_at_the_rows():
    ax = figures.gershgorin_rows(np.eye(2), 0.5, ["left", "right"], title="rows").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["left", "right", "eigen-\nvalues"]
