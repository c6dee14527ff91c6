"""What orders responses without an embedding: their length, statistics of the text."""

from dataclasses import replace

from benchmarks.study.settings import BASELINE, NONE

LENGTH, STATISTICS = "length", "statistics"


def tables(table, responses):
    """Give the tables of the baselines beside a table, for those that the data have.

    No baseline depends on the pool, and the order by length on no label.
    """
    first = table.pools[0], table.tasks[0], table.seeds[0]
    items = responses.parts(*first).train
    if items.lengths is not None:
        yield replace(
            table,
            pools=(NONE,),
            designs=(NONE,),
            pairings=(NONE,),
            betas=(0.0,),
            quantities=(0,),
            learners=((LENGTH, BASELINE),),
        )
    if items.statistics is not None:
        yield replace(table, pools=(NONE,), learners=((STATISTICS, BASELINE),))
