"""What the course needs, checked on this machine: `icrl-teach doctor`, and lesson 00's self-check."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata

import numpy as np

from icrl_teach._progress import Tick, no_tick
from icrl_teach.comparison import compare_by_depth
from icrl_teach.tasks import sample_family

SELF_TEST_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Check:
    """One line of `icrl-teach doctor`: what was looked at, whether it is fine, what was found, what to do if not."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def check_python() -> Check:
    """Whether this Python is new enough for the course."""
    found = f"{sys.version.split()[0]} ({sys.executable})"
    return Check("Python", sys.version_info >= (3, 11, 5), found, "install Python 3.11.5 or newer")


def check_package(requirement: str) -> Check:
    """Whether a package such as 'numpy>=2.0' is installed, new enough and can be imported."""
    name, _, least = requirement.partition(">=")
    remedy = f'{sys.executable} -m pip install "{requirement}"'
    try:
        version = metadata.version(name)
        if name != "jupyterlab":  # a whole server: seconds to import, and the kernel is checked by itself
            import_module({"pillow": "PIL"}.get(name, name.replace("-", "_")))
    except metadata.PackageNotFoundError:
        return Check(name, False, "not installed", remedy)
    except Exception as error:  # a broken binary can raise anything
        return Check(name, False, f"does not import: {error}", f"{remedy} --force-reinstall")
    new_enough = _numbers(version) >= _numbers(least)
    return Check(name, new_enough, version if new_enough else f"{version}, needs {least} or newer", remedy)


def check_torch_device() -> Check:
    """How many threads torch uses, and on which device it could compute. Never fails: the CPU is enough."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU, and none is needed"
    return Check("torch device", True, f"CPU with {torch.get_num_threads()} threads; {gpu}")


def check_kernel() -> Check:
    """Whether Jupyter knows the kernel `python3`, which every notebook of the course asks for."""
    import shutil

    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    remedy = f"{sys.executable} -m ipykernel install --sys-prefix --name python3"
    try:
        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Check("Jupyter kernel", False, "there is no kernel named python3", remedy)
    # Jupyter itself replaces a bare "python" by the interpreter that it runs in.
    exists = program in ("python", "python3") or shutil.which(program) is not None
    return Check("Jupyter kernel", exists, f"python3 runs {program}" + ("" if exists else ", which is missing"), remedy)


def check_theorem() -> Check:
    """Theorem 1 on one small chain: the constructed network against weighted softmax TD, every memory cell."""
    rng = np.random.default_rng(0)
    mrp = sample_family("boyan", 6, 0.9, rng)
    trajectory = mrp.sample(200, rng)
    gap = compare_by_depth(mrp, trajectory, n_layers=40, tau=4.0).gap[-1]
    found = f"network and algorithm differ by at most {gap:.1e} in any memory cell of 40 layers"
    return Check("Theorem 1", bool(gap <= SELF_TEST_TOLERANCE), found, "reinstall numpy and torch, then report this")


def _guarded(check: Callable[[], Check], name: str) -> Check:
    try:
        return check()
    except Exception as error:  # the doctor reports every illness and dies of none
        return Check(name, False, f"{type(error).__name__}: {error}", "put the failures above right first")


def run_checks(tick: Tick = no_tick) -> list[Check]:
    """Everything that the course needs, checked on this machine, in about two seconds."""
    results = [check_python()]
    try:
        requirements = [r for r in metadata.requires("icrl-teach") or [] if ";" not in r]
    except metadata.PackageNotFoundError:
        requirements = []
        remedy = f'{sys.executable} -m pip install -e "." in the course\'s folder'
        results.append(Check("icrl-teach", False, "not installed as a package", remedy))
    for requirement in requirements:
        tick(requirement)
        results.append(check_package(requirement))
    checks = {"torch device": check_torch_device, "Jupyter kernel": check_kernel, "Theorem 1": check_theorem}
    for name, check in checks.items():
        tick(name)
        results.append(_guarded(check, name))
    return results
