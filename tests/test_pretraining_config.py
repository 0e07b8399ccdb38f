"""A run that cannot be is refused, with the field, its value and the remedy."""

import math
from dataclasses import replace

import pytest

from icrl_teach.pretraining.config import PretrainConfig
from pretraining_cases import small


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "tree"}, "family is 'tree'; choose one of boyan, loop, random"),
        ({"features": "none"}, "features is 'none'; choose one of one-hot, random, aggregated"),
        ({"normalisation": "max"}, "normalisation is 'max'; choose one of softmax, linear, sigmoid"),
        ({"loss": "mse"}, "loss is 'mse'; choose one of td, value"),
        ({"gamma": 1.0}, "gamma is 1.0; the discount must satisfy"),
        ({"n_layers": 0}, "n_layers is 0; it must be a whole number of at least 1"),
        ({"n_windows": -1}, "n_windows is -1"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"warmup": -1}, "warmup is -1; it must be a whole number of at least 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be a positive number"),
        ({"learning_rate": math.nan}, "learning_rate is nan; it must be a positive number"),
        ({"clip": math.inf}, "clip is inf; it must be a positive number"),
        ({"feature_scale": -1.0}, "feature_scale is -1.0; it must be a positive number"),
        ({"n_states": (2, 5)}, "n_states is 2; it must be a whole number of at least 3"),
        ({"n_states": (5, 4)}, r"n_states is \(5, 4\); it must be \(least, most\) with least <= most"),
        ({"n_context": (0, 4)}, "n_context is 0; it must be a whole number of at least 1"),
        ({"seeds": ()}, r"seeds is \(\); it must name one or more runs, each once"),
        ({"seeds": (1, 1)}, r"seeds is \(1, 1\); it must name one or more runs, each once"),
        ({"seeds": (-1,)}, "seeds is -1; it must be a whole number of at least 0"),
        ({"d": 4}, "d is 4; one-hot features of up to 5 states need d of at least 5"),
        ({"features": "aggregated", "d": 6}, "d is 6; as few as 5 states aggregate into 5 groups at most: lower d"),
    ],
)
def test_a_run_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        small(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_states": 6}, r"n_states is 6; it must be a pair \(least, most\), for example \(6, 6\)"),
        ({"n_context": (1, 2, 3)}, r"n_context is \(1, 2, 3\); it must be a pair \(least, most\)"),
        ({"seeds": 3}, "seeds is 3; it must name one or more runs"),
    ],
)
def test_values_of_another_type_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(small(), **changes)


def test_seeds_that_would_meet_the_held_out_tasks_are_refused():
    with pytest.raises(ValueError, match="seeds are whole numbers from 0 to 999,999"):
        PretrainConfig(seeds=(1_000_000,))
