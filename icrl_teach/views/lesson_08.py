"""Lesson 08's picture: forty unseen chains, and how near a frozen network comes with its depth and context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from icrl_teach.features import one_hot
from icrl_teach.figures import STYLE, Picture, View, bars, colors, curves, new_figure, picture
from icrl_teach.mrp import MarkovRewardProcess, Trajectory
from icrl_teach.softmax_td import empirical_operators, operator_td
from icrl_teach.tasks import sample_family

GAMMA, N_STATES, N_TASKS, N_LAYERS, LONGEST, TAU = 0.8, 8, 40, 40, 1000, 4.0
NETWORK, EXACT, FLOOR = colors(3)


@lru_cache(maxsize=3)
def _tasks(family: str) -> list[tuple[MarkovRewardProcess, Trajectory]]:
    """Forty fresh chains of a family, and a long walk on each."""
    rng = np.random.default_rng(808)
    chains = [sample_family(family, N_STATES, GAMMA, rng) for _ in range(N_TASKS)]
    return [(chain, chain.sample(LONGEST, rng)) for chain in chains]


@lru_cache(maxsize=64)
def errors_by_layer(family: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RMS error over the states left, (layers, 40); of the first task all values, (layers, S), and its visits, (S,).

    Every walk is cut after n transitions. Operator form, equal to the network by Theorem 1; layers 0..160, of which
    the last stands for the limit.
    """
    short = [Trajectory(walk.states[: n + 1], walk.rewards[:n]) for _, walk in _tasks(family)]
    operators = [empirical_operators(walk, one_hot(N_STATES, TAU)) for walk in short]
    M, Q, rho = (np.stack(table) for table in zip(*operators, strict=True))
    step, values = np.eye(N_STATES) - M + GAMMA * Q, [np.zeros_like(rho)]
    for _ in range(4 * N_LAYERS):
        values.append((step @ values[-1][..., None])[..., 0] + rho)
    v, visits = np.array(values), np.array([walk.visits(N_STATES) for walk in short])
    exact = np.array([chain.value() for chain, _ in _tasks(family)])
    error = np.sqrt(((v - exact) ** 2).mean(axis=-1, where=visits > 0))
    return error, v[:, 0], visits[0]


def evaluation_view(depth: int, context: float, family: str) -> View:
    """Left: error against depth over forty unseen chains, the chosen depth marked. Right: one of them, state by state.

    depth: layers, 0..40; context: transitions n, rounded; family: 'boyan', 'loop' or 'random'.
    """
    n, depth = max(1, round(context)), int(depth)
    error, values, visits = errors_by_layer(family, n)
    low, middle, high = np.quantile(error, [0.25, 0.5, 0.75], axis=1)
    floor, exact = middle[-1], _tasks(family)[0][0].value()
    figure, (left, right) = new_figure(1, 2, size=(9.4, 3.9), fitted=False)
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.2, top=0.9, wspace=0.18)
    with matplotlib.rc_context(STYLE):
        _draw_errors(left, depth, low, middle, high)
        left.set_title(f"n = {n}, {depth} layers: error {middle[depth]:.3f}")
        _draw_values(right, exact, values[depth], visits)
        right.set_title(f"One of the 40 {family} chains")
    never = int((visits == 0).sum())
    numbers = (
        f"40 unseen {family} chains, {n} transitions each, {depth} layers\n"
        f"RMS error: median {middle[depth]:.3f}, middle half {low[depth]:.3f} to {high[depth]:.3f}\n"
        f"with ever more layers {floor:.3f}, with none {middle[0]:.3f}\n"
        f"largest error in the one chain drawn {np.abs(values[depth] - exact)[visits > 0].max():.3f} "
        f"(states never left: {never})"
    )
    alt = (
        f"Left: median error of the network on 40 unseen {family} chains against depth, with the band of the middle "
        f"half; at {depth} layers it is {middle[depth]:.3f}, its limit is {floor:.3f}. Right: values of the eight "
        f"states of one chain, from the network and exact; {never} of them were never left."
    )
    return View(figure, alt, numbers)


