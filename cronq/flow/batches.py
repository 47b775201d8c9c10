"""Open, close, cancel and read batches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import InvalidInput
from cronq.flow.circles import closing
from cronq.model.batch import BatchRow
from cronq.model.dependencies import After
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronq.model.batch import NewBatch
    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.database import Connection, Transaction
    from cronq.storage.enqueue import Inserts
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake

AT_ONCE = 1000
"""The number of members that one statement adds."""

_LONGEST = 255
_NO_ID = 2**63 - 1
"""Higher than the id of any batch."""


class Opened(NamedTuple):
    """A batch that was stored, its members, and the jobs that come after it."""

    id: int
    jobs: Sequence[Enqueued]
    callbacks: Sequence[Enqueued]


class Batches:
    """Opens, closes, cancels and reads the batches in one database."""

    def __init__(self, tables: Tables, inserter: Inserts, wake: Wake, follow_up: Callable[[], object]) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._inserter = inserter
        self._wake = wake
        self._follow_up = follow_up

    def open(self, new: NewBatch) -> Opened:
        """Store a batch with its members and the jobs that come after it, all or nothing."""
        self._tables.open()
        now = self._tables.clock.now()
        made: list[int] = []
        enqueued = self._inserter.accept_with(partial(self._insert, new, now, made), now=now)
        jobs, callbacks = enqueued[: len(new.jobs)], enqueued[len(new.jobs) :]
        self._wake.enqueued(new.jobs, jobs, now)
        self._follow_up()
        return Opened(self._id_of(made[-1], jobs, callbacks), jobs, callbacks)

    def _insert(self, new: NewBatch, now: int, made: list[int], tx: Transaction) -> list[NewJob]:
        closed = now if new.closed else None
        batch_id = tx.insert(self._sql.batches.open, (new.name, new.on_failed, now, _who(), closed))
        made.append(batch_id)
        tx.execute(self._sql.flow.note, (-batch_id,))
        members = [job._replace(batch=batch_id) for job in new.jobs]
        return members + [job._replace(after=(*job.after, After(-batch_id, kind))) for kind, job in new.callbacks]

    def _id_of(self, made: int, jobs: Sequence[Enqueued], callbacks: Sequence[Enqueued]) -> int:
        """Return the id of the stored batch.

        It is not the one made last if an earlier try was stored, and the answer to its COMMIT got lost.
        """
        if not self._sql.dialect.has_tokens or self.get(made) is not None:
            return made
        found = [row[0] for job in jobs for row in self._batch_of(job.id)]
        found += [-row[0] for job in callbacks for row in self._tables.query(self._sql.flow.parent_ids, (job.id,))]
        return max(found)

    def _batch_of(self, job_id: int) -> list[tuple[int]]:
        return [(batch,) for _, batch in self._tables.query(self._sql.batches.of_jobs, (self._many([job_id]),))]

    def close(self, batch_id: int) -> bool:
        """Close a batch, so that it ends once its members have ended; returns False if it is closed already.

        Raises InvalidInput if there is none.
        """
        self.require(batch_id)
        closed = self._tables.open().transact(partial(self._close, batch_id))
        self._follow_up()
        return closed

    def _close(self, batch_id: int, tx: Transaction) -> bool:
        closed = bool(tx.execute(self._sql.batches.close, (self._tables.clock.now(), batch_id)).rowcount)
        tx.execute(self._sql.flow.note, (-batch_id,))
        return closed

    def cancel(self, batch_id: int) -> bool:
        """Close a batch and cancel its members that aren't running; no jobs can be added to it any more.

        Returns False if it has ended or was cancelled. Raises InvalidInput if there is none.
        """
        self.require(batch_id)
        cancelled = self._tables.open().transact(partial(self._cancel, batch_id))
        self._follow_up()
        return cancelled

    def _cancel(self, batch_id: int, tx: Transaction) -> bool:
        now = self._tables.clock.now()
        cancelled = bool(tx.execute(self._sql.batches.cancel, (now, now, batch_id)).rowcount)
        tx.execute(self._sql.flow.note, (-batch_id,))
        return cancelled

    # Reading

    def get(self, batch_id: int) -> BatchRow | None:
        """Read a batch, None if there is none."""
        found = self._tables.query(self._sql.batches.one, (batch_id,))
        return BatchRow._make(found[0]) if found else None

    def require(self, batch_id: int) -> BatchRow:
        """Read a batch. Raises InvalidInput if there is none."""
        batch = self.get(batch_id)
        if batch is None:
            raise InvalidInput(f"there is no batch {batch_id}")
        return batch

    def newest(self, limit: int, *, before: int | None = None) -> list[BatchRow]:
        """Read the newest batches, at most `limit`; those with ids below `before` if it is given."""
        rows = self._tables.query(self._sql.batches.newest, (_NO_ID if before is None else before, limit))
        return [BatchRow._make(row) for row in rows]

    def unended(self, limit: int) -> list[BatchRow]:
        """Read the oldest batches that have not ended."""
        return [BatchRow._make(row) for row in self._tables.query(self._sql.batches.unended, (limit,))]

    def counts(self, batch_id: int) -> dict[str, int]:
        """Count the members by state; `skipped` are cancelled ones that skipped themselves, `cleared` deleted ones."""
        told = self._tables.query(self._sql.batches.tally, (batch_id,))
        return dict(sorted((row[0] or "cleared", row[1]) for row in told))

    def has_more_than(self, number: int, batch_id: int) -> bool:
        """Tell whether a batch has more members than a number, without counting them all."""
        return bool(self._tables.query(self._sql.batches.member_at, (batch_id, number)))

    def first_waiting(self, batch_id: int) -> int | None:
        """Read the id of the first member that has not ended; None if there is none."""
        return next((job for (job,) in self._tables.query(self._sql.batches.outstanding, (batch_id, 0))), None)

    def is_waiting(self, batch_id: int) -> bool:
        """Tell whether a member has not ended."""
        return self.first_waiting(batch_id) is not None

    def of_job(self, job_id: int) -> BatchRow | None:
        """Read the batch of which this job is a member; None if it is in none."""
        found = self._batch_of(job_id)
        return self.get(found[0][0]) if found else None

    def closing_circle(self, one: int) -> int | None:
        """Find the job to release if a job, or a batch (its id with a minus sign), waits for itself; else None."""
        within = None if one < 0 else next((-batch for (batch,) in self._batch_of(one)), None)
        return closing(self._tables.open(), self._sql, one, within=within)

    def _many(self, ids: Sequence[int]) -> object:
        return self._tables.database.many(list(ids))


class Members:
    """Adds new jobs to batches, in the transaction that stores them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def add(self, connection: Connection, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]) -> None:
        """Add each new job to the batch that it names, if any. Raises InvalidInput for a batch that takes no more."""
        by_batch: dict[int, list[int]] = {}
        for job, new in zip(jobs, enqueued, strict=True):
            if job.batch is not None and not new.existing:
                by_batch.setdefault(job.batch, []).append(new.id)
        for batch_id, ids in sorted(by_batch.items()):
            # A write, so that this transaction and one that ends the batch wait for each other and see its rows.
            if not connection.execute(self._sql.batches.admit, (batch_id,)).rowcount:
                raise InvalidInput(self._refusal(connection, batch_id))
            for start in range(0, len(ids), AT_ONCE):
                chosen = self._tables.database.many(ids[start : start + AT_ONCE])
                connection.execute(self._sql.batches.mark, (chosen,))
                connection.execute(self._sql.batches.join, (batch_id, chosen))

    def _refusal(self, connection: Connection, batch_id: int) -> str:
        found = connection.query(self._sql.batches.one, (batch_id,))
        if not found:
            return f"batch: there is no batch {batch_id}"
        batch = BatchRow._make(found[0])
        how, when = ("ended", batch.ended_at) if batch.ended_at is not None else ("was cancelled", batch.cancelled_at)
        at = f" at {to_datetime(when):%Y-%m-%d %H:%M:%S} UTC" if when is not None else ""
        return f"batch: {batch.label} {how}{at}: no job can be added to it"


def _who() -> str:
    from cronq.system.audit import who  # here, not above: it is imported by few

    return who()[:_LONGEST]
