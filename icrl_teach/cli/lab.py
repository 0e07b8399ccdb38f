"""`icrl-teach lab`: the course in JupyterLab, on this computer only."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from icrl_teach import learner
from icrl_teach.cli.text import fold
from icrl_teach.course import course_root

FIRST_LESSON = "lessons/00_start_here.ipynb"
SETTINGS = Path(__file__).resolve().parents[1] / "lab"  # a stylesheet and a few settings, beside the learner's own


@click.command("lab")
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of 127.0.0.1; without it Jupyter takes a free one.")
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening a browser.")
@click.option("--allow-root", is_flag=True, help="Let Jupyter run as root, as inside a container.")
def command(directory: Path | None, port: int | None, no_browser: bool, allow_root: bool) -> None:
    """Open the course in JupyterLab, on this computer only.

    DIR is a folder that icrl-teach start made; without it, the one in which you are, or the course's own notebooks.
    """
    folder = course_folder(directory)
    if find_spec("jupyterlab") is None:
        raise ValueError(f'jupyterlab is not installed; run: {sys.executable} -m pip install "jupyterlab>=4.2"')
    if port is not None:
        check_port(port)
    if told := without_progress(folder):
        click.echo(fold(told, sys.stderr), err=True)
    become(lab_command(folder, port, not no_browser, allow_root), environment())


def course_folder(directory: Path | None = None) -> Path:
    """The folder that holds lessons/: `directory` if given, else the learner's in which we are, the current one, or
    the checkout's.

    Raises ValueError, saying how to get one, if there is none.
    """
    checkout = Path(__file__).resolve().parents[2]
    candidates = [directory] if directory is not None else [learner.home(Path.cwd()) or Path.cwd(), checkout]
    for folder in candidates:
        if (folder / "lessons").is_dir():
            return folder.resolve()
    where = directory if directory is not None else "this folder"
    remedy = "run 'icrl-teach start DIR' to make a course folder, then 'icrl-teach lab DIR'"
    raise ValueError(f"{where} holds no lessons/; {remedy}")


def without_progress(folder: Path) -> str:
    """One line for a folder in which no progress is kept; "" for a learner's own."""
    if learner.home(folder) is not None:
        return ""
    if folder == course_root().resolve():
        copy = "icrl-teach start my-course, then icrl-teach lab my-course"
        return f"These are the course's own notebooks, outputs and all. To work in a copy: {copy}"
    start = f"icrl-teach start {shlex.quote(str(folder))}"
    return f"No progress is kept in {folder} yet; to have it kept, with no file of yours changed: {start}"


def check_port(port: int) -> None:
    """Raise ValueError if another program listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ValueError(f"--port is {port}, which another program uses; choose another, or leave --port out")


def lab_command(folder: Path, port: int | None = None, browser: bool = True, allow_root: bool = False) -> list[str]:
    """The command that opens `folder` in JupyterLab, for this computer only, with Jupyter's own token."""
    from jupyter_client.manager import KernelManager

    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
    if KernelManager.class_traits().get("transport_encryption"):  # since jupyter_client 8.10; kernels warn without it
        command.append("--KernelManager.transport_encryption=auto")
    if (folder / FIRST_LESSON).is_file():
        command.append(f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}")
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    return command + ["--no-browser"] * (not browser) + ["--allow-root"] * allow_root


def environment() -> dict[str, str]:
    """This process's environment, in which Jupyter also finds the course's stylesheet and settings.

    Both variables only add a folder to those that Jupyter searches: the learner's configuration stays as it is, and
    what they set in JupyterLab's own settings wins.
    """
    paths = {name: os.environ.get(name) for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")}
    added = {name: os.pathsep.join(filter(None, (str(SETTINGS), before))) for name, before in paths.items()}
    return {**os.environ, **added}


def become(command: list[str], environment: dict[str, str]) -> None:
    """Turn this process into another, so that Ctrl-C and signals reach Jupyter and nobody else."""
    if os.name == "nt":  # Windows has no exec: it would return to the prompt at once
        sys.exit(subprocess.call(command, env=environment))
    os.execve(command[0], command, environment)
