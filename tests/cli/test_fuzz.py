"""Whatever is in a file and whatever the options: exit code 0 or 2, and one line."""

import csv
import gzip
import io
import json
import warnings
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skreward
from skreward.cli.formats import FORMATS
from skreward.cli.main import main
from skreward.cli.options import TEXTS
from tests.tiny_models import WORDS

BOUNDED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = ["prompt", "chosen", "rejected", "response", "response_a", "response_b"]
NAMES += ["label", "reward", "margin", "Prompt", " chosen", "", "x;y", "\ud800"]
TEXT = st.one_of(
    st.text(max_size=5),
    st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join),
    st.sampled_from(["\n\nHuman: a\n\nAssistant: b", "[]", "[{}]", "nan", "1", "A"]),
    st.sampled_from(['[{"role": "user", "content": "a"}]', "\ud800", "\x00", "\r"]),
)
MESSAGE = st.dictionaries(
    st.sampled_from(["role", "content", "name"]), TEXT | st.none() | st.lists(TEXT)
)
CELL = st.recursive(
    TEXT
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.lists(MESSAGE, max_size=2)
    | st.sampled_from([10**400, 2**63, 2**64, -(2**70), 1e308, 0, 1, 0.5, -1]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "role", "\ud800"]), inner, max_size=2)
    ),
    max_leaves=4,
)
WORDY = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
# Mostly good, so that most of a file is read: one bad cell is enough.
GOOD = st.one_of(*[WORDY] * 20, TEXT)
LABEL = st.one_of(*[st.sampled_from([0, 1, 0.5])] * 8, CELL)
ROW = st.dictionaries(st.sampled_from(NAMES), CELL, max_size=6)
PAIR = st.fixed_dictionaries(
    {"prompt": GOOD, "chosen": GOOD, "rejected": GOOD},
    optional={"extra": CELL},
)
SIDES = st.fixed_dictionaries(
    {"prompt": GOOD, "response_a": GOOD, "response_b": GOOD, "label": LABEL},
    optional={"extra": CELL, "margin": CELL},
)
ITEM = st.fixed_dictionaries(
    {"prompt": GOOD, "response": GOOD}, optional={"label": LABEL, "extra": CELL}
)
ROWS = st.one_of(
    st.lists(ROW, max_size=6),
    *(st.lists(row, min_size=2, max_size=8) for row in (PAIR, SIDES, ITEM)),
)


def as_csv(rows):
    out = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    csv.writer(out).writerows([names, *([row.get(n) for n in names] for row in rows)])
    return out.getvalue().encode(errors="surrogatepass")


def as_jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows):
    out = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_pylist(rows), out)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError):
        texts = [
            {ascii(name): repr(cell) for name, cell in row.items()} for row in rows
        ]
        pq.write_table(pa.Table.from_pylist(texts), out)
    return out.getvalue()


CONTENT = st.one_of(
    st.tuples(st.just(".jsonl"), ROWS.map(as_jsonl)),
    st.tuples(st.just(".jsonl.gz"), ROWS.map(as_jsonl).map(gzip.compress)),
    st.tuples(st.just(".json"), ROWS.map(json.dumps).map(str.encode)),
    st.tuples(st.just(".csv"), ROWS.map(as_csv)),
    st.tuples(st.just(".csv.gz"), ROWS.map(as_csv).map(gzip.compress)),
    st.tuples(st.just(".parquet"), ROWS.map(as_parquet)),
    st.tuples(
        st.sampled_from([*FORMATS, ".txt"]),
        st.binary(max_size=40) | ROWS.map(as_csv) | ROWS.map(as_jsonl),
    ),
)
WORD = ["label", "0", "1", "cpu", "auto", "1,2", "1=1,0=0", "prompt", "chosen", "csv"]
WORD += ["extra", "jsonl", "statistics", "mean", "float32", "shp", "arena", "ratings"]
VALUE = st.text(max_size=4) | st.sampled_from(WORD)
ALL = ["--json", "--drop-bad-rows", "-h"]
COLUMNS = [f"--{text.replace('_', '-')}-column" for text in TEXTS]
READING = ["--label", "--label-map", "--delimiter", "--format", "--layout", *COLUMNS]
EXPECTED = ["--template", "--trust", "--max-bytes", "--device", "--batch-size"]
FITTING = ["--device", "--seed", "--folds", "--max-length", "--reward", "--template"]
FITTING += ["--alpha", "--hidden", "--ensemble", "--features", "--pooling", "--dtype"]
FITTING += ["--batch-size", "--revision", "--config"]


