"""Connections that are lost while a due time is decided: it is decided once, and its job is there once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cronq.config.loader import Config
from cronq.model.selection import Selection
from cronq.schedules.by_hand import ByHand
from cronq.schedules.firing import Firing
from cronq.store import Store
from cronq.testing import ManualClock
from tests import databases, servers
from tests.contract.schedule_steps import declare, ledger, schedule
from tests.proxy import Proxy


@pytest.fixture(params=databases.KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    servers.require(request.param)
    return databases.empty_queue(request.param, tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def proxy(config: Config) -> Iterator[Proxy]:
    with Proxy(config.database_url().port or 0) as opened:
        yield opened


@pytest.fixture
def store(config: Config, proxy: Proxy, clock: ManualClock) -> Iterator[Store]:
    url = config.database.replace(f":{config.database_url().port}/", f":{proxy.port}/")
    with Store(config.with_values("the test", database=url), clock) as opened:
        opened.prepare()
        yield opened


@pytest.mark.parametrize(
    ("at", "when", "overlap"),
    [
        (b"UPDATE cronq_schedules", "answered", "allow"),
        (b"INSERT INTO cronq_jobs", "answered", "skip"),
        (b"COMMIT", "unsent", "skip"),
        (b"COMMIT", "answered", "skip"),
        (b"COMMIT", "answered", "queue"),
        (b"COMMIT", "sent", "skip"),
    ],
)
def test_a_due_time_is_decided_once(
    store: Store, proxy: Proxy, clock: ManualClock, at: bytes, when: str, overlap: str
) -> None:
    declare(store, schedule(overlap=overlap))
    clock.advance("3h")
    firing = Firing(store)
    firing.look(clock.now())
    proxy.cut(at, when)
    firing.fire_all(clock.now())
    assert proxy.made == 1
    assert ledger(store) == [("2026-01-01T02:30", "enqueued", 1)]
    (job,) = store.jobs.find(Selection())
    assert (job.schedule, job.state) == ("nightly", "ready")
    assert [decided.job_id for decided in store.schedules.ledger("nightly")] == [job.id]


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue"])
@pytest.mark.parametrize("when", ["unsent", "sent", "answered"])
def test_a_run_by_hand_is_one_job(store: Store, proxy: Proxy, when: str, overlap: str) -> None:
    declare(store, schedule(overlap=overlap))
    by_hand = ByHand(store, "nightly")
    proxy.cut(b"COMMIT", when)
    row = by_hand.run(force=False)
    assert proxy.made == 1
    (job,) = store.jobs.find(Selection())
    assert (row.outcome, row.job_id, row.reason) == ("enqueued", job.id, "run by hand")


@pytest.mark.parametrize("when", ["unsent", "answered"])
def test_a_schedule_is_declared_once(store: Store, proxy: Proxy, clock: ManualClock, when: str) -> None:
    proxy.cut(b"COMMIT", when)
    declare(store, schedule())
    assert proxy.made == 1
    clock.advance("1h")
    proxy.cut(b"COMMIT", when)
    declare(store, schedule(cron="0 12 * * *"))
    assert proxy.made == 2
    assert [one.name for one in store.schedules.all()] == ["nightly"]
    assert [one.name for one in store.schedules.declarations.all()] == ["nightly"]
