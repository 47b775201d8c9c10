"""Put jobs that are enqueued already under another limit, or under none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cronq.storage.drivers.database import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cronq.flow.definitions import Definitions
    from cronq.model.limits import Limit
    from cronq.storage.actions import Actions
    from cronq.storage.drivers.database import Transaction
    from cronq.storage.groups import Groups
    from cronq.storage.tables import Tables


class Relimiter:
    """Changes the limits of jobs. A job that is due waits for a place under its new limit."""

    def __init__(
        self,
        tables: Tables,
        groups: Groups,
        definitions: Definitions,
        actions: Actions,
        *,
        follow_up: Callable[[], None],
    ) -> None:
        self._tables = tables
        self._groups = groups
        self._sql = tables.sql
        self._definitions = definitions
        self._actions = actions
        self._follow_up = follow_up

    def change(self, ids: Iterable[int], limit: Limit | None) -> list[int]:
        """Put jobs under a limit, with None under none; returns the ids of those that are unfinished and don't run.

        The consequences are noted in the same transaction and carried out by `follow_up`: which jobs get the places
        that these give up, and whether these get one.
        """
        wanted = sorted(ids)
        if limit is not None:
            self._definitions.ensure(self._tables.open(), [limit], renew=True)
        changed = self._tables.open().transact(partial(self._change, wanted, limit))
        if changed:
            self._follow_up()
        return changed

    def _change(self, ids: Sequence[int], limit: Limit | None, tx: Transaction) -> list[int]:
        before = self._names(tx, ids)
        # Locks are taken in the order of flow/limits.py: the rows of limits first, then those of jobs.
        for name in sorted({*before.values(), *([limit.name] if limit else [])}):
            tx.execute(self._sql.limits.lock, (name,))
        found = [row[0] for row in tx.query(self._sql.limits.editable, (self._many(ids),))]
        if self._names(tx, ids) != before:
            raise Conflict("the limits of jobs")
        moved = [job_id for job_id in found if before.get(job_id) != (limit.name if limit else None)]
        if moved:
            self._put_under(tx, moved, limit)
            self._groups.note_waiting(tx, self._groups.of(tx, moved))
            self._actions.on_jobs(tx, "edited", moved)
            self._hand_on(tx, {before[job_id] for job_id in moved if job_id in before})
        return found

    def _put_under(self, tx: Transaction, ids: Sequence[int], limit: Limit | None) -> None:
        chosen = self._many(ids)
        tx.execute(self._sql.limits.leave, (chosen,))
        if limit is None:
            tx.execute(self._sql.limits.free, (chosen,))
        else:
            tx.execute(self._sql.limits.hold_back, (chosen,))
            tx.execute(self._sql.limits.mark, (chosen,))
            tx.execute(self._sql.limits.add, (limit.name, self._tables.clock.now(), chosen))
        tx.execute(self._sql.flow.note_many, (chosen,))

    def _hand_on(self, tx: Transaction, names: Iterable[str]) -> None:
        """Note one waiting job of each limit that jobs have left, because a place may have become free."""
        for name in sorted(names):
            for (job_id,) in tx.query(self._sql.limits.any_waiting, (name,)):
                tx.execute(self._sql.flow.note, (job_id,))

    def _names(self, tx: Transaction, ids: Sequence[int]) -> dict[int, str]:
        return {job_id: name for job_id, name, *_ in tx.query(self._sql.limits.of, (self._many(ids),))}

    def _many(self, values: Sequence[int]) -> object:
        return self._tables.database.many(list(values))
