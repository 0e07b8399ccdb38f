"""Gymnasium environments: the exact process against the games' rules written out again, and against real steps."""

import gymnasium as gym
import numpy as np
import pytest

from icrl_teach import certainty_equivalence_value, mrp_from_env, rollout
from icrl_teach.spaces import number_observations
from oracles import assert_close
from patience import uncounted

ENVIRONMENTS = ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"]


class Corridor(gym.Env):
    """Three states in a row without a transition table; action 1 goes right, right of the last one ends."""

    observation_space, action_space = gym.spaces.Discrete(3), gym.spaces.Discrete(2)

    def __init__(self, ends: bool = True, space: gym.Space | None = None):
        self.ends, self.resets = ends, 0
        self.observation_space = space or self.observation_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.resets = 0, self.resets + 1
        return 0, {}

    def step(self, action):
        self.state += int(action)
        done = self.ends and self.state == 3
        self.state = min(self.state, 2)
        return self.state, 1.0 if done else 0.0, done, False, {}


def random_policy(n_states, n_actions, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(n_actions), size=n_states)


# --- rules written out again: an outcome is (probability, next state or None for a restart, reward) ---------------


def frozen_lake(s, a):
    rows = ["SFFF", "FHFH", "FFFH", "HFFG"]
    if rows[s // 4][s % 4] in "HG":
        return [(1.0, None, 0.0)]
    outcomes = []
    for direction in ((a - 1) % 4, a, (a + 1) % 4):  # left, down, right, up; ice sends one sideways
        dy, dx = [(0, -1), (1, 0), (0, 1), (-1, 0)][direction]
        y, x = min(max(s // 4 + dy, 0), 3), min(max(s % 4 + dx, 0), 3)
        here = rows[y][x]
        outcomes.append((1 / 3, None if here in "HG" else 4 * y + x, float(here == "G")))
    return outcomes


def cliff_walking(s, a):
    dy, dx = [(-1, 0), (0, 1), (1, 0), (0, -1)][a]
    y, x = min(max(s // 12 + dy, 0), 3), min(max(s % 12 + dx, 0), 11)
    if y == 3 and 1 <= x <= 10:
        return [(1.0, 36, -100.0)]  # fell: back to the start, and the episode goes on
    return [(1.0, None if (y, x) == (3, 11) else 12 * y + x, -1.0)]


def taxi(s, a):
    walls = ["|:|::|", "|:|::|", "|::::|", "||:|:|", "||:|:|"]  # between columns, row by row
    stands = [(0, 0), (0, 4), (4, 0), (4, 3)]
    y, x, passenger, destination = s // 100, s // 20 % 5, s // 4 % 5, s % 4
    reward, done = -1.0, False
    if a == 0:
        y = min(y + 1, 4)
    elif a == 1:
        y = max(y - 1, 0)
    elif a == 2 and walls[y][x + 1] == ":":
        x += 1
    elif a == 3 and walls[y][x] == ":":
        x -= 1
    elif a == 4:
        if passenger < 4 and (y, x) == stands[passenger]:
            passenger = 4
        else:
            reward = -10.0
    elif a == 5:
        if passenger == 4 and (y, x) == stands[destination]:
            passenger, reward, done = destination, 20.0, True
        elif passenger == 4 and (y, x) in stands:
            passenger = stands.index((y, x))
        else:
            reward = -10.0
    return [(1.0, None if done else ((y * 5 + x) * 5 + passenger) * 4 + destination, reward)]


def taxi_start():
    waiting = [s for s in range(500) if s // 4 % 5 < 4 and s // 4 % 5 != s % 4]
    start = np.zeros(500)
    start[waiting] = 1 / 300
    return start


RULES = {
    "FrozenLake-v1": (frozen_lake, np.eye(16)[0], 4),
    "CliffWalking-v1": (cliff_walking, np.eye(48)[36], 4),
    "Taxi-v4": (taxi, taxi_start(), 6),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("uniform", [True, False])
def test_the_exact_process_follows_the_rules_of_the_game(name, uniform):
    rule, start, n_actions = RULES[name]
    n_states = len(start)
    policy = np.full((n_states, n_actions), 1 / n_actions) if uniform else random_policy(n_states, n_actions)
    P, r = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s in range(n_states):
        for a in range(n_actions):
            for probability, s_next, reward in rule(s, a):
                P[s] += policy[s, a] * probability * (start if s_next is None else np.eye(n_states)[s_next])
                r[s] += policy[s, a] * probability * reward
    mrp = mrp_from_env(name, None if uniform else policy, 0.9)
    inside = np.arange(n_states) != 47 if name == "CliffWalking-v1" else np.ones(n_states, bool)  # 47: the goal
    assert_close(mrp.transition[inside], P[inside], 1e-12)
    assert_close(mrp.reward[inside], r[inside], 1e-12)
    assert_close(mrp.start, start, 1e-12)
    assert mrp.gamma == 0.9


@pytest.mark.parametrize(("name", "goal"), [("CliffWalking-v1", 47), ("FrozenLake-v1", 15)])
def test_the_goal_is_left_at_once_because_done_restarts(name, goal):
    mrp = mrp_from_env(name, None, 0.9)
    assert mrp.transition[:goal, goal].max() == 0.0  # nothing leads there: the step that reaches it restarts
    assert mrp.stationary_distribution()[goal] == 0.0
    assert goal not in rollout(name, None, 5000, seed=0).states


def test_delivering_in_taxi_restarts_at_a_random_state():
    at_destination = ((0 * 5 + 0) * 5 + 4) * 4 + 0  # at stand 0, passenger inside, destination 0
    drop_off = np.tile(np.eye(6)[5], (500, 1))
    assert_close(mrp_from_env("Taxi-v4", drop_off, 0.9).transition[at_destination], taxi_start(), 1e-12)


def test_outcomes_that_list_the_same_next_state_twice_add_up():
    always_left = np.tile([1.0, 0.0, 0.0, 0.0], (16, 1))
    P = mrp_from_env("FrozenLake-v1", always_left, 0.9).transition
    assert P[0, 0] == pytest.approx(2 / 3, abs=1e-12)  # left and up both hit a wall
    assert P[0, 4] == pytest.approx(1 / 3, abs=1e-12)


@uncounted
@pytest.mark.parametrize(
    ("name", "n_steps"), [("FrozenLake-v1", 25_000), ("CliffWalking-v1", 20_000), ("Taxi-v4", 40_000)]
)
def test_real_steps_agree_with_the_exact_process(name, n_steps):
    n_states, n_actions = len(RULES[name][1]), RULES[name][2]
    policy = random_policy(n_states, n_actions)
    if name == "CliffWalking-v1":
        # Up from the start, right along the cliff, down at the end: so that falls and restarts both happen.
        policy = 0.2 * policy + 0.8 * np.eye(4)[[0 if s == 36 else 2 if s % 12 == 11 else 1 for s in range(48)]]
    mrp, walk = mrp_from_env(name, policy, 0.9), rollout(name, policy, n_steps, seed=3)
    counts = np.zeros((n_states, n_states))
    s, rewards, s_next, *_ = walk.transitions
    np.add.at(counts, (s, s_next), 1)
    assert (mrp.transition[counts > 0] > 0).all()  # never an impossible step
    visits = counts.sum(axis=1)
    seen = visits >= (250 if name == "Taxi-v4" else 500)
    assert seen.sum() >= 8
    P, v = mrp.transition[seen], visits[seen, None]
    usual = v * P * (1 - P) >= 9  # a normal approximation needs some expected events
    gap = np.abs(counts[seen] - v * P)
    assert (gap[usual] <= 5 * np.sqrt(v * P * (1 - P))[usual]).all()
    means = np.bincount(s, weights=rewards, minlength=n_states)[seen] / visits[seen]
    squares = np.bincount(s, weights=rewards**2, minlength=n_states)[seen] / visits[seen]
    error = np.sqrt(np.maximum(squares - means**2, 0) / visits[seen])
    assert (np.abs(means - mrp.reward[seen]) <= 5 * error + 1e-9).all()


def test_a_rollout_restarts_where_reset_says_and_counts_every_step():
    walk = rollout(Corridor(), [[0.0, 1.0]] * 3, 7, seed=0)
    assert walk.states.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert walk.rewards.tolist() == [0, 0, 1, 0, 0, 1, 0]


class Strict(gym.Wrapper):
    """Refuses a step after an end, as Gymnasium asks of its users."""

    over = True

    def reset(self, **kwargs):
        self.over = False
        return self.env.reset(**kwargs)

    def step(self, action):
        assert not self.over, "stepped after the end"
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.over = terminated or truncated
        return observation, reward, terminated, truncated, info


@pytest.mark.parametrize("episodes", ["restart", "terminal"])
def test_a_time_limit_ends_a_walk_whose_last_state_is_kept(episodes):
    env = Corridor(ends=False)
    walk = rollout(Strict(gym.wrappers.TimeLimit(env, 2)), [[0.0, 1.0]] * 3, 5, 0, episodes)
    assert env.resets == 3
    assert walk.states.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]  # 2 is where each walk was cut; then a reset
    assert walk.source.tolist() == [True, True, False, True, True, False, True, False]
    assert walk.continues.tolist() == walk.source.tolist() and walk.n_steps == 5
    assert walk.transitions.actions.tolist() == [1] * 5


def test_a_terminal_step_is_flagged_or_leads_to_the_reset():
    walk = rollout(Strict(Corridor()), [[0.0, 1.0]] * 3, 6, 0, "terminal")
    assert walk.states.tolist() == [0, 1, 2, 0, 1, 2, 0]  # the query: where the next walk would begin
    assert np.flatnonzero(walk.terminated).tolist() == [2, 5] and not walk.truncated.any()
    assert_close(certainty_equivalence_value(walk, 0.5), [0.25, 0.5, 1.0], 1e-14)
    joined = rollout(Strict(Corridor()), [[0.0, 1.0]] * 3, 6, 0)
    assert joined.states.tolist() == walk.states.tolist() and not joined.terminated.any()


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1"])
@pytest.mark.parametrize("gamma", [0.95, 1.0])
def test_the_episodic_process_follows_the_rules_of_the_game(name, gamma):
    """v = (I - gamma P_c)^-1 r, P_c and r from the rules written out above."""
    rule, start, n_actions = RULES[name]
    n_states = len(start)
    policy = random_policy(n_states, n_actions)
    P, r = np.zeros((n_states, n_states)), np.zeros(n_states)
    for s in range(n_states):
        for a in range(n_actions):
            for probability, s_next, reward in rule(s, a):
                r[s] += policy[s, a] * probability * reward
                if s_next is not None:
                    P[s, s_next] += policy[s, a] * probability
    inside = np.arange(n_states) != 47 if name == "CliffWalking-v1" else np.ones(n_states, bool)
    mrp = mrp_from_env(name, policy, gamma, "terminal")
    P, r = P[np.ix_(inside, inside)], r[inside]
    assert_close(mrp.value()[inside], np.linalg.solve(np.eye(len(r)) - gamma * P, r), 1e-9)
    assert_close(mrp.terminal[inside], 1 - P.sum(axis=1), 1e-12)


def mean_and_error(samples: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / np.sqrt(len(samples))


@uncounted
@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1"])
def test_episodes_from_real_steps_have_the_exact_episodic_value(name):
    policy = None
    if name == "CliffWalking-v1":  # mostly up from the start, right along the cliff, down at the end
        policy = np.full((48, 4), 0.05)
        policy[range(48), [0 if s == 36 else 2 if s % 12 == 11 else 1 for s in range(48)]] = 0.85
    exact = mrp_from_env(name, policy, 0.9, "terminal").value()
    walks = [rollout(name, policy, 4000, seed, "terminal") for seed in range(8)]
    often = np.min([walk.visits() for walk in walks], axis=0) >= 50
    assert often.sum() >= 8
    mean, error = mean_and_error([certainty_equivalence_value(walk, 0.9)[often] for walk in walks])
    assert (np.abs(mean - exact[often]) <= 6 * error + 1e-3 * np.abs(exact).max()).all()
    restart = mrp_from_env(name, policy, 0.9).value()  # another value: the test would see it
    assert (np.abs(mean - restart[often]) > 6 * error + 1e-3 * np.abs(exact).max()).any()


@uncounted
def test_blackjack_agrees_with_every_visit_monte_carlo():
    """25,000 hands, stick from 17 on, gamma = 1: solving the observed chain against averaging what was won."""
    space = gym.spaces.Tuple([gym.spaces.Discrete(32), gym.spaces.Discrete(11), gym.spaces.Discrete(2)])
    labels = number_observations(space).labels
    policy = np.array([[1.0, 0.0] if int(label[1:].split(",")[0]) >= 17 else [0.0, 1.0] for label in labels])
    walk = rollout(gym.make("Blackjack-v1", disable_env_checker=True), policy, 41_000, 0, "terminal")
    s, r, _, terminated, *_ = walk.transitions
    assert walk.labels == labels and terminated.sum() >= 25_000
    ends = np.flatnonzero(terminated)
    counted = np.arange(ends[-1] + 1)  # whole hands only; the one reward of a hand comes with its end
    won = r[ends[np.searchsorted(ends, counted)]]
    visits = np.bincount(s[counted], minlength=len(labels))
    mean = np.bincount(s[counted], weights=won, minlength=len(labels)) / np.maximum(visits, 1)
    squares = np.bincount(s[counted], weights=won**2, minlength=len(labels)) / np.maximum(visits, 1)
    often = visits >= 100
    error = np.sqrt((squares - mean**2)[often] / visits[often])
    value = certainty_equivalence_value(walk, 1.0)
    assert often.sum() >= 50
    assert (np.abs(value - mean)[often] <= 4 * error + 1e-12).all()
    assert abs(value[walk.index("(20, 10, 0)")] - 0.44) < 0.1 and value[walk.index("(16, 10, 0)")] < -0.4


def test_cart_pole_s_box_goes_in_through_bins():
    bins = [[], [], [-0.1, 0.0, 0.1], [-0.5, 0.5]]
    walk = rollout("CartPole-v1", None, 4000, 0, "terminal", bins)
    assert walk.n_states == 12 and walk.labels[0] == "(any, any, below -0.1, below -0.5)"
    value = certainty_equivalence_value(walk, 1.0)
    upright, falling = "(any, any, -0.1 to 0, -0.5 to 0.5)", "(any, any, below -0.1, below -0.5)"
    assert value[walk.index(upright)] > value[walk.index(falling)] + 5  # steps left until it has fallen


SPACES = {
    "Discrete": (gym.spaces.Discrete(3, start=4), "5", 1),
    "MultiDiscrete": (gym.spaces.MultiDiscrete([2, 3], start=[0, 7]), "(0, 8)", 1),
    "MultiBinary": (gym.spaces.MultiBinary(3), "(0, 1, 1)", 3),
    "Tuple": (gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.MultiBinary(1)]), "(1, 0)", 2),
    "Dict": (gym.spaces.Dict(b=gym.spaces.Discrete(2), a=gym.spaces.Discrete(3)), "(b 1, a 2)", 5),
}


@pytest.mark.parametrize(("space", "label", "number"), SPACES.values(), ids=SPACES.keys())
def test_every_observation_of_a_space_has_a_number_of_its_own(space, label, number):
    numbering = number_observations(space)
    assert numbering.labels[number] == label
    assert len(set(numbering.labels)) == len(numbering.labels)
    space.seed(0)
    seen: dict[bytes, int] = {}  # by Gymnasium's own flat form
    for _ in range(300):
        observation = space.sample()
        own = gym.spaces.flatten(space, observation).tobytes()
        assert seen.setdefault(own, numbering.index(observation)) == numbering.index(observation)
    assert sorted(seen.values()) == list(range(len(numbering.labels)))


def test_cells_of_a_box_are_closed_below():
    numbering = number_observations(gym.spaces.Box(-1.0, 1.0, (2,)), [[0.0, 0.5], []])
    places = [numbering.labels[numbering.index(np.array([x, 0.3]))] for x in (-1.0, -0.01, 0.0, 0.49, 0.5, 1.0)]
    assert places == ["(below 0, any)"] * 2 + ["(0 to 0.5, any)"] * 2 + ["(from 0.5, any)"] * 2


class Says(Corridor):
    """A corridor whose observation after the first step is what it is told to say."""

    def __init__(self, space, observation, reward=0.0):
        super().__init__(space=space)
        self.observation, self.reward = observation, reward

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation, self.reward, False, False, {}


@pytest.mark.parametrize(
    ("space", "observation", "bins"),
    [
        (gym.spaces.Discrete(3), 3, None),
        (gym.spaces.Discrete(3), -1, None),
        (gym.spaces.Discrete(3), 0.5, None),
        (gym.spaces.Discrete(3), float("nan"), None),
        (gym.spaces.Discrete(3), None, None),
        (gym.spaces.Discrete(3), "1", None),
        (gym.spaces.MultiDiscrete([2, 2]), np.array([0, 2]), None),
        (gym.spaces.MultiDiscrete([2, 2]), np.array([0]), None),
        (gym.spaces.Tuple([gym.spaces.Discrete(2)] * 2), (0,), None),
        (gym.spaces.Dict(a=gym.spaces.Discrete(2)), {"b": 0}, None),
        (gym.spaces.Box(-1.0, 1.0, (1,)), np.array([float("nan")]), [[0.0]]),
        (gym.spaces.Box(-1.0, 1.0, (1,)), np.array([1.5]), [[0.0]]),
    ],
)
@pytest.mark.filterwarnings("ignore")  # Gymnasium's own checker warns, too
def test_an_observation_outside_its_space_is_named(space, observation, bins):
    with pytest.raises(ValueError, match=r"env gave the observation .*, which is outside its observation_space"):
        rollout(Says(space, observation), None, 3, 0, bins=bins)


def test_a_reward_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="the reward of step 0 is nan; it must be a finite number"):
        rollout(Says(gym.spaces.Discrete(3), 1, float("nan")), None, 3, 0)


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("reset", 3, r"env.reset gave 3; it must give \(observation, info\): correct"),
        (
            "step",
            (1, 0.0, False, {}),
            r"env.step gave \(1, 0.0, .*\); it must give \(observation, reward, terminated, ",
        ),
        ("step", (1, 0.0, float("nan"), False, {}), "env.step gave terminated nan; it must be True or False"),
        ("step", (1, 0.0, False, None, {}), "env.step gave truncated None; it must be True or False"),
    ],
)
def test_an_answer_that_is_not_gymnasium_s_is_named(method, answer, message):
    env = Says(gym.spaces.Discrete(3), 1)
    setattr(env, method, lambda *_, **__: answer)
    with pytest.raises(ValueError, match=message):
        rollout(env, None, 3, 0)


def test_what_an_environment_itself_raises_comes_through():
    env = Says(gym.spaces.Discrete(3), 1)
    env.step = lambda action: {}["its own mistake"]
    with pytest.raises(KeyError, match="its own mistake"):
        rollout(env, None, 3, 0)


@pytest.mark.parametrize("door", [lambda env: mrp_from_env(env, None, 0.9), lambda env: rollout(env, None, 3, 0)])
def test_an_environment_without_spaces_is_refused(door):
    with pytest.raises(ValueError, match="has no observation_space; give it one"):
        door(gym.Env())


class Listed(gym.Env):
    """Two states and one action; from each, `outcomes`."""

    observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(1)

    def __init__(self, outcomes, start=(1.0, 0.0)):
        self.P, self.initial_state_distrib = {s: {0: outcomes} for s in (0, 1)}, start


@pytest.mark.parametrize(
    "outcomes",
    [
        [(1.0, 2, 0.0, False)],
        [(1.0, -1, 0.0, False)],  # not the last state, as an index would have it
        [(1.0, 0.5, 0.0, False)],
        [(1.0, 0, float("nan"), False)],
        [(1.5, 0, 0.0, False), (-0.5, 1, 0.0, False)],
        [(1.0, 0, 0.0)],
        None,
    ],
)
def test_a_broken_transition_table_is_refused(outcomes):
    with pytest.raises(
        ValueError, match=r"whose P\[0\]\[0\] is no list of \(probability, .* 0 to 1 and finite rewards"
    ):
        mrp_from_env(Listed(outcomes), None, 0.9)


def test_a_table_s_next_state_behind_an_end_is_not_looked_at():
    assert mrp_from_env(Listed([(1.0, 7, 2.0, True)]), None, 1.0, "terminal").value().tolist() == [2.0, 2.0]


def test_a_broken_start_distribution_is_refused():
    with pytest.raises(ValueError, match=r"initial_state_distrib of env has shape \(3,\); it must have shape \(2,\)"):
        mrp_from_env(Listed([(1.0, 0, 0.0, True)], (1.0, 0.0, 0.0)), None, 0.9)


def test_gamma_of_1_is_refused_with_the_remedy_where_no_episode_ends():
    with pytest.raises(ValueError, match=r"gamma is 1, and with episodes='restart' .*; take episodes='terminal', or"):
        mrp_from_env("FrozenLake-v1", None, 1.0)
    always_up = np.eye(4)[np.zeros(48, dtype=int)]
    with pytest.raises(ValueError, match="gamma is 1, and under this policy no episode ever ends; take another policy"):
        mrp_from_env("CliffWalking-v1", always_up, 1.0, "terminal")


def test_actions_may_count_from_another_number():
    class FromFive(Corridor):
        action_space = gym.spaces.Discrete(2, start=5)

        def step(self, action):
            return super().step(action - 5)

    assert rollout(FromFive(), [[0.0, 1.0]] * 3, 7, 0).states.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_the_seed_decides_the_walk():
    one, same, other = (rollout("FrozenLake-v1", None, 200, seed=s) for s in (1, 1, 2))
    assert (one.states == same.states).all() and (one.states != other.states).any()


class Coin(gym.Env):
    """Guess a coin: one draw a step, and none in reset. Two states, so that the walk can move."""

    observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        side = int(self.np_random.random() < 0.5)
        return side, 1.0 if action != side else -1.0, False, False, {}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_policy_cannot_foresee_the_environment_s_luck(seed):
    """Both draw uniform numbers from one seed. From one stream, every guess would be right: the mean would be 1."""
    walk = rollout(Coin(), None, 4000, seed)
    coins = 1.0 - 2.0 * walk.states[1:]  # +1 or -1
    guesses = -walk.rewards * coins
    for lag in range(-3, 4):  # nor any draw a little earlier or later
        earlier, later = (guesses, coins) if lag >= 0 else (coins, guesses)
        assert abs(np.mean(earlier[: 4000 - abs(lag)] * later[abs(lag) :])) < 0.07


def test_a_walk_knows_all_states_by_their_numbers():
    assert rollout("FrozenLake-v1", None, 3, seed=0).labels == tuple(str(s) for s in range(16))


def test_an_environment_without_a_table_is_sent_to_rollout():
    with pytest.raises(ValueError, match=r"no transition table .*P and initial_state_distrib.*use rollout\(env"):
        mrp_from_env(Corridor(), None, 0.9)


@pytest.mark.parametrize(
    ("space", "bins", "message"),
    [
        (gym.spaces.Box(0, 1, (2,)), None, r"there are no bins; give the edges of 2 dimensions"),
        (gym.spaces.Box(0, 1, (2,)), [[0.5]], r"there are bins for 1 dimensions; give the edges of 2"),
        (gym.spaces.Box(0, 1, (1,)), [[0.5, 0.5]], r"bins\[0\] is \[0.5, 0.5\]; edges must rise"),
        (gym.spaces.Discrete(3), [[0.5]], "bins are for a Box: leave them out"),
        (gym.spaces.Text(3), None, "must be Discrete, MultiDiscrete, .* wrap the environment"),
        (gym.spaces.Tuple([gym.spaces.Box(0, 1, (1,))]), None, "must be Discrete, MultiDiscrete"),
        (gym.spaces.MultiDiscrete([1000, 1000]), None, "of 1,000,000 states; at most 100,000 can be numbered"),
    ],
)
def test_spaces_that_cannot_be_numbered_are_refused(space, bins, message):
    with pytest.raises(ValueError, match=message):
        rollout(Corridor(space=space), None, 5, 0, bins=bins)


def test_a_table_needs_states_that_count_from_zero():
    with pytest.raises(
        ValueError, match=r"env has observation_space Tuple.* it must be Discrete\(n\) counting from 0: wrap .*rollout"
    ):
        mrp_from_env("Blackjack-v1", None, 0.9)


def test_what_is_no_single_environment_is_refused():
    with pytest.raises(ValueError, match=r"a vector of environments; give a single one"):
        rollout(gym.make_vec("CartPole-v1", num_envs=2), None, 5, 0)
    with pytest.raises(ValueError, match=r"env is 3; it must be a gymnasium.Env or the name of one"):
        rollout(3, None, 5, 0)


def test_continuous_actions_are_refused():
    env = Corridor()
    env.action_space = gym.spaces.Box(-1, 1, (1,))
    with pytest.raises(ValueError, match="env has action_space Box"):
        rollout(env, None, 5, 0)


def test_an_unknown_environment_is_named():
    with pytest.raises(ValueError, match="env is 'NoSuchLake-v9'; Gymnasium cannot make it"):
        mrp_from_env("NoSuchLake-v9", None, 0.9)


@pytest.mark.parametrize(
    "door", [lambda p: mrp_from_env("FrozenLake-v1", p, 0.9), lambda p: rollout("FrozenLake-v1", p, 5, 0)]
)
def test_a_bad_policy_is_refused(door):
    with pytest.raises(ValueError, match=r"policy has shape \(16, 3\); it must have shape \(16, 4\)"):
        door(np.ones((16, 3)) / 3)
    with pytest.raises(ValueError, match="row 0 of policy sums to 2; probabilities must sum to 1"):
        door(np.full((16, 4), 0.5))
