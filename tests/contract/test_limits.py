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
from tests.contract.steps import ALL, claim, claimed_ids, end, ending, finish, later, new, outcome, put, states, stored

SMTP = Limit("smtp", "smtp", Bounds(2))
ONE = Limit("one", "one", Bounds(1))
STRIPE = Limit("stripe", "stripe", Bounds(None, 3, 10_000_000))


def mails(store: Store, number: int, limit: Limit = SMTP, **fields: Any) -> list[int]:
    return put(store, *[new(limit=limit, **fields) for _ in range(number)])


def counts(store: Store, ids: list[int]) -> dict[str, int]:
    found = states(store, ids)
    return {state: found.count(state) for state in sorted(set(found))}


def loose_ends(store: Store) -> int:
    return int(store._tables.query(f"SELECT count(*) FROM {store._sql.names.loose_ends}")[0][0])


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


# Fewer and more


def test_fewer_places_send_ready_ones_back(store: Store) -> None:
    ids = mails(store, 6, Limit("smtp", "smtp", Bounds(4)))
    [running] = claim(store, 1)
    changed = store.definitions.set("smtp", Bounds(2), None)
    assert changed == ["smtp"]
    store.limits.admit(changed)
    assert states(store, ids) == ["running", "ready", "pending", "pending", "pending", "pending"]
    finish(store, [running])
    assert counts(store, ids) == {"finished": 1, "pending": 3, "ready": 2}


def test_running_ones_go_on_when_there_are_fewer_places(store: Store) -> None:
    ids = mails(store, 4)
    jobs = claim(store)
    store.limits.admit(store.definitions.set("smtp", Bounds(1), None) or ())
    finish(store, jobs[:1])
    assert states(store, ids) == ["finished", "running", "pending", "pending"]
    finish(store, jobs[1:])
    assert states(store, ids) == ["finished", "finished", "ready", "pending"]


def test_more_places_let_in_at_once_and_a_reset_takes_them_back(store: Store) -> None:
    ids = mails(store, 6)
    store.limits.admit(store.definitions.set("smtp", Bounds(4), None) or ())
    assert counts(store, ids) == {"pending": 2, "ready": 4}
    store.limits.admit(store.definitions.set("smtp", Bounds(), None) or ())
    assert counts(store, ids) == {"pending": 4, "ready": 2}


def test_a_pattern_that_is_set_counts_for_all_of_its_values(store: Store) -> None:
    ids = [job for n in range(2) for job in mails(store, 3, Limit(f"customer:{n}", "customer:*", Bounds(1)))]
    store.limits.admit(store.definitions.set("customer:*", Bounds(2), None) or ())
    assert counts(store, ids) == {"pending": 2, "ready": 4}
    store.limits.admit(store.definitions.set("customer:0", Bounds(3), None) or ())
    assert counts(store, ids) == {"pending": 1, "ready": 5}


def test_a_changed_configuration_counts_from_the_next_enqueue_on(store: Store) -> None:
    ids = mails(store, 4)
    ids += mails(store, 1, SMTP._replace(bounds=Bounds(3)))
    assert counts(store, ids) == {"pending": 2, "ready": 3}
    assert store.definitions.set("nonsense", Bounds(1), None) is None


# Rates


def test_no_more_starts_than_the_rate(store: Store, clock: ManualClock) -> None:
    ids = mails(store, 7, STRIPE)
    assert counts(store, ids) == {"pending": 4, "ready": 3}
    finish(store, claim(store))
    assert counts(store, ids) == {"finished": 3, "pending": 4}
    assert store.open_rates() == 0
    opening = store.next_opening()
    assert opening is not None
    assert 8_000_000 <= opening - clock.now() <= 10_000_000
    clock.advance(11)
    assert store.open_rates() == 3
    assert counts(store, ids) == {"finished": 3, "pending": 1, "ready": 3}


def test_what_was_let_in_earlier_cannot_burst(store: Store, clock: ManualClock) -> None:
    ids = mails(store, 7, STRIPE)
    clock.advance(3600)
    store.keep_limits()
    store.open_rates()
    assert len(claim(store)) == 3
    assert counts(store, ids) == {"pending": 4, "running": 3}
    store.keep_limits()
    assert claim(store) == []
    clock.advance(5)
    store.keep_limits()
    assert claim(store) == []
    clock.advance(6)
    store.keep_limits()
    assert len(claim(store)) == 3


