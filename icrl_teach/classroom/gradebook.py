"""All that touches nbgrader: its configuration, its gradebook, and how it makes what learners get."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from icrl_teach.classroom.folder import CONFIG, GRADEBOOK, ClassFolder, Sheet, write_if_new
from icrl_teach.classroom.roster import Learner

if TYPE_CHECKING:
    from nbgrader.api import Gradebook

COURSE_ID = "icrl"
STUB = '# Write your answer here, then delete the next line.\nraise NotImplementedError("not written yet")'
CONFIGURATION = f'''\
# Written by `icrl-teach class new`, and yours from now on: nbgrader's own commands and its formgrader read it, too.
c = get_config()
c.CourseDirectory.course_id = "{COURSE_ID}"
c.ClearSolutions.code_stub = {{"python": {STUB!r}}}
'''


def require_nbgrader() -> None:
    """Raise ValueError, with the remedy, where nbgrader is not installed."""
    if find_spec("nbgrader") is None:
        raise ValueError(
            f'nbgrader is not installed; run: {sys.executable} -m pip install "icrl-teach[teach]", '
            'or in a checkout: pip install -c constraints.txt -e ".[teach]"'
        )


@contextlib.contextmanager
def gradebook(course: ClassFolder) -> Iterator[Gradebook]:
    """The open gradebook of the class; made on first use. Raises ValueError without nbgrader."""
    require_nbgrader()
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SAWarning

    with _programs_found(), warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of nbgrader's own way to add a submission
        with Gradebook(_url(course), COURSE_ID) as book:
            yield book


def _url(course: ClassFolder) -> str:
    return f"sqlite:///{course.root / GRADEBOOK}"


@contextlib.contextmanager
def _programs_found() -> Iterator[None]:
    """nbgrader calls `alembic` by name, which is found beside Python even where no environment is activated."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def enrol(book: Gradebook, roster: list[Learner]) -> None:
    """Write the roster's names and addresses; nobody is removed."""
    for learner in roster:
        first, last = learner.first_and_last
        book.update_or_create_student(learner.id, first_name=first, last_name=last, email=learner.email)


def is_assigned(book: Gradebook, sheet: Sheet) -> bool:
    """Whether the gradebook knows the sheet's graded cells as they are now."""
    from nbgrader.api import MissingEntry

    try:
        cells = book.find_notebook(sheet.name, sheet.name).grade_cells
    except MissingEntry:
        return False
    return {cell.name: cell.max_score for cell in cells} == sheet.points


def generate(course: ClassFolder, sheet: Sheet) -> bool:
    """Make what learners get of a sheet, by nbgrader's generate_assignment; whether anything of it is new.

    It is made elsewhere and moved in, file by file, so release/ never holds half a notebook.
    Raises ValueError, with nbgrader's reason, if it refuses.
    """
    require_nbgrader()
    from nbgrader.converters import GenerateAssignment
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import PyFileConfigLoader

    with TemporaryDirectory(dir=course.root, prefix=".release-") as made, _programs_found(), _last_words() as words:
        config = PyFileConfigLoader(CONFIG, path=str(course.root)).load_config()
        config.CourseDirectory.root = str(course.root)
        config.CourseDirectory.db_url = _url(course)
        config.CourseDirectory.release_directory = made
        config.CourseDirectory.assignment_id = sheet.name
        try:
            GenerateAssignment(coursedir=CourseDirectory(config=config), config=config).start()
        except (NbGraderException, RuntimeError) as error:
            told = (word.split(": ", 1)[1] for word in words if re.match(r"[\w.]*(Error|Exception): ", word))
            reason = next(told, words[-1] if words else str(error))
            raise ValueError(f"{sheet.source}: nbgrader made no assignment of it: {reason}") from None
        files = [path for path in Path(made).rglob("*") if path.is_file()]
        to = {path: course.release(sheet) / path.relative_to(next(Path(made).rglob(sheet.name))) for path in files}
        return any([write_if_new(target, path.read_bytes()) for path, target in to.items()])  # noqa: C419 (each is written)


@contextlib.contextmanager
def _last_words() -> Iterator[list[str]]:
    """What nbgrader logs as wrong, kept instead of printed."""
    words: list[str] = []
    logger = logging.getLogger("traitlets")
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: words.append(record.getMessage().strip().splitlines()[-1])  # type: ignore[method-assign]
    before, logger.handlers, logger.propagate = (logger.handlers, logger.propagate), [handler], False
    try:
        yield words
    finally:
        logger.handlers, logger.propagate = before


def enter(book: Gradebook, sheet: Sheet, student: str, scores: dict[str, tuple[float | None, bool]], when: str) -> None:
    """Write a learner's scores by grade_id, each with whether a person should look; None where there is none.

    A mark by hand stays, and is marked to be looked at again where the score below it has changed.
    when: the submission was handed in, as nbgrader writes it.
    """
    book.update_or_create_submission(sheet.name, student, timestamp=when)
    for name, (score, look) in scores.items():
        grade = book.find_grade(name, sheet.name, sheet.name, student)
        changed = grade.auto_score != score
        grade.auto_score = score
        grade.needs_manual_grade = changed if grade.manual_score is not None else look
    book.db.commit()


def by_hand(book: Gradebook, sheet: Sheet, student: str) -> dict[str, float]:
    """A learner's marks by hand, by grade_id."""
    from nbgrader.api import MissingEntry

    try:
        notebook = book.find_submission_notebook(sheet.name, sheet.name, student)
    except MissingEntry:
        return {}
    return {grade.name: float(grade.manual_score) for grade in notebook.grades if grade.manual_score is not None}


def total(book: Gradebook, sheet: Sheet, student: str) -> float | None:
    """A learner's points of a sheet, marks by hand included; None if nothing is handed in, or not all is graded."""
    from nbgrader.api import MissingEntry

    try:
        submission = book.find_submission(sheet.name, student)
    except MissingEntry:
        return None
    grades: list[Any] = [grade for notebook in submission.notebooks for grade in notebook.grades]
    if not grades or any(grade.auto_score is None and grade.manual_score is None for grade in grades):
        return None
    return max(0.0, float(submission.score) - float(submission.late_submission_penalty or 0.0))


def copy_source(source: Path, target: Path) -> None:
    """A sheet of the course as the source of an assignment, without the answers to what one goes on alone with."""
    import nbformat

    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "answer" not in cell.metadata.get("tags", [])]
    write_if_new(target, (nbformat.writes(notebook, ensure_ascii=False) + "\n").encode())
