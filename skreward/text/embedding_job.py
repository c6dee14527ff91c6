"""Shards of texts to shards of rows: here, in other processes, on a Dask cluster."""

import hashlib
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from joblib import cpu_count

from skreward._version import __version__
from skreward.data.shards import HASH_BYTES
from skreward.text.embed import encoded
from skreward.text.items import TextItem, TextItems, check_template, render, value_key
from skreward.text.statistics import TextStatisticsTransformer
from skreward.text.transformer import LLMEmbeddingTransformer
from skreward.utils.optional import wanted_by
from skreward.utils.typing import Array

# Parameters that decide an embedding, as they are given, and what `fit` found of it.
PARAMETERS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "revision": (str, type(None)),
    "pooling": (str,),
    "layer": (int, float),
    "template": (str,),
    "max_length": (int, type(None)),
    "truncation_side": (str,),
    "dtype": (str,),
    "normalize": (bool,),
}
FOUND: dict[str, tuple[type, ...]] = {
    "model_name_": (str,),
    "revision_": (str, type(None)),
    "model_digest_": (str,),
    "dtype_": (str,),
    "versions_": (dict,),
}
# Of these a difference makes other embeddings; that of dtype_ hardly does.
DECISIVE = (
    "model_digest_", "pooling", "layer", "template", "max_length", "truncation_side",
    "normalize",
)  # fmt: skip
# Shards that wait for each worker, beside the one that it computes.
AHEAD = 1


class Shard(NamedTuple):
    """Rows of the texts of a shard, and how many of them were cut."""

    embeddings: Array
    statistics: Array
    n_cut: int


@dataclass(frozen=True)
class Job:
    """All that a worker has to know, beside the texts."""

    parameters: dict[str, Any]
    computed_in: str
    digest: str
    stored_as: str
    version: str = __version__


