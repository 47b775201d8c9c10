"""Record the jobs about which a failure notice was sent, by queue, for the notice that the queue is healthy again.

A queue is healthy again when each of them has finished, or was cancelled or deleted. A job that is retried
counts as failed until it has finished.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from cronq.storage.drivers.database import Duplicate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


class Incidents:
    """Records and deletes incidents; of several hosts, one reports that a queue is healthy again."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def mark(self, ids: Iterable[int]) -> None:
        """Record an incident for each of these jobs, about which a notice was sent."""
        database, told = self._tables.open(), sorted(set(ids))
        if told:
            with suppress(Duplicate):  # another process has recorded it
                database.execute(self._sql.incidents.record, (self._tables.clock.now(), database.many(told)))

    def any_recovered(self) -> bool:
        """Tell whether a queue is healthy again, and no notice of it was sent yet."""
        return any(self._is_healed(queue) for queue in self._queues())

    def take_recovered(self) -> list[str]:
        """Delete the incidents of queues that are healthy again; returns them, each to only one of several callers."""
        return [queue for queue in self._queues() if self._is_healed(queue) and self._take(queue)]

    def _queues(self) -> list[str]:
        return [row[0] for row in self._tables.open().query(self._sql.incidents.queues)]

    def _is_healed(self, queue: str) -> bool:
        return not self._tables.open().query(self._sql.incidents.still_open, (queue,))

    def _take(self, queue: str) -> bool:
        return self._tables.open().transact(partial(self._forget, queue))

    def _forget(self, queue: str, tx: Transaction) -> bool:
        """Delete a queue's incidents; returns False if another host did, or another job failed meanwhile."""
        ids = [row[0] for row in tx.query(self._sql.incidents.jobs_of, (queue,))]
        if not ids or tx.query(self._sql.incidents.still_open, (queue,)):
            return False
        return tx.execute(self._sql.incidents.forget, (queue, self._tables.open().many(ids))).rowcount == len(ids)
