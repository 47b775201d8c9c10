"""Schedules on every engine: declared, fired, decided once, kept in the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from cronq.model.schedule import Decided, StoredSchedule
from cronq.model.selection import Selection
from cronq.schedules.declaring import Declaring
from cronq.schedules.definition import Definition, read
from cronq.schedules.firing import Firing
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import SECOND, iso
from tests.contract.steps import claim, finish

HOUR = 3600 * SECOND
DAY = 24 * HOUR


def nightly(**fields: Any) -> Definition:
    return read("nightly", {"cron": "30 2 * * *", "task": "t", **fields}, where="the test")


def declare(store: Store, *definitions: Definition, host: str = "", anew: bool = False) -> list[str]:
    """Say these, and no others, as one host."""
    saying = Declaring(store, Firing(store), source="cronq.toml")
    saying._host = host or saying._host
    return saying.declare(definitions, anew=anew)


def fire(store: Store) -> int:
    return Firing(store).fire_all(store.clock.now())


def row(store: Store, name: str = "nightly") -> StoredSchedule:
    found = store.schedules.get(name)
    assert found is not None
    return found


def ledger(store: Store, name: str = "nightly") -> list[tuple[str, str, int]]:
    """The decisions, oldest first: due time, outcome, how many."""
    return [(iso(one.fire_at)[:16], one.outcome, one.times) for one in reversed(store.schedules.ledger(name))]


def jobs(store: Store) -> list[str]:
    """The due times of all jobs of schedules, oldest first."""
    found = [job for job in reversed(store.jobs.find(Selection())) if job.scheduled_for]
    return [f"{job.scheduled_for:%Y-%m-%dT%H:%M}" for job in found]


def test_a_due_time_is_enqueued_once(store: Store, other: Store, clock: ManualClock) -> None:
    assert declare(store, nightly(timezone="Europe/Prague")) == ["nightly"]
    assert (fire(store), iso(row(store).next_at or 0)) == (0, "2026-01-01T01:30:00.000000Z")
    clock.set("2026-01-01T01:30:01Z")
    looked = row(other)
    assert (fire(store), fire(other)) == (1, 0)
    (job,) = store.jobs.find(Selection())
    assert (job.schedule, str(job.scheduled_for)) == ("nightly", "2026-01-01 02:30:00+01:00")
    assert claim(store)[0].scheduled_for == "2026-01-01T02:30:00+01:00[Europe/Prague]"
    (decided,) = store.schedules.ledger("nightly")
    assert decided == Decided(
        "nightly", looked.next_at or 0, looked.next_at or 0, 1, "enqueued", None, job.id, SECOND, *decided[-2:]
    )
    assert store.schedules.decision_of(job.id) == decided
    assert iso(row(store).next_at or 0) == "2026-01-02T01:30:00.000000Z"


def test_who_read_the_row_before_another_decided_decides_nothing(
    store: Store, other: Store, clock: ManualClock
) -> None:
    declare(store, nightly(overlap="allow"))
    clock.advance("3h")
    looked = row(other)
    fire(store)
    assert Firing(other)._fire(looked, clock.now()) == 0
    assert len(store.jobs.find(Selection())) == 1


@pytest.mark.parametrize(
    ("catch_up", "decided"),
    [
        ("none", [("2026-01-15T02:30", "missed", 14)]),
        ("latest", [("2026-01-14T02:30", "missed", 13), ("2026-01-15T02:30", "enqueued", 1)]),
        ("all", [("2026-01-14T02:30", "missed", 13), ("2026-01-15T02:30", "enqueued", 1)]),
    ],
)
def test_after_two_weeks_off_there_is_no_flood(
    store: Store, clock: ManualClock, catch_up: str, decided: list[tuple[str, str, int]]
) -> None:
    declare(store, nightly(catch_up=catch_up, overlap="allow"))
    clock.advance("1d")
    fire(store)
    clock.set("2026-01-15T12:00:00Z")
    fire(store)
    assert ledger(store)[1:] == decided


def test_a_repetition_is_skipped_while_a_job_is_unfinished(store: Store, clock: ManualClock) -> None:
    declare(store, nightly())
    for _ in range(2):
        clock.advance("1d")
        fire(store)
    assert [one[1] for one in ledger(store)] == ["enqueued", "skipped"]
    assert store.schedules.ledger("nightly")[0].reason == "job 1 is unfinished"
    finish(store, claim(store))
    clock.advance("1d")
    fire(store)
    assert len(jobs(store)) == 2


def test_repetitions_queue_up_to_the_limit(store: Store, clock: ManualClock) -> None:
    declare(store, nightly(overlap="queue", catch_up_max=2))
    for _ in range(4):
        clock.advance("1d")
        fire(store)
    assert [one[1] for one in ledger(store)] == ["enqueued", "enqueued", "skipped", "skipped"]
