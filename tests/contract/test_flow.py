"""Jobs that come after others: released, cancelled and put back as those end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine

from cronq.config.loader import Config
from cronq.errors import InvalidInput
from cronq.model.after import AFTER_END, AFTER_FAILURE
from cronq.model.dependencies import After
from cronq.model.retry import Policy
from cronq.model.selection import Selection
from cronq.store import Lease, Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, claimed_ids, end, finish, later, new, put, states, stored

HERE = [After(number, here=True) for number in range(5)]


def pair(store: Store, **fields: Any) -> list[int]:
    """A job, and one that comes after it."""
    return put(store, new(), new(after=(HERE[0],), **fields))


def unmet(store: Store, job_id: int) -> str:
    error = stored(store, job_id).error
    assert error is not None
    assert error.kind == "Unmet"
    return error.message


def loose_ends(store: Store) -> int:
    return int(store._tables.query(f"SELECT count(*) FROM {store._sql.names.loose_ends}")[0][0])


# What an end means


@pytest.mark.parametrize(
    ("kind", "ending", "expected"),
    [
        ("after", ("success", ""), "ready"),
        ("after", ("warning", ""), "ready"),
        ("after", ("", "skip"), "ready"),
        ("after", ("error", "fail"), "cancelled"),
        ("after", ("crashed", "cancel"), "cancelled"),
        (AFTER_END, ("success", ""), "ready"),
        (AFTER_END, ("error", "fail"), "ready"),
        (AFTER_FAILURE, ("error", "fail"), "ready"),
        (AFTER_FAILURE, ("success", ""), "cancelled"),
        ("after", ("error", ""), "pending"),
        ("after", ("snoozed", "snooze"), "pending"),
        ("after", ("crashed", "rescue"), "pending"),
    ],
)
def test_what_follows_from_an_end(store: Store, kind: str, ending: tuple[str, str], expected: str) -> None:
    first, second = put(store, new(), new(after=(After(0, kind, here=True),)))
    assert states(store, [first, second]) == ["ready", "pending"]
    assert stored(store, second).available_at == stored(store, first).available_at
    extra: dict[str, Any] = {"delay": 60.0} if ending[1] == "snooze" else {}
    end(store, claim(store)[0], *ending, **extra)
    assert stored(store, second).state == expected
    assert loose_ends(store) == 0


def test_a_pending_job_is_never_claimed(store: Store) -> None:
    first, second = pair(store)
    assert claimed_ids(store) == [first]
    assert claimed_ids(store) == []
    with pytest.raises(Exception, match="pending"):
        store.claim_one(second, _lease(store))


def _lease(store: Store) -> Lease:
    return Lease("one", now=store.clock.now(), seconds=60)


def test_pending_jobs_are_counted_and_found_by_their_time(store: Store, clock: ManualClock) -> None:
    before = clock.now()
    _, child = pair(store)
    assert ("default", "pending", 1) in store.jobs.counts()
    assert child in [job.id for job in store.jobs.find(Selection(since=before))]


def test_two_of_which_the_last_releases(store: Store) -> None:
    ids = put(store, new(), new(), new(after=(HERE[0], HERE[1])))
    one, two = claim(store)
    finish(store, [one])
    assert stored(store, ids[2]).state == "pending"
    finish(store, [two])
    assert stored(store, ids[2]).state == "ready"


def test_one_that_fails_is_enough(store: Store) -> None:
    ids = put(store, new(), new(), new(after=(HERE[0], HERE[1])))
    end(store, claim(store)[1], "error", "fail")
    assert states(store, ids) == ["running", "failed", "cancelled"]
    assert unmet(store, ids[2]) == f"job {ids[1]}, which it comes after, failed"


def test_a_cascade_and_its_repair(store: Store) -> None:
    ids = put(store, new(), new(after=(HERE[0],)), new(after=(HERE[1],)), new(after=(After(2, AFTER_END, here=True),)))
    end(store, claim(store)[0], "error", "fail")
    assert states(store, ids) == ["failed", "cancelled", "cancelled", "ready"]
    assert {unmet(store, job_id) for job_id in ids[1:3]} == {f"job {ids[0]}, which it comes after, failed"}
    store.admin.retry([ids[0]])
    assert states(store, ids) == ["ready", "pending", "pending", "ready"]
    for expected in (ids[0], ids[1], ids[2]):
        [job] = [job for job in claim(store) if job.id != ids[3]]
        assert job.id == expected
        finish(store, [job])
    assert states(store, ids[:3]) == ["finished"] * 3


def test_a_parent_that_is_cancelled_and_retried(store: Store) -> None:
    first, second = pair(store)
    assert store.admin.cancel([first]) == [first]
    assert states(store, [first, second]) == ["cancelled", "cancelled"]
    assert unmet(store, second) == f"job {first}, which it comes after, was cancelled"
    assert store.admin.retry_all_but_twins([first]).changed == [first]
    assert states(store, [first, second]) == ["ready", "pending"]


def test_what_a_person_cancels_stays_cancelled(store: Store) -> None:
    first, second = pair(store)
    assert store.admin.cancel([second]) == [second]
    end(store, claim(store)[0], "error", "fail")
    store.admin.retry([first])
    finish(store, claim(store))
    assert states(store, [first, second]) == ["finished", "cancelled"]


def test_all_that_failed_together_is_retried_in_order(store: Store) -> None:
    first, second = pair(store)
    end(store, claim(store)[0], "error", "fail")
    assert store.admin.retry([second, first]) == [first, second]
    assert states(store, [first, second]) == ["ready", "pending"]


def test_retrying_only_the_second_changes_nothing(store: Store) -> None:
    first, second = pair(store)
    end(store, claim(store)[0], "error", "fail")
    store.admin.retry([second])
    assert states(store, [first, second]) == ["failed", "cancelled"]
    assert unmet(store, second).startswith(f"job {first}, ")


def test_a_second_that_failed_by_itself_is_retried_at_once(store: Store) -> None:
    first, second = pair(store)
    finish(store, claim(store))
    end(store, claim(store)[0], "error", "fail")
    store.admin.retry([second])
    assert states(store, [first, second]) == ["finished", "ready"]


# When it is due, in groups, unique


def test_a_time_of_its_own_holds_after_the_release(store: Store, clock: ManualClock) -> None:
    _, second = pair(store, available_at=later(store, 100))
    finish(store, claim(store))
    assert stored(store, second).state == "scheduled"
    clock.advance(100)
    store.leases.promote(clock.now())
    assert stored(store, second).state == "ready"


def test_it_enters_the_line_of_its_group_when_it_is_released(store: Store) -> None:
    first, second, holder = put(store, new(), new(after=(HERE[0],), group="g"), new(group="g"))
    one, two = claim(store)
    assert {one.id, two.id} == {first, holder}
    finish(store, [one if one.id == first else two])
    assert stored(store, second).state == "blocked"
    finish(store, [two if one.id == first else one])
    assert stored(store, second).state == "ready"


def test_a_group_that_a_retried_job_held_goes_on_when_it_is_cancelled_again(store: Store) -> None:
    first, second, third = put(store, new(), new(after=(HERE[0],), group="g"), new(group="g"))
    by_id = {job.id: job for job in claim(store)}
    finish(store, [by_id[first]])
    finish(store, [by_id[third]])
    end(store, claim(store)[0], "error", "fail", policy=Policy(group_on_failed="hold"))
    (fourth,) = put(store, new(group="g"))
    assert states(store, [second, fourth]) == ["failed", "blocked"]
    store.admin.retry([first, second])
    end(store, claim(store)[0], "error", "fail")
    assert states(store, [first, second, fourth]) == ["failed", "cancelled", "ready"]


def test_a_unique_key_is_held_from_the_start_and_a_newer_twin_is_named(store: Store) -> None:
    first, second = pair(store, key="k", unique=True)
    assert put(store, new(key="k", unique=True)) == [second]
    end(store, claim(store)[0], "error", "fail")
    (twin,) = put(store, new(key="k", unique=True))
    store.admin.retry([first])
    assert states(store, [first, second]) == ["ready", "cancelled"]
    assert f"job {twin} had its unique key 'k'" in unmet(store, second)


# What can be named


def test_a_parent_that_has_finished_is_met_at_once(store: Store) -> None:
    (first,) = put(store, new())
    finish(store, claim(store))
    (second,) = put(store, new(after=(After(first),)))
    assert stored(store, second).state == "ready"


@pytest.mark.parametrize("how", ["failed", "cancelled", "unknown"])
def test_a_parent_that_cant_finish_any_more_is_refused(store: Store, how: str) -> None:
    (first,) = put(store, new())
    if how == "failed":
        end(store, claim(store)[0], "error", "fail")
    elif how == "cancelled":
        store.admin.cancel([first])
    else:
        first += 1000
    told = f"after: there is no job {first}" if how == "unknown" else f"after: job {first} .*{how}"
    with pytest.raises(InvalidInput, match=told):
        put(store, new(), new(after=(After(first),)))
    assert sum(count for _, _, count in store.jobs.counts()) == 1, "all or none"
    (second,) = put(store, new(after=(After(first, must_exist=False),)))
    assert stored(store, second).state == "ready"


def test_a_failed_one_is_met_for_those_after_its_failure(store: Store) -> None:
    (first,) = put(store, new())
    end(store, claim(store)[0], "error", "fail")
    ids = put(store, new(after=(After(first, AFTER_FAILURE),)), new(after=(After(first, AFTER_END),)))
    assert states(store, ids) == ["ready", "ready"]


# By hand


def test_release(store: Store) -> None:
    first, second = pair(store)
    assert store.flow.release([second, first]) == [second]
    assert states(store, [first, second]) == ["ready", "ready"]
    end(store, claim(store, 1)[0], "error", "fail")
    assert stored(store, second).state == "ready"


def test_release_of_one_that_was_cancelled_because_of_another(store: Store) -> None:
    first, second = pair(store)
    end(store, claim(store)[0], "error", "fail")
    assert store.flow.release([second]) == [second]
    assert states(store, [first, second]) == ["failed", "ready"]


def test_what_an_unfinished_job_comes_after_is_not_cleared(store: Store, clock: ManualClock) -> None:
    ids = put(store, new(), new(), new(after=(HERE[0], HERE[1])), new())
    one, two, other = claim(store)
    finish(store, [one, other])
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 1
    finish(store, [two])
    finish(store, claim(store))
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 3
    assert store._tables.query(f"SELECT count(*) FROM {store._sql.names.edges}")[0][0] == 0
    assert store.jobs.get(ids[0]) is None


def test_parents_and_children(store: Store) -> None:
    first, second = pair(store)
    assert [(one.id, one.kind, one.state) for one in store.flow.parents(second)] == [(first, "after", "ready")]
    assert [(one.id, one.kind, one.state) for one in store.flow.children(first, limit=9)] == [
        (second, "after", "pending")
    ]


# Kills and races


def test_a_consequence_that_was_lost_is_drawn_later(store: Store, other: Store) -> None:
    first, second = pair(store)
    other._settler._follow_up = lambda: 0
    finish(other, claim(other))
    assert states(store, [first, second]) == ["finished", "pending"]
    assert store.follow_up() == 1
    assert stored(store, second).state == "ready"
    assert store.follow_up() == 0


def test_an_enqueuer_that_dies_after_its_commit(store: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not marked the job before, whose end has therefore no consequences."""
    (first,) = put(store, new())
    monkeypatch.setattr(other, "follow_up", lambda: 0)
    (second,) = put(other, new(after=(After(first),)))
    finish(store, claim(store))
    assert stored(store, second).state == "pending"
    store.follow_up()
    assert stored(store, second).state == "ready"


