"""Checks of sheet 01: the return, the exact value, the stationary distribution, a policy's process, Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from icrl_teach.checks.report import CheckFailed, Mistake, answer, compare, passed
from icrl_teach.mrp import MarkovRewardProcess

_MACHINE = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])


def check_discounted_return(discounted_return: Callable) -> None:
    """A list of one reward, three rewards by hand, and seven random ones, against a plain loop."""
    rng = np.random.default_rng(101)
    for rewards, gamma in ((rng.normal(size=7), 0.8), (np.array([2.0, -1.0, 3.0]), 0.5), (np.array([5.0]), 0.9)):
        tried = f"discounted_return({np.round(rewards, 3).tolist()}, gamma={gamma})"
        right, weight = 0.0, 1.0
        for reward in rewards:
            right += weight * reward
            weight *= gamma
        powers = gamma ** np.arange(len(rewards))
        mistakes = [
            Mistake(
                rewards.sum(),
                "this is the plain sum; was gamma dropped? A reward k steps ahead is multiplied by gamma**k.",
            ),
            Mistake(gamma * right, "every weight has one power too many: the first reward counts fully, gamma**0 = 1."),
            Mistake(
                rewards[::-1] @ powers,
                "the last reward got the largest weight. Time runs the other way: rewards[0] counts fully.",
            ),
            Mistake(
                (1 - gamma) * right,
                "this is (1 - gamma) times the return, an average. The return itself is not normalised.",
            ),
            Mistake(
                rewards @ (gamma * np.arange(len(rewards))),
                "the weights look like gamma * k. Discounting is a power, gamma**k, not a product.",
            ),
            Mistake(
                powers * rewards, "these are the single discounted rewards; what is missing is their sum, one number."
            ),
        ]
        got = answer(discounted_return, rewards, gamma, tried=tried)
        compare(got, right, tried=tried, mistakes=mistakes, hint="G = R_1 + gamma R_2 + gamma^2 R_3 + ...")
    passed("the discounted return of 1, 3 and 7 rewards.")


def check_exact_value(exact_value: Callable) -> None:
    """A random chain of five states, the machine, and gamma = 0, against the sum of gamma^k P^k r, term by term."""
    rng = np.random.default_rng(102)
    P_random, r_random = rng.dirichlet(np.ones(5), size=5), rng.normal(size=5)
    r_machine = np.array([3.0, 1.0, -6.0])
    for name, P, r, gamma in (
        ("a random chain of 5 states", P_random, r_random, 0.9),
        ("the machine", _MACHINE, r_machine, 0.5),
        ("the machine", _MACHINE, r_machine, 0.0),
    ):
        tried = f"exact_value on {name} with gamma = {gamma}"
        right, term = np.zeros(len(r)), r.copy()
        for _ in range(600):  # gamma^600 is below 1e-27
            right += term
            term = gamma * P @ term
        got = _value_or_hint(exact_value, P, r, gamma, tried)
        mistakes = _value_mistakes(P, r, gamma, right)
        compare(got, right, tried=tried, mistakes=mistakes, hint="the value solves (I - gamma P) v = r.")
    passed("the exact value of two chains, and v = r at gamma = 0.")


def _value_mistakes(P: np.ndarray, r: np.ndarray, gamma: float, right: np.ndarray) -> list[Mistake]:
    eye = np.eye(len(r))
    mistakes = [
        Mistake(
            np.linalg.solve(eye - gamma * P.T, r),
            "P was used transposed. Row s of P holds where s leads to, so the expected next value is P @ v.",
        ),
        Mistake(
            np.linalg.solve(eye + gamma * P, r),
            "the sign of gamma P is wrong: v = r + gamma P v, brought to one side, is (I - gamma P) v = r.",
        ),
        Mistake(
            r + gamma * P @ r,
            "this is one backup only: it looks one step ahead and stops. The value is where backups end, so solve.",
        ),
        Mistake(
            P @ right,
            "these are the values of the next states. R_{t+1} = r(S_t): the first reward is r(s) itself.",
        ),
        Mistake(
            (1 - gamma) * right, "this is (1 - gamma) v, a reward per step. The value is the sum, not the average."
        ),
        Mistake(-right, "this is -v: your matrix is gamma P - I. With r on the right the matrix is I - gamma P."),
    ]
    if gamma:  # at gamma = 0 this matrix is all ones, and singular
        one = "1 - gamma * P subtracts from 1 in every entry. The identity I has ones on the diagonal only: np.eye."
        mistakes.append(Mistake(np.linalg.solve(1 - gamma * P, r), one))
    return mistakes


def _value_or_hint(exact_value: Callable, P: np.ndarray, r: np.ndarray, gamma: float, tried: str) -> object:
    """The learner's value. Without gamma the matrix is singular: numpy stops, or returns huge numbers by rounding."""
    hint = "I - P is singular, and gamma is what makes the equation solvable. Is gamma in your matrix?"
    try:
        got = answer(exact_value, P, r, gamma, tried=tried)
    except CheckFailed as failed:
        if "Singular" in str(failed):
            raise CheckFailed(f"{tried}: the matrix cannot be solved.\nHint: {hint}") from None
        raise
    try:
        huge = bool(np.max(np.abs(np.asarray(got, dtype=np.float64))) > 1e6)
    except (TypeError, ValueError):
        huge = False
    if huge:
        raise CheckFailed(
            f"{tried}: got numbers above a million, where none can exceed max|r| / (1 - gamma).\nHint: {hint}"
        )
    return got


