"""Parquet files and Minari data sets: the same data as CSV give the same trajectory; what is missing is named."""

import builtins
import json
import os

import gymnasium as gym
import numpy as np
import pytest

from icrl_teach import LogError, read_features, read_log, write_trajectory
from icrl_teach.spaces import number_observations
from test_data_reading import named

pyarrow = pytest.importorskip("pyarrow")
minari = pytest.importorskip("minari")
pytest.importorskip("pyarrow.parquet")


def parquet(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


# ---------------------------------------------------------------------------------------------------------- Parquet


def test_a_parquet_file_is_the_csv_of_the_same_columns(tmp_path, rng):
    s, t = rng.integers(4, size=(2, 30))
    e, r, ended = np.repeat(np.arange(10), 3), rng.normal(size=30), np.tile([False, False, True], 10)
    t[~ended] = np.roll(s, -1)[~ended]
    file = parquet(tmp_path / "log.parquet", ep=e, obs=s, rew=r, next_obs=t, terminal=ended, note=["x"] * 30)
    rows = zip(e, s, r.tolist(), t, ended, strict=True)
    text = "ep,obs,rew,next_obs,terminal\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "log.csv").write_text(text)
    read, plain = read_log(file), read_log(tmp_path / "log.csv")
    assert named(read.trajectory) == named(plain.trajectory) and read.ignored == ("note",)
    assert read.trajectory.labels == plain.trajectory.labels


def test_parquet_in_chunks_and_with_texts(tmp_path, monkeypatch):
    monkeypatch.setattr("icrl_teach.data.formats.CHUNK", 2)
    texts = pyarrow.array(["a", "b", "é", "a", "b"]).dictionary_encode()
    file = parquet(tmp_path / "any.name", state=texts, reward=[1, 2, 3, 4, 5], episode=[1, 1, 1, 2, 2])
    assert [row[:2] for row in named(read_log(file).trajectory)] == [("a", 1), ("b", 2), ("é", 3), ("a", 4), ("b", 5)]


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ({"state": ["a", None], "reward": [1.0, 2.0]}, "log.parquet, row 2: state is missing; fill it in"),
        (
            {"state": ["a", "b"], "reward": [1.0, None]},
            "log.parquet, row 2: reward is None; it must be a finite number",
        ),
        ({"state": ["a", "b"], "reward": [float("nan"), 1.0]}, "row 1: reward is nan; it must be a finite number"),
        ({"state": ["a", "b"], "reward": [True, False]}, "row 1: reward is True; it must be a finite number"),
        ({"state": [[1, 2], [3]], "reward": [1.0, 2.0]}, "column 'state' holds list<"),
        ({"state": [b"a", b"b"], "reward": [1.0, 2.0]}, "row 1: state is b'a'; it must be a text or a number"),
        ({"state": ["a", "b"], "rewards earned": [1.0, 2.0]}, "column 'reward' is missing"),
    ],
)
def test_odd_parquet_is_refused(tmp_path, columns, fragment):
    with pytest.raises(LogError) as error:
        read_log(parquet(tmp_path / "log.parquet", **columns, episode=[1, 1]))
    assert fragment in str(error.value) and len(str(error.value)) < 300


def test_broken_parquet_is_refused(tmp_path):
    file = parquet(tmp_path / "log.parquet", state=["a"] * 999, reward=[1.0] * 999, episode=[1] * 999)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(LogError, match=r"log\.parquet: not readable as Parquet"):
        read_log(file)


def test_features_come_from_parquet_too(tmp_path):
    file = parquet(tmp_path / "x.parquet", state=["b", "a"], x=[1.5, 2.0], y=[3, 4])
    assert read_features(file, ("a", "b")).tolist() == [[2.0, 4.0], [1.5, 3.0]]


# ----------------------------------------------------------------------------------------------------------- Minari


def dataset(folder, observation_space, walks, action_space=None, data_format="arrow"):
    """A data set in Minari's format, written by Minari; walks: observations (n+1), rewards (n), flags, actions."""
    from minari.data_collector import EpisodeBuffer

    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    buffers = [
        EpisodeBuffer(
            id=i,
            observations=observations,
            actions=np.array(actions),
            rewards=[float(r) for r in rewards],
            terminations=[False] * (len(rewards) - 1) + [ended],
            truncations=[False] * (len(rewards) - 1) + [not ended],
        )
        for i, (observations, rewards, ended, actions) in enumerate(walks)
    ]
    minari.create_dataset_from_buffers(
        "shop/test-v0",
        buffers,
        observation_space=observation_space,
        action_space=action_space or gym.spaces.Discrete(3),
        data_format=data_format,
    )
    return folder / "shop" / "test-v0"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


WALKS = [
    (np.array([5, 6, 7]), [1.0, 0.5], True, [0, 2]),
    (np.array([6, 5, 5, 8]), [0.25, -1.0, 3.0], False, [1, 1, 0]),
    (np.array([7, 6]), [2.0], True, [2]),
]


