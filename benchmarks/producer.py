"""Enqueue jobs in a process of its own and print what that took as JSON: `python -m benchmarks.producer`."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

from benchmarks.peer import peer
from benchmarks.processor import Spent, Stopwatch
from benchmarks.work import Order, orders

WARM_UP = 300
ROWS_A_CALL = 100


def one_a_call(name: str, place: Path, count: int) -> Spent:
    """Enqueue `count` jobs, one a call; return what that took."""
    queue = peer(name)(place)
    queue.open()
    queue.put_each([Order(n, None) for n in range(WARM_UP)])
    rest = [Order(n, None) for n in range(count)]
    watch = Stopwatch(place, queue.processor_time)
    queue.put_each(rest)
    return watch.spent()


def bulk(name: str, place: Path, count: int) -> Spent:
    """Enqueue `count` jobs, a hundred a call; return what that took."""
    queue = peer(name)(place)
    queue.open()
    queue.put_many([Order(n, None) for n in range(WARM_UP)])
    batches = [[Order(n, None) for n in range(ROWS_A_CALL)] for _ in range(count // ROWS_A_CALL)]
    watch = Stopwatch(place, queue.processor_time)
    for batch in batches:
        queue.put_many(batch)
    return watch.spent()


def fill(name: str, place: Path, count: int) -> Spent:
    """Enqueue `count` jobs for a drain, in the fastest way of the peer; return what that took."""
    queue = peer(name)(place)
    queue.open()
    watch = Stopwatch(place, queue.processor_time)
    waiting = orders(place, count)
    if queue.has_bulk():
        while batch := list(islice(waiting, ROWS_A_CALL)):
            queue.put_many(batch)
    else:
        queue.put_each(list(waiting))
    return watch.spent()


if __name__ == "__main__":
    what, who, where, how_many = sys.argv[1:]
    measures = {"one_a_call": one_a_call, "bulk": bulk, "fill": fill}
    print(json.dumps(measures[what](who, Path(where), int(how_many))))
