"""What the statements are put together from: lists of columns, conditions, and the words of each engine."""

from __future__ import annotations

CLAIMED_COLUMNS = (
    "id, token, task, args, queue, priority, job_key, job_group, event, attempt, max_attempts, snoozes, crashes,"
    " time_limit, created_at, available_at, waiting_since, unknown_since, retry, notes, spent_before, state"
)
"""In the order of cronq.model.job.Claimed."""

JOB_COLUMNS = (
    "id, queue, task, args, state, priority, job_key, job_group, is_unique, event, attempt, max_attempts, snoozes,"
    " crashes, created_at, available_at, started_at, finished_at, outcome, error_class, error_message, host, pid,"
    " worker, time_limit, result, notes, warnings, peak_memory, memory_before, cpu_time"
)

ENQUEUE_COLUMNS = (
    "task, args, queue, priority, state, available_at, job_key, unique_key, is_unique, job_group, max_attempts,"
    " time_limit, event, retry, created_at"
)

USUAL_COLUMNS = "task, args, queue, priority, state, available_at, max_attempts, created_at"
"""Those of a job without key, group and settings of its own: each one more costs 2 % of an insert."""

WORKER_COLUMNS = "name, kind, host, pid, queues, version, started_at, seen_at, state, asked, jobs_done, memory"
"""In the order of cronq.storage.workers.Worker."""

FUTURE_STATES = "(state = 'scheduled' OR state = 'retrying' OR state = 'waiting')"
"""Word for word the condition of the index, or SQLite won't use it."""

ENDED_STATES = "state IN ('finished', 'failed', 'cancelled')"


class Dialect:
    """How one family of databases says what the others say in other words."""

    def __init__(self, family: str) -> None:
        self.among, self.beside = {
            "sqlite": ("IN (SELECT value FROM json_each(?))", "NOT IN (SELECT value FROM json_each(?))"),
            "mysql": ("IN ?", "NOT IN ?"),
            "postgresql": ("= ANY(?)", "<> ALL(?)"),
        }[family]
        server = family != "sqlite"
        # A group's row is locked while jobs are blocked because of it, so that whoever frees
        # the group sees them. SQLite has one writer anyway.
        self.shared = {"mysql": " LOCK IN SHARE MODE", "postgresql": " FOR SHARE"}.get(family, "")
        self.locked = " FOR UPDATE" if server else ""
        self.unless_locked = " FOR UPDATE SKIP LOCKED" if family == "postgresql" else ""
        # With statistics of an hour ago, an index over states may look better than the ids.
        self.by_id = " FORCE INDEX (PRIMARY)" if family == "mysql" else ""
        self.returning = "" if family == "mysql" else f" RETURNING {CLAIMED_COLUMNS}"
        self.server = server
        self.family = family
