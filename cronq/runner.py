"""The loop of a run: claim, hand to children, settle, until nothing is due."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from cronq.execution.engine import Engine, RunnerInfo
from cronq.execution.pool import TICK
from cronq.execution.prefetch import LARGEST_CLAIM
from cronq.model.selection import Filter
from cronq.notifications import channels
from cronq.store import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.config.loader import Config
    from cronq.execution.results import Report, Summary
    from cronq.model.job import Claimed
    from cronq.store import Store
    from cronq.tasks.registry import Registry

_LOOK_AGAIN = 0.1


class Plan(NamedTuple):
    """What a run is to do: which jobs, with how many children, until how many jobs or seconds.

    None stands for the configured number of children, and for no limit.
    """

    wanted: Filter = Filter()
    children: int | None = None
    limit: int | None = None
    seconds: float | None = None


_EVERYTHING = Plan()


class Runner(Engine):
    """Does all that is due. One for each run."""

    kind = "run"

    def __init__(
        self,
        store: Store,
        registry: Registry,
        config: Config,
        *,
        plan: Plan = _EVERYTHING,
        report: Report | None = None,
    ) -> None:
        channels.check(config)
        part = RunnerInfo(self.kind, " ".join(plan.wanted.queues), plan.children)
        super().__init__(store, registry, config, part=part, report=report)
        self._plan = plan
        self._started = time.monotonic()
        self._look = 0.0
        self._found_nothing = False

    def heeded(self) -> dict[int, Callable[[], None]]:
        """A terminal that closes ends a run as SIGTERM does, unless nohup has made it ignore that."""
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        return super().heeded() | ({} if ignored else {signal.SIGHUP: self._told_to_stop})

    def run(self) -> Summary:
        """Rescue, promote, then everything due until nothing is due."""
        with self.at_work() as signals:
            self._work(signals)
        return self.summary

    def _work(self, signals: int) -> None:
        while True:
            self.hand_over()
            if self._pool.in_hand:
                self._pool.wait(TICK, (signals,))
            elif not self._ended and (self._stopping or self._nothing_is_due()):
                return
            self.follow_up()

    def _nothing_is_due(self) -> bool:
        """Whether the last claim found nothing, and nothing has come since that it would find."""
        if self._store.promote(self._store.clock.now()):
            self.changed()
        if not self._found_nothing:
            self._look = 0.0
        return self._found_nothing

    @property
    def _stopping(self) -> bool:
        over = self._plan.seconds
        if over is not None and time.monotonic() - self._started >= over:
            return True
        return self._stop_asked is not None or self._room() < 1

    def _room(self) -> int:
        """How many jobs the run may still claim."""
        return LARGEST_CLAIM if self._plan.limit is None else self._plan.limit - self.claimed

    def claim_more(self, count: int) -> list[Claimed]:
        """The best due jobs, unless a look a moment ago found none."""
        if self._stopping or time.monotonic() < self._look:
            return []
        now = self._store.clock.now()
        lease = Lease(self.worker, now=now, seconds=self._config.lease)
        limit = min(count, LARGEST_CLAIM, self._room())
        jobs = self._store.claim(self._plan.wanted, lease, limit=limit)
        self._found_nothing = not jobs
        if jobs:
            self._pace.weigh(jobs)
        if len(jobs) < limit:
            self._look = time.monotonic() + self.pause_after(jobs)
        return jobs

    def pause_after(self, jobs: list[Claimed]) -> float:
        """Seconds until it may look again after a claim that found no more than these."""
        del jobs
        return _LOOK_AGAIN

    def changed(self) -> None:
        """Look again at once."""
        self._found_nothing = False
        self._look = 0.0
