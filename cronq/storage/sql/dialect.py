"""Define the tables' names, and in DIALECTS the SQL that differs between families of databases."""

from __future__ import annotations

from cronq.storage.sql.columns import CLAIMED_COLUMNS


class Names:
    """The names of the tables with one prefix, and the dialect of their family of databases.

    The family is `sqlite`, `mysql` (MySQL and MariaDB) or `postgresql`.
    """

    def __init__(self, prefix: str, family: str = "sqlite") -> None:
        self.dialect = DIALECTS[family]
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
    """The SQL of one family of databases where it differs from the others; a text is empty where none is needed."""

    family: str
    in_list: str
    """The comparison with the elements of a list that is one parameter."""
    not_in_list: str
    list_as_table: str
    """A list that is one parameter, as a table with the column `value`."""
    inserts_lists: bool
    """Whether an INSERT that reads `list_as_table` gives ids without gaps, in the order of the list."""
    null_safe_equals: str
    """The comparison of a column with a parameter that may be NULL."""
    many_writers: bool
    """Whether other transactions may write before this one is committed."""
    many_hosts: bool
    """Whether runners of several hosts may use the database: one of them is the leader."""
    has_tokens: bool
    """Whether a new job has a token, by which it is found if the answer to its INSERT or COMMIT got lost."""
    locks_groups: bool
    """Whether a transaction locks a group by its row, and inserts one, until it ends, for a group without a row."""
    for_share: str
    """The clause that locks a group's row while jobs become blocked by it, so that freeing the group includes them."""
    for_update: str
    skip_locked: str
    of_groups: str
    """The clause that restricts a lock to the rows of `g` in a join."""
    reads_latest: str
    """The clause that reads the latest committed rows through a lock, though the caller's snapshot is older."""
    advisory_lock: str
    """The statement that waits for the advisory lock of two numbers, and keeps it until the transaction ends."""
    partial_indexes: bool
    """Whether an index may have a condition. If not, the condition's column comes first in the index."""
    has_counted: bool
    """Whether ended jobs have the index `counted`, by state, queue and end, instead of `ended`, by their end."""
    by_id: str
    """The clause that forces the primary key: by statistics of an hour ago, the optimizer may prefer one on states."""
    in_id_order: str
    """The clause that reads the table in the order of its ids, not through an index whose rows must be sorted."""
    skip_scans: bool
    """Whether the database itself skips from one value of an index to the next."""
    returning: str
    """The clause by which the UPDATE of a claim returns the columns of the claimed jobs."""
    on_conflict: str
    """The beginning of the clause for what an INSERT does if a row has this key."""
    new_value: str
    """In such a clause, the value that the INSERT would have given to a column."""
    skip_given_ids: str
    """The statement after which new rows get higher ids than the rows that were inserted with given ones."""
    notifies: bool
    """Whether the database itself can wake workers."""
    untyped: bool
    """Whether a column accepts values of any type, as in a row that was written by hand."""
    as_time: str
    """The expression that shows an instant as a time in a view; empty where no views are made."""

    # No NamedTuple or dataclass: importing those would cost serve-inetd milliseconds before its answer.
    def __init__(self, **fields: str | bool) -> None:
        if fields.keys() != Dialect.__annotations__.keys():
            raise TypeError(f"a dialect needs each field: {sorted(fields.keys() ^ Dialect.__annotations__.keys())}")
        vars(self).update(fields)

    def turn(self, kind: int, number: int) -> str:
        """Return the statement that waits for the advisory lock of two numbers, and keeps it until the COMMIT.

        Empty where no lock is needed.
        """
        return self.advisory_lock.format(kind, number)

    def after_given_ids(self, table: str) -> str:
        """Return the statement after which new rows get higher ids than given ones; empty where they do anyway."""
        return self.skip_given_ids.format(table)

    def or_replace(self, key: str, *columns: str) -> str:
        """Return the end of an INSERT that updates these columns of the existing row if one has this key."""
        given = ", ".join(f"{column} = {self.new_value.format(column)}" for column in columns)
        return f"{self.on_conflict.format(key)} {given}"

    def or_lock(self, table: str, key: str, column: str) -> str:
        """Return the end of an INSERT that only locks the existing row if one has this key."""
        return f"{self.on_conflict.format(key)} {column} = {table}.{column}"


