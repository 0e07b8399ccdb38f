"""Twenty learners of one hub press Start in the same moment: python benchmarks/hub.py [--learners 20]

Starts a real JupyterHub on loopback as tests/hub does, asks it for all servers at once, and prints how long until the
first, the median and the last was ready, and what memory the servers take together, before any kernel. Nothing is
asserted. Needs what `make hub-test` installs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests" / name) for name in ("", "hub")]
from running import ask, running_hub, wait_for_server  # noqa: E402


def start(url: str, learner: str, begin: float) -> float:
    """Seconds from `begin` until the learner's server is ready."""
    ask(url, "POST", f"users/{learner}")
    ask(url, "POST", f"users/{learner}/server")
    wait_for_server(True, url, learner)
    return time.monotonic() - begin


def memory_of_servers() -> int:
    """Bytes that learners' servers do not share with other processes (proportional set size)."""
    servers = [p for p in psutil.process_iter(["cmdline"]) if "jupyterhub.singleuser" in (p.info["cmdline"] or [])]
    return sum(process.memory_full_info().pss for process in servers)


def main() -> None:
    """Run, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=20)
    count = parser.parse_args().learners
    with tempfile.TemporaryDirectory() as folder:
        homes = Path(folder) / "homes"
        homes.mkdir(mode=0o711)
        Path(folder).chmod(0o711)
        with running_hub(Path(folder), homes) as url, ThreadPoolExecutor(count) as pool:
            begin = time.monotonic()
            took = sorted(pool.map(lambda i: start(url, f"learner-{i}", begin), range(count)))
            memory = memory_of_servers() / 2**20
            print(f"{count} learners at once: the first is ready after {took[0]:.0f} s, ", end="")
            print(f"the median after {statistics.median(took):.0f} s, the last after {took[-1]:.0f} s")
            print(f"memory of the servers: {memory:.0f} MiB, {memory / count:.0f} MiB each")


if __name__ == "__main__":
    main()
