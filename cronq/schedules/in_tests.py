"""Schedules in the tests of a program: time passes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.schedules.declaring import Declaring
from cronq.schedules.firing import Firing
from cronq.storage.schedule_checks import next_due
from cronq.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.schedules.definition import Definition
    from cronq.store import Store
    from cronq.times import Clock


def fire_until(store: Store, definitions: Sequence[Definition], until: int, clock: Clock) -> int:
    """Decide each due time up to an instant as if a worker had looked at that moment; returns how many jobs that gave.

    A clock that can be set goes from due time to due time, and then to the instant.
    """
    firing, jobs = Firing(store), 0
    set_clock = getattr(clock, "set", None)
    Declaring(store, firing, source="the program").declare(definitions)
    while (due := next_due(store.tables)) is not None and due <= until:
        if set_clock is not None and due > clock.now():
            set_clock(iso(due))
        fired = firing.fire_all(due)
        if next_due(store.tables) == due:  # it can't be fired: the log says why
            break
        jobs += fired
    if set_clock is not None and until > clock.now():
        set_clock(iso(until))
    return jobs
