"""The learner's process: runs what the learner wrote, and answers calls of the learner's functions. No check is in it.

Nothing that it says is trusted, except what it says before the first line of the learner's code runs. It gives up its
rights first, then reads the code, tells what it found there, and from then on does what it is told: run a cell, call a
function, lend a right function in place of a wrong one.
"""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from icrl_teach.grading import plan, wire

try:
    import resource
except ImportError:  # Windows knows no such limits
    resource = None  # type: ignore[assignment]

ANY = (2**31, 2**31)  # bytes: the grader is trusted


def main() -> None:
    """Serve the grader on the standard pipes until it hangs up."""
    pipes = _own_pipes()
    setup, _ = wire.receive(pipes[0], wire.LARGEST_TEXT)
    wire.send(pipes[1], {"in_force": lock_down(setup["rights"])})
    worker = Worker(*pipes)
    worker.begin()
    worker.serve()


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """The two pipes under numbers of their own; the standard ones lead nowhere from now on."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    return requests, replies


def lock_down(rights: dict[str, Any]) -> list[str]:
    """Give up what the learner's code is not to have; what is in force now. Raises OSError where the system refuses."""
    done = []
    if rights["network"] == "cut":
        _libc("unshare", 0x40000000 | 0x08000000)  # CLONE_NEWNET, CLONE_NEWIPC
    folders = [folder for folder in sys.path if os.path.isdir(folder)]
    if rights["user"] is not None:
        os.setgroups([])
        os.setresgid(*[rights["user"]] * 3)
        os.setresuid(*[rights["user"]] * 3)
    if not all(os.access(folder, os.R_OK | os.X_OK) for folder in folders):
        raise OSError("Python's own folders cannot be read as this user")
    if sys.platform == "linux":
        _libc("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        _libc("prctl", 1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: dies with the grader
    if resource is not None:
        kinds = {"memory": "RLIMIT_AS", "files": "RLIMIT_FSIZE", "processes": "RLIMIT_NPROC", "core": "RLIMIT_CORE"}
        for name, most in rights["limits"].items():
            if hasattr(resource, kinds[name]):
                try:
                    resource.setrlimit(getattr(resource, kinds[name]), (most, most))
                except (OSError, ValueError):  # macOS takes no limit of address space
                    continue
                done.append(name)
        done.append("cpu")
    return done


def _libc(name: str, *args: int) -> None:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name} was refused")


