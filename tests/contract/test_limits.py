"""Jobs under limits: never more than n, no leaked place, nothing that waits for ever."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import create_engine

from cronq.config.loader import Config
from cronq.model.dependencies import After
from cronq.model.limits import Bounds, Limit
from cronq.store import Lease, Store
from cronq.testing import ManualClock
from tests.contract.limit_steps import ONE, STRIPE, counts, loose_ends, mails
from tests.contract.steps import claim, claimed_ids, end, ending, finish, later, new, outcome, put, states, stored

# Places


def test_only_so_many_are_in_the_line(store: Store) -> None:
    ids = mails(store, 5)
    assert states(store, ids) == ["ready", "ready", "pending", "pending", "pending"]
    jobs = claim(store)
    assert [job.id for job in jobs] == ids[:2]
    assert claim(store) == []
    finish(store, jobs[:1])
    assert states(store, ids) == ["finished", "running", "ready", "pending", "pending"]
    finish(store, [*jobs[1:], *claim(store)])
    finish(store, claim(store))
    assert counts(store, ids) == {"finished": 5}
    assert loose_ends(store) == 0


def test_those_that_wait_for_a_place_are_counted(store: Store) -> None:
    mails(store, 5)
    assert sorted(store.jobs.counts()) == [("default", "pending", 3), ("default", "ready", 2)]


def test_single_jobs_one_after_the_other(store: Store) -> None:
    ids = [mails(store, 1)[0] for _ in range(3)]
    assert states(store, ids) == ["ready", "ready", "pending"]


def test_the_best_goes_first(store: Store) -> None:
    first = mails(store, 2)
    usual, urgent = mails(store, 1)[0], mails(store, 1, priority=1)[0]
    finish(store, claim(store, 1))
    assert stored(store, urgent).state == "ready"
    assert stored(store, usual).state == "pending"
    assert counts(store, first) == {"finished": 1, "ready": 1}


def test_jobs_of_other_limits_and_of_none_go_on(store: Store) -> None:
    """river#1145: a limit halves the throughput of all jobs."""
    mails(store, 5)
    one = mails(store, 2, ONE)
    [free] = put(store, new())
    assert states(store, [*one, free]) == ["ready", "pending", "ready"]


def test_each_value_has_its_own(store: Store) -> None:
    ids = [mails(store, 2, Limit(f"customer:{n}", "customer:*", Bounds(1))) for n in range(3)]
    assert [states(store, pair) for pair in ids] == [["ready", "pending"]] * 3


def test_an_attempt_that_failed_gives_its_place_away_and_waits_for_another(store: Store, clock: ManualClock) -> None:
    first, second = mails(store, 2, ONE)
    end(store, claim(store)[0], "error")
    assert states(store, [first, second]) == ["retrying", "ready"]
    clock.advance(3600)
    assert store.leases.promote(clock.now()) == 1
    assert states(store, [first, second]) == ["pending", "ready"]
    finish(store, claim(store))
    assert states(store, [first, second]) == ["ready", "finished"]
    [job] = claim(store)
    assert (job.id, job.attempt) == (first, 2)
    end(store, job, "snoozed", "snooze", delay=60.0)
    clock.advance(61)
    store.leases.promote(clock.now())
    assert stored(store, first).state == "ready"


@pytest.mark.parametrize("ending", [("error", "fail"), ("", "skip"), ("crashed", "cancel")])
def test_every_end_frees_the_place(store: Store, ending: tuple[str, str]) -> None:
    _, second = mails(store, 2, ONE)
    end(store, claim(store)[0], *ending)
    assert stored(store, second).state == "ready"


def test_cancelled_ones_take_no_place(store: Store) -> None:
    ids = mails(store, 4, ONE)
    assert store.admin.cancel([ids[1]]) == [ids[1]]
    assert states(store, ids) == ["ready", "cancelled", "pending", "pending"]
    store.admin.cancel([ids[0]])
    assert states(store, ids) == ["cancelled", "cancelled", "ready", "pending"]
    store.admin.retry(ids[:2])
    assert states(store, ids) == ["pending", "pending", "ready", "pending"]
    for _ in range(4):
        finish(store, claim(store))
    assert counts(store, ids) == {"finished": 4}


def test_a_place_is_freed_once_though_its_end_is_written_twice(store: Store, clock: ManualClock) -> None:
    """solid_queue#761: a semaphore that was freed twice let one job too many run."""
    ids = mails(store, 6)
    jobs = claim(store)
    finish(store, jobs[:1])
    finish(store, jobs[:1])
    clock.advance(61)
    [held] = [job for job in store.leases.take_over("one", new_owner="two") if job.job.id == jobs[1].id]
    assert store.settle([ending(jobs[1], outcome(store))]) == [jobs[1].id], "it has lost its lease"
    assert counts(store, ids) == {"finished": 1, "pending": 3, "ready": 1, "running": 1}
    finish(store, [held.job])
    store.keep_limits()
    assert counts(store, ids) == {"finished": 2, "pending": 2, "ready": 2}


