"""litequeue: a table with put, pop and done. It has no worker, so a loop of four lines replaces one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peer import Peer
from benchmarks.work import Order, no_op


class Queue(Peer):
    """Two processes with the loop. Its usual synchronous=NORMAL is set to FULL, as for the others."""

    name = "litequeue, SQLite"
    promise = "a table and a loop: no retry, no rescue, no isolation; synchronous=FULL"

    def open(self) -> None:
        self._queue = connect(self.place)

    def put(self, order: Order) -> None:
        self._queue.put(json.dumps(order.arguments()))

    def put_many(self, orders: Any) -> None:
        with self._queue.transaction():
            for order in orders:
                self._queue.put(json.dumps(order.arguments()))

    def workers(self) -> list[list[str]]:
        return [[sys.executable, "-m", "benchmarks.peers.litequeue_sqlite", str(self.place)]] * 2


def connect(place: Path) -> Any:
    """Open the queue, with the durability that all have here."""
    from litequeue import LiteQueue

    queue = LiteQueue(place / "litequeue.db", timeout=30)
    queue.conn.execute("PRAGMA synchronous = FULL")
    return queue


def work(place: Path) -> None:
    """Run jobs until there are none."""
    queue = connect(place)
    while (message := queue.pop()) is not None:
        no_op(**json.loads(message.data))
        queue.done(message.message_id)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