def check_stationary_distribution(stationary_distribution: Callable) -> None:
    """A random chain, the machine, and a chain that alternates, against many steps of the lazy chain (P + I) / 2."""
    rng = np.random.default_rng(103)
    alternating = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.3, 0.7, 0.0]])  # here np.linalg.eig lists -1 first
    for name, P in (
        ("a random chain of 4 states", rng.dirichlet(np.ones(4), size=4)),
        ("the machine", _MACHINE),
        ("a chain that alternates between state 2 and the others", alternating),
    ):
        tried = f"stationary_distribution on {name}"
        n = len(P)
        right = np.full(n, 1 / n)
        for _ in range(2000):
            right = 0.5 * right + 0.5 * right @ P
        got = answer(stationary_distribution, P, tried=tried)
        _check_eigenvalue(got, tried)
        hint = "check two things: mu @ P equals mu, and mu sums to 1."
        compare(got, right, tried=tried, mistakes=_stationary_mistakes(P, right), hint=hint)
    passed("mu P = mu, and mu sums to 1, on three chains (one of them alternates).")


def _check_eigenvalue(got: Any, tried: str) -> None:
    """An eigenvector of another eigenvalue sums to 0, and divided by its sum it becomes huge, infinite or NaN."""
    try:
        size = float(np.max(np.abs(np.asarray(got, dtype=np.float64))))
    except (TypeError, ValueError):
        return
    if not size < 1e6:
        raise CheckFailed(
            f"{tried}: got NaN, infinity or huge numbers, where shares between 0 and 1 were expected.\n"
            "Hint: np.linalg.eig sorts nothing: take the column whose eigenvalue is 1, it need not be the first. With "
            "np.linalg.solve, first replace one line of P.T - I by ones: its lines depend on one another."
        )


def _stationary_mistakes(P: np.ndarray, mu: np.ndarray) -> list[Mistake]:
    n = len(P)
    sign = "an eigenvector comes with any length and sign: divide it by its sum, so that it sums to 1."
    walk = "this is the distribution after some steps. On a chain that alternates it never settles: solve instead."
    lengths = (1.0, -1.0, float(np.linalg.norm(mu)), -float(np.linalg.norm(mu)))
    starts = (np.full(n, 1 / n), np.eye(n)[0])
    side = (
        "all states equal: that solves P m = m, the right eigenvector. The distribution stands on the left: mu P = mu."
    )
    one = "this is one step from the uniform distribution (the mean of P's rows). mu is what no further step changes."
    return [
        Mistake(np.full(n, 1 / n), side),
        Mistake(np.full(n, 1 / np.sqrt(n)), side),
        Mistake(np.full(n, -1 / np.sqrt(n)), side),
        Mistake(P.mean(axis=0), one),
        *(Mistake(mu / length, sign) for length in lengths if length != 1.0),
        *(Mistake(start @ np.linalg.matrix_power(P, k), walk) for start in starts for k in (1000, 1001)),
    ]


