"""The figures of minutes: each attempt is counted once, and never disappears."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cronq.model.selection import Filter
from cronq.storage.history import last_hour
from cronq.storage.minutes import totals
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, ending, new, outcome, put


def settle(store: Store, *kinds: str, queue: str = "default") -> None:
    """Run jobs to these outcomes; what fails, fails for good."""
    put(store, *[new(queue=queue)] * len(kinds))
    claimed = claim(store, wanted=Filter((queue,)))
    ends = [outcome(store, kind, "fail" if kind == "error" else "") for kind in kinds]
    assert store.settle([ending(job, end) for job, end in zip(claimed, ends, strict=True)]) == []


def counted(store: Store) -> dict[tuple[str, str], int]:
    return {(queue, state): number for queue, state, number in totals(store.tables) if number}


def rows(store: Store) -> Sequence[tuple[int, ...]]:
    """Kind and number of rows."""
    found = store.tables.query(f"SELECT kind, count(*) FROM {store.tables.sql.names.minutes} GROUP BY kind")
    return sorted((int(kind), int(number)) for kind, number in found)


def test_attempts_are_counted_by_queue_and_state(store: Store, clock: ManualClock) -> None:
    settle(store, "success", "success", "error")
    settle(store, "success", queue="mail")
    store.minutes.write()
    clock.advance(60)
    settle(store, "success")
    store.minutes.write()
    store.minutes.write()
    assert counted(store) == {("default", "finished"): 3, ("default", "failed"): 1, ("mail", "finished"): 1}
    minutes = last_hour(store.tables).of(["default"])
    assert [(one.finished, one.failed) for one in minutes][-2:] == [(2, 1), (1, 0)]
    assert sum(one.finished for one in last_hour(store.tables).of(["mail"])) == 1


def test_lost_leases_are_not_counted(store: Store, other: Store) -> None:
    put(store, new())
    [job] = claim(store)
    ended = ending(job, outcome(store))
    assert other.settle([ended]) == []
    store.tables.open().execute(f"UPDATE {store.tables.sql.names.jobs} SET token = 1, state = 'ready'")
    assert store.settle([ended]) == [job.id]
    for one in (store, other):
        one.minutes.write()
    assert counted(store) == {("default", "finished"): 1}


def test_figures_stay_when_jobs_are_cleared(store: Store, clock: ManualClock) -> None:
    settle(store, "success", "error")
    store.minutes.write()
    clock.advance(1)
    assert sum(store.admin.clear({"finished", "failed"}, older_than=0.0)) == 2
    assert counted(store) == {("default", "finished"): 1, ("default", "failed"): 1}


def test_what_was_written_though_the_answer_got_lost_is_not_written_again(store: Store) -> None:
    settle(store, "success")
    minutes = store.minutes
    minutes.write()
    settle(store, "success")
    written = minutes._written = minutes._rows()
    store.tables.open().transact(minutes._add)
    minutes.write()
    assert written
    assert counted(store) == {("default", "finished"): 2}


def test_old_figures_are_folded_into_fewer_rows(store: Store, other: Store, clock: ManualClock) -> None:
    for one in (store, other):
        for _ in range(3):
            settle(one, "success", "error")
            one.minutes.write()
    assert rows(store) == [(0, 6)]
    before = counted(store)
    for seconds, expected in ((20 * 60, [(1, 1)]), (50 * 3600, [(2, 1)]), (401 * 86_400, [(3, 1)])):
        clock.advance(seconds)
        settle(store, "success")
        store.minutes.write()
        store.minutes.fold()
        other.minutes.fold()
        before["default", "finished"] += 1
        assert rows(store) == [(0, 1), *expected]
        assert counted(store) == before


def test_what_comes_late_is_added(store: Store, clock: ManualClock) -> None:
    settle(store, "success")
    store.minutes.write()
    settle(store, "success")
    clock.advance(1200)
    store.minutes.fold()
    store.minutes.write()
    store.minutes.fold()
    assert rows(store) == [(1, 1)]
    assert counted(store) == {("default", "finished"): 2}


def test_of_two_that_fold_the_same_rows_one_gives_way(store: Store, other: Store, clock: ManualClock) -> None:
    settle(store, "success", "success")
    store.minutes.write()
    clock.advance(1200)
    fold = store.minutes._fold

    def raced(*arguments: object) -> object:
        if store.tables.sql.dialect.family != "sqlite":
            other.minutes.fold()
        return fold(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.minutes, "_fold", raced)
        store.minutes.fold()
    assert rows(store) == [(1, 1)]
    assert counted(store) == {("default", "finished"): 2}
