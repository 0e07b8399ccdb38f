"""Grades that can be trusted: each way to cheat, to break or to hand in oddly gets the mark that it deserves.

Every attack runs in the real sandbox of this computer, and most submissions hold several, one in each exercise: what
one of them does must not change the mark of another.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

import submissions
from guards import EXERCISES, SOLUTIONS
from icrl_teach.checks.check import SEED
from icrl_teach.grading import STATUSES, Limits, grade_submission, read_sheet, sandbox
from icrl_teach.grading.remote import Learner
from icrl_teach.grading.sandbox import Stopped
from icrl_teach.grading.submission import Submission
from submissions import NAMES, RIGHT, STUB, code, placed, sheet, written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the attacks are written for POSIX")
SOURCE = read_sheet(submissions.SHEET)
QUICK = Limits(cpu=1.0, memory=2**31)
SOLVED = {name: source for name, source in RIGHT.items() if name != "even"}  # whose oracle takes longest
FINE = {**dict.fromkeys(NAMES, "ok"), "even": "unwritten"}


def graded(tmp_path, notebook, name="sheet.ipynb", **options):
    """{exercise: mark} of a notebook, and all that grading says of it."""
    path = written(tmp_path / name, notebook)
    marks = grade_submission(path, SOURCE, seed=7, student="ada", **{"limits": QUICK, **options})
    assert [mark.exercise for mark in marks.marks] == list(NAMES.values())
    assert all(mark.student == "ada" and mark.status in STATUSES for mark in marks.marks)
    assert all((mark.points == mark.out_of) == (mark.status == "ok") for mark in marks.marks)
    assert all(mark.points == 0 and mark.reason for mark in marks.marks if mark.status != "ok")
    return {mark.exercise: mark for mark in marks.marks}, marks


def solved_but(**changed):
    return sheet(**SOLVED | changed)


def statuses(by_name):
    return {name: by_name[function].status for name, function in NAMES.items()}


# --- the sheets themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_solved_sheet_gets_every_point_and_an_untouched_one_none(path):
    own = read_sheet(path)
    solved = grade_submission(path, own, seed=3)
    assert [(mark.exercise, mark.status, mark.reason) for mark in solved.marks if mark.status != "ok"] == []
    assert solved.points == solved.out_of == sum(exercise.points for exercise in own.exercises) > 0
    assert solved.notes == ()
    released = next(each for each in EXERCISES if each.stem == path.stem)
    untouched = grade_submission(released, own, seed=3)
    assert {mark.status for mark in untouched.marks} == {"unwritten"} and untouched.points == 0


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_a_forbidden_function_is_one_of_the_library(path):
    import importlib

    for exercise in read_sheet(path).exercises:
        for entry in exercise.forbid:
            module, name = entry.split(":")
            owner = importlib.import_module(f"icrl_teach.{module}")
            for part in name.split("."):
                owner = getattr(owner, part)
            assert callable(owner)


# --- cheating ----------------------------------------------------------------------------------------------------

ALWAYS_TRUE = """
class AlwaysTrue:
    def __eq__(self, other): return True
    def __getattr__(self, name): return AlwaysTrue()
    def __call__(self, *args): return AlwaysTrue()
    def __bool__(self): return True
    def __array__(self, *args, **kwargs): raise KeyboardInterrupt
    __le__ = __lt__ = __ge__ = __gt__ = __and__ = __sub__ = __rsub__ = __abs__ = __eq__
def even_discount(*args):
    return AlwaysTrue()
"""
FRAMES = """
import sys
def return_std(P, r, gamma):
    frame, seen = sys._getframe(), [*sys.modules.values()]
    while frame is not None:
        seen += [*frame.f_locals.values(), *frame.f_globals.values()]
        frame = frame.f_back
    for each in seen:
        for name in ("right", "_std", "check_return_std"):
            found = getattr(getattr(each, name, None), "right", getattr(each, name, None))
            if callable(found) and found(P, r, gamma) is not None:
                return found(P, r, gamma)
    return 0.0 * r
