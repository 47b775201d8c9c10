"""What one worker of all hosts does at a time: whoever holds the lease on it.

Others may think for a moment that they hold it, too, when a clock or the network is wrong;
what is done under it must be safe to do twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.storage.drivers.database import Duplicate
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.storage.tables import Tables

_NAME = "maintenance"


class Leadership:
    """The lease on maintaining what all hosts share. On SQLite there is one host, and nothing to hold."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql
        self.shared = tables.sql.dialect.server
        """Whether several hosts may share the tables."""

    def hold(self, worker: str, *, seconds: float) -> bool:
        """Take the lease if nobody else has it, or keep it; False while another worker does."""
        if not self.shared:
            return True
        now = self._tables.clock.now()
        until = now + round(seconds * SECOND)
        database = self._tables.open()
        if database.execute(self._sql.leader.take, (worker, until, _NAME, worker, now)).rowcount:
            return True
        try:
            return bool(database.execute(self._sql.leader.first, (_NAME, worker, until)).rowcount)
        except Duplicate:  # somebody holds it
            return False

    def resign(self, worker: str) -> None:
        """Let the next one have it at once."""
        if self.shared:
            self._tables.open().execute(self._sql.leader.leave, (_NAME, worker))
