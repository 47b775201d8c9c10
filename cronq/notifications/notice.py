"""Telling a person: when a job keeps failing, when it has failed for good, when all is well again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from cronq.model.claimed_job import COMMAND_TASK, State
from cronq.model.printable import one_line

if TYPE_CHECKING:
    from cronq.model.outcome import Settlement
    from cronq.model.retry import Policy

HEALTHY = "healthy"
_SHOWN = 80

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
    command: str = ""
    """The shell command; not in what is sent to other places, because it may hold a password."""

    def __str__(self) -> str:
        """One line for the log and for what is sent."""
        return self._told(self.task)

    def for_mail(self) -> str:
        """One line for the user of the queue, with the command that shows more."""
        if self.reason == HEALTHY:
            return str(self)
        what = f"{self.task}: {shortened(self.command)}" if self.command else self.task
        return f"{self._told(what)}; cronq show {self.job_id}"

    def _told(self, what: str) -> str:
        if self.reason == HEALTHY:
            return one_line(f"queue {self.queue} is healthy again")
        how = "failed for good" if self.reason == "failed" else "keeps failing"
        text = " ".join(self.error_message.split())
        why = f"{self.error_class}: {text}" if text else self.error_class
        text = f"job {self.job_id} ({what}) {how} after {self.attempt} of {self.max_attempts} attempts: {why}"
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
        _command(job.args) if job.task == COMMAND_TASK else "",
    )


def _command(arguments: str) -> str:
    """The shell command in a job's arguments, as a person would type it."""
    try:
        given = json.loads(arguments).get("command")
    except (ValueError, AttributeError):
        return ""
    return " ".join(map(str, given)) if isinstance(given, list) else str(given or "")


def shortened(text: str) -> str:
    """The beginning of a long text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
