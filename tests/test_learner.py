"""What a learner has done is kept in their folder, whole and once; whatever lies there is met calmly."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from check_cases import as_given
from command_line import child
from icrl_teach import learner, predict, predictions
from icrl_teach.checks import sheet_04
from icrl_teach.checks.check import Check
from icrl_teach.learner import NotKept, Record, Said, Unreadable, load, record_in, write

SHEETS = st.sampled_from(["01", "04", "12"])
SAID = st.builds(Said, st.none() | st.text(max_size=5), st.text(max_size=5), st.booleans())
CHANGES = st.lists(
    st.tuples(st.just("pass_check"), SHEETS, st.text(max_size=3))
    | st.tuples(st.just("mark"), st.text(max_size=2), SAID)
)


CHECK = next(check for check in vars(sheet_04).values() if isinstance(check, Check))
NAME = CHECK.name


def solve():
    CHECK(as_given(CHECK.right, CHECK))


@pytest.fixture(autouse=True)
def a_fresh_kernel(monkeypatch):
    monkeypatch.setattr(predictions, "_marks", {})
    monkeypatch.setattr(learner, "_waiting", {})
    monkeypatch.setattr(learner, "_told", set())
    monkeypatch.delenv(learner.SWITCH, raising=False)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A learner's folder, in whose lessons/ we work."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / learner.MARKER).write_text("{}")
    monkeypatch.chdir(tmp_path / "lessons")
    return tmp_path


def content(folder):
    return json.loads((folder / learner.RECORD).read_text(encoding="utf-8"))


def names(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {"lessons"}


# ------------------------------------------------------------------------------------------------- what is kept


def test_checks_passed_and_predictions_made_are_kept(mine, capsys):
    solve()
    solve()
    predict("04-w", "?", ("one", "two"), mine="one").answer("two")
    predict("04-v", "?", within=1).answer(3.14159)
    kept = content(mine)
    assert kept.pop("about") == learner.ABOUT
    assert kept == {
        "schema": 1,
        "checks": {"04": [NAME]},
        "predictions": {
            "04-v": {"said": None, "answer": "3.14", "right": False},
            "04-w": {"said": "one", "answer": "two", "right": False},
        },
    }
    assert names(mine) == {"progress.json"}
    assert "kept" not in capsys.readouterr().out


def test_a_wrong_answer_is_no_progress(mine):
    with pytest.raises(AssertionError):
        CHECK(as_given(CHECK.planted()[0][1], CHECK))
    assert names(mine) == set()


def test_a_prediction_counts_once_in_all_kernels(mine, capsys, monkeypatch):
    predict("04-w", "?", ("one", "two"), mine="one").answer("two")
    predict("04-v", "?", ("one", "two")).answer("two")
    monkeypatch.setattr(predictions, "_marks", {})  # the kernel was restarted
    predict("04-w", "?", ("one", "two"), mine="two").answer("two")
    assert capsys.readouterr().out.endswith("Answer: two. You predicted one: not this time.\n")
    predict("04-v", "?", ("one", "two"), mine="two").answer("two")
    assert capsys.readouterr().out.endswith("right (not counted: the answer had been shown).\n")
    assert content(mine)["predictions"] == {
        "04-v": {"said": None, "answer": "two", "right": False},
        "04-w": {"said": "one", "answer": "two", "right": False},
    }


def test_nothing_is_written_where_no_learner_works(tmp_path, monkeypatch, mine):
    monkeypatch.setenv(learner.SWITCH, "off")
    solve()
    assert learner.home() is None
    monkeypatch.delenv(learner.SWITCH)
    assert learner.home() == mine
    deep = mine / "lessons/a/b/c"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert learner.home() is None, "four folders up is somebody else's"
    (mine / learner.MARKER).unlink()
    monkeypatch.chdir(mine)
    solve()
    predict("04-w", "?", ("one", "two"), mine="one").answer("two")
    assert names(mine) == set()


def test_a_working_directory_that_is_gone(mine, monkeypatch):
    gone = mine / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    solve()
    assert learner.home() is None


def test_no_notebook_under_validation_reads_or_writes_progress(mine):
    import nbformat

    from icrl_teach.validation import Settings, validate

    learner.mark("04-w", Said("one", "two", False))
    before = (mine / learner.RECORD).read_bytes()
    sheet = f"from icrl_teach.checks.sheet_04 import check_{NAME} as check\ncheck(check.right)"
    asked = 'from icrl_teach import predict\npredict("04-w", "?", ("one", "two")).answer("two")'
    cells = [nbformat.v4.new_code_cell(source) for source in (sheet, asked)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path := mine / "lessons/a.ipynb")
    validate([path], Settings(), store=True)
    assert "Correct: " in path.read_text() and "No prediction was made" in path.read_text()
    assert (mine / learner.RECORD).read_bytes() == before


# ------------------------------------------------------------------------------------------------- the file itself


@given(CHANGES)
def test_a_record_is_read_as_it_was_written(changes):
    record = Record()
    for method, *arguments in changes:
        getattr(record, method)(*arguments)
    assert record_in(record.text()) == record
    assert record_in(record.text()).text() == record.text()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["04", "said", "answer", "right"]), inner)
    ),
    max_leaves=8,
)


@given(JSON, JSON, st.sampled_from([1, 2, "1", None, True]))
def test_whatever_stands_in_the_file_is_a_record_or_refused_as_none(checks, made, schema):
    text = json.dumps({"schema": schema, "checks": checks, "predictions": made})
    with contextlib.suppress(Unreadable, NotKept):
        record = record_in(text)
        assert record_in(record.text()) == record


def test_what_a_learner_wrote_besides_is_no_damage():
    said = {"said": None, "answer": "b", "right": False, "why": "a guess"}
    text = json.dumps({"schema": 1, "mine": 1, "checks": {}, "predictions": {"a": said}})
    assert record_in(text) == Record({}, {"a": Said(None, "b", False)})


@given(CHANGES, CHANGES, st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_kernels_in_turn_lose_nothing_and_the_first_prediction_stays(tmp_path, one, other, random):
    """Against a model that shares no code: sets, and the first of each name."""
    (tmp_path / learner.RECORD).unlink(missing_ok=True)
    turns = [one] * len(one) + [other] * len(other)
    random.shuffle(turns)
    at, passed, first = {id(one): 0, id(other): 0}, set(), {}
    for changes in turns:
        method, *arguments = changes[at[id(changes)]]
        at[id(changes)] += 1
        write(tmp_path, [lambda record, m=method, a=arguments: getattr(record, m)(*a)])
        if method == "pass_check":
            passed.add(tuple(arguments))
        elif arguments[0] not in first:
            first[arguments[0]] = arguments[1]
    record = load(tmp_path)
    assert {(sheet, name) for sheet, passes in record.checks.items() for name in passes} == passed
    assert record.predictions == first


WRITER = """
import sys
from icrl_teach import learner
print("ready", flush=True)
sys.stdin.readline()
for n in range(40):
    learner.pass_check("04", f"{sys.argv[1]}-{n}")
    learner.mark("04-shared", learner.Said(sys.argv[1], "", True))
