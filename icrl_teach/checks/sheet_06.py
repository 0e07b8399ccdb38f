"""Checks of sheet 06: masked softmax attention, a mask that came late, what made a matrix, hidden weights, copies."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from icrl_teach.checks.check import Case, Check, case, graded_hints

hint = graded_hints(
    "Write down one column's softmax for the long prompt. What do m equal sources add to the sum below the line?",
    "They add m times exp(score). Which single score would add the same?",
    "m exp(score) = exp(score + log m). So add log(copies) to the rows of scores, then mask and take the softmax.",
)


def tensors(value: Any) -> Any:
    """What a learner gets: an array becomes a tensor."""
    return torch.as_tensor(value) if isinstance(value, np.ndarray) else value


def _weight_cases(rng: np.random.Generator) -> list[Case]:
    """Large scores last: they overflow, and among very negative ones a finite mask hides nobody."""
    return [
        *(
            case(f"{n + 1} tokens with {d} features, beta = {beta}", rng.standard_normal((d, n + 1)), beta)
            for d, n, beta in ((2, 3, 1.7), (3, 6, 0.6))
        ),
        case("4 tokens with 1 feature, beta = 1, scores up to 1600", np.array([[30.0, 26.0, 29.5, -40.0]]), 1.0),
        case("4 tokens with 1 feature, beta = 1, scores of -1e10", 1e5 * np.array([[1.0, 0.9, 0.95, -1.0]]), 1.0),
    ]


def _attention(X: np.ndarray, beta: float, mask: str = "row -inf", low: float = 0.0) -> np.ndarray:
    """Softmax attention, one query column after the other, in plain loops. (d, n+1) -> (n+1, n+1)."""
    size = X.shape[1]
    E = np.zeros((size, size))
    for j in range(size):
        scores = [beta * float(X[:, i] @ X[:, j]) for i in range(size)]
        hidden = {"row -inf": True, "own cell": j == size - 1, "row and column": True}.get(mask, False)
        if hidden:
            scores[-1] = -math.inf
        if mask == "score":
            scores[-1] = low
        if mask in ("row and column", "column") and j == size - 1:
            E[:, j] = math.nan
            continue
        powers = [math.exp(g - max(scores)) for g in scores]
        E[:, j] = [p / sum(powers) for p in powers]
        if mask == "late":
            E[-1, j] = 0.0
    return E


def _causal(X: np.ndarray, beta: float) -> np.ndarray:
    """Sources up to the query's place only, each column divided by its new sum."""
    E = np.triu(right := _attention(X, beta))
    E = E / E.sum(axis=0)
    E[:, -1] = right[:, -1]
    return E


def _along_rows(last: float) -> Callable[[np.ndarray, float], np.ndarray]:
    """Scores are symmetric, so a softmax along rows is the transpose; the masked row is NaN, or cleared later."""

    def weights(X: np.ndarray, beta: float) -> np.ndarray:
        E = _attention(X, beta, "none").T.copy()
        E[-1] = last
        return E

    return weights


def _hidden_late(X: np.ndarray, beta: float) -> np.ndarray:
    """Right on paper; 0 / 0 once the others underflowed."""
    E = _attention(X, beta, "late")
    return E / E.sum(axis=0)


def _overflowing(X: np.ndarray, beta: float) -> np.ndarray:
    powers = np.exp(beta * X.T @ X)
    powers[-1] = 0.0
    return powers / powers.sum(axis=0)


