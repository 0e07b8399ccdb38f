"""Checks of sheet 11: leaving, successors in an event log, mean returns, redrawn sessions, the gain of a better page.

The oracles are plain loops over rows, and for the gain the crowd of visitors followed step by step; nothing is solved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from icrl_teach.checks.check import Case, Check, case, graded_hints


def _rows(rng: np.random.Generator, lengths: Sequence[int], n_pages: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """session, page and whether a row is the last of its session, for sessions of these lengths; every page occurs."""
    session = np.repeat(np.arange(len(lengths)), lengths)
    page = rng.permutation(np.arange(len(session)) % n_pages)
    last = np.append(session[1:] != session[:-1], True)
    return session, page, last


def _leave_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = case("the rows of the first step", np.array([0, 1, 0, 0]), np.array([False, True, True, False]), 2)
    return [
        by_hand,
        *(
            case(f"{len(page)} rows of {n} pages", page, last, n)
            for n, lengths in ((3, [2, 3, 1, 4, 3]), (4, [5, 1, 2, 6, 3, 2]))
            for _, page, last in [_rows(rng, lengths, n)]
        ),
    ]


def _leave(page: np.ndarray, left: np.ndarray, n_pages: int) -> np.ndarray:
    share = []
    for p in range(n_pages):
        here = [bool(gone) for q, gone in zip(page, left, strict=True) if q == p]
        share.append(sum(here) / len(here))
    return np.array(share)


def _counts(page: np.ndarray, n_pages: int) -> np.ndarray:
    return np.bincount(page, minlength=n_pages)


check_leave_share = Check(
    name="leave_share",
    cases=_leave_cases,
    right=_leave,
    mistakes=[
        (
            "this is a page's share of all exits. Divide by how often the page itself was seen.",
            lambda page, left, n: _counts(page[left], n) / left.sum(),
        ),
        (
            "this divides by the number of all rows. Divide by how often the page itself was seen.",
            lambda page, left, n: _counts(page[left], n) / len(page),
        ),
        ("these are counts. Divide by how often each page was seen.", lambda page, left, n: _counts(page[left], n)),
        ("this is the share of those who stay.", lambda page, left, n: 1.0 - _leave(page, left, n)),
        (
            "this divides those who leave by those who stay. Divide by all who saw the page.",
            lambda page, left, n: _counts(page[left], n) / np.maximum(_counts(page[~left], n), 1e-300),
        ),
    ],
    hint="for each page: rows that left, divided by rows of this page.",
    says="leave_share says how often a page is the last one.",
)


def _follow_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([7, 7, 7, 8, 9, 9]), np.array([0, 2, 1, 2, 0, 1]), np.array([0, 0, 0, 0, 0, 1], dtype=bool)
    found = [case("the three sessions of the first step", *by_hand)]
    for lengths in ([3, 1, 4, 2, 2], [1, 5, 2, 3]):
        session, page, last = _rows(rng, lengths, 4)
        landed = last & (session % 2 == 0)
        found.append(case(f"{len(lengths)} sessions, every second one still open", session + 100, page, landed))
    return found


def _follow(session: np.ndarray, page: np.ndarray, landed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    following, left = np.full(len(page), -1), np.zeros(len(page), dtype=bool)
    for k in range(len(page)):
        later = [j for j in range(k + 1, len(page)) if session[j] == session[k]]
        if later:
            following[k] = page[later[0]]
        else:
            left[k] = not landed[k]
    return following, left


def _last(session: np.ndarray) -> np.ndarray:
    return np.append(session[1:] != session[:-1], True)


check_follow = Check(
    name="follow",
    cases=_follow_cases,
    right=_follow,
    mistakes=[
        (
            "the last row of a session was followed by the first row of the next one. Nothing follows there: -1.",
            lambda s, p, landed: (np.append(p[1:], -1), _follow(s, p, landed)[1]),
        ),
        (
            "a session that is still open was counted as left. A landing row is not an end.",
            lambda s, p, landed: (_follow(s, p, landed)[0], _last(s)),
        ),
        (
            "the last row of the whole file was forgotten: it is the last row of its session.",
            lambda s, p, landed: (
                _follow(s, p, landed)[0],
                np.append(s[1:] != s[:-1], False) & ~landed,
            ),
            lambda s, p, landed: (
                np.where(np.append(s[1:] != s[:-1], False), -1, np.append(p[1:], p[-1])),
                np.append(s[1:] != s[:-1], False) & ~landed,
            ),
        ),
        (
            "this looks at the row before. What follows stands in the row after.",
            lambda s, p, landed: (
                np.where(np.append(True, s[1:] != s[:-1]), -1, np.append(-1, p[:-1])),
                _follow(s, p, landed)[1],
            ),
        ),
        (
            "the first row of each session was marked. Visitors leave on its last row.",
            lambda s, p, landed: (_follow(s, p, landed)[0], np.append(True, s[1:] != s[:-1]) & ~landed),
        ),
    ],
    hint="the last row of a session is where the next row has another number; only there nothing follows.",
    results=("following", "left"),
    says="follow knows what came next, and who left.",
)


def _return_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([0, 1, 0, 0, 1]), np.array([0.0, 4.0, 0.0, 0.0, 2.0]), np.array([0, 1, 0, 0, 1], dtype=bool)
    found = [case("the first step, gamma = 0.5", *by_hand, np.zeros(5, dtype=bool), 0.5, 2)]
    for lengths, gamma in (([4, 6, 3, 5, 2], 0.9), ([6, 5, 2, 7], 0.5)):
        session, page, last = _rows(rng, lengths, 2)
        cut = last & (session == 1)
        reward = rng.integers(1, 9, size=len(page)).astype(float)
        found.append(
            case(f"{len(lengths)} sessions, one of them cut, gamma = {gamma}", page, reward, last & ~cut, cut, gamma, 2)
        )
    return found


def _walks(left: np.ndarray, cut: np.ndarray) -> list[range]:
    stops = [k + 1 for k in range(len(left)) if left[k] or cut[k]]
    return [range(a, b) for a, b in zip([0, *stops], stops, strict=False)]


def _mean_returns(
    page: np.ndarray,
    reward: np.ndarray,
    left: np.ndarray,
    cut: np.ndarray,
    gamma: float,
    n_pages: int,
    *,
    own: int = 0,
    first_only: bool = False,
    use_cut: bool = False,
) -> np.ndarray:
    """For each visit the discounted sum to the end of its own session; own: rewards skipped at the beginning."""
    found: list[list[float]] = [[] for _ in range(n_pages)]
    for walk in _walks(left, cut):
        if not (left[walk[-1]] or use_cut):
            continue
        met = set()
        for k in walk:
            if not (first_only and page[k] in met):
                later = range(k + own, walk[-1] + 1)
                found[page[k]].append(sum(gamma ** (j - k - own) * reward[j] for j in later))
            met.add(page[k])
    return np.array([np.mean(each) if each else np.nan for each in found])


def _divided(page: np.ndarray, left: np.ndarray, cut: np.ndarray, n_pages: int, by: np.ndarray) -> np.ndarray:
    """Visits in finished sessions, as a part of `by`."""
    finished = np.concatenate([np.full(len(walk), left[walk[-1]]) for walk in _walks(left, cut)])
    return _counts(page[finished], n_pages) / by


check_mean_returns = Check(
    name="mean_returns",
    cases=_return_cases,
    right=_mean_returns,
    forbid=("evaluation:monte_carlo",),
    mistakes=[
        (
            "the sum ran on into the next session. Begin again with 0 where a session stops.",
            lambda p, r, left, cut, g, n: _mean_returns(
                p, r, np.append(np.zeros(len(p) - 1, dtype=bool), True), 0 * cut, g, n
            ),
        ),
        (
            "a session that was cut has no return: what came after the cut was not seen. Leave it out.",
            lambda p, r, left, cut, g, n: _mean_returns(p, r, left, cut, g, n, use_cut=True),
        ),
        (
            "gamma is missing: a reward j rows later counts gamma**j.",
            lambda p, r, left, cut, g, n: _mean_returns(p, r, left, cut, 1.0, n),
        ),
        (
            "the reward of the visit's own row is missing. It is the first of the sum.",
            lambda p, r, left, cut, g, n: _mean_returns(p, r, left, cut, g, n, own=1),
        ),
        (
            "only the first visit in a session was counted. Every visit counts.",
            lambda p, r, left, cut, g, n: _mean_returns(p, r, left, cut, g, n, first_only=True),
        ),
        (
            "the sums leave cut sessions out, but their visits are still among those divided by.",
            lambda p, r, left, cut, g, n: (
                _mean_returns(p, r, left, cut, g, n) * _divided(p, left, cut, n, _counts(p, n))
            ),
        ),
    ],
    hint="go through the rows from the back: G = reward + gamma G, with G = 0 after a row that stops a session.",
    says="mean_returns is every-visit Monte Carlo over finished sessions.",
)


def _draw_cases(rng: np.random.Generator) -> list[Case]:
    found = [case("two sessions, the second drawn twice", np.array([0, 0, 1]), np.array([1, 1]))]
    for lengths in ([3, 1, 2, 4], [2, 2, 5, 1, 3]):
        session = np.repeat(np.arange(len(lengths)), lengths)
        drawn = np.append(rng.integers(len(lengths), size=len(lengths) - 2), [0, 0])
        found.append(case(f"{len(lengths)} sessions", session, drawn))
    return found


def _draw(session: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return np.array([sum(1.0 for d in drawn if d == s) for s in session])


check_draw_weights = Check(
    name="draw_weights",
    cases=_draw_cases,
    right=_draw,
    mistakes=[
        (
            "a session that was drawn twice must count twice.",
            lambda s, drawn: np.isin(s, drawn).astype(float),
        ),
        (
            "the drawn numbers are sessions, not rows. Give every row of a drawn session its count.",
            lambda s, drawn: np.bincount(drawn, minlength=len(s))[: len(s)],
        ),
        (
            "these are counts of sessions. One more step gives each row the count of its session.",
            lambda s, drawn: np.bincount(drawn, minlength=s.max() + 1),
        ),
        (
            "this divides by the number of draws. A row's weight is a count.",
            lambda s, drawn: _draw(s, drawn) / len(drawn),
        ),
        (
            "this shares a session's count among its rows. Each of its rows counts that often.",
            lambda s, drawn: _draw(s, drawn) / np.bincount(s)[s],
        ),
    ],
    hint="count how often each session was drawn, and look that up for the session of each row.",
    says="draw_weights draws whole sessions.",
)


def _shop(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random shop: rows of P sum to less than 1, rewards, and where visitors come in."""
    return rng.dirichlet(np.ones(n + 1), n)[:, :n] * 0.95, rng.uniform(0.0, 5.0, n), rng.dirichlet(np.ones(n))


