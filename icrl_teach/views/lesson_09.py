"""Lesson 09: windows on a trajectory, and a training run: its learning curve, and what the network answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from icrl_teach.figures import SIGNED_CELLS, STYLE, View, colors, new_figure
from icrl_teach.losses import Batch, PretrainConfig, answers, constructed_parameters, held_out, value_error
from icrl_teach.pretraining import PretrainingResult, pretrain

LEARNED, BUILT, CONSTANT = colors(3)
N_STEPS, EVERY = 200, 10
RATES = (0.005, 0.05, 0.5)
LOW, HIGH = -2.2, 0.2  # the error axis: powers of ten


def windows_picture(states: Sequence[int], n_context: int, names: Sequence[str]) -> Figure:
    """Every window of n_context transitions under its trajectory; the query state framed, the last window hatched."""
    length = len(states)
    n_rows = length - n_context
    figure, (ax,) = new_figure(size=(8.6, 1.4 + 0.62 * n_rows))
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        for k, s in enumerate(states):
            ax.text(k, 0, names[s], ha="center", va="center", fontsize=13, fontweight="bold")
        for w in range(n_rows):
            last = w == n_rows - 1
            for k in range(w, w + n_context + 1):
                query = k == w + n_context
                box = Rectangle((k - 0.42, -w - 1.4), 0.84, 0.8, facecolor="#F3D9C6" if query else "#D6E6F2")
                box.set(edgecolor="black" if query else "#888888", linewidth=2.4 if query else 0.8)
                box.set_hatch("//" if last and not query else "")
                ax.add_patch(box)
                label = {"ha": "center", "va": "center", "fontsize": 12, "fontweight": "bold" if query else "normal"}
                ax.text(k, -w - 1.0, names[states[k]] + ("?" if query else ""), label)
            note = "bootstrap only" if last else "trained on"
            ax.text(length - 0.3, -w - 1.0, f"window {w}: {note}", ha="left", va="center", fontsize=11)
        ax.set_xlim(-1.9, length + 2.1)
        ax.set_ylim(-n_rows - 0.6, 0.55)
        ax.text(-0.7, 0, "states", ha="right", va="center", fontsize=11)
        ax.text(-0.7, -1.0, "windows", ha="right", va="center", fontsize=11)
        ax.axis("off")
        ax.set_title("Each window slides by one; its last state is the query")
    return figure


def on_their_way_picture(steps: Sequence[int], V: np.ndarray, A: np.ndarray, errors: Sequence[float]) -> Figure:
    """The free weights at k training steps, a column each: A's block (k, 6, 6) above, V's row (k, 3) below.

    Entries of A of at least 1 in size carry their number; all maps share one scale, all rows of bars another.
    """
    figure, axes = new_figure(2, len(steps), size=(10.5, 4.3), fitted=False)
    figure.subplots_adjust(left=0.075, right=0.99, bottom=0.12, top=0.8, wspace=0.14, hspace=0.16)
    limit = float(np.abs(A).max())
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        for k, (above, below) in enumerate(zip(axes[: len(steps)], axes[len(steps) :], strict=True)):
            above.imshow(A[k], cmap=SIGNED_CELLS, vmin=-limit, vmax=limit, interpolation="nearest")
            for (i, j), value in np.ndenumerate(A[k]):
                if abs(value) >= 1.0:
                    above.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8)
            above.set(xticks=[], yticks=[])
            above.set_title(f"step {steps[k]}\nerror {errors[k]:.2g}", fontsize=11, loc="center")
            below.bar(range(3), V[k], color=colors(3), edgecolor="black", hatch="")
            below.axhline(0.0, color="black", linewidth=0.8)
            below.set(ylim=(-1.3, 1.3), xticks=range(3), xticklabels=["rew", "tgt", "val"], yticks=[-1, 0, 1])
            below.tick_params(labelleft=k == 0)
        axes[0].set_ylabel("block of A")
        axes[len(steps)].set_ylabel("row of V")
        figure.suptitle("In 800 steps noise becomes weights", x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


class Levels(NamedTuple):
    """Mean squared errors on held-out windows to compare a learning curve with."""

    constructed: float  # Theorem 1's parameters, alpha 1 and beta 4
    constant: float  # one number for every state, the best there is


@lru_cache(maxsize=8)
def _test(config: PretrainConfig) -> Batch:
    return held_out(config)[config.family]


@lru_cache(maxsize=8)
def levels(config: PretrainConfig) -> Levels:
    """The two reference errors on the config's held-out windows."""
    batch = _test(config)
    return Levels(value_error(constructed_parameters(config), batch, config).item(), batch.constant_error())


class _Recorded(NamedTuple):
    errors: np.ndarray  # (N_STEPS / EVERY + 1,): held-out mean squared error
    answers: np.ndarray  # (N_STEPS / EVERY + 1, n_tasks): what the network says of held-out windows


def _config(rate: float) -> PretrainConfig:
    return PretrainConfig(n_tasks=32, n_steps=N_STEPS, learning_rate=rate, evaluate_every=N_STEPS, snapshot_every=EVERY)


