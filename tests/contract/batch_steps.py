"""Define steps of tests on batches."""

from __future__ import annotations

from typing import Any

from cronq.flow.batches import Opened
from cronq.model.after import AFTER, AFTER_END, AFTER_FAILURE
from cronq.model.batch import NewBatch
from cronq.model.job import NewJob
from cronq.store import Store
from tests.contract.steps import new, states

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
