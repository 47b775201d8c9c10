"""A worker that stays: sleeps until there may be something to do, does it, and sleeps again."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import Unavailable
from cronq.execution.engine import SHUTDOWN_GRACE
from cronq.execution.pool import TICK
from cronq.execution.worker_signals import AFRESH, WorkerSignals
from cronq.locks import remains_of_the_dead
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from cronq.runner import Plan, Runner
from cronq.storage.workers import Heartbeat
from cronq.system import memory
from cronq.system.log import log
from cronq.times import SECOND
from cronq.transports.doorbell import FRESH, Doorbell
from cronq.transports.listener import Listeners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cronq.config.loader import Config
    from cronq.execution.results import Report, Summary
    from cronq.model.job import Claimed
    from cronq.store import Store
    from cronq.system.systemd import ServiceManager
    from cronq.tasks.registry import Registry

    Ears = tuple[Doorbell, Listeners]

_PATIENCE = 3.0
"""Seconds that one call may try to reach the database: after that the worker looks after its children meanwhile."""

_RETRY_PAUSE = 1.0
"""Seconds between two tries while the database is away."""

_NEIGHBOURS = 2.0
"""Seconds between two looks whether a runner on this host has died, and at the memory, at most."""


class Stay(NamedTuple):
    """How long a worker stays, and how often it looks without being woken. None stands for no limit."""

    plan: Plan = Plan()
    """Which jobs, with how many children; after so many jobs or seconds it ends."""
    memory: int | None = None
    """Bytes that it and its children may take together."""
    idle: float | None = None
    """Seconds without work after which it ends."""
    poll: float = 60.0
    grace: float = SHUTDOWN_GRACE


class Worker(Runner):
    """Stays until it is told to end, or has reached one of its limits."""

    kind = "work"

    def __init__(
        self,
        store: Store,
        registry: Registry,
        config: Config,
        *,
        stay: Stay,
        service: ServiceManager,
        report: Report | None = None,
    ) -> None:
        super().__init__(store, registry, config, plan=stay.plan, report=report)
        self.orders = WorkerSignals()
        self._stay = stay
        self._grace = stay.grace
        self._service = service
        self._resting = False
        self._known_as = self._state
        self._worked_at = self._started
        self._neighbours_at = 0.0
        self._look_twice_at = self._started + 2 * FRESH

    # Orders

    def heeded(self) -> dict[int, Callable[[], None]]:
        """Whatever a person or a supervisor may send."""
        return super().heeded() | self.orders.heeded()

    def _obey(self) -> None:
        if self.orders.finish:
            self.ask_to_stop()
        if self._signals:
            self.ask_to_stop(self._grace)
        if self.orders.take_kill():
            self._kill_what_runs()
        if self.orders.rest != self._resting:
            self._rest(self.orders.rest)

    def _kill_what_runs(self) -> None:
        error = Failure("Killed", "killed by SIGUSR1 to its worker")
        for member in self._pool.members:
            if member.running is not None:
                self._pool.kill(member, Outcome("crashed", 0, 0, error=error, signal="SIGKILL"))

    def _rest(self, resting: bool) -> None:  # noqa: FBT001
        log.info("%s %s", self.worker, "is paused" if resting else "goes on")
        self._resting = resting
        if resting:
            self._take_back(self._pool.recall())
            self._returned += self._spare
            self._spare = []
        self.changed()

    def presence(self) -> Heartbeat:
        """How this worker does."""
        return Heartbeat(self._state, self.summary.ended, self._memory())

    @property
    def _state(self) -> str:
        if self._stop_asked is not None:
            return "ending"
        return "paused" if self._resting else "running"

    def _memory(self) -> int:
        return memory.pss(member.pid for member in self._pool.members)

    # The life

    def work(self) -> Summary:
        """Work until it is time to end."""
        doorbell, listeners = Doorbell(self._config, self.worker), Listeners(self._config, self.worker)
        try:
            with self.at_work() as signals:
                self._store.close()  # a fork must not share the connection
                listeners.start()
                self._service.ready()
                self._store.be_patient(_PATIENCE)
                self._stay_at_work(signals, (doorbell, listeners))
                self._service.ending(afresh=self.orders.afresh)
                if self.orders.afresh:
                    signal.pthread_sigmask(signal.SIG_BLOCK, AFRESH)
        finally:
            listeners.end()
            doorbell.close()
        return self.summary

    def _stay_at_work(self, signals: int, ears: Ears) -> None:
        while True:
            try:
                self._obey()
                self._tell_how_it_does()
                self.hand_over()
                if not self._pool.in_hand and not self._ended and self._is_over():
                    return
                heard = tuple(ear.fd for ear in ears) if self._has_room() else ()
                self._pool.wait(self._nap(), (signals,), heard)
                self.follow_up()
                self._look_around(ears)
            except Unavailable as error:
                self._hold_out(error, signals)

    def _has_room(self) -> bool:
        """Whether it could take more. While it can't, rings wait: however many there are, it is one look."""
        return bool(self._takers()) and not self._stopping and not self._resting

    def _look_around(self, ears: Ears) -> None:
        """What a worker does beside its jobs: who rang, does everybody live, how much memory is taken."""
        now = time.monotonic()
        if now >= self._look_twice_at:
            self._look_twice_at = float("inf")
            self.changed()
        if self._has_room() and sum(ear.answer() for ear in ears):
            self.changed()
        if self._pool.in_hand or self._ended or self._resting:
            self._worked_at = now
        if now >= self._neighbours_at:
            self._neighbours_at = now + self._chance.uniform(0.5, 1) * _NEIGHBOURS
            self._help_neighbours(ears)
            self._weigh()

    def _help_neighbours(self, ears: Ears) -> None:
        ears[1].look_after()
        if remains_of_the_dead(self._config):
            self._maintain()

    def _weigh(self) -> None:
        limit = self._stay.memory
        if limit is None or self._stop_asked is not None:
            return
        taken = self._memory()
        if taken > limit:
            log.info("%s and its children take %d MiB: it ends", self.worker, taken >> 20)
            self.ask_to_stop()

    def _tell_how_it_does(self) -> None:
        state = self._state
        if state != self._known_as:
            self._known_as = state
            self._beat()
        self._service.alive()
        if state == "ending":
            self._service.ending(afresh=self.orders.afresh)
        self._service.status(f"{state}, {self._pool.in_hand} jobs in hand, {self.summary.ended} done")

    # When to wake, and when to end

    def claim_more(self, count: int) -> list[Claimed]:
        """The best due jobs, unless nothing says that there may be some."""
        return [] if self._resting else super().claim_more(count)

    def pause_after(self, jobs: list[Claimed]) -> float:
        """Until somebody rings or a job is due, but not longer than the poll."""
        if jobs:
            return super().pause_after(jobs)
        self._due = self._store.next_due()
        return self._stay.poll

    def _nap(self) -> float:
        """Seconds until something has to be done that nobody rings for."""
        if self._pool.in_hand or self._ended:
            return TICK
        return max(0.0, min(self._appointments()) - time.monotonic())

    def _appointments(self) -> Iterator[float]:
        times = self._times
        yield from (times.heed, times.renew, times.maintain, self._neighbours_at, self._look_twice_at)
        if not self._resting:
            yield self._look
        if self._due is not None:
            yield time.monotonic() + (self._due - self._store.clock.now()) / SECOND
        if self._stay.idle is not None:
            yield self._worked_at + self._stay.idle
        if self._plan.seconds is not None:
            yield self._started + self._plan.seconds
        if self._service.interval is not None:
            yield time.monotonic() + self._service.interval

    def _is_over(self) -> bool:
        idle = self._stay.idle
        return self._stopping or (idle is not None and time.monotonic() >= self._worked_at + idle)

    # Without a database

    def _hold_out(self, error: Unavailable, signals: int) -> None:
        """Let running jobs go on, and keep what they give, until the database is back.

        Raises the error where the worker is to end before that.
        """
        log.warning("the database is away, running jobs go on: %s", error)
        began = time.monotonic()
        self._take_back(self._pool.recall())
        while not self._is_back():
            again = time.monotonic() + _RETRY_PAUSE
            while time.monotonic() < again:
                self._pool.wait(TICK, (signals,))
                self._gather()
                self._take_back(self._pool.tick())
                self._obey_in_need()
                if self._stop_asked is not None and not self._pool.in_hand:
                    raise error
        log.warning("the database is back after %.0f s", time.monotonic() - began)

    def _obey_in_need(self) -> None:
        self._service.alive()
        if self.orders.finish or self._signals:
            self.ask_to_stop(self._grace if self._signals else float("inf"))
        self._end_in_time()

    def _is_back(self) -> bool:
        """Whether the database can be reached; if so, leases that are still held are renewed."""
        self._store.be_patient(0.0)
        try:
            self._store.synchronise()
            self._renew()
            self._agree_with_rows()
        except Unavailable:
            return False
        finally:
            self._store.be_patient(_PATIENCE)
        self.changed()
        return True

    def _agree_with_rows(self) -> None:
        """Forget jobs that others took over; give back those that a claim took whose answer never came."""
        held = {held.job.id: held.job for held in self._store.held_by(self.worker)}
        self._spare = [job for job in self._spare if _same(job, held)]
        self._returned = [job for job in self._returned if _same(job, held)]
        in_hand = [job for member in self._pool.members for job in member.hand]
        ended = [settlement.job for settlement in self._ended]
        known = {job.id for job in (*self._spare, *self._returned, *in_hand, *ended)}
        self._store.release([job for job in held.values() if job.id not in known])


def _same(job: Claimed, held: dict[int, Claimed]) -> bool:
    return job.id in held and held[job.id].token == job.token