@lru_cache(maxsize=1)
def _runs() -> dict[float, _Recorded]:
    """One short run for each learning rate, replayed from its snapshots. All at once, so that no dial has to wait."""
    runs = {}
    for rate in RATES:
        config = _config(rate)
        test, errors, said = _test(config), [], []
        for _, parameters in pretrain(config, progress=False).snapshots:
            theta = {name: value[0] for name, value in parameters.items()}
            with torch.no_grad():
                errors.append(value_error(theta, test, config).item())
                said.append(answers(theta, test, config)[:, 0].numpy())
        runs[rate] = _Recorded(np.array(errors), np.array(said))
    return runs


def learning_view(step: int, rate: float) -> View:
    """A recorded run at one of its steps: the learning curve, and the network's answers against the exact values.

    step: 0 to 200, in steps of 10; rate: the learning rate, one of RATES. The tasks shown are never trained on.
    """
    run, reference, at = _runs()[rate], levels(_config(rate)), round(step / EVERY)
    test = _test(_config(rate))
    exact = test.exact[:, 0].numpy()
    figure, (left, right) = new_figure(1, 2, size=(9.6, 3.9), fitted=False)
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.145, top=0.9, wspace=0.24)
    error = run.errors[at]
    with matplotlib.rc_context(STYLE):
        _draw_curve(left, np.arange(len(run.errors)) * EVERY, run.errors, reference)
        left.plot(at * EVERY, _log(error), "o", color=LEARNED, markersize=11, markeredgecolor="black")
        left.set_title(f"Learning rate {rate}, step {at * EVERY}")
        _draw_answers(right, exact, run.answers[at])
    numbers = (
        f"training step {at * EVERY}, learning rate {rate}\n"
        f"squared value error, 256 unseen tasks  {error:.3f}\n"
        f"best constant                          {reference.constant:.3f}\n"
        f"constructed network, beta 4            {reference.constructed:.3f}"
    )
    share = error / reference.constant
    place = "near" if share < 0.1 else "scattered around" if share < 0.5 else "away from"
    alt = (
        f"Left: held-out error against training step at learning rate {rate}, with the best constant and the "
        f"constructed network as levels and a dot at step {at * EVERY}. Right: the network's answers against the "
        f"exact values of 256 unseen tasks, {place} the diagonal."
    )
    return View(figure, alt, numbers)


def learning_picture(result: PretrainingResult) -> View:
    """A run in progress or ended: its held-out error so far, for the live control."""
    config = result.config
    reference = levels(config)
    steps = np.array(result.history["step"])
    errors = np.array(result.history["error"]).mean(axis=1)
    figure, (ax,) = new_figure(size=(7.4, 3.8), fitted=False)
    figure.subplots_adjust(left=0.11, right=0.98, bottom=0.15, top=0.9)
    with matplotlib.rc_context(STYLE):
        _draw_curve(ax, steps, errors, reference)
        ax.set_xlim(0, config.n_steps)
        ax.set_title(f"Step {steps[-1]} of {config.n_steps}: the error on unseen tasks")
    numbers = (
        f"step {steps[-1]} of {config.n_steps}, learning rate {config.learning_rate}, seed {config.seeds[0]}\n"
        f"squared value error, 256 unseen tasks {errors[-1]:.3f}\n"
        f"best constant {reference.constant:.3f}, constructed network at beta 4 {reference.constructed:.3f}"
    )
    alt = (
        f"Held-out error against training step, up to step {steps[-1]} of {config.n_steps}, on a logarithmic axis, "
        "with the best constant and the constructed network as levels."
    )
    return View(figure, alt, numbers)


def _log(error: Any) -> Any:
    return np.clip(np.log10(error), LOW, HIGH)


def _draw_curve(ax: Axes, steps: np.ndarray, errors: np.ndarray, reference: Levels) -> None:
    ax.plot(steps, _log(errors), "-", color=LEARNED, label="network in training")
    ax.axhline(_log(reference.constant), color=CONSTANT, linestyle=":", label="best constant")
    ax.axhline(_log(reference.constructed), color=BUILT, linestyle="--", label=r"constructed, $\beta$ 4")
    ax.set_ylim(LOW, HIGH)
    ax.set_yticks([-2, -1, 0], ["0.01", "0.1", "1"])
    ax.set_xlabel("training step")
    ax.set_ylabel("squared value error")
    ax.legend(loc=(0.42, 0.56))


def _draw_answers(ax: Axes, exact: np.ndarray, said: np.ndarray) -> None:
    ax.plot([-3, 3], [-3, 3], "--", color="black", linewidth=1.0)
    ax.plot(exact, said, "o", color=LEARNED, markersize=3.5, alpha=0.5)
    ax.set_xlim(-2.6, 2.6)
    ax.set_ylim(-2.6, 2.6)
    ax.set_xlabel("exact value")
    ax.set_ylabel("the network's answer")
    ax.set_title("256 tasks it never saw")
