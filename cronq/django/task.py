"""Define Django's Task with the options that cronq adds, and find a task by its path."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any

from cronq.client.job_options import declared
from cronq.django.api import InvalidTask, Task
from cronq.errors import ConfigError

OPTIONS = ("max_attempts", "time_limit", "base", "cap", "group", "key", "unique")
"""The options that `@task(…)` and `using(…)` take besides Django's own."""

_DECLARED = ("max_attempts", "time_limit", "base", "cap")


@dataclass(frozen=True, slots=True, kw_only=True)
class CronqTask(Task):
    """A task of a Django project; durations are seconds or texts like "15m"."""

    max_attempts: int | None = None
    time_limit: float | str | None = None
    base: float | str | None = None
    cap: float | str | None = None
    group: str | None = None
    key: str | None = None
    unique: bool = False

    def using(self, **options: Any) -> CronqTask:
        """Return a copy of the task with other options, Django's or those of cronq. Raises InvalidTask."""
        own = {name: options.pop(name) for name in OPTIONS if options.get(name) is not None}
        changed: CronqTask = Task.using(self, **options)
        return replace(changed, **own) if own else changed


def check(task: CronqTask) -> None:
    """Raise InvalidTask for an option that cronq can't use, and for `unique` without a key."""
    given = {name: getattr(task, name) for name in _DECLARED}
    try:
        declared(given, where=task.func.__qualname__)
    except ConfigError as error:
        raise InvalidTask(str(error)) from None
    if task.unique and task.key is None:
        raise InvalidTask(f"{task.func.__qualname__}: unique: a job can only be unique by its key, and it has none")


def with_values(task: CronqTask, **values: Any) -> CronqTask:
    """Return a copy of the task with the values of a row, unchecked: the present settings may not allow them."""
    copied = object.__new__(type(task))
    for field in fields(task):
        object.__setattr__(copied, field.name, values.get(field.name, getattr(task, field.name)))
    return copied


class NoTaskError(ImportError):
    """There is no task at a path."""


def by_path(path: str) -> CronqTask:
    """Return the task at a path such as `shop.tasks.mail`. Raises NoTaskError if there is none."""
    module, names = _module_of(path)
    found: Any = module
    for name in names:
        found = getattr(found, name, None)
    if not isinstance(found, Task):
        raise NoTaskError(f"{path} is no task: `@task` of {Task.__module__.partition('.base')[0]} makes one")
    return found  # type: ignore[no-any-return]


def _module_of(path: str) -> tuple[Any, list[str]]:
    """Import the longest part of the path that is a module; returns it and the names after it."""
    if not all(part.isidentifier() for part in path.split(".")):
        raise NoTaskError(f"{path} is not the path of a task")
    name, _, rest = path.rpartition(".")
    names = [rest]
    while name:
        try:
            return sys.modules.get(name) or import_module(name), names
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            name, _, rest = name.rpartition(".")
            names.insert(0, rest)
    raise NoTaskError(f"there is no module for {path}")
