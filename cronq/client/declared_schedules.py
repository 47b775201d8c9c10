"""Collect the schedules that a program and its configuration declare, with the options of their tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, TypeVar

from cronq.errors import ConfigError
from cronq.model.job import COMMAND_TASK
from cronq.schedules.definition import read, read_all, unite
from cronq.tasks import serialisation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from cronq.client.enqueueing import Enqueuer
    from cronq.config.loader import Config
    from cronq.schedules.definition import Definition

Handle = TypeVar("Handle")


class DeclaredSchedule(NamedTuple):
    """A schedule as a table, `@queue.cron` or `@queue.every` declares it: name, keys of its table, and place."""

    name: str
    table: Mapping[str, Any]
    where: str

    def read(self, config: Config) -> Definition:
        """Check it and return the definition. Raises ConfigError naming place, key and expectation."""
        return read(self.name, self.table, where=self.where, timezone=config.timezone)


class Scheduled(TypedDict, total=False):
    """The options of `@queue.cron` and `@queue.every`, as [schedules."name"] has them."""

    args: Mapping[str, Any]
    timezone: str
    queue: str
    priority: int
    group: str
    key: str
    unique: bool
    max_attempts: int
    time_limit: str | float
    jitter: str | float
    catch_up: str
    catch_up_window: str | float
    catch_up_max: int
    overlap: str
    start: str | datetime
    end: str | datetime
    enabled: bool
    was: str
    alert_after: int


def declaring(
    enqueuer: Enqueuer, name: str | None, table: Mapping[str, Any], decorator: str
) -> Callable[[Handle], Handle]:
    """Make the decorator that adds a schedule to a task; without `name` it has the name of the task.

    The decorator raises ConfigError for a bad schedule, and for an object that is no task.
    """

    def declare(handle: Handle) -> Handle:
        task = enqueuer.registry.get(getattr(handle, "name", ""))
        if task is None:
            raise ConfigError(f"{decorator}: {handle!r} is no task: {decorator} goes above @queue.task")
        declared = DeclaredSchedule(name or task.name, {"task": task.name, **table}, f"{decorator} of {task.name}")
        declared.read(enqueuer.config)
        enqueuer.schedules.append(declared)
        return handle

    return declare


def tables(config: Config) -> list[DeclaredSchedule]:
    """Return the schedules that the configuration declares, by name."""
    where = config.origins["schedules"].removeprefix("file ")
    return [DeclaredSchedule(name, config.schedules[name], where) for name in sorted(config.schedules)]


def definitions(enqueuer: Enqueuer) -> list[Definition]:
    """Return all schedules that this host declares, by name.

    Raises ConfigError for a bad one, naming its place, and for a name that is declared twice.
    """
    config = enqueuer.config
    decorated = [one.read(config) for one in enqueuer.schedules]
    return [one.filled(enqueuer.template(one.task)) for one in unite(read_all(config), decorated)]


def misfit(definition: Definition, enqueuer: Enqueuer) -> str | None:
    """Return why the app can't run the job of a schedule: an unknown task, or arguments that don't fit; else None."""
    if definition.task == COMMAND_TASK:
        return None
    try:
        enqueuer.prepare(definition.task, serialisation.loads(json.dumps(definition.args)), {})
    except Exception as error:  # also an error of importing a module under `allow`
        return str(error) or type(error).__name__
    return None
