"""Define the store: one method for each operation on jobs, one transaction for each method.

Each UPDATE after a claim is conditional on the lease's token, so a runner that lost the lease can't overwrite the job.
A job is under lease while `lease_until` is set.
"""

from __future__ import annotations

import random
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from cronq.errors import CronqError
from cronq.model.job import Claimed
from cronq.storage.claim_batch import BatchClaimer
from cronq.storage.claim_one import Lease, claim_one
from cronq.storage.enqueue import Inserter
from cronq.storage.groups import Groups
from cronq.storage.incidents import Incidents
from cronq.storage.leader import Leadership
from cronq.storage.leases import LeasedJob, Leases
from cronq.storage.progress import ProgressRows
from cronq.storage.runs import RunLog
from cronq.storage.settle import Settler
from cronq.storage.tables import Tables
from cronq.storage.wake import Wake
from cronq.storage.workers import WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from cronq.config.loader import Config
    from cronq.flow.batches import Batches
    from cronq.flow.consequences import Consequences
    from cronq.flow.definitions import Definitions
    from cronq.flow.limit_views import LimitReader
    from cronq.flow.limits import Limits
    from cronq.flow.relimiting import Relimiter
    from cronq.model.job import Enqueued, NewJob
    from cronq.model.outcome import Settlement
    from cronq.model.selection import Filter
    from cronq.storage.actions import Actions
    from cronq.storage.admin import Admin
    from cronq.storage.copying import Counts
    from cronq.storage.drivers.caller_connection import Identified
    from cronq.storage.drivers.database import Connection, Database
    from cronq.storage.edit import Editor
    from cronq.storage.enqueue import Inserts
    from cronq.storage.live_output import LiveOutputRows
    from cronq.storage.minutes import Minutes
    from cronq.storage.reading import JobReader
    from cronq.storage.schedules import Schedules
    from cronq.storage.wake import Announces
    from cronq.times import Clock

__all__ = ["Lease", "LeasedJob", "Store"]


def _at_once(action: Callable[[], object]) -> None:
    action()


