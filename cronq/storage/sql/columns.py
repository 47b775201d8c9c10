"""Define the lists of columns, and the conditions on states, that statements share."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def text_list(words: Iterable[str]) -> str:
    """Write these words, which need no escapes, as a list of SQL: `('finished', 'failed')`."""
    return "({})".format(", ".join(f"'{word}'" for word in words))


_COLUMNS = {"key": "job_key", "group": "job_group", "unique": "is_unique"}
"""Columns that aren't named as the field of a job, because SQL has a word of that name."""

CLAIMED_COLUMNS = (
    "id, token, task, args, queue, priority, job_key, job_group, event, attempt, max_attempts, snoozes, crashes,"
    " time_limit, created_at, available_at, waiting_since, unknown_since, retry, notes, spent_before, state,"
    " scheduled_for"
)
"""In the order of cronq.model.job.Claimed."""

JOB_FIELDS = (
    "id", "queue", "task", "args", "state", "priority", "key", "group", "unique", "event", "attempt", "max_attempts",
    "snoozes", "crashes", "created_at", "available_at", "started_at", "finished_at", "outcome", "error_class",
    "error_message", "host", "pid", "worker", "time_limit", "retry", "result", "notes", "warnings", "peak_memory",
    "memory_before", "cpu_time", "schedule", "scheduled_for",
)  # fmt: skip
"""What cronq.storage.rows.job makes a job from; a new one is also a field of cronq.model.job.Job."""

JOB_COLUMNS = ", ".join(_COLUMNS.get(field, field) for field in JOB_FIELDS)

ENQUEUE_COLUMNS = (
    "task, args, queue, priority, state, available_at, job_key, unique_key, is_unique, job_group, max_attempts,"
    " time_limit, event, retry, created_at"
)
"""In the order of cronq.storage.rows.new_row."""

USUAL_COLUMNS = "task, args, queue, priority, state, available_at, max_attempts, created_at"
"""Those of a job without key, group and settings of its own: each one more costs 2 % of an insert."""

WORKER_COLUMNS = "name, kind, host, pid, queues, version, started_at, seen_at, state, asked, jobs_done, memory"
"""In the order of cronq.storage.workers.Worker."""

FUTURE = ("scheduled", "retrying", "waiting")
"""As in cronq.model.job, without `enum`, which serve-inetd doesn't import before it answers."""

FUTURE_STATES = "({})".format(" OR ".join(f"state = '{state}'" for state in FUTURE))
"""Word for word the condition of the index, or SQLite won't use it."""

ENDED = ("finished", "failed", "cancelled")
"""As in cronq.model.job."""

ENDED_LIST = text_list(ENDED)
ENDED_STATES = f"state IN {ENDED_LIST}"

UNSUCCESSFUL = "('error', 'timeout', 'crashed')"
"""Outcomes of attempts that failed."""

UNFINISHED_STATES = "state IN ('scheduled', 'ready', 'blocked', 'running', 'retrying', 'waiting', 'pending')"
"""Not as NOT IN: that leads to no index."""

CLAIM_ORDER = "priority, available_at, id"
"""The order in which jobs of a queue start."""


def claim_place(priority: int, available_at: object, job_id: int) -> tuple[int, bool, float, int]:
    """Return a job's place in claim order.

    A row that was written by hand in a SQLite file may have a time that is no number; SQLite sorts it behind numbers.
    """
    if isinstance(available_at, (int, float)):
        return priority, False, available_at, job_id
    return priority, True, 0, job_id


MEMBER, LIMITED, NEEDED, HELD, LOOKED, HAS_PROGRESS, AHEAD = 1, 2, 4, 8, 16, 32, 64
"""Bits of `flow`.

MEMBER: the job is in a batch. LIMITED: it is under a limit. NEEDED: a job comes after this one. HELD: this one is
pending, or was cancelled while it was. LOOKED: changes with each look, because only a change of the row makes two
nodes of a cluster wait for each other. HAS_PROGRESS: the job has a row of progress, which its settlement deletes.
AHEAD: the job is under no limit, and one of its group that is waits for it.
"""

KEPT = MEMBER | LIMITED | NEEDED | AHEAD
"""The bits that outlast a release."""
