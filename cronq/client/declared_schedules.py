"""The schedules that a program and its configuration declare, with the options of their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from cronq.errors import ConfigError
from cronq.schedules.definition import read, read_all, unite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cronq.client.enqueueing import Enqueuer
    from cronq.config.loader import Config
    from cronq.schedules.definition import Definition


class Decorated(NamedTuple):
    """What `@queue.cron` or `@queue.every` says: a schedule's name, and the keys that its table would have."""

    name: str
    table: Mapping[str, Any]
    where: str


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


def declare(enqueuer: Enqueuer, handle: object, name: str | None, table: Mapping[str, Any], *, decorator: str) -> None:
    """Add the schedule of a decorated task, named as the task unless it has a name. Raises ConfigError."""
    task = enqueuer.registry.get(getattr(handle, "name", ""))
    if task is None:
        raise ConfigError(f"{decorator}: {handle!r} is no task: {decorator} goes above @queue.task")
    declared = Decorated(name or task.name, {"task": task.name, **table}, f"{decorator} of {task.name}")
    _check(declared, enqueuer.config)
    enqueuer.schedules.append(declared)


def _check(declared: Decorated, config: Config) -> Definition:
    return read(declared.name, declared.table, where=declared.where, timezone=config.timezone)


def definitions(enqueuer: Enqueuer) -> list[Definition]:
    """All schedules that this host declares, by name.

    Raises ConfigError for a bad one, naming where it stands, and for a name that is declared twice.
    """
    config = enqueuer.config
    decorated = [_check(one, config) for one in enqueuer.schedules]
    return [one.filled(enqueuer.template(one.task)) for one in unite(read_all(config), decorated)]
