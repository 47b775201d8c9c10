"""What can be seen of jobs under limits: the limit of one and why it waits, and the jobs that have places or wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cronq.flow.limits import HeldPlace
from cronq.model.limits import Bounds
from cronq.storage.sql.limits import BEHIND, ELSEWHERE, PLACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronq.flow.limits import Limits
    from cronq.storage.tables import Tables


class Waiting(NamedTuple):
    """Why a job waits for a place."""

    limit: str
    bounds: Bounds
    taken: int
    ready: Sequence[str]
    """The queues of the jobs that have a place and were not claimed, one each."""
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


def limit_of(tables: Tables, job_id: int) -> str | None:
    """Read the name of the limit that a job is under; None without one."""
    found = tables.query(tables.sql.limits.place_of, (job_id,))
    return found[0][0] if found else None


def waiting(tables: Tables, limits: Limits, job_id: int) -> Waiting | None:
    """Read why a pending job waits for a place; None if it doesn't."""
    found = tables.query(tables.sql.limits.place_of, (job_id,))
    if not found or found[0][1] in (PLACE, ELSEWHERE):
        return None
    name, place, priority, due = found[0]
    held = [HeldPlace._make(row) for row in tables.query(tables.sql.limits.places, (name,))]
    taken = [one for one in held if one.is_taken]
    before = tables.query(tables.sql.limits.before, (name, priority, priority, due, due, job_id))[0][0]
    opens = next((row[8] for row in tables.query(tables.sql.limits.all) if row[0] == name), None)
    bounds = limits.bounds(tables.open(), name) or Bounds()
    ready = tuple(one.queue for one in taken if one.is_ready)
    return Waiting(name, bounds, len(taken), ready, before, opens, place == BEHIND)
