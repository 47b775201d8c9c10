"""Define the statements that renew leases, take over expired ones, and make due jobs ready."""

from __future__ import annotations

from cronq.model.states import FUTURE
from cronq.storage.sql.columns import CLAIM_ORDER, CLAIMED_COLUMNS, FUTURE_STATES, LIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class LeaseStatements:
    """The statements on leases and due jobs, served by the indexes `held` and `future` and by the primary key."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        # Served by the index `held`.
        self.leases = f"SELECT id, token FROM {names.jobs} WHERE worker = ? AND lease_until IS NOT NULL ORDER BY id"
        self.renew = (
            f"UPDATE {names.jobs}{dialect.by_id} SET lease_until = ?"
            f" WHERE id {dialect.in_list} AND worker = ? AND lease_until IS NOT NULL"
        )
        # Checks again that the leases have ended: their worker may have renewed them since they were read.
        self.take_over = (
            f"UPDATE {names.jobs}{dialect.by_id} SET worker = ?, token = ?"
            f" WHERE id {dialect.in_list} AND worker = ? AND lease_until <= ?"
        )
        self.owners = f"SELECT DISTINCT worker FROM {names.jobs} WHERE lease_until IS NOT NULL"
        self.held_by = (
            f"SELECT {CLAIMED_COLUMNS}, started_at, lease_until FROM {names.jobs}"
            f" WHERE worker = ? AND lease_until IS NOT NULL ORDER BY {CLAIM_ORDER}"
        )
        # Served by the index `future`.
        due = f"{FUTURE_STATES} AND available_at <= ?"
        self.due = f"SELECT id, job_group, flow FROM {names.jobs} WHERE {due} ORDER BY available_at LIMIT ?"
        # Each checks itself whether the job is under a limit: an edit may have changed that since the job was read.
        limited = f"(flow & {LIMITED}) <> 0"
        promote = f"UPDATE {names.jobs}{dialect.by_id} SET state = {{}} WHERE id {dialect.in_list} AND {due}"
        self.promote = promote.format("?") + f" AND (flow IS NULL OR NOT {limited})"
        self.promote_limited = promote.format("'pending'") + f" AND {limited}"
        # Served by the primary key.
        self.still_due = (
            f"SELECT id FROM {names.jobs}{dialect.by_id} WHERE id {dialect.in_list} AND {due} AND {limited}"
            f" ORDER BY id{dialect.for_update}"
        )
        self.next_due = next_due(names)


def next_due(names: Names) -> str:
    """Return the statement that reads the least `available_at` of jobs that wait for their time.

    The index `future` serves it.
    """
    if names.dialect.partial_indexes:
        return f"SELECT min(available_at) AS at FROM {names.jobs} WHERE {FUTURE_STATES}"
    # One search of the index for each state: one query for all three would read every entry.
    each = (f"(SELECT min(available_at) FROM {names.jobs} WHERE state = '{state}') AS {state}" for state in FUTURE)
    never = 2**63 - 1
    least = ", ".join(f"coalesce({state}, {never})" for state in FUTURE)
    return f"SELECT nullif(least({least}), {never}) AS at FROM (SELECT {', '.join(each)}) AS earliest"
