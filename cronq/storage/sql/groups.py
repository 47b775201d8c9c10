"""Define the statements on groups, whose jobs run one at a time."""

from __future__ import annotations

from cronq.storage.sql.columns import CLAIM_ORDER, LIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class GroupStatements:
    """The statements on groups, served by the primary keys and the index `group`."""

    def __init__(self, names: Names) -> None:
        dialect = names.dialect
        holders = f"SELECT name, job_id FROM {names.groups} WHERE name {dialect.in_list} ORDER BY name"
        self.holders = holders + dialect.for_share
        # Groups are locked before jobs, and in the order of their names, so that two transactions never deadlock.
        self.lock_holders = holders + dialect.for_update
        # Replaces the row by which the claim may have locked the group.
        over = f" {dialect.or_replace('name', 'job_id')}" * dialect.locks_groups
        self.hold = f"INSERT INTO {names.groups} (name, job_id) VALUES (?, ?){over}"
        # Served by the index `group`.
        self.block = (
            f"UPDATE {names.jobs} SET state = 'blocked'"
            f" WHERE job_group = ? AND state = 'ready' AND id {dialect.not_in_list}"
        )
        given_back = (
            "attempt = attempt - 1, started_at = NULL, lease_until = NULL, pid = NULL, host = NULL, worker = NULL"
        )
        # Served by the index `group`.
        self.release_followers = (
            f"UPDATE {names.jobs} SET {given_back} WHERE job_group = ? AND state = 'blocked' AND token = ?"
            " AND lease_until IS NOT NULL"
        )
        # Served by the index `group`.
        self.next_follower = (
            f"SELECT id FROM {names.jobs} WHERE job_group = ? AND state = 'blocked' AND token = ?"
            f" AND lease_until IS NOT NULL ORDER BY {CLAIM_ORDER} LIMIT 1"
        )
        ours = f"name = ? AND job_id {dialect.in_list}"
        self.step_up = f"UPDATE {names.jobs} SET state = 'running' WHERE id = ?"
        self.hand_on = f"UPDATE {names.groups} SET job_id = ? WHERE {ours}"
        self.free = f"DELETE FROM {names.groups} WHERE {ours}"
        # Served by the index `group`.
        self.next_blocked = (
            f"SELECT id FROM {names.jobs} WHERE job_group = ? AND state = 'blocked' AND lease_until IS NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {names.groups} WHERE name = ? AND job_id <> 0)"
            f" AND NOT EXISTS (SELECT 1 FROM {names.jobs} WHERE job_group = ? AND state = 'ready')"
            f" ORDER BY {CLAIM_ORDER} LIMIT 1"
        )
        # A job under a limit becomes `scheduled`: when it is promoted, it waits for a place again.
        self.unblock = (
            f"UPDATE {names.jobs} SET state = CASE WHEN (flow & {LIMITED}) <> 0 THEN 'scheduled' ELSE 'ready' END"
            " WHERE id = ? AND state = 'blocked' AND lease_until IS NULL"
        )
        # Served by the index `ready`, whose first column is the state.
        self.without_holder = (
            f"SELECT DISTINCT job_group FROM {names.jobs} WHERE state = 'blocked' AND lease_until IS NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {names.groups} g WHERE g.name = {names.jobs}.job_group)"
            f" AND NOT EXISTS (SELECT 1 FROM {names.jobs} f WHERE f.job_group = {names.jobs}.job_group"
            " AND f.state = 'ready') ORDER BY job_group LIMIT ?"
        )
        # Reads the held groups with their holders; the numbers of blocked jobs are served by the index `group`.
        self.held_by_failed = (
            "SELECT g.name, g.job_id,"
            f" (SELECT count(*) FROM {names.jobs} b WHERE b.job_group = g.name AND b.state = 'blocked')"
            f" FROM {names.groups} g JOIN {names.jobs} j ON j.id = g.job_id WHERE j.state = 'failed'"
            " ORDER BY g.name LIMIT ?"
        )
        # Served by the primary keys. Locks the rows of those groups that are held.
        self.share_groups = (
            f"SELECT g.name FROM {names.groups} g JOIN {names.jobs} j ON j.job_group = g.name"
            f" WHERE j.id {dialect.in_list} ORDER BY g.name{dialect.for_share}{dialect.of_groups}"
        )
        self.unlock_groups = f"DELETE FROM {names.groups} WHERE name {dialect.in_list} AND job_id = 0"
        lock = dialect.or_lock(names.groups, "name", "job_id")
        self._lock = f"INSERT INTO {names.groups} (name, job_id) VALUES {{}} {lock}"
        # Served by the primary key of the jobs.
        self.group_of = f"SELECT job_group FROM {names.jobs} WHERE id = ?"
        self.groups_of = (
            f"SELECT DISTINCT job_group FROM {names.jobs} WHERE id {dialect.in_list} AND job_group IS NOT NULL"
        )

    def lock_groups(self, count: int) -> str:
        """Return the statement that locks `count` groups, held or not.

        A group that is not held gets a row with the holder 0, which no other transaction sees.
        """
        return self._lock.format(", ".join(["(?, 0)"] * count))
