"""The schedules that a program and its configuration declare, with the options of their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

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


def check(declared: Decorated, config: Config) -> Definition:
    """Return the definition of one decorated schedule. Raises ConfigError."""
    return read(declared.name, declared.table, where=declared.where, timezone=config.timezone)


def definitions(enqueuer: Enqueuer) -> list[Definition]:
    """All schedules that this host declares, by name.

    Raises ConfigError for a bad one, naming where it stands, and for a name that is declared twice.
    """
    config = enqueuer.config
    decorated = [check(one, config) for one in enqueuer.schedules]
    return [one.filled(enqueuer.template(one.task)) for one in unite(read_all(config), decorated)]
