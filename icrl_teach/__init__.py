"""In-context reinforcement learning, taught: softmax attention that does temporal difference learning.

Names load on first use, so that `import icrl_teach` stays light: torch, matplotlib and ipywidgets come only with
the names that need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "mrp": ["MarkovRewardProcess", "Trajectory"],
    "tasks": ["boyan_chain", "loop", "random_mrp", "sample_family", "sample_tasks", "TaskBatch"],
    "environments": ["mrp_from_env", "rollout"],
    "logs": ["read_trajectory", "write_trajectory", "read_features"],
    "features": ["one_hot", "random_features", "aggregation", "position_features"],
    "td": [
        "td_errors",
        "tabular_td",
        "batch_tabular_td",
        "linear_td",
        "batch_linear_td",
        "lstd",
        "certainty_equivalence_value",
    ],
    "softmax_td": [
        "inner_product",
        "log_inner_product",
        "softmax_weights",
        "kernel_td",
        "weighted_softmax_td",
        "empirical_operators",
        "operator_td",
        "fixed_point",
    ],
    "theory": [
        "matching_matrix",
        "population_operators",
        "contraction_margin",
        "required_sharpness",
        "iteration_matrix",
        "sup_norm",
        "spectral_radius",
        "geometric_bound",
    ],
    "prompt": ["build_prompt", "build_linear_prompt", "reward_row", "target_row", "value_row", "row_names"],
    "attention": ["softmax_attention", "linear_attention"],
    "transformer": [
        "td_error_row",
        "td_parameters",
        "shift_left",
        "time_shift",
        "SoftmaxTransformer",
        "LinearTransformer",
    ],
    "losses": [
        "PretrainConfig",
        "draw_batch",
        "held_out",
        "initial_parameters",
        "constructed_parameters",
        "answers",
        "value_error",
        "neu_loss",
        "neu_squared",
    ],
    "pretraining": ["pretrain", "PretrainingResult", "CheckpointError", "load_result"],
    "emergence": [
        "centre_columns",
        "align_row",
        "align_scores",
        "function_agreement",
        "learned_parts",
        "summarise",
    ],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'icrl_teach' has no attribute {name!r}")
    value = getattr(import_module(f"icrl_teach.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


if TYPE_CHECKING:  # what editors and type checkers see
    from icrl_teach.attention import linear_attention, softmax_attention
    from icrl_teach.emergence import (
        align_row,
        align_scores,
        centre_columns,
        function_agreement,
        learned_parts,
        summarise,
    )
    from icrl_teach.environments import mrp_from_env, rollout
    from icrl_teach.features import aggregation, one_hot, position_features, random_features
    from icrl_teach.logs import read_features, read_trajectory, write_trajectory
    from icrl_teach.losses import (
        PretrainConfig,
        answers,
        constructed_parameters,
        draw_batch,
        held_out,
        initial_parameters,
        neu_loss,
        neu_squared,
        value_error,
    )
    from icrl_teach.mrp import MarkovRewardProcess, Trajectory
    from icrl_teach.pretraining import CheckpointError, PretrainingResult, load_result, pretrain
    from icrl_teach.prompt import build_linear_prompt, build_prompt, reward_row, row_names, target_row, value_row
    from icrl_teach.softmax_td import (
        empirical_operators,
        fixed_point,
        inner_product,
        kernel_td,
        log_inner_product,
        operator_td,
        softmax_weights,
        weighted_softmax_td,
    )
    from icrl_teach.tasks import TaskBatch, boyan_chain, loop, random_mrp, sample_family, sample_tasks
    from icrl_teach.td import (
        batch_linear_td,
        batch_tabular_td,
        certainty_equivalence_value,
        linear_td,
        lstd,
        tabular_td,
        td_errors,
    )
    from icrl_teach.theory import (
        contraction_margin,
        geometric_bound,
        iteration_matrix,
        matching_matrix,
        population_operators,
        required_sharpness,
        spectral_radius,
        sup_norm,
    )
    from icrl_teach.transformer import (
        LinearTransformer,
        SoftmaxTransformer,
        shift_left,
        td_error_row,
        td_parameters,
        time_shift,
    )