def test_long_running_jobs_count_once(store: Store, clock: ManualClock) -> None:
    mails(store, 7, STRIPE)
    assert len(claim(store)) == 3
    for _ in range(2):
        clock.advance(10.1)
        store.keep_limits()
        store.open_rates()
        assert claim(store)
    assert len(store.leases.held_by("one")) == 7


def test_a_rate_and_places(store: Store, clock: ManualClock) -> None:
    both = Limit("both", "both", Bounds(2, 3, 10_000_000))
    ids = mails(store, 6, both)
    assert counts(store, ids) == {"pending": 4, "ready": 2}
    finish(store, claim(store))
    assert counts(store, ids) == {"finished": 2, "pending": 3, "ready": 1}
    finish(store, claim(store))
    assert claim(store) == []
    clock.advance(11)
    store.open_rates()
    assert len(claim(store)) == 2


HOURLY = Limit("hourly", "hourly", Bounds(None, 3, 3_600_000_000))


def test_a_start_counts_from_when_the_claim_is_written(store: Store, other: Store, clock: ManualClock) -> None:
    """A claim may wait for the write lock while another process lets jobs in."""
    waiting = Lease("one", now=clock.now(), seconds=3600)
    clock.advance(5)
    ids = mails(other, 7, STRIPE)
    assert [job.id for job in store.claim(ALL, waiting, limit=2)] == ids[:2]
    store.claim_one(ids[2], waiting)
    clock.advance(5.1)
    other.open_rates()
    other.keep_limits()
    assert claim(store) == []
    assert counts(store, ids) == {"pending": 4, "running": 3}
    clock.advance(5)
    assert other.open_rates() == 3


@pytest.mark.parametrize("ending", [("crashed", "rescue"), ("crashed", "interrupted"), ("", "release")])
def test_an_attempt_that_was_cut_off_counts_as_a_start(
    store: Store, other: Store, clock: ManualClock, ending: tuple[str, str]
) -> None:
    ids = mails(store, 4, HOURLY)
    for job in claim(store, worker="dead"):
        end(other, job, *ending)
    assert counts(store, ids) == {"pending": 4}
    assert (claim(store), other.open_rates(), other.keep_limits()) == ([], 0, 0)
    assert 3_500_000_000 < (store.next_opening() or 0) - clock.now() <= 3_600_000_000
    clock.advance(3601)
    assert store.open_rates() == 3
    assert claimed_ids(store) == ids[:3]


def test_one_that_was_cut_off_starts_again_at_once_if_the_rate_allows_it(store: Store) -> None:
    ids = mails(store, 2, HOURLY, group="g")
    [parent, after] = put(store, new(limit=HOURLY), new(after=(After(0, here=True),)))
    for job in claim(store):
        if job.id == parent:
            finish(store, [job])
        else:
            end(store, job, "crashed", "rescue")
    assert states(store, [*ids, parent, after]) == ["ready", "pending", "finished", "ready"]
    assert claimed_ids(store) == [ids[0], after]


def test_a_claim_that_is_given_back_after_the_period_waits_for_another_start(
    store: Store, other: Store, clock: ManualClock
) -> None:
    """A runner that holds claims for longer than the rate's period dies: others were let in for them meanwhile."""
    [first] = mails(store, 1, STRIPE, group="g")
    mails(store, 8, STRIPE)
    held = claim(store, worker="dead")
    assert len(held) == 3
    clock.advance(11)
    assert other.open_rates() == 3
    other.release(held)
    assert states(store, [first]) == ["pending"]
    assert len(claim(store)) == 3
    assert (other.open_rates(), other.keep_limits(), claim(store)) == (0, 0, [])
    clock.advance(11)
    assert other.open_rates() == 3
    assert first in claimed_ids(store)
    assert loose_ends(store) == 0


