"""Shapes in signatures are verified at run time here, and only here; random cases are reproducible."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings

import shapes
from budgets import budget, pytest_terminal_summary  # noqa: F401 (hooks and a fixture)
from chromium import browser  # noqa: F401 (a fixture)

if "icrl_teach" in sys.modules:
    raise RuntimeError("icrl_teach was imported before tests/conftest.py, so shapes would go unchecked")
shapes.verify("icrl_teach")

import torch  # noqa: E402  (after the hook, so that nothing can import icrl_teach first)

from lab_server import jupyterlab, one_lab, one_server, page, server  # noqa: E402, F401 (fixtures)

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for what tests start: several of them run side by side

settings.register_profile(
    "course",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("hasty", settings.get_profile("course"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("course")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item):
    """What is marked no_cover runs untraced in xdist's processes too, where pytest-cov pauses one of two tracers."""
    if not item.get_closest_marker("no_cover"):
        return (yield)
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.fixture(autouse=True)
def own_defaults():
    """A lesson's setup cell, run in a test, may choose double precision; the next test begins as torch does."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260507)
