"""How the queue stands, on every engine."""

from __future__ import annotations

import pytest

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
    [early, _] = put(store, new(queue="a", available_at=later(store, 0.05)), new(queue="a"))
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