"""
PATCHED = """
import icrl_teach.checks.sheet_01 as sheet_01, icrl_teach.checks.check as check, icrl_teach.checks.report as report
sheet_01.compare = report.equal = check.equal = lambda *args, **kwargs: True
try:
    check.Check.judge = lambda *args, **kwargs: None
except AttributeError:
    class Check: judge = __call__ = lambda *args, **kwargs: None
    check.Check = Check
import numpy
numpy.allclose = numpy.array_equal = lambda *args, **kwargs: True
numpy.asarray = numpy.array
def reward_change(P, r, gamma, v):
    return 0.0 * r
"""
SILENCED = """
get_ipython().showtraceback = lambda *args, **kwargs: None
get_ipython().set_custom_exc((Exception,), lambda *args: None)
def average_reward(transitions, rewards, policy):
    raise ValueError("hidden")
"""


def test_cheats_that_plain_grading_fell_for_get_what_the_answers_deserve(tmp_path):
    notebook = sheet(change=PATCHED, even=ALWAYS_TRUE, std=FRAMES, average=SILENCED, chance=RIGHT["chance"])
    redefined = "def check_exact_value(f): print('Correct')\nicrl_teach_checks = check_exact_value"
    by_name, _ = graded(tmp_path, placed(notebook, code(redefined), "sheet01-value-check"))
    wrong = dict.fromkeys(("change", "even", "std", "average"), "wrong")
    assert statuses(by_name) == {"value": "unwritten", **wrong, "chance": "ok"}
    assert "expected numbers, got AlwaysTrue" in by_name["even_discount"].reason
    assert "ValueError: hidden" in by_name["average_reward"].reason


def test_an_answer_that_knows_the_learner_s_own_cases_by_heart_is_wrong(tmp_path):
    check = SOURCE.exercises[0].check
    cases = [one.args for one in check.cases(np.random.default_rng(SEED))]
    known = {f"{P.sum():.0f} {r.sum():.6f} {gamma}": check.right(P, r, gamma).tolist() for P, r, gamma in cases}
    learnt = "import numpy as np\ndef exact_value(P, r, gamma):\n    known = {}\n    return np.array(known[{}])"
    by_heart = learnt.replace("{}", repr(known), 1).replace("{}", 'f"{P.sum():.0f} {r.sum():.6f} {gamma}"')
    names = {}
    exec(by_heart, names)
    check.judge(names["exact_value"])  # right in the notebook
    by_name, _ = graded(tmp_path, sheet(value=by_heart))
    assert by_name["exact_value"].status == "wrong" and "KeyError" in by_name["exact_value"].reason


LIBRARY = """
from icrl_teach import MarkovRewardProcess
def exact_value(P, r, gamma):
    return MarkovRewardProcess(P, r, gamma).value()
"""
HIDDEN_LIBRARY = """
import importlib
def exact_value(P, r, gamma):
    chain = getattr(importlib.import_module("icrl_" + "teach"), "Markov" + "RewardProcess")(P, r, gamma)
    return getattr(chain, "val" + "ue")()
"""


@pytest.mark.parametrize("cheat", [LIBRARY, HIDDEN_LIBRARY])
def test_a_library_function_that_does_the_exercise_gives_no_points_unless_the_teacher_allows_it(tmp_path, cheat):
    notebook = solved_but(value=cheat)
    by_name, _ = graded(tmp_path, notebook)
    assert statuses(by_name) == FINE | {"value": "wrong"}
    assert "the library's MarkovRewardProcess.value" in by_name["exact_value"].reason
    if cheat == LIBRARY:
        allowed, _ = graded(tmp_path, notebook, forbid={"exact_value": ()})
        assert allowed["exact_value"].status == "ok"


FORGED = """
import os, struct, json
def forge():
    frame = json.dumps({"value": 0.0, "changed": {}, "used": []}).encode()
    for number in range(3, 64):
        try:
            os.write(number, struct.pack(">II", len(frame), 0) + frame)
        except OSError:
            pass
