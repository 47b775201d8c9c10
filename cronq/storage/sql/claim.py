"""Define the statements that claim jobs."""

from __future__ import annotations

from cronq.model.states import CLAIMABLE
from cronq.storage.sql.columns import CLAIM_ORDER, CLAIMABLE_STATES, CLAIMED_COLUMNS, LIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class ClaimStatements:
    """The statements that claim jobs, served by the indexes `ready` and `group` and by the primary key."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        self.paused_queues = f"SELECT queue FROM {names.paused}"
        # Served by the index `ready`, with one search for each queue.
        not_paused = f"queue NOT IN ({self.paused_queues})"
        self.claimable_queues = (
            f"SELECT queue FROM {names.jobs} WHERE state = 'ready' GROUP BY state, queue HAVING {not_paused}"
            if dialect.skip_scans
            else f"WITH RECURSIVE q(queue) AS (SELECT min(queue) FROM {names.jobs} WHERE state = 'ready'"
            f" UNION ALL SELECT (SELECT min(queue) FROM {names.jobs} WHERE state = 'ready' AND queue > q.queue)"
            f" FROM q WHERE q.queue IS NOT NULL) SELECT queue FROM q WHERE queue IS NOT NULL AND {not_paused}"
        )
        # Served by the index `ready`.
        self.candidates = (
            f"SELECT {CLAIM_ORDER}, job_group FROM {names.jobs} WHERE state = 'ready' AND queue = ?"
            f" AND priority BETWEEN ? AND ? ORDER BY {CLAIM_ORDER} LIMIT ?"
        )
        # Without blocked jobs under a limit: they may have lost their places, and wait for one once the group is free.
        unlimited = f" AND (flow IS NULL OR (flow & {LIMITED}) = 0)"
        # Served by the index `group`. A query for each state: one for both would sort all jobs of a large group.
        self.members = " UNION ALL ".join(
            f"SELECT * FROM (SELECT {CLAIM_ORDER}, job_group FROM {names.jobs}"
            f" WHERE job_group = ? AND state = '{state}' AND lease_until IS NULL"
            f" AND priority BETWEEN ? AND ? AND queue {dialect.in_list}{apart}"
            f" ORDER BY {CLAIM_ORDER} LIMIT ?) AS {state}"
            for state, apart in (("ready", ""), ("blocked", unlimited))
        )
        lease = "worker = ?, token = ?, lease_until = ?, attempt = attempt + 1, started_at = ?, host = ?, pid = ?"
        # Served by the primary key.
        self.claim = _taking(names, f"state = 'running', {lease}")
        self.claim_behind = _taking(names, f"state = 'blocked', {lease}")
        # `taken` reads claimed jobs where the UPDATE can't return them, `read_back` where the COMMIT's answer got lost.
        self.taken = f"SELECT {CLAIMED_COLUMNS} FROM {names.jobs} WHERE id {dialect.in_list} AND token = ?"
        self.read_back = self.taken + dialect.for_update
        # To claim one job by its id: its row, and the first jobs of its group (served by the index `group`).
        self.asked_for = f"SELECT state, queue, job_group, priority, available_at, flow FROM {names.jobs} WHERE id = ?"
        self.first_in_group = " UNION ALL ".join(
            f"SELECT * FROM (SELECT {CLAIM_ORDER} FROM {names.jobs} WHERE job_group = ? AND state = '{state}'"
            f" AND lease_until IS NULL AND queue NOT IN ({self.paused_queues}) ORDER BY {CLAIM_ORDER}"
            f" LIMIT 1) AS {state}"
            for state in CLAIMABLE
        )


def _taking(names: Names, changes: str) -> str:
    """Return the UPDATE that claims the given jobs, except those that another runner has claimed meanwhile."""
    chosen = f"id {names.dialect.in_list} AND lease_until IS NULL AND {CLAIMABLE_STATES}"
    if names.dialect.skip_locked:
        chosen = f"id = ANY(ARRAY(SELECT id FROM {names.jobs} WHERE {chosen}{names.dialect.skip_locked}))"
    return f"UPDATE {names.jobs}{names.dialect.by_id} SET {changes} WHERE {chosen}{names.dialect.returning}"
