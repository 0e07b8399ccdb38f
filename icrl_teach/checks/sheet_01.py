"""Checks of sheet 01: the return, the exact value, the stationary distribution, a policy's process, Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icrl_teach.checks.check import Case, Check, case
from icrl_teach.checks.report import CheckFailed, answer, equal
from icrl_teach.mrp import MarkovRewardProcess

_MACHINE, _PAY = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]), np.array([3.0, 1.0, -6.0])


def _return_cases(rng: np.random.Generator) -> list[Case]:
    return [
        case(f"{np.round(rewards, 3).tolist()}, gamma = {gamma}", rewards, gamma)
        for rewards, gamma in ((rng.normal(size=7), 0.8), (np.array([2.0, -1.0, 3.0]), 0.5), (np.array([5.0]), 0.9))
    ]


def _return(rewards: np.ndarray, gamma: float) -> float:
    total, weight = 0.0, 1.0
    for reward in rewards:
        total += weight * reward
        weight *= gamma
    return total


check_discounted_return = Check(
    name="discounted_return",
    cases=_return_cases,
    right=_return,
    mistakes=[
        (
            "this is the plain sum; was gamma dropped? A reward k steps ahead is multiplied by gamma**k.",
            lambda rewards, gamma: _return(rewards, 1.0),
        ),
        (
            "every weight has one power too many: the first reward counts fully, gamma**0 = 1.",
            lambda rewards, gamma: gamma * _return(rewards, gamma),
        ),
        (
            "the last reward got the largest weight. Time runs the other way: rewards[0] counts fully.",
            lambda rewards, gamma: _return(rewards[::-1], gamma),
        ),
        (
            "this is (1 - gamma) times the return, an average. The return itself is not normalised.",
            lambda rewards, gamma: (1 - gamma) * _return(rewards, gamma),
        ),
        (
            "the weights look like gamma * k. Discounting is a power, gamma**k, not a product.",
            lambda rewards, gamma: sum(gamma * k * reward for k, reward in enumerate(rewards)),
        ),
        (
            "these are the single discounted rewards; what is missing is their sum, one number.",
            lambda rewards, gamma: [gamma**k * reward for k, reward in enumerate(rewards)],
        ),
    ],
    hint="G = R_1 + gamma R_2 + gamma^2 R_3 + ...",
    says="the discounted return of 1, 3 and 7 rewards.",
)


def _value_cases(rng: np.random.Generator) -> list[Case]:
    """The last chain forgets slowly and looks far ahead: a few hundred backups are not enough there."""
    slow = 0.98 * np.eye(4) + 0.02 * rng.dirichlet(np.ones(4), size=4)
    return [
        case("a random chain of 5 states, gamma = 0.9", rng.dirichlet(np.ones(5), size=5), rng.normal(size=5), 0.9),
        case("the machine, gamma = 0.5", _MACHINE, _PAY, 0.5),
        case("the machine, gamma = 0", _MACHINE, _PAY, 0.0),
        case("a slow chain of 4 states, gamma = 0.999", slow, rng.normal(size=4), 0.999),
    ]


def _value(P: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
    """The sum of gamma^k P^k r over 2^20 terms: each round doubles how many have been added."""
    total, power = r.astype(float), gamma * P
    for _ in range(20):
        total, power = total + power @ total, power @ power
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


def _chains(rng: np.random.Generator) -> list[Case]:
    alternating = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.3, 0.7, 0.0]])  # here np.linalg.eig lists -1 first
    sticky = np.array([[0.999, 0.001, 0.0], [0.0, 0.998, 0.002], [0.001, 0.0, 0.999]])
    return [
        case("a random chain of 4 states", rng.dirichlet(np.ones(4), size=4)),
        case("the machine", _MACHINE),
        case("a chain that alternates between state 2 and the others", alternating),
        case("a chain whose states stay 500 steps or more", sticky),
    ]


def _lazy(P: np.ndarray, steps: int) -> np.ndarray:
    """The uniform distribution after many steps of (P + I) / 2, which settles even where P alternates."""
    return np.full(len(P), 1.0 / len(P)) @ np.linalg.matrix_power((P + np.eye(len(P))) / 2.0, steps)


def _settled(P: np.ndarray) -> np.ndarray:
    return _lazy(P, 2**20)


def _eigenvector(P: np.ndarray) -> np.ndarray:
    """The right one, of eigenvalue 1, in the length and sign that NumPy gives it."""
    values, vectors = np.linalg.eig(P.T)
    return vectors[:, np.abs(values - 1.0).argmin()].real


def _after(start: Callable[[int], np.ndarray], steps: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda P: start(len(P)) @ np.linalg.matrix_power(P, steps)


def _uniform(n: int) -> np.ndarray:
    return np.full(n, 1.0 / n)


def _first(n: int) -> np.ndarray:
    return np.eye(n)[0]


check_stationary_distribution = Check(
    name="stationary_distribution",
    cases=_chains,
    right=_settled,
    mistakes=[
        (
            "all states equal: that solves P m = m, the right eigenvector. The distribution is the left: mu P = mu.",
            lambda P: np.full(len(P), 1 / len(P)),
            lambda P: np.full(len(P), 1 / np.sqrt(len(P))),
            lambda P: np.full(len(P), -1 / np.sqrt(len(P))),
        ),
        (
            "this is one step from the uniform distribution (the mean of P's rows). mu is what no more steps change.",
            lambda P: P.mean(axis=0),
        ),
        (
            "an eigenvector comes with any length and sign: divide it by its sum, so that it sums to 1.",
            _eigenvector,
            lambda P: -_settled(P) / np.linalg.norm(_settled(P)),
            lambda P: -_settled(P),
        ),
        (
            "this is the distribution after some steps. On a chain that alternates it never settles: solve instead.",
            *(_after(start, steps) for start in (_uniform, _first) for steps in (100, 1000, 1001)),
        ),
        (
            "this many steps of the lazy chain do not reach mu where states stay long: solve instead.",
            *(lambda P, steps=steps: _lazy(P, steps) for steps in (60, 100, 1000)),
        ),
        (
            "np.linalg.eig sorts nothing: take the column whose eigenvalue is 1, it need not be the first.",
            lambda P: np.linalg.eig(P.T)[1][:, 0].real / np.linalg.eig(P.T)[1][:, 0].real.sum(),
        ),
    ],
    hint="check that mu @ P equals mu, and mu sums to 1. One line of P.T - I depends on the others: put ones there.",
    says="mu P = mu, and mu sums to 1, on four chains (one alternates, one is slow).",
)


def _policy_cases(rng: np.random.Generator) -> list[Case]:
    """First a square policy, where reading it as (A, S) runs."""
    return [
        case(
            f"{n_actions} actions and {n_states} states",
            rng.dirichlet(np.ones(n_states), size=(n_actions, n_states)),
            rng.normal(size=(n_actions, n_states)),
            rng.dirichlet(np.ones(n_actions), size=n_states),
        )
        for n_actions, n_states in ((3, 3), (2, 3))
    ]


def _induced(p: np.ndarray, rewards: np.ndarray, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n_actions, n_states = rewards.shape
    P, r = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s in range(n_states):
        for a in range(n_actions):
            r[s] += policy[s, a] * rewards[a, s]
            for t in range(n_states):
                P[s, t] += policy[s, a] * p[a, s, t]
    return P, r


def _greedy(p: np.ndarray, rewards: np.ndarray, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _induced(p, rewards, np.eye(len(p))[policy.argmax(axis=1)])


def _turned(p: np.ndarray, rewards: np.ndarray, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.einsum("as,ast->st", policy, p), np.einsum("as,as->s", policy, rewards)


check_induced_process = Check(
    name="induced_process",
    cases=_policy_cases,
    right=_induced,
    results=("P", "r"),
    mistakes=[
        (
            "the actions were averaged with equal weights. Weight action a in state s by policy[s, a].",
            lambda p, rewards, policy: _induced(p, rewards, np.full_like(policy, 1.0 / len(p))),
        ),
        (
            "the actions were added without weights. Use policy[s, a]; each row of P then sums to 1.",
            lambda p, rewards, policy: _induced(p, rewards, np.ones_like(policy)),
        ),
        ("only the most probable action was kept. Each action counts, as often as the policy takes it.", _greedy),
        (
            "the policy of the next state was used. The action is chosen before the move: policy[s, a].",
            lambda p, rewards, policy: (np.einsum("ta,ast->st", policy, p), _induced(p, rewards, policy)[1]),
        ),
        ("policy was read as (A, S); here it is (S, A): row s is the distribution over actions in state s.", _turned),
    ],
    hint="P[s, t] sums policy[s, a] * transitions[a, s, t] over a, and r[s] sums policy[s, a] * rewards[a, s].",
    says="the transition matrix and reward that a policy induces, for 2 and for 3 actions.",
)


def _cycle_cases(rng: np.random.Generator) -> list[Case]:
    """A cycle: every walk from a state has the same rewards, so the mean of returns is exact."""
    r = np.round(rng.normal(size=4) * 3.0, 1)
    mrp = MarkovRewardProcess(np.roll(np.eye(4), 1, axis=1), r, 0.8, start=[1.0, 0.0, 0.0, 0.0])
    return [case("a cycle of 4 states, start 2, 3 returns of 6 steps", mrp, 2, 3, 6, np.random.default_rng(0))]


def _on_cycle(mrp: MarkovRewardProcess, start: int, n_returns: int, n_steps: int, _rng: object = None) -> float:
    return _return(np.array([mrp.reward[(start + k) % mrp.n_states] for k in range(n_steps)]), mrp.gamma)


def _backwards(mrp: MarkovRewardProcess, start: int, n_steps: int) -> float:
    return _return(np.array([mrp.reward[(start + k) % mrp.n_states] for k in reversed(range(n_steps))]), mrp.gamma)


def _undiscounted(mrp: MarkovRewardProcess, start: int, _n_returns: int, n_steps: int, _rng: object) -> float:
    return sum(mrp.reward[(start + k) % mrp.n_states] for k in range(n_steps))


def _refuses_other_draws(monte_carlo_value: Callable) -> None:
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
            "Hint: make exactly n_returns walks, each a new one, and take the mean of all of them."
        )


def _is_near_the_value(monte_carlo_value: Callable) -> None:
    """On the machine: near v(good) = 4 (by hand in the lesson), and different for different generators."""
    gamma, count, v, squares = 0.5, 400, np.array([4.0, 0.0, -4.0]), np.zeros(3)
    mrp = MarkovRewardProcess(_MACHINE, _PAY, gamma)
    tried = f"monte_carlo_value on the machine, start 0, {count} returns of 25 steps"
    for _ in range(200):  # E[G^2] = r^2 + 2 gamma r P v + gamma^2 P E[G^2]
        squares = _PAY**2 + 2 * gamma * _PAY * (_MACHINE @ v) + gamma**2 * _MACHINE @ squares
    error = 6 * np.sqrt((squares[0] - v[0] ** 2) / count)
    got = [answer(monte_carlo_value, mrp, 0, count, 25, np.random.default_rng(seed), tried=tried) for seed in (1, 2)]
    if got[0] == got[1]:
        raise CheckFailed(
            f"{tried}: two different generators gave the same {float(got[0]):.4f}.\n"
            "Hint: draw every walk from the rng that is passed in; a generator made inside repeats itself."
        )
    for estimate in got:
        if not equal(np.asarray(estimate, dtype=float), np.array(4.0), error / 5):
            raise CheckFailed(
                f"{tried}: got {float(estimate):.4g}, expected 4 within {error:.2f}, six standard errors.\n"
                "Hint: Is each walk a new one?"
            )


check_monte_carlo_value = Check(
    name="monte_carlo_value",
    cases=_cycle_cases,
    right=_on_cycle,
    mistakes=[
        (
            "the returns were added. The estimate is their mean: divide by n_returns.",
            lambda mrp, start, n, steps, rng: n * _on_cycle(mrp, start, n, steps),
        ),
        ("the rewards were not discounted. Use your discounted_return with mrp.gamma.", _undiscounted),
        (
            "the walks began in state 0, drawn from mrp.start. Pass start to mrp.sample.",
            lambda mrp, start, n, steps, rng: _on_cycle(mrp, 0, n, steps),
        ),
        (
            "the first reward is missing: R_{t+1} = r(S_t) includes the state one starts from.",
            lambda mrp, start, n, steps, rng: _on_cycle(mrp, start + 1, n, steps),
        ),
        (
            "each walk was one step short; n_steps transitions give n_steps rewards.",
            lambda mrp, start, n, steps, rng: _on_cycle(mrp, start, n, steps - 1),
        ),
        (
            "n_steps and n_returns are exchanged: make n_returns walks of n_steps steps.",
            lambda mrp, start, n, steps, rng: _on_cycle(mrp, start, steps, n),
        ),
        (
            "this is the exact value, not an estimate from walks of n_steps steps.",
            lambda mrp, start, n, steps, rng: _on_cycle(mrp, start, n, 500),
        ),
        (
            "one power of gamma too many: the first reward of each walk counts fully.",
            lambda mrp, start, n, steps, rng: mrp.gamma * _on_cycle(mrp, start, n, steps),
        ),
        (
            "this is (1 - gamma) times the mean return, a reward per step; the return is a sum.",
            lambda mrp, start, n, steps, rng: (1 - mrp.gamma) * _on_cycle(mrp, start, n, steps),
        ),
        (
            "the returns run backwards: the first reward of each walk counts fully, the last the least.",
            lambda mrp, start, n, steps, rng: _backwards(mrp, start, steps),
        ),
        (
            "the mean was taken over steps; it is taken over returns.",
            lambda mrp, start, n, steps, rng: _on_cycle(mrp, start, n, steps) / steps,
        ),
    ],
    hint="the mean of n_returns discounted returns of n_steps rewards each.",
    says="the mean of sampled returns, exact on a cycle and within six standard errors on the machine.",
    needs=[check_discounted_return],
    also=[_is_near_the_value, _refuses_other_draws],
)
