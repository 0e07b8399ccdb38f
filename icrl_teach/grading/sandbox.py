"""Where a learner's process runs: in the strongest isolation that this system allows, which is named, never assumed.

Three kinds, tried in this order: bubblewrap (its own view of the files, of processes and of the network); on Linux as
root, a user of its own and no network; elsewhere the limits that the system knows. Each says what it does not prevent.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import secrets
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import icrl_teach
from icrl_teach.grading import wire
from icrl_teach.grading.marks import Limits, Status

PACKAGE = Path(icrl_teach.__file__).resolve().parent
START = "import sys; sys.path.insert(0, {!r}); from icrl_teach.grading.worker import main; main()"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache")
LIMITED = {
    "cpu": "processor time",
    "memory": "the memory of a process",
    "files": "the size of a file",
    "processes": "the number of processes",
}
STARTUP = 120.0  # seconds that an interpreter may take to come up on a busy computer


class Stopped(BaseException):
    """The learner's process is gone, or has to go: what this means, and why. No `except Exception` catches it."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Isolation:
    """One way to run a learner's code: its name, what it ensures besides limits, and what it does not."""

    name: str
    ensures: tuple[str, ...]
    lacks: tuple[str, ...]

    def command(self) -> list[str]:
        """What to run; for bubblewrap, with the view of the files that the learner's code gets."""
        python = [sys.executable, "-I", "-c", START.format(str(PACKAGE.parent))]
        return [*_bubblewrap(), *python] if self.name == "bubblewrap" else python

    def rights(self, limits: Limits, user: int | None) -> dict[str, Any]:
        """What the process is to give up before it reads the learner's code."""
        most = {"memory": limits.memory, "files": limits.files, "core": 0}
        if user is not None or (self.name == "bubblewrap" and _counts_by_namespace()):
            most["processes"] = limits.processes  # elsewhere the count is of all that the teacher runs
        return {"network": "cut" if self.name == "user" else "as it is", "user": user, "limits": most}


BUBBLEWRAP = Isolation(
    "bubblewrap",
    ("no network", "files of this computer out of sight, but for Python and the library", "processes of its own"),
    (),
)
USER = Isolation(
    "user", ("no network", "a user of its own"), ("it can read what everybody can read here, the checks' files too",)
)
LIMITS = Isolation(
    "limits",
    (),
    (
        "it can use the network",
        "it can read, and write, what you can: grade nobody's work here whom you would not let use this computer",
        "a process that it leaves behind may outlive the grading",
    ),
)


def _bubblewrap() -> list[str]:
    """bubblewrap's part of the command line: system, Python and library to read, the folders of answers empty."""
    parts = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    if os.getuid() == 0:  # stays root until the worker takes a user of its own, so that it finds a Python of root's
        parts += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        parts += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    parts += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/home/learner"):
        parts += ["--perms", "1777", "--size", str(64 * 2**20), "--tmpfs", folder]
    seen = list(dict.fromkeys([*SYSTEM, *_python(), str(PACKAGE)]))
    for parent in dict.fromkeys(str(above) for path in seen for above in reversed(Path(path).parents)):
        parts += ["--perms", "0755", "--dir", parent]  # otherwise only root could pass through
    for path in seen:
        parts += ["--ro-bind-try", path, path]
    parts += ["--tmpfs", str(PACKAGE / "checks")]
    return [*parts, "--chdir", "/home/learner", "--"]


def _python() -> Iterator[str]:
    """The folders that this interpreter and the packages it finds live in."""
    yield from (sys.prefix, sys.base_prefix, sys.base_exec_prefix, str(Path(sys.executable).resolve().parent.parent))
    yield from (folder for folder in [*site.getsitepackages(), site.getusersitepackages()] if Path(folder).is_dir())


def _counts_by_namespace() -> bool:
    """Since Linux 5.14 the processes of a user namespace are counted apart."""
    numbers = platform.release().split(".")
    return tuple(int(n) for n in numbers[:2] if n.isdigit()) >= (5, 14)


def kinds() -> list[Isolation]:
    """The isolations that this system might allow, the strongest first."""
    linux = sys.platform == "linux"
    found = [BUBBLEWRAP] if linux and shutil.which("bwrap") else []
    return [*found, *([USER] if linux and os.getuid() == 0 else []), LIMITS]


