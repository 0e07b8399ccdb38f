"""The tasks of lesson 11 and sheet 11: a shop, the file it exports and the picture of a decision, and a coffee counter.

Both are made up, so that their exact values are known. The file is as real ones are: the event log of a web server,
stopped in mid-morning.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

from icrl_teach._validate import ArrayLike
from icrl_teach.figures import bars, new_figure, value_intervals
from icrl_teach.mrp import MarkovRewardProcess

PAGES = ("home", "search", "product", "cart", "shipping", "thanks")
GOES_TO = np.array(  # (6, 6) row = page, column = next page; what a row lacks to 1 leaves the shop
    [
        [0.00, 0.40, 0.15, 0.00, 0.00, 0.00],
        [0.05, 0.20, 0.50, 0.00, 0.00, 0.00],
        [0.00, 0.20, 0.27, 0.25, 0.00, 0.00],
        [0.00, 0.00, 0.10, 0.00, 0.75, 0.00],
        [0.00, 0.00, 0.00, 0.06, 0.00, 0.44],
        [0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
    ]
)
ENTRY = np.array([0.6, 0.3, 0.1, 0.0, 0.0, 0.0])
MARGIN = 32.0  # mean of an order; gamma distributed with shape 4, so half of it is a usual deviation
ARRIVES, MOST_WAITING = 0.35, 5  # chance of each of three people a minute
HEADER = "minute;session;device;ad;margin;page"


def the_shop(gamma: float = 1.0) -> MarkovRewardProcess:
    """The shop behind the file, exactly: a session ends where a visitor leaves, and an order pays on its last page."""
    reward = np.where(np.array(PAGES) == "thanks", MARGIN, 0.0)
    return MarkovRewardProcess(GOES_TO, reward, gamma, ENTRY, list(PAGES), terminal=1.0 - GOES_TO.sum(axis=1))


def exact_gains(share: float) -> np.ndarray:
    """What keeping this share of those who leave brings, by page but the last, in euros per 1,000 sessions, (5,).

    To first order in the share, as in the lesson, but from the shop itself: mean visits times who leaves times what
    one who stays goes on to bring.
    """
    visits = np.linalg.solve((np.eye(len(PAGES)) - GOES_TO).T, ENTRY)  # mean visits to each page a session
    stays = GOES_TO.sum(axis=1)
    onward = GOES_TO @ the_shop().value() / np.maximum(stays, 1e-12)
    return (1000.0 * share * visits * (1.0 - stays) * onward)[:-1]


def decision_picture(
    pages: Sequence[str], exits: ArrayLike, gain: ArrayLike, interval: tuple[ArrayLike, ArrayLike]
) -> Figure:
    """Where visitors leave beside what keeping a tenth of them would bring, per 1,000 sessions, with its interval."""
    figure, (left, right) = new_figure(1, 2, size=(10.5, 3.8))
    bars(pages, {"exits": exits}, title="Where they leave", xlabel="", ylabel="per 1,000 sessions", ax=left)
    value_intervals(pages, {"gain": gain}, interval, title="What keeping a tenth would bring",
                    xlabel="euros per 1,000 sessions", ax=right)  # fmt: skip
    return figure


def shop_export(path: str | os.PathLike[str], sessions: int, seed: int, stops: int = 120) -> None:
    """Write the events of a morning's sessions as the server met them, until minute `stops`, in mid-line.

    Semicolons, decimal commas, two columns that say nothing, sessions one inside the other.
    """
    rng, events = np.random.default_rng(seed), []
    moves = np.hstack([GOES_TO, 1.0 - GOES_TO.sum(axis=1, keepdims=True)])
    for session in range(sessions):
        minute, page = int(rng.integers(stops)), int(rng.choice(6, p=ENTRY))
        device, ad = rng.choice(["phone", "desktop"]), rng.choice(["none", "mail", "search"])
        while page < len(PAGES):
            margin = rng.gamma(4.0, MARGIN / 4.0) if PAGES[page] == "thanks" else 0.0
            text = f"{minute};v{session:04d};{device};{ad};{margin:.2f};{PAGES[page]}".replace(".", ",")
            events.append((minute, session, text))
            minute, page = minute + int(rng.integers(1, 6)), int(rng.choice(7, p=moves[page]))
    lines = [text for minute, _, text in sorted(events) if minute < stops]
    torn = f"{stops - 1};v{sessions:04d};phone;none;0,00;sear"  # the line that was being written
    Path(path).write_text("\n".join([HEADER, *lines, torn]), encoding="utf-8")


class Counter(gym.Env[Any, Any]):
    """A coffee counter that never closes, seen by a camera that measures the queue in metres, 0.6 for each person.

    Each minute up to three people arrive, and one is served, or two with the second till open (action 1). The reward is
    minus the number of people who wait, at most 5, and minus 2 for the second till.
    """

    observation_space = gym.spaces.Box(0.0, 4.0, (1,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """An empty counter."""
        super().reset(seed=seed)
        self.waiting = 0
        return self._metres(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One minute; no end is ever reported."""
        reward, arrived = -self.waiting - 2.0 * action, int(self.np_random.binomial(3, ARRIVES))
        self.waiting = min(max(self.waiting - 1 - int(action), 0) + arrived, MOST_WAITING)
        return self._metres(), reward, False, False, {}

    def _metres(self) -> np.ndarray:
        return np.array([0.6 * self.waiting], dtype=np.float32)


def counter_table() -> np.ndarray:
    """The counter exactly: P (2, 6, 6) by action, people waiting now, people waiting a minute later."""
    P = np.zeros((2, MOST_WAITING + 1, MOST_WAITING + 1))
    for action, waiting, arrive in np.ndindex(2, MOST_WAITING + 1, 4):
        after = min(max(waiting - 1 - action, 0) + arrive, MOST_WAITING)
        P[action, waiting, after] += comb(3, arrive) * ARRIVES**arrive * (1 - ARRIVES) ** (3 - arrive)
    return P
