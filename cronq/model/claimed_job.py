"""Define a claimed job and its states, apart from cronq.model.job, which imports more.

`serve-inetd` imports this module for each job, and each further class would make that slower. So would annotations
that are strings (`from __future__ import annotations`): NamedTuple compiles each of them.
"""

from enum import StrEnum
from typing import NamedTuple

from cronq.model import states

COMMAND_TASK = "command"
"""The built-in task that runs a shell command."""


class State(StrEnum):
    """The state of a job, one of cronq.model.states; docs/lifecycle.md explains each state and the transitions."""

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


FUTURE = frozenset(map(State, states.FUTURE))
ENDED = frozenset(map(State, states.ENDED))
UNFINISHED = frozenset(map(State, states.UNFINISHED))


class Claimed(NamedTuple):
    """A claimed job, as it is sent to a child; the fields are in the order of CLAIMED_COLUMNS."""

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
    """The number of attempts spent before the last `cronq retry`."""
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
    """The import path of the class: `shop.errors.Refused`; None if it isn't known."""
