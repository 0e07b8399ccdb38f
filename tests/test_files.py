"""Files are written whole or not at all; what a killed writer left goes, what a living one holds stays."""

import os
import sys

import pytest

from command_line import child
from icrl_teach._files import atomic_write

HALF_WAY = """
import sys
from icrl_teach._files import atomic_write
with atomic_write(sys.argv[1], "wb") as file:
    file.write(b"first half, ")
    file.flush()
    print("half", flush=True)
    file.write(sys.stdin.buffer.readline())
"""


def half_way(path):
    """A process that has written half of `path`, and goes on when it is told a line."""
    return child([sys.executable, "-c", HALF_WAY, str(path)], stdin=-1, stdout=-1)


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_after_kill_9_the_next_writer_of_the_same_file_clears_up(tmp_path):
    path, other = tmp_path / "run[1].pt", tmp_path / "run[1].pt.more"
    path.write_bytes(b"old")
    with half_way(path) as alive, half_way(path) as killed, half_way(other) as killed_elsewhere:
        for process in (alive, killed, killed_elsewhere):
            assert process.stdout.readline() == b"half\n"
        before = names(tmp_path)
        for process in (killed, killed_elsewhere):
            process.kill()
            process.wait()
        assert names(tmp_path) == before and len(before) == 4 and path.read_bytes() == b"old"
        with atomic_write(path, "wb") as file:
            file.write(b"new")
        left = names(tmp_path) - {path.name}
        assert path.read_bytes() == b"new" and len(left) == 2  # the living one's and another file's
        alive.communicate(b"second half\n")
    assert path.read_bytes() == b"first half, second half\n"
    (orphan,) = names(tmp_path) - {path.name}
    assert orphan.startswith(".run[1].pt.more.")


def test_nothing_appears_under_the_name_before_the_file_is_complete(tmp_path):
    path = tmp_path / "data.bin"
    with atomic_write(path, "wb") as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"


def half(path, error=OSError):
    with atomic_write(path) as file:
        file.write("half")
        raise error


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        half(tmp_path / "a.txt", KeyboardInterrupt)
    assert names(tmp_path) == {"a.txt"} and (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="needs a umask")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a.txt") as file:
            file.write("état")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "a.txt").read_bytes() == "état".encode()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder; make it first"):
        half(tmp_path / "none/a.txt")
