"""The hub's files say what they should: each choice, what a server may use, and that what they call exists."""

import re
from pathlib import Path

import pytest
import yaml
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def load(tmp_path, monkeypatch, **settings):
    """The shipped configuration under these settings of the environment."""
    monkeypatch.setenv("ICRL_HUB_STATE", str(tmp_path / "state"))
    for name, value in settings.items():
        monkeypatch.setenv(f"ICRL_HUB_{name}", value)
    monkeypatch.setattr("shutil.which", lambda name: name)  # the proxy may be installed later
    return PyFileConfigLoader("jupyterhub_config.py", path=str(DEPLOY)).load_config()


def test_as_it_comes_each_learner_gets_a_system_user(tmp_path, monkeypatch):
    config = load(tmp_path, monkeypatch, ADMINS="ada,grace")
    assert config.JupyterHub.spawner_class == "systemdspawner.SystemdSpawner"
    assert config.SystemdSpawner.dynamic_users is True and config.SystemdSpawner.disable_user_sudo is True
    assert config.Authenticator.admin_users == {"ada", "grace"}
    assert (
        config.JupyterHub.authenticator_class == "native_login.Authenticator"
        and "open_signup" not in config.NativeAuthenticator
    )
    assert config.Spawner.mem_limit == "2G" and config.Spawner.cpu_limit == 1.0
    assert config.JupyterHub.bind_url == "http://127.0.0.1:8000"  # never the whole network by itself
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0  # the database and the secret are the hub's alone


def test_docker_and_oauth_are_a_setting_each(tmp_path, monkeypatch):
    config = load(tmp_path, monkeypatch, SPAWNER="docker", AUTHENTICATOR="oauth", IMAGE="me/course:1", CPU="0.5")
    assert config.DockerSpawner.image == "me/course:1" and config.DockerSpawner.remove is True
    assert "{username}" in next(iter(config.DockerSpawner.volumes))  # a folder of one's own
    assert config.JupyterHub.authenticator_class.startswith("oauthenticator.")
    assert config.Spawner.cpu_limit == 0.5


@pytest.mark.parametrize("name", ["SPAWNER", "AUTHENTICATOR"])
def test_another_choice_is_refused_by_name(tmp_path, monkeypatch, name):
    with pytest.raises(ValueError, match=f"ICRL_HUB_{name} is 'magic'; choose one of"):
        load(tmp_path, monkeypatch, **{name: "magic"})


def test_a_missing_proxy_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ICRL_HUB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="npm ci"):
        PyFileConfigLoader("jupyterhub_config.py", path=str(DEPLOY)).load_config()


def test_idle_servers_end_and_the_culler_may_do_no_more(tmp_path, monkeypatch):
    config = load(tmp_path, monkeypatch)
    (role,) = config.JupyterHub.load_roles
    assert set(role["scopes"]) == {"list:users", "read:users:activity", "read:servers", "delete:servers"}
    (service,) = config.JupyterHub.services
    assert service["name"] in role["services"] and "--timeout=3600" in service["command"]


def test_helm_values_and_image_name_what_is_there():
    values = yaml.safe_load((DEPLOY / "values.yaml").read_text())
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    extras = set(re.search(r'"\.\[(.*)\]"', dockerfile)[1].split(","))
    text = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in extras)
    home, script = re.search(r"WORKDIR (/opt/\S+)", dockerfile)[1], values["singleuser"]["cmd"][1]
    assert (ROOT / Path(script).relative_to(home)).is_file()
    user = re.search(r"useradd .*--uid (\d+) (\w+)", dockerfile)
    assert values["singleuser"]["uid"] == int(user[1])
    assert values["singleuser"]["storage"]["homeMountPath"] == f"/home/{user[2]}"
    assert "USER " + user[2] in dockerfile  # nothing of a learner runs as root
