"""Who works on the queue: each runner's row while it lives, on any host."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.selection import Filter
from cronq.storage.drivers.database import Duplicate

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.storage.drivers.database import Database
    from cronq.storage.sql.writes import Queries
    from cronq.times import Clock


END = "end"
"""What a worker is asked for that is to end after its jobs."""


class Registration(NamedTuple):
    """What a runner says of itself when it starts."""

    name: str
    kind: str
    """`run`, `work` or `serve-inetd`."""
    host: str
    pid: int
    queues: str
    """The filter it claims by, as text; empty for everything."""
    version: str


class Heartbeat(NamedTuple):
    """What a runner says of itself from time to time."""

    state: str = "running"
    """`running`, `paused` or `ending`."""
    jobs_done: int = 0
    memory: int | None = None
    """Bytes, of the runner and its children."""


class Worker(NamedTuple):
    """One runner as the database knows it; times are instants."""

    name: str
    kind: str
    host: str
    pid: int
    queues: str
    version: str
    started_at: int
    seen_at: int
    state: str
    asked: str | None
    """`end`: somebody asked it to end after its jobs."""
    jobs_done: int
    memory: int | None

    @property
    def filter(self) -> Filter:
        """The queues that it claims from."""
        return Filter(tuple(self.queues.split()))


class WorkerRegistry:
    """The workers' rows. A row says that a worker lived when it was last seen, nothing about its jobs."""

    def __init__(self, opened: Callable[[], Database], queries: Queries, clock: Clock) -> None:
        self._opened = opened
        self._queries = queries
        self._clock = clock

    def enter(self, entry: Registration) -> None:
        """Put a runner on the roster."""
        now = self._clock.now()
        try:
            self._opened().execute(self._queries.enter, (*entry, now, now))
        except Duplicate:  # the answer got lost, and it was written again
            return

    def beat(self, name: str, presence: Heartbeat) -> bool:
        """Say that a runner lives, and how it does; False if it isn't on the roster."""
        return bool(self._opened().execute(self._queries.beat, (self._clock.now(), *presence, name)).rowcount)

    def leave(self, name: str) -> None:
        """Take a runner off the roster; its jobs must have been freed before."""
        self._opened().execute(self._queries.leave, (name,))

    def forget_silent(self, since: int) -> None:
        """Take runners off the roster that hold no lease and gave no sign of life since an instant."""
        self._opened().execute(self._queries.forget_silent, (since,))

    def workers(self) -> list[Worker]:
        """All that are on the roster, oldest first."""
        return [Worker._make(row) for row in self._opened().query(self._queries.workers_seen)]

    def ask(self, name: str, what: str | None) -> bool:
        """Ask a runner to do something (`end`), or no longer; False if it isn't on the roster."""
        return bool(self._opened().execute(self._queries.ask, (what, name)).rowcount)
