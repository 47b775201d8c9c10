"""When a queue is healthy again, and that one host is told so."""

from __future__ import annotations

from cronq.store import Store
from tests.contract.steps import claim, end, new, put


def test_a_queue_is_healthy_when_every_job_of_it_with_a_notice_is_well(store: Store, other: Store) -> None:
    first, second = put(store, new(), new())
    for job in claim(store):
        end(store, job, "error", "fail")
    store.incidents.mark([first, second])
    other.incidents.mark([first])
    assert not other.incidents.any_recovered()
    store.admin.cancel([first])
    assert store.incidents.take_recovered() == []
    store.admin.retry([second])
    assert not store.incidents.any_recovered()
    [job] = claim(store)
    end(store, job)
    assert other.incidents.any_recovered()
    assert other.incidents.take_recovered() == ["default"]
    assert store.incidents.take_recovered() == []
    assert not store.incidents.any_recovered()


def test_a_job_that_was_removed_is_no_incident(store: Store) -> None:
    [gone, well] = put(store, new(), new(queue="other"))
    store.incidents.mark([gone, well])
    store.admin.cancel([gone])
    assert sum(store.admin.clear({"cancelled"}, older_than=-1)) == 1
    assert store.incidents.take_recovered() == ["default"]
    store.admin.cancel([well])
    assert store.incidents.take_recovered() == ["other"]
