"""Wait for the end of jobs and batches."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from cronq.errors import BatchFailed, JobFailed, JobNotFound, TryLater
from cronq.model.job import ENDED, State
from cronq.tasks.serialisation import load_value
from cronq.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from cronq.model.job import Job
    from cronq.store import Store

    Span = str | float | timedelta | None

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
"""Seconds between two reads of a job that is waited for; they grow from the first to the longest."""


def looks(timeout: Span) -> Iterator[None]:
    """Yield before each read of a job, with growing pauses in between, until the timeout (None: no limit)."""
    for pause in pauses(timeout):
        time.sleep(pause)
        yield


def pauses(timeout: str | float | timedelta | None) -> Iterator[float]:
    """Yield the seconds to wait before each read of a job: 0 before the first one; the last one is at the timeout."""
    limit = None if timeout is None else parse_duration(timeout, what="timeout")
    deadline = float("inf") if limit is None else time.monotonic() + limit
    pause = FIRST_PAUSE
    yield 0.0
    while (left := deadline - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def ended(store: Store, job_id: int, timeout: Span) -> Job:
    """Wait until the job has ended, and return it. Raises JobNotFound, and TryLater after `timeout`."""
    state = ""
    for _ in looks(timeout):
        job = store.jobs.get(job_id)
        if job is None:
            raise JobNotFound(f"there is no job {job_id}")
        if job.state in ENDED:
            return job
        state = job.state
    raise TryLater(f"job {job_id} has not ended yet: {state}")


def result(store: Store, job_id: int, timeout: Span) -> Any:
    """Wait until the job has finished, and return what its task returned. Raises as `ended`, and JobFailed."""
    job = ended(store, job_id, timeout)
    if job.state == State.FINISHED:
        return load_value(json.dumps(job.result))
    raise JobFailed(f"job {job.id} is {job.state}{reason(job)}", job)


def counts(store: Store, batch_id: int, timeout: Span) -> dict[str, int]:
    """Wait until the batch has finished, and return the numbers of its members by state.

    Raises BatchFailed if it failed or was cancelled, TryLater after `timeout`, InvalidInput if there is none.
    """
    for _ in looks(timeout):
        batch = store.batches.require(batch_id)
        if batch.ended_at is not None:
            found = store.batches.counts(batch_id)
            if batch.state == State.FINISHED:
                return found
            raise BatchFailed(f"{batch.label} {_ended(batch.state)}: {told(found)}", found)
    state = f"{batch.state}, {told(store.batches.counts(batch_id))}"
    raise TryLater(f"{batch.label} has not ended yet: {state}")


def told(found: dict[str, int]) -> str:
    """Write the numbers of a batch's members by state, for messages."""
    return ", ".join(f"{number} {state}" for state, number in found.items()) or "no members"


def _ended(state: str) -> str:
    return "failed" if state == State.FAILED else f"was {state}"


def reason(job: Job) -> str:
    """Write why a job failed or was cancelled, after a colon; empty if it isn't known."""
    if job.error is None:
        return ""
    said = job.error.message if job.state == State.CANCELLED else f"{job.error.kind}: {job.error.message}"
    return f": {said}"
