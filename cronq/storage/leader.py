"""Elect the leader, the one worker of all hosts that does the maintenance: it holds a lease.

Two may hold it for a moment if a clock or the network is wrong, so maintenance must be safe to
do twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.storage.drivers.database import Duplicate
from cronq.times import SECOND

if TYPE_CHECKING:
    from cronq.storage.tables import Tables

_NAME = "maintenance"


class Leadership:
    """Takes, renews and releases the leader's lease. On a database of one host, each runner is leader without it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sql = tables.sql
        self.shared = tables.sql.dialect.many_hosts
        """Whether several hosts may share the tables."""

    def hold(self, worker: str, *, seconds: float) -> bool:
        """Take or renew the lease; returns False while another worker holds it."""
        if not self.shared:
            return True
        now = self._tables.clock.now()
        until = now + round(seconds * SECOND)
        database = self._tables.open()
        if database.execute(self._sql.leader.take, (worker, until, _NAME, worker, now)).rowcount:
            return True
        try:
            return bool(database.execute(self._sql.leader.first, (_NAME, worker, until)).rowcount)
        except Duplicate:  # another worker holds it
            return False

    def resign(self, worker: str) -> None:
        """Release the lease, so that another worker can take it at once."""
        if self.shared:
            self._tables.open().execute(self._sql.leader.leave, (_NAME, worker))
