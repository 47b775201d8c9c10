"""A process of its own that queues jobs and says how long that took: `python -m benchmarks.producer`."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path

from benchmarks.peer import peer
from benchmarks.work import Order, orders

WARM_UP = 300
ROWS_A_CALL = 100


def one_a_call(name: str, place: Path, count: int) -> float:
    """Seconds for `count` jobs, one a call."""
    queue = peer(name)(place)
    queue.open()
    for n in range(WARM_UP):
        queue.put(Order(n, None))
    began = time.perf_counter()
    for n in range(count):
        queue.put(Order(n, None))
    return time.perf_counter() - began


def bulk(name: str, place: Path, count: int) -> float:
    """Seconds for `count` jobs, a hundred a call."""
    queue = peer(name)(place)
    queue.open()
    queue.put_many([Order(n, None) for n in range(WARM_UP)])
    batches = [[Order(n, None) for n in range(ROWS_A_CALL)] for _ in range(count // ROWS_A_CALL)]
    began = time.perf_counter()
    for batch in batches:
        queue.put_many(batch)
    return time.perf_counter() - began


def fill(name: str, place: Path, count: int) -> float:
    """Queue `count` jobs for a drain, the quickest way the peer has."""
    queue = peer(name)(place)
    queue.open()
    began = time.perf_counter()
    waiting = orders(place, count)
    if queue.has_bulk():
        while batch := list(islice(waiting, ROWS_A_CALL)):
            queue.put_many(batch)
    else:
        for order in waiting:
            queue.put(order)
    return time.perf_counter() - began


if __name__ == "__main__":
    what, who, where, how_many = sys.argv[1:]
    measures = {"one_a_call": one_a_call, "bulk": bulk, "fill": fill}
    print(measures[what](who, Path(where), int(how_many)))
