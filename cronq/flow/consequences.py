"""Carry out the consequences for other jobs when a job ends, is retried or is enqueued after others.

Each change of such a job stores a note in the same transaction. After its COMMIT, the consequences are derived from
the states of the rows and carried out in short transactions, and the note is deleted last. If a process dies in
between, the note is still there for the next run. To carry out a consequence twice changes nothing.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from cronq.errors import CronqError
from cronq.model.dependencies import UNMET, Related, first_unmet, reason
from cronq.model.job import State
from cronq.storage.actions import Actions
from cronq.storage.drivers.database import Duplicate
from cronq.storage.sql.columns import AHEAD, HAS_PROGRESS, LIMITED, LOOKED, MEMBER
from cronq.system.log import log, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cronq.flow.batch_ends import BatchEnds
    from cronq.flow.limits import Limits
    from cronq.storage.drivers.database import Row, Transaction
    from cronq.storage.groups import Groups
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake

_NOTES = 100
_CHILDREN = 50
"""The number of jobs that one transaction changes: few, so that others don't wait long for it."""


class Consequences:
    """Releases, cancels and puts back the jobs that come after others, and ends batches."""

    def __init__(
        self,
        tables: Tables,
        groups: Groups,
        wake: Wake,
        *,
        batches: BatchEnds,
        limits: Limits,
        promote: Callable[[int], int],
    ) -> None:
        self._tables = tables
        self._sql = tables.sql
        self._groups = groups
        self._wake = wake
        self._batches = batches
        self._limits = limits
        self._promote = promote
        self._carrying_out = False

    def carry_out(self) -> int:
        """Carry out all consequences that are noted; returns the number of jobs released."""
        if self._carrying_out:  # this change is a consequence itself: the call in progress handles its notes
            return 0
        self._carrying_out = True
        try:
            return self._carry_out_all()
        finally:
            self._carrying_out = False

    def _carry_out_all(self) -> int:
        total = 0
        with self._wake.gathering():
            while released := self._carry_out_noted():
                self._promote(self._tables.clock.now())  # which notes the released jobs that now wait for a place
                total += released
        return total

    def _carry_out_noted(self) -> int:
        released = 0
        while notes := self._tables.query(self._sql.flow.noted, (_NOTES,)):
            found = self._noted({job_id for _, job_id in notes})
            for one in sorted(self._update_batches({job_id for _, job_id in notes}, found)):
                released += self._update_following(one)
            limited = [job_id for job_id, flow, *_ in found if (flow or 0) & LIMITED]
            released += len(self._limits.follow(limited)) if limited else 0
            ahead = [job_id for job_id, flow, *_ in found if (flow or 0) & AHEAD]
            released += len(self._limits.follow_groups(ahead)) if ahead else 0
            self._tables.open().execute(self._sql.flow.forget_notes, (self._many(note for note, _ in notes),))
        return released

    def try_to_carry_out(self) -> int:
        """Carry out what is noted; if that fails, log a warning and leave it to the next run."""
        try:
            return self.carry_out()
        except CronqError as error:
            log.warning("jobs that come after others wait for the next run: %s", error)
            return 0

    def _noted(self, noted: set[int]) -> list[Row]:
        jobs = [one for one in noted if one > 0]
        return self._tables.query(self._sql.flow.noted_jobs, (self._many(jobs),)) if jobs else []

    def _update_batches(self, noted: set[int], found: Sequence[Row]) -> set[int]:
        """Update the batches noted and those of the jobs noted; returns the noted ids that others may come after."""
        batches = dict.fromkeys((-one for one in noted if one < 0), False)
        for _, _, state, batch in found:
            if batch is not None:
                batches[batch] = batches.get(batch, False) or state == State.FAILED
        for batch, failed in sorted(batches.items()):
            self._batches.update(batch, failed=failed)
        return noted - {job_id for job_id, flow, *_ in found if flow is not None and _is_alone(flow)}

    def _update_following(self, job_id: int) -> int:
        # One statement for each, outside a transaction, so that no lock on a job that others come after is held.
        for (parent,) in self._tables.query(self._sql.flow.parent_ids, (job_id,)):
            self._tables.open().execute(self._sql.flow.need, (parent,))
        released, last = self._resolve([job_id]), 0
        while children := self._tables.query(self._sql.flow.child_ids, (job_id, last, _CHILDREN)):
            last = children[-1][0]
            released += self._resolve(sorted({child for (child,) in children}))
        return released

    def _resolve(self, ids: Sequence[int]) -> int:
        """Give each of these jobs the state that follows from those it comes after; returns how many were released."""
        while True:
            if not self._tables.query(self._sql.flow.is_held, (self._many(ids),)):
                return 0
            try:
                released, messages = self._wake.transact(partial(self._resolve_locked, ids), itemgetter(0))
            except Duplicate:  # a twin was enqueued meanwhile: the next try finds it
                continue
            for job_id, what, why in messages:
                step(job_id, what, why=why)
            return len(released)

    def _resolve_locked(self, ids: Sequence[int], tx: Transaction) -> tuple[list[int], list[tuple[int, str, str]]]:
        # The states are read by separate statements after the lock: in the same one, PostgreSQL would read old ones.
        tx.execute(self._sql.flow.lock, (self._many(ids),))
        found = tx.query(self._sql.flow.held, (self._many(ids),))
        parents = parents_of(tx.query(self._sql.flow.parents, (self._many(ids),)))
        released, messages = list[int](), list[tuple[int, str, str]]()
        for row in found:
            job_id, state, error_class, *_ = row
            mine = parents.get(job_id, [])
            unmet = first_unmet(mine)
            if state == State.PENDING and unmet:
                self._cancel(tx, row, reason(unmet))
                messages.append((job_id, "cancelled", reason(unmet)))
            elif state == State.PENDING and not any(parent.is_open for parent in mine):
                released.append(job_id)
            elif error_class == UNMET and not unmet and self._put_back(tx, row):
                messages.append((job_id, "pending", ""))
        if released:
            tx.execute(self._sql.flow.release, (self._many(released),))
        return released, messages + [(job_id, "released", "") for job_id in released]

    def _cancel(self, tx: Transaction, row: Row, why: str) -> None:
        job_id, *_, group = row
        groups = [] if group is None else [group]
        self._groups.lock(tx, groups)
        tx.execute(self._sql.flow.cancel, (self._tables.clock.now(), why, job_id))
        tx.execute(self._sql.flow.note, (job_id,))
        if group is not None:  # a job that failed before and was retried may hold its group
            self._groups.leave(tx, job_id)
        self._groups.unlock(tx, groups)

    def _put_back(self, tx: Transaction, row: Row) -> bool:
        job_id, _, _, key, _ = row
        twin = tx.query(self._sql.enqueue.twin, (key,)) if key is not None else []
        if twin:
            why = f"when that was retried, job {twin[0][0]} had its unique key {key!r}"
            tx.execute(self._sql.flow.explain, (f"a job that it comes after did not finish, and {why}", job_id))
            return False
        tx.execute(self._sql.flow.put_back, (job_id,))
        tx.execute(self._sql.flow.note, (job_id,))
        return True

    # On a user's request

    def release(self, ids: Iterable[int]) -> list[int]:
        """Release pending jobs from the jobs that they come after; returns the ids changed.

        Jobs that were cancelled because of those are released too, unless an unfinished job has their unique key.
        """
        held = [job_id for job_id in ids if self._tables.open().transact(partial(self._untie, job_id))]
        self.carry_out()
        return held

    def _untie(self, job_id: int, tx: Transaction) -> bool:
        chosen = self._many([job_id])
        tx.execute(self._sql.flow.lock, (chosen,))
        for row in tx.query(self._sql.flow.held, (chosen,)):
            _, state, error_class, *_ = row
            if state == State.PENDING or (error_class == UNMET and self._put_back(tx, row)):
                Actions(self._tables).on_jobs(tx, "released", [job_id])
                tx.execute(self._sql.flow.drop_edges, (job_id,))
                tx.execute(self._sql.flow.note, (job_id,))
                return True
        return False

    # Reading

    def parents(self, job_id: int) -> list[Related]:
        """Read the jobs and batches that this job comes after."""
        return parents_of(self._tables.query(self._sql.flow.parents, (self._many([job_id]),))).get(job_id, [])

    def children(self, job_id: int, *, limit: int) -> list[Related]:
        """Read the first jobs that come after this one, at most `limit`."""
        return [Related(*row) for row in self._tables.query(self._sql.flow.children, (job_id, limit))]

    def _many(self, ids: Iterable[int]) -> object:
        return self._tables.database.many(list(ids))


def parents_of(found: Iterable[Row]) -> dict[int, list[Related]]:
    """Return what each job comes after, by its id, from rows of the statement `parents`."""
    by_child: dict[int, list[Related]] = {}
    for child, parent, kind, state, skipped, why in found:
        by_child.setdefault(child, []).append(Related(parent, kind, state, bool(skipped), why or ""))
    return by_child


def _is_alone(flow: int) -> bool:
    """Tell whether a job comes after no other, and no other after it."""
    bits = flow & ~(LOOKED | HAS_PROGRESS)
    return bits != 0 and not bits & ~(MEMBER | LIMITED | AHEAD)
