"""Register the runners of all hosts, record their heartbeats, and send them requests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.model.selection import Filter
from cronq.storage.drivers.database import Duplicate
from cronq.storage.sql.workers import ASKED, DUE, FOLLOWED, KILL, PAUSED
from cronq.system.process import is_stopped
from cronq.times import iso

if TYPE_CHECKING:
    from cronq.storage.tables import Tables


END = "end"
"""The request to a worker to end after its jobs."""


class Registration(NamedTuple):
    """The data that a runner registers at its start."""

    name: str
    kind: str
    """`run`, `work` or `serve-inetd`."""
    host: str
    pid: int
    queues: str
    """Its filter as text; empty for all queues."""
    version: str


class Heartbeat(NamedTuple):
    """The data that a runner reports with each heartbeat."""

    state: str = "running"
    """`running`, `paused` or `ending`."""
    jobs_done: int = 0
    memory: int | None = None
    """Bytes that the runner and its children use."""


class Worker(NamedTuple):
    """A registered runner; times are instants."""

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
    """The request to it: `end` to end after its jobs, or None."""
    jobs_done: int
    memory: int | None

    @property
    def is_stopped(self) -> bool:
        """Whether it runs on this host and was stopped by a signal: it does nothing until SIGCONT."""
        return self.host == os.uname().nodename and is_stopped(self.pid)

    def to_json(self) -> dict[str, Any]:
        """Return the worker with its documented field names; its state is that of its last heartbeat."""
        return {
            "name": self.name,
            "kind": self.kind,
            "host": self.host,
            "pid": self.pid,
            "queues": self.queues.split(),
            "version": self.version,
            "state": self.state,
            "started_at": iso(self.started_at),
            "seen_at": iso(self.seen_at),
            "jobs_done": self.jobs_done,
            "memory": self.memory,
        }

    @property
    def filter(self) -> Filter:
        """The filter of the jobs that it claims; priorities are not registered."""
        return Filter(tuple(self.queues.split()))


class Requests(NamedTuple):
    """The data that a worker reads each second: requests to it, paused queues, kills, and the next due time."""

    asked: str | None
    """The request to it: `end` to end after its jobs, or None."""
    paused: frozenset[str]
    """The queues that are paused."""
    kills: tuple[int, ...]
    """The ids of its jobs that `cancel --kill` requested to kill."""
    next_due: int | None
    """The earliest instant at which a scheduled, retrying or waiting job is due, or a rate allows a start."""
    followed: tuple[int, ...] = ()
    """The ids of the jobs, of any worker, whose output is followed."""


class WorkerRegistry:
    """Registers workers and records their heartbeats; leases are not kept here, but in the rows of jobs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def register(self, entry: Registration) -> None:
        """Record a runner that has started."""
        now = self._tables.clock.now()
        try:
            self._tables.open().execute(self._sql.workers.enter, (*entry, now, now))
        except Duplicate:  # the answer got lost, and the INSERT was repeated
            return

    def heartbeat(self, name: str, presence: Heartbeat) -> bool:
        """Record a runner's heartbeat; returns False if it isn't registered."""
        return bool(
            self._tables.open().execute(self._sql.workers.beat, (self._tables.clock.now(), *presence, name)).rowcount
        )

    def unregister(self, name: str) -> None:
        """Remove a runner; its jobs must have been freed before."""
        self._tables.open().execute(self._sql.workers.leave, (name,))

    def forget_silent(self, since: int) -> None:
        """Unregister runners that hold no lease and sent no heartbeat since an instant."""
        self._tables.open().execute(self._sql.workers.forget_silent, (since,))

    def all(self) -> list[Worker]:
        """Read all registered workers, oldest first."""
        return [Worker._make(row) for row in self._tables.open().query(self._sql.workers.workers_seen)]

    def ask(self, name: str, what: str | None) -> bool:
        """Send a runner a request (`end`), or withdraw it (None); returns False if it isn't registered."""
        found = bool(self._tables.open().execute(self._sql.workers.ask, (what, name)).rowcount)
        if found and what == END:
            from cronq.system.log import log  # here, not above: `health` needs no log

            log.info("worker %s is asked to end", name)
        return found

    def requests(self, worker: str) -> Requests:
        """Read the requests to a worker, and what else it reads each second, with one statement."""
        told: dict[int, list[tuple[Any, int]]] = {}
        for kind, text, number in self._tables.query(
            self._sql.workers.requests, (worker, worker, self._tables.clock.now())
        ):
            told.setdefault(kind, []).append((text, number))
        return Requests(
            asked=next((text for text, _ in told.get(ASKED, ())), None),
            paused=frozenset(text for text, _ in told.get(PAUSED, ())),
            kills=tuple(number for _, number in told.get(KILL, ())),
            next_due=min((number for _, number in told.get(DUE, ())), default=None),
            followed=tuple(number for _, number in told.get(FOLLOWED, ())),
        )
