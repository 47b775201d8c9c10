"""How the queue stands, on every engine."""

from __future__ import annotations

import pytest

from cronq.model.batch import NewBatch
from cronq.model.limits import Bounds, Limit
from cronq.model.selection import Filter
from cronq.storage import stats
from cronq.storage.workers import Registration
from cronq.store import Store
from cronq.times import Clock
from tests.contract.steps import claim, end, finish, later, new, put, stored


@pytest.fixture
def clock() -> Clock:
    """The real one: the statistics read the database's."""
    return Clock()


def test_counts_by_queue_and_state(store: Store) -> None:
    put(store, *[new(queue="a") for _ in range(3)], new(queue="b", available_at=later(store, 100)), new(group="g"))
    [finished, failed, running] = claim(store, 3, wanted=Filter(("a",)))
    finish(store, [finished])
    end(store, failed, "error", "fail")
    claim(store, wanted=Filter(("default",)))
    put(store, new(group="g"), new(queue="a"))
    assert running.queue == "a"
    assert store.jobs.counts() == [
        ("a", "failed", 1),
        ("a", "finished", 1),
        ("a", "ready", 1),
        ("a", "running", 1),
        ("b", "scheduled", 1),
        ("default", "blocked", 1),
        ("default", "running", 1),
    ]
    stats = store.jobs.stats()
    assert stats.counts == store.jobs.counts()
    assert stats.total("running") == 2
    assert stats.total("running", ["b"]) == 0
    assert list(stats.due_since) == ["a"]


def test_the_oldest_due_job_counts_before_it_is_promoted(store: Store) -> None:
    store.synchronise()
    [early, _] = put(store, new(queue="a", available_at=later(store, 60)), new(queue="a"))
    stats = store.jobs.stats()
    assert stats.ready_since["a"] == stats.oldest_due()
    put(store, new(queue="a", available_at=later(store, -100)))
    due = store.jobs.stats()
    assert due.age(due.oldest_due()) == pytest.approx(100, abs=30)
    assert due.oldest_due(["b"]) is None
    assert stored(store, early).state == "scheduled"


def test_who_works(store: Store) -> None:
    store.prepare()
    store.workers.register(Registration("w1", "work", "h", 1, "mail !mail.bulk", "1"))
    store.workers.register(Registration("w2", "run", "h", 2, "", "1"))
    stats = store.jobs.stats()
    assert [worker.name for worker in stats.workers] == ["w1", "w2"]
    assert [worker.name for worker in stats.listeners("mail")] == ["w1", "w2"]
    assert [worker.name for worker in stats.listeners("other")] == ["w2"]
    assert stats.silent == []


def test_what_happened_lately(store: Store) -> None:
    put(store, *[new(queue="a") for _ in range(3)], new(queue="b"))
    jobs = claim(store)
    finish(store, jobs[:2])
    end(store, jobs[2], "error", "fail")
    end(store, jobs[3], "timeout")
    taken = stats.take_recent(store._config)
    assert taken is not None
    seen, lately = taken
    assert lately.newest_id == max(job.id for job in jobs)
    assert lately.ended == [("a", "failed", 1), ("a", "finished", 2)]
    assert lately.outcomes == [("error", 1), ("timeout", 1)]
    assert lately.durations == [("a", 2, 1.0, 1.0)]
    assert seen.total("retrying") == 1


# Limits and batches


def test_how_limits_stand(store: Store) -> None:
    two, each = Limit("smtp", "smtp", Bounds(2)), Limit("customer:7", "customer:*", Bounds(1))
    put(store, *[new(limit=two) for _ in range(5)], *[new(limit=each) for _ in range(2)])
    claim(store, 1)
    assert [(one.name, one.bounds.concurrency, one.taken, one.pending) for one in store.limit_reader.all()] == [
        ("customer:*", 1, 0, 0),
        ("customer:7", 1, 1, 1),
        ("smtp", 2, 2, 3),
    ]
    names = store._sql.names
    store._tables.open().execute(f"UPDATE {names.limited} SET due_at = due_at - 100000000 WHERE limit_name = 'smtp'")
    seen = store.jobs.stats()
    assert [one.name for one in seen.waiting_limits] == ["smtp", "customer:7"]
    smtp = seen.waiting_limits[0]
    assert smtp.is_full
    assert smtp.waited(seen.now) == pytest.approx(100, abs=30)
    store.definitions.set("customer:*", Bounds(3), None)
    assert [one.bounds.concurrency for one in store.jobs.stats().limits] == [3, 3, 2]


def test_jobs_that_were_cancelled_wait_for_no_place(store: Store) -> None:
    ids = put(store, *[new(limit=Limit("one", "one", Bounds(1))) for _ in range(3)])
    store.admin.cancel(ids[1:2])
    [one] = store.jobs.stats().limits
    assert (one.taken, one.pending) == (1, 1)


def test_batches_that_have_not_ended_and_those_that_were_left_open(store: Store) -> None:
    opened = [store.batches.open(NewBatch(name, jobs=[new()])) for name in ("idle", "busy", "young")]
    store.batches.open(NewBatch("empty"))
    store.batches.open(NewBatch("closed", jobs=[new()], closed=True))
    names, database = store._sql.names, store._tables.open()
    finish(store, [job for job in claim(store) if job.id in {opened[0].jobs[0].id, opened[2].jobs[0].id}])
    assert store.jobs.stats().batches.left_open == []
    long_ago = later(store, -7200)
    database.execute(f"UPDATE {names.batches} SET opened_at = ?, opened_by = 'ann@web1'", (long_ago,))
    database.execute(f"UPDATE {names.jobs} SET finished_at = ? WHERE id = ?", (long_ago + 1, opened[0].jobs[0].id))
    seen = store.jobs.stats().batches
    assert (seen.open, seen.running) == (4, 1)
    assert [(left.batch.name, left.idle_since) for left in seen.left_open] == [
        ("idle", long_ago + 1),
        ("empty", long_ago),
    ]
    assert seen.left_open[0].text().startswith("batch 1 (idle), opened by ann@web1 at ")
