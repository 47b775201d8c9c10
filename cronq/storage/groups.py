"""Lock, hold and free groups, whose jobs run one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


class Groups:
    """Locks and frees groups, and unblocks their next jobs, in a caller's transaction."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql

    def lock(self, tx: Transaction, groups: Sequence[str]) -> None:
        """Lock these groups, held or not, against other transactions; `unlock` must follow."""
        # Without this, two transactions that cancel the first jobs of a group at once would leave the next one blocked.
        if self._sql.dialect.locks_groups and groups:
            tx.execute(self._sql.groups.lock_groups(len(groups)), groups)

    def unlock(self, tx: Transaction, groups: Sequence[str]) -> None:
        """Delete the rows that `lock` inserted for groups without a holder."""
        if self._sql.dialect.locks_groups and groups:
            tx.execute(self._sql.groups.unlock_groups, (self._tables.database.many(groups),))

    def share(self, tx: Transaction, ids: Sequence[int]) -> None:
        """Lock the rows of these jobs' groups in shared mode, so that none is freed before the COMMIT."""
        if self._sql.dialect.many_writers and ids:
            tx.query(self._sql.groups.share_groups, (self._tables.database.many(ids),))

    def of(self, tx: Transaction, ids: Sequence[int]) -> list[str]:
        """Read the groups of these jobs, sorted."""
        if not ids:
            return []
        found = tx.query(self._sql.groups.groups_of, (self._tables.database.many(ids),))
        return sorted(row[0] for row in found if type(row[0]) is str)  # others were written by hand, and lock nothing

    def unblock(self, tx: Transaction, group: str) -> list[int]:
        """Unblock the next job of a group, unless it is held or has a ready job; returns a list with its id, or [].

        The job becomes ready; under a limit it becomes scheduled, so that it asks for a place again.
        """
        following: list[tuple[int]] = tx.query(self._sql.groups.next_blocked, (group, group, group))
        return [one[0] for one in following if tx.execute(self._sql.groups.unblock, one).rowcount]

    def note_waiting(self, tx: Transaction, groups: Sequence[str]) -> None:
        """Note, of each group, the first job under a limit that is behind others: those may have left the group."""
        for group in groups:
            for first in tx.query(self._sql.limits.first_in_group, (group,)):
                tx.execute(self._sql.flow.note, first[:1])

    def leave(self, tx: Transaction, job_id: int) -> list[int]:
        """Free the group of a job if it holds it, and unblock the next; returns a list with that one's id, or []."""
        group = tx.query(self._sql.groups.group_of, (job_id,))[0][0]
        if group is None:
            return []
        tx.execute(self._sql.groups.free, (group, self._tables.database.many([job_id])))
        return self.unblock(tx, group)
