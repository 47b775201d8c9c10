"""Schedules on each database: fired, decided once, kept in the ledger."""

from __future__ import annotations

import pytest

from cronq.config.loader import Config
from cronq.model.schedule import Decided, StoredSchedule
from cronq.model.selection import Selection
from cronq.monitoring.schedules import views
from cronq.schedules.alerts import alerts
from cronq.schedules.by_hand import ByHand
from cronq.schedules.firing import Firing
from cronq.schedules.unable import Unable
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import SECOND, iso
from tests.contract.schedule_steps import declare, due_times, fire, following, ledger, schedule, stored
from tests.contract.steps import claim, end, finish


def test_a_due_time_is_enqueued_once(store: Store, other: Store, clock: ManualClock) -> None:
    assert declare(store, schedule(timezone="Europe/Prague")) == ["nightly"]
    assert (fire(store), following(store)) == (0, "2026-01-01T01:30")
    clock.set("2026-01-01T01:30:01Z")
    due = stored(other).next_at or 0
    assert (fire(store), fire(other)) == (1, 0)
    (job,) = store.jobs.find(Selection())
    assert (job.schedule, str(job.scheduled_for)) == ("nightly", "2026-01-01 02:30:00+01:00")
    assert claim(store)[0].scheduled_for == "2026-01-01T02:30:00+01:00[Europe/Prague]"
    (decided,) = store.schedules.ledger("nightly")
    assert decided == Decided("nightly", due, due, 1, "enqueued", None, job.id, SECOND, *decided[-2:])
    assert following(store) == "2026-01-02T01:30"


def test_who_read_the_row_before_another_decided_decides_nothing(
    store: Store, other: Store, clock: ManualClock
) -> None:
    declare(store, schedule(overlap="allow"))
    clock.advance("3h")
    looked = stored(other)
    fire(store)
    assert Firing(other)._fire(looked, clock.now()) == 0
    assert len(due_times(store)) == 1


def test_what_the_ledger_has_is_not_enqueued_again_after_a_reset(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(overlap="allow"))
    clock.set("2026-01-02T12:00:00Z")
    fire(store)
    clock.set("2026-01-01T00:00:00Z")  # the clock was put back
    assert (fire(store), following(store)) == (0, "2026-01-03T02:30")
    ByHand(store, "nightly").reset()
    assert following(store) == "2026-01-01T02:30"
    clock.set("2026-01-02T02:31:00Z")
    fire(store)
    assert due_times(store) == ["2026-01-02T02:30"]
    assert following(store) == "2026-01-03T02:30"


@pytest.mark.parametrize(
    ("catch_up", "decided"),
    [
        ("none", [("2026-01-15T02:30", "missed", 14)]),
        ("latest", [("2026-01-14T02:30", "missed", 13), ("2026-01-15T02:30", "enqueued", 1)]),
        ("all", [("2026-01-14T02:30", "missed", 13), ("2026-01-15T02:30", "enqueued", 1)]),
    ],
)
def test_two_weeks_off_are_no_flood(  # river#1035
    store: Store, clock: ManualClock, catch_up: str, decided: list[tuple[str, str, int]]
) -> None:
    declare(store, schedule(catch_up=catch_up, overlap="allow"))
    clock.advance("1d")
    fire(store)
    clock.set("2026-01-15T12:00:00Z")
    fire(store)
    assert ledger(store)[1:] == decided


def test_all_catches_up_oldest_first_within_window_and_number(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(every="1h", catch_up="all", catch_up_window="10h", catch_up_max=3, overlap="allow"))
    clock.set("2026-01-03T00:30:00Z")
    fire(store)
    assert due_times(store) == ["2026-01-02T22:00", "2026-01-02T23:00", "2026-01-03T00:00"]
    assert ledger(store)[0] == ("2026-01-02T21:00", "missed", 45)


def test_over_a_million_missed_times_are_no_error(store: Store, clock: ManualClock) -> None:  # kubernetes#42649
    declare(store, schedule(every="1s", overlap="allow"))
    clock.advance("14d")
    assert fire(store) == 1
    assert [(one[1], one[2]) for one in ledger(store)] == [("missed", 10_000), ("enqueued", 1)]
    assert stored(store).last_at == clock.now()


