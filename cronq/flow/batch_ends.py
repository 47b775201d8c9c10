"""Ends batches whose members have ended, reopens those of which one was retried, and cancels their members."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cronq.model.batch import CANCEL, BatchRow, outcome_of
from cronq.model.job import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables

_AT_ONCE = 500
"""Members of one transaction that cancels."""

_FAR = 200
"""Ids that a look steps over before it is remembered where the next one may begin."""


class BatchEnds:
    """Updates the state of batches from their members' rows."""

    def __init__(self, tables: Tables, cancel: Callable[..., object]) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._cancel = cancel

    def of_jobs(self, ids: Iterable[int]) -> dict[int, int]:
        """The batches of those jobs that are members of one."""
        wanted = list(ids)
        return dict(self._tables.query(self._sql.batches.of_jobs, (self._many(wanted),))) if wanted else {}

    def draw(self, batch_id: int, *, failed: bool) -> None:
        """Do what follows for a batch after a change of its members, or of itself; `failed` if one has failed."""
        batch = self._one(batch_id)
        if batch is None:
            return
        if failed and batch.on_failed == CANCEL and batch.state in ("open", "running"):
            self._mark_cancelled(batch_id)
            batch = self._one(batch_id) or batch
        if batch.ended_at is not None:
            self._tables.open().transact(partial(self._reconsider, batch_id))
            return
        if batch.cancelled_at is not None:
            self._cancel_members(batch)
        if batch.closed_at is not None and self._is_over(batch):
            self._tables.open().transact(partial(self._end, batch_id))

    def _is_over(self, batch: BatchRow) -> bool:
        found = self._outstanding(batch.id, batch.looked_to)
        if found is None:
            return True
        if found - batch.looked_to > _FAR:
            self._tables.open().execute(self._sql.batches.look_on, (found, batch.id))
        return False

    def _end(self, batch_id: int, tx: Transaction) -> None:
        # The states are read by statements of their own after the lock: PostgreSQL would answer from before it.
        if not tx.execute(self._sql.batches.lock, (batch_id,)).rowcount:
            return
        found = tx.query(self._sql.batches.outstanding, (batch_id, 0))
        if found:  # one that was retried, before those that the look began with
            tx.execute(self._sql.batches.look_on, (found[0][0], batch_id))
            return
        outcome = self._outcome(tx, batch_id)
        if outcome is not None:
            tx.execute(self._sql.batches.end, (self._tables.clock.now(), outcome, batch_id))
            tx.execute(self._sql.flow.note, (-batch_id,))

    def _reconsider(self, batch_id: int, tx: Transaction) -> None:
        """Reopen a batch that has ended if one of its members was retried, or correct how it ended."""
        outcome = self._outcome(tx, batch_id)
        if outcome is None:
            changed = tx.execute(self._sql.batches.reopen, (batch_id,)).rowcount
        else:
            batch = BatchRow._make(tx.query(self._sql.batches.one, (batch_id,))[0])
            changed = outcome != batch.outcome and tx.execute(self._sql.batches.correct, (outcome, batch_id)).rowcount
        if changed:
            tx.execute(self._sql.flow.note, (-batch_id,))

    def _outcome(self, tx: Transaction, batch_id: int) -> str | None:
        """How a batch has ended; None where a member has not: one may be retried between two statements."""
        [row] = tx.query(self._sql.batches.one, (batch_id,))
        tally: dict[str, int] = dict(tx.query(self._sql.batches.tally, (batch_id,)))
        if not UNFINISHED.isdisjoint(tally):
            return None
        return outcome_of(tally, cancelled=BatchRow._make(row).cancelled_at is not None)

    def _mark_cancelled(self, batch_id: int) -> None:
        now = self._tables.clock.now()
        self._tables.open().execute(self._sql.batches.cancel, (now, now, batch_id))

    def _cancel_members(self, batch: BatchRow) -> None:
        last, why = 0, f"{batch.label} was cancelled"
        while found := self._tables.query(self._sql.batches.cancellable, (batch.id, last, _AT_ONCE)):
            last = found[-1][0]
            self._cancel([job_id for (job_id,) in found], reason=why)

    def _one(self, batch_id: int) -> BatchRow | None:
        found = self._tables.query(self._sql.batches.one, (batch_id,))
        return BatchRow._make(found[0]) if found else None

    def _outstanding(self, batch_id: int, first: int) -> int | None:
        found = self._tables.query(self._sql.batches.outstanding, (batch_id, first))
        return found[0][0] if found else None

    def _many(self, ids: Iterable[int]) -> object:
        return self._tables.database.many(list(ids))
