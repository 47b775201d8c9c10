"""Convert jobs to Django's TaskResult."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from cronq import errors
from cronq.django import values
from cronq.django.api import TaskError, TaskResult, TaskResultStatus
from cronq.model.job import ENDED, State
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cronq.django.task import CronqTask
    from cronq.model.job import Attempt, Failure, Job

NEUTRAL = 100
"""The priority of a job whose Django priority is 0. For Django higher ones run first, for cronq lower ones."""

_HIGHEST = 100

STATUSES = {
    State.RUNNING: TaskResultStatus.RUNNING,
    State.FINISHED: TaskResultStatus.SUCCESSFUL,
    State.FAILED: TaskResultStatus.FAILED,
    State.CANCELLED: TaskResultStatus.FAILED,
}
"""Django's statuses of the states of jobs; all other states are READY."""

_WITH_AN_ATTEMPT = ENDED | {State.RUNNING}
"""States in which the job's row may have an attempt that its recorded attempts don't have."""


def priority_of(priority: int) -> int:
    """Return Django's priority for a job's, at most 100 and at least -100: a job's may be beyond these."""
    return max(-_HIGHEST, min(_HIGHEST, NEUTRAL - priority))


def when(moment: datetime | None) -> datetime | None:
    """Return the time as Django has it: naive and local where USE_TZ is off."""
    if moment is None or settings.USE_TZ:
        return moment
    return timezone.make_naive(moment)  # type: ignore[no-any-return]


def made(task: CronqTask, job_id: int, arguments: tuple[Sequence[Any], Mapping[str, Any]], now: int) -> Any:
    """Return the result of a task that was enqueued at the instant `now`."""
    args, kwargs = arguments
    return TaskResult(
        task=task,
        id=str(job_id),
        status=TaskResultStatus.READY,
        enqueued_at=when(to_datetime(now)),
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=task.backend,
        errors=[],
        worker_ids=[],
    )


def of(task: CronqTask, job: Job, attempts: Sequence[Attempt]) -> Any:
    """Return the result of a stored job with its attempts, oldest first."""
    args, kwargs = values.spread(values.restored(job.args or {}))
    first = next((each.started_at for each in attempts if each.started_at), None)
    result = TaskResult(
        task=task,
        id=str(job.id),
        status=STATUSES.get(State(job.state), TaskResultStatus.READY),
        enqueued_at=when(job.created_at),
        started_at=when(first or job.started_at),
        finished_at=when(job.finished_at),
        last_attempted_at=when(job.started_at),
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        errors=_errors(job, attempts),
        worker_ids=_workers(job, attempts),
    )
    if job.state == State.FINISHED:
        object.__setattr__(result, "_return_value", values.restored(job.result))
    return result


def _errors(job: Job, attempts: Sequence[Attempt]) -> list[Any]:
    failed = [each for each in attempts if each.error is not None]
    told = [TaskError(exception_class_path=path_of(each), traceback=_trace(each.error)) for each in failed]
    if job.state == State.CANCELLED and job.error is not None and not _is_told(job, attempts):
        told.append(TaskError(exception_class_path=_own("Cancelled"), traceback=job.error.message))
    return told


def _is_told(job: Job, attempts: Sequence[Attempt]) -> bool:
    return bool(attempts) and attempts[-1].finished_at == job.finished_at


def path_of(attempt: Attempt) -> str:
    """Return the import path of an attempt's exception; of a class of `cronq.errors` where it ended without one."""
    error = attempt.error
    return (error and error.path) or _own(error.kind if error else "")


def _own(kind: str) -> str:
    return f"cronq.errors.{kind if isinstance(getattr(errors, kind, None), type) else 'End'}"


def _trace(error: Failure | None) -> str:
    if error is None:
        return ""
    return error.traceback or f"{error.kind}: {error.message}"


def _workers(job: Job, attempts: Sequence[Attempt]) -> list[str]:
    """Return the worker of each attempt, also of the one that isn't recorded."""
    told = [each.worker or f"{each.host}-{each.pid}" for each in attempts]
    if job.state in _WITH_AN_ATTEMPT and job.attempt and not _is_recorded(job, attempts):
        told.append(job.worker or f"{job.host}-{job.pid}")
    return told


def _is_recorded(job: Job, attempts: Sequence[Attempt]) -> bool:
    return bool(attempts) and attempts[-1].started_at == job.started_at
