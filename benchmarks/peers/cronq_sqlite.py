"""cronq on SQLite, used through its Python API and its command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peer import Peer, script
from benchmarks.work import Order

CONFIG = """\
database = "{database}"
lock_dir = "{locks}"
app = "benchmarks.peers.cronq_app:queue"
wake = {wake}
"""


class Queue(Peer):
    """The queue with which all others are compared."""

    afar: ClassVar[bool] = False
    """Whether jobs are enqueued as on another host, where workers can't be woken without a transport."""

    name = "cronq, SQLite"
    promise = "at least once, a child process for the attempt, fsync for each COMMIT (synchronous=FULL)"

    def open(self) -> None:
        from cronq.app import load_app
        from cronq.config.loader import load

        self.configure()
        self._queue = load_app(load(file=str(self.configure("elsewhere") if self.afar else self.configure())))

    def configure(self, locks: str = "locks") -> Path:
        """Write the configuration file; another directory of locks stands for another host."""
        path = self.place / ("cronq.toml" if locks == "locks" else f"{locks}.toml")
        path.write_text(CONFIG.format(database=self.database(), locks=locks, wake=self.wake()))
        return path

    def wake(self) -> list[str]:
        """Return the URLs of the transports that wake its workers."""
        return []

    def database(self) -> str:
        """Return the URL of its database."""
        return "sqlite:///cronq.db"

    def put(self, order: Order) -> None:
        self._queue.enqueue("no-op", order.arguments())

    def put_many(self, orders: Sequence[Order]) -> None:
        self._queue.enqueue_many([{"task": "no-op", "args": order.arguments()} for order in orders])

    def put_later(self, order: Order, at: str) -> None:
        """Enqueue one job that is not due yet."""
        self._queue.enqueue("no-op", order.arguments(), at=at)

    def put_group(self, orders: Sequence[Order], group: str | None) -> None:
        """Enqueue these jobs into one group, or into none."""
        self._queue.enqueue_many([{"task": "no-op", "args": order.arguments(), "group": group} for order in orders])

    def put_command(self, command: str) -> int:
        """Enqueue a shell command; return its id."""
        return self._queue.command(command).id

    def put_marked(self, mark: str) -> int:
        """Enqueue one job that records its start; return its id."""
        return self._queue.enqueue("no-op", {"n": 0, "mark": mark}).id

    def store(self) -> Any:
        """Return its store, for figures that the public API doesn't give."""
        return self._queue.store

    def workers(self) -> list[list[str]]:
        return [[script("cronq"), "--config", str(self.place / "cronq.toml"), "run", "--jobs", "2"]]

    def staying(self) -> list[list[str]]:
        return [[script("cronq"), "--config", str(self.place / "cronq.toml"), "work", "--jobs", "2"]]
