"""Lock, hold and free groups, whose jobs run one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


class Groups:
    """Changes the rows of held groups inside of a transaction."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def lock(self, tx: Transaction, groups: Sequence[str]) -> None:
        """Keep other transactions out of these groups, held or not."""
        # Else two that cancel a group's first jobs at once would both leave its next job blocked.
        if self._sql.dialect.locks_groups and groups:
            tx.execute(self._sql.groups.lock_groups(len(groups)), groups)

    def unlock(self, tx: Transaction, groups: Sequence[str]) -> None:
        """Remove the rows that only locked a group."""
        if self._sql.dialect.locks_groups and groups:
            tx.execute(self._sql.groups.unlock_groups, (self._tables.database.many(groups),))

    def share(self, tx: Transaction, ids: Sequence[int]) -> None:
        """Keep the groups of these jobs from being freed until the COMMIT."""
        if self._sql.dialect.many_writers and ids:
            tx.query(self._sql.groups.share_groups, (self._tables.database.many(ids),))

    def of(self, tx: Transaction, ids: Sequence[int]) -> list[str]:
        """Read the groups of these jobs, sorted."""
        if not ids:
            return []
        found = tx.query(self._sql.groups.groups_of, (self._tables.database.many(ids),))
        return sorted(row[0] for row in found if type(row[0]) is str)  # others were written by hand, and lock nothing

    def unblock(self, tx: Transaction, group: str) -> list[int]:
        """Make the next job of a group ready, unless the group is held or has one that is ready; returns its id."""
        following: list[tuple[int]] = tx.query(self._sql.groups.next_blocked, (group, group, group))
        return [one[0] for one in following if tx.execute(self._sql.groups.unblock, one).rowcount]

    def note_waiting(self, tx: Transaction, groups: Sequence[str]) -> None:
        """Note a job under a limit that stands behind others in each group: these may have left it."""
        for group in groups:
            for first in tx.query(self._sql.limits.first_in_group, (group,)):
                tx.execute(self._sql.flow.note, first[:1])

    def leave(self, tx: Transaction, job_id: int) -> list[int]:
        """Free the group of a job that holds it; returns the id of the next job, if that is ready now."""
        group = tx.query(self._sql.groups.group_of, (job_id,))[0][0]
        if group is None:
            return []
        tx.execute(self._sql.groups.free, (group, self._tables.database.many([job_id])))
        return self.unblock(tx, group)
