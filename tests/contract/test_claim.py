"""Taking jobs: which ones, in which order, and never twice."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from cronq.config.loader import Config
from cronq.model.selection import Filter
from cronq.store import Lease, Store
from cronq.testing import ManualClock
from cronq.times import Clock
from tests.contract.steps import LEASE, claim, claimed_ids, end, finish, later, new, put, states, stored


def test_order_across_queues(store: Store, clock: ManualClock) -> None:
    last, second, fourth = put(store, new(queue="a", priority=60), new(queue="b", priority=10), new(queue="c"))
    clock.advance(1)
    first, fifth = put(store, new(queue="a", priority=5), new(queue="a"))
    (third,) = put(store, new(queue="b", available_at=later(store, -3600)))
    assert claimed_ids(store, 2) == [first, second]
    assert claimed_ids(store) == [third, fourth, fifth, last]
    assert claimed_ids(store) == []


def test_a_claim_counts_the_attempt_and_takes_a_lease(store: Store, clock: ManualClock) -> None:
    (job_id,) = put(store, new(args='{"n":1}'))
    (job,) = claim(store, worker="host-1")
    assert (job.id, job.attempt, job.args, job.state) == (job_id, 1, '{"n":1}', "running")
    row = stored(store, job_id)
    assert (row.state, row.attempt, row.worker) == ("running", 1, "host-1")
    assert row.host
    assert store.leases.owners() == ["host-1"]
    ((held, claimed_at, until),) = store.leases.held_by("host-1")
    assert (held, claimed_at, until) == (job, clock.now(), clock.now() + LEASE)


def test_limit(store: Store) -> None:
    ids = put(store, *[new()] * 5)
    assert claimed_ids(store, 0) == []
    assert claimed_ids(store, 3) == ids[:3]
    assert states(store, ids) == ["running"] * 3 + ["ready"] * 2


@pytest.mark.parametrize(
    ("queues", "taken"),
    [
        ((), {"shop", "shop2", "shop.mail", "other", "a[1]"}),
        (("shop",), {"shop"}),
        (("shop*",), {"shop", "shop2", "shop.mail"}),
        (("shop*", "!shop2"), {"shop", "shop.mail"}),
        (("!shop*",), {"other", "a[1]"}),
        (("a[1]",), {"a[1]"}),
        (("SHOP",), set()),
    ],
)
def test_queues(store: Store, queues: tuple[str, ...], taken: set[str]) -> None:
    put(store, *(new(queue=queue) for queue in ("shop", "shop2", "shop.mail", "other", "a[1]")))
    assert {job.queue for job in claim(store, wanted=Filter(queues))} == taken


def test_priorities_are_inclusive(store: Store) -> None:
    put(store, *(new(priority=priority) for priority in (0, 10, 20, 30, 999)))
    assert [job.priority for job in claim(store, wanted=Filter(lowest=10, highest=20))] == [10, 20]
    assert [job.priority for job in claim(store)] == [0, 30, 999]


def test_nothing_future_is_claimed_until_it_is_promoted(store: Store, clock: ManualClock) -> None:
    soon, late = put(store, new(available_at=later(store, 1)), new(available_at=later(store, 2)))
    assert claimed_ids(store) == []
    assert store.leases.next_due() == later(store, 1)
    assert store.leases.promote(clock.now()) == 0
    clock.advance(1)
    assert store.leases.promote(clock.now()) == 1
    assert claimed_ids(store) == [soon]
    clock.advance(1)
    assert store.leases.promote(clock.now()) == 1
    assert claimed_ids(store) == [late]
    assert store.leases.next_due() is None


def test_promotion_goes_on_after_a_batch(store: Store, clock: ManualClock) -> None:
    put(store, *[new(available_at=later(store, 1))] * 2300)
    clock.advance(1)
    assert store.leases.promote(clock.now()) == 2300
    assert store.jobs.backlog() == 2300


def test_a_thousand_postponed_jobs_that_come_first_delay_no_other(store: Store) -> None:
    put(store, *[new(priority=1, available_at=later(store, 60))] * 500, *[new(priority=1)] * 500)
    for job in claim(store, 500):
        end(store, job, "snoozed", "snooze", delay=60.0)
    (last,) = put(store, new(priority=999))
    assert claimed_ids(store, 1) == [last]


def test_a_group_that_comes_first_delays_no_other_job(store: Store) -> None:
    put(store, *[new(priority=1, group="g")] * 1000)
    (holder,) = claim(store, 1)
    end(store, holder, "snoozed", "snooze", delay=60.0)
    (last,) = put(store, new(priority=999))
    assert claimed_ids(store, 1) == [last]


def test_paused_queues(config: Config, store: Store) -> None:
    ids = put(store, new(queue="a"), new(queue="b"))
    store._tables.open().execute(f"INSERT INTO {config.table_prefix}paused VALUES ('a', 0)")
    assert store.jobs.paused() == {"a"}
    assert claimed_ids(store) == [ids[1]]


def test_a_claim_reads_once_before_its_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, tables, asked = put(store, new(queue="a"), new(queue="b")), store._tables, list[str]()
    query = tables.query

    def counted(sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        asked.append(sql)
        return query(sql, parameters)

    monkeypatch.setattr(tables, "query", counted)
    assert claimed_ids(store) == ids
    assert asked == [tables.sql.claim.claimable_queues]


def test_weights_are_one_by_rank(store: Store) -> None:
    store._claimer._random = random.Random(1)
    put(store, *[new(queue=queue) for queue in ("a", "b", "c")])
    wanted = Filter(("a", "b", "c"), weighted=True)
    count: Counter[str] = Counter()
    for _ in range(220):
        jobs = claim(store, 1, wanted=wanted)
        count[jobs[0].queue] += 1
        store.release(jobs)
    for queue, expected in {"a": 120, "b": 60, "c": 40}.items():
        assert count[queue] == pytest.approx(expected, abs=20)


def test_weights_go_on_to_a_queue_that_has_something(store: Store) -> None:
    put(store, *[new(queue="a", priority=90)] * 3)
    (only,) = put(store, new(queue="z", priority=5))
    wanted = Filter(("a", "z"), weighted=True, highest=10)
    assert claimed_ids(store, 1, wanted=wanted) == [only]
    assert claimed_ids(store, 1, wanted=wanted) == []


def _claim_all(config: Config, name: str, start: object, answers: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    taken: list[int] = []
    with Store(config, Clock()) as store:
        while jobs := store.claim(Filter(), Lease(name, now=store.clock.now(), seconds=60), limit=7):
            taken += [job.id for job in jobs]
            finish(store, jobs)
    answers.put(taken)  # type: ignore[attr-defined]


def test_two_connections_share_without_overlap(config: Config, store: Store) -> None:
    ids = put(store, *[new()] * 400)
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_claim_all, args=(config, name, start, answers)) for name in ("a", "b")]
    store.close()
    for process in processes:
        process.start()
    taken = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(taken[0] + taken[1]) == ids
    assert {stored(store, job_id).attempt for job_id in ids} == {1}
