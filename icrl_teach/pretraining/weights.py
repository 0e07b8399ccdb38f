"""Trained weights as a file to share: safetensors, with a JSON header of what they are. Loading never runs code.

A checkpoint (`checkpoints.py`) keeps a run so that it can go on; this keeps what came out of it. The course ships one:
the stock Transformer of lesson 14, made by the command

    icrl-teach pretrain --architecture stock --positions none --context 20 --layers 3 --width 32 --heads 2
        --tasks 32 --windows 4 --steps 500 --seeds 3 --weights icrl_teach/pretraining/stock.safetensors
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from icrl_teach._door import door
from icrl_teach._files import atomic_write
from icrl_teach._validate import File
from icrl_teach.pretraining.checkpoints import (
    DAMAGE,
    CheckpointError,
    PretrainingResult,
    config_from,
)
from icrl_teach.pretraining.config import parameter_shapes
from icrl_teach.pretraining.processes import first_line

WEIGHTS_FORMAT = "icrl-teach weights 1"
SHIPPED = Path(__file__).with_name("stock.safetensors")


@door
def save_weights(path: File, result: PretrainingResult) -> None:
    """Write the parameters of all seeds; in the header their configuration, steps and history. Whole or not at all."""
    header = {
        "format": WEIGHTS_FORMAT,
        "config": json.dumps(asdict(result.config)),
        "steps": str(result.steps),
        "history": json.dumps(result.history),
    }
    with atomic_write(path, "wb") as file:
        file.write(save({name: p.contiguous() for name, p in result.parameters.items()}, header))


@door
def load_weights(path: File) -> PretrainingResult:
    """What `save_weights` wrote, without snapshots. Never runs code. Raises CheckpointError (a ValueError)."""
    name = Path(path).name
    try:
        with safe_open(path, "pt") as file:
            header, theta = file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{name}: there is no such file of weights; check the path") from None
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(
            f"{name}: no readable safetensors file (foreign or truncated): {first_line(error)}; "
            "use one that icrl-teach pretrain --weights wrote"
        ) from None
    if header.get("format") != WEIGHTS_FORMAT:
        raise CheckpointError(f"{name}: not weights of this version ({WEIGHTS_FORMAT!r}); train them anew")
    try:
        config, steps, history = config_from(header["config"]), int(header["steps"]), json.loads(header["history"])
        shapes = {key: (len(config.seeds), *shape) for key, shape in parameter_shapes(config).items()}
        if {key: tuple(p.shape) for key, p in theta.items()} != shapes:
            raise ValueError("its parameters do not fit its configuration")
        if not all(p.is_floating_point() and p.isfinite().all() for p in theta.values()):
            raise ValueError("its parameters are no finite decimal numbers")
        if not isinstance(history, dict) or not all(isinstance(each, list) for each in history.values()):
            raise ValueError("its history is no table")
    except DAMAGE as error:
        raise CheckpointError(f"{name}: damaged weights ({first_line(error)}); train them anew") from None
    return PretrainingResult(config, theta, steps, history)


@lru_cache(maxsize=1)
def shipped_stock() -> PretrainingResult:
    """The stock Transformer that comes with the course, with its training curve in `history` (lesson 14)."""
    return load_weights(SHIPPED)


__all__ = ["load_weights", "save_weights", "shipped_stock"]
