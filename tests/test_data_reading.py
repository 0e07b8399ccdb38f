"""Reading and writing logs: what is written is what is read, and what columns, episodes and flags mean."""

import csv
import gzip
import io
import os
import stat
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import icrl_teach.data.writing as writing
from icrl_teach import LogError, LogWarning, Trajectory, read_features, read_log, read_trajectory, write_trajectory
from icrl_teach.data.columns import ALIASES, parse_columns
from oracles import seeds

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SESSIONS = "episode,state,reward,next_state\n" + "".join(f"{i},s,0,m\n{i},m,1,END\n" for i in range(30))


def log_of(tmp_path, text: str | bytes, name: str = "log.csv", **options):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_log(path, **options)


def named(trajectory: Trajectory) -> list[tuple]:
    """Transitions with the names of their states; what a terminated one leads to is nothing."""
    t, label = trajectory.transitions, (trajectory.labels or ()).__getitem__
    following = [label(s) if s >= 0 else None for s in t.next_states]
    columns = (map(label, t.states), t.rewards.tolist(), following, t.terminated.tolist(), t.truncated.tolist())
    return list(zip(*columns, strict=True))


# --------------------------------------------------------------------------------------------------- there and back


@given(st.lists(names, min_size=1, max_size=6, unique=True), st.integers(1, 12), seeds)
@pytest.mark.filterwarnings("ignore::icrl_teach.LogWarning")
def test_write_then_read_gives_the_same_walk(tmp_path_factory, labels, n, seed):
    path = tmp_path_factory.getbasetemp() / "roundtrip.csv"
    rng = np.random.default_rng(seed)
    walk = Trajectory(
        rng.integers(len(labels), size=n + 1), rng.standard_normal(n) * 10.0 ** rng.integers(-9, 9), labels
    )
    write_trajectory(path, walk)
    read = read_trajectory(path)
    assert [read.labels[s] for s in read.states] == [labels[s] for s in walk.states]
    assert read.rewards.tolist() == walk.rewards.tolist()  # to the last bit
    assert read.labels == tuple(dict.fromkeys(labels[s] for s in walk.states))  # in order of first appearance
    assert not read.terminated.any() and not read.truncated.any()


@given(
    st.lists(names, min_size=2, max_size=5, unique=True),
    st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5),
    st.booleans(),
    seeds,
)
def test_episodes_ends_and_cuts_come_back(tmp_path_factory, labels, walks, with_actions, seed):
    path, rng = tmp_path_factory.getbasetemp() / "episodes.csv", np.random.default_rng(seed)
    steps = []
    for length, ends in walks:
        path_of_states = rng.integers(len(labels), size=length + 1)
        for k in range(length):
            last = k == length - 1
            steps.append((*path_of_states[k : k + 2], rng.standard_normal(), last and ends, last and not ends))
    s, following, r, ended, cut = map(np.array, zip(*steps, strict=True))
    actions = rng.integers(3, size=len(s)) if with_actions else None
    written = Trajectory.of_transitions(s, r, following, ended, cut, labels=labels, actions=actions)
    write_trajectory(path, written)
    log = read_log(path)
    assert named(log.trajectory) == named(written)
    if with_actions:
        found = [log.action_names[a] for a in log.trajectory.transitions.actions]
        assert found == [str(a) for a in actions]


@pytest.mark.parametrize(
    "name", ["a, b", 'say "hi"', "two\nlines", "tab\there", " edges ", "état 中 🚕", "\r", "a\rb", "\ufeff", "#", "a;b"]
)
@pytest.mark.filterwarnings("ignore:.*looks like a missing value")  # one of them does, and is said to
def test_odd_names_survive(tmp_path, name):
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 1, 0], [1.0, 2.0], [name, "plain"]))
    assert read_trajectory(tmp_path / "log.csv").labels == (name, "plain")


def test_a_name_that_no_text_file_can_hold_is_refused_when_written(tmp_path):
    with pytest.raises(ValueError, match="labels holds 'a\\\\x00b'; a text file cannot hold a NUL character: rename"):
        write_trajectory(tmp_path / "log.csv", Trajectory([0, 1], [1.0], ["a\0b", "c"]))
    assert os.listdir(tmp_path) == []


