"""The view behind lesson 01's widget: what gamma does to the values of a three-state machine."""

from __future__ import annotations

import numpy as np

from icrl_teach.figures import View, bars, chain_diagram, new_figure
from icrl_teach.mrp import MarkovRewardProcess

NAMES = ("good", "worn", "broken")
TRANSITION = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])


def value_view(gamma: float, repair: float) -> View:
    """The machine's chain shaded by value, and each state's reward today beside its value.

    gamma: discount in [0, 1); repair: the reward of a day spent broken (negative: it costs).
    """
    r = np.array([3.0, 1.0, repair])
    mrp = MarkovRewardProcess(TRANSITION, r, gamma)
    v = mrp.value()
    horizon = 1 / (1 - gamma)
    average = float(mrp.stationary_distribution() @ r)
    figure, axes = new_figure(1, 2, size=(9.6, 4.2), fitted=False)
    axes[0].set_position((0.02, 0.03, 0.4, 0.88))
    axes[1].set_position((0.52, 0.2, 0.46, 0.7))
    notes = [_text(x, 1) for x in v]
    chain_diagram(TRANSITION, names=NAMES, notes=notes, shade=v, title="Bluer is worth more", ax=axes[0])
    both = {"reward today": r, "value": v}
    level = {"average reward / (1 - gamma)": average * horizon}
    title = f"gamma {gamma:.2f} looks about {horizon:.0f} day{'s' if round(horizon) > 1 else ''} ahead"
    bars(NAMES, both, title=title, xlabel="", ylabel="reward, value", references=level, legend=None, ax=axes[1])
    axes[1].axhline(0.0, color="black", linewidth=0.8)
    axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, fontsize=9, frameon=False)
    listed = ", ".join(f"{name} {_text(x)}" for name, x in zip(NAMES, v, strict=True))
    numbers = (
        f"gamma = {gamma:.2f}, effective horizon 1/(1-gamma) = {horizon:.1f} days\n"
        f"values: {listed}\n"
        f"(1-gamma) v: {', '.join(_text((1 - gamma) * x) for x in v)}; average reward a day: {_text(average)}"
    )
    alt = (
        f"Left: the three states of the machine, the bluer the more it is worth, at gamma {gamma:.2f}: {listed}. "
        f"Right: bars of each state's reward today ({_text(r[0])}, {_text(r[1])}, {_text(r[2])}) beside its value, "
        f"and a line at the average reward over 1 - gamma, {_text(average * horizon)}."
    )
    return View(figure, alt, numbers)


def _text(x: float, digits: int = 2) -> str:
    return f"{round(float(x), digits) + 0.0:.{digits}f}"
