"""Connections that are lost in the middle of a change: what had been done is found, what hadn't is done again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cronq.config.loader import Config
from cronq.errors import Skip
from cronq.model.job import Enqueued
from cronq.model.selection import Selection
from cronq.storage.rows import new_row
from cronq.store import Store
from cronq.times import Clock
from tests import databases, servers
from tests.contract.steps import claim, end, ending, new, outcome, put, states, stored
from tests.proxy import Proxy
from tests.waiting import wait_until

EVERYTHING = Selection()
INSERT = b"INSERT INTO cronq_jobs"
CUTS = ("unsent", "answered")


@pytest.fixture(params=databases.KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    servers.require(request.param)
    return databases.empty_queue(request.param, tmp_path)


@pytest.fixture
def beside(config: Config) -> Iterator[Store]:
    """The queue without a proxy in between."""
    with Store(config, Clock()) as opened:
        yield opened


@pytest.fixture
def proxy(config: Config) -> Iterator[Proxy]:
    with Proxy(config.database_url().port or 0) as opened:
        yield opened


@pytest.fixture
def store(config: Config, proxy: Proxy) -> Iterator[Store]:
    url = config.database.replace(f":{config.database_url().port}/", f":{proxy.port}/")
    with Store(config.with_values("the test", database=url), Clock()) as opened:
        opened.prepare()
        yield opened


def run_all(store: Store) -> list[int]:
    """Claim and finish what is there, as another host may do at any time."""
    jobs = claim(store)
    for job in jobs:
        end(store, job)
    return [job.id for job in jobs]


@pytest.mark.parametrize("group", [None, "g"])
@pytest.mark.parametrize("when", CUTS)
def test_one_job_is_stored_once(store: Store, beside: Store, proxy: Proxy, when: str, group: str | None) -> None:
    proxy.cut(INSERT, when)
    (job,) = store.enqueue([new("t", group=group)])
    assert (proxy.made, job.existing) == (1, False)
    assert beside.jobs.ids(EVERYTHING) == [job.id]


@pytest.mark.parametrize("key", [None, "k"])
def test_a_job_that_has_ended_before_anybody_noticed_is_not_stored_again(
    store: Store, beside: Store, proxy: Proxy, key: str | None
) -> None:
    proxy.cut(INSERT, then=partial(run_all, beside))
    (job,) = store.enqueue([new("t", key=key, unique=key is not None)])
    assert (proxy.made, job.existing) == (1, False)
    assert states(beside, beside.jobs.ids(EVERYTHING)) == ["finished"]
    assert beside.jobs.ids(EVERYTHING) == [job.id]


@pytest.mark.parametrize("at", [INSERT, b"COMMIT"])
@pytest.mark.parametrize("when", CUTS)
def test_a_batch_is_stored_once_and_its_ids_are_known(
    store: Store, beside: Store, proxy: Proxy, when: str, at: bytes
) -> None:
    jobs = [new(f"t{n}", group="g" if n % 3 == 0 else None) for n in range(1200)]
    proxy.cut(at, when)
    enqueued = store.enqueue(jobs)
    assert proxy.made == 1
    assert [job.id for job in enqueued] == beside.jobs.ids(EVERYTHING)
    assert [stored(beside, enqueued[n].id).task for n in (0, 700, 1199)] == ["t0", "t700", "t1199"]


def test_a_batch_that_ran_before_anybody_noticed_is_not_stored_again(store: Store, beside: Store, proxy: Proxy) -> None:
    proxy.cut(b"COMMIT", then=partial(run_all, beside))
    enqueued = store.enqueue([new(f"t{n}") for n in range(5)])
    assert proxy.made == 1
    assert states(beside, [job.id for job in enqueued]) == ["finished"] * 5
    assert len(beside.jobs.ids(EVERYTHING)) == 5


@pytest.mark.parametrize("when", CUTS)
def test_a_batch_with_unique_jobs(store: Store, beside: Store, proxy: Proxy, when: str) -> None:
    (first,) = put(beside, new("old", key="a", unique=True))
    proxy.cut(b"COMMIT", when)
    twin, fresh, plain, again = store.enqueue(
        [new("t", key="a", unique=True), new("t", key="b", unique=True), new("t"), new("t", key="b", unique=True)]
    )
    assert proxy.made == 1
    assert (twin.id, twin.existing) == (first, True)
    assert (fresh.existing, plain.existing) == (False, False)
    assert (again.id, again.existing) == (fresh.id, True)
    assert beside.jobs.ids(EVERYTHING) == [first, fresh.id, plain.id]


def test_an_insert_that_is_still_on_its_way_is_waited_for(store: Store, beside: Store, proxy: Proxy) -> None:
    """The server holds it up behind another one with its key, until the client has come back with it."""
    sql, row = beside._sql.enqueue.enqueue, (*new_row(new("other", key="k", unique=True), 1), 1)

    def in_the_way(tx: Any) -> None:
        tx.insert(sql, row)
        enqueueing.start()
        wait_until(lambda: proxy.made, what="the insert was sent, and its client is gone")
        wait_until(lambda: proxy.requests(INSERT) > 1, what="it comes again")
        raise Skip

    answers: list[Enqueued] = []
    enqueueing = threading.Thread(target=lambda: answers.extend(store.enqueue([new("t", key="k", unique=True)])))
    proxy.cut(INSERT, "sent")
    with pytest.raises(Skip):
        beside._tables.open().transact(in_the_way)
    enqueueing.join(60)
    assert [job.id for job in answers] == beside.jobs.ids(EVERYTHING)
    assert len(answers) == 1


@pytest.mark.parametrize("when", CUTS)
def test_a_claim_takes_its_jobs_once(store: Store, beside: Store, proxy: Proxy, when: str) -> None:
    ids = put(beside, *(new(group=group) for group in (None, "g", "g")))
    proxy.cut(b"COMMIT", when)
    jobs = claim(store)
    assert proxy.made == 1
    assert [job.id for job in jobs] == ids
    assert [stored(beside, job_id).attempt for job_id in ids] == [1, 1, 1]


@pytest.mark.parametrize("when", CUTS)
def test_a_settlement_is_written_once(store: Store, beside: Store, proxy: Proxy, when: str) -> None:
    ids = put(beside, new(), new())
    good, bad = claim(beside)
    proxy.cut(b"COMMIT", when)
    assert store.settle([ending(good, outcome(store)), ending(bad, outcome(store, "error"))]) == []
    assert proxy.made == 1
    assert states(beside, ids) == ["finished", "retrying"]
    assert len(beside.jobs.attempts(bad.id)) == 1
