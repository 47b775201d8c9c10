"""Check whether a run has anything to do; imports only the driver, because cron starts it 1,440 times a day."""

from __future__ import annotations

import os
import time

from cronq.locks import any_runner_died, digest, folder
from cronq.storage.drivers.opening import open_database
from cronq.storage.schema_version import is_current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.config.loader import Config
    from cronq.storage.drivers.database import Database
    from cronq.times import Clock

SECOND = 1_000_000

_FUTURE = "(state = 'scheduled' OR state = 'retrying' OR state = 'waiting')"
"""The same as FUTURE_STATES in sql/columns.py, which isn't imported: each module costs every start of cron 0.2 ms."""

_DECLARED_FOR = 3600.0
"""Seconds after which a host declares its schedules again."""


def anything_to_do(config: Config, clock: Clock) -> bool:
    """Tell whether there are due jobs, jobs of dead runners, jobs to prune, or a recovered queue to report.

    Dead runners of this host are found by their liveness locks, others by leases that have ended.
    True also if the database or its tables don't exist or are old: the run makes them. Raises
    Unavailable if the database can't be read.
    """
    path = config.database_file()
    if path is not None and not os.path.exists(path):  # noqa: PTH110 - pathlib costs 10 ms
        return True
    if any_runner_died(config):
        return True
    database = open_database(config)
    try:
        return (
            not is_current(database, config.table_prefix)
            or _is_due(database, config, clock)
            or _has_recovered(database, config, clock)
        )
    finally:
        database.close()


def is_declared(config: Config) -> bool:
    """Tell whether this host has declared the configuration's schedules within the last hour, or has none.

    Those in the code of an app are not considered: the app is imported for them once an hour.
    """
    said = _said(config)
    try:
        with open(_stamp(config)) as file:  # noqa: PTH123
            known, age = file.read(), time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return not said
    return said is None or (known == said and 0 <= age < _DECLARED_FOR)


def note_declared(config: Config) -> None:
    """Write or remove the file by which idle runs see that this host has declared its schedules."""
    path, said = _stamp(config), _said(config)
    if said:
        folder(config)
        with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(said)
    elif os.path.exists(path):  # noqa: PTH110
        os.unlink(path)  # noqa: PTH108


def _said(config: Config) -> str | None:
    """Return a digest of what this host declares, as far as idle runs read it.

    It is empty if the host declares nothing, and None if only `cronq schedules sync` declares.
    """
    if config.declare == "sync":
        config.read_schedules()
        return None
    schedules = config.written_schedules()
    if not (schedules or config.app):
        return ""
    rest = config.tasks, config.timezone, config.retry.max_attempts, config.app
    return digest(f"{schedules}{rest}")


def _stamp(config: Config) -> str:
    return f"{config.lock_dir}/schedules-{digest(f'{config.identity()} {config.app}')}.stamp"


def _is_due(database: Database, config: Config, clock: Clock) -> bool:
    measured = database.read_clock()
    if measured is not None:
        clock.set_by(measured)
    now = clock.now()
    expired = now - round(config.retention * SECOND) if config.retention is not None else 0
    found = database.query(idle_statement(config.table_prefix, database.family), (now, now, now, now, expired))
    return bool(found[0][0])


def _has_recovered(database: Database, config: Config, clock: Clock) -> bool:
    """Tell whether a queue is healthy again and notifications are configured."""
    if not (config.notify or config.notify_command):
        return False
    from cronq.storage.incidents import Incidents  # here, not above: few configure notifications
    from cronq.storage.tables import Tables

    return Incidents(Tables(config, clock, database)).any_recovered()


def idle_statement(prefix: str, family: str = "sqlite") -> str:
    """Build the statement that returns 1 if there is something to do.

    That is: jobs or schedules are due, leases have ended, jobs that come after others are to be released or
    cancelled, a rate allows a start, or jobs are to be pruned.
    Indexes: ready, future, held, due (of schedules), opens (of limits), ended (SQLite: counted, a step for each queue).
    """
    jobs = f"{prefix}jobs"
    old = f"SELECT 1 FROM {jobs} WHERE state = 'finished' AND finished_at < ?"
    if family == "sqlite":
        queue = f"SELECT min(queue) FROM {jobs} WHERE finished_at IS NOT NULL AND state = 'finished'"
        following = f"SELECT ({queue} AND queue > queues.queue) FROM queues WHERE queue IS NOT NULL"
        queues = f"WITH RECURSIVE queues(queue) AS ({queue} UNION ALL {following})"
        old = f"{queues} SELECT 1 FROM queues WHERE EXISTS ({old} AND queue = queues.queue)"
    return (
        # Not EXISTS: PostgreSQL would read the table from its start up to the first ready job.
        f"SELECT (SELECT queue FROM {jobs} WHERE state = 'ready' ORDER BY queue, priority LIMIT 1) IS NOT NULL"
        f" OR EXISTS (SELECT 1 FROM {jobs} WHERE {_FUTURE} AND available_at <= ?)"
        f" OR EXISTS (SELECT 1 FROM {jobs} WHERE lease_until IS NOT NULL AND lease_until <= ?)"
        f" OR EXISTS (SELECT 1 FROM {prefix}schedules WHERE due_at <= ?)"
        f" OR EXISTS (SELECT 1 FROM {prefix}loose_ends)"
        f" OR EXISTS (SELECT 1 FROM {prefix}limits WHERE opens_at <= ?)"
        f" OR EXISTS ({old})"
    )
