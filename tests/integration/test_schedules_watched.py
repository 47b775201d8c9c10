"""What why, doctor, health, metrics and status say about schedules."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from cronq.config.loader import Config
from cronq.monitoring import health, metrics, why
from cronq.monitoring.doctor.checks import examine
from cronq.monitoring.schedules import blocker_of, explain, views
from cronq.monitoring.why import Facts
from cronq.render import status, top
from cronq.render.console import Screen
from cronq.schedules.by_hand import ByHand
from cronq.storage.stats import RecentStats
from cronq.store import Store
from cronq.testing import ManualClock
from cronq.times import SECOND, iso, to_datetime
from tests.contract.schedule_steps import declare, fire, schedule
from tests.contract.steps import claim, finish, stored
from tests.integration.stores import config_in

HOUR = 3600 * SECOND


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock("2026-01-01T00:00:00Z")


@pytest.fixture
def store(config: Config, clock: ManualClock) -> Iterator[Store]:
    with Store(config, clock) as opened:
        yield opened


def said(store: Store, *, looked_at: int | None = None, queue_paused: bool = False) -> str:
    (view,) = views(store, ["nightly"])
    blocker = blocker_of(view)
    job = None if blocker is None else store.jobs.get(blocker)
    return explain(view, looked_at=looked_at, queue_paused=queue_paused, blocker=job)


def told(config: Config) -> list[tuple[str, str]]:
    """What doctor says about schedules."""
    return [(str(one.finding.level), one.finding.text) for one in examine(lambda: config) if one.area == "schedules"]


def test_why_says_when_it_is_due_and_what_was_decided_last(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(timezone="Europe/Prague"))
    assert said(store) == 'Schedule "nightly" is not due before 2026-01-01 02:30:00+01:00, in 90m.'
    clock.advance("1d")
    fire(store)
    assert said(store).endswith("; job 1 was enqueued for 2026-01-01 02:30:00+01:00.")
    clock.advance("1d")
    fire(store)
    skipped = "; 1 due time up to 2026-01-02 02:30:00+01:00 skipped"
    assert said(store).endswith(f"{skipped}, because job 1 is ready.")
    claim(store)
    assert said(store).endswith(f"{skipped}, because job 1 runs since 2026-01-03 01:00:00+01:00.")
    assert said(store, queue_paused=True).endswith('; queue "default" is paused.')


def test_why_says_what_keeps_it_from_running(store: Store, clock: ManualClock) -> None:
    declare(store, schedule())
    clock.advance("3h")
    assert said(store, looked_at=clock.now() - 2 * HOUR) == (
        'Schedule "nightly" is late: it was due at 2026-01-01 02:30:00+00:00, and no run has looked since'
        " 2026-01-01 01:00:00+00:00."
    )
    ByHand(store, "nightly").pause(until=None, by="ann@web1", reason="moving")
    assert "is paused by ann@web1 since 2026-01-01 03:00:00+00:00: moving; job 1" in said(store)
    ByHand(store, "nightly").resume(catch_up=False)
    declare(store, schedule(enabled=False))
    assert 'Schedule "nightly" is disabled (enabled = false)' in said(store)
    declare(store)
    assert 'Schedule "nightly" has no due times: no host declares it any more' in said(store)


def test_why_says_between_which_times_no_run_looked(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(catch_up="none"))
    clock.advance("2d")
    assert said(store, looked_at=clock.now() - SECOND).startswith('Schedule "nightly" is late')
    fire(store)
    assert said(store).endswith(
        "; 2 due times up to 2026-01-02 02:30:00+00:00 missed, no run looked between 2026-01-01 02:30:00+00:00"
        " and 2026-01-03 00:00:00+00:00."
    )


def test_a_schedule_that_is_due_this_moment_is_for_the_next_run(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(every="1m"))
    clock.advance("61s")
    assert said(store) == (
        'Schedule "nightly" is due since 2026-01-01 00:01:00+00:00: the next run, or a worker, decides it.'
    )


def test_a_watermark_ahead_is_told_with_the_way_out(store: Store, config: Config) -> None:
    declare(store, schedule())
    store._tables.open().execute("UPDATE cronq_schedules SET last_at = ?", (2**52,))
    assert "`cronq schedules reset nightly` starts it from now" in said(store)
    assert any("is silent for" in text for _, text in told(config))


def test_why_of_a_job_begins_with_its_schedule(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(timezone="Europe/Prague"))
    clock.advance("3h")
    fire(store)
    sentence = why.explain(stored(store, 1), Facts(to_datetime(clock.now())))
    assert sentence.startswith("From schedule nightly, due at 2026-01-01 02:30:00+01:00: job 1 is due since")


def test_doctor_finds_late_quick_unreadable_and_differing_schedules(
    store: Store, clock: ManualClock, config: Config
) -> None:
    clock.set("2026-11-28T00:00:00Z")
    declare(store, schedule("quick", every="10s"), schedule("bad"), schedule("differs"), host="web1")
    declare(store, schedule("differs", cron="0 1 * * *"), host="web2")
    store._tables.open().execute(
        "UPDATE cronq_schedules SET definition = replace(definition, 'UTC', 'Mars/Olympus') WHERE name = 'bad'"
    )
    store._tables.open().execute("UPDATE cronq_declarations SET seen_at = ?, declared_at = NULL", (2**52,))
    found = told(config)
    texts = " | ".join(text for _, text in found)
    assert ("problem", "schedule quick is late") in [(level, text[:22]) for level, text in found]
    assert "schedule quick is due more often than each minute, and no worker is there" in texts
    assert "schedule bad can't be fired on this host: timezone 'Mars/Olympus'" in texts
    assert "schedule differs is declared differently by web1 and web2" in texts


def test_hosts_that_declare_differently_are_named_after_an_hour(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(), schedule("same"), host="web1")
    declare(store, schedule(cron="0 1 * * *"), schedule("same"), host="web2")

    def named() -> tuple[str, list[str]]:
        (view,) = views(store, ["nightly"])
        return str(health.judge(store.jobs.stats(), {}, {})).partition(" | ")[0], view.differing

    for _ in range(2):
        assert named() == ("CRONQ OK - 0 failed, 0 ready, 0 retrying, none due", [])
        clock.advance("29m")
        declare(store, schedule(), schedule("same"), host="web1")
        declare(store, schedule(cron="0 1 * * *"), schedule("same"), host="web2", anew=True)
    clock.advance("2m")
    told = "CRONQ WARNING - 1 schedule declared differently (declared differently: nightly by web1 and web2)"
    assert named() == (told, ["web1", "web2"])
    declare(store, schedule(cron="0 1 * * *"), schedule("same"), host="web1")
    assert named()[1] == []


def test_doctor_is_content_with_schedules_that_are_well(store: Store, clock: ManualClock, config: Config) -> None:
    clock.set(iso(time.time_ns() // 1000))
    declare(store, schedule(every="1d"))
    ((level, text),) = told(config)
    assert level == "ok"
    assert text.startswith("1 schedule, the next is due in ")


def test_monitors_tell_what_is_late_missed_and_failing(store: Store, clock: ManualClock) -> None:
    declare(store, schedule(catch_up="none"), schedule("other", overlap="allow"))
    clock.advance("1d")
    stats = store.jobs.stats()
    assert health.measure(stats, None)["schedules-late"] == 21.5 * 3600
    answer = health.judge(stats, {}, {})
    assert (answer.status, str(answer).split(" | ")[0]) == (2, "CRONQ CRITICAL - a schedule is late by 21h")
    fire(store)
    finish(store, claim(store))
    stats = store.jobs.stats()
    assert health.measure(stats, None)["missed"] == 1
    assert str(health.judge(stats, {}, {})).startswith("CRONQ WARNING - 1 due time of schedules missed")
    text = metrics.expose(stats, RecentStats(), version="1", database="sqlite")
    succeeded = f'cronq_schedule_last_success_timestamp_seconds{{schedule="other"}} {clock.now() // SECOND}'
    assert succeeded in text
    assert 'cronq_schedule_missed{schedule="nightly"} 1' in text
    assert status.schedules(stats) == "2, next nightly in 2h"
    ByHand(store, "other").pause(until=None, by="ann", reason=None)
    assert status.schedules(store.jobs.stats()) == "2, 1 paused, next nightly in 2h"


def test_top_tells_of_schedules_in_its_heading(store: Store, clock: ManualClock) -> None:
    declare(store, schedule())
    clock.advance("3h")
    picture = SimpleNamespace(stats=store.jobs.stats(), where="here")
    heading = top._heading(picture, top.View(), Screen(file=StringIO()))  # type: ignore[arg-type]
    assert "schedules 1, 1 late, next nightly in 0s" in heading.plain