def options(*names):
    """Few options of a command, most of them with a value that means nothing."""
    valued = st.tuples(st.sampled_from(names), VALUE)
    flag = st.sampled_from(ALL).map(lambda name: (name,))
    return st.one_of(
        st.just([]), st.lists(flag | valued, max_size=2).map(lambda p: list(chain(*p)))
    )


def outcome(capfd, args):
    capfd.readouterr()
    with warnings.catch_warnings():
        code = main([str(arg) for arg in args])
    out, err = capfd.readouterr()
    lines = [
        line for line in err.splitlines() if not line.startswith("skreward: warning: ")
    ]
    assert code in (0, 2), (args, err)
    assert "Traceback" not in out + err
    assert len(lines) == (code == 2), (args, err)
    assert all(line.startswith("skreward: ") for line in lines)
    assert "--traceback" not in err, (args, err)  # an error that nobody foresaw
    return code, out, err


@BOUNDED
@given(content=CONTENT, options=options(*READING, *EXPECTED))
def test_files_and_options_of_evaluate(capfd, tmp_path, model, content, options):
    suffix, data = content
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data)
    outcome(capfd, ["evaluate", model, path, *options])


@BOUNDED
@given(
    content=CONTENT,
    options=options("--suffix", "--delimiter", *EXPECTED),
    to=st.sampled_from([".jsonl", ".jsonl.gz", ".csv", ".parquet"]),
)
def test_files_and_options_of_score(capfd, tmp_path, model, content, options, to):
    suffix, data = content
    path, out = tmp_path / f"x{suffix}", tmp_path / f"out{to}"
    path.write_bytes(data)
    out.unlink(missing_ok=True)
    code, *_ = outcome(capfd, ["score", model, path, "-o", out, *options])
    assert out.exists() == (code == 0 and "-h" not in options)


@settings(BOUNDED, max_examples=30)
@given(content=CONTENT, options=options(*READING, *FITTING))
def test_files_and_options_of_fit(capfd, tmp_path, tiny, content, options):
    suffix, data = content
    path, out = tmp_path / f"x{suffix}", tmp_path / "m.skops"
    path.write_bytes(data)
    out.unlink(missing_ok=True)
    args = ["fit", path, "-o", out, "--model", tiny, "--reward", "linear"]
    code, *_ = outcome(capfd, [*args, "--folds", "2", *options])
    assert out.exists() == (code == 0 and "-h" not in options)
    if out.exists():
        skreward.load(out)


@settings(BOUNDED, max_examples=30)
@given(content=CONTENT, options=options(*READING))
def test_files_and_options_of_inspect(capfd, tmp_path, content, options):
    suffix, data = content
    path = tmp_path / f"x{suffix}"
    path.write_bytes(data)
    outcome(capfd, ["inspect", path, *options])


@settings(BOUNDED, max_examples=40)
@given(data=st.data())
def test_damaged_model_files(capfd, tmp_path, model, data):
    content = bytearray(model.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + 9] = data.draw(st.binary(max_size=9))
    path = tmp_path / "m.skops"
    path.write_bytes(content)
    rows = tmp_path / "x.jsonl"
    rows.write_text('{"prompt": "a", "response": "b"}\n')
    outcome(capfd, ["score", path, rows, "-o", tmp_path / "o.jsonl", "--force"])


@settings(BOUNDED, max_examples=40)
@given(args=st.lists(VALUE | st.sampled_from(["fit", "score", "demo", "-o", "--"])))
def test_arguments_alone(capfd, tmp_path, monkeypatch, args):
    if "demo" in args:
        return
    monkeypatch.chdir(tmp_path)
    outcome(capfd, args)
