"""Batches: they end when they are closed and no member is outstanding, on every engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cronq.config.loader import Config
from cronq.errors import InvalidInput
from cronq.flow.batches import Opened
from cronq.flow.circles import Circle, circles
from cronq.flow.edges import Edges
from cronq.model.after import AFTER, AFTER_END, AFTER_FAILURE
from cronq.model.batch import CANCEL, NewBatch
from cronq.model.dependencies import After
from cronq.model.job import Claimed, NewJob
from cronq.monitoring.why_facts import FactFinder
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, end, finish, new, put, states, stored
from tests.scale import times

CALLBACKS = ((AFTER, new("done")), (AFTER_FAILURE, new("alarm")), (AFTER_END, new("tidy")))


def opened(store: Store, *jobs: NewJob, closed: bool = True, **fields: Any) -> Opened:
    """A batch with these members, and one callback of each kind."""
    fields.setdefault("callbacks", CALLBACKS)
    return store.batches.open(NewBatch("import", jobs=jobs, closed=closed, **fields))


def state(store: Store, batch: Opened) -> str:
    return store.batches.require(batch.id).state


def callbacks(store: Store, batch: Opened) -> list[str]:
    return states(store, [job.id for job in batch.callbacks])


def members(batch: Opened) -> list[int]:
    return [job.id for job in batch.jobs]


def notes(store: Store) -> int:
    return int(store._tables.query(f"SELECT count(*) FROM {store._sql.names.loose_ends}")[0][0])


def bits(store: Store, job_id: int) -> int | None:
    found: int | None = store._tables.query(f"SELECT flow FROM {store._sql.names.jobs} WHERE id = ?", (job_id,))[0][0]
    return found


# The end


def test_a_batch_ends_with_its_last_member(store: Store) -> None:
    batch = opened(store, *[new()] * 3)
    assert state(store, batch) == "running"
    jobs = claim(store)
    assert [job.id for job in jobs] == members(batch), "no callback is claimed before"
    finish(store, jobs[:2])
    assert state(store, batch) == "running"
    assert callbacks(store, batch) == ["pending"] * 3
    finish(store, jobs[2:])
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]
    assert store.batches.counts(batch.id) == {"finished": 3}
    assert notes(store) == 0


@pytest.mark.parametrize(
    ("ending", "outcome", "following"),
    [
        (("warning", ""), "finished", ["ready", "cancelled", "ready"]),
        (("", "skip"), "finished", ["ready", "cancelled", "ready"]),
        (("error", "fail"), "failed", ["cancelled", "ready", "ready"]),
        (("crashed", "cancel"), "cancelled", ["cancelled", "cancelled", "ready"]),
        (("error", ""), "running", ["pending"] * 3),
        (("snoozed", "snooze"), "running", ["pending"] * 3),
        (("crashed", "rescue"), "running", ["pending"] * 3),
    ],
)
def test_what_the_end_of_a_member_means(
    store: Store, ending: tuple[str, str], outcome: str, following: list[str]
) -> None:
    batch = opened(store, new(), new())
    one, two = claim(store)
    extra: dict[str, Any] = {"delay": 60.0} if ending[1] == "snooze" else {}
    end(store, one, *ending, **extra)
    assert state(store, batch) == "running"
    finish(store, [two])
    assert state(store, batch) == outcome
    assert callbacks(store, batch) == following


def test_why_a_callback_does_not_come(store: Store) -> None:
    batch = opened(store, new())
    end(store, claim(store)[0], "error", "fail")
    error = stored(store, batch.callbacks[0].id).error
    assert error is not None
    assert error.message == f"batch {batch.id}, which it comes after, failed"


def test_an_open_batch_never_ends_by_itself(store: Store) -> None:
    batch = opened(store, new(), closed=False)
    finish(store, claim(store))
    assert state(store, batch) == "open"
    assert store.batches.close(batch.id)
    assert state(store, batch) == "finished"
    assert not store.batches.close(batch.id)
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]


def test_an_empty_batch_ends_when_it_is_closed(store: Store) -> None:
    """celery#3597: an empty header never calls back."""
    assert state(store, opened(store)) == "finished"
    batch = opened(store, closed=False)
    assert state(store, batch) == "open"
    store.batches.close(batch.id)
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]


