"""A process of its own that queues jobs and says what that took: `python -m benchmarks.producer`."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path

from benchmarks.peer import peer
from benchmarks.processor import Spent, Stopwatch, of_ended_children
from benchmarks.work import Order, orders

WARM_UP = 300
ROWS_A_CALL = 100


def one_a_call(name: str, place: Path, count: int) -> Spent:
    """Queue `count` jobs, one a call; what that took."""
    queue = peer(name)(place)
    queue.open()
    for n in range(WARM_UP):
        queue.put(Order(n, None))
    watch = Stopwatch(place, _own)
    for n in range(count):
        queue.put(Order(n, None))
    return watch.spent()


def bulk(name: str, place: Path, count: int) -> Spent:
    """Queue `count` jobs, a hundred a call; what that took."""
    queue = peer(name)(place)
    queue.open()
    queue.put_many([Order(n, None) for n in range(WARM_UP)])
    batches = [[Order(n, None) for n in range(ROWS_A_CALL)] for _ in range(count // ROWS_A_CALL)]
    watch = Stopwatch(place, _own)
    for batch in batches:
        queue.put_many(batch)
    return watch.spent()


def fill(name: str, place: Path, count: int) -> Spent:
    """Queue `count` jobs for a drain, the quickest way the peer has."""
    queue = peer(name)(place)
    queue.open()
    watch = Stopwatch(place, _own)
    waiting = orders(place, count)
    if queue.has_bulk():
        while batch := list(islice(waiting, ROWS_A_CALL)):
            queue.put_many(batch)
    else:
        for order in waiting:
            queue.put(order)
    return watch.spent()


def _own() -> float:
    return time.process_time() + of_ended_children()


if __name__ == "__main__":
    what, who, where, how_many = sys.argv[1:]
    measures = {"one_a_call": one_a_call, "bulk": bulk, "fill": fill}
    print(json.dumps(measures[what](who, Path(where), int(how_many))))
