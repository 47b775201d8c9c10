"""kill -9 between a settlement and its consequences, and between any two of those: the next run draws what is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cronq.config.loader import Config
from cronq.model.after import AFTER, AFTER_END, AFTER_FAILURE
from cronq.model.batch import NewBatch
from cronq.model.dependencies import After
from cronq.model.limits import Bounds, Limit
from cronq.storage.idle_check import anything_to_do
from cronq.store import Store
from cronq.testing import ManualClock
from tests.contract.steps import claim, end, new, put, states
from tests.scale import engines, times

pytestmark = pytest.mark.parametrize("config", engines("sqlite", "postgresql"), indirect=True)

ONE = Limit("one", "one", Bounds(1))


def chain(store: Store) -> tuple[list[int], list[str]]:
    """A job that fails, what is cancelled for that, and what comes after it in any case."""
    ids = put(store, new(), *(new(after=(After(n, kind, here=True),)) for n, kind in enumerate((AFTER, AFTER_END))))
    return ids, ["failed", "cancelled", "ready"]


def batch(store: Store) -> tuple[list[int], list[str]]:
    """The last member of a batch, and its callbacks."""
    callbacks = [(kind, new()) for kind in (AFTER, AFTER_FAILURE, AFTER_END)]
    opened = store.batches.open(NewBatch("b", jobs=[new()], callbacks=callbacks, closed=True))
    return [job.id for job in (*opened.jobs, *opened.callbacks)], ["failed", "cancelled", "ready", "ready"]


def limit(store: Store) -> tuple[list[int], list[str]]:
    """The job that has the only place, and those that wait for it."""
    return put(store, *(new(limit=ONE) for _ in range(3))), ["failed", "ready", "pending"]


def settle_and_die(config: Config, clock: ManualClock, jobs: list[Any], statement: int) -> int:
    """Fail the jobs in a process that dies before so many statements of what follows; returns its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            with Store(config, clock) as store:
                die_at(store, statement)
                for job in jobs:
                    end(store, job, "error", "fail")
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_at(store: Store, statement: int) -> None:
    left, follow_up = [statement], store._settler._follow_up

    def counted(done: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done(*arguments)

        return call

    def die() -> int:
        database: Any = store.tables.open()
        for name in ("execute", "query", "transact"):
            setattr(database, name, counted(getattr(database, name)))
        return follow_up()

    store._settler._follow_up = die


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("make", [chain, batch, limit])
def test_wherever_it_is_killed(
    store: Store, config: Config, clock: ManualClock, make: Callable[[Store], tuple[list[int], list[str]]]
) -> None:
    statement, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        ids, expected = make(store)
        jobs = claim(store)
        assert [job.id for job in jobs] == ids[:1]
        store.close()
        status = settle_and_die(config, clock, jobs, statement)
        assert states(store, ids[:1]) == ["failed"]
        assert anything_to_do(config, clock)
        store.follow_up()
        store.leases.promote(clock.now())
        assert states(store, ids) == expected, f"killed before statement {statement} of what follows"
        store.admin.cancel(ids)
        store.follow_up()
        statement += times(3, full=1)
    assert status == 0
    assert statement > 5
    assert store.tables.query(f"SELECT count(*) FROM {store.tables.sql.names.loose_ends}") == [(0,)]
