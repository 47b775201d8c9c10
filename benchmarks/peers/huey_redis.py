"""huey on Redis as it is usually run: Redis does not wait for the disk."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.peer import Fsync, Peer, script
from benchmarks.work import Order


class Queue(Peer):
    """Two threads of one consumer over a blocking connection."""

    name = "huey, Redis"
    promise = "at most once, two threads, no isolation; jobs in memory, no fsync"
    redis: ClassVar[Fsync | None] = "no"
    stops = False

    def open(self) -> None:
        import os

        os.environ["BENCH_PLACE"] = str(self.place)
        from benchmarks.peers.huey_redis_app import no_op_task

        self._task = no_op_task

    def put(self, order: Order) -> None:
        self._task(**order.arguments())

    def workers(self) -> list[list[str]]:
        app = "benchmarks.peers.huey_redis_app.huey"
        return [[script("huey_consumer"), app, "--workers", "2", "--quiet", "--no-periodic"]]
