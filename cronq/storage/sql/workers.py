"""Define the statements that register workers, record heartbeats, read requests and wake workers."""

from __future__ import annotations

from cronq.storage.drivers.notify import is_listening, notifying
from cronq.storage.sql.columns import WORKER_COLUMNS
from cronq.storage.sql.leases import next_due

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

ASKED, PAUSED, KILL, DUE, FOLLOWED = range(1, 6)
"""The kinds of rows that `requests` returns."""


class WorkerStatements:
    """The statements on workers, served by the primary key, a worker's name."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        self.enter = (
            f"INSERT INTO {names.workers} (name, kind, host, pid, queues, version, started_at, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self.beat = f"UPDATE {names.workers} SET seen_at = ?, state = ?, jobs_done = ?, memory = ? WHERE name = ?"
        self.leave = f"DELETE FROM {names.workers} WHERE name = ?"
        self.forget_silent = (
            f"DELETE FROM {names.workers} WHERE seen_at < ?"
            f" AND name NOT IN (SELECT worker FROM {names.jobs} WHERE lease_until IS NOT NULL AND worker IS NOT NULL)"
        )
        self.workers_seen = f"SELECT {WORKER_COLUMNS} FROM {names.workers} ORDER BY started_at, name"
        self.ask = f"UPDATE {names.workers} SET asked = ? WHERE name = ?"
        # Served by the primary key and the indexes `held`, `future` and `limits_opens`; reads two small tables.
        self.requests = (
            f"SELECT {ASKED} AS kind, asked AS said, 0 AS number FROM {names.workers}"
            " WHERE name = ? AND asked IS NOT NULL"
            f" UNION ALL SELECT {PAUSED}, queue, 0 FROM {names.paused}"
            f" UNION ALL SELECT {KILL}, '', id FROM {names.jobs}"
            " WHERE worker = ? AND lease_until IS NOT NULL AND kill_requested <> 0"
            f" UNION ALL SELECT {FOLLOWED}, '', job_id FROM {names.live_output} WHERE wanted_until >= ?"
            f" UNION ALL SELECT {DUE}, '', due.at FROM ({next_due(names)}) AS due WHERE due.at IS NOT NULL"
            f" UNION ALL SELECT {DUE}, '', opening.at FROM (SELECT min(opens_at) AS at FROM {names.limits}) AS opening"
            " WHERE opening.at IS NOT NULL"
        )
        # Wakes workers on other hosts, if the database can.
        wake = f"SELECT {notifying(names.prefix)} WHERE {is_listening(names.prefix)}"
        self.ring = wake if dialect.notifies else ""
