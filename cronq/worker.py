"""Implement `cronq work`: wait for jobs and run them until told to end."""

from __future__ import annotations

import math
import random
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import Unavailable
from cronq.execution.due_jobs import DueJobs, Plan
from cronq.execution.engine import Engine
from cronq.execution.presence import Presence
from cronq.execution.stopping import SHUTDOWN_GRACE
from cronq.execution.worker_signals import AFRESH, WorkerSignals
from cronq.locks import any_runner_died
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from cronq.notifications import sender
from cronq.storage.workers import Heartbeat
from cronq.system import memory
from cronq.system.log import log
from cronq.system.sources import Sources
from cronq.times import SECOND
from cronq.transports.doorbell import FRESH, Doorbell
from cronq.transports.listener import Listeners

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.config.loader import Config
    from cronq.execution.results import Report, Summary
    from cronq.schedules.scheduler import Scheduler
    from cronq.store import Store
    from cronq.system.systemd import ServiceManager
    from cronq.tasks.registry import Registry

    WakeUps = tuple[Doorbell, Listeners]

_PATIENCE = 3.0
"""Seconds for which one call tries to reach the database: children are served only between two calls."""

_RETRY_PAUSE = 1.0
"""Seconds between two tries while the database is unreachable."""

_CHECKS = 2.0
"""Most seconds between two checks for dead runners on this host, dead listeners, and memory."""

_KILLED = Failure("Killed", "killed by SIGUSR1 to its worker")


class WorkerLimits(NamedTuple):
    """The conditions under which a worker ends, and how often it polls. None stands for no limit.

    `poll` is the most seconds between two claims without a wake-up, `grace` the seconds that running jobs have to end
    after a signal.
    """

    plan: Plan = Plan()
    """The jobs that it runs, the number of children, and the number of jobs or seconds after which it ends."""
    memory: int | None = None
    """Bytes that it and its children may use together."""
    idle: float | None = None
    """Seconds without work after which it ends."""
    poll: float = 60.0
    grace: float = SHUTDOWN_GRACE
    reload: bool = False
    """Whether to restart when a loaded module's file changes."""