def item_hash(item: TextItem) -> bytes:
    """Hash a prompt and a response: equal where both, and what joins them, are."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for part in (value_key(item.prompt), value_key(item.response), item.glue):
        content = part.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def about_encoder(embed: LLMEmbeddingTransformer) -> dict[str, Any]:
    """Say how a fitted transformer embeds, as JSON can write it."""
    about = {name: getattr(embed, name) for name in (*PARAMETERS, *FOUND)}
    return about | {"model": os.fspath(embed.model)}


def encoder_of(about: dict[str, Any], n_features: int) -> LLMEmbeddingTransformer:
    """Make the fitted transformer that a manifest tells of; nothing is loaded.

    Raises
    ------
    ValueError
        Where it does not tell of one.
    """
    for name, kinds in (PARAMETERS | FOUND).items():
        if name not in about or not isinstance(about[name], kinds):
            raise ValueError(f"the encoder's {name} is missing or of a wrong type.")
    check_template(about["template"])
    embed = LLMEmbeddingTransformer(**{name: about[name] for name in PARAMETERS})
    for name in FOUND:
        setattr(embed, name, about[name])
    embed.n_features_out_ = n_features
    return embed


def difference(
    one: dict[str, Any], other: dict[str, Any]
) -> tuple[str, Any, Any] | None:
    """Name a setting by which two encoders give other embeddings, and both values."""
    for name in DECISIVE:
        if one[name] != other[name]:
            return name.removesuffix("_").removeprefix("model_"), one[name], other[name]
    return None


def compute(
    job: Job, texts: list[Any], update: Callable[[int], None] | None = None
) -> Shard:
    """Embed the texts of a shard; a process loads the model for its first.

    ``texts`` holds prompt, response and what joins them; ``update`` is called with
    the number of texts of every batch.
    """
    if job.version != __version__:
        raise ValueError(
            f"a worker has skreward {__version__}, and the job is of {job.version}."
        )
    from skreward.text.encoders import LOCK
    from skreward.text.loading import get_encoder

    items = TextItems([TextItem(*text) for text in texts])
    embed = LLMEmbeddingTransformer(**job.parameters)
    source, plan = embed._find(job.computed_in)
    if source.digest != job.digest:
        raise ValueError(
            f"a worker finds another model as {source.name!r}: digest "
            f"{source.digest[:20]}, wanted {job.digest[:20]}."
        )
    rows: dict[str, Any] = {}
    n_cut = 0
    with LOCK:
        encoder = get_encoder(source, plan)
        rendered = render(items, embed.template, encoder.render_chat)
        for batch, made, cuts in encoded(rendered, encoder, embed.batch_size):
            rows.update(zip(batch, made, strict=True))
            n_cut += sum(cut is not None for cut in cuts)
            if update is not None:
                update(len(batch))
    embeddings = _stored(np.stack([rows[text] for text in rendered]), job.stored_as)
    return Shard(embeddings, TextStatisticsTransformer().fit_transform(items), n_cut)


def _stored(rows, dtype):
    if dtype == "float16" and np.abs(rows).max() > np.finfo(dtype).max:
        raise ValueError(
            f"an embedding holds {np.abs(rows).max():.3g}, which float16 has no room "
            "for: store float32."
        )
    return rows.astype(dtype)


def here(
    job: Job, shards: Iterable[tuple[int, list[Any]]], update: Callable[[int], None]
) -> Iterator[tuple[int, Shard]]:
    """Compute shards one after the other in this process."""
    for k, texts in shards:
        yield k, compute(job, texts, update)


def in_processes(
    job: Job,
    shards: Iterable[tuple[int, list[Any]]],
    update: Callable[[int], None],
    n_jobs: int,
) -> Iterator[tuple[int, Shard]]:
    """Compute shards in processes, which share the cores; the first done comes first.

    Raises
    ------
    RuntimeError
        Where a process was killed, as for want of memory.
    """
    threads = max(1, cpu_count() // n_jobs)
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        n_jobs,
        multiprocessing.get_context("spawn"),
        initializer=_begin_process,
        initargs=(threads,),
    )
    try:
        yield from _spread(
            lambda texts: pool.submit(compute, job, texts), shards, update, n_jobs
        )
    except BrokenProcessPool:
        raise RuntimeError(
            "a process was killed while it computed, maybe for want of memory: fewer "
            "--jobs or a smaller --batch-size take less. The same command again goes "
            "on where this one stopped."
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # Else who interrupts waits for shards that nobody will take.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()


def _begin_process(threads):
    """Share the cores out before torch is loaded, and end when the parent does."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, str(threads))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def on_dask(
    job: Job,
    shards: Iterable[tuple[int, list[Any]]],
    update: Callable[[int], None],
    address: str,
) -> Iterator[tuple[int, Shard]]:
    """Compute shards on the workers of a Dask cluster; rows come back to this process.

    A worker that is lost costs the shards that it had, which another computes.

    Raises
    ------
    OSError
        Where the scheduler does not answer, or has no workers.
    """
    with wanted_by("--dask", "distributed"):
        from distributed import Client
    with _connected(Client, address) as client:
        n_workers = len(client.nthreads())
        if n_workers == 0:
            raise OSError(f"--dask: the scheduler at {address} has no workers.")
        yield from _spread(
            lambda texts: client.submit(compute, job, texts, pure=False),
            shards,
            update,
            n_workers,
            _first_of_dask,
        )


@contextmanager
def _connected(Client, address):
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise OSError(f"--dask: no scheduler answers at {address} ({error})") from None
    with client, warnings.catch_warnings():
        # A shard's texts may take more than the scheduler likes to carry at once.
        warnings.filterwarnings("ignore", "Sending large graph")
        yield client


def _first(futures):
    return wait(futures, return_when=FIRST_COMPLETED).done


def _first_of_dask(futures):
    from distributed import wait as wait_for

    return wait_for(list(futures), return_when=FIRST_COMPLETED).done


def _spread(submit, shards, update, n_workers, first=_first):
    """Keep every worker busy, and hold the texts of no more shards than that takes."""
    waiting: dict[Any, tuple[int, int]] = {}
    for k, texts in shards:
        waiting[submit(texts)] = k, len(texts)
        if len(waiting) >= n_workers * (1 + AHEAD):
            yield from _done(waiting, update, first)
    while waiting:
        yield from _done(waiting, update, first)


def _done(waiting, update, first):
    for future in first(waiting):
        k, n = waiting.pop(future)
        shard = future.result()
        update(n)
        yield k, shard