def test_a_repetition_is_skipped_while_a_job_is_unfinished(store: Store, clock: ManualClock) -> None:
    declare(store, schedule())
    for _ in range(2):
        clock.advance("1d")
        fire(store)
    assert [one[1] for one in ledger(store)] == ["enqueued", "skipped"]
    assert store.schedules.ledger("nightly")[0].reason == "job 1 is unfinished"
    finish(store, claim(store))
    clock.advance("1d")
    fire(store)
    assert len(due_times(store)) == 2


def test_repetitions_queue_up_to_the_limit(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(overlap="queue", catch_up_max=2))
    for _ in range(4):
        clock.advance("1d")
        fire(store)
    assert [one[1] for one in ledger(store)] == ["enqueued", "enqueued", "skipped", "skipped"]


def test_jitter_delays_the_job_and_not_the_due_time(store: Store, other: Store, clock: ManualClock) -> None:
    declare(store, schedule(jitter="1h"))
    row = stored(store)
    assert row.next_at is not None
    assert row.due_at is not None
    assert 0 < row.due_at - row.next_at < 3600 * SECOND
    clock.set(iso(row.due_at - 1))
    assert fire(store) == 0
    clock.set(iso(row.due_at))
    assert fire(other) == 1
    assert due_times(store) == ["2026-01-01T02:30"]
    again = stored(store)
    assert (again.due_at or 0) - (again.next_at or 0) == row.due_at - row.next_at


def test_jitter_ends_before_the_next_due_time(store: Store) -> None:
    declare(store, schedule(every="10s", jitter="10h"))
    row = stored(store)
    assert (row.due_at or 0) - (row.next_at or 0) <= 9 * SECOND


def test_old_decisions_are_pruned_but_for_the_newest(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(overlap="allow"))
    for _ in range(30):
        clock.advance("1d")
        fire(store)
    assert store.schedules.prune(before=clock.now() + 1) == 10
    assert len(ledger(store)) == 20


