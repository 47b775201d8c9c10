"""Records starts of jobs under a rate, before what tells of them changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


def record(tables: Tables, tx: Transaction, ids: Iterable[int]) -> list[int]:
    """Record the last starts of those jobs under a rate that still have their places; returns their ids.

    Usually the end of an attempt has had that done. A process that died before it could leaves it to the one that
    lines the job up again or forgets its start.
    """
    starts = tx.query(tables.sql.limits.unrecorded, (tables.unprepared.many(sorted(ids)),))
    for start in starts:
        tx.execute(tables.sql.limits.start, start)
    return [job_id for *_, job_id in starts]


def ask_again(tables: Tables, tx: Transaction, ids: Iterable[int]) -> list[int]:
    """Let those jobs under a rate that were interrupted wait for another start; returns their ids.

    Jobs under no rate go on with the places that they have.
    """
    started = sorted(record(tables, tx, ids))
    if started:
        chosen = tables.unprepared.many(started)
        tx.execute(tables.sql.limits.hold_back, (chosen,))
        tx.execute(tables.sql.limits.line_up, (chosen,))
    return started
