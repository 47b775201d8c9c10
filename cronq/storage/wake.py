"""Wake workers after each change that makes jobs ready."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cronq.errors import CronqError
from cronq.model.job import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.database import T, Transaction
    from cronq.storage.reading import JobReader
    from cronq.storage.tables import Tables


class Announces(Protocol):
    """Wakes workers, as `cronq.transports.announcer` does."""

    named: int
    """The number of jobs of one announcement whose queue and id it takes; 0 if it needs none."""

    def announce(self, jobs: Sequence[tuple[str, int]] = ()) -> None:
        """Wake workers for jobs that are ready; never raises."""

    def close(self) -> None:
        """Close all connections."""


class Wake:
    """Wakes workers for jobs that a transaction makes ready. Without an announcer only PostgreSQL's NOTIFY does."""

    def __init__(self, tables: Tables, jobs: Callable[[], JobReader], announcer: Announces | None) -> None:
        self._announcer = announcer
        self._tables = tables
        self._jobs = jobs
        self._gathered: list[int] | None = None
        self._silent = False

    def transact(self, work: Callable[[Transaction], T], ready: Callable[[T], Sequence[int] | bool]) -> T:
        """Do the work in a transaction, and wake workers for the jobs that it has made ready.

        `ready` chooses their ids from the result of the work; True stands for jobs that it can't name.
        """
        result = self._tables.open().transact(partial(self._rung, work, ready))
        ids = ready(result)
        if ids is True:
            self.announce_unnamed()
        elif ids:
            self.announce(ids)
        return result

    def _rung(self, work: Callable[[Transaction], T], ready: Callable[[T], Sequence[int] | bool], tx: Transaction) -> T:
        """Do the work; workers on other hosts are woken with the COMMIT, if the database can do that (PostgreSQL)."""
        result = work(tx)
        if self._tables.sql.workers.ring and ready(result):
            tx.query(self._tables.sql.workers.ring)
        return result

    def announce(self, ids: Sequence[int]) -> None:
        """Wake workers for jobs that a committed change has made ready; never raises."""
        if self._gathered is not None:
            self._gathered += ids
        elif self._announcer is not None and not self._silent:
            self._announcer.announce(self._named(ids[: self._announcer.named]))

    def announce_unnamed(self) -> None:
        """Wake this host's workers for jobs that are ready, whichever they are; never raises."""
        if self._announcer is not None and not self._silent:
            self._announcer.announce()

    def _named(self, ids: Sequence[int]) -> list[tuple[str, int]]:
        try:
            jobs = [self._jobs().get(job_id) for job_id in ids]
        except CronqError:  # the change is committed: an error would say that it isn't
            return []
        return [(job.queue, job.id) for job in jobs if job is not None and job.state == State.READY]

    def enqueued(self, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued], now: int) -> None:
        """Wake workers for those of the new jobs that are due; on PostgreSQL their INSERT has notified other hosts."""
        if self._announcer is not None and enqueued:
            self._announcer.announce(_due(jobs, enqueued, now) if self._announcer.named else ())

    @property
    def announces(self) -> bool:
        """Whether there is an announcer."""
        return self._announcer is not None

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Announce the jobs of all transactions within the context at its end, once; without names after an error."""
        if self._gathered is not None:
            yield
            return
        self._gathered, ended = list[int](), False
        try:
            yield
            ended = True
        finally:
            gathered, self._gathered = self._gathered, None
            if gathered and ended:
                self.announce(gathered)
            elif gathered:
                self.announce_unnamed()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Announce nothing within the context. PostgreSQL's NOTIFY remains."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    @contextmanager
    def announced_by(self, announcer: Announces) -> Iterator[None]:
        """Use this announcer within the context; at its end, close it."""
        self.close()  # connections that are open now would be inherited by forks
        usual, self._announcer = self._announcer, announcer
        try:
            yield
        finally:
            self._announcer = usual
            announcer.close()

    def close(self) -> None:
        """Close the announcer's connections."""
        if self._announcer is not None:
            self._announcer.close()


def _due(jobs: Sequence[NewJob], enqueued: Sequence[Enqueued], now: int) -> list[tuple[str, int]]:
    """Return queue and id of each new job that is due, comes after no other job and is under no limit."""
    return [
        (job.queue, new.id)
        for job, new in zip(jobs, enqueued, strict=True)
        if not new.existing
        and not job.after
        and not job.limit
        and (job.available_at is None or job.available_at <= now)
    ]