def test_a_walk_without_labels_is_written_with_numbers(tmp_path):
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 2], [0.5]))
    assert (tmp_path / "log.csv").read_bytes() == b"state,reward,next_state\r\n0,0.5,2\r\n"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_stop_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, error, monkeypatch):
    path, walk = tmp_path / "log.csv", Trajectory([0, 1, 0], [1.0, 2.0])
    write_trajectory(path, walk)
    before = path.read_bytes()
    writer = csv.writer

    class Stopping:
        def __init__(self, file, **options):
            self.file = writer(file, **options)

        def writerow(self, row):
            self.file.writerow(row)

        def writerows(self, rows):
            self.file.writerow(next(iter(rows)))
            raise error

    monkeypatch.setattr(writing.csv, "writer", Stopping)
    with pytest.raises(error):
        write_trajectory(path, walk)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["log.csv"]


def test_the_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 1], [1.0]))
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "log.csv")}
    assert len(modes) == 1


# ---------------------------------------------------------------------------------------------------------- columns


def test_columns_may_come_in_any_order_with_others_between(tmp_path):
    log = log_of(tmp_path, "next_state,note,state, reward \nb,x,a,1\n\na,y,b,-2.5e1\n")
    read = log.trajectory
    assert read.labels == ("a", "b") and read.states.tolist() == [0, 1, 0] and read.rewards.tolist() == [1.0, -25.0]
    assert log.ignored == ("note",)
    assert log.columns == {"state": "state", "reward": "reward", "next_state": "next_state"}


@pytest.mark.parametrize("role", list(ALIASES))
def test_usual_names_are_understood_in_any_dress(tmp_path, role):
    values = {"state": "ab", "reward": "12", "next_state": "ba", "terminated": "01", "truncated": "01", "done": "01"}
    for alias in ALIASES[role]:
        for name in (alias, alias.upper(), f" {alias.title()} ", alias.replace("next", "next_").replace("id", " ID")):
            header = {"state": "state", "reward": "reward", "next_state": "next_state", role: name}
            rows = [[values.get(key, "77")[i] for key in header] for i in range(2)]
            text = "\n".join(",".join(row) for row in [list(header.values()), *rows]) + "\n"
            assert log_of(tmp_path, text).columns[role] == name.strip()


def test_own_names_are_given_by_columns(tmp_path):
    text = "page,revenue,to,session_id\nhome,0,shop,1\nshop,5,out,1\n"
    chosen = "state=page, reward=revenue,next_state=to,episode=Session ID"
    log = log_of(tmp_path, text, columns=chosen)
    assert named(log.trajectory) == [("home", 0, "shop", False, False), ("shop", 5, None, True, False)]
    assert log.columns["episode"] == "session_id" and log.ignored == ()
    assert log_of(tmp_path, text, columns=parse_columns(chosen)).trajectory.labels == ("home", "shop")


def test_a_column_that_is_no_role_decides_nothing_and_is_listed(tmp_path):
    text = "state,reward,next_state,session_id,step\na,1,b,1,7\nb,2,a,2,3\n"
    log = log_of(tmp_path, text)
    assert log.ignored == ("session_id", "step") and log.episodes == 0
    assert named(log.trajectory) == [("a", 1, "b", False, False), ("b", 2, "a", False, False)]
    with pytest.warns(LogWarning, match=r"^log.csv: columns not used: 'session_id', 'step'$"):
        read_trajectory(tmp_path / "log.csv")


def test_the_documented_name_wins_over_another_usual_one(tmp_path):
    log = log_of(tmp_path, "state,obs,reward,next_state\na,9,1,b\n")
    assert log.trajectory.labels == ("a", "b") and log.ignored == ("obs",)


def test_a_role_can_be_left_out(tmp_path):
    log = log_of(tmp_path, "state,reward,next_state,episode\na,1,b,7\nb,2,a,8\n", columns="episode=")
    assert log.episodes == 0 and log.ignored == ("episode",)


def test_a_column_name_may_hold_a_comma():
    assert parse_columns('"state=page, seen",reward=r') == {"state": "page, seen", "reward": "r"}


# --------------------------------------------------------------------------------------------------------- episodes


def test_thirty_sessions_end_where_the_file_says(tmp_path):
    log = log_of(tmp_path, SESSIONS)
    assert log.episodes == 30 and log.trajectory.labels == ("s", "m") and log.warnings == ()
    assert named(log.trajectory) == [("s", 0, "m", False, False), ("m", 1, None, True, False)] * 30


def test_restart_joins_episodes_to_one_chain(tmp_path):
    text = "episode,state,reward,next_state\n1,a,0,b\n1,b,1,end\n2,c,0,a\n2,a,0,b\n2,b,5,end\n"
    read = log_of(tmp_path, text, episodes="restart").trajectory
    assert read.labels == ("a", "b", "c")  # 'end' only ends episodes: not a state of the chain
    assert [read.labels[s] for s in read.states] == ["a", "b", "c", "a", "b", "a"]
    assert read.rewards.tolist() == [0, 1, 0, 0, 5]
    assert not read.terminated.any() and not read.truncated.any()


