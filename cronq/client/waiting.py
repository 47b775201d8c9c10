"""Wait for jobs: when to look at them again, and why one did not finish."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cronq.model.job import State
from cronq.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from cronq.model.job import Job

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
"""Seconds between two looks at a job that is waited for; they grow from the first to the longest."""


def looks(timeout: str | float | timedelta | None) -> Iterator[None]:
    """Yield for each look at a job, with growing pauses in between, until the timeout."""
    for pause in pauses(timeout):
        time.sleep(pause)
        yield


def pauses(timeout: str | float | timedelta | None) -> Iterator[float]:
    """Yield the seconds to wait before each look at a job: none before the first one, and the last at the timeout."""
    limit = None if timeout is None else parse_duration(timeout, what="timeout")
    deadline = float("inf") if limit is None else time.monotonic() + limit
    pause = FIRST_PAUSE
    yield 0.0
    while (left := deadline - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def reason(job: Job) -> str:
    """Write why a job failed or was cancelled, after a colon; empty if it isn't known."""
    if job.error is None:
        return ""
    said = job.error.message if job.state == State.CANCELLED else f"{job.error.kind}: {job.error.message}"
    return f": {said}"
