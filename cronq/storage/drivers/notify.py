"""Notify workers of new jobs in the INSERT itself, on PostgreSQL."""

from __future__ import annotations

from functools import cache


def channel(prefix: str) -> str:
    """Return the channel for the tables with this name prefix."""
    return f"{prefix}wake"


def returning_id(sql: str) -> str:
    """Write the end of an INSERT that returns the new ids; for jobs it also notifies, with the COMMIT."""
    return _ending(sql.split(" ", 3)[2])


@cache
def _ending(table: str) -> str:
    if not table.endswith("jobs"):
        return " RETURNING id"
    prefix = table.removesuffix("jobs")
    # PostgreSQL lets transactions that notify commit only one after the other, so only if there are listeners.
    listening = f"EXISTS (SELECT 1 FROM {prefix}workers WHERE kind = 'work')"
    return f" RETURNING id, CASE WHEN {listening} THEN pg_notify('{channel(prefix)}', '') END"
