"""procrastinate on PostgreSQL, the queue that is most like cronq."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from benchmarks.peer import Peer, ServerKind, script
from benchmarks.servers import url
from benchmarks.work import Order

APP = "benchmarks.peers.procrastinate_app.app"


class Queue(Peer):
    """Two worker processes that end when no job is left."""

    name = "procrastinate, PostgreSQL"
    promise = "stays `doing` when its worker dies, unless a task of one's own looks for such; no isolation; fsync"
    server: ClassVar[ServerKind | None] = "postgresql"

    def open(self) -> None:
        import os

        os.environ["BENCH_PLACE"] = str(self.place)
        import psycopg
        from procrastinate.schema import SchemaManager

        from benchmarks.peers.procrastinate_app import app, no_op_task

        with psycopg.connect(url(self.place).replace("+psycopg", "")) as connection:
            connection.execute(SchemaManager.get_schema())
        app.open()
        self._task: Any = no_op_task

    def put(self, order: Order) -> None:
        self._task.defer(**order.arguments())

    def put_many(self, orders: Sequence[Order]) -> None:
        self._task.batch_defer(*(order.arguments() for order in orders))

    def staying(self) -> list[list[str]]:
        return [[word for word in command if word != "--one-shot"] for command in self.workers()]

    def workers(self) -> list[list[str]]:
        return [[script("procrastinate"), "--app", APP, "worker", "--one-shot"]] * 2