def test_a_claim_that_was_given_back_keeps_its_place(store: Store) -> None:
    first, second = mails(store, 2, ONE)
    store.release(claim(store))
    assert states(store, [first, second]) == ["ready", "pending"]


def test_scheduled_ones_wait_when_they_are_due(store: Store, clock: ManualClock) -> None:
    [scheduled] = mails(store, 1, ONE, available_at=later(store, 60))
    [first] = mails(store, 1, ONE)
    assert states(store, [scheduled, first]) == ["scheduled", "ready"]
    clock.advance(61)
    store.leases.promote(clock.now())
    assert states(store, [scheduled, first]) == ["pending", "ready"]
    with pytest.raises(Exception, match="pending"):
        store.claim_one(scheduled, Lease("one", now=clock.now(), seconds=60))


def test_one_that_is_due_but_not_promoted_is_not_started_at_once(store: Store, clock: ManualClock) -> None:
    [scheduled] = mails(store, 1, ONE, available_at=later(store, 60))
    clock.advance(61)
    with pytest.raises(Exception, match="pending"):
        store.claim_one(scheduled, Lease("one", now=clock.now(), seconds=60))


def test_after_others_and_under_a_limit(store: Store) -> None:
    parent, child, free = put(store, new(), new(limit=ONE, after=(After(0, here=True),)), new(limit=ONE))
    assert states(store, [parent, child, free]) == ["ready", "pending", "ready"]
    finish(store, [job for job in claim(store) if job.id == parent])
    assert states(store, [parent, child, free]) == ["finished", "pending", "running"]
    [held] = store.leases.held_by("one")
    finish(store, [held.job])
    assert stored(store, child).state == "ready"


def test_what_comes_after_a_limited_one(store: Store) -> None:
    first, second = put(store, new(limit=ONE), new(after=(After(0, here=True),)))
    finish(store, claim(store))
    assert states(store, [first, second]) == ["finished", "ready"]


def test_a_unique_job_that_exists_is_not_put_under_the_limit_twice(store: Store) -> None:
    one = mails(store, 1, ONE, key="k", unique=True)
    assert mails(store, 1, ONE, key="k", unique=True) == one
    assert claimed_ids(store) == one


def test_pruned_jobs_leave_nothing(store: Store) -> None:
    mails(store, 3)
    while jobs := claim(store):
        finish(store, jobs)
    assert sum(store.admin.clear({"finished"}, older_than=-1)) == 3
    assert store._tables.query(f"SELECT count(*) FROM {store._sql.names.limited}")[0][0] == 0


def test_an_edited_priority_counts(store: Store) -> None:
    ids = mails(store, 4, ONE)
    store.editor.edit([ids[3]], {"priority": 1})
    finish(store, claim(store))
    assert stored(store, ids[3]).state == "ready"


def test_the_limit_of_a_job_and_of_its_copies(store: Store) -> None:
    seven = Limit("customer:7", "customer:*", Bounds(1))
    [limited], [free] = mails(store, 1, seven), put(store, new())
    assert (store.limit_reader.name_of(limited), store.limit_reader.name_of(free)) == ("customer:7", None)
    assert store.definitions.of([limited, free]) == {limited: seven}


# What is lost and found


def test_a_consequence_that_was_lost_is_drawn_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _, second = mails(store, 2, ONE)
    with monkeypatch.context() as patched:
        patched.setattr(store._settler, "_follow_up", lambda: 0)
        finish(store, claim(store))
    assert (stored(store, second).state, loose_ends(store)) == ("pending", 1)
    store.follow_up()
    assert (stored(store, second).state, loose_ends(store)) == ("ready", 0)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_start_counts_though_what_follows_its_end_was_lost(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, *, by_hand: bool
) -> None:
    ids = mails(store, 7, STRIPE)
    with monkeypatch.context() as patched:
        patched.setattr(store._settler, "_follow_up", lambda: 0)
        for job in claim(store):
            if by_hand:
                finish(store, [job])
            else:
                end(store, job, "snoozed", "snooze", delay=1.0)
    clock.advance(2)
    if by_hand:
        assert store.admin.retry(ids[:3]) == ids[:3]
    else:
        assert store.leases.promote(clock.now()) == 3
    store.follow_up()
    assert counts(store, ids) == {"pending": 7}
    clock.advance(9)
    assert store.open_rates() == 3


