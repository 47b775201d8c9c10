"""Decide when a notice is due, and write its text: a job keeps failing, failed for good, or a queue has recovered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.claimed_job import COMMAND_TASK, State
from cronq.model.printable import one_line

if TYPE_CHECKING:
    from cronq.model.outcome import Settlement
    from cronq.model.retry import Policy

HEALTHY = "healthy"
SCHEDULE, SCHEDULE_HEALTHY = "schedule", "schedule-healthy"
GOOD_NEWS = frozenset({HEALTHY, SCHEDULE_HEALTHY})
_SHOWN = 80

_AGAIN = frozenset({State.RETRYING, State.READY})
"""The states after a failed attempt that is retried; READY after a rescue."""


class Notice(NamedTuple):
    """A notice; `reason` is `attempts` (a job keeps failing), `failed` (for good) or `healthy`.

    A queue is healthy again when all jobs with notices have finished, were cancelled or deleted;
    such a notice has no job: its id is 0 and its task is empty. `schedule` says that a schedule had no
    success in `alert_after` due times, `schedule-healthy` that it is well again; `error_message` has the sentence.
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
    command: str = ""
    """The shell command; not sent to services, because it may hold a password."""

    def __str__(self) -> str:
        """Return one line for the log and for services."""
        return self._told(self.task)

    def for_mail(self) -> str:
        """Write one line for cron's mail, with the command that shows more."""
        if not self.job_id:
            return str(self)
        what = f"{self.task}: {shortened(self.command)}" if self.command else self.task
        return f"{self._told(what)}; cronq show {self.job_id}"

    def _told(self, what: str) -> str:
        if self.reason == HEALTHY:
            return one_line(f"queue {self.queue} is healthy again")
        if not self.job_id:
            return one_line(self.error_message)
        how = "failed for good" if self.reason == "failed" else "keeps failing"
        text = " ".join(self.error_message.split())
        why = f"{self.error_class}: {text}" if text else self.error_class
        text = f"job {self.job_id} ({what}) {how} after {self.attempt} of {self.max_attempts} attempts: {why}"
        return one_line(text)


def of_schedule(name: str, task: str, queue: str, *, failures: int) -> Notice:
    """Make the notice that a schedule had no success in its last `failures` due times; 0: that it is well again."""
    if not failures:
        return Notice(0, task, queue, 0, 0, SCHEDULE_HEALTHY, "", f"schedule {name} is well again")
    text = f"schedule {name} had no success in its last {failures} due times; cronq schedules show {name}"
    return Notice(0, task, queue, 0, 0, SCHEDULE, "NoSuccess", text)


def healthy(queue: str) -> Notice:
    """Make the notice that a queue is healthy again."""
    return Notice(0, "", queue, 0, 0, HEALTHY, "", "")


def notice_of(settled: Settlement, policy: Policy) -> Notice | None:
    """Make the notice of a settlement, None unless one is due: at `notify_after` attempts and the final failure."""
    job, _, following, _, _ = settled
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
        _command(job.args) if job.task == COMMAND_TASK else "",
    )


def _command(arguments: str) -> str:
    """Return the shell command in a job's arguments, quoted for a shell."""
    try:
        given = json.loads(arguments).get("command")
    except (ValueError, AttributeError):
        return ""
    return " ".join(map(str, given)) if isinstance(given, list) else str(given or "")


def shortened(text: str) -> str:
    """Return the beginning of a long text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
