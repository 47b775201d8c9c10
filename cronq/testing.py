"""Define helpers for the tests of programs that use cronq; none of them touches the program's own database.

    from cronq.testing import capture, drain, inline, scratch

    with capture(queue) as jobs:          # nothing is stored, nothing runs
        sign_up("ann@example.org")
    assert jobs[0].args == {"to": "ann@example.org"}

    with inline(queue) as ran:            # every job runs as soon as it is enqueued
        sign_up("ann@example.org")
    assert ran[0].outcome == "success"

    with scratch(queue):                  # a temporary queue; drain() runs its jobs
        sign_up("ann@example.org")
        assert [job.outcome for job in drain(queue)] == ["success"]

Jobs run in the process of the test: time limits don't apply, and a task that ends its process
ends the test.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from contextvars import copy_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cronq.client import job_options
from cronq.config.loader import SCRATCH
from cronq.errors import UsageError
from cronq.execution.executor import Executor
from cronq.model.job import Enqueued
from cronq.model.retry import Policies
from cronq.model.selection import Filter
from cronq.model.settlement import settlement
from cronq.store import Lease, Store
from cronq.times import SECOND, Clock, parse_duration, parse_when

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from datetime import datetime, timedelta

    from cronq.app import Cronq
    from cronq.config.loader import Config
    from cronq.flow.batches import Batches, Opened
    from cronq.model.batch import NewBatch
    from cronq.model.job import Job, NewJob
    from cronq.tasks.registry import Registry
    from cronq.times import Measured

__all__ = ["ManualClock", "capture", "drain", "inline", "scratch"]


class ManualClock(Clock):
    """A clock that moves only when it is set or advanced."""

    def __init__(self, at: str | datetime = "2026-01-01T00:00:00Z") -> None:
        super().__init__()
        self.set(at)

    def now(self) -> int:
        """Return the microseconds since 1970, UTC."""
        return self._now

    def set_by(self, measured: Measured) -> None:
        """Do nothing: the database's clock is ignored."""

    def set(self, at: str | datetime) -> None:
        """Set the time: ISO 8601, or a datetime with an offset. Raises InvalidInput."""
        self._now = parse_when(at, now=0)

    def advance(self, by: str | float | timedelta) -> None:
        """Advance by seconds, `"15m"` or a timedelta. Raises InvalidInput."""
        self._now += round(parse_duration(by, what="advance") * SECOND)


@contextmanager
def capture(queue: Cronq) -> Iterator[list[Job]]:
    """Collect the jobs that are enqueued, in order; they are checked, but neither stored nor run."""
    captured: list[Job] = []
    with queue.enqueuer.substituted(_Captor(captured, queue.clock)):
        yield captured


@contextmanager
def scratch(queue: Cronq, *, clock: Clock | None = None) -> Iterator[None]:
    """Use a temporary database for the queue inside the block; `drain` runs what is due there.

    With a ManualClock as `clock`, the test sets the time. Jobs enqueued through a `connection` are
    stored in this database too, and don't wait for a COMMIT.
    """
    with _elsewhere(queue, clock):
        yield


@contextmanager
def inline(queue: Cronq, *, clock: Clock | None = None) -> Iterator[list[Job]]:
    """Run each job as soon as it is enqueued, and then the jobs that it enqueued.

    An error of a task is not raised: the list has the job of each attempt, with state, outcome,
    error and result. A job for later isn't run; `drain` runs it when the clock has advanced.
    """
    ran: list[Job] = []
    with _elsewhere(queue, clock, lambda: ran.extend(_work_off(queue))):
        yield ran


def drain(queue: Cronq) -> list[Job]:
    """Run due jobs until none is left; returns the job of each attempt as it ended.

    Raises UsageError outside of `scratch` and `inline`: it would run real jobs.
    """
    if queue.config.origins["database"] != SCRATCH:
        raise UsageError("drain(queue) is for use within `with scratch(queue):`, it would run real jobs here")
    return list(_work_off(queue))


