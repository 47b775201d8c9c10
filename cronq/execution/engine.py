"""What every runner does with claimed jobs: children, outcomes, leases, rescue, stopping.

`run`, `work` and `serve-inetd` share it; they differ in what they claim and in when they end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cronq.execution.pool import StartedPool

import math
import os
import random
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cronq import __version__
from cronq.errors import Unavailable
from cronq.execution.lease_deadline import LeaseDeadline, NoDeadline
from cronq.execution.live_output import LiveOutput
from cronq.execution.pool import TICK, Pool, PoolConfig
from cronq.execution.prefetch import Prefetch
from cronq.execution.rescue import Rescuer
from cronq.execution.results import ResultRecorder
from cronq.locks import Liveness, new_worker
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from cronq.model.retry import Policies
from cronq.model.settlement import not_started, settlement
from cronq.notifications.sender import Sender
from cronq.storage.workers import END, Heartbeat, Registration
from cronq.system.log import steps
from cronq.system.signals import Signals
from cronq.times import SECOND
from cronq.transports.announcer import Announcer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cronq.config.loader import Config
    from cronq.execution.pool import ChildHandle, Ended
    from cronq.execution.results import Report, Summary
    from cronq.model.job import Claimed
    from cronq.model.outcome import Settlement
    from cronq.store import Store
    from cronq.tasks.registry import Registry

_SETTLE_AT = 100
_SETTLE_AFTER = 0.05
_HEED = 1.0
_HEED_FOLLOWED = 0.25
_MAINTAIN = 60.0
SHUTDOWN_GRACE = 60.0
"""Seconds that running jobs get to end after SIGTERM."""

_CUT_OFF = "executor died: SIGKILL (its runner could not renew the lease: the database was away for too long)"
_FENCED = Outcome("crashed", 0, 0, "rescue", error=Failure("ExecutorDied", _CUT_OFF), signal="SIGKILL")


class Engine:
    """The children of one process and the jobs they have. Registered as a worker while it lives."""

    promotes = True
    """Whether it makes scheduled, retrying and waiting jobs ready when they are due."""

    def __init__(
        self, store: Store, registry: Registry, config: Config, *, part: RunnerInfo, report: Report | None = None
    ) -> None:
        started = part.started
        self.worker = started.alive.worker if started else new_worker()
        self.claimed = 0
        self._store = store
        # It looks itself at what its own changes make ready; transports are for changes that no runner makes.
        store.announcer = Announcer(config, of=self.worker, transports=False)
        self._config = config
        self._part = part
        self._policies = Policies(config, registry)
        self._chance = random.Random()
        self._maintainer = Rescuer(store, config, self._policies, chance=self._chance)
        setting = PoolConfig(config, registry, self._policies, store.clock, self.worker)
        self._pool = started.pool if started else Pool(part.children or config.jobs, setting)
        self._pool.before_fork = store.close
        self._followers = LiveOutput(store, self._pool)
        courier = Sender(config, registry, let_go=self._pool.let_go)
        self._account = ResultRecorder(store, self._policies, courier, report=report)
        self._pace = Prefetch()
        self._times = Timers()
        alone = config.sqlite_path() is not None
        self._fence = (NoDeadline if alone else LeaseDeadline)(config.lease, self._stop_in_time)
        self._ended: list[Settlement] = []
        self._spare: list[Claimed] = []
        self._returned: list[Claimed] = []
        self._paused: frozenset[str] = frozenset()
        self._due: int | None = None
        self._stop_asked: float | None = None
        self._signals = 0
        self._grace = SHUTDOWN_GRACE

    @property
    def summary(self) -> Summary:
        """What it did so far."""
        return self._account.summary

    # What the parts do differently

    def claim_more(self, count: int) -> list[Claimed]:
        """Up to `count` jobs for children that can take them."""
        raise NotImplementedError

    def changed(self) -> None:
        """Jobs were settled, given back or promoted: a claim may find what the last one didn't."""

    def heeded(self) -> dict[int, Callable[[], None]]:
        """What happens at which signal. It comes in the middle of anything, so it may only be noted."""
        return dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._told_to_stop)

    def presence(self) -> Heartbeat:
        """How this worker does."""
        return Heartbeat("running" if self._stop_asked is None else "ending", self.summary.ended)

    # The life of a worker

    @contextmanager
    def at_work(self) -> Iterator[int]:
        """Register, have children ready and all put right that dead runners left; gives the fd of signals.

        Where the database stays away, running jobs end before the error goes on.
        """
        alive = self._part.started.alive if self._part.started else Liveness(self._config, self.worker)
        with Signals(self.heeded()) as signals, self._fence:
            try:
                self.begin()
                yield signals.fd
                self.leave()
                self._account.call_people(self._pool.before_fork, at_once=True)
            except Unavailable:
                self._finish_without_database(signals.fd)
                alive.abandon()
                raise
        self._pool.close()
        alive.end()

    def begin(self) -> None:
        """Set the clock, register, have children ready, put right what dead runners left."""
        self._store.synchronise()
        self._enter()
        self._pool.fill()
        self._maintain()

    def leave(self) -> None:
        """Nothing is in hand any more."""
        self._account.tell_of_recovery()
        self._maintainer.resign(self.worker)
        self._store.workers.unregister(self.worker)
        self.summary.conflicts = self._store.conflicts

    def _enter(self) -> None:
        entry = Registration(
            self.worker, self._part.kind, os.uname().nodename, os.getpid(), self._part.queues, __version__
        )
        self._store.workers.register(entry)

    def _maintain(self) -> None:
        self._times.maintain = time.monotonic() + min(_MAINTAIN, self._config.lease / 2)
        self._store.synchronise()
        ready = -self._maintainer.freed
        for settled in self._maintainer.rescue(besides=self.worker):
            self._account.enter(settled)
        ready += self._maintainer.freed
        ready += self._store.promote(self._store.clock.now())
        ready += self._store.unblock_stranded()
        if ready:
            self.changed()
        self._maintainer.prune()
        self._account.tell_of_recovery()

    def hand_over(self) -> None:
        """Before each wait: heed signals, keep the children busy with what was taken back or is claimed now."""
        if self._signals:
            self.ask_to_stop(self._grace)
        self._give_back()
        self._refill()

    def follow_up(self) -> None:
        """After each wait: take outcomes, settle them, look after what runs."""
        self._gather()
        self._settle_when_due()
        self._look_after()
        self._account.call_people(self._pool.before_fork)

    # Handing over

    def _refill(self) -> None:
        self._pool.fill()
        takers = self._takers()
        if self._spare and (self._stop_asked is not None or not takers):
            self._release(self._spare)
            self._spare = []
        if not takers:
            return
        if not self._spare:
            self._claim(sum(count for _, count in takers))
        if self._spare and self._fence.fallen:
            self._renew()
        if self._spare:
            self._deal([member for member, _ in takers])

    def _claim(self, count: int) -> None:
        idle, started = not self._pool.in_hand and not self._returned, time.monotonic()
        self._spare = self.claim_more(count)
        self.claimed += len(self._spare)
        steps(self._spare, "claimed")
        if idle and self._spare:
            self._fence.renewed(started)

    def _takers(self) -> list[tuple[ChildHandle, int]]:
        """The children that can take more jobs, the emptiest first, and how many each."""
        ahead = self._pace.ahead
        takers = [
            (member, ahead - len(member.hand))
            for member in self._pool.members
            if len(member.hand) <= ahead // 2 and self._pool.has_room(member)
        ]
        return sorted(takers, key=lambda taker: -taker[1])

    def _deal(self, members: list[ChildHandle]) -> None:
        """Hand jobs out in turn, so that they start in order; a group's jobs go to one child."""
        hands: list[list[Claimed]] = [[] for _ in members]
        places: dict[str, int] = {}
        for number, job in enumerate(self._spare):
            place = number % len(members)
            if job.group is not None:
                place = places.setdefault(job.group, place)
            hands[place].append(job)
        self._spare = []
        for member, jobs in zip(members, hands, strict=True):
            if jobs:
                member.give(jobs)

    def _release(self, jobs: list[Claimed]) -> None:
        self._store.release(jobs)
        steps(jobs, "given back")
        self.claimed -= len(jobs)
        self.changed()

    # Collecting

    def _gather(self) -> None:
        ended, orphaned = self._pool.collect()
        if ended:
            self._pace.learn(ended)
            for job, outcome in ended:
                self._take(job, outcome)
            self._heed(ended)
        self._take_back(orphaned)

    def _take(self, job: Claimed, outcome: Outcome) -> None:
        if not_started(outcome):
            return
        if not self._ended:
            self._times.settled = time.monotonic()
        self._ended.append(settlement(job, outcome, self._policies, self._chance))

    def _heed(self, ended: Sequence[Ended]) -> None:
        """What jobs ask of the runner. Not before all outcomes are taken: settling lets journals go."""
        self._returned += [job for job, outcome in ended if not_started(outcome)]
        if any(outcome.stop for _, outcome in ended):
            self.ask_to_stop(SHUTDOWN_GRACE)

    def _take_back(self, jobs: list[Claimed]) -> None:
        """Keep jobs for another child; those that follow one in their group go back to the line."""
        self._returned += [job for job in jobs if job.state == "blocked"]
        self._spare += [job for job in jobs if job.state != "blocked"]

    def _give_back(self) -> None:
        """Release what followed others in their groups.

        All of a group at once: else a job behind them could be claimed before the last is back.
        """
        if not self._returned:
            return
        hands = [job for member in self._pool.members for job in member.hand]
        incomplete = {(job.group, job.token) for job in hands if job.state == "blocked"}
        back = [job for job in self._returned if (job.group, job.token) not in incomplete]
        if back:
            self._settle()
            self._release(back)
            self._returned = [job for job in self._returned if (job.group, job.token) in incomplete]

    # Settling

    def _settle_when_due(self) -> None:
        if not self._ended:
            return
        waited = time.monotonic() - self._times.settled
        if len(self._ended) >= _SETTLE_AT or waited >= _SETTLE_AFTER or not self._pool.in_hand:
            self._settle()

    def _settle(self) -> None:
        if not self._ended:
            return
        settled = self._ended
        lost = set(self._store.settle(settled))
        self._ended = []
        self._pool.settled()
        self.changed()
        self.summary.lost += len(lost)
        for one in settled:
            if one.job.id not in lost:
                self._account.enter(one)
        self._account.show(self._pool.in_hand)

    # Looking after what runs

    def _look_after(self) -> None:
        now = time.monotonic()
        back = self._pool.tick()
        if back:
            self._pace.slow_down()
            self._take_back(back)
        if now >= self._times.renew:
            self._times.renew = now + self._config.lease / 3
            self._renew()
        if now >= self._times.heed:
            self._times.heed = now + _HEED
            self._heed_requests()
        if now >= self._times.maintain:
            self._maintain()
        self._promote_when_due()
        self._end_in_time()

    def _promote_when_due(self) -> None:
        now = self._store.clock.now()
        if self.promotes and self._due is not None and self._due <= now:
            self._store.promote(now)
            self.changed()
            self._due = self._store.next_due()

    def _renew(self) -> None:
        started, until = time.monotonic(), self._store.clock.now() + round(self._config.lease * SECOND)
        held = self._store.renew(self.worker, until)
        self._fence.renewed(started)
        self._beat()
        self._forget_lost(held)

    def _forget_lost(self, held: Mapping[int, int]) -> None:
        """Neither start nor go on with what another runner has taken over."""
        lost = Outcome("crashed", 0, 0, error=Failure("LeaseLost", "another runner took the job over"))
        for member in self._pool.members:
            if any(_is_lost(job, held) for job in member.hand):
                self._take_back(member.take_back())
                running = member.running
                if running and _is_lost(running[0], held):
                    self._pool.kill(member, lost)
        self._spare = [job for job in self._spare if not _is_lost(job, held)]
        self._returned = [job for job in self._returned if not _is_lost(job, held)]

    def _stop_in_time(self) -> None:
        self._pool.kill_busy(_FENCED)

    def _beat(self) -> None:
        if not self._store.workers.heartbeat(self.worker, self.presence()):
            self._enter()  # it was silent for so long that somebody took it off

    # What others ask of it

    def _heed_requests(self) -> None:
        requests = self._store.workers.requests(self.worker)
        error = Failure("Cancelled", "killed by `cronq cancel --kill`")
        for job_id in requests.kills:
            self._pool.end_job(job_id, Outcome("crashed", 0, 0, "cancel", error=error, signal="SIGKILL"))
        if requests.asked == END:
            self.ask_to_stop()
        if requests.paused != self._paused:
            self._obey_pauses(requests.paused)
        if self._due is not None and self._due <= self._store.clock.now():
            self.changed()  # whoever made it ready knows nothing of our filter
        self._due = requests.next_due
        self._followers.show(requests.followed)
        if requests.followed:
            self._times.heed = time.monotonic() + _HEED_FOLLOWED

    def _obey_pauses(self, paused: frozenset[str]) -> None:
        """Give back what was claimed of queues that are paused now and not started."""
        self._paused = paused
        self._take_back(self._pool.recall())
        self._returned += [job for job in self._spare if job.queue in paused]
        self._spare = [job for job in self._spare if job.queue not in paused]
        self.changed()

    # Stopping

    def _told_to_stop(self) -> None:
        self._signals += 1

    def ask_to_stop(self, grace: float = math.inf) -> None:
        """Start nothing more; what runs may end within the grace."""
        self.summary.stopped = True
        if self._stop_asked is None:
            self._stop_asked = math.inf
            self._take_back(self._pool.recall())
        self._stop_asked = min(self._stop_asked, time.monotonic() + grace)

    def _end_in_time(self) -> None:
        if self._stop_asked is not None and (time.monotonic() > self._stop_asked or self._signals > 1):
            self._kill_the_rest()

    def _kill_the_rest(self) -> None:
        error = Failure("Stopped", "the runner was told to stop; the job went back, its attempt returned")
        for member in self._pool.members:
            if member.running is not None:
                self._pool.kill(member, Outcome("crashed", 0, 0, "release", error=error, signal="SIGKILL"))

    def _finish_without_database(self, wake_fd: int) -> None:
        """Let running jobs end; their outcomes stay in the journals until the next run settles them."""
        self._pool.recall()
        while self._pool.in_hand:
            self._pool.wait(TICK, (wake_fd,))
            self._pool.collect()
            self._pool.tick()
            if self._signals > 1:
                self._kill_the_rest()
        self._pool.leave()


def _is_lost(job: Claimed, held: Mapping[int, int]) -> bool:
    return held.get(job.id) != job.token


@dataclass
class Timers:
    """Monotonic times of what happens now and then."""

    settled: float = 0.0
    renew: float = 0.0
    heed: float = 0.0
    maintain: float = 0.0


class RunnerInfo(NamedTuple):
    """Which part a runner plays: `run`, `work` or `serve-inetd`, on which queues, with how many children."""

    kind: str
    queues: str = ""
    children: int | None = None
    """None stands for the configured number."""
    started: StartedPool | None = None
    """Children that were at work before there was an engine for them."""
