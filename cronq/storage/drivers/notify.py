"""Notify workers of new jobs in the INSERT itself, on PostgreSQL."""

from __future__ import annotations

from functools import cache


def channel(prefix: str) -> str:
    """Return the channel for the tables with this name prefix."""
    return f"{prefix}wake"


def returning_id(sql: str) -> str:
    """Return the end of an INSERT that returns the new ids; one of jobs also notifies workers at its COMMIT."""
    return _ending(sql.split(" ", 3)[2])


@cache
def _ending(table: str) -> str:
    if not table.endswith("jobs"):
        return " RETURNING id"
    prefix = table.removesuffix("jobs")
    # PostgreSQL commits transactions that notify one after the other, so this one does only if there are workers.
    listening = f"EXISTS (SELECT 1 FROM {prefix}workers WHERE kind = 'work')"
    return f" RETURNING id, CASE WHEN {listening} THEN pg_notify('{channel(prefix)}', '') END"
