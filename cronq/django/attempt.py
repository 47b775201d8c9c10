"""Run one attempt of a Django task, with its signals, context and result, and with connections as for a request."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from django.db import Error, connections, reset_queries

from cronq.django import results, values
from cronq.django.api import TaskContext, TaskError, TaskResultStatus, normalize_json, task_finished, task_started
from cronq.django.backend import declared
from cronq.django.signals import send
from cronq.errors import InvalidInput, UnstorableResult
from cronq.execution.bounds import fault_of
from cronq.execution.job_context import claimed_job, current_job
from cronq.execution.verdict import verdict_of
from cronq.model.job import ENDED
from cronq.model.outcome import next_state
from cronq.model.retry import Policies
from cronq.tasks import serialisation
from cronq.tasks.callables import Target
from cronq.tasks.registry import Task
from cronq.times import to_datetime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cronq.django.backend import CronqBackend
    from cronq.django.task import CronqTask
    from cronq.tasks.registry import Registry


class Arguments:
    """The arguments of a Django task: neither bound to its signature nor converted by annotations."""

    def __init__(self, task: CronqTask) -> None:
        self._task = task

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments as a row has them. Raises InvalidInput for values that JSON doesn't have."""
        try:
            return values.packed(args, kwargs)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{self._task.module_path}: {error}") from None

    def bind_stored(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """Return the arguments as the JSON of a row. Raises InvalidInput as `bind` does."""
        return serialisation.dumps(self.bind(args, kwargs))

    def bind_text(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments from a shell: its strings, which are not converted."""
        return self.bind((), fields)

    def spread(self, arguments: Mapping[str, object]) -> tuple[Sequence[object], dict[str, object]]:
        """Return the positional arguments and the keywords of a row."""
        return values.spread(arguments)

    def cut(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return the fields of an event that the task has parameters for."""
        known = signature(self._task.func).parameters.values()
        if any(one.kind is one.VAR_KEYWORD for one in known):
            return dict(fields)
        names = {one.name for one in known}
        return {name: value for name, value in fields.items() if name in names}

    def describe(self) -> str:
        """Write the parameters as in source code."""
        return str(signature(self._task.func))


def task_of(found: CronqTask, backend: CronqBackend, registry: Registry) -> Task:
    """Return the task of cronq that runs a task of Django."""
    options = declared(found)
    run = partial(_run, _Attempts(found, backend, registry))
    defaults = {"queue": found.queue_name, "priority": results.NEUTRAL - found.priority}
    return Task(found.module_path, Target(run), _with(options, defaults), parameters=Arguments(found))


def _with(options: Any, defaults: Mapping[str, Any]) -> Any:
    return type(options)(**{**{name: getattr(options, name) for name in options.__slots__}, **defaults})


class _Attempts:
    """Begins and ends the attempts of one task: makes their results, and sends the signals."""

    def __init__(self, task: CronqTask, backend: CronqBackend, registry: Registry) -> None:
        self.task = task
        self.backend = backend
        self._registry = registry
        self.policies = Policies(backend.config, registry)

    def begin(self) -> Any:
        """Return the result of the job that runs, and send `task_started`."""
        job, worker = claimed_job(), self._registry.worker
        if job.attempt > 1 or job.spent_before or worker is None:  # the row and its history have the earlier attempts
            result = self.backend.get_result(str(job.id))
        else:  # a task that needs no database opens no connection
            result = self.backend.begun(self.task, job, worker)
        self._send(task_started, result)
        return result

    def succeed(self, result: Any, value: Any) -> None:
        """Complete the result, and send `task_finished` for a success."""
        object.__setattr__(result, "_return_value", value)
        self._end(result, TaskResultStatus.SUCCESSFUL)

    def fail(self, result: Any, error: BaseException) -> None:
        """Send `task_finished` if no retry follows this error."""
        job = claimed_job()
        now = self.backend.store.clock.now()
        outcome = verdict_of(error, now)
        if next_state(job, outcome, self.policies.of(job), chance=0.0).state not in ENDED:
            return
        kind = type(error)
        trace = (outcome.error and outcome.error.traceback) or f"{kind.__name__}: {error}"
        result.errors.append(TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=trace))
        self._end(result, TaskResultStatus.FAILED)

    def _end(self, result: Any, status: Any) -> None:
        object.__setattr__(result, "status", status)
        object.__setattr__(result, "finished_at", results.when(to_datetime(self.backend.store.clock.now())))
        self._send(task_finished, result)

    def _send(self, signal: Any, result: Any) -> None:
        for warning in send(signal, type(self.backend), result):
            current_job.warn(warning)


def _run(attempts: _Attempts, *args: Any, **kwargs: Any) -> Any:
    close_old_connections()
    blocks = open_blocks()
    result = None
    try:
        result = attempts.begin()
        given = (TaskContext(task_result=result), *args) if attempts.task.takes_context else args
        value = _kept(attempts.task.call(*given, **kwargs), attempts.backend.result_limit)
    except BaseException as error:
        roll_back(blocks)
        if result is not None:
            attempts.fail(result, error)
        raise
    else:
        if roll_back(blocks):
            current_job.warn("the task left a transaction open, which was rolled back")
        attempts.succeed(result, value)
        return value
    finally:
        close_old_connections()


def _kept(value: Any, limit: int) -> Any:
    """Return the value as it is stored. Raises UnstorableResult: a success must not have another value."""
    try:
        plain = normalize_json(value)
        fault = fault_of(serialisation.dump_value(plain), limit=limit)
    except (TypeError, ValueError, InvalidInput) as error:
        raise UnstorableResult(f"the result can't be stored: {error}") from None
    if fault is not None:
        raise UnstorableResult(f"the result can't be stored: {fault}")
    return plain


def close_old_connections() -> None:
    """Close connections that are broken or too old, as Django does around a request, but none in an atomic block."""
    reset_queries()
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or connection.in_atomic_block:
            continue
        if _is_usable(connection):
            connection.close_if_unusable_or_obsolete()
        else:  # Django checks only connections that had an error
            _close(connection)


def _is_usable(connection: Any) -> bool:
    if connection.vendor == "sqlite":  # Django reports each of these as usable
        try:
            return bool(connection.connection.total_changes >= 0)
        except connection.Database.Error:
            return False
    return bool(connection.is_usable())


def open_blocks() -> dict[str, int]:
    """Count the open atomic blocks by alias of the connection: a test that runs tasks has some."""
    return {one.alias: len(one.atomic_blocks) for one in connections.all(initialized_only=True)}


def roll_back(blocks: Mapping[str, int]) -> bool:
    """Roll back the transactions that a task left open; returns whether there were any.

    The atomic blocks counted in `blocks`, by alias, were open before and stay open.
    """
    left = False
    for connection in connections.all(initialized_only=True):
        for _ in connection.atomic_blocks[blocks.get(connection.alias, 0) :]:
            left = True
            connection.atomic_blocks[-1].__exit__(_LeftOpenError, _LeftOpenError(), None)
        if connection.connection is not None and not connection.in_atomic_block and not connection.get_autocommit():
            left = True
            _end_transaction(connection)
    return left


def _end_transaction(connection: Any) -> None:
    try:
        connection.rollback()
        connection.set_autocommit(True)
    except Error:
        _close(connection)


def _close(connection: Any) -> None:
    with suppress(Error):  # from PyMySQL, if the task has closed it; Django drops it all the same
        connection.close()


class _LeftOpenError(Exception):
    """Passed to an atomic block so that it rolls back; never raised."""
