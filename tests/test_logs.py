"""Files written in one step, and the old home of reading and writing logs."""

import pytest

import icrl_teach
import icrl_teach.logs as logs


def test_nothing_appears_under_the_name_before_the_file_is_complete(tmp_path):
    path = tmp_path / "data.bin"
    with logs.atomic_write(path, "wb") as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"


def test_names_are_found_where_they_stood_before():
    for name in ("LogError", "read_features", "read_trajectory", "write_trajectory"):
        assert getattr(logs, name) is getattr(icrl_teach, name)
    with pytest.raises(AttributeError, match=r"module 'icrl_teach\.logs' has no attribute 'no_such_name'"):
        logs.no_such_name
