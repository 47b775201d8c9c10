"""Records starts of jobs under a rate, before what tells of them changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cronq.storage.drivers.database import Transaction
    from cronq.storage.tables import Tables


def record(tables: Tables, tx: Transaction, ids: Iterable[int]) -> None:
    """Record the last starts of those jobs that still have their places.

    Usually the end of an attempt has had that done. A process that died before it could leaves it to the one that
    lines the job up again or forgets its start.
    """
    for start in tx.query(tables.sql.limits.unrecorded, (tables.unprepared.many(sorted(ids)),)):
        tx.execute(tables.sql.limits.start, start)
