"""The ``skreward`` command: from a file of texts to a reward model, and back."""

import json
import time
from pathlib import Path

import click

from skreward._version import __version__
from skreward.cli.ending import ends_in_a_line

__all__ = ["main"]

SEED = click.IntRange(0, 2**32 - 1)
PATH = click.Path(path_type=Path)


def _delimiter(context, parameter, value):
    value = {"tab": "\t", "\\t": "\t"}.get(value, value)
    if value is not None and (len(value) != 1 or value in '"\r\n'):
        raise click.BadParameter("wanted one character, or tab.")
    return value


def _label_values(context, parameter, value):
    if value is None:
        return None
    values = [part.strip() for part in value.split(",")]
    if len(values) not in (2, 3) or len({v.lower() for v in values}) < len(values):
        raise click.BadParameter(
            "wanted two or three distinct values, as in 1,2 or 1,2,0."
        )
    return values


DATA = click.argument("data", type=PATH)
MODEL = click.argument("model_file", metavar="MODEL", type=PATH)
OUTPUT = click.option(
    "-o", "--output", required=True, type=PATH, help="File or folder to write."
)
FORCE = click.option("--force", is_flag=True, help="Replace an existing output.")
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON object as the last line."
)
CACHE = click.option(
    "--cache-dir", type=PATH, help="Folder that keeps embeddings for the next run."
)
SUFFIX = click.option(
    "--suffix",
    default="",
    help="Ends the names of the new columns, for a table that has them already.",
)
DROP = click.option(
    "--drop-bad-rows",
    is_flag=True,
    help="Leave out rows with an empty or unreadable text or an empty label, and say "
    "which.",
)
DELIMITER = click.option(
    "--delimiter",
    metavar="CHAR",
    callback=_delimiter,
    help="Of a .csv file, or tab.  [default: ,]",
)
READING = [
    click.option(
        "--layout",
        metavar="NAME",
        default="auto",
        show_default=True,
        help="Of a published data set, such as helpsteer3, shp or arena-140k; auto "
        "tells it by the columns.",
    ),
    click.option(
        "--label",
        metavar="COLUMN",
        help="Column that says which response is preferred: 1 / 0 and numbers between, "
        "1 / -1, A / B, first / second, True / False, tie  [default: label]; for "
        "prompt, response tables: a rating.",
    ),
    click.option(
        "--label-values",
        metavar="FIRST,SECOND[,TIE]",
        callback=_label_values,
        help="What the label holds where the first response is preferred, where the "
        "second is, and for a tie.",
    ),
    DROP,
    DELIMITER,
]
EXPECTED = [
    click.option("--model", help="Refuse unless MODEL embeds with this one."),
    click.option("--template", help="Refuse unless MODEL was fitted with this one."),
    click.option(
        "--trust",
        multiple=True,
        metavar="TYPE|URL",
        help="Allow a further type, or an endpoint's address, in MODEL.",
    ),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Run the Python code that lies with MODEL's language model.",
    ),
    click.option(
        "--max-bytes",
        type=click.IntRange(1),
        default=2**30,
        show_default=True,
        help="Refuse a MODEL that takes more memory.",
    ),
    CACHE,
]


def _with(options):
    """Give a decorator that adds options, in this order."""

    def decorate(command):
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True
)
@click.version_option(__version__, prog_name="skreward")
@click.option("--traceback", is_flag=True, help="Show where an error arises.")
def cli(traceback):
    """Reward models from preference texts.

    DATA is a .jsonl, .jsonl.gz, .csv or .parquet file with the columns prompt,
    chosen, rejected; or prompt, response_a, response_b and a label; or chosen,
    rejected (dialogues as in HH-RLHF); or prompt, response and a rating. A text is
    a string or a list of chat messages (as JSON in a .csv file).
    """


