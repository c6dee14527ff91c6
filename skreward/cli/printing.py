"""What the command says: one door to stdout, figures that mean something."""

import io
from contextlib import contextmanager

import click

# Ends what is said of a bad row.
DROPS = "; --drop-bad-rows leaves such rows out"


class StdoutError(Exception):
    """Stdout takes no more; what was written to files is written."""


class UnreadError(Exception):
    """Who reads stdout has gone away, as ``head`` does."""


def say(text: str):
    """Print to stdout."""
    click.echo(text)


def warn(text: str):
    """Say on stderr what did not stop the command."""
    click.echo(f"skreward: warning: {' '.join(text.split())}", err=True)


@contextmanager
def written(output):
    """Let an error of stdout say that the output was written all the same.

    None is no output.
    """
    try:
        yield
    except StdoutError as error:
        if output is None:
            raise
        raise StdoutError(f"{error}; {output} was written") from None


def count(n: int, what: str) -> str:
    """Write a number and what it counts: 1 pair, 2 pairs."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def listed(lines, most=5) -> str:
    """Name a few lines of a file: line 3; lines 3, 4, ... (12 in all)."""
    shown = ", ".join(str(line) for line in lines[:most])
    if len(lines) > most:
        shown += ", ..."
    return f"line {shown}" if len(lines) == 1 else f"lines {shown}"


def show_results(title, results, spread, best, meaning):
    """Print one table, a reward a row, and what its columns and its mark mean."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("reward")
    for column in ("order consistency", spread, "calibration error"):
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(
            f"{result.name} *" if result.name == best else result.name,
            _figure(result.order_consistency),
            _figure(result.spread),
            _figure(result.calibration_error),
        )
    out = io.StringIO()
    # No colours, whatever the environment says of terminals.
    Console(file=out, width=100, color_system=None).print(table)
    say("\n".join(line.rstrip() for line in out.getvalue().splitlines()))
    say(
        f"* {meaning}. order consistency: share of pairs put in the order of their "
        f"labels, 0.5 is a coin; {spread}: how far it may be off; calibration error: "
        "how far stated probabilities are from what happened; - where there is none."
    )


def _figure(value):
    return "-" if value is None else f"{value:.3f}"
