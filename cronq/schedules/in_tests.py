"""Fire schedules in the tests of a program, without waiting for due times."""

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
    """Decide each due time up to an instant as a worker would at that moment; returns the number of jobs enqueued.

    A clock with a method `set` is set to each due time in turn, and then to the instant.
    """
    firing, jobs = Firing(store), 0
    set_clock = getattr(clock, "set", None)
    Declaring(store, firing, source="the program").declare(definitions)
    while (due := next_due(store.tables)) is not None and due <= until:
        if set_clock is not None and due > clock.now():
            set_clock(iso(due))
        fired = firing.fire_all(due)
        if next_due(store.tables) == due:  # it can't be fired, and the reason is logged
            break
        jobs += fired
    if set_clock is not None and until > clock.now():
        set_clock(iso(until))
    return jobs
