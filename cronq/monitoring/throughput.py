"""Measure how many jobs finished in the last minutes, and how long they had been due, in steps."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.store import Store

STEP = 2
"""The seconds of one step, a column of a sparkline."""

STEPS = 60
_MOST = 5000
"""The most jobs of one queue that one call of `look` reads; if more have finished, the figures are too low."""

_LATE = SECOND // 2
"""Microseconds before now that a call of `look` leaves to the next: jobs are settled a moment after they end."""


class Rate(NamedTuple):
    """Jobs of some queues that finished in each step, and their median waiting time, oldest first."""

    finished: list[int]
    waited: list[float]

    @property
    def per_minute(self) -> float:
        """The mean number of jobs that finished in a minute, over all steps."""
        return sum(self.finished) * 60 / (STEP * STEPS)


class Throughput:
    """Collects the figures; each call of `look` adds the newest ones."""

    def __init__(self) -> None:
        self._waits: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._until: dict[str, int] = {}
        self._now = 0

    def look(self, store: Store, queues: Iterable[str]) -> None:
        """Read the jobs that have finished since the last call."""
        self._now = store.clock.now()
        until = self._now - _LATE
        oldest = self._now - STEP * STEPS * SECOND
        for queue in queues:
            since = max(oldest, self._until.get(queue, 0))
            for ended, waited in store.jobs.finished_since(queue, since, limit=_MOST):
                if ended <= until:
                    self._waits[queue][_step(ended)].append(max(0, waited))
            self._until[queue] = until
        self._forget(_step(oldest))

    def _forget(self, before: int) -> None:
        for steps in self._waits.values():
            for old in [step for step in steps if step < before]:
                del steps[old]

    def of(self, queues: Iterable[str]) -> Rate:
        """Return the figures of these queues together."""
        last = _step(self._now)
        columns: list[list[int]] = [[] for _ in range(STEPS)]
        for queue in queues:
            for step, waits in self._waits[queue].items():
                if 0 <= last - step < STEPS:
                    columns[STEPS - 1 - (last - step)] += waits
        return Rate([len(waits) for waits in columns], [median(waits) / SECOND if waits else 0.0 for waits in columns])


def _step(instant: int) -> int:
    return instant // (STEP * SECOND)
