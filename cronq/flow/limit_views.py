"""Read jobs under limits: the limit of a job and why it waits, and the jobs that have places or wait for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.flow.limits import HeldPlace
from cronq.model.limits import Bounds
from cronq.storage.flow_stats import limits
from cronq.storage.sql.limits import BEHIND, ELSEWHERE, PLACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.flow.limits import Limits
    from cronq.storage.flow_stats import LimitStats
    from cronq.storage.tables import Tables


class Waiting(NamedTuple):
    """The facts that explain why a job waits for a place under its limit."""

    limit: str
    bounds: Bounds
    taken: int
    ready: Sequence[str]
    """The queue of each job that has a place and is not claimed yet."""
    before: int
    opens_at: int | None
    behind: bool
    """Whether another job of its group comes first."""


def held(tables: Tables, name: str) -> list[HeldPlace]:
    """Read the places that are taken under a limit, the longest taken first."""
    rows = (HeldPlace._make(row) for row in tables.query(tables.sql.limits.places, (name,)))
    return sorted((one for one in rows if one.is_taken), key=lambda one: (one.started_at or one.since, one.job_id))


def waiting_jobs(tables: Tables, name: str, most: int) -> list[tuple[int, int, int]]:
    """Read the first jobs that wait for a place: id, priority, and the instant since which it is due."""
    return [(row[0], row[1], row[2]) for row in tables.query(tables.sql.limits.waiting, (name, most))]


class LimitReader:
    """Reads the limits, and the places of jobs under them."""

    def __init__(self, tables: Tables, limits: Limits) -> None:
        self._tables = tables
        self._sql = tables.sql.limits
        self._limits = limits

    def all(self) -> list[LimitStats]:
        """Read all limits as they stand now."""
        return limits(self._tables)

    def name_of(self, job_id: int) -> str | None:
        """Read the name of the limit that a job is under; None without one."""
        found = self._tables.query(self._sql.place_of, (job_id,))
        return found[0][0] if found else None

    def waiting(self, job_id: int) -> Waiting | None:
        """Read the facts that explain why a pending job waits for a place; None if it doesn't wait for one."""
        found = self._tables.query(self._sql.place_of, (job_id,))
        if not found or found[0][1] in (PLACE, ELSEWHERE):
            return None
        name, place, priority, due = found[0]
        held = [HeldPlace._make(row) for row in self._tables.query(self._sql.places, (name,))]
        taken = [one for one in held if one.is_taken]
        before = self._tables.query(self._sql.before, (name, priority, priority, due, due, job_id))[0][0]
        opens = next((row[8] for row in self._tables.query(self._sql.all) if row[0] == name), None)
        bounds = self._limits.bounds(self._tables.open(), name) or Bounds()
        ready = tuple(one.queue for one in taken if one.is_ready)
        return Waiting(name, bounds, len(taken), ready, before, opens, place == BEHIND)
