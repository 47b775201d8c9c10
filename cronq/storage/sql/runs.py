"""Define the statements on the last run of each host and filter."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class RunStatements:
    """The statements on runs, served by the primary key, host and filter; each line in a crontab has one row."""

    def __init__(self, names: Names) -> None:
        self.ended = (
            f"UPDATE {names.runs} SET started_at = ?, ended_at = ?, status = ?, error = ? WHERE host = ? AND queues = ?"
        )
        self.first = (
            f"INSERT INTO {names.runs} (started_at, ended_at, status, error, host, queues) VALUES (?, ?, ?, ?, ?, ?)"
        )
        self.last = f"SELECT host, queues, started_at, ended_at, status, error FROM {names.runs}"