_VALUES = "(SELECT value FROM json_each(?))"
_RETURNING = f" RETURNING {CLAIMED_COLUMNS}"

_SQLITE = Dialect(
    family="sqlite",
    in_list=f"IN {_VALUES}",
    not_in_list=f"NOT IN {_VALUES}",
    list_as_table="json_each(?)",
    inserts_lists=True,
    null_safe_equals="{} IS ?",
    many_writers=False,
    many_hosts=False,
    has_tokens=False,
    locks_groups=False,
    for_share="",
    for_update="",
    skip_locked="",
    of_groups="",
    reads_latest="",
    advisory_lock="",
    partial_indexes=True,
    has_counted=True,
    by_id="",
    in_id_order=" NOT INDEXED",
    skip_scans=False,
    returning=_RETURNING,
    on_conflict="ON CONFLICT ({}) DO UPDATE SET",
    new_value="excluded.{}",
    skip_given_ids="",
    notifies=False,
    untyped=True,
    as_time="",
)

_MYSQL = Dialect(
    family="mysql",
    in_list="IN ?",
    not_in_list="NOT IN ?",
    list_as_table="",
    inserts_lists=False,
    null_safe_equals="{} <=> ?",
    many_writers=True,
    many_hosts=True,
    has_tokens=True,
    locks_groups=True,
    for_share=" LOCK IN SHARE MODE",
    for_update=" FOR UPDATE",
    skip_locked="",
    of_groups="",
    reads_latest=" LOCK IN SHARE MODE",
    advisory_lock="",
    partial_indexes=False,
    has_counted=False,
    by_id=" FORCE INDEX (PRIMARY)",
    in_id_order=" FORCE INDEX (PRIMARY)",
    skip_scans=True,
    returning="",
    on_conflict="ON DUPLICATE KEY UPDATE",
    new_value="VALUES({})",
    skip_given_ids="",
    notifies=False,
    untyped=False,
    as_time="TIMESTAMPADD(MICROSECOND, {0}, TIMESTAMP'1970-01-01 00:00:00.000000') AS {0}",
)

_POSTGRESQL = Dialect(
    family="postgresql",
    in_list="= ANY(?)",
    not_in_list="<> ALL(?)",
    list_as_table="",
    inserts_lists=False,
    null_safe_equals="{} IS NOT DISTINCT FROM ?",
    many_writers=True,
    many_hosts=True,
    has_tokens=True,
    locks_groups=True,
    for_share=" FOR SHARE",
    for_update=" FOR UPDATE",
    skip_locked=" FOR UPDATE SKIP LOCKED",
    of_groups=" OF g",
    reads_latest="",
    advisory_lock="SELECT pg_advisory_xact_lock({}, {})",
    partial_indexes=True,
    has_counted=False,
    by_id="",
    in_id_order="",
    skip_scans=False,
    returning=_RETURNING,
    on_conflict="ON CONFLICT ({}) DO UPDATE SET",
    new_value="excluded.{}",
    skip_given_ids="SELECT setval(pg_get_serial_sequence('{0}', 'id'), (SELECT max(id) FROM {0}))",
    notifies=True,
    untyped=False,
    as_time="timestamptz 'epoch' + {0} * interval '1 microsecond' AS {0}",
)

DIALECTS = {dialect.family: dialect for dialect in (_SQLITE, _MYSQL, _POSTGRESQL)}
"""The dialect of each family; `mysql` is MySQL and MariaDB."""