def test_a_batch_of_nothing_but_twins_ends_at_once(store: Store) -> None:
    (twin,) = put(store, new(key="k", unique=True))
    batch = opened(store, new(key="k", unique=True))
    assert [(job.id, job.existing) for job in batch.jobs] == [(twin, True)]
    assert state(store, batch) == "finished"
    assert bits(store, twin) is None


def test_only_the_last_member_leaves_a_note_where_there_is_one_writer(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = opened(store, *[new()] * 3)
    store.follow_up()
    first, *others = claim(store)
    with monkeypatch.context() as patched:
        patched.setattr(store._settler, "_follow_up", lambda: 0)
        finish(store, [first])
        assert notes(store) == (0 if config.sqlite_path() else 1)
        finish(store, others)
        assert notes(store) == (1 if config.sqlite_path() else 2)
    store.follow_up()
    assert (state(store, batch), notes(store)) == ("finished", 0)


def test_a_pending_member_is_outstanding(store: Store) -> None:
    batch = opened(store, new(), new(after=(After(0, here=True),)))
    finish(store, claim(store))
    assert state(store, batch) == "running"
    finish(store, claim(store))
    assert state(store, batch) == "finished"


def test_a_member_that_is_cancelled_because_of_another_ends_the_batch(store: Store) -> None:
    """bullmq#3122, rq#2074: a failed child leaves its parent waiting."""
    batch = opened(store, new(), new(after=(After(0, here=True),)), new(after=(After(1, here=True),)))
    end(store, claim(store)[0], "error", "fail")
    assert state(store, batch) == "failed"
    assert store.batches.counts(batch.id) == {"cancelled": 2, "failed": 1}
    assert callbacks(store, batch) == ["cancelled", "ready", "ready"]


def test_members_of_other_batches_and_other_jobs_do_not_count(store: Store) -> None:
    first, second = opened(store, new(priority=1)), opened(store, new(priority=2))
    put(store, new(priority=3))
    finish(store, claim(store, 1))
    assert [state(store, one) for one in (first, second)] == ["finished", "running"]


def test_a_batch_that_comes_after_a_batch(store: Store) -> None:
    """celery#9107: the error callback of nested ones is not called."""
    inner = opened(store, new())
    outer = opened(store, new(after=(After(-inner.id),)))
    end(store, claim(store)[0], "error", "fail")
    assert [state(store, one) for one in (inner, outer)] == ["failed", "cancelled"]
    assert callbacks(store, inner) == ["cancelled", "ready", "ready"]
    assert callbacks(store, outer) == ["cancelled", "cancelled", "ready"]


# Adding


def test_members_are_added_until_the_end(store: Store) -> None:
    batch = opened(store, new())
    (added,) = put(store, new(batch=batch.id))
    (alone,) = put(store, new(batch=batch.id, unique=True, key="k"))
    one, two, three = claim(store)
    assert [one.id, two.id, three.id] == [*members(batch), added, alone]
    finish(store, [one, two])
    assert state(store, batch) == "running"
    finish(store, [three])
    with pytest.raises(InvalidInput, match=rf"batch {batch.id} \(import\) ended at 2026-01-01 00:00:00 UTC"):
        put(store, new(), new(batch=batch.id))
    with pytest.raises(InvalidInput, match=f"there is no batch {batch.id + 1000}"):
        put(store, new(batch=batch.id + 1000))
    assert sum(number for *_, number in store.jobs.counts()) == 6, "all or none"


def test_adding_through_a_callers_transaction(store: Store, config: Config) -> None:
    from tests.contract.test_flow import caller

    batch = opened(store, new())
    with caller(config) as connection:
        store.enqueue_through(connection, [new(batch=batch.id)])
        connection.rollback()
    with caller(config) as connection:
        (added,) = store.enqueue_through(connection, [new(batch=batch.id)])
        connection.commit()
    assert store.batches.counts(batch.id) == {"ready": 2}
    finish(store, claim(store))
    assert stored(store, added.id).state == "finished"
    assert state(store, batch) == "finished"


def test_thousands_at_once(store: Store) -> None:
    batch = opened(store, *[new()] * 2500)
    assert store.batches.counts(batch.id) == {"ready": 2500}


def test_a_job_cant_come_after_its_own_batch(store: Store) -> None:
    batch = opened(store, new(), closed=False)
    with pytest.raises(InvalidInput, match=f"a job of batch {batch.id} can't come after batch {batch.id}"):
        put(store, new(batch=batch.id, after=(After(-batch.id),)))
    (last,) = put(store, new(after=(After(-batch.id),)))
    other = opened(store, new(after=(After(last),)), closed=False)
    with pytest.raises(InvalidInput, match="can't come after"):
        put(store, new(batch=batch.id, after=(After(-other.id),)))
    with pytest.raises(InvalidInput, match="can't come after"):
        put(store, new(after=(After(last),)), new(batch=batch.id, after=(After(0, here=True),)))
    put(store, new(batch=batch.id, after=(After(batch.jobs[0].id),)))


def test_what_can_be_named(store: Store) -> None:
    batch = opened(store, new())
    end(store, claim(store)[0], "error", "fail")
    with pytest.raises(InvalidInput, match=rf"after: batch {batch.id} failed; `cronq retry --batch {batch.id}"):
        put(store, new(after=(After(-batch.id),)))
    with pytest.raises(InvalidInput, match="after: there is no batch 1000"):
        put(store, new(after=(After(-1000),)))
    ids = put(store, new(after=(After(-batch.id, AFTER_END),)), new(after=(After(-batch.id, must_exist=False),)))
    assert states(store, ids) == ["ready", "ready"]


# Retry, cancel


def test_a_retried_member_reopens_the_batch_and_arms_its_callback(store: Store) -> None:
    """Parsl#473: what was given up must come back when the retry succeeds."""
    batch = opened(store, new(), new())
    one, two = claim(store)
    end(store, one, "error", "fail")
    finish(store, [two])
    assert callbacks(store, batch) == ["cancelled", "ready", "ready"]
    finish(store, claim(store))
    store.admin.retry([one.id])
    assert state(store, batch) == "running"
    assert callbacks(store, batch) == ["pending", "finished", "finished"]
    finish(store, claim(store))
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["ready", "finished", "finished"], "what has run stays run"


def test_a_member_that_was_retried_and_ended_before_anybody_looked(store: Store, other: Store) -> None:
    batch = opened(store, new())
    end(store, claim(store)[0], "error", "fail")
    other.admin._follow_up = lambda: 0
    other.admin.retry(members(batch))
    assert state(store, batch) == "failed"
    finish(store, [job for job in claim(store) if job.id in members(batch)])
    assert state(store, batch) == "finished"
    assert callbacks(store, batch)[0] == "ready"


def test_all_members_are_retried(store: Store) -> None:
    batch = opened(store, *[new()] * 3, callbacks=CALLBACKS[:1])
    for job in claim(store):
        end(store, job, "error", "fail")
    assert state(store, batch) == "failed"
    assert len(store.admin.retry_all_but_twins(members(batch)).changed) == 3
    finish(store, claim(store))
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["ready"]


def test_cancelling_a_batch(store: Store) -> None:
    batch = opened(store, *[new()] * 3, closed=False)
    [running] = claim(store, 1)
    assert store.batches.cancel(batch.id)
    assert states(store, members(batch)) == ["running", "cancelled", "cancelled"]
    assert state(store, batch) == "running"
    with pytest.raises(InvalidInput, match="was cancelled at"):
        put(store, new(batch=batch.id))
    end(store, running, "error", "")
    assert stored(store, running.id).state == "cancelled", "it isn't tried again"
    assert state(store, batch) == "cancelled"
    assert callbacks(store, batch) == ["cancelled", "cancelled", "ready"]
    assert not store.batches.cancel(batch.id)
    assert store.actions.of_job(running.id) == []


def test_a_retry_after_the_cancelling(store: Store) -> None:
    batch = opened(store, new())
    store.batches.cancel(batch.id)
    assert state(store, batch) == "cancelled"
    store.admin.retry(members(batch))
    assert state(store, batch) == "running"
    finish(store, claim(store))
    assert state(store, batch) == "finished"


def test_a_failed_member_cancels_the_others_if_that_is_asked_for(store: Store) -> None:
    batch = opened(store, *[new()] * 1200, on_failed=CANCEL)
    one, two = claim(store, 2)
    finish(store, [one])
    assert store.batches.counts(batch.id)["ready"] == 1198
    end(store, two, "error", "fail")
    assert store.batches.counts(batch.id) == {"cancelled": 1198, "failed": 1, "finished": 1}
    assert state(store, batch) == "failed"
    assert callbacks(store, batch) == ["cancelled", "ready", "ready"]


def test_a_failed_member_stops_no_other_by_default(store: Store) -> None:
    batch = opened(store, new(), new())
    end(store, claim(store, 1)[0], "error", "fail")
    assert states(store, members(batch)) == ["failed", "ready"]


def test_members_of_a_group_that_are_cancelled_free_it(store: Store) -> None:
    batch = opened(store, new(group="g"), new(group="g"), callbacks=())
    put(store, new(group="g"))
    store.batches.cancel(batch.id)
    assert [job.group for job in claim(store)][:1] == ["g"]


# Clearing


def test_members_stay_until_their_batch_has_ended(store: Store, clock: ManualClock) -> None:
    batch = opened(store, new(), new(), callbacks=())
    one, two = claim(store)
    finish(store, [one])
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 0
    assert store.admin.clear_selected(members(batch), {"finished"}) == 0
    finish(store, [two])
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 2
    assert store.batches.get(batch.id) is None
    assert store._tables.query(f"SELECT count(*) FROM {store._sql.names.members}") == [(0,)]


def test_a_batch_stays_while_a_job_comes_after_it(store: Store, clock: ManualClock) -> None:
    batch = opened(store, new(), callbacks=CALLBACKS[:1])
    finish(store, claim(store))
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 1
    assert store.batches.get(batch.id) is not None
    finish(store, claim(store))
    clock.advance(10)
    assert sum(store.admin.clear({"finished"})) == 1
    assert store.batches.get(batch.id) is None


# Kills and races


def test_an_end_whose_runner_was_killed_is_drawn_by_the_next(store: Store, other: Store) -> None:
    """sidekiq#5143: a batch is stuck after a process was killed."""
    batch = opened(store, new())
    other._settler._follow_up = lambda: 0
    finish(other, claim(other))
    assert (state(store, batch), notes(store)) == ("running", 1)
    store.follow_up()
    assert (state(store, batch), notes(store)) == ("finished", 0)
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]


