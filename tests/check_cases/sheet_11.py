"""Right and wrong answers for the checks of sheet 11 that were not derived from the checks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from check_cases import Case
from icrl_teach.checks import sheet_11 as checks


def share_by_grouping(page, left, n_pages):
    return pd.Series(np.asarray(left, dtype=float)).groupby(page).mean().to_numpy()


def follow_by_shift(session, page, landed):
    rows = pd.DataFrame({"session": session, "page": page})
    following = rows.groupby("session").page.shift(-1)
    return following.fillna(-1).to_numpy().astype(int), following.isna().to_numpy() & ~landed


def follow_backwards(session, page, landed):
    following, left, after = [], [], (None, -1)
    for s, p, open_ in zip(session[::-1], page[::-1], landed[::-1], strict=True):
        last = after[0] != s
        following.append(-1 if last else after[1])
        left.append(bool(last and not open_))
        after = (s, p)
    return np.array(following[::-1]), np.array(left[::-1])


def follow_without_landings(session, page, landed):
    following, left = follow_by_shift(session, page, landed)
    return following[~landed], left[~landed]


def returns_backwards(page, reward, left, cut, gamma, n_pages):
    total, count, G, finished = np.zeros(n_pages), np.zeros(n_pages), 0.0, False
    for k in reversed(range(len(page))):
        if left[k] or cut[k]:
            G, finished = 0.0, bool(left[k])
        G = reward[k] + gamma * G
        if finished:
            total[page[k]] += G
            count[page[k]] += 1
    return total / count


def returns_by_solving(page, reward, left, cut, gamma, n_pages):
    n = len(page)
    onward = np.eye(n, k=1) * ~(left | cut)[:, None]
    G = np.linalg.solve(np.eye(n) - gamma * onward, reward)
    finished = np.linalg.solve(np.eye(n) - onward, np.asarray(left, dtype=float)) > 0.5
    return np.array([G[finished & (page == p)].mean() for p in range(n_pages)])


def returns_as_sums(page, reward, left, cut, gamma, n_pages):
    return returns_backwards(page, reward, left, cut, gamma, n_pages) * np.bincount(page, minlength=n_pages)


def weights_by_matrix(session, drawn):
    return (session[:, None] == drawn[None, :]).sum(axis=1)


def gain_by_solving(P, r, p0, page, share):
    better, stay = P.copy(), P[page].sum()
    better[page] *= (stay + share * (1 - stay)) / stay
    v, w = (np.linalg.solve(np.eye(len(P)) - each, r) for each in (P, better))
    return p0 @ (w - v)


def gain_by_rank_one(P, r, p0, page, share):
    inverse, stay = np.linalg.inv(np.eye(len(P)) - P), P[page].sum()
    row = share * (1 - stay) * P[page] / stay
    visits, v = p0 @ inverse, inverse @ r
    return visits[page] * (row @ v) / (1 - row @ inverse[:, page])


def gain_at_gamma(P, r, p0, page, share):
    better, stay = P.copy(), P[page].sum()
    better[page] *= (stay + share * (1 - stay)) / stay
    v, w = (np.linalg.solve(np.eye(len(P)) - 0.9 * each, r) for each in (P, better))
    return p0 @ (w - v)


CASES = [
    Case(
        checks.check_leave_share,
        right=[lambda p, left, n: np.bincount(p, left, n) / np.bincount(p, minlength=n), share_by_grouping],
        wrong=[
            (lambda p, left, n: np.bincount(p, left, n) / max(np.bincount(p)), "rows that left, divided by"),
            (lambda p, left, n: float(np.mean(left)), "expected shape"),
        ],
    ),
    Case(
        checks.check_follow,
        right=[follow_by_shift, follow_backwards],
        wrong=[(follow_without_landings, "expected shape"), (lambda s, p, o: follow_by_shift(s, p, o)[0], "2 results")],
    ),
    Case(
        checks.check_mean_returns,
        right=[returns_backwards, returns_by_solving],
        wrong=[(returns_as_sums, "go through the rows from the back")],
    ),
    Case(
        checks.check_draw_weights,
        right=[lambda s, drawn: np.bincount(drawn, minlength=s.max() + 1)[s], weights_by_matrix],
        wrong=[
            (lambda s, drawn: drawn, "expected shape"),
            (lambda s, drawn: np.ones(len(s)), "count how often each session"),
        ],
    ),
    Case(
        checks.check_gain_if_kept,
        right=[gain_by_solving, gain_by_rank_one],
        wrong=[(gain_at_gamma, "value both shops from p0")],
    ),
]
