"""The ``skreward`` command: from a file of texts to a reward model, and back."""

import time
from pathlib import Path

import click

from skreward._version import __version__
from skreward.cli.embedding import EMBEDDING, embed
from skreward.cli.ending import ends_in_a_line
from skreward.cli.options import (
    DATA,
    DELIMITER,
    EXPECTED,
    FORCE,
    FORMAT,
    JSON,
    LABELS,
    LOADING,
    MODEL,
    OUTPUT,
    OUTPUT_SECTION,
    PATH,
    READING,
    SEED,
    SUFFIX,
    TABLE,
    TEXTS,
    Group,
    Parts,
    Widths,
    columns,
    finite,
    option,
    with_,
)
from skreward.cli.running import (
    check_optional_output,
    check_output,
    expected_of,
    finish,
    reading_of,
    take,
)
from skreward.cli.settings import (
    CONFIG,
    refuse_of_fit,
    refuse_of_stored,
    written_config,
)
from skreward.cli.use import best, export, report_card, rewardbench, serve

__all__ = ["main"]

REWARD_SECTION = "Reward"
REWARD = [
    option(
        "--reward",
        type=click.Choice(["auto", "linear", "network", "classifier"]),
        default="auto",
        section=REWARD_SECTION,
        help="What is fitted: a linear reward, a neural network, a classifier of wins "
        "and losses; auto is the best of them in cross-validation.",
    ),
    option(
        "--features",
        type=Parts(),
        default="embedding,statistics",
        section=REWARD_SECTION,
        help="What the reward learns from: the embedding of a text, statistics of its "
        "length, form, words and stance, or both.",
    ),
    option(
        "--alpha",
        type=click.FloatRange(min=0, min_open=True),
        callback=finite,
        section=REWARD_SECTION,
        help="Strength of the penalty of the linear reward and of the network.  "
        "[default: chosen in folds for the linear reward, 0.01 for the network]",
    ),
    option(
        "--hidden",
        type=Widths(),
        default="64",
        section=REWARD_SECTION,
        help="Units of the network's hidden layers, as in 64 or 1024,512.",
    ),
    option(
        "--classifier",
        metavar="CLASS",
        default="LogisticRegression",
        section=REWARD_SECTION,
        help="Class of scikit-learn that tells wins from losses, such as "
        "HistGradientBoostingClassifier, or RewardMLPClassifier; the strength of the "
        "default is chosen in folds.",
    ),
    option(
        "--ensemble",
        type=click.IntRange(2),
        section=REWARD_SECTION,
        help="Number of rewards on resampled prompts whose mean is taken.  "
        "[default: no ensemble]",
    ),
    option(
        "--calibrate",
        is_flag=True,
        section=REWARD_SECTION,
        help="Scale margins so that probabilities of preferences are right, and say "
        "how far they are off before and after, on pairs held out.",
    ),
    option(
        "--folds",
        type=click.IntRange(2),
        default=5,
        section=REWARD_SECTION,
        help="Parts that the prompts are dealt to, to compare rewards.",
    ),
    option(
        "--seed",
        type=SEED,
        default=0,
        section=REWARD_SECTION,
        help="Number that fixes all that is random.",
    ),
]


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    epilog="""\b
Exit codes: 0 it went well; 2 what was asked for, or a file, is wrong (one line on
stderr says what); 130 it was interrupted; 141 who read its output went away.

\b
Example: skreward fit pairs.jsonl -o model.skops
""",
)
@click.version_option(__version__, prog_name="skreward")
@click.option("--traceback", is_flag=True, help="Show where an error arises.")
def cli(traceback):
    """Reward models from preference texts.

    DATA is a table (.jsonl, .json, .csv, .tsv, with .gz too, or .parquet; - is a pipe)
    with the columns prompt, chosen, rejected; or prompt, response_a, response_b and a
    label; or chosen, rejected (dialogues as in HH-RLHF); or prompt, response and a
    rating. A text is a string or a list of chat messages (as JSON in a .csv file).
    """


@cli.command(epilog="Example: skreward fit pairs.jsonl -o model.skops --reward linear")
@DATA
@with_(*READING, *EMBEDDING, *REWARD)
@OUTPUT
@FORCE
@JSON
@with_(*CONFIG)
@click.pass_context
def fit(context, data, output, force, as_json, print_config, **options):
    """Fit a reward model to DATA, and say how well it orders unseen prompts.

    Rewards are compared in prompt-disjoint folds, beside two null baselines: the
    longer response wins, and a coin. The best is fitted to all of DATA and saved.
    They learn from the embedding of a text and from statistics of its length, form,
    words and stance; the linear reward is shown on each alone, too.
    """
    refuse_of_fit(context)
    refuse_of_stored(context, data)
    if print_config:
        click.echo(written_config(context))
        return
    check_output(output, force, ".skops")
    from skreward.cli import fitting

    started = time.monotonic()
    reading = reading_of(options)
    embedding = (
        "model", "revision", "template", "pooling", "max_length", "truncation_side",
        "dtype", "batch_size", "device", "cache_dir",
    )  # fmt: skip
    made = fitting.make_embedding(**take(options, *embedding))
    report = fitting.fit(
        data,
        made,
        output=output,
        reading=reading,
        device=context.params["device"] or "auto",
        **options,
    )
    finish(report, started, as_json)