@contextmanager
def caller(config: Config) -> Iterator[Any]:
    """A connection of a caller, in a transaction."""
    engine = _engine(config)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _engine(config: Config) -> Any:
    path = config.sqlite_path()
    if path is not None:
        return create_engine(f"sqlite:///{path}")
    return create_engine(config.database)


def test_a_parent_ends_during_a_callers_long_transaction(store: Store, config: Config) -> None:
    (first,) = put(store, new())
    jobs = claim(store)
    with caller(config) as connection:
        if config.sqlite_path() is None:
            connection.exec_driver_sql("SELECT 1")
            (added,) = store.enqueue_through(connection, [new(after=(After(first),))])
            finish(store, jobs)  # waits for no lock
        else:
            finish(store, jobs)
            (added,) = store.enqueue_through(connection, [new(after=(After(first),))])
        connection.commit()
    assert states(store, [first, added.id]) == ["finished", "ready"]


def test_a_rollback_leaves_nothing(store: Store, config: Config) -> None:
    (first,) = put(store, new())
    with caller(config) as connection:
        (added,) = store.enqueue_through(connection, [new(after=(After(first),))])
        connection.rollback()
    assert store.jobs.get(added.id) is None
    assert loose_ends(store) == 0
    finish(store, claim(store))


def test_dependents_are_added_while_their_parents_end(store: Store, config: Config, clock: ManualClock) -> None:
    firsts = put(store, *[new()] * 30)
    jobs = claim(store)
    seconds: list[int] = []
    failed: list[BaseException] = []

    def add() -> None:
        try:
            with Store(config, clock) as mine:
                for first in firsts:
                    seconds.extend(put(mine, new(after=(After(first),))))
        except BaseException as error:
            failed.append(error)

    adding = threading.Thread(target=add)
    adding.start()
    for job in jobs:
        finish(store, [job])
    adding.join(60)
    assert not failed
    assert len(seconds) == 30
    assert set(states(store, seconds)) == {"ready"}
    assert loose_ends(store) == 0


