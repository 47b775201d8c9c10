"""Give the pages access to the queue: a store for each thread, and the numbers that all viewers share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cronq.model.job import FAILING
from cronq.storage.browsing import JobBrowser
from cronq.storage.held_groups import held_groups
from cronq.storage.history import last_hour
from cronq.storage.stats import take_recent
from cronq.store import Store
from cronq.times import Clock
from cronq.transports.announcer import Announcer
from cronq.web.masking import Masking
from cronq.web.snapshots import Snapshot
from cronq.web.tallies import LARGE, Tallies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.config.loader import Config
    from cronq.storage.failure_groups import FailureGroup
    from cronq.storage.held_groups import HeldGroup
    from cronq.storage.history import History
    from cronq.storage.stats import QueueStats, RecentStats
    from cronq.web.settings import WebSettings

_PATIENCE = 2.0
"""The most seconds for which the database is tried if it doesn't answer; then older numbers are shown."""

STATEMENT_LIMIT = 2.0
"""Seconds after which a statement for a page is aborted."""

_CENSUS_EVERY = 2.0
_FAILURES_EVERY = 5.0
_HISTORY_EVERY = 10.0


class Backend:
    """The queue that the pages show: its configuration, a store for each thread, and the shared numbers."""

    def __init__(self, config: Config, settings: WebSettings) -> None:
        self.config = config.with_values("cronq web", patience=min(config.patience, _PATIENCE))
        self.settings = settings
        self.masking = Masking(settings)
        self.where = config.safe_database()
        self.census: Snapshot[QueueStats] = Snapshot(self._stats, every=_CENSUS_EVERY)
        self.failures: Snapshot[list[FailureGroup]] = Snapshot(self._failures, every=_FAILURES_EVERY)
        self.held: Snapshot[list[HeldGroup]] = Snapshot(self._held, every=_FAILURES_EVERY)
        self.figures: Snapshot[tuple[QueueStats, RecentStats] | None] = Snapshot(self._figures, every=_FAILURES_EVERY)
        self.history: Snapshot[History] = Snapshot(self._history, every=_HISTORY_EVERY)
        self.tallies = Tallies(
            lambda batch: self.store.batches.counts(batch), lambda batch: self.store.batches.has_more_than(LARGE, batch)
        )
        self._local = threading.local()

    @property
    def store(self) -> Store:
        """The store of the calling thread. It makes no tables, and to read needs no permission to write."""
        store: Store | None = getattr(self._local, "store", None)
        if store is None:
            store = self._local.store = Store(self.config, Clock(), Announcer(self.config), reading=True)
            if getattr(self._local, "answers", False):
                store.tables.database.set_statement_limit(STATEMENT_LIMIT)
        return store

    def answering(self) -> None:
        """Mark the calling thread as one that answers requests: its statements end after STATEMENT_LIMIT.

        Changes are made by another thread, without that limit.
        """
        self._local.answers = True

    @property
    def browser(self) -> JobBrowser:
        """A reader of lists of jobs, which chooses its statements by the shared numbers of jobs."""
        return JobBrowser(self.store.tables, self._count)

    def changed(self) -> None:
        """Expire the numbers after a change, so that the next page waits for new ones."""
        for snapshot in (self.census, self.failures, self.held):
            snapshot.expire()
        self.tallies.forget()

    def _count(self, state: str, queues: Iterable[str]) -> int:
        stats = self.census.get().value
        wanted = list(queues)
        return stats.total(state, wanted or None)

    def _stats(self) -> QueueStats:
        return self.store.jobs.stats()

    def _history(self) -> History:
        return last_hour(self.store.tables)

    def _figures(self) -> tuple[QueueStats, RecentStats] | None:
        return take_recent(self.config)

    def _failures(self) -> list[FailureGroup]:
        from cronq.model.selection import Selection

        return self.store.jobs.failures(Selection(states=FAILING))

    def _held(self) -> list[HeldGroup]:
        return held_groups(self.store.tables)
