"""Changing jobs by hand: retry, cancel, kill, clear away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cronq.errors import InvalidInput
from cronq.model.job import State
from cronq.storage.drivers.database import Duplicate
from cronq.storage.incidents import Incidents
from cronq.storage.leader import Leadership
from cronq.storage.live_output import LiveOutputRows
from cronq.storage.reading import Reader
from cronq.storage.workers import WorkerRegistry
from cronq.system.log import step
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database, Transaction
    from cronq.times import Clock

BATCH = 1000
"""Rows that one maintenance transaction changes at most: other writers wait no longer than for these."""


class Announces(Protocol):
    """Wakes workers, as `cronq.transports.announcer` does."""

    named: int
    """Of so many jobs at once it wants to know queue and id."""

    def announce(self, jobs: Sequence[tuple[str, int]] = ()) -> None:
        """Wake workers for jobs that are ready; never raises."""

    def close(self) -> None:
        """Close all connections."""


class Retried(NamedTuple):
    """What became of many jobs that were to be retried."""

    changed: list[int]
    refused: dict[int, int]
    """By the ids of those left as they are, the unfinished twins that have their keys."""


class Steering(Reader):
    """The store as those see it who change jobs by hand."""

    def __init__(self, config: Config, clock: Clock, announcer: Announces | None = None) -> None:
        super().__init__(config, clock)
        self.announcer = announcer
        """Wakes workers after each change that makes jobs ready; without one, none but those on PostgreSQL is woken."""
        self.roster = WorkerRegistry(self._opened, self._queries, clock)
        self.duty = Leadership(self._opened, self._queries, clock)
        self.tails = LiveOutputRows(self._opened, self._queries, clock)
        self.troubles = Incidents(self._opened, self._queries, clock)

    def prepare(self) -> None:
        """Open the database and set the clock by it; make the tables, or bring them up to date."""
        if self._db.is_replaced():
            self._prepared = False
        if not self._prepared:
            self.synchronise()  # first, because an exception may come in between
            super().prepare()
        elif self.clock.is_old:
            self.synchronise()

    def close(self) -> None:
        """Close all connections; the next call opens others."""
        super().close()
        if self.announcer is not None:
            self.announcer.close()

    def _announce(self, ids: Sequence[int] = ()) -> None:
        """Wake workers after a change that has made these jobs ready, or a whole queue."""
        if self.announcer is None:
            return
        jobs = [self.get(job_id) for job_id in ids[: self.announcer.named]]
        self.announcer.announce([(job.queue, job.id) for job in jobs if job is not None and job.state == State.READY])

    def _notify(self, tx: Transaction) -> None:
        """Wake workers on other hosts with the COMMIT, where the database itself can."""
        if self._queries.ring:
            tx.query(self._queries.ring)

    def _opened(self) -> Database:
        self.prepare()
        return self._db

    def synchronise(self) -> None:
        """Set the clock by the database's: on every host a job is due, and a lease over, at the same moment."""
        measured = self._db.read_clock()
        if measured is not None:
            self.clock.set_by(measured)

    def tell_time(self) -> int:
        """Now by the database's clock, also before anything else was asked of the database."""
        if not self._prepared:
            self.synchronise()
        return self.clock.now()

    def retry(self, ids: Iterable[int]) -> list[int]:
        """Put ended jobs back to ready with a fresh budget of attempts; returns the ids changed.

        Raises InvalidInput, and changes nothing, if an unfinished twin holds a unique key.
        """
        self.prepare()
        tried: list[int] = []
        try:
            changed = self._db.transact(partial(self._retry, list(ids), tried))
        except Duplicate:
            raise self._twin_of(tried[-1]) from None
        self._retried(changed)
        return changed

    def _retry(self, ids: Sequence[int], tried: list[int], tx: Transaction) -> list[int]:
        self._share_groups(tx, ids)
        now = self.clock.now()
        changed = []
        for job_id in sorted(ids):
            tried.append(job_id)
            if tx.execute(self._queries.retry, (now, job_id)).rowcount:
                changed.append(job_id)
        if changed:
            self._notify(tx)
        return changed

    def retry_all_but_twins(self, ids: Sequence[int]) -> Retried:
        """The same for as many as possible: a job whose unique key an unfinished twin holds stays as it is.

        Of two with the same key the newer one is taken.
        """
        self.prepare()
        while True:
            try:
                retried = self._db.transact(partial(self._retry_many, ids))
            except Duplicate:  # a twin was enqueued in this moment: the next look finds it
                continue
            self._retried(retried.changed)
            return retried

    def _retried(self, ids: Sequence[int]) -> None:
        for job_id in ids:
            step(job_id, "retried")
        if ids:
            self._announce(ids)

    def _retry_many(self, ids: Sequence[int], tx: Transaction) -> Retried:
        self._share_groups(tx, ids)
        ended = tx.query(self._queries.ended, (self._db.many(ids),)) if ids else []
        keys = sorted({key for _, key in ended if key is not None})
        holders: dict[str, int] = dict(tx.query(self._queries.twins, (self._db.many(keys),))) if keys else {}
        changed, refused = [], {}
        for job_id, key in ended:
            twin = holders.setdefault(key, job_id) if key is not None else job_id
            if twin == job_id:
                changed.append(job_id)
            else:
                refused[job_id] = twin
        if changed:
            tx.execute(self._queries.retry_many, (self.clock.now(), self._db.many(sorted(changed))))
            self._notify(tx)
        return Retried(sorted(changed), refused)

    def _share_groups(self, tx: Transaction, ids: Sequence[int]) -> None:
        if self._queries.dialect.shared and ids:
            tx.query(self._queries.share_groups, (self._db.many(ids),))

    def _twin_of(self, job_id: int) -> InvalidInput:
        key = self._rows(f"SELECT job_key FROM {self._queries.jobs} WHERE id = ?", (job_id,))[0][0]
        twin = self._rows(self._queries.twin, (key,))
        who = f"job {twin[0][0]}" if twin else "a job"
        return InvalidInput(f"job {job_id} can't be retried: {who} with the same unique key {key!r} is unfinished")

    def cancel(self, ids: Iterable[int], *, reason: str | None = None) -> list[int]:
        """Cancel jobs that aren't running; returns the ids changed. A group that one held is freed."""
        self.prepare()
        cancelled, ready = self._db.transact(partial(self._cancel, list(ids), reason))
        for job_id in cancelled:
            step(job_id, "cancelled", why=reason or "")
        if ready:
            self._announce(ready)
        return cancelled

    def _cancel(self, ids: Sequence[int], reason: str | None, tx: Transaction) -> tuple[list[int], list[int]]:
        """Returns the ids cancelled, and those of the jobs that are ready now."""
        now = self.clock.now()
        kind = None if reason is None else "Cancelled"
        groups = sorted(row[0] for row in tx.query(self._queries.groups_of, (self._db.many(ids),))) if ids else []
        self._lock_groups(tx, groups)
        changed, ready = self._cancel_many(ids, (now, kind, reason), tx), list[int]()
        grouped = self._in_groups(tx, ids) if groups else []
        for job_id in sorted(grouped):
            if tx.execute(self._queries.cancel, (now, kind, reason, job_id)).rowcount:
                changed.append(job_id)
                ready += self._leave_group(tx, job_id)
        self._unlock_groups(tx, groups)
        if ready:
            self._notify(tx)
        return sorted(changed), ready

    def _cancel_many(self, ids: Sequence[int], how: tuple[int, str | None, str | None], tx: Transaction) -> list[int]:
        """Cancel those that are in no group, which nobody waits behind."""
        free = [row[0] for row in tx.query(self._queries.cancellable, (self._db.many(ids),))] if ids else []
        if free:
            tx.execute(self._queries.cancel_many, (*how, self._db.many(free)))
        return free

    def _in_groups(self, tx: Transaction, ids: Sequence[int]) -> list[int]:
        return [row[0] for row in tx.query(self._queries.grouped, (self._db.many(ids),))]

    def _lock_groups(self, tx: Transaction, groups: Sequence[str]) -> None:
        # Else two that cancel the first of a group at once would each leave the next one to the other.
        if self._queries.dialect.server and groups:
            tx.execute(self._queries.lock_groups(len(groups)), groups)

    def _unlock_groups(self, tx: Transaction, groups: Sequence[str]) -> None:
        if self._queries.dialect.server and groups:
            tx.execute(self._queries.unlock_groups, (self._db.many(groups),))

    def _unblock(self, tx: Transaction, group: str) -> list[int]:
        """Make the next job of a group ready, unless the group is held or has one that is ready; returns its id."""
        following: list[tuple[int]] = tx.query(self._queries.next_in_line, (group, group, group))
        return [one[0] for one in following if tx.execute(self._queries.unblock, one).rowcount]

    def _leave_group(self, tx: Transaction, job_id: int) -> list[int]:
        group = tx.query(self._queries.group_of, (job_id,))[0][0]
        if group is None:
            return []
        tx.execute(self._queries.free, (group, self._db.many([job_id])))
        return self._unblock(tx, group)

    def pause(self, queue: str) -> bool:
        """Let nobody claim from a queue; False if it is paused already."""
        try:
            self._opened().execute(self._queries.pause, (queue, self.clock.now()))
        except Duplicate:
            return False
        return True

    def resume(self, queue: str) -> bool:
        """Let a paused queue go on; False if it isn't paused."""
        resumed = self._opened().transact(partial(self._resume, queue))
        if resumed:
            self._announce()
        return resumed

    def _resume(self, queue: str, tx: Transaction) -> bool:
        resumed = bool(tx.execute(self._queries.resume, (queue,)).rowcount)
        if resumed:
            self._notify(tx)
        return resumed

    def request_kill(self, ids: Iterable[int]) -> list[int]:
        """Ask the runners of running jobs to kill them; returns the ids that are running."""
        self.prepare()
        asked = list(ids)
        return self._db.transact(lambda tx: [i for i in asked if tx.execute(self._queries.request_kill, (i,)).rowcount])

    def clear_selected(self, ids: Sequence[int], states: Iterable[str]) -> int:
        """Delete those of these jobs that are in one of these ended states; returns how many."""
        self.prepare()
        chosen = self._db.many(sorted(ids))
        which = (self._db.many(sorted(states)), self.clock.now() + 1, chosen)
        return self._db.transact(partial(self._prune, which, chosen))

    def clear(self, states: Iterable[str], *, older_than: float = 0.0) -> Iterator[int]:
        """Delete ended jobs in these states that ended more than `older_than` seconds ago.

        Yields the count of each batch.
        """
        before = self.clock.now() - round(older_than * SECOND)
        wanted = self._db.many(sorted(states))
        while True:
            ids = [row[0] for row in self._rows(self._queries.prunable, (wanted, before, BATCH))]
            if not ids:
                return
            chosen = self._db.many(sorted(ids))
            yield self._db.transact(partial(self._prune, (wanted, before, chosen), chosen))

    def _prune(self, which: tuple[Any, ...], chosen: Any, tx: Transaction) -> int:
        deleted = tx.execute(self._queries.prune, which).rowcount
        tx.execute(self._queries.prune_attempts, (chosen,))
        return deleted
