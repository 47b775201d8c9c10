"""Define the statements that only read jobs, for users and for monitors."""

from __future__ import annotations

from cronq.model.states import ENDED
from cronq.storage.sql.columns import (
    AGAIN_COLUMNS,
    ATTEMPT_COLUMNS,
    ENDED_STATES,
    FUTURE_STATES,
    JOB_COLUMNS,
    UNFINISHED_STATES,
    UNSUCCESSFUL,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names

_EACH_ENDED = "VALUES {}".format(", ".join(f"('{state}')" for state in sorted(ENDED)))


class ReadStatements:
    """The statements that only read; comments name the indexes that serve them."""

    def __init__(self, names: Names) -> None:
        self._reading(names)
        self._watching(names)

    def _reading(self, names: Names) -> None:
        dialect = names.dialect
        holder = f"(SELECT job_id FROM {names.groups} g WHERE g.name = {names.jobs}.job_group)"
        first = (
            f"(SELECT f.id FROM {names.jobs} f WHERE f.job_group = {names.jobs}.job_group AND f.state = 'ready'"
            " ORDER BY f.priority, f.available_at, f.id LIMIT 1)"
        )
        blocked_by = f"CASE WHEN state = 'blocked' THEN coalesce({holder}, {first}) END"
        self.job = f"SELECT {JOB_COLUMNS}, {blocked_by} FROM {names.jobs}"
        self.output = f"SELECT stdout, stderr FROM {names.jobs} WHERE id = ?"
        # Served by the index on attempts' job_id.
        self.history = f"SELECT {ATTEMPT_COLUMNS} FROM {names.attempts} WHERE job_id = ? ORDER BY id"
        self.counts = counts(names)
        self.queues, self.tasks = (f"SELECT DISTINCT {column} FROM {names.jobs}" for column in ("queue", "task"))
        # Two subqueries: with both in one SELECT, SQLite would read the whole table.
        ends = ", ".join(f"(SELECT {which}(id) FROM {names.jobs})" for which in ("max", "min"))
        self.newest_and_oldest = f"SELECT {ends}"
        # Served by the index `held`.
        self.in_hand = (
            f"SELECT worker, id, task, started_at FROM {names.jobs}"
            " WHERE lease_until IS NOT NULL AND state = 'running' ORDER BY worker, started_at, id"
        )
        # Served by the primary key.
        self.as_new = f"SELECT id, {AGAIN_COLUMNS} FROM {names.jobs} WHERE id {dialect.in_list} ORDER BY id"
        self.leased = f"SELECT id, queue FROM {names.jobs} WHERE lease_until IS NOT NULL ORDER BY id"
        self.backlog = f"SELECT count(*) FROM {names.jobs} WHERE state = 'ready'"
        # Served by the index `ready`.
        due = f"(SELECT available_at FROM {names.jobs} WHERE id = ?)"
        self.ahead = (
            f"SELECT count(*) FROM {names.jobs} WHERE state = 'ready' AND queue = ? AND priority <= ? AND"
            f" (priority < ? OR available_at < {due} OR (available_at = {due} AND id < ?))"
        )
        # Served by the index `key`.
        self.unfinished = (
            f"SELECT DISTINCT job_key FROM {names.jobs} WHERE job_key {dialect.in_list} AND NOT {ENDED_STATES}"
        )
        self.grouped = f"SELECT id FROM {names.jobs} WHERE id {dialect.in_list} AND job_group IS NOT NULL ORDER BY id"

    def _watching(self, names: Names) -> None:
        dialect = names.dialect
        # Served by the index `ended` or `counted`.
        lately = f"{ENDED_STATES} AND finished_at > ?"
        self.lately_ended = f"SELECT queue, state, count(*) FROM {names.jobs} WHERE {lately} GROUP BY queue, state"
        if dialect.has_counted:
            pairs = ended_pairs(names.jobs, _EACH_ENDED)
            number = (
                f"SELECT count(*) FROM {names.jobs} WHERE state = pairs.state AND queue = pairs.queue"
                " AND finished_at > ?"
            )
            self.lately_ended = f"{pairs} SELECT queue, state, ({number}) FROM pairs WHERE queue IS NOT NULL"
        newest = (
            f"SELECT finished_at - started_at AS duration FROM {names.jobs} WHERE state = 'finished' AND queue = ?"
            " AND finished_at > ? ORDER BY finished_at DESC LIMIT ?"
        )
        self.lately_took = f"SELECT count(duration), avg(duration), max(duration) FROM ({newest}) newest"
        # Served by the same index: when each job finished, and how long it had been due when it started.
        self.lately_finished = (
            f"SELECT finished_at, started_at - available_at FROM {names.jobs}"
            " WHERE state = 'finished' AND queue = ? AND finished_at > ? ORDER BY finished_at DESC LIMIT ?"
        )
        # Served by the primary key.
        newest = f"SELECT outcome, finished_at FROM {names.attempts} ORDER BY id DESC LIMIT ?"
        self.lately_tried = (
            f"SELECT outcome, count(*) FROM ({newest}) newest WHERE finished_at > ?"
            f" AND outcome IN {UNSUCCESSFUL} GROUP BY outcome ORDER BY outcome"
        )
        # Served by the index `ready`, all of which it reads.
        other = "typeof({0}) NOT IN ('text', 'null')".format
        self.unclaimable = (
            f"SELECT id FROM {names.jobs} WHERE state = 'ready'"
            f" AND ({other('queue')} OR {other('job_group')} OR typeof(priority) <> 'integer') LIMIT 10"
            if dialect.untyped
            else ""
        )
        self.newest = f"SELECT max(id) FROM {names.jobs}"
        self.tasks_of = (
            f"SELECT task, count(*) FROM (SELECT task FROM {names.jobs} WHERE state = ? LIMIT ?) seen GROUP BY task"
        )


def counts(names: Names) -> str:
    """Return the statement that reads, for each queue and state, the number of jobs and the least `available_at`.

    The latter is that of jobs that are ready or wait for their time; NULL for other states.

    Served on MySQL by the index `ready`; on SQLite by `counted`, `ready`, `future`, `held` and `group`. SQLite reads
    no rows of the table for ended and ready jobs.
    """
    jobs = names.jobs
    first = f"min(CASE WHEN state = 'ready' OR {FUTURE_STATES}"
    if not names.dialect.has_counted:
        return f"SELECT queue, state, count(*), {first} THEN available_at END) FROM {jobs} GROUP BY state, queue"
    # With `ready` as a constant, SQLite reads only the index of ready jobs.
    parts = (
        ("state", "NULL", "finished_at IS NOT NULL GROUP BY state, queue"),
        ("'ready'", "min(available_at)", "state = 'ready' GROUP BY queue"),
        ("state", "min(available_at)", f"{FUTURE_STATES} GROUP BY state, queue"),
        ("'running'", "NULL", "lease_until IS NOT NULL AND state = 'running' GROUP BY queue"),
        ("'blocked'", "NULL", "job_group IS NOT NULL AND state = 'blocked' GROUP BY queue"),
        ("'pending'", "NULL", f"{_pending(names)} GROUP BY queue"),
    )
    return " UNION ALL ".join(
        f"SELECT queue, {state}, count(*), {oldest} FROM {jobs} WHERE {which}" for state, oldest, which in parts
    )


def _pending(names: Names) -> str:
    """Return the condition for pending jobs on SQLite. No index has them: each waits for another job or for a limit."""
    waiting = f"SELECT child FROM {names.edges} UNION ALL SELECT job_id FROM {names.limited}"
    return f"id IN ({waiting}) AND state = 'pending'"


def recent_ids(names: Names) -> str:
    """Return the statement that reads the ids of jobs that ended at an instant or later.

    For jobs that have not ended, their start counts instead, and for jobs without a start their enqueueing. Each
    parameter is this instant. The index `ended` or `counted` serves ended jobs, those of their states serve the others.
    """
    jobs, event = names.jobs, "coalesce(started_at, created_at) >= ?"
    if not names.dialect.has_counted:
        parts = (f"{ENDED_STATES} AND finished_at >= ?", f"{UNFINISHED_STATES} AND {event}")
        each = " UNION ALL ".join(f"SELECT id FROM {jobs} WHERE {part}" for part in parts)
        return f"SELECT id FROM ({each}) AS recent"  # MySQL would run the plain UNION once for each row
    others = (
        "state = 'ready'",
        FUTURE_STATES,
        "lease_until IS NOT NULL",
        "job_group IS NOT NULL AND state = 'blocked'",
        _pending(names),
    )
    pairs = ended_pairs(jobs, _EACH_ENDED)
    ended = (
        f"SELECT j.id FROM pairs CROSS JOIN {jobs} j ON j.state = pairs.state AND j.queue = pairs.queue"
        " WHERE j.finished_at >= ?"
    )
    each = " UNION ALL ".join(f"SELECT id FROM {jobs} WHERE {which} AND {event}" for which in others)
    return f"{pairs} {ended} UNION ALL {each}"


def ended_pairs(jobs: str, states: str) -> str:
    """Return the WITH clause of the table `pairs`: these states, each with the queues that have ended jobs in it.

    One search of the index `counted` finds each pair; the last row of each state has the queue NULL.
    """
    ended = f"SELECT min(queue) FROM {jobs} WHERE finished_at IS NOT NULL AND state ="
    return (
        f"WITH RECURSIVE wanted(state) AS ({states}), pairs(state, queue) AS (SELECT state, ({ended} wanted.state)"
        f" FROM wanted UNION ALL SELECT state, ({ended} pairs.state AND queue > pairs.queue) FROM pairs"
        " WHERE queue IS NOT NULL)"
    )
