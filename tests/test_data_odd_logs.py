"""A corpus of odd logs: each is read right, or refused with file, line, value and remedy; none grows without end."""

import contextlib
import gzip
import io
import os
import subprocess
import sys
import threading
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrl_teach import LogError, Trajectory, read_log, write_trajectory

H = "state,reward,next_state\n"
E = "episode,state,reward,next_state\n"


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, H + "a,1,b\n")
    return buffer.getvalue()


REFUSED = {
    # no table at all
    "empty": ("", ["the file is empty; it needs a header line such as state,reward,next_state"]),
    "only a hint": ("sep=;\n", ["the file is empty"]),
    "header only": (H, ["no rows below the header; a context needs at least one transition"]),
    "an empty line": ("\n" + H + "a,1,b\n", ["column 'state' is missing", "the header is ''"]),
    "prose": ("Dear all,\nplease find the log attached.\n", ["column 'state' is missing", "'Dear all,'"]),
    "json": ('{"state": 1, "reward": 2}\n', ["column 'state' is missing", "--columns state=NAME"]),
    "no header": ("a,1,b\nb,2,a\n", ["column 'state' is missing; the header is 'a,1,b' but must name state"]),
    "zeros": (b"\0" * 5000, ["not a text file (it holds zero bytes); export the log as CSV (UTF-8)"]),
    "a pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x08builtins\x94", ["not a text file"]),
    "noise": (bytes(range(1, 256)) * 20, ["not a text file in UTF-8; export"]),
    "zeros later": ((H + "a,1,a\n" * 3000).encode() + b"a,1,\0\n", ["line 3002: not text"]),
    "noise later": ((H + "a,1,a\n" * 3000).encode() + b"a,1,\xff\x01\n", ["line 3002: not text"]),
    "undefined letters": ((H + "a,1,a\n").encode() + b"a,1,\x81\n", ["not a text file in UTF-8"]),
    "utf-8 mark, other bytes": (b"\xef\xbb\xbf" + H.encode() + b"a,1,\xe9\n", ["not a text file in UTF-8"]),
    "excel": (b"\xd0\xcf\x11\xe0" + b"\0" * 99, ["an Excel workbook: export the log as CSV (UTF-8)"]),
    "new excel": (archive("[Content_Types].xml", "xl/workbook.xml"), ["an Office document; export the log as CSV"]),
    "two in a zip": (archive("a.csv", "b.csv"), ["the zip must hold one file, and holds 'a.csv', 'b.csv'; unpack it"]),
    "nothing in a zip": (archive("folder/"), ["the zip must hold one file, and holds none"]),
    "broken zip": (archive("a.csv")[:60], ["the packed file is broken or cut short", "copy it again"]),
    "broken gzip": (gzip.compress(b"x" * 5000)[:-9], ["the packed file is broken or cut short"]),
    "wrong gzip": (b"\x1f\x8b" + b"x" * 50, ["the packed file is broken or cut short"]),
    "bzip2": (b"BZh91AY", ["packed with bzip2: unpack it, or use gzip or zip"]),
    "broken parquet": (b"PAR1" + b"x" * 50, ["not readable as Parquet"]),
    "hdf5": (b"\x89HDF\r\n\x1a\n", ["an HDF5 file; of a Minari data set give the folder"]),
    "one long line": (b"x" * 200_000, ["line 1: longer than 131,072 characters; a log has one short row a line"]),
    "long line later": (H + "a,1," + "b" * 200_000, ["line 2: longer than 131,072 characters"]),
    # separators and quotes
    "bars": ("state|reward|next_state\na|1|b\n", ["separator is '|'; save the file with a comma, semicolon or tab"]),
    "blanks": ("state reward next_state\na 1 b\n", ["separator is ' '; save the file"]),
    "other separator below": (H + "a;1;b\n", ["line 2: 1 field", "separator is ';' here and ',' in the header"]),
    "comma in a state": (
        H + "a, b,1,c\n",
        ["line 2: 4 fields where the header has 3; quote states that contain a comma"],
    ),
    "decimal comma, no quotes": (H + "a,1,5,b\n", ["line 2: 4 fields", "write numbers with a point (1.5)", "'5'"]),
    "semicolon in a state": (
        "state;reward;next_state\na;b;1;c\n",
        ["4 fields where the header has 3; quote states that contain a semicolon"],
    ),
    "short row": (
        H + "a,1\n",
        ["line 2: 2 fields where the header has 3; complete the row, or remove it; the row is ['a', '1']"],
    ),
    "cut in the middle": (H + "a,1,b\nb,", ["line 3: 2 fields where the header has 3; complete the row"]),
    "open quote": (H + 'a,1,"b\n' + "c,1,d\n" * 5, ["line 2: a quotation mark is opened and never closed; close it"]),
    "open quote, long": (H + 'a,1,"b\n' + "c,1,d\n" * 40_000, ["line 2: a quotation mark is opened and never closed"]),
    "quote inside": (H + 'a,1,"b"c"\n', ["line 2: ", 'inside quotes a quotation mark is written twice ("")']),
    # columns
    "no reward": ("state,next_state\na,b\n", ["column 'reward' is missing", "give another name with --columns reward"]),
    "no next state": ("state,reward\na,1\n", ["column 'next_state' is missing", "a column 'episode' must say which"]),
    "no next state but sessions": (
        "state,reward,Session ID\na,1,x\n",
        ["if 'Session ID' tells them apart, give --columns episode=Session ID"],
    ),
    "twice": ("state,reward,reward,next_state\na,1,2,b\n", ["column 'reward' occurs twice; keep one of them"]),
    "two claims": (
        "state,rew,rewards,next_state\na,1,2,b\n",
        ["columns 'rew', 'rewards' all mean reward; say which with --columns reward=rew"],
    ),
    "very wide header": (",".join(f"c{i}" for i in range(4000)) + "\n1\n", ["column 'state' is missing", "c10...3994"]),
    # numbers
    "word for a number": (H + "a,many,b\n", ["line 2: reward is 'many'; it must be a finite number such as 0 or -1.5"]),
    "empty reward": (
        H + "a,1,b\nb,,c\n",
        ["line 3: reward is ''", "only where an episode ended needs no row of its own"],
    ),
    "nan": (H + "a,nan,b\n", ["line 2: reward is 'nan'; it must be a finite number"]),
    "infinite": (H + "a,1,b\nb,-inf,a\n", ["line 3: reward is '-inf'; it must be a finite number"]),
    "too large": (H + "a,1e999,b\n", ["line 2: reward is '1e999'; it must be a finite number"]),
    "money": (H + "a,$5,b\n", ["line 2: reward is '$5'; it must be a finite number"]),
    "percent": (H + "a,5%,b\n", ["line 2: reward is '5%'; it must be a finite number"]),
    "underscore": (H + "a,1_000,b\n", ["line 2: reward is '1_000'; it must be a finite number"]),
    "boolean": (H + "a,True,b\n", ["line 2: reward is 'True'; it must be a finite number"]),
    "thousands": (H + 'a,"1,000",b\n', ["line 2: reward is '1,000', which may mean thousands or a decimal comma"]),
    "both marks": ("state;reward;next_state\na;1.234,5;b\n", ["line 2: reward is '1.234,5'", "one decimal mark"]),
    "two marks": (
        "state;reward;next_state\na;1,5;b\nb;2.5;a\n",
        ["line 3: reward is '2.5', but line 2 has '1,5'; write numbers with one decimal mark"],
    ),
    "two marks, the other way": (
        "state;reward;next_state\na;1.5;b\nb;2,5;a\n",
        ["line 3: reward is '2,5', but line 2 has '1.5'; write numbers with one decimal mark"],
    ),
    "long value": (H + "a," + "9x" * 10_000 + ",b\n", ["line 2: reward is '9x9x", "9x'; it must be a finite number"]),
    "flag": (
        "state,reward,next_state,terminated\na,1,b,0\nb,1,c,maybe\n",
        ["line 3: terminated is 'maybe'; it must be 0 or 1, or false or true"],
    ),
    "time": (
        "episode,state,reward,time\n1,a,1,soon\n",
        ["line 2: time is 'soon'; write numbers or dates such as 2026"],
    ),
    "header again": (H + "a,1,b\n" + H + "b,1,a\n", ["line 3: the header stands here again; remove this line"]),
    # rows that do not follow each other
    "gap": (
        H + "a,1,b\nc,1,a\n",
        ["line 3: state is 'c' but the row before led to 'b'; rows must connect, or an 'episode' column must separate"],
    ),
    "gap, what to look for": (H + "a,1,b\nc,1,a\n", ["line 3 is repeated or a row is missing before it"]),
    "gap after a blank line": (H + "a,1,b\nb,1,c\n\na,1,b\n", ["line 5: state is 'a' but the row before led to 'c'"]),
    "repeated": (H + "a,1,b\na,1,b\nb,1,a\n", ["line 3: state is 'a' but", "line 3 repeats the one before"]),
    "gap inside an episode": (
        E + "1,a,0,b\n1,c,1,a\n",
        ["line 3: state is 'c' but the row before led to 'b'; rows must"],
    ),
    "shuffled": (H + "a,1,b\nc,1,a\nb,1,c\nc,1,a\n", ["(2 rows do not connect)"]),
    "interleaved": (
        E + "A,a,0,b\nB,a,0,b\nA,b,1,a\n",
        [
            "log.csv, line 4: episode 'A' comes back after 'B'; "
            "sort the rows by episode, or give each episode a name of its own"
        ],
    ),
    "end inside an episode": (
        "episode,state,reward,next_state,done\n7,a,1,b,1\n7,b,1,c,0\n",
        ["line 2: the row ends its episode, but line 3 goes on with episode '7'; give each episode a name of its own"],
    ),
    "nothing follows": (
        "state,reward,terminated\na,1,0\n",
        ["no row is followed by another; a context needs at least one transition"],
    ),
}