def test_restart_joins_no_walk_that_was_cut(tmp_path):
    text = "state,reward,next_state,terminated,truncated\na,1,b,0,1\nc,2,d,1,0\ne,3,f,0,0\nf,4,g,1,0\n"
    read = log_of(tmp_path, text, episodes="restart").trajectory
    assert named(read) == [
        ("a", 1, "b", False, True),
        ("c", 2, "e", False, False),
        ("e", 3, "f", False, False),
        ("f", 4, "a", False, False),
    ]


def test_flags_say_what_ended_and_what_was_cut(tmp_path):
    text = (
        "obs,rew,next_obs,terminal,timeout\n"
        "a,1,b,False,False\nb,2,c,True,False\na,3,b,0,0\nb,4,c,no,yes\nc,5,a,f,f\na,6,d,f,f\n"
    )
    assert named(log_of(tmp_path, text).trajectory) == [
        ("a", 1, "b", False, False),
        ("b", 2, None, True, False),
        ("a", 3, "b", False, False),
        ("b", 4, "c", False, True),
        ("c", 5, "a", False, False),
        ("a", 6, "d", False, False),  # the recording stops here: d is the query
    ]


def test_an_episode_without_a_flag_at_its_end_was_cut(tmp_path):
    text = "episode,state,reward,next_state,terminated\n1,a,0,b,0\n1,b,1,c,0\n2,a,0,b,0\n2,b,1,x,1\n"
    assert named(log_of(tmp_path, text).trajectory)[1] == ("b", 1, "c", False, True)


@pytest.mark.parametrize(
    ("flags", "rows", "expected"),
    [
        ("done", ["0", "1"], (True, False)),
        ("done,truncated", ["0,0", "1,1"], (False, True)),  # done in the old sense: ended or cut
        ("terminated,done", ["0,0", "0,1"], (False, True)),
        ("terminated,truncated", ["0,0", "1,1"], (True, False)),  # both: it terminated
    ],
)
def test_done_beside_other_flags(tmp_path, flags, rows, expected):
    text = f"state,reward,next_state,{flags}\na,1,b,{rows[0]}\nb,2,c,{rows[1]}\na,0,b,{rows[0]}\n"
    assert named(log_of(tmp_path, text).trajectory)[1][3:] == expected


