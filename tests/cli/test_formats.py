"""Formats, pipes, and columns by other names: what comes in is what was written."""

import gzip
import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skreward.cli.columns import with_columns
from skreward.cli.files import DataError, read_table
from skreward.cli.formats import FORMATS, NAMES
from tests.cli.tables import good_and_bad, labelled, write_jsonl, write_rows

ROWS = [
    {"prompt": "é\n", "chosen": 'a "b"\tc', "rejected": "东\r\n京"},
    {"prompt": "[x", "chosen": "{", "rejected": "b,c;d"},
]


@pytest.fixture
def piped(monkeypatch):
    """Put bytes on standard input."""

    def put(content):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_comes_back(tmp_path, suffix, piped):
    path = write_rows(tmp_path / f"x{suffix}", ROWS)
    assert read_table(path).rows == ROWS
    if suffix.endswith(".gz"):
        assert path.read_bytes()[:2] == b"\x1f\x8b"
    other = path.rename(tmp_path / "x.data")
    with pytest.raises(DataError, match=r"unknown extension; .*by --format$"):
        read_table(other)
    assert read_table(other, format=suffix[1:]).rows == ROWS
    piped(other.read_bytes())
    assert read_table("-" and tmp_path.__class__("-"), format=suffix[1:]).rows == ROWS
    piped(other.read_bytes())
    if suffix.removesuffix(".gz") in (".csv", ".tsv"):
        with pytest.raises(DataError, match=r"stdin: .* give --format, one of jsonl"):
            read_table(tmp_path.__class__("-"))
    else:
        assert read_table(tmp_path.__class__("-")).rows == ROWS


def test_lines_of_a_json_list(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(ROWS, indent=2))
    table = read_table(path)
    assert table.rows == ROWS
    assert list(table.lines) == [2, 7]
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS).encode())
    assert list(read_table(path).lines) == [1, 1]


JSON = {
    "an object": ('{"a": 1}', ":1: wanted a JSON list of objects; if it holds one"),
    "nothing": ("", ":1: wanted a JSON list"),
    "an empty list": ("[]", ": the file holds no rows"),
    "no object": ('[{"a": 1},\n 2]', ":2: wanted a JSON object, got int"),
    "no comma": ('[{"a": 1}\n{"a": 2}]', ":2: broken JSON: wanted ',' or ']'"),
    "a comma at the end": ('[{"a": 1},\n]', ":2: broken JSON: Expecting value"),
    "more behind it": ('[{"a": 1}\n]\n[', ":2: broken JSON: wanted nothing after ']'"),
    "no end": ('[\n{"a": 1', ":2: broken JSON: "),
    "one key twice": (
        '[\n\n{"a": 1, "a": 2}]',
        ":3: broken JSON: the key 'a' is there",
    ),
    "deep": ("[" + "[" * 99999, ":1: broken JSON: nested too deep"),
    "Latin-1": ('[\n{"a": "\xe9"}]', ":2: not UTF-8"),
}


@pytest.mark.parametrize("what", JSON)
def test_a_json_list_that_is_broken(tmp_path, what):
    content, message = JSON[what]
    path = tmp_path / "x.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as refused:
        read_table(path)
    assert str(refused.value).startswith(f"{path}{message}")


def test_a_packed_list_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("skreward.cli.files.UNPACKED_FREE", 2**20)
    monkeypatch.setattr("skreward.cli.files.GROWTH_LIMIT", 2)
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b"[" + b" " * 2**21 + b"]"))
    with pytest.raises(DataError, match="the file unpacks to more than 1 MiB"):
        read_table(path)


