"""huey on SQLite, with fsync=True: the same durability as cronq's synchronous=FULL."""

from __future__ import annotations

from benchmarks.peer import Peer, script
from benchmarks.work import Order


class Queue(Peer):
    """Two threads of one consumer, its fastest kind of worker for work that doesn't compute."""

    name = "huey, SQLite"
    promise = "at most once (the row is deleted when it is taken), two threads, no isolation; fsync=True"
    stops = False

    def open(self) -> None:
        import os

        os.environ["BENCH_PLACE"] = str(self.place)
        from benchmarks.peers.huey_sqlite_app import no_op_task

        self._task = no_op_task

    def put(self, order: Order) -> None:
        self._task(**order.arguments())

    def workers(self) -> list[list[str]]:
        app = "benchmarks.peers.huey_sqlite_app.huey"
        return [[script("huey_consumer"), app, "--workers", "2", "--quiet", "--no-periodic"]]
