"""The driver: hands units to workers, and alone writes what they return."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from benchmarks.study.results import ResultsFile
from benchmarks.study.settings import of_learner, units
from benchmarks.study.worker import run_unit


def drive(source, settings, out, *, n_jobs=1, dask=None, minutes=None):
    """Run the settings that are not in the results file, and append them to it.

    A model's settings of a unit are trained together. Where some of them are there,
    all are trained again, so that what comes out does not depend on where a run was
    stopped.

    Parameters
    ----------
    source : Source
        The data, opened by every worker once.
    settings : list of Setting
        What to run, in this order.
    out : path
        Results file.
    n_jobs : int
        Worker processes on this machine.
    dask : str, default=None
        Address of a Dask scheduler, or "local" for a cluster of ``n_jobs`` worker
        processes of its own; None runs on joblib.
    minutes : float, default=None
        Start no unit after this time.

    Returns
    -------
    n_failed : int
        Settings that raised; they are reported and left for another run.
    """
    end = None if minutes is None else time.monotonic() + 60 * minutes
    with ResultsFile(out) as results:
        waiting = list(_waiting(settings, results.done))
        n_waiting = sum(len(unit) for unit in waiting)
        due = iter(_until(end, waiting))
        bar = tqdm(
            total=len(settings),
            initial=len(settings) - n_waiting,
            unit="setting",
            smoothing=0.05,
        )
        n_failed = 0
        outcomes = (
            _on_dask(source, due, dask, n_jobs)
            if dask
            else (_on_joblib(source, due, n_jobs))
        )
        with bar:
            for unit, rows in outcomes:
                if isinstance(rows, str):
                    n_failed += len(unit)
                    bar.write(f"{_named(unit)} failed: {rows}", file=sys.stderr)
                else:
                    results.append(r for r in rows if r["key"] not in results.done)
                bar.update(len(unit))
    return n_failed


def _waiting(settings, done):
    """Give the parts of units, by models, of which not all is done."""
    for unit in units(settings):
        missing = {of_learner(s) for s in unit if s.key not in done}
        if missing:
            yield [s for s in unit if of_learner(s) in missing]


def _named(unit):
    more = f" and {len(unit) - 1} more settings" if len(unit) > 1 else ""
    return f"{unit[0].key}{more}"


def _until(end, waiting):
    for unit in waiting:
        if end is not None and time.monotonic() > end:
            return
        yield unit


def attempt(source, unit):
    """Run a unit; give it with its results, or with the text of its error."""
    try:
        return unit, run_unit(source, unit)
    except Exception as error:
        return unit, f"{type(error).__name__}: {error}"


def _on_joblib(source, due, n_jobs):
    with parallel_config("loky", inner_max_num_threads=1):
        yield from Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            delayed(attempt)(source, unit) for unit in due
        )


def _on_dask(source, due, address, n_jobs) -> Iterator:
    """Keep two units for each worker thread under way.

    Dask runs the units of a worker that died on another one.
    """
    from distributed import as_completed

    with _client(address, n_jobs) as client:
        unit_of = {}

        def submit_next():
            for unit in due:
                future = client.submit(
                    attempt, source, unit, key=unit[0].key, pure=False
                )
                unit_of[future.key] = unit
                return [future]
            return []

        n_threads = sum(client.nthreads().values())
        under_way = [f for _ in range(2 * n_threads) for f in submit_next()]
        if not under_way:
            return
        completed = as_completed(under_way)
        for future in completed:
            if future.status == "finished":
                yield future.result()
            else:
                yield unit_of[future.key], f"{future.exception()!r}"
            for following in submit_next():
                completed.add(following)


@contextmanager
def _client(address, n_jobs):
    from distributed import Client, LocalCluster

    if address != "local":
        with Client(address) as client:
            client.wait_for_workers(1, timeout=60)
            yield client
        return
    cluster = LocalCluster(
        n_workers=n_jobs,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=logging.ERROR,
    )
    with cluster, Client(cluster) as client:
        yield client
