"""celery on RabbitMQ, as its documentation recommends it."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.peer import Peer, ServerKind, script
from benchmarks.work import Order


class Queue(Peer):
    """One worker with a pool of two processes."""

    name = "celery, RabbitMQ"
    promise = "at most once: acknowledged before it runs, lost when its process dies; messages confirmed"
    server: ClassVar[ServerKind | None] = "rabbitmq"
    stops = False

    def open(self) -> None:
        import os

        os.environ["BENCH_PLACE"] = str(self.place)
        from benchmarks.peers.celery_app import no_op_task

        self._task = no_op_task

    def put(self, order: Order) -> None:
        self._task.delay(**order.arguments())

    def workers(self) -> list[list[str]]:
        app = "benchmarks.peers.celery_app:app"
        return [[script("celery"), "--app", app, "--quiet", "worker", "--concurrency", "2", "--loglevel", "ERROR"]]
