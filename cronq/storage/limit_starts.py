"""Records starts of jobs under a rate, before what tells of them changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


def record(tables: Tables, tx: Transaction, ids: Iterable[int]) -> None:
    """Record the last starts of those jobs under a rate that still have their places.

    Usually the end of an attempt has had that done. A process that died before it could leaves it to the one that
    lines the job up again or forgets its start.
    """
    for start in tx.query(tables.sql.limits.unrecorded, (tables.database.many(sorted(ids)),)):
        tx.execute(tables.sql.limits.start, start)


def ask_again(tables: Tables, tx: Transaction, ids: Iterable[int]) -> list[int]:
    """Let those jobs under a rate that were interrupted or given back wait for another start; returns their ids.

    A claim older than the rate's period doesn't count any more, so others may have been let in for it. Jobs under no
    rate go on with the places that they have.
    """
    ready = tx.query(tables.sql.limits.ready_under_rate, (tables.database.many(sorted(ids)),))
    again = sorted(job_id for *_, job_id in ready)
    if again:
        record(tables, tx, again)
        chosen = tables.database.many(again)
        tx.execute(tables.sql.limits.hold_back, (chosen,))
        tx.execute(tables.sql.limits.wait_for_place, (chosen,))
    return again