def test_a_closer_that_dies_after_its_commit(store: Store, other: Store) -> None:
    batch = opened(store, closed=False)
    other.batches._follow_up = lambda: 0
    other.batches.close(batch.id)
    assert state(store, batch) == "running"
    store.follow_up()
    assert state(store, batch) == "finished"


def test_a_kill_between_the_end_of_a_batch_and_what_comes_after_it(store: Store, other: Store) -> None:
    batch = opened(store, new())
    other._settler._follow_up = lambda: 0
    finish(other, claim(other))
    other.flow._batches.draw(batch.id, failed=False)
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["pending"] * 3
    store.follow_up()
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]


def test_drawing_twice_changes_nothing(store: Store, other: Store) -> None:
    batch = opened(store, new())
    finish(store, claim(store))
    before = store.batches.require(batch.id)
    for one in (store, other):
        one.flow._batches.draw(batch.id, failed=False)
        one.follow_up()
    assert store.batches.require(batch.id) == before


def test_a_circle_that_two_callers_close_at_once_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (opened(store, closed=False, callbacks=()) for _ in range(2))
    [first] = put(store, new(batch=one.id, after=(After(-two.id),)))
    with pytest.raises(InvalidInput, match="can't come after batch"):
        put(store, new(batch=two.id, after=(After(-one.id),)))
    assert circles(store.tables.open(), store.tables.sql) == []
    # As the second of two callers would that doesn't see the other one's rows yet.
    with monkeypatch.context() as blind:
        blind.setattr(Edges, "_require_no_circle", lambda *_: None)
        [second] = put(store, new(batch=two.id, after=(After(-one.id),)))
    found = circles(store.tables.open(), store.tables.sql)
    assert found == [Circle(one.id, first), Circle(two.id, second)]
    between, behind = put(store, new(after=(After(first),)), new(after=(After(-one.id),)))
    _, beside = put(store, new(), new(batch=two.id, after=(After(0, here=True),)))
    seen = [FactFinder(store._config).of(store, stored(store, job)).circle for job in (first, second, between, behind)]
    assert seen == [first, second, first, first]
    assert FactFinder(store._config).of(store, stored(store, beside)).circle is None
    for batch in (one, two):
        store.batches.close(batch.id)
    assert store.flow.release([first]) == [first]
    assert circles(store.tables.open(), store.tables.sql) == []
    while jobs := claim(store):
        finish(store, jobs)
    assert [state(store, batch) for batch in (one, two)] == ["finished", "finished"]


