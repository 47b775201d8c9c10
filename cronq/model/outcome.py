"""Define the outcome of an attempt, and the next state that it gives the job.

The annotations aren't strings, for the reason given in claimed_job.py.
"""

import os
from typing import Any, NamedTuple

from cronq.model.claimed_job import Claimed, Failure, State
from cronq.model.retry import Policy, delay, due_again
from cronq.times import SECOND

NOT_HERE_INTERVAL = 60.0
"""Seconds between two attempts of a job whose task isn't registered here, or isn't allowed by the configuration."""

CRASH_LOOP = "CrashLoop"
"""The error class of a job that was given up because its process died too often."""

UNKNOWN_TASK_PATIENCE = 3600.0
"""Seconds after which a job fails if its task is still unknown."""


class Outcome(NamedTuple):
    """The outcome of one attempt.

    `kind` is success, warning, error, timeout, crashed or snoozed, and empty for an attempt that
    neither succeeded nor failed (skipped, given back). `verdict` is a decision of the task or
    the runner beyond that: fail, retry, snooze, unknown, refused, skip, release, cancel,
    rescue (its runner was killed), interrupted (the host or the lease was lost: no fault of the job).
    Instants in microseconds, `delay` and `cpu_time` in seconds, memory in bytes; `result`
    is JSON text.
    """

    kind: str
    started_at: int
    finished_at: int
    verdict: str = ""
    delay: float | None = None
    error: Failure | None = None
    exit_status: int | None = None
    signal: str | None = None
    result: str | None = None
    warnings: tuple[str, ...] = ()
    notes: dict[str, Any] | None = None
    stdout: str | None = None
    stderr: str | None = None
    peak_memory: int | None = None
    memory_before: int | None = None
    cpu_time: float | None = None
    pid: int | None = None
    stop: bool = False


class Next(NamedTuple):
    """The job's next state, the instant at which it is due (None: unchanged), and whether the attempt is spent."""

    state: State
    available_at: int | None = None
    spent: bool = True
    error: Failure | None = None


FINISHED = Next(State.FINISHED)


class Settlement(NamedTuple):
    """An ended attempt and the job's next state, to be written to the database."""

    job: Claimed
    outcome: Outcome
    next: Next
    hold_group: bool = False
    """Whether the job keeps its group although it failed (`group_on_failed = "hold"`)."""
    worker: str | None = None
    """The worker that ran the attempt, for the job's history."""


def next_state(job: Claimed, outcome: Outcome, policy: Policy, *, chance: float) -> Next:  # noqa: PLR0911 - a table
    """Return the job's next state after this outcome; `chance` in [0, 1) is the share of the jitter that is added."""
    match outcome.kind, outcome.verdict:
        case (("success" | "warning"), _):
            return FINISHED
        case _, "release":
            return Next(State.READY, spent=False, error=outcome.error)
        case _, "skip" | "cancel":
            return Next(State.CANCELLED, error=outcome.error)
        case _, "snooze":
            return _waiting(job, outcome, policy)
        case _, "unknown" | "refused":
            return _not_here(job, outcome)
        case _, "fail":
            return Next(State.FAILED, error=outcome.error)
        case "crashed", _:
            return _crashed(job, outcome, policy, chance=chance)
        case _:
            return _retrying(job, outcome, policy, chance=chance)


def is_own_crash(outcome: Outcome) -> bool:
    """Tell whether the process died while it ran this job, which may have killed it."""
    return outcome.kind == "crashed" and outcome.verdict in {"", "rescue"}


def _crashed(job: Claimed, outcome: Outcome, policy: Policy, *, chance: float) -> Next:
    if policy.on_crash == "fail":
        return Next(State.FAILED, error=outcome.error)
    if is_own_crash(outcome) and job.crashes + 1 >= policy.crash_limit:
        return Next(State.FAILED, error=_crash_loop(job, outcome))
    return _retrying(job, outcome, policy, chance=chance)


def _crash_loop(job: Claimed, outcome: Outcome) -> Failure:
    died = "killed" if outcome.signal else "died"
    times = "once" if not job.crashes else f"{job.crashes + 1} times"
    how = outcome.signal or f"exit status {outcome.exit_status}"
    peak = "" if outcome.peak_memory is None else f", peak {_size(outcome.peak_memory)}"
    return Failure(CRASH_LOOP, f"{died} {times} while it ran ({how}, last on {os.uname().nodename}{peak})")


def _size(memory: int) -> str:
    return f"{memory / 2**30:.1f} GiB" if memory >= 1 << 30 else f"{memory / 2**20:.0f} MiB"


def _retrying(job: Claimed, outcome: Outcome, policy: Policy, *, chance: float) -> Next:
    if job.attempt >= job.max_attempts:
        return Next(State.FAILED, error=outcome.error)
    if outcome.verdict in {"rescue", "interrupted"}:
        return Next(State.READY, error=outcome.error)
    seconds = delay(job.attempt, policy, chance=chance) if outcome.delay is None else outcome.delay
    return Next(State.RETRYING, due_again(outcome.finished_at, seconds), error=outcome.error)


def _waiting(job: Claimed, outcome: Outcome, policy: Policy) -> Next:
    due = due_again(outcome.finished_at, outcome.delay or 0.0)
    since = job.waiting_since or outcome.finished_at
    if due - since > policy.wait_cap * SECOND:
        days = policy.wait_cap / 86400
        return Next(State.FAILED, error=Failure("WaitedTooLong", f"waited longer than {days:g} days"))
    return Next(State.WAITING, due, spent=False, error=outcome.error)


def _not_here(job: Claimed, outcome: Outcome) -> Next:
    """Let the job wait for a minute; if its task has been unknown for an hour, let it fail."""
    since = job.unknown_since or outcome.finished_at
    if outcome.verdict == "unknown" and outcome.finished_at - since >= UNKNOWN_TASK_PATIENCE * SECOND:
        return Next(State.FAILED, error=outcome.error)
    due = due_again(outcome.finished_at, NOT_HERE_INTERVAL)
    return Next(State.WAITING, due, spent=False, error=outcome.error)
