"""rq on Redis with the worker that does not fork."""

from __future__ import annotations

from benchmarks.peers import rq_redis


class Queue(rq_redis.Queue):
    """Two workers in burst mode, each in one process."""

    name = "rq SimpleWorker, Redis"
    promise = "at least once while the worker lives, no isolation; appendfsync always"
    drained = 1_000
    worker_class = "rq.SimpleWorker"
