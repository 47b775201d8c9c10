"""What happened in the last minutes, as far as the indexes tell it cheaply."""

from __future__ import annotations

from cronq.census import look
from cronq.dialects import open_database
from cronq.queries import Queries
from cronq.revisions import is_current
from cronq.times import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.census import Census
    from cronq.config.loader import Config
    from cronq.dialects import Database

WINDOW = 300
"""Seconds: no scrape is so rare that what happens between two of them is told by none."""

_NEWEST = 1000


class Recent:
    """The newest job's id, and by queue or outcome what ended within the window."""

    def __init__(self) -> None:
        self.newest_id = 0
        self.ended: list[tuple[str, str, int]] = []
        """Queue, state, how many jobs."""
        self.outcomes: list[tuple[str, int]] = []
        """Outcome, how many of the newest attempts that did not succeed."""
        self.durations: list[tuple[str, int, float, float]] = []
        """Queue, how many of the newest finished jobs, the mean and the longest of their durations in seconds."""


def take(config: Config) -> tuple[Census, Recent] | None:
    """The census and what happened lately; None where there are no tables yet. Raises Unavailable."""
    database = open_database(config)
    queries = Queries(config.table_prefix, database.family)
    try:
        if not is_current(database, config.table_prefix):
            return None
        census = look(database, queries, config)
        return census, _look_back(database, queries, census.now - WINDOW * SECOND)
    finally:
        database.close()


def _look_back(database: Database, queries: Queries, since: int) -> Recent:
    recent = Recent()
    recent.newest_id = database.query(queries.newest)[0][0] or 0
    ended = database.query(queries.lately_ended, (since,))
    recent.ended = sorted((queue, state, number) for queue, state, number in ended if number)
    recent.outcomes = [(row[0], row[1]) for row in database.query(queries.lately_tried, (_NEWEST, since))]
    finished = [queue for queue, state, _ in recent.ended if state == "finished"]
    recent.durations = list(_durations(database, queries, finished, since))
    return recent


def _durations(
    database: Database, queries: Queries, queues: Iterable[str], since: int
) -> Iterable[tuple[str, int, float, float]]:
    for queue in queues:
        number, mean, most = database.query(queries.lately_took, (queue, since, _NEWEST))[0]
        if number:
            yield queue, number, float(mean) / SECOND, most / SECOND
