"""How fast jobs get done, and how long they were due before they began: over the last minutes, in steps."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.store import Store

STEP = 2
"""Seconds that one column of a sparkline stands for."""

STEPS = 60
_MOST = 5000
"""Jobs of one queue that one look reads; where more have finished meanwhile, the figures are lower than the truth."""

_LATE = SECOND // 2
"""Jobs are settled a moment after they have ended, so the newest moment is left for the next look."""


class Rate(NamedTuple):
    """Of some queues: jobs finished in each step, and the median of what they waited, oldest first."""

    finished: list[int]
    waited: list[float]

    @property
    def per_minute(self) -> float:
        """Jobs finished a minute, over all steps."""
        return sum(self.finished) * 60 / (STEP * STEPS)


class Throughput:
    """The figures, kept up by a look every now and then."""

    def __init__(self) -> None:
        self._waits: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._until: dict[str, int] = {}
        self._now = 0

    def look(self, store: Store, queues: Iterable[str]) -> None:
        """Take in what has finished since the last look."""
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
        """The figures of these queues together."""
        last = _step(self._now)
        columns: list[list[int]] = [[] for _ in range(STEPS)]
        for queue in queues:
            for step, waits in self._waits[queue].items():
                if 0 <= last - step < STEPS:
                    columns[STEPS - 1 - (last - step)] += waits
        return Rate([len(waits) for waits in columns], [median(waits) / SECOND if waits else 0.0 for waits in columns])


def _step(instant: int) -> int:
    return instant // (STEP * SECOND)
