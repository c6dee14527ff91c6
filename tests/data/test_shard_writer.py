"""A folder of embeddings as it grows: killed, resumed, shared, and out of room."""

import json
import multiprocessing
import os
import resource
import signal
import time
from collections import namedtuple

import numpy as np
import pytest

from skreward.data import shard_writer
from skreward.data.shard_writer import FolderWriter
from skreward.data.shards import FolderError, open_folder

N_ITEMS, SHARD_ROWS = 50, 4
ROWS = np.random.default_rng(0).normal(size=(N_ITEMS, 3)).astype(np.float32)


def about(**changed):
    made = {
        "n_features": 3,
        "dtype": "float32",
        "shard_rows": SHARD_ROWS,
        "statistics": ["a"],
        "encoder": {
            "model": "m",
            "model_digest_": "d",
            "template": "auto",
            "versions_": {"torch": "1"},
        },
        "data": {},
    }
    return made | changed


def columns(**changed):
    hashes = np.random.default_rng(1).integers(0, 256, (N_ITEMS, 16), dtype=np.uint8)
    made = {
        "items/prompt_ids": np.arange(N_ITEMS) // 2,
        "items/text_hashes": hashes,
        "items/lengths": np.arange(N_ITEMS),
        "rows/items": np.arange(N_ITEMS).reshape(-1, 2),
        "rows/lines": np.arange(N_ITEMS // 2) + 1,
        "rows/labels": np.ones(N_ITEMS // 2),
    }
    return made | changed


def write(path, n_shards=None, **changed):
    """Write what is left, or so many shards of it; give the shards that were left."""
    with FolderWriter(path) as writer:
        left = writer.begin(about(**changed), columns())
        for k in left[:n_shards]:
            rows = ROWS[k * SHARD_ROWS : (k + 1) * SHARD_ROWS]
            writer.write(k, rows, rows[:, :1], n_cut=1)
    return left


def assert_whole(path):
    folder = open_folder(path)
    np.testing.assert_array_equal(folder.embeddings[:], ROWS)
    np.testing.assert_array_equal(folder.statistics[:], ROWS[:, :1])
    for name, column in (("text_hashes", "items/text_hashes"), ("rows", "rows/items")):
        np.testing.assert_array_equal(getattr(folder, name), columns()[column])
    names = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    assert not [name for name in names if name.endswith(".part")]
    assert len(names) == 3 * 13 + 6 + 2


def test_a_kill_at_any_moment_loses_nothing_that_is_sealed(tmp_path):
    path, fork = tmp_path / "f", multiprocessing.get_context("fork")
    rng, n_killed, sealed = np.random.default_rng(0), 0, set()
    while True:
        process = fork.Process(target=write, args=(path, 3))
        process.start()
        time.sleep(rng.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
        now = {p.name: p.stat().st_mtime_ns for p in path.glob("sealed/*.json")}
        assert sealed <= now.items(), "a sealed shard was written again"
        sealed = set(now.items())
        if len(sealed) == 13 or n_killed > 200:
            break
    write(path)
    assert n_killed
    assert_whole(path)


def test_what_is_there_is_not_left(tmp_path):
    assert write(tmp_path / "f", 5) == list(range(13))
    assert write(tmp_path / "f") == list(range(5, 13))
    assert write(tmp_path / "f") == []
    assert_whole(tmp_path / "f")


def tear(path):
    path.write_bytes(path.read_bytes()[:-4])


def turn(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def swap(path):
    other = path.with_name(path.name.replace("00002", "00003"))
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("harm", [tear, turn, swap, os.unlink])
@pytest.mark.parametrize(
    "name", ["embeddings/00002.npy", "statistics/00002.npy", "sealed/00002.json"]
)
def test_a_shard_that_was_harmed_is_left(tmp_path, name, harm):
    write(tmp_path / "f")
    harm(tmp_path / "f" / name)
    # Shards have statistics and seals of their own rows.
    assert write(tmp_path / "f") == [2]
    assert_whole(tmp_path / "f")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"encoder": {"model": "n", "model_digest_": "e"}}, "model 'm', not 'n'"),
        (
            {"encoder": {"model_digest_": "d", "template": "t"}},
            "template 'auto', not 't'",
        ),
        ({"encoder": {"model_digest_": "d"}}, "template 'auto', not None"),
        ({"dtype": "float16"}, "dtype 'float32', not 'float16'"),
        ({"shard_rows": 8}, "shard_rows 4, not 8"),
        ({"statistics": ["b"]}, r"statistics \['a'\], not \['b'\]"),
    ],
)
def test_another_encoder_is_told_by_what_differs(tmp_path, changed, said):
    write(tmp_path / "f", 2)
    with pytest.raises(FolderError, match=said):
        write(tmp_path / "f", **changed)
    assert len(write(tmp_path / "f")) == 11


