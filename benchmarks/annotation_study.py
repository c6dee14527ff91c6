"""The study of annotation noise, quantity, design and pairing, in one command.

    python -m benchmarks.annotation_study run --data FOLDER --out results.jsonl
    python -m benchmarks.annotation_study status --data FOLDER --out results.jsonl
    python -m benchmarks.annotation_study report --out results.jsonl

``run`` appends one JSON line a setting and skips what is there: stop it at any time
and start it again. It goes seed by seed. Workers of a Dask cluster must be able to
import this package and to read the data under the same path.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.study import baselines
from benchmarks.study import settings as grid
from benchmarks.study.cost import describe
from benchmarks.study.results import read_results
from benchmarks.study.sources import Source


def main(arguments=None):
    """Parse the command line and run the command; give the exit code."""
    options = parser().parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, FileNotFoundError, BlockingIOError) as error:
        print(f"annotation_study: {error}", file=sys.stderr)
        return 2


def parser():
    """Build the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.annotation_study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="run|status|report")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--data",
        default="synthetic",
        help="synthetic[:features=D:prompts=P:responses=K], an .npz file of judged "
        "responses, a folder of data sets by encoders, or of published embeddings",
    )
    common.add_argument(
        "--response-axis", type=int, default=1, choices=(0, 1), help="of a folder"
    )
    common.add_argument(
        "--models",
        default=",".join(grid.PAPER_MODELS),
        help=f"out of {', '.join(grid.PAPER_MODELS + grid.LINEAR_MODELS)}",
    )
    common.add_argument(
        "--pairing",
        default="same",
        help="same, cross, or both (the paper's 12,960 settings are of one pairing)",
    )
    common.add_argument(
        "--recipe",
        default=grid.MATCHED,
        help=f"training, out of {', '.join(grid.RECIPES)}; "
        "all but the first are for networks",
    )
    common.add_argument("--pools", help="encoders, instead of those of the grid")
    common.add_argument(
        "--only", default="", metavar="model=clf-lgbm,beta=3.0", help="part of the grid"
    )

    run = commands.add_parser("run", parents=[common], help="run what is not done yet")
    run.add_argument("--out", required=True, type=Path, help="results, .jsonl")
    run.add_argument("--jobs", type=int, default=1, help="worker processes here")
    run.add_argument("--dask", metavar="ADDRESS", help="of a scheduler, or 'local'")
    run.add_argument("--minutes", type=float, help="start no unit after this")
    run.set_defaults(command=command_run)

    status = commands.add_parser(
        "status", parents=[common], help="what is done, and what all would cost"
    )
    status.add_argument("--out", required=True, type=Path, nargs="+", help="results")
    status.set_defaults(command=command_status)

    report = commands.add_parser("report", help="write tables and figures")
    report.add_argument("--out", required=True, type=Path, nargs="+", help="results")
    report.add_argument("--folder", type=Path, default=Path("docs/study"))
    report.set_defaults(command=command_report)
    return top


def command_run(options):
    """Run settings until none is left, or time is up."""
    from benchmarks.study.drive import drive

    source, table = _table(options)
    chosen = list(table.settings())
    if grid.MATCHED in options.recipe.split(","):
        for beside in baselines.tables(table, source.open()):
            chosen = [*beside.settings(), *chosen]
    n_failed = drive(
        source,
        chosen,
        options.out,
        n_jobs=options.jobs,
        dask=options.dask,
        minutes=options.minutes,
    )
    return 1 if n_failed else 0


def command_status(options):
    """Print what is done and what the whole grid would cost."""
    _, table = _table(options)
    rows = [row for path in options.out for row in read_results(path)]
    print("\n".join(describe(rows, table)))
    return 0


def command_report(options):
    """Write the report."""
    from benchmarks.study.report import write_report

    rows = [row for path in options.out for row in read_results(path)]
    print(write_report(rows, options.folder))
    return 0


def _table(options):
    source = Source(options.data, options.response_axis)
    responses = source.open()
    models = _choices(
        "--models", options.models, grid.PAPER_MODELS + grid.LINEAR_MODELS
    )
    recipes = _choices("--recipe", options.recipe, grid.RECIPES)
    table = grid.Table(
        data=source.label,
        pools=tuple((options.pools or ",".join(responses.pools)).split(",")),
        tasks=responses.tasks,
        learners=grid.learners(models, recipes),
        pairings=_choices("--pairing", options.pairing, grid.PAIRINGS),
    )
    return source, table.only(options.only)


def _choices(name, text, known):
    chosen = tuple(dict.fromkeys(filter(None, text.split(","))))
    unknown = [value for value in chosen if value not in known]
    if unknown:
        raise ValueError(f"{name} knows {', '.join(known)}; got {unknown[0]!r}.")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