def test_even_without_its_note(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """solid_queue#478: 390,000 blocked jobs were never let go."""
    _, second = mails(store, 2, ONE)
    with monkeypatch.context() as patched:
        patched.setattr(store._settler, "_follow_up", lambda: 0)
        finish(store, claim(store))
    store._tables.open().execute(f"DELETE FROM {store._sql.names.loose_ends}")
    assert store.keep_limits() == 1
    assert stored(store, second).state == "ready"


def test_a_dead_runners_jobs_keep_their_places_until_they_are_rescued(store: Store, clock: ManualClock) -> None:
    first, second = mails(store, 2, ONE)
    claim(store, worker="dead")
    clock.advance(61)
    store.keep_limits()
    assert states(store, [first, second]) == ["running", "pending"]
    [held] = store.leases.take_over("dead", new_owner="heir")
    end(store, held.job, "crashed", "rescue")
    assert states(store, [first, second]) == ["ready", "pending"]  # it goes on with the place that it has
    finish(store, claim(store))
    assert stored(store, second).state == "ready"


def test_a_place_moves_on_from_a_queue_that_is_paused(store: Store, clock: ManualClock) -> None:
    first, second = mails(store, 1, ONE, queue="stopped")[0], mails(store, 1, ONE, queue="mail")[0]
    _listen(store)
    store.admin.pause("stopped")
    store.keep_limits()
    assert states(store, [first, second]) == ["ready", "pending"]
    clock.advance(61)
    store.workers.heartbeat("worker", _beat())
    store.keep_limits()
    assert states(store, [first, second]) == ["pending", "ready"]
    finish(store, claim(store))
    assert states(store, [first, second]) == ["ready", "finished"]


def test_a_place_moves_on_where_nothing_listens(store: Store, clock: ManualClock) -> None:
    first, second = mails(store, 1, ONE, queue="reports")[0], mails(store, 1, ONE, queue="mail")[0]
    _listen(store, "mail")
    clock.advance(61)
    store.workers.heartbeat("worker", _beat())
    store.keep_limits()
    assert states(store, [first, second]) == ["pending", "ready"]


def _listen(store: Store, queues: str = "") -> None:
    from cronq.storage.workers import Registration

    store.workers.register(Registration("worker", "work", "here", 1, queues, "1"))


def _beat() -> Any:
    from cronq.storage.workers import Heartbeat

    return Heartbeat()


# Races


def test_two_admit_at_once(store: Store, config: Config) -> None:
    ids = mails(store, 40, Limit("ten", "ten", Bounds(3)))
    most: list[int] = []

    def work(worker: str) -> None:
        with Store(config, ManualClock()) as own:
            while jobs := _next(own, worker):
                most.append(len(own.leases.held_by("one")) + len(own.leases.held_by("two")))
                finish(own, jobs)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counts(store, ids) == {"finished": 40}
    assert max(most) <= 3


def _next(store: Store, worker: str) -> list[Any]:
    for _ in range(50):
        if jobs := claim(store, 2, worker=worker):
            return jobs
        store.keep_limits()
    return []


def test_a_limit_is_lowered_while_it_admits(store: Store, config: Config) -> None:
    ids = mails(store, 60, Limit("ten", "ten", Bounds(10)))
    stop = threading.Event()

    def change() -> None:
        with Store(config, ManualClock()) as own:
            number = 0
            while not stop.is_set():
                number += 1
                own.limits.admit(own.definitions.set("ten", Bounds(1 + number % 10), None) or ())
            own.limits.admit(own.definitions.set("ten", Bounds(), None) or ())

    thread = threading.Thread(target=change)
    thread.start()
    done = 0
    for _ in range(2000):
        jobs = claim(store, 5)
        assert len(jobs) <= 10
        finish(store, jobs)
        done += len(jobs)
        if done == len(ids):
            break
    stop.set()
    thread.join(60)
    assert counts(store, ids) == {"finished": 60}


def test_in_a_callers_transaction(store: Store, config: Config) -> None:
    store.prepare()
    url = config.database
    engine = create_engine(url)
    with engine.begin() as connection:
        ids = [one.id for one in store.enqueue_through(connection, [new(limit=ONE), new(limit=ONE)])]
    engine.dispose()
    assert states(store, ids) == ["ready", "pending"]


def test_one_that_comes_after_another_has_its_place_as_soon_as_that_has_ended(store: Store) -> None:
    [parent] = put(store, new())
    first, second = put(store, *[new(after=(After(parent),), limit=ONE) for _ in range(2)])
    finish(store, claim(store))
    assert states(store, [first, second]) == ["ready", "pending"]
    assert loose_ends(store) == 0
