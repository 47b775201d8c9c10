"""What the pages read and change: a store for each thread, and the numbers that all viewers share."""

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
"""Seconds after which a database that doesn't answer is given up, and older numbers are shown."""

STATEMENT_LIMIT = 2.0
"""Seconds after which a statement for one page is ended."""

_CENSUS_EVERY = 2.0
_FAILURES_EVERY = 5.0
_HISTORY_EVERY = 10.0


class Backend:
    """The queue behind the pages."""

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
        """This thread's store. It makes no tables, and permission to read is enough to look."""
        store: Store | None = getattr(self._local, "store", None)
        if store is None:
            store = self._local.store = Store(self.config, Clock(), Announcer(self.config), reading=True)
            if getattr(self._local, "answers", False):
                store.tables.database.set_statement_limit(STATEMENT_LIMIT)
        return store

    def answering(self) -> None:
        """Note that this thread answers requests: no statement of it may take long. Changes are made by another one."""
        self._local.answers = True

    @property
    def browser(self) -> JobBrowser:
        """Reads lists of jobs, with the shared numbers to choose how."""
        return JobBrowser(self.store.tables, self._count)

    def changed(self) -> None:
        """Have the next page read new numbers."""
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
