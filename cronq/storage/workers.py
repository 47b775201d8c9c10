"""Who works on the queue: each runner's row while it lives, on any host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.selection import Filter
from cronq.storage.drivers.database import Duplicate

if TYPE_CHECKING:
    from cronq.storage.tables import Tables


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
    """`end`: it was asked to end after its jobs."""
    jobs_done: int
    memory: int | None

    @property
    def filter(self) -> Filter:
        """The queues that it claims from."""
        return Filter(tuple(self.queues.split()))


class Requests(NamedTuple):
    """What was asked of a worker by others, through the database."""

    asked: str | None
    """`end`: after its jobs."""
    paused: frozenset[str]
    """The queues that are paused."""
    kills: tuple[int, ...]
    """Its jobs that `cancel --kill` asked to kill."""
    next_due: int | None
    """The instant at which the next scheduled, retrying or waiting job is due."""
    followed: tuple[int, ...] = ()
    """The jobs, of any worker, whose output a `cronq tail` follows."""


_ASKED, _PAUSED, _KILL, _DUE, _FOLLOWED = range(1, 6)
"""As the statement numbers its parts."""


class WorkerRegistry:
    """The workers' rows. A row says that a worker lived when it was last seen, nothing about its jobs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def register(self, entry: Registration) -> None:
        """Record a runner that has started."""
        now = self._tables.clock.now()
        try:
            self._tables.open().execute(self._sql.workers.enter, (*entry, now, now))
        except Duplicate:  # the answer got lost, and it was written again
            return

    def heartbeat(self, name: str, presence: Heartbeat) -> bool:
        """Say that a runner lives, and how it does; False if it isn't registered."""
        return bool(
            self._tables.open().execute(self._sql.workers.beat, (self._tables.clock.now(), *presence, name)).rowcount
        )

    def unregister(self, name: str) -> None:
        """Remove a runner; its jobs must have been freed before."""
        self._tables.open().execute(self._sql.workers.leave, (name,))

    def forget_silent(self, since: int) -> None:
        """Take runners off the roster that hold no lease and gave no sign of life since an instant."""
        self._tables.open().execute(self._sql.workers.forget_silent, (since,))

    def all(self) -> list[Worker]:
        """All registered workers, oldest first."""
        return [Worker._make(row) for row in self._tables.open().query(self._sql.workers.workers_seen)]

    def ask(self, name: str, what: str | None) -> bool:
        """Ask a runner to do something (`end`), or no longer; False if it isn't registered."""
        return bool(self._tables.open().execute(self._sql.workers.ask, (what, name)).rowcount)

    def requests(self, worker: str) -> Requests:
        """What a worker must know each second, in one statement."""
        told: dict[int, list[tuple[Any, int]]] = {}
        for kind, text, number in self._tables.query(
            self._sql.workers.requests, (worker, worker, self._tables.clock.now())
        ):
            told.setdefault(kind, []).append((text, number))
        return Requests(
            asked=next((text for text, _ in told.get(_ASKED, ())), None),
            paused=frozenset(text for text, _ in told.get(_PAUSED, ())),
            kills=tuple(number for _, number in told.get(_KILL, ())),
            next_due=next((number for _, number in told.get(_DUE, ())), None),
            followed=tuple(number for _, number in told.get(_FOLLOWED, ())),
        )