@pytest.mark.filterwarnings("ignore::UserWarning:minari")
@pytest.mark.parametrize("data_format", ["arrow", "parquet", "hdf5"])
def test_a_minari_data_set_is_the_csv_of_the_same_steps(own_folder, data_format):
    if data_format == "hdf5":
        pytest.importorskip("h5py")
    folder = dataset(own_folder, gym.spaces.Discrete(4, start=5), WALKS, data_format=data_format)
    rows = [
        (i, o[k], r[k], o[k + 1], int(ended and k == len(r) - 1), int(not ended and k == len(r) - 1), a[k])
        for i, (o, r, ended, a) in enumerate(WALKS)
        for k in range(len(r))
    ]
    text = "episode,state,reward,next_state,terminated,truncated,action\n"
    (own_folder / "log.csv").write_text(text + "".join(",".join(map(str, row)) + "\n" for row in rows))
    plain, read = read_log(own_folder / "log.csv"), read_log(folder)
    assert named(read.trajectory) == named(plain.trajectory)
    assert (read.trajectory.labels, read.episodes) == (plain.trajectory.labels, 3)
    assert read.trajectory.actions.tolist() == plain.trajectory.actions.tolist()
    assert read.action_names == plain.action_names
    assert named(read_log(folder / "data").trajectory) == named(plain.trajectory)
    write_trajectory(own_folder / "again.csv", read.trajectory)
    assert named(read_log(own_folder / "again.csv").trajectory) == named(read.trajectory)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("space", "observations"),
    [
        (gym.spaces.MultiDiscrete([3, 2]), np.array([[0, 1], [2, 0], [1, 1]])),
        (gym.spaces.MultiBinary(3), np.array([[0, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=np.int8)),
        (
            gym.spaces.Tuple([gym.spaces.Discrete(32), gym.spaces.Discrete(11), gym.spaces.Discrete(2)]),
            (np.array([13, 20, 4]), np.array([10, 10, 1]), np.array([0, 1, 0])),
        ),
        (
            gym.spaces.Dict({"x": gym.spaces.Discrete(3), "y": gym.spaces.MultiDiscrete([2, 2])}),
            {"x": np.array([0, 1, 2]), "y": np.array([[0, 1], [1, 1], [0, 0]])},
        ),
    ],
)
def test_states_are_called_as_in_a_rollout(own_folder, space, observations):
    read = read_log(dataset(own_folder, space, [(observations, [1.0, 2.0], False, [0, 1])])).trajectory
    numbering = number_observations(space)

    def at(k):
        if isinstance(observations, dict):
            return {key: value[k] for key, value in observations.items()}
        return tuple(part[k] for part in observations) if isinstance(observations, tuple) else observations[k]

    assert [read.labels[s] for s in read.states] == [numbering.labels[numbering.index(at(k))] for k in range(3)]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_measurements_are_refused_and_continuous_actions_are_not(own_folder):
    box = gym.spaces.Box(-1.0, 1.0, (2,), dtype=np.float64)
    walks = [(np.zeros((2, 2)), [1.0], True, np.zeros((1, 2)))]
    with pytest.raises(LogError, match=r"test-v0: its space .* holds measurements, and a log needs numbered states"):
        read_log(dataset(own_folder, box, walks, action_space=box))
    walks = [(np.array([0, 1]), [1.0], True, np.zeros((1, 2)))]
    log = read_log(dataset(own_folder / "b", gym.spaces.Discrete(2), walks, action_space=box))
    assert named(log.trajectory) == [("0", 1.0, None, True, False)]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_data_set_can_make_nothing_run(own_folder):
    """Without spaces Minari would make the environment that the file names, and import whatever that says."""
    folder = dataset(own_folder, gym.spaces.Discrete(4, start=5), WALKS)
    file = folder / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    del metadata["observation_space"]
    metadata["env_spec"] = json.dumps({"id": "Bad-v0", "entry_point": "a_module_that_must_not_be_imported:Bad"})
    file.write_text(json.dumps(metadata))
    with pytest.raises(LogError, match=r"test-v0: metadata\.json lacks observation_space, action_space or data_format"):
        read_log(folder)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"observation_space": "x", "action_space": "x", "data_format": "x"}']
)
def test_broken_metadata_are_refused(own_folder, content):
    folder = dataset(own_folder, gym.spaces.Discrete(4, start=5), WALKS)
    (folder / "data" / "metadata.json").write_text(content)
    with pytest.raises(LogError, match="test-v0: "):
        read_log(folder)


# ---------------------------------------------------------------------------------------------- what is not there


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("missing", "kind"), [("pyarrow", "Parquet"), ("minari", "Minari")])
def test_what_is_not_installed_is_named(own_folder, monkeypatch, missing, kind):
    path = own_folder / "log.parquet"
    if kind == "Parquet":
        parquet(path, state=["a"], reward=[1.0], episode=[1])
    else:
        path = dataset(own_folder, gym.spaces.Discrete(4, start=5), WALKS)
    real = builtins.__import__

    def without(name, *args, **options):
        if name.split(".")[0] == missing:
            raise ImportError(f"No module named {missing!r}")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LogError, match=r'pip install "icrl-teach\[data\]"') as error:
        read_log(path)
    assert kind in str(error.value) and missing in str(error.value)
