"""Define the tables' names, and the SQL that differs between database engines."""

from __future__ import annotations

from cronq.storage.sql.columns import CLAIMED_COLUMNS


class Names:
    """The tables with one prefix, in the dialect of one family of databases: `sqlite`, `mysql` or `postgresql`."""

    def __init__(self, prefix: str, family: str = "sqlite") -> None:
        self.dialect = Dialect(family)
        self.prefix = prefix
        self.jobs = f"{prefix}jobs"
        self.attempts = f"{prefix}attempts"
        self.groups = f"{prefix}groups"
        self.paused = f"{prefix}paused"
        self.workers = f"{prefix}workers"
        self.live_output = f"{prefix}tails"
        self.incidents = f"{prefix}troubles"
        self.leases = f"{prefix}leases"
        self.runs = f"{prefix}runs"
        self.actions = f"{prefix}actions"
        self.schedules = f"{prefix}schedules"
        self.declarations = f"{prefix}declarations"
        self.fires = f"{prefix}fires"
        self.edges = f"{prefix}edges"
        self.loose_ends = f"{prefix}loose_ends"
        self.progress = f"{prefix}progress"
        self.batches = f"{prefix}batches"
        self.members = f"{prefix}members"
        self.limits = f"{prefix}limits"
        self.limited = f"{prefix}limited"
        self.starts = f"{prefix}starts"
        self.minutes = f"{prefix}minutes"


class Dialect:
    """The SQL of one family of databases where it differs from the others."""

    def __init__(self, family: str) -> None:
        self.among, self.beside = {
            "sqlite": ("IN (SELECT value FROM json_each(?))", "NOT IN (SELECT value FROM json_each(?))"),
            "mysql": ("IN ?", "NOT IN ?"),
            "postgresql": ("= ANY(?)", "<> ALL(?)"),
        }[family]
        server = family != "sqlite"
        # A group's row is locked while jobs are blocked because of it, so that a transaction that frees
        # the group sees them. SQLite has one writer anyway.
        self.shared = {"mysql": " LOCK IN SHARE MODE", "postgresql": " FOR SHARE"}.get(family, "")
        self.locked = " FOR UPDATE" if server else ""
        self.unless_locked = " FOR UPDATE SKIP LOCKED" if family == "postgresql" else ""
        # With statistics of an hour ago, an index over states may look better than the ids.
        self.by_id = " FORCE INDEX (PRIMARY)" if family == "mysql" else ""
        # Goes through the table by its ids, and not through an index of another order that must be sorted.
        self.scanned = {"sqlite": " NOT INDEXED", "mysql": " FORCE INDEX (PRIMARY)"}.get(family, "")
        # Compares a column with a parameter that may be NULL.
        self.same = {"sqlite": "{} IS ?", "mysql": "{} <=> ?"}.get(family, "{} IS NOT DISTINCT FROM ?")
        self.returning = "" if family == "mysql" else f" RETURNING {CLAIMED_COLUMNS}"
        self.of_groups = " OF g" if family == "postgresql" else ""
        # A caller's snapshot may be older than a row that a lock shows.
        self.shows_latest = self.shared if family == "mysql" else ""
        # MySQL goes from one value of an index to the next by itself.
        self.skips = family == "mysql"
        self.notifies = self.has_advisory_locks = family == "postgresql"
        self.server = server
        self.family = family

    def or_replace(self, key: str, *columns: str) -> str:
        """Write the end of an INSERT that updates the columns if a row has this key."""
        if self.family == "mysql":
            return "ON DUPLICATE KEY UPDATE " + ", ".join(f"{column} = VALUES({column})" for column in columns)
        return f"ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{column} = excluded.{column}" for column in columns)

    def or_lock(self, table: str, key: str, column: str) -> str:
        """Write the end of an INSERT that only locks the row if one has this key."""
        if self.family == "mysql":
            return f"ON DUPLICATE KEY UPDATE {column} = {column}"
        return f"ON CONFLICT ({key}) DO UPDATE SET {column} = {table}.{column}"
