"""Finds batches that wait for themselves: two callers that enqueue at the same moment can close such a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cronq.storage.drivers.database import Database
    from cronq.storage.sql.statements import Statements

_BATCHES = 100
"""Batches that have not ended that are looked at, the oldest first."""

_STEPS = 1000
"""Jobs and batches that are followed from one of them."""


class Circle(NamedTuple):
    """A job of a batch that comes after that batch, by way of others."""

    batch: int
    job: int


def circles(database: Database, sql: Statements) -> list[Circle]:
    """Find a circle for each batch that is in one, the oldest batches first."""
    batches = [row[0] for row in database.query(sql.batches.unended, (_BATCHES,))]
    return [circle for batch in batches for circle in _through(database, sql, batch)]


def _through(database: Database, sql: Statements, batch: int) -> Iterator[Circle]:
    seen = ahead = {-batch}
    while ahead and len(seen) < _STEPS:
        found = database.query(sql.batches.following, (database.many(sorted(ahead)),))
        closing = sorted(child for child, of in found if of == batch)
        if closing:
            yield Circle(batch, closing[0])
            return
        ahead = ({child for child, _ in found} | {-of for _, of in found if of is not None}) - seen
        seen = seen | ahead
