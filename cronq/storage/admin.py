"""Change jobs on a user's request: retry, cancel, kill, delete, and pause queues."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from cronq.errors import InvalidInput
from cronq.storage import limit_starts
from cronq.storage.drivers.database import Duplicate
from cronq.storage.tables import BATCH
from cronq.system.log import step
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cronq.storage.actions import Actions
    from cronq.storage.drivers.database import Row, Transaction
    from cronq.storage.groups import Groups
    from cronq.storage.tables import Tables
    from cronq.storage.wake import Wake


class Retried(NamedTuple):
    """The result of retrying many jobs."""

    changed: list[int]
    refused: dict[int, int]
    """By the id of each job that was not retried, the unfinished job with the same unique key (its twin)."""


class Admin:
    """Changes jobs on a user's request. Wakes workers after each change that makes jobs ready."""

    def __init__(
        self, tables: Tables, groups: Groups, wake: Wake, actions: Actions, *, follow_up: Callable[[], object]
    ) -> None:
        self._tables = tables
        self._actions = actions
        self._sql = tables.sql
        self._groups = groups
        self._wake = wake
        self._follow_up = follow_up

    def retry(self, ids: Iterable[int], *, wake: bool = True) -> list[int]:
        """Make ended jobs ready again, with all attempts available anew; returns the ids of the jobs changed.

        Those that come after other jobs or are under a limit become pending instead; those in a held group, blocked.
        Scheduled, retrying and waiting jobs become due at once and keep their attempts.
        Raises InvalidInput, and changes nothing, if an unfinished job has the unique key of one of them.
        Without `wake` no worker is woken: the caller claims the jobs itself.
        """
        with nullcontext() if wake else self._wake.silent():
            return self._try_to_retry(list(ids), wake=wake)

    def _try_to_retry(self, ids: Sequence[int], *, wake: bool) -> list[int]:
        tried: list[int] = []
        work = partial(self._retry, ids, tried)
        try:
            changed = self._wake.transact(work, list) if wake else self._tables.open().transact(work)
        except Duplicate:
            raise self._twin_of(tried[-1]) from None
        self._retried(changed)
        return changed

    def _retry(self, ids: Sequence[int], tried: list[int], tx: Transaction) -> list[int]:
        self._groups.share(tx, ids)
        now = self._tables.clock.now()
        if ids:
            limit_starts.record(self._tables, tx, ids)
            self._record_last(tx, [row[0] for row in self._ended(tx, ids)])
        changed = []
        for job_id in sorted(ids):
            tried.append(job_id)
            if tx.execute(self._sql.admin.retry, (now, job_id)).rowcount:
                changed.append(job_id)
        changed += self._make_due(sorted(set(ids).difference(changed)), now, tx)
        if changed:
            self._actions.on_jobs(tx, "retried", changed)
            self._wait_for_places(tx, changed)
        return sorted(changed)

    def _make_due(self, ids: Sequence[int], now: int, tx: Transaction) -> list[int]:
        found = tx.query(self._sql.admin.can_be_made_due, (self._tables.database.many(ids),)) if ids else []
        due = [row[0] for row in found]
        if due:
            tx.execute(self._sql.admin.make_due, (now, self._tables.database.many(due)))
        return due

    def retry_all_but_twins(self, ids: Sequence[int]) -> Retried:
        """Retry these jobs, except those whose unique key an unfinished job has.

        Of two with the same key the newer one is retried.
        """
        while True:
            try:
                retried = self._wake.transact(partial(self._retry_many, ids), lambda retried: retried.changed)
            except Duplicate:  # a twin was enqueued meanwhile: the next try finds it
                continue
            self._retried(retried.changed)
            return retried

    def _retried(self, ids: Sequence[int]) -> None:
        for job_id in ids:
            step(job_id, "retried")
        if ids:
            self._follow_up()

    def _retry_many(self, ids: Sequence[int], tx: Transaction) -> Retried:
        self._groups.share(tx, ids)
        now = self._tables.clock.now()
        ended = self._ended(tx, ids)
        keys = sorted({key for _, key in ended if key is not None})
        holders: dict[str, int] = (
            dict(tx.query(self._sql.enqueue.twins, (self._tables.database.many(keys),))) if keys else {}
        )
        changed, refused = [], {}
        for job_id, key in ended:
            twin = holders.setdefault(key, job_id) if key is not None else job_id
            if twin == job_id:
                changed.append(job_id)
            else:
                refused[job_id] = twin
        if changed:
            self._record_last(tx, changed)
            limit_starts.record(self._tables, tx, changed)
            tx.execute(self._sql.admin.retry_many, (now, self._tables.database.many(sorted(changed))))
        changed += self._make_due(sorted(set(ids).difference(job_id for job_id, _ in ended)), now, tx)
        if changed:
            self._actions.on_jobs(tx, "retried", changed)
            self._wait_for_places(tx, changed)
        return Retried(sorted(changed), refused)

    def _ended(self, tx: Transaction, ids: Sequence[int]) -> list[Row]:
        """Lock those of the jobs that have ended; returns their ids and unique keys."""
        return tx.query(self._sql.admin.ended, (self._tables.database.many(ids),)) if ids else []

    def _record_last(self, tx: Transaction, ids: Sequence[int]) -> None:
        """Record the last attempts of jobs that are retried, if the history hasn't got them: those that succeeded."""
        if ids:
            tx.execute(self._sql.admin.record_last, (self._tables.database.many(sorted(ids)),))

    def _twin_of(self, job_id: int) -> InvalidInput:
        key = self._tables.query(self._sql.admin.key_of, (job_id,))[0][0]
        twin = self._tables.query(self._sql.enqueue.twin, (key,))
        who = f"job {twin[0][0]}" if twin else "a job"
        return InvalidInput(f"job {job_id} can't be retried: {who} with the same unique key {key!r} is unfinished")

    def cancel(self, ids: Iterable[int], *, reason: str | None = None, by_hand: bool = True) -> list[int]:
        """Cancel jobs that aren't running and free the groups they held; returns the ids changed.

        Unless it is done `by_hand`, it is not recorded as a user's action.
        """
        cancelled, _ = self._wake.transact(partial(self._cancel, list(ids), reason, by_hand), itemgetter(1))
        for job_id in cancelled:
            step(job_id, "cancelled", why=reason or "")
        if cancelled:
            self._follow_up()
        return cancelled

    def _cancel(
        self,
        ids: Sequence[int],
        reason: str | None,
        by_hand: bool,  # noqa: FBT001
        tx: Transaction,
    ) -> tuple[list[int], list[int]]:
        """Cancel in one transaction; returns the ids cancelled and those of the jobs that became ready."""
        now = self._tables.clock.now()
        kind = None if reason is None else "Cancelled"
        groups = self._groups.of(tx, ids)
        self._groups.lock(tx, groups)
        if ids:
            limit_starts.record(self._tables, tx, ids)
        changed, ready = self._cancel_many(ids, (now, kind, reason), tx), list[int]()
        grouped = self._in_groups(tx, ids) if groups else []
        for job_id in sorted(grouped):
            if tx.execute(self._sql.admin.cancel, (now, kind, reason, job_id)).rowcount:
                changed.append(job_id)
                ready += self._groups.leave(tx, job_id)
        self._groups.unlock(tx, groups)
        if by_hand:
            self._actions.on_jobs(tx, "cancelled", changed, reason)
        if changed:
            self._note(tx, changed)
        return sorted(changed), ready

    def _note(self, tx: Transaction, ids: Sequence[int]) -> None:
        """Note these jobs: their change may have consequences for jobs after them or under the same limit."""
        tx.execute(self._sql.flow.note_many, (self._tables.database.many(sorted(ids)),))

    def _wait_for_places(self, tx: Transaction, ids: Sequence[int]) -> None:
        """Let those of the jobs that are under a limit wait for a place, and note them."""
        tx.execute(self._sql.limits.wait_for_place, (self._tables.database.many(sorted(ids)),))
        self._note(tx, ids)

    def _cancel_many(self, ids: Sequence[int], how: tuple[int, str | None, str | None], tx: Transaction) -> list[int]:
        """Cancel those of the jobs that are in no group, so that none is blocked by them; returns their ids."""
        free = (
            [row[0] for row in tx.query(self._sql.admin.cancellable, (self._tables.database.many(ids),))] if ids else []
        )
        if free:
            tx.execute(self._sql.admin.cancel_many, (*how, self._tables.database.many(free)))
        return free

    def _in_groups(self, tx: Transaction, ids: Sequence[int]) -> list[int]:
        return [row[0] for row in tx.query(self._sql.reads.grouped, (self._tables.database.many(ids),))]

    def pause(self, queue: str) -> bool:
        """Pause a queue: no job of it is claimed; returns False if it was paused already."""
        try:
            self._tables.open().transact(partial(self._pause, queue))
        except Duplicate:
            return False
        return True

    def _pause(self, queue: str, tx: Transaction) -> None:
        tx.execute(self._sql.admin.pause, (queue, self._tables.clock.now()))
        self._actions.on_queue(tx, "paused", queue)

    def resume(self, queue: str) -> bool:
        """Resume a paused queue; returns False if it isn't paused."""
        return self._wake.transact(partial(self._resume, queue), bool)

    def _resume(self, queue: str, tx: Transaction) -> bool:
        resumed = bool(tx.execute(self._sql.admin.resume, (queue,)).rowcount)
        if resumed:
            self._actions.on_queue(tx, "resumed", queue)
        return resumed

    def request_kill(self, ids: Iterable[int]) -> list[int]:
        """Request that the runners of these jobs kill them; returns the ids of those that a runner holds."""
        return self._tables.open().transact(partial(self._request_kill, list(ids)))

    def _request_kill(self, ids: Sequence[int], tx: Transaction) -> list[int]:
        asked = [job_id for job_id in ids if tx.execute(self._sql.admin.request_kill, (job_id,)).rowcount]
        self._actions.on_jobs(tx, "killed", asked)
        return asked

    def clear_selected(self, ids: Sequence[int], states: Iterable[str]) -> int:
        """Delete those of these jobs that are in one of these ended states; returns how many.

        Jobs that hold their group, that unfinished jobs come after, or whose batch hasn't ended are kept.
        """
        which = (self._tables.database.many(sorted(states)), self._tables.clock.now() + 1)
        return self._tables.open().transact(partial(self._prune, which, sorted(ids)))

    def clear(self, states: Iterable[str], *, older_than: float = 0.0) -> Iterator[int]:
        """Delete ended jobs in these states that ended more than `older_than` seconds ago.

        Yields the number of jobs deleted by each transaction. The same jobs are kept as by `clear_selected`.
        At the end, batches without members that ended so long ago are deleted.
        """
        before = self._tables.clock.now() - round(older_than * SECOND)
        wanted = self._tables.database.many(sorted(states))
        while True:
            ids = [row[0] for row in self._tables.query(self._sql.admin.prunable, (wanted, before, BATCH))]
            if not ids:
                self._tables.open().execute(self._sql.batches.prune, (before,))
                return
            yield self._tables.open().transact(partial(self._prune, (wanted, before), sorted(ids)))

    def _prune(self, which: tuple[Any, int], ids: Sequence[int], tx: Transaction) -> int:
        every = self._tables.database.many(ids)
        by = (self._sql.admin.needed, self._sql.batches.needed)
        needed = {row[0] for sql in by for row in tx.query(sql, (every,))}
        old = [job_id for job_id in ids if job_id not in needed]
        if not old:
            return 0
        chosen = self._tables.database.many(old)
        deleted = tx.execute(self._sql.admin.prune, (*which, chosen)).rowcount
        tx.execute(self._sql.admin.prune_attempts, (chosen,))
        tx.execute(self._sql.actions.prune, (chosen,))
        tx.execute(self._sql.admin.prune_children, (chosen,))
        tx.execute(self._sql.admin.prune_parents, (chosen,))
        tx.execute(self._sql.batches.prune_members, (chosen,))
        tx.execute(self._sql.limits.prune, (chosen,))
        return deleted
