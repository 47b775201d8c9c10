"""Convert jobs and attempts to the rows that statements take, and back from the rows that they return."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cronq import errors
from cronq.model.job import COMMAND_TASK, ENDED, RARE, Attempt, Claimed, Failure, Job, NewJob, State
from cronq.model.outcome import Outcome, is_own_crash
from cronq.storage import damage
from cronq.storage.sql.columns import AGAIN_FIELDS, ATTEMPT_FIELDS, FINISHED, GIVEN_FIELDS, JOB_FIELDS, USUAL_FIELDS
from cronq.times import local_time, to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from cronq.model.outcome import Settlement
    from cronq.storage.drivers.database import Row

RECORDED = frozenset({"error", "timeout", "crashed"})
"""Outcomes that leave a row in the job's history."""


def _reading(fields: Iterable[str], of: type[NewJob | Claimed | Outcome]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that reads these fields: by their places, which takes half the time."""
    return itemgetter(*map(of._fields.index, fields))


_given, _usual = _reading(GIVEN_FIELDS, NewJob), _reading(USUAL_FIELDS, NewJob)
_finished, _fence = _reading(FINISHED, Outcome), _reading(("id", "token"), Claimed)
_NOTHING_RARE = NewJob("")[RARE:]


def new_row(job: NewJob, now: int, *, blocked: bool = False) -> tuple[Any, ...]:
    """Make the row for `enqueue`, with the job's first state; `blocked` says whether another job holds its group."""
    available_at = now if job.available_at is None else job.available_at
    state = _first_state(job, due=available_at <= now, blocked=blocked)
    made = state, available_at, now, job.key if job.unique else None, int(job.unique)
    return made + _given(job)  # with a star, each row takes longer


def _first_state(job: NewJob, *, due: bool, blocked: bool) -> str:
    if job.after or (job.limit and due):
        return "pending"
    return ("blocked" if blocked else "ready") if due else "scheduled"


def usual_row(job: NewJob, now: int) -> tuple[Any, ...] | None:
    """Make the row for `enqueue_usual`; None for a job with a key, a group or settings of its own."""
    if job.key is not None or job.group is not None or job[RARE:] != _NOTHING_RARE:
        return None
    available_at = now if job.available_at is None else job.available_at
    made = "scheduled" if available_at > now else "ready", available_at, now
    return made + _usual(job)


def again(values: Iterable[Any]) -> NewJob:
    """Make a new job, due at once, from the values of AGAIN_FIELDS of a stored one."""
    fields = dict(zip(AGAIN_FIELDS, values, strict=True))
    return NewJob(**{**fields, "unique": bool(fields["unique"])})


def is_plain(settlement: Settlement) -> bool:
    """Tell whether `finish` is enough: a first attempt succeeded without output, result or notes, and has no key."""
    job, outcome = settlement.job, settlement.outcome
    return (
        outcome.kind == "success"
        and job.attempt == 1
        and outcome.result is None
        and outcome.stdout is None
        and outcome.stderr is None
        and outcome.notes is None
        and job.key is None
        and not job.snoozes
        and not job.spent_before
    )


def finished_row(settlement: Settlement) -> tuple[Any, ...]:
    """Make the row for `finish`, for a plain success."""
    return _finished(settlement.outcome) + _fence(settlement.job)


def settled_row(settlement: Settlement) -> tuple[Any, ...]:
    """Make the row for `settle`, in the order of its columns."""
    job, outcome, following, _, _ = settlement
    state = following.state
    ended = state in ENDED
    waiting = state is State.WAITING
    refused = outcome.verdict == "refused"
    error = following.error
    if state is State.READY and not following.spent:
        # A returned job: its next attempt starts with a clean row; only the history has this one, if it was cut off.
        outcome, error = Outcome("", outcome.started_at, outcome.finished_at, notes=outcome.notes), None
    return (
        state.value,
        following.available_at,
        0 if following.spent else 1,
        1 if waiting else 0,
        1 if is_own_crash(outcome) else 0,
        (job.waiting_since or outcome.finished_at) if waiting and not refused else None if ended else job.waiting_since,
        (job.unknown_since or outcome.finished_at) if refused or outcome.verdict == "unknown" else None,
        outcome.started_at,
        outcome.finished_at if ended else None,
        outcome.kind or None,
        error and error.kind,
        error and error.message,
        outcome.result,
        json.dumps(outcome.warnings) if outcome.warnings else None,
        json.dumps(outcome.notes) if outcome.notes is not None else job.notes,
        outcome.stdout,
        outcome.stderr,
        outcome.pid,
        outcome.peak_memory,
        outcome.memory_before,
        outcome.cpu_time,
        ended,
        job.id,
        job.token,
    )


def attempt_row(settlement: Settlement, host: str) -> tuple[Any, ...]:
    """Make the row for `record_attempt`: the job's id and the values of ATTEMPT_FIELDS."""
    job, outcome = settlement.job, settlement.outcome
    error = outcome.error
    return (
        job.id, job.spent_before + job.attempt, outcome.kind, outcome.started_at, outcome.finished_at, host,
        outcome.pid, outcome.exit_status, outcome.signal, error and error.kind, error and error.message,
        error and error.traceback, outcome.stdout, outcome.stderr, settlement.worker, error and _path(error),
    )  # fmt: skip


def _path(error: Failure) -> str | None:
    """Return the import path of the error's class; for an end without an exception, that of a class in cronq.errors."""
    if error.path is None and hasattr(errors, error.kind):
        return f"{errors.__name__}.{error.kind}"
    return error.path


def by_group(settlements: Iterable[Settlement]) -> dict[str, list[Settlement]]:
    """Return the settlements of jobs in groups, by group, in the given order."""
    groups: dict[str, list[Settlement]] = {}
    for settlement in settlements:
        if settlement.job.group is not None:
            groups.setdefault(settlement.job.group, []).append(settlement)
    return groups


def job(row: Row) -> Job:
    """Make a job from a row of JOB_FIELDS and the id of the job that blocks it; unreadable values become warnings."""
    try:
        if all(type(value) in kinds for value, kinds in zip(row, damage.KINDS, strict=True)):
            return _sound_job(row)
    except damage.UNREADABLE:  # damaged, or written by hand
        pass
    readable, said = damage.readable_job(row)
    mended = _sound_job(readable)
    return mended._replace(warnings=(*said, *mended.warnings))


def _sound_job(row: Row) -> Job:
    fields = dict(zip((*JOB_FIELDS, "blocked_by"), row, strict=True))
    for name, convert in _CONVERTED.items():
        fields[name] = convert(fields[name])
    fields["command"] = fields["args"].pop("command", None) if fields["task"] == COMMAND_TASK else None
    fields["error"] = _failure(fields.pop("error_class"), fields.pop("error_message"))
    return Job(**fields)


def attempt(row: Row) -> Attempt:
    """Make an attempt from a row of `history`."""
    fields = dict(zip(ATTEMPT_FIELDS, row, strict=True))
    for name in ("started_at", "finished_at"):
        fields[name] = _when_readable(fields[name])
    error = _failure(*map(fields.pop, ("error_class", "error_message", "traceback", "error_path")))
    return Attempt(**fields, error=error)


def _failure(
    kind: str | None, message: str | None, traceback: str | None = None, path: str | None = None
) -> Failure | None:
    return None if kind is None else Failure(kind, message or "", traceback, path)


def _when(instant: int | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)


def _when_readable(instant: Any) -> datetime | None:
    try:
        return _when(instant)
    except damage.UNREADABLE:
        return None


def _object(text: str | None) -> dict[str, Any] | None:
    found = _parsed(text)
    if found is not None and not isinstance(found, dict):
        raise TypeError(found)
    return found


def _texts(text: str | None) -> Sequence[str]:
    found = _parsed(text) or ()
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise TypeError(found)
    return found


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "args": _object,
    "unique": bool,
    "created_at": to_datetime,
    "available_at": to_datetime,
    "started_at": _when,
    "finished_at": _when,
    "result": _parsed,
    "retry": _object,
    "notes": _object,
    "warnings": _texts,
    "scheduled_for": local_time,
}
"""The functions that convert a column to the field of a job, where these differ."""