def test_a_parent_is_retried_while_its_cascade_cancels(store: Store, config: Config, clock: ManualClock) -> None:
    first, *children = put(store, new(), *[new(after=(HERE[0],))] * 120)
    failed: list[BaseException] = []
    begun = threading.Event()

    def fail() -> None:
        try:
            with Store(config, clock) as mine:
                [job] = claim(mine)
                begun.set()
                end(mine, job, "error", "fail")
        except BaseException as error:
            failed.append(error)
            begun.set()

    failing = threading.Thread(target=fail)
    failing.start()
    assert begun.wait(60)
    while not store.admin.retry([first]) and failing.is_alive():
        pass
    failing.join(60)
    store.admin.retry([first])
    assert not failed
    assert set(states(store, children)) == {"pending"}
    finish(store, claim(store))
    assert set(states(store, children)) == {"ready"}


def test_the_look_waits_for_one_that_holds_the_job(store: Store, other: Store) -> None:
    """The loser sees what the winner has written: it reads the states after it has the lock."""
    first, second = pair(store)
    [job] = claim(store)
    store._settler._follow_up = lambda: 0
    end(store, job, "error", "fail")
    waited: list[int] = []

    def retry_meanwhile(tx: Any) -> None:
        sql, many = store._sql.flow, store._tables.database.many
        tx.execute(sql.lock, (many([second]),))
        if store._sql.dialect.many_writers and not waited:
            racing = threading.Thread(target=lambda: waited.append(other.follow_up()))
            racing.start()
            racing.join(0.3)
            assert racing.is_alive(), "the other one waits for the lock"
            threads.append(racing)
        tx.execute(sql.cancel, (store.clock.now(), f"job {first}, which it comes after, failed", second))

    threads: list[threading.Thread] = []
    store._tables.open().transact(retry_meanwhile)
    for thread in threads:
        thread.join(60)
    store.admin.retry([first])
    assert states(store, [first, second]) == ["ready", "pending"]
    assert stored(store, second).error is None