class _Captor:
    """Stands in for the store, and keeps jobs in memory."""

    def __init__(self, captured: list[Job], clock: Clock) -> None:
        self._captured = captured
        self._clock = clock

        self.jobs = self
        self.batches = _CapturedBatches(self)

    def tell_time(self) -> int:
        return self._clock.now()

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Keep the jobs in memory."""
        first = len(self._captured) + 1
        new = [Enqueued(number, existing=False) for number in range(first, first + len(jobs))]
        now = self._clock.now()
        pairs = zip(jobs, new, strict=True)
        self._captured += [job_options.accepted(job, enqueued, now=now) for job, enqueued in pairs]
        return new

    def prepare_beside(self) -> None:
        """Do nothing."""

    def enqueue_through(self, _connection: Any, jobs: Sequence[NewJob], **_: Any) -> list[Enqueued]:
        """Keep the jobs in memory, also if the transaction is rolled back."""
        return self.enqueue(jobs)

    def get(self, job_id: int) -> Job | None:
        """Return the captured job."""
        return next((job for job in self._captured if job.id == job_id), None)

    def close(self) -> None:
        """Do nothing."""


class _CapturedBatches:
    """Stands in for the batches of the store."""

    def __init__(self, captor: _Captor) -> None:
        self._captor = captor
        self._opened = 0

    def open(self, new: NewBatch) -> Opened:
        """Keep the members and callbacks in memory, in this order."""
        from cronq.flow.batches import Opened

        self._opened += 1
        kept = self._captor.enqueue([*new.jobs, *(job for _, job in new.callbacks)])
        return Opened(self._opened, kept[: len(new.jobs)], kept[len(new.jobs) :])

    def close(self, _batch_id: int) -> bool:
        """Do nothing: what was captured never ends."""
        return True

    cancel = close

    def counts(self, _batch_id: int) -> dict[str, int]:
        """Return nothing: no job is stored."""
        return {}


class _Scratch:
    """Stands in for the program's store; also stores the jobs that are enqueued through a connection of the program."""

    def __init__(self, store: Store, work_off: Callable[[], object] | None = None) -> None:
        """`work_off` runs due jobs after each call that enqueues; jobs that a job enqueues run after it."""
        self._store = store
        self._work_off = work_off
        self._busy = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Enqueue jobs, and run what is due if a `work_off` was given."""
        enqueued = self._store.enqueue(jobs)
        self.work_off()
        return enqueued

    @property
    def batches(self) -> _ScratchBatches:
        """The batches of the store; their changes run what is due too."""
        return _ScratchBatches(self._store.batches, self.work_off)

    def work_off(self) -> None:
        """Run what is due, unless this call is made by a job that runs: then the running loop does it."""
        if self._work_off is not None and not self._busy:
            self._busy = True
            try:
                self._work_off()
            finally:
                self._busy = False

    def enqueue_through(self, _connection: Any, jobs: Sequence[NewJob], **_: Any) -> list[Enqueued]:
        """Enqueue without the connection, which is to the program's own database."""
        return self.enqueue(jobs)


class _ScratchBatches:
    """The batches of a store; after each change, what is due runs."""

    def __init__(self, batches: Batches, work_off: Callable[[], None]) -> None:
        self._batches = batches
        self._work_off = work_off

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def open(self, new: NewBatch) -> Opened:
        """Open a batch, and run its jobs and what comes after them."""
        opened = self._batches.open(new)
        self._work_off()
        return opened

    def close(self, batch_id: int) -> bool:
        """Close a batch, and run what comes after it."""
        closed = self._batches.close(batch_id)
        self._work_off()
        return closed


@contextmanager
def _elsewhere(queue: Cronq, clock: Clock | None, work_off: Callable[[], object] | None = None) -> Iterator[None]:
    config, usual_clock = queue.config, queue.clock
    with TemporaryDirectory(prefix="cronq-") as directory:
        database = f"sqlite:///{Path(directory) / 'scratch.db'}"
        locks = str(Path(directory) / "locks")
        queue.configure(
            config.with_values(SCRATCH, database=database, lock_dir=locks, synchronous="normal"), clock=clock
        )
        try:
            with (
                Store(queue.config, queue.clock) as store,
                queue.enqueuer.substituted(_Scratch(store, work_off)),
            ):
                yield
        finally:
            queue.configure(config, clock=usual_clock)


def work_off(store: Store, registry: Registry, config: Config, *, worker: str = "cronq.testing") -> Generator[Job]:
    """Run due jobs in this process until none is left; yields the job of each attempt as it ended."""
    executor, policies = Executor(registry, config, store.clock), Policies(config, registry)
    with closing(executor), executor.life:
        while True:
            now = store.clock.now()
            store.leases.promote(now)
            store.open_rates()
            store.follow_up()  # within Django's TestCase the enqueue's own call never comes: nothing is committed
            claimed = store.claim(Filter(), Lease(worker, now=now, seconds=3600), limit=1)
            if not claimed:
                return
            outcome = copy_context().run(executor.execute, claimed[0])
            store.settle([settlement(claimed[0], outcome._replace(pid=os.getpid()), policies, float, worker=worker)])
            job = store.jobs.get(claimed[0].id)
            if job is not None:
                yield job
            if outcome.stop:
                return


def _work_off(queue: Cronq) -> Iterator[Job]:
    return work_off(queue.store, queue.registry, queue.config)
