"""What is written: every column of every row, whole, or a refusal before the work."""

import csv
import json
import math
import os
from datetime import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from skreward.cli.files import DataError, Table, read_table
from skreward.cli.output import make_writer
from tests.cli.tables import good_and_bad, write_jsonl, write_rows

CHAT = [
    {"role": "user", "content": 'say "a", b\n'},
    {"role": "assistant", "content": "é", "name": "x"},
]


def test_tables_come_back_as_they_were_written(tmp_path):
    rows = [
        {"prompt": 'a "quoted"\nline', "response": "é, 東京\r\n"},
        {"prompt": "", "response": "x"},
    ]
    mask = os.umask(0)
    os.umask(mask)
    for suffix in (".jsonl", ".jsonl.gz", ".csv", ".parquet"):
        path = write_rows(tmp_path / f"t{suffix}", rows)
        assert read_table(path).rows == rows
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert read_table(tmp_path / "t.csv").lines == [2, 5]
    huge = [{"prompt": "p", "response": "x" * 300_000}]
    limit = csv.field_size_limit()
    assert read_table(write_rows(tmp_path / "huge.csv", huge)).rows == huge
    assert csv.field_size_limit() == limit
    with pytest.raises(DataError, match="unknown extension"):
        write_rows(tmp_path / "t.xml", rows)


def test_a_column_that_begins_late_is_kept(command, tmp_path, model):
    rows = good_and_bad()[:6]
    rows[3] = rows[3] | {"late": "x", "votes": 3}
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    for suffix in (".csv", ".parquet", ".jsonl"):
        out = tmp_path / f"out{suffix}"
        assert command.run("score", model, path, "-o", out)[0] == 0
        scored = read_table(out).rows
        assert [row.get("late") or None for row in scored] == [None] * 3 + ["x"] + [
            None
        ] * 2
        assert str(scored[3]["votes"]) == "3"
        assert math.isfinite(float(scored[0]["margin"]))
        assert [row["prompt"] for row in scored] == [row["prompt"] for row in rows]
    assert "late" not in scored[0]


@pytest.mark.parametrize("name", ["margin", "reward_chosen", "reward_rejected"])
def test_a_column_that_would_be_lost_is_refused(
    command, tmp_path, model, monkeypatch, name
):
    path = write_jsonl(
        tmp_path / "x.jsonl", [row | {name: "mine"} for row in good_and_bad()]
    )
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr("skreward.text.embed.embed_items", None)
        said = command.refused("score", model, path, "-o", out)
    assert f"there is a column {name!r} already" in said
    assert "--suffix _new" in said
    assert not out.exists()
    assert command.run("score", model, path, "-o", out, "--suffix", "_new")[0] == 0
    row = read_table(out).rows[0]
    assert row[name] == "mine"
    assert isinstance(row[f"{name}_new"], float)
    again = ["score", model, out, "-o", tmp_path / "2.csv", "--suffix", "_new"]
    assert "already" in command.refused(*again)


