"""rq on Redis: its usual worker forks a process for each job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from benchmarks.peer import Peer, script
from benchmarks.redis_server import url
from benchmarks.work import Order, no_op


class Queue(Peer):
    """Two workers in burst mode."""

    name = "rq, Redis"
    promise = "at least once while the worker lives, a forked process for each job; appendfsync always"
    redis = "always"
    drained = 500
    worker_class: ClassVar[str] = "rq.Worker"

    def open(self) -> None:
        import redis
        import rq

        self._queue = rq.Queue(connection=redis.Redis.from_url(url(self.place)))

    def put(self, order: Order) -> None:
        self._queue.enqueue(no_op, kwargs=order.arguments())

    def put_many(self, orders: Sequence[Order]) -> None:
        prepare = self._queue.prepare_data
        self._queue.enqueue_many([prepare(no_op, kwargs=order.arguments()) for order in orders])

    def staying(self) -> list[list[str]]:
        return [[word for word in command if word != "--burst"] for command in self.workers()]

    def workers(self) -> list[list[str]]:
        command = [script("rq"), "worker", "--burst", "--quiet", "--url", url(self.place)]
        return [[*command, "--worker-class", self.worker_class]] * 2
