"""Define the lists of columns, and the conditions on states, that statements share."""

from __future__ import annotations

from cronq.model.states import CLAIMABLE, ENDED, FUTURE, UNFINISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def text_list(words: Iterable[str]) -> str:
    """Return these words, which must need no escapes, as a list of SQL: `('finished', 'failed')`."""
    return "({})".format(", ".join(f"'{word}'" for word in words))


_JOB = {
    "id": "claimed read",
    "token": "claimed",
    "task": "claimed read given usual",
    "args": "claimed read given usual",
    "queue": "claimed read given usual",
    "priority": "claimed read given usual",
    "key": "claimed read given",
    "group": "claimed read given",
    "event": "claimed read given",
    "attempt": "claimed read",
    "max_attempts": "claimed read given usual",
    "snoozes": "claimed read",
    "crashes": "claimed read",
    "time_limit": "claimed read given",
    "created_at": "claimed read",
    "available_at": "claimed read",
    "waiting_since": "claimed",
    "unknown_since": "claimed",
    "retry": "claimed read given",
    "notes": "claimed read",
    "spent_before": "claimed",
    "state": "claimed read",
    "scheduled_for": "claimed read",
    "unique": "read",
    "started_at": "read",
    "finished_at": "read",
    "outcome": "read",
    "error_class": "read",
    "error_message": "read",
    "host": "read",
    "pid": "read",
    "worker": "read",
    "result": "read",
    "warnings": "read",
    "peak_memory": "read",
    "memory_before": "read",
    "cpu_time": "read",
    "schedule": "read",
}
"""The fields of a job, and where each is used; statements and rows have them in this order.

claimed: it is a field of cronq.model.job.Claimed, which has the same order. read: rows.job makes a Job from it.
given: it is written as it is in NewJob. usual: it is also written for a job that has no others of these.
"""

_NAMES = {"key": "job_key", "group": "job_group", "unique": "is_unique"}
"""The columns whose names differ from the fields of a job, because those are reserved words of SQL."""


def _used(use: str) -> tuple[str, ...]:
    return tuple(field for field, uses in _JOB.items() if use in uses.split())


def _columns(fields: Iterable[str]) -> tuple[str, ...]:
    return tuple(_NAMES.get(field, field) for field in fields)


CLAIMED_COLUMNS = ", ".join(_columns(_used("claimed")))

JOB_FIELDS = _used("read")
JOB_COLUMNS = ", ".join(_columns(JOB_FIELDS))

GIVEN_FIELDS = _used("given")
USUAL_FIELDS = _used("usual")

_MADE = ("state", "available_at", "created_at")
"""The columns whose values rows.new_row and usual_row make. `enqueue_grouped` has a parameter before the state."""

ENQUEUE_COLUMNS = _columns((*_MADE, "unique_key", "unique", *GIVEN_FIELDS))
USUAL_COLUMNS = _columns((*_MADE, *USUAL_FIELDS))
"""The columns of a new job without key, group and settings of its own: each further column costs 2 % of an INSERT."""

AGAIN_FIELDS = ("unique", *GIVEN_FIELDS)
"""The fields of a job from which rows.again makes another."""

AGAIN_COLUMNS = ", ".join(_columns(AGAIN_FIELDS))

FINISHED = ("started_at", "finished_at", "pid", "peak_memory", "memory_before", "cpu_time")
"""The fields of an Outcome that are written to the job as they are."""

ATTEMPT_FIELDS = (
    "number", "outcome", "started_at", "finished_at", "host", "pid", "exit_status", "signal", "error_class",
    "error_message", "traceback", "stdout", "stderr", "worker", "error_path",
)  # fmt: skip
"""The fields of an attempt in the job's history."""

ATTEMPT_COLUMNS = ", ".join(f'"{field}"' if field == "signal" else field for field in ATTEMPT_FIELDS)

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
