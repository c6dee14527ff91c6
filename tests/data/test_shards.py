"""Folders of embeddings as a reader finds them: whole, torn, and hostile."""

import json
import os
import pickle

import numpy as np
import pytest

from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.data.shards import FORMAT, FolderError, open_folder
from skreward.datasets import load_embeddings

N_ITEMS, SHARD_ROWS = 10, 4
ROWS = np.random.default_rng(0).normal(size=(N_ITEMS, 3)).astype(np.float16)


def write_folder(folder, **changed):
    """Write a folder of ten items and five pairs, in three shards."""
    about = {
        "format": FORMAT,
        "n_items": N_ITEMS,
        "n_rows": 5,
        "n_features": 3,
        "shard_rows": SHARD_ROWS,
        "dtype": "float16",
        "is_pairs": True,
        "is_labelled": True,
        "statistics": ["a", "b"],
        "encoder": {"model": "none"},
        "data": {"name": "pairs.jsonl"},
        "columns": "",
    }
    columns = {
        "items/prompt_ids": np.arange(N_ITEMS) // 2,
        "items/text_hashes": np.zeros((N_ITEMS, 16), np.uint8),
        "items/lengths": np.arange(N_ITEMS),
        "rows/items": np.arange(N_ITEMS).reshape(5, 2),
        "rows/lines": np.arange(1, 6),
        "rows/labels": np.array([1.0, 0.0, 1.0, 0.5, 1.0]),
    }
    for name in ("items", "rows", "embeddings", "statistics", "sealed"):
        (folder / name).mkdir(parents=True)
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)
    for k in range(3):
        rows = ROWS[k * SHARD_ROWS : (k + 1) * SHARD_ROWS]
        np.save(folder / f"embeddings/{k:05d}.npy", rows)
        np.save(folder / f"statistics/{k:05d}.npy", np.ones((len(rows), 2), "f4"))
        (folder / f"sealed/{k:05d}.json").write_text("{}")
    (folder / "manifest.json").write_text(json.dumps(about | changed))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "embedded")


KEYS = [
    slice(None),
    slice(1, 3),
    slice(2, 9),
    slice(None, None, -2),
    slice(3, 3),
    [1, 9, 0],
    [],
    5,
    -1,
    np.arange(N_ITEMS) % 3 == 0,
    np.array([[1, 2], [9, 0]]),
    (slice(2, 6), 1),
    ([3, 9], slice(0, 2)),
    ([3, 9], ...),
    ...,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_rows_are_picked_as_from_one_array(folder, key):
    rows = open_folder(folder).embeddings
    np.testing.assert_array_equal(rows[key], ROWS[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows))[key], ROWS[key])


def test_rows_are_one_array_where_one_is_wanted(folder):
    rows = open_folder(folder).embeddings
    assert (rows.shape, rows.dtype, len(rows), rows.nbytes) == ((10, 3), "f2", 10, 60)
    np.testing.assert_array_equal(np.asarray(rows), ROWS)
    assert np.asarray(rows, dtype=float).dtype == float
    view = rows[5:7]
    assert isinstance(view, np.memmap)
    assert not view.flags.writeable
    with pytest.raises(IndexError, match="out of bounds"):
        rows[10]
    with pytest.raises(IndexError, match="2 dimensions"):
        rows[0, 0, 0]


def test_a_reward_is_fitted_to_a_folder_as_to_its_rows(folder):
    data = load_embeddings(folder)
    pairs = EmbeddingPairs(data.embeddings, data.index, data.prompt_ids)
    own = EmbeddingPairs(ROWS, data.index, data.prompt_ids)
    fitted, expected = (BradleyTerryRegressor().fit(p, data.y) for p in (pairs, own))
    np.testing.assert_allclose(fitted.coef_, expected.coef_)
    assert data.statistics[:].shape == (10, 2)
    assert data.encoder == {"model": "none"}


