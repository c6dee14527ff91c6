"""Tables by column: the rows, lines and errors of one that is read line by line."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skreward.cli.files import DataError, read_blocks, read_table
from skreward.cli.preferences import read_data
from skreward.cli.table import Table
from tests.cli.tables import good_and_bad, write_jsonl, write_rows
from tests.cli.test_fuzz import CELL

# What would be whole beside another line, or looks like more than it is.
BROKEN = [
    '{"a": 1}, {"a": 2}', "1, 2", '{"a": [1', "2]}", '{"a": [[1', "2]]}", '{"a":',
    "1}", "[", "]", '{"a": 1', '{"a": 1,', '"b": 2}', '{"a": "x', 'y"}', '{"a": 1}}',
    '{"a": 1} {"b": 2}', '{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', "[{}]", "null",
    ",", "[" * 9999, f'{{"a": {"9" * 5000}}}', "\ufeff{}", '{"a": \x0b1}', "\x1c{}",
]  # fmt: skip
ROW = st.dictionaries(st.sampled_from(["a", "b", "c", "\ud800"]), CELL, max_size=4)
LINE = st.one_of(
    ROW.map(json.dumps),
    st.tuples(st.sampled_from(["", " ", "\t"]), ROW.map(json.dumps)).map("".join),
    st.sampled_from(["", " ", "\x0b", "\u2028"]),
)
LINES = st.one_of(
    st.lists(LINE, min_size=1, max_size=12),
    st.lists(LINE | st.sampled_from(BROKEN), min_size=1, max_size=6),
)
FEW = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def no_key_twice(pairs):
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} is there twice")
    return dict(pairs)


def line_by_line(path):
    """Rows and their lines, or what is said of the first line that is none."""
    rows, lines, decoder = [], [], json.JSONDecoder(object_pairs_hook=no_key_twice)
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = decoder.decode(line)
            except RecursionError:
                return f"{path}:{number}: broken JSON: nested too deep"
            except ValueError as error:
                return f"{path}:{number}: broken JSON: {' '.join(str(error).split())}"
            if not isinstance(row, dict):
                kind = type(row).__name__
                return f"{path}:{number}: wanted a JSON object, got {kind}"
            rows.append(row)
            lines.append(number)
    return (rows, lines) if rows else f"{path}: the file holds no rows"


def same(rows, others):
    """Whether rows are the same to the order of their keys; NaN is itself."""
    return json.dumps(rows) == json.dumps(others)


@FEW
@given(lines=LINES, n_rows=st.integers(1, 5), end=st.sampled_from(["", "\n"]))
@example(lines=['{"a": [1', "2]}"], n_rows=5, end="\n")
@example(lines=['{"a": 1}, {"a": 2}', '{"a": [1', "2]}"], n_rows=5, end="\n")
@example(lines=["[", "{}", "]"], n_rows=5, end="")
def test_json_lines_are_what_they_are_one_by_one(tmp_path, lines, n_rows, end):
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines) + end, encoding="utf-8", newline="\n")
    wanted = line_by_line(path)
    if isinstance(wanted, str):
        with pytest.raises(DataError) as refused:
            list(read_blocks(path, n_rows=n_rows))
        assert str(refused.value) == wanted
        return
    rows, numbers = wanted
    first, *others = read_blocks(path, n_rows=n_rows)
    assert [len(first), *map(len, others)] == [
        len(rows[k : k + n_rows]) for k in range(0, len(rows), n_rows)
    ]
    for table in (first.joined(others), read_table(path), Table(path, rows, numbers)):
        assert same(table.rows, rows)
        assert list(table.lines) == numbers
        names = list(dict.fromkeys(name for row in rows for name in row))
        assert list(table.names) == names
        for name in names:
            assert same(table.column(name), [row.get(name) for row in rows])
        some = table.take(range(len(rows) - 1, -1, -2))
        assert same(some.rows, rows[::-2])
        assert list(some.lines) == numbers[::-2]
        assert same(some.only(["b"]), [
            {"b": row["b"]} if "b" in row else {} for row in rows[::-2]
        ])  # fmt: skip


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_blocks_are_the_table(tmp_path, suffix):
    rows = good_and_bad()
    path = write_rows(tmp_path / f"x{suffix}", rows)
    first, *others = read_blocks(path, n_rows=7)
    table = first.joined(others)
    assert len(others) == (len(rows) - 1) // 7
    assert table.rows == read_table(path).rows == rows
    assert list(table.lines) == list(read_table(path).lines)
    assert table.take([9, 0]).rows == [rows[9], rows[0]]
    assert table.header == first.header
    assert type(table) is type(first)


def test_lines_of_csv_whatever_ends_them(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\r1,"x\ry"\r\n\r\n2,"x\r\ny\nz"\n3,\r4,"\xc2\x85"')
    table = read_table(path)
    assert table.column("b") == ["x\ry", "x\r\ny\nz", "", "\x85"]
    assert table.lines == [2, 5, 8, 9]
    first, *others = read_blocks(path, n_rows=1)
    assert list(first.joined(others).lines) == [2, 5, 8, 9]


def test_texts_are_in_memory_once(tmp_path):
    found = read_data(write_jsonl(tmp_path / "x.jsonl", good_and_bad()))
    table, items = found.texts.table, found.items
    held = {id(text) for name in table.names for text in table.column(name)}
    assert {id(text) for text in items.prompts + items.responses} <= held
