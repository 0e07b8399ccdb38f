"""What a run holds, what it leaves, and the file that keeps both: resumed, a run goes on bit for bit."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from icrl_teach._door import door
from icrl_teach._files import atomic_write, try_writing
from icrl_teach._validate import File, Natural, shown
from icrl_teach.pretraining.answers import Parameters, to_transformer, to_two_heads
from icrl_teach.pretraining.config import PretrainConfig, parameter_shapes
from icrl_teach.pretraining.losses import Learner
from icrl_teach.pretraining.processes import first_line
from icrl_teach.pretraining.stock import StockTransformer, stock_transformer
from icrl_teach.transformer import SoftmaxTransformer
from icrl_teach.two_heads import TwoHeadTransformer

PathLike = str | os.PathLike[str]


@dataclass
class PretrainingResult:
    """What a run leaves. Tensors have a first axis of seeds; `steps` were done, which may be fewer than asked.

    history: lists by name: "step", and at these steps "loss" (per seed, mean since the last), "error" (per seed,
    held-out mean squared value error), and "error NAME" for each other family.
    snapshots: pairs (step, parameters before that step), the last one after training. signal: what stopped the run
    from outside, signal.SIGINT (Ctrl-C) or signal.SIGTERM; 0 if nothing did.
    """

    config: PretrainConfig
    parameters: Parameters
    steps: int = 0
    history: dict[str, list[Any]] = field(default_factory=dict)
    snapshots: list[tuple[int, Parameters]] = field(default_factory=list)
    signal: int = 0

    @door
    def of_seed(self, index: Natural = 0) -> Parameters:
        """The parameters of one seed, without the seed axis; a copy."""
        if index >= len(self.config.seeds):
            raise ValueError(f"index is {index}; the runs are 0 to {len(self.config.seeds) - 1}")
        return {name: value[index].clone() for name, value in self.parameters.items()}

    @door
    def model(self, index: Natural = 0) -> SoftmaxTransformer | TwoHeadTransformer | StockTransformer:
        """One seed's network, frozen, of the architecture that was trained. Raises ValueError unless its attention is
        softmax."""
        if self.config.normalisation != "softmax":
            raise ValueError(
                f"normalisation is {shown(self.config.normalisation)}; only softmax makes a SoftmaxTransformer"
            )
        makers: dict[str, Any] = {"shift": to_transformer, "two-heads": to_two_heads, "stock": stock_transformer}
        return makers[self.config.architecture](self.of_seed(index), self.config)


@dataclass
class Run:
    """A training run in flight: all that a checkpoint must hold."""

    config: PretrainConfig
    learner: Learner
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    result: PretrainingResult
    pending: list[Tensor] = field(default_factory=list)


def snapshot(learner: Learner) -> Parameters:
    """A copy of the parameters as they are now, on the CPU."""
    return {name: p.detach().cpu().clone() for name, p in learner.theta.items()}


FORMAT = "icrl-teach pretraining 1"
# What goes wrong when the parts of a checkpoint are not what they should be.
DAMAGE = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError, RecursionError)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, what is wrong, and what to do."""


def save_checkpoint(path: PathLike, run: Run) -> None:
    """Write all that the run needs to go on bit for bit; to a temporary name, then renamed."""
    content = {
        "format": FORMAT,
        "config": json.dumps(asdict(run.config)),
        "step": run.result.steps,
        "theta": snapshot(run.learner),
        "optimiser": run.optimiser.state_dict(),
        "device": run.generator.device.type,
        "dtype": str(torch.get_default_dtype()),  # in which the rest would be drawn
        "generator": run.generator.get_state(),
        "history": json.dumps(run.result.history),
        "pending": torch.stack(run.pending) if run.pending else None,
        "snapshots": run.result.snapshots,
    }
    with atomic_write(path, "wb") as file:
        torch.save(content, file)


def _damaged(name: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{name}: a damaged checkpoint ({type(error).__name__}: {first_line(error)}); start anew")


def config_from(text: str) -> PretrainConfig:
    """The configuration that a file holds as JSON."""
    entries: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()}
    return PretrainConfig(**entries)


