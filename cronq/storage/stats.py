"""Read the statistics of the queue that status, health, metrics and doctor show, in a few statements.

Changes nothing, makes no tables, and imports little more than the driver: a monitor does this each minute.
"""

from __future__ import annotations

import os
from operator import itemgetter

from cronq.model.claimed_job import FUTURE
from cronq.storage import flow_stats
from cronq.storage.actions import Actions
from cronq.storage.drivers.opening import open_database
from cronq.storage.run_history import last_runs, run_is_on
from cronq.storage.runs import RunEnd, RunLog
from cronq.storage.schema_version import is_current
from cronq.storage.tables import Tables
from cronq.storage.workers import WorkerRegistry
from cronq.times import SECOND, Clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from cronq.config.loader import Config
    from cronq.storage.actions import Action
    from cronq.storage.drivers.database import Database, Row
    from cronq.storage.flow_stats import LimitStats
    from cronq.storage.workers import Worker


_RUN_EXPECTED = 300
"""Seconds within which cron normally starts a run."""

_FORGOTTEN = 86_400 * SECOND
"""Microseconds for which a failed run is reported if none follows it: its line may be removed from the crontab."""


_DAY = 86_400 * SECOND
_HOUR = 3600 * SECOND


class ScheduleStats:
    """The figures of a schedule; instants are those of the database's clock."""

    def __init__(self, now: int, row: Iterable[Any]) -> None:
        self.name, self.due_at, paused_at, until, alerted_at, self.succeeded_at, missed = row
        self.late = 0.0 if self.due_at is None else max(0.0, (now - self.due_at) / SECOND)
        """The seconds for which a due time has waited to be decided."""
        self.paused = paused_at is not None and (until is None or now < until)
        self.failing = alerted_at is not None
        """Whether a notice was sent that it had no success for too long."""
        self.missed = int(missed or 0)
        """The number of due times missed within a day."""


class QueueStats:
    """The statistics of the queue: numbers of jobs by queue and state, oldest due jobs, workers, schedules, runs.

    Instants are those of the database's clock; it showed `now` when the statistics were read.
    """

    def __init__(self, now: int, counts: Iterable[tuple[str, str, int, int | None]]) -> None:
        self.now = now
        self.counts: list[tuple[str, str, int]] = []
        self.due_since: dict[str, int] = {}
        """The instant since which the oldest due job is due, promoted or not, by queue."""
        self.ready_since: dict[str, int] = {}
        self.paused: frozenset[str] = frozenset()
        self.paused_by: dict[str, Action] = {}
        """The actions that paused these queues, by queue."""
        self.workers: list[Worker] = []
        """Workers with a heartbeat within the length of a lease."""
        self.silent: list[Worker] = []
        """Registered workers without one."""
        self.schedules: list[ScheduleStats] = []
        self.differing: dict[str, list[str]] = {}
        """The hosts whose declarations of a schedule have differed for an hour, by the schedule's name."""
        self.limits: Sequence[LimitStats] = ()
        """All limits that jobs are or were under, by name."""
        self.differing_limits: Sequence[LimitStats] = ()
        """Those that another host's configuration defines differently from this one's."""
        self.batches = flow_stats.BatchStats()
        self.last_run: int | None = None
        """The instant at which a run of this host last began; None if it isn't known."""
        self.run_is_on = False
        self.failing_runs: list[RunEnd] = []
        """Those last runs of a host and filter that ended before they had done their work, the newest first."""
        self.runs_hidden = False
        """Whether the runs of this host are hidden from this user, so that `last_run` is not known."""
        for queue, state, number, oldest in sorted(counts, key=itemgetter(0, 1)):
            self.counts.append((queue, state, number))
            self._note_oldest(queue, state, oldest)

    def _note_oldest(self, queue: str, state: str, oldest: int | None) -> None:
        if oldest is None or (state in FUTURE and oldest > self.now):
            return
        self.due_since[queue] = min(oldest, self.due_since.get(queue, oldest))
        if state == "ready":
            self.ready_since[queue] = oldest

    def total(self, state: str, queues: Iterable[str] | None = None) -> int:
        """Count the jobs in a state, in all queues or in these."""
        wanted = None if queues is None else set(queues)
        return sum(number for queue, at, number in self.counts if at == state and (wanted is None or queue in wanted))

    @property
    def known(self) -> list[Worker]:
        """All registered workers, silent ones too."""
        return [*self.workers, *self.silent]

    @property
    def queues(self) -> list[str]:
        """The queues that have jobs or are paused, by name."""
        return sorted({queue for queue, _, _ in self.counts} | self.paused)

    def oldest_due(self, queues: Iterable[str] | None = None) -> int | None:
        """Return the instant since which the oldest job in these queues (or all) is due; paused ones don't count."""
        wanted = set(self.due_since if queues is None else queues) - self.paused
        return min((since for queue, since in self.due_since.items() if queue in wanted), default=None)

    @property
    def waiting_limits(self) -> list[LimitStats]:
        """The limits under which jobs wait for a place, first the one whose oldest job has waited longest."""
        found = [one for one in self.limits if one.waiting_since is not None]
        return sorted(found, key=lambda one: (one.waiting_since or 0, one.name))

    def listeners(self, queue: str) -> list[Worker]:
        """Return the workers with a heartbeat that take jobs of the queue."""
        return [worker for worker in self.workers if worker.filter.admits(queue)]

    def is_served(self, queue: str) -> bool:
        """Tell whether a worker takes jobs of the queue, or a run of this host began recently."""
        age = self.age(self.last_run)
        return bool(self.listeners(queue)) or self.run_is_on or (age is not None and age < _RUN_EXPECTED)

    def age(self, instant: int | None) -> float | None:
        """Return the seconds from the instant to `now`, never less than 0; None for None."""
        return None if instant is None else max(0.0, (self.now - instant) / SECOND)


