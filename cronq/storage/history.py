"""Count the jobs that ended in each minute of the last hour, by queue."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from cronq.storage.sql.reads import lanes_of
from cronq.times import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.tables import Tables

MINUTE = 60 * SECOND
MINUTES = 60


class Minute(NamedTuple):
    """The jobs that ended within one minute."""

    start: int
    finished: int
    failed: int


class History:
    """The last hour, one figure a minute."""

    def __init__(self, now: int, rows: Iterable[tuple[str, str, int, int]]) -> None:
        self._last = now // MINUTE
        self._counts: dict[str, dict[tuple[int, str], int]] = defaultdict(dict)
        for queue, state, minute, number in rows:
            self._counts[queue][int(minute), state] = number

    def of(self, queues: Iterable[str]) -> list[Minute]:
        """The minutes of these queues together, the oldest first; the current one is the last."""
        chosen = [self._counts[queue] for queue in queues if queue in self._counts]
        return [
            Minute(minute * MINUTE, *(sum(one.get((minute, state), 0) for one in chosen) for state in _SHOWN))
            for minute in range(self._last - MINUTES + 1, self._last + 1)
        ]


_SHOWN = ("finished", "failed")


def last_hour(tables: Tables) -> History:
    """Read the history; by the index `ended` (SQLite: `counted`)."""
    tables.open()
    now = tables.clock.now()
    since = (now // MINUTE - MINUTES + 1) * MINUTE
    family, jobs = tables.sql.dialect.family, tables.sql.names.jobs
    minute = f"finished_at {'DIV' if family == 'mysql' else '/'} {MINUTE}"
    if family == "sqlite":
        lanes = lanes_of(jobs, "VALUES ('failed'), ('finished')")
        sql = (
            f"{lanes} SELECT lanes.queue, lanes.state, {minute}, count(*) FROM lanes CROSS JOIN {jobs} j"
            " ON j.state = lanes.state AND j.queue = lanes.queue WHERE j.finished_at >= ? GROUP BY 1, 2, 3"
        )
    else:
        ended = "state IN ('failed', 'finished') AND finished_at >= ?"
        sql = f"SELECT queue, state, {minute}, count(*) FROM {jobs} WHERE {ended} GROUP BY 1, 2, 3"
    return History(now, ((row[0], row[1], row[2], row[3]) for row in tables.query(sql, (since,))))
