"""Explain in one sentence what a batch waits for, or how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronq.client.waiting import told
from cronq.model.batch import OPEN
from cronq.model.job import UNFINISHED, State
from cronq.model.selection import Selection
from cronq.times import to_datetime

if TYPE_CHECKING:
    from cronq.model.batch import BatchRow
    from cronq.store import Store


def explain(store: Store, batch: BatchRow) -> str:
    """Return one sentence on what the batch waits for, or how it ended."""
    if batch.ended_at is None:
        return f"{batch.title} {_unended(store, batch)}."
    how = (
        "failed"
        if batch.state == State.FAILED
        else "has finished"
        if batch.state == State.FINISHED
        else "was cancelled"
    )
    jobs = told(store.batches.counts(batch.id))
    return f"{batch.title} {how} at {_time(batch.ended_at)}: {jobs}{_way_back(store, batch)}."


def _unended(store: Store, batch: BatchRow) -> str:
    counts = store.batches.counts(batch.id)
    left = sum(number for state, number in counts.items() if state in UNFINISHED)
    if batch.cancelled_at is not None:
        begin = f"was cancelled at {_time(batch.cancelled_at)}"
    elif batch.state == OPEN:
        begin = f"is open: {batch.opened_by} opened it at {_time(batch.opened_at)} and has not closed it"
        if not left:
            jobs = "all of its jobs have ended" if counts else "no job was added"
            return f"{begin}, and {jobs}: `cronq batch close {batch.id}` lets it end"
    else:
        begin = "is running"
    if not left:
        return f"{begin}: all of its jobs have ended, and the next run or worker ends it"
    return f"{begin}: {left} of {sum(counts.values())} jobs have not ended, {_first(store, batch)}"


def _first(store: Store, batch: BatchRow) -> str:
    """Name the first job that has not ended, and the command that explains it."""
    job_id = store.batches.first_waiting(batch.id)
    job = None if job_id is None else store.jobs.get(job_id)
    return (
        "and the last one ends now" if job is None else f"the first is job {job.id} ({job.state}): `cronq why {job.id}`"
    )


def _way_back(store: Store, batch: BatchRow) -> str:
    """Name the job that failed and the command that reopens the batch."""
    if batch.state == State.FINISHED or not store.batches.counts(batch.id):
        return ""
    again = f"`cronq retry --batch {batch.id} --state {batch.state}` reopens it"
    failed = store.jobs.find(Selection(batches=(batch.id,), states=frozenset({State.FAILED})), limit=1)
    if not failed or failed[0].error is None:
        return f"; {again}"
    error = failed[0].error
    return f"; job {failed[0].id} failed with {error.kind}: {error.message.rstrip('.')}; {again}"


def _time(instant: int) -> str:
    return f"{to_datetime(instant):%Y-%m-%d %H:%M:%S} UTC"
