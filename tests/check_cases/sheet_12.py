"""Right and wrong answers for the checks of sheet 12 that were not derived from the checks."""

from __future__ import annotations

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_12 as checks


def targets(rewards, next_values, terminated, truncated, gamma):
    return rewards + gamma * next_values * ~terminated


def targets_by_loop(rewards, next_values, terminated, truncated, gamma):
    out = []
    for k in range(len(rewards)):
        out.append(rewards[k] if terminated[k] else rewards[k] + gamma * next_values[k])
    return np.array(out)


def columns_by_insert(states, next_states, terminated, truncated):
    at = np.flatnonzero(truncated) + 1
    positions = np.insert(states, at, next_states[truncated])
    source = np.insert(np.ones(len(states), dtype=bool), at, False)
    return positions, source, np.insert(~terminated, at, False)


def columns_by_loop(states, next_states, terminated, truncated):
    rows = []
    for k in range(len(states)):
        rows.append([states[k], 1, 0 if terminated[k] else 1])
        if truncated[k]:
            rows.append([next_states[k], 0, 0])
    table = np.array(rows)
    return table[:, 0], table[:, 1].astype(bool), table[:, 2].astype(bool)


def which_by_means(value, s, r, following, terminated, truncated, gamma):
    gaps = []
    for ends in (terminated, terminated | truncated, np.zeros(len(s), dtype=bool)):
        errors = r + gamma * np.where(ends, 0, value[following]) - value[s]
        gaps.append(max(abs(errors[s == state].mean()) for state in range(len(value))))
    return int(np.argmin(gaps))


def which_by_iteration(value, s, r, following, terminated, truncated, gamma):
    best, least = 0, np.inf
    for index, ends in enumerate((terminated, terminated | truncated, terminated & False)):
        v = np.zeros(len(value))
        for _ in range(600):
            target = r + gamma * np.where(ends, 0, v[following])
            v = np.bincount(s, target) / np.bincount(s)
        if np.abs(v - value).max() < least:
            best, least = index, np.abs(v - value).max()
    return best


def which_by_one_number(number):
    """Judges a reading by one number made of the means of all states; equal readings count as the first of them."""

    def which(value, s, r, following, terminated, truncated, gamma):
        numbers = []
        for ends in (terminated, terminated | truncated, np.zeros(len(s), dtype=bool)):
            errors = r + gamma * np.where(ends, 0, value[following]) - value[s]
            numbers.append(round(abs(number(np.bincount(s, errors) / np.bincount(s))), 8))
        return numbers.index(min(numbers))

    return which


def steps_by_solving(P):
    ending = 1 - P.sum(axis=1) > 1e-9
    hope = ending.copy()
    for _ in P:
        hope |= P @ hope > 0
    bad = ~hope
    for _ in P:
        bad |= P @ bad > 0
    out, good = np.full(len(P), np.inf), np.flatnonzero(~bad)
    out[good] = np.linalg.solve(np.eye(len(good)) - P[np.ix_(good, good)], np.ones(len(good)))
    return out


def steps_by_reach(P):
    n = len(P)
    reach = np.linalg.matrix_power((P > 0) + np.eye(n), n) > 0
    can_end = reach @ (P.sum(axis=1) < 1 - 1e-9)
    sure = ~(reach @ ~can_end)
    out = np.full(n, np.inf)
    inside = P[sure][:, sure]
    out[sure] = np.linalg.inv(np.eye(len(inside)) - inside).sum(axis=1)
    return out


def steps_while_there_is_hope(P):
    """inf only where the end cannot be reached; a walk that may get lost is treated as if it never did."""
    hope = 1 - P.sum(axis=1) > 1e-9
    for _ in P:
        hope = hope | (P @ hope > 0)
    out, some = np.full(len(P), np.inf), np.flatnonzero(hope)
    out[some] = np.linalg.solve(np.eye(len(some)) - P[np.ix_(some, some)], np.ones(len(some)))
    return out


def columns_of_kind(teaches=lambda ended, cut: True, landing=lambda s, to: to):
    def columns(states, next_states, terminated, truncated):
        rows = []
        for s, to, ended, cut in zip(states, next_states, terminated, truncated, strict=True):
            rows.append((s, teaches(ended, cut), not ended))
            if cut:
                rows.append((landing(s, to), False, False))
        return tuple(np.array(column) for column in zip(*rows, strict=True))

    return columns


def returns_backwards(rewards, terminated, truncated, landing_values, gamma):
    out, carry = np.empty(len(rewards)), 0.0
    for k in range(len(rewards) - 1, -1, -1):
        carry = 0.0 if terminated[k] else landing_values[k] if truncated[k] else carry
        out[k] = carry = rewards[k] + gamma * carry
    return out


def returns_by_walk(rewards, terminated, truncated, landing_values, gamma):
    out, begin = np.zeros(len(rewards)), 0
    for k in range(len(rewards)):
        if terminated[k] or truncated[k]:
            walk = np.append(rewards[begin : k + 1], landing_values[k] if truncated[k] else 0.0)
            for j in range(begin, k + 1):
                part = walk[j - begin :]
                out[j] = part @ gamma ** np.arange(len(part))
            begin = k + 1
    return out


CASES = [
    Case(
        checks.check_targets,
        right=[targets, targets_by_loop],
        wrong=[
            (lambda r, v, ended, cut, gamma: targets(r, v, ended, cut, gamma) - v, "plus gamma times the next value"),
            (
                lambda r, v, ended, cut, gamma: r + gamma * v if not ended.any() else r,
                "plus gamma times the next value",
            ),
        ],
    ),
    Case(
        checks.check_columns,
        right=[columns_by_insert, columns_by_loop],
        wrong=[
            (lambda *log: columns_by_insert(*log)[:2], "3 results"),
            (lambda s, to, ended, cut: (s, ~cut, ~ended), "the landings are missing"),
            (lambda *log: columns_by_insert(*log)[::-1], "got"),
            (columns_of_kind(teaches=lambda ended, cut: not ended), "a step that terminated teaches as well"),
            (columns_of_kind(teaches=lambda ended, cut: not cut), "a step that was cut teaches as well"),
            (columns_of_kind(landing=lambda s, to: s), "the landing repeats the state"),
        ],
    ),
    Case(
        checks.check_which_reading,
        right=[which_by_means, which_by_iteration],
        wrong=[
            (lambda *inputs: 2 - which_by_means(*inputs), "under the right reading"),
            (lambda *inputs: float("nan"), "NaN"),
            (which_by_one_number(np.sum), "a sum over states may cancel"),
            (which_by_one_number(lambda means: means[0]), "one state alone may fit all readings"),
        ],
    ),
    Case(
        checks.check_steps_to_end,
        right=[steps_by_solving, steps_by_reach],
        wrong=[
            (lambda P: np.full(len(P), 1 / (1 - P.sum() / len(P))), "t = 1 + P t"),
            (lambda P: steps_by_solving(P) * 2, "t = 1 + P t"),
            (steps_while_there_is_hope, "may get lost takes for ever"),
        ],
    ),
    Case(
        checks.check_completed_returns,
        right=[returns_backwards, returns_by_walk],
        wrong=[
            (lambda r, *rest: r, "what is still to come"),
            (
                lambda r, ended, cut, landing, g: returns_backwards(r, ended & False, cut, landing, g),
                "an end sets nothing",
            ),
            (lambda r, ended, cut, landing, g: returns_backwards(r, ended, cut, landing, 1 - g / 2), "still to come"),
        ],
    ),
]
