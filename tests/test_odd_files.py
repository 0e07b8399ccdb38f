"""Odd files and values, at the command line: one short line, exit code 2, bounded memory, and an end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import icrl_teach
from icrl_teach.cli.shell import LONGEST, short_line
from patience import PATIENCE

MEMORY = 600 * 2**20


def refusal(folder, *arguments):
    """What the command says, in a child of its own, whose memory is measured.

    By the peak of its own address space: getrusage also counts what the process held that it was forked from.
    """
    code = """if True:
        import pathlib, re, sys
        from icrl_teach.cli import main
        try:
            main(sys.argv[1:])
        finally:
            status = pathlib.Path("/proc/self/status")
            peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else 0
            print("bytes", 1024 * int(peak))
    """
    root = str(Path(icrl_teach.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2, done.stderr[-2000:]
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("icrl-teach: error: "), done.stderr[:2000]
    assert len(done.stderr) < 500
    assert int(done.stdout.split()[-1]) < MEMORY
    return done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    with (folder / "sparse.csv").open("wb") as file:
        file.truncate(10**12)
    with (folder / "line.csv").open("wb") as file:
        for _ in range(100):
            file.write(b"a" * 10**6)
    (folder / "field.csv").write_text(f"state,reward,next_state\n{'b' * 10**6},1,a\n")
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 400)
    (folder / "folder.csv").mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sparse.csv", "not a text file"),
        ("line.csv", "line 1: longer than 131,072 characters"),
        ("field.csv", "line 2"),
        ("binary.csv", "not a text file"),
        ("folder.csv", "a folder must be a Minari data set"),
        pytest.param("/dev/zero", "not a text file", marks=pytest.mark.skipif(os.name == "nt", reason="no devices")),
    ],
)
def test_an_odd_file_is_refused_within_memory(folder, name, words):
    assert words in refusal(folder, "evaluate", name)


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "p" * 5_000],
        ["evaluate", "line.csv", "--columns", "c" * 100_000],
        ["demo", "--states", "9" * 4_000],
        ["demo", "--gamma", "g " * 50_000],
        ["demo", "--" + "o" * 100_000],
        ["c" * 100_000],
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_a_long_value_is_cut(folder, arguments):
    refusal(folder, *arguments)


@given(
    text=st.lists(st.sampled_from(["a", "long", " ", "\n", "\x1b", "\U000e0001", "é", "'"])),
    times=st.integers(1, 50_000),
)
@settings(max_examples=50)
def test_every_line_is_short(text, times):
    line = short_line("".join(text) * times)
    assert len(line) < LONGEST and "\n" not in line


def test_a_long_line_keeps_its_beginning_and_its_remedy():
    line = short_line(f"--gamma is {'x' * 689_003}; use 0.9")
    assert line == f"--gamma is {'x' * 40}...{'x' * 39}; use 0.9"
    assert short_line("one two") == "one two"
