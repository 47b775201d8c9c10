"""Editing jobs that aren't running."""

from __future__ import annotations

from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, claimed_ids, end, later, new, put, states, stored


def test_queue_priority_and_limits_of_what_has_not_ended_and_does_not_run(store: Store) -> None:
    running, ended, ready, scheduled = put(
        store, new(priority=1), new(priority=2), new(priority=3), new(available_at=later(store, 60))
    )
    _, over = claim(store, 2)
    end(store, over)
    everything = [running, ended, ready, scheduled]
    changes = {"queue": "slow", "priority": 9, "max_attempts": 3, "time_limit": 5.0}
    assert store.editor.edit([*everything, 99], changes) == [ready, scheduled]
    assert states(store, everything) == ["running", "finished", "ready", "scheduled"]
    for job_id in (ready, scheduled):
        job = stored(store, job_id)
        assert (job.queue, job.priority, job.max_attempts, job.time_limit) == ("slow", 9, 3, 5.0)
    assert stored(store, running).queue == "default"
    assert [action.verb for action in store.actions.of_job(ready)] == ["edited"]
    assert store.actions.of_job(running) == []
    assert store.editor.edit([ready], {"priority": 9}) == [ready]


def test_the_time_decides_between_scheduled_and_ready(store: Store, clock: ManualClock) -> None:
    ready, scheduled, broken = put(store, new(priority=9), new(available_at=later(store, 60)), new(priority=1))
    end(store, claim(store, 1)[0], "error")
    assert store.editor.edit([ready, broken], {"available_at": later(store, 30)}) == [ready, broken]
    assert store.editor.edit([scheduled], {"available_at": clock.now()}) == [scheduled]
    assert states(store, [ready, scheduled, broken]) == ["scheduled", "ready", "retrying"]
    assert claimed_ids(store) == [scheduled]
    assert store.editor.edit([broken], {"available_at": clock.now()}) == [broken]
    assert (stored(store, broken).state, stored(store, broken).attempt) == ("ready", 1)


def test_a_job_moves_between_groups(store: Store) -> None:
    holder, behind, free, third = put(store, new(group="g"), new(group="g"), new(priority=90), new(group="g"))
    (held,) = claim(store, 1)
    assert states(store, [holder, behind, free, third]) == ["running", "blocked", "ready", "blocked"]
    assert store.editor.edit([behind], {"group": None}) == [behind]
    assert store.editor.edit([free], {"group": "g"}) == [free]
    assert states(store, [behind, free]) == ["ready", "blocked"]
    end(store, held, "error")
    assert store.editor.edit([holder], {"group": "h"}) == []
    assert store.editor.edit([holder], {"priority": 1}) == [holder]
    assert stored(store, holder).group == "g"
    store.admin.cancel([holder])
    assert sorted(states(store, [third, free])) == ["blocked", "ready"]
    front = third if stored(store, third).state == "ready" else free
    assert store.editor.edit([front], {"group": "h"}) == [front]
    assert states(store, [third, free]) == ["ready", "ready"]
    assert sorted(claimed_ids(store)) == sorted([behind, third, free])
