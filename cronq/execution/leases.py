"""This worker's leases: renewed while it lives, and what follows when some are lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.execution.lease_deadline import LeaseDeadline, NoDeadline
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from cronq.store import Lease
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cronq.config.loader import Config
    from cronq.execution.assignments import Assignments
    from cronq.execution.pool import Pool
    from cronq.store import Store

_CUT_OFF = "executor died: SIGKILL (its runner could not renew the lease: the database was away for too long)"
_FENCED = Outcome("crashed", 0, 0, "rescue", error=Failure("ExecutorDied", _CUT_OFF), signal="SIGKILL")
_LOST = Outcome("crashed", 0, 0, error=Failure("LeaseLost", "another runner took the job over"))


class Leases:
    """Renews all leases of a worker three times in their length, and ends jobs that others have taken over."""

    def __init__(self, store: Store, config: Config, worker: str, *, pool: Pool, assignments: Assignments) -> None:
        self.renewal = 0.0
        """The monotonic time of the next renewal."""
        alone = config.sqlite_path() is not None
        self.deadline = (NoDeadline if alone else LeaseDeadline)(config.lease, self._kill_in_time)
        self._store = store
        self._length: float = config.lease
        self._worker = worker
        self._pool = pool
        self._assignments = assignments

    def lease(self, now: int) -> Lease:
        """A lease of this worker that begins at this instant."""
        return Lease(self._worker, now=now, seconds=self._length)

    def renew(self) -> None:
        """Extend all leases; end and forget the jobs of those that are lost."""
        self.put_off()
        started = time.monotonic()
        held = self._store.renew(self._worker, self._store.clock.now() + round(self._length * SECOND))
        self.deadline.renewed(started)
        self._forget_lost(held)

    def put_off(self) -> None:
        """Renew when a third of a lease has passed from now."""
        self.renewal = time.monotonic() + self._length / 3

    def _forget_lost(self, held: Mapping[int, int]) -> None:
        """Neither start nor go on with what another runner has taken over."""
        for child in self._pool.members:
            if any(held.get(job.id) != job.token for job in child.hand):
                self._assignments.take_back(child.take_back())
                running = child.running
                if running and held.get(running[0].id) != running[0].token:
                    self._pool.kill(child, _LOST)
        self._assignments.keep(lambda job: held.get(job.id) == job.token)

    def agree_with_rows(self, ended: set[int]) -> None:
        """Forget jobs that others took over; give back those that a claim took whose answer never came.

        `ended` are jobs whose outcomes are not written yet.
        """
        held = {held.job.id: held.job for held in self._store.held_by(self._worker)}
        self._assignments.keep(lambda job: job.id in held and held[job.id].token == job.token)
        assigned = [job for child in self._pool.members for job in child.hand]
        known = {job.id for job in (*self._assignments.spare, *self._assignments.returned, *assigned)} | ended
        self._store.release([job for job in held.values() if job.id not in known])

    def _kill_in_time(self) -> None:
        self._pool.kill_busy(_FENCED)