def test_a_pipe_into_the_command(tmp_path, model):
    rows = "".join(json.dumps(row) + "\n" for row in good_and_bad()[:6])
    command = [sys.executable, "-m", "skreward", "score", model, "-", "-o"]
    out = tmp_path / "out.tsv"
    done = subprocess.run(
        [*map(str, command), str(out)], input=rows, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_text().splitlines()[0].split("\t")[-1] == "margin"
    assert len(read_table(out)) == 6


def test_errors_of_a_pipe_name_it_and_the_line(command, model, piped):
    piped(b'\n{"prompt": "p", "chosen": "", "rejected": "b"}')
    said = command.refused("evaluate", model, "-")
    assert said.startswith("stdin:2: column 'chosen' is empty")
    piped(b"  \n")
    assert command.refused("evaluate", model, "-") == "stdin: the file holds no rows"
    piped(b"\x1f\x8bno gzip")
    assert "stdin: not a whole gzip file" in command.refused("evaluate", model, "-")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\xef\xbb\xbfprompt,chosen,rejected\r\np,a b,c d\r\n", "x.csv"),
        (b"prompt\tchosen\trejected\np\ta b\tc d\n", "x.tsv"),
        (b'\xef\xbb\xbf{"prompt":"p","chosen":"a b","rejected":"c d"}\r\n', "x.jsonl"),
        (b"prompt,chosen,rejected\rp,a b,c d\r", "x.csv"),
    ],
)
def test_marks_and_ends_of_lines(command, tmp_path, model, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    assert command.report("evaluate", model, path)["n_pairs"] == 1


def test_a_tsv_file_that_has_commas(command, tmp_path, model):
    path = tmp_path / "x.tsv"
    path.write_text("prompt;chosen;rejected\np;a;b\n")
    said = command.refused("evaluate", model, path)
    assert "x.tsv:1: the header is one column" in said
    assert "--format csv" in said
    assert "--delimiter goes with .csv" in command.refused(
        "evaluate", model, path, "--delimiter", ";"
    )


# -- columns by other names


def renamed(rows, **names):
    return [{names.get(name, name): cell for name, cell in r.items()} for r in rows]


def test_columns_that_are_named(command, tmp_path, model):
    plain = write_jsonl(tmp_path / "plain.jsonl", good_and_bad())
    wanted = command.report("evaluate", model, plain)
    rows = renamed(good_and_bad(), prompt="q", chosen="good one", rejected="prompt")
    rows = [row | {"response": 1, "response_a": 2} for row in rows]
    path = write_rows(tmp_path / "x.parquet", rows)
    args = ["--prompt-column", "q", "--chosen-column", "good one"]
    args += ["--rejected-column", "prompt"]
    report = command.report("evaluate", model, path, *args)
    for name in ("order_consistency", "n_pairs", "n_prompts"):
        assert report[name] == wanted[name]
    out = tmp_path / "out.jsonl"
    assert command.run("score", model, path, "-o", out, *args)[0] == 0
    (first, *_), names = read_table(out).rows, list(rows[0])
    assert {name: first[name] for name in names} == rows[0]
    assert list(first) == [*names, "reward_chosen", "reward_rejected", "margin"]


def test_labelled_pairs_and_ratings_by_other_names(command, tmp_path, model):
    rows = labelled(good_and_bad(), "left", "right")
    plain = write_jsonl(tmp_path / "x.jsonl", rows)
    labels = ["--label-map", "left=1,right=0"]
    wanted = command.report("evaluate", model, plain, *labels)["order_consistency"]
    rows = renamed(rows, response_a="l", response_b="r", label="winner", prompt="q")
    path = write_jsonl(tmp_path / "y.jsonl", rows)
    args = ["--prompt-column", "q", "--response-a-column", "l", "--label", "winner"]
    args += ["--response-b-column", "r", *labels]
    assert command.report("evaluate", model, path, *args)["order_consistency"] == wanted
    rated = [{"q": "one", "x": text, "s": k} for k, text in enumerate(["a b", "e f"])]
    path = write_jsonl(tmp_path / "z.jsonl", rated)
    args = ["--prompt-column", "q", "--response-column", "x"]
    assert (
        command.report("evaluate", model, path, *args, "--label", "s")["n_pairs"] == 1
    )
    out = tmp_path / "best.jsonl"
    report = command.report("best", model, path, "-o", out, *args)
    assert report["n_prompts"] == 1
    assert list(read_table(out).rows[0]) == ["q", "x", "s", "reward", "rank"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--chosen-column", "cosen"],
            "no column 'cosen', which --chosen-column names",
        ),
        (
            ["--chosen-column", "chosen", "--response-column", "rejected"],
            "--chosen-column goes without --response-column",
        ),
        (
            ["--chosen-column", "chosen", "--rejected-column", "chosen"],
            "--chosen-column and --rejected-column name one column, 'chosen'",
        ),
    ],
)
def test_columns_that_are_named_badly(command, tmp_path, model, args, message):
    path = write_jsonl(tmp_path / "x.jsonl", good_and_bad())
    assert message in command.refused("evaluate", model, path, *args)


