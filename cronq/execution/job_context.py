"""Give a task access to its running job: `current_job`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from cronq.errors import InvalidInput
from cronq.execution.bounds import Warnings, fault_of
from cronq.tasks import serialisation
from cronq.times import local_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from cronq.client.batches import Batch
    from cronq.model.claimed_job import Claimed

    Shows = Callable[[object, object, object], None]
    """A function that takes how much is done, the total, and a note."""


class RunningJob:
    """The running job, as its task gets it from `current_job()`."""

    __slots__ = ("_batch_of", "_job", "_notes", "_shows", "_started", "_warnings")

    def __init__(
        self, job: Claimed, shows: Shows | None = None, batch_of: Callable[[int], Batch | None] | None = None
    ) -> None:
        self._warnings: Warnings | None = None
        self._batch_of = batch_of
        self._job = job
        self._shows = shows
        self._notes: dict[str, Any] | None = None
        self._started = time.monotonic()

    @property
    def id(self) -> int:
        """The job's id."""
        return self._job.id

    @property
    def task(self) -> str:
        """The name of its task."""
        return self._job.task

    @property
    def queue(self) -> str:
        """The queue it waited in."""
        return self._job.queue

    @property
    def priority(self) -> int:
        """Its priority, from 0 to 999: lower runs first."""
        return self._job.priority

    @property
    def key(self) -> str | None:
        """The caller's own name for it; None if it has none."""
        return self._job.key

    @property
    def group(self) -> str | None:
        """The group to which it belongs, whose jobs run one at a time; None if it is in none."""
        return self._job.group

    @property
    def event(self) -> str | None:
        """The event for which it was enqueued; None for any other job."""
        return self._job.event

    @property
    def attempt(self) -> int:
        """The number of this attempt, counted from 1."""
        return self._job.attempt

    @property
    def max_attempts(self) -> int:
        """The most attempts that it may have."""
        return self._job.max_attempts

    @property
    def snoozes(self) -> int:
        """The number of times that it was snoozed."""
        return self._job.snoozes

    @property
    def crashes(self) -> int:
        """The number of its attempts that ended because their process died."""
        return self._job.crashes

    @property
    def time_limit(self) -> float | None:
        """Seconds this attempt may take; None if the task's or the config's limit applies."""
        return self._job.time_limit

    @property
    def scheduled_for(self) -> datetime | None:
        """The due time of its schedule that it was enqueued for, in the schedule's zone; None for any other job."""
        return local_time(self._job.scheduled_for)

    @property
    def batch(self) -> Batch | None:
        """The batch of which it is a member, None for any other job. It may add jobs: the batch can't end before it."""
        return None if self._batch_of is None else self._batch_of(self._job.id)

    @property
    def elapsed(self) -> float:
        """Seconds since this attempt started."""
        return time.monotonic() - self._started

    @property
    def notes(self) -> Mapping[str, Any]:
        """The fields stored by `note`, in this attempt and earlier ones."""
        if self._notes is None:
            return self._earlier_notes()
        return self._notes

    def _earlier_notes(self) -> dict[str, Any]:
        try:
            return serialisation.loads(self._job.notes) if self._job.notes else {}
        except InvalidInput:  # written by hand: the notes of this attempt replace them
            return {}

    @property
    def warnings(self) -> Warnings:
        """The warnings of this attempt."""
        if self._warnings is None:
            self._warnings = Warnings()
        return self._warnings

    @property
    def has_warnings_or_notes(self) -> bool:
        """Whether there are warnings or notes of this attempt."""
        return self._warnings is not None or self._notes is not None

    def warn(self, message: str) -> None:
        """Give this attempt the outcome `warning` if it succeeds, and store the message with the job.

        A message is cut after 4,096 characters. An attempt keeps 100 messages, about 65,536 characters together.
        """
        self.warnings.add(str(message))

    def note(self, **fields: Any) -> None:
        """Store fields as JSON with the job, beside earlier ones; a field of the same name is replaced.

        Fields with which all notes would exceed 65,536 bytes or 100 levels are left out with a warning. Raises
        InvalidInput for a value that can't be stored.
        """
        text = serialisation.dumps({**self.notes, **fields})
        fault = fault_of(text)
        if fault is None:
            self._notes = serialisation.loads(text)
        else:
            self.warn(f"note: {', '.join(fields)} not kept: {fault}")

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Record how far this job is: `cronq show`, `top` and `wait` show it, with the rate and the time left.

        `total` None stands for an unknown one; a note is cut after 300 bytes. A call takes a few microseconds, so a
        loop may make one each time. Raises InvalidInput unless the numbers are finite and at least 0.
        """
        if self._shows is not None:
            self._shows(done, total, note)

    @property
    def changed_notes(self) -> dict[str, Any] | None:
        """All notes as plain JSON values if this attempt added any, else None."""
        if self._notes is None:
            return None
        plain: dict[str, Any] = json.loads(serialisation.dumps(self._notes))
        return plain


class CurrentJob:
    """Gives access to the running job: `current_job.warn(…)`, or `current_job()` for the job itself."""

    _running: RunningJob | None = None

    def __call__(self) -> RunningJob:
        """Return the running job. Raises RuntimeError outside of one."""
        if self._running is None:
            message = "no job is running here: current_job is for code that a task calls"
            raise RuntimeError(message)
        return self._running

    def __getattr__(self, name: str) -> Any:
        return getattr(self(), name)

    def __bool__(self) -> bool:
        return self._running is not None

    def enter(self, job: RunningJob | None) -> None:
        """Make this the running job; with None, no job is running."""
        self._running = job


current_job = CurrentJob()


def claimed_job() -> Claimed:
    """Return the running job as it was claimed. Raises RuntimeError outside of one."""
    return current_job()._job