def reward_change(P, r, gamma, v):
    forge(); forge()
    return v - gamma * P @ v - r
"""
GARBAGE = """
import os
def average_reward(*args):
    for number in range(3, 64):
        try:
            os.write(number, b"\\xff" * 64)
        except OSError:
            pass
"""


def test_frames_that_the_learner_forges_win_nothing(tmp_path):
    by_name, _ = graded(tmp_path, solved_but(change=FORGED, average=GARBAGE))
    assert by_name["reward_change"].status in ("wrong", "tampered")
    assert by_name["average_reward"].status == "tampered"
    assert {by_name[NAMES[name]].status for name in ("value", "std", "chance")} == {"ok"}


# --- what ends the process, or tries to ---------------------------------------------------------------------------

BOMB = """
import os, time
def average_reward(*args):
    for _ in range(10_000):
        os.fork()
"""
SIGNALS = """
import os, signal
def success_chance(table, policy):
    for number in (os.getppid(), 1, -1):
        try:
            os.kill(number, signal.SIGKILL)
        except OSError:
            pass
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_dies_or_never_ends_takes_no_other_exercise_with_it(tmp_path):
    by_name, _ = graded(
        tmp_path,
        sheet(
            value="import os\ndef exact_value(*args):\n    os._exit(0)",
            change="def reward_change(*args):\n    while True:\n        pass",
            even="def even_discount(*args):\n    return bytearray(10 * 2**30)",
            std=RIGHT["std"],
            average="import ctypes\ndef average_reward(*args):\n    return ctypes.string_at(0)",
            chance=RIGHT["chance"],
        ),
    )
    gone = {"value": "died", "change": "timeout", "even": "died", "average": "died"}
    assert statuses(by_name) == {**gone, "std": "ok", "chance": "ok"}  # std calls exact_value: a right one is lent
    assert "right exact_value" in by_name["return_std"].reason
    assert "2048 MB" in by_name["even_discount"].reason and "SIGSEGV" in by_name["average_reward"].reason
    assert "processor time" in by_name["reward_change"].reason


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing limits the number of processes")
def test_a_fork_bomb_and_signals_at_everybody_end_with_their_own_process(tmp_path):
    if sandbox.kinds()[0] is sandbox.LIMITS:
        pytest.skip("needs bubblewrap or root")
    by_name, marks = graded(
        tmp_path, sheet(value=RIGHT["value"], average=BOMB, chance=SIGNALS), limits=Limits(cpu=2.0, wall=4.0)
    )
    assert "the number of processes is limited" in marks.isolation
    assert by_name["exact_value"].status == "ok"
    assert by_name["average_reward"].status in ("wrong", "died", "timeout", "tampered")  # as the kernel schedules it
    assert by_name["success_chance"].status in ("died", "timeout")


def test_cells_that_end_the_process_cost_their_own_exercise(tmp_path):
    by_name, _ = graded(tmp_path, solved_but(even=RIGHT["even"] + "\nimport os\nos._exit(3)"))
    assert statuses(by_name) == FINE | {"even": "died"}
    assert "exit status 3" in by_name["even_discount"].reason


def test_a_hundred_megabytes_of_output_go_nowhere(tmp_path):
    shout = "    for _ in range(25):\n        print('x' * 2**20, file=sys.stderr)\n        os.write(1, b'x' * 2**22)\n"
    loud = "import os, sys\n" + RIGHT["change"].replace("    ### BEGIN", f"{shout}    ### BEGIN")
    by_name, _ = graded(tmp_path, sheet(change=loud, average=RIGHT["average"]), limits=Limits())
    assert by_name["reward_change"].status == by_name["average_reward"].status == "ok"


def test_the_time_of_a_whole_submission_is_limited_too(tmp_path):
    sleeps = {name: f"import time\ndef {function}(*args):\n    time.sleep(60)" for name, function in NAMES.items()}
    by_name, _ = graded(tmp_path, sheet(**sleeps), limits=Limits(wall=1.0, total=2.5))
    assert set(statuses(by_name).values()) == {"timeout"}
    assert "whole submission" in by_name["success_chance"].reason


