"""dramatiq on RabbitMQ."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peer import Peer, ServerKind, script
from benchmarks.work import Order


class Queue(Peer):
    """Two worker processes with one thread each."""

    name = "dramatiq, RabbitMQ"
    promise = "at least once, threads, no isolation; messages confirmed"
    server: ClassVar[ServerKind | None] = "rabbitmq"
    stops = False

    def open(self) -> None:
        import os

        os.environ["BENCH_PLACE"] = str(self.place)
        from benchmarks.peers.dramatiq_app import no_op_task

        self._task: Any = no_op_task

    def put(self, order: Order) -> None:
        self._task.send(**order.arguments())

    def workers(self) -> list[list[str]]:
        app = "benchmarks.peers.dramatiq_app"
        return [[script("dramatiq"), app, "--processes", "2", "--threads", "1", "--skip-logging"]]