# content -> transitions as (state, reward, next state or None), episodes
READ = {
    "quoted comma": (H + '"a, b",1,c\n', [("a, b", 1.0, "c")], 0),
    "quoted line end": (H + '"a\nb",1,c\nc,2,c\n', [("a\nb", 1.0, "c"), ("c", 2.0, "c")], 0),
    "no line end": (H + "a,1,a", [("a", 1.0, "a")], 0),
    "blank lines": (H + "\na,1,b\n   \n\nb,1,a\n\n", [("a", 1.0, "b"), ("b", 1.0, "a")], 0),
    "names like numbers": (H + "1,1,01\n", [("1", 1.0, "01")], 0),
    "spaces round numbers": (H + "a, 1 ,a\n", [("a", 1.0, "a")], 0),
    "exponents": (H + "a,-1E-3,a\n", [("a", -0.001, "a")], 0),
    "three decimals by comma": (
        "state;reward;next_state\na;1,234;a\na;0,5;a\n",
        [("a", 1.234, "a"), ("a", 0.5, "a")],
        0,
    ),
    "quoted header": ('"state","reward","next_state"\n"a","1","a"\n', [("a", 1.0, "a")], 0),
    "loud header": (" STATE ;Reward;Next State\na;1;a\n", [("a", 1.0, "a")], 0),
    "camel case": ("obs,rew,nextObs\na,1,a\n", [("a", 1.0, "a")], 0),
    "capital episode": ("Episode,state,reward,next_state\n1,a,1,b\n2,a,2,c\n", [("a", 1.0, None), ("a", 2.0, None)], 2),
    "a comma in the header of a tab file": (
        "state\treward\tnext, state\tnext_state\na\t1\tx\ta\n",
        [("a", 1.0, "a")],
        0,
    ),
    "empty end": (E + "1,a,1,\n2,a,1,\n", [("a", 1.0, None), ("a", 1.0, None)], 2),
    "one episode": (E + "x,a,0,b\nx,b,1,a\n", [("a", 0.0, "b"), ("b", 1.0, None)], 1),
    "one step each": ("ep,obs,rew\n1,a,1\n2,b,2\n", [("a", 1.0, None), ("b", 2.0, None)], 2),
    "flags alone": (
        "state,reward,done\na,1,0\nb,2,1\na,3,1\n",
        [("a", 1.0, "b"), ("b", 2.0, None), ("a", 3.0, None)],
        2,
    ),
    "emoji": (H + "🚕,1,état\nétat,2,🚕\n", [("🚕", 1.0, "état"), ("état", 2.0, "🚕")], 0),
    "a nested zip name": (archive("deep/er/log.csv"), [("a", 1.0, "b")], 0),
    "a header twice as wide": ("a,b,c,state,reward,next_state\n,,,x,1,x\n", [("x", 1.0, "x")], 0),
}


