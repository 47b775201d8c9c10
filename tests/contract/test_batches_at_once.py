"""Batches whose runners are killed, or that several change at once: each ends once, and none stays open."""

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
from cronq.model.dependencies import After
from cronq.model.job import Claimed
from cronq.monitoring.why_facts import FactFinder
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.batch_steps import CALLBACKS, callbacks, members, notes, opened, state
from tests.contract.steps import claim, end, finish, new, put, states, stored
from tests.scale import times


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
    other.flow._batches.update(batch.id, failed=False)
    assert state(store, batch) == "finished"
    assert callbacks(store, batch) == ["pending"] * 3
    store.follow_up()
    assert callbacks(store, batch) == ["ready", "cancelled", "ready"]


def test_drawing_twice_changes_nothing(store: Store, other: Store) -> None:
    batch = opened(store, new())
    finish(store, claim(store))
    before = store.batches.require(batch.id)
    for one in (store, other):
        one.flow._batches.update(batch.id, failed=False)
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
