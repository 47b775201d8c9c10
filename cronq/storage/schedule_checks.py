"""Read what each run needs of the schedules; without any, it doesn't import `cronq.storage.schedules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cronq.storage.tables import Tables


def next_due(tables: Tables) -> int | None:
    """Read the instant at which the next due time of a schedule is to be decided; None if there is none."""
    return tables.query(tables.sql.schedules.next_due)[0][0]  # type: ignore[no-any-return]


def are_watched(tables: Tables) -> bool:
    """Tell whether any schedule has an `alert_after`, or is one about which a notice was sent."""
    return bool(tables.query(tables.sql.schedules.watched))


def are_declared(tables: Tables) -> bool:
    """Tell whether any host declares a schedule."""
    return bool(tables.query(tables.sql.schedules.any_declaration))