"""


def writers(folder, *labels):
    stack = contextlib.ExitStack()
    run = [sys.executable, "-c", WRITER]
    return stack, [
        stack.enter_context(child([*run, label], cwd=folder, stdin=-1, stdout=-1, text=True)) for label in labels
    ]


def test_two_processes_at_once_lose_nothing(mine):
    stack, processes = writers(mine / "lessons", "a", "b")
    with stack:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate()[0] for process in processes] == ["", ""]
    record = load(mine)
    assert set(record.checks["04"]) == {f"{label}-{n}" for label in "ab" for n in range(40)}
    assert record.predictions["04-shared"].said in ("a", "b")
    assert names(mine) == {"progress.json"}


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_a_kernel_killed_in_the_middle_leaves_a_whole_file(mine, rng):
    learner.pass_check("01", "returns")
    for _ in range(5):
        stack, (process,) = writers(mine / "lessons", "a")
        with stack:
            process.stdout.readline()
            process.stdin.write("go\n")
            process.stdin.flush()
            while "04" not in load(mine).checks:
                time.sleep(0.001)
            for _ in range(rng.integers(200)):
                load(mine)
            process.kill()
            process.wait()
        assert load(mine).checks["01"] == ["returns"]
        learner.pass_check("12", "after")
        assert load(mine).checks["12"] == ["after"]
    assert names(mine) == {"progress.json"}


# ------------------------------------------------------------------------------------------------- what goes wrong


DAMAGED = {
    "cut off": '{"schema": 1, "checks": {"04": ["sco',
    "empty": "",
    "a list": "[]",
    "no schema": '{"checks": {}, "predictions": {}}',
    "a schema of text": '{"schema": "1", "checks": {}, "predictions": {}}',
    "no predictions": '{"schema": 1, "checks": {}}',
    "checks that are no lists": '{"schema": 1, "checks": {"04": 3}, "predictions": {}}',
    "half a letter": '{"schema": 1, "checks": {"04": ["\\ud800"]}, "predictions": {}}',
    "a check that is a text": '{"schema": 1, "checks": {"04": "scores"}, "predictions": {}}',
    "checks that are numbers": '{"schema": 1, "checks": {"04": [3]}, "predictions": {}}',
    "checks of many kinds": '{"schema": 1, "checks": {"04": [3, "a", {}]}, "predictions": {}}',
    "a prediction without an answer": '{"schema": 1, "checks": {}, "predictions": {"04-w": {"said": "a"}}}',
    "a said list": '{"schema": 1, "checks": {}, "predictions": {"a": {"said": [], "answer": "", "right": 1}}}',
    "deep": "[" * 100_000,
    "a long number": '{"schema": ' + "9" * 10_000 + "}",
    "huge": " " * (learner.LARGEST + 1),
    "no text": b"\xff\xfe\x00",
    "null": "null",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_set_aside_and_said_so(name, mine, capsys):
    damage = DAMAGED[name] if isinstance(DAMAGED[name], bytes) else DAMAGED[name].encode()
    (mine / "progress.json").write_bytes(damage)
    (mine / "progress.damaged-1.json").write_text("an earlier one")
    with pytest.raises(Unreadable):
        load(mine)
    assert learner.marked("04-w") is None
    solve()
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("Correct: ") and rest == []
    assert second.startswith("progress.json was damaged: ") and "It is now progress.damaged-2.json" in second
    assert len(second) < 250
    assert (mine / "progress.damaged-2.json").read_bytes() == damage
    assert (mine / "progress.damaged-1.json").read_text() == "an earlier one"
    assert content(mine)["checks"] == {"04": [NAME]}
    solve()
    assert capsys.readouterr().out.count("\n") == 1


def test_a_file_of_a_newer_version_is_left_alone(mine, capsys):
    (mine / "progress.json").write_text('{"schema": 2, "new": []}')
    solve()
    solve()
    out = capsys.readouterr().out
    assert out.count("Correct: ") == 2 and out.count("\n") == 3
    assert "a newer version of icrl-teach wrote it: update this one" in out
    assert (mine / "progress.json").read_text() == '{"schema": 2, "new": []}'
    assert names(mine) == {"progress.json"}


def folder_of_that_name(path):
    path.mkdir()


def pipe_of_that_name(path):
    os.mkfifo(path)


def link_in_a_circle(path):
    path.symlink_to(path)


def link_to_nowhere(path):
    path.symlink_to(path.parent / "no" / "such" / "folder")


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and links")
@pytest.mark.parametrize("make", [folder_of_that_name, pipe_of_that_name, link_in_a_circle, link_to_nowhere])
def test_what_is_no_file_stays_and_is_said_once(make, mine, capsys):
    make(mine / "progress.json")
    kind = os.lstat(mine / "progress.json").st_mode
    for _ in range(2):
        solve()
        predict("04-w", "?", ("one", "two")).answer("two")
    out = capsys.readouterr().out
    assert out.count("Progress is not kept for now. ") == 1
    assert os.lstat(mine / "progress.json").st_mode == kind
    assert names(mine) == {"progress.json"}


@pytest.mark.skipif(os.name == "nt", reason="needs links")
def test_a_record_kept_elsewhere_by_a_link_stays_there(mine, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("synced") / "record.json"
    (mine / "progress.json").symlink_to(elsewhere)
    solve()
    assert (mine / "progress.json").is_symlink()
    assert json.loads(elsewhere.read_text())["checks"] == {"04": [NAME]}


def test_a_folder_that_cannot_be_written_costs_one_line_and_its_changes_wait(mine, capsys, monkeypatch):
    with monkeypatch.context() as readonly:
        readonly.setattr(learner, "atomic_write", cannot_write)
        solve()
        predict("04-w", "?", ("one", "two"), mine="two").answer("two")
    out = capsys.readouterr().out
    assert out.count("Progress is not kept for now. ") == 1 and "Read-only file system" in out
    assert names(mine) == set()
    predict("04-v", "?", ("one", "two"), mine="two").answer("two")
    assert content(mine)["checks"] == {"04": [NAME]}
    assert set(content(mine)["predictions"]) == {"04-w", "04-v"}


def cannot_write(*_arguments):
    raise OSError(30, "Read-only file system")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_write_permission(mine, capsys):
    mine.chmod(0o500)
    try:
        solve()
        assert capsys.readouterr().out.count("Progress is not kept for now. ") == 1
    finally:
        mine.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="holds a POSIX lock")
def test_a_lock_that_another_holds_is_not_waited_for_endlessly(mine, capsys, monkeypatch):
    from icrl_teach import _files

    monkeypatch.setattr(learner, "locked", lambda path: _files.locked(path, seconds=0.05))
    with _files.locked(mine / ".progress.json.lock"):
        solve()
    assert "another program holds it" in capsys.readouterr().out
    solve()
    assert content(mine)["checks"] == {"04": [NAME]}


def test_a_change_waits_for_its_own_folder(mine, tmp_path_factory, monkeypatch):
    with monkeypatch.context() as readonly:
        readonly.setattr(learner, "atomic_write", cannot_write)
        solve()
    other = tmp_path_factory.mktemp("other")
    (other / learner.MARKER).write_text("{}")
    monkeypatch.chdir(other)
    learner.pass_check("01", "returns")
    assert content(other)["checks"] == {"01": ["returns"]}
    with pytest.raises(NotKept):
        write(mine / "none", [])