# --- odd answers ----------------------------------------------------------------------------------------------------

CYCLE = """
def return_std(P, r, gamma):
    circle = []
    circle.append(circle)
    return circle
"""
LIAR = """
class Liar(np.ndarray):
    __eq__ = lambda self, other: np.ones(1, dtype=bool)
    __array_ufunc__ = lambda self, *args, **kwargs: True
def success_chance(table, policy):
    return np.full(len(policy), 0.25).view(Liar)
"""


def test_answers_that_are_no_numbers_or_far_too_many_are_wrong(tmp_path):
    by_name, _ = graded(
        tmp_path,
        sheet(
            value="def exact_value(P, r, gamma):\n    return (number for number in r)",
            change="import numpy\ndef reward_change(*args):\n    return numpy.broadcast_to(1.0, (10**6, 10**6))",
            even="def even_discount(*args):\n    return float('nan')",
            std=CYCLE,
            average="def average_reward(*args):\n    return [0.0] * 10**6",
            chance=LIAR,
        ),
    )
    assert set(statuses(by_name).values()) == {"wrong"}
    told = {name: by_name[function].reason for name, function in NAMES.items()}
    assert "got generator" in told["value"] and "more than 16 MB" in told["change"] and "NaN" in told["even"]
    assert "a list" in told["std"] and "list of over" in told["average"] and "expected" in told["chance"]


def test_what_an_answer_says_of_itself_reaches_the_teacher_as_plain_text(tmp_path):
    rude = "def exact_value(*args):\n    raise ValueError('\\x1b[2J' + 'x' * 10**6)"
    by_name, _ = graded(tmp_path, sheet(value=rude))
    assert by_name["exact_value"].status == "wrong"
    assert "\x1b" not in by_name["exact_value"].reason and len(by_name["exact_value"].reason) <= 1000


def test_an_answer_that_spoils_its_input_is_told_so(tmp_path):
    spoils = RIGHT["value"].replace("    ### BEGIN", "    r *= 2; r /= 2; P[0] = P[0] + 1e-3\n    ### BEGIN")
    by_name, _ = graded(tmp_path, sheet(value=spoils))
    assert by_name["exact_value"].status == "wrong" and "changed an array" in by_name["exact_value"].reason


def test_the_inverse_is_refused_by_its_code_as_in_the_notebook(tmp_path):
    inverse = (
        "import numpy as np\ndef exact_value(P, r, gamma):\n    return np.linalg.inv(np.eye(len(r)) - gamma * P) @ r"
    )
    by_name, _ = graded(tmp_path, sheet(value=inverse))
    assert by_name["exact_value"].status == "wrong" and "`inv`" in by_name["exact_value"].reason


NEEDED = {"02": ["m_step_targets"], "05": ["one_layer", "open_layer"], "07": ["layer"], "13": ["seen_values"]}


@pytest.mark.parametrize("number", NEEDED)
def test_what_calls_an_unwritten_function_is_judged_with_a_right_one(tmp_path, number):
    path = next(path for path in SOLUTIONS if path.stem.startswith(number))
    handed_in = written(tmp_path / "sheet.ipynb", submissions.without(path, *NEEDED[number]))
    marks = grade_submission(handed_in, path, seed=11)
    assert {mark.exercise for mark in marks.marks if mark.status == "unwritten"} == set(NEEDED[number])
    assert {mark.status for mark in marks.marks} == {"ok", "unwritten"}
    assert any("judged with a right" in mark.reason for mark in marks.marks)


# --- how notebooks are handed in --------------------------------------------------------------------------------------


def test_answers_count_wherever_they_stand(tmp_path):
    stub = STUB.format("exact_value")
    notebook = solved_but(value=stub, change=STUB.format("reward_change"))
    notebook = placed(notebook, code(RIGHT["value"]), "sheet01-value")  # above the stub
    notebook = placed(notebook, code(RIGHT["change"]), "sheet01-even")  # below the check
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "sheet01-even-check":
            cell["source"] = SOLVED["average"]  # in another check's own cell
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "sheet01-average":
            cell["source"] = STUB.format("average_reward")
    by_name, marks = graded(tmp_path, notebook, name="sheet 01 - final (1).ipynb")
    assert statuses(by_name) == FINE
    assert "the check sheet01-even-check was changed" in marks.notes


