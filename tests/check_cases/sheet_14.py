"""Right and wrong answers for the checks of sheet 14 that were not derived from the checks."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np

from check_cases import Case
from icrl_teach.checks import sheet_14 as checks


def second_head(own, successor, beta):
    exp = np.exp(beta * own @ successor.T)
    return exp / exp.sum(axis=0)


def second_head_by_queries(own, successor, beta):
    columns = []
    for x in successor:
        g = beta * own @ x
        columns.append(np.exp(g - g.max()) / np.exp(g - g.max()).sum())
    return np.array(columns).T


def least_kappa(scores, share):
    odds = np.log((1 - share) / share)
    return max(0.0, 0.5 * (np.log(len(scores)) + odds), odds - np.log(np.exp(scores).sum()))


def least_kappa_by_powers(scores, share):
    ended = len(scores) * (1 - share) / share
    other = (1 - share) / share / np.sum(np.exp(scores))
    return np.log(max(1.0, ended**0.5, other))


def kappa_of_the_mean(scores, share):
    return float(max(0.0, np.log(len(scores) * (1 - share) / share)))


def hears(E, states):
    C, lifts = len(states), []
    for wanted in (states[:-1], states[1:]):
        there = states[:, None] == wanted[None]
        lifts.append((E[:, :-1] * there).sum() / (there.sum() / C))
    return tuple(lifts)


def hears_by_loop(E, states):
    same = following = fair_same = fair_following = 0.0
    for j in range(len(states) - 1):
        same += E[states == states[j], j].sum()
        following += E[states == states[j + 1], j].sum()
        fair_same += np.mean(states == states[j])
        fair_following += np.mean(states == states[j + 1])
    return same / fair_same, following / fair_following


def mean_of_ratios(E, states):
    ratios = [[], []]
    for j in range(len(states) - 1):
        for ratio, state in zip(ratios, (states[j], states[j + 1]), strict=True):
            ratio.append(E[states == state, j].sum() / np.mean(states == state))
    return np.mean(ratios, axis=1)


def probe(X, y, tasks):
    rest = 0.0
    for task in np.unique(tasks):
        learn = tasks != task
        w, *_ = np.linalg.lstsq(np.column_stack([X[learn], np.ones(learn.sum())]), y[learn], rcond=None)
        rest += ((y[~learn] - X[~learn] @ w[:-1] - w[-1]) ** 2).sum()
    return 1 - rest / ((y - y.mean()) ** 2).sum()


def probe_by_centring(X, y, tasks):
    guess = np.empty(len(y))
    for task in set(tasks.tolist()):
        out = tasks == task
        mean, middle = X[~out].mean(axis=0), y[~out].mean()
        w = np.linalg.pinv(X[~out] - mean) @ (y[~out] - middle)
        guess[out] = middle + (X[out] - mean) @ w
    return 1 - np.square(y - guess).mean() / y.var()


def probe_correlation(X, y, tasks):
    guess = np.empty(len(y))
    for task in np.unique(tasks):
        out = tasks == task
        Z = np.column_stack([X, np.ones(len(X))])
        guess[out] = Z[out] @ np.linalg.lstsq(Z[~out], y[~out], rcond=None)[0]
    return np.corrcoef(guess, y)[0, 1] ** 2


def name_blind(answer, Z, d):
    return sum(answer(Z[[*order, d, d + 1, d + 2]]) for order in permutations(range(d))) / factorial(d)


def name_blind_by_matrices(answer, Z, d):
    answers = []
    for order in permutations(range(d)):
        P = np.eye(d + 3)
        P[:d, :d] = np.eye(d)[list(order)]
        answers.append(answer(P @ Z))
    return float(np.mean(answers))


def swaps(answer, Z, d):
    answers = [answer(Z)]
    for i in range(d):
        for j in range(i):
            order = list(range(d + 3))
            order[i], order[j] = j, i
            answers.append(answer(Z[order]))
    return np.mean(answers)


CASES = [
    Case(
        checks.check_second_head,
        right=[second_head, second_head_by_queries],
        wrong=[
            (lambda own, successor, beta: second_head(successor, own, beta).T, "Softmax runs down each column"),
            (lambda own, successor, beta: second_head(own, own, beta), "that is head 1"),
        ],
    ),
    Case(
        checks.check_least_kappa,
        right=[least_kappa, least_kappa_by_powers],
        wrong=[
            (kappa_of_the_mean, "write down both shares"),
            (lambda scores, share: np.log((1 - share) / share), "both"),
        ],
    ),
    Case(checks.check_hears, right=[hears, hears_by_loop], wrong=[(mean_of_ratios, "sum E over the sources")]),
    Case(checks.check_probe, right=[probe, probe_by_centring], wrong=[(probe_correlation, "one R^2 over all")]),
    Case(
        checks.check_name_blind,
        right=[name_blind, name_blind_by_matrices],
        wrong=[(swaps, "each of the d! prompts"), (lambda answer, Z, d: answer(Z), "knows the names")],
    ),
]