class Racing:
    """Calls that run at once, each with a store of its own."""

    def __init__(self, config: Config, clock: ManualClock) -> None:
        self._config = config
        self._clock = clock
        self._failed: list[BaseException] = []
        self._barrier = threading.Barrier(2)

    def run(self, *calls: Callable[[Store], object]) -> None:
        self._barrier = threading.Barrier(len(calls))
        threads = [threading.Thread(target=self._call, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not self._failed, self._failed

    def _call(self, call: Callable[[Store], object]) -> None:
        try:
            with Store(self._config, self._clock) as store:
                store.prepare()
                self._barrier.wait(60)
                call(store)
        except BaseException as error:
            self._failed.append(error)


def test_the_two_last_members_end_at_once(store: Store, config: Config, clock: ManualClock) -> None:
    """celery#4207: the chord's body is not called; good_job#832: it is called too often."""
    for _ in range(times(5, full=15)):
        batch = opened(store, new(), new())
        one, two = [job for job in claim(store) if job.id in members(batch)]

        def settle(job: Claimed) -> Callable[[Store], None]:
            return lambda mine: finish(mine, [job])

        Racing(config, clock).run(settle(one), settle(two))
        assert state(store, batch) == "finished"
        assert callbacks(store, batch) == ["ready", "cancelled", "ready"]
        assert notes(store) == 0
        finish(store, claim(store))


def test_members_that_end_at_once_wait_for_no_counter(store: Store, config: Config, clock: ManualClock) -> None:
    """laravel#36478: counters in the batch's row deadlock MySQL."""
    batch = opened(store, *[new() for _ in range(40)])
    jobs = {job.id: job for job in claim(store)}
    conflicts: list[int] = []

    def settle(*mine: int) -> Callable[[Store], None]:
        def one_by_one(own: Store) -> None:
            for job_id in mine:
                finish(own, [jobs[job_id]])
            conflicts.append(own.conflicts)

        return one_by_one

    ids = members(batch)
    Racing(config, clock).run(*[settle(*ids[number::4]) for number in range(4)])
    store.follow_up()
    assert (state(store, batch), store.batches.counts(batch.id)) == ("finished", {"finished": 40})
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]
    assert notes(store) == 0
    if config.database_url().family != "sqlite":
        assert max(conflicts) <= 2, "only the end of the batch is written under a lock"


def test_a_member_is_added_while_the_last_one_ends(store: Store, config: Config, clock: ManualClock) -> None:
    said: list[str] = []
    for _ in range(times(5, full=15)):
        batch = opened(store, new(), callbacks=CALLBACKS[:1])
        jobs = claim(store)
        added: list[int] = []

        def add(mine: Store, batch: Opened = batch, added: list[int] = added) -> None:
            try:
                added += put(mine, new(batch=batch.id))
            except InvalidInput as refused:
                said.append(str(refused))

        Racing(config, clock).run(add, lambda mine, jobs=jobs: finish(mine, jobs))  # type: ignore[misc]
        assert (state(store, batch), callbacks(store, batch)) == (
            ("running", ["pending"]) if added else ("finished", ["ready"])
        )
        for _ in range(2):
            finish(store, claim(store))
        assert state(store, batch) == "finished"
        assert callbacks(store, batch) == ["finished"]
    assert all("ended at" in one for one in said)


def test_jobs_that_come_after_a_batch_are_added_while_it_ends(store: Store, config: Config, clock: ManualClock) -> None:
    for _ in range(times(4, full=10)):
        batch = opened(store, new(), callbacks=())
        jobs = claim(store)
        following: list[int] = []

        def add(mine: Store, batch: Opened = batch, following: list[int] = following) -> None:
            for _ in range(3):
                following.extend(put(mine, new(after=(After(-batch.id),))))

        Racing(config, clock).run(add, lambda mine, jobs=jobs: finish(mine, jobs))  # type: ignore[misc]
        assert states(store, following) == ["ready"] * 3
        assert notes(store) == 0
        finish(store, claim(store))


def test_a_member_is_retried_while_the_last_one_ends(store: Store, config: Config, clock: ManualClock) -> None:
    for _ in range(times(4, full=10)):
        batch = opened(store, new(), new(), callbacks=CALLBACKS[:1])
        one, two = claim(store)
        end(store, one, "error", "fail")
        Racing(config, clock).run(
            lambda mine, one=one: mine.admin.retry([one.id]),  # type: ignore[misc]
            lambda mine, two=two: finish(mine, [two]),  # type: ignore[misc]
        )
        assert (state(store, batch), callbacks(store, batch)) == ("running", ["pending"])
        finish(store, claim(store))
        assert (state(store, batch), callbacks(store, batch)) == ("finished", ["ready"])
        finish(store, claim(store))


def test_a_member_is_retried_between_two_statements_of_the_end(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = opened(store, new(), new(), callbacks=CALLBACKS[:1])
    one, two = claim(store)
    end(store, one, "error", "fail")
    ends = store.flow._batches
    outcome = ends._outcome

    def later(tx: Any, batch_id: int) -> str | None:
        monkeypatch.setattr(ends, "_outcome", outcome)
        if store._sql.dialect.many_writers:
            other.admin.retry([one.id])
        return outcome(tx, batch_id)

    with monkeypatch.context() as alone:
        alone.setattr(store._settler, "_follow_up", lambda: 0)
        finish(store, [two])
    monkeypatch.setattr(ends, "_outcome", later)
    if not store._sql.dialect.many_writers:  # it has one writer at a time: the retry comes before or after
        other.admin.retry([one.id])
    store._tables.open().transact(lambda tx: ends._end(batch.id, tx))
    assert store.batches.get(batch.id).state != "finished"  # type: ignore[union-attr]
    store.follow_up()
    assert (state(store, batch), callbacks(store, batch)) == ("running", ["pending"])


def test_the_adder_waits_for_the_end_and_is_refused(store: Store, other: Store) -> None:
    """The loser sees what the winner has written."""
    batch = opened(store, new())
    store._settler._follow_up = lambda: 0
    finish(store, claim(store))
    refused: list[InvalidInput] = []
    threads: list[threading.Thread] = []

    def add() -> None:
        try:
            put(other, new(batch=batch.id))
        except InvalidInput as error:
            refused.append(error)

    def end_slowly(tx: Any) -> None:
        store.flow._batches._end(batch.id, tx)
        if store._sql.dialect.many_writers and not threads:
            threads.append(threading.Thread(target=add))
            threads[0].start()
            threads[0].join(0.3)
            assert threads[0].is_alive(), "the other one waits for the row of the batch"

    store._tables.open().transact(end_slowly)
    for thread in threads:
        thread.join(60)
    if not threads:
        add()
    assert len(refused) == 1
    assert "ended at" in str(refused[0])


def test_a_job_comes_after_a_member_while_that_is_settled(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settlement has read that no job comes after it, and then one does."""
    opened(store, new(), callbacks=())
    finish(store, claim(store))
    batch = opened(store, new(), new(), callbacks=())
    jobs, following, look = claim(store), list[int](), store._settler._tied

    def look_too_early(settlements: Any) -> Any:
        found = look(settlements)
        if not following:
            following.extend(put(other, *[new(after=(After(job.id),)) for job in jobs]))
        return found

    monkeypatch.setattr(store._settler, "_tied", look_too_early)
    finish(store, jobs)
    assert states(store, following) == ["ready", "ready"]
    assert state(store, batch) == "finished"


# What it costs


def test_a_long_batch_is_not_read_from_its_start_again_and_again(store: Store) -> None:
    batch = opened(store, *[new()] * 1000, callbacks=())
    for _ in range(9):
        finish(store, claim(store, 100))
    assert store.batches.require(batch.id).looked_to >= members(batch)[600]
    finish(store, claim(store, 100))
    assert state(store, batch) == "finished"


def test_jobs_in_no_batch_have_no_flow(store: Store) -> None:
    opened(store, new(), callbacks=())
    (job_id,) = put(store, new())
    assert bits(store, job_id) is None
    finish(store, claim(store))
    assert notes(store) == 0
