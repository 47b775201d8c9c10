"""Write jobs and failures as uncut tab-separated lines, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.model.printable import one_line
from cronq.render.text import time, work
from cronq.times import to_datetime

if TYPE_CHECKING:
    from cronq.model.job import Job
    from cronq.storage.failure_groups import FailureGroup

COLUMNS = (
    "id", "state", "queue", "priority", "task", "work", "attempt", "key", "group", "blocked_by",
    "created_at", "available_at", "started_at", "finished_at", "error",
)  # fmt: skip
"""The fields of a tab-separated line of `ls`, in their order."""


def job_line(job: Job) -> str:
    """Write the job as one line with COLUMNS, uncut, empty where unknown."""
    return tabbed(
        str(job.id),
        str(job.state),
        job.queue,
        str(job.priority),
        job.task,
        work(job),
        f"{job.attempt}/{job.max_attempts}",
        job.key or "",
        job.group or "",
        "" if job.blocked_by is None else str(job.blocked_by),
        time(job.created_at),
        time(job.available_at),
        time(job.started_at),
        time(job.finished_at),
        "" if job.error is None else f"{job.error.kind}: {job.error.message}",
    )


def failure_line(one: FailureGroup) -> str:
    """Write a failure group: fingerprint, jobs, those failed for good, first and last seen, example, task, error."""
    return tabbed(
        one.fingerprint,
        str(one.jobs),
        str(one.failed),
        time(to_datetime(one.first_seen)),
        time(to_datetime(one.last_seen)),
        str(one.example),
        one.task,
        f"{one.error_class}: {one.message}",
    )


def tabbed(*cells: str) -> str:
    """Join the cells with tabs; line breaks and tabs in them are escaped."""
    return "\t".join(one_line(cell) for cell in cells)