class Process:
    """A running learner's process in some isolation, and the frames that come from it. Use it as a context."""

    def __init__(self, isolation: Isolation, limits: Limits) -> None:
        self.isolation, self.limits = isolation, limits
        self.user = 2**30 + secrets.randbelow(2**29) if isolation.name != "limits" and os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="grading-"))
        if self.user is not None:
            os.chown(self.folder, self.user, self.user)
        self.frames: queue.Queue[Any] = queue.Queue(maxsize=1)
        self.popen = subprocess.Popen(
            isolation.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=self._environment(),
            start_new_session=True,
        )
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _environment(self) -> dict[str, str]:
        """Nothing of the teacher's, and one thread for the mathematics."""
        home = "/home/learner" if self.isolation.name == "bubblewrap" else str(self.folder)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
        places = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR"), home)
        return {**kept, **threads, **places, "MPLBACKEND": "Agg", "ICRL_TEACH_PROGRESS": "off"}

    def start(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Have the process give up its rights: what is ensured, what is not. Raises Stopped if it does not come up."""
        rights = self.isolation.rights(self.limits, self.user)
        message, _ = self.ask({"rights": rights}, b"", STARTUP)
        done = set(message["in_force"])
        ensures = (*self.isolation.ensures, *(f"{LIMITED[name]} is limited" for name in LIMITED if name in done))
        return ensures, (*self.isolation.lacks, *(f"{LIMITED[n]} is not limited" for n in LIMITED if n not in done))

    def ask(self, message: dict[str, Any], blob: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Send a frame and wait for the answer. Raises Stopped: timeout, died, or tampered for no frame of ours."""
        assert self.popen.stdin is not None
        ends = threading.Timer(max(seconds, 0.0), self.kill)  # a process that does not read would hold us up here
        ends.start()
        try:
            wire.send(self.popen.stdin, message, blob)
        except OSError:
            pass  # it has died: what comes back says how
        finally:
            ends.cancel()
        return self.wait(seconds)

    def wait(self, seconds: float) -> tuple[dict[str, Any], bytes]:
        """The next frame from the process."""
        try:
            got = self.frames.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            raise Stopped("timeout", "it took longer than it may") from None
        if isinstance(got, BaseException):
            raise self._end(got)
        return got

    def _end(self, error: BaseException) -> Stopped:
        if isinstance(error, wire.Broken):
            return Stopped("tampered", f"its process sent something else than answers: {error}")
        try:
            code = self.popen.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return Stopped("died", "its process closed the line to the grader")
        number = -code if code < 0 else code - 128 if code > 128 else 0
        if number == getattr(signal, "SIGXCPU", None):
            return Stopped("timeout", f"it used up its {self.limits.cpu:.0f} seconds of processor time")
        names = {each.value: each.name for each in signal.Signals}
        how = f"by {names[number]}" if number in names else f"with exit status {code}"
        return Stopped("died", f"its process ended {how}")

    def _listen(self) -> None:
        """Put frames into the queue; what is in it already is read before the process may say more."""
        assert self.popen.stdout is not None
        while True:
            try:
                self.frames.put(wire.receive(self.popen.stdout, self.limits.answer))
            except (wire.Broken, EOFError, OSError, ValueError) as error:
                self.frames.put(error if isinstance(error, wire.Broken) else EOFError())
                return

    def kill(self) -> None:
        """End the process and its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.popen.pid, signal.SIGKILL)
            else:
                self.popen.kill()

    def close(self) -> None:
        """End the process and all that it started, as far as this isolation can, and remove its folder."""
        self.kill()
        if self.isolation is USER:  # whatever left its group still is of its user
            end = ["/bin/sh", "-c", "kill -9 -1"]
            subprocess.run(
                end, user=self.user, group=self.user, extra_groups=[], check=False, stderr=subprocess.DEVNULL
            )
        self.popen.wait()
        while self.listener.is_alive():
            with contextlib.suppress(queue.Empty):
                self.frames.get(timeout=0.05)
        for pipe in (self.popen.stdin, self.popen.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


_works: list[Isolation] = []  # the first kind that came up in this process


def launch(limits: Limits) -> tuple[Process, tuple[str, ...], tuple[str, ...]]:
    """A learner's process that has given up its rights, in the strongest isolation that works here; what that ensures,
    and what it lacks.

    Raises RuntimeError where Python itself does not come up. Once a kind has worked, no weaker one is used.
    """
    why = ""
    for isolation in _works or kinds():
        process = Process(isolation, limits)
        try:
            told = process.start()
        except Stopped as stopped:
            process.close()
            why = stopped.reason
            continue
        _works[:] = [isolation]
        return process, *told
    raise RuntimeError(f"no process for a learner's code comes up here: {why}")
