"""What `embed` does: read, put texts aside, compute what is left, seal."""

import time
from typing import Any

import click

from skreward._version import __version__
from skreward.cli.embedding_data import Parts, read_and_put_aside, texts_of
from skreward.cli.formats import PIPE
from skreward.cli.printing import count, say, warn, written
from skreward.cli.settings import refuse
from skreward.data.shard_writer import FolderWriter
from skreward.text.embedding_job import (
    PARAMETERS,
    Job,
    about_encoder,
    here,
    in_processes,
    on_dask,
)
from skreward.text.statistics import TextStatisticsTransformer
from skreward.utils.progress import progress


def check(context: click.Context, data, output) -> None:
    """Refuse what cannot act together, before any work."""
    if context.params["address"] is not None:
        refuse(context, ("jobs",), "with --dask, whose workers compute")
    if data == PIPE:
        raise click.UsageError(
            "DATA: a pipe is there once, and who goes on after a kill reads the data "
            "again; give a file"
        )
    if output.exists() and not output.is_dir():
        raise click.UsageError(f"{output}: exists, and is no folder")


def run(
    data, output, embed, *, stored_as, shard_rows, n_jobs, address, reading
) -> dict[str, Any]:
    """Compute what is not there yet; give the report."""
    # A model that cannot be had is told of before the data are read.
    embed._find(embed.dtype)
    with FolderWriter(output) as writer:
        found = read_and_put_aside(Parts(data, **reading), writer.texts, shard_rows)
        with progress(None, f"loading {embed.model}"):
            embed.fit(found.first)
        statistics = TextStatisticsTransformer().get_feature_names_out().tolist()
        about = {
            "skreward": __version__,
            "n_features": embed.n_features_out_,
            "dtype": stored_as,
            "shard_rows": shard_rows,
            "statistics": statistics,
            "encoder": about_encoder(embed),
            "data": found.about,
        }
        left = writer.begin(about, found.columns)
        n_items = len(found.columns["items/prompt_ids"])
        total = sum(min(shard_rows, n_items - k * shard_rows) for k in left)
        if total < n_items:
            say(f"{output}: {n_items - total} of {count(n_items, 'text')} are there")
        started = time.monotonic()
        with progress(total, "embedding", "texts") as shown:
            shards = ((k, texts_of(writer.texts, k)) for k in left)
            job = _job(embed, stored_as)
            for k, shard in _spread(job, shards, shown.update, n_jobs, address):
                writer.write(k, *shard)
        seconds = time.monotonic() - started
        n_cut = sum(writer.seal(k)["n_cut"] for k in range(-(-n_items // shard_rows)))
    if n_cut:
        warn(
            f"{n_cut} of {count(n_items, 'text')} were cut to max_length tokens; a "
            "larger --max-length, up to what the model takes, keeps more"
        )
    rows = found.columns["rows/items"]
    return _report(output, embed, rows, n_items, total, seconds, n_cut)


def _job(embed, stored_as):
    names = (*PARAMETERS, "batch_size", "device")
    return Job(
        {name: getattr(embed, name) for name in names},
        embed.dtype_,
        embed.model_digest_,
        stored_as,
    )


def _spread(job, shards, update, n_jobs, address):
    if address is not None:
        return on_dask(job, shards, update, address)
    if n_jobs > 1:
        return in_processes(job, shards, update, n_jobs)
    return here(job, shards, update)


def _report(output, embed, rows, n_items, n_computed, seconds, n_cut):
    rate = n_computed / seconds if n_computed else None
    with written(output):
        speed = "" if rate is None else f", {rate:.0f} texts a second"
        what = "pair" if rows.ndim == 2 else "row"
        say(
            f"{count(n_items, 'text')} of {count(len(rows), what)} in {output}: "
            f"{embed.n_features_out_} features by {embed.model_name_}{speed}"
        )
    return {
        "n_texts": n_items,
        "n_rows": len(rows),
        "n_computed": n_computed,
        "n_cut": n_cut,
        "n_features": embed.n_features_out_,
        "embedding_model": embed.model_name_,
        "texts_per_second": None if rate is None else round(rate, 1),
        "output": str(output),
    }
