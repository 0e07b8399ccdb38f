"""A new exercise: the cells, a check to fill in, and in a checkout the case that tests the check.

In a checkout of the course (the sheet lies in solutions/) the check goes into icrl_teach/checks/ and its case into
tests/check_cases/. Everywhere else, as in the folder of a class, it goes into my_checks.py beside the notebook.
"""

from __future__ import annotations

import ast
import keyword
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from icrl_teach._files import atomic_write
from icrl_teach._validate import shown

KINDS = ("warm-up", "core", "stretch")
COLUMNS = 88  # of an import that stays on one line


@dataclass(frozen=True)
class Exercise:
    """What is asked for: a title, the function's name, the kind, minutes and points."""

    title: str
    name: str
    kind: str = "core"
    minutes: int = 10
    points: int = 2


@dataclass
class Written:
    """The files that were written, and what is to do next, a line a step."""

    files: list[Path] = field(default_factory=list)
    next: list[str] = field(default_factory=list)


def find_sheet(name: str, here: Path) -> Path:
    """The notebook that a number, a name or a path means, seen from the folder `here`; it need not be there yet.

    Raises ValueError where nothing tells where it should lie.
    """
    if name.endswith(".ipynb"):
        return here / name
    number = name.zfill(2) if name.isdigit() else name
    for path in sorted([*here.glob("solutions/*.ipynb"), *here.glob("source/*/*.ipynb")]):
        if number in (path.stem, path.stem.split("_")[0]):
            return path
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise ValueError(
            f"no sheet is called {shown(name)} here; a new one needs a name such as 15_my_topic, or a path"
        )
    if (here / "solutions").is_dir():
        return here / "solutions" / f"{name}.ipynb"
    if (here / "source").is_dir():
        return here / "source" / name / f"{name}.ipynb"
    raise ValueError(f"{here} holds neither solutions/ nor source/; go to a checkout or a class, or give a path")


def name_of(title: str) -> str:
    """The name of a function from a title: "The exact value" gives exact_value. Raises ValueError if none remains."""
    words = [word for word in re.findall(r"[a-z0-9]+", title.lower()) if word not in ("a", "an", "the")]
    return checked_name("_".join(words))


