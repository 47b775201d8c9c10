"""Record starts of jobs under a rate, before they are overwritten in the jobs' rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


def record(tables: Tables, tx: Transaction, ids: Iterable[int]) -> None:
    """Record the last starts of those of these jobs that are under a rate and still have their places.

    Usually they were recorded after the end of the attempt. If a process died before it did that, they are recorded
    here: the caller is about to overwrite them, or to let the jobs wait for places again.
    """
    for start in tx.query(tables.sql.limits.unrecorded, (tables.database.many(sorted(ids)),)):
        tx.execute(tables.sql.limits.start, start)


def ask_again(tables: Tables, tx: Transaction, ids: Iterable[int]) -> list[int]:
    """Let those of these jobs that are ready and under a rate, after an interruption, wait for another start.

    Returns their ids. A claim older than the rate's period doesn't count any more, so other jobs may have been admitted
    since. Jobs under no rate keep their places.
    """
    ready = tx.query(tables.sql.limits.ready_under_rate, (tables.database.many(sorted(ids)),))
    again = sorted(job_id for *_, job_id in ready)
    if again:
        record(tables, tx, again)
        chosen = tables.database.many(again)
        tx.execute(tables.sql.limits.hold_back, (chosen,))
        tx.execute(tables.sql.limits.wait_for_place, (chosen,))
    return again