def test_an_event_log_needs_no_next_state(tmp_path):
    text = "session,page,revenue\n1,home,0\n1,shop,5\n2,home,0\n3,home,0\n3,home,0\n3,shop,7\n"
    log = log_of(tmp_path, text, columns="state=page,reward=revenue,episode=session")
    assert named(log.trajectory) == [
        ("home", 0, "shop", False, False),
        ("shop", 5, None, True, False),
        ("home", 0, None, True, False),
        ("home", 0, "home", False, False),
        ("home", 0, "shop", False, False),
        ("shop", 7, None, True, False),
    ]


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 2)), min_size=1, max_size=4), min_size=1))
@pytest.mark.filterwarnings("ignore::icrl_teach.LogWarning")
def test_an_event_log_is_the_log_with_next_states_written_out(tmp_path_factory, sessions):
    folder = tmp_path_factory.getbasetemp()
    events = [(i, s, r) for i, session in enumerate(sessions) for s, r in session]
    steps = [
        (i, s, r, session[k + 1][0] if k + 1 < len(session) else "END")
        for i, session in enumerate(sessions)
        for k, (s, r) in enumerate(session)
    ]
    for name, header, rows in (("e", "episode,state,reward", events), ("s", "episode,state,reward,next_state", steps)):
        (folder / f"{name}.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    assert named(read_trajectory(folder / "e.csv")) == named(read_trajectory(folder / "s.csv"))


def test_where_an_event_log_was_cut_the_last_row_is_where_it_landed(tmp_path):
    log = log_of(tmp_path, "episode,state,reward,truncated\n1,a,0,0\n1,b,9,1\n2,a,0,0\n2,c,1,0\n")
    assert named(log.trajectory) == [
        ("a", 0, "b", False, True),
        ("a", 0, "c", False, False),
        ("c", 1, None, True, False),
    ]
    assert log.warnings == (
        "log.csv: what follows the last row of 1 unfinished walk is not recorded: its reward is not used",
    )


@pytest.mark.parametrize("times", ["4 2 1 3", "10:04 10:02 10:01 10:03", "1e3 999 12 999.5"])
def test_time_puts_the_rows_of_interleaved_episodes_in_order(tmp_path, times):
    stamps = [f"2026-05-07T{t}:00" if ":" in t else t for t in times.split()]
    rows = zip("BABA", "xyzw", stamps, strict=True)
    log = log_of(tmp_path, "episode,state,reward,time\n" + "".join(f"{e},{s},1,{t}\n" for e, s, t in rows))
    assert [row[:3] for row in named(log.trajectory)] == [("z", 1, "x"), ("x", 1, None), ("y", 1, "w"), ("w", 1, None)]
    assert log.warnings == ("log.csv: 2 rows out of the order of time were put in it",)


def test_interleaved_episodes_in_the_order_of_time_are_no_matter(tmp_path):
    log = log_of(tmp_path, "episode,state,reward,time\nA,x,1,1\nB,y,1,2\nA,z,1,3\n")
    assert log.warnings == () and log.episodes == 2


def test_walks_that_were_all_cut_are_episodes_too(tmp_path):
    log = log_of(tmp_path, "state,reward,next_state,truncated\na,1,b,1\nc,1,d,0\nd,1,a,0\n")
    assert log.episodes == 2


# ------------------------------------------------------------------------------------------------------------ files

PLAIN = "state,reward,next_state\nа,1.5,é\né,-2.25,а\n"


def zipped(text: bytes, *more: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner/log.csv", text)
        for name in more:
            archive.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", ";").replace(".", ",").encode(),
        PLAIN.replace(",", "\t").replace(".", ",").encode(),
        PLAIN.replace("1.5", '"1,5"').replace("-2.25", '"-2,25"').encode(),
        ("sep=;\n" + PLAIN.replace(",", ";")).encode(),
        (PLAIN + ",,\n  ,,\n\n").encode(),  # a spreadsheet's empty rows
        gzip.compress(PLAIN.encode()),
        zipped(PLAIN.encode(), "__MACOSX/._log.csv"),
        gzip.compress(PLAIN.replace(",", ";").encode("utf-16")),
    ],
    ids=lambda content: "",
)
def test_one_table_in_many_dresses(tmp_path, content):
    log = log_of(tmp_path, content)
    assert named(log.trajectory) == [("а", 1.5, "é", False, False), ("é", -2.25, "а", False, False)]
    assert log.warnings == ()


@pytest.mark.parametrize("before", [0, 20_000])
def test_what_is_not_utf_8_is_read_as_latin_1_with_a_warning(tmp_path, before):
    text = "state,reward,next_state\n" + "a,1,a\n" * before + "a,0,é\né,0,€\n"
    log = log_of(tmp_path, text.encode("cp1252"))
    assert log.trajectory.labels == ("a", "é", "€")
    assert any("not in UTF-8: read as Windows-1252 (Latin-1)" in warning for warning in log.warnings)


def test_chunks_join_to_the_same_log(tmp_path, monkeypatch, rng):
    states = rng.integers(5, size=(40, 4))
    rows = [f"{i},{s},{s / 4},{0}" for i, walk in enumerate(states) for s in walk]
    text = "episode,state,reward,action\n" + "\n".join(rows) + "\n"
    whole = log_of(tmp_path, text).trajectory
    monkeypatch.setattr("icrl_teach.data.sources.CHUNK", 7)
    parts = log_of(tmp_path, text).trajectory
    assert named(whole) == named(parts) and whole.labels == parts.labels and len(whole.rewards) == 160


# ------------------------------------------------------------------------------------------------------- suspicions


def session_log(rows: list[str], header: str = "episode,state,reward,next_state") -> str:
    return "\n".join([header, *rows]) + "\n"


