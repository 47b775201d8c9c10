"""Define views of jobs and attempts, for people who read them with a client of the database."""

from __future__ import annotations

from cronq.storage.sql.dialect import DIALECTS

INSTANTS = ("available_at", "lease_until", "created_at", "started_at", "finished_at")
"""The columns that the views show as times."""


def views(prefix: str, family: str) -> list[str]:
    """Build the statements that make views of jobs and attempts with readable times.

    The tables have instants as numbers: their conversion would cost cronq's statements more than anything else that
    they do. Returns an empty list on engines without such views.
    """
    shown = {
        "jobs": (
            "id, queue, state, task, priority, job_key, job_group, attempt, max_attempts, created_at, available_at,"
            " started_at, finished_at, lease_until, worker, host, pid, outcome, error_class, error_message, args"
        ),
        "attempts": "id, job_id, number, outcome, started_at, finished_at, host, pid, error_class, error_message",
    }
    as_time = DIALECTS[family].as_time
    if not as_time:
        return []
    return [
        f"CREATE OR REPLACE VIEW {prefix}{table}_view AS SELECT"
        f" {', '.join(as_time.format(one) if one in INSTANTS else one for one in columns.split(', '))}"
        f" FROM {prefix}{table}"
        for table, columns in shown.items()
    ]