class _NoChecks(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """In place of the modules of checks: every check says nothing, and nothing else is in them."""

    def __init__(self, names: list[str]) -> None:
        self.names = tuple(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if any(name == each or name.startswith(f"{each}.") for each in self.names):
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Silent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


class _Silent(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("check_") or name == "hint":
            return lambda *args, **kwargs: None
        raise AttributeError(f"{self.__name__} has nothing called {name!r} while a sheet is graded")


class _Jupyter:
    """What `get_ipython()` gives: whatever is asked of it, nothing happens."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


class Worker:
    """The learner's namespace, and what can be done in it."""

    def __init__(self, requests: IO[bytes], replies: IO[bytes]) -> None:
        self.requests, self.replies, self.asked, self.answer = requests, replies, 0, 0
        self.cells: list[plan.Cell] = []
        # As in a notebook, the code lives in __main__: dataclasses and pickle look for it there.
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        self.names = vars(main)
        self.names.update(get_ipython=_Jupyter, display=lambda *args, **kwargs: None)
        self.names["__builtins__"] = builtins
        self.own: dict[str, Any] = {}
        self.graders: dict[Any, str] = {}  # functions of the grader: what they are called there

    def begin(self) -> None:
        """Hear what there is to grade, put the checks out of reach, and tell what stands in the source."""
        message, _ = self.hear()
        self.answer = message["answer"]
        sys.meta_path.insert(0, _NoChecks(message["checks"]))
        self.say(self.read([tuple(each) for each in message["cells"]], message["exercises"]))

    def read(self, cells: list[tuple[str, bool]], exercises: list[str]) -> dict[str, Any]:
        """Plan what to run, and tell what stands in the source: nothing of it has run yet."""
        self.cells = plan.make(cells, exercises)
        found = {}
        for name in exercises:
            where, stub, names = plan.codes(self.cells, name)
            found[name] = {"cells": where, "stub": stub, "names": names}
        errors = [cell.error for cell in self.cells]
        run = [i for i, cell in enumerate(self.cells) if cell.body]
        return {"found": found, "errors": errors, "run": run, "library": plan.library_names(self.cells)}

    def serve(self) -> None:
        """Do what the grader asks, one thing after the other, until it hangs up."""
        while True:
            try:
                message, blob = self.hear()
            except EOFError:
                return
            limit_cpu(message.get("cpu"))
            match message:
                case {"run": index}:
                    self.say(self.run(self.cells[index]))
                case {"call": name}:
                    self.say(*self.call(name, wire.Reader(blob, self.callback), message))
                case {"lend": names}:
                    self.names.update(self.own)
                    self.graders.clear()
                    self.own = {name: self.names.get(name) for name in names}
                    self.names.update({name: in_place_of(self.own[name], self.callback(name)) for name in names})
                    self.say({})

    def say(self, message: dict[str, Any], blob: bytes = b"") -> None:
        """One frame to the grader, with the number of what it asked."""
        wire.send(self.replies, {**message, "id": self.asked}, blob)

    def hear(self) -> tuple[dict[str, Any], bytes]:
        """The grader's next frame."""
        message, blob = wire.receive(self.requests, *ANY)
        self.asked = message["id"]
        return message, blob

    def ask(self, message: dict[str, Any], writer: wire.Writer) -> Any:
        """Ask the grader in the middle of a call; its answer's value. Raises what the grader's function raised."""
        self.say(message, bytes(writer.blob))
        reply, blob = self.hear()
        if "raised" in reply:
            raise getattr(builtins, reply["raised"][0], RuntimeError)(reply["raised"][1])
        return reply, wire.Reader(blob).value(reply["value"])

    def run(self, cell: plan.Cell) -> dict[str, Any]:
        """Run a cell, up to its first error as in a notebook."""
        try:
            exec(compile(ast.Module(cell.body, []), "<cell>", "exec"), self.names)
        except BaseException as error:
            return {"error": told(error)}
        return {}

    def call(self, name: str, reader: wire.Reader, message: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Call a function of the learner: its result, and what it changed of its arguments."""
        function = self.names.get(name)
        if not callable(function):
            return {"missing": type(function).__name__}, b""
        args = [reader.value(code) for code in message["args"]]
        before = [copied(value) for value in args]
        writer = wire.Writer(self.answer)
        try:
            with _Watching(message["forbid"]) as used:
                result = function(*args)
            changed = {str(i): writer.value(v) for i, v in enumerate(args) if differs(v, before[i])}
            return {"value": writer.value(result), "changed": changed, "used": sorted(used)}, bytes(writer.blob)
        except wire.TooLarge:
            return {"large": True}, b""
        except BaseException as error:
            return {"error": told(error)}, b""

    def callback(self, name: str) -> Callable[..., Any]:
        """A function that lives in the grader's process, as the learner may call it; slopes flow through it."""

        def function(*args: Any, **kwargs: Any) -> Any:
            writer = wire.Writer(self.answer, self._of_grader)
            coded = [writer.value(value) for value in args], {key: writer.value(v) for key, v in kwargs.items()}
            reply, value = self.ask({"back": name, "args": coded[0], "kwargs": coded[1]}, writer)
            if "handle" not in reply:
                return value
            inputs = [v for v in (*args, *kwargs.values()) if getattr(v, "requires_grad", False)]
            return self.attached(value.detach(), reply["handle"], inputs)

        function.__name__ = function.__qualname__ = "layer" if name.isdigit() else name
        self.graders[function] = name
        return function

    def _of_grader(self, function: Any) -> str | None:
        try:
            return self.graders.get(function)
        except TypeError:  # it cannot be looked up: it is the learner's
            return None

    def attached(self, value: Any, handle: int, inputs: list[Any]) -> Any:
        """The value of a grader's function, in torch's graph: its slopes are asked for when they are needed."""
        import torch

        worker = self

        class Remote(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *tensors: Any) -> Any:
                return value.clone()

            @staticmethod
            def backward(ctx: Any, by: Any) -> Any:
                writer = wire.Writer(worker.answer)
                _, slopes = worker.ask({"slope": handle, "by": writer.value(by)}, writer)
                return tuple(slopes)

        return Remote.apply(*inputs)


class _Watching:
    """Notes which of the forbidden functions (file and name of the library's code) run in a `with` block."""

    def __init__(self, forbidden: list[str]) -> None:
        self.forbidden, self.used = {tuple(each.rsplit(":", 1)) for each in forbidden}, set[str]()

    def __enter__(self) -> set[str]:
        if self.forbidden:
            sys.setprofile(self.note)
        return self.used

    def __exit__(self, *error: Any) -> None:
        if self.forbidden:
            sys.setprofile(None)

    def note(self, frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            for file, name in self.forbidden:
                if code.co_qualname == name and code.co_filename.replace(os.sep, "/").endswith(file):
                    self.used.add(f"{file}:{name}")


def in_place_of(own: Any, lent: Callable[..., Any]) -> Callable[..., Any]:
    """A lent function that is called as the learner's own: by its names of arguments, and with its defaults."""
    try:
        signature = inspect.signature(own)
    except (TypeError, ValueError):  # there is none, or it is no function
        return lent

    def function(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        return lent(*given.args, **given.kwargs)

    return function


def limit_cpu(seconds: float | None) -> None:
    """From now on so many seconds of processor time more; the process ends where they are used up."""
    if resource is not None and seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def told(error: BaseException) -> list[str]:
    """An exception as the grader hears of it: its type, its text, and the function it came from."""
    last, where = error.__traceback__, ""
    while last is not None:
        where, last = last.tb_frame.f_code.co_name, last.tb_next
    try:
        text = str(error)[:2000]
    except Exception:
        text = "an error without a text"
    return [type(error).__name__[:80], text, where[:80]]


def copied(value: Any) -> Any:
    """An array, tensor or list of its own; anything else as it is."""
    if hasattr(value, "detach"):
        return value.detach().clone(), value.requires_grad
    return value.copy() if isinstance(value, np.ndarray | list) else value


def differs(now: Any, then: Any) -> bool:
    """Whether an argument was changed: its numbers, its items, or that it requires a gradient now."""
    if isinstance(now, np.ndarray):
        return now.shape != then.shape or now.tobytes() != then.tobytes()
    if isinstance(now, list):
        return len(now) != len(then) or any(a is not b for a, b in zip(now, then, strict=True))
    if hasattr(now, "detach"):
        values = now.detach().numpy().tobytes() != then[0].numpy().tobytes()
        return values or now.requires_grad != then[1]
    return False
