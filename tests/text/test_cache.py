"""The cache of embeddings: what is read is what was written, or nothing."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skreward.text.cache import EmbeddingCache, _Memory, clear_memory

SETUP = {"model": "m", "revision": None, "layer": -1}


@pytest.fixture(autouse=True)
def _empty_memory():
    clear_memory()
    yield
    clear_memory()


def row(*values):
    return np.array(values, dtype=np.float32)


def rows_of(texts):
    return {text: row(len(text), 0) for text in texts}


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_is_put_is_found(tmp_path, on_disk):
    cache = EmbeddingCache(SETUP, tmp_path if on_disk else None)
    cache.put({"a": row(1, 2), "": row(3, 4), "ß\n": row(5, np.pi)})
    if on_disk:
        clear_memory()
    found = EmbeddingCache(SETUP, tmp_path if on_disk else None).get(
        ["", "a", "x", "ß\n"]
    )
    assert set(found) == {"", "a", "ß\n"}
    assert_array_equal(found["ß\n"], row(5, np.pi))
    assert found["a"].dtype == np.float32


def test_rows_in_the_cache_cannot_be_changed(tmp_path):
    mine = row(1, 2)
    cache = EmbeddingCache(SETUP, tmp_path)
    cache.put({"a": mine})
    mine[:] = 0
    assert_array_equal(cache.get(["a"])["a"], row(1, 2))
    for clear in (False, True):
        if clear:
            clear_memory()
        with pytest.raises(ValueError, match="read-only"):
            cache.get(["a"])["a"][0] = 7


@pytest.mark.parametrize(
    "other", [{"model": "n"}, {"revision": "r"}, {"layer": -2}, {"dtype": "float16"}]
)
def test_another_setup_shares_nothing(tmp_path, other):
    EmbeddingCache(SETUP, tmp_path).put({"a": row(1)})
    assert EmbeddingCache({**SETUP, **other}, tmp_path).get(["a"]) == {}


def test_no_text_is_written(tmp_path):
    EmbeddingCache(SETUP, tmp_path).put({"a private text": row(1)})
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"private" not in written


def cache_file(folder):
    (path,) = folder.glob("*.sqlite")
    return path


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 15), st.integers(1, 255), st.booleans())
def test_a_damaged_entry_is_absent_and_replaced(tmp_path_factory, at, flip, cut):
    folder = tmp_path_factory.mktemp("cache")
    cache = EmbeddingCache(SETUP, folder)
    clear_memory()
    cache.put({"a": row(1, 2), "b": row(3, 4)})
    with closing(sqlite3.connect(cache_file(folder))) as connection, connection:
        (key, entry), _ = connection.execute("SELECT key, entry FROM embeddings")
        damaged = bytearray(entry)
        damaged[at] ^= flip
        if cut:
            damaged = damaged[:at]
        connection.execute(
            "UPDATE embeddings SET entry = ? WHERE key = ?", (bytes(damaged), key)
        )
    clear_memory()
    found = cache.get(["a", "b"])
    assert len(found) == 1
    lost = ({"a", "b"} - set(found)).pop()
    fresh = {"a": row(1, 2), "b": row(3, 4)}[lost]
    cache.put({lost: fresh})
    clear_memory()
    assert_array_equal(cache.get([lost])[lost], fresh)


def test_an_entry_of_another_text_is_absent(tmp_path):
    cache = EmbeddingCache(SETUP, tmp_path)
    cache.put({"a": row(1, 2), "b": row(3, 4)})
    clear_memory()
    with closing(sqlite3.connect(cache_file(tmp_path))) as connection, connection:
        (one, other) = connection.execute("SELECT key, entry FROM embeddings")
        connection.execute(
            "UPDATE embeddings SET entry = ? WHERE key = ?", (one[1], other[0])
        )
    assert len(cache.get(["a", "b"])) == 1


@pytest.mark.parametrize("keep", [0, 10, 100, 5000])
def test_a_file_cut_off_is_begun_again(tmp_path, keep, caplog):
    texts = [f"text {k}" for k in range(3000)]
    rows = {text: np.full(8, k, dtype=np.float32) for k, text in enumerate(texts)}
    EmbeddingCache(SETUP, tmp_path).put(rows)
    path = cache_file(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    clear_memory()
    cache = EmbeddingCache(SETUP, tmp_path)
    found = cache.get(texts)
    assert len(found) < len(texts)
    for text, value in found.items():
        assert_array_equal(value, rows[text])
    cache.put(rows)
    clear_memory()
    EmbeddingCache(SETUP, tmp_path).put(rows)
    clear_memory()
    assert len(EmbeddingCache(SETUP, tmp_path).get(texts)) == len(texts)
    assert keep == 0 or "set aside" in caplog.text


def test_a_file_that_is_no_database_is_set_aside(tmp_path, caplog):
    cache = EmbeddingCache(SETUP, tmp_path)
    cache.put({"a": row(1)})
    path = cache_file(tmp_path)
    path.write_bytes(b"not a database at all, but long enough to look at" * 50)
    clear_memory()
    assert cache.get(["a"]) == {}
    assert "damaged" in caplog.text
    assert path.with_name(path.name + ".damaged").exists()
    cache.put({"a": row(1)})
    clear_memory()
    assert_array_equal(cache.get(["a"])["a"], row(1))


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, caplog, monkeypatch):
    def full(*args, **kwargs):
        raise sqlite3.OperationalError("database or disk is full")

    cache = EmbeddingCache(SETUP, tmp_path)
    cache.put({"a": row(1)})
    monkeypatch.setattr("skreward.text.cache.sqlite3.connect", full)
    cache.put({"b": row(2)})
    cache.put({"c": row(3)})
    assert caplog.text.count("disk is full") == 1
    assert set(cache.get(["a", "b", "c"])) == {"a", "b", "c"}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        EmbeddingCache(SETUP, tmp_path / "file" / "cache")


def test_memory_is_bounded_and_forgets_the_oldest():
    memory = _Memory(max_bytes=39)
    memory.put({b"a": row(1, 2), b"b": row(3, 4)})
    memory.get([b"a"])
    memory.put({b"c": np.zeros(6, dtype=np.float32)})
    assert set(memory.get([b"a", b"b", b"c"])) == {b"a", b"c"}
    memory.put({b"c": np.zeros(6, dtype=np.float32)})
    assert memory.n_bytes == 32


def write_some(folder, worker):
    for block in range(10):
        texts = [f"{k}" for k in range(worker + block, worker + block + 50)]
        cache = EmbeddingCache(SETUP, folder)
        for text, found in cache.get(texts).items():
            assert_array_equal(found, np.full(16, int(text)))
        clear_memory()
        cache.put({text: np.full(16, int(text), dtype=np.float32) for text in texts})


def test_several_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=write_some, args=(tmp_path, 20 * k)) for k in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    found = EmbeddingCache(SETUP, tmp_path).get([f"{k}" for k in range(99)])
    assert len(found) == 99


def test_a_kill_at_any_moment_leaves_whole_entries(tmp_path):
    program = textwrap.dedent(
        f"""
        import numpy as np
        from skreward.text.cache import EmbeddingCache
        cache = EmbeddingCache({SETUP!r}, {str(tmp_path)!r})
        for block in range(10**6):
            keys = range(100 * block, 100 * block + 100)
            cache.put({{str(k): np.full(64, k, dtype=np.float32) for k in keys}})
            print(block, flush=True)
        """
    )
    for pause in (0.0, 0.003, 0.011):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        for _ in range(20):
            block = int(process.stdout.readline())
        time.sleep(pause)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        clear_memory()
        texts = [f"{k}" for k in range(100 * (block + 1))]
        found = EmbeddingCache(SETUP, tmp_path).get(texts)
        assert len(found) == len(texts)
        for text, value in found.items():
            assert_array_equal(value, np.full(64, int(text)))
    assert not list(tmp_path.glob("*.damaged"))
