"""Renew this worker's leases, and stop jobs whose lease is lost."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from cronq.execution import journal
from cronq.execution.lease_deadline import LeaseDeadline, NoDeadline
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from cronq.store import Lease
from cronq.system.log import log
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cronq.config.loader import Config
    from cronq.execution.assignments import Assignments
    from cronq.execution.pool import Pool
    from cronq.execution.settling import Settling
    from cronq.model.job import Claimed
    from cronq.store import Store

_CUT_OFF = "job process killed: SIGKILL (its runner could not renew the lease: the database was away for too long)"
_FENCED = Outcome("crashed", 0, 0, "interrupted", error=Failure("ExecutorDied", _CUT_OFF), signal="SIGKILL")
_STRAY = Outcome(
    "crashed",
    0,
    0,
    "interrupted",
    error=Failure("ExecutorDied", "job process lost: its runner knows nothing of this attempt"),
)
_LOST = Outcome("crashed", 0, 0, "interrupted", error=Failure("LeaseLost", "another runner took the job over"))


class LeaseRenewal:
    """Renews a worker's leases three times in their length, and ends jobs that others have taken over.

    Jobs that the database shows as its own but that it doesn't have are released or settled at once: the answer to a
    claim was lost, or the database was replaced by a backup.
    """

    def __init__(
        self, store: Store, config: Config, worker: str, *, pool: Pool, assignments: Assignments, settling: Settling
    ) -> None:
        self.renewal = 0.0
        """The monotonic time of the next renewal."""
        alone = config.database_file() is not None
        self.deadline = (NoDeadline if alone else LeaseDeadline)(
            config.lease, self._kill_in_time, partial(journal.journals_of, config, worker)
        )
        self._store = store
        self._length: float = config.lease
        self._worker = worker
        self._pool = pool
        self._assignments = assignments
        self._settling = settling
        self._claiming = 0
        """The token of a claim that has not returned yet; 0 for none."""

    def claim(self, take: Callable[[Lease], list[Claimed]]) -> list[Claimed]:
        """Claim jobs with `take` under a new lease; if this worker has no others, its deadline counts from now."""
        idle, started = not self._has_jobs(), time.monotonic()
        lease = Lease(self._worker, now=self._store.clock.now(), seconds=self._length)
        self._claiming = lease.token
        jobs = take(lease)
        self._claiming = 0
        if idle and jobs:
            self.deadline.renewed(started)
        return jobs

    def _has_jobs(self) -> bool:
        return bool(self._pool.assigned or self._assignments.spare or self._assignments.to_return)

    def renew(self) -> None:
        """Extend the leases of this worker's jobs; end jobs that others took over, free jobs that it doesn't have."""
        self.put_off()
        started = time.monotonic()
        assigned = self._assigned()
        held = self._store.leases.renew(self._worker, self._store.clock.now() + round(self._length * SECOND), assigned)
        self.deadline.renewed(started)
        self._forget_lost(held)
        strays = {job for job, token in held.items() if assigned.get(job) != token}
        if strays:
            self._put_right(strays)

    def put_off(self) -> None:
        """Set the next renewal to a third of a lease from now."""
        self.renewal = time.monotonic() + self._length / 3

    def _forget_lost(self, held: Mapping[int, int]) -> None:
        """Drop unstarted jobs, and end running ones, that another runner has taken over."""
        for child in self._pool.children:
            if any(held.get(job.id) != job.token for job in child.assigned):
                self._assignments.take_back(child.take_back())
                running = child.running
                if running and held.get(running[0].id) != running[0].token:
                    self._pool.kill(child, _LOST)
        self._assignments.keep(lambda job: held.get(job.id) == job.token)

    def _assigned(self) -> dict[int, int]:
        assigned = [job for child in self._pool.children for job in child.assigned]
        ended = [settlement.job for settlement in self._settling.ended]
        return {
            job.id: job.token for job in (*self._assignments.spare, *self._assignments.to_return, *assigned, *ended)
        }

    def _put_right(self, strays: set[int]) -> None:
        """Release the jobs of a claim whose answer was lost, and settle the others as interrupted."""
        held = [held for held in self._store.leases.held_by(self._worker) if held.job.id in strays]
        untouched = [one.job for one in held if one.job.token == self._claiming or one.job.state == "blocked"]
        self._store.release(untouched)
        cut_off = [one for one in held if one.job not in untouched]
        log.warning("jobs that this worker has in the database but does not run are freed: %d", len(held))
        for one in cut_off:
            now = self._store.clock.now()
            self._settling.take(one.job, _STRAY._replace(started_at=one.claimed_at, finished_at=now))
        self._settling.write()

    def _kill_in_time(self) -> None:
        self._pool.kill_busy(_FENCED)
