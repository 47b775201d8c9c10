"""Make claimed jobs for unit tests."""

from __future__ import annotations

from typing import Any

from cronq.model.job import Claimed

_PLAIN: dict[str, Any] = {
    "id": 1, "token": 2, "task": "task", "args": "{}", "queue": "default", "priority": 50, "key": None, "group": None,
    "event": None, "attempt": 1, "max_attempts": 20, "snoozes": 0, "crashes": 0, "time_limit": None, "created_at": 0,
    "available_at": 0, "waiting_since": None, "unknown_since": None, "retry": None, "notes": None, "spent_before": 0,
}  # fmt: skip


def claimed(**fields: Any) -> Claimed:
    """Return a job in its first attempt, with the given fields."""
    return Claimed(**{**_PLAIN, **fields})
