"""Change queue, priority, time, group, number of attempts or time limit of jobs that aren't running."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from cronq.system.log import step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cronq.storage.actions import Actions
    from cronq.storage.drivers.database import Transaction
    from cronq.storage.groups import Groups
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake

_COLUMNS = {
    "queue": "queue",
    "priority": "priority",
    "available_at": "available_at",
    "group": "job_group",
    "max_attempts": "max_attempts",
    "time_limit": "time_limit",
}


class Editor:
    """Edits jobs, and wakes workers: an edit may make a job due, or move it to a queue that they serve."""

    def __init__(
        self, tables: Tables, groups: Groups, wake: Wake, actions: Actions, *, follow_up: Callable[[], object]
    ) -> None:
        self._actions = actions
        self._tables = tables
        self._sql = tables.sql
        self._groups = groups
        self._wake = wake
        self._follow_up = follow_up

    def edit(self, ids: Sequence[int], changes: Mapping[str, Any]) -> list[int]:
        """Set these fields of NewJob, where the group None takes a job out of its group; returns the ids changed.

        Ended and running jobs aren't changed; nor, if the group is to be set, is a job that holds its group.
        """
        changed = self._wake.transact(partial(self._edit, sorted(ids), changes), list)
        for job_id in changed:
            step(job_id, "edited")
        if changed:
            self._follow_up()
        return changed

    def _edit(self, ids: Sequence[int], changes: Mapping[str, Any], tx: Transaction) -> list[int]:
        moves, new = "group" in changes, changes.get("group")
        groups = sorted({*self._groups.of(tx, ids), *([new] if new is not None else [])})
        self._groups.lock(tx, groups)
        changed = [job_id for job_id in ids if self._edit_one(tx, job_id, changes)]
        if moves or "available_at" in changes:
            self._update_states(tx, changed, timed="available_at" in changes)
            for group in groups:
                self._groups.unblock(tx, group)
        self._groups.unlock(tx, groups)
        self._actions.on_jobs(tx, "edited", changed)
        if changed:
            tx.execute(self._sql.limits.update, (self._tables.database.many(changed),))
            tx.execute(self._sql.flow.note_many, (self._tables.database.many(changed),))
            self._groups.note_waiting(tx, groups)
        return changed

    def _edit_one(self, tx: Transaction, job_id: int, changes: Mapping[str, Any]) -> bool:
        sql = self._sql.edit.edit(_COLUMNS[field] for field in changes)
        return bool(tx.execute(sql, (*changes.values(), job_id)).rowcount)

    def _update_states(self, tx: Transaction, ids: Sequence[int], *, timed: bool) -> None:
        """Set the states that follow from an edit: scheduled, ready if due, or blocked if due in a held group.

        Of the due jobs, those that are ready or blocked are changed; if their times were edited (`timed`), scheduled,
        retrying and waiting ones too.
        """
        sql = self._sql.edit.rescheduled if timed else self._sql.edit.regrouped
        now = self._tables.clock.now()
        for job_id in ids:
            tx.execute(sql, (now, job_id))
