"""A fresh run of a notebook within limits: of time for each cell, of memory and of output for its kernel.

nbclient runs the cells, so that what is compared is what Jupyter would store (it follows `clear_output`, display
updates and widget states). A thread watches the kernel from outside: a kernel that fills memory or prints without end
is ended before the machine suffers, and the cell that did it is named.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import zmq
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from nbval.plugin import coalesce_streams

from icrl_teach.validation.documents import Document, is_skipped

INTERVAL = 0.1  # seconds between two looks at the kernel's memory
MEGABYTE = 1024.0**2
RUNNING: set[psutil.Process] = set()  # kernels of this process, to be ended if it is interrupted
INTERRUPTED = threading.Event()  # set then, so that no thread starts another
PYTHON = ("python", "ipython")


@dataclass
class CellRun:
    """What one cell did: its outputs, seconds, and the kernel's highest memory meanwhile in megabytes."""

    outputs: list[NotebookNode]
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Trouble:
    """Why a run stopped: a rule of findings.RULES, the cell's index (None before the first), and a reason."""

    rule: str
    cell: int | None
    reason: str


@dataclass
class Run:
    """A fresh run: the executed notebook, what each cell did, and what stopped it, if anything."""

    notebook: NotebookNode
    cells: dict[int, CellRun] = field(default_factory=dict)
    trouble: Trouble | None = None
    seconds: float = 0.0
    megabytes: float = 0.0


class Watch(threading.Thread):
    """Looks at a kernel's memory, its children's included, and ends the kernel at the limit (in megabytes)."""

    def __init__(self, process: psutil.Process, limit: float, popen: subprocess.Popen | None) -> None:
        super().__init__(daemon=True)
        self.kernel, self.limit, self.popen = process, limit, popen
        self.cell_peak = self.peak = 0.0
        self.ended_for = ""
        self.done = threading.Event()
        self._looks = 0
        self._children: list[psutil.Process] = []

    def run(self) -> None:
        """Look until told that the run is done."""
        while not self.done.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        """Measure once; end the kernel if it holds more than it may."""
        if self._looks % 5 == 0:  # asking for children reads the whole process table
            self.find_children()
        self._looks += 1
        now = 0.0
        for process in (self.kernel, *self._children):
            with suppress(psutil.Error):
                now += process.memory_info().rss / MEGABYTE
        self.cell_peak, self.peak = max(self.cell_peak, now), max(self.peak, now)
        if now > self.limit:
            self.end("memory")

    def find_children(self) -> None:
        """Note the kernel's children; those that it lost by dying stay noted."""
        with suppress(psutil.Error):
            self._children = self.kernel.children(recursive=True) or self._children

    def end_children(self) -> None:
        """End what the notebook started and did not end, also in a session of its own."""
        for child in self._children:
            with suppress(psutil.Error):  # psutil knows a number that another process has now
                child.kill()

    def end(self, why: str) -> None:
        """End the kernel, once, and remember why."""
        if not self.ended_for:
            self.ended_for = why
            end_process(self.kernel)


def end_process(process: psutil.Process) -> None:
    """End a kernel and its children at once."""
    with suppress(psutil.Error):
        children = process.children(recursive=True)
        process.kill()
        for child in children:
            with suppress(psutil.Error):
                child.kill()


class _Client(NotebookClient):
    """nbclient that counts what a cell sends and says when it is too much."""

    too_much: Callable[[], None]
    limit: float
    sent = 0

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        content = msg["content"]
        self.sent += len(content.get("text") or "") + sum(len(str(v)) for v in (content.get("data") or {}).values())
        if self.sent > self.limit:
            self.too_much()
        return super().process_message(msg, cell, cell_index)


def kernel_name(document: Document) -> str:
    """The kernel to run with: this environment's own for Python, else the one that the notebook names.

    Raises NoSuchKernel for a language other than Python whose kernel is not installed.
    """
    if document.language in PYTHON:
        return CURRENT_ENV_KERNEL_NAME
    name = str((document.notebook.metadata.get("kernelspec") or {}).get("name") or document.language)
    NbvalKernelspecManager().get_kernel_spec(name)
    return name


def run(document: Document, tick: Callable[[str], None]) -> Run:
    """Run a copy of a notebook from a fresh kernel in its own folder; `tick` is called after each cell.

    Never raises for what a notebook does: what stopped the run is in the result's `trouble`.
    """
    settings = document.settings
    result = Run(copy.deepcopy(document.notebook))
    result.notebook.metadata.pop("widgets", None)
    try:
        name = kernel_name(document)
    except NoSuchKernel as error:
        reason = f"the kernel {error.name!r} ({document.language}) is not installed"
        result.trouble = Trouble("no-kernel", None, reason)
        return result
    with tempfile.TemporaryDirectory(prefix="icrl-") as folder:
        client = _Client(
            result.notebook,
            km=_manager(name, Path(folder)),
            timeout=settings.cell_timeout,
            startup_timeout=settings.startup_timeout,
            allow_errors=True,
            record_timing=False,
            shutdown_kernel="immediate",
        )
        client.log = _silent()
        client.limit = settings.output_limit * 1e6
        _run_cells(document, client, result, tick)
    return result


