"""Input is checked at the door: each message names the argument, the value or line, and what would be right."""

import json
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from icrl_teach import (
    LinearTransformer,
    MarkovRewardProcess,
    SoftmaxTransformer,
    TaskBatch,
    Trajectory,
    aggregation,
    batch_linear_td,
    batch_tabular_td,
    boyan_chain,
    build_linear_prompt,
    build_prompt,
    certainty_equivalence_value,
    empirical_operators,
    geometric_bound,
    kernel_td,
    linear_td,
    loop,
    lstd,
    matching_matrix,
    one_hot,
    operator_td,
    position_features,
    random_features,
    random_mrp,
    read_features,
    read_trajectory,
    required_sharpness,
    rollout,
    sample_family,
    sample_tasks,
    softmax_attention,
    softmax_weights,
    tabular_td,
    td_parameters,
    weighted_softmax_td,
    write_trajectory,
)
from icrl_teach._validate import check_count, check_finite, check_gamma

EYE, ONES, NAN, INF = np.eye(2), np.ones(2), float("nan"), float("inf")
WALK = Trajectory([0, 1, 0], [1.0, 2.0])
X, R = np.ones((3, 2)), np.ones(2)


def rng():
    return np.random.default_rng(0)


GAMMA_DOORS = {
    "MarkovRewardProcess": lambda g: MarkovRewardProcess(EYE, ONES, g),
    "boyan_chain": lambda g: boyan_chain(4, g, rng()),
    "loop": lambda g: loop(4, g, rng()),
    "random_mrp": lambda g: random_mrp(4, g, rng()),
    "sample_tasks": lambda g: sample_tasks("loop", 2, 4, g, torch.Generator()),
    "tabular_td": lambda g: tabular_td(WALK, g, 0.1),
    "batch_tabular_td": lambda g: batch_tabular_td(WALK, g, 3),
    "linear_td": lambda g: linear_td(X, R, g, 0.1),
    "batch_linear_td": lambda g: batch_linear_td(X, R, g, 3),
    "lstd": lambda g: lstd(X, R, g),
    "certainty_equivalence_value": lambda g: certainty_equivalence_value(WALK, g),
    "weighted_softmax_td": lambda g: weighted_softmax_td(X, R, g, 3),
    "operator_td": lambda g: operator_td(EYE, EYE, ONES, g, 3),
    "required_sharpness": lambda g: required_sharpness(0.1, g, 0.01),
    "build_prompt": lambda g: build_prompt(X, R, np.zeros(3), g),
    "build_linear_prompt": lambda g: build_linear_prompt(X, R, g),
    "TaskBatch": lambda g: TaskBatch(torch.ones(1, 2, 2) / 2, torch.ones(1, 2), g),
    "prompt without v0": lambda g: build_prompt(X, R, gamma=g),
    "SoftmaxTransformer": lambda g: SoftmaxTransformer(2, 3, g)(build_prompt(X, R)),  # 1: an ending is in the prompt
    "LinearTransformer": lambda g: LinearTransformer(2, 3, g),
}


@pytest.mark.parametrize("door", GAMMA_DOORS.values(), ids=GAMMA_DOORS.keys())
@pytest.mark.parametrize("gamma", [1.0, 1.5, -0.1, NAN, INF])
def test_gamma_outside_0_to_1_is_refused_at_every_door(door, gamma):
    with pytest.raises(ValueError, match=rf"gamma is {gamma}; the discount must satisfy 0 <= gamma < 1"):
        door(gamma)


