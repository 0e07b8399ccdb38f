"""The package as a whole: doctests run, imports stay light, floors are kept, public names are documented."""

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

import icrl_teach
import icrl_teach.pretraining
from icrl_teach import td
from icrl_teach._validate import check_count

HOME = Path(icrl_teach.__file__).parent
# docs/architecture.md, lowest first: a file imports only from files named before it, and a folder from itself, unless
# its files are named one by one.
FLOORS = [
    *("_validate", "_door", "_progress", "_files", "learner"),
    *("mrp", "features", "tasks", "spaces", "environments", "data"),
    *("td", "softmax_td", "theory", "control", "prompt", "attention", "transformer", "two_heads", "acting"),
    *("pretraining.config", "pretraining.batches", "pretraining.stock", "pretraining.answers", "pretraining.losses"),
    *("pretraining.processes", "pretraining.checkpoints", "pretraining.weights", "pretraining.training", "losses"),
    "probes",
    *("emergence", "course", "symbols", "standing", "comparison", "evaluation", "doctor", "acting_report"),
    *("web", "figures", "predictions", "views", "widgets", "checks", "validation"),
    *("grading", "authoring", "classroom", "cli"),
]

PACKAGE = "icrl_teach"
WHOLE_MODULES = {path.stem for path in HOME.glob("_*.py")}  # such as _validate: private of the package, not of a file


def floor_of(module: str) -> str | None:
    """Where a module (written without icrl_teach) stands; a folder of several floors stands on its highest."""
    at = [floor for floor in FLOORS if f"{module}.".startswith(f"{floor}.") or floor.startswith(f"{module}.")]
    return at[-1] if at else None


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")


def modules() -> list[Path]:
    return [path for path in sorted(HOME.rglob("*.py")) if path.name not in ("__init__.py", "__main__.py")]


def fresh(script: str) -> object:
    """What a script prints, as JSON, from an interpreter without pytest and its import hook."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def test_every_example_in_a_docstring_runs():
    # In a fresh interpreter: doctest does not look inside functions that the import hook has wrapped.
    names = [f"icrl_teach.{module_of(path)}" for path in modules()]
    script = f"""
import doctest, importlib, json
results = {{name: doctest.testmod(importlib.import_module(name)) for name in {names}}}
print(json.dumps({{name: list(result) for name, result in results.items()}}))
"""
    results = fresh(script)
    for path in modules():
        failed, attempted = results[f"icrl_teach.{module_of(path)}"][:2]
        assert failed == 0
        assert attempted == path.read_text().count("    >>> "), f"an example of {path.name} was not found"


def test_importing_the_package_stays_light():
    heavy = fresh(
        "import json, sys, icrl_teach; dir(icrl_teach); "
        "print(json.dumps([m for m in ('torch', 'matplotlib', 'ipywidgets', 'gymnasium') if m in sys.modules]))"
    )
    assert heavy == []


def test_classical_names_do_not_need_torch():
    heavy = fresh(
        "import json, sys; from icrl_teach import MarkovRewardProcess, boyan_chain, weighted_softmax_td, lstd; "
        "from icrl_teach import matching_matrix, read_trajectory; print(json.dumps('torch' in sys.modules))"
    )
    assert heavy is False


def imported(path: Path) -> Iterator[str]:
    """Modules of this package that a file imports, wherever the import stands; names as their homes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("icrl_teach.") for alias in node.names if "icrl_teach." in alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            if node.module.startswith("icrl_teach"):
                for alias in node.names:
                    inner = node.module.removeprefix("icrl_teach").removeprefix(".")
                    yield HOMES.get(f"{inner}.{alias.name}".lstrip("."), inner or alias.name)


def stubs(package: Path, name: str = "") -> dict[str, str]:
    """Each name that a package hands out, and the module it comes from, by the stub that lazy_loader reads."""
    nodes = [n for n in ast.parse((package / "__init__.pyi").read_text()).body if isinstance(n, ast.ImportFrom)]
    return {name + alias.name: name + node.module for node in nodes for alias in node.names}


HOMES = {**stubs(HOME), **stubs(HOME / "pretraining", "pretraining."), "__version__": "_validate"}


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(HOME.rglob("*.py")) if p not in (HOME / "__init__.py", HOME / "__main__.py")],
    ids=module_of,
)
def test_a_file_imports_only_from_lower_floors(path):
    module = module_of(path)
    own = floor_of(module)
    assert own, f"{module} stands on no floor of architecture.md"
    allowed = FLOORS[: FLOORS.index(own)] + [own] * (path.parent != HOME and own in module.split("."))
    for name in imported(path):
        assert floor_of(name) in allowed, f"{module} imports {name}, which is not below it"


def test_a_warning_about_numbers_in_the_package_fails_a_test():
    # pyproject.toml's filter: a NaN that is born silently would pass many comparisons.
    with pytest.raises(RuntimeWarning, match="invalid value"):
        td.errors(np.array([np.inf, np.inf]), np.ones(1), 0.9, np.array([True, False]), np.array([True, False]))


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_no_file_reaches_for_another_s_private_names():
    reached = []
    for path in modules():
        tree = ast.parse(path.read_text())
        inside = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith(PACKAGE)]
        names = [alias for node in inside for alias in node.names if alias.name not in WHOLE_MODULES]
        reached += [f"{path.name}: {alias.name}" for alias in names if private(alias.name)]
        mine = {alias.asname or alias.name for node in inside for alias in node.names}
        reached += [
            f"{path.name}: {node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if node.value.id in mine and private(node.attr) and node.attr not in dir(tuple)
        ]
    assert reached == []


def public_objects():
    for name in icrl_teach.__all__:
        value = getattr(icrl_teach, name)
        yield name, value
        if inspect.isclass(value):
            for attribute, member in vars(value).items():
                if not attribute.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
                    yield f"{name}.{attribute}", member


@pytest.mark.parametrize(
    ("name", "value"), list(public_objects()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_public_names_have_docstrings(name, value):
    text = inspect.getdoc(value.fget if isinstance(value, property) else value)
    assert text and len(text) > 15
    assert not text.startswith(f"{name}("), "that is the signature a dataclass writes, not a docstring"


def test_a_stub_names_what_is_there():
    # Python and editors read the same file, so they cannot differ; that its lines are true is tested here.
    for package, home in ((icrl_teach, HOME), (icrl_teach.pretraining, HOME / "pretraining")):
        for name, module in stubs(home).items():
            assert getattr(package, name) is getattr(import_module(f"{package.__name__}.{module}"), name)
        assert set(stubs(home)) == set(package.__all__) == set(dir(package))


def test_an_unknown_name_is_refused_as_in_any_module():
    with pytest.raises(AttributeError, match="No icrl_teach attribute no_such_name"):
        icrl_teach.no_such_name


def test_shapes_and_types_in_signatures_are_verified_here():
    # Without this, the import hook of shapes.py could fall silent and nobody would know.
    # Behind the door, which is the first to speak.
    with pytest.raises(jaxtyping.TypeCheckError, match="inner_product"):
        icrl_teach.inner_product.__wrapped__(np.ones((2, 2)), np.ones(1))
    with pytest.raises(jaxtyping.TypeCheckError, match="operator_td"):
        icrl_teach.operator_td.__wrapped__(np.eye(2), np.eye(3), np.ones(2), 0.9, 1)
    with pytest.raises(jaxtyping.TypeCheckError, match="check_count"):  # which has no shape in its signature
        check_count(3, 3)