check_attention_weights = Check(
    name="attention_weights",
    cases=_weight_cases,
    right=_attention,
    forbid=("attention:softmax_attention",),
    give=tensors,
    mistakes=[
        (
            "softmax ran over the queries, along each row. Each query shares out 1 over its sources: dim=0.",
            *(_along_rows(last) for last in (math.nan, 0.0)),
            lambda X, beta: _attention(X, beta, "none").T,
        ),
        (
            "this is E transposed: the layout with tokens in rows. Here E[source, query]: last ROW zero.",
            lambda X, beta: _attention(X, beta).T,
        ),
        (
            "a score of 0 hides nobody, since e^0 = 1. To hide a source its score must be -inf.",
            partial(_attention, mask="score", low=0.0),
        ),
        (
            "a low score hides nobody when the other scores are lower still. Use -torch.inf.",
            *(partial(_attention, mask="score", low=low) for low in (-100.0, -1e3, -2e3, -1e4, -1e5, -1e6, -1e9)),
        ),
        (
            "the query is not masked, but it has no reward to tell: set its row of scores to -inf.",
            partial(_attention, mask="none"),
        ),
        (
            "the mask came after the softmax, so columns no longer sum to 1. Mask the scores, then softmax.",
            partial(_attention, mask="late"),
        ),
        (
            "only the query's own cell is hidden; it is no source for anyone, so mask its whole row.",
            partial(_attention, mask="own cell"),
        ),
        (
            "the query's large score was in the softmax before it was hidden, so the others underflowed and 0 / 0 is "
            "nan. Mask the scores first.",
            _hidden_late,
        ),
        (
            "you hid the last column too. The query may listen; only as a source, a row, is it hidden.",
            partial(_attention, mask="row and column"),
        ),
        (
            "you masked the query's column, so it hears nobody. Its row of scores, scores[-1], is to be hidden.",
            partial(_attention, mask="column"),
        ),
        ("beta has no effect: it multiplies every score.", lambda X, beta: _attention(X, 1.0)),
        ("a causal mask crept in; here a token may listen to later ones too. Only the query is hidden.", _causal),
        (
            "you compared features with features: X @ X.T. Tokens are columns, so X.T @ X.",
            lambda X, beta: _attention(X.T, beta),
        ),
        (
            "1/sqrt(d) crept in, PyTorch's default; here beta alone sets the scale.",
            lambda X, beta: _attention(X, beta / math.sqrt(len(X))),
        ),
        (
            "the row of the query is missing. Keep it, full of zeros, so that Z @ E works.",
            lambda X, beta: _attention(X, beta)[:-1],
        ),
        ("exp overflowed, inf / inf: use torch.softmax, or subtract each column's largest score.", _overflowing),
    ],
    hint="scores beta * X.T @ X, last row to -inf, then a softmax over dim=0.",
    says="every column sums to 1, the query is no source, and large scores do no harm",
)


def _late_cases(rng: np.random.Generator) -> list[Case]:
    sizes = ((2, 4, 1.2), (3, 6, 0.7))
    return [
        case(f"an unmasked E of {n + 1} tokens", _attention(rng.standard_normal((d, n + 1)), beta, "none"))
        for d, n, beta in sizes
    ]


def _masked(E: np.ndarray) -> np.ndarray:
    """Each column's shares of the others, as if the query had never spoken."""
    n = len(E) - 1
    columns = [[E[i, j] / (1.0 - E[n, j]) for i in range(n)] + [0.0] for j in range(n + 1)]
    return np.array(columns).T


def _cleared(E: np.ndarray) -> np.ndarray:
    """The last row set to 0, and nothing else."""
    return np.vstack([E[:-1], np.zeros((1, E.shape[1]))])


def _softmax_again(E: np.ndarray) -> np.ndarray:
    powers = np.exp(E)
    powers[-1] = 0.0
    return powers / powers.sum(axis=0)


