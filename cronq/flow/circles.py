"""Find batches that wait for themselves: two callers that enqueue at the same moment can close such a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cronq.storage.drivers.database import Database
    from cronq.storage.sql.statements import Statements

_BATCHES = 100
"""The most batches that are checked: the oldest of those that have not ended."""

_STEPS = 1000
"""The most jobs and batches that are followed from one of them."""


class Circle(NamedTuple):
    """A job of a batch that comes after that batch, by way of others."""

    batch: int
    job: int


def circles(database: Database, sql: Statements) -> list[Circle]:
    """Find a circle for each batch that is in one, the oldest batches first."""
    batches = [row[0] for row in database.query(sql.batches.unended, (_BATCHES,))]
    found = [(batch, closing(database, sql, -batch)) for batch in batches]
    return [Circle(batch, job) for batch, job in found if job is not None]


def closing(database: Database, sql: Statements, one: int, *, within: int | None = None) -> int | None:
    """Find the job by which `one`, a job or a batch, comes after itself by way of others; None without such a job.

    A batch is given by its id with a minus sign; so is `within`, the batch of the job.
    """
    seen = ahead = {one} if within is None else {one, within}
    while ahead and len(seen) < _STEPS:
        found = database.query(sql.batches.following, (database.many(sorted(ahead)),))
        closed: list[int] = sorted(child for child, of in found if one in {child, -(of or 0)})
        if closed:
            return closed[0]
        ahead = ({child for child, _ in found} | {-of for _, of in found if of is not None}) - seen
        seen = seen | ahead
    return None