def temperature_picture(taus: Sequence[float], parts: np.ndarray) -> Figure:
    """Left: squared bias and variance of the differences between states at 10 layers. Right: their sum by depth.

    parts: (n_taus, 4, 3), at 3, 10, 30 layers and in the limit: squared bias, variance, level.
    """
    figure, (left, right) = new_figure(1, 2, size=(10.5, 4.2))
    look: dict[str, Any] = {"xscale": "log", "xlabel": "tau", "ylabel": "mean square, differences of states"}
    bias, variance = parts[:, 1, :2].T
    shown = {"squared bias": bias, "variance": variance, "sum": bias + variance}
    curves(taus, shown, title="10 layers: bias against variance", ax=left, **look)
    sums = parts[..., :2].sum(axis=-1).T
    shown = dict(zip(["3 layers", "10 layers", "30 layers", "limit"], sums, strict=True))
    curves(taus, shown, title="More layers: the best tau moves left", ax=right, **look)
    return figure


def _draw_errors(ax: Axes, depth: int, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> None:
    layers, shown = np.arange(N_LAYERS + 1), slice(0, N_LAYERS + 1)
    look: dict[str, Any] = {"color": NETWORK, "alpha": 0.2, "linewidth": 0}
    ax.fill_between(layers, low[shown], high[shown], label="middle half of 40 chains", **look)
    ax.plot(layers, middle[shown], color=NETWORK, label="frozen network, median")
    ax.axhline(middle[-1], color=FLOOR, linestyle="--", linewidth=1.4, label="ever more layers")
    ax.plot(depth, middle[depth], "o", color=NETWORK, markeredgecolor="black", markersize=11)
    ax.set_yscale("log")
    ax.set_ylim(0.006, 2.5)
    ax.set_yticks([0.01, 0.03, 0.1, 0.3, 1], ["0.01", "0.03", "0.1", "0.3", "1"])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xticks([0, 10, 20, 30, 40])
    ax.set_xlabel("layer")
    ax.set_ylabel("RMS error to the exact value")
    ax.legend(loc="lower left")


def _draw_values(ax: Axes, exact: np.ndarray, values: np.ndarray, visits: np.ndarray) -> None:
    states = np.arange(N_STATES)
    ax.bar(states, values, 0.62, color=NETWORK, alpha=0.7, label="frozen network")
    ax.plot(states, exact, "D", color=EXACT, markersize=9, label="exact value")
    ax.axhline(0.0, color="black", linewidth=0.8)
    lowest, highest = min(exact.min(), values.min(), 0.0), max(exact.max(), values.max(), 0.0)
    ax.set_ylim(lowest - 0.3, highest + 0.25 * (highest - lowest) + 0.2)
    ax.set_xticks(states, [f"{s}\n{count}" for s, count in enumerate(visits)])
    ax.grid(visible=False, axis="x")
    ax.set_xlabel("state, and how often it was left")
    ax.set_ylabel("value")
    ax.legend(loc="upper right", ncols=2)


def families_table(error: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A column a family: the network's median error by layer and its quartiles, the others' medians, shares of tasks.

    error: family -> (task, method, layer), methods in the order network, tabular TD, linear TD, floor, constant.
    """
    columns = {}
    for family, e in error.items():
        middle, last = np.median(e, axis=0), e[:, :, -1]
        shares = {"beats constant": last[:, 0] < last[:, 4], "beats floor": last[:, 0] < last[:, 3]}
        columns[family] = {
            **{f"layer {layer}": middle[0, layer] for layer in (0, 5, e.shape[2] - 1)},
            **dict(zip(["lower quartile", "upper quartile"], np.quantile(last[:, 0], [0.25, 0.75]), strict=True)),
            **dict(zip(["tabular TD", "linear TD", "floor", "best constant"], middle[1:, -1], strict=True)),
            **{name: won.mean() for name, won in shares.items()},
        }
    return pd.DataFrame(columns)


def families_picture(error: Mapping[str, np.ndarray]) -> Picture:
    """A panel a family: median errors by layer of network, tabular and linear TD, beside floor and best constant.

    error: family -> (task, method, layer), methods in the order network, tabular TD, linear TD, floor, constant.
    """
    figure, panels = new_figure(1, 3, size=(10.5, 4.1))
    for panel, (family, e) in zip(panels, error.items(), strict=True):
        low, middle, high = np.quantile(e, [0.25, 0.5, 0.75], axis=0)
        lines = dict(zip(["frozen network", "tabular TD", "linear TD"], middle[:3], strict=True))
        levels = dict(zip(["floor", "best constant"], middle[3:, 0], strict=True))
        bands = {"frozen network": (low[0], high[0])}
        layers, title = np.arange(e.shape[2]), f"{family}: to the floor"
        legend = "below" if panel is panels[0] else None  # the first panel's, for all three
        curves(layers, lines, title=title, xlabel="layer", ylabel="RMS error", references=levels, bands=bands,
               legend=legend, ax=panel)  # fmt: skip
        panel.set_ylim(0, 1.65)
    return picture(figure, alt="In each of three panels the network falls with tabular TD to the floor.")


def polite_taxi() -> np.ndarray:
    """A taxi driver who moves at random but makes none of the moves that cost 10. (500, 6), rows sum to 1."""
    table: Any = gym.make("Taxi-v4").unwrapped.P  # type: ignore[attr-defined]
    allowed = np.array([[all(way[2] > -10 for way in table[s][a]) for a in range(6)] for s in range(500)])
    return allowed / allowed.sum(axis=1, keepdims=True)


def worlds_picture(found: Mapping[str, pd.DataFrame]) -> Picture:
    """Pairs of bars: medians of the columns 'by state' and 'by visit' of every world."""
    medians = {name: [table[name].median() for table in found.values()] for name in ("by state", "by visit")}
    figure = bars(
        list(found),
        {"each state counts once": medians["by state"], "each visit counts once": medians["by visit"]},
        title="Better where the walker goes",
        xlabel="median of twelve rollouts",
        ylabel="error / best constant's",
        references={"best constant": 1.0},
    )
    figure.axes[0].set_ylim(0, 1.4)
    return picture(
        figure,
        alt="Four pairs of bars: counted by visit the error is lower than by state in every world; by state the taxi's "
        "is as large as the best constant's.",
    )


def depth_picture(error: Mapping[int, np.ndarray], useful: Sequence[int], slope: float) -> Picture:
    """Left: median error by layer, a line a length. Right: useful depth by length, and a rule of `slope` layers a 4n.

    error: n -> (task, layer); useful: one depth a length; the rule is drawn through the middle length.
    """
    figure, (left, right) = new_figure(1, 2, size=(10.5, 4.2))
    lengths = np.array(list(error))
    lines = {f"n = {n}": np.median(e, axis=0) for n, e in error.items()}
    layers, middle = np.arange(len(next(iter(lines.values())))), len(lengths) // 2
    look: dict[str, Any] = {"ylabel": "RMS error, median of 300", "yscale": "log", "ax": left}
    curves(layers, lines, title="Every context has its own floor", xlabel="layer", **look)
    rule = useful[middle] + slope * np.log(lengths / lengths[middle]) / np.log(4)
    shown = {"measured": useful, f"rule, through n = {lengths[middle]}": rule}
    look = {"ylabel": "useful depth", "xscale": "log", "ax": right}
    curves(lengths, shown, title="Useful depth grows with log n", xlabel="transitions n", **look)
    right.set_yticks(range(0, 30, 5))
    return picture(
        figure,
        alt="Left, error curves flatten, lower for longer contexts; right, the useful depth rises with the logarithm "
        "of n, a little faster than the rule.",
    )


def bias_and_variance(values: np.ndarray, exact: np.ndarray) -> tuple[float, float, float]:
    """Of the differences between states: squared bias, variance; and the mean squared error of the common level.

    values: (contexts, S), what several contexts of one task led to; exact: (S,).
    """
    differences = (values - values.mean(axis=1, keepdims=True)) - (exact - exact.mean())
    level = (values - exact).mean(axis=1)
    return (differences.mean(axis=0) ** 2).mean(), differences.var(axis=0).mean(), (level**2).mean()


def gain_table(studies: Mapping[tuple[str, int], np.ndarray], taus: Sequence[float]) -> pd.DataFrame:
    """What the best tau takes off the error of the sharpest, by depth: on differences, and (with the common level).

    studies: (family, draw) -> (tau, depth, part), depths 3, 10, 30 first, parts as in bias_and_variance.
    """
    rows = {}
    for (family, draw), parts in studies.items():
        apart, whole = parts[:, :3, :2].sum(axis=2), parts[:, :3].sum(axis=2)
        gains = [1 - each.min(axis=0) / each[-1] for each in (apart, whole)]
        cells = [f"{a:.0%} ({b:.0%})" for a, b in zip(*gains, strict=True)]
        rows[f"{family}, draw {draw}"] = [*cells, str([taus[i] for i in apart.argmin(axis=0)])]
    return pd.DataFrame(rows, index=["3 layers", "10 layers", "30 layers", "best tau"]).T


def features_table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Medians of features, n, and errors of the network, at rest, of LSTD, of the floor; what rests where; divergence.

    rows: (features, n, network, at rest, LSTD, floor, spectral radius), one for each context.
    """
    table = pd.DataFrame(rows, columns=["features", "n", "network", "at rest", "LSTD", "floor", "radius"])
    gap = {"at floor": table["at rest"] - table["floor"], "at LSTD": table["at rest"] - table["LSTD"]}
    groups = table.assign(**gap, diverge=table["radius"] > 1 + 1e-9).groupby(["features", "n"], sort=False)
    shown = groups[["network", "at rest", "LSTD", "floor"]].median()
    for name in gap:
        shown[f"rests {name}"] = groups[name].agg(lambda column: bool((abs(column) < 1e-6).all()))
    return shown.assign(diverge=groups["diverge"].sum())


def features_picture(table: pd.DataFrame) -> Picture:
    """A panel a length: bars of the network after 30 layers, LSTD and the floor, for each kind of features."""
    figure, panels = new_figure(1, 2, size=(10.5, 4.0))
    for panel, (n, part) in zip(panels, table.groupby("n"), strict=True):
        shown = {"network, 30 layers": part["network"], "LSTD": part["LSTD"], "floor": part["floor"]}
        kinds = [str(name) for name in part.index.get_level_values("features")]
        title = f"n = {n}: features limit LSTD" if n == 1000 else f"n = {n}"
        bars(kinds, shown, title=title, ylabel="median error", xlabel="", ax=panel)
        panel.tick_params(axis="x", labelsize=9.5)
    return picture(figure, alt="Bars: with four arrows only the network is at the floor; with two it is above.")


def newcomer_table(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Medians of errors by kind of features, shares of the two comparisons.

    rows: (features, never left at 10 layers, at 100, whether it grew, whether worse than the answer 0, left at 10, at
    100, never left for the answer 0).
    """
    names = ["never left: 10", "at 100", "grows", "worse than 0", "left: 10", "left: 100", "answer 0"]
    table = pd.DataFrame(rows, columns=["features", *names]).groupby("features", sort=False)
    shares = {name: table[name].mean() for name in ("grows", "worse than 0")}
    return table.median(numeric_only=False).assign(**shares).astype(float)


def newcomer_picture(rooms: MarkovRewardProcess, features: Mapping[str, np.ndarray], walk: Trajectory) -> Picture:
    """Values of all rooms after 10 layers, by features, and exact; a dot where a room was never left."""
    visits = walk.visits(rooms.n_states)
    never, values = np.flatnonzero(visits == 0), {}
    for name, x in features.items():
        values[name] = operator_td(*empirical_operators(walk, x), rooms.gamma, 10)[-1]
    mean = float(visits @ values["one-hot"] / visits.sum())
    figure = curves(
        np.arange(rooms.n_states),
        {"exact": rooms.value(), **values},
        references={"mean of visited, one-hot": mean},
        xlabel="room (dot: never left)",
        ylabel="value, 10 layers",
        title="A newcomer gets the mean, or what its neighbours say",
    )
    figure.axes[0].plot(never, np.array(list(values.values())).T[never], "ko")
    return picture(
        figure, alt="One wave; place follows it; one-hot jumps, and its never-left rooms lie on the level of the mean."
    )


def spread_table(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A column each, a row for each of their columns: median (smallest-largest), as text."""

    def told(column: pd.Series) -> str:
        return f"{column.median():.2f} ({column.min():.2f}-{column.max():.2f})"

    return pd.DataFrame({name: table.apply(told) for name, table in found.items()})
