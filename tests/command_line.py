"""What the tests of the command line share."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
from click.testing import Result


def fails(result: Result, *fragments: str) -> None:
    """One line on stderr that holds the fragments, nothing on stdout, exit code 2."""
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("icrl-teach: error: ")
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr
    for fragment in fragments:
        assert fragment in result.stderr


@contextlib.contextmanager
def child(command: list[str], **more) -> Iterator[subprocess.Popen]:
    """A process that Control-C reaches, killed at the end if it still runs.

    What runs in the background ignores SIGINT, and its children inherit that; a signal that has a handler here is at
    its default in a new program.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, **more)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()  # nothing if it has ended


def free_port() -> int:
    """A free port below those that are given to whoever asks for any: nobody has it by chance before its server."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Each test of a file that imports this works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ICRL_TEACH_DEBUG", raising=False)
    return tmp_path
