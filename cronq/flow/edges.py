"""Stores what new jobs come after, in the transaction that stores the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.errors import InvalidInput
from cronq.model.dependencies import AFTER_FAILURE, Parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cronq.model.dependencies import After
    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.database import Connection
    from cronq.storage.tables import Tables


class Edges:
    """Ties new jobs to those that they come after. Raises InvalidInput for one that can't fulfil it any more."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def tie(self, connection: Connection, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]) -> None:
        """Tie those of the new jobs that come after others; all of them are stored, as pending, already."""
        for number, job in enumerate(jobs):
            if not job.after or enqueued[number].existing:
                continue
            job_id = enqueued[number].id
            for parent, kind in sorted(set(self._parents(connection, number, jobs, enqueued))):
                connection.execute(self._sql.flow.add_edge, (job_id, parent, kind))
            connection.execute(self._sql.flow.hold_one, (job_id,))
            connection.execute(self._sql.flow.note, (job_id,))

    def _parents(
        self, connection: Connection, number: int, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]
    ) -> Iterator[tuple[int, str]]:
        for after in jobs[number].after:
            if after.here:
                yield enqueued[after.job].id, after.kind
            elif self._is_there(connection, after):
                yield after.job, after.kind

    def _is_there(self, connection: Connection, after: After) -> bool:
        # In a caller's transaction, the job may be its own, or younger than its snapshot.
        found = connection.query(self._sql.flow.standing, (after.job,)) or self._tables.query(
            self._sql.flow.standing, (after.job,)
        )
        parent = Parent(after.job, after.kind, *(found[0] if found else (None,)))
        if found and not parent.is_unmet:
            return True
        if after.must_exist:
            raise InvalidInput(_refusal(parent, found=bool(found)))
        return False


def _refusal(parent: Parent, *, found: bool) -> str:
    if not found:
        return f"{parent.kind}: there is no job {parent.id}"
    hint = "" if parent.kind == AFTER_FAILURE else f"; `cronq retry {parent.id}` first, or after_missing = ignore"
    return f"{parent.kind}: job {parent.id} {parent.how}{hint}"
