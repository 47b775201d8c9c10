"""Handle requests to a running worker from commands on any host: kill a job, pause a queue, end, show live output."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.execution.live_output import LiveOutput
from cronq.execution.progress_writer import ProgressWriter
from cronq.model.job import Failure
from cronq.model.outcome import Outcome
from cronq.storage.workers import END

if TYPE_CHECKING:
    from cronq.execution.assignments import Assignments
    from cronq.execution.next_claim import NextClaim
    from cronq.execution.pool import Pool
    from cronq.store import Store

_EVERY = 1.0
_EVERY_FOLLOWED = 0.25
"""Seconds between two reads while a `cronq tail` follows the output of a job."""

_CANCELLED = Failure("Cancelled", "killed by `cronq cancel --kill`")
_KILLED = Outcome("crashed", 0, 0, "cancel", error=_CANCELLED, signal="SIGKILL")


class RequestHandler:
    """Reads the requests to this worker each second, and handles them."""

    def __init__(
        self, store: Store, worker: str, *, pool: Pool, assignments: Assignments, next_claim: NextClaim
    ) -> None:
        self.next = 0.0
        """The monotonic time of the next read."""
        self._store = store
        self._worker = worker
        self._pool = pool
        self._assignments = assignments
        self._next_claim = next_claim
        self._live_output = LiveOutput(store, pool)
        self._progress = ProgressWriter(store, lambda: ((child.journal, child.busy_for) for child in pool.children))
        self._paused: frozenset[str] = frozenset()

    def put_off(self) -> None:
        """Set the next read to one second from now."""
        self.next = time.monotonic() + _EVERY

    def handle(self) -> bool:
        """Read the requests, and handle all but the one to end; returns whether there is that one."""
        self.put_off()
        requests = self._store.workers.requests(self._worker)
        for job_id in requests.kills:
            self._pool.end_job(job_id, _KILLED)
        if requests.paused != self._paused:
            self._obey_pauses(requests.paused)
        if self._next_claim.due is not None and self._next_claim.due <= self._store.clock.now():
            self._next_claim.changed()  # another worker, which doesn't claim its queue, may have promoted it
        self._next_claim.due = requests.next_due
        self._live_output.show(requests.followed)
        self._progress.write()
        if requests.followed:
            self.next = time.monotonic() + _EVERY_FOLLOWED
        return requests.asked == END

    def _obey_pauses(self, paused: frozenset[str]) -> None:
        """Return unstarted jobs of paused queues to the queue; claim others at once."""
        self._paused = paused
        self._assignments.recall()
        self._assignments.return_spare(lambda job: job.queue in paused)
        self._next_claim.changed()
