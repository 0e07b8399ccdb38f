"""The path by which notebooks import what pretraining minimises; it stands in `pretraining/`."""

from icrl_teach.pretraining.answers import (
    Parameters,
    answers,
    constructed_parameters,
    initial_parameters,
    to_transformer,
)
from icrl_teach.pretraining.batches import Batch, draw_batch, held_out, window_prompts
from icrl_teach.pretraining.config import PretrainConfig
from icrl_teach.pretraining.losses import loss, neu_loss, neu_squared, value_error

__all__ = [
    "Batch",
    "Parameters",
    "PretrainConfig",
    "answers",
    "constructed_parameters",
    "draw_batch",
    "held_out",
    "initial_parameters",
    "loss",
    "neu_loss",
    "neu_squared",
    "to_transformer",
    "value_error",
    "window_prompts",
]
