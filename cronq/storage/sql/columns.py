"""Define the lists of columns, and the conditions on states, that statements share."""

from __future__ import annotations

from cronq.model.states import CLAIMABLE, ENDED, FUTURE, UNFINISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def text_list(words: Iterable[str]) -> str:
    """Return these words, which must need no escapes, as a list of SQL: `('finished', 'failed')`."""
    return "({})".format(", ".join(f"'{word}'" for word in words))


_COLUMNS = {"key": "job_key", "group": "job_group", "unique": "is_unique"}
"""The columns whose names differ from the fields of a job, because those are reserved words of SQL."""

CLAIMED_COLUMNS = (
    "id, token, task, args, queue, priority, job_key, job_group, event, attempt, max_attempts, snoozes, crashes,"
    " time_limit, created_at, available_at, waiting_since, unknown_since, retry, notes, spent_before, state,"
    " scheduled_for"
)
"""The columns of a claimed job, in the order of the fields of cronq.model.job.Claimed."""

JOB_FIELDS = (
    "id", "queue", "task", "args", "state", "priority", "key", "group", "unique", "event", "attempt", "max_attempts",
    "snoozes", "crashes", "created_at", "available_at", "started_at", "finished_at", "outcome", "error_class",
    "error_message", "host", "pid", "worker", "time_limit", "retry", "result", "notes", "warnings", "peak_memory",
    "memory_before", "cpu_time", "schedule", "scheduled_for",
)  # fmt: skip
"""The fields from which cronq.storage.rows.job makes a job; a new one is also added to cronq.model.job.Job."""

JOB_COLUMNS = ", ".join(_COLUMNS.get(field, field) for field in JOB_FIELDS)

ENQUEUE_COLUMNS = (
    "task, args, queue, priority, state, available_at, job_key, unique_key, is_unique, job_group, max_attempts,"
    " time_limit, event, retry, created_at"
)
"""The columns of a new job, in the order of the values from cronq.storage.rows.new_row."""

USUAL_COLUMNS = "task, args, queue, priority, state, available_at, max_attempts, created_at"
"""The columns of a new job without key, group and settings of its own: each further column costs 2 % of an INSERT."""

WORKER_COLUMNS = "name, kind, host, pid, queues, version, started_at, seen_at, state, asked, jobs_done, memory"
"""The columns of a worker, in the order of the fields of cronq.storage.workers.Worker."""

FUTURE_INDEX = " OR ".join(f"state = '{state}'" for state in FUTURE)
"""The condition of the index `future`."""

FUTURE_STATES = f"({FUTURE_INDEX})"
"""The same, word for word, to be one condition of several: otherwise SQLite doesn't use the index."""

CLAIMABLE_STATES = f"state IN {text_list(CLAIMABLE)}"

ENDED_LIST = text_list(ENDED)
ENDED_STATES = f"state IN {ENDED_LIST}"

UNSUCCESSFUL = "('error', 'timeout', 'crashed')"
"""The outcomes of failed attempts, as a list of SQL."""

UNFINISHED_STATES = f"state IN {text_list(UNFINISHED)}"
"""The condition for jobs that have not ended. NOT IN would use no index."""

CLAIM_ORDER = "priority, available_at, id"
"""The order in which jobs of a queue start."""


def claim_place(priority: int, available_at: object, job_id: int) -> tuple[int, bool, float, int]:
    """Return the key by which jobs are sorted in claim order.

    A row that was written by hand in a SQLite file may have a time that is no number; SQLite sorts it behind numbers.
    """
    if isinstance(available_at, (int, float)):
        return priority, False, available_at, job_id
    return priority, True, 0, job_id


MEMBER, LIMITED, NEEDED, HELD, LOOKED, HAS_PROGRESS, AHEAD = 1, 2, 4, 8, 16, 32, 64
"""The bits of the column `flow`.

MEMBER: the job is in a batch. LIMITED: it is under a limit. NEEDED: another job comes after this one. HELD: this one
waits for jobs that it comes after, or was cancelled while it waited. LOOKED: toggled by each lock of the row, because
in a cluster only a change of the row, not a lock, keeps two nodes from deciding about it at once. HAS_PROGRESS: the
job has a row of progress, which its settlement deletes. AHEAD: the job is under no limit, and a job of its group that
is under one waits for it.
"""

KEPT = MEMBER | LIMITED | NEEDED | AHEAD
"""The bits that stay set when a pending job is released."""
