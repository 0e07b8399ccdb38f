"""Workflows and Binder's files cannot run here: what they call must exist, and what they say must agree with it."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from guards import ROOT
from icrl_teach import cli
from icrl_teach.cli import lab
from patience import uncounted

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEXT = {path.name: path.read_text(encoding="utf-8") for path in WORKFLOWS}
READ = {name: yaml.safe_load(text) for name, text in TEXT.items()}
BINDER = ROOT / ".binder"
JOBS = [(name, key) for name, content in READ.items() for key in content["jobs"]]


def steps(name: str, job: str) -> list[dict]:
    return READ[name]["jobs"][job]["steps"]


def commands(name: str, job: str) -> list[str]:
    """Each line that a job gives to a shell."""
    return [line for step in steps(name, job) for line in step.get("run", "").splitlines()]


def systems(name: str, job: str) -> list[str]:
    what = READ[name]["jobs"][job]
    return what.get("strategy", {}).get("matrix", {}).get("os", [what["runs-on"]])


def test_there_are_these_two():
    assert sorted(TEXT) == ["ci.yml", "pages.yml"]


def test_every_action_is_pinned_to_a_commit_and_says_its_version():
    used = [line for text in TEXT.values() for line in re.findall(r"^.*\buses:.*$", text, re.MULTILINE)]
    assert len(used) == sum("uses" in step for name, job in JOBS for step in steps(name, job)) > 0
    for line in used:
        assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
    assert len({line.split("uses: ")[1] for line in used}) == len({line.split("@")[0].split()[-1] for line in used})


def test_nothing_may_write_but_the_job_that_publishes():
    for name, job in JOBS:
        allowed = READ[name]["jobs"][job].get("permissions", READ[name]["permissions"])
        assert "write" not in allowed.values() or (name, job) == ("pages.yml", "deploy")
        assert READ[name]["jobs"][job]["timeout-minutes"] <= 120


def test_the_matrix_is_every_system_and_every_python_that_the_package_claims():
    matrix = READ["ci.yml"]["jobs"]["platforms"]["strategy"]["matrix"]
    claimed = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert matrix["python"] == claimed == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={claimed[0]}.5"
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    extra = {one["dependencies"]: one["python"] for one in matrix["include"]}
    assert extra == {"oldest": claimed[0], "newest": claimed[-1]}
    installs = {str(step.get("if", "")): step["run"] for step in steps("ci.yml", "platforms") if "install" in str(step)}
    for kind in {*matrix["dependencies"], *extra}:  # each kind has its own way to be installed, and no other
        assert sum(f"'{kind}'" in condition for condition in installs) == 1
    assert "constraints.txt" in installs["matrix.dependencies == 'tested'"]
    assert "--resolution lowest-direct" in installs["matrix.dependencies == 'oldest'"]


def test_once_a_week_a_cold_install_without_a_cache():
    on = READ["ci.yml"][True]  # YAML 1.1 reads the key `on` as true
    (schedule,) = on["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"])
    cold, platforms = (READ["ci.yml"]["jobs"][job] for job in ("cold", "platforms"))
    assert "github.event_name == 'schedule'" in cold["if"] and "!= 'schedule'" in platforms["if"]
    assert not any("cache" in step.get("with", {}) for step in steps("ci.yml", "cold"))
    assert all("--no-cache-dir" in line for line in commands("ci.yml", "cold") if "pip install" in line)
    (setup,) = [step["with"] for step in steps("ci.yml", "platforms") if "setup-python" in step.get("uses", "")]
    assert setup["cache"] == "pip"
    assert all((ROOT / path).is_file() for path in setup["cache-dependency-path"].split())


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_what_a_job_calls_exists(name, job):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands(name, job):
        if target := re.match(r"make ([\w-]+)$", line):
            assert re.search(rf"^{target[1]}:", makefile, re.MULTILINE), line
            assert not any("windows" in system for system in systems(name, job))  # which has no make
        elif script := re.match(r"bash (\S+)$", line):
            assert subprocess.run(["bash", "-n", script[1]], cwd=ROOT, check=False).returncode == 0
            assert not any("windows" in system for system in systems(name, job))
        else:
            module = re.match(r"python -m (\w+) ", line)[1]  # the same words on every system
            assert module == "uv" or importlib.util.find_spec(module), line
            for extra in re.findall(r'--editable "\.\[(.*)\]"', line):
                assert set(extra.split(",")) <= set(PROJECT["optional-dependencies"])
            for path in re.findall(r"(?:--constraint|--ignore|pytest) (\S+)", line):
                assert (ROOT / path).exists(), line
            if module == "icrl_teach":
                assert line.split()[3] in cli.main.commands
            if module == "jupyter":
                assert (ROOT / line.split()[-1].removeprefix("my-course/")).is_file()


def test_the_site_that_is_published_is_the_one_that_make_builds():
    (upload,) = [step["with"] for step in steps("pages.yml", "build") if "upload-pages" in step.get("uses", "")]
    made = re.search(r"sphinx-build .* (\S+)\n", (ROOT / "Makefile").read_text(encoding="utf-8"))[1]
    assert made == upload["path"]
    (python,) = [
        step["with"]["python-version"] for step in steps("pages.yml", "build") if "python" in step.get("uses", "")
    ]
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


# ------------------------------------------------------------------------------------------------------------- Binder


def test_binder_has_a_python_and_a_torch_that_the_package_allows():
    content = yaml.safe_load((BINDER / "environment.yml").read_text(encoding="utf-8"))
    wanted = dict(re.match(r"([\w-]+)(.*)", line).groups() for line in content["dependencies"])
    assert content["channels"] == ["conda-forge"]
    assert f"Programming Language :: Python :: {wanted['python'].lstrip('=')}" in PROJECT["classifiers"]
    (torch,) = [line for line in PROJECT["dependencies"] if line.startswith("torch")]
    assert torch == f"torch{wanted['pytorch-cpu']}"


@pytest.mark.skipif(os.name == "nt", reason="Binder's machines are Linux")
@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binders_scripts_can_be_run(name):
    assert os.access(BINDER / name, os.X_OK)
    assert subprocess.run(["bash", "-n", BINDER / name], check=False).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Binder's machines are Linux")
def test_binder_starts_what_it_is_given_with_the_courses_look(tmp_path):
    found = "sys.argv[1:], os.environ['JUPYTER_PATH'], os.environ['JUPYTER_CONFIG_PATH']"
    show = f"import json, os, sys; print(json.dumps([{found}]))"
    environment = {**os.environ, "JUPYTER_PATH": "/mine"}
    command = [BINDER / "start", sys.executable, "-c", show, "--port", "8888"]
    words, data, config = json.loads(subprocess.check_output(command, env=environment, cwd=tmp_path, text=True))
    assert words == ["--port", "8888"]
    assert [Path(p).resolve() for p in data.split(":")] == [lab.SETTINGS, Path("/mine")]
    assert [Path(p).resolve() for p in config.split(":")][:2] == [BINDER, lab.SETTINGS]
    opened = json.loads((BINDER / "jupyter_server_config.json").read_text())
    assert {one["default_url"] for one in opened.values()} == {f"/lab/tree/{lab.FIRST_LESSON}"}
    assert (ROOT / lab.FIRST_LESSON).is_file()


@pytest.mark.skipif(os.name == "nt", reason="Binder's machines are Linux")
def test_binder_installs_all_but_torch_in_the_tested_versions(tmp_path):
    """postBuild itself, with a python that only writes down what it is asked to do."""
    shutil.copytree(BINDER, tmp_path / ".binder")
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n')
    (tmp_path / "bin/python").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    subprocess.run([tmp_path / ".binder/postBuild"], env=environment, cwd="/", check=True)
    install, doctor = (tmp_path / "asked").read_text().splitlines()
    kept = Path(re.search(r"--constraint (\S+)", install)[1]).read_text().splitlines()
    every = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in every if line not in kept] == [line for line in every if line.startswith("torch==")] != []
    assert install.endswith("--editable .") and doctor == "-m icrl_teach doctor"


# ------------------------------------------------------------------------------------------------------------ Windows

POSIX = (
    r"\bmkfifo\(|\bSIGKILL\b|\bsymlink_to\(|\bgeteuid\(|\bos\.fork\b|\bwait4\(|\bchild\(|\bpexpect\b|\"/proc/|\"/dev/"
)


@uncounted
@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("test_*.py")), ids=lambda path: path.stem)
def test_what_needs_posix_is_skipped_elsewhere_with_a_reason(path):
    """A test that names a pipe, a signal, a link or a device has a condition; what it calls is not looked into."""
    text = path.read_text(encoding="utf-8")
    if path.name == Path(__file__).name or re.search(r"^pytestmark = pytest\.mark\.skipif\(", text, re.MULTILINE):
        return
    bare = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            whole = ast.get_source_segment(text, node)
            guarded = any("skipif" in ast.unparse(mark) for mark in node.decorator_list) or "os.name" in whole
            if re.search(POSIX, whole) and not guarded:
                bare.append(node.name)
    assert bare == []
