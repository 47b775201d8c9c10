"""The store: one method per job operation, one transaction per method.

Each update after a claim names the lease's token, so a runner that lost the lease can't overwrite.
A job is held while `lease_until` is set.
"""

from __future__ import annotations

import random
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cronq.errors import CronqError
from cronq.model.job import Claimed
from cronq.storage.actions import Actions
from cronq.storage.admin import BATCH, Admin
from cronq.storage.claim_batch import BatchClaimer
from cronq.storage.claim_one import Lease, claim_one
from cronq.storage.drivers.after_commit import after_commit
from cronq.storage.drivers.caller_connection import borrow
from cronq.storage.edit import Editor
from cronq.storage.enqueue import Inserter
from cronq.storage.groups import Groups
from cronq.storage.incidents import Incidents
from cronq.storage.leader import Leadership
from cronq.storage.live_output import LiveOutputRows
from cronq.storage.reading import JobReader
from cronq.storage.runs import RunLog
from cronq.storage.schedules import Schedules
from cronq.storage.settle import Settler
from cronq.storage.tables import Tables
from cronq.storage.wake import Wake
from cronq.storage.workers import WorkerRegistry
from cronq.system.log import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from cronq.config.loader import Config
    from cronq.flow.consequences import Consequences
    from cronq.model.job import Enqueued, NewJob
    from cronq.model.outcome import Settlement
    from cronq.model.selection import Filter
    from cronq.storage.copying import Counts
    from cronq.storage.drivers.database import Connection, Transaction
    from cronq.storage.wake import Announces
    from cronq.times import Clock

__all__ = ["Held", "Lease", "Store"]


class Held(NamedTuple):
    """A job under lease, with the instants of its claim and of the lease's end."""

    job: Claimed
    claimed_at: int
    until: int


