"""Measure the queues side by side: enqueueing and draining, in processes and directories of their own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.peer import Peer, peer
from benchmarks.processor import Spent, Stopwatch, of_ended_children
from benchmarks.redis_server import redis_for
from benchmarks.result import Cost, Rate
from benchmarks.servers import broker_for, server_for
from benchmarks.work import FIRST, LAST, started

ROOT = Path(__file__).parent.parent
DRAIN_SECONDS = 600


class Drain(NamedTuple):
    """Jobs a second: `whole` from the start of the workers to their end, `span` from the first job to the last.

    The cost in `whole` is the processor time of the workers, their start and end included.
    """

    whole: Rate
    span: Rate


@contextmanager
def place_for(name: str) -> Iterator[Path]:
    """Yield an empty directory, while the servers that the peer needs run in it."""
    with tempfile.TemporaryDirectory(prefix="cronq-bench-") as directory:
        place, queue = Path(directory), peer(name)
        with redis_for(place, queue.redis), server_for(place, queue.server):
            if queue.broker:
                broker_for(place)
            yield place


def produce(what: str, name: str, place: Path, count: int) -> Spent:
    """Run `one_a_call`, `bulk` or `fill` of benchmarks.producer in a process of its own, and return what it took."""
    command = [sys.executable, "-m", "benchmarks.producer", what, name, str(place), str(count)]
    done = subprocess.run(command, cwd=ROOT, env=environment(place), check=True, stdout=subprocess.PIPE)
    return Spent(*json.loads(done.stdout))


def enqueue_rate(what: str, name: str, count: int) -> Rate:
    """Measure how many jobs a second one process enqueues."""
    with place_for(name) as place:
        spent = produce(what, name, place, count)
    return Rate(count / spent.wall, Cost.of(spent, count))


def drain_rate(name: str) -> Drain:
    """Measure how many jobs a second two workers drain."""
    count = peer(name).drained
    assert count is not None
    with place_for(name) as place:
        produce("fill", name, place, count)
        return drain(peer(name)(place), count)


def drain(queue: Peer, count: int) -> Drain:
    """Start the workers on the enqueued jobs, wait until all are done, and return the rates."""
    watch = Stopwatch(queue.place, of_ended_children)
    began = time.monotonic()
    workers = _start(queue)
    try:
        ended = _all_ended(workers) if queue.stops else _last_started(queue.place)
    except Exception:
        print((queue.place / "said").read_text(errors="replace"), file=sys.stderr)
        raise
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
    cost = Cost.of(watch.spent(), count)
    first, last = started(queue.place, FIRST), started(queue.place, LAST)
    assert first is not None, f"{queue.name} did not run the first job"
    assert last is not None, f"{queue.name} did not run the last job"
    return Drain(whole=Rate(count / (ended - began), cost), span=Rate(count / (last - first)))


def _start(queue: Peer) -> list[subprocess.Popen[bytes]]:
    # Their output is kept only for an error: while they start and end, workers write much that is no problem.
    with (queue.place / "said").open("wb") as said:
        return [
            subprocess.Popen(command, cwd=ROOT, env=environment(queue.place), stdout=said, stderr=said)
            for command in queue.workers()
        ]


def _all_ended(workers: list[subprocess.Popen[bytes]]) -> float:
    for worker in workers:
        ended = os.pidfd_open(worker.pid)  # `wait` with a timeout polls only each 50 ms
        if not select.select([ended], [], [], DRAIN_SECONDS)[0]:
            raise TimeoutError(f"{worker.args!r} has not ended within {DRAIN_SECONDS} s")
        os.close(ended)
        status = worker.wait()
        assert status == 0, f"{worker.args!r} ended with {status}"
    return time.monotonic()


def _last_started(place: Path) -> float:
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        if (when := started(place, LAST)) is not None:
            return when
        time.sleep(0.02)
    raise TimeoutError(f"not drained within {DRAIN_SECONDS} s")


def environment(place: Path) -> dict[str, str]:
    """Return the environment of every measured process: the path of this package, and of its directory."""
    return os.environ | {"PYTHONPATH": str(ROOT), "BENCH_PLACE": str(place)}