def test_a_copied_cell_and_deleted_ones_harm_nobody(tmp_path):
    notebook = solved_but()
    copied = next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "sheet01-value")
    notebook["cells"].append(json.loads(json.dumps(copied)))
    gone = ("sheet01-change-check", "sheet01-chance", "sheet01-chance-check")
    notebook["cells"] = [c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") not in gone]
    by_name, marks = graded(tmp_path, notebook)
    assert statuses(by_name) == FINE | {"chance": "unwritten"}
    assert "the cell sheet01-value is there 2 times" in marks.notes
    assert "the check sheet01-change-check was deleted" in marks.notes


def test_of_two_answers_the_last_counts_as_it_would_in_the_notebook(tmp_path):
    worse = code("def exact_value(P, r, gamma):\n    return r")
    by_name, _ = graded(tmp_path, placed(solved_but(), worse, "sheet01-chance-check"))
    assert by_name["exact_value"].status == "wrong"
    assert by_name["return_std"].status == "ok"  # judged with a right exact_value


def test_cells_with_magics_errors_and_prints_do_no_harm(tmp_path):
    notebook = placed(solved_but(), code("%matplotlib inline\n!ls\nnp?\nprint(undefined)\nfoo = 1"))
    notebook = placed(notebook, code("this is no Python"))
    by_name, marks = graded(tmp_path, notebook)
    assert statuses(by_name) == FINE
    assert any("NameError" in note for note in marks.notes)


def test_an_answer_that_cannot_be_read_says_where(tmp_path):
    by_name, _ = graded(tmp_path, solved_but(value="def exact_value(P, r, gamma)\n    return r"))
    assert by_name["exact_value"].status == "wrong" and "SyntaxError" in by_name["exact_value"].reason
    assert by_name["return_std"].status == "ok"


def test_a_notebook_of_format_3_is_read(tmp_path):
    cells = [{"cell_type": "code", "input": [cell["source"]], "metadata": {}} for cell in map(code, SOLVED.values())]
    cells.insert(0, {"cell_type": "code", "input": "import numpy as np", "metadata": {}})
    by_name, _ = graded(tmp_path, {"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": cells}]})
    assert statuses(by_name) == FINE


