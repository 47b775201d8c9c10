"""Define a job, its states, and the transitions between them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from cronq.model.claimed_job import COMMAND_TASK as COMMAND_TASK
from cronq.model.claimed_job import ENDED as ENDED
from cronq.model.claimed_job import FUTURE as FUTURE
from cronq.model.claimed_job import UNFINISHED as UNFINISHED
from cronq.model.claimed_job import Claimed as Claimed
from cronq.model.claimed_job import Failure as Failure
from cronq.model.claimed_job import State as State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from cronq.model.dependencies import After
    from cronq.model.limits import Limit
    from cronq.model.progress import Progress

DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 50
PRIORITIES = range(1000)


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.READY, State.PENDING, State.CANCELLED}),
    State.READY: frozenset({State.RUNNING, State.BLOCKED, State.PENDING, State.CANCELLED}),
    State.BLOCKED: frozenset({State.READY, State.SCHEDULED, State.CANCELLED}),
    State.PENDING: frozenset({State.SCHEDULED, State.READY, State.CANCELLED}),
    State.RUNNING: frozenset(
        {State.FINISHED, State.FAILED, State.RETRYING, State.WAITING, State.READY, State.CANCELLED}
    ),
    State.RETRYING: frozenset({State.READY, State.PENDING, State.CANCELLED}),
    State.WAITING: frozenset({State.READY, State.PENDING, State.CANCELLED}),
    State.FINISHED: frozenset({State.READY, State.PENDING}),
    State.FAILED: frozenset({State.READY, State.PENDING, State.CANCELLED}),
    State.CANCELLED: frozenset({State.READY, State.PENDING}),
}

RETRYABLE = frozenset(state for state, following in TRANSITIONS.items() if State.READY in following) - {
    State.RUNNING,
    State.BLOCKED,
    State.PENDING,
}
"""States from which `cronq retry` makes a job ready."""

CANCELLABLE = frozenset(state for state, following in TRANSITIONS.items() if State.CANCELLED in following) - {
    State.RUNNING
}
"""States from which `cronq cancel` ends a job at once; a running one only with `--kill`, by its runner."""

EDITABLE = UNFINISHED - {State.RUNNING}
"""States in which `cronq edit` changes a job."""


FAILING = frozenset({State.FAILED, State.RETRYING, State.READY, State.BLOCKED, State.RUNNING})
"""States in which the last attempt of a job may have failed."""


class NewJob(NamedTuple):
    """A job about to be enqueued; `available_at` is an instant, None means now."""

    task: str
    args: str = "{}"
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    available_at: int | None = None
    key: str | None = None
    unique: bool = False
    group: str | None = None
    max_attempts: int = 20
    time_limit: float | None = None
    event: str | None = None
    retry: str | None = None
    """The job's own `base`, `cap` and `jitter` as JSON."""
    after: tuple[After, ...] = ()
    """The jobs and batches that it comes after."""
    batch: int | None = None
    """The id of the batch that it is a member of."""
    limit: Limit | None = None
    """The limit that it is under."""
    notes: str | None = None
    """The notes that it starts with, as JSON. Either all jobs of one call have notes, or none has."""


SETTINGS = NewJob._fields.index("args") + 1
"""The place of the first field after the task and its arguments: `job[SETTINGS:]`."""

RARE = NewJob._fields.index("time_limit")
"""The place of the first of the settings that few jobs have."""


class Enqueued(NamedTuple):
    """The id of an enqueued job; with `existing`, that of an unfinished job which had its unique key already."""

    id: int
    existing: bool