def steps(log) -> list[tuple]:
    t, labels = log.trajectory.transitions, log.trajectory.labels
    names = [(labels[s], labels[n] if n >= 0 else None) for s, n in zip(t.states, t.next_states, strict=True)]
    return [(s, r, n) for (s, n), r in zip(names, t.rewards.tolist(), strict=True)]


def write(tmp_path, content: str | bytes):
    path = tmp_path / "log.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("case", list(REFUSED))
def test_an_odd_log_is_refused_in_one_short_sentence(tmp_path, case):
    content, fragments = REFUSED[case]
    with pytest.raises(LogError) as error:
        read_log(write(tmp_path, content))
    message = str(error.value)
    assert message.startswith("log.csv")
    assert len(message) < 400 and "\n" not in message and not message.endswith(".")
    for fragment in fragments:
        assert fragment in message


@pytest.mark.parametrize("case", list(READ))
def test_an_odd_log_is_read_right(tmp_path, case):
    content, expected, episodes = READ[case]
    log = read_log(write(tmp_path, content))
    assert steps(log) == expected and log.episodes == episodes


def test_the_corpus_is_large():
    assert len(REFUSED) + len(READ) >= 80


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ("state", "columns holds 'state'; write ROLE=NAME, for example state=page,reward=revenue"),
        ("page=state", "columns names 'page'; a column can be: state, reward, next_state, episode"),
        ("state=page", "log.csv: there is no column 'page' for state; the columns are 'state', 'reward', 'next_state'"),
        ("state=state,reward=state", "columns gives one column two meanings: state=state, reward=state"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, columns, fragment):
    with pytest.raises(ValueError, match="column") as error:
        read_log(write(tmp_path, H + "a,1,b\n"), columns)
    assert fragment in str(error.value)