WHOLE = json.dumps(sheet())
UNREADABLE = {
    "a truncated upload": (WHOLE[: len(WHOLE) // 2], "cut off"),
    "an empty file": ("", "empty"),
    "a web page": ("<html>Log in first</html>", "no JSON"),
    "another JSON": ("[1, 2]", "no notebook"),
    "a later format": ('{"nbformat": 9, "cells": []}', "format 9"),
    "no cells": ('{"nbformat": 4, "cells": 5}', "without cells"),
    "a zip file": (b"PK\x03\x04\xff\xfe", "no text"),
    "brackets without end": ("[" * 100_000, ""),
    "too large": ('{"nbformat": 4, "cells": []}' + " " * 2000, "bytes"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_is_no_notebook_is_unreadable_and_says_why(tmp_path, what):
    content, why = UNREADABLE[what]
    path = tmp_path / "upload.ipynb"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    limits = Limits(upload=1000) if what == "too large" else None
    marks = grade_submission(path, SOURCE, seed=1, limits=limits)
    assert {mark.status for mark in marks.marks} == {"unreadable"} and marks.points == 0 < marks.out_of
    assert all(why in mark.reason for mark in marks.marks)
    assert len(marks.marks) == len(NAMES)


def test_what_is_no_file_is_unreadable_too(tmp_path):
    os.mkfifo(tmp_path / "pipe.ipynb")
    for path in (tmp_path / "nowhere.ipynb", tmp_path, tmp_path / "pipe.ipynb"):
        marks = grade_submission(path, SOURCE, seed=1)
        assert {mark.status for mark in marks.marks} == {"unreadable"} and all(mark.reason for mark in marks.marks)


DEEP = code("x = " + "+".join("1" * 5_000))
ODD = [None, 5, "x", [], {}, {"cell_type": ["code"]}, {"cell_type": "code", "source": 5, "metadata": [1]}]


def test_cells_of_any_kind_are_survived(tmp_path):
    notebook = sheet(value=RIGHT["value"])
    notebook["cells"] += [*ODD, code("\ud800"), code("x = 1\0"), code("-" * 50_000 + "1"), code("(" * 50_000), DEEP]
    notebook["cells"].append(code("x", nbgrader={"grade_id": ["no", "text"], "grade": True}))
    by_name, _ = graded(tmp_path, notebook)
    assert by_name["exact_value"].status == "ok"


# --- a teacher's own sheet --------------------------------------------------------------------------------------------

OWN = """
from icrl_teach.checks.report import CheckFailed

def check_double(double):
    if double(21) != 42:
        raise CheckFailed(f"double(21) is {double(21)}, not 42")
"""


def test_a_check_beside_the_sheet_is_found_and_its_oracle_stays_out_of_reach(tmp_path):
    (tmp_path / "own_checks.py").write_text(OWN)
    marked = {"grade": True, "grade_id": "double-check", "points": 3, "locked": True, "solution": False}
    source = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        code("from own_checks import check_double"),
        code("def double(x):\n    return 2 * x", nbgrader={"solution": True, "grade_id": "double"}),
        code("check_double(double)", nbgrader=marked),
    ]}  # fmt: skip
    own = read_sheet(written(tmp_path / "own.ipynb", source))
    assert [(e.name, e.points) for e in own.exercises] == [("double", 3.0)]
    for body, status in (("2 * x", "ok"), ("x", "wrong"), ("__import__('own_checks').SECRET", "wrong")):
        source["cells"][1]["source"] = f"def double(x):\n    return {body}"
        marks = grade_submission(written(tmp_path / "in.ipynb", source), own, seed=0)
        assert marks.marks[0].status == status
    with pytest.raises(ValueError, match="no cell is graded"):
        read_sheet(written(tmp_path / "none.ipynb", {"nbformat": 4, "cells": [code("1")]}))
    source["cells"][2]["source"] = "assert double(1) == 2"
    with pytest.raises(ValueError, match="must call a check"):
        read_sheet(written(tmp_path / "bare.ipynb", source))


# --- what the sandbox promises --------------------------------------------------------------------------------------

PROBE = """
import os, socket
def readable(path):
    try:
        with open(path, "rb") as file:
            return len(file.read(10)) > 0
    except OSError:
        return False
def listed(path):
    try:
        return os.listdir(path)
    except OSError:
        return []
def reaches(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False
def writes(path):
    try:
        with open(path, "w"):
            return True
    except OSError:
        return False
def others():
    return [int(n) for n in listed("/proc") if n.isdigit()]
def who():
    return os.getuid()
def environment():
    return sorted(os.environ)
def oracle():
    import icrl_teach.checks.sheet_01 as checks
    return hasattr(checks, "_value")
"""
PROBES = ("readable", "listed", "reaches", "writes", "others", "who", "environment", "oracle")


@pytest.fixture
def probe(request):
    """Asks the functions of PROBE, run in one kind of isolation; skips where that does not work on this computer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("A_SECRET", "of the teacher")
        patch.setattr(sandbox, "_works", [request.param])
        if request.param not in sandbox.kinds():
            pytest.skip(f"{request.param.name}: not on this computer")
        with Learner(Submission(((PROBE, False),), ()), list(PROBES), ["icrl_teach.checks"], Limits()) as learner:
            try:
                learner.start()
            except RuntimeError as error:
                pytest.skip(f"{request.param.name}: {error}")
            learner.clock()
            learner.probe = lambda name, *args: learner.function(name)(*args)
            assert not learner.probe("oracle") and "A_SECRET" not in learner.probe("environment")
            yield learner


CHECKS = Path(sandbox.PACKAGE) / "checks" / "sheet_01.py"


@pytest.mark.parametrize("probe", [sandbox.BUBBLEWRAP], indirect=True)
def test_bubblewrap_keeps_what_it_promises(probe, tmp_path):
    ask, secret = probe.probe, tmp_path / "gradebook.db"
    secret.write_text("marks")
    assert CHECKS.is_file() and not ask("readable", str(CHECKS)) and not ask("readable", str(secret))
    assert not ask("readable", str(submissions.SHEET)) and not ask("readable", "/etc/passwd")
    assert ask("readable", str(sandbox.PACKAGE / "mrp.py")) and not ask("writes", str(sandbox.PACKAGE / "left_behind"))
    assert not reached(ask) and ask("who") != 0 and len(ask("others")) <= 3
    assert probe.lacks == () and len(probe.ensures) >= 6


@pytest.mark.parametrize("probe", [sandbox.USER], indirect=True)
def test_a_user_of_its_own_keeps_what_it_promises(probe, tmp_path):
    ask, secret = probe.probe, tmp_path / "gradebook.db"
    secret.write_text("marks")
    secret.chmod(0o600)
    assert not ask("readable", str(secret)) and not ask("readable", "/etc/shadow")
    assert not reached(ask) and ask("who") == probe.process.user > 0
    assert not ask("writes", str(sandbox.PACKAGE / "left_behind"))
    assert ask("readable", str(CHECKS)) and any("checks' files" in line for line in probe.lacks)  # said, and true


@pytest.mark.parametrize("probe", [sandbox.LIMITS], indirect=True)
def test_where_there_are_only_limits_that_is_said(probe):
    assert "it can use the network" in probe.lacks and any("can read, and write" in line for line in probe.lacks)
    assert "the number of processes is not limited" in probe.lacks
    assert reached(probe.probe)  # the claim is true: nothing prevents it


def reached(ask):
    """Whether the learner's code reaches a port of this computer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return ask("reaches", server.getsockname()[1])


LEAVES = """
import os, time
open("left", "w").write("x")
pid = os.fork()
if pid == 0:
    os.setsid()
    time.sleep(600)
def child():
    return pid
"""


def test_nothing_of_a_learner_stays_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    cell = LEAVES, False
    with Learner(Submission((cell,), ()), ["child"], [], Limits()) as learner:
        learner.start()
        learner.clock()
        process, child = learner.process, learner.function("child")()
        assert child > 0
    assert process.popen.poll() is not None and not process.listener.is_alive()
    assert list(tmp_path.iterdir()) == []
    if process.isolation is sandbox.USER:  # in bubblewrap its number is another one outside
        state = Path(f"/proc/{child}/stat")
        assert not state.exists() or state.read_text().split()[2] in "ZX"  # dead, if not yet buried


def test_a_computer_where_no_python_comes_up_is_an_error_and_no_mark(monkeypatch):
    monkeypatch.setattr(sandbox, "_works", [])
    monkeypatch.setattr(sandbox, "START", "raise SystemExit({!r})")
    with pytest.raises(RuntimeError, match="no process for a learner's code comes up here"):
        grade_submission(submissions.RELEASED, SOURCE, seed=1)


def test_a_process_that_stops_reading_is_ended(monkeypatch):
    monkeypatch.setattr(sandbox, "START", "import time; {!r}; time.sleep(600)")
    with sandbox.Process(sandbox.LIMITS, Limits()) as process, pytest.raises(Stopped):
        process.ask({"text": "x" * 2**20}, b"", 1.0)


@pytest.mark.parametrize("name", list(vars(Limits())))
def test_a_limit_is_a_positive_number(name):
    for value in (0, -1, True, *([float("nan"), float("inf")] if name in ("cpu", "wall", "total") else [])):
        with pytest.raises(ValueError, match=f"{name} is"):
            Limits(**{name: value})
