"""Collect the outcomes of jobs, and write them to the database in batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cronq.execution.next_claim import NextClaim
    from cronq.execution.pool import Pool
    from cronq.execution.results import ResultRecorder
    from cronq.model.job import Claimed
    from cronq.model.outcome import Outcome, Settlement
    from cronq.store import Store

    Decide = Callable[[Claimed, Outcome], Settlement]

_SETTLE_AT = 100
"""The number of collected outcomes at which they are written."""

_SETTLE_AFTER = 0.05
"""The most seconds that an outcome waits for others."""


class Settling:
    """Collects outcomes, writes them when a batch is due, and has them counted and logged."""

    def __init__(
        self, store: Store, pool: Pool, results: ResultRecorder, *, decide: Decide, next_claim: NextClaim
    ) -> None:
        """`decide` makes the settlement of a job's outcome."""
        self.ended: list[Settlement] = []
        """Settlements that are not written yet."""
        self._store = store
        self._pool = pool
        self._results = results
        self._decide = decide
        self._next_claim = next_claim
        self._since = 0.0

    def take(self, job: Claimed, outcome: Outcome) -> None:
        """Add an outcome as a settlement of its job."""
        if not self.ended:
            self._since = time.monotonic()
        self.ended.append(self._decide(job, outcome))

    def write_when_due(self) -> None:
        """Write the batch if it is large, has waited for long, or no job runs."""
        if not self.ended:
            return
        waited = time.monotonic() - self._since
        if len(self.ended) >= _SETTLE_AT or waited >= _SETTLE_AFTER or not self._pool.assigned:
            self.write()

    def write(self) -> None:
        """Write all outcomes; those whose lease was lost are not stored, only counted as lost."""
        if not self.ended:
            return
        settled = self.ended
        lost = set(self._store.settle(settled))
        self.ended = []
        self._pool.settled()
        self._next_claim.changed()
        self._results.summary.lost += len(lost)
        for one in settled:
            if one.job.id not in lost:
                self._results.enter(one)
        self._results.show(self._pool.assigned)
