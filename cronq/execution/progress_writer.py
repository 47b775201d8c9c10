"""Write the progress of running jobs to the database."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from cronq.model.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cronq.execution.journal import Journal
    from cronq.execution.progress_record import Record
    from cronq.store import Store

EVERY = 2.0
"""The least seconds between two writes for the same job; for a job that takes less time nothing is written."""


class ProgressWriter:
    """Writes the progress of this runner's jobs if it has changed, at most every 2 s for each job.

    `running` returns the journals of its children, and for how many seconds their jobs have been running.
    """

    def __init__(self, store: Store, running: Callable[[], Iterable[tuple[Journal, float]]]) -> None:
        self._store = store
        self._running = running
        self._written: dict[tuple[int, int], tuple[int, float]] = {}
        """By job and token: the time of the record that was written last, and the time at which it was written."""

    def write(self) -> None:
        """Write the progress that has changed."""
        kept: dict[tuple[int, int], tuple[int, float]] = {}
        for journal, elapsed in self._running():
            record = journal.progress() if elapsed >= EVERY else None
            if record is not None:
                kept[record[:2]] = self._write(record, elapsed)
        self._written = kept

    def _write(self, record: Record, elapsed: float) -> tuple[int, float]:
        now = time.monotonic()
        at, written = self._written.get(record[:2], (0, -math.inf))
        if at == record.at or now - written < EVERY:
            return at, written
        self._store.progress.write(record.job_id, record.token, self._progress(record, elapsed))
        return record.at, now

    def _progress(self, record: Record, elapsed: float) -> Progress:
        rate = record.rate
        if rate is None and record.done and elapsed and record.first_at == record.at:
            rate = record.done / elapsed  # the first record: all of it was done since the start
        age = (time.monotonic_ns() - record.at) // 1000
        total = None if math.isnan(record.total) else record.total
        return Progress(record.done, total, rate, record.note, self._store.clock.now() - age)