def test_a_zone_that_a_host_does_not_know_stops_no_other_schedule(
    store: Store, config: Config, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    declare(store, schedule("good"), schedule("bad"))
    row = stored(store, "bad")
    definition = row.definition.replace('"UTC"', '"Mars/Olympus"')
    database = store._tables.open()
    database.execute("UPDATE cronq_schedules SET definition = ? WHERE name = 'bad'", (definition,))
    clock.advance("1d")

    def fired() -> int:
        """As one run of cron does, in a process of its own."""
        return Firing(store, Unable(config)).fire_all(clock.now())

    def logged() -> int:
        return len([record for record in caplog.messages if "schedule bad can't be fired on this host" in record])

    assert (fired(), fired()) == (1, 0)
    assert logged() == 1
    assert ledger(store, "bad") == []
    mended = "UPDATE cronq_schedules SET definition = replace(definition, 'Mars/Olympus', 'UTC') WHERE name = 'bad'"
    database.execute(mended)
    assert (fired(), logged()) == (1, 1)
    database.execute("UPDATE cronq_schedules SET definition = ? WHERE name = 'bad'", (definition,))
    clock.advance("1d")
    fired()
    assert logged() == 2


DAMAGED = [
    "[]",
    "null",
    "{",
    '{"task":"t","args":{},"cron":["* * * * *"],"newer":1}',
    '{"task":"t","args":{},"every":1e300}',
    '{"task":"t","args":{},"cron":5}',
    '{"task":"t","args":{},"cron":[5]}',
    '{"task":"t","args":"x","cron":["* * * * *"]}',
    '{"task":"t","args":{"a":"\\ud800"},"cron":["* * * * *"]}',
    '{"args":{},"cron":["* * * * *"]}',
    *(
        f'{{"task":"t","args":{{}},"cron":["* * * * *"],"{key}":{value}}}'
        for key in ("timezone", "jitter", "start", "catch_up_window", "alert_after", "overlap", "priority", "enabled")
        for value in ('"x"', "[]", "-1e9")
    ),
]


def test_a_damaged_definition_stops_no_other_schedule(store: Store, clock: ManualClock) -> None:
    declare(store, schedule("good"))
    database = store._tables.open()
    for number, text in enumerate(DAMAGED):
        row = StoredSchedule(f"bad-{number:02}", text, clock.now(), clock.now(), *[None] * 7)
        database.execute(store._tables.sql.schedules.add, row)
    clock.advance("1d")
    assert fire(store) == 1
    assert list(alerts(store)) == []
    states = {view.name: view.state for view in views(store) if view.state != "unreadable"}
    assert states == {"good": "active"}
    ByHand(store, "bad-00").pause(until=None, by="ann", reason=None)
    ByHand(store, "bad-00").remove()
    assert store.schedules.get("bad-00") is None


# Alerts


def told(store: Store) -> list[tuple[str, int]]:
    return [(alert.schedule, alert.failures) for alert in alerts(store)]


def a_day(store: Store, clock: ManualClock, *, success: bool) -> None:
    clock.advance("1d")
    fire(store)
    for job in claim(store):
        end(store, job, *(() if success else ("error", "fail")))


def test_people_are_told_once_of_no_success_and_once_when_it_is_well(
    store: Store, other: Store, clock: ManualClock
) -> None:
    declare(store, schedule(alert_after=2), schedule("unwatched"))
    a_day(store, clock, success=False)
    assert told(store) == []
    a_day(store, clock, success=False)
    assert (told(store), told(other)) == ([("nightly", 2)], [])
    a_day(store, clock, success=False)
    assert told(store) == []
    a_day(store, clock, success=True)
    assert (told(other), told(store)) == ([("nightly", 0)], [])


def test_missed_due_times_are_no_success(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(alert_after=3, catch_up="none"))
    clock.advance("5d")
    fire(store)
    assert told(store) == [("nightly", 5)]


def test_a_paused_schedule_sends_no_alert(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(alert_after=1))
    ByHand(store, "nightly").pause(until=None, by="ann", reason=None)
    clock.advance("5d")
    fire(store)
    assert told(store) == []


# What users of others ran into


def test_three_who_fire_under_one_host_name_enqueue_once(  # oban-py#32
    store: Store, other: Store, clock: ManualClock, config: Config
) -> None:
    declare(store, schedule(overlap="allow"))
    clock.advance("3h")
    with Store(config, clock) as third:
        looked = [stored(one) for one in (store, other, third)]
        fired = [Firing(one)._fire(row, clock.now()) for one, row in zip((store, other, third), looked, strict=True)]
    assert (fired, due_times(store)) == ([1, 0, 0], ["2026-01-01T02:30"])


def test_a_task_that_failed_for_good_keeps_no_lock(store: Store, clock: ManualClock) -> None:  # laravel#16863
    declare(store, schedule())
    for _ in range(3):
        a_day(store, clock, success=False)
    assert len(due_times(store)) == 3


def test_one_slow_run_gathers_no_copies_behind_it(store: Store, clock: ManualClock) -> None:  # pg_cron#201
    declare(store, schedule(every="1m"))
    for _ in range(59):
        clock.advance("1m")
        fire(store)
        claim(store)
    assert len(due_times(store)) == 1


def test_a_crash_between_the_watermark_and_the_job_loses_nothing(  # hermes-agent#108945
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(store, schedule())
    clock.advance("3h")
    before = stored(store)
    with monkeypatch.context() as broken:
        broken.setattr(store.schedules._inserter, "accept_in", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fire(store)
    assert stored(store) == before
    assert fire(store) == 1


def test_restarts_draw_no_other_jitter(store: Store, config: Config, clock: ManualClock) -> None:  # systemd#21166
    declare(store, schedule(jitter="1h"))
    due = stored(store).due_at
    with Store(config, clock) as again:
        declare(again, schedule(jitter="1h"), anew=True)
        ByHand(again, "nightly").reset()
    assert stored(store).due_at == due