def take(config: Config) -> QueueStats | None:
    """Read the statistics; None if there are no tables yet. Raises Unavailable."""
    database = open_database(config, reading=True)
    try:
        return look(_clocked(config, database)) if is_current(database, config.table_prefix) else None
    finally:
        database.close()


def look_through(config: Config, database: Database) -> QueueStats:
    """Read the statistics through an open database with current tables. Raises Unavailable."""
    return look(_clocked(config, database))


def _clocked(config: Config, database: Database) -> Tables:
    tables = Tables(config, Clock(), database)
    tables.synchronise()
    return tables


def _counts(rows: Iterable[Row]) -> Iterator[tuple[str, str, int, int | None]]:
    """Read the numbers of jobs by queue and state, also of rows that were written by hand."""
    for queue, state, number, oldest in rows:
        yield str(queue), str(state), number, oldest if isinstance(oldest, int) else None


def look(tables: Tables) -> QueueStats:
    """Read the statistics of a queue. Raises Unavailable."""
    tables.open()
    config, sql = tables.config, tables.sql
    seen = QueueStats(tables.clock.now(), _counts(tables.query(sql.reads.counts)))
    seen.paused = frozenset(row[0] for row in tables.query(sql.claim.paused_queues))
    seen.paused_by = Actions(tables).of_paused() if seen.paused else {}
    for worker in WorkerRegistry(tables).all():
        alive = worker.seen_at >= seen.now - round(config.lease * SECOND)
        (seen.workers if alive else seen.silent).append(worker)
    figures = tables.query(sql.schedules.figures, (seen.now - _DAY,))
    seen.schedules = [ScheduleStats(seen.now, row) for row in figures]
    agreed = (seen.now - _DAY, seen.now - _DAY, seen.now - _HOUR)
    for name, host in tables.query(sql.schedules.differing, agreed) if figures else ():
        seen.differing.setdefault(name, []).append(host)
    seen.limits = flow_stats.limits(tables)
    seen.batches = flow_stats.batches(tables, seen.now)
    _look_at_runs(seen, tables)
    return seen


def _look_at_runs(seen: QueueStats, tables: Tables) -> None:
    config, host = tables.config, os.uname().nodename
    here = last_runs(config)
    seen.last_run = here[0].started_at if here else None
    seen.run_is_on = run_is_on(config)
    seen.runs_hidden = os.path.isdir(config.lock_dir) and not os.access(config.lock_dir, os.R_OK | os.X_OK)  # noqa: PTH112
    ends = {(run.host, run.queues): run for run in RunLog(tables).all() if seen.now - run.ended_at < _FORGOTTEN}
    for run in here:  # lock files also show runs that had nothing to do, or could not reach the database
        place = (host, run.queues)
        if run.ended_at and (place not in ends or run.ended_at >= ends[place].ended_at):
            ends[place] = RunEnd(*place, run.started_at, run.ended_at, run.status, run.error)
    seen.failing_runs = sorted((run for run in ends.values() if run.failed), key=lambda run: -run.ended_at)


WINDOW = 300
"""The seconds that recent statistics cover: longer than between two scrapes, so that nothing is missed."""

_NEWEST = 1000


class RecentStats:
    """The newest job's id, and figures of the jobs and attempts that ended within WINDOW."""

    def __init__(self) -> None:
        self.newest_id = 0
        self.ended: list[tuple[str, str, int]] = []
        """Queue, state, and the number of jobs."""
        self.outcomes: list[tuple[str, int]] = []
        """Outcome, and the number of attempts with it, among the newest that did not succeed."""
        self.durations: list[tuple[str, int, float, float]] = []
        """Queue, number of the newest finished jobs, and the mean and the longest of their durations in seconds."""
        self.totals: list[tuple[str, str, int]] = []
        """Queue, state, and the number of attempts that ended in it since the queue was made."""


def take_recent(config: Config) -> tuple[QueueStats, RecentStats] | None:
    """Read the statistics and those of the last minutes; None if there are no tables yet. Raises Unavailable."""
    database = open_database(config, reading=True)
    try:
        if not is_current(database, config.table_prefix):
            return None
        tables = _clocked(config, database)
        seen = look(tables)
        return seen, _look_back(tables, seen.now - WINDOW * SECOND)
    finally:
        database.close()


def _look_back(tables: Tables, since: int) -> RecentStats:
    from cronq.storage.minutes import totals  # here, not above: a check of the queue's health needs none

    recent, sql = RecentStats(), tables.sql
    recent.newest_id = tables.query(sql.reads.newest)[0][0] or 0
    ended = tables.query(sql.reads.lately_ended, (since,))
    recent.ended = sorted((queue, state, number) for queue, state, number in ended if number)
    recent.outcomes = [(row[0], row[1]) for row in tables.query(sql.reads.lately_tried, (_NEWEST, since))]
    finished = [queue for queue, state, _ in recent.ended if state == "finished"]
    recent.durations = list(_durations(tables, finished, since))
    recent.totals = totals(tables)
    return recent


def _durations(tables: Tables, queues: Iterable[str], since: int) -> Iterable[tuple[str, int, float, float]]:
    for queue in queues:
        number, mean, most = tables.query(tables.sql.reads.lately_took, (queue, since, _NEWEST))[0]
        if number:
            yield queue, number, float(mean) / SECOND, most / SECOND