check_mask_afterwards = Check(
    name="mask_afterwards",
    cases=_late_cases,
    right=_masked,
    give=tensors,
    mistakes=[
        ("the row is cleared, but columns no longer sum to 1. Share out anew what is left.", _cleared),
        (
            "you divided along the rows. A column is one query's: dim=0.",
            lambda E: _cleared(E) / np.maximum(_cleared(E).sum(axis=1, keepdims=True), 1e-300),
        ),
        ("E holds shares already, no scores: a second softmax flattens them. Divide.", _softmax_again),
        (
            "you cleared the query's column. As a source it is the last ROW.",
            lambda E: np.hstack([E[:, :-1], np.zeros((len(E), 1))]),
        ),
        ("the row of the query is missing. Keep it, full of zeros.", lambda E: _masked(E)[:-1]),
        (
            "what the query took was spread evenly. The others keep their proportions.",
            lambda E: np.vstack([E[:-1] + E[-1] / (len(E) - 1), np.zeros((1, len(E)))]),
        ),
    ],
    hint="set the last row to 0, then divide each column by its sum.",
    says="shares that are left, divided by their sum, are the softmax without the query",
)


def _made_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for d, n, beta in ((2, 4, 1.7), (3, 5, 0.4), (2, 3, -0.8)):
        X = rng.standard_normal((d, n + 1))
        cases.append(case(f"{n + 1} tokens with {d} features", _attention(X, beta), X))
    return cases


def _temperature(E: np.ndarray, X: np.ndarray) -> float:
    """The beta whose columns have the same mean score as E's: that mean grows with beta, so halve an interval."""
    scores = X.T @ X
    wanted, low, high = float((E * scores).sum()), -50.0, 50.0
    for _ in range(80):
        beta = (low + high) / 2.0
        reached = float((_attention(X, beta) * scores).sum())
        low, high = (beta, high) if reached < wanted else (low, beta)
    return low


