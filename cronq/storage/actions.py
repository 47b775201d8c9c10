"""Record which user paused, cancelled, retried or killed what, and when; the rows are deleted with their jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables

_LONGEST = 255
_LARGEST = 2**62
_ROWS = 10_000
"""The number of newest rows in which the latest changes are found: a change has one row for each of its jobs."""


class Action(NamedTuple):
    """One change by a user."""

    verb: str
    """`paused`, `resumed`, `cancelled`, `retried`, `released`, `edited` or `killed`."""
    at: int
    who: str
    """The user and the host, `ann@web1`."""
    reason: str | None


class Change(NamedTuple):
    """A change by a user, of one or many jobs or of a queue."""

    id: int
    """The id of its first row."""
    verb: str
    at: int
    who: str
    reason: str | None
    queue: str | None
    jobs: int
    first_job: int | None
    last_job: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the change with its documented field names."""
        jobs = {"jobs": self.jobs, "first_job": self.first_job, "last_job": self.last_job}
        if self.first_job is None:
            jobs = dict.fromkeys(jobs)
        return {
            "verb": self.verb, "at": iso(self.at), "by": self.who, "reason": self.reason, "queue": self.queue, **jobs,
        }  # fmt: skip


class Actions:
    """Records changes by users, in the transaction of each change, and reads them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def on_jobs(self, tx: Transaction, verb: str, ids: Sequence[int], reason: str | None = None) -> None:
        """Record a change of jobs by this user."""
        if ids:
            what = (verb, self._tables.clock.now(), _who(), reason)
            tx.execute(self._sql.actions.on_jobs, (*what, self._tables.database.many(sorted(ids))))

    def on_queue(self, tx: Transaction, verb: str, queue: str) -> None:
        """Record a change of a queue by this user, replacing the last one."""
        tx.execute(self._sql.actions.forget_queue, (queue,))
        tx.execute(self._sql.actions.on_queue, (queue, verb, self._tables.clock.now(), _who(), None))

    def of_job(self, job_id: int) -> list[Action]:
        """Read the changes of a job, oldest first."""
        return [Action._make(row) for row in self._tables.query(self._sql.actions.of_job, (job_id,))]

    def latest(self, *, limit: int, before: int | None = None) -> list[Change]:
        """Read the newest changes, one for all jobs that were changed at once, from rows with ids below `before`."""
        rows = self._tables.query(self._sql.actions.latest, (before or _LARGEST, _ROWS, limit))
        return [Change._make(row) for row in rows]

    def of_paused(self) -> dict[str, Action]:
        """Read the action that paused each paused queue, by queue; a queue that an older cronq paused has none."""
        return {row[0]: Action._make(row[1:]) for row in self._tables.query(self._sql.actions.of_paused)}


def _who() -> str:
    from cronq.system.audit import who  # here, not above: a run does nothing by hand

    return who()[:_LONGEST]