def _read_checkpoint(path: PathLike) -> tuple[dict[str, Any], PretrainingResult]:
    """All that the file holds, and the result in it, checked. Never runs code: tensors and plain containers only."""
    name = Path(path).name
    try:
        with warnings.catch_warnings(action="ignore"):  # of a foreign file torch would warn before it fails
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"{name}: there is no such checkpoint; check the path, or start without resuming"
        ) from None
    except Exception as error:
        raise CheckpointError(
            f"{name}: not a readable checkpoint (foreign or truncated): {first_line(error)}; "
            "use a file that icrl-teach pretrain wrote, or start anew"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{name}: not a checkpoint of this version ({FORMAT!r}); start anew")
    try:
        history, snapshots = json.loads(content["history"]), [(at, dict(each)) for at, each in content["snapshots"]]
        config, theta, steps = config_from(content["config"]), dict(content["theta"]), content["step"]
        _check_parts(config, [theta, *(each for _, each in snapshots)], steps, history, content["pending"])
        return content, PretrainingResult(config, theta, steps, history, snapshots)
    except DAMAGE as error:
        raise _damaged(name, error) from None


def _check_parts(config: PretrainConfig, parameters: list[Any], steps: Any, history: Any, pending: Any) -> None:
    """Raise ValueError unless what a file holds fits its configuration; `parameters`: the last and all snapshots'."""
    n_seeds = len(config.seeds)
    if not isinstance(steps, int) or not 0 <= steps <= config.n_steps:
        raise ValueError(f"step {steps} of {config.n_steps}")
    shapes = {name: (n_seeds, *shape) for name, shape in parameter_shapes(config).items()}
    for theta in parameters:
        if {name: tuple(w.shape) for name, w in theta.items()} != shapes:
            raise ValueError("its parameters do not fit its configuration")
        if not all(w.is_floating_point() for w in theta.values()):
            raise ValueError("its parameters are no decimal numbers")
    if steps and len(parameters) == 1:
        raise ValueError("it has no snapshots")
    if not isinstance(history, dict) or not all(isinstance(each, list) for each in history.values()):
        raise ValueError("its history is no table")
    if pending is not None and (tuple(pending.shape[1:]) != (n_seeds,) or not pending.is_floating_point()):
        raise ValueError("its pending losses do not fit its seeds")


@door
def load_result(path: File) -> PretrainingResult:
    """The result that a checkpoint holds. Never runs code. Raises CheckpointError (a ValueError)."""
    return _read_checkpoint(path)[1]


def restore(run: Run, path: PathLike) -> None:
    """Put `run` where the run in the file stopped. Raises CheckpointError."""
    name, (content, result) = Path(path).name, _read_checkpoint(path)
    then, now = asdict(result.config), asdict(run.config)
    then["device"], now["device"] = content.get("device"), run.generator.device.type
    then["dtype"], now["dtype"] = content.get("dtype"), str(torch.get_default_dtype())
    if different := [f"{key} {then[key]} -> {now[key]}" for key in now if then[key] != now[key]]:
        raise CheckpointError(
            f"{name}: written with another configuration ({', '.join(different)}); "
            "resume with the same one, or start anew in another file"
        )
    try:
        with torch.no_grad():
            for key, value in result.parameters.items():
                run.learner.theta[key].copy_(value)
        run.optimiser.load_state_dict(content["optimiser"])
        for p in run.learner.parameters():
            moments = run.optimiser.state.get(p, {})
            if any(moments[name].shape != p.shape for name in ("exp_avg", "exp_avg_sq") if result.steps):
                raise ValueError("the optimiser's moments do not fit the parameters")
        run.generator.set_state(content["generator"])
        run.pending = [] if content["pending"] is None else list(content["pending"].to(run.generator.device))
    except DAMAGE as error:
        raise _damaged(name, error) from None
    run.result = result


def check_new(path: PathLike) -> None:
    """Refuse, before any work, a checkpoint that would replace another or could not be written."""
    path = Path(path)
    if path.exists():
        raise CheckpointError(f"{path.name}: exists already; resume from it, or name another file")
    if not path.parent.is_dir():
        raise CheckpointError(f"{path.name}: there is no folder {path.parent}; make it, or name another file")
    try:
        try_writing(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path.name}: cannot be written ({error.strerror}); name another file") from None