class Attempt(NamedTuple):
    """One attempt from the history of a job: one that did not succeed, or that was followed by a retry by hand."""

    number: int
    outcome: str
    started_at: datetime | None
    finished_at: datetime | None
    host: str | None
    pid: int | None
    error: Failure | None
    exit_status: int | None
    signal: str | None
    stdout: str | None = None
    stderr: str | None = None
    worker: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the attempt with its documented field names."""
        return {
            "number": self.number,
            "outcome": self.outcome,
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "host": self.host,
            "pid": self.pid,
            "worker": self.worker,
            "error": self.error
            and {
                "class": self.error.kind,
                "path": self.error.path,
                "message": self.error.message,
                "traceback": self.error.traceback,
            },
            "exit_status": self.exit_status,
            "signal": self.signal,
        }


class Job:
    """A stored job. Times are aware datetimes in UTC, durations are in seconds, memory in bytes.

    An immutable value: jobs with equal fields are equal.
    """

    _fields: ClassVar[tuple[str, ...]]

    id: int
    queue: str
    task: str
    args: dict[str, Any] | None
    command: str | list[str] | None
    state: str
    priority: int
    key: str | None
    group: str | None
    unique: bool
    event: str | None
    attempt: int
    max_attempts: int
    snoozes: int
    crashes: int
    created_at: datetime
    available_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    error: Failure | None
    host: str | None
    pid: int | None
    worker: str | None
    time_limit: float | None
    retry: dict[str, Any] | None
    """Its own `base`, `cap` and `jitter`."""
    blocked_by: int | None
    result: Any
    notes: dict[str, Any] | None
    warnings: Sequence[str]
    peak_memory: int | None
    memory_before: int | None
    cpu_time: float | None
    schedule: str | None
    scheduled_for: datetime | None
    """The due time of its schedule, in the schedule's zone; None for other jobs."""
    progress: Progress | None
    """The progress that it reported last; None if it isn't running or has reported none."""
    existing: bool
    """Whether `enqueue` stored no new job, and returned this one, because it was unfinished and had the unique key."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(_NOT_RUN_YET, **fields)

    @classmethod
    def known_later(cls, job_id: int, fields: Callable[[], Mapping[str, Any]]) -> Job:
        """Make a job of which only the id is known; `fields` is called when another field is first read.

        Most programs don't read what `enqueue` returns, and making it costs as much as storing the row.
        """
        job = cls.__new__(cls)
        known = vars(job)
        known["id"], known["_known_later"] = job_id, fields
        return job

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            fields = vars(self).get("_known_later")
            if name not in self._fields or fields is None:
                raise AttributeError(f"a job has no {name!r}")
            vars(self).update(_NOT_RUN_YET, **fields())
            return vars(self)[name]

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(f"a job is a value: {name} can't be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a job is a value: {name} can't be deleted")

    def __repr__(self) -> str:
        return f"Job({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self._asdict() == other._asdict()

    def __hash__(self) -> int:
        return hash(self.id)

    def __getstate__(self) -> dict[str, Any]:
        return self._asdict()

    def _asdict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {name: getattr(self, name) for name in self._fields}

    def _replace(self, **fields: Any) -> Job:
        """Return a copy with other values in these fields."""
        return Job(**{**self._asdict(), **fields})

    @property
    def duration(self) -> float | None:
        """The seconds from start to end of the last attempt; 0 if the clock was set back, None before the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    def to_json(self) -> dict[str, Any]:
        """Return the job with its documented field names; unknown values are None, never missing."""
        return {
            "id": self.id,
            "queue": self.queue,
            "task": self.task,
            "args": self.args,
            "command": self.command,
            "state": str(self.state),
            "priority": self.priority,
            "key": self.key,
            "group": self.group,
            "unique": self.unique,
            "event": self.event,
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "snoozes": self.snoozes,
            "crashes": self.crashes,
            "created_at": _iso(self.created_at),
            "available_at": _iso(self.available_at),
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "duration": self.duration,
            "outcome": self.outcome,
            "error": self.error and {"class": self.error.kind, "message": self.error.message},
            "host": self.host,
            "pid": self.pid,
            "worker": self.worker,
            "time_limit": self.time_limit,
            "retry": self.retry,
            "blocked_by": self.blocked_by,
            "result": self.result,
            "notes": self.notes,
            "warnings": list(self.warnings),
            "peak_memory": self.peak_memory,
            "cpu_time": self.cpu_time,
            "schedule": self.schedule,
            "scheduled_for": _iso(self.scheduled_for and self.scheduled_for.astimezone(UTC)),
            "progress": self.progress and self.progress.to_json(),
        }


Job._fields = tuple(name for name in Job.__annotations__ if name != "_fields")
_NOT_RUN_YET: Mapping[str, Any] = {
    **dict.fromkeys(Job._fields[Job._fields.index("started_at") :]),
    "warnings": (),
    "existing": False,
}
"""The values of these fields for a job without attempts."""


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