def test_a_claim_that_is_given_back_at_once_starts_again_at_once(store: Store) -> None:
    ids = mails(store, 4, STRIPE)
    store.release(claim(store))
    assert counts(store, ids) == {"pending": 1, "ready": 3}
    assert claimed_ids(store) == ids[:3]


# Groups


def test_the_first_of_a_group_asks_for_the_place(store: Store) -> None:
    group = mails(store, 3, SMTP, group="g")
    other = mails(store, 2, SMTP)
    assert states(store, group + other) == ["ready", "pending", "pending", "ready", "pending"]
    jobs = {job.id: job for job in claim(store)}
    assert sorted(jobs) == [group[0], other[0]]
    finish(store, [jobs[group[0]]])
    assert states(store, group + other) == ["finished", "pending", "pending", "running", "ready"]
    finish(store, [jobs[other[0]], *claim(store)])
    assert states(store, group + other) == ["finished", "ready", "pending", "finished", "finished"]
    for _ in range(2):
        finish(store, claim(store))
    assert counts(store, group) == {"finished": 3}


def test_a_holder_that_is_retrying_keeps_its_group(store: Store, clock: ManualClock) -> None:
    ids = mails(store, 2, SMTP, group="g")
    end(store, claim(store)[0], "error")
    store.keep_limits()
    assert states(store, ids) == ["retrying", "pending"]
    clock.advance(3600)
    store.leases.promote(clock.now())
    assert states(store, ids) == ["ready", "pending"]
    finish(store, claim(store))
    assert states(store, ids) == ["finished", "ready"]


def test_a_group_with_jobs_that_are_under_no_limit(store: Store) -> None:
    free, limited = put(store, new(group="g"), new(group="g", limit=ONE))
    [job] = claim(store, 1)
    assert job.id == free
    store.keep_limits()
    finish(store, [job])
    store.leases.promote(store.clock.now())
    store.keep_limits()
    assert states(store, [free, limited]) == ["finished", "ready"]
    finish(store, claim(store))
    assert stored(store, limited).state == "finished"


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


@pytest.mark.parametrize("claimed", [True, False], ids=["running", "ready"])
def test_one_behind_a_job_without_a_limit_goes_on_when_that_has_ended(store: Store, claimed: bool) -> None:
    [free] = put(store, new(group="g"))
    jobs = claim(store) if claimed else []
    limited, other = mails(store, 1, ONE, group="g")[0], mails(store, 1, ONE)[0]
    assert states(store, [limited, other]) == ["pending", "ready"], "it takes no place while it can't start"
    jobs += claim(store)
    finish(store, [job for job in jobs if job.id == other])
    assert states(store, [limited]) == ["pending"]
    finish(store, [job for job in jobs if job.id == free])
    assert states(store, [free, limited, other]) == ["finished", "ready", "finished"]
    assert loose_ends(store) == 0


def test_several_without_a_limit_come_first_in_a_group(store: Store) -> None:
    put(store, new(group="g"))
    running = claim(store)
    put(store, new(group="g"))
    [limited] = mails(store, 1, ONE, group="g")
    [last] = put(store, new(group="g"))
    finish(store, running)
    assert states(store, [limited, last]) == ["pending", "blocked"]
    finish(store, claim(store, 1))
    assert states(store, [limited]) == ["ready"]
    assert claimed_ids(store) == [limited, last]


@pytest.mark.parametrize("ending", ["cancel", "edit", "regroup", "fail"])
def test_one_behind_a_job_without_a_limit_goes_on_when_that_leaves(store: Store, ending: str) -> None:
    [free] = put(store, new(group="g"))
    [limited] = mails(store, 1, ONE, group="g")
    assert states(store, [limited]) == ["pending"]
    if ending == "cancel":
        store.admin.cancel([free])
    elif ending == "edit":
        store.editor.edit([free], {"available_at": later(store, 100)})
    elif ending == "regroup":
        store.editor.edit([free], {"group": "h"})
    else:
        end(store, claim(store)[0], "error", "fail")
    assert states(store, [limited]) == ["ready"]


def test_one_behind_another_goes_on_when_that_is_edited_out_of_the_group(store: Store) -> None:
    first, second, third = mails(store, 3, SMTP, group="g")
    assert states(store, [first, second, third]) == ["ready", "pending", "pending"]
    assert store.editor.edit([first], {"group": None}) == [first]
    assert states(store, [first, second, third]) == ["ready", "ready", "pending"]
    assert loose_ends(store) == 0


