"""Small broken files, and the one line that the command prints for each."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PAIR = '{"prompt": "p", "chosen": "a", "rejected": "b"}\n'
SIDES = '"prompt": "p", "response_a": "a", "response_b": "b"'
SKIP = "; --drop-bad-rows leaves such rows out"
WANTED = (
    "; wanted a table with the columns prompt, response; prompt, chosen, rejected; "
    "prompt, response_a, response_b; or chosen, rejected"
)
UNDERSTOOD = (
    "; understood are 1 / 0, numbers between, 1 / -1, A / B, first / second, True / "
    "False, tie; or say of each value how likely the first is preferred, as in "
    "--label-map A=1,B=0,tie=.5"
)

BROKEN = {
    "nothing": ("x.jsonl", "", "PATH: the file holds no rows"),
    "white lines": ("x.jsonl", "\n \n", "PATH: the file holds no rows"),
    "another extension": (
        "x.txt",
        PAIR,
        "PATH: unknown extension; wanted .jsonl, .jsonl.gz, .json, .json.gz, .csv, "
        ".csv.gz, .tsv, .tsv.gz, .parquet; or say what it is by --format",
    ),
    "broken JSON": (
        "x.jsonl",
        f"{PAIR}\n{{broken\n",
        "PATH:3: broken JSON: Expecting property name enclosed in double quotes: line "
        "1 column 2 (char 1)",
    ),
    "no object": (
        "x.jsonl",
        f"{PAIR}[1]\n",
        "PATH:2: wanted a JSON object, got list",
    ),
    "one key twice": (
        "x.jsonl",
        '{"prompt": "p", "chosen": "a", "chosen": "b"}',
        "PATH:1: broken JSON: the key 'chosen' is there twice",
    ),
    "thousands of digits": (
        "x.jsonl",
        f'{{"prompt": {"9" * 5000}}}',
        "PATH:1: broken JSON: Exceeds the limit (4300 digits) for integer string "
        "conversion: value has 5000 digits; use sys.set_int_max_str_digits() to "
        "increase the limit",
    ),
    "deep JSON": ("x.jsonl", "[" * 99999, "PATH:1: broken JSON: nested too deep"),
    "no responses": (
        "x.jsonl",
        '{"text": "p"}\n',
        f"PATH: no column holds responses among 'text'{WANTED}",
    ),
    "two forms": (
        "x.jsonl",
        '{"prompt": "p", "chosen": "a", "rejected": "b", "response": "c"}\n',
        "PATH: the columns 'chosen' and 'rejected' and 'response' fit more than one "
        f"form{WANTED}",
    ),
    "half a pair": (
        "x.jsonl",
        '{"prompt": "p", "chosen": "a"}\n',
        "PATH: there is no column 'rejected', which goes with 'chosen'; the columns "
        "are 'prompt', 'chosen'",
    ),
    "a row that lacks a key": (
        "x.jsonl",
        f'{PAIR}{{"prompt": "p", "chosen": "a"}}',
        f"PATH:2: column 'rejected' is empty{SKIP}",
    ),
    "null": (
        "x.jsonl",
        f'{PAIR}{{"prompt": "p", "chosen": null, "rejected": "b"}}',
        f"PATH:2: column 'chosen' is empty{SKIP}",
    ),
    "a blank cell": (
        "x.csv",
        "prompt,chosen,rejected\np,a,b\np,a,\n",
        f"PATH:3: column 'rejected' is empty{SKIP}",
    ),
    "white space": (
        "x.csv",
        'prompt,chosen,rejected\np,a,b\np," \n",b\n',
        f"PATH:3: column 'chosen' is empty{SKIP}",
    ),
    "a blank label": (
        "x.csv",
        "prompt,response_a,response_b,label\np,a,b,1\np,a,b,\n",
        f"PATH:3: column 'label' is empty{SKIP}",
    ),
    "no messages": (
        "x.jsonl",
        '{"prompt": [], "chosen": "a", "rejected": "b"}\n',
        f"PATH:1: column 'prompt' is empty{SKIP}",
    ),
    "a number for a text": (
        "x.jsonl",
        f'{PAIR}{{"prompt": "p", "chosen": 3, "rejected": "b"}}',
        "PATH:2: column 'chosen': wanted a string or a list of chat messages, got int"
        f"{SKIP}",
    ),
    "nothing but numbers": (
        "x.jsonl",
        '{"prompt": 1, "chosen": 2, "rejected": 3}',
        "PATH:1: column 'chosen': wanted a string or a list of chat messages, got int"
        f"{SKIP}",
    ),
    "half a character": (
        "x.jsonl",
        '{"prompt": "p", "chosen": "\\ud800", "rejected": "b"}',
        "PATH:1: column 'chosen': the text is not valid Unicode (half a surrogate "
        f"pair){SKIP}",
    ),
    "dialogues that share nothing": (
        "x.jsonl",
        '{"chosen": "hello", "rejected": "bye"}',
        "PATH:1: chosen and rejected share no turn that opens with '\\n\\nHuman:' or "
        f"'\\n\\nAssistant:'; give a column with the prompt{SKIP}",
    ),
    "nothing but equal texts": (
        "x.jsonl",
        '{"prompt": "p", "chosen": "a", "rejected": "a"}\n',
        "PATH: there is nothing but 1 pair of equal texts (line 1)",
    ),
    "not UTF-8": (
        "x.jsonl",
        b'{"a": "\xe9"}',
        "PATH:1: not UTF-8 (invalid continuation byte)",
    ),
    "UTF-16": (
        "x.csv",
        "prompt,chosen,rejected\n".encode("utf-16"),
        "PATH:1: not UTF-8 (it looks like UTF-16)",
    ),
    "no label": (
        "x.jsonl",
        f'{{{SIDES}, "votes": "a"}}',
        "PATH: there is no column 'label' that says which response is preferred (see "
        "--label); the columns are 'prompt', 'response_a', 'response_b', 'votes'",
    ),
    "a label without a meaning": (
        "x.jsonl",
        f'{{{SIDES}, "label": "yes"}}\n{{{SIDES}, "label": "no"}}',
        "PATH:1: column 'label': cannot tell what 'yes' prefers; the column holds 2 "
        f"values: 'yes', 'no'{UNDERSTOOD}",
    ),
    "labels 1 and 2": (
        "x.jsonl",
        f'{{{SIDES}, "label": 1}}\n{{{SIDES}, "label": 2}}',
        "PATH:2: column 'label': cannot tell what 2 prefers; the column holds 2 "
        f"values: 1, 2{UNDERSTOOD}",
    ),
    "a label of 400 digits": (
        "x.jsonl",
        f'{{{SIDES}, "label": {10**400}}}',
        f"PATH:1: column 'label': cannot tell what 1{'0' * 39}... prefers; the column "
        f"holds 1 value: 1{'0' * 39}...{UNDERSTOOD}",
    ),
    "a label beside chosen": (
        "x.csv",
        "prompt,chosen,rejected,label\np,a,b,0\n",
        "PATH:1: there is a column 'label' beside 'chosen' and 'rejected': if it says "
        "whether chosen is preferred, give --label label; if not, give it another name",
    ),
    "no rating": (
        "x.jsonl",
        '{"prompt": "p", "response": "a", "stars": 3}',
        "PATH: a table of prompt, response needs --label with a rating; the columns "
        "are 'prompt', 'response', 'stars'",
    ),
    "no rows in CSV": (
        "x.csv",
        "prompt,chosen,rejected\n",
        "PATH: the file holds no rows",
    ),
    "a space after the comma": (
        "x.csv",
        "prompt, chosen, rejected\np,a,b\n",
        "PATH:1: no column holds responses among 'prompt', ' chosen', ' rejected' (did "
        f"you mean 'chosen' for ' chosen', 'rejected' for ' rejected'?){WANTED}",
    ),
    "capitals": (
        "x.csv",
        "Prompt,Chosen,Rejected\np,a,b\n",
        "PATH:1: no column holds responses among 'Prompt', 'Chosen', 'Rejected' (did "
        "you mean 'prompt' for 'Prompt', 'chosen' for 'Chosen', 'rejected' for "
        f"'Rejected'?){WANTED}",
    ),
    "other numbers": (
        "x.csv",
        "prompt,response_1,response_2\np,a,b\n",
        "PATH:1: no column holds responses among 'prompt', 'response_1', 'response_2' "
        "(did you mean 'response_a' for 'response_1', 'response_b' for 'response_2'?)"
        f"{WANTED}",
    ),
    "a slip of the hand": (
        "x.csv",
        "promt,chosen,rejected\np,a,b\n",
        "PATH:1: there is no column 'prompt', which goes with 'chosen' (did you mean "
        "'prompt' for 'promt'?); the columns are 'promt', 'chosen', 'rejected'",
    ),
    "semicolons": (
        "x.csv",
        "prompt;chosen;rejected\np;a;b\n",
        "PATH:1: the header is one column, 'prompt;chosen;rejected', which holds ';': "
        "if that separates the columns, give --delimiter ';'",
    ),
    "tabs": (
        "x.csv",
        "prompt\tchosen\trejected\np\ta\tb\n",
        "PATH:1: the header is one column, 'prompt\\tchosen\\trejected', which holds "
        "tab: if that separates the columns, give --delimiter tab",
    ),
    "too few fields": (
        "x.csv",
        'prompt,chosen,rejected\n"p\nq",a,b\nr,a\n',
        "PATH:4: 2 fields for 3 columns",
    ),
    "a quote that does not end": (
        "x.csv",
        'prompt,chosen,rejected\np,"a,b\n',
        "PATH:2: broken CSV: unexpected end of data",
    ),
    "one name twice": (
        "x.csv",
        "prompt,prompt\np,a\n",
        "PATH:1: two columns have the name 'prompt'",
    ),
    "no gzip": (
        "x.jsonl.gz",
        b"no gzip",
        "PATH: not a whole gzip file (Not a gzipped file (b'no'))",
    ),
    "half a gzip": (
        "x.jsonl.gz",
        gzip.compress(PAIR.encode() * 99)[:-9],
        "PATH: not a whole gzip file (Compressed file ended before the end-of-stream "
        "marker was reached)",
    ),
    "no Parquet": (
        "x.parquet",
        b"no parquet",
        "PATH: not a Parquet file (Parquet magic bytes not found in footer. Either the "
        "file is corrupted or this is not a parquet file.)",
    ),
    "too few prompts": ("x.jsonl", PAIR, "PATH: 1 prompt cannot fill 5 folds"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused_in_one_line(command, tmp_path, tiny, what):
    name, content, wanted = BROKEN[what]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    output = tmp_path / "model.skops"
    output.write_text("the old model")
    said = command.refused("fit", path, "-o", output, "--force", "--model", tiny)
    assert said == wanted.replace("PATH", str(path))
    assert output.read_text() == "the old model"
    assert sorted(tmp_path.iterdir()) == sorted([path, output])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"a", b"b"]), "column 'chosen': wanted a string or a list of chat"),
        (pa.array([1.5, None]), "column 'chosen'"),
        (pa.array(["a", None]), ":2: column 'chosen' is empty"),
        (pa.array([{"a": 1}, {"a": 2}]), "column 'chosen': wanted a string or a list"),
        (pa.array([[1], [2]]), "column 'chosen': a chat message must be a dict"),
    ],
)
def test_columns_of_parquet_that_are_no_texts(command, tmp_path, column, message):
    path = tmp_path / "x.parquet"
    table = {"prompt": ["p", "q"], "chosen": column, "rejected": ["x", "y"]}
    pq.write_table(pa.table(table), path)
    assert message in command.refused("fit", path, "-o", tmp_path / "m.skops")


def test_a_line_and_a_file_that_would_fill_the_memory(command, tmp_path, monkeypatch):
    """Limits are lowered: the real ones take seconds to reach."""
    monkeypatch.setattr("skreward.cli.files.LINE_LIMIT", 2**20)
    monkeypatch.setattr("skreward.cli.files.UNPACKED_FREE", 2**21)
    monkeypatch.setattr("skreward.cli.files.GROWTH_LIMIT", 2)
    monkeypatch.setattr("skreward.cli.files.ROWS_FREE", 1000)
    row = {"prompt": "p", "chosen": "a" * 2**21, "rejected": "b"}
    path = tmp_path / "line.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    args = ["-o", tmp_path / "m.skops"]
    said = command.refused("fit", path, *args)
    assert said == f"{path}:1: the line is longer than 1 MiB"
    path = tmp_path / "lines.jsonl.gz"
    path.write_bytes(gzip.compress(PAIR.encode() * 99_999))
    assert "the file unpacks to more than 2 MiB" in command.refused("fit", path, *args)
    path = tmp_path / "field.csv"
    path.write_text("prompt,chosen,rejected\n" + '"' + "a\n" * 2**20 + '",b,c\n')
    assert "field larger than field limit" in command.refused("fit", path, *args)
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"prompt": ["p"] * 99_999, "response": ["r"] * 99_999}), path
    )
    assert "the file claims 99999 rows in" in command.refused("fit", path, *args)
