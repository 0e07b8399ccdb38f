"""Lesson 05's picture: the rows of M with their margin, beside the error at each layer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matplotlib.ticker import NullLocator

from icrl_teach.features import one_hot
from icrl_teach.figures import View, curves, gershgorin_rows, new_figure
from icrl_teach.mrp import MarkovRewardProcess, Trajectory
from icrl_teach.softmax_td import empirical_operators, fixed_point, operator_td
from icrl_teach.theory import contraction_margin, iteration_matrix, spectral_radius

TRANSITION = ((0.0, 0.8, 0.2, 0.0), (0.0, 0.0, 0.6, 0.4), (0.1, 0.0, 0.0, 0.9), (1.0, 0.0, 0.0, 0.0))
REWARD = (1.0, 0.0, 0.0, -1.0)
N_LAYERS = 30


@lru_cache(maxsize=1)
def context() -> Trajectory:
    """The lesson's walk of 400 steps."""
    return MarkovRewardProcess(TRANSITION, REWARD, 0.0).sample(400, np.random.default_rng(5))


def margin_view(gamma: float, tau: float) -> View:
    """Left: the rows of M against gamma. Right: the error to the fixed point, with its predictions.

    gamma in [0, 1); tau > 0 is the sharpness of the one-hot features. The context is that of lesson 05, 400 steps.
    """
    M, Q, rho = empirical_operators(context(), one_hot(4, tau))
    limit, C = fixed_point(M, Q, rho, gamma), contraction_margin(M, gamma)
    rate, bound = spectral_radius(iteration_matrix(M, Q, gamma)), 1.0 - 2.0 * C
    error = np.abs(operator_td(M, Q, rho, gamma, N_LAYERS) - limit).max(axis=1)
    layers = np.arange(N_LAYERS + 1)
    lines = {"measured": error, "spectral radius": error[0] * rate**layers}
    if C > 0:
        lines["bound 1 - 2C"] = error[0] * bound**layers
    figure, (left, right) = new_figure(1, 2, size=(10.0, 4.2), fitted=False)
    gershgorin_rows(M, gamma, title=f"Rows of M: margin C = {C:+.3f}", ax=left)
    left.set_xlim(-0.75, 1.06)
    promise = f"Bound holds: at most {bound:.3f} a layer" if C > 0 else "No margin, no promise from the bound"
    curves(layers, lines, title=promise, xlabel="layer", ylabel="largest error to the fixed point",
           yscale="log", legend=None, ax=right)  # fmt: skip
    right.set_ylim(1e-8, 10.0)
    right.set_xticks([0, 10, 20, 30])
    right.set_yticks(10.0 ** np.arange(-8, 2, 2), ["1e-8", "1e-6", "1e-4", "0.01", "1"])
    right.yaxis.set_minor_locator(NullLocator())
    right.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize=9.5, columnspacing=1.2, frameon=False
    )
    figure.subplots_adjust(left=0.105, right=0.98, bottom=0.2, top=0.9, wspace=0.25)
    found = f"The bound promises at most {bound:.3f} a layer." if C > 0 else "The bound promises nothing."
    alt = (
        f"Left, four bars for the rows of M on the real axis, from 2 M(s, s) - 1 to 1; the lowest begins at "
        f"{2 * np.diag(M).min() - 1:.3f}, the line of gamma stands at {gamma:.3f}. "
        f"Right, the error on a log axis falls over {N_LAYERS} layers; its long-run factor is {rate:.3f}. {found}"
    )
    numbers = (
        f"smallest diagonal {np.diag(M).min():.3f}   line (1 + gamma) / 2 {(1 + gamma) / 2:.3f}   margin C {C:+.3f}\n"
        f"{found}\nSpectral radius {rate:.3f}; at alpha = 1 it cannot be below gamma, {gamma:.3f}."
    )
    return View(figure, alt, numbers)