def _changed_temperature(change: Callable[[float, int], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda E, X: change(_temperature(E, X), len(X))


def _slope(E: np.ndarray, X: np.ndarray, along: str) -> float:
    """A line through logs of shares against inner products, fitted without asking whose sums they were divided by."""
    logs, scores = np.log(E[:-1]), (X.T @ X)[:-1]
    if along == "one cell":
        return float(logs[0, -1] / scores[0, -1])
    if along == "row":
        return float((logs[0, 0] - logs[0, 1]) / (scores[0, 0] - scores[0, 1]))
    return float(np.polyfit(scores.ravel(), logs.ravel(), 1)[0])


check_temperature_of = Check(
    name="temperature_of",
    cases=_made_cases,
    right=_temperature,
    give=tensors,
    mistakes=[
        (
            "a share is exp(score) divided by a sum that you do not know. In a RATIO of two shares of one column it "
            "goes out.",
            *(partial(_slope, along=along) for along in ("one cell", "all")),
        ),
        (
            "you compared two queries. Each column has its own sum, so compare two sources of ONE column.",
            partial(_slope, along="row"),
        ),
        ("this is 1 / beta, the temperature itself.", _changed_temperature(lambda beta, d: 1.0 / beta)),
        (
            "the logarithm has another base: torch.log.",
            *map(_changed_temperature, (lambda b, d: b / math.log(2), lambda b, d: b / math.log(10))),
        ),
        (
            "1/sqrt(d) crept in; here beta alone sets the scale.",
            _changed_temperature(lambda beta, d: beta * math.sqrt(d)),
        ),
        ("the sign is lost: a negative beta listens to the unlike.", _changed_temperature(lambda beta, d: abs(beta))),
        (
            "the sign is turned: more alike with more weight is a positive beta.",
            _changed_temperature(lambda beta, d: -beta),
        ),
        (
            "the query's row is 0, and its log is -inf. Take two of the other rows.",
            lambda E, X: math.inf,
            lambda E, X: -math.inf,
            lambda E, X: math.nan,
        ),
    ],
    hint="log of the ratio of two shares in one column = beta times the difference of their inner products.",
    says="a ratio of shares tells beta, since the sum goes out",
)


def _share_cases(rng: np.random.Generator) -> list[Case]:
    by_hand = np.array([0.8, 0.2])
    return [
        case(f"shares {shares.round(3).tolist()}", shares)
        for shares in (by_hand, *(rng.dirichlet(np.ones(n)) for n in (3, 5)))
    ]


def _query_for(shares: np.ndarray) -> np.ndarray:
    """Scores one by one, each measured from their mean: sum over the others of log(p_i / p_m) / n."""
    n = len(shares)
    return np.array([sum(math.log(p / other) for other in shares) / n for p in shares])


check_query_for_shares = Check(
    name="query_for_shares",
    cases=_share_cases,
    right=_query_for,
    give=tensors,
    mistakes=[
        ("these are the shares. Their softmax is something else: it takes exp of what you return.", lambda p: p),
        ("these shares come out, but the entries do not sum to 0. Subtract their mean.", np.log),
        (
            "the largest entry was made 0. Here the entries are to sum to 0: subtract the mean.",
            lambda p: np.log(p / p.max()),
        ),
        (
            "the shares were centred before the logarithm. First the log, then subtract its mean.",
            lambda p: p - p.mean(),
            lambda p: np.log(p * len(p)),
        ),
        ("the logarithm has another base: torch.log.", lambda p: _query_for(p) / math.log(2)),
        ("the sign is turned: a larger share needs a larger score.", lambda p: -_query_for(p)),
    ],
    hint="the scores of one-hot sources are the query's own entries; softmax undoes log.",
    says="a softmax undoes a log, and the same number added to all scores changes nothing",
)


def _probe_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{n} transitions, {d} features", *_read_prompt(rng, d, n, depth))
        for d, n, depth in ((1, 4, 2), (2, 6, 1), (3, 8, 3))
    ]


def _read_prompt(rng: np.random.Generator, d: int, n: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """A prompt of Wang et al., and the same after `depth` layers, worked out from w."""
    first = rng.standard_normal((2 * d + 1, n + 1))
    first[d:, -1] = 0.0
    x, following, r, w = first[:d], first[d : 2 * d], first[-1, :-1], np.zeros(d)
    for _ in range(depth):
        w = w + 0.4 / n * x[:, :-1] @ (r + (following - x)[:, :-1].T @ w)
    later = first.copy()
    later[-1] += (following - x).T @ w
    return first, later


def _probe(first: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Normal equations over all columns, the query among them."""
    d = len(first) // 2
    ways, moved = first[d : 2 * d] - first[:d], later[-1] - first[-1]
    gram = [[sum(a * b for a, b in zip(ways[i], ways[j], strict=True)) for j in range(d)] for i in range(d)]
    return np.linalg.solve(np.array(gram), np.array([sum(ways[i] * moved) for i in range(d)]))


def _fitted(rows: Callable[[np.ndarray, np.ndarray], np.ndarray], told: Callable) -> Callable[..., np.ndarray]:
    """Least squares over the context columns, with other rows or another right side. rows: of (x, gamma x')."""

    def probe(first: np.ndarray, later: np.ndarray) -> np.ndarray:
        d = len(first) // 2
        A = rows(first[:d, :-1], first[d : 2 * d, :-1]).T
        return np.linalg.lstsq(A, told(first[-1, :-1], later[-1, :-1]), rcond=None)[0]

    return probe


check_hidden_weights = Check(
    name="hidden_weights",
    cases=_probe_cases,
    right=_probe,
    give=tensors,
    mistakes=[
        ("the sign is turned: an error is R + (gamma x' - x) . w.", lambda first, later: -_probe(first, later)),
        (
            "the rewards are still in: the last row holds R + (gamma x' - x) . w. Subtract the first prompt's row.",
            _fitted(lambda x, following: following - x, lambda r, later: later),
        ),
        (
            "the last row of a context column is a TD error, no value: it moves with gamma x' - x.",
            _fitted(lambda x, following: x, lambda r, later: later - r),
            _fitted(lambda x, following: -x, lambda r, later: later - r),
            _fitted(lambda x, following: x, lambda r, later: later),
        ),
        (
            "gamma x' and x are added. What comes next counts for the state, what is left against it.",
            _fitted(lambda x, following: following + x, lambda r, later: later - r),
        ),
        (
            "this is one step from the later errors, as if w were what a layer adds.",
            lambda first, later: first[: len(first) // 2, :-1] @ later[-1, :-1],
            lambda first, later: first[: len(first) // 2, :-1] @ later[-1, :-1] / (first.shape[1] - 1),
        ),
    ],
    hint="d unknowns, n equations: (gamma x' - x) . w = what the last row gained. Solve by least squares.",
    says="the weights stand nowhere in the prompt, and every column tells of them",
)


def _short_cases(rng: np.random.Generator) -> list[Case]:
    sizes = (([3, 1, 2], 2, 1.6), ([1, 5, 1, 40], 3, 0.5), ([2, 2, 2], 2, 2.5))
    cases = [
        case(
            f"copies {copies}, {d} features, beta = {beta}",
            rng.standard_normal((d, len(copies) + 1)),
            np.array(copies),
            beta,
        )
        for copies, d, beta in sizes
    ]
    large = np.array([[30.0, 26.0, 29.9, 29.0]])
    return [*cases, case("copies [1, 7, 90], scores up to 900", large, np.array([1, 7, 90]), 1.0)]


def _short(
    X: np.ndarray,
    copies: np.ndarray,
    beta: float,
    count: Callable[[int], float] = float,
    per_copy: bool = False,
    query_teaches: bool = False,
) -> np.ndarray:
    """Repeat, attend, and add up the copies of each source, in plain loops. The rest are usual mistakes."""
    size, E = X.shape[1], np.zeros((X.shape[1],) * 2)
    times = [count(c) for c in copies.tolist()] + [1.0 if query_teaches else 0.0]
    for j in range(size):
        scores = [beta * float(X[:, i] @ X[:, j]) for i in range(size)]
        top = max(scores)
        powers = [t * math.exp(g - top) for t, g in zip(times, scores, strict=True)]
        E[:, j] = [p / sum(powers) for p in powers]
    if per_copy:
        E[:-1] /= copies[:, None]
    return E


def _short_overflowing(X: np.ndarray, copies: np.ndarray, beta: float) -> np.ndarray:
    powers = np.exp(beta * X.T @ X) * np.append(copies, 0.0)[:, None]
    return powers / powers.sum(axis=0)


def _scaled_scores(X: np.ndarray, copies: np.ndarray, beta: float) -> np.ndarray:
    scores = beta * X.T @ X
    scores[:-1] *= copies[:, None]
    scores[-1] = -np.inf
    powers = np.exp(scores - scores.max(axis=0))
    return powers / powers.sum(axis=0)


check_short_weights = Check(
    name="short_weights",
    cases=_short_cases,
    right=_short,
    give=tensors,
    mistakes=[
        ("copies has no effect: who speaks m times is heard m times.", partial(_short, count=lambda c: 1.0)),
        (
            "copies multiplied the finished shares, so columns no longer sum to 1. Count them before you divide.",
            lambda X, copies, beta: _attention(X, beta) * np.append(copies, 1.0)[:, None],
        ),
        (
            "copies themselves were added to the scores: that multiplies the powers by e^m. Which number gives m?",
            partial(_short, count=math.exp),
        ),
        (
            "beta multiplies the log of the copies too. They are counted, whatever the temperature.",
            lambda X, copies, beta: _short(X, copies, beta, count=lambda c: c**beta),
        ),
        ("this is the share of ONE copy. Add up all copies of a source.", partial(_short, per_copy=True)),
        ("the query counts as a source: hide its row of scores.", partial(_short, query_teaches=True)),
        ("the logarithm has another base: torch.log.", partial(_short, count=lambda c: c ** (1 / math.log(2)))),
        ("exp overflowed, inf / inf: stay with scores, and leave the rest to torch.softmax.", _short_overflowing),
        ("copies multiplied the scores. m equal voices add m powers; their score stays.", _scaled_scores),
    ],
    hint="the column of a query must be what it is with every source written out as often as copies says.",
    says="a source heard m times is a source with log m added to its score",
    needs=[check_attention_weights],
)