def test_the_same_weights_elsewhere_are_no_other_encoder(tmp_path):
    write(tmp_path / "f", 2)
    encoder = about()["encoder"] | {"versions_": {"torch": "2"}, "model": "./m"}
    assert len(write(tmp_path / "f", encoder=encoder)) == 11


def other(name, k):
    column = columns()[name].copy()
    column[k] = column[k][::-1] if column[k].ndim else 0.5
    return {name: column}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (other("items/text_hashes", 9), "the first text that differs is at line 5"),
        (other("rows/items", 7), "the first row that differs is at line 8"),
        (other("rows/labels", 7), "the first label that differs is at line 8"),
        ({"rows/lines": np.arange(25)}, "other data, not these"),
        (
            {"rows/items": np.zeros((3, 2)), "rows/labels": np.ones(3)},
            "25 rows of data, not 3",
        ),
        ({"items/prompt_ids": np.arange(51)}, "50 texts, not 51"),
    ],
)
def test_other_data_are_told_by_where_they_differ(tmp_path, changed, said):
    write(tmp_path / "f", 2)
    with FolderWriter(tmp_path / "f") as writer, pytest.raises(FolderError, match=said):
        writer.begin(about(), columns(**changed))


def test_two_writers_do_not_share_a_folder(tmp_path):
    with FolderWriter(tmp_path / "f"):
        with pytest.raises(FolderError, match="another process is writing"):
            FolderWriter(tmp_path / "f").__enter__()
    write(tmp_path / "f")
    assert_whole(tmp_path / "f")


def test_a_disk_without_room_is_told_of_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(1, 1, 10)
    monkeypatch.setattr(shard_writer.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FolderError, match=r"the disk has 0\.0 GB free"):
        write(tmp_path / "f")


def fill_up(path, said):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))
    try:
        with FolderWriter(path) as writer:
            writer.begin(about(shard_rows=50), columns())
            writer.write(0, np.repeat(ROWS, 9, axis=1), ROWS[:, :1], 0)
    except OSError as error:
        said.put((error.filename, error.strerror))


def test_a_disk_that_fills_up_names_the_file_and_leaves_no_draft(tmp_path):
    fork = multiprocessing.get_context("fork")
    said = fork.Queue()
    process = fork.Process(target=fill_up, args=(tmp_path / "f", said))
    process.start()
    name, why = said.get(timeout=60)
    process.join()
    assert name.startswith(str(tmp_path / "f"))
    assert why == "File too large"
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FolderError, match=r"holds other files, such as thesis\.tex"):
        write(tmp_path)
    with pytest.raises(FolderError, match="is no folder"):
        write(tmp_path / "thesis.tex")
    with pytest.raises(FolderError, match="there is no folder"):
        write(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_rooms_that_are_links_are_not_written_through(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "texts").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "mine").write_text("x")
    with pytest.raises(FolderError, match="texts: is a link"):
        write(tmp_path / "f")
    assert (tmp_path / "elsewhere" / "mine").exists()


def test_a_seal_without_end_is_no_seal(tmp_path):
    write(tmp_path / "f")
    seal = tmp_path / "f" / "sealed" / "00002.json"
    seal.write_text(json.dumps({"n_cut": 0, "x": "y" * 10**5}))
    assert write(tmp_path / "f") == [2]
