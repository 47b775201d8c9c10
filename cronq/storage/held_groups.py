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
    """Read up to _MOST groups that failed jobs hold, if others wait."""
    found = tables.query(tables.sql.groups.held_by_failed, (_MOST,))
    return [group for group in map(HeldGroup._make, found) if group.blocked]
