"""Schedules that are paused, resumed, replayed and run by hand, on each database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cronq.errors import InvalidInput
from cronq.model.selection import Selection
from cronq.schedules.by_hand import ByHand
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import SECOND, iso
from tests.contract.schedule_steps import declare, due_times, fire, following, ledger, schedule
from tests.contract.steps import claim


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


def test_a_replay_inside_of_a_skipped_run_is_counted_once(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(cron="* * * * *"))
    clock.advance("1m")
    assert fire(store) == 1
    by_hand = ByHand(store, "nightly")
    first = clock.now()
    clock.advance("4m")
    replayed = first + 2 * 60 * SECOND
    assert [row.outcome for row in by_hand.replay(replayed, replayed)] == ["enqueued"]
    assert fire(store) == 0
    counts = [(outcome, times) for _, outcome, times in ledger(store)]
    assert sum(times for _, times in counts) == 5
    assert counts.count(("enqueued", 1)) == 2
    assert len(by_hand.replay(first, clock.now())) == 3
    assert [one[1:] for one in ledger(store)] == [("enqueued", 1)] * 5


def test_a_schedule_is_run_by_hand_beside_its_due_times(store: Store, clock: ManualClock) -> None:
    declare(store, schedule())
    by_hand = ByHand(store, "nightly")
    assert by_hand.run(force=False).outcome == "enqueued"
    clock.advance("1s")
    assert by_hand.run(force=False).reason == "job 1 is unfinished"
    clock.advance("1s")
    assert [by_hand.run(force=True).outcome for _ in range(2)] == ["enqueued", "enqueued"]  # at one instant
    assert following(store) == "2026-01-01T02:30"