def check_induced_process(induced_process: Callable) -> None:
    """Three actions on three states, then two on three, against a plain triple loop."""
    rng = np.random.default_rng(104)
    for n_actions, n_states in ((3, 3), (2, 3)):  # first the square policy, where reading it as (A, S) runs
        transitions = rng.dirichlet(np.ones(n_states), size=(n_actions, n_states))
        rewards = rng.normal(size=(n_actions, n_states))
        policy = rng.dirichlet(np.ones(n_actions), size=n_states)
        tried = f"induced_process with {n_actions} actions and {n_states} states"
        P, r = np.zeros((n_states, n_states)), np.zeros(n_states)
        for s in range(n_states):
            for a in range(n_actions):
                r[s] += policy[s, a] * rewards[a, s]
                for t in range(n_states):
                    P[s, t] += policy[s, a] * transitions[a, s, t]
        got = answer(induced_process, transitions, rewards, policy, tried=tried)
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise CheckFailed(f"{tried}: return two arrays, `return P, r`, in this order; got {type(got).__name__}")
        p_mistakes, r_mistakes = _policy_mistakes(transitions, rewards, policy)
        compare(
            got[0],
            P,
            tried=f"{tried}: P",
            mistakes=p_mistakes,
            hint="P[s, t] sums policy[s, a] * transitions[a, s, t] over a.",
        )
        compare(
            got[1], r, tried=f"{tried}: r", mistakes=r_mistakes, hint="r[s] sums policy[s, a] * rewards[a, s] over a."
        )
    passed("the transition matrix and reward that a policy induces, for 2 and for 3 actions.")


def _policy_mistakes(p: np.ndarray, rewards: np.ndarray, policy: np.ndarray) -> tuple[list[Mistake], list[Mistake]]:
    states, best = np.arange(len(policy)), policy.argmax(axis=1)
    uniform = "the actions were averaged with equal weights. Weight action a in state s by policy[s, a]."
    total = "the actions were added without weights. Use policy[s, a]; each row of P then sums to 1."
    greedy = "only the most probable action was kept. Each action counts, as often as the policy takes it."
    arrival = "the policy of the next state was used. The action is chosen before the move: policy[s, a]."
    turned = "policy was read as (A, S); here it is (S, A): row s is the distribution over actions in state s."
    p_mistakes = [
        Mistake(p.mean(axis=0), uniform),
        Mistake(p.sum(axis=0), total),
        Mistake(p[best, states], greedy),
        Mistake(np.einsum("ta,ast->st", policy, p), arrival),
    ]
    r_mistakes = [
        Mistake(rewards.mean(axis=0), uniform),
        Mistake(rewards.sum(axis=0), total),
        Mistake(rewards[best, states], greedy),
    ]
    if len(p) == len(policy):
        p_mistakes.append(Mistake(np.einsum("as,ast->st", policy, p), turned))
        r_mistakes.append(Mistake(np.einsum("as,as->s", policy, rewards), turned))
    return p_mistakes, r_mistakes


