"""Define steps of tests on schedules: declare, fire, read the ledger."""

from __future__ import annotations

from typing import Any

from cronq.model.schedule import StoredSchedule
from cronq.model.selection import Selection
from cronq.schedules.declaring import Declaring
from cronq.schedules.definition import Definition, read
from cronq.schedules.firing import Firing
from cronq.store import Store
from cronq.times import iso


def schedule(name: str = "nightly", **fields: Any) -> Definition:
    """Return a definition, due at 02:30 UTC by default."""
    when = {} if "every" in fields else {"cron": "30 2 * * *"}
    return read(name, {**when, "task": "t", **fields}, where="the test")


def declare(
    store: Store, *definitions: Definition, host: str | None = None, anew: bool = False, for_all: bool = False
) -> list[str]:
    """Declare these definitions, and no others, as one host; return the names of the schedules that changed."""
    saying = Declaring(store, Firing(store), source="cronq.toml", for_all=for_all)
    if host is not None:
        saying._host = host
    return saying.declare(definitions, anew=anew)


def fire(store: Store) -> int:
    """Decide all due times; return the number of jobs."""
    return Firing(store).fire_all(store.clock.now())


def stored(store: Store, name: str = "nightly") -> StoredSchedule:
    """Return the row of a schedule, which must exist."""
    found = store.schedules.get(name)
    assert found is not None
    return found


def following(store: Store, name: str = "nightly") -> str:
    """Return the next due time, to the minute."""
    instant = stored(store, name).next_at
    return "" if instant is None else iso(instant)[:16]


def ledger(store: Store, name: str = "nightly") -> list[tuple[str, str, int]]:
    """Return the decisions, oldest first: due time, outcome, number."""
    return [(iso(one.fire_at)[:16], one.outcome, one.times) for one in reversed(store.schedules.ledger(name))]


def due_times(store: Store) -> list[str]:
    """Return the due times of all jobs of schedules in UTC, oldest job first."""
    found = [job.scheduled_for for job in reversed(store.jobs.find(Selection()))]
    return [f"{when:%Y-%m-%dT%H:%M}" for when in found if when]
