"""When a queue is healthy again, and that one host is told so."""

from __future__ import annotations

from cronq.store import Store
from tests.contract.steps import claim, end, new, put


def test_a_queue_is_healthy_when_every_job_of_it_that_somebody_was_told_of_is_well(store: Store, other: Store) -> None:
    first, second = put(store, new(), new())
    for job in claim(store):
        end(store, job, "error", "fail")
    store.troubles.mark([first, second])
    other.troubles.mark([first])
    assert not other.troubles.any_healed()
    store.cancel([first])
    assert store.troubles.take_healed() == []
    store.retry([second])
    assert not store.troubles.any_healed()
    [job] = claim(store)
    end(store, job)
    assert other.troubles.any_healed()
    assert other.troubles.take_healed() == ["default"]
    assert store.troubles.take_healed() == []
    assert not store.troubles.any_healed()


def test_a_job_that_was_removed_troubles_nobody(store: Store) -> None:
    [gone, well] = put(store, new(), new(queue="other"))
    store.troubles.mark([gone, well])
    store.cancel([gone])
    assert sum(store.clear({"cancelled"}, older_than=-1)) == 1
    assert store.troubles.take_healed() == ["default"]
    store.cancel([well])
    assert store.troubles.take_healed() == ["other"]