def check_monte_carlo_value(monte_carlo_value: Callable) -> None:
    """A cycle, where every walk has the same return, and the machine, within six standard errors of the exact value."""
    cycle, r, gamma, steps, count = np.roll(np.eye(4), 1, axis=1), np.array([2.0, -1.0, 5.0, 0.5]), 0.8, 6, 3
    mrp = MarkovRewardProcess(cycle, r, gamma, start=[1.0, 0.0, 0.0, 0.0])
    tried = f"monte_carlo_value on a cycle of 4 states, start 2, {count} returns of {steps} steps"
    right = _on_cycle(r, 2, steps, gamma)
    mistakes = [
        Mistake(count * right, "the returns were added. The estimate is their mean: divide by n_returns."),
        Mistake(
            _on_cycle(r, 2, steps, 1.0), "the rewards were not discounted. Use your discounted_return with mrp.gamma."
        ),
        Mistake(
            _on_cycle(r, 0, steps, gamma), "the walks began in state 0, drawn from mrp.start. Pass start to mrp.sample."
        ),
        Mistake(
            _on_cycle(r, 3, steps, gamma),
            "the first reward is missing: R_{t+1} = r(S_t) includes the state one starts from.",
        ),
        Mistake(
            _on_cycle(r, 2, steps - 1, gamma), "each walk was one step short; n_steps transitions give n_steps rewards."
        ),
        Mistake(
            _on_cycle(r, 2, count, gamma),
            "n_steps and n_returns are exchanged: make n_returns walks of n_steps steps.",
        ),
        Mistake(_on_cycle(r, 2, 500, gamma), "this is the exact value, not an estimate from walks of n_steps steps."),
        Mistake(_on_cycle(r, 2, steps, gamma) / steps, "the mean was taken over steps; it is taken over returns."),
    ]
    got = answer(monte_carlo_value, mrp, 2, count, steps, np.random.default_rng(0), tried=tried)
    compare(
        got,
        right,
        tried=tried,
        mistakes=mistakes,
        hint="the mean of n_returns discounted returns of n_steps rewards each.",
    )
    _check_spread(monte_carlo_value)
    _check_draws(monte_carlo_value)
    passed("the mean of sampled returns, exact on a cycle and within six standard errors on the machine.")


def _check_draws(monte_carlo_value: Callable) -> None:
    """On a fork, where a return is 0 or 0.5: all draws from the given rng, as many as asked for, and their mean."""
    fork = MarkovRewardProcess([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0, 1.0, 0.0], 0.5)
    tried = "monte_carlo_value on a fork where a return is 0 or 0.5, start 0, 7 returns of 2 steps"
    seeds = (1,) * 12 + (2, 3, 4)  # twelve times the same: two lucky draws of 0 or 0.5 can agree, twelve don't
    wins = [14 * answer(monte_carlo_value, fork, 0, 7, 2, np.random.default_rng(s), tried=tried) for s in seeds]
    if len(set(wins[:12])) > 1:
        raise CheckFailed(f"{tried}: one rng, two answers.\nHint: draw every walk from the rng that is passed in.")
    if not np.allclose(wins, np.round(wins)) or all(round(w) in (0, 7) for w in wins):
        raise CheckFailed(
            f"{tried}: got {wins[0] / 14:.4g}, which is no mean of 7 such returns.\n"
            "Hint: make exactly n_returns walks, and take the mean of all of them."
        )


def _on_cycle(r: np.ndarray, start: int, n_steps: int, gamma: float) -> float:
    return sum(gamma**k * r[(start + k) % len(r)] for k in range(n_steps))


def _check_spread(monte_carlo_value: Callable) -> None:
    """On the machine: near v(good) = 4 (by hand in the lesson), and different for different generators."""
    gamma, count = 0.5, 400
    r = np.array([3.0, 1.0, -6.0])
    mrp = MarkovRewardProcess(_MACHINE, r, gamma)
    tried = f"monte_carlo_value on the machine, start 0, {count} returns of 25 steps"
    v = np.array([4.0, 0.0, -4.0])
    squares = np.zeros(3)
    for _ in range(200):  # E[G^2] = r^2 + 2 gamma r P v + gamma^2 P E[G^2]
        squares = r**2 + 2 * gamma * r * (_MACHINE @ v) + gamma**2 * _MACHINE @ squares
    error = np.sqrt((squares[0] - v[0] ** 2) / count)
    got = [answer(monte_carlo_value, mrp, 0, count, 25, np.random.default_rng(seed), tried=tried) for seed in (1, 2)]
    if got[0] == got[1]:
        raise CheckFailed(
            f"{tried}: two different generators gave the same {float(got[0]):.4f}.\n"
            "Hint: draw every walk from the rng that is passed in; a generator made inside repeats itself."
        )
    for estimate in got:
        hint = f"the exact value is 4, and six standard errors are {6 * error:.2f}. Is each walk a new one?"
        compare(estimate, 4.0, tried=tried, hint=hint, tolerance=6 * error / 5)