class Store:
    """Jobs in a database. Opens at first use; `close` before a fork.

    For `reading`, a queue that isn't there is not made, and permission to read is enough.
    """

    def __init__(
        self, config: Config, clock: Clock, announcer: Announces | None = None, *, reading: bool = False
    ) -> None:
        self.clock = clock
        self._config = config
        self._random = random.Random()
        self._tables = Tables(config, clock, reading=reading)
        self._sql = self._tables.sql
        self.jobs = JobReader(self._tables)
        self.workers = WorkerRegistry(self._tables)
        self.leader = Leadership(self._tables)
        self.live_output = LiveOutputRows(self._tables)
        self.incidents = Incidents(self._tables)
        self.runs = RunLog(self._tables)
        self._wake = Wake(self._tables, self.jobs, announcer)
        self._groups = groups = Groups(self._tables)
        self.actions = Actions(self._tables)
        self.admin = Admin(self._tables, groups, self._wake, self.actions, follow_up=self.follow_up)
        self.editor = Editor(self._tables, groups, self._wake, self.actions)
        self._inserter = Inserter(self._tables, self._random, self._tie)
        self.schedules = Schedules(self._tables, self._inserter, self._wake)
        self._claimer = BatchClaimer(self._tables, self._random)
        self._settler = Settler(self._tables, groups, self._wake, follow_up=self.follow_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The connection

    @property
    def announcer(self) -> Announces | None:
        """Wakes workers after each change that makes jobs ready; without one, only those on PostgreSQL are woken."""
        return self._wake.announcer

    @announcer.setter
    def announcer(self, announcer: Announces | None) -> None:
        self._wake.announcer = announcer

    @property
    def conflicts(self) -> int:
        """How often a statement or transaction was repeated because of a concurrent one."""
        return self._tables.unprepared.conflicts

    def prepare(self) -> None:
        """Open the database and set the clock by it; make the tables, or bring them up to date."""
        self._tables.open()

    def synchronise(self) -> None:
        """Set the clock by the database's: on every host a job is due, and a lease over, at the same moment."""
        self._tables.synchronise()

    def tell_time(self) -> int:
        """Now by the database's clock, also before anything else was asked of the database."""
        if not self._tables.prepared:
            self.synchronise()
        return self.clock.now()

    def set_patience(self, seconds: float) -> None:
        """Set for how long a call tries again while the database is unreachable or locked."""
        self._tables.unprepared.set_patience(seconds)

    def schema(self) -> str | None:
        """Return the schema that holds the tables, where a database has several."""
        return self._tables.unprepared.schema()

    def close(self) -> None:
        """Close all connections; the next call opens others."""
        self._tables.unprepared.close()
        self._wake.close()

    def copy_to(self, other: Store, copied: Callable[[int], None]) -> Counts:
        """Copy the whole queue into another database; it must be paused, and nothing may run.

        `copied` is told of the number of jobs after each batch. Raises InvalidInput where the other
        database has jobs of its own, TryLater where this one has changed meanwhile.
        """
        from cronq.storage.copying import Copier

        self._tables.open()
        other._tables.open()
        return Copier(self._tables, other._tables).copy(copied)

    # Jobs that come after others

    @cached_property
    def flow(self) -> Consequences:
        """Jobs that come after others."""
        from cronq.flow.consequences import Consequences  # here, not above: most queues have none

        return Consequences(self._tables, self._groups, self._wake, self.promote)

    def follow_up(self) -> int:
        """Release or cancel what comes after jobs that have ended; returns the number of jobs released.

        Never raises for a database that is away: the next call finds what is left to do.
        """
        try:
            noted = self._tables.query(self._sql.flow.noted, (1,))
        except CronqError:
            return 0
        return self.flow.try_to_draw() if noted else 0

    def _tie(self, connection: Connection, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]) -> None:
        from cronq.flow.edges import Edges  # as above

        Edges(self._tables).tie(connection, jobs, enqueued)

    # Enqueueing

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept jobs, all or none: scheduled, ready, or blocked where the group is held.

        Returns their ids in order; a unique job whose key an unfinished one has gets that
        one's id.
        """
        self._tables.open()
        now = self.clock.now()
        enqueued = self._inserter.accept(jobs, now=now)
        self._wake.enqueued(jobs, enqueued, now)
        if any(job.after for job in jobs):
            self.follow_up()
        return enqueued

    def enqueue_through(self, connection: Any, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept jobs inside the caller's transaction, on a SQLAlchemy Connection or Session.

        Workers are woken once it is committed. Raises InvalidInput if the connection is to another
        database than the config's, and ConfigError if the tables are missing and its transaction keeps
        them from being made.
        """
        name = self._config.sqlite_path() or self._config.safe_database()
        borrowed = borrow(connection, self._tables.unprepared, name=name)
        self._tables.open_beside(locked=borrowed.locks_out)
        now = self.clock.now()
        enqueued = self._inserter.accept_through(borrowed, jobs, now=now)
        if self._wake.announcer is not None:
            after_commit(connection, partial(self._wake.enqueued, jobs, enqueued, now))
        if any(job.after for job in jobs):
            after_commit(connection, self.follow_up)
        return enqueued

    # Claiming

    def claim(self, wanted: Filter, lease: Lease, *, limit: int) -> list[Claimed]:
        """Lease up to `limit` due jobs in claim order: ready becomes running.

        Jobs that follow the holder of their group in the same claim are leased too but stay
        blocked: the same child runs them, each when the one before it has ended.
        """
        return self._claimer.claim(wanted, lease, limit=limit)

    def claim_one(self, job_id: int, lease: Lease) -> Claimed:
        """Lease exactly this job if it may run now: ready, or due and not promoted yet, becomes running.

        Raises Refused with the reason if it may not.
        """
        return Claimed._make(claim_one(self._tables, job_id, lease))

    # Settling

    def settle(self, settlements: Sequence[Settlement]) -> list[int]:
        """Write outcomes of attempts this runner holds; returns the ids whose lease was lost.

        Lost means another runner rescued the job: its row is left alone. A row that already has
        this token and outcome counts as written (the connection may have been lost after the
        COMMIT, or a journal is read a second time).
        """
        return self._settler.settle(settlements)

    def release(self, jobs: Iterable[Claimed]) -> None:
        """Return claims that were never started: the attempt isn't counted, a group stays held.

        Followers in a group must be returned together, or later jobs overtake them.
        """
        self._settler.release(jobs)

    def unblock_stranded(self) -> int:
        """Make groups continue that no job holds though jobs of theirs are blocked; returns how many.

        On a Galera cluster a job may be blocked on one node while its group is freed on another.
        """
        return self._settler.unblock_stranded()

    # Keeping and taking over leases

    def renew(self, worker: str, until: int, assigned: Mapping[int, int] | None = None) -> dict[int, int]:
        """Extend a worker's leases to `until`; returns the jobs that its rows show as held, with their tokens.

        With `assigned`, jobs with their tokens, it extends only these.
        """
        leases, database = self._leases(worker), self._tables.open()
        kept = [job for job, token in leases.items() if assigned is None or assigned.get(job) == token]
        if kept:
            database.execute(self._sql.leases.renew, (until, database.many(kept), worker))
            leases = self._leases(worker)
        return leases

    def _leases(self, worker: str) -> dict[int, int]:
        return dict(self._tables.query(self._sql.leases.leases, (worker,)))

    def owners(self) -> list[str]:
        """Read the workers that hold leases."""
        return [row[0] for row in self._tables.query(self._sql.leases.owners)]

    def held_by(self, worker: str) -> list[Held]:
        """Read the jobs that a worker holds, in claim order."""
        held = self._tables.query(self._sql.leases.held_by, (worker,))
        return [Held(Claimed._make(row[:-2]), *row[-2:]) for row in held]

    def take_over(self, worker: str, *, heir: str) -> list[Held]:
        """Move a worker's expired leases to another one (`heir`) under a new token; returns these.

        The old worker can't write outcomes for them any more.
        """
        now, token = self.clock.now(), self._random.getrandbits(62) or 1
        ended = sorted(held.job.id for held in self.held_by(worker) if held.until <= now)
        if not ended:
            return []
        self._tables.open().execute(
            self._sql.leases.take_over, (heir, token, self._tables.unprepared.many(ended), worker, now)
        )
        return [held for held in self.held_by(heir) if held.job.token == token]

    def promote(self, now: int) -> int:
        """Make scheduled, retrying and waiting jobs that are due ready (blocked if their group is held).

        Only this host's workers are woken: those of other hosts promote by themselves.
        """
        total = 0
        while self._is_due(now):
            due = self._tables.query(self._sql.leases.due, (now, BATCH))
            total += self._tables.open().transact(partial(self._promote, due, now))
            for job_id, _ in due:
                step(job_id, "due")
        if total:
            self._wake.committed()
        return total

    def _promote(self, due: Sequence[tuple[int, str | None]], now: int, tx: Transaction) -> int:
        groups = sorted({group for _, group in due if group is not None})
        holders: dict[str, int] = (
            dict(tx.query(self._sql.groups.holders, (self._tables.unprepared.many(groups),))) if groups else {}
        )
        blocked = [job_id for job_id, group in due if group and holders.get(group, job_id) != job_id]
        ready = sorted({job_id for job_id, _ in due}.difference(blocked))
        return sum(
            tx.execute(self._sql.leases.promote, (state, self._tables.unprepared.many(sorted(ids)), now)).rowcount
            for state, ids in (("ready", ready), ("blocked", blocked))
            if ids
        )

    def _is_due(self, now: int) -> bool:
        # Read first: an UPDATE takes the write lock even if it changes no row.
        due = self.next_due()
        return due is not None and due <= now

    def next_due(self) -> int | None:
        """Read the instant at which the next scheduled, retrying or waiting job is due."""
        return self._tables.query(self._sql.leases.next_due)[0][0]  # type: ignore[no-any-return]
