"""Commands that take a fitted model to where it is used."""

import time

import click

from skreward.cli.options import (
    DATA,
    DELIMITER,
    DROP,
    EXPECTED,
    FORCE,
    FORMAT,
    JSON,
    MODEL,
    MODEL_SECTION,
    OUTPUT,
    OUTPUT_SECTION,
    PATH,
    READING,
    SUFFIX,
    TEXTS,
    Command,
    columns,
    option,
    with_,
)
from skreward.cli.running import (
    check_optional_output,
    check_output,
    expected_of,
    finish,
    reading_of,
)
from skreward.cli.settings import refuse, refuse_of_stored

OF_DATA = (
    "format",
    "delimiter",
    "drop_bad_rows",
    *(f"{text}_column" for text in TEXTS),
)


@click.command(
    cls=Command, epilog="Example: skreward export model.skops --to onnx -o reward.onnx"
)
@MODEL
@option(
    "--to",
    "target",
    required=True,
    type=click.Choice(["sentence-transformer", "sequence-classifier", "onnx"]),
    section=OUTPUT_SECTION,
    help="A folder for sentence-transformers; one for transformers, of a linear reward "
    "of a causal language model; or an .onnx file, embeddings in and rewards out.",
)
@OUTPUT
@option(
    "--data",
    type=PATH,
    section="Data",
    help="Table of texts to compare on, such as training data.  [default: some that "
    "MODEL keeps]",
)
@with_(*columns(*TEXTS), FORMAT, DELIMITER, DROP)
@option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    section=OUTPUT_SECTION,
    help="Numbers that the weights of a sequence classifier are.  [default: float32]",
)
@with_(*EXPECTED)
@JSON
@click.pass_context
def export(context, model_file, target, output, data, dtype, as_json, **options):
    """Write MODEL in another library's form.

    It is loaded again and compared with MODEL before it appears, and refused where
    its rewards differ.
    """
    if data is None:
        refuse(context, OF_DATA, "without --data")
    if target != "sequence-classifier":
        refuse(context, ("dtype",), f"with --to {target}")
    if target == "onnx":
        check_output(output, False, ".onnx")
    from skreward.cli import reach

    started = time.monotonic()
    expected, reading = expected_of(options), reading_of(options)
    report = reach.export(
        model_file, target, output, dtype, data, expected=expected, reading=reading
    )
    finish(report | {"model": str(model_file)}, started, as_json)


@click.command(
    cls=Command,
    epilog="Example: skreward best model.skops answers.jsonl -o best.jsonl -n 2",
)
@MODEL
@DATA
@with_(*columns("prompt", "response"), FORMAT, DELIMITER, DROP)
@OUTPUT
@option(
    "-n",
    type=click.IntRange(1),
    default=1,
    section=OUTPUT_SECTION,
    help="Number of responses of every prompt to keep.",
)
@option(
    "--pairs",
    is_flag=True,
    section=OUTPUT_SECTION,
    help="Write the best and the worst response as prompt, chosen, rejected, as DPO "
    "takes them.",
)
@with_(*EXPECTED)
@SUFFIX
@FORCE
@JSON
@click.pass_context
def best(context, model_file, data, output, n, pairs, suffix, force, as_json,
         **options):  # fmt: skip
    """Choose the best responses to every prompt of DATA.

    DATA has the columns prompt, response, or prompt and a list of responses. The
    rows of the best are written with their reward and rank; of ties the first.
    """
    if pairs:
        refuse(context, ("n",), "with --pairs, which writes one pair a prompt")
    check_output(output, force)
    refuse_of_stored(context, data)
    from skreward.cli import reach

    started = time.monotonic()
    expected, reading = expected_of(options), reading_of(options)
    report = reach.best(
        model_file, data, output, n=n, pairs=pairs, suffix=suffix, expected=expected,
        reading=reading,
    )  # fmt: skip
    finish(report | {"model": str(model_file)}, started, as_json)


@click.command(
    cls=Command,
    epilog="Example: skreward rewardbench model.skops filtered.jsonl -o results.jsonl",
)
@MODEL
@click.argument("file", type=PATH)
@with_(FORMAT, DELIMITER)
@option(
    "-o",
    "--output",
    type=PATH,
    section=OUTPUT_SECTION,
    help="Table to write, a row a prompt.  [default: none is written]",
)
@with_(*EXPECTED)
@FORCE
@JSON
@click.pass_context
def rewardbench(context, model_file, file, output, format, delimiter, force, as_json,
                **options):  # fmt: skip
    """Score MODEL on FILE, which holds rows of RewardBench 1 or 2.

    Prints accuracy by subset and section, beside what the longer response reaches.
    """
    check_optional_output(context, output, force)
    from skreward.cli import reach

    started = time.monotonic()
    report = reach.rewardbench(
        model_file, file, output, format=format, delimiter=delimiter,
        expected=expected_of(options),
    )  # fmt: skip
    finish(report | {"model": str(model_file)}, started, as_json)


@click.command(
    "report",
    cls=Command,
    epilog="Example: skreward report model.skops others.jsonl -o report.html",
)
@MODEL
@DATA
@with_(*READING)
@option(
    "--compare",
    "other_file",
    metavar="OTHER",
    type=PATH,
    section=MODEL_SECTION,
    help="Another model file, to set beside MODEL on the same pairs.  [default: none]",
)
@with_(*EXPECTED)
@OUTPUT
@option(
    "--examples",
    "n_examples",
    type=click.IntRange(0, 10),
    default=10,
    section=OUTPUT_SECTION,
    help="Number of mistakes, and of doubtful pairs, to show; 0 keeps all texts out of "
    "the page.",
)
@FORCE
@JSON
def report_card(model_file, data, output, other_file, n_examples, force, as_json,
                **options):  # fmt: skip
    """Write what MODEL is worth on DATA as one HTML page, to read or to mail.

    How well it orders beside length, norm and a coin, with intervals that take pairs of
    a prompt for dependent; where it does well; whether its probabilities are true; what
    it pays for; its worst mistakes. The page needs no network. It shows texts of DATA
    unless --examples 0 is given.
    """
    check_output(output, force, ".html")
    from skreward.cli import report

    started = time.monotonic()
    expected, reading = expected_of(options), reading_of(options)
    found = report.run(
        model_file,
        data,
        output,
        other_file=other_file,
        n_examples=n_examples,
        expected=expected,
        reading=reading,
    )
    finish(found | {"model": str(model_file)}, started, as_json)


@click.command(
    cls=Command,
    epilog="Example: skreward serve model.skops --port 5000",
)
@MODEL
@option("--host", default="127.0.0.1", help="Address to listen on.")
@option(
    "--port", type=click.IntRange(1, 65535), default=5000, help="Port to listen on."
)
@option(
    "--max-body",
    type=click.IntRange(1),
    default=32 << 20,
    help="Bytes of a request, at most.",
)
@option(
    "--max-rows",
    type=click.IntRange(1),
    default=4096,
    help="Texts that are computed together, at most.",
)
@with_(*EXPECTED)
def serve(model_file, host, port, max_body, max_rows, **options):
    """Serve the rewards of MODEL over HTTP, as OpenRLHF asks for them.

    POST /get_reward takes query, prompts and labels; POST /score takes prompts and
    responses; GET /health and /info. Requests that come at once are computed
    together. A token in the environment variable SKREWARD_TOKEN is asked for.
    """
    from skreward.cli import loading, reach

    fitted = loading.load_model(model_file, **expected_of(options))
    reach.serve(fitted, host, port, max_body, max_rows)
