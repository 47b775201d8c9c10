"""Find the schedules about which a notice is due.

One notice is due when a schedule had no success in `alert_after` due times, and one when it has success again.
"""

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
"""The number of decisions that are read beyond `alert_after`: unfinished and cancelled jobs don't count."""


class Alert(NamedTuple):
    """A notice that is due: a schedule fails, or has success again."""

    schedule: str
    task: str
    queue: str
    failures: int
    """The number of newest due times without success; 0 if the schedule has success again."""


def alerts(store: Store) -> Iterator[Alert]:
    """Yield the alerts that are due now; each is recorded first, so that only one process yields it."""
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
    """Return the number of newest due times without success, and whether the one before them had success.

    Unfinished and cancelled jobs are skipped; a job that has been deleted counts as finished.
    """
    failures = 0
    for one in outcomes:
        if one.outcome == ENQUEUED and one.state in (None, State.FINISHED):
            return failures, True
        if one.outcome != ENQUEUED or one.state == State.FAILED:
            failures += one.times
        elif one.state not in UNFINISHED and one.state != State.CANCELLED:
            return failures, False
    return failures, False