def _gain_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([[0.0, 0.5], [0.0, 0.0]]), np.array([0.0, 8.0]), np.array([1.0, 0.0])
    return [
        case("the two pages of the first step, page 0, share = 0.2", *by_hand, 0, 0.2),
        case("a shop of 3 pages, page 1, share = 0.1", *_shop(rng, 3), 1, 0.1),
        case("a shop of 5 pages, page 4, share = 0.5", *_shop(rng, 5), 4, 0.5),
    ]


def _brings(P: np.ndarray, r: np.ndarray, crowd: np.ndarray) -> float:
    """What a session brings: the crowd of visitors moves on step by step until nobody is left."""
    total = 0.0
    while crowd.sum() > 1e-13:
        total, crowd = total + float(crowd @ r), crowd @ P
    return total


def _kept(P: np.ndarray, page: int, share: float) -> np.ndarray:
    better, stay = P.copy(), P[page].sum()
    for to in range(len(P)):
        better[page, to] = P[page, to] + share * (1.0 - stay) * P[page, to] / stay
    return better


def _gain(P: np.ndarray, r: np.ndarray, p0: np.ndarray, page: int, share: float) -> float:
    return _brings(_kept(P, page, share), r, p0) - _brings(P, r, p0)


def _row_times(P: np.ndarray, page: int, factor: float) -> np.ndarray:
    better = P.copy()
    better[page] = better[page] * factor
    return better


