"""Logs: what is written is what is read, whatever the states are called; half-written files never appear."""

import csv
import os
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import icrl_teach.logs as logs
from icrl_teach import Trajectory, read_features, read_trajectory, write_trajectory
from oracles import seeds

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(names, min_size=1, max_size=6, unique=True), st.integers(1, 12), seeds)
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


@pytest.mark.parametrize(
    "name", ["a, b", 'say "hi"', "two\nlines", "tab\there", " edges ", "état 中 🚕", "", "\r", "a\rb", "\ufeff", "#"]
)
def test_odd_names_survive(tmp_path, name):
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 1, 0], [1.0, 2.0], [name, "plain"]))
    assert read_trajectory(tmp_path / "log.csv").labels == (name, "plain")


def test_a_walk_without_labels_is_written_with_numbers(tmp_path):
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 2], [0.5]))
    assert (tmp_path / "log.csv").read_bytes() == b"state,reward,next_state\r\n0,0.5,2\r\n"


def test_columns_may_come_in_any_order_with_others_between(tmp_path):
    (tmp_path / "log.csv").write_text("next_state,note,state, reward \nb,x,a,1\n\na,y,b,-2.5e1\n")
    read = read_trajectory(tmp_path / "log.csv")
    assert read.labels == ("a", "b") and read.states.tolist() == [0, 1, 0] and read.rewards.tolist() == [1.0, -25.0]


def test_a_spreadsheet_s_byte_order_mark_and_line_ends_are_accepted(tmp_path):
    (tmp_path / "log.csv").write_bytes(b"\xef\xbb\xbfstate,reward,next_state\r\na,1,b\r\n")
    assert read_trajectory(tmp_path / "log.csv").labels == ("a", "b")


def test_an_episode_column_joins_episodes_by_restart(tmp_path):
    (tmp_path / "log.csv").write_text(
        "episode,state,reward,next_state\n1,a,0,b\n1,b,1,end\n2,c,0,a\n2,a,0,b\n2,b,5,end\n"
    )
    read = read_trajectory(tmp_path / "log.csv")
    assert read.labels == ("a", "b", "c")  # 'end' only ends episodes: not a state of the chain
    assert [read.labels[s] for s in read.states] == ["a", "b", "c", "a", "b", "a"]
    assert read.rewards.tolist() == [0, 1, 0, 0, 5]


def test_episodes_that_interleave_are_refused(tmp_path):
    (tmp_path / "log.csv").write_text("episode,state,reward,next_state\nA,a,0,b\nB,a,0,b\nA,b,1,a\n")
    with pytest.raises(logs.LogError) as error:
        read_trajectory(tmp_path / "log.csv")
    assert str(error.value) == (
        "log.csv, line 4: episode 'A' comes back after 'B'; "
        "sort the rows by episode, or give each episode a name of its own"
    )


def test_within_an_episode_rows_must_connect(tmp_path):
    (tmp_path / "log.csv").write_text("episode,state,reward,next_state\n1,a,0,b\n1,c,1,a\n")
    with pytest.raises(ValueError, match=r"log\.csv, line 3: state is 'c' but the row before led to 'b'"):
        read_trajectory(tmp_path / "log.csv")


def test_features_come_in_the_order_of_the_labels(tmp_path):
    (tmp_path / "x.csv").write_text('state,speed,height\nb,3,4\nunused,9,9\n"a,1",1,2\n')
    assert read_features(tmp_path / "x.csv", ("a,1", "b")).tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_stop_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, error, monkeypatch):
    path, walk = tmp_path / "log.csv", Trajectory([0, 1, 0], [1.0, 2.0])
    write_trajectory(path, walk)
    before = path.read_bytes()
    writer = csv.writer

    class Stopping:
        def __init__(self, file, **options):
            self.file, self.rows = writer(file, **options), 0

        def writerow(self, row):
            self.rows += 1
            if self.rows == 3:
                raise error
            self.file.writerow(row)

    monkeypatch.setattr(logs.csv, "writer", Stopping)
    with pytest.raises(error):
        write_trajectory(path, walk)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["log.csv"]


def test_nothing_appears_under_the_name_before_the_file_is_complete(tmp_path):
    path = tmp_path / "data.bin"
    with logs.atomic_write(path, "wb") as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"


def test_the_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    write_trajectory(tmp_path / "log.csv", Trajectory([0, 1], [1.0]))
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "log.csv")}
    assert len(modes) == 1


def test_a_column_that_occurs_twice_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("state,reward,reward,next_state\na,1,2,b\n")
    with pytest.raises(logs.LogError, match=r"log\.csv: column 'reward' occurs twice; keep one of them"):
        read_trajectory(tmp_path / "log.csv")


def test_a_features_file_that_begins_with_an_empty_line_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("\nstate,x\na,1\n")
    with pytest.raises(logs.LogError, match=r"x\.csv: the header is ''; it must be state"):
        read_features(tmp_path / "x.csv", ("a",))
