"""Notify workers of new jobs in the INSERT itself, on PostgreSQL."""

from __future__ import annotations

from functools import cache


def channel(prefix: str) -> str:
    """Return the channel for the tables with this name prefix."""
    return f"{prefix}wake"


def notifying(prefix: str) -> str:
    """Return the expression that notifies the channel at the COMMIT."""
    return f"pg_notify('{channel(prefix)}', '')"


def is_listening(prefix: str) -> str:
    """Return the condition that workers are registered.

    Without one nothing is notified, because PostgreSQL commits transactions that notify one after the other.
    """
    return f"EXISTS (SELECT 1 FROM {prefix}workers WHERE kind = 'work')"


def returning_id(sql: str) -> str:
    """Return the end of an INSERT that returns the new ids; one of jobs also notifies workers at its COMMIT."""
    return _ending(sql.split(" ", 3)[2])


@cache
def _ending(table: str) -> str:
    if not table.endswith("jobs"):
        return " RETURNING id"
    prefix = table.removesuffix("jobs")
    return f" RETURNING id, CASE WHEN {is_listening(prefix)} THEN {notifying(prefix)} END"