def test_another_meaning_of_episodes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="episodes is 'loop'; choose one of terminal, restart"):
        read_log(write(tmp_path, H + "a,1,b\n"), episodes="loop")


def test_places_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(LogError, match=r"none\.csv: cannot be read: No such file or directory; check the path"):
        read_log(tmp_path / "none.csv")
    with pytest.raises(LogError, match="cannot be read: Is a directory; a folder must be a Minari data set"):
        read_log(tmp_path)


def test_more_rows_than_the_limit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("icrl_teach.data.sources.ROW_LIMIT", 10)
    assert len(steps(read_log(write(tmp_path, H + "a,1,a\n" * 10)))) == 10
    with pytest.raises(LogError, match=r"log\.csv: more than 10 rows; split the log"):
        read_log(write(tmp_path, H + "a,1,a\n" * 11))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_pipe_is_read(tmp_path):
    path = tmp_path / "log.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text(H + "a,1,b\n"), daemon=True)
    writer.start()
    assert steps(read_log(path)) == [("a", 1.0, "b")]
    writer.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_pipe_without_an_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("icrl_teach.data.sources.ROW_LIMIT", 5_000)
    path = tmp_path / "log.csv"
    os.mkfifo(path)

    def write_for_ever() -> None:
        with contextlib.suppress(BrokenPipeError), path.open("w") as file:
            file.write(H)
            while True:
                file.write("a,1,a\n" * 1000)

    writer = threading.Thread(target=write_for_ever, daemon=True)
    writer.start()
    with pytest.raises(LogError, match=r"log\.csv: more than 5,000 rows; split the log"):
        read_log(path)
    writer.join()


