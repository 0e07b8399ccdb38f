"""Every public door, fuzzed: a call gives finite numbers, or a ValueError that names an argument in a short message.

The list of doors is the package's own, so a new public name is fuzzed by itself; for a new argument the table EXAMPLES
needs a value that is right.
"""

import atexit
import dataclasses
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import GeneratorType

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from jaxtyping import TypeCheckError

import icrl_teach
from icrl_teach import (
    CheckpointError,
    LogError,
    MarkovRewardProcess,
    PretrainConfig,
    TaskBatch,
    Trajectory,
    build_linear_prompt,
    build_prompt,
    constructed_parameters,
    draw_batch,
    inner_product,
    pretrain,
)
from odd_values import ODD

NAN, INF = float("nan"), float("inf")
FEATURES = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
P = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]])
CONFIG = PretrainConfig(n_states=(3, 3), n_context=(4, 4), d=3, n_layers=1, n_tasks=6, n_windows=1, n_steps=1)
FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER)
(FOLDER / "log.csv").write_text("state,reward,next_state\na,1,b\nb,2,a\n")
(FOLDER / "x.csv").write_text("state,x\na,1\n")


def generator():
    return torch.Generator().manual_seed(0)


# Right values, by the name of an argument, or of a door and an argument where the two differ.
EXAMPLES = {
    "A": lambda: torch.eye(5),
    "align_scores.A": lambda: torch.eye(3),
    "centre_columns.A": lambda: torch.eye(3),
    "H": lambda: build_prompt(FEATURES, np.ones(3)).float(),
    "M": lambda: P,
    "P": lambda: torch.eye(5),
    "Q": lambda: P,
    "linear_attention.Q": lambda: torch.eye(5),
    "X": lambda: torch.ones(5, 4),
    "Z": lambda: build_prompt(FEATURES, np.ones(3)).float(),
    "actions": lambda: None,
    "alpha": lambda: 0.5,
    "batch": lambda: draw_batch(CONFIG, generator()),
    "beta": lambda: 1.0,
    "block": lambda: "dual",
    "centre": lambda: True,
    "checkpoint": lambda: None,
    "checkpoint_every": lambda: 1,
    "columns": lambda: None,
    "config": lambda: CONFIG,
    "continues": lambda: None,
    "d": lambda: 2,
    "device": lambda: "cpu",
    "dtype": lambda: torch.float64,
    "env": lambda: "FrozenLake-v1",
    "episodes": lambda: "terminal",
    "family": lambda: "loop",
    "features": lambda: FEATURES,
    "StockTransformer.config": lambda: STOCK,
    "PretrainConfig.features": lambda: "random",
    "gamma": lambda: 0.9,
    "generator": generator,
    "index": lambda: 0,
    "initial_error": lambda: 1.0,
    "sources": lambda: FEATURES[-1:],
    "kappa": lambda: 20.0,
    "causal": lambda: False,
    "h": lambda: torch.ones(4, 8),
    "head": lambda: 0,
    "layer": lambda: 0,
    "label": lambda: "0",
    "labels": lambda: None,
    "read_features.labels": lambda: ("a",),
    "margin": lambda: 0.01,
    "matrix": lambda: P,
    "mrp": lambda: MarkovRewardProcess(P, np.ones(3), 0.9),
    "mu_min": lambda: 0.1,
    "n_context": lambda: (4, 4),
    "n_groups": lambda: 3,
    "n_iterations": lambda: 2,
    "n_layers": lambda: 1,
    "n_states": lambda: 4,
    "PretrainConfig.n_states": lambda: (4, 4),
    "n_steps": lambda: 3,
    "n_tasks": lambda: 6,
    "next_states": lambda: [1, 2, 0],
    "parameters": lambda: constructed_parameters(CONFIG),
    "PretrainingResult.parameters": lambda: RESULT.parameters,
    "path": lambda: FOLDER / "log.csv",
    "load_result.path": lambda: FOLDER / "run.pt",
    "load_weights.path": lambda: FOLDER / "run.safetensors",
    "save_weights.path": lambda: FOLDER / "saved.safetensors",
    "read_features.path": lambda: FOLDER / "x.csv",
    "write_trajectory.path": lambda: FOLDER / "written.csv",
    "policy": lambda: None,
    "prompt": lambda: build_prompt(FEATURES, np.ones(3)).float(),
    "LinearTransformer.prompt": lambda: build_linear_prompt(FEATURES, np.ones(3), 0.9).float(),
    "progress": lambda: False,
    "queries": lambda: FEATURES,
    "query": lambda: None,
    "trajectory_prompt.queries": lambda: [0],
    "result": lambda: RESULT,
    "resume": lambda: False,
    "reward": lambda: np.ones(3),
    "TaskBatch.reward": lambda: torch.ones(2, 3),
    "rewards": lambda: np.ones(3),
    "rho": lambda: np.ones(3),
    "ridge": lambda: 0.1,
    "rng": lambda: np.random.default_rng(0),
    "row": lambda: torch.ones(3),
    "score": lambda: inner_product,
    "seed": lambda: 0,
    "source": lambda: None,
    "start": lambda: None,
    "state_features": lambda: FEATURES[:3],
    "states": lambda: [0, 1, 2, 0],
    "Trajectory.of_transitions.states": lambda: [0, 1, 2],
    "symbol": lambda: "beta",
    "tau": lambda: 1.0,
    "terminated": lambda: None,
    "threshold": lambda: 0.5,
    "tied": lambda: True,
    "trajectory": lambda: Trajectory([0, 1, 2, 0], [1.0, 2.0, 3.0]),
    "transition": lambda: P,
    "TaskBatch.transition": lambda: torch.tensor(np.stack([P, P])),
    "truncated": lambda: None,
    "v0": lambda: None,
    "values": lambda: np.ones(4),
    "w0": lambda: None,
    "watch": lambda: None,
    "weights": lambda: np.ones((4, 3)) / 3,
}
LOG = Trajectory([0, 1, 2, 0], [1.0, 2.0, 3.0], actions=[0, 1, 0])
EXAMPLES |= {  # acting
    "action_features": lambda: np.eye(2),
    "asks": lambda: 2,
    "choice": lambda: [0, 1, 0],
    "env": lambda: "FrozenLake-v1",
    "epsilon": lambda: 0.1,
    "follow": lambda: "choice",
    "imagined": lambda: 1.0,
    "improve_in_context.features": lambda: None,
    "action_values.features": lambda: np.eye(6),
    "pair_values.features": lambda: np.eye(6),
    "log": lambda: LOG,
    "mdp": lambda: icrl_teach.MarkovDecisionProcess(P[:, None, :] * 0.5, np.ones((3, 1)), np.ones(3) / 3),
    "memory": lambda: "last",
    "n_actions": lambda: 2,
    "n_episodes": lambda: 1,
    "network": lambda: icrl_teach.SoftmaxTransformer.constructed(6, 1, 0.9),
    "improve_in_context.network": lambda: icrl_teach.SoftmaxTransformer.constructed(64, 1, 0.9),
    "weights_digest.network": lambda: icrl_teach.SoftmaxTransformer.constructed(6, 1, 0.9),
    "pairs": lambda: icrl_teach.pair_trajectory(LOG, 2, np.array([0, 1, 0])),
    "policy_return.policy": lambda: np.ones((3, 1)),
    "q": lambda: np.ones((3, 2)),
    "MarkovDecisionProcess.reward": lambda: np.ones((3, 1)),
    "MarkovDecisionProcess.start": lambda: np.ones(3) / 3,
    "MarkovDecisionProcess.transition": lambda: P[:, None, :] * 0.5,
    "action_values.states": lambda: [0, 2],
    "rounds": lambda: 1,
    "steps": lambda: 3,
    "temperature": lambda: 1.0,
    "trials": lambda: 1,
}
RESULT = pretrain(CONFIG, progress=False, checkpoint=FOLDER / "run.pt")
icrl_teach.save_weights(FOLDER / "run.safetensors", RESULT)
STOCK = PretrainConfig(architecture="stock", n_states=(3, 3), d=2, features="random", n_context=(4, 4), width=8)
INSTANCES = {
    "MarkovRewardProcess": EXAMPLES["mrp"],
    "Trajectory": EXAMPLES["trajectory"],
    "TaskBatch": lambda: TaskBatch(torch.tensor(np.stack([P, P])), torch.ones(2, 3, dtype=torch.float64), 0.9),
    "Prompt": lambda: icrl_teach.Prompt(build_prompt(FEATURES, np.ones(3))),
    "SoftmaxTransformer": lambda: icrl_teach.SoftmaxTransformer.constructed(2, 1, 0.9),
    "LinearTransformer": lambda: icrl_teach.LinearTransformer.constructed(2, 1, 0.9),
    "TwoHeadTransformer": lambda: icrl_teach.TwoHeadTransformer.constructed(2, 1, 0.9),
    "StockTransformer": lambda: icrl_teach.StockTransformer(STOCK),
    "PretrainingResult": lambda: RESULT,
}

