"""Record how the last run of each host and filter ended.

A run without due jobs records its end only in its lock file, which it writes anyway: 1,440 more writes
a day would be useless. A run that failed, or had something to do, writes a row.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.selection import Filter
from cronq.storage.drivers.database import Duplicate

if TYPE_CHECKING:
    from cronq.storage.run_history import LastRun
    from cronq.storage.tables import Tables

_LONGEST_FILTER = 255
_LONGEST_ERROR = 2000


class RunEnd(NamedTuple):
    """The end of a run; times are instants."""

    host: str
    queues: str
    """Its filter as text; empty for everything."""
    started_at: int
    ended_at: int
    status: int
    """The exit status of its error; 0 for a run that did its work, even if jobs failed."""
    error: str | None

    @property
    def failed(self) -> bool:
        """Whether it ended before it had done its work."""
        return self.status != 0

    def admits(self, queue: str) -> bool:
        """Tell whether the run takes jobs of the queue."""
        return Filter(tuple(self.queues.split())).admits(queue)


class RunLog:
    """Writes and reads how the last runs ended."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql.runs

    def record(self, run: LastRun) -> None:
        """Write how a run of this host ended, replacing the last one with the same filter."""
        error = run.error[:_LONGEST_ERROR] if run.error else None
        row = (run.started_at, run.ended_at, run.status, error, os.uname().nodename, run.queues[:_LONGEST_FILTER])
        database = self._tables.open()
        if not database.execute(self._sql.ended, row).rowcount:
            with suppress(Duplicate):  # MySQL counts no row that stays as it is
                database.execute(self._sql.first, row)

    def all(self) -> list[RunEnd]:
        """Read the last run of each host and filter that failed or had something to do, the newest first."""
        rows = map(RunEnd._make, self._tables.open().query(self._sql.last))
        return sorted(rows, key=lambda run: -run.ended_at)
