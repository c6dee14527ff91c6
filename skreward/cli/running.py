"""What every command does around its work: options apart, outputs, the last line."""

import json
import time

import click

from skreward.cli.options import take_columns
from skreward.cli.settings import refuse


def take(options, *names):
    """Take some out of the options of a command."""
    return {name: options.pop(name) for name in names}


def expected_of(options):
    """Take what says which model is expected, and where it is computed."""
    names = ("model", "template", "trust", "trust_remote_code", "max_bytes")
    return take(options, *names, "device", "batch_size", "cache_dir")


def reading_of(options):
    """Take what says how a table is read."""
    names = ("layout", "label", "label_map", "format", "delimiter", "drop_bad_rows")
    read = take(options, *(name for name in names if name in options))
    return read | {"columns": take_columns(options)}


def check_output(path, force, suffix=None):
    """Refuse an output that cannot or must not be written."""
    from skreward.cli import output

    output.check_output(path, force, suffix)


def check_optional_output(context: click.Context, path, force):
    """Check an output where there is one; else refuse what is said of it."""
    if path is None:
        refuse(context, ("suffix", "force"), "without -o")
    else:
        check_output(path, force)


def finish(report, started, as_json):
    """Print a report for programs where one is asked for."""
    from skreward.cli.printing import say

    report["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        say(json.dumps(report, allow_nan=False))
