"""The command that computes embeddings as a job of its own, and its options."""

import time

import click

from skreward.cli.options import (
    BATCH,
    CACHE,
    DATA,
    DEVICE,
    JSON,
    MODEL_SECTION,
    OUTPUT,
    OUTPUT_SECTION,
    READING,
    Command,
    option,
    with_,
)
from skreward.cli.running import finish, reading_of, take

OF_MODEL = [
    option(
        "--model",
        section=MODEL_SECTION,
        help="Embedding model: a hub id, a folder, or a .gguf file.  "
        "[default: sentence-transformers/all-MiniLM-L6-v2]",
    ),
    option(
        "--revision",
        section=MODEL_SECTION,
        help="Branch, tag or commit of a model on the hub.  [default: main]",
    ),
    option(
        "--template",
        default="auto",
        section=MODEL_SECTION,
        help="How a text is made of {prompt} and {response}; auto puts a blank line "
        "between strings, and messages into the model's chat template.",
    ),
    option(
        "--pooling",
        type=click.Choice(["auto", "last", "mean"]),
        default="auto",
        section=MODEL_SECTION,
        help="How the states of a text's tokens become one: that of the last, their "
        "mean; auto is a sentence encoder's own, else the mean.",
    ),
    option(
        "--max-length",
        type=click.IntRange(1),
        section=MODEL_SECTION,
        help="Most tokens of a text.  [default: the model's choice]",
    ),
    option(
        "--truncation-side",
        type=click.Choice(["middle", "left", "right"]),
        default="middle",
        section=MODEL_SECTION,
        help="Where a text of more tokens is cut.",
    ),
    option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
        default="auto",
        section=MODEL_SECTION,
        help="Numbers the embedding model computes with; auto is the fastest here "
        "that gives the same embeddings to a cosine of .9995.",
    ),
    BATCH,
    DEVICE,
]
EMBEDDING = [*OF_MODEL, CACHE]
WORK_SECTION = "Work"


@click.command(cls=Command, epilog="Example: skreward embed pairs.jsonl -o embedded")
@DATA
@with_(*READING, *OF_MODEL)
@OUTPUT
@option(
    "--store",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    section=OUTPUT_SECTION,
    help="Numbers that are stored; float16 takes half the disk, and rounds to 11 bits.",
)
@option(
    "--shard-rows",
    type=click.IntRange(1),
    default=4096,
    section=OUTPUT_SECTION,
    help="Texts of a shard: what a kill may cost each worker, at most.",
)
@option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    section=WORK_SECTION,
    help="Processes that share the cores, each with a model of its own.",
)
@option(
    "--dask",
    "address",
    metavar="ADDRESS",
    section=WORK_SECTION,
    help="Scheduler of a Dask cluster whose workers compute the shards, each with a "
    "model of its own, such as tcp://10.0.0.1:8786.  [default: none]",
)
@JSON
@click.pass_context
def embed(context, data, output, store, shard_rows, jobs, address, as_json, **options):
    """Compute the embeddings of DATA once, into a folder to fit and score from.

    The folder holds embeddings and text statistics of all distinct texts, in shards,
    and which of them the rows of DATA compare, with their labels where there are any;
    no text. fit, evaluate, score and best take it in place of DATA. The same command
    again goes on where it stopped, after a kill too. DATA is a file, which is read
    some rows at a time where it is .jsonl or .parquet.
    """
    from skreward.cli import embedding_run, fitting

    embedding_run.check(context, data, output)
    started = time.monotonic()
    reading = reading_of(options)
    names = ("model", "revision", "template", "pooling", "max_length", "dtype",
             "truncation_side", "batch_size", "device")  # fmt: skip
    made = fitting.make_embedding(**take(options, *names))
    report = embedding_run.run(
        data,
        output,
        made,
        stored_as=store,
        shard_rows=shard_rows,
        n_jobs=jobs,
        address=address,
        reading=reading,
    )
    finish(report, started, as_json)