def checked_name(name: str) -> str:
    """Return the name of a function. Raises ValueError for what is none."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or not name.isascii():
        raise ValueError(f"name is {shown(name)}; it must be the name of a function, such as exact_value: --name")
    return name


def new_exercise(sheet: Path, exercise: Exercise) -> Written:
    """Add an exercise to a sheet, after its last one; a sheet that is not there begins with it.

    Each file is written whole; the notebook last, so that a stop leaves a sheet that still works.
    Raises ValueError if the sheet has an exercise of this name, or cannot be read.
    """
    notebook = _read(sheet)
    if any(f"check_{exercise.name}(" in cell.source for cell in notebook.cells):
        raise ValueError(f"{sheet} has an exercise {exercise.name} already; give another --name")
    root = _checkout_of(sheet)
    written = Written()
    if root is None:
        _write(sheet.parent / "my_checks.py", _with_check(sheet.parent / "my_checks.py", sheet, exercise), written)
        home = "my_checks"
    else:
        number = sheet.stem.split("_")[0]
        home = f"icrl_teach.checks.sheet_{number}"
        checks, cases = (root / folder / f"sheet_{number}.py" for folder in ("icrl_teach/checks", "tests/check_cases"))
        _write(checks, _with_check(checks, sheet, exercise), written)
        _write(cases, _with_case(cases, number, exercise), written)
    _insert(notebook, sheet, exercise, home)
    from icrl_teach.validation.update import text_of

    _write(sheet, text_of(notebook), written)
    written.next = _next(sheet, written.files, root, exercise)
    return written


def _next(sheet: Path, files: list[Path], root: Path | None, exercise: Exercise) -> list[str]:
    steps = [f"fill in every TODO of {exercise.name} in: {', '.join(map(str, files))}"]
    steps.append(f"icrl-teach validate --update {sheet}")
    if root is None:
        return [*steps, f"icrl-teach class assign {sheet.stem}"]
    number = sheet.stem.split("_")[0]
    return [*steps, "make exercises", f"python -m pytest tests/test_checks.py tests/test_notebooks.py -k {number}"]


def _write(path: Path, text: str, written: Written) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text)
    written.files.append(path)


def _checkout_of(sheet: Path) -> Path | None:
    """The checkout in whose solutions/ the sheet lies; None elsewhere."""
    root = sheet.parent.parent
    inside = sheet.absolute().parent.name == "solutions" and (root / "icrl_teach" / "checks").is_dir()
    return root if inside else None


# The notebook


def _read(sheet: Path) -> Any:
    """The notebook; a new one with a title and a setup cell if there is none."""
    import nbformat

    if sheet.exists():
        try:
            return nbformat.read(sheet, as_version=4)
        except Exception as error:  # nbformat raises many kinds
            raise ValueError(f"{sheet} cannot be read as a notebook: {str(error).splitlines()[0]}") from None
    number, *words = sheet.stem.split("_")
    title = f"# Sheet {number} · {' '.join(words).capitalize()}\n\nTODO: what the sheet is about. About TODO minutes."
    cells = [_cell("markdown", "title", title), _cell("code", "setup", "import numpy as np")]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _cell(kind: str, id: str, source: str, **nbgrader: Any) -> Any:
    import nbformat

    make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
    return make(source, id=id, metadata={"nbgrader": nbgrader} if nbgrader else {})


def _insert(notebook: Any, sheet: Path, exercise: Exercise, home: str) -> None:
    """Three cells after the last check and the hints below it; the check joins the setup cell's imports."""
    graded = [i for i, cell in enumerate(notebook.cells) if cell.metadata.get("nbgrader", {}).get("grade")]
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    at = (graded or code or [-1])[-1] + 1
    while at < len(notebook.cells) and notebook.cells[at].source.lstrip().startswith("# hint("):
        at += 1
    setup = next((cell for cell in notebook.cells if cell.cell_type == "code"), None)
    if setup is None:
        raise ValueError(f"{sheet} holds no code cell; its first one imports what all others use")
    setup.source = with_import(setup.source, home, f"check_{exercise.name}")
    notebook.cells[at:at] = _cells(sheet.stem.split("_")[0], len(graded) + 1, exercise, notebook)


def _cells(number: str, place: int, exercise: Exercise, notebook: Any) -> list[Any]:
    taken = {cell.get("id") for cell in notebook.cells}
    stem = re.sub("_", "-", exercise.name)[:40]
    stem = stem if not taken & {stem, f"{stem}-text", f"{stem}-check"} else f"{stem}-{uuid.uuid4().hex[:6]}"
    task = dedent(f"""\
        ### {number}.{place} {exercise.title} ({exercise.kind} · {exercise.minutes} min)

        TODO: what to return, with shapes.

        *First step.* TODO: a tiny case by hand.""")
    answer = dedent(f'''\
        def {exercise.name}(x):
            """TODO: x (n,) -> what comes back (n,)."""
            ### BEGIN SOLUTION
            raise NotImplementedError("TODO: the solution")
            ### END SOLUTION''')
    grade_id = f"sheet{number}-{stem}"
    common = {"schema_version": 3, "task": False}
    return [
        _cell("markdown", f"{stem}-text", task),
        _cell("code", stem, answer, grade=False, grade_id=grade_id, locked=False, solution=True, **common),
        _cell(
            "code",
            f"{stem}-check",
            f"check_{exercise.name}({exercise.name})",
            grade=True,
            grade_id=f"{grade_id}-check",
            locked=True,
            points=exercise.points,
            solution=False,
            **common,
        ),
    ]


# The check and its case