def _manager(name: str, folder: Path) -> AsyncKernelManager:
    """A manager whose kernel is reached through sockets in `folder`, where it is ipykernel and the system has such.

    A free port can be another program's before the kernel has it, and then the kernel dies; a folder is its own.
    """
    manager = AsyncKernelManager(kernel_name=name, kernel_spec_manager=NbvalKernelspecManager())
    manager.connection_file = str(folder / "kernel.json")
    short = len(os.fsencode(folder / "kernel-ipc-5")) <= zmq.IPC_PATH_MAX_LEN
    if name == CURRENT_ENV_KERNEL_NAME and zmq.has("ipc") and short:
        manager.transport = "ipc"
    if manager.has_trait("transport_encryption"):  # jupyter_client 8.8 or newer: without it a kernel warns
        manager.transport_encryption = "auto"
    return manager


def _silent() -> logging.Logger:
    logger = logging.getLogger("icrl_teach.validation.nbclient")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _run_cells(document: Document, client: _Client, result: Run, tick: Callable[[str], None]) -> None:
    start = time.monotonic()
    watch: Watch | None = None
    index: int | None = None
    place = {
        "cwd": str(document.path.resolve().parent),
        "stderr": subprocess.DEVNULL,
        "env": _environment(document.settings.jobs),
    }
    try:
        with client.setup_kernel(cleanup_kc=True, **place):
            watch = _watch(client, document.settings.memory_limit)
            for index, cell in enumerate(result.notebook.cells):
                if INTERRUPTED.is_set():
                    raise DeadKernelError("interrupted")
                if cell.cell_type == "code" and cell.source.strip() and not is_skipped(cell):
                    result.cells[index] = _run_cell(client, watch, index, cell)
                    tick(document.name)
            client.set_widgets_metadata()
            watch.find_children()  # while they can still be told from other processes
    except Exception as error:
        result.trouble = _trouble(error, watch, index, document)
        if index is not None:
            peak = watch.cell_peak if watch else 0.0
            result.cells.setdefault(index, CellRun(result.notebook.cells[index].get("outputs", []), 0.0, peak))
    finally:
        loop = ensure_event_loop()
        loop.run_until_complete(_drain())
        loop.close()
        if watch:
            watch.done.set()
            watch.end_children()
            RUNNING.discard(watch.kernel)
            result.megabytes = watch.peak
    result.seconds = time.monotonic() - start


async def _drain() -> None:
    """Cancel what nbclient left waiting when a kernel died: a loop dropped with it complains on stderr."""
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1.0)


def cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment(jobs: int | None) -> dict[str, str]:
    """This process's environment with this Python's commands first, as where the environment is activated.

    A validated notebook is nobody's own work: no learner's progress is read or kept. Kernels that run side by side
    share the CPUs: threads that wait for each other's took lesson 13 five times as long.
    """
    return {
        "OMP_NUM_THREADS": str(max(1, cpus() // (jobs or 1))),
        **os.environ,
        "ICRL_TEACH_PROGRESS": "off",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }


def _watch(client: _Client, limit: float) -> Watch:
    provisioner: Any = client.km.provisioner  # type: ignore[union-attr]
    process = psutil.Process(provisioner.pid)
    RUNNING.add(process)
    watch = Watch(process, limit, getattr(provisioner, "process", None))
    client.too_much = lambda: watch.end("flood")
    watch.look()  # a kernel that dies at once was measured, too
    watch.start()
    return watch


def _run_cell(client: _Client, watch: Watch, index: int, cell: NotebookNode) -> CellRun:
    watch.cell_peak, client.sent = 0.0, 0
    watch.look()
    start = time.monotonic()
    client.execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
    seconds = time.monotonic() - start
    cell.outputs = coalesce_streams(cell.outputs)  # nbclient's own takes the square of a long line's length
    watch.look()
    return CellRun(cell.outputs, seconds, watch.cell_peak)


def _trouble(error: Exception, watch: Watch | None, index: int | None, document: Document) -> Trouble:
    settings = document.settings
    if watch and watch.ended_for == "memory":
        reason = (
            f"held {watch.peak:,.0f} MB, more than the limit of {settings.memory_limit:,.0f} MB; its kernel was ended"
        )
        return Trouble("memory", index, reason)
    if watch and watch.ended_for == "flood":
        reason = f"sent more than {settings.output_limit:g} MB of output; its kernel was ended"
        return Trouble("flood", index, reason)
    if isinstance(error, CellTimeoutError | TimeoutError):
        return Trouble("timeout", index, f"still running after {settings.cell_timeout:g} s; its kernel was ended")
    if watch and (isinstance(error, DeadKernelError) or not watch.kernel.is_running()):
        words = f"the kernel died{_ending(watch)}; its memory was {watch.peak:,.0f} MB at most"
        return Trouble("dead-kernel", index, words)
    if index is None:
        return Trouble("no-kernel", None, f"the kernel did not start: {str(error)[:160]}")
    return Trouble("dead-kernel", index, f"the run broke off: {type(error).__name__}: {str(error)[:160]}")


def _ending(watch: Watch) -> str:
    """How a kernel ended, where the system says: its exit code, or the signal that ended it."""
    code = watch.popen.poll() if watch.popen else None
    if code is None:
        return ""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f" of {name}" + (", as when a system is out of memory" if name == "SIGKILL" else "")
    return f" with exit code {code}"