class Store:
    """Enqueues, claims, settles and reads jobs in a database. It is opened at first use; call `close` before a fork.

    With `reading`, missing tables are not made, and permission to read is enough. A given `database` is used as it
    is: its tables are neither made nor checked. If its transactions are a caller's, `later` is called with the function
    that carries out the consequences of a change, and calls it after the COMMIT.

    Each method that uses the database raises Unavailable if it can't be reached. The first one also raises TryLater if
    another process changes the tables for more than a minute, ConfigError if the tables are of a newer cronq or this
    user may not change them, and with `reading` NoQueue if there are none.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        announcer: Announces | None = None,
        *,
        reading: bool = False,
        database: Database | None = None,
        later: Callable[[Callable[[], object]], object] = _at_once,
    ) -> None:
        self.clock = clock
        self._later = later
        self._config = config
        self._random = random.Random()
        self._identified: Identified | None = None
        self._tables = Tables(config, clock, database, reading=reading)
        self._sql = self._tables.sql
        self.progress = ProgressRows(self._tables)
        self.workers = WorkerRegistry(self._tables)
        self.leader = Leadership(self._tables)
        self.incidents = Incidents(self._tables)
        self.runs = RunLog(self._tables)
        self.wake = Wake(self._tables, lambda: self.jobs, announcer)
        self._groups = groups = Groups(self._tables)
        self._inserter: Inserts = Inserter(self._tables, self._random, self._tie)
        if config.otel:
            from cronq.storage.traced import TracedInserter  # here, not above: without `otel` nothing needs it

            self._inserter = TracedInserter(self._inserter)
        self.leases = Leases(self._tables, self._random, self.wake, follow_up=self.follow_up)
        self._claimer = BatchClaimer(self._tables, self._random)
        self._settler = Settler(self._tables, groups, self.wake, self.progress, follow_up=self.follow_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The connection

    @property
    def tables(self) -> Tables:
        """The connection, statements and clock, for parts of a store that only some programs need."""
        return self._tables

    @property
    def conflicts(self) -> int:
        """The number of times that a statement or transaction was repeated because of a concurrent one."""
        return self._tables.database.conflicts

    def prepare(self) -> None:
        """Open the database and set the clock by it; make the tables, or bring them up to date."""
        self._tables.open()

    def synchronise(self) -> None:
        """Set the clock by the database's, so that on all hosts a job is due, and a lease ends, at the same moment."""
        self._tables.synchronise()

    def tell_time(self) -> int:
        """Return the present instant by the database's clock, which is read first if it hasn't been."""
        if not self._tables.prepared:
            self.synchronise()
        return self.clock.now()

    def set_patience(self, seconds: float) -> None:
        """Set the seconds for which a call is repeated while the database is unreachable or locked."""
        self._tables.database.set_patience(seconds)

    def schema(self) -> str | None:
        """Return the schema that holds the tables; None on engines where a database has only one."""
        return self._tables.database.schema()

    def close(self) -> None:
        """Close all connections; the next call opens others."""
        self._tables.database.close()
        self.wake.close()

    def copy_to(self, other: Store, copied: Callable[[int], None]) -> Counts:
        """Copy the whole queue into another database; it must be paused, and nothing may run.

        `copied` is called with the number of jobs of each batch after it is copied. Returns the counts, which are the
        same in both. Raises InvalidInput if the other database has jobs of its own, TryLater if this one has changed
        meanwhile.
        """
        from cronq.storage.copying import Copier

        self._tables.open()
        other._tables.open()
        return Copier(self._tables, other._tables).copy(copied)

    # The parts that most runs don't need: each is imported at first use

    @cached_property
    def jobs(self) -> JobReader:
        """The reader of jobs, their attempts and output, and counts."""
        from cronq.storage.reading import JobReader

        return JobReader(self._tables, self.progress)

    @cached_property
    def actions(self) -> Actions:
        """The records of users' changes of jobs and queues."""
        from cronq.storage.actions import Actions

        return Actions(self._tables)

    @cached_property
    def admin(self) -> Admin:
        """The changes on a user's request: retry, cancel, kill, delete, and pause queues."""
        from cronq.storage.admin import Admin

        return Admin(self._tables, self._groups, self.wake, self.actions, follow_up=self._follow_up_later)

    @cached_property
    def editor(self) -> Editor:
        """The editor of jobs that aren't running."""
        from cronq.storage.edit import Editor

        return Editor(self._tables, self._groups, self.wake, self.actions, follow_up=self._follow_edits)

    @cached_property
    def schedules(self) -> Schedules:
        """The schedules, and the decisions on their due times."""
        from cronq.storage.schedules import Schedules

        return Schedules(self._tables, self._inserter, self.wake)

    @cached_property
    def live_output(self) -> LiveOutputRows:
        """The output of running jobs, for `cronq tail` on any host."""
        from cronq.storage.live_output import LiveOutputRows

        return LiveOutputRows(self._tables)

    # Jobs that come after others, and batches

    @cached_property
    def flow(self) -> Consequences:
        """The consequences that changes of jobs have for jobs that come after them, batches and limits."""
        from cronq.flow.batch_ends import BatchEnds  # here, not above: most queues have none
        from cronq.flow.consequences import Consequences

        ends = BatchEnds(self._tables, partial(self.admin.cancel, by_hand=False))
        limits, promote = self.limits, self.leases.promote
        return Consequences(self._tables, self._groups, self.wake, batches=ends, limits=limits, promote=promote)

    @cached_property
    def batches(self) -> Batches:
        """The batches: jobs that end together."""
        from cronq.flow.batches import Batches  # as above

        return Batches(self._tables, self._inserter, self.wake, self._follow_up_later)

    @cached_property
    def limits(self) -> Limits:
        """The admission of jobs under limits."""
        from cronq.flow.limits import Limits  # as above

        return Limits(self._tables, self._groups, self.wake)

    @cached_property
    def definitions(self) -> Definitions:
        """The definitions of limits, and the bounds that users have set."""
        from cronq.flow.definitions import Definitions  # as above

        return Definitions(self._tables)

    @cached_property
    def relimiter(self) -> Relimiter:
        """The part that puts stored jobs under a limit, and takes them off it."""
        from cronq.flow.relimiting import Relimiter  # as above

        return Relimiter(self._tables, self._groups, self.definitions, self.actions, follow_up=self._follow_edits)

    @cached_property
    def limit_reader(self) -> LimitReader:
        """The reader of limits, and of the places of jobs under them."""
        from cronq.flow.limit_views import LimitReader  # as above

        return LimitReader(self._tables, self.limits)

    def _follow_edits(self) -> None:
        # Due jobs are promoted first, so that no job under a limit takes a place before an earlier one of its group.
        self.leases.promote(self.clock.now())
        self.follow_up()

    def _follow_up_later(self) -> None:
        self._later(self.follow_up)

    def follow_up(self) -> int:
        """Carry out the consequences of noted changes; returns the number of jobs released or admitted.

        Releases or cancels jobs that come after ended ones, ends batches, and admits jobs under limits. Raises nothing
        if the database is unreachable: the next call does what is left.
        """
        try:
            noted = self._tables.query(self._sql.flow.noted, (1,))
        except CronqError:
            return 0
        return self.flow.try_to_carry_out() if noted else 0

    def keep_limits(self) -> int:
        """Apply changed limits of the configuration, and admit jobs that a dead process left; returns their number."""
        if not self._tables.query(self._sql.limits.any):
            return 0
        from cronq.flow.sweep import sweep  # as above

        return len(sweep(self._tables, self.definitions, self.limits, self.workers))

    def next_opening(self) -> int | None:
        """Read the instant at which a rate allows the next start of a job that waits only for that, or None."""
        return self._tables.query(self._sql.limits.next_opening)[0][0]  # type: ignore[no-any-return]

    def open_rates(self) -> int:
        """Admit jobs of limits whose rate allows a start by now; returns the number of jobs."""
        opening = self.next_opening()
        if opening is None or opening > self.clock.now():
            return 0
        return len(self.limits.open_rates())

    def next_due(self) -> int | None:
        """Read the earliest instant at which a job becomes due, or a rate allows one to start; else None."""
        times = [at for at in (self.leases.next_due(), self.next_opening()) if at is not None]
        return min(times, default=None)

    def _tie(self, connection: Connection, jobs: Sequence[NewJob], enqueued: Sequence[Enqueued]) -> None:
        from cronq.flow.edges import Edges  # as above

        Edges(self._tables).tie(connection, jobs, enqueued)
        if any(job.limit for job in jobs):
            self.definitions.tie(connection, jobs, enqueued)

    # Enqueueing

    def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        """Store jobs, all or none: pending if they come after others or are due under a limit, else scheduled or ready.

        A due job is blocked where its group is held. Returns the ids in order; for a unique job whose key an unfinished
        job has, that one's id. `now` is the instant of the call, by the store's clock. Raises InvalidInput for a job
        that can't be stored, such as one after a job that doesn't exist.
        """
        self._tables.open()
        now = self.clock.now() if now is None else now
        dependent = [job for job in jobs if job.after or job.limit]
        if dependent and (limits := {job.limit for job in dependent if job.limit}):
            self.definitions.ensure(self._tables.open(), limits, renew=True)
        enqueued = self._inserter.accept(jobs, now=now)
        self.wake.enqueued(jobs, enqueued, now)
        if dependent:
            self._follow_up_later()
        return enqueued

    def prepare_beside(self) -> None:
        """Prepare `enqueue_through`, which then doesn't use this store's own connection: any thread may call it.

        Raises ConfigError if the tables are missing: a caller's transaction may prevent making them.
        """
        from cronq.storage.drivers.caller_connection import Identified  # as above

        self._tables.open_beside(locked=True)
        database = self._tables.database
        self._identified = Identified(database.family, tuple(database.identity()))

    def enqueue_through(
        self, connection: Any, jobs: Sequence[NewJob], *, later: Callable[[Callable[[], object]], object] = _at_once
    ) -> list[Enqueued]:
        """Store jobs in the caller's transaction, on a SQLAlchemy Connection or Session; returns as `enqueue` does.

        After the COMMIT, `later` is called with each function that is to be called then, such as the one that wakes
        workers; the default calls it at once. Raises InvalidInput if the connection is to another database than the
        config's, and ConfigError if the tables are missing and its transaction prevents making them.
        """
        from cronq.storage.drivers.after_commit import after_commit  # as above
        from cronq.storage.drivers.caller_connection import borrow

        name = self._config.database_file() or self._config.safe_database()
        borrowed = borrow(connection, self._identified or self._tables.database, name=name)
        self._tables.open_beside(locked=borrowed.locks_out)
        now = self.clock.now()
        enqueued = self._inserter.accept_through(borrowed, jobs, now=now)
        if self.wake.announces:
            after_commit(connection, partial(later, partial(self.wake.enqueued, jobs, enqueued, now)))
        if any(job.after or job.limit for job in jobs):
            after_commit(connection, partial(later, self.follow_up))
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
        """Write outcomes of attempts of this runner; returns the ids of the jobs whose lease was lost.

        A lease is lost if another runner rescued the job: its row is not changed. A row that already has this token and
        outcome counts as written (the connection may have been lost after the COMMIT, or a journal is read a second
        time).
        """
        lost = self._settler.settle(settlements)
        self.minutes.count(settlements, lost)
        return lost

    @cached_property
    def minutes(self) -> Minutes:
        """The numbers of attempts that ended in each minute, by queue."""
        from cronq.storage.minutes import Minutes  # here, not above: a run with nothing to do needs none

        return Minutes(self._tables)

    def release(self, jobs: Iterable[Claimed]) -> None:
        """Return claims that were never started: the attempt isn't counted, a group stays held.

        Followers in a group must be returned together, or later jobs overtake them.
        """
        self._settler.release(jobs)

    def unblock_without_holder(self) -> int:
        """Unblock the next job of each group that has blocked jobs and no holder; returns the number of groups.

        On a Galera cluster a job may be blocked on one node while its group is freed on another.
        """
        return self._settler.unblock_without_holder()
