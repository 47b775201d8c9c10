"""Define a claimed job and its states, apart from cronq.model.job, which imports more.

Each job of serve-inetd imports this, and would pay for each further class; and for annotations that are texts, which
NamedTuple compiles one by one.
"""

from enum import StrEnum
from typing import NamedTuple

COMMAND_TASK = "command"
"""The built-in task that runs a shell command."""


class State(StrEnum):
    """The state of a job; docs/lifecycle.md has a drawing."""

    SCHEDULED = "scheduled"
    READY = "ready"
    BLOCKED = "blocked"
    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


FUTURE = frozenset({State.SCHEDULED, State.RETRYING, State.WAITING})
"""States that `available_at` turns into ready."""

ENDED = frozenset({State.FINISHED, State.FAILED, State.CANCELLED})
UNFINISHED = frozenset(State) - ENDED


class Claimed(NamedTuple):
    """A job under lease, as it is sent to a child; fields in the claim's column order."""

    id: int
    token: int
    task: str
    args: str
    queue: str
    priority: int
    key: str | None
    group: str | None
    event: str | None
    attempt: int
    max_attempts: int
    snoozes: int
    crashes: int
    time_limit: float | None
    created_at: int
    available_at: int
    waiting_since: int | None
    unknown_since: int | None
    retry: str | None
    notes: str | None
    spent_before: int
    """Attempts spent before the last `cronq retry`."""
    state: str = State.RUNNING.value
    """`running`, or `blocked` for a job that follows the holder of its group in the same claim."""
    scheduled_for: str | None = None
    """The due time of its schedule: `2026-03-29T03:00:00+02:00[Europe/Prague]`."""


class Failure(NamedTuple):
    """Why an attempt did not succeed: the error's class name, its message, the traceback if there is one."""

    kind: str
    message: str
    traceback: str | None = None
    path: str | None = None
    """Where the class can be imported: `shop.errors.Refused`; None if it isn't known."""
