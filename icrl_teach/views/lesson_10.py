"""Lesson 10: learned weights beside constructed ones, and a recorded training run, one snapshot at a time.

The run is stored in lesson_10.npz next to this file, so that the dial never has to wait for a training. The command
`python -m icrl_teach.views.lesson_10` trains it anew (30 s) and writes that file, which also holds what a run with
every entry free led to: rounding sends such a run elsewhere on another processor, and a picture of it with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icrl_teach._validate import ArrayLike
from icrl_teach.figures import LINES, SIGNED_CELLS, STYLE, View, bars, colors, curves, heat_map, new_figure

RECORD = Path(__file__).with_suffix(".npz")
N_SEEDS, N_STEPS, EVERY = 5, 600, 20
LEARNED, BUILT, CONSTANT = colors(3)
LIMIT = 3.0  # the end of the colour scale of A


class Record(NamedTuple):
    """What the file holds: 31 snapshots of 5 seeds. Errors are mean squared, on 1,024 tasks never trained on."""

    steps: np.ndarray  # (31,)
    V: np.ndarray  # (31, 5, 3): V's free row
    A: np.ndarray  # (31, 5, 6, 6): A's feature block, not centred
    errors: np.ndarray  # (31, 5)
    constructed_error: np.ndarray  # (): Theorem 1's parameters, alpha 1 and beta 4
    constant_error: np.ndarray  # (): the best constant answer
    free: np.ndarray  # (9, 9): the whole V of seed 1, trained with every entry free


@lru_cache(maxsize=1)
def recorded() -> Record:
    """The stored run. Reading never runs code."""
    with np.load(RECORD, allow_pickle=False) as file:
        return Record(*(file[name] for name in Record._fields))


def record(path: Path = RECORD) -> None:
    """Train the runs of lesson 10 and write them to `path`."""
    import torch

    from icrl_teach._files import atomic_write
    from icrl_teach.losses import PretrainConfig, constructed_parameters, held_out, value_error
    from icrl_teach.pretraining import pretrain

    config = PretrainConfig(
        n_tasks=32, n_steps=N_STEPS, learning_rate=0.1, seeds=tuple(range(N_SEEDS)), snapshot_every=EVERY
    )
    batch = held_out(config, n_tasks=1024)[config.family]
    steps, snapshots = zip(*pretrain(config).snapshots, strict=True)
    with torch.no_grad():
        each = [[{name: t[i] for name, t in theta.items()} for i in range(N_SEEDS)] for theta in snapshots]
        errors = [[value_error(theta, batch, config).item() for theta in seeds] for seeds in each]
        built = value_error(constructed_parameters(config), batch, config).item()
    V, A = (np.stack([theta[name][:, 0].numpy() for theta in snapshots]) for name in "VA")
    everything = replace(config, masked=False, n_tasks=16, n_windows=1, seeds=(0, 1, 2))
    free = pretrain(everything).parameters["V"][1, 0].numpy()
    parts = (np.array(steps), V, A, np.array(errors), np.array(built), np.array(batch.constant_error()), free)
    arrays: dict[str, Any] = dict(zip(Record._fields, parts, strict=True))
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def scrubber_view(snapshot: int, seed: int = 0) -> View:
    """A seed's V row and A (columns centred) at one snapshot, beside the constructed ones, and its error so far.

    snapshot: 0 to 30, one every 20 training steps; seed: 0 to 4. The constructed A is drawn at the fitted beta.
    """
    run = recorded()
    row, A = run.V[snapshot, seed], _centre(run.A[snapshot, seed])
    target = _centre(np.eye(len(A)))
    beta = float((A * target).sum() / (target**2).sum())
    length = float(np.linalg.norm(row) * np.sqrt(3.0))
    cosine = float(row @ (1.0, 1.0, -1.0)) / length
    figure = _draw(run, snapshot, seed, A, beta * target)
    error, step = run.errors[snapshot, seed], run.steps[snapshot]
    numbers = (
        f"seed {seed}, training step {step}\n"
        f"V: reward {row[0]:+.2f}, target {row[1]:+.2f}, value {row[2]:+.2f}; cosine to (1, 1, -1) {cosine:+.3f}\n"
        f"A, columns centred: fitted beta {beta:+.2f}\n"
        f"error on unseen tasks {error:.3f} (constructed, beta 4: {run.constructed_error:.3f})"
    )
    alt = (
        f"Seed {seed} at step {step}. Bars: V's row is {row[0]:.2f}, {row[1]:.2f}, {row[2]:.2f} beside 1, 1, -1. "
        f"Heat maps: A with centred columns beside {beta:.2f} times the identity. Curve: the error is now {error:.3f}."
    )
    return View(figure, alt, numbers)


def weights_picture(rows: np.ndarray, A: np.ndarray, built: np.ndarray) -> Figure:
    """V's row of every seed, (n_seeds, 3), beside seed 0's A and the fitted beta I, both centred, on one scale."""
    figure, (left, middle, right) = new_figure(1, 3, size=(10.5, 3.9))
    series = {f"seed {i}": row for i, row in enumerate(rows)}
    bars(["reward", "target", "value"], series, title="V's row: near (1, 1, -1)", xlabel="reads from", ylabel="weight",
         ax=left)  # fmt: skip
    for ax, matrix, title in ((middle, A, "A learned, seed 0"), (right, built, "βI, centred, at the fitted β")):
        heat_map(matrix, title=title, xlabel="query state", ylabel="source state", digits=1, limit=3.2, ax=ax)
    return figure


def on_their_way_picture(run: Record) -> Figure:
    """The weights of all seeds by training step, one panel for each of V's three entries and A's three kinds."""
    source, query = np.indices(run.A.shape[-2:])
    itself, after = source == query, np.isin(source - query, (1, 2))
    centred = run.A - run.A.mean(axis=-2, keepdims=True)  # (31, 5, 6, 6)
    kinds = {"itself": itself, "its successors": after, "all others": ~itself & ~after}
    panels = {f"V: {name}": run.V[..., i] for i, name in enumerate(("reward", "target", "value"))}
    panels |= {f"A: {name}": centred[..., kind].mean(axis=-1) for name, kind in kinds.items()}
    figure, axes = new_figure(2, 3, size=(10.5, 5.2))
    with matplotlib.rc_context(STYLE):
        for i, (ax, (name, paths)) in enumerate(zip(axes, panels.items(), strict=True)):
            for seed, path in enumerate(paths.T):
                look: Any = {"linestyle": LINES[seed], "color": colors(N_SEEDS)[seed], "linewidth": 1.5}
                ax.plot(run.steps, path, label=f"seed {seed}", **look)
            if i < 3:
                ax.axhline((1, 1, -1)[i], color="black", linewidth=1.0)
                ax.text(600, (1, 1, -1)[i] - 0.06, "(1, 1, -1)", ha="right", va="top", fontsize=10)
            ax.set_ylim(*((-1.5, 1.5) if i < 3 else (-1.6, 3.2)))
            ax.set_title(name)
            ax.set_xlabel("training step" if i > 2 else "")
        axes[3].legend(ncols=2, fontsize=9, loc="lower right")
        figure.suptitle("Reward comes first, then target, and value last", x=0.01, ha="left", fontweight="bold")
    return figure


def successors_picture(means: Mapping[str, np.ndarray]) -> Figure:
    """Mean entries of A for the query itself, its successors and all others: family -> (n_seeds, 3)."""
    table = {f"trained on {name}": each.mean(axis=0) for name, each in means.items()}
    return bars(["the query itself", "its successors", "all others"], table, xlabel="source, seen from the query",
                ylabel="mean entry of A, columns centred",
                title="A stores who follows whom in the training family")  # fmt: skip


def transfer_picture(lengths: Sequence[int], by_length: ArrayLike, by_family: Mapping[str, np.ndarray]) -> Figure:
    """Errors by context length, (n_lengths, 3): learned, built with 4 and with 16 layers; beside errors by family.

    by_family: name -> (3, n_seeds): learned, learned with A in two numbers, built.
    """
    figure, (left, right) = new_figure(1, 2)
    at, names = np.arange(len(lengths)), ("learned, 4 layers", "built, 4 layers", "built, 16 layers")
    lines = dict(zip(names, np.array(by_length).T, strict=True))
    curves(at, lines, yscale="log", xlabel="transitions n in the context", ylabel="squared value error",
           title="At equal depth the lead survives other lengths", ax=left)  # fmt: skip
    left.set_xticks(at, [str(n) for n in lengths])
    left.set_yticks([0.001, 0.01, 0.1], ["0.001", "0.01", "0.1"])
    learned, simple, built = np.stack([each.mean(axis=-1) for each in by_family.values()], axis=-1)
    series = {"learned on boyan": learned, "its A in 2 numbers": simple, "constructed, beta 4": built}
    bars(list(by_family), series, ylabel="squared value error",
         xlabel="family of the unseen tasks", title="It does not survive other families", ax=right)  # fmt: skip
    return figure


def free_picture(V: ArrayLike) -> Figure:
    """A whole V, (9, 9), learned with every entry free."""
    names = [*(f"x{i}" for i in range(6)), "reward", "target", "value"]
    return heat_map(V, row_names=names, column_names=names, digits=None, limit=1.2, xlabel="reads from",
                    ylabel="writes into", title="Seed 1, all entries free: the last row is TD's")  # fmt: skip


def _centre(A: np.ndarray) -> np.ndarray:
    return A - A.mean(axis=0)


def _draw(run: Record, snapshot: int, seed: int, A: np.ndarray, built: np.ndarray) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.8, 6.0))  # fixed margins draw faster than fitted ones
        panels = figure.subplot_mosaic([["V", "error"], ["A", "A"]])
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.08, top=0.95, wspace=0.2, hspace=0.34)
        _draw_errors(panels["error"], run, snapshot, seed)
        _draw_matrices(panels["A"], A, built)
    series = {"learned": run.V[snapshot, seed], "constructed": np.array([1.0, 1.0, -1.0])}
    bars(["reward", "target", "value"], series, title="V: the row that writes values", xlabel="reads from memory row",
         ylabel="weight", legend="lower left", ax=panels["V"])  # fmt: skip
    panels["V"].set_ylim(-1.4, 1.9)
    panels["V"].set_yticks([-1, 0, 1])
    return figure


def _draw_errors(ax: Axes, run: Record, snapshot: int, seed: int) -> None:
    """The curve so far and its two landmarks, labelled in place: a legend costs more time than the rest."""
    ax.plot(run.steps, np.log10(run.errors[:, seed]), "-", color=LEARNED)
    ax.plot(run.steps[snapshot], np.log10(run.errors[snapshot, seed]), "o", color=LEARNED, markersize=11,
            markeredgecolor="black")  # fmt: skip
    landmarks = {
        "best constant": (run.constant_error, CONSTANT, ":", 0.1),
        r"constructed, $\beta$ 4": (run.constructed_error, BUILT, "--", 0.35),  # clear of the curve
    }
    for name, (error, color, line, shift) in landmarks.items():
        ax.axhline(np.log10(error), color=color, linestyle=line)
        ax.text(run.steps[-1], np.log10(error) + shift, name, ha="right", fontsize=11)
    ax.set_ylim(-2.1, 0.3)
    ax.set_yticks([-2, -1, 0], ["0.01", "0.1", "1"])
    ax.set_xticks([0, 200, 400, 600])
    ax.set_xlabel("training step")
    ax.set_ylabel("mean squared error")
    ax.set_title(f"Unseen tasks: seed {seed}, step {run.steps[snapshot]}")


def _draw_matrices(ax: Axes, A: np.ndarray, built: np.ndarray) -> None:
    """Both in one panel, an empty column between them: half the time of two panels. Large entries carry a number."""
    d = len(A)
    both = np.concatenate([A, np.full((d, 1), np.nan), built], axis=1)
    shades = SIGNED_CELLS((both + LIMIT) / (2 * LIMIT), bytes=True)  # ready colours draw faster
    ax.imshow(shades, interpolation="nearest", aspect="auto")
    for (i, j), value in np.ndenumerate(both):
        if (j < d and abs(value) >= 0.95) or (i, j) in ((0, d + 1), (0, d + 2)):  # constructed: one of each kind
            text = f"{value:.1f}".replace("-0.0", "0.0")
            ax.text(j, i, text, ha="center", va="center", fontsize=10)
    ax.grid(visible=False)
    ax.set_xticks([*range(d), *range(d + 1, 2 * d + 1)], [*range(d), *range(d)])
    ax.set_yticks(range(d))
    ax.set_xlabel("query state")
    ax.set_ylabel("source state")
    ax.set_title("A, columns centred: learned (left), constructed at the fitted $\\beta$ (right)")


if __name__ == "__main__":
    record()