def test_a_column_called_reward_of_single_responses(command, tmp_path, model):
    rows = [{"prompt": "p", "response": "a", "reward": 1.0, "margin": 2}]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    said = command.refused("score", model, path, "-o", tmp_path / "o.csv")
    assert "there is a column 'reward' already" in said


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_chat_messages_make_the_round_trip(command, tmp_path, model, suffix):
    rows = [
        {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": "b c"},
        {"prompt": "plain [text]", "chosen": "a", "rejected": "[b]"},
    ]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    packed = tmp_path / f"packed{suffix}"
    assert command.run("score", model, path, "-o", packed)[0] == 0
    again = tmp_path / "again.jsonl"
    args = ["score", model, packed, "-o", again, "--suffix", "_2"]
    assert command.run(*args)[0] == 0
    for row in read_table(again).rows:
        assert_allclose(row["margin_2"], float(row["margin"]), rtol=1e-6)
    assert json.loads(read_table(packed).rows[0]["chosen"]) == CHAT[1:]


def test_parquet_to_parquet_keeps_the_schema(command, tmp_path, model):
    schema = pa.schema(
        [
            ("prompt", pa.large_string()),
            ("response", pa.dictionary(pa.int32(), pa.string())),
            ("when", pa.timestamp("ns", tz="UTC")),
            ("price", pa.decimal128(20, 3)),
            ("raw", pa.binary()),
            ("big", pa.uint64()),
            ("small", pa.int8()),
            ("chat", pa.list_(pa.struct([("role", pa.string())]))),
            ("share", pa.float16()),
        ],
        metadata={"made by": "a test"},
    )
    table = pa.table(
        {
            "prompt": ["p", "q"],
            "response": pa.array(["a", "b"]).dictionary_encode(),
            "when": pa.array([1, None], pa.timestamp("ns", tz="UTC")),
            "price": pa.array([Decimal("1.500"), None], pa.decimal128(20, 3)),
            "raw": [b"\xff", None],
            "big": pa.array([2**64 - 1, 0], pa.uint64()),
            "small": pa.array([1, None], pa.int8()),
            "chat": [[{"role": "user"}], None],
            "share": pa.array(np.array([0.5, 1], np.float16)),
        },
        schema=schema,
    )
    path, out = tmp_path / "x.parquet", tmp_path / "out.parquet"
    pq.write_table(table, path)
    code, _, err = command.run("score", model, path, "-o", out)
    assert code == 0, err
    scored = pq.read_table(out)
    assert scored.schema.names == [*schema.names, "reward", "rank"]
    assert scored.drop_columns(["reward", "rank"]).equals(pq.read_table(path))
    assert scored.schema.metadata[b"made by"] == b"a test"
    for suffix, name in ((".jsonl", "when"), (".csv", "raw")):
        said = command.refused("score", model, path, "-o", tmp_path / f"o{suffix}")
        assert f"{path}:1: column {name!r} holds" in said


COLUMNS = {
    "NaN": ([1.5, float("nan")], {".jsonl"}),
    "infinity": ([1, float("inf")], {".jsonl"}),
    "beyond int64": ([2**63, -1], {".parquet"}),
    "uint64": ([2**64 - 1, 1], set()),
    "beyond uint64": ([2**64, 1], {".parquet"}),
    "thousands of digits": ([10**4000, 1], {".parquet"}),
    "not exact": ([0.5, 2**53 + 1], {".parquet"}),
    "an empty object": ([{}, {}], set()),
    "an object and a list": ([{"a": [1]}, [2]], set()),
    "a text and a number": (["a", 1], {".parquet"}),
    "truth and numbers": ([1, True], {".parquet"}),
    "half a character": (["a", "\ud800"], {".csv", ".parquet"}),
    "half a character inside": ([["\ud800"], []], set()),
    "NaN inside": ([[float("nan")], []], {".jsonl", ".csv", ".parquet"}),
    "nothing": ([None, None], set()),
}


@pytest.mark.parametrize("what", COLUMNS)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_what_cannot_be_written_is_found_before_the_work(tmp_path, what, suffix):
    cells, refusing = COLUMNS[what]
    path = tmp_path / f"out{suffix}"
    rows = [{"response": "a", "x": cell} for cell in cells]
    table = Table("x.jsonl", rows, [4, 7])
    if suffix in refusing:
        with pytest.raises(DataError, match=r"^x.jsonl:[47]: column 'x' holds "):
            make_writer(table, path, ["reward"])
        assert not path.exists()
    else:
        make_writer(table, path, ["reward"]).write([[0.5, 1.5]])
        scored = read_table(path)
        assert [float(r) for r in scored.column("reward")] == [0.5, 1.5]
        assert scored.column("response") == ["a", "a"]
        if suffix == ".jsonl":
            assert "NaN" not in path.read_text()
            assert scored.column("x") == cells


@pytest.mark.parametrize(
    ("cells", "refusing"),
    [
        ([b"a", b"b"], {".jsonl", ".csv"}),
        ([datetime(2020, 1, 1), None], {".jsonl"}),
        ([Decimal("1.5"), None], {".jsonl"}),
        (pa.array([1], pa.timestamp("ns")), {".jsonl"}),
        (pa.array([2**62], pa.date64()), {".jsonl", ".csv"}),
    ],
)
def test_types_that_parquet_alone_has(tmp_path, cells, refusing):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": cells}), path)
    table = read_table(path)
    for suffix in (".jsonl", ".csv", ".parquet"):
        out = tmp_path / f"out{suffix}"
        if suffix in refusing:
            with pytest.raises(DataError, match=r"x.parquet(:1)?: column 'x' "):
                make_writer(table, out, ["reward"])
        else:
            make_writer(table, out, ["reward"]).write([range(len(cells))])
            assert len(read_table(out)) == len(cells)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["x", "y", "é", ""]), JSON),
        min_size=1,
        max_size=4,
    ),
    suffix=st.sampled_from([".jsonl", ".jsonl.gz", ".csv", ".parquet"]),
)
def test_any_table_is_written_or_refused(tmp_path_factory, rows, suffix):
    """JSON comes back equal; no other error than the one that names the line."""
    assume(any(rows))  # a file of {} alone has no text to score
    path = tmp_path_factory.mktemp("any") / f"out{suffix}"
    table = Table("x.jsonl", rows, range(1, len(rows) + 1))
    try:
        writer = make_writer(table, path, ["reward"])
    except DataError as error:
        assert str(error).startswith("x.jsonl")  # noqa: PT017
        return
    writer.write([np.arange(len(rows))])
    back = read_table(path)
    assert [float(r) for r in back.column("reward")] == list(range(len(rows)))
    if suffix.startswith(".jsonl"):
        assert [dict(list(row.items())[:-1]) for row in back.rows] == rows


def test_a_folder_that_takes_no_file_is_found_before_the_work(
    command, tmp_path, model, monkeypatch, data
):
    monkeypatch.setattr("skreward.cli.files.read_table", None)
    monkeypatch.setattr("skreward.persistence.load", None)
    for args, name in ((["fit"], "m.skops"), (["score", model], "out.csv")):
        said = command.refused(*args, data, "-o", f"/proc/{name}")
        assert said.startswith(f"/proc/{name}: cannot be written in folder /proc (")
        said = command.refused(*args, data, "-o", tmp_path / ("x" * 245 + name[-6:]))
        assert "too long" in said
        pipe = tmp_path / name
        os.mkfifo(pipe)
        said = command.refused(*args, data, "-o", pipe, "--force")
        assert said == f"{pipe}: is no ordinary file"


def test_a_disk_that_is_full_is_told_of_the_output(
    command, tmp_path, model, data, monkeypatch
):
    def full(self, content):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    out = tmp_path / "out.csv"
    said = command.refused("score", model, data, "-o", out)
    assert said == f"{out}: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_rewards_that_are_no_numbers_are_not_written(
    command, tmp_path, model, monkeypatch
):
    monkeypatch.setattr(
        "sklearn.pipeline.Pipeline.predict", lambda self, X: np.full(len(X), np.nan)
    )
    path = write_jsonl(tmp_path / "x.jsonl", good_and_bad())
    said = command.refused("score", model, path, "-o", tmp_path / "o.jsonl")
    assert "rewards that are not finite" in said
    assert not (tmp_path / "o.jsonl").exists()
