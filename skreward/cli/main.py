"""The ``skreward`` command: from a file of texts to a reward model, and back."""

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import click

from skreward._version import __version__
from skreward.cli.files import DataError, check_format, read_table, write_table

__all__ = ["main"]

DATA = click.argument("data", type=click.Path(path_type=Path))
MODEL = click.argument("model_file", metavar="MODEL", type=click.Path(path_type=Path))
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Last line: one JSON object."
)
FORCE = click.option("--force", is_flag=True, help="Replace an existing output.")
LABEL = click.option(
    "--label",
    metavar="COLUMN",
    help="Column with 1 where response_a is preferred, 0 where response_b is "
    "[default: label]; for prompt, response tables: a rating.",
)
OUTPUT = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Where to."
)
EXPECTED = [
    click.option("--model", help="Refuse unless MODEL embeds with this one."),
    click.option("--template", help="Refuse unless MODEL was fitted with this one."),
    click.option(
        "--trust", multiple=True, metavar="TYPE", help="Allow a further type in MODEL."
    ),
    click.option("--cache-dir", type=click.Path(path_type=Path), help="Embeddings."),
]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="skreward")
def cli():
    """Reward models from preference texts.

    DATA is a .jsonl, .jsonl.gz, .csv or .parquet file with the columns prompt,
    chosen, rejected; or prompt, response_a, response_b and a label; or chosen,
    rejected (dialogues as in HH-RLHF); or prompt, response and a rating.
    """


@cli.command()
@DATA
@OUTPUT
@click.option("--model", help="Embedding model: hub id or folder.")
@click.option(
    "--template", default="auto", show_default=True, help="Prompt and response."
)
@click.option("--max-length", type=click.IntRange(1), help="Tokens of a text.")
@click.option(
    "--reward",
    type=click.Choice(["auto", "linear", "network", "classifier"]),
    default="auto",
    show_default=True,
    help="auto: the best of all in cross-validation.",
)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Keeps embeddings.")
@LABEL
@FORCE
@JSON
def fit(data, output, model, template, max_length, reward, folds, seed, device,
        cache_dir, label, force, as_json):  # fmt: skip
    """Fit a reward model to DATA, and say how well it orders unseen prompts.

    Rewards are compared in prompt-disjoint folds, beside two null baselines: the
    longer response wins, and a coin. The best is fitted to all of DATA and saved.
    """
    from skreward.cli import commands

    _check_output(output, force, {".skops"})
    embed = commands.make_embedding(
        model, template=template, max_length=max_length, device=device,
        cache_dir=cache_dir,
    )  # fmt: skip
    started = time.monotonic()
    report = commands.fit(
        read_table(data), label, embed, reward, folds=folds, seed=seed, output=output
    )
    report["seconds"] = round(time.monotonic() - started, 1)
    _print_json(report, as_json)


def _with_expected(command):
    for option in reversed(EXPECTED):
        command = option(command)
    return command


@cli.command()
@MODEL
@DATA
@_with_expected
@LABEL
@JSON
def evaluate(model_file, data, model, template, trust, cache_dir, label, as_json):
    """Say how well MODEL orders the responses in DATA."""
    from skreward.cli import commands

    started = time.monotonic()
    fitted = commands.load_model(model_file, model, template, trust, cache_dir)
    report = commands.evaluate(fitted, read_table(data), label)
    report["seconds"] = round(time.monotonic() - started, 1)
    _print_json(report | {"model": str(model_file)}, as_json)


@cli.command()
@MODEL
@DATA
@OUTPUT
@_with_expected
@FORCE
@JSON
def score(model_file, data, output, model, template, trust, cache_dir, force, as_json):
    """Write DATA with the rewards of its responses to a file."""
    from skreward.cli import commands

    _check_output(output, force)
    started = time.monotonic()
    fitted = commands.load_model(model_file, model, template, trust, cache_dir)
    rows = commands.score(fitted, read_table(data))
    write_table(output, rows)
    report = {"n_rows": len(rows), "output": str(output), "model": str(model_file)}
    report["seconds"] = round(time.monotonic() - started, 1)
    click.echo(f"{len(rows)} rows with rewards written to {output}")
    _print_json(report, as_json)


@cli.command()
@click.option(
    "-o",
    "--output",
    default="skreward-demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the model and the picture.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@FORCE
@JSON
def demo(output, seed, force, as_json):
    """Show the main job on texts that are made here, with a known true reward."""
    from skreward.cli import demo as shown

    started = time.monotonic()
    for name in (shown.MODEL_NAME, shown.PICTURE_NAME):
        _check_output(output / name, force, make_folder=True)
    report = shown.run(output, seed)
    report["seconds"] = round(time.monotonic() - started, 1)
    _print_json(report, as_json)


def main(args=None):
    """Run the command; 0 when it went well, 2 and one line on stderr when not."""
    logging.basicConfig(level=logging.WARNING, format="skreward: %(message)s")
    warnings.showwarning = _show_warning
    try:
        cli.main(args, prog_name="skreward", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        return _fail(error.format_message())
    except click.exceptions.Abort:
        return _fail("interrupted", 130)
    except OSError as error:
        has_name = error.filename is not None and error.strerror is not None
        named = f"{error.filename}: {error.strerror}"
        return _fail(named if has_name else error.strerror or str(error))
    except (DataError, ValueError, TypeError, ImportError) as error:
        return _fail(str(error))
    return 0


def _fail(message, code=2):
    click.echo(f"skreward: {' '.join(message.split())}", err=True)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None):
    text = " ".join(str(message).split())
    click.echo(f"skreward: warning: {text}", err=True)


def _check_output(path, force, suffixes=None, make_folder=False):
    """Refuse an output that cannot or must not be written, before any work."""
    if suffixes is None and not make_folder:
        check_format(path)
    elif suffixes and path.suffix not in suffixes:
        raise click.UsageError(f"{path}: wanted a name that ends in .skops")
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir():
        raise click.UsageError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise click.UsageError(f"{path}: is a folder")
    if path.exists() and not force:
        raise click.UsageError(f"{path}: exists; --force replaces it")


def _print_json(report, as_json):
    if as_json:
        click.echo(json.dumps(report, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