def test_one_that_is_due_by_an_edit_has_its_place_at_once(store: Store) -> None:
    [scheduled] = mails(store, 1, ONE, available_at=later(store, 3600))
    assert store.editor.edit([scheduled], {"available_at": store.clock.now()}) == [scheduled]
    assert states(store, [scheduled]) == ["ready"]


@pytest.mark.parametrize("waits", [False, True], ids=["ready", "pending"])
def test_one_behind_a_job_that_is_taken_off_its_limit_goes_on_when_that_has_ended(store: Store, waits: bool) -> None:
    others = mails(store, 1, ONE) if waits else []
    first, second = mails(store, 2, ONE, group="g")
    assert store.relimiter.change([first], None) == [first]
    if waits:
        finish(store, [job for job in claim(store) if job.id != first])
        assert counts(store, others) == {"finished": 1}
        [held] = store.leases.held_by("one")
        assert (held.job.id, states(store, [second])) == (first, ["pending"])
        finish(store, [held.job])
    else:
        assert states(store, [first, second]) == ["ready", "pending"]
        finish(store, claim(store))
    assert states(store, [first, second]) == ["finished", "ready"]
    assert loose_ends(store) == 0


# Another limit for jobs that exist


def test_a_place_is_handed_on_when_its_job_leaves_the_limit(store: Store) -> None:
    first, second, third = mails(store, 3, ONE)
    assert store.relimiter.change([first], None) == [first]
    assert states(store, [first, second, third]) == ["ready", "ready", "pending"]
    assert store.relimiter.change([third], None) == [third]
    assert states(store, [first, second, third]) == ["ready", "ready", "ready"]
    assert loose_ends(store) == 0
    finish(store, claim(store))
    assert counts(store, [first, second, third]) == {"finished": 3}


def test_jobs_that_are_put_under_a_limit_wait_for_a_place(store: Store) -> None:
    ids = put(store, *[new() for _ in range(3)])
    assert store.relimiter.change(ids, ONE) == ids
    assert states(store, ids) == ["ready", "pending", "pending"]
    finish(store, claim(store))
    assert states(store, ids) == ["finished", "ready", "pending"]


def test_from_one_limit_to_another(store: Store) -> None:
    other = mails(store, 2)
    first, second = mails(store, 2, ONE)
    assert store.relimiter.change([first], SMTP) == [first]
    assert states(store, [first, second, *other]) == ["pending", "ready", "ready", "ready"]
    assert store.limit_reader.name_of(first) == "smtp"
    assert store.relimiter.change([second], ONE) == [second], "it is under it already, and keeps its place"
    assert states(store, [second]) == ["ready"]


def test_one_that_runs_or_has_ended_keeps_its_limit(store: Store) -> None:
    first, second = mails(store, 2)
    running, _ = claim(store)
    assert store.relimiter.change([first, second], ONE) == []
    finish(store, [running])
    assert store.relimiter.change([first], None) == []
    assert store.limit_reader.name_of(first) == "smtp"


def test_one_that_comes_after_another_or_is_due_later_gets_no_place_yet(store: Store) -> None:
    [parent] = put(store, new())
    held, timed = put(store, new(after=(After(parent),)), new(available_at=later(store, 100)))
    assert store.relimiter.change([held, timed], ONE) == [held, timed]
    assert states(store, [held, timed]) == ["pending", "scheduled"]
    assert store.relimiter.change([held], None) == [held]
    assert states(store, [held]) == ["pending"]
    assert store.relimiter.change([held], ONE) == [held]
    finish(store, claim(store))
    assert states(store, [held]) == ["ready"]


def test_in_a_group_only_the_first_one_asks_for_a_place(store: Store) -> None:
    first, second = put(store, new(group="g"), new(group="g"))
    assert store.relimiter.change([first, second], ONE) == [first, second]
    assert states(store, [first, second]) == ["ready", "pending"]
    assert store.relimiter.change([first, second], None) == [first, second]
    assert claimed_ids(store) == [first, second]
