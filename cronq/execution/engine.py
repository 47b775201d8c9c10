"""Run claimed jobs: assign them to children, settle their outcomes and renew their leases.

`run`, `work` and `serve-inetd` share it; a JobSource claims its jobs, a Lifetime decides when it ends.
"""

from __future__ import annotations

import math
import random
import signal
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Self

from cronq.errors import Unavailable
from cronq.execution.assignments import Assignments
from cronq.execution.leases import LeaseRenewal
from cronq.execution.next_claim import NextClaim
from cronq.execution.pool import TICK, Pool
from cronq.execution.requests import RequestHandler
from cronq.execution.rescue import Rescuer
from cronq.execution.results import ResultRecorder
from cronq.execution.settling import Settling
from cronq.execution.stopping import SHUTDOWN_GRACE, Stopping
from cronq.execution.upkeep import Upkeep
from cronq.locks import require_one_schema
from cronq.model.settlement import has_begun, settlement
from cronq.notifications.sender import Sender
from cronq.storage.workers import Heartbeat
from cronq.system.signals import Signals
from cronq.transports.announcer import Announcer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cronq.config.loader import Config
    from cronq.execution.child_handle import Ended
    from cronq.execution.job_source import JobSource, Lifetime
    from cronq.execution.presence import Presence
    from cronq.execution.results import Report, Summary
    from cronq.schedules.scheduler import Scheduler
    from cronq.store import Store
    from cronq.tasks.registry import Registry


def _nothing() -> None:
    """Do nothing."""


