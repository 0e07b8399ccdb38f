"""A learner's functions, called from the grader: they run in the learner's process, and look like functions here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from icrl_teach.checks.report import STUB
from icrl_teach.grading import sandbox, wire
from icrl_teach.grading.marks import Limits
from icrl_teach.grading.sandbox import Stopped
from icrl_teach.grading.submission import Submission

LARGEST_QUESTION = 10_000  # numbers that a learner may hand to a function of the grader in one call
LONGEST_AXIS = 2_000
MOST_QUESTIONS = 100_000  # such calls in one call of the learner's function


KNOWN: dict[str, type[Exception]] = {
    each.__name__: each
    for each in (*(ValueError, TypeError, IndexError, KeyError, RuntimeError, AttributeError), np.linalg.LinAlgError)
}  # what hints of a check tell apart


class Learner:
    """One learner's process and what is known of its code. It is started again where it has ended. Use as a context.

    found: of each exercise the cells that define it, whether it is a stub, and the names in its code; errors: of each
    cell, why it cannot be read; library: names that come from the library. They were told before any of the code ran.
    """

    def __init__(self, work: Submission, exercises: list[str], checks: list[str], limits: Limits) -> None:
        self.work, self.exercises, self.checks, self.limits = work, exercises, checks, limits
        self.ends = time.monotonic() + limits.total
        self.deadline = self.ends
        self.fatal: dict[int, Stopped] = {}  # cells that ended the process: they are not run again
        self.failed: dict[int, str] = {}  # cells that stopped with an error, as a notebook's do
        self.functions: dict[str, Callable[..., Any]] = {}
        self.ensures: tuple[str, ...] = ()
        self.lacks: tuple[str, ...] = ()
        self.slopes: list[tuple[list[Any], Any]] = []
        self.process: sandbox.Process | None = None
        self.asked = 0

    def __enter__(self) -> Learner:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Have a process with the learner's cells run in it. Raises Stopped if none comes up within the time left."""
        while self.process is None:
            if time.monotonic() > self.ends:
                raise Stopped("timeout", f"the whole submission took over {self.limits.total:.0f} seconds")
            self.process, self.ensures, self.lacks = sandbox.launch(self.limits)
            cells = {"cells": self.work.cells, "exercises": self.exercises}
            setup = {**cells, "checks": self.checks, "answer": self.limits.answer}
            self.deadline = time.monotonic() + sandbox.STARTUP
            facts = self._ask(setup)
            self.found, self.errors, self.library = facts["found"], facts["errors"], facts["library"]
            self._run_cells([i for i in facts["run"] if i not in self.fatal])

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.close()
            self.process = None

    def _run_cells(self, indices: list[int]) -> None:
        for index in indices:
            try:
                self.clock()
                told = self._ask({"run": index, "cpu": self.limits.cpu})
            except Stopped as stopped:
                self.stop()
                self.fatal[index] = stopped
                return
            if "error" in told:
                self.failed[index] = _shown(told["error"])

    def clock(self) -> None:
        """The time for one exercise, or for one cell, begins."""
        self.deadline = min(time.monotonic() + self.limits.wall, self.ends)

    def function(self, name: str, forbid: Sequence[str] = ()) -> Function:
        """The learner's function of this name, to be called as if it were here."""
        return Function(self, name, forbid)

    def lend(self, functions: dict[str, Callable[..., Any]]) -> None:
        """Put right functions in place of the learner's own, under the same names, for the exercise that begins now."""
        self.clock()
        self.functions = dict(functions)
        self._ask({"lend": sorted(functions), "cpu": self.limits.cpu})

    def call(self, name: str, args: tuple[Any, ...], forbid: Sequence[str]) -> tuple[dict[str, Any], wire.Reader]:
        """Call a function in the learner's process; answers what it asks of our functions meanwhile."""
        self.slopes.clear()
        writer = wire.Writer(2**31, self._named, strict=True)
        message = {"call": name, "args": [writer.value(arg) for arg in args], "forbid": list(forbid)}
        reply, blob = self._frame(message, bytes(writer.blob))
        for _ in range(MOST_QUESTIONS):
            if "back" not in reply and "slope" not in reply:
                return reply, wire.Reader(blob)
            reply, blob = self._frame(*self._answer(reply, wire.Reader(blob, self.functions.__getitem__)))
        raise Stopped("timeout", f"it asked over {MOST_QUESTIONS} questions")

    def _named(self, function: Callable[..., Any]) -> str:
        self.functions[str(len(self.functions))] = function
        return str(len(self.functions) - 1)

    def _answer(self, asked: dict[str, Any], reader: wire.Reader) -> tuple[dict[str, Any], bytes]:
        """What one of our functions says to what the learner's code hands it, or the slopes of an earlier answer."""
        writer = wire.Writer(2**31, strict=True)
        try:
            if "slope" in asked:
                return {"value": writer.value(self._slopes(asked, reader))}, bytes(writer.blob)
            args = [reader.value(code) for code in asked["args"]]
            kwargs = {key: reader.value(code) for key, code in asked["kwargs"].items()}
            _modest([*args, *kwargs.values()])
            function = self.functions[asked["back"]]
        except (KeyError, TypeError, AttributeError, IndexError, wire.Broken):
            raise Stopped("tampered", "its process asked for what is not there") from None
        except _TooMuch as error:
            return {"raised": ["ValueError", str(error)]}, b""
        return self._said(function, args, kwargs, writer)

    def _said(self, function: Any, args: list[Any], kwargs: dict[str, Any], writer: wire.Writer) -> Any:
        try:
            with np.errstate(all="ignore"):
                value = function(*args, **kwargs)
            coded = writer.value(value)
        except Exception as error:
            return {"raised": [type(error).__name__, str(error)[:2000]]}, b""
        reply: dict[str, Any] = {"value": coded}
        if getattr(value, "requires_grad", False):
            inputs = [each for each in (*args, *kwargs.values()) if getattr(each, "requires_grad", False)]
            reply["handle"] = len(self.slopes)
            self.slopes.append((inputs, value))
        return reply, bytes(writer.blob)

    def _slopes(self, asked: dict[str, Any], reader: wire.Reader) -> list[Any]:
        import torch

        inputs, value = self.slopes[asked["slope"]]
        by = reader.value(asked["by"])
        try:
            return list(torch.autograd.grad(value, inputs, by, retain_graph=True, allow_unused=True))
        except RuntimeError:
            raise KeyError from None

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        return self._frame(message, b"")[0]

    def _frame(self, message: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        if self.process is None:
            raise Stopped("died", "its process has ended")
        self.asked += 1
        reply, arrays = self.process.ask({**message, "id": self.asked}, blob, self.deadline - time.monotonic())
        if reply.get("id") != self.asked:  # of an earlier question, so not from the process that we asked
            raise Stopped("tampered", "its process sent something that it was not asked for")
        return reply, arrays


class _TooMuch(Exception):
    """A question of more numbers than any exercise needs."""


def _modest(values: list[Any]) -> None:
    shapes = [tuple(value.shape) for value in values if hasattr(value, "shape")]
    longest = max((axis for shape in shapes for axis in shape), default=0)
    if sum(int(np.prod(shape)) for shape in shapes) > LARGEST_QUESTION or longest > LONGEST_AXIS:
        raise _TooMuch(f"while a sheet is graded, ask with at most {LARGEST_QUESTION} numbers, axes of {LONGEST_AXIS}")


class Function:
    """A learner's function in another process. It raises what that one raised, and Stopped where the process ended.

    `__code__.co_names` is what stands in its source, read before any of it ran; used: the library's functions that it
    called although they are forbidden.
    """

    def __init__(self, learner: Learner, name: str, forbid: Sequence[str]) -> None:
        self.learner, self.forbid, self.used = learner, forbid, set[str]()
        self.__name__ = name
        self.__code__ = SimpleNamespace(co_names=tuple(learner.found[name]["names"]))

    def __call__(self, *args: Any) -> Any:
        """What the learner's function returns, as plain values."""
        reply, reader = self.learner.call(self.__name__, args, self.forbid)
        try:
            return self._result(reply, reader, args)
        except (wire.Broken, TypeError, AttributeError, IndexError, KeyError) as error:
            if isinstance(error, wire.Broken) or "error" not in reply:
                raise Stopped("tampered", "its process sent something else than an answer") from None
            raise

    def _result(self, reply: dict[str, Any], reader: wire.Reader, args: tuple[Any, ...]) -> Any:
        match reply:
            case {"value": value, "changed": dict(changed), "used": list(used)}:
                self.used.update(each for each in used if isinstance(each, str))
                for index, code in changed.items():
                    _take_over(args[int(index)], reader.value(code))
                return reader.value(value)
            case {"error": [str(kind), str(text), str(where)]}:
                raise self._error(kind, text, where)
            case {"large": True}:
                most = self.learner.limits.answer // 2**20
                raise Stopped(
                    "wrong", f"{self.__name__} returned more than {most} MB, or a list of over 50,000 numbers"
                )
            case {"missing": str(kind)}:
                raise Stopped("wrong", f"{self.__name__} is no function in the end: {kind[:80]}")
        raise Stopped("tampered", "its process sent something else than an answer")

    def _error(self, kind: str, text: str, where: str) -> BaseException:
        if kind == "NotImplementedError" and text in (STUB, ""):
            return Stopped("unwritten", where[:80])
        if kind == "MemoryError":
            return Stopped(
                "died", f"it needs more than the {self.learner.limits.memory // 2**20} MB of memory it may use"
            )
        if kind in KNOWN:
            return KNOWN[kind](text[:2000])
        named = kind if kind.isidentifier() and kind.isascii() and len(kind) < 80 else "Exception"
        return type(named, (Exception,), {})(text[:2000])  # its name is all that is told of it


def _take_over(given: Any, changed: Any) -> None:
    """Change an argument here as the learner's function changed its copy, so that the check sees it."""
    if isinstance(given, np.ndarray):
        given[...] = changed if np.shape(changed) == given.shape else np.nan if given.dtype.kind == "f" else -1
    elif isinstance(given, list):
        given.append(None)
    elif hasattr(given, "detach"):
        if given.shape == changed.shape:
            given.detach().copy_(changed.detach())
        if changed.requires_grad:
            given.requires_grad_()


def _shown(error: Any) -> str:
    kind, text, _ = error
    return f"{str(kind)[:80]}: {str(text)[:300]}"
