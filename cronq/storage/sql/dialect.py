"""Define the tables' names, and the SQL that differs between database engines."""

from __future__ import annotations

from cronq.storage.sql.columns import CLAIMED_COLUMNS


class Names:
    """The tables with one prefix, in a family's dialect: `sqlite`, `mysql` (MySQL and MariaDB) or `postgresql`."""

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
        # A parameter's list as a table with the column `value`. An INSERT that reads it gives ids without gaps.
        self.list_as_table = {"sqlite": "json_each(?)"}.get(family, "")
        values = f"(SELECT value FROM {self.list_as_table})"
        self.in_list, self.not_in_list = {
            "sqlite": (f"IN {values}", f"NOT IN {values}"),
            "mysql": ("IN ?", "NOT IN ?"),
            "postgresql": ("= ANY(?)", "<> ALL(?)"),
        }[family]
        server = family != "sqlite"
        # Other transactions may write before this one is committed.
        self.many_writers = server
        # Runners of several hosts may use the database: one of them is the leader.
        self.many_hosts = server
        # A new job has a token by which it is found where the answer to its INSERT or COMMIT got lost.
        self.has_tokens = server
        # A transaction keeps others out of a group by a row of the group's own, which it removes at its end.
        self.locks_groups = server
        # An index may have a condition. Without that, the condition's column comes first in it.
        self.partial_indexes = family != "mysql"
        # Ended jobs have the index `counted`, by state, queue and end, in place of `ended`, by their end alone.
        self.has_counted = family == "sqlite"
        # A group's row is locked while jobs are blocked because of it, so that a transaction that frees
        # the group sees them. SQLite has one writer anyway.
        self.for_share = {"mysql": " LOCK IN SHARE MODE", "postgresql": " FOR SHARE"}.get(family, "")
        self.for_update = " FOR UPDATE" if server else ""
        self.skip_locked = " FOR UPDATE SKIP LOCKED" if family == "postgresql" else ""
        # With statistics of an hour ago, an index over states may look better than the ids.
        self.by_id = " FORCE INDEX (PRIMARY)" if family == "mysql" else ""
        # Goes through the table by its ids, and not through an index of another order that must be sorted.
        self.in_id_order = {"sqlite": " NOT INDEXED", "mysql": " FORCE INDEX (PRIMARY)"}.get(family, "")
        # Compares a column with a parameter that may be NULL.
        self.null_safe_equals = {"sqlite": "{} IS ?", "mysql": "{} <=> ?"}.get(family, "{} IS NOT DISTINCT FROM ?")
        self.returning = "" if family == "mysql" else f" RETURNING {CLAIMED_COLUMNS}"
        self.of_groups = " OF g" if family == "postgresql" else ""
        # A caller's snapshot may be older than a row that a lock shows.
        self.reads_latest = self.for_share if family == "mysql" else ""
        # MySQL goes from one value of an index to the next by itself.
        self.skip_scans = family == "mysql"
        self.notifies = family == "postgresql"
        self.family = family

        # A column takes values of any type, as from a program that wrote a row by hand.
        self.untyped = family == "sqlite"
        # Shows an instant as a time; none where views of the tables aren't made.
        self.as_time = {
            "mysql": "TIMESTAMPADD(MICROSECOND, {0}, TIMESTAMP'1970-01-01 00:00:00.000000') AS {0}",
            "postgresql": "timestamptz 'epoch' + {0} * interval '1 microsecond' AS {0}",
        }.get(family)

    def turn(self, kind: int, number: int) -> str:
        """Write the statement that waits for a lock with two numbers until the COMMIT; empty where none is needed."""
        return f"SELECT pg_advisory_xact_lock({kind}, {number})" if self.family == "postgresql" else ""

    def after_given_ids(self, table: str) -> str:
        """Write the statement after which new rows get ids beyond those that were given; empty where they do anyway."""
        if self.family != "postgresql":
            return ""
        return f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"

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