SOUND = [
    E + "".join(f"{i},s,0,m\n{i},m,1,END\n" for i in range(5)),
    "state;reward;next_state;terminated;truncated\n a;1,5;b;0;0\nb;-2,25;c;1;0\nc;3;a;0;1\n",
    "time,episode,obs,rew,action\n1,1,a,1,x\n2,1,b,2,y\n3,2,a,0,x\n",
    H + '"a, b",1,"c\nd"\n"c\nd",2,é\n',
]
PIECES = [*",;\t\"\n\r\0|=._ -'", "NaN", "1e999", "1.0", "1,5", "true", "\ufeff", "\x1b", "🚕", "state", "episode"]
changes = st.lists(
    st.tuples(st.sampled_from(["insert", "delete", "repeat", "cut"]), st.integers(0, 200), st.integers(1, 9),
              st.sampled_from(PIECES)), max_size=5
)  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(SOUND), st.sampled_from(["utf-8", "utf-8", "utf-16", "cp1252"]), changes, st.booleans())
def test_a_damaged_log_is_read_or_refused_and_nothing_else(tmp_path_factory, text, encoding, damages, restart):
    data = text.encode(encoding)
    for kind, where, length, piece in damages:
        at = min(where, len(data))
        if kind == "insert":
            data = data[:at] + piece.encode() + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + length :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + 5 * length] + data[at:]
        else:
            data = data[: at + 20]
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(data)
    said: tuple[str, ...]
    try:
        said = read_log(path, episodes="restart" if restart else "terminal").warnings
    except LogError as error:  # and no other
        said = (str(error),)
    assert all(text.startswith("damaged.csv") and len(text) < 600 and "\n" not in text for text in said)


ENDLESS = """
import resource, sys
import pandas
from icrl_teach.data import read_log, LogError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_log(sys.argv[1])
except LogError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


@pytest.mark.skipif(not os.path.exists("/dev/urandom"), reason="needs devices without an end")
@pytest.mark.parametrize(
    ("place", "fragment"),
    [
        ("/dev/zero", "zero: not a text file (it holds zero bytes)"),
        ("/dev/urandom", "urandom: not"),
        ("bomb.gz", "bomb.gz, line 1: longer than 131,072 characters"),
    ],
)
def test_what_has_no_end_is_refused_before_it_grows(tmp_path, place, fragment):
    if place == "bomb.gz":
        with gzip.open(tmp_path / place, "wb", compresslevel=9) as file:
            for _ in range(200):
                file.write(b"x" * 1_000_000)
    command = [sys.executable, "-c", ENDLESS, place]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    grown, message = done.stdout.split(" ", 1)
    assert fragment in message and len(message) < 400
    assert int(grown) * (1 if sys.platform == "darwin" else 1024) < 100 * 2**20


def test_a_written_log_is_never_odd(tmp_path):
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 1, 0], [1.0, 2.0], ["a;b|c", 'd"e']))
    assert steps(read_log(tmp_path / "log.csv")) == [("a;b|c", 1.0, 'd"e'), ('d"e', 2.0, "a;b|c")]