# name: (call, what the message says)
REFUSED = {
    "row sum": (
        lambda: MarkovRewardProcess([[0.5, 0.5], [0.5, 0.6]], ONES, 0.9),
        r"row 1 of transition sums to 1.1; probabilities must sum to 1: divide the row by its sum",
    ),
    "negative probability": (
        lambda: MarkovRewardProcess([[1.5, -0.5], [0, 1]], ONES, 0.9),
        r"transition\[0, 1\] is -0.5; a probability cannot be negative",
    ),
    "NaN probability": (lambda: MarkovRewardProcess([[NAN, 1], [0, 1]], ONES, 0.9), r"transition\[0, 0\] is nan"),
    "start sum": (
        lambda: MarkovRewardProcess(EYE, ONES, 0.9, start=[0.5, 0.6]),
        r"start sums to 1.1; .* must sum to 1",
    ),
    "NaN reward": (
        lambda: MarkovRewardProcess(EYE, [0, NAN], 0.9),
        r"reward\[1\] is nan; every entry must be a finite",
    ),
    "infinite reward": (lambda: Trajectory([0, 1], [INF]), r"rewards\[0\] is inf; .* finite number: remove or replace"),
    "NaN reward in a walk": (lambda: Trajectory([0, 1], [NAN]), r"rewards\[0\] is nan"),
    "text for a reward": (lambda: Trajectory([0, 1], ["ten"]), r"rewards is \['ten'\]; it must be an array of numbers"),
    "ragged transition": (
        lambda: MarkovRewardProcess([[1, 0], [1]], ONES, 0.9),
        r"transition is \[\[1, 0\], \[1\]\]; it must be an array of numbers",
    ),
    "transition not square": (
        lambda: MarkovRewardProcess(np.ones((2, 3)) / 3, ONES, 0.9),
        r"transition has shape \(2, 3\); it must have shape \(2, 2\)",
    ),
    "reward with two axes": (
        lambda: MarkovRewardProcess(EYE, EYE, 0.9),
        r"reward has shape \(2, 2\); .* 1 axes, not 2",
    ),
    "no states": (lambda: MarkovRewardProcess(np.zeros((0, 0)), [], 0.9), "reward is empty; .* at least one state"),
    "labels too few": (
        lambda: MarkovRewardProcess(EYE, ONES, 0.9, labels=["a"]),
        "labels has 1 names; the data has 2 states: give one name for each",
    ),
    "labels twice": (lambda: MarkovRewardProcess(EYE, ONES, 0.9, labels=["a", "a"]), "labels holds 'a' twice"),
    "walk labels too few": (lambda: Trajectory([0, 2], [1.0], ["a", "b"]), "labels has 2 names; the data has 3 states"),
    "no transition": (lambda: Trajectory([0], []), "rewards is empty; a context needs at least one transition"),
    "lengths": (
        lambda: Trajectory([0, 1], [1.0, 2.0]),
        r"states has shape \(2,\) and rewards \(2,\); there must be one more position than rewards, 3 ",
    ),
    "negative state": (lambda: Trajectory([0, -1], [1.0]), "states holds -1.0; states are whole numbers from 0"),
    "half a state": (lambda: Trajectory([0, 0.5], [1.0]), "states holds 0.5; states are whole numbers from 0"),
    "query state outside the data": (
        lambda: Trajectory([0, 1], [1.0], ["home", "work"]).index("school"),
        "state 'school' does not occur in the data; the states are: home, work",
    ),
    "query state outside long data": (
        lambda: Trajectory(range(20), np.zeros(19)).index("20"),
        "state '20' does not occur in the data; the states are: 0, 1, .*, 9, ...$",
    ),
    "unknown start": (
        lambda: MarkovRewardProcess(EYE, ONES, 0.9).sample(3, rng(), start=2),
        "start is 2; the states are 0 to 1",
    ),
    "no steps": (lambda: MarkovRewardProcess(EYE, ONES, 0.9).sample(0, rng()), "n_steps is 0; .* at least 1"),
    "no steps in a batch": (
        lambda: sample_tasks("loop", 2, 4, 0.9, torch.Generator()).sample(0, torch.Generator()),
        "n_steps is 0; it must be a whole number of at least 1",
    ),
    "unknown family": (
        lambda: sample_family("ring", 4, 0.9, rng()),
        "family is 'ring'; choose one of boyan, loop, random",
    ),
    "unknown family in a batch": (
        lambda: sample_tasks("ring", 2, 4, 0.9, torch.Generator()),
        "family is 'ring'; choose one of boyan, loop, random",
    ),
    "loop of one": (lambda: loop(1, 0.9, rng()), "n_states is 1; .* at least 2"),
    "boyan too short": (lambda: boyan_chain(2, 0.9, rng()), "n_states is 2; .* at least 3"),
    "boyan batch too short": (
        lambda: sample_tasks("boyan", 1, 2, 0.9, torch.Generator()),
        "n_states is 2; .* at least 3",
    ),
    "threshold": (lambda: loop(4, 0.9, rng(), threshold=1.5), "threshold is 1.5; .* between 0 and 1"),
    "tau": (lambda: one_hot(3, tau=0.0), "tau is 0.0; it must be a positive number"),
    "no features": (lambda: random_features(3, 0, rng()), "d is 0; it must be a whole number of at least 1"),
    "groups": (lambda: aggregation(3, 4), "n_groups is 4, more than the 3 states"),
    "unknown state": (
        lambda: position_features(Trajectory([0, 5], [1.0]), EYE),
        "state_features has 2 rows but the trajectory visits state 5: give at least 6 rows",
    ),
    "unknown state for operators": (
        lambda: empirical_operators(Trajectory([0, 5], [1.0]), EYE),
        "state_features has 2 rows but the trajectory visits state 5",
    ),
    "matching rows": (
        lambda: matching_matrix(MarkovRewardProcess(EYE, ONES, 0.9), np.eye(3)),
        "state_features has 3 rows; the process has 2 states",
    ),
    "features one row short": (
        lambda: weighted_softmax_td(X[:2], R, 0.9, 3),
        r"features has shape \(2, 2\); it must have shape \(m\+1, d\), where m is 2 in rewards",
    ),
    "empty context": (
        lambda: weighted_softmax_td(X[:1], [], 0.9, 3),
        r"rewards is empty, of shape \(0,\); .* each at least 1",
    ),
    "NaN feature": (lambda: lstd([[NAN], [1]], [1.0], 0.9), r"features\[0, 0\] is nan"),
    "queries and sources": (
        lambda: softmax_weights(EYE, np.ones((2, 3))),
        r"sources has shape \(2, 3\); it must have shape \(n, d\), where d is 2 in queries",
    ),
    "no sources": (
        lambda: softmax_weights(EYE, np.ones((0, 2))),
        r"sources is empty, of shape \(0, 2\); .* each at least 1",
    ),
    "beta": (lambda: softmax_weights(EYE, EYE, beta=INF), "beta is inf; it must be a finite number"),
    "beta of a matrix": (
        lambda: matching_matrix(MarkovRewardProcess(EYE[::-1], ONES, 0.9), EYE, NAN),
        "beta is nan; it must be a finite number",
    ),
    "step of a table": (lambda: tabular_td(WALK, 0.9, NAN), "alpha is nan; it must be a finite number"),
    "step of a batch": (lambda: batch_tabular_td(WALK, 0.9, 3, INF), "alpha is inf; it must be a finite number"),
    "step of features": (lambda: linear_td(X, R, 0.9, NAN), "alpha is nan; it must be a finite number"),
    "step of a batch of features": (lambda: batch_linear_td(X, R, 0.9, 3, NAN), "alpha is nan; it must be"),
    "step of operators": (lambda: operator_td(EYE, EYE, ONES, 0.9, 3, INF), "alpha is inf; it must be a finite"),
    "ridge": (lambda: lstd(X, R, 0.9, ridge=-1.0), "ridge is -1.0; it must be 0 or a small positive number"),
    "temperature of a network": (lambda: td_parameters(1, beta=INF), "beta is inf; it must be a finite number"),
    "a query alone": (
        lambda: softmax_attention(torch.ones(4, 1), torch.ones(4, 4)),
        r"Z has shape \(4, 1\); attention needs a column to read before the query",
    ),
    "start of a walk": (lambda: boyan_chain(4, 0.9, rng()).sample(3, rng(), start=9), "start is 9; the states are 0"),
    "seed of a rollout": (lambda: rollout("FrozenLake-v1", None, 3, -1), "seed is -1; .* at least 0"),
    "tasks of another size": (
        lambda: TaskBatch(torch.ones(2, 3, 3) / 3, torch.ones(2, 4), 0.9),
        r"reward has shape \(2, 4\); it must have shape \(n_tasks, n_states\), where n_states is 3 in transition",
    ),
    "tasks without distributions": (lambda: TaskBatch(torch.ones(2, 3, 3), torch.ones(2, 3), 0.9), "no distribution"),
    "tasks with negative shares": (
        lambda: TaskBatch(torch.tensor([[[2.0, -1.0], [0.0, 1.0]]]), torch.ones(1, 2), 0.9),
        "entries are 0 or more and sum to 1",
    ),
    "weights": (
        lambda: kernel_td(EYE, ONES, 0.9, 3),
        r"weights has shape \(2, 2\); it must have shape \(m\+1, m\), where m is 2",
    ),
    "v0 of a context": (lambda: weighted_softmax_td(X, R, 0.9, 3, v0=[1.0]), "v0 has 1 entries; it needs 3"),
    "v0 of a table": (lambda: tabular_td(WALK, 0.9, 0.1, v0=[1.0]), "v0 has 1 entries; it needs 2"),
    "w0": (lambda: linear_td(X, R, 0.9, 0.1, w0=[1.0]), "w0 has 1 entries; it needs 2"),
    "iterations": (lambda: batch_linear_td(X, R, 0.9, -1), "n_iterations is -1; .* at least 0"),
    "mu_min": (lambda: required_sharpness(0.0, 0.9, 0.01), "mu_min is 0.0; .* between 0 and 1"),
    "mu_min 1": (lambda: required_sharpness(1.0, 0.9, 0.01), "mu_min is 1.0; .* between 0 and 1"),
    "margin": (
        lambda: required_sharpness(0.1, 0.9, 0.05),
        "margin is 0.05; with gamma = 0.9 it must lie between 0 and 0.05",
    ),
    "bound's margin": (lambda: geometric_bound(0.5, 3), "margin is 0.5; Theorem 2 needs"),
    "prompt NaN": (lambda: build_prompt(X * NAN, R), "features holds NaN or infinity; every entry must be a finite"),
    "prompt with one NaN": (lambda: build_prompt([[1.0], [NAN]], [1.0]), "features holds NaN or infinity"),
    "prompt infinity in a list": (lambda: build_prompt([[1.0], [1.0]], [INF]), "rewards holds NaN or infinity"),
    "prompt text": (
        lambda: build_prompt([["a"], ["b"]], [1.0]),
        r"features is \[\['a'\], .*; it must be an array of numbers",
    ),
    "prompt ragged": (
        lambda: build_prompt([[1.0], [1.0, 2.0]], [1.0]),
        "features is .*; it must be an array of numbers, all rows equally long",
    ),
    "prompt axes": (lambda: build_prompt([1.0, 2.0], [1.0]), r"features has shape \(2,\); .* \(..., m\+1, d\)"),
    "prompt empty": (lambda: build_prompt(X[:1], np.ones(0)), r"rewards is empty, of shape \(0,\)"),
    "prompt lengths": (
        lambda: build_prompt(X, np.ones(3)),
        r"features has shape \(3, 2\); it must have shape \(..., m\+1, d\), where m is 3 in rewards",
    ),
    "prompt batch": (
        lambda: build_linear_prompt(np.ones((5, 3, 2)), np.ones((4, 2)), 0.9),
        r"rewards has shape \(4, 2\); it must have shape \(..., m\), where ... is \(5,\) in features",
    ),
    "prompt v0 without gamma": (
        lambda: build_prompt(X, R, np.zeros(3)),
        "gamma is missing: with v0, .* pass gamma=0.9",
    ),
    "prompt v0": (lambda: build_prompt(X, R, np.zeros(2), 0.9), r"v0 has shape \(2,\); it must have shape \(3,\)"),
    "network of no layers": (lambda: SoftmaxTransformer(2, 0, 0.9), "n_layers is 0; .* at least 1"),
    "prompt of another d": (
        lambda: SoftmaxTransformer(2, 3, 0.9)(torch.ones(4, 6)),
        r"prompt has shape \(4, 6\); this network reads \(..., 5, n\+1\) with n >= 1: tokens are columns",
    ),
    "prompt with a query only": (lambda: SoftmaxTransformer(2, 3, 0.9)(torch.ones(5, 1)), r"prompt has shape \(5, 1\)"),
    "one layer": (
        lambda: SoftmaxTransformer(2, 3, 0.9).layer(torch.ones(4, 3), 0),
        r"Z has shape \(4, 3\); this network reads \(..., 5, n\+1\)",
    ),
    "linear prompt": (lambda: LinearTransformer(2, 3, 0.9)(torch.ones(6, 5)), r"prompt has shape \(6, 5\); .* 5, n\+1"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("value", ["high", "0.9", None, [1, 2]])
def test_what_is_no_number_is_refused_by_name(value):
    for check in (check_gamma, partial(check_finite, "gamma"), partial(check_count, "gamma")):
        with pytest.raises(ValueError, match=re.escape(f"gamma is {value!r}; it must be a number")):
            check(value)


def test_a_log_that_is_not_there_or_is_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.csv: cannot be read: No such file or directory; check the path"):
        read_trajectory(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="cannot be read: Is a directory; a folder must be a Minari data set"):
        read_trajectory(tmp_path)


FEATURES = {
    "no row": (b"state,x\na,1\n", "x.csv: no row for state 'b', which the log visits; add its features"),
    "two rows": (b"state,x\na,1\na,2\n", "x.csv, line 3: state 'a' has a row already; keep one of them"),
    "header": (b"name,x\na,1\n", "x.csv: the header is 'name,x'; it must be state, then one name a feature"),
    "no features": (b"state\na\n", "x.csv: the header is 'state'; it must be state, then one name a feature"),
    "short row": (b"state,x,y\na,1\n", "x.csv, line 2: 2 fields where the header has 3"),
    "not a number": (b"state,x\na,1\nb,tall\n", "x.csv, line 3: x is 'tall'; it must be a finite number"),
    "empty": (b"", "x.csv: the file is empty"),
}


@pytest.mark.parametrize(("content", "message"), FEATURES.values(), ids=FEATURES.keys())
def test_bad_features_are_refused_with_file_line_value_and_remedy(content, message, tmp_path):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_features(tmp_path / "x.csv", ("a", "b"))


def test_arguments_of_a_wrong_type_are_refused_outside_the_tests_too():
    """Here the type checker speaks first, so these messages are read from an interpreter without it."""
    script = """
import json, numpy as np, icrl_teach as t
calls = [lambda: t.SoftmaxTransformer(2, 3, 0.9, block="both"), lambda: t.one_hot(2.5), lambda: t.one_hot(True)]
messages = []
for call in calls:
    try:
        call()
        messages.append("no error")
    except ValueError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "block is 'both'; choose one of shift, dual",
        "n_states is 2.5; it must be a whole number of at least 1",
        "n_states is True; it must be a whole number of at least 1",
    ]


@pytest.mark.parametrize("alpha", [np.ones(3), np.ones((2, 2))])
def test_a_step_size_of_wrong_shape_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha has shape .* must be a number, \(2,\) .* or \(4, 1\)"):
        kernel_td([[1.0], [1.0]], [1.0], 0.5, 4, alpha)


def test_a_step_size_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="alpha is nan; every entry must be a finite number"):
        kernel_td([[1.0], [1.0]], [1.0], 0.5, 4, np.nan)


def test_writing_into_a_missing_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder; make it first"):
        write_trajectory(tmp_path / "none" / "log.csv", Trajectory([0, 1], [1.0]))
