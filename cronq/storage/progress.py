"""Store the progress of running jobs; the settlement of a job deletes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cronq.model.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cronq.storage.drivers.database import Row, Transaction
    from cronq.storage.tables import Tables


class ProgressRows:
    """Reads, writes and deletes the progress of running jobs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def write(self, job_id: int, token: int, progress: Progress) -> None:
        """Store the progress of a job; does nothing if the claim with this token is over."""
        row = (progress.done, progress.total, progress.rate, progress.note, progress.at, job_id, token)
        database = self._tables.open()
        if not database.execute(self._sql.progress.update, row).rowcount:
            database.transact(partial(self._first, row))

    def forget(self, job_id: int) -> None:
        """Delete the progress of a job whose claim is returned."""
        self._tables.open().transact(lambda tx: self.drop(tx, [job_id]))

    def _first(self, row: tuple[object, ...], tx: Transaction) -> None:
        job_id, token = row[-2:]
        if tx.execute(self._sql.progress.mark, (job_id, token)).rowcount:
            tx.execute(self._sql.progress.first, row)

    def of(self, ids: Iterable[int]) -> Mapping[int, Progress]:
        """Read the progress of these jobs, by their ids."""
        chosen = self._tables.database.many(list(ids))
        return _by_id(self._tables.query(self._sql.progress.of, (chosen,)))

    def all(self) -> Mapping[int, Progress]:
        """Read the progress of all jobs that report it, by their ids."""
        return _by_id(self._tables.query(self._sql.progress.all))

    def drop(self, tx: Transaction, ids: Iterable[int]) -> None:
        """Delete the progress of jobs that are settled in this transaction."""
        chosen = self._tables.database.many(sorted(ids))
        tx.execute(self._sql.progress.drop, (chosen,))
        tx.execute(self._sql.progress.unmark, (chosen,))


def _by_id(found: Iterable[Row]) -> dict[int, Progress]:
    return {job_id: Progress(done, total, rate, note or "", at) for job_id, done, total, rate, note, at in found}
