"""Count the jobs that ended in each minute of the last hour, by queue."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from cronq.storage.minutes import MINUTE
from cronq.storage.sql.minutes import COUNTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.tables import Tables

MINUTES = 60


class Minute(NamedTuple):
    """The numbers of jobs that ended within one minute; `start` is an instant."""

    start: int
    finished: int
    failed: int


class History:
    """The numbers of jobs that ended in each minute of the last hour, by queue."""

    def __init__(self, now: int, rows: Iterable[tuple[str, str, int, int]]) -> None:
        self._last = now // MINUTE
        self._counts: dict[str, dict[tuple[int, str], int]] = defaultdict(dict)
        for queue, state, minute, number in rows:
            self._counts[queue][int(minute), state] = number

    def of(self, queues: Iterable[str]) -> list[Minute]:
        """Return the minutes of these queues, added up, the oldest first; the last is the current one."""
        chosen = [self._counts[queue] for queue in queues if queue in self._counts]
        return [
            Minute(minute * MINUTE, *(sum(one.get((minute, state), 0) for one in chosen) for state in _SHOWN))
            for minute in range(self._last - MINUTES + 1, self._last + 1)
        ]


_SHOWN = ("finished", "failed")


def last_hour(tables: Tables) -> History:
    """Read the history of the last hour."""
    tables.open()
    now = tables.clock.now()
    since = (now // MINUTE - MINUTES + 1) * MINUTE
    rows = tables.query(tables.sql.minutes.since, (since,))
    return History(
        now,
        (
            (row[0], state, int(row[1]) // MINUTE, int(number))
            for row in rows
            for state, number in zip(COUNTED, row[2:], strict=True)
        ),
    )