class Worker:
    """Runs jobs until it is told to end, or reaches one of its limits."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        config: Config,
        *,
        limits: WorkerLimits,
        service: ServiceManager,
        report: Report | None = None,
    ) -> None:
        self.signals = WorkerSignals()
        self._store = store
        self._config = config
        self._limits = limits
        self._service = service
        presence = Presence(store, config, kind="work", queues=limits.plan.wanted.queues)
        self._name = presence.worker
        children = limits.plan.children or config.jobs
        self._engine = Engine.with_children(children, store, registry, config, presence=presence, report=report)
        self._pool = self._engine.pool
        self._engine.stopping.grace = limits.grace
        self._engine.heartbeat = self._heartbeat
        self._source = DueJobs(store, self._engine, limits.plan, poll=limits.poll)
        self._sources = Sources() if limits.reload else None
        self._wake_ups: WakeUps | None = None
        self._known_as = self._state
        self._worked_at = self._source.started
        self._checks_at = 0.0
        self._claim_again_at = self._source.started + 2 * FRESH

    @property
    def summary(self) -> Summary:
        """The summary of what this worker has done so far."""
        return self._engine.summary

    def schedule_by(self, scheduler: Scheduler) -> None:
        """Enqueue the jobs of due schedules too, regardless of the plan's filters."""
        self._engine.schedule_by(scheduler)

    def work(self) -> Summary:
        """Run jobs until told to end, or until a limit is reached; returns the summary.

        Raises ConfigError if the configuration needs a library for notices that isn't installed, Unavailable if the
        database is unreachable at the start or at the end.
        """
        sender.check(self._config)
        doorbell, listeners = Doorbell.open(self._config, self._name), Listeners(self._config, self._name)
        self._wake_ups = doorbell, listeners
        try:
            with self._engine.running(self.signals.handlers()):
                self._store.close()  # the listeners are forked, and must not share the connection
                listeners.start()
                self._service.ready()
                self._store.set_patience(_PATIENCE)
                self._loop(self._wake_ups)
                self._service.ending(afresh=self.signals.afresh)
                if self.signals.afresh:
                    signal.pthread_sigmask(signal.SIG_BLOCK, AFRESH)
        finally:
            listeners.end()
            doorbell.close()
        return self.summary

    def _loop(self, wake_ups: WakeUps) -> None:
        while True:
            try:
                self._handle_signals()
                self._report_state()
                if not self._engine.step(self._source, self):
                    return
                self._check(wake_ups)
            except Unavailable as error:
                self._wait_for_database(error)

    # Signals

    def _handle_signals(self) -> None:
        self._stop_when_told()
        if self.signals.take_kill():
            self._kill_running()
        if self.signals.rest != self._source.paused:
            self._pause(self.signals.rest)

    def _stop_when_told(self) -> None:
        if self.signals.finish:
            self._engine.stop("stopped to start afresh" if self.signals.afresh else "stopped by a signal")
        if self._engine.stopping.signals:
            self._engine.stop("stopped by a signal", self._limits.grace)

    def _kill_running(self) -> None:
        for child in self._pool.children:
            if child.running is not None:
                self._pool.kill(child, Outcome("crashed", 0, 0, "retry", error=_KILLED, signal="SIGKILL"))

    def _pause(self, paused: bool) -> None:  # noqa: FBT001
        log.info("%s %s", self._name, "is paused" if paused else "goes on")
        self._source.paused = paused
        if paused:
            self._engine.assignments.recall()
            self._engine.assignments.return_spare()
        self._engine.next_claim.changed()

    # Its state, for the worker registry and systemd

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(self._state, self.summary.ended, self._memory())

    @property
    def _state(self) -> str:
        if self._engine.stopping.asked:
            return "ending"
        return "paused" if self._source.paused else "running"

    def _memory(self) -> int:
        return memory.pss(child.pid for child in self._pool.children)

    def _report_state(self) -> None:
        state = self._state
        if state != self._known_as:
            self._known_as = state
            self._engine.beat()
        self._service.alive()
        if state == "ending":
            self._service.ending(afresh=self.signals.afresh)
        self._service.status(f"{state}, {self._pool.assigned} jobs assigned, {self.summary.ended} done")

    # Between its jobs

    def _has_room(self) -> bool:
        """Tell whether it can take more jobs. Until then wake-ups stay unread: one claim serves them all."""
        return bool(self._engine.assignments.takers()) and not self._source.exhausted and not self._source.paused

    def _check(self, wake_ups: WakeUps) -> None:
        """Read wake-ups; now and then check for dead runners and listeners, and the memory used."""
        now = time.monotonic()
        if now >= self._claim_again_at:
            self._claim_again_at = math.inf
            self._engine.next_claim.changed()
        if self._has_room() and sum(source.drain() for source in wake_ups):
            self._engine.next_claim.changed()
        if self._pool.assigned or self._engine.settling.ended or self._source.paused:
            self._worked_at = now
        if now >= self._checks_at:
            self._checks_at = now + random.uniform(0.5, 1) * _CHECKS
            self._check_others(wake_ups[1])
            self._check_memory()
            self._check_sources()

    def _check_others(self, listeners: Listeners) -> None:
        listeners.restart_dead()
        if any_runner_died(self._config):
            self._engine.upkeep.do(self._name)

    def _check_sources(self) -> None:
        file = self._sources.changed() if self._sources else None
        if file is not None and not self.signals.afresh:
            log.warning("%s has changed: %s restarts", file, self._name)
            self.signals.restart()

    def _check_memory(self) -> None:
        limit = self._limits.memory
        if limit is None or self._engine.stopping.asked:
            return
        taken = self._memory()
        if taken > limit:
            log.info("%s and its children take %d MiB: it ends", self._name, taken >> 20)
            self._engine.stop("stopped by --max-memory")

    # Called by the engine

    def is_over(self) -> bool:
        """Tell whether a limit is reached or it was told to stop."""
        idle = self._limits.idle
        return self._source.exhausted or (idle is not None and time.monotonic() >= self._worked_at + idle)

    def pause(self) -> float:
        """Return the seconds until something is due for which there is no wake-up."""
        return max(0.0, min(self._next_times()) - time.monotonic())

    def watched(self) -> tuple[int, ...]:
        """Return the descriptors of its wake-ups, none while it can't take more jobs."""
        return tuple(source.fd for source in self._wake_ups or ()) if self._has_room() else ()

    def _next_times(self) -> Iterator[float]:
        next_claim, plan = self._engine.next_claim, self._limits.plan
        yield from (self._engine.next_appointment, self._checks_at, self._claim_again_at)
        if not self._source.paused:
            yield next_claim.at
        for due in (next_claim.due, self._engine.upkeep.schedules_due):
            if due is not None:
                yield time.monotonic() + (due - self._store.clock.now()) / SECOND
        if self._limits.idle is not None:
            yield self._worked_at + self._limits.idle
        if plan.seconds is not None:
            yield self._source.started + plan.seconds
        if self._service.interval is not None:
            yield time.monotonic() + self._service.interval

    # Without a database

    def _wait_for_database(self, error: Unavailable) -> None:
        """Let running jobs go on, and keep their outcomes, until the database can be reached again.

        Raises the error if the worker is to end before that.
        """
        log.warning("the database is away, running jobs go on: %s", error)
        began = time.monotonic()
        self._engine.assignments.recall()
        while not self._is_back():
            again = time.monotonic() + _RETRY_PAUSE
            while time.monotonic() < again:
                self._engine.step_without_database()
                self._handle_signals_without_database()
                if self._engine.stopping.asked and not self._pool.assigned:
                    raise error
        log.warning("the database is back after %.0f s", time.monotonic() - began)

    def _handle_signals_without_database(self) -> None:
        self._service.alive()
        self._stop_when_told()
        self._engine.stopping.kill_when_over()

    def _is_back(self) -> bool:
        """Tell whether the database can be reached again; if so, renew the leases that are still held."""
        self._store.set_patience(0.0)
        try:
            self._engine.resume()
        except Unavailable:
            return False
        finally:
            self._store.set_patience(_PATIENCE)
        return True
