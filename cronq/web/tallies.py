"""Count the jobs of batches by state; those of a large batch, which may have a million, in the background."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cronq.errors import CronqError
from cronq.web.snapshots import QUICK, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Tally = Mapping[str, int]

PATIENCE = 2.0
"""Seconds for which an answer waits that can't be given without the numbers."""

_EVERY = 2.0

_OLD = 60.0
"""Seconds after which numbers are no longer shown while new ones are being counted."""

LARGE = 1000
"""The most jobs of a batch that are counted within the request: a page may show 20 such batches."""

_KEPT = 500
_THREADS = 2
"""Threads that count: two, so that a batch doesn't wait for a larger one."""


class Tallies:
    """Counts the jobs of the batches that pages show; all viewers share the numbers of large ones."""

    def __init__(self, count: Callable[[int], Tally], is_large: Callable[[int], bool]) -> None:
        self._count = count
        self._is_large = is_large
        self._executor = ThreadPoolExecutor(_THREADS, "cronq-web-tally")
        self._known: dict[int, Snapshot[Tally]] = {}

    def of(self, ids: Sequence[int], *, patience: float = QUICK) -> list[Tally | None]:
        """Return the numbers of these batches, None for one that is still being counted after `patience` seconds."""
        until = time.monotonic() + patience
        return [self._seen(one, max(0.0, until - time.monotonic())) for one in ids]

    def forget(self) -> None:
        """Forget all numbers after a change, so that they are counted anew."""
        self._known = {}

    def _seen(self, batch_id: int, patience: float) -> Tally | None:
        if not self._is_large(batch_id):
            return self._count(batch_id)
        try:
            seen = self._snapshot(batch_id).get(quick=patience, first=patience)
        except CronqError:
            return None
        return seen.value if seen.age < _OLD else None

    def _snapshot(self, batch_id: int) -> Snapshot[Tally]:
        known = self._known
        while len(known) >= _KEPT and batch_id not in known:
            known.pop(next(iter(known)), None)
        snapshot = Snapshot(lambda: self._count(batch_id), every=_EVERY, executor=self._executor)
        return known.setdefault(batch_id, snapshot)