class Engine:
    """Supervises the children of one process and their jobs.

    It is composed of parts with one concern each, which a command's loop may use.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        config: Config,
        *,
        presence: Presence,
        pool: Pool,
        report: Report | None = None,
    ) -> None:
        policies, chance = pool.policies, random.Random()
        self._store = store
        self._config = config
        self.presence = presence
        self.pool = pool
        self.next_claim = NextClaim()
        self.stopping = Stopping(pool)
        self.when_stopping: Callable[[], None] = _nothing
        """Called each time that `stop` is called."""
        self.heartbeat: Callable[[], Heartbeat] = self._usual_heartbeat
        """Makes the heartbeat that is written to the worker registry."""
        sender = Sender(config, registry, close_inherited=pool.close_inherited)
        self._results = ResultRecorder(store, policies, sender, report=report, otel=config.otel)
        rescuer = Rescuer(store, config, policies, chance=chance)
        decide = partial(settlement, policies=policies, chance=chance.random, worker=presence.worker)
        self.settling = Settling(store, pool, self._results, decide=decide, next_claim=self.next_claim)
        self.assignments = Assignments(store, pool, self.settling, self.next_claim)
        self.leases = LeaseRenewal(
            store, config, presence.worker, pool=pool, assignments=self.assignments, settling=self.settling
        )
        self.requests = RequestHandler(
            store, presence.worker, pool=pool, assignments=self.assignments, next_claim=self.next_claim
        )
        self.upkeep = Upkeep(store, config, rescuer=rescuer, results=self._results, next_claim=self.next_claim)
        self._wake_fd = -1

    @classmethod
    def with_children(
        cls,
        number: int,
        store: Store,
        registry: Registry,
        config: Config,
        *,
        presence: Presence,
        report: Report | None = None,
    ) -> Self:
        """Make an engine with a pool of this number of children."""
        pool = Pool(number, config, registry, clock=store.clock, worker=presence.worker)
        return cls(store, registry, config, presence=presence, pool=pool, report=report)

    @property
    def summary(self) -> Summary:
        """The summary of what this engine has done so far."""
        return self._results.summary

    def schedule_by(self, scheduler: Scheduler) -> None:
        """Fire due schedules too; with `wake`, their jobs wake other workers as those of an enqueueing program do."""
        if self._config.wake:
            scheduler.announcer = Announcer(self._config, of=self.presence.worker)
        self.upkeep.scheduler = scheduler

    # From its start to its end

    @contextmanager
    def running(
        self, signals: Mapping[int, Callable[[], None]] | None = None, *, since: float | None = None
    ) -> Iterator[None]:
        """Register, fork children and rescue jobs of dead runners; at the end close and unregister.

        `signals` maps signals beside SIGTERM and SIGINT to their handlers. With `since`, the pool already has a job,
        which was claimed at this monotonic time, and the start does nothing of the above. Raises Unavailable if the
        database stays unreachable, after the running jobs have ended.
        """
        self.pool.before_fork = self._store.close
        if since is None and (schema := self._store.schema()):
            require_one_schema(self._config, schema)
        alive = self.presence.lock()
        stop: dict[int, Callable[[], None]] = dict.fromkeys((signal.SIGTERM, signal.SIGINT), self.stopping.note_signal)
        # This worker needs no wake-up for its own changes; transports are notified only of changes outside of runners.
        announcer = Announcer(self._config, of=self.presence.worker, transports=False)
        with (
            self._store.wake.announced_by(announcer),
            Signals({**stop, **(signals or {})}) as woken,
            self.leases.deadline,
        ):
            self._wake_fd = woken.fd
            try:
                self._begin() if since is None else self._go_on(since)
                yield
                self._leave()
                self._results.send_notices(self.pool.before_fork, at_once=True)
            except Unavailable:
                self._finish_without_database()
                alive.abandon()
                raise
        self.pool.close()
        alive.end()

    def _begin(self) -> None:
        self._store.synchronise()
        self.presence.register()
        self.pool.fill()
        self.upkeep.do(self.presence.worker)

    def _go_on(self, since: float) -> None:
        """Prepare to supervise a job that runs already: no upkeep, no renewal or requests at once."""
        self.leases.deadline.renewed(since)
        self.leases.put_off()
        self.requests.put_off()
        self.upkeep.disable()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))

    def _leave(self) -> None:
        self._store.minutes.write()
        if self.presence.registered:
            self.upkeep.end(self.presence.worker)
            self.presence.leave()
            self.summary.conflicts = self._store.conflicts

    def _finish_without_database(self) -> None:
        """Wait until running jobs end; their outcomes stay in the journals until the next run settles them."""
        self.pool.recall()
        while self.pool.assigned:
            self.pool.wait(TICK, (self._wake_fd,))
            self.pool.collect()
            self.pool.tick()
            if self.stopping.signals > 1:
                self.stopping.kill_all()
        self.pool.leave()

    # One round

    def step(self, source: JobSource, lifetime: Lifetime, *, woken: Callable[[], None] = _nothing) -> bool:
        """Assign jobs, sleep, settle ended attempts, supervise running ones. Returns False when `lifetime` is over.

        `woken` is called after the sleep, before anything else.
        """
        self._assign(source)
        busy = bool(self.pool.assigned or self.settling.ended)
        if not busy and lifetime.is_over():
            return False
        self.pool.wait(TICK if busy else lifetime.pause(), (self._wake_fd,), lifetime.watched())
        woken()
        self._collect()
        self.settling.write_when_due()
        self._look_after(source)
        self._results.send_notices(self.pool.before_fork)
        return True

    def _assign(self, source: JobSource) -> None:
        """Assign jobs that were taken back or are claimed now."""
        if self.stopping.signals:
            self.stop("stopped by a signal", self.stopping.grace)
        self.assignments.return_jobs()
        self.pool.fill()
        takers = self.assignments.takers()
        if self.assignments.spare and (self.stopping.asked or not takers):
            self.assignments.release_spare()
        if not takers:
            return
        if not self.assignments.spare:
            self.assignments.take(source.take(sum(count for _, count in takers)))
        if self.assignments.spare:
            if self.leases.deadline.fallen:
                self.renew()
            self.assignments.assign([child for child, _ in takers])

    def _collect(self) -> None:
        """Read the attempts that ended from the journals, without writing outcomes to the database."""
        ended, orphaned = self.pool.collect()
        if ended:
            self._take(ended)
        self.assignments.take_back(orphaned)

    def _take(self, ended: Sequence[Ended]) -> None:
        self.assignments.prefetch.adjust(ended)
        for job, outcome in ended:
            if has_begun(outcome):
                self.settling.take(job, outcome)
        # After all outcomes were taken: to return jobs, outcomes are written, and that deletes journals.
        self.assignments.to_return += [job for job, outcome in ended if not has_begun(outcome)]
        if any(outcome.stop for _, outcome in ended):
            self.stop("stopped by a job", SHUTDOWN_GRACE)

    def _look_after(self, source: JobSource) -> None:
        now = time.monotonic()
        self._keep_limits()
        if now >= self.leases.renewal:
            self.renew()
        if now >= self.requests.next and self.requests.handle():
            self.stop("stopped by `cronq reload-workers`")
        if now >= self.upkeep.next:
            self.upkeep.do(self.presence.worker)
        if source.promotes:
            self.upkeep.promote_when_due()
        self.stopping.kill_when_over()

    # For a command's loop

    @property
    def next_appointment(self) -> float:
        """The monotonic time of the next renewal, reading of requests or upkeep: none of these has a wake-up."""
        return min(self.requests.next, self.leases.renewal, self.upkeep.next)

    def stop(self, why: str, grace: float = math.inf) -> None:
        """Start no more jobs; running ones have `grace` seconds to end. The summary keeps the first reason, `why`."""
        self.summary.stopped = self.summary.stopped or why
        if not self.stopping.asked:
            self.assignments.recall()
        self.stopping.ask(grace)
        self.when_stopping()

    def _keep_limits(self) -> None:
        """Enforce time limits; take back the jobs that wait for a slow one in the same child."""
        stuck = self.pool.tick()
        if stuck:
            self.assignments.prefetch.slow_down()
            self.assignments.take_back(stuck)

    def step_without_database(self) -> None:
        """Sleep for a moment and read ended attempts, without starting jobs or writing outcomes."""
        self.pool.wait(TICK, (self._wake_fd,))
        self._collect()
        self._keep_limits()

    def resume(self) -> None:
        """Renew the leases, and claim again at once. Raises Unavailable while the database is still unreachable."""
        self._store.synchronise()
        self.renew()
        self.next_claim.changed()

    def renew(self) -> None:
        """Renew the leases and write a heartbeat."""
        self.leases.renew()
        self.beat()

    def beat(self) -> None:
        """Write a heartbeat."""
        self.presence.beat(self.heartbeat())

    def _usual_heartbeat(self) -> Heartbeat:
        return Heartbeat("ending" if self.stopping.asked else "running", self.summary.ended)
