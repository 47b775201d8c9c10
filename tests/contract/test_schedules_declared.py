"""Declaring schedules: what a host says, and what a change, a deploy, a rollback or a removal does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from cronq.config.loader import Config
from cronq.errors import InvalidInput
from cronq.schedules.by_hand import ByHand
from cronq.schedules.declaring import Declaring
from cronq.schedules.firing import Firing
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import SECOND
from tests.contract.schedule_steps import declare, due_times, fire, following, ledger, schedule, stored

OLD, NEW = schedule(), schedule(cron="0 12 * * *")


def test_a_changed_expression_does_not_run_at_once(store: Store, clock: ManualClock) -> None:  # Hangfire#728
    declare(store, OLD)
    clock.set("2026-01-01T12:00:30Z")
    assert declare(store, NEW) == ["nightly"]
    assert (fire(store), following(store)) == (0, "2026-01-02T12:00")


def test_due_times_up_to_a_change_are_decided_by_the_old_definition(store: Store, clock: ManualClock) -> None:
    declare(store, OLD)
    clock.set("2026-01-01T02:30:30Z")
    declare(store, NEW)
    assert due_times(store) == ["2026-01-01T02:30"]
    assert following(store) == "2026-01-01T12:00"


def test_a_deploy_at_the_due_minute_loses_no_run(store: Store, clock: ManualClock) -> None:  # good_job#1484
    declare(store, NEW)
    clock.set("2026-01-01T12:00:00Z")
    declare(store, NEW, anew=True)
    fire(store)
    assert due_times(store) == ["2026-01-01T12:00"]


def test_deploys_do_not_reset_a_weekly_schedule(store: Store, clock: ManualClock) -> None:  # river#791
    weekly = schedule(every="7d", overlap="allow")
    for _ in range(21):
        declare(store, weekly, anew=True)
        fire(store)
        clock.advance("1d")
    fire(store)
    assert len(due_times(store)) == 3


def test_any_runner_fires_schedules_that_only_others_declare(store: Store, clock: ManualClock) -> None:  # river#342
    declare(store, schedule("a"), host="web1")
    declare(store, schedule("b"), host="web2")
    clock.advance("1d")
    assert fire(store) == 2


def test_two_processes_of_one_host_declare_a_schedule_at_once(store: Store, config: Config, clock: ManualClock) -> None:
    definitions = [schedule(f"s{n}") for n in range(20)]
    declare(store, *definitions, host="elsewhere")
    together = Barrier(2)

    def say(_: int) -> None:
        with Store(config, clock) as mine:
            for definition in definitions:
                together.wait(timeout=60)
                declare(mine, definition, host="here", anew=True)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(say, range(2)))
    assert {one.host for one in store.schedules.declarations.all()} == {"elsewhere", "here"}


def test_two_people_replay_the_same_days_at_once(store: Store, config: Config, clock: ManualClock) -> None:
    declare(store, schedule(overlap="allow"))
    start = clock.now()
    clock.advance("20d")
    together = Barrier(2)

    def replay(_: int) -> int:
        with Store(config, clock) as mine:
            by_hand = ByHand(mine, "nightly")
            together.wait(timeout=60)
            return len(by_hand.replay(start, clock.now()))

    with ThreadPoolExecutor(2) as threads:
        replayed = list(threads.map(replay, range(2)))
    assert (sum(replayed), len(due_times(store))) == (20, 20)


def test_a_removed_schedule_has_no_due_times(store: Store, clock: ManualClock) -> None:  # solid_queue#310
    declare(store, OLD)
    clock.set("2026-01-01T03:00:00Z")
    declare(store)
    assert due_times(store) == ["2026-01-01T02:30"]  # decided before it went
    clock.advance("2d")
    assert (fire(store), following(store)) == (0, "")
    declare(store, OLD)
    assert following(store) == "2026-01-04T02:30"


def test_a_schedule_stays_while_one_host_declares_it(store: Store, clock: ManualClock) -> None:
    declare(store, OLD, host="web1")
    declare(store, OLD, host="web2")
    clock.advance("1h")
    declare(store, host="web1")
    assert following(store) == "2026-01-01T02:30"
    clock.advance("25h")  # web2 is gone
    declare(store, schedule("another"), host="web1")
    assert following(store) == ""


def test_hosts_may_declare_different_schedules(store: Store) -> None:
    declare(store, schedule("a"), host="web1")
    declare(store, schedule("b"), host="web2")
    assert [one.name for one in store.schedules.all() if one.next_at] == ["a", "b"]


def test_a_rolling_deploy_goes_one_way(store: Store, clock: ManualClock) -> None:
    for host in ("web1", "web2"):
        declare(store, OLD, host=host)
    declare(store, NEW, host="web1")
    for _ in range(3):
        clock.advance("1h")
        declare(store, OLD, host="web2")
        declare(store, NEW, host="web1")
        assert following(store) == "2026-01-01T12:00"
    declare(store, NEW, host="web2")
    assert following(store) == "2026-01-01T12:00"


def test_a_rollback_goes_back(store: Store, clock: ManualClock) -> None:
    for host in ("web1", "web2"):
        declare(store, OLD, host=host)
        declare(store, NEW, host=host)
    clock.advance("1h")
    declare(store, OLD, host="web1")
    assert following(store) == "2026-01-01T02:30"
    declare(store, NEW, host="web2")
    assert following(store) == "2026-01-01T02:30"


def test_the_definition_of_a_host_that_left_does_not_stay(store: Store, clock: ManualClock) -> None:
    declare(store, OLD, host="web1")
    declare(store, NEW, host="web2")
    declare(store, host="web2")
    clock.advance("1h")
    declare(store, OLD, host="web1")
    assert following(store) == "2026-01-01T02:30"


def test_a_new_name_takes_watermark_pause_and_ledger_along(store: Store, clock: ManualClock) -> None:
    declare(store, OLD)
    clock.advance("1d")
    fire(store)
    ByHand(store, "nightly").pause(until=None, by="ann", reason="moving")
    declare(store, schedule("daily", was="nightly"))
    assert store.schedules.get("nightly") is None
    assert stored(store, "daily").reason == "moving"
    assert ledger(store, "daily") == [("2026-01-01T02:30", "enqueued", 1)]
    assert following(store, "daily") == "2026-01-02T02:30"


def test_another_host_with_the_former_name_changes_nothing(store: Store, clock: ManualClock) -> None:
    for host in ("web1", "web2"):
        declare(store, OLD, host=host)
    declare(store, schedule("daily", was="nightly"), host="web1")
    clock.advance("1h")
    declare(store, OLD, host="web2")
    assert [one.name for one in store.schedules.all()] == ["daily"]


def test_what_sync_says_replaces_everything(store: Store, clock: ManualClock) -> None:
    declare(store, OLD, host="container-1")
    declare(store, schedule("a"), for_all=True, host="*", anew=True)
    assert [one.host for one in store.schedules.declarations.all()] == ["*"]
    assert following(store) == ""
    clock.advance("30d")
    declare(store, schedule("a"), schedule("b"), for_all=True, host="*", anew=True)
    assert fire(store) == 1
    assert following(store, "a") == "2026-01-31T02:30"


def test_a_disabled_schedule_has_no_due_times_until_it_is_enabled(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(enabled=False))
    clock.advance("10d")
    assert (fire(store), following(store)) == (0, "")
    declare(store, OLD)
    assert following(store) == "2026-01-11T02:30"


def test_newer_zone_data_computes_anew_and_older_leaves_it_alone(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(timezone="Europe/Prague"))
    wrong = (stored(store).next_at or 0) - 1800 * SECOND
    sql = "UPDATE cronq_schedules SET tz_version = ?, next_at = ?, due_at = ?"
    store._tables.open().execute(sql, ("9999z", wrong, wrong))
    clock.advance("1h")
    declare(store, schedule(timezone="Europe/Prague"))
    assert stored(store).next_at == wrong
    store._tables.open().execute(sql, ("1999a", wrong, wrong))
    clock.set("2026-01-01T01:15:00Z")
    assert fire(store) == 0  # it was due by the older data only
    assert following(store) == "2026-01-01T01:30"


@pytest.mark.parametrize("order", [("2020a", "2026b"), ("2026b", "2020a")])
def test_two_hosts_with_other_zone_data_decide_a_due_time_once(
    store: Store, other: Store, clock: ManualClock, order: tuple[str, str]
) -> None:
    declare(store, schedule(timezone="Europe/Prague", overlap="allow"))
    store._tables.open().execute("UPDATE cronq_schedules SET tz_version = '2026b'")
    hosts = [Firing(one) for one in (store, other)]
    for day in (1, 2):
        clock.set(f"2026-01-0{day}T01:30:01Z")
        read = [stored(one) for one in (store, other)]
        fired = []
        for host, version, row in zip(hosts, order, read, strict=True):
            host.tz_version = version
            fired += [host._fire(row, clock.now()), host.fire_all(clock.now())]
        assert sum(one or 0 for one in fired) == 1  # the older one too, where its data gives the same due time
    assert ledger(store) == [(f"2026-01-0{day}T01:30", "enqueued", 1) for day in (1, 2)]


def test_a_schedule_is_removed_by_hand_when_no_host_declares_it(store: Store) -> None:
    declare(store, OLD, host="web1")
    with pytest.raises(InvalidInput, match="is declared by web1: remove it there first"):
        ByHand(store, "nightly").remove()
    declare(store, host="web1")
    ByHand(store, "nightly").remove()
    assert store.schedules.all() == []


def test_a_host_that_says_the_same_writes_nothing(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(store, *(schedule(f"s{number}") for number in range(20)))
    clock.advance("1m")
    said: list[str] = []
    database = store._tables.open()
    monkeypatch.setattr(database, "execute", lambda sql, *_: said.append(sql))
    Declaring(store, Firing(store), source="cronq.toml").declare([schedule(f"s{number}") for number in range(20)])
    assert said == []


def test_a_host_that_declares_nothing_takes_the_due_times_of_hosts_that_are_gone(
    store: Store, clock: ManualClock
) -> None:
    declare(store, OLD, host="web1")
    clock.advance("25h")
    assert declare(store, host="web2") == ["nightly"]
    assert following(store) == ""


def test_a_definition_that_cannot_be_read_here_keeps_no_host_from_declaring(store: Store, clock: ManualClock) -> None:
    declare(store, OLD, host="web1")
    declare(store, schedule("newer"), host="web2")
    sql = "UPDATE cronq_schedules SET definition = ?, tz_version = '1999a' WHERE name = 'newer'"
    store._tables.open().execute(sql, ('{"colour":"red","task":"t"}',))
    clock.advance("1h")
    assert declare(store, OLD, host="web1", anew=True) == []
    assert declare(store, schedule("newer"), host="web2", anew=True) == ["newer"]
