"""Schedules that had no success in `alert_after` due times: people are told once, and once when it is well again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.errors import ConfigError
from cronq.model.job import UNFINISHED, State
from cronq.model.schedule import ENQUEUED
from cronq.schedules.definition import Definition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cronq.model.schedule import StoredSchedule
    from cronq.storage.schedules import LedgerEntry
    from cronq.store import Store

_BESIDE = 20
"""Decisions that are looked at beside those that count: jobs that haven't ended, or were cancelled."""


class Alert(NamedTuple):
    """A schedule fails, or is well again."""

    schedule: str
    task: str
    queue: str
    failures: int
    """Due times without success; 0 when it is well again."""


def alerts(store: Store) -> Iterator[Alert]:
    """What people are to be told now; each is given to one asker only."""
    for schedule in store.schedules.watched():
        try:
            definition = Definition.from_json(schedule.name, schedule.definition)
        except ConfigError:
            continue  # a newer cronq wrote it
        alert = _alert(store, schedule, definition)
        if alert is not None:
            yield alert


def _alert(store: Store, schedule: StoredSchedule, definition: Definition) -> Alert | None:
    after = definition.alert_after
    failures, succeeded = 0, False
    if after is not None:
        failures, succeeded = _in_a_row(store.schedules.outcomes(schedule.name, limit=after + _BESIDE))
    alert = Alert(schedule.name, definition.task, definition.queue or "", failures)
    if schedule.alerted_at is None:
        fails = after is not None and failures >= after and not schedule.is_paused(store.clock.now())
        return alert if fails and store.schedules.mark_alerted(schedule.name, since=store.clock.now()) else None
    is_well = after is None or (succeeded and not failures)
    return alert if is_well and store.schedules.mark_alerted(schedule.name, since=None) else None


def _in_a_row(outcomes: Iterable[LedgerEntry]) -> tuple[int, bool]:
    """How many of the newest due times had no success, and whether one before them had."""
    failures = 0
    for one in outcomes:
        if one.outcome == ENQUEUED and one.state in (None, State.FINISHED):
            return failures, True
        if one.outcome != ENQUEUED or one.state == State.FAILED:
            failures += one.times
        elif one.state not in UNFINISHED and one.state != State.CANCELLED:
            return failures, False
    return failures, False