@cli.command(
    epilog="Example: skreward evaluate model.skops others.jsonl -o margins.csv"
)
@MODEL
@DATA
@with_(*READING, *EXPECTED)
@option(
    "-o",
    "--output",
    type=PATH,
    section=OUTPUT_SECTION,
    help="Table to write, a row a pair: all columns of DATA, the margin, the "
    "probability where MODEL gives one, and whether it agrees with the label (what it "
    "adds to the order consistency).  [default: none is written]",
)
@SUFFIX
@FORCE
@JSON
@click.pass_context
def evaluate(context, model_file, data, output, suffix, force, as_json, **options):
    """Say how well MODEL orders the responses in DATA."""
    check_optional_output(context, output, force)
    refuse_of_stored(context, data)
    from skreward.cli import commands

    started = time.monotonic()
    expected, reading = expected_of(options), reading_of(options)
    report = commands.evaluate(
        model_file, data, output, suffix=suffix, expected=expected, reading=reading
    )
    finish(report | {"model": str(model_file)}, started, as_json)


@cli.command(epilog="Example: skreward score model.skops answers.jsonl -o scored.jsonl")
@MODEL
@DATA
@with_(*TABLE, *EXPECTED)
@OUTPUT
@SUFFIX
@FORCE
@JSON
@click.pass_context
def score(context, model_file, data, output, suffix, force, as_json, **options):
    """Write DATA with the rewards of its responses to a file.

    A table of prompt, response gets the column reward; one of pairs a reward for
    either response, and the margin. All its other columns are kept.
    """
    check_output(output, force)
    refuse_of_stored(context, data)
    from skreward.cli import commands

    started = time.monotonic()
    expected, reading = expected_of(options), reading_of(options)
    report = commands.score(
        model_file, data, output, suffix=suffix, expected=expected, **reading
    )
    finish(report | {"model": str(model_file)}, started, as_json)


@cli.command(epilog="Example: skreward inspect pairs.jsonl")
@DATA
@with_(*LABELS, *columns(*TEXTS), FORMAT, DELIMITER)
@JSON
def inspect(data, as_json, **options):
    """Say what DATA holds before anything is fitted to it.

    Which layout it is read as, one pair of it, and how many pairs, prompts, ties,
    duplicates, contradictions and bad rows there are; how long texts are, how many
    the default embedding model would cut, and how often the longer response wins.
    """
    from skreward.cli import inspection

    started = time.monotonic()
    report = inspection.inspect(data, **reading_of(options))
    finish(report, started, as_json)


@cli.command(epilog="Example: skreward info model.skops")
@MODEL
@with_(*LOADING)
@JSON
def info(model_file, as_json, **options):
    """Say what MODEL is: its steps, its embedding, what it was fitted to.

    Nothing in the file is executed, and types that are not trusted are named.
    """
    from skreward.cli import about

    started = time.monotonic()
    finish(about.info(model_file, **options), started, as_json)


@cli.command(epilog="Example: skreward demo -o skreward-demo")
@option(
    "-o",
    "--output",
    default="skreward-demo",
    type=click.Path(path_type=Path, file_okay=False),
    section=OUTPUT_SECTION,
    help="Folder for the model and the picture.",
)
@option("--seed", type=SEED, default=0, help="Number that fixes all that is random.")
@FORCE
@JSON
def demo(output, seed, force, as_json):
    """Show the main job on texts that are made here, with a known true reward."""
    from skreward.cli import demo as shown

    started = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    check_output(output / shown.MODEL_NAME, force, ".skops")
    check_output(output / shown.PICTURE_NAME, force, ".png")
    finish(shown.run(output, seed), started, as_json)


for command in (embed, report_card, export, best, rewardbench, serve):
    cli.add_command(command)


def main(args=None):
    """Run the command.

    Parameters
    ----------
    args : list of str, default=None
        What follows the name of the command; None is what the process was given.

    Returns
    -------
    code : int
        0 when it went well; 2 and one line on stderr when not; 130 when interrupted;
        141 when who read the output went away.
    """
    return ends_in_a_line(cli, args)