def _first_order(P: np.ndarray, r: np.ndarray, p0: np.ndarray, page: int, share: float) -> float:
    n = len(P)
    visits = sum(_brings(P, np.eye(n)[page], p0[s] * np.eye(n)[s]) for s in range(n))
    onward = sum(P[page, s] * _brings(P, r, np.eye(n)[s]) for s in range(n)) / P[page].sum()
    return visits * share * (1.0 - P[page].sum()) * onward


def _value_at(P: np.ndarray, r: np.ndarray, page: int) -> float:
    return _brings(P, r, np.eye(len(P))[page])


check_gain_if_kept = Check(
    name="gain_if_kept",
    cases=_gain_cases,
    right=_gain,
    mistakes=[
        (
            "this is the lesson's first order. Whoever is kept may come back: value the changed shop and subtract.",
            _first_order,
        ),
        (
            "this is what the changed shop brings. Subtract what the shop brings as it is.",
            lambda P, r, p0, page, share: _brings(_kept(P, page, share), r, p0),
        ),
        (
            "the row was scaled by 1 + share. Only those who leave are kept: share times (1 - row sum) is new.",
            lambda P, r, p0, page, share: _brings(_row_times(P, page, 1.0 + share), r, p0) - _brings(P, r, p0),
        ),
        (
            "this is the gain of one visitor on the page. Weigh by where sessions begin: p0.",
            lambda P, r, p0, page, share: _value_at(_kept(P, page, share), r, page) - _value_at(P, r, page),
        ),
        (
            "all who leave were kept. Only `share` of them are.",
            lambda P, r, p0, page, share: _gain(P, r, p0, page, 1.0),
        ),
        (
            "share is the part that is kept, not the part that still leaves.",
            lambda P, r, p0, page, share: _gain(P, r, p0, page, 1.0 - share),
        ),
        (
            "those who are kept were spread evenly over all pages. They go on as those who stay do.",
            lambda P, r, p0, page, share: (
                _brings(P + np.eye(len(P))[page][:, None] * share * (1.0 - P[page].sum()) / len(P), r, p0)
                - _brings(P, r, p0)
            ),
        ),
    ],
    hint="the new row is P[page] * (stay + share * (1 - stay)) / stay with stay its sum; value both shops from p0.",
    says="gain_if_kept is exact: one shop valued against the other.",
)
hint = graded_hints(
    "Only one row of the matrix changes. Value the shop with the old and with the new matrix, and compare where "
    "sessions begin.",
    "Let stay be the sum of the old row. The new sum is stay + share * (1 - stay), in the same proportions: multiply "
    "the row by the new sum over the old sum.",
    "v = r + P v, so v = np.linalg.solve(np.eye(S) - P, r). The answer is p0 @ (v of the new matrix - v of the old).",
)
