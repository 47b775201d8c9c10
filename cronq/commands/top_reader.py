"""Read the data that `cronq top` shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.job import FAILING
from cronq.model.selection import NEWEST_FIRST, Selection
from cronq.model.states import CLAIMABLE
from cronq.monitoring.throughput import Throughput
from cronq.render.top import EVERY, Snapshot, View, shows_failures
from cronq.render.top_rows import OLD
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.model.job import Job
    from cronq.storage.failure_groups import FailureGroup
    from cronq.storage.stats import QueueStats
    from cronq.store import Store

MOST = 200
"""Maximum number of jobs in a list; a filter finds others."""

_SHARE = 10
"""Failures are read again after this multiple of the query's duration: grouping 100,000 failures takes a second."""


class TopReader:
    """Reads the figures, and the list of failures or jobs that the view selects."""

    def __init__(self, store: Store, where: str) -> None:
        self._store = store
        self._where = where
        self._pulse = Throughput()
        self._grouped = _Grouped((), (), 0.0)

    def snapshot(self, view: View) -> Snapshot:
        """Read the data of a frame."""
        jobs = self._store.jobs
        stats = jobs.stats()
        self._pulse.look(self._store, stats.queues)
        running: dict[str, list[tuple[int, str, int]]] = {}
        shown, now = self._store.progress.all(), to_datetime(stats.now)
        for worker, job_id, task, since in jobs.running():
            told = f"{task}, {shown[job_id].text(now)}," if job_id in shown else task
            running.setdefault(worker, []).append((job_id, told, since))
        listed: Sequence[Job | FailureGroup] = self._failures(view) if shows_failures(view) else self._jobs(view)
        more = not shows_failures(view) and len(listed) > MOST
        return Snapshot(self._where, stats, self._pulse, running, listed[:MOST], more, by_trouble(stats))

    def forget(self) -> None:
        """Forget the failures, so that the next snapshot reads them: some were retried or cancelled."""
        self._grouped = _Grouped((), (), 0.0)

    def _failures(self, view: View) -> Sequence[FailureGroup]:
        wanted = (view.queue, view.text)
        if wanted != self._grouped.wanted or time.monotonic() >= self._grouped.good_until:
            began = time.monotonic()
            found = self._store.jobs.failures(_selection(view)._replace(states=FAILING))
            ended = time.monotonic()
            self._grouped = _Grouped(wanted, found, ended + _SHARE * (ended - began))
        return self._grouped.failures

    def _jobs(self, view: View) -> Sequence[Job]:
        selection = _selection(view)
        if view.error is not None:
            selection = selection._replace(errors=(view.error,), states=FAILING)
        elif view.listing != EVERY:
            selection = selection._replace(states=frozenset({view.listing}))
        sort = "started" if view.listing == "running" else NEWEST_FIRST
        return self._store.jobs.find(selection, limit=MOST + 1, sort=sort)


class _Grouped(NamedTuple):
    """Failures that were read for a queue and a filter, and until when they are shown."""

    wanted: Sequence[str | None]
    failures: Sequence[FailureGroup]
    good_until: float


def _selection(view: View) -> Selection:
    return Selection(queues=() if view.queue is None else (view.queue,), search=view.text or None)


def by_trouble(stats: QueueStats) -> list[str]:
    """Order the queues: those with late jobs, with failures, with due jobs, the others; of these the most jobs first.

    Numbers are compared by their power of two, so that rows don't change places all the time.
    """

    def rank(queue: str) -> tuple[int, int, str]:
        late = queue not in stats.paused and (stats.age(stats.due_since.get(queue)) or 0.0) > OLD
        failing = stats.total("failed", [queue]) + stats.total("retrying", [queue])
        due = sum(stats.total(state, [queue]) for state in CLAIMABLE)
        kind = 0 if late else 1 if failing else 2 if due else 3
        return kind, -((due if kind in (0, 2) else failing).bit_length()), queue

    return sorted(stats.queues, key=rank)
