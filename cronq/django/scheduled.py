"""Declare schedules above the tasks of a Django project: `@cron("30 2 * * *")` and `@every("15m")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cronq.django.api import InvalidTask, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Unpack

    from cronq.app import Cronq
    from cronq.client.declared_schedules import Scheduled
    from cronq.tasks.registry import Registry

T = TypeVar("T")


class _Handle(NamedTuple):
    """The name of a task, in the form that the decorators of a Cronq object take."""

    name: str


_declared: list[tuple[str, Callable[[Cronq], Any]]] = []
"""The path of each task that has a schedule, and the function that makes the decorator which declares it."""


def cron(*expressions: str, name: str | None = None, **options: Unpack[Scheduled]) -> Callable[[T], T]:
    """Enqueue a task at the times of cron expressions: `@cron("30 2 * * *")` above `@task`.

    The options are those of `Cronq.cron`; the first run and `cronq schedules check` report wrong ones. Raises
    InvalidTask if it is not above `@task`.
    """
    return _decorator("cron", lambda queue: queue.cron(*expressions, name=name, **options))


def every(
    interval: str | float | timedelta, *, name: str | None = None, **options: Unpack[Scheduled]
) -> Callable[[T], T]:
    """Enqueue a task at an interval, of seconds if it is a number: `@every("15m")` above `@task`; else as `cron`."""
    return _decorator("every", lambda queue: queue.every(interval, name=name, **options))


def _decorator(word: str, declaring: Callable[[Cronq], Any]) -> Callable[[T], T]:
    def declare(task: T) -> T:
        if not isinstance(task, Task):
            raise InvalidTask(f"@{word}: {task!r} is no task: @{word} goes above @task")
        _declared.append((task.module_path, declaring))
        return task

    return declare


def declare_on(queue: Cronq, registry: Registry) -> None:
    """Declare all schedules on the Cronq object of runners, for tasks that `registry` finds. Raises ConfigError."""
    for path, declaring in _declared:
        registry.resolve(path)
        declaring(queue)(_Handle(path))
