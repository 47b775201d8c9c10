"""No job under a limit is ready without a place, though another process changes it at the same moment."""

from __future__ import annotations

from functools import partial

from cronq.flow.relimiting import Relimiter
from cronq.model.limits import Bounds, Limit
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, claimed_ids, end, finish, later, new, put, states

ONE = Limit("one", "one", Bounds(1))


def test_two_runners_promote_the_same_job(store: Store, other: Store, clock: ManualClock) -> None:
    first, second = put(store, new(limit=ONE), new(limit=ONE, priority=99))
    end(store, claim(store)[0], "snoozed", "snooze", delay=5.0)
    finish(store, claim(store))
    clock.advance(6)
    now = clock.now()
    seen_by_both = other.tables.query(other.tables.sql.leases.due, (now, 100))
    store.leases.promote(now)
    assert states(store, [first, second]) == ["ready", "finished"]
    assert other.tables.open().transact(partial(other.leases._promote, seen_by_both, now)) == 0
    third = put(store, new(limit=ONE))[0]
    other.keep_limits()
    assert states(store, [first, third]) == ["ready", "pending"]


def test_a_job_is_put_under_a_limit_while_it_is_promoted(store: Store, other: Store, clock: ManualClock) -> None:
    [place], [job] = put(store, new(limit=ONE)), put(store, new(available_at=later(store, 5.0)))
    clock.advance(6)
    now = clock.now()
    seen = other.tables.query(other.tables.sql.leases.due, (now, 100))
    assert Relimiter(store.tables, store._groups, store.definitions, store.actions, follow_up=lambda: None).change(
        [job], ONE
    ) == [job]
    assert other.tables.open().transact(partial(other.leases._promote, seen, now)) == 0
    assert states(store, [place, job]) == ["ready", "scheduled"]
    other.leases.promote(now)
    assert states(store, [place, job]) == ["ready", "pending"]
    finish(store, claim(store))
    assert states(store, [place, job]) == ["finished", "ready"]


def test_a_job_is_taken_off_its_limit_while_it_is_promoted(store: Store, other: Store, clock: ManualClock) -> None:
    [job] = put(store, new(limit=ONE, available_at=later(store, 5.0)))
    clock.advance(6)
    now = clock.now()
    seen = other.tables.query(other.tables.sql.leases.due, (now, 100))
    assert Relimiter(store.tables, store._groups, store.definitions, store.actions, follow_up=lambda: None).change(
        [job], None
    ) == [job]
    assert other.tables.open().transact(partial(other.leases._promote, seen, now)) == 0
    assert states(store, [job]) == ["scheduled"], "pending, it would wait for ever: no limit knows it"
    other.leases.promote(now)
    assert claimed_ids(store) == [job]


def test_a_blocked_job_is_taken_out_of_its_group(store: Store) -> None:
    [blocked] = put(store, new(group="a", limit=ONE))
    [holder] = put(store, new(group="a", priority=1))
    assert claimed_ids(store, 1) == [holder]
    [place] = put(store, new(limit=ONE))
    assert states(store, [blocked, place]) == ["blocked", "ready"]
    assert store.editor.edit([blocked], {"group": None}) == [blocked]
    store.leases.promote(store.clock.now())
    assert states(store, [blocked, place]) == ["pending", "ready"]
    finish(store, claim(store))
    assert states(store, [blocked, place]) == ["ready", "finished"]


def test_a_blocked_job_that_lost_its_place_follows_no_other(store: Store, clock: ManualClock) -> None:
    [blocked] = put(store, new(group="a", limit=ONE))
    [holder] = put(store, new(group="a", priority=1))
    [job] = claim(store, 1)
    [place] = put(store, new(limit=ONE))
    assert states(store, [blocked, holder, place]) == ["blocked", "running", "ready"]
    end(store, job, "snoozed", "snooze", delay=5.0)
    clock.advance(6)
    store.leases.promote(clock.now())
    jobs = claim(store)
    assert sorted(job.id for job in jobs) == [holder, place]
    finish(store, jobs)
    store.leases.promote(clock.now())
    assert claimed_ids(store) == [blocked]
