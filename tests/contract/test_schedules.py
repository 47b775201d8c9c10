"""Schedules on every engine: fired, decided once, kept in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cronq.config.loader import Config
from cronq.errors import InvalidInput
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


def test_due_times_of_a_pause_are_skipped_and_kept(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(overlap="allow"))
    by_hand = ByHand(store, "nightly")
    by_hand.pause(until=None, by="ann@web1", reason="moving")
    clock.advance("2d")
    assert fire(store) == 0
    clock.advance("1d")
    assert by_hand.resume(catch_up=False) == []
    clock.advance("1d")
    assert fire(store) == 1
    assert [(one[1], one[2]) for one in ledger(store)] == [("skipped", 2), ("skipped", 1), ("enqueued", 1)]
    assert store.schedules.ledger("nightly")[-1].reason == "paused by ann@web1: moving"


def test_a_pause_ends_by_itself(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(overlap="allow", catch_up="all", catch_up_window="9d"))
    ByHand(store, "nightly").pause(until=clock.now() + 36 * 3600 * SECOND, by="ann", reason=None)
    clock.advance("3d")
    fire(store)
    assert [(one[0], one[1]) for one in ledger(store)] == [
        ("2026-01-02T02:30", "skipped"),
        ("2026-01-03T02:30", "enqueued"),
    ]


def test_what_was_skipped_is_caught_up_on_when_asked_for(store: Store, clock: ManualClock) -> None:
    declare(store, schedule())
    by_hand = ByHand(store, "nightly")
    by_hand.pause(until=None, by="ann", reason=None)
    clock.advance("3d")
    assert [iso(one.fire_at)[:16] for one in by_hand.resume(catch_up=True)] == ["2026-01-03T02:30"]
    assert due_times(store) == ["2026-01-03T02:30"]
    assert ledger(store) == [("2026-01-02T02:30", "skipped", 2), ("2026-01-03T02:30", "enqueued", 1)]


def test_a_long_pause_is_caught_up_on_with_the_newest_due_times(store: Store, clock: ManualClock) -> None:
    declare(store, schedule("one", every="1m"), schedule("three", every="1m", catch_up="all", catch_up_max=3))
    for name, ends in (("one", [":00"]), ("three", [":58", ":59", ":00"])):
        by_hand = ByHand(store, name)
        by_hand.pause(until=None, by="ann", reason=None)
        clock.advance("8d")  # 11,520 due times
        assert [iso(one.fire_at)[13:16] for one in by_hand.resume(catch_up=True)] == ends


def test_catching_up_leaves_out_what_was_replayed_in_the_pause(store: Store, clock: ManualClock) -> None:
    declare(store, schedule())
    by_hand = ByHand(store, "nightly")
    by_hand.pause(until=None, by="ann", reason=None)
    clock.advance("3d")
    assert len(by_hand.replay(clock.now() - 86400 * SECOND, clock.now())) == 1
    assert [iso(one.fire_at)[:16] for one in by_hand.resume(catch_up=True)] == ["2026-01-02T02:30"]
    assert ledger(store) == [
        ("2026-01-01T02:30", "skipped", 1),
        ("2026-01-02T02:30", "enqueued", 1),
        ("2026-01-03T02:30", "enqueued", 1),
    ]


def test_a_decision_leaves_out_what_was_replayed_before_it(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(catch_up="all", catch_up_window="9d", overlap="allow"))
    by_hand = ByHand(store, "nightly")
    by_hand.pause(until=clock.now() + 84 * 3600 * SECOND, by="ann", reason=None)
    clock.advance("5d")
    by_hand.replay(clock.now() - 4 * 86400 * SECOND, clock.now() - 3 * 86400 * SECOND)
    by_hand.replay(clock.now() - 2 * 86400 * SECOND, clock.now())
    assert fire(store) == 0
    assert [(one[0][8:10], *one[1:]) for one in ledger(store)] == [
        ("01", "skipped", 1),
        ("02", "enqueued", 1),
        ("03", "skipped", 1),
        ("04", "enqueued", 1),
        ("05", "enqueued", 1),
    ]


def test_a_replay_takes_its_due_times_out_of_the_run_that_was_missed(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(catch_up="none", overlap="allow"))
    clock.advance("9d")
    fire(store)
    (run,) = store.schedules.ledger("nightly")
    day, by_hand = 86400 * SECOND, ByHand(store, "nightly")
    assert (iso(run.since)[:16], run.times) == ("2026-01-01T02:30", 9)
    by_hand.replay(run.since + 2 * day, run.since + 3 * day)
    assert ledger(store) == [
        ("2026-01-02T02:30", "missed", 2),
        ("2026-01-03T02:30", "enqueued", 1),
        ("2026-01-04T02:30", "enqueued", 1),
        ("2026-01-09T02:30", "missed", 5),
    ]
    newer, *_, older = store.schedules.ledger("nightly")
    assert newer == run._replace(since=run.since + 4 * day, times=5)
    assert older == run._replace(fire_at=run.since + day, times=2, late=run.late + 7 * day)
    by_hand.replay(run.since, run.since)
    by_hand.replay(run.fire_at, run.fire_at)
    assert sum(one.times for one in store.schedules.ledger("nightly") if one.outcome == "missed") == 5
    by_hand.replay(run.since, run.fire_at)
    assert [one[1:] for one in ledger(store)] == [("enqueued", 1)] * 9


def test_a_replay_out_of_too_many_to_count_leaves_lower_bounds(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(every="1s", catch_up="none", overlap="allow"))
    clock.advance("1d")
    fire(store)
    middle = clock.now() - 3600 * SECOND
    ByHand(store, "nightly").replay(middle, middle)
    assert [one[1:] for one in ledger(store)][:3] == [("missed", 10_000), ("enqueued", 1), ("missed", 3299)]


def test_a_replay_by_a_changed_rule_keeps_the_number_of_the_others(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(every="1h", catch_up="none", overlap="allow"))
    clock.advance("1d")
    fire(store)
    before = ledger(store)
    declare(store, schedule(cron="0 */6 * * *", catch_up="none", overlap="allow"))
    ByHand(store, "nightly").replay(store.schedules.ledger("nightly")[-1].since, clock.now())
    after = ledger(store)
    assert sum(times for _, _, times in after) == sum(times for _, _, times in before)
    assert [one[1] for one in after].count("enqueued") == len(due_times(store)) > 1


def test_replays_at_once_of_one_run_lose_no_due_time(store: Store, other: Store, clock: ManualClock) -> None:
    declare(store, schedule(catch_up="none", overlap="allow"))
    clock.advance("20d")
    fire(store)
    (run,) = store.schedules.ledger("nightly")
    days = range(run.since, run.fire_at, 86400 * SECOND)

    def replay(queue: Store, first: int) -> int:
        return sum(len(ByHand(queue, "nightly").replay(due, due)) for due in days[first::2])

    with ThreadPoolExecutor(2) as threads:
        numbers = [*threads.map(replay, (store, other), (1, 2))]
    assert sum(numbers) == 18
    assert sorted(one[1:] for one in ledger(store)) == [("enqueued", 1)] * 18 + [("missed", 1)] * 2


def test_too_long_a_replay_is_refused_and_enqueues_nothing(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(every="1m", catch_up="none"))
    start = clock.now() + 60 * SECOND
    clock.advance("8d")
    by_hand = ByHand(store, "nightly")
    assert len(by_hand.due_between(start, start + 9_999 * 60 * SECOND)) == 10_000
    for replay in (by_hand.due_between, by_hand.replay):
        with pytest.raises(InvalidInput, match="at most 10,000 due times"):
            replay(start, start + 10_000 * 60 * SECOND)
    assert due_times(store) == []


def test_a_change_by_hand_of_an_unknown_schedule_is_refused(store: Store) -> None:
    by_hand = ByHand(store, "none")
    changes: list[Callable[[], object]] = [
        lambda: by_hand.run(force=False),
        lambda: by_hand.replay(0, store.clock.now()),
        lambda: by_hand.pause(until=None, by="ann", reason=None),
        lambda: by_hand.resume(catch_up=False),
        by_hand.reset,
        by_hand.remove,
    ]
    for change in changes:
        with pytest.raises(InvalidInput, match="there is no schedule 'none'"):
            change()


def test_a_replay_keeps_the_key_of_the_definition(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(overlap="queue", key="report"), schedule("own", overlap="queue", key="own", unique=True))
    start = clock.now()
    clock.advance("2d")
    assert [one.outcome for one in ByHand(store, "nightly").replay(start, clock.now())] == ["enqueued"] * 2
    assert [one.outcome for one in ByHand(store, "own").replay(start, clock.now())] == ["enqueued", "skipped"]
    assert {(job.key, job.group) for job in store.jobs.find(Selection())} == {
        ("report", "schedule:nightly"),
        ("own", "schedule:own"),
    }


def test_what_was_missed_can_be_replayed_once(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(catch_up="none"))
    clock.advance("5d")
    fire(store)
    by_hand, start, end = ByHand(store, "nightly"), clock.now() - 4 * 86400 * SECOND, clock.now()
    assert len(by_hand.due_between(start, end)) == 4
    assert len(by_hand.replay(start, end)) == 4
    assert due_times(store) == [f"2026-01-0{day}T02:30" for day in (2, 3, 4, 5)]
    assert by_hand.replay(start, end) == []
    assert len(claim(store)) == 4  # in one group: one after the other


def test_a_schedule_is_run_by_hand_beside_its_due_times(store: Store, clock: ManualClock) -> None:
    declare(store, schedule())
    by_hand = ByHand(store, "nightly")
    assert by_hand.run(force=False).outcome == "enqueued"
    clock.advance("1s")
    assert by_hand.run(force=False).reason == "job 1 is unfinished"
    clock.advance("1s")
    assert by_hand.run(force=True).outcome == "enqueued"
    assert following(store) == "2026-01-01T02:30"


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
