"""Telling a person: when a job keeps failing, when it has failed for good, when all is well again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.model.claimed_job import State
from cronq.model.printable import one_line

if TYPE_CHECKING:
    from cronq.model.outcome import Settlement
    from cronq.model.retry import Policy

HEALTHY = "healthy"

_AGAIN = frozenset({State.RETRYING, State.READY})
"""What an attempt that was spent in vain leads to; ready is what a rescue makes of it."""


class Notice(NamedTuple):
    """Why a person is told: `reason` is `attempts` (a job keeps failing), `failed` (for good) or `healthy`.

    A queue is healthy again when no job that a person was told of is in trouble any more; such a
    notice is of no job, so its id is 0 and its task is empty.
    """

    job_id: int
    task: str
    queue: str
    attempt: int
    max_attempts: int
    reason: str
    error_class: str
    error_message: str
    traceback: str = ""

    def __str__(self) -> str:
        """One line for mail and log."""
        if self.reason == HEALTHY:
            return one_line(f"queue {self.queue} is healthy again")
        how = "failed for good" if self.reason == "failed" else "keeps failing"
        text = " ".join(self.error_message.split())
        why = f"{self.error_class}: {text}" if text else self.error_class
        text = f"job {self.job_id} ({self.task}) {how} after {self.attempt} of {self.max_attempts} attempts: {why}"
        return one_line(text)


def healthy(queue: str) -> Notice:
    """The notice that nobody need look after a queue any more."""
    return Notice(0, "", queue, 0, 0, HEALTHY, "", "")


def notice_of(settled: Settlement, policy: Policy) -> Notice | None:
    """The notice that this settlement calls for, once at `notify_after` attempts and once at the end."""
    job, _, following, _ = settled
    if following.state is State.FAILED:
        reason = "failed"
    elif following.state in _AGAIN and following.spent and job.attempt == policy.notify_after:
        reason = "attempts"
    else:
        return None
    error = following.error
    return Notice(
        job.id,
        job.task,
        job.queue,
        job.attempt,
        job.max_attempts,
        reason,
        error.kind if error else "Error",
        error.message if error else "",
        (error.traceback if error else None) or "",
    )