def with_import(source: str, module: str, name: str) -> str:
    """Python source that imports `name` from `module`, too: in the statement that is there, or a new one."""
    tree = ast.parse(re.sub(r"(?m)^[%!].*$", "#", source))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == module and node.end_lineno:
            names = sorted({alias.name for alias in node.names} | {name}, key=lambda each: (each.islower(), each))
            if any(alias.asname for alias in node.names):
                continue
            line = f"from {module} import {', '.join(names)}"
            if len(line) > COLUMNS:
                line = f"from {module} import (\n" + "".join(f"    {each},\n" for each in names) + ")"
            lines = source.splitlines()
            return "\n".join([*lines[: node.lineno - 1], line, *lines[node.end_lineno :]]) + _last_newline(source)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    at = imports[-1].end_lineno or 0 if imports else 0
    lines = source.splitlines()
    return "\n".join([*lines[:at], f"from {module} import {name}", *lines[at:]]) + _last_newline(source)


def _last_newline(source: str) -> str:
    return "\n" if source.endswith("\n") else ""


def _with_check(path: Path, sheet: Path, exercise: Exercise) -> str:
    """The file of checks with one more, to be filled in."""
    name = exercise.name
    if path.exists():
        source = path.read_text(encoding="utf-8")
    else:
        number = sheet.stem.split("_")[0]
        source = f'"""Checks of sheet {number}."""\n\nfrom __future__ import annotations\n\nimport numpy as np\n\n'
        source += "from icrl_teach.checks.check import Case, Check, case\n"
    if f"check_{name} =" in source:
        raise ValueError(f"{path} holds a check_{name} already; give another --name")
    for needed in ("Case", "Check", "case"):
        source = with_import(source, "icrl_teach.checks.check", needed)
    return source.rstrip() + "\n\n\n" + _CHECK.format(name=name)


_CHECK = '''\
def _{name}_cases(rng: np.random.Generator) -> list[Case]:
    """TODO: what is tried; the same for the same rng, another for another."""
    return [case("three numbers", np.array([1.0, 2.0, 3.0])), case("five random numbers", rng.normal(size=5))]


def _{name}(x: np.ndarray) -> np.ndarray:
    """TODO: the right result, found another way than the solution finds it."""
    raise NotImplementedError("TODO: the oracle")


check_{name} = Check(
    name="{name}",
    cases=_{name}_cases,
    right=_{name},
    mistakes=[
        # TODO: at least three; each a hint, and the function that a learner with this misconception would write.
        ("TODO: the hint.", lambda x: x),
    ],
    says="TODO: what was tried and is right.",
)
'''


def _with_case(path: Path, number: str, exercise: Exercise) -> str:
    """The file of cases with one more, to be filled in."""
    name, checks = exercise.name, f"icrl_teach.checks.sheet_{number}"
    if path.exists():
        source = path.read_text(encoding="utf-8")
    else:
        source = (
            f'"""Right and wrong answers for the checks of sheet {number} that were not derived from the checks."""\n\n'
        )
        source += "from __future__ import annotations\n\nfrom check_cases import Case\n"
        source += f"from icrl_teach.checks import sheet_{number} as checks\n\nCASES = []\n"
    if f"import sheet_{number} as checks" in source:
        check = f"checks.check_{name}"
    else:
        check, source = f"check_{name}", with_import(source, checks, f"check_{name}")
    return _into_cases(source, path, indent(_CASE.format(name=name, check=check), "    "))


_CASE = """\
Case(
    {check},
    right=[],  # TODO: at least two right answers to {name}, written differently
    wrong=[],  # TODO: (a wrong answer that did not come from the check, a piece of the hint that it must get)
),
"""


def _into_cases(source: str, path: Path, case: str) -> str:
    """The source with an entry more at the end of the list CASES."""
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "CASES" and isinstance(node.value, ast.List):  # type: ignore[attr-defined]
            lines = source.splitlines()
            head, last, tail = lines[: node.end_lineno - 1], lines[node.end_lineno - 1], lines[node.end_lineno :]  # type: ignore[operator]
            opening, closing = last.rsplit("]", 1)
            return "\n".join([*head, *filter(str.strip, [opening]), case.rstrip(), f"]{closing}", *tail]) + "\n"
    raise ValueError(f"{path} holds no list CASES; begin one: CASES = []")
