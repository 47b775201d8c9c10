"""Find groups whose jobs wait for a holder that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cronq.storage.tables import Tables

_MOST = 20


class HeldGroup(NamedTuple):
    """A group that a failed job holds."""

    name: str
    holder: int
    blocked: int
    """The number of jobs that are blocked by it."""


def held_groups(tables: Tables) -> list[HeldGroup]:
    """Read up to _MOST groups that failed jobs hold, if others wait; by the primary keys and the index `group`."""
    jobs = tables.sql.names.jobs
    sql = (
        f"SELECT g.name, g.job_id, (SELECT count(*) FROM {jobs} b WHERE b.job_group = g.name AND b.state = 'blocked')"
        f" FROM {tables.sql.names.groups} g JOIN {jobs} j ON j.id = g.job_id WHERE j.state = 'failed'"
        f" ORDER BY g.name LIMIT {_MOST}"
    )
    return [group for group in map(HeldGroup._make, tables.query(sql)) if group.blocked]
