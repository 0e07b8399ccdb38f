"""JupyterHub for one class on one server. Start it with: jupyterhub -f deploy/jupyterhub_config.py

What a site chooses stands in the environment, so that this file need not be changed:

ICRL_HUB_URL            where the hub listens; http://127.0.0.1:8000, behind a web server that speaks TLS
ICRL_HUB_STATE          folder for the hub's database and secret; /srv/icrl-hub
ICRL_HUB_SPAWNER        systemd (a system user for each learner, made as needed) or docker (a container for each)
ICRL_HUB_IMAGE          the image of docker's containers, made from deploy/Dockerfile; icrl-teach
ICRL_HUB_AUTHENTICATOR  native (learners sign up, an admin lets them in) or oauth (set OAUTH_CLIENT_ID and the like)
ICRL_HUB_ADMINS         names of admins, with commas
ICRL_HUB_MEMORY, ICRL_HUB_CPU   most that one learner's server may use; 2G and 1
"""

import os
import shutil
import sys
from pathlib import Path

c = get_config()  # noqa: F821 (JupyterHub gives it)
here = Path(__file__).resolve().parent


def setting(name, default, *choices):
    """A setting from the environment, refused where it is none of the choices."""
    value = os.environ.get(f"ICRL_HUB_{name}", default)
    if choices and value not in choices:
        raise ValueError(f"ICRL_HUB_{name} is {value!r}; choose one of {', '.join(choices)}")
    return value


state = Path(setting("STATE", "/srv/icrl-hub"))
state.mkdir(mode=0o700, parents=True, exist_ok=True)
c.JupyterHub.bind_url = setting("URL", "http://127.0.0.1:8000")
c.JupyterHub.db_url = f"sqlite:///{state / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
proxy = here / "node_modules" / ".bin" / "configurable-http-proxy"
c.ConfigurableHTTPProxy.command = [str(proxy) if proxy.exists() else "configurable-http-proxy"]

# Who may come in.
if setting("AUTHENTICATOR", "native", "native", "oauth") == "native":
    sys.path.insert(0, str(here))
    c.JupyterHub.authenticator_class = "native_login.Authenticator"
    c.NativeAuthenticator.minimum_password_length = 10
    c.NativeAuthenticator.check_common_password = True
    c.NativeAuthenticator.allowed_failed_logins = 5
else:
    c.JupyterHub.authenticator_class = "oauthenticator.generic.GenericOAuthenticator"
c.Authenticator.allow_all = True  # all whom the authenticator knows; native knows those whom an admin has let in
c.Authenticator.admin_users = set(filter(None, setting("ADMINS", "").split(",")))

# What they get: a server of their own, under a user of their own, so that no kernel reads another's folder.
c.Spawner.cmd = [sys.executable, str(here / "course_server.py")]
c.Spawner.mem_limit = setting("MEMORY", "2G")  # the largest lesson is held to 1.5 GB
c.Spawner.cpu_limit = float(setting("CPU", "1"))
c.Spawner.http_timeout = c.Spawner.start_timeout = 300  # seconds: thirty learners start at once when a class begins
c.Spawner.environment = {"OMP_NUM_THREADS": "1"}  # thirty kernels share the cores
if setting("SPAWNER", "systemd", "systemd", "docker") == "systemd":
    c.JupyterHub.spawner_class = "systemdspawner.SystemdSpawner"
    c.SystemdSpawner.dynamic_users = True  # systemd makes a user for each learner; the folder is in /var/lib
    c.SystemdSpawner.isolate_tmp = c.SystemdSpawner.isolate_devices = True
    c.SystemdSpawner.disable_user_sudo = True
else:
    c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
    c.DockerSpawner.image = setting("IMAGE", "icrl-teach")
    c.DockerSpawner.cmd = ["python", "/opt/icrl-teach/deploy/course_server.py"]
    c.DockerSpawner.volumes = {"icrl-{username}": "/home/learner"}  # it stays when the container goes
    c.DockerSpawner.remove = True
    c.JupyterHub.hub_ip = "0.0.0.0"  # containers reach the hub over docker's network
c.JupyterHub.concurrent_spawn_limit = 10
c.JupyterHub.active_server_limit = 100

# Servers that nobody has used for an hour end; files stay.
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
c.JupyterHub.services = [
    {"name": "idle-culler", "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"]}
]
if not shutil.which(c.ConfigurableHTTPProxy.command[0]):
    raise FileNotFoundError(f"no configurable-http-proxy: run npm ci --omit=dev --prefix {here}")
