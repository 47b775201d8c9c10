"""Store what new jobs come after and which batch they are in, in the transaction that stores the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.errors import InvalidInput
from cronq.flow.batches import Members
from cronq.model.after import AFTER_FAILURE
from cronq.model.dependencies import Related

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cronq.model.dependencies import After
    from cronq.model.job import Enqueued, NewJob
    from cronq.storage.drivers.database import Connection
    from cronq.storage.tables import Tables


class Edges:
    """Stores what new jobs come after. Raises InvalidInput for a condition that can't be fulfilled any more."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def tie(self, connection: Connection, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]) -> None:
        """Store what the new jobs come after, and add them to their batches; the jobs are stored already."""
        Members(self._tables).add(connection, jobs, enqueued)
        for number, job in enumerate(jobs):
            if not job.after or enqueued[number].existing:
                continue
            job_id = enqueued[number].id
            for parent, kind in sorted(set(self._parents(connection, number, jobs, enqueued))):
                connection.execute(self._sql.flow.add_edge, (job_id, parent, kind))
            connection.execute(self._sql.flow.hold_one, (job_id,))
            connection.execute(self._sql.flow.note, (job_id,))
        waiting: dict[int, set[int]] = {}
        for job, new in zip(jobs, enqueued, strict=True):
            if job.batch is not None and job.after and not new.existing:
                waiting.setdefault(job.batch, set()).add(new.id)
        for batch_id, members in waiting.items():
            self._require_no_circle(connection, batch_id, members)

    def _require_no_circle(self, connection: Connection, batch_id: int, members: set[int]) -> None:
        """Raise InvalidInput if one of these new members comes after its own batch, or after what comes after it."""
        seen = ahead = {-batch_id}
        while ahead:
            found = connection.query(self._sql.batches.following, (self._tables.database.many(sorted(ahead)),))
            if not members.isdisjoint(child for child, _ in found):
                raise InvalidInput(f"batch: a job of batch {batch_id} can't come after batch {batch_id}")
            reached = {child for child, _ in found} | {-batch for _, batch in found if batch is not None}
            ahead = reached - seen
            seen = seen | ahead

    def _parents(
        self, connection: Connection, number: int, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]
    ) -> Iterator[tuple[int, str]]:
        for after in jobs[number].after:
            if after.here:
                yield enqueued[after.job].id, after.kind
            elif self._is_there(connection, after):
                yield after.job, after.kind

    def _is_there(self, connection: Connection, after: After) -> bool:
        # In a caller's transaction, the job may be stored by that itself, or later than its snapshot.
        sql = self._sql.flow.standing if after.job > 0 else self._sql.flow.standing_batch
        found = connection.query(sql, (abs(after.job),)) or self._tables.query(sql, (abs(after.job),))
        parent = Related(after.job, after.kind, *(found[0] if found else (None,)))
        if found and not parent.is_unmet:
            return True
        if after.must_exist:
            raise InvalidInput(_refusal(parent, found=bool(found)))
        return False


def _refusal(parent: Related, *, found: bool) -> str:
    if not found:
        return f"{parent.kind}: there is no {parent.name}"
    again = f"retry {parent.id}" if parent.id > 0 else f"retry --batch {-parent.id}"
    hint = "" if parent.kind == AFTER_FAILURE else f"; `cronq {again}` first, or after_missing = ignore"
    return f"{parent.kind}: {parent.name} {parent.how}{hint}"
