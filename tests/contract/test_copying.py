"""Copying a queue between SQLite and each engine, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cronq.errors import InvalidInput, TryLater
from cronq.model.after import AFTER_END
from cronq.model.batch import NewBatch
from cronq.model.dependencies import After
from cronq.model.selection import Selection
from cronq.storage.drivers.session import Session
from cronq.storage.drivers.sqlite import Transaction
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.conftest import sqlite_queue
from tests.contract.steps import claim, claimed_ids, end, later, new, put, stored


@pytest.fixture
def elsewhere(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """An empty queue in another SQLite file."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    with Store(sqlite_queue(directory), clock) as opened:
        yield opened


@pytest.fixture
def ids(elsewhere: Store) -> list[int]:
    """Jobs in many states, all of their queues paused, nothing running."""
    store = elsewhere
    made = put(
        store,
        new("holds", priority=1, group="g", key="k", unique=True, retry='{"base":1}', time_limit=5.0),
        new("follows", priority=2, group="g"),
        new("finished", priority=3, queue="q", args='{"text":"\\u00fc \\ud83d\\ude00"}'),
        new("fails", priority=4),
        new("later", available_at=later(store, 60)),
        *[new("many", queue="bulk", priority=900)] * 600,
    )
    store.admin.cancel([made[10]])
    (holds,) = claim(store, 1)
    end(store, holds, "error")
    finished, fails = claim(store, 2)
    end(store, finished, result='"done"')
    end(store, fails, "error", "fail")
    for queue in store.jobs.queues():
        store.admin.pause(queue)
    return made


def unserved(_number: int) -> None:
    """No progress is shown."""


def everything(store: Store) -> list[object]:
    jobs = store.jobs.find(Selection())
    return [*jobs, [store.jobs.attempts(job.id) for job in jobs[-10:]], store.jobs.paused(), store.jobs.counts()]


def test_all_of_it_there_and_back(
    store: Store, elsewhere: Store, ids: list[int], tmp_path: Path, clock: ManualClock
) -> None:
    numbers: list[int] = []
    counts = elsewhere.copy_to(store, numbers.append)
    assert (numbers, counts.attempts, counts.groups) == ([500, 105], 2, 1)
    assert everything(store) == everything(elsewhere)
    back = tmp_path / "back"
    back.mkdir()
    with Store(sqlite_queue(back), clock) as third:
        store.copy_to(third, numbers.append)
        assert everything(third) == everything(elsewhere)
    for queue in store.jobs.paused():
        store.admin.resume(queue)
    assert store.enqueue([new(key="k", unique=True)]) == [(ids[0], True)]
    (fresh,) = put(store, new())
    assert fresh > ids[-1]
    clock.advance(61)
    assert store.leases.promote(clock.now()) == 2
    assert claimed_ids(store, 1) == [ids[0]]
    assert stored(store, ids[1]).blocked_by == ids[0]


def test_what_comes_after_others_still_does(store: Store, elsewhere: Store) -> None:
    first, failing, kept, lost = put(
        elsewhere,
        new("first", priority=1),
        new("failing", priority=2),
        new("kept", after=(After(0, here=True), After(1, AFTER_END, here=True))),
        new("lost", after=(After(1, here=True),)),
    )
    (running,) = claim(elsewhere, 1)
    end(elsewhere, running)
    elsewhere.flow.carry_out()
    elsewhere.admin.pause("default")
    counts = elsewhere.copy_to(store, unserved)
    assert counts.edges == 3
    assert [stored(store, job).state for job in (first, failing, kept, lost)] == [
        "finished", "ready", "pending", "pending",
    ]  # fmt: skip
    assert [(one.id, one.kind) for one in store.flow.parents(kept)] == [(first, "after"), (failing, AFTER_END)]
    store.admin.resume("default")
    (running,) = claim(store, 1)
    end(store, running, "error", "fail")
    store.flow.carry_out()
    assert (stored(store, kept).state, stored(store, lost).state) == ("ready", "cancelled")
    store.admin.retry([failing])
    store.flow.carry_out()
    assert stored(store, lost).state == "pending"


def test_many_jobs_that_come_after_others_take_few_statements(
    store: Store, elsewhere: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = put(elsewhere, new())
    put(elsewhere, *[new(after=(After(first),))] * 1200)
    elsewhere.admin.pause("default")
    inserts: list[str] = []
    for connection in (Session, Transaction):
        real: Any = connection.execute

        def counted(self: Any, sql: str, *rest: Any, real: Any = real) -> Any:
            inserts.extend([sql] if sql.startswith("INSERT") else [])
            return real(self, sql, *rest)

        monkeypatch.setattr(connection, "execute", counted)
    assert elsewhere.copy_to(store, unserved).edges == 1200
    assert len(store.flow.children(first, limit=2000)) == 1200
    assert len(inserts) < 20


def test_batches_go_on_where_they_were(store: Store, elsewhere: Store) -> None:
    following = (("after", new("done")),)
    opened = elsewhere.batches.open(NewBatch("import", jobs=(new(), new()), callbacks=following, closed=True))
    (running, *_) = claim(elsewhere, 1)
    end(elsewhere, running)
    elsewhere.admin.pause("default")
    elsewhere.copy_to(store, unserved)
    assert store.batches.require(opened.id) == elsewhere.batches.require(opened.id)
    assert store.batches.counts(opened.id) == {"finished": 1, "ready": 1}
    store.admin.resume("default")
    (running,) = claim(store, 1)
    end(store, running)
    assert store.batches.require(opened.id).state == "finished"
    assert stored(store, opened.callbacks[0].id).state == "ready"
    assert store.batches.open(NewBatch("next")).id > opened.id


def test_an_interrupted_copy_goes_on(store: Store, elsewhere: Store, ids: list[int]) -> None:
    def broken(number: int) -> None:
        raise KeyboardInterrupt(number)

    with pytest.raises(KeyboardInterrupt):
        elsewhere.copy_to(store, broken)
    assert store.jobs.paused() >= elsewhere.jobs.paused()
    assert claimed_ids(store) == []
    elsewhere.admin.cancel([ids[20]])
    elsewhere.copy_to(store, unserved)
    assert everything(store) == everything(elsewhere)


def test_a_database_with_jobs_of_its_own_is_left_alone(store: Store, elsewhere: Store, ids: list[int]) -> None:
    put(store, new())
    with pytest.raises(InvalidInput, match="has jobs already"):
        elsewhere.copy_to(store, unserved)
    assert (store.jobs.backlog(), store.jobs.paused()) == (1, set())
    assert len(ids) == 605


def test_a_source_that_changes_is_noticed(store: Store, elsewhere: Store, ids: list[int]) -> None:
    def changing(_number: int) -> None:
        elsewhere.admin.cancel(ids[:2])

    with pytest.raises(TryLater, match="has changed meanwhile"):
        elsewhere.copy_to(store, changing)
    elsewhere.copy_to(store, unserved)
    assert everything(store) == everything(elsewhere)