def test_a_bad_cell_is_told_by_the_name_that_the_file_has(command, tmp_path, model):
    rows = renamed(good_and_bad()[:3], chosen="good")
    rows[1]["good"], rows[2]["good"] = " ", 3
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    args = ["evaluate", model, path, "--chosen-column", "good"]
    assert ":2: column 'good' is empty" in command.refused(*args)
    _, _, err = command.run(*args, "--drop-bad-rows")
    assert "column 'good': wanted a string or a list of chat messages" in err


def test_a_view_keeps_the_file_beside_it(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", renamed(good_and_bad()[:4], chosen="good"))
    view = with_columns(read_table(path), {"chosen": "good"}).take([2, 0])
    assert view.column("chosen") == view.origin.column("good")
    assert view.names == ["prompt", "chosen", "rejected"]
    assert view.origin.names == ["prompt", "good", "rejected"]


# -- layouts read what they need, and leave out what is bad


def steered(bad=None):
    row = {"context": "one", "response1": "a b", "response2": "e f"}
    rows = [row | {"overall_preference": (k % 5) - 2} for k in range(6)]
    for k, change in (bad or {}).items():
        rows[k] = rows[k] | change
    return rows


def test_a_layout_reads_no_other_column_of_a_parquet_file(command, tmp_path, model):
    path = tmp_path / "x.parquet"
    table = pa.Table.from_pylist(steered())
    unreadable = pa.array([2**62] * 6, pa.date64())
    pq.write_table(table.append_column("when", unreadable), path)
    assert command.report("evaluate", model, path)["n_pairs"] == 6
    pq.write_table(pa.Table.from_pylist(good_and_bad()).append_column(
        "when", pa.array([2**62] * len(good_and_bad()), pa.date64())
    ), path)  # fmt: skip
    assert command.report("evaluate", model, path)["n_pairs"] == len(good_and_bad())


@pytest.mark.parametrize("rows", [[{"text": "a"}], [{"text": "a"}, {"text": "b"}]])
def test_a_parquet_file_with_no_column_that_a_layout_knows(command, tmp_path, rows):
    file = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    said = command.refused("inspect", file)
    assert "no column holds responses among 'text'" in said


def test_bad_rows_of_a_layout_are_left_out_when_that_is_asked_for(
    command, tmp_path, model
):
    bad = {1: {"overall_preference": 9}, 2: {"response1": ""}, 4: {"context": None}}
    path = write_jsonl(tmp_path / "x.jsonl", steered(bad))
    said = command.refused("evaluate", model, path)
    assert said.endswith(
        ":2: overall_preference lies in -3 to 3, got 9; --drop-bad-rows leaves such "
        "rows out"
    )
    code, out, err = command.run("evaluate", model, path, "--drop-bad-rows", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["n_pairs"] == 3
    assert (
        "3 of 6 rows left out: overall_preference lies in -3 to 3, got 9 in 1 ro" in err
    )


def test_a_row_that_is_shaped_otherwise_names_its_line(command, tmp_path, model):
    good = {
        "prompt": "one",
        "answers": [{"answer": t, "rank": k} for k, t in enumerate("ab")],
    }
    rows = [good, good | {"answers": None}, good | {"answers": [{"answer": "a"}, 1]}]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    said = command.refused("evaluate", model, path)
    assert "x.jsonl:2: the row is not shaped as those of layout 'nectar'" in said
    report = command.report("evaluate", model, path, "--drop-bad-rows")
    assert (report["n_pairs"], report["n_skipped_rows"]) == (1, 2)


def test_names_of_formats_are_those_of_files():
    assert tuple(f".{name}" for name in NAMES) == FORMATS