@cli.command()
@DATA
@OUTPUT
@click.option("--model", help="Embedding model: hub id or folder.")
@click.option(
    "--template",
    default="auto",
    show_default=True,
    help="How a text is made of {prompt} and {response}; auto: a blank line between "
    "strings, the model's chat template for messages.",
)
@click.option("--max-length", type=click.IntRange(1), help="Most tokens of a text.")
@click.option(
    "--truncation-side",
    type=click.Choice(["middle", "left", "right"]),
    default="middle",
    show_default=True,
    help="Where a text of more tokens is cut.",
)
@click.option(
    "--reward",
    type=click.Choice(["auto", "linear", "network", "classifier"]),
    default="auto",
    show_default=True,
    help="auto: the best of all in cross-validation.",
)
@click.option(
    "--features",
    type=click.Choice(["both", "embedding"]),
    default="both",
    show_default=True,
    help="Embedding and statistics of the text; or the embedding, for export.",
)
@click.option(
    "--folds",
    type=click.IntRange(2),
    default=5,
    show_default=True,
    help="Parts that the prompts are dealt to.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Of the embedding model and of the reward: auto, cpu, cuda or cuda:N.",
)
@CACHE
@_with(READING)
@FORCE
@JSON
def fit(data, output, reward, features, folds, seed, force, as_json, **options):
    """Fit a reward model to DATA, and say how well it orders unseen prompts.

    Rewards are compared in prompt-disjoint folds, beside two null baselines: the
    longer response wins, and a coin. The best is fitted to all of DATA and saved.
    They learn from the embedding of a text and from statistics of its length, form,
    words and stance; the linear reward is shown on each alone, too.
    """
    _check_output(output, force, ".skops")
    from skreward.cli import commands

    started = time.monotonic()
    names = ("model", "template", "max_length", "truncation_side", "device")
    embed = commands.make_embedding(**_take(options, *names, "cache_dir"))
    report = commands.fit(
        data,
        embed,
        reward,
        features=features,
        folds=folds,
        seed=seed,
        output=output,
        reading=options,
    )
    _finish(report, started, as_json)


@cli.command()
@MODEL
@DATA
@_with(EXPECTED)
@_with(READING)
@JSON
def evaluate(model_file, data, as_json, **options):
    """Say how well MODEL orders the responses in DATA."""
    from skreward.cli import commands

    started = time.monotonic()
    fitted = commands.load_model(model_file, **_expected(options))
    report = commands.evaluate(fitted, data, reading=options)
    _finish(report | {"model": str(model_file)}, started, as_json)


@cli.command()
@MODEL
@DATA
@OUTPUT
@_with(EXPECTED)
@SUFFIX
@DROP
@DELIMITER
@FORCE
@JSON
def score(model_file, data, output, force, as_json, **options):
    """Write DATA with the rewards of its responses to a file.

    A table of prompt, response gets the column reward; one of pairs a reward for
    either response, and the margin. All its other columns are kept.
    """
    _check_output(output, force)
    from skreward.cli import commands

    started = time.monotonic()
    fitted = commands.load_model(model_file, **_expected(options))
    report = commands.score(fitted, data, output, **options)
    _finish(report | {"model": str(model_file)}, started, as_json)


@cli.command("report")
@MODEL
@DATA
@OUTPUT
@click.option(
    "--compare",
    "other_file",
    metavar="OTHER",
    type=PATH,
    help="Another model file, to set beside MODEL on the same pairs.",
)
@click.option(
    "--examples",
    "n_examples",
    type=click.IntRange(0, 10),
    default=10,
    show_default=True,
    help="Mistakes, and doubtful pairs, to show; 0 keeps all texts out of the page.",
)
@_with(EXPECTED)
@_with(READING)
@FORCE
@JSON
def report_card(model_file, data, output, other_file, n_examples, force, as_json,
                **options):  # fmt: skip
    """Write what MODEL is worth on DATA as one HTML page, to read or to mail.

    How well it orders beside length, norm and a coin, with intervals that take pairs of
    a prompt for dependent; where it does well; whether its probabilities are true; what
    it pays for; its worst mistakes. The page needs no network. It shows texts of DATA
    unless --examples 0 is given.

    Example: skreward report model.skops pairs.jsonl -o report.html
    """
    _check_output(output, force, ".html")
    from skreward.cli import report

    started = time.monotonic()
    expected = _expected(options)
    found = report.run(
        model_file,
        data,
        output,
        other_file=other_file,
        n_examples=n_examples,
        expected=expected,
        reading=options,
    )
    _finish(found | {"model": str(model_file)}, started, as_json)


def _expected(options):
    names = ("model", "template", "trust", "trust_remote_code", "max_bytes")
    return _take(options, *names, "cache_dir")


def _take(options, *names):
    """Take some out of the options of a command."""
    return {name: options.pop(name) for name in names}


