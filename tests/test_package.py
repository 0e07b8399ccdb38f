"""The package as a whole: doctests run, imports stay light, floors are kept, public names are documented."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

import icrl_teach

HOME = Path(icrl_teach.__file__).parent
# architecture.md, lowest first: a file imports only from files named before it. Side jobs that architecture.md does
# not name (progress bars, the notebooks' copies, the command line's parts) stand where their imports allow.
FLOORS = [
    *("_validate", "_progress", "mrp", "features", "prompt", "attention"),
    *(
        "tasks",
        "environments",
        "logs",
        "td",
        "softmax_td",
        "theory",
        "transformer",
        "losses",
        "pretraining",
        "emergence",
    ),
    *("course", "figures", "comparison", "evaluation", "views", "widgets", "checks", "doctor", "cli"),
]


def modules() -> list[Path]:
    return sorted(path for path in HOME.glob("*.py") if path.stem not in ("__init__", "__main__"))


def fresh(script: str) -> object:
    """What a script prints, as JSON, from an interpreter without pytest and its import hook."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def test_every_example_in_a_docstring_runs():
    # In a fresh interpreter: doctest does not look inside functions that the import hook has wrapped.
    names = [f"icrl_teach.{path.stem}" for path in modules()]
    script = f"""
import doctest, importlib, json
results = {{name: doctest.testmod(importlib.import_module(name)) for name in {names}}}
print(json.dumps({{name: list(result) for name, result in results.items()}}))
"""
    results = fresh(script)
    for path in modules():
        failed, attempted = results[f"icrl_teach.{path.stem}"][:2]
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


@pytest.mark.parametrize(
    "path", [p for p in sorted(HOME.rglob("*.py")) if p.parent != HOME or p in modules()], ids=lambda p: p.stem
)
def test_a_file_imports_only_from_lower_floors(path):
    own = path.relative_to(HOME).parts[0].removesuffix(".py")
    assert own in FLOORS, f"{path.name} stands on no floor of architecture.md"
    allowed = FLOORS[: FLOORS.index(own)] + ([own] if path.parent != HOME else [])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            full = [node.module] if node.module != "icrl_teach" else [f"icrl_teach.{name}" for name in names]
        elif isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        else:
            continue
        for name in full:
            if name.startswith("icrl_teach."):
                module = name.split(".")[1]
                home = icrl_teach._MODULE_OF.get(module, module)  # `from icrl_teach import lstd` means td
                assert home in allowed, f"{path.stem} imports {name}, which is not below it"


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


def test_editors_and_users_see_the_same_names():
    # The TYPE_CHECKING block repeats the table of names; a name in one and not in the other helps nobody.
    tree = ast.parse((HOME / "__init__.py").read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING")
    seen = {alias.name: node.module.split(".")[1] for node in block.body for alias in node.names}
    assert seen == icrl_teach._MODULE_OF
    assert set(icrl_teach.__all__) <= set(dir(icrl_teach))


def test_an_unknown_name_is_refused_as_in_any_module():
    with pytest.raises(AttributeError, match="module 'icrl_teach' has no attribute 'no_such_name'"):
        icrl_teach.no_such_name


def test_shapes_in_signatures_are_verified_here():
    # Without this, the import hook of conftest.py could fall silent and nobody would know.
    with pytest.raises(jaxtyping.TypeCheckError, match="td_errors"):
        icrl_teach.td_errors(np.ones((2, 2)), np.ones(1), 0.9)
    with pytest.raises(jaxtyping.TypeCheckError, match="operator_td"):
        icrl_teach.operator_td(np.eye(2), np.eye(3), np.ones(2), 0.9, 1)
