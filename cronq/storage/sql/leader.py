"""Define the statements on the leader's lease."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.dialect import Names


class LeaderStatements:
    """The statements on the leader's lease, served by the primary key, the lease's name."""

    def __init__(self, names: Names) -> None:
        self.take = (
            f"UPDATE {names.leases} SET worker = ?, lease_until = ? WHERE name = ? AND (worker = ? OR lease_until <= ?)"
        )
        self.first = f"INSERT INTO {names.leases} (name, worker, lease_until) VALUES (?, ?, ?)"
        self.leave = f"UPDATE {names.leases} SET lease_until = 0 WHERE name = ? AND worker = ?"