def test_a_pair_of_one_text_is_left_out(folder):
    rows = np.arange(10).reshape(5, 2)
    rows[1] = 2
    np.save(folder / "rows/items.npy", rows)
    data = load_embeddings(folder)
    assert data.index.tolist() == rows[[0, 2, 3, 4]].tolist()
    assert data.lines.tolist() == [1, 3, 4, 5]
    assert data.y.tolist() == [1, 1, 0.5, 1]


def test_rated_rows(tmp_path):
    folder = write_folder(tmp_path / "f", is_pairs=False)
    np.save(folder / "rows/items.npy", np.array([0, 0, 3, 4, 9]))
    data = load_embeddings(folder)
    assert data.row_items.tolist() == [0, 0, 3, 4, 9]
    assert (data.index, data.y) == (None, None)
    assert data.ratings.tolist() == [1, 0, 1, 0.5, 1]


def test_what_is_no_folder_of_embeddings(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_embeddings(tmp_path / "none")
    with pytest.raises(FolderError, match=r"holds no manifest\.json"):
        load_embeddings(tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": "zarr"}, "the format is 'zarr'"),
        ({"n_items": "10"}, "n_items must be of type int"),
        ({"n_items": True}, "n_items must be of type int"),
        ({"n_items": 0}, "n_items must be positive"),
        ({"n_items": 2**60}, "n_items must be positive"),
        ({"n_items": 2**40}, "wanted int64 of shape"),
        ({"shard_rows": 1}, "7 of 10 shards are not computed yet"),
        ({"dtype": "object"}, "dtype must be one of"),
        ({"dtype": "../x"}, "dtype must be one of"),
        ({"statistics": [1]}, "statistics must list names"),
    ],
)
def test_a_manifest_that_is_wrong(tmp_path, changed, said):
    folder = write_folder(tmp_path / "f", **changed)
    with pytest.raises(FolderError, match=said):
        open_folder(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 10**5, b"\xff{", b"null"])
def test_a_manifest_that_is_no_object(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(FolderError, match=r"manifest\.json"):
        open_folder(folder)


def test_a_manifest_without_end(folder):
    (folder / "manifest.json").write_bytes(b" " * (2**20 + 1))
    with pytest.raises(FolderError, match="larger than"):
        open_folder(folder)


def torn(path):
    path.write_bytes(path.read_bytes()[:-3])


def linked(path):
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def piped(path):
    path.unlink()
    os.mkfifo(path)


def of_objects(path):
    np.save(path, np.array([{}, {}], dtype=object), allow_pickle=True)


def packed(path):
    np.savez(path.with_suffix(".npz"), a=np.ones(3))
    path.with_suffix(".npz").rename(path)


def narrow(path):
    np.save(path, np.load(path)[:, :-1])


def sideways(path):
    np.save(path, np.asfortranarray(np.load(path)))


HARM = [torn, linked, piped, of_objects, packed, narrow, sideways, os.unlink]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", ["embeddings/00001", "items/text_hashes"])
def test_a_file_that_is_not_what_it_must_be(folder, name, harm):
    harm(folder / f"{name}.npy")
    with pytest.raises(FolderError, match=name):
        open_folder(folder).embeddings[3:9]


def test_a_folder_of_shards_that_is_a_link(folder):
    (folder / "embeddings").rename(folder / "elsewhere")
    (folder / "embeddings").symlink_to(folder / "elsewhere")
    with pytest.raises(FolderError, match="embeddings: is a link"):
        open_folder(folder).embeddings[0]


def test_rows_of_items_that_are_not_there(folder):
    np.save(folder / "rows/items.npy", np.array([[0, 1]] * 4 + [[0, 10]]))
    with pytest.raises(FolderError, match="none of 10"):
        open_folder(folder)


def test_labels_that_are_no_numbers(folder):
    np.save(folder / "rows/labels.npy", np.array([np.nan, 0, 0, 0, 0]))
    with pytest.raises(FolderError, match="not finite"):
        open_folder(folder)


def test_a_folder_that_is_not_finished(folder):
    (folder / "sealed/00001.json").unlink()
    with pytest.raises(FolderError, match="1 of 3 shards are not computed yet"):
        open_folder(folder)
