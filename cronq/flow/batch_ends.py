"""End batches whose members have ended, reopen those of which a member was retried, and cancel members."""

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
"""The number of members that one transaction cancels."""

_LOOK_ON_DISTANCE = 200
"""The distance in ids from which the first outstanding member is stored, so that the next search begins there."""


class BatchEnds:
    """Updates the state of batches from their members' rows."""

    def __init__(self, tables: Tables, cancel: Callable[..., object]) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._cancel = cancel

    def of_jobs(self, ids: Iterable[int]) -> dict[int, int]:
        """Return the batch of each of these jobs that is a member of one: ids of batches by ids of jobs."""
        wanted = list(ids)
        return dict(self._tables.query(self._sql.batches.of_jobs, (self._many(wanted),))) if wanted else {}

    def update(self, batch_id: int, *, failed: bool) -> None:
        """Update a batch after a change of itself or of its members; `failed` if a member has failed."""
        batch = self._one(batch_id)
        if batch is None:
            return
        if failed and batch.on_failed == CANCEL and batch.outcome is None:
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
        if found - batch.looked_to > _LOOK_ON_DISTANCE:
            self._tables.open().execute(self._sql.batches.look_on, (found, batch.id))
        return False

    def _end(self, batch_id: int, tx: Transaction) -> None:
        # The states are read by separate statements after the lock: in the same one, PostgreSQL would read old ones.
        if not tx.execute(self._sql.batches.lock, (batch_id,)).rowcount:
            return
        found = tx.query(self._sql.batches.outstanding, (batch_id, 0))
        if found:  # a member that was retried, with an id below those that were searched
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
        """Return the outcome of a batch; None if a member has not ended: one may be retried between two statements."""
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
