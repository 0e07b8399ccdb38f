"""A real JupyterHub on loopback, as deploy/ configures it. Only what a test must choose is other: ports, folders,
sign-up without an admin, and the spawner, which needs no systemd and gives each learner a user by number."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from command_line import child, free_port
from patience import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "t" * 32
CONFIG = """
import os
load_subconfig({config!r})
c.JupyterHub.bind_url, c.JupyterHub.hub_port = {url!r}, {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.NativeAuthenticator.open_signup = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.Spawner.args = ["--LabApp.expose_app_in_browser=True"]
c.JupyterHub.concurrent_spawn_limit = 100
c.JupyterHub.services.append({{"name": "test", "api_token": {token!r}}})
c.JupyterHub.load_roles.append(
    {{"name": "test", "scopes": ["admin:servers", "admin:users"], "services": ["test"]}})

def own_user(spawner):
    number = 20000 + spawner.user.id
    os.makedirs(spawner.home_dir, 0o700, exist_ok=True)
    if os.getuid() == 0:
        os.chown(spawner.home_dir, number, number)
        become = ["setpriv", f"--reuid={{number}}", f"--regid={{number}}", "--clear-groups"]
        spawner.cmd = [*{view!r}, *become, *c.Spawner.cmd]

c.Spawner.pre_spawn_hook = own_user
"""


def view() -> list[str]:
    """Where this Python lies in a folder that only root may enter: a view of the files in which others may, too."""
    needed = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
    closed = {p for path in needed for p in path.parents if not p.stat().st_mode & 0o001}
    if not closed:
        return []
    command = ["bwrap", "--die-with-parent", "--unshare-pid", "--bind", "/", "/", "--dev-bind", "/dev", "/dev"]
    command += ["--proc", "/proc"]
    for folder in sorted(closed):
        command += ["--tmpfs", str(folder)]
    for path in sorted(path for path in needed if closed & set(path.parents)):
        between = [parent for parent in reversed(path.parents) if closed & set(parent.parents)]
        command += [part for parent in between for part in ("--dir", str(parent))]
        command += ["--ro-bind", str(path), str(path)]
    return command


@contextmanager
def running_hub(folder: Path, homes: Path) -> Iterator[str]:
    """The address of a hub that keeps its own files in `folder` and learners' in `homes`."""
    ports: set[int] = set()
    while len(ports) < 3:
        ports.add(free_port())
    port, hub_port, api_port = ports
    url = f"http://127.0.0.1:{port}"
    names = {"config": str(ROOT / "deploy/jupyterhub_config.py"), "url": url, "hub_port": hub_port}
    text = CONFIG.format(**names, api_port=api_port, homes=str(homes), token=TOKEN, view=view())
    (folder / "config.py").write_text(text)
    command = [sys.executable, "-m", "jupyterhub", "-f", str(folder / "config.py")]
    environment = {**os.environ, "ICRL_HUB_STATE": str(folder / "state")}
    log = folder / "log"
    with log.open("w") as out, child(command, stdout=out, stderr=out, cwd=folder, env=environment) as process:
        wait_until(lambda: process.poll() is not None or up(url), log.read_text)
        assert process.poll() is None, log.read_text()
        yield url
        process.terminate()  # the hub ends its learners' servers
        process.wait(timeout=PATIENCE)


def up(url: str) -> bool:
    try:
        return urlopen(f"{url}/hub/api/", timeout=PATIENCE).status == 200
    except OSError:
        return False


def ask(url: str, method: str, path: str):
    """Ask the hub's API as an admin."""
    request = Request(f"{url}/hub/api/{path}", method=method, headers={"Authorization": f"token {TOKEN}"})
    with urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read() or "null")


def wait_for_server(ready: bool, url: str, learner: str) -> None:
    """Until the learner's server is ready, or gone."""
    wait_until(
        lambda: bool(ask(url, "GET", f"users/{learner}")["servers"].get("", {}).get("ready")) is ready,
        lambda: f"the server of {learner} did not {'start' if ready else 'stop'}",
    )
