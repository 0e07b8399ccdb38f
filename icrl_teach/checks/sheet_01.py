"""Checks of sheet 01: the exact value, then a changed reward, a discount, a spread, an average and a chance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from icrl_teach.checks.check import Case, Check, case, from_size, graded_hints
from icrl_teach.checks.report import CheckFailed

_MACHINE, _PAY = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]), np.array([3.0, 1.0, -6.0])


def _value_cases(rng: np.random.Generator) -> list[Case]:
    """The last chain forgets slowly and looks far ahead: a few hundred backups are not enough there."""
    slow = 0.98 * np.eye(4) + 0.02 * rng.dirichlet(np.ones(4), size=4)
    S = from_size(rng, 5)
    return [
        case(f"a random chain of {S} states, gamma = 0.9", rng.dirichlet(np.ones(S), size=S), rng.normal(size=S), 0.9),
        case("the machine, gamma = 0.5", _MACHINE, _PAY, 0.5),
        case("the machine, gamma = 0", _MACHINE, _PAY, 0.0),
        case("a slow chain of 4 states, gamma = 0.999", slow, rng.normal(size=4), 0.999),
    ]


def _value(P: np.ndarray, r: np.ndarray, gamma: float | np.ndarray) -> np.ndarray:
    """The sum of gamma^k P^k r over 2^20 terms, for each gamma: each round doubles how many have been added."""
    power = np.multiply.outer(gamma, P)
    total = np.broadcast_to(r, power.shape[:-1]).astype(float)
    for _ in range(20):
        total, power = total + (power @ total[..., None])[..., 0], power @ power
    return total


def _backups(P: np.ndarray, r: np.ndarray, gamma: float, n: int) -> np.ndarray:
    v = np.zeros(len(r))
    for _ in range(n):
        v = r + gamma * P @ v
    return v


def _refuses_inverse(exact_value: Callable) -> None:
    """The inverse gives the same numbers here, so only the code tells."""
    used = {"inv", "pinv"}.intersection(getattr(getattr(exact_value, "__code__", None), "co_names", ()))
    if used:
        raise CheckFailed(
            f"exact_value has the right numbers, but it uses `{used.pop()}`.\n"
            "Hint: np.linalg.solve(A, b) solves A v = b faster, and loses fewer digits where A is nearly "
            "singular, as it is for gamma near 1."
        )


check_exact_value = Check(
    name="exact_value",
    cases=_value_cases,
    right=_value,
    forbid=("mrp:MarkovRewardProcess.value",),
    mistakes=[
        (
            "P was used transposed. Row s of P holds where s leads to, so the expected next value is P @ v.",
            lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - gamma * P.T, r),
        ),
        (
            "the sign of gamma P is wrong: v = r + gamma P v, brought to one side, is (I - gamma P) v = r.",
            lambda P, r, gamma: _value(P, r, -gamma),
        ),
        (
            "this is one backup only: it looks one step ahead and stops. The value is where backups end, so solve.",
            lambda P, r, gamma: r + gamma * P @ r,
        ),
        (
            "these are the values of the next states. R_{t+1} = r(S_t): the first reward is r(s) itself.",
            lambda P, r, gamma: P @ _value(P, r, gamma),
        ),
        (
            "this is (1 - gamma) v, a reward per step. The value is the sum, not the average.",
            lambda P, r, gamma: (1 - gamma) * _value(P, r, gamma),
        ),
        (
            "this is -v: your matrix is gamma P - I. With r on the right the matrix is I - gamma P.",
            lambda P, r, gamma: -_value(P, r, gamma),
        ),
        (
            "1 - gamma * P subtracts from 1 in every entry. The identity I has ones on the diagonal only: np.eye.",
            lambda P, r, gamma: np.linalg.solve(1 - gamma * P, r),
        ),
        (
            "I - P is singular, and gamma is what makes the equation solvable. Is gamma in your matrix?",
            lambda P, r, gamma: np.linalg.solve(np.eye(len(r)) - P, r),
        ),
        (
            "this many backups are not enough where gamma is near 1 (here 0.999): solve the equation instead.",
            *(lambda P, r, gamma, n=n: _backups(P, r, gamma, n) for n in (100, 200, 300, 500, 1000, 2000)),
        ),
    ],
    hint="the value solves (I - gamma P) v = r. Above max|r| / (1 - gamma) in size, gamma is missing somewhere.",
    says="the exact value of three chains, and v = r at gamma = 0.",
    also=[_refuses_inverse],
)


def _changed_cases(rng: np.random.Generator) -> list[Case]:
    S = from_size(rng, 6)
    return [
        case(name, P, r, gamma, _value(P, r + change * np.eye(len(r))[s], gamma))
        for name, P, r, gamma, s, change in (
            ("the machine, gamma = 0.5", _MACHINE, _PAY, 0.5, 1, -2.0),
            (
                f"a random chain of {S} states, gamma = 0.9",
                rng.dirichlet(np.ones(S), S),
                rng.normal(size=S),
                0.9,
                4,
                0.5,
            ),
            (
                "a random chain of 3 states, gamma = 0.95",
                rng.dirichlet(np.ones(3), 3),
                rng.normal(size=3),
                0.95,
                0,
                1.5,
            ),
        )
    ]


def _changed(P: np.ndarray, r: np.ndarray, gamma: float, v: np.ndarray) -> np.ndarray:
    """Try every state: a change of c there moves the value by c times one column; the right column fits exactly."""
    moved, fits = v - _value(P, r, gamma), []
    for unit in np.eye(len(r)):
        column = _value(P, unit, gamma)
        change = float(moved @ column) / float(column @ column)
        fits.append((float(np.abs(moved - change * column).max()), change * unit))
    return min(fits, key=lambda fit: fit[0])[1]


check_reward_change = Check(
    name="reward_change",
    cases=_changed_cases,
    right=_changed,
    mistakes=[
        (
            "this is how much each *value* moved. One reward moves the values of all who ever come by.",
            lambda P, r, gamma, v: v - _value(P, r, gamma),
        ),
        (
            "the sign is turned round: the change is the new reward minus the old one.",
            lambda P, r, gamma, v: -_changed(P, r, gamma, v),
        ),
        (
            "these are the new rewards; asked is by how much they differ from the old ones.",
            lambda P, r, gamma, v: r + _changed(P, r, gamma, v),
        ),
        (
            "gamma is missing: the reward that belongs to v is v - gamma P v.",
            lambda P, r, gamma, v: v - P @ v - r,
        ),
        (
            "P was used transposed: the expected next value is P @ v.",
            lambda P, r, gamma, v: v - gamma * P.T @ v - r,
        ),
    ],
    hint="which reward has this v as its value? Read the Bellman equation from right to left.",
    says="the one reward that was changed, and by how much, on three chains.",
)


def _deal_cases(rng: np.random.Generator) -> list[Case]:
    """Two chains to choose from, whose values in `state` cross at one discount only: seen on a fine grid."""
    repair = np.array([1.0, 0.0, 0.0])
    serviced, pay = np.array([_MACHINE[0], repair, repair]), np.array([3.0, -2.0, -6.0])
    cases = [case("the machine, run or serviced when worn, state 1", _MACHINE, _PAY, serviced, pay, 1)]
    while len(cases) < 3:
        n = 3 + len(cases)
        P, Q = rng.dirichlet(np.ones(n), size=(2, n))
        r, q = rng.normal(size=(2, n))
        grid = np.linspace(0.0, 0.999, 300)
        crossing = np.flatnonzero(np.diff(np.sign((_value(P, r, grid) - _value(Q, q, grid))[:, 2])))
        if len(crossing) == 1 and 30 < crossing[0] < 270:
            cases.append(case(f"two random chains of {n} states, state 2", P, r, Q, q, 2))
    return cases


def _even(P: np.ndarray, r: np.ndarray, Q: np.ndarray, q: np.ndarray, state: int) -> float:
    """The discount at which both chains are worth the same in `state`: a grid of twelve points, then a finer one
    between the two where the sign changes, and so on."""
    low, high = 0.0, 0.999
    for _ in range(12):
        grid = np.linspace(low, high, 12)
        positive = (_value(P, r, grid) - _value(Q, q, grid))[:, state] > 0
        at = int((positive[1:] != positive[:-1]).argmax())
        low, high = float(grid[at]), float(grid[at + 1])
    return low


def _on_a_grid(P: np.ndarray, r: np.ndarray, Q: np.ndarray, q: np.ndarray, state: int, count: int) -> float:
    grid = np.linspace(0.0, 0.99, count)
    return float(grid[np.abs(_value(P, r, grid) - _value(Q, q, grid))[:, state].argmin()])


def _in_between(P: np.ndarray, r: np.ndarray, Q: np.ndarray, q: np.ndarray, state: int, wrong_way: bool) -> float:
    low, high, first = 0.0, 0.999, r[state] > q[state]
    for _ in range(60):
        middle = (low + high) / 2
        better = (_value(P, r, middle) > _value(Q, q, middle))[state]
        low, high = (middle, high) if (better == first) != wrong_way else (low, middle)
    return (low + high) / 2


check_even_discount = Check(
    name="even_discount",
    cases=_deal_cases,
    right=_even,
    mistakes=[
        (
            "the half that was kept is the one without the crossing. Keep the half at whose ends the signs differ.",
            partial(_in_between, wrong_way=True),
        ),
        (
            "close, but a grid cannot tell more than its spacing. Halve the interval again and again.",
            *(partial(_on_a_grid, count=count) for count in (100, 991, 1000)),
        ),
        (
            "this is the horizon 1/(1 - gamma). Asked is gamma itself.",
            lambda *deal: 1.0 / (1.0 - _even(*deal)),
        ),
    ],
    hint="the difference of the two values of `state` is a function of gamma that changes its sign once.",
    says="the discount at which two chains are worth the same, on three pairs.",
    needs=[check_exact_value],
    tolerance=1e-6,
)


def _spread_cases(rng: np.random.Generator) -> list[Case]:
    S = from_size(rng, 5)
    return [
        case("the machine, gamma = 0.5", _MACHINE, _PAY, 0.5),
        case(f"a random chain of {S} states, gamma = 0.9", rng.dirichlet(np.ones(S), size=S), rng.normal(size=S), 0.9),
        case("a random chain of 4 states, gamma = 0.3", rng.dirichlet(np.ones(4), size=4), rng.normal(size=4), 0.3),
    ]


def _spread(P: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
    """From the second moment, E[G^2] = r^2 + 2 gamma r P v + gamma^2 P E[G^2], a sum of its own."""
    v = _value(P, r, gamma)
    return np.sqrt(_value(P, r**2 + 2.0 * gamma * r * (P @ v), gamma**2) - v**2)


def _one_step(P: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
    """The variance of gamma v(next state), the noise that one step adds."""
    v = _value(P, r, gamma)
    return gamma**2 * (P @ v**2 - (P @ v) ** 2)


check_return_std = Check(
    name="return_std",
    cases=_spread_cases,
    right=_spread,
    mistakes=[
        (
            "this is the variance. The standard deviation is its square root.",
            lambda P, r, gamma: _spread(P, r, gamma) ** 2,
        ),
        (
            "this is the noise of one step only. What comes later is random, too: gamma^2 P sigma^2.",
            lambda P, r, gamma: np.sqrt(_one_step(P, r, gamma)),
        ),
        (
            "later noise was discounted by gamma. A variance takes the square: (gamma x)^2 = gamma^2 x^2.",
            lambda P, r, gamma: np.sqrt(_value(P, _one_step(P, r, gamma), gamma)),
        ),
        (
            "the noise of a step lacks its gamma^2: it is that of gamma v(next), not of v(next).",
            lambda P, r, gamma: np.sqrt(_value(P, _one_step(P, r, gamma) / gamma**2, gamma**2)),
        ),
        (
            "this is the root of the mean square E[G^2]. Take v^2 off before the root.",
            lambda P, r, gamma: np.sqrt(_spread(P, r, gamma) ** 2 + _value(P, r, gamma) ** 2),
        ),
        (
            "the spread of the values was taken over all states. Row s of P says which next values s can meet.",
            lambda P, r, gamma: np.full(len(r), _value(P, r, gamma).std()),
        ),
    ],
    hint="sigma^2 obeys a Bellman equation of its own: gamma^2 in place of gamma, the noise of one step as reward.",
    says="the standard deviation of a return, on three chains.",
    needs=[check_exact_value],
)


def _policy_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(
            f"{n_actions} actions and {n_states} states",
            rng.dirichlet(np.ones(n_states), size=(n_actions, n_states)),
            rng.normal(size=(n_actions, n_states)),
            rng.dirichlet(np.ones(n_actions), size=n_states),
        )
        for n_actions, n_states in ((2, 3), (3, from_size(rng, 4)))
    ]


def _average(
    p: np.ndarray,
    rewards: np.ndarray,
    policy: np.ndarray,
    *,
    plain: bool = False,
    right: bool = False,
    raw: bool = False,
) -> float:
    """Mean reward a step in the long run; the options are the faults of the sheet's broken version.

    The distribution comes from many lazy steps; with a fault, from the eigenvector that the broken version takes.
    """
    n_actions, n = rewards.shape
    P, r = np.zeros((n, n)), np.zeros(n)
    for s, a in product(range(n), range(n_actions)):
        P[s] += policy[s, a] * p[a, s]
        r[s] += (1.0 / n_actions if plain else policy[s, a]) * rewards[a, s]
    if right or raw:
        values, vectors = np.linalg.eig(P if right else P.T)
        mu = vectors[:, values.real.argmax()].real
        return float((mu if raw else mu / mu.sum()) @ r)
    return float((np.full(n, 1.0 / n) @ np.linalg.matrix_power((P + np.eye(n)) / 2.0, 2**16)) @ r)


_TWO = "two faults are left. Test the parts alone: does each row of P sum to 1? Is mu @ P equal to mu? Is mu.sum() 1?"

check_average_reward = Check(
    name="average_reward",
    cases=_policy_cases,
    right=_average,
    mistakes=[
        (
            "nothing was mended: this is what the broken version returns.",
            partial(_average, plain=True, right=True, raw=True),
        ),
        (
            "one fault is left: the rewards, too, are averaged with the policy, not with equal weights.",
            partial(_average, plain=True),
        ),
        (
            "one fault is left: np.linalg.eig gives right eigenvectors, P m = m. Yours must be a left one: mu P = mu.",
            partial(_average, right=True),
        ),
        (
            "one fault is left: an eigenvector has any length and sign. A distribution sums to 1.",
            partial(_average, raw=True),
        ),
        (
            _TWO,
            partial(_average, plain=True, right=True),
            partial(_average, plain=True, raw=True),
            partial(_average, right=True, raw=True),
        ),
    ],
    hint="print P, r and mu: each row of P sums to 1, mu @ P is mu, and mu sums to 1.",
    says="the average reward of a policy, for 2 and 3 actions: all three faults found.",
)


def _lake_cases(rng: np.random.Generator) -> list[Case]:
    policies, S = rng.dirichlet(np.ones(2), size=(2, 5)), from_size(rng, 7)
    return [
        case("a lake of 5 squares, 2 actions", _lake(rng, 5, 2), policies[0]),
        case("another lake of 5 squares", _lake(rng, 5, 2), policies[1]),
        case(f"a lake of {S} squares, 3 actions", _lake(rng, S, 3), rng.dirichlet(np.ones(3), size=S)),
    ]


def _lake(
    rng: np.random.Generator, n: int, n_actions: int
) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
    """A table as Gymnasium writes it: table[s][a] = [(probability, next, reward, terminated), ...].

    The last square is the goal, the one before it a hole; each of them loops with the flag set.
    """
    table: dict[int, dict[int, list[tuple[float, int, float, bool]]]] = {}
    for s in range(n):
        stays = [(1.0, s, 0.0, True)]
        table[s] = dict.fromkeys(range(n_actions), stays)
        for a in range(n_actions if s < n - 2 else 0):
            chances = rng.dirichlet(np.ones(3))
            reached = rng.permutation(n)[:3]
            table[s][a] = [
                (float(p), int(t), float(t == n - 1), bool(t >= n - 2)) for p, t in zip(chances, reached, strict=True)
            ]
    table[0][0] = [(0.5, n - 2, 0.0, True), (0.25, 1, 0.0, False), (0.25, 0, 0.0, False)]
    table[1][0] = [(0.5, n - 1, 1.0, True), (0.5, 0, 0.0, False)]
    table[2][0] = [(0.3, n - 1, 1.0, True), (0.7, 1, 0.0, False)]
    return table


def _chance(
    table: Any, policy: np.ndarray, *, gamma: float = 1.0, again: bool = False, plain: bool = False, rounds: int = 20
) -> np.ndarray:
    """Chance to be paid before the episode ends, summed over the steps; the options are the usual mistakes."""
    n, n_actions = policy.shape
    P, r = np.zeros((n, n)), np.zeros(n)
    for s, a in product(range(n), range(n_actions)):
        share = 1.0 / n_actions if plain else policy[s, a]
        for probability, t, reward, terminated in table[s][a]:
            r[s] += share * probability * reward
            if not terminated:
                P[s, t] += share * probability
            elif again and not reward:
                P[s, 0] += share * probability
    total, power = r, gamma * P
    for _ in range(rounds):
        total, power = total + power @ total, power @ power
    return total


def _never_ends(table: Any, policy: np.ndarray) -> np.ndarray:
    n, n_actions = policy.shape
    P, r = np.eye(n), np.zeros(n)
    P[: n - 2] = 0.0
    for s, a in product(range(n - 2), range(n_actions)):
        for probability, t, reward, _ in table[s][a]:
            P[s, t] += policy[s, a] * probability
            r[s] += policy[s, a] * probability * reward
    return np.linalg.solve(np.eye(n) - P, r)


check_success_chance = Check(
    name="success_chance",
    cases=_lake_cases,
    right=_chance,
    mistakes=[
        (
            "I - P is singular: holes and goal loop for ever in your P. A step that terminated leads nowhere, so its "
            "probability is left out.",
            _never_ends,
        ),
        (
            "after a hole your walker begins again. One episode has one try: the hole is its end.",
            partial(_chance, again=True),
        ),
        (
            "later success counts less here. A chance is not discounted: gamma = 1.",
            *(partial(_chance, gamma=gamma) for gamma in (0.9, 0.95, 0.99, 0.999)),
        ),
        ("this is the chance of success in the very next step.", partial(_chance, rounds=0)),
        ("the policy was not used: all actions count the same here.", partial(_chance, plain=True)),
    ],
    hint="ask the first hint: hint(1).",
    says="the chance to reach the goal before a hole, from every square of three lakes.",
)

hint = graded_hints(
    "A chance is a mean, too: of a number that is 1 for success and 0 for failure. Which reward adds up to it, and "
    "which gamma leaves it undiscounted?",
    "At gamma = 1 the matrix I - P of an endless chain is singular. Here walks end, and after the end nothing is paid. "
    "What must a row of P lack, so that nothing comes after?",
    "Fill P and r by a loop over states, actions and outcomes. r[s] gets policy[s, a] * probability * reward; P[s, t] "
    "gets policy[s, a] * probability only if the outcome is not terminated. Then solve (I - P) h = r.",
)
