"""Maintain the whole queue from time to time: rescue, promote, unblock, prune."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.execution.next_claim import NextClaim
    from cronq.execution.rescue import Rescuer
    from cronq.execution.results import ResultRecorder
    from cronq.schedules.scheduler import Scheduler
    from cronq.store import Store

_EVERY = 60.0
"""Most seconds between two rounds; half a lease if that is shorter."""


class Upkeep:
    """Rescues jobs of dead runners, makes due jobs ready and deletes old ones."""

    def __init__(
        self, store: Store, config: Config, *, rescuer: Rescuer, results: ResultRecorder, next_claim: NextClaim
    ) -> None:
        self.next = 0.0
        """The monotonic time of the next round."""
        self.scheduler: Scheduler | None = None
        """Enqueues the jobs of due schedules; None if another process does."""
        self._store = store
        self._every = min(_EVERY, config.lease / 2)
        self._rescuer = rescuer
        self._results = results
        self._next_claim = next_claim

    def do(self, worker: str) -> None:
        """Do one round of upkeep, as this worker."""
        self.next = time.monotonic() + self._every
        self._store.synchronise()
        ready = -self._rescuer.freed
        for settled in self._rescuer.rescue(besides=worker):
            self._results.enter(settled)
        ready += self._rescuer.freed
        ready += self.scheduler.look() if self.scheduler else 0
        ready += self._store.follow_up()
        ready += self._store.keep_limits()
        ready += self._store.leases.promote(self._store.clock.now())
        ready += self._store.unblock_without_holder()
        if ready:
            self._next_claim.changed()
        self._store.minutes.write()
        self._rescuer.prune()
        self._results.tell_of_recovery()
        self._alert()

    def _alert(self) -> None:
        for alert in self.scheduler.alerts() if self.scheduler else ():
            self._results.tell_of_schedule(alert)

    def disable(self) -> None:
        """Do no upkeep in this process: other workers do it."""
        self.next = math.inf

    @property
    def schedules_due(self) -> int | None:
        """The instant at which a due time of a schedule is to be decided next, as far as known."""
        return self.scheduler.due_at if self.scheduler else None

    def promote_when_due(self) -> None:
        """Fire the schedules and promote the jobs that have become due since the last claim."""
        now = self._store.clock.now()
        due = self.schedules_due
        if due is not None and due <= now and self.scheduler and self.scheduler.fire_when_due():
            self._next_claim.changed()
        if self._next_claim.due is not None and self._next_claim.due <= now:
            self._store.leases.promote(now)
            self._store.open_rates()
            self._next_claim.changed()
            self._next_claim.due = self._store.next_due()

    def end(self, worker: str) -> None:
        """Queue notices of queues that are healthy again, and of schedules; resign as leader."""
        self._results.tell_of_recovery()
        self._alert()
        self._rescuer.resign(worker)
