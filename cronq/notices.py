"""Telling a person: when a job keeps failing, and when it has failed for good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from cronq.claimed import NOTICE_TASK, Claimed, State

if TYPE_CHECKING:
    from cronq.config import Config
    from cronq.outcome import Settlement
    from cronq.registry import Registry
    from cronq.retry import Policy

_AGAIN = frozenset({State.RETRYING, State.READY})
"""What an attempt that was spent in vain leads to; ready is what a rescue makes of it."""


class Notice(NamedTuple):
    """Why a job needs a person. `reason` is `attempts` (it keeps failing) or `failed` (for good)."""

    job_id: int
    task: str
    queue: str
    attempt: int
    max_attempts: int
    reason: str
    error_class: str
    error_message: str

    def __str__(self) -> str:
        """One line for mail and log."""
        how = "failed for good" if self.reason == "failed" else "keeps failing"
        text = " ".join(self.error_message.split())
        why = f"{self.error_class}: {text}" if text else self.error_class
        return f"job {self.job_id} ({self.task}) {how} after {self.attempt} of {self.max_attempts} attempts: {why}"

    def wanted(self, config: Config, registry: Registry) -> bool:
        """Whether anybody beyond the log is to be told."""
        return bool(config.notify_command or registry.hooks["on_notify"])

    def as_job(self, token: int) -> Claimed:
        """The notice in the form that a child can be handed, since hooks are a user's code."""
        return Claimed(
            0, token, NOTICE_TASK, json.dumps(self), self.queue, 0, None, None, None, 1, 1, 0, 0, 60.0, 0, 0,
            None, None, None, None, 0,
        )  # fmt: skip


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
    )