ALSO_NAMED = {"Trajectory.index": ["state"]}  # its callers speak of states
OWN_FAULT = {("score", "type"), ("watch", "type"), ("watch", "function of NaN")}
OWN_FAULT |= {("tick", "type"), ("tick", "function of NaN")}  # these functions themselves fail
RECORDS = {
    "Acting",
    "Log",
    "PretrainingResult",
    "Round",
}  # which nobody makes by hand: they are what a function returns
SHOWN = {"predict"}  # what is there to print; odd arguments of these stand in their own tests


def doors():
    """name -> (what to call, its arguments)."""
    found = {}
    for name in icrl_teach.__all__:
        thing = getattr(icrl_teach, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            continue
        if name not in RECORDS | SHOWN:
            found[name] = thing
        if isinstance(thing, type):
            for method, value in vars(thing).items():
                if not method.startswith("_") and not isinstance(value, property) and callable(getattr(thing, method)):
                    bound = isinstance(value, classmethod | staticmethod)
                    owner = (lambda thing=thing: thing) if bound else INSTANCES[name]
                    found[f"{name}.{method}"] = lambda owner=owner, method=method, **kw: getattr(owner(), method)(**kw)
                    found[f"{name}.{method}"].__signature__ = inspect.signature(getattr(INSTANCES[name](), method))
    return found


DOORS = doors()
PARAMETERS = {
    name: [n for n, p in inspect.signature(door).parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for name, door in DOORS.items()
}


def example(door, parameter):
    """Makes a right value of a door's argument."""
    keys = (f"{door}.{parameter}", f"{door.partition('.')[0]}.{parameter}", parameter)
    if made := next((EXAMPLES[key] for key in keys if key in EXAMPLES), None):
        return made
    default = inspect.signature(DOORS[door]).parameters[parameter].default
    assert default is not inspect.Parameter.empty, f"EXAMPLES needs a right value of {door}'s {parameter}"
    return lambda: default


RIGHT = {name: {p: example(name, p) for p in parameters} for name, parameters in PARAMETERS.items()}


def right(door):
    """A right call's arguments, made anew."""
    return {parameter: make() for parameter, make in RIGHT[door].items()}


def finite(value):
    """Whether every number in a result is finite."""
    if isinstance(value, torch.Tensor):
        return bool(torch.isfinite(value).all())
    if isinstance(value, torch.nn.Module):
        return all(finite(p) for p in value.parameters())
    if isinstance(value, np.ndarray | float | complex | np.number):
        return np.asarray(value).dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if dataclasses.is_dataclass(value):
        return all(finite(getattr(value, f.name)) for f in dataclasses.fields(value) if not f.name.startswith("_"))
    if isinstance(value, dict):
        return all(finite(v) for v in value.values())
    return all(finite(v) for v in value) if isinstance(value, list | tuple) else True


def complaint(name, arguments):
    """What is wrong with how a door answers this call; "" if nothing is."""
    try:
        result = DOORS[name](**arguments)
        if isinstance(result, GeneratorType):
            result = list(result)
        return "" if finite(result) else "NaN or infinity came out"
    except OSError as error:
        return "" if error.filename is not None or "folder" in str(error) else f"{error!r}"
    except ValueError as error:
        text = str(error)
        if len(text) > 500:
            return f"a message of {len(text)} characters"
        if isinstance(error, LogError | CheckpointError):  # which name a file
            return ""
        named = any(re.search(rf"\b{re.escape(p)}\b", text) for p in [*PARAMETERS[name], *ALSO_NAMED.get(name, ())])
        return "" if named else f"a message that names no argument: {text}"
    except TypeCheckError:  # the type checker of these tests, which users do not have, spoke first
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"


@pytest.fixture(autouse=True)
def folder_of_its_own(monkeypatch):
    monkeypatch.chdir(FOLDER)


@pytest.mark.parametrize("name", DOORS)
def test_right_arguments_pass(name):
    DOORS[name](**right(name))


def complaints():
    """One odd argument at a time, at every door."""
    for name, parameters in PARAMETERS.items():
        for parameter in parameters:
            for odd, value in ODD.items():
                if (parameter, odd) in OWN_FAULT:
                    continue
                if found := complaint(name, right(name) | {parameter: value}):
                    yield f"{name}, {parameter} = {odd}: {found}"


def test_one_odd_argument_at_every_door():
    """In a child, because the type checker of these tests would speak first."""
    run = [sys.executable, "-W", "ignore", "-c", "import test_doors; print(*test_doors.complaints(), sep='\\n')"]
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(icrl_teach.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=FOLDER, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stdout.strip(), f"{done.stdout.count(chr(10))} complaints:\n{done.stdout[:4000]}"


SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([NAN, INF, -INF]))
ARRAYS = SHAPES.flatmap(lambda shape: arrays.arrays(np.float64, shape, elements=NUMBERS))


@pytest.mark.parametrize("name", [name for name in DOORS if name != "pretrain"])
@given(data=st.data())
@settings(max_examples=6)
def test_several_odd_arguments(name, data):
    arguments = right(name)
    for parameter in PARAMETERS[name]:
        kind = data.draw(st.sampled_from(["right", "right", "array", "tensor", "number", "text"]))
        if kind == "array" or kind == "tensor":
            array = data.draw(ARRAYS)
            arguments[parameter] = torch.tensor(array) if kind == "tensor" else array
        elif kind != "right":
            arguments[parameter] = data.draw(st.one_of(st.integers(-3, 9), NUMBERS) if kind == "number" else st.text())
    assert not complaint(name, arguments)
