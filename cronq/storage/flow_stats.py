"""Read the figures of limits and batches: places taken, jobs that wait for one, batches that were left open."""

from __future__ import annotations

from typing import NamedTuple

from cronq.model.batch import BatchRow
from cronq.model.limits import Bounds
from cronq.storage.sql.limits import PLACE
from cronq.times import SECOND, iso, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from cronq.storage.drivers.database import Row
    from cronq.storage.tables import Tables

_AT_ONCE = 100
"""The number of open batches that are examined at a time, the oldest first."""

_EXAMINED = 10_000
"""The number of newest members of a batch that are examined: this is done each minute, or by `top` every 2 s."""

_LONG = 3600 * SECOND
"""Microseconds without a change after which an open batch counts as left open."""


class LimitStats(NamedTuple):
    """The figures of a limit; instants are those of the database's clock."""

    name: str
    pattern: str
    """The key of the configuration that defines it."""
    bounds: Bounds
    own: Bounds
    """The bounds that a user has set, which precede the configured ones."""
    configured: Bounds
    """The bounds in the configuration of the host that enqueued or ran last; empty if a pattern defines the name."""
    opens_at: int | None
    """The instant at which its rate allows the next start, if a job waits for that."""
    taken: int = 0
    pending: int = 0
    waiting_since: int | None = None
    """The instant since which the oldest job has been waiting for a place; None if none waits."""

    @property
    def is_full(self) -> bool:
        """Whether all of its places are taken."""
        return self.bounds.concurrency is not None and self.taken >= self.bounds.concurrency

    @property
    def is_shown(self) -> bool:
        """Whether it is shown: a name that a pattern defines is not, unless it has jobs or bounds of its own."""
        return bool(self.name == self.pattern or self.taken or self.pending or any(self.own))

    def waited(self, now: int) -> float:
        """Return the seconds for which the oldest job has been waiting for a place; 0 if none waits."""
        return 0.0 if self.waiting_since is None else max(0.0, (now - self.waiting_since) / SECOND)

    def text(self, now: int) -> str:
        """Write the figures in a few words: `smtp 10 of 10 taken, 312 waiting, the oldest for 2h`."""
        places = "" if self.bounds.concurrency is None else f" of {self.bounds.concurrency}"
        waiting = f", {self.pending} waiting" if self.pending else ""
        oldest = f", the oldest for {span(self.waited(now))}" if self.waiting_since is not None else ""
        return f"{self.name} {self.taken}{places} taken{waiting}{oldest}"


class LeftOpen(NamedTuple):
    """An open batch to which nothing has happened for an hour: it never ends by itself."""

    batch: BatchRow
    idle_since: int
    """The instant at which it was opened or, if later, at which its newest member ended."""

    def text(self) -> str:
        """Write the batch's label, and by whom and when it was opened: `batch 7 (import), opened by ann@web1 at …`."""
        return f"{self.batch.label}, opened by {self.batch.opened_by} at {iso(self.batch.opened_at)}"

    def to_json(self) -> dict[str, Any]:
        """Return the batch with its documented field names."""
        return {
            "id": self.batch.id,
            "name": self.batch.name,
            "opened_at": iso(self.batch.opened_at),
            "opened_by": self.batch.opened_by,
            "idle_since": iso(self.idle_since),
        }


class BatchStats:
    """The numbers of batches that have not ended, and those that were left open."""

    def __init__(self) -> None:
        self.open = 0
        """The number of open batches, which take jobs until they are closed."""
        self.running = 0
        """The number of closed batches with members that have not ended."""
        self.left_open: Sequence[LeftOpen] = ()


def limits(tables: Tables) -> list[LimitStats]:
    """Read the figures of all limits, sorted by name."""
    rows = {row[0]: row for row in tables.query(tables.sql.limits.all)}
    found = {
        name: LimitStats(
            name, row[1], in_force(row, rows.get(row[1], row)), Bounds(*row[5:8]), Bounds(*row[2:5]), row[8]
        )
        for name, row in rows.items()
    }
    for place, name, number, oldest in tables.query(tables.sql.limits.figures) if rows else ():
        one = found.get(name)
        if one is None:  # it was made between the two statements
            continue
        if place == PLACE:
            found[name] = one._replace(taken=one.taken + number)
        else:
            since = min((at for at in (one.waiting_since, oldest) if at is not None), default=None)
            found[name] = one._replace(pending=one.pending + number, waiting_since=since)
    return list(found.values())


def in_force(row: Row, shared: Row) -> Bounds:
    """Return the bounds in force: those set for the limit, else for its pattern (`shared`), else the configured."""
    return Bounds(*row[5:8]).over(Bounds(*shared[5:8]).over(Bounds(*shared[2:5])))


def batches(tables: Tables, now: int) -> BatchStats:
    """Read the figures of the batches at the instant `now`."""
    seen = BatchStats()
    unended, seen.running = tables.query(tables.sql.batches.unended_numbers)[0]
    seen.open = unended - seen.running
    if seen.open:
        found = tables.query(tables.sql.batches.long_open, (now, now - _LONG, _AT_ONCE))
        seen.left_open = [one for row in found if (one := _left_open(tables, row, now))]
    return seen


def _left_open(tables: Tables, row: Row, now: int) -> LeftOpen | None:
    batch, newest_end = BatchRow(*row[:-1]), row[-1]
    idle_since = batch.opened_at if newest_end is None else max(batch.opened_at, newest_end)
    if idle_since >= now - _LONG or tables.query(tables.sql.batches.newest_outstanding, (batch.id, _EXAMINED)):
        return None
    return LeftOpen(batch, idle_since)