@cli.command()
@MODEL
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Choice(["sentence-transformer", "sequence-classifier", "onnx"]),
    help="A folder for sentence-transformers; one for transformers, of a linear reward "
    "of a causal language model; or an .onnx file, embeddings in and rewards out.",
)
@OUTPUT
@click.option("--data", type=PATH, help="Texts to compare on, such as training data.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of the weights of a sequence classifier.  [default: float32]",
)
@_with(EXPECTED)
@DELIMITER
@JSON
def export(model_file, target, output, data, dtype, delimiter, as_json, **options):
    """Write MODEL in another library's form.

    It is loaded again and compared with MODEL before it appears, and refused where
    its rewards differ.

    Example: skreward export model.skops --to onnx -o reward.onnx
    """
    from skreward.cli import commands, reach

    started = time.monotonic()
    if target == "onnx":
        _check_output(output, False, ".onnx")
    fitted = commands.load_model(model_file, **_expected(options))
    report = reach.export(fitted, target, output, dtype, data, delimiter)
    _finish(report | {"model": str(model_file)}, started, as_json)


@cli.command()
@MODEL
@DATA
@OUTPUT
@click.option(
    "-n", type=click.IntRange(1), default=1, show_default=True, help="How many."
)
@click.option(
    "--pairs",
    is_flag=True,
    help="Write the best and the worst response as prompt, chosen, rejected, as DPO "
    "takes them.",
)
@_with(EXPECTED)
@SUFFIX
@DELIMITER
@FORCE
@JSON
def best(model_file, data, output, n, pairs, suffix, delimiter, force, as_json,
         **options):  # fmt: skip
    """Choose the best responses to every prompt of DATA.

    DATA has the columns prompt, response, or prompt and a list of responses. The
    rows of the best are written with their reward and rank; of ties the first.

    Example: skreward best model.skops candidates.jsonl -o best.jsonl -n 2
    """
    _check_output(output, force)
    if pairs and n > 1:
        raise click.UsageError("-n goes without --pairs")
    from skreward.cli import commands, reach

    started = time.monotonic()
    fitted = commands.load_model(model_file, **_expected(options))
    report = reach.best(
        fitted, data, output, n=n, pairs=pairs, suffix=suffix, delimiter=delimiter
    )
    _finish(report | {"model": str(model_file)}, started, as_json)


@cli.command()
@MODEL
@click.argument("file", type=PATH)
@click.option("-o", "--output", type=PATH, help="Where to write a row a prompt.")
@_with(EXPECTED)
@DELIMITER
@FORCE
@JSON
def rewardbench(model_file, file, output, delimiter, force, as_json, **options):
    """Score MODEL on FILE, which holds rows of RewardBench 1 or 2.

    Prints accuracy by subset and section, beside what the longer response reaches.

    Example: skreward rewardbench model.skops filtered.parquet -o results.jsonl
    """
    if output is not None:
        _check_output(output, force)
    from skreward.cli import commands, reach

    started = time.monotonic()
    fitted = commands.load_model(model_file, **_expected(options))
    report = reach.rewardbench(fitted, file, output, delimiter=delimiter)
    _finish(report | {"model": str(model_file)}, started, as_json)


@cli.command()
@MODEL
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.option(
    "--max-body",
    type=click.IntRange(1),
    default=32 << 20,
    show_default=True,
    help="Bytes of a request.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    help="Texts that are computed together.",
)
@_with(EXPECTED)
def serve(model_file, host, port, max_body, max_rows, **options):
    """Serve the rewards of MODEL over HTTP, as OpenRLHF asks for them.

    POST /get_reward takes query, prompts and labels; POST /score takes prompts and
    responses; GET /health and /info. Requests that come at once are computed
    together. A token in the environment variable SKREWARD_TOKEN is asked for.

    Example: skreward serve model.skops --port 5000
    """
    from skreward.cli import commands, reach

    fitted = commands.load_model(model_file, **_expected(options))
    reach.serve(fitted, host, port, max_body, max_rows)


@cli.command()
@click.option(
    "-o",
    "--output",
    default="skreward-demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the model and the picture.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@FORCE
@JSON
def demo(output, seed, force, as_json):
    """Show the main job on texts that are made here, with a known true reward."""
    from skreward.cli import demo as shown

    started = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    _check_output(output / shown.MODEL_NAME, force, ".skops")
    _check_output(output / shown.PICTURE_NAME, force, ".png")
    _finish(shown.run(output, seed), started, as_json)


def main(args=None):
    """Run the command.

    Parameters
    ----------
    args : list of str, default=None
        What follows the name of the command; None is what the process was given.

    Returns
    -------
    code : int
        0 when it went well; 2 and one line on stderr when not; 130 when interrupted.
    """
    return ends_in_a_line(cli, args)


def _check_output(path, force, suffix=None):
    from skreward.cli.output import check_output

    check_output(path, force, suffix)


def _finish(report, started, as_json):
    from skreward.cli.printing import say

    report["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        say(json.dumps(report, allow_nan=False))
