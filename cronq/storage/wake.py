"""Wake workers after each change that makes jobs ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cronq.model.job import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.database import Transaction
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
    """Wakes workers with a COMMIT or after it. Without an announcer, only PostgreSQL's NOTIFY wakes them."""

    def __init__(self, tables: Tables, jobs: Callable[[], JobReader], announcer: Announces | None) -> None:
        self.announcer = announcer
        self._tables = tables
        self._jobs = jobs

    def committed(self, ids: Sequence[int] = ()) -> None:
        """Wake workers after the COMMIT of a change that made these jobs ready; without ids, any jobs."""
        if self.announcer is None:
            return
        jobs = [self._jobs().get(job_id) for job_id in ids[: self.announcer.named]]
        self.announcer.announce([(job.queue, job.id) for job in jobs if job is not None and job.state == State.READY])

    def enqueued(self, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued], now: int) -> None:
        """Wake workers, after the COMMIT, for those of the new jobs that are due."""
        if self.announcer is not None:
            self.announcer.announce(_due(jobs, enqueued, now) if self.announcer.named else ())

    def with_commit(self, tx: Transaction) -> None:
        """Wake workers on other hosts with the COMMIT, if the database can do that (PostgreSQL)."""
        if self._tables.sql.workers.ring:
            tx.query(self._tables.sql.workers.ring)

    def close(self) -> None:
        """Close the announcer's connections."""
        if self.announcer is not None:
            self.announcer.close()


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