FLAGS = "state,reward,next_state,terminated,truncated\n"
DONE = "state,reward,next_state,done\n" + "s,0,m,0\nm,1,END,1\n" * 12


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("state,reward,next_state\n1,0,1.0\n1.0,2,1\n", "names look alike are different states: '1' beside '1.0'"),
        ("state,reward,next_state\na,0,A\nA,2, a\n", "'a' beside 'A' beside ' a'"),
        ("state,reward,next_state\na,0,b\nb,0,a\n", "all rewards are 0, so every value is 0"),
        ("state,reward,next_state\na,1,\n,0,a\n", "a state is called '', which looks like a missing value"),
        ("state,reward,next_state\na,1,NaN\nNaN,0,a\n", "a state is called 'NaN'"),
        (SESSIONS[:-3], "the last line may be cut short: its next_state 'E' occurs once"),
        (SESSIONS[:-3] + "\n", "the last line may be cut short: its next_state 'E' occurs once"),
        ("state,reward,next_state\na,1,b\nb,1,zed", "its next_state 'zed' occurs once"),
        (
            session_log(["1,a,1", "1,b,2", "1,b,2"], "episode,state,reward"),
            "1 row the same as the row before, first at",
        ),
        (
            session_log(["1,a,1,a,5", "1,a,1,a,5"], "episode,state,reward,next_state,time"),
            "first at log.csv, line 3: repeated?",
        ),
        (DONE + "m,1,END,1\n" * 2, "2 rows the same as the row before, first at log.csv, line 26: repeated?"),
        (SESSIONS + "30,m,1,END\n", "1 episode of 31 begins in the middle (nearly all begin in 's'), first at"),
        ("state,reward,next_state,terminated\na,1,b,0\nb,1,a,0\n", "no row is marked as terminated"),
        ("state,reward,next_state,done\na,1,b,1\nb,1,a,0\n", "'done' does not tell an end from a time limit"),
    ],
)
def test_suspicious_data_are_read_with_a_warning(tmp_path, text, fragment):
    log = log_of(tmp_path, text)
    assert any(fragment in warning for warning in log.warnings), log.warnings
    with pytest.warns(LogWarning) as caught:
        read_trajectory(tmp_path / "log.csv")
    assert [str(entry.message) for entry in caught] == list(log.warnings)


def test_a_warning_names_the_line_that_read_the_file(tmp_path):
    """In a process of its own: here, the checks of shapes stand between."""
    (tmp_path / "log.csv").write_text("state,reward,next_state\na,0,b\nb,0,a\n")
    (tmp_path / "mine.py").write_text("import icrl_teach\n\nicrl_teach.read_trajectory('log.csv')\n")
    run = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "mine.py:3: LogWarning: log.csv: all rewards are 0" in run.stderr


@pytest.mark.parametrize(
    "text",
    [
        SESSIONS,
        SESSIONS[:-1],  # no line end, but END is known
        session_log(["1,wall,0,wall"] * 3 + ["1,wall,1,END"]),  # a step may stay where it is
        "state,reward,next_state\n1,0,2\n2,1,10\n10,0,1\n",
        session_log([f"{i},{'s' if i % 2 else 'm'},1,END" for i in range(20)]),  # two usual starts
        FLAGS + "m,1,END,1,0\n" * 20,  # walks of one step, as a bandit's
        FLAGS + "s,0,m,0,0\nm,1,END,1,0\nm,1,END,1,0\n" * 5 + "m,0,m,0,0\nm,1,END,1,0\n",  # others begin in m
        FLAGS.replace("next_state,", "") + "s,1,1,0\n" * 20,
    ],
)
def test_sound_data_are_read_without_a_word(tmp_path, text):
    assert log_of(tmp_path, text).warnings == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_trajectory(tmp_path / "log.csv")


# --------------------------------------------------------------------------------------------------------- features


def test_features_come_in_the_order_of_the_labels(tmp_path):
    (tmp_path / "x.csv").write_text('state,speed,height\nb,3,4\nunused,9,9\n"a,1",1,2\n')
    assert read_features(tmp_path / "x.csv", ("a,1", "b")).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_features_are_read_from_the_same_formats(tmp_path):
    (tmp_path / "x.csv").write_bytes(gzip.compress("State;x;y\na;1,5;2\nb;3;-4,25\n".encode("utf-16")))
    assert read_features(tmp_path / "x.csv", ("b", "a")).tolist() == [[3.0, -4.25], [1.5, 2.0]]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("\nstate,x\na,1\n", "x.csv: the header is ''; it must be state"),
        ("state,x\nb,1\n", "x.csv: no row for state 'a', which the log visits; add its features"),
        ("state,x\na,1\na,2\n", "x.csv, line 3: state 'a' has a row already; keep one of them"),
        ("state,x\na,1,2\n", "x.csv, line 2: 3 fields where the header has 2"),
        ("state,x\na,tall\n", "x.csv, line 2: x is 'tall'; it must be a finite number"),
        ("state,x\n", "x.csv: no row for state 'a'"),
    ],
)
def test_features_that_do_not_fit_are_refused(tmp_path, text, fragment):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(LogError) as error:
        read_features(tmp_path / "x.csv", ("a",))
    assert fragment in str(error.value)
